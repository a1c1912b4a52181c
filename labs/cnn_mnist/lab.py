# %% [markdown] lang="en"
# # Convolutional networks: reading handwritten digits
#
# Is this a 3 or a 5? You see it at a glance. In this lab you teach a computer to see it: you begin with one small filter that slides
# over one picture, add channels, pooling and layers until LeNet stands before you, train it, and then look inside it.
#
# **When you are through, you can**
#
# - work out a convolution by hand, with stride, padding and several channels, and say how large the result is;
# - explain what pooling does, and how many parameters sharing saves;
# - write LeNet as a PyTorch module, and one step and one epoch of its training;
# - read filters and feature maps, and show on data why a convolutional network suits pictures.
#
# **Time:** two to three hours. **Points:** 30, in eleven programming exercises and one written answer.
#
# Each exercise has a cell to fill in and a cell that checks it. Run the check as often as you like: it tells you at once what is right,
# what was expected, and often which slip leads to just your result. A smaller part of the points is for this check, the rest for the same
# check on inputs that are drawn when the lab is graded. The lines marked *lecture* use the figures of the lecture.

# %% [markdown] lang="zh"
# # 卷积神经网络：识别手写数字
#
# 这是 3 还是 5？你一眼就能看出来。这个实验要教计算机也看出来：先让一个小小的滤波器在一张图上滑动，再加上通道、汇聚和更多的层，
# 直到搭出 LeNet；然后训练它，最后看看它里面学到了什么。
#
# **学完之后，你能够**
#
# - 动手算卷积（包括步幅、填充和多个通道），并说出输出有多大；
# - 说明汇聚（池化）的作用，以及参数共享省下了多少参数；
# - 用 PyTorch 把 LeNet 写成模块，并亲手写出训练的一步和一轮；
# - 看懂滤波器和特征图，用数据说明卷积网络为什么适合图像。
#
# **用时：** 两到三个小时。**分值：** 30 分，十一道编程练习，一道书面题。
#
# 每道练习有一个要填写的单元格和一个检查单元格。检查可以反复运行：它会马上告诉你哪里对了、应该得到什么，往往还能指出是哪个错误
# 造成了你的结果。一部分分数来自这次检查，其余分数来自批改时的同样检查，只是输入会重新抽取。标有“课上的例子”的地方，用的是课堂上的图和数。

# %% setup=true
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from coursekit import plot
from coursekit.check import open_lab
from coursekit.data import load
from coursekit.models import get_model
from coursekit.train import evaluate, fit, predict

check = open_lab("cnn_mnist")
data = load("mnist_5k")

# %% [markdown] lang="en"
# ## 1 Why convolution?
#
# The data are 5,000 digits written by hand, grey pictures of 28 x 28 pixels. `data.train.X` holds the training pictures as a tensor of
# shape (number, channels, height, width), `data.train.y` their classes.

# %% [markdown] lang="zh"
# ## 1 为什么要用卷积？
#
# 数据是 5,000 个手写数字，都是 28 x 28 像素的灰度图。`data.train.X` 是训练图像，形状为（张数，通道，高，宽）；
# `data.train.y` 是它们的类别。

# %%
print(data)
plot.images(data.train, n=10, columns=10)

# %% [markdown] lang="en"
# A full connection would give every pixel a weight of its own for every unit, as if pixels had nothing to do with their neighbours.
# The lecture names three things about pictures that one can do better with:
#
# 1. **The pattern is small.** To find the hook at the top of a 5 you need a few pixels, not the whole picture.
# 2. **The same pattern turns up in different places.** Whoever can find a hook in the upper left can find it in the lower right, with
#    the same weights.
# 3. **Making the picture smaller leaves the object what it is.** A 5 of half the size is still a 5.
#
# The first two lead to convolution, the third to pooling. We build them in this order.

# %% [markdown] lang="zh"
# 如果用全连接，每个单元对每个像素都有一个单独的权重，好像像素与它的邻居毫无关系。课上讲过图像的三个特点，可以让我们做得更好：
#
# 1. **模式很小。** 要找到 5 顶上的那个弯钩，只需要看几个像素，不用看整张图。
# 2. **同样的模式会出现在不同的位置。** 能在左上角找到弯钩，就能用同一组权重在右下角找到它。
# 3. **把图像缩小，物体还是那个物体。** 缩小一半的 5 仍然是 5。
#
# 前两点引出卷积，第三点引出汇聚。我们就按这个次序来搭。

# %% [markdown] lang="en"
# ## 2 Convolution by hand
#
# A **kernel** (or filter) is a small table of weights. Lay it on the picture, multiply the numbers that lie on top of each other, and add
# the products up: that gives one number of the output. Then move the kernel on by one pixel.
#
# $$\text{out}_{ij} = \sum_{u,v} \text{image}_{i+u,\,j+v}\;\text{kernel}_{uv}$$
#
# *Lecture:* below, filter 1 slides over a 6 x 6 picture. It has 1 on the diagonal and -1 elsewhere: the output is 3, its largest possible
# value, exactly where the picture has a stroke from the upper left to the lower right. A kernel is a detector.

# %% [markdown] lang="zh"
# ## 2 动手写卷积
#
# **卷积核**（也叫滤波器）是一张小小的权重表。把它盖在图像上，对应位置上的数相乘，再把乘积加起来，就得到输出里的一个数；
# 然后把卷积核移动一个像素。
#
# $$\text{out}_{ij} = \sum_{u,v} \text{image}_{i+u,\,j+v}\;\text{kernel}_{uv}$$
#
# *课上的例子：* 下图中，滤波器 1 在一张 6 x 6 的图上滑动。它的对角线上是 1，其余是 -1：图像里哪里有一条从左上到右下的斜线，哪里的输出就是 3，
# 也就是它能达到的最大值。卷积核就是一个检测器。

# %%
lecture_image = torch.tensor(
    [
        [1, 0, 0, 0, 0, 1],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 1, 0, 0],
        [1, 0, 0, 0, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 0, 1, 0],
    ]
).float()
filter_1 = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]])
filter_2 = torch.tensor([[-1.0, 1, -1], [-1, 1, -1], [-1, 1, -1]])
lecture_map = torch.tensor([[3.0, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]])


def show_numbers(ax, table, title="", known=None, window=None):
    """A table of numbers, of which the first `known` are filled in; a `window` (row, column, size) is framed."""
    places = torch.arange(table.numel()).view(table.shape)
    seen = table if known is None else table.where(places < known, torch.nan)
    ax.imshow(seen, cmap="Blues", vmin=table.min(), vmax=table.max() * 1.6)
    for place, value in enumerate(table.flatten().tolist()[:known]):
        ax.text(place % table.shape[1], place // table.shape[1], f"{value:g}", ha="center", va="center")
    if window:
        row, column, size = window
        ax.add_patch(
            plt.Rectangle((column - 0.5, row - 0.5), size, size, fill=False, color="tab:orange", lw=3)
        )
    ax.set(xticks=[], yticks=[], title=title)


_, axes = plt.subplots(2, 5, figsize=(11, 4.8))
show_numbers(axes[0, 0], filter_1, "filter 1")
axes[1, 0].axis("off")
for film, place in zip(axes.T[1:], [0, 1, 2, 15], strict=True):
    show_numbers(
        film[0], lecture_image, f"place ({place // 4}, {place % 4})", window=(place // 4, place % 4, 3)
    )
    show_numbers(film[1], lecture_map, "output", known=place + 1, window=(place // 4, place % 4, 1))

# %% [markdown] lang="en" about="conv2d"
# Write `conv2d(image, kernel)` for one picture and one kernel. The kernel moves by one pixel at a time and stays inside the picture.
# Picture and kernel need not be square. PyTorch's own convolutions are locked away for this exercise; loops are welcome.
#
# *Lecture:* the check begins with a 5 x 5 picture, rows `11100 01110 00111 00110 01100`, and the kernel `101 010 101`, whose result is
# `[[4, 3, 4], [2, 4, 3], [2, 3, 4]]`; then come both filters on the 6 x 6 picture above.
#
# One thing to know: in mathematics, a convolution turns the kernel by 180 degrees first. Deep learning leaves it as it is (the exact name is
# *cross-correlation*), and says "convolution" all the same. The lecture's filters look the same when turned, so they cannot show the difference.
# The check uses others.

# %% [markdown] lang="zh" about="conv2d"
# 请写出 `conv2d(image, kernel)`：一张图，一个卷积核。卷积核每次移动一个像素，始终不越出图像。图像和卷积核都不一定是正方形。
# 本题不能用 PyTorch 自带的卷积；用循环写就很好。
#
# *课上的例子：* 检查先用一张 5 x 5 的图（各行为 `11100 01110 00111 00110 01100`）和卷积核 `101 010 101`，结果应为 `[[4, 3, 4], [2, 4, 3], [2, 3, 4]]`；再把两个滤波器用在上面那张 6 x 6 的图上。
#
# 有一点要知道：数学里的卷积会先把卷积核旋转 180 度。深度学习不翻转（准确的名字是**互相关**），但习惯上仍然叫“卷积”。
# 课上的几个滤波器旋转 180 度后不变，看不出这个差别，所以检查时还会用别的卷积核。


# %% exercise="conv2d"
def conv2d(image: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Slide `kernel` (h, w) over `image` (H, W): one value for each place where the kernel lies inside the image.

    >>> conv2d(torch.tensor([[1., 2., 3.], [4., 5., 6.]]), torch.tensor([[1., 10.]]))
    tensor([[21., 32.],
            [54., 65.]])
    """
    ### BEGIN SOLUTION
    h, w = kernel.shape
    rows, columns = image.shape[0] - h + 1, image.shape[1] - w + 1
    out = torch.zeros(rows, columns)
    for i in range(rows):
        for j in range(columns):
            out[i, j] = (image[i : i + h, j : j + w] * kernel).sum()
    return out
    ### END SOLUTION


# %% check="conv2d" points=1 hidden=2

# %% [markdown] lang="en"
# What do such detectors see in a digit? Three kernels of our own, each with your `conv2d` (run the next cell once your check passes).
# Bright is large: each kernel answers to strokes, or edges, of one direction.

# %% [markdown] lang="zh"
# 这样的检测器在一个数字里会看到什么？这里自己写三个卷积核，用你的 `conv2d` 算一算（检查通过之后，运行下面的单元格）。
# 越亮表示数值越大：每个卷积核只对某一个方向的笔画或边缘有反应。

# %%
digit = data.train.images[0].float() / 255
edge_kernels = {
    "upper edges": torch.tensor([[-1.0, -1, -1], [0, 0, 0], [1, 1, 1]]),
    "left edges": torch.tensor([[-1.0, 0, 1], [-1, 0, 1], [-1, 0, 1]]),
    "diagonal strokes": torch.tensor([[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2]]),
}
edge_maps = {name: conv2d(digit, edge_kernel) for name, edge_kernel in edge_kernels.items()}

_, axes = plt.subplots(1, 4, figsize=(11, 3))
for ax, (name, picture) in zip(axes, {"digit": digit, **edge_maps}.items(), strict=True):
    ax.imshow(picture.clamp(min=0), cmap="gray")
    ax.set(xticks=[], yticks=[], title=f"{name} {tuple(picture.shape)}")

# %% [markdown] lang="en"
# ## 3 Stride and padding
#
# The maps above are 26 x 26: a little is lost at the border. Besides the sizes of picture and kernel, two numbers decide how large the output is.
#
# - **Stride** $s$: how many pixels the kernel moves on at a time. *Lecture:* with stride 2, filter 1 on the 6 x 6 picture gives
#   `[[3, -3], [-3, 0]]`, every other value of every other row.
# - **Padding** $p$: so many rows and columns of zeros are put around the picture first, on all four sides.

# %% [markdown] lang="zh"
# ## 3 步幅与填充
#
# 上面的特征图是 26 x 26：边上少了一点。除了图像和卷积核的大小，输出有多大还取决于两个数。
#
# - **步幅** $s$：卷积核每次移动几个像素。*课上的例子：* 步幅为 2 时，滤波器 1 在 6 x 6 的图上得到 `[[3, -3], [-3, 0]]`，
#   也就是隔行隔列地取值。
# - **填充** $p$：先在图像的上下左右各补 $p$ 行（列）零。

# %%
_, axes = plt.subplots(1, 3, figsize=(9, 3.2))
show_numbers(axes[0], lecture_map, "stride 1")
for row, column in [(0, 0), (0, 2), (2, 0), (2, 2)]:
    axes[0].add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, color="tab:orange", lw=3))
show_numbers(axes[1], lecture_map[::2, ::2], "stride 2")
show_numbers(axes[2], F.pad(lecture_image, (1, 1, 1, 1)), "padding 1", window=(0, 0, 3))

# %% [markdown] lang="en" about="output_size"
# Along one side, the picture has $n$ pixels and the kernel $k$. Write `output_size(n, k, stride, padding)`: how many values come out?
# A last place where the kernel would stick out over the (padded) edge does not count.

# %% [markdown] lang="zh" about="output_size"
# 沿着一条边，图像有 $n$ 个像素，卷积核边长为 $k$。请写出 `output_size(n, k, stride, padding)`：会得到多少个数？
# 如果最后一个位置会让卷积核超出（填充之后的）边缘，这个位置不算。


# %% exercise="output_size"
def output_size(n: int, k: int, stride: int = 1, padding: int = 0) -> int:
    """How many values come out along a side of `n` pixels, for a kernel of `k`.

    >>> output_size(28, 5)
    24
    >>> output_size(6, 3, stride=2)
    2
    """
    ### BEGIN SOLUTION
    return (n + 2 * padding - k) // stride + 1
    ### END SOLUTION


# %% check="output_size" points=1 hidden=1

# %% [markdown] lang="en"
# ## 4 Several channels, several filters
#
# A colour picture has three channels, and the output of a layer with six filters has six. So a filter is as deep as its input: from here on
# it consists of several kernels, one for each input channel. The results of all channels are **added up**, and one bias for the filter is added.
# Each filter gives one **feature map**; the maps of all filters are the channels of the output.
#
# $$\text{out}_{n,o,i,j} = b_o + \sum_{c,u,v} x_{n,\,c,\,i s + u,\,j s + v}\; w_{o,c,u,v}$$
#
# Here $x$ is already padded, $n$ counts the pictures of the batch, $o$ the filters, $c$ the input channels, and $s$ is the stride.

# %% [markdown] lang="zh"
# ## 4 多个通道，多个滤波器
#
# 彩色图像有三个通道；一层如果有六个滤波器，它的输出就有六个通道。所以滤波器的深度与输入相同：从这里起，一个滤波器由若干卷积核组成，每个输入通道一个。
# 各通道的结果**相加**，再加上这个滤波器的一个偏置。每个滤波器得到一张**特征图**，所有滤波器的特征图就是输出的各个通道。
#
# $$\text{out}_{n,o,i,j} = b_o + \sum_{c,u,v} x_{n,\,c,\,i s + u,\,j s + v}\; w_{o,c,u,v}$$
#
# 式中的 $x$ 已经填充过；$n$ 是批量中的第几张图，$o$ 是第几个滤波器，$c$ 是第几个输入通道，$s$ 是步幅。

# %% [markdown] lang="en" about="conv_layer"
# Write `conv_layer(x, weight, bias, stride, padding)`: a whole convolutional layer, for a batch. Stride and padding are the same in both
# directions, and padding is with zeros. This is the hardest exercise of the lab, so take it in three bites: channels and filters first,
# then the stride, then the padding (which may be 0: mind `[p:-p]`). PyTorch's own convolutions are locked away here, too. Half of the points are for layers without stride and padding.

# %% [markdown] lang="zh" about="conv_layer"
# 请写出 `conv_layer(x, weight, bias, stride, padding)`：对一个批量算出整个卷积层。两个方向的步幅和填充相同，填充补零。
# 这是本实验最难的一题，不妨分三步走：先写通道和滤波器，再加步幅，最后加填充（填充可能是 0，当心 `[p:-p]`）。本题也不能用 PyTorch 自带的卷积。不带步幅和填充的情形占一半的分数。


# %% exercise="conv_layer"
def conv_layer(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, stride: int = 1, padding: int = 0
) -> torch.Tensor:
    """A convolutional layer on a batch.

    Args:
        x: the pictures, shape (N, C, H, W).
        weight: O filters, each with a kernel (h, w) for each of the C channels, shape (O, C, h, w).
        bias: one number per filter, shape (O,).

    Returns:
        The feature maps, shape (N, O, rows, columns), with rows = output_size(H, h, stride, padding).

    >>> conv_layer(torch.ones(1, 2, 3, 3), torch.ones(1, 2, 2, 2), torch.tensor([10.]))
    tensor([[[[18., 18.],
              [18., 18.]]]])
    """
    ### BEGIN SOLUTION
    h, w = weight.shape[2:]
    x = F.pad(x, (padding, padding, padding, padding))
    rows, columns = (x.shape[2] - h) // stride + 1, (x.shape[3] - w) // stride + 1
    out = torch.zeros(x.shape[0], weight.shape[0], rows, columns)
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            piece = x[:, :, top : top + h, left : left + w]  # (N, C, h, w)
            out[:, :, i, j] = torch.einsum("nchw,ochw->no", piece, weight) + bias
    return out
    ### END SOLUTION


# %% check="conv_layer" points=1 hidden=2

# %% [markdown] lang="en"
# ## 5 Max pooling
#
# *Making the picture smaller leaves the object what it is.* Max pooling puts a window on the map and keeps the largest value in it: the pattern
# is here, somewhere in this window. Then the window moves on.
#
# *Lecture:* the two filters make two 4 x 4 maps of the 6 x 6 picture. Pooled with 2 x 2 windows side by side, they become `[[3, 0], [3, 1]]`
# and `[[-1, 1], [0, 3]]`: a picture of 2 x 2 pixels and two channels, in which each value still tells where something was found.

# %% [markdown] lang="zh"
# ## 5 最大汇聚（池化）
#
# *把图像缩小，物体还是那个物体。* 最大汇聚在特征图上放一个窗口，只保留窗口里最大的数：意思是“这种模式就在这个窗口里的某处”。
# 然后窗口移到下一处。
#
# *课上的例子：* 两个滤波器从 6 x 6 的图得到两张 4 x 4 的特征图。用 2 x 2 的窗口一个挨一个地汇聚之后，分别变成 `[[3, 0], [3, 1]]` 和
# `[[-1, 1], [0, 3]]`：一张 2 x 2、两个通道的“小图”，每个数仍然告诉我们哪里发现了什么。

# %% [markdown] lang="en" about="max_pool"
# Write `max_pool(maps, size, stride)` for the maps of one picture. The window has `size` x `size` values and moves on by `stride`, which may be another number
# than `size`. Windows that do not fit in are left out. PyTorch's own pooling is locked away here.

# %% [markdown] lang="zh" about="max_pool"
# 请写出 `max_pool(maps, size, stride)`，输入是一张图的若干特征图。窗口大小为 `size` x `size`，每次移动 `stride`，两者不一定相等。放不下的窗口舍去。本题不能用 PyTorch 自带的汇聚。


# %% exercise="max_pool"
def max_pool(maps: torch.Tensor, size: int, stride: int) -> torch.Tensor:
    """The largest value in each window of `maps` (C, H, W): shape (C, rows, columns).

    >>> max_pool(torch.tensor([[[1., 2., 5.], [3., 4., 0.]]]), size=2, stride=1)
    tensor([[[4., 5.]]])
    """
    ### BEGIN SOLUTION
    channels, height, width = maps.shape
    rows, columns = (height - size) // stride + 1, (width - size) // stride + 1
    out = torch.zeros(channels, rows, columns)
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            out[:, i, j] = maps[:, top : top + size, left : left + size].amax(dim=(1, 2))
    return out
    ### END SOLUTION


# %% check="max_pool" points=1 hidden=1

# %% [markdown] lang="en"
# The edges of the digit (upper edges red, left edges green, diagonals blue), pooled once and once more: ever fewer pixels, and what was found where can still be told.

# %% [markdown] lang="zh"
# 把数字的边缘图（上边缘为红，左边缘为绿，斜线为蓝）汇聚一次、再汇聚一次：像素越来越少，但在哪里找到了什么，仍然看得出来。

# %%
sizes = [torch.stack(list(edge_maps.values()))]
for _ in range(2):
    sizes.append(max_pool(sizes[-1], size=2, stride=2))

_, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for ax, pooled in zip(axes, sizes, strict=True):
    ax.imshow(pooled.clamp(0, 3).permute(1, 2, 0) / 3)  # the three maps as red, green and blue
    ax.set(xticks=[], yticks=[], title=f"{pooled.shape[1]} x {pooled.shape[2]}")

# %% [markdown] lang="en"
# ## 6 What sharing saves
#
# A convolution uses the same few weights at every place: **parameter sharing**. Compare it with a full connection that has the same inputs
# and the same outputs, where every output has a weight of its own for every input.

# %% [markdown] lang="zh"
# ## 6 参数共享省下了多少
#
# 卷积在所有位置使用同样的几个权重，这就是**参数共享**。拿它和全连接比一比：输入相同，输出也相同，只是每个输出对每个输入都有自己的权重。

# %% [markdown] lang="en" about="count_parameters"
# A layer turns `c_in` maps into `c_out` maps of the same height and width (it pads as much as that takes). Write
# `count_parameters(c_in, c_out, k, height, width)`, which returns two numbers: the parameters, weights and biases, of the convolution with
# `k` x `k` kernels, and those of the full connection between the same inputs and outputs.

# %% [markdown] lang="zh" about="count_parameters"
# 某一层把 `c_in` 张特征图变成 `c_out` 张同样高、同样宽的特征图（需要多少填充就填充多少）。请写出
# `count_parameters(c_in, c_out, k, height, width)`，返回两个数：卷积核为 `k` x `k` 的卷积有多少参数（权重和偏置），以及输入输出都相同的全连接有多少参数。


# %% exercise="count_parameters"
def count_parameters(c_in: int, c_out: int, k: int, height: int, width: int) -> tuple[int, int]:
    """Parameters of a convolution and of a full connection from (c_in, height, width) to (c_out, height, width).

    >>> count_parameters(1, 2, 3, 4, 4)
    (20, 544)
    """
    ### BEGIN SOLUTION
    convolution = c_out * (c_in * k * k + 1)
    inputs, outputs = c_in * height * width, c_out * height * width
    return convolution, outputs * (inputs + 1)
    ### END SOLUTION


# %% check="count_parameters" points=1 hidden=1

# %%
shared, full = count_parameters(c_in=1, c_out=6, k=5, height=28, width=28)
print(
    f"first layer of LeNet: {shared:,} parameters; fully connected: {full:,}, {full // shared:,} times as many"
)

# %% [markdown] lang="en"
# ## 7 LeNet
#
# In 1998 Yann LeCun and others read the digits on bank cheques with a network of this kind. Two rounds of convolution, ReLU and pooling
# turn the picture into 16 small maps; three full layers turn those into ten scores, the **logits**, one per class.
#
# | layer | what it does | output | parameters |
# |---|---|---|---:|
# | `conv1` | 6 filters 5 x 5, padding 2, ReLU | 6 x 28 x 28 | 156 |
# | | max pooling 2 x 2, stride 2 | 6 x 14 x 14 | |
# | `conv2` | 16 filters 5 x 5, ReLU | 16 x 10 x 10 | 2,416 |
# | | max pooling 2 x 2, stride 2 | 16 x 5 x 5 | |
# | `fc1` | full, 400 to 120, ReLU | 120 | 48,120 |
# | `fc2` | full, 120 to 84, ReLU | 84 | 10,164 |
# | `fc3` | full, 84 to 10 | 10 | 850 |
# | | | **together** | **61,706** |
#
# Fourteen years later AlexNet followed the same plan with 8 layers and 61 million parameters (torchvision's version: 61,100,840), about a
# thousand times LeNet. Look at the last column: the two convolutions, which do the seeing, have 2,572 of the 61,706.

# %% [markdown] lang="zh"
# ## 7 LeNet
#
# 1998 年，Yann LeCun 等人用这样的网络识别银行支票上的数字。两组“卷积、ReLU、汇聚”把图像变成 16 张小特征图，
# 三个全连接层再把它们变成十个得分，即 **logits**，每类一个。
#
# | 层 | 做什么 | 输出 | 参数 |
# |---|---|---|---:|
# | `conv1` | 6 个 5 x 5 的滤波器，填充 2，ReLU | 6 x 28 x 28 | 156 |
# | | 最大汇聚 2 x 2，步幅 2 | 6 x 14 x 14 | |
# | `conv2` | 16 个 5 x 5 的滤波器，ReLU | 16 x 10 x 10 | 2,416 |
# | | 最大汇聚 2 x 2，步幅 2 | 16 x 5 x 5 | |
# | `fc1` | 全连接，400 到 120，ReLU | 120 | 48,120 |
# | `fc2` | 全连接，120 到 84，ReLU | 84 | 10,164 |
# | `fc3` | 全连接，84 到 10 | 10 | 850 |
# | | | **合计** | **61,706** |
#
# 十四年后的 AlexNet 沿用了同样的思路：8 层，6100 万个参数（torchvision 的版本是 61,100,840 个），约为 LeNet 的一千倍。
# 看看最后一列：真正负责“看”的两个卷积层，在 61,706 个参数里只占 2,572 个。

# %% [markdown] lang="en" about="LeNet"
# Write `LeNet` as an `nn.Module`, with the layers of the table in the order of the table. From here on PyTorch's own layers are yours to use: `nn.Conv2d`,
# `nn.Linear`, `F.max_pool2d`, `F.relu` or their module forms. `forward` returns the logits, without a softmax.

# %% [markdown] lang="zh" about="LeNet"
# 请把 `LeNet` 写成一个 `nn.Module`，各层与表中相同，次序也相同。从这里开始可以使用 PyTorch 自带的层：`nn.Conv2d`、`nn.Linear`、
# `F.max_pool2d`、`F.relu`，或者它们的模块形式。`forward` 返回 logits，不做 softmax。


# %% exercise="LeNet"
class LeNet(nn.Module):
    """LeNet for 28 x 28 digits: X (N, 1, 28, 28) to logits (N, 10), 61,706 parameters."""

    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)
        ### END SOLUTION

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        ### BEGIN SOLUTION
        X = F.max_pool2d(F.relu(self.conv1(X)), 2)  # (N, 6, 14, 14)
        X = F.max_pool2d(F.relu(self.conv2(X)), 2)  # (N, 16, 5, 5)
        X = F.relu(self.fc1(X.flatten(1)))  # (N, 120)
        X = F.relu(self.fc2(X))  # (N, 84)
        return self.fc3(X)  # (N, 10)
        ### END SOLUTION


# %% check="LeNet" points=2 hidden=2

# %% [markdown] lang="en"
# ## 8 Training
#
# Training repeats one small step many thousand times: predict a **batch** of pictures, measure with the **cross entropy** how far the logits are
# from the truth, let PyTorch compute the gradient for every parameter, and let the optimizer move each parameter a little downhill.
# One pass through all the data is an **epoch**.

# %% [markdown] lang="zh"
# ## 8 训练
#
# 训练就是把一个小步骤重复成千上万次：对一个**批量**的图像做预测，用**交叉熵**衡量 logits 离正确答案有多远，让 PyTorch 算出每个参数的梯度，
# 再让优化器把每个参数往“下坡”方向挪一点。把全部数据过一遍叫做**一轮**（epoch）。

# %% [markdown] lang="en" about="train_step"
# Write `train_step(model, X, y, optimizer)`: one step on the batch `X` with labels `y`. It returns the mean loss of the batch as a number, as it was
# before the parameters moved. The check calls your function on a tiny network, once and several times in a row, and compares all parameters afterwards.

# %% [markdown] lang="zh" about="train_step"
# 请写出 `train_step(model, X, y, optimizer)`：用批量 `X` 和标签 `y` 训练一步。返回这个批量的平均损失（一个数），即参数更新之前的损失。
# 检查会在一个很小的网络上调用你的函数，有时一次，有时连续几次，然后比较所有的参数。


# %% exercise="train_step"
def train_step(model: nn.Module, X: torch.Tensor, y: torch.Tensor, optimizer: torch.optim.Optimizer) -> float:
    """One training step on pictures X (N, C, H, W) with classes y (N,); the mean cross entropy before it."""
    ### BEGIN SOLUTION
    optimizer.zero_grad()
    loss = F.cross_entropy(model(X), y)
    loss.backward()
    optimizer.step()
    return loss.item()
    ### END SOLUTION


# %% check="train_step" points=1 hidden=2

# %% [markdown] lang="en" about="train_epoch"
# Write `train_epoch(model, X, y, optimizer, batch_size)`: go once through all pictures in batches, with your `train_step`. The last batch may be
# smaller. Return the mean loss over all pictures, each counting the same. Keep the order of the pictures: in practice one shuffles them
# in every epoch, but here your result is to be compared.

# %% [markdown] lang="zh" about="train_epoch"
# 请写出 `train_epoch(model, X, y, optimizer, batch_size)`：用你的 `train_step` 分批把所有图像过一遍。最后一个批量可能小一些。
# 返回所有图像的平均损失，每张图的份量相同。请保持图像的次序：实际训练时每一轮都要打乱，但这里要比较结果。


# %% exercise="train_epoch"
def train_epoch(
    model: nn.Module, X: torch.Tensor, y: torch.Tensor, optimizer: torch.optim.Optimizer, batch_size: int
) -> float:
    """Train once on all of X (N, C, H, W) and y (N,), in order; the mean loss over the N pictures."""
    ### BEGIN SOLUTION
    total = 0.0
    for i in range(0, len(X), batch_size):
        batch_X, batch_y = X[i : i + batch_size], y[i : i + batch_size]
        total += train_step(model, batch_X, batch_y, optimizer) * len(batch_X)
    return total / len(X)
    ### END SOLUTION


# %% check="train_epoch" points=1 hidden=1

# %% [markdown] lang="en"
# That is all there is to training. `coursekit.train.fit` does the same, with the rest that one wants: it shuffles, watches the validation
# data, changes the learning rate along the way, and keeps the trained weights in a file when you say `save="lenet"`. Hand this file in together with the notebook, so that
# nothing has to be trained again when your work is graded.

# %% [markdown] lang="zh"
# 训练就是这么回事。`coursekit.train.fit` 做的是同样的事，只是多了些实用的功能：打乱次序、每轮在验证集上评估、在训练途中调整学习率；
# 写上 `save="lenet"`，它还会把训练好的权重存成文件。交作业时请把这个文件和笔记本一起提交，批改时就不用重新训练了。

# %% [markdown] lang="en" about="train_lenet"
# Train `model` with `fit(model, data, epochs=..., lr=..., save="lenet")` and keep what it returns as `history`. Full points from 87% accuracy, and
# a share of them from 70% on, for digits that the model has not seen, each moved by up to 2 pixels and turned by up to 10 degrees.
# The check before you uses validation digits, the one at grading test digits. `data.test` is for the end; choose your settings by the validation accuracy, but mind that
# `fit` measures it on digits that are neither moved nor turned: `augment` is what prepares a model for those that are. Expect about a minute of training.

# %% [markdown] lang="zh" about="train_lenet"
# 请用 `fit(model, data, epochs=..., lr=..., save="lenet")` 训练 `model`，并把返回值存为 `history`。检查用的是模型没见过的数字，每个都平移了最多 2 个像素、
# 旋转了最多 10 度：准确率达到 87% 得满分，从 70% 起按比例得分。这里的检查用验证集的数字，批改时用测试集的数字。
# `data.test` 请留到最后；选择超参数时看验证集上的准确率，但要注意：`fit` 测的是没有平移和旋转过的数字，要让模型应付平移和旋转，靠的是 `augment`。训练大约要一分钟。

# %% exercise="train_lenet"
model = LeNet()
### BEGIN SOLUTION
history = fit(model, data, epochs=8, lr=0.004, batch_size=64, augment="affine", save="lenet")
### END SOLUTION

# %% check="train_lenet" points=1 hidden=2

# %% [markdown] lang="en"
# How did it go, and which digits are still misread? (Above each: what the model says, in brackets what it is.) Would you have read them?

# %% [markdown] lang="zh"
# 训练得怎么样？还有哪些数字会认错？（每张图上方是模型的判断，括号里是正确答案。）换成你，认得出来吗？

# %%
history.plot()

# %%
logits = predict(model, data.test.X)
print(f"test accuracy: {(logits.argmax(1) == data.test.y).float().mean():.1%}")
plot.mistakes(data.test, logits, n=8)

# %% [markdown] lang="en"
# ## 9 Looking inside
#
# Nobody told the six filters of the first layer what to look for. What have they learned (red weights are positive, blue ones negative; in the maps bright is a strong response, and an all black map is a filter that finds nothing here), and what do they find in a digit?

# %% [markdown] lang="zh"
# ## 9 看看网络内部
#
# 没有人告诉第一层的六个滤波器该找什么。它们学到了什么（权重红色为正，蓝色为负；特征图里越亮响应越强，全黑表示这个滤波器在这里什么也没找到）？在一个数字里又找到了什么？

# %% [markdown] lang="en" about="feature_maps"
# Write `feature_maps(layers, image, depth)`: send one picture through the first `depth` layers of an `nn.Sequential` and return the maps
# that come out. With a convolution and a ReLU at the beginning, `depth=2` gives the feature maps of the first convolution.

# %% [markdown] lang="zh" about="feature_maps"
# 请写出 `feature_maps(layers, image, depth)`：让一张图经过某个 `nn.Sequential` 的前 `depth` 层，返回得到的特征图。
# 如果开头是卷积和 ReLU，那么 `depth=2` 得到的就是第一个卷积层的特征图。


# %% exercise="feature_maps"
def feature_maps(layers: nn.Sequential, image: torch.Tensor, depth: int = 2) -> torch.Tensor:
    """The output of the first `depth` layers for one image (C, H, W): maps (channels, height, width), without gradients."""
    ### BEGIN SOLUTION
    with torch.no_grad():
        return layers[:depth](image.unsqueeze(0)).squeeze(0)
    ### END SOLUTION


# %% check="feature_maps" points=1 hidden=1

# %%
convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
eye = nn.Sequential(convolutions[0], nn.ReLU(), nn.MaxPool2d(2), convolutions[1], nn.ReLU())
plot.filters(convolutions[0])

# %%
plot.feature_maps(feature_maps(eye, data.test.X[0], depth=2))

# %%
plot.feature_maps(feature_maps(eye, data.test.X[0], depth=5), n=8)

# %% [markdown] lang="en"
# The first maps still look like the digit: edges of one direction, or the background. Those of the second layer are smaller and harder to name;
# each answers to a combination of edges. Each of their values sees 14 x 14 pixels of the digit, its **receptive field**: 5 x 5 values after pooling are
# 10 x 10 before it, and each of these saw 5 x 5 pixels, so 10 + 4.

# %% [markdown] lang="zh"
# 第一层的特征图看上去还像那个数字：有的是某个方向的边缘，有的是背景。第二层的图更小，也更难说清楚；每张图对应若干边缘的一种组合。
# 第二层的每个数能“看到”数字上 14 x 14 个像素，这就是它的**感受野**：汇聚后的 5 x 5 个数是汇聚前的 10 x 10 个，其中每个又看到 5 x 5 个像素，所以是 10 + 4。

# %% [markdown] lang="en"
# ## 10 What a shift does
#
# *The same pattern turns up in different places.* A full network has to learn each place anew, a convolution need not. Let us see whether the
# difference shows: move the test digits a few pixels, and compare LeNet with a multilayer perceptron (MLP) that has nearly as many parameters (60,430).

# %% [markdown] lang="zh"
# ## 10 平移会怎样
#
# *同样的模式会出现在不同的位置。* 全连接网络必须在每个位置重新学一遍，卷积则不用。看看数据里是不是真有差别：把测试数字平移几个像素，
# 比较 LeNet 和一个参数个数差不多的多层感知机（MLP，60,430 个参数）。

# %% [markdown] lang="en" about="shift"
# Write `shift(images, dx, dy, fill)`: move the pictures by `dx` pixels to the right and `dy` down; negative numbers move them left and up. What leaves
# the picture is lost, and pixels that become free take the value `fill`. The pictures that came in stay as they are.

# %% [markdown] lang="zh" about="shift"
# 请写出 `shift(images, dx, dy, fill)`：把图像向右移 `dx` 个像素、向下移 `dy` 个像素；负数表示向左、向上。移出图像的部分丢掉，空出来的像素填上 `fill`。传入的图像本身不要改动。


# %% exercise="shift"
def shift(images: torch.Tensor, dx: int, dy: int, fill: float = 0.0) -> torch.Tensor:
    """Move pictures (N, C, H, W) by dx to the right and dy down, both smaller than the picture; new pixels are `fill`.

    >>> shift(torch.tensor([[[[1., 2., 3.], [4., 5., 6.]]]]), dx=1, dy=0, fill=9.0)
    tensor([[[[9., 1., 2.],
              [9., 4., 5.]]]])
    """
    ### BEGIN SOLUTION
    height, width = images.shape[-2:]
    out = torch.full_like(images, fill)
    seen = images[..., max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)]
    out[..., max(dy, 0) : height - max(-dy, 0), max(dx, 0) : width - max(-dx, 0)] = seen
    return out
    ### END SOLUTION


# %% check="shift" points=1 hidden=1

# %% [markdown] lang="en"
# For a fair race both networks are trained alike and on digits that are never moved (your own `model` may have seen moved ones). Two minutes, perhaps.

# %% [markdown] lang="zh"
# 为了公平，两个网络的训练方式相同，训练时的数字都没有平移过（你自己的 `model` 可能见过平移的数字）。大约需要两分钟。

# %%
torch.manual_seed(0)
racers = {"MLP": get_model("mlp", hidden_sizes=(76,)), "LeNet": get_model("lenet")}
for name, racer in racers.items():
    print(name)
    fit(racer, data, epochs=6, lr=0.003, batch_size=32, save=f"race_{name.lower()}")
racers["your model"] = model

# %%
black = data.test.X.min().item()
distances = range(0, 9, 2)
for name, racer in racers.items():
    moved = [(shift(data.test.X[:300], dx, 0, fill=black), data.test.y[:300]) for dx in distances]
    plt.plot(distances, [evaluate(racer, pair).accuracy for pair in moved], marker="o", label=name)
plt.xlabel("pixels to the right")
plt.ylabel("accuracy")
plt.ylim(0, 1)
plt.legend()
plt.show()

# %% [markdown] lang="en"
# All fall, the MLP soonest, and 8 pixels to the right hardly anything is recognised (your own model lasts longest if it has seen moved digits). So LeNet is not immune: convolution makes the *maps* move along with the digit, pooling forgives a pixel or
# two, and then come the full layers at the end, which have a weight of their own for every place: far from where they learned it, a pattern means nothing to them.

# %% [markdown] lang="zh"
# 曲线都会下降，其中 MLP 降得最早；移到 8 个像素时，几乎谁也认不出来了（如果你的模型训练时见过平移的数字，它撑得最久）。可见 LeNet 也并非不受影响：数字移动时，卷积的*特征图*会跟着移动，汇聚能容忍一两个像素，
# 可是末尾的全连接层对每个位置都有单独的权重，移得远了，学到的东西就对不上位置了。

# %% [markdown] lang="en"
# ### In your own words
#
# In four to eight sentences (2 points, read by a person):
#
# 1. Which two properties of pictures does a convolutional layer make use of, and by what in its construction? Support one of them with a number or a picture from this lab.
# 2. Name a kind of data, or a change of the pictures, for which a convolutional network has no such advantage, and say why.

# %% [markdown] lang="zh"
# ### 用自己的话说
#
# 请用四到八句话回答（2 分，由老师评阅）：
#
# 1. 卷积层利用了图像的哪两个性质？分别由网络结构的哪一部分实现？请用本实验中的一个数字或一张图来支持其中一点。
# 2. 举出一类数据，或图像的一种变化，说明在这种情况下卷积网络没有这样的优势，并说明原因。

# %% [markdown] written="why_cnn" points=2
# Patterns are small, so a unit is connected to a window of 5 x 5 pixels only; the same pattern turns up in different places, so all places share
# one set of weights. That is why the first layer has 156 parameters where a full connection would have 3,692,640. In the shift picture LeNet keeps
# its accuracy for more pixels than the MLP does. There is no such advantage where neighbours mean nothing, as in the columns of a table, or
# under changes that the filters do not share, as a digit turned by 90 degrees or upside down.
#
# 模式很小，所以每个单元只连接 5 x 5 的窗口；同样的模式会出现在不同位置，所以所有位置共用一组权重。因此第一层只有 156 个参数，而全连接要
# 3,692,640 个。在平移的图中，LeNet 比 MLP 能多承受几个像素。如果相邻没有意义（比如表格的各列），或者变化不是平移（比如把数字旋转 90 度），就没有这样的优势。
#
# === BEGIN MARK SCHEME ===
# - 1 point: two properties (local patterns / same pattern elsewhere / subsampling keeps the object), each with its construction (small kernel / shared
#   weights / pooling), and a number or picture of the lab as support. Half for one property or without support.
# - 1 point: a fitting counter-example (no neighbourhood: tables, shuffled pixels; or no shared change: rotation, scale, far shifts) with a reason. Half without a reason.
#
# - 1 分：两个性质（局部模式 / 模式可在别处出现 / 缩小不改变物体）各自对应的结构（小卷积核 / 权重共享 / 汇聚），并有本实验的数字或图支持。只有一个性质或没有支持得一半。
# - 1 分：恰当的反例（没有邻域：表格、打乱的像素；或变化不是平移：旋转、缩放、大幅平移）并说明理由。没有理由得一半。
# === END MARK SCHEME ===

# %% [markdown] lang="en"
# ## What you have learned
#
# - A convolution is one small detector used at every place. Stride, padding and kernel decide the size: you have the rule.
# - A filter is as deep as its input; as many maps come out as there are filters. Pooling keeps what was found and forgets exactly where.
# - Sharing makes the difference between 156 parameters and millions.
# - A training step is five lines, an epoch is a loop around it.
# - Filters can be looked at, and accuracy under a shift can be measured. Both say more than one number on a test set.
#
# **Where to go on.** Put `get_model("alexnet_small")` in LeNet's place: how many of LeNet's mistakes remain? Train with more or with fewer digits
# (`data.train.subset(500)`): when does over-fitting begin? The lab on deep convolutional networks asks why plain networks cannot be made ever deeper, and what ResNet does about it.

# %% [markdown] lang="zh"
# ## 你学到了什么
#
# - 卷积就是在每个位置使用同一个小检测器。输出大小由步幅、填充和卷积核决定，公式你已经会写。
# - 滤波器的深度与输入相同，有几个滤波器就有几张特征图。汇聚保留“找到了什么”，忘掉“究竟在哪里”。
# - 有没有参数共享，就是 156 个参数与几百万个参数的差别。
# - 训练的一步只有五行，一轮就是外面套一个循环。
# - 滤波器可以拿来看，平移之后的准确率可以测量。它们告诉我们的，比测试集上的一个数字更多。
#
# **接下来可以试试：** 用 `get_model("alexnet_small")` 代替 LeNet，LeNet 的错误还剩多少？换用更多或更少的数字来训练
# （`data.train.subset(500)`），什么时候开始过拟合？“深层卷积网络”那个实验会问：普通网络为什么不能越做越深，ResNet 又是怎样解决的。

# %% [markdown] lang="en"
# **Handing in.** Save the notebook, and run `coursekit submit` in a terminal, in the folder of this notebook: it looks over your work and packs the notebook with its weights into
# one file, `cnn_mnist.zip`. Hand in this file, unless your course has another way.

# %% [markdown] lang="zh"
# **提交作业：** 保存笔记本，在终端里进入笔记本所在的文件夹，运行 `coursekit submit`：它会看看有没有漏做的题、保存下来的检查结果如何，再把笔记本和权重打包成一个文件 `cnn_mnist.zip`。
# 如果课程没有另外的要求，交这个文件就行。
