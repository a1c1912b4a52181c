"""The exercises of the lab `cnn_mnist`: inputs, comparisons, misconceptions and variants."""

import contextlib
import io
import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from coursekit.check.exercise import BY_HAND, Accuracy, Equal, Exercise, Misconception, Rules
from coursekit.check.tree import Tree
from coursekit.data import Split, load

# Ready-made convolutions other than those that BY_HAND names already.
NO_CONVOLUTION = Rules(
    forbid=(
        *BY_HAND,
        "torch.convolution",
        "torch.conv1d",
        "torch.conv3d",
        "torch.conv_transpose2d",
        "torch.nn.functional.conv1d",
        "torch.nn.functional.conv3d",
        "torch.nn.functional.conv_transpose2d",
        "torch.nn.Conv1d",
        "torch.nn.Conv3d",
        "torch.nn.ConvTranspose2d",
        "torch.nn.LazyConv2d",
        "torch.ops",
        "scipy",
    )
)

# The figures of the lecture (CURRICULUM, `cnn_mnist`).
IMAGE_5 = np.array(
    [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]], np.float32
)
KERNEL_5 = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.float32)
IMAGE_6 = np.array(
    [
        [1, 0, 0, 0, 0, 1],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 1, 0, 0],
        [1, 0, 0, 0, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 0, 1, 0],
    ],
    np.float32,
)
FILTER_1 = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32)
FILTER_2 = np.array([[-1, 1, -1], [-1, 1, -1], [-1, 1, -1]], np.float32)


def whole(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Small whole numbers: exact in float32 and easy to read in a message."""
    return rng.integers(-4, 6, shape).astype(np.float32)


def lopsided(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """A kernel that no turn by 180 degrees, mirror image or shift leaves as it is: all values differ, none is 0."""
    values = np.array([v for v in range(-9, 10) if v], np.float32)
    return rng.choice(values, size=shape, replace=False)


# --- 1 conv2d ---------------------------------------------------------------------------------------------------------


def draw_square(rng: np.random.Generator) -> dict[str, Tree]:
    n, k = int(rng.integers(5, 8)), int(rng.integers(2, 4))
    return {"image": whole(rng, n, n), "kernel": lopsided(rng, k, k)}


def draw_oblong(rng: np.random.Generator) -> dict[str, Tree]:
    height, h, w = int(rng.integers(5, 7)), *rng.permutation([2, 3]).tolist()
    return {"image": whole(rng, height, height + 3), "kernel": lopsided(rng, h, w)}


CONV2D = Exercise(
    name="conv2d",
    title={"en": "Convolution by hand", "zh": "动手写卷积"},
    difficulty=1,
    minutes=15,
    draw={"square images": draw_square, "oblong images": draw_oblong},
    groups={
        "square images": {"zh": "正方形图像"},
        "oblong images": {"zh": "长方形图像"},
    },
    examples={
        "square images": [
            {"image": IMAGE_5, "kernel": KERNEL_5},
            {"image": IMAGE_6, "kernel": FILTER_1},
            {"image": IMAGE_6, "kernel": FILTER_2},
        ]
    },
    rules=NO_CONVOLUTION,
    variants=(
        """
def conv2d(image, kernel):
    h, w = kernel.shape
    patches = image.unfold(0, h, 1).unfold(1, w, 1)
    return torch.einsum("ijhw,hw->ij", patches, kernel)
""",
        """
def conv2d(image, kernel):
    h, w = kernel.shape
    rows, columns = image.shape[0] - h + 1, image.shape[1] - w + 1
    out = 0
    for u in range(h):
        for v in range(w):
            out = out + kernel[u, v] * image[u : u + rows, v : v + columns]
    return out
""",
        """
def conv2d(image, kernel):
    h, w = kernel.shape
    return torch.stack([
        torch.stack([torch.tensordot(image[i : i + h, j : j + w], kernel, dims=2) for j in range(image.shape[1] - w + 1)])
        for i in range(image.shape[0] - h + 1)
    ])
""",
    ),
    misconceptions=(
        Misconception(
            "flipped_kernel",
            """
def conv2d(image, kernel):
    h, w = kernel.shape
    kernel = kernel.flip(0, 1)
    return torch.einsum("ijhw,hw->ij", image.unfold(0, h, 1).unfold(1, w, 1), kernel)
""",
            {
                "en": "You get exactly what a kernel turned by 180 degrees gives. That is the convolution of mathematics; deep learning lays the kernel on the image as it is (cross-correlation). The lecture's filters cannot show the difference: they look the same when turned.",
                "zh": "你的结果恰好等于把卷积核旋转 180 度之后的结果。那是数学里的卷积；深度学习里的“卷积”不翻转卷积核（其实是互相关）。课上的滤波器旋转 180 度后不变，所以看不出这个差别。",
            },
        ),
        Misconception(
            "mean_of_patch",
            """
def conv2d(image, kernel):
    h, w = kernel.shape
    return torch.einsum("ijhw,hw->ij", image.unfold(0, h, 1).unfold(1, w, 1), kernel) / (h * w)
""",
            {
                "en": "Every value is the right one divided by the number of weights in the kernel: you take the mean of the products. A convolution adds them up.",
                "zh": "你的每个数都恰好是正确值除以卷积核的元素个数：你对乘积取了平均，而卷积是求和。",
            },
        ),
        Misconception(
            "last_place_missing",
            """
def conv2d(image, kernel):
    h, w = kernel.shape
    return torch.einsum("ijhw,hw->ij", image.unfold(0, h, 1).unfold(1, w, 1), kernel)[:-1, :-1]
""",
            {
                "en": "The last row and the last column are missing. A kernel of 3 fits into 5 pixels at the places 0, 1 and 2: that is three places, not two. Look at where your loops end.",
                "zh": "缺了最后一行和最后一列。长度为 3 的卷积核放进 5 个像素，可以停在 0、1、2 三个位置，而不是两个。看看循环在哪里结束。",
            },
        ),
        Misconception(
            "padded_to_same_size",
            """
def conv2d(image, kernel):
    h, w = kernel.shape
    padded = torch.zeros(image.shape[0] + h - 1, image.shape[1] + w - 1)
    top, left = (h - 1) // 2, (w - 1) // 2
    padded[top : top + image.shape[0], left : left + image.shape[1]] = image
    return torch.einsum("ijhw,hw->ij", padded.unfold(0, h, 1).unfold(1, w, 1), kernel)
""",
            {
                "en": "Your output is as large as the image, with zeros around it. That is padding, and it comes later; here the kernel stays inside the image, so the output is smaller.",
                "zh": "你的输出和原图一样大，说明你在图像四周补了零。填充后面才讲；这里卷积核不能越出图像，所以输出会变小。",
            },
        ),
        Misconception(
            "no_overlap",
            """
def conv2d(image, kernel):
    h, w = kernel.shape
    return torch.einsum("ijhw,hw->ij", image.unfold(0, h, h).unfold(1, w, w), kernel)
""",
            {
                "en": "You cut the image into tiles that lie side by side: the kernel jumps by its own length. Here it moves on by a single pixel, so that neighbouring places overlap.",
                "zh": "你把图像切成了互不重叠的小块：卷积核每次跳过了自己的整个长度。这里它每次只移动一个像素，相邻的位置是重叠的。",
            },
        ),
        Misconception(
            "rows_and_columns_swapped",
            """
def conv2d(image, kernel):
    h, w = kernel.shape
    return torch.einsum("ijhw,hw->ji", image.unfold(0, h, 1).unfold(1, w, 1), kernel)
""",
            {
                "en": "Your map is the right one mirrored at its diagonal: rows and columns have changed places on the way out. The first index counts rows (down), the second counts columns (to the right).",
                "zh": "你的结果是正确结果沿对角线翻转（转置）后的样子：写入输出时行和列弄反了。第一个下标是行（向下），第二个下标是列（向右）。",
            },
        ),
        Misconception(
            "square_only",
            """
def conv2d(image, kernel):
    h, w = kernel.shape
    n = image.shape[0] - h + 1
    return torch.einsum("ijhw,hw->ij", image.unfold(0, h, 1).unfold(1, w, 1), kernel)[:, :n]
""",
            {
                "en": "Right for square images. For oblong ones your map has as many columns as rows: the number of columns must come from the image's width and the kernel's width.",
                "zh": "正方形的图像都对了。但对长方形图像，你的输出列数和行数一样多：列数要由图像的宽和卷积核的宽来算。",
            },
        ),
    ),
    hints=(
        {
            "en": "First find out how many places there are: a kernel of height $h$ fits into an image of height $H$ at $H - h + 1$ places. Make an output of that size.",
            "zh": "先想清楚有多少个位置：高为 $h$ 的卷积核放进高为 $H$ 的图像，有 $H - h + 1$ 个位置。按这个大小建好输出。",
        },
        {
            "en": "The piece of the image under the kernel at place $(i, j)$ is a slice that begins at row $i$ and column $j$ and is as large as the kernel. `*` multiplies two tensors of the same shape value by value.",
            "zh": "卷积核停在 $(i, j)$ 时，它下面的那一小块图像是一个切片：从第 $i$ 行、第 $j$ 列开始，大小与卷积核相同。两个同形状的张量用 `*` 就是逐个元素相乘。",
        },
    ),
)


# --- 2 output_size ----------------------------------------------------------------------------------------------------


def draw_plain(rng: np.random.Generator) -> dict[str, Tree]:
    k = int(rng.integers(2, 8))
    return {"n": k + int(rng.integers(3, 40)), "k": k, "stride": 1, "padding": 0}


def draw_padded(rng: np.random.Generator) -> dict[str, Tree]:
    k = int(rng.integers(3, 8))
    return {"n": k + int(rng.integers(3, 40)), "k": k, "stride": 1, "padding": int(rng.integers(1, k))}


def draw_strided(rng: np.random.Generator) -> dict[str, Tree]:
    # The kernel's last place leaves 1 .. stride - 2 pixels over, so that every way of rounding wrongly shows.
    stride, k = int(rng.integers(3, 6)), int(rng.integers(4, 8))
    left_over = int(rng.integers(1, stride - 1))
    padding = left_over + 1
    n = k - 2 * padding + stride * int(rng.integers(4, 12)) + left_over
    return {"n": n, "k": k, "stride": stride, "padding": padding}


OUTPUT_SIZE = Exercise(
    name="output_size",
    title={"en": "Stride, padding and the output size", "zh": "步幅、填充与输出大小"},
    difficulty=1,
    minutes=10,
    draw={"stride 1": draw_plain, "with padding": draw_padded, "with stride": draw_strided},
    groups={
        "stride 1": {"zh": "步幅为 1"},
        "with padding": {"zh": "有填充"},
        "with stride": {"zh": "有步幅"},
    },
    examples={
        "stride 1": [{"n": 5, "k": 3, "stride": 1, "padding": 0}],
        "with padding": [{"n": 28, "k": 5, "stride": 1, "padding": 2}],
        "with stride": [
            {"n": 6, "k": 3, "stride": 2, "padding": 0},
            {"n": 224, "k": 11, "stride": 4, "padding": 2},
        ],
    },
    compare=Equal(),
    variants=(
        """
def output_size(n, k, stride=1, padding=0):
    return len(range(-padding, n + padding - k + 1, stride))
""",
        """
def output_size(n, k, stride=1, padding=0):
    places, start = 0, -padding
    while start + k <= n + padding:
        places, start = places + 1, start + stride
    return places
""",
        """
def output_size(n, k, stride=1, padding=0):
    import math
    return math.floor((n - k + 2 * padding) / stride + 1)
""",
    ),
    misconceptions=(
        Misconception(
            "first_place_not_counted",
            """
def output_size(n, k, stride=1, padding=0):
    return (n + 2 * padding - k) // stride
""",
            {
                "en": "Always one too few: you count the moves of the kernel, not the places where it stands. The place before the first move counts too.",
                "zh": "总是少 1：你数的是卷积核移动的次数，而不是它停留的位置数。移动之前的起点也算一个位置。",
            },
        ),
        Misconception(
            "padding_on_one_side",
            """
def output_size(n, k, stride=1, padding=0):
    return (n + padding - k) // stride + 1
""",
            {
                "en": "Your result fits a padding on one side only. Padding is added at both ends of the side.",
                "zh": "你的结果相当于只在一侧做了填充。填充是在两端都加的。",
            },
        ),
        Misconception(
            "rounded_up",
            """
def output_size(n, k, stride=1, padding=0):
    return -(-(n + 2 * padding - k) // stride) + 1
""",
            {
                "en": "You round up where the stride does not fit exactly. A last place that would stick out over the edge is left out.",
                "zh": "步幅除不尽时，你向上取整了。最后那个会超出边缘的位置是不算的。",
            },
        ),
        Misconception(
            "not_rounded",
            """
def output_size(n, k, stride=1, padding=0):
    return (n + 2 * padding - k) / stride + 1
""",
            {
                "en": "You return fractions of a place: `/` gives 3.5 where the stride does not fit exactly. The kernel stands at whole places only.",
                "zh": "步幅除不尽时你返回了小数：`/` 会得到 3.5 这样的值。卷积核只能停在整数个位置上。",
            },
        ),
        Misconception(
            "one_added_before_dividing",
            """
def output_size(n, k, stride=1, padding=0):
    return (n + 2 * padding - k + 1) // stride
""",
            {
                "en": "Right for stride 1, one too few for larger strides: you add the 1 of the first place before you divide by the stride. Only the moves are divided.",
                "zh": "步幅为 1 时都对，步幅更大时少 1：起点的那个 1 你在除以步幅之前就加上了。要除以步幅的只有移动的距离。",
            },
        ),
        Misconception(
            "stride_ignored",
            """
def output_size(n, k, stride=1, padding=0):
    return n + 2 * padding - k + 1
""",
            {
                "en": "You get the size for stride 1 whatever the stride is.",
                "zh": "不管步幅是多少，你得到的总是步幅为 1 时的大小。",
            },
        ),
    ),
    hints=(
        {
            "en": "Think of the kernel's left edge. Where does it start (with padding, before the image), and how far may it go until the right edge touches the end?",
            "zh": "盯住卷积核的左边缘：它从哪里出发（有填充时在图像之外）？在右边缘碰到尽头之前，它最多能走多远？",
        },
        {
            "en": "How often does a step of `stride` fit into that distance? `//` is division rounded down.",
            "zh": "这段距离里放得下几个长为 `stride` 的步子？`//` 是向下取整的除法。",
        },
    ),
)


# --- 3 conv_layer -----------------------------------------------------------------------------------------------------


def draw_layer(rng: np.random.Generator, stride: int, padding: int) -> dict[str, Tree]:
    count, channels, filters = (int(rng.integers(2, 4)) for _ in range(3))
    filters += filters == channels  # so that swapping the two cannot go unnoticed
    height, h, w = int(rng.integers(6, 8)), *rng.permutation([2, 3]).tolist()
    weight = rng.choice([-3, -2, -1, 1, 2, 3], (filters, channels, h, w)).astype(np.float32)
    weight[:, :, 0, 0], weight[:, :, -1, -1] = 5, -4  # never the same turned by 180 degrees
    return {
        "x": whole(rng, count, channels, height, height + 2),
        "weight": weight,
        "bias": 100.0 * rng.permutation(np.arange(1, filters + 1)).astype(np.float32),
        "stride": stride,
        "padding": padding,
    }


def draw_channels(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_layer(rng, stride=1, padding=0)


def draw_stride_and_padding(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_layer(rng, stride=int(rng.integers(2, 4)), padding=int(rng.integers(1, 3)))


def layer_with(body: str) -> str:
    """A `conv_layer` whose patches `p` (N, C, rows, columns, h, w) and sums are right, but for what `body` changes."""
    return f"""
def conv_layer(x, weight, bias, stride=1, padding=0):
    h, w = weight.shape[2:]
    pad = (padding, padding, padding, padding)
    out_bias = bias[:, None, None]
{body}
"""


CONV_LAYER = Exercise(
    name="conv_layer",
    title={"en": "Several channels and filters", "zh": "多个通道与多个滤波器"},
    difficulty=3,
    minutes=25,
    draw={"channels and filters": draw_channels, "stride and padding": draw_stride_and_padding},
    groups={
        "channels and filters": {"zh": "多通道与多滤波器"},
        "stride and padding": {"zh": "步幅与填充"},
    },
    cases=2,
    rules=NO_CONVOLUTION,
    variants=(
        layer_with("""
    p = F.pad(x, pad).unfold(2, h, stride).unfold(3, w, stride)
    return torch.einsum("ncijhw,ochw->noij", p, weight) + out_bias
"""),
        layer_with("""
    x = F.pad(x, pad)
    maps = [
        [sum(single(x[n, c], weight[o, c])[::stride, ::stride] for c in range(x.shape[1])) + bias[o] for o in range(len(weight))]
        for n in range(len(x))
    ]
    return torch.stack([torch.stack(m) for m in maps])

def single(image, kernel):
    h, w = kernel.shape
    rows, columns = image.shape[0] - h + 1, image.shape[1] - w + 1
    return sum(kernel[u, v] * image[u : u + rows, v : v + columns] for u in range(h) for v in range(w))
"""),
        layer_with("""
    n, _, height, width = x.shape
    columns = F.unfold(x, (h, w), padding=padding, stride=stride)
    out = weight.flatten(1) @ columns + bias[:, None]
    return out.view(n, len(weight), (height + 2 * padding - h) // stride + 1, (width + 2 * padding - w) // stride + 1)
"""),
    ),
    misconceptions=(
        Misconception(
            "bias_forgotten",
            layer_with("""
    p = F.pad(x, pad).unfold(2, h, stride).unfold(3, w, stride)
    return torch.einsum("ncijhw,ochw->noij", p, weight)
"""),
            {
                "en": "Your maps are right up to a constant: the bias is missing. Each filter adds its own bias to its whole map.",
                "zh": "你的特征图只差一个常数：漏掉了偏置。每个滤波器要给自己的整张特征图加上自己的偏置。",
            },
        ),
        Misconception(
            "bias_once_a_channel",
            layer_with("""
    p = F.pad(x, pad).unfold(2, h, stride).unfold(3, w, stride)
    return torch.einsum("ncijhw,ochw->noij", p, weight) + x.shape[1] * out_bias
"""),
            {
                "en": "The bias has been added once for every input channel. It belongs to the filter, and is added once, after the channels have been summed.",
                "zh": "每个输入通道都加了一次偏置。偏置属于整个滤波器：把各通道求和之后，只加一次。",
            },
        ),
        Misconception(
            "only_last_channel",
            layer_with("""
    p = F.pad(x, pad).unfold(2, h, stride).unfold(3, w, stride)
    return torch.einsum("nijhw,ohw->noij", p[:, -1], weight[:, -1]) + out_bias
"""),
            {
                "en": "You get what the last input channel alone gives. Perhaps each channel overwrites the one before (`=` where `+=` is meant): the channels' results are added up.",
                "zh": "你的结果只来自最后一个输入通道。是不是后一个通道覆盖了前一个（该写 `+=` 的地方写成了 `=`）？各通道的结果要加起来。",
            },
        ),
        Misconception(
            "mean_over_channels",
            layer_with("""
    p = F.pad(x, pad).unfold(2, h, stride).unfold(3, w, stride)
    return torch.einsum("ncijhw,ochw->noij", p, weight) / x.shape[1] + out_bias
"""),
            {
                "en": "Without the bias your values are the right ones divided by the number of input channels: you take the mean over the channels. They are summed.",
                "zh": "不看偏置，你的数值恰好是正确值除以输入通道数：你对各通道取了平均，而这里应当求和。",
            },
        ),
        Misconception(
            "flipped_kernels",
            layer_with("""
    p = F.pad(x, pad).unfold(2, h, stride).unfold(3, w, stride)
    return torch.einsum("ncijhw,ochw->noij", p, weight.flip(2, 3)) + out_bias
"""),
            {
                "en": "You get exactly what kernels turned by 180 degrees give. Lay them on the image as they are, as in the first exercise.",
                "zh": "你的结果恰好等于把每个卷积核旋转 180 度之后的结果。和第一题一样，卷积核不要翻转。",
            },
        ),
        Misconception(
            "stride_ignored",
            layer_with("""
    p = F.pad(x, pad).unfold(2, h, 1).unfold(3, w, 1)
    return torch.einsum("ncijhw,ochw->noij", p, weight) + out_bias
"""),
            {
                "en": "Right for stride 1. With a larger stride you still stop at every pixel, so your maps are too large.",
                "zh": "步幅为 1 时都对。步幅更大时你仍然在每个像素上都停了一次，所以特征图太大。",
            },
        ),
        Misconception(
            "padding_left_and_right_only",
            layer_with("""
    p = F.pad(x, pad[:2]).unfold(2, h, stride).unfold(3, w, stride)
    return torch.einsum("ncijhw,ochw->noij", p, weight) + out_bias
"""),
            {
                "en": "You pad on the left and right but not above and below. `F.pad` counts from the last axis: two numbers are the width only, four are width and height.",
                "zh": "你只在左右两边做了填充，上下没有。`F.pad` 从最后一个轴数起：两个数只管宽，四个数才管宽和高。",
            },
        ),
        Misconception(
            "padding_ignored",
            layer_with("""
    p = x.unfold(2, h, stride).unfold(3, w, stride)
    return torch.einsum("ncijhw,ochw->noij", p, weight) + out_bias
"""),
            {
                "en": "Right without padding. With padding your result is the one of the bare image: no zeros have been put around it.",
                "zh": "没有填充时都对。有填充时你的结果仍然是原图的结果：图像四周没有补零。",
            },
        ),
    ),
    hints=(
        {
            "en": "Begin without stride and padding. Cut out the same piece of all images and all channels at once: `x[:, :, i : i + h, j : j + w]` has shape $(N, C, h, w)$.",
            "zh": "先不管步幅和填充。可以一次取出所有图像、所有通道的同一小块：`x[:, :, i : i + h, j : j + w]` 的形状是 $(N, C, h, w)$。",
        },
        {
            "en": "One place of the output, `out[:, :, i, j]`, has shape $(N, O)$: for each image and each filter, the sum over $c, h, w$ of piece times weights. `torch.einsum` says just that in one line; loops do as well.",
            "zh": "输出的一个位置 `out[:, :, i, j]` 形状为 $(N, O)$：对每张图、每个滤波器，把“小块乘权重”在 $c, h, w$ 上求和。`torch.einsum` 一行就能写出来，用循环也可以。",
        },
        {
            "en": "Padding: put the images into the middle of a larger tensor of zeros (or look up `F.pad`), then go on as before. Stride: place $i$ of the output belongs to row $i \\cdot$ `stride` of the padded image.",
            "zh": "填充：把图像放进一个更大的全零张量的中间（或查一查 `F.pad`），之后照旧。步幅：输出的第 $i$ 个位置对应填充后图像的第 $i \\cdot$ `stride` 行。",
        },
    ),
)


# --- 4 max_pool -------------------------------------------------------------------------------------------------------

# The lecture's two maps: filters 1 and 2 on the 6x6 image, stride 1.
LECTURE_MAPS = np.array(
    [
        [[3, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]],
        [[-1, -1, -1, -1], [-1, -1, -2, 1], [-1, -1, -2, 1], [-1, 0, -4, 3]],
    ],
    np.float32,
)


def draw_maps(rng: np.random.Generator, size: int, stride: int) -> dict[str, Tree]:
    """Maps of different values, mostly negative, in which one window more would stick out over the edge."""
    rows, columns = (stride * int(rng.integers(2, 4)) + size + 1 for _ in range(2))
    values = rng.permutation(2 * rows * columns).astype(np.float32).reshape(2, rows, columns)
    return {"maps": values - 1.8 * rows * columns, "size": size, "stride": stride}


def draw_tiles(rng: np.random.Generator) -> dict[str, Tree]:
    size = int(rng.integers(2, 4))
    return draw_maps(rng, size, size)


def draw_other_stride(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_maps(rng, *[(3, 2), (4, 2), (4, 3)][int(rng.integers(3))])


POOL_NAMES = ("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool2d", "max_pool2d_with_indices")

MAX_POOL = Exercise(
    name="max_pool",
    title={"en": "Max pooling", "zh": "最大汇聚（池化）"},
    difficulty=2,
    minutes=10,
    draw={"windows side by side": draw_tiles, "overlapping windows": draw_other_stride},
    groups={
        "windows side by side": {"zh": "窗口互不重叠"},
        "overlapping windows": {"zh": "窗口互相重叠"},
    },
    examples={"windows side by side": [{"maps": LECTURE_MAPS, "size": 2, "stride": 2}]},
    rules=Rules(
        forbid=(
            "coursekit.models",
            "coursekit.train",
            "torch.ops",
            "scipy",
            "torch.nn.MaxPool1d",
            "torch.nn.MaxPool2d",
            "torch.nn.MaxPool3d",
            "torch.nn.AdaptiveMaxPool2d",
            "torch.nn.FractionalMaxPool2d",
            *(f"torch.nn.functional.{name}" for name in POOL_NAMES),
            *(f"torch.{name}" for name in POOL_NAMES),
        )
    ),
    variants=(
        """
def max_pool(maps, size, stride):
    return maps.unfold(1, size, stride).unfold(2, size, stride).amax(dim=(3, 4))
""",
        """
def max_pool(maps, size, stride):
    channels, height, width = maps.shape
    rows, columns = (height - size) // stride + 1, (width - size) // stride + 1
    out = torch.full((channels, rows, columns), float("-inf"))
    for u in range(size):
        for v in range(size):
            shifted = maps[:, u : u + stride * (rows - 1) + 1 : stride, v : v + stride * (columns - 1) + 1 : stride]
            out = torch.maximum(out, shifted)
    return out
""",
        """
def max_pool(maps, size, stride):
    return torch.tensor([
        [
            [max(max(row[j : j + size]) for row in m[i : i + size]) for j in range(0, len(m[0]) - size + 1, stride)]
            for i in range(0, len(m) - size + 1, stride)
        ]
        for m in maps.tolist()
    ])
""",
    ),
    misconceptions=(
        Misconception(
            "mean_of_window",
            """
def max_pool(maps, size, stride):
    return maps.unfold(1, size, stride).unfold(2, size, stride).mean(dim=(3, 4))
""",
            {
                "en": "You get the mean of each window. That is average pooling; max pooling keeps the largest value alone.",
                "zh": "你得到的是每个窗口的平均值，那是平均汇聚；最大汇聚只保留最大的那个数。",
            },
        ),
        Misconception(
            "starts_from_zero",
            """
def max_pool(maps, size, stride):
    return maps.unfold(1, size, stride).unfold(2, size, stride).amax(dim=(3, 4)).clamp(min=0)
""",
            {
                "en": "Where a whole window is negative you get 0. Perhaps your search for the largest value starts from 0: start from the window's own values.",
                "zh": "当整个窗口都是负数时，你得到了 0。是不是从 0 开始找最大值？应当从窗口自己的数开始。",
            },
        ),
        Misconception(
            "stride_is_always_size",
            """
def max_pool(maps, size, stride):
    return maps.unfold(1, size, size).unfold(2, size, size).amax(dim=(3, 4))
""",
            {
                "en": "Right while the windows lie side by side. With another stride your windows still move on by their own size.",
                "zh": "窗口一个挨一个时都对。步幅与窗口大小不同时，你的窗口每次仍然移动整个窗口的长度。",
            },
        ),
        Misconception(
            "partial_windows_kept",
            """
def max_pool(maps, size, stride):
    _, height, width = maps.shape
    rows, columns = -(-(height - size) // stride) + 1, -(-(width - size) // stride) + 1
    tall, wide = (rows - 1) * stride + size - height, (columns - 1) * stride + size - width
    maps = F.pad(maps, (0, wide, 0, tall), value=float("-inf"))
    return maps.unfold(1, size, stride).unfold(2, size, stride).amax(dim=(3, 4))
""",
            {
                "en": "You have one row and one column too many: windows that stick out over the edge are counted. A window that does not fit is left out, as with the convolution.",
                "zh": "你多了一行和一列：超出边缘的窗口也被算进去了。放不下的窗口要舍去，和卷积一样。",
            },
        ),
        Misconception(
            "maximum_over_channels",
            """
def max_pool(maps, size, stride):
    return maps.amax(0).unfold(0, size, stride).unfold(1, size, stride).amax(dim=(2, 3))
""",
            {
                "en": "You take the largest value over all maps too, so that only one map is left. Each map is pooled by itself: as many maps come out as go in.",
                "zh": "你在各张特征图之间也取了最大值，最后只剩一张图。每张特征图各自汇聚：进来几张，出去就是几张。",
            },
        ),
        Misconception(
            "largest_magnitude",
            """
def max_pool(maps, size, stride):
    windows = maps.unfold(1, size, stride).unfold(2, size, stride).flatten(3)
    return windows.gather(3, windows.abs().argmax(3, keepdim=True)).squeeze(3)
""",
            {
                "en": "You keep the value farthest from 0, be it negative. The largest value is meant: 1 is larger than -3.",
                "zh": "你保留的是离 0 最远的数，哪怕它是负数。这里要的是最大的数：1 比 -3 大。",
            },
        ),
    ),
    hints=(
        {
            "en": "The loops are those of `conv2d`; only what happens in the window is another thing. How many windows there are, you know from `output_size`.",
            "zh": "循环和 `conv2d` 一样，只是窗口里做的事不同。有多少个窗口，`output_size` 已经告诉你了。",
        },
        {
            "en": "`t.amax(dim=(1, 2))` is the largest value over two axes at once, for every index of the others.",
            "zh": "`t.amax(dim=(1, 2))` 一次在两个轴上取最大值，其余的轴保留。",
        },
    ),
)


# --- 5 count_parameters -----------------------------------------------------------------------------------------------


def draw_sizes(rng: np.random.Generator) -> dict[str, Tree]:
    return {
        "c_in": int(rng.integers(2, 9)),
        "c_out": int(rng.integers(2, 17)),
        "k": 2 * int(rng.integers(1, 4)) + 1,
        "height": int(rng.integers(8, 20)),
        "width": int(rng.integers(20, 33)),
    }


def counting(convolution: str, dense: str) -> str:
    return f"""
def count_parameters(c_in, c_out, k, height, width):
    pixels = height * width
    return {convolution}, {dense}
"""


SHARED, DENSE = "c_out * (c_in * k * k + 1)", "c_out * pixels * (c_in * pixels + 1)"

COUNT_PARAMETERS = Exercise(
    name="count_parameters",
    title={"en": "What sharing saves", "zh": "参数共享省下了多少"},
    difficulty=2,
    minutes=10,
    draw=draw_sizes,
    examples={"": [{"c_in": 1, "c_out": 6, "k": 5, "height": 28, "width": 28}]},
    compare=Equal(),
    rules=Rules(),
    variants=(
        """
def count_parameters(c_in, c_out, k, height, width):
    def count(layer):
        return sum(p.numel() for p in layer.parameters())
    pixels = height * width
    return count(nn.Conv2d(c_in, c_out, k)), count(nn.Linear(c_in * pixels, c_out * pixels, device="meta"))
""",
        """
def count_parameters(c_in, c_out, k, height, width):
    inputs, outputs = c_in * height * width, c_out * height * width
    return [c_in * c_out * k**2 + c_out, inputs * outputs + outputs]
""",
    ),
    misconceptions=(
        Misconception(
            "biases_forgotten",
            counting("c_out * c_in * k * k", "c_out * pixels * c_in * pixels"),
            {
                "en": "Both of your numbers count the weights only. Each filter has a bias, and so has each output of the full connection.",
                "zh": "你的两个数都只数了权重。每个滤波器有一个偏置，全连接的每个输出也有一个偏置。",
            },
        ),
        Misconception(
            "filters_one_channel_deep",
            counting("c_out * (k * k + 1)", DENSE),
            {
                "en": "Your filters are one channel deep, as if all input channels used the same kernel. A filter has a kernel of its own for every input channel.",
                "zh": "你的滤波器只有一个通道深，好像所有输入通道共用一个卷积核。其实每个滤波器对每个输入通道都有自己的卷积核。",
            },
        ),
        Misconception(
            "bias_for_every_kernel",
            counting("c_out * c_in * (k * k + 1)", DENSE),
            {
                "en": "You give every kernel a bias. There is one bias a filter, however many input channels it has.",
                "zh": "你给每个卷积核都配了一个偏置。一个滤波器不管有多少个输入通道，都只有一个偏置。",
            },
        ),
        Misconception(
            "weights_not_shared",
            counting("c_out * pixels * (c_in * k * k + 1)", DENSE),
            {
                "en": "Your first number has new weights at every place of the output. A convolution uses the same weights at every place: the size of the image does not come in.",
                "zh": "你的第一个数给输出的每个位置都配了一套新权重。卷积在所有位置共用同一套权重：它与图像大小无关。",
            },
        ),
        Misconception(
            "dense_bias_for_every_map",
            counting(SHARED, "c_out * pixels * c_in * pixels + c_out"),
            {
                "en": "The convolution is right. The full connection has a bias for every output value, not for every map: nothing is shared there.",
                "zh": "卷积的数目对了。全连接里每个输出值都有自己的偏置，而不是每张图一个：那里没有任何共享。",
            },
        ),
        Misconception(
            "dense_to_one_value_a_map",
            counting(SHARED, "c_out * (c_in * pixels + 1)"),
            {
                "en": "The convolution is right. Your full connection has only `c_out` outputs; to stand in for the convolution it must give a value for every pixel of every output map.",
                "zh": "卷积的数目对了。你的全连接只有 `c_out` 个输出；要代替卷积，它必须给出每张输出图上每个像素的值。",
            },
        ),
        Misconception(
            "the_two_exchanged",
            counting(DENSE, SHARED),
            {
                "en": "Both numbers are right but in the wrong order: the convolution's comes first.",
                "zh": "两个数都对，但次序反了：卷积的在前。",
            },
        ),
    ),
    hints=(
        {
            "en": "One filter: how many weights has it, if it looks at `c_in` channels through a window of $k \\times k$? Then its bias. How many filters are there?",
            "zh": "先看一个滤波器：它透过 $k \\times k$ 的窗口看 `c_in` 个通道，有多少个权重？再加上偏置。一共有几个滤波器？",
        },
        {
            "en": "Full connection: flatten the input to `c_in * height * width` numbers. Every one of the `c_out * height * width` outputs has a weight for each of them, and a bias.",
            "zh": "全连接：把输入拉平成 `c_in * height * width` 个数。`c_out * height * width` 个输出里的每一个，对它们各有一个权重，再加一个偏置。",
        },
    ),
)


# --- 6 LeNet ----------------------------------------------------------------------------------------------------------


def draw_digits(rng: np.random.Generator) -> dict[str, Tree]:
    X = rng.standard_normal((3, 1, 28, 28)).astype(np.float32)
    return {"arguments": {}, "seed": int(rng.integers(2**31)), "X": X}


def lenet(
    forward: str = "return self.fc3(self.full(self.maps(X)))",
    padding: int = 2,
    padding2: int = 0,
    side: int = 5,
) -> str:
    """A LeNet that is right but for the arguments given."""
    return f"""
class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding={padding}), nn.Conv2d(6, 16, 5, padding={padding2})
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * {side} * {side}, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def maps(self, X):
        X = F.max_pool2d(F.relu(self.conv1(X)), 2)
        return F.max_pool2d(F.relu(self.conv2(X)), 2).flatten(1)

    def full(self, X):
        return F.relu(self.fc2(F.relu(self.fc1(X))))

    def forward(self, X):
        {forward}
"""


LENET = Exercise(
    name="LeNet",
    title={"en": "LeNet as a module", "zh": "把 LeNet 写成模块"},
    difficulty=2,
    minutes=20,
    draw=draw_digits,
    adaptor="module",
    cases=2,
    rules=Rules(forbid=("coursekit.models", "coursekit.train", "torchvision")),
    variants=(
        """
class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding="same"), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )

    def forward(self, X):
        return self.net(X)
""",
        """
class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.c, self.d, self.e = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, X):
        X = self.pool(self.a(F.pad(X, (2, 2, 2, 2)))).relu()  # ReLU after pooling gives the same
        X = self.pool(self.b(X)).relu()
        X = X.reshape(X.shape[0], -1)
        return self.e(torch.relu(self.d(torch.relu(self.c(X)))))
""",
    ),
    misconceptions=(
        Misconception(
            "first_layer_not_padded",
            lenet(padding=0, side=4),
            {
                "en": "Your first convolution has no padding: its maps are 24x24, and 16 maps of 4x4 are left before the full layers. With padding 2 they are 28x28, and 5x5 is left.",
                "zh": "你的第一个卷积层没有填充：特征图变成 24x24，到全连接层之前只剩 16 张 4x4 的图。填充为 2 时是 28x28，最后剩 5x5。",
            },
        ),
        Misconception(
            "second_layer_padded",
            lenet(padding2=2, side=7),
            {
                "en": "Your second convolution is padded as well, so that 16 maps of 7x7 are left before the full layers. LeNet pads only the first.",
                "zh": "你的第二个卷积层也做了填充，到全连接层之前剩下 16 张 7x7 的图。LeNet 只在第一层填充。",
            },
        ),
        Misconception(
            "no_relu_after_convolutions",
            lenet("""
        X = F.max_pool2d(self.conv1(X), 2)
        return self.fc3(self.full(F.max_pool2d(self.conv2(X), 2).flatten(1)))
"""),
            {
                "en": "You get what LeNet gives without the ReLU after its two convolutions.",
                "zh": "你的结果恰好是两个卷积层之后都没有 ReLU 的结果。",
            },
        ),
        Misconception(
            "no_relu_between_full_layers",
            lenet("return self.fc3(self.fc2(self.fc1(self.maps(X))))"),
            {
                "en": "You get what LeNet gives without ReLU between the full layers. Three linear maps in a row are no more than one.",
                "zh": "你的结果恰好是全连接层之间没有 ReLU 的结果。三个线性变换连在一起，仍然只是一个线性变换。",
            },
        ),
        Misconception(
            "relu_on_the_logits",
            lenet("return F.relu(self.fc3(self.full(self.maps(X))))"),
            {
                "en": "Your last layer is followed by a ReLU, so that no logit is negative. The ten scores go out as they are.",
                "zh": "你在最后一层之后也加了 ReLU，所以没有负的得分。最后的十个得分应当原样输出。",
            },
        ),
        Misconception(
            "softmax_inside",
            lenet("return F.softmax(self.fc3(self.full(self.maps(X))), dim=1)"),
            {
                "en": "Your outputs are probabilities: there is a softmax at the end. Return the logits; the cross entropy takes the softmax itself, and twice is once too often.",
                "zh": "你的输出是概率：末尾有一个 softmax。请直接返回 logits；交叉熵自己会做 softmax，做两次就多了一次。",
            },
        ),
        Misconception(
            "log_softmax_inside",
            lenet("return F.log_softmax(self.fc3(self.full(self.maps(X))), dim=1)"),
            {
                "en": "Your outputs are logarithms of probabilities: there is a log-softmax at the end. Return the logits as the last layer gives them.",
                "zh": "你的输出是概率的对数：末尾有一个 log-softmax。请返回最后一层给出的 logits。",
            },
        ),
        Misconception(
            "average_pooling",
            lenet("""
        X = F.avg_pool2d(F.relu(self.conv1(X)), 2)
        return self.fc3(self.full(F.avg_pool2d(F.relu(self.conv2(X)), 2).flatten(1)))
"""),
            {
                "en": "You get what average pooling gives. The LeNet of 1998 did something like it; ours keeps the maximum of each window.",
                "zh": "你的结果恰好是用平均汇聚得到的。1998 年的 LeNet 的确类似，但我们这里取每个窗口的最大值。",
            },
        ),
        Misconception(
            "tanh_instead_of_relu",
            lenet("""
        X = F.max_pool2d(torch.tanh(self.conv1(X)), 2)
        X = F.max_pool2d(torch.tanh(self.conv2(X)), 2).flatten(1)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(X)))))
"""),
            {
                "en": "You get what tanh gives as the activation. The LeNet of 1998 had it; ours has ReLU.",
                "zh": "你的结果恰好是用 tanh 作激活函数得到的。1998 年的 LeNet 用的是它，而这里用 ReLU。",
            },
        ),
    ),
    hints=(
        {
            "en": "Make the layers in `__init__`, in the order of the table, and call them in `forward`. Print `X.shape` after each step until it agrees with the table.",
            "zh": "在 `__init__` 里按表中的次序建好各层，在 `forward` 里依次调用。每一步之后打印 `X.shape`，直到与表中一致。",
        },
        {
            "en": "`X.flatten(1)` keeps the batch axis and makes one row of numbers of each image.",
            "zh": "`X.flatten(1)` 保留批量这个轴，把每张图拉成一行数。",
        },
    ),
)


# --- 7 train_step -----------------------------------------------------------------------------------------------------


def filled(model: nn.Sequential, rng: np.random.Generator) -> nn.Sequential:
    """The model with every parameter drawn from `rng`."""
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = max(1, parameter[0].numel()) if parameter.dim() > 1 else 4
            parameter.copy_(torch.from_numpy(rng.standard_normal(tuple(parameter.shape)) / fan_in**0.5))
    return model


def draw_training(rng: np.random.Generator, size: int, **settings: Tree) -> dict[str, Tree]:
    """A tiny convolutional net and `size` random images of three classes, each class there at least once."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3))
    return {
        "model": filled(model, rng),
        "X": rng.standard_normal((size, 1, 6, 6)).astype(np.float32),
        "y": rng.permutation(np.arange(size) % 3),
        "lr": round(float(rng.uniform(0.2, 0.5)), 2),
        **settings,
    }


def draw_one_step(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_training(rng, int(rng.integers(5, 8)), momentum=0.0, calls=1, rest=[])


def draw_several_steps(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_training(rng, int(rng.integers(5, 8)), momentum=0.5, calls=3, rest=[])


def step(
    *lines: str, logits: str = "model(X)", loss: str = "F.cross_entropy(logits, y)", back: str = "loss.item()"
) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f"""
def train_step(model, X, y, optimizer):
    logits = {logits}
    loss = {loss}
{body}
    return {back}
"""


ZERO, BACKWARD, UPDATE = "optimizer.zero_grad()", "loss.backward()", "optimizer.step()"

TRAIN_STEP = Exercise(
    name="train_step",
    title={"en": "One training step", "zh": "训练一步"},
    difficulty=2,
    minutes=15,
    draw={"one step": draw_one_step, "several steps": draw_several_steps},
    groups={
        "one step": {"zh": "一步"},
        "several steps": {"zh": "多步"},
    },
    adaptor="training_step",
    cases=2,
    rules=Rules(forbid=("coursekit.train",)),
    variants=(
        step(BACKWARD, UPDATE, ZERO),  # clearing at the end, for the next step
        """
def train_step(model, X, y, optimizer):
    for parameter in model.parameters():
        parameter.grad = None
    log_p = torch.log_softmax(model(X), dim=1)
    loss = -log_p[torch.arange(len(y)), y].mean()
    loss.backward()
    optimizer.step()
    return loss.item()
""",
        """
def train_step(model, X, y, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(X), y)
        loss.backward()
        return loss
    return optimizer.step(closure).item()
""",
    ),
    misconceptions=(
        Misconception(
            "gradients_pile_up",
            step(BACKWARD, UPDATE),
            {
                "en": "The first step is right, the following ones go wrong: the gradients of earlier steps are still there, and `backward` adds to them. They must be set to zero in every step.",
                "zh": "第一步是对的，后面的错了：前几步的梯度还留着，`backward` 会往上累加。每一步都要把梯度清零。",
            },
        ),
        Misconception(
            "softmax_before_loss",
            step(ZERO, BACKWARD, UPDATE, logits="model(X).softmax(dim=1)"),
            {
                "en": "You get exactly what a softmax before the cross entropy gives. `F.cross_entropy` takes the logits and does the softmax itself.",
                "zh": "你的结果恰好是在交叉熵之前先做了 softmax 的结果。`F.cross_entropy` 接收 logits，softmax 由它自己做。",
            },
        ),
        Misconception(
            "weights_never_change",
            step(BACKWARD, ZERO, UPDATE),
            {
                "en": "The loss is right but no weight changes. Either the optimizer is not asked for its step, or there is no gradient at that moment: not yet computed, or set to zero again.",
                "zh": "损失是对的，但权重一点没变。要么没有让优化器走一步，要么走的那一刻没有梯度：还没算出来，或者又被清零了。",
            },
        ),
        Misconception(
            "step_before_backward",
            step(UPDATE, ZERO, BACKWARD),
            {
                "en": "The optimizer takes its step before `backward`. The first time there is no gradient yet, so nothing changes; the second time PyTorch stops, because the weights have changed between the prediction and `backward`.",
                "zh": "优化器在 `backward` 之前就走了一步。第一次还没有梯度，所以什么都没变；第二次 PyTorch 会报错，因为权重在预测和 `backward` 之间被改动了。",
            },
        ),
        Misconception(
            "summed_loss",
            step(ZERO, BACKWARD, UPDATE, loss='F.cross_entropy(logits, y, reduction="sum")'),
            {
                "en": "Your loss is the sum over the batch, so steps grow with the size of the batch. The mean is meant, which is what `F.cross_entropy` gives by itself.",
                "zh": "你的损失是整个批量的总和，于是批量越大步子越大。这里要的是平均值，`F.cross_entropy` 默认给的就是它。",
            },
        ),
        Misconception(
            "loss_after_the_step",
            step(ZERO, BACKWARD, UPDATE, back="F.cross_entropy(model(X), y).item()"),
            {
                "en": "The weights are right, but the loss you return is computed anew after the update. Return the one that you differentiated.",
                "zh": "权重是对的，但你返回的损失是更新之后重新算的。请返回求导时用的那个损失。",
            },
        ),
        Misconception(
            "update_by_hand",
            """
def train_step(model, X, y, optimizer):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(X), y)
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= optimizer.param_groups[0]["lr"] * parameter.grad
    return loss.item()
""",
            {
                "en": "You take a plain gradient step yourself; this optimizer has momentum, which is lost so. Let the optimizer do the update.",
                "zh": "你自己做了最普通的梯度下降；而这个优化器带有动量，这样就丢掉了。更新请交给优化器来做。",
            },
        ),
    ),
    hints=(
        {
            "en": "Five things: clear the old gradients, logits, loss, gradients, update. The loss that you return is a plain number: `.item()`.",
            "zh": "一共五件事：清掉旧梯度、算 logits、算损失、算梯度、更新。返回的损失是一个普通的数：`.item()`。",
        },
        {
            "en": "`optimizer` has two methods for you, `zero_grad` and `step`; the loss has one, `backward`.",
            "zh": "`optimizer` 有两个方法可用：`zero_grad` 和 `step`；损失有一个：`backward`。",
        },
    ),
)


# --- 8 train_epoch ----------------------------------------------------------------------------------------------------


def draw_full_batches(rng: np.random.Generator) -> dict[str, Tree]:
    batch_size = int(rng.integers(4, 7))
    return draw_training(rng, 3 * batch_size, momentum=0.0, calls=1, rest=[batch_size])


def draw_smaller_last(rng: np.random.Generator) -> dict[str, Tree]:
    batch_size = int(rng.integers(5, 8))
    size = 2 * batch_size + int(rng.integers(2, batch_size - 1))
    return draw_training(rng, size, momentum=0.0, calls=1, rest=[batch_size])


def epoch(body: str, before: str = "") -> str:
    return f"""
{before}
def train_epoch(model, X, y, optimizer, batch_size):
    total = 0.0
    starts = range(0, len(X), batch_size)
{body}
"""


TRAIN_EPOCH = Exercise(
    name="train_epoch",
    title={"en": "One epoch", "zh": "训练一轮"},
    difficulty=2,
    minutes=10,
    draw={"full batches": draw_full_batches, "a smaller last batch": draw_smaller_last},
    groups={
        "full batches": {"zh": "批量都是满的"},
        "a smaller last batch": {"zh": "最后一批较小"},
    },
    adaptor="training_step",
    cases=2,
    rules=Rules(forbid=("coursekit.train",)),
    needs=("train_step",),
    variants=(
        """
def train_epoch(model, X, y, optimizer, batch_size):
    pairs = zip(X.split(batch_size), y.split(batch_size))
    return sum(train_step(model, a, b, optimizer) * len(b) for a, b in pairs) / len(y)
""",
        """
def train_epoch(model, X, y, optimizer, batch_size):
    losses = []
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), batch_size=batch_size)
    for images, labels in loader:
        optimizer.zero_grad()
        each = F.cross_entropy(model(images), labels, reduction="none")
        each.mean().backward()
        optimizer.step()
        losses.append(each.detach())
    return torch.cat(losses).mean()
""",
    ),
    misconceptions=(
        Misconception(
            "last_batch_dropped",
            epoch("""
    whole = len(X) // batch_size * batch_size
    for i in range(0, whole, batch_size):
        total += train_step(model, X[i : i + batch_size], y[i : i + batch_size], optimizer) * batch_size
    return total / whole
"""),
            {
                "en": "Right while the batches fit exactly. Otherwise the images left over at the end are not used: they make a last, smaller batch.",
                "zh": "正好分完时都对。分不完时，末尾剩下的图像没有用上：它们应当组成最后一个较小的批量。",
            },
        ),
        Misconception(
            "mean_of_batch_means",
            epoch("""
    for i in starts:
        total += train_step(model, X[i : i + batch_size], y[i : i + batch_size], optimizer)
    return total / len(starts)
"""),
            {
                "en": "The weights are right. The loss is the mean of the batches' means, so the images of a small last batch count for more than the others. Weight each batch by its size.",
                "zh": "权重是对的。但返回的损失是各批量平均值的平均，最后那个小批量里的图像就占了更大的份量。请按批量大小加权。",
            },
        ),
        Misconception(
            "divided_by_images_only",
            epoch("""
    for i in starts:
        total += train_step(model, X[i : i + batch_size], y[i : i + batch_size], optimizer)
    return total / len(X)
"""),
            {
                "en": "The loss you return is far too small: you add one mean a batch but divide by the number of images. Either multiply each mean by the size of its batch, or add up the loss of every image.",
                "zh": "返回的损失小得多：你每个批量只加了一个平均值，却除以了图像总数。请把每个平均值乘以该批量的大小之后再加。",
            },
        ),
        Misconception(
            "sum_of_batch_means",
            epoch("""
    for i in starts:
        total += train_step(model, X[i : i + batch_size], y[i : i + batch_size], optimizer)
    return total
"""),
            {
                "en": "You return the sum of the batches' losses. The mean over all images is asked for.",
                "zh": "你返回的是各批量损失之和。题目要的是所有图像上的平均损失。",
            },
        ),
        Misconception(
            "loss_of_last_batch",
            epoch("""
    for i in starts:
        loss = train_step(model, X[i : i + batch_size], y[i : i + batch_size], optimizer)
    return loss
"""),
            {
                "en": "The weights are right, but you return the loss of the last batch alone. The mean over the whole epoch is asked for.",
                "zh": "权重是对的，但你只返回了最后一个批量的损失。题目要的是整轮的平均损失。",
            },
        ),
        Misconception(
            "one_big_batch",
            epoch("""
    return train_step(model, X, y, optimizer)
"""),
            {
                "en": "You take a single step on all images at once. `batch_size` images make one step.",
                "zh": "你把所有图像放在一起只走了一步。应当每 `batch_size` 张图像走一步。",
            },
        ),
        Misconception(
            "first_batch_again_and_again",
            epoch("""
    for i in starts:
        total += train_step(model, X[:batch_size], y[:batch_size], optimizer) * min(batch_size, len(X) - i)
    return total / len(X)
"""),
            {
                "en": "Every step sees the first batch. The slice has to move on with the loop.",
                "zh": "每一步用的都是第一个批量。切片的位置要随着循环往后移。",
            },
        ),
        Misconception(
            "shuffled",
            epoch("""
    order = torch.randperm(len(X))
    for i in starts:
        batch = order[i : i + batch_size]
        total += train_step(model, X[batch], y[batch], optimizer) * len(batch)
    return total / len(X)
"""),
            {
                "en": "You shuffle the images. In real training that is right; in this exercise the order stays as it is, so that your result can be compared.",
                "zh": "你打乱了图像的次序。真正训练时应该这样做；但本题要保持原来的次序，这样结果才能比较。",
            },
        ),
        Misconception(
            "gradients_pile_up",
            epoch(
                """
    for i in starts:
        total += piling_step(model, X[i : i + batch_size], y[i : i + batch_size], optimizer) * len(X[i : i + batch_size])
    return total / len(X)
""",
                step(BACKWARD, UPDATE).replace("train_step", "piling_step"),
            ),
            {
                "en": "You get what steps give that never clear the gradients. The epoch is right; look at your `train_step` once more.",
                "zh": "你的结果恰好是各步都没有清零梯度的结果。这一轮的写法没问题，请回头看看你的 `train_step`。",
            },
        ),
    ),
    hints=(
        {
            "en": "`X[i : i + batch_size]` is one batch; a slice that reaches beyond the end stops at the end, which takes care of the smaller last batch.",
            "zh": "`X[i : i + batch_size]` 就是一个批量；切片超出末尾时会自动停在末尾，最后那个小批量也就处理好了。",
        },
        {
            "en": "`train_step` gives the mean over its batch. Times the number of images in the batch it is their sum; divide the sum of all by the number of all.",
            "zh": "`train_step` 给出的是批量内的平均值。乘以批量中的图像数就是总和；把所有总和加起来，再除以图像总数。",
        },
    ),
)


# --- 9 train_lenet ----------------------------------------------------------------------------------------------------

DIGITS_A_SET = 120  # as uint8 images they stay under 100 kB


@cache
def digits(part: str) -> Split:
    with contextlib.redirect_stdout(io.StringIO()):
        return getattr(load("mnist_5k"), part)


def draw_moved(rng: np.random.Generator, part: str) -> dict[str, Tree]:
    """Digits moved by up to 2 pixels and turned by up to 10 degrees: no picture that could be looked up."""
    split = digits(part)
    chosen = torch.from_numpy(rng.choice(len(split.y), DIGITS_A_SET, replace=False))
    angle = torch.from_numpy(rng.uniform(-math.pi / 18, math.pi / 18, DIGITS_A_SET)).float()
    move = torch.from_numpy(
        rng.integers(-2, 3, (DIGITS_A_SET, 2)) / 14
    ).float()  # 14 pixels are 1 in the grid's units
    cos, sin = angle.cos(), angle.sin()
    theta = torch.stack([torch.stack([cos, -sin, move[:, 0]], 1), torch.stack([sin, cos, move[:, 1]], 1)], 1)
    pixels = split.images[chosen].float().unsqueeze(1)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, align_corners=False).squeeze(1)
    return {"X": moved.round().to(torch.uint8), "y": split.y[chosen]}


def draw_public(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_moved(rng, "val")


def draw_held_out(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_moved(rng, "test")


TRAIN_LENET = Exercise(
    name="train_lenet",
    object="model",
    title={"en": "Training LeNet", "zh": "训练 LeNet"},
    difficulty=2,
    minutes=20,
    draw=draw_public,
    draw_hidden=draw_held_out,
    answer="y",
    cases=1,
    adaptor="prediction",
    options={"mean": 0.1307, "std": 0.3081},
    compare=Accuracy(floor=0.70, threshold=0.87),
    rules=Rules(forbid=("coursekit.models", "torchvision.models")),
    needs=("LeNet",),
    variants=(
        """
model = LeNet()
fit(model, data, epochs=6, lr=0.003, batch_size=64, augment="shift")
""",
        """
torch.manual_seed(1)
model = LeNet()
optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
for _ in range(6):
    for batch in torch.randperm(len(data.train.X)).split(32):
        moved = data.train.X[batch].roll(torch.randint(-2, 3, (2,)).tolist(), (2, 3))
        optimizer.zero_grad()
        F.cross_entropy(model(moved), data.train.y[batch]).backward()
        optimizer.step()
""",
    ),
    misconceptions=(
        Misconception(
            "diverged",
            """
model = LeNet()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.fill_(float("nan"))
""",
            {
                "en": "The scores are not numbers any more (NaN): the training has diverged. A smaller learning rate usually cures it.",
                "zh": "得分已经不是数了（NaN）：训练发散了。通常把学习率调小就好。",
            },
            symptom="not_finite",
        ),
        Misconception(
            "not_trained",
            """
torch.manual_seed(0)
model = LeNet()
with torch.no_grad():
    model.fc3.weight.mul_(0.01)
""",
            {
                "en": "Nearly all digits are called the same: so does a network that has not been trained, or one whose learning rate was so high that all its ReLUs have died. Has `fit` run on this very `model`?",
                "zh": "几乎所有数字都被判成同一类：没有训练过的网络就是这样；学习率太大、ReLU 全部“死掉”的网络也是这样。`fit` 训练的确实是这个 `model` 吗？",
            },
            symptom="one_class",
        ),
        Misconception(
            "learned_nothing",
            """
class Guess(LeNet):
    def forward(self, X):
        return torch.randn(len(X), 10, generator=torch.Generator().manual_seed(1))
model = Guess()
""",
            {
                "en": "The predictions are spread over the classes but no better than guessing. Did images and labels stay together (shuffled alike)? Was `model` made anew after the training?",
                "zh": "预测分散在各个类别，但和瞎猜差不多。图像和标签是否一一对应（一起打乱）？训练之后是不是又新建了 `model`？",
            },
            symptom="chance",
        ),
        Misconception(
            "labels_off_by_one",
            """
torch.manual_seed(0)
model = LeNet()
optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
for _ in range(3):
    for batch in torch.randperm(len(data.train.X)).split(32):
        optimizer.zero_grad()
        F.cross_entropy(model(data.train.X[batch]), (data.train.y[batch] + 1) % 10).backward()
        optimizer.step()
""",
            {
                "en": "Your model reads the digits well, but its classes are shifted against the labels by a constant. The label of a digit is the digit itself, 0 to 9.",
                "zh": "你的模型认得很准，但类别和标签整体错开了一个常数。数字是几，标签就是几，从 0 到 9。",
            },
            symptom="shifted_labels",
        ),
        Misconception(
            "trained_too_little",
            """
torch.manual_seed(0)
model = LeNet()
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
for i in range(0, 1600, 32):
    optimizer.zero_grad()
    F.cross_entropy(model(data.train.X[i : i + 32]), data.train.y[i : i + 32]).backward()
    optimizer.step()
""",
            {
                "en": "Your model has learned something, but not enough. Look at the curves: if the loss is still falling, train for more epochs or with a larger learning rate; if training is far better than validation, try `augment`.",
                "zh": "你的模型学到了一些，但还不够。看看曲线：如果损失还在下降，就多训练几轮或调大学习率；如果训练集上远好于验证集，试试 `augment`。",
            },
            symptom="below",
        ),
    ),
    hints=(
        {
            "en": '`fit(model, data, epochs=..., lr=..., save="lenet")` returns a `History`. Try `lr=0.002` and ten epochs, then look at the curves.',
            "zh": '`fit(model, data, epochs=..., lr=..., save="lenet")` 返回一个 `History`。先试 `lr=0.002`、十轮，再看曲线。',
        },
        {
            "en": 'The digits of the check are moved and turned a little. `augment="shift"` or `augment="affine"` does the same to the training images, anew in every epoch.',
            "zh": '检查所用的数字都被稍微平移、旋转过。`augment="shift"` 或 `augment="affine"` 会在每一轮里对训练图像做类似的变化。',
        },
    ),
)


# --- 10 feature_maps --------------------------------------------------------------------------------------------------


def draw_layers(rng: np.random.Generator, depth: int) -> dict[str, Tree]:
    """A small net and an image; at the ReLU before `depth` some values are cut off and some are not."""
    while True:
        layers = filled(
            nn.Sequential(
                nn.Conv2d(1, 3, 3),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(3, 2, 2),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(18, 4),
            ),
            rng,
        )
        image = rng.standard_normal((1, 10, 10)).astype(np.float32)
        with torch.no_grad():
            before = layers[: depth - 1](torch.from_numpy(image)[None])
        if (before < -0.1).any() and (before > 0.1).any():
            return {"layers": layers, "image": image, "depth": depth}


def draw_first(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_layers(rng, 2)


def draw_second(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_layers(rng, 5)


def maps(result: str) -> str:
    return f"""
def feature_maps(layers, image, depth=2):
    with torch.no_grad():
        return {result}
"""


FEATURE_MAPS = Exercise(
    name="feature_maps",
    title={"en": "Feature maps", "zh": "特征图"},
    difficulty=2,
    minutes=10,
    draw={"first convolution": draw_first, "second convolution": draw_second},
    groups={
        "first convolution": {"zh": "第一个卷积层"},
        "second convolution": {"zh": "第二个卷积层"},
    },
    cases=2,
    rules=Rules(),
    variants=(
        """
def feature_maps(layers, image, depth=2):
    X = image[None]
    for layer in list(layers)[:depth]:
        X = layer(X)
    return X[0].detach()
""",
        """
def feature_maps(layers, image, depth=2):
    seen = []
    handle = layers[depth - 1].register_forward_hook(lambda layer, inputs, output: seen.append(output.detach()))
    layers(image.unsqueeze(0))
    handle.remove()
    return seen[0].squeeze(0)
""",
    ),
    misconceptions=(
        Misconception(
            "one_layer_short",
            maps("layers[: depth - 1](image[None])[0]"),
            {
                "en": "You stop one layer early: your maps are those before the ReLU, and some of their values are negative.",
                "zh": "你少走了一层：得到的是 ReLU 之前的图，其中还有负数。",
            },
        ),
        Misconception(
            "one_layer_too_many",
            maps("layers[: depth + 1](image[None])[0]"),
            {
                "en": "You go one layer too far. `depth` counts layers, and layers are numbered from 0: the last one used is number `depth - 1`.",
                "zh": "你多走了一层。`depth` 是层数，而层的编号从 0 开始：最后用到的是第 `depth - 1` 号。",
            },
        ),
        Misconception(
            "batch_axis_kept",
            maps("layers[:depth](image[None])"),
            {
                "en": "The values are right, but the batch axis is still there: (1, channels, height, width). One image went in, so its maps come out as (channels, height, width).",
                "zh": "数值都对，但批量那个轴还在：（1，通道，高，宽）。输入是一张图，输出应为（通道，高，宽）。",
            },
        ),
        Misconception(
            "whole_network",
            maps("layers(image[None])[0]"),
            {
                "en": "These are the logits at the end of the network. Only the first `depth` layers are wanted.",
                "zh": "这是整个网络末端的 logits。题目只要前 `depth` 层的输出。",
            },
        ),
        Misconception(
            "first_map_only",
            maps("layers[:depth](image[None])[0, 0]"),
            {
                "en": "You return the first map only. Each filter makes a map, and all of them are wanted.",
                "zh": "你只返回了第一张特征图。每个滤波器都产生一张图，全部都要。",
            },
        ),
    ),
    hints=(
        {
            "en": "A slice of an `nn.Sequential` is an `nn.Sequential` again: `layers[:3]`. A loop over `layers` works as well.",
            "zh": "对 `nn.Sequential` 做切片，得到的还是 `nn.Sequential`：`layers[:3]`。也可以对 `layers` 写循环。",
        },
        {
            "en": "Networks take batches. `image.unsqueeze(0)` makes a batch of one; `[0]` takes the one out again. Inside `with torch.no_grad():` no gradients are kept.",
            "zh": "网络接收的是批量。`image.unsqueeze(0)` 做成只有一张图的批量，`[0]` 再把它取出来。写在 `with torch.no_grad():` 里就不会记录梯度。",
        },
    ),
)


# --- 11 shift ---------------------------------------------------------------------------------------------------------


def draw_shift(rng: np.random.Generator, dx: int, dy: int) -> dict[str, Tree]:
    height = int(rng.integers(6, 8))
    fill = -6.0 - 0.25 * int(rng.integers(1, 8))  # not among the pixels
    return {"images": whole(rng, 2, 1, height, height + 2), "dx": dx, "dy": dy, "fill": fill}


def draw_right_down(rng: np.random.Generator) -> dict[str, Tree]:
    dx, dy = rng.permutation([1, 2, 3])[:2].tolist()
    return draw_shift(rng, dx, dy)


def draw_left_up(rng: np.random.Generator) -> dict[str, Tree]:
    dx, dy = rng.permutation([1, 2, 3])[:2].tolist()
    return draw_shift(rng, -dx, -dy)


def draw_left(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_shift(rng, -int(rng.integers(1, 4)), 0)


def draw_up(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_shift(rng, 0, -int(rng.integers(1, 4)))


SHIFT = Exercise(
    name="shift",
    title={"en": "Moving a picture", "zh": "平移图像"},
    difficulty=2,
    minutes=15,
    draw={"right and down": draw_right_down, "left and up": draw_left_up, "left": draw_left, "up": draw_up},
    groups={
        "right and down": {"zh": "向右和向下"},
        "left and up": {"zh": "向左和向上"},
        "left": {"zh": "向左"},
        "up": {"zh": "向上"},
    },
    cases=2,
    rules=Rules(forbid=("coursekit.train", "torchvision", "scipy")),
    variants=(
        """
def shift(images, dx, dy, fill=0.0):
    return F.pad(images, (dx, -dx, dy, -dy), value=fill)
""",
        """
def shift(images, dx, dy, fill=0.0):
    out = images.roll((dy, dx), dims=(-2, -1))
    if dy > 0: out[..., :dy, :] = fill
    if dy < 0: out[..., dy:, :] = fill
    if dx > 0: out[..., :dx] = fill
    if dx < 0: out[..., dx:] = fill
    return out
""",
        """
def shift(images, dx, dy, fill=0.0):
    height, width = images.shape[-2:]
    out = torch.full(images.shape, fill)
    for i in range(height):
        for j in range(width):
            if 0 <= i - dy < height and 0 <= j - dx < width:
                out[..., i, j] = images[..., i - dy, j - dx]
    return out
""",
    ),
    misconceptions=(
        Misconception(
            "wraps_around",
            """
def shift(images, dx, dy, fill=0.0):
    return images.roll((dy, dx), dims=(-2, -1))
""",
            {
                "en": "What leaves the picture on one side comes in again on the other: `roll` moves in a circle. The pixels that become free take the value `fill`.",
                "zh": "从一边移出去的像素又从另一边回来了：`roll` 是循环移动。空出来的像素应填上 `fill`。",
            },
        ),
        Misconception(
            "axes_swapped",
            """
def shift(images, dx, dy, fill=0.0):
    return F.pad(images, (dy, -dy, dx, -dx), value=fill)
""",
            {
                "en": "`dx` moves your picture down and `dy` to the right. The last axis is the width (to the right), the one before it the height (down).",
                "zh": "你的 `dx` 让图像上下移动，`dy` 让它左右移动。最后一个轴是宽（向右），倒数第二个轴是高（向下）。",
            },
        ),
        Misconception(
            "opposite_direction",
            """
def shift(images, dx, dy, fill=0.0):
    return F.pad(images, (-dx, dx, -dy, dy), value=fill)
""",
            {
                "en": "Your picture moves the opposite way. A positive `dx` moves it to the right: what was in column 0 is then in column `dx`.",
                "zh": "你的图像移动的方向反了。`dx` 为正表示向右移：原来第 0 列的内容移到第 `dx` 列。",
            },
        ),
        Misconception(
            "filled_with_zero",
            """
def shift(images, dx, dy, fill=0.0):
    return F.pad(images, (dx, -dx, dy, -dy))
""",
            {
                "en": "The picture moves correctly, but what becomes free is 0 instead of `fill`. In normalised digits 0 is a grey; black is -0.42.",
                "zh": "移动是对的，但空出来的地方填成了 0，而不是 `fill`。在归一化后的数字图像里，0 是灰色，黑色是 -0.42。",
            },
        ),
        Misconception(
            "edge_repeated",
            """
def shift(images, dx, dy, fill=0.0):
    height, width = images.shape[-2:]
    rows = (torch.arange(height) - dy).clamp(0, height - 1)
    columns = (torch.arange(width) - dx).clamp(0, width - 1)
    return images[..., rows, :][..., columns]
""",
            {
                "en": "What becomes free repeats the edge of the picture. It should take the value `fill`.",
                "zh": "空出来的地方重复了图像的边缘。那里应填上 `fill`。",
            },
        ),
        Misconception(
            "only_right_and_down",
            """
def shift(images, dx, dy, fill=0.0):
    return F.pad(images, (max(dx, 0), -max(dx, 0), max(dy, 0), -max(dy, 0)), value=fill)
""",
            {
                "en": "Right and down work; a negative `dx` or `dy` moves nothing. Negative numbers mean left and up.",
                "zh": "向右、向下都对；`dx` 或 `dy` 为负时图像没有动。负数表示向左、向上。",
            },
        ),
    ),
    hints=(
        {
            "en": "Make a tensor full of `fill` with `torch.full_like`, and copy into it the part of the picture that stays visible.",
            "zh": "先用 `torch.full_like` 建一个填满 `fill` 的张量，再把仍然看得见的那部分图像复制进去。",
        },
        {
            "en": "For `dx = 2` columns 0 to width - 3 go to columns 2 to width - 1. Write down the same for `dx = -2`, and mind `dx = 0`: the slice `[:-0]` is empty.",
            "zh": "`dx = 2` 时，第 0 到 width - 3 列移到第 2 到 width - 1 列。`dx = -2` 时呢？另外注意 `dx = 0`：切片 `[:-0]` 是空的。",
        },
        {
            "en": "`max(dx, 0)` and `min(dx, 0)` save you the cases: the target columns are `max(dx, 0) : width + min(dx, 0)`.",
            "zh": "`max(dx, 0)` 和 `min(dx, 0)` 可以省去分情况讨论：目标列是 `max(dx, 0) : width + min(dx, 0)`。",
        },
    ),
)


EXERCISES = [
    CONV2D,
    OUTPUT_SIZE,
    CONV_LAYER,
    MAX_POOL,
    COUNT_PARAMETERS,
    LENET,
    TRAIN_STEP,
    TRAIN_EPOCH,
    TRAIN_LENET,
    FEATURE_MAPS,
    SHIFT,
]
