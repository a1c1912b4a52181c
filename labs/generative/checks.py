"""The exercises of the lab `generative`: inputs, comparisons, misconceptions and variants."""

import contextlib
import io
from functools import cache

import numpy as np
import torch
from torch import nn

from coursekit.check.exercise import Accuracy, Close, Exercise, Misconception, Rules
from coursekit.check.tree import Tree
from coursekit.data import Split, load

# The package has all of this ready-made, and reading it would be reading the answers.
PACKAGE = ("coursekit.models", "coursekit.train", "coursekit.measure")

# --- 1 pca ------------------------------------------------------------------------------------------------------------


def cloud(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`size` points in five dimensions, far from the origin; what turned them, and how far each direction reaches."""
    turn, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    reach = np.array([6.0, 4.0, 2.5, 1.4, 0.7])
    mean = rng.uniform(2, 5, 5) * rng.choice([-1, 1], 5)
    return (rng.standard_normal((size, 5)) * reach) @ turn + mean, turn, mean


def draw_same_points(rng: np.random.Generator) -> dict[str, Tree]:
    points, _, _ = cloud(rng, 12)
    points = points.round(2).astype(np.float32)
    return {"train": points, "X": points, "k": int(rng.integers(1, 4))}


def draw_new_points(rng: np.random.Generator) -> dict[str, Tree]:
    """The new points lie off the middle of the old ones, and reach farthest in another direction."""
    points, turn, mean = cloud(rng, 12)
    new = (rng.standard_normal((7, 5)) * [0.7, 1.4, 2.5, 4.0, 6.0] + 2) @ turn + mean
    return {
        "train": points.round(2).astype(np.float32),
        "X": new.round(2).astype(np.float32),
        "k": int(rng.integers(1, 4)),
    }


def components(
    mean: str = "train.mean(0)",
    kept: str = "Vh[:k].T",
    codes: str = "(X - mean) @ V",
    result: str = "codes @ V.T + mean",
    of: str = "train - mean",
) -> str:
    return f"""
def pca(train, X, k):
    mean = {mean}
    U, S, Vh = torch.linalg.svd({of}, full_matrices=False)
    V = {kept}
    codes = {codes}
    return {result}
"""


PCA = Exercise(
    name="pca",
    title={"en": "Principal components", "zh": "主成分"},
    difficulty=1,
    minutes=12,
    draw={"the points themselves": draw_same_points, "new points": draw_new_points},
    groups={
        "the points themselves": {"zh": "原来的点"},
        "new points": {"zh": "新的点"},
    },
    compare=Close(rtol=1e-3, atol=1e-3),
    rules=Rules(forbid=(*PACKAGE, "torch.pca_lowrank", "torch.svd_lowrank", "sklearn", "scipy")),
    variants=(
        """
def pca(train, X, k):
    mean = train.mean(0, keepdim=True)
    centred = train - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(train))  # in ascending order
    V = vectors[:, -k:]
    return mean + (X - mean) @ V @ V.T
""",
        """
def pca(train, X, k):
    mean = train.mean(0)
    _, _, V = torch.svd(train - mean)
    out = mean.expand(len(X), -1).clone()
    for direction in V.T[:k]:
        out += ((X - mean) @ direction)[:, None] * direction
    return out
""",
        """
def pca(train, X, k):
    _, vectors = torch.linalg.eigh(torch.cov(train.T))
    V = vectors.flip(1)[:, :k]
    mean = train.mean(0)
    return torch.stack([mean + V @ (V.T @ (x - mean)) for x in X])
""",
    ),
    misconceptions=(
        Misconception(
            "not_centred",
            components(mean="torch.zeros(train.shape[1])"),
            {
                "en": "You take the components of the points as they are. Principal components are the directions in which the points spread around their mean: subtract the mean of `train` first, or the first component does little but point at it.",
                "zh": "你直接对原始的点求了主成分。主成分是数据围绕均值散开的方向：要先减去 `train` 的均值，否则第一个主成分几乎只是指向均值。",
            },
        ),
        Misconception(
            "directions_not_centred",
            components(of="train"),
            {
                "en": "You subtract the mean from the points, but not before `svd`: the directions are those of `train` as it is, of which the first does little but point at the mean. It is `svd(train - mean)`.",
                "zh": "你对点减了均值，`svd` 之前却没有减：求出来的是未中心化的 `train` 的方向，第一个方向几乎只是指向均值。应当是 `svd(train - mean)`。",
            },
        ),
        Misconception(
            "one_mean_for_all",
            components(mean="train.mean()"),
            {
                "en": "Your mean is a single number for all coordinates. Each coordinate has its own: `train.mean(0)`, shape (D,).",
                "zh": "你的均值是所有坐标共用的一个数。每个坐标都有自己的均值：`train.mean(0)`，形状 (D,)。",
            },
        ),
        Misconception(
            "train_reconstructed",
            """
def pca(train, X, k):
    mean = train.mean(0)
    U, S, Vh = torch.linalg.svd(train - mean, full_matrices=False)
    return U[:, :k] * S[:k] @ Vh[:k] + mean
""",
            {
                "en": "Right for the points themselves, since what you reconstruct is `train`: `U` and `S` hold its codes. Those of `X` come from its own points, `(X - mean) @ V`.",
                "zh": "对原来的点是对的，因为你重建的是 `train`：`U` 和 `S` 里是它的编码。`X` 的编码要由 `X` 自己的点算出：`(X - mean) @ V`。",
            },
        ),
        Misconception(
            "mean_not_added_back",
            components(result="codes @ V.T"),
            {
                "en": "Your reconstruction is right but for the mean, which you took away before and have not put back.",
                "zh": "你的重建只差一个均值：前面减掉了，最后没有加回来。",
            },
        ),
        Misconception(
            "last_components",
            components(kept="Vh[-k:].T"),
            {
                "en": "You keep the last k components, in which the points spread least. `svd` sorts from large to small (`eigh` from small to large): the first k are meant.",
                "zh": "你留下的是最后 k 个主成分，也就是数据散得最少的方向。`svd` 从大到小排列（`eigh` 从小到大）：这里要的是前 k 个。",
            },
        ),
        Misconception(
            "whitened",
            components(codes="(X - mean) @ V / S[:k] * (len(train) - 1) ** 0.5"),
            {
                "en": "Your codes are whitened: each is divided by its standard deviation (as `whiten=True` does in scikit-learn) and never multiplied again, so that all directions come back equally wide.",
                "zh": "你的编码做了白化：每个分量都除以了自己的标准差（相当于 scikit-learn 的 `whiten=True`），重建时却没有乘回去，于是还原出来的各个方向都一样宽。",
            },
        ),
        Misconception(
            "columns_of_Vh",
            components(kept="Vh[:, :k]"),
            {
                "en": "You take columns of `Vh`. torch gives V transposed (h for Hermitian), so the directions are its rows: `Vh[:k]`.",
                "zh": "你取的是 `Vh` 的列。torch 给出的是转置后的 V（h 表示共轭转置），所以方向在它的行里：`Vh[:k]`。",
            },
        ),
        Misconception(
            "one_component_too_many",
            components(kept="Vh[: k + 1].T"),
            {
                "en": "You keep k + 1 components.",
                "zh": "你留下了 k + 1 个主成分。",
            },
        ),
        Misconception(
            "codes_returned",
            components(result="codes"),
            {
                "en": "These are the codes, k numbers for each point. The exercise asks for what can be made of them again: points in as many dimensions as before.",
                "zh": "你返回的是编码，每个点 k 个数。题目要的是由编码还原出来的点，维数和原来一样。",
            },
        ),
        Misconception(
            "mean_of_X",
            components(codes="(X - X.mean(0)) @ V", result="codes @ V.T + X.mean(0)"),
            {
                "en": "Right for the points themselves. New points you centre by their own mean: then what you say of one point depends on the others that came with it. The mean is that of `train`.",
                "zh": "对原来的点是对的。但对新的点，你减的是它们自己的均值：这样一来，一个点的结果就取决于和它放在一起的是哪些点。应当用 `train` 的均值。",
            },
        ),
        Misconception(
            "components_of_X",
            components(mean="X.mean(0)", of="X - mean"),
            {
                "en": "You take mean and components of `X`. They are learned from `train` alone; `X` is only described by them. (For the points themselves it is the same.)",
                "zh": "你的均值和主成分都是从 `X` 求出来的。它们只应从 `train` 求得，`X` 只是用它们来表示。（对原来的点，两者没有区别。）",
            },
        ),
        Misconception(
            "X_not_centred",
            components(codes="X @ V"),
            {
                "en": "You centre `train`, but compute the codes from `X` as it is; the mean is then in the result once too often. Codes are distances from the mean: `(X - mean) @ V`.",
                "zh": "你对 `train` 减了均值，算编码时 `X` 却没有减，结果里的均值就多算了一次。编码是相对于均值而言的：`(X - mean) @ V`。",
            },
        ),
    ),
    hints=(
        {
            "en": "Three lines: the mean of `train`; `U, S, Vh = torch.linalg.svd(train - mean, full_matrices=False)`, whose rows `Vh[:k]` are the first k components; codes and back.",
            "zh": "三步：求 `train` 的均值；`U, S, Vh = torch.linalg.svd(train - mean, full_matrices=False)`，其中 `Vh[:k]` 的各行就是前 k 个主成分；求编码，再还原。",
        },
        {
            "en": "With `V = Vh[:k].T`, shape (D, k), the codes of `X` are `(X - mean) @ V`, shape (M, k), and `@ V.T` leads back to D dimensions.",
            "zh": "令 `V = Vh[:k].T`，形状为 (D, k)，那么 `X` 的编码是 `(X - mean) @ V`，形状 (M, k)；再乘 `V.T` 就回到 D 维。",
        },
    ),
)


# --- 2 autoencoder ----------------------------------------------------------------------------------------------------

CODE_SIZE = 16
DIGITS_A_SET = 100


@cache
def digits(part: str) -> Split:
    with contextlib.redirect_stdout(io.StringIO()):
        return getattr(load("mnist_5k"), part)


@cache
def rival() -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (784,) and the first components (784, k) of the training digits, pixels from -1 to 1."""
    X = digits("train").images.double().flatten(1) / 127.5 - 1
    mean = X.mean(0)
    return mean, torch.linalg.eigh((X - mean).T @ (X - mean)).eigenvectors[:, -CODE_SIZE:]


def draw_digits(rng: np.random.Generator, part: str) -> dict[str, Tree]:
    """Digits, each moved by up to a pixel, and how well principal components do on each of them."""
    split = digits(part)
    chosen = torch.from_numpy(rng.choice(len(split.y), DIGITS_A_SET, replace=False))
    moves = rng.integers(-1, 2, (DIGITS_A_SET, 2)).tolist()
    X = torch.stack(
        [image.roll(move, (0, 1)) for image, move in zip(split.images[chosen], moves, strict=True)]
    )
    mean, V = rival()
    pixels = X.double().flatten(1) / 127.5 - 1
    rivals = (mean + (pixels - mean) @ V @ V.T).clamp(-1, 1)
    errors = (rivals - pixels).square().mean(1)
    return {"X": X, "errors": errors.float()}


def draw_public(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_digits(rng, "val")


def draw_held_out(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_digits(rng, "test")


def own_autoencoder(
    encoder: str = "nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 16)",
    decoder: str = "nn.Linear(16, 256), nn.ReLU(), nn.Linear(256, 784), nn.Tanh()",
    training: str = 'fit(autoencoder, digits, step=Reconstruction(), epochs=12, lr=0.008, augment="shift")',
) -> str:
    return f"""
class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential({encoder})
        self.decoder = nn.Sequential({decoder})

    def encode(self, X):
        return self.encoder(X)

    def decode(self, z):
        return self.decoder(z).view(-1, 1, 28, 28)

    def forward(self, X):
        return self.decode(self.encode(X))


autoencoder = Autoencoder()
{training}
"""


AUTOENCODER = Exercise(
    name="autoencoder",
    title={"en": "An auto-encoder", "zh": "自编码器"},
    difficulty=2,
    minutes=18,
    draw=draw_public,
    draw_hidden=draw_held_out,
    answer="errors",
    cases=1,
    adaptor="reconstruction",
    options={"mean": 0.5, "std": 0.5, "code_size": CODE_SIZE},
    compare=Accuracy(floor=0.5, threshold=0.80),
    rules=Rules(forbid=("coursekit.models",)),
    variants=(
        own_autoencoder(
            encoder="nn.Flatten(), nn.Linear(784, 200), nn.GELU(), nn.Linear(200, 16)",
            decoder="nn.Linear(16, 200), nn.GELU(), nn.Linear(200, 784)",
            training='fit(autoencoder, digits, step=Reconstruction(), epochs=14, lr=0.006, augment="shift")',
        ),
        """
class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 4, stride=2, padding=1), nn.ReLU()
        )
        self.code, self.back = nn.Linear(784, 16), nn.Linear(16, 256)
        self.out = nn.Linear(256, 784)

    def encode(self, X):
        return self.code(self.down(X).flatten(1))

    def decode(self, z):
        return torch.tanh(self.out(F.relu(self.back(z)))).reshape(-1, 1, 28, 28)

    def forward(self, X):
        return self.decode(self.encode(X))


torch.manual_seed(1)
autoencoder = Convolutional()
optimizer = torch.optim.Adam(autoencoder.parameters(), lr=0.002)
for _ in range(10):
    for batch in torch.randperm(len(digits.train.X)).split(64):
        X = digits.train.X[batch].roll(torch.randint(-1, 2, (2,)).tolist(), (2, 3))
        optimizer.zero_grad()
        F.mse_loss(autoencoder(X), X).backward()
        optimizer.step()
""",
    ),
    misconceptions=(
        Misconception(
            "diverged",
            own_autoencoder(
                training="""
with torch.no_grad():
    for parameter in autoencoder.parameters():
        parameter.fill_(float("nan"))
"""
            ),
            {
                "en": "The reconstructions are not numbers any more (NaN): the training has diverged. A smaller learning rate usually cures it.",
                "zh": "重建出来的已经不是数了（NaN）：训练发散了。一般把学习率调小就能解决。",
            },
            symptom="not_finite",
        ),
        Misconception(
            "no_bend",
            own_autoencoder(
                encoder="nn.Flatten(), nn.Linear(784, 16)",
                decoder="nn.Linear(16, 784)",
                training="fit(autoencoder, digits, step=Reconstruction(), epochs=8, lr=0.003, batch_size=64)",
            ),
            {
                "en": "Principal components are better on almost every digit. Either the network is hardly trained: has `fit` run on this very `autoencoder`, with `step=Reconstruction()`, for more than an epoch or two? Or its outputs cannot have the range of the pixels, -1 to 1 (a sigmoid or a ReLU at the end)? Or it is linear: a matrix, and another, cannot do better than principal components; put a hidden layer with a ReLU on both sides of the code, and no activation on the code itself.",
                "zh": "几乎每个数字都是主成分做得更好。可能是网络几乎没有训练：`fit` 训练的确实是这个 `autoencoder` 吗？用了 `step=Reconstruction()` 吗？训练了不止一两轮吗？也可能是输出取不到像素的范围 -1 到 1（末尾是 sigmoid 或 ReLU）。还可能网络是线性的：一个矩阵再乘一个矩阵，不可能胜过主成分；请在编码的两边各加一个带 ReLU 的隐藏层，编码本身不加激活函数。",
            },
            symptom="one_class",
        ),
        Misconception(
            "hardly_trained",
            own_autoencoder(
                training="fit(autoencoder, digits, step=Reconstruction(), epochs=2, lr=0.003, batch_size=64)"
            ),
            {
                "en": "Your network has begun to learn, but most digits are still drawn better by principal components. Train for longer or with a larger learning rate, and look at the curve. If that does not help: is there a hidden layer with a ReLU on both sides of the code, and no activation on the code itself?",
                "zh": "你的网络已经开始学了，但多数数字还是主成分做得更好。请多训练几轮，或者把学习率调大一些，再看看曲线。如果还不行：编码的两边都有带 ReLU 的隐藏层、而编码本身没有激活函数吗？",
            },
            symptom="shifted_labels",
        ),
        Misconception(
            "trained_too_little",
            own_autoencoder(
                training="fit(autoencoder, digits, step=Reconstruction(), epochs=4, lr=0.0024, batch_size=64)"
            ),
            {
                "en": 'Better than principal components on many digits, but not on enough. The digits of the check are moved by up to a pixel: `augment="shift"` prepares for that. Otherwise: a `nn.Tanh()` at the end of the decoder, more epochs, or wider hidden layers.',
                "zh": '在很多数字上已经胜过主成分，但还不够多。检查用的数字都被平移了最多一个像素：`augment="shift"` 可以让网络有所准备。此外还可以在解码器末尾加上 `nn.Tanh()`、多训练几轮，或把隐藏层加宽。',
            },
            symptom="below",
        ),
    ),
    hints=(
        {
            "en": "Encoder: `nn.Flatten()`, a `Linear` to a few hundred numbers, a ReLU, a `Linear` to the 16 of the code (and no activation after it). The decoder is the same backwards; a `nn.Tanh()` at its end keeps the pixels from -1 to 1.",
            "zh": "编码器：`nn.Flatten()`，一个输出几百个数的 `Linear`，ReLU，再来一个输出 16 个数（即编码）的 `Linear`（之后不加激活函数）。解码器反过来；末尾放一个 `nn.Tanh()`，让像素落在 -1 到 1。",
        },
        {
            "en": '`history = fit(autoencoder, digits, step=Reconstruction(), epochs=12, lr=0.005, augment="shift", save="autoencoder")` is a good beginning.',
            "zh": '可以从 `history = fit(autoencoder, digits, step=Reconstruction(), epochs=12, lr=0.005, augment="shift", save="autoencoder")` 开始。',
        },
    ),
)


# --- 3 discriminator_loss ---------------------------------------------------------------------------------------------


def logits(rng: np.random.Generator, size: int, low: float = -2.5, high: float = 2.5) -> np.ndarray:
    """Scores with two decimals, none near 0."""
    values = rng.uniform(low, high, size)
    return np.where(np.abs(values) < 0.2, values + 0.5, values).round(2).astype(np.float32)


def draw_as_many(rng: np.random.Generator) -> dict[str, Tree]:
    n = int(rng.integers(3, 6))
    return {"real_logits": logits(rng, n, -1, 2.5), "fake_logits": logits(rng, n, -2.5, 1)}


def draw_not_as_many(rng: np.random.Generator) -> dict[str, Tree]:
    n = int(rng.integers(2, 4))
    return {"real_logits": logits(rng, n, -1, 2.5), "fake_logits": logits(rng, n + 3, -2.5, 1)}


def draw_sure_of_itself(rng: np.random.Generator) -> dict[str, Tree]:
    """Sure, and once wrong with each kind: sigmoid gives exactly 0 and 1 there."""
    real, fake = rng.uniform(90, 130, 4), -rng.uniform(90, 130, 4)
    real[2], fake[1] = -real[2], -fake[1]
    return {"real_logits": real.round(1).astype(np.float32), "fake_logits": fake.round(1).astype(np.float32)}


BY_HAND = Rules(forbid=PACKAGE)

REAL, FAKE = "F.softplus(-real_logits)", "F.softplus(fake_logits)"


def both(result: str) -> str:
    return f"""
def discriminator_loss(real_logits, fake_logits):
    return {result}
"""


DISCRIMINATOR_LOSS = Exercise(
    name="discriminator_loss",
    title={"en": "The discriminator's loss", "zh": "判别器的损失"},
    difficulty=2,
    minutes=12,
    draw={
        "as many of each": draw_as_many,
        "not as many of each": draw_not_as_many,
        "sure of itself": draw_sure_of_itself,
    },
    groups={
        "as many of each": {"zh": "真假一样多"},
        "not as many of each": {"zh": "真假不一样多"},
        "sure of itself": {"zh": "非常有把握"},
    },
    options={"gradient_to": ["real_logits", "fake_logits"]},
    rules=BY_HAND,
    variants=(
        """
def discriminator_loss(real_logits, fake_logits):
    real = F.binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
    fake = F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return real + fake
""",
        """
def discriminator_loss(real_logits, fake_logits):
    return -(F.logsigmoid(real_logits).mean() + F.logsigmoid(-fake_logits).mean())
""",
        """
def discriminator_loss(real_logits, fake_logits):
    zero = torch.zeros(())
    return torch.logaddexp(zero, -real_logits).mean() + torch.logaddexp(zero, fake_logits).mean()
""",
    ),
    misconceptions=(
        Misconception(
            "labels_swapped",
            both("F.softplus(real_logits).mean() + F.softplus(-fake_logits).mean()"),
            {
                "en": "Your labels are swapped: this loss falls when D calls real pictures fake and fakes real. D(x) is the probability that x is real, so real pictures have the label 1.",
                "zh": "你的标签反了：判别器把真的说成假的、假的说成真的，这个损失反而会下降。D(x) 是 x 为真的概率，所以真图的标签是 1。",
            },
        ),
        Misconception(
            "fakes_called_real",
            both("F.softplus(-real_logits).mean() + F.softplus(-fake_logits).mean()"),
            {
                "en": "Both your terms want D to say “real”. The second one is log(1 - D) for the fakes, so that D is to say “fake” there.",
                "zh": "你的两项都要求判别器说“真”。第二项是对假图的 log(1 - D)，那里应当要求它说“假”。",
            },
        ),
        Misconception(
            "maximised",
            both(f"-({REAL}.mean() + {FAKE}.mean())"),
            {
                "en": "The right number with the wrong sign. That is the value of the game, which D wants to be large; a loss is made small, so it is minus the value.",
                "zh": "数值对，符号反了。这是博弈的值，判别器希望它大；而损失是要最小化的，所以应当取负号。",
            },
        ),
        Misconception(
            "sign_of_the_fakes",
            both(f"{REAL}.mean() - {FAKE}.mean()"),
            {
                "en": "The term of the fakes has the wrong sign: log(1 - D) is added to the value of the game as log D is, so both get a minus in the loss.",
                "zh": "假图那一项的符号反了：在博弈的值里，log(1 - D) 和 log D 一样是加上去的，所以在损失里两项都要取负号。",
            },
        ),
        Misconception(
            "no_logarithm",
            both("-(real_logits.sigmoid().mean() + (1 - fake_logits.sigmoid()).mean())"),
            {
                "en": "You add the probabilities themselves. The game adds their logarithms, so that being sure and wrong costs much.",
                "zh": "你加的是概率本身。博弈里加的是概率的对数，这样“很有把握却判错”的代价才大。",
            },
        ),
        Misconception(
            "summed",
            both(f"{REAL}.sum() + {FAKE}.sum()"),
            {
                "en": "You add over the batch. E is a mean: over the real pictures, and over the fakes.",
                "zh": "你对整个批量求了和。E 是平均：对真图求一次平均，对假图求一次平均。",
            },
        ),
        Misconception(
            "not_averaged",
            both(f"{REAL} + {FAKE}"),
            {
                "en": "You add the terms picture by picture, the first real one to the first fake, before a mean is taken, or without one. E is a mean of each kind: over the real pictures, and over the fakes; the loss is the sum of both, a single number.",
                "zh": "你在取平均之前（或者根本没有取平均）就把真假图一张对一张地相加了。E 是各自的平均：对真图求一次，对假图求一次；损失是两者之和，一个数。",
            },
        ),
        Misconception(
            "fakes_forgotten",
            both(f"{REAL}.mean()"),
            {
                "en": "Only the real pictures count in your loss. A discriminator that calls everything real would be perfect.",
                "zh": "你的损失里只有真图。这样的话，一个把什么都说成真的判别器就是完美的了。",
            },
        ),
        Misconception(
            "real_ones_forgotten",
            both(f"{FAKE}.mean()"),
            {
                "en": "Only the fakes count in your loss. A discriminator that calls everything fake would be perfect.",
                "zh": "你的损失里只有假图。这样的话，一个把什么都说成假的判别器就是完美的了。",
            },
        ),
        Misconception(
            "sigmoid_twice",
            both("F.softplus(-real_logits.sigmoid()).mean() + F.softplus(fake_logits.sigmoid()).mean()"),
            {
                "en": "The sigmoid is in it twice: you make probabilities of the logits and give them to a function that expects logits (`binary_cross_entropy_with_logits` takes its own sigmoid).",
                "zh": "sigmoid 用了两次：你先把 logits 变成概率，又交给了以 logits 为输入的函数（`binary_cross_entropy_with_logits` 自己会做 sigmoid）。",
            },
        ),
        Misconception(
            "half_of_it",
            both(f"({REAL}.mean() + {FAKE}.mean()) / 2"),
            {
                "en": "Exactly half: you take the mean of the two means. The game adds them.",
                "zh": "恰好是一半：你对两个平均值又取了平均。博弈的值是两者之和。",
            },
        ),
        Misconception(
            "one_mean_over_all",
            both(f"torch.cat([{REAL}, {FAKE}]).mean()"),
            {
                "en": "You take one mean over real pictures and fakes together. Whichever are more then count for more. The game has a mean of each kind, and adds the two.",
                "zh": "你把真图和假图放在一起取了一个平均，这样哪种多，哪种的分量就重。博弈里是两种各取平均，再相加。",
            },
        ),
        Misconception(
            "twice_one_mean_over_all",
            both(f"2 * torch.cat([{REAL}, {FAKE}]).mean()"),
            {
                "en": "Right with as many fakes as real ones. Otherwise one mean over both lets the larger group count for more: take the mean of each kind, and add.",
                "zh": "真假一样多时是对的。不一样多时，放在一起取平均会让多的那一类份量更大：应当各取平均，再相加。",
            },
        ),
        Misconception(
            "logarithm_of_0",
            both("-(real_logits.sigmoid().log().mean() + (1 - fake_logits.sigmoid()).log().mean())"),
            {
                "en": "Right, until D is very sure of itself and wrong: then `sigmoid` rounds to 0 or 1, and the logarithm of 0 is infinite (or `exp` itself becomes infinite). Let one function do both, from the logits: `F.softplus`, `F.logsigmoid` or `F.binary_cross_entropy_with_logits`.",
                "zh": "一般情况下是对的，但当判别器非常有把握却判错时，`sigmoid` 会舍入成 0 或 1，而 0 的对数是无穷（或者 `exp` 本身就成了无穷）。请用一个函数直接从 logits 算：`F.softplus`、`F.logsigmoid` 或 `F.binary_cross_entropy_with_logits`。",
            },
        ),
        Misconception(
            "small_number_added",
            both(
                "-((real_logits.sigmoid() + 1e-8).log().mean() + (1 - fake_logits.sigmoid() + 1e-8).log().mean())"
            ),
            {
                "en": "A small number inside the logarithm keeps it finite, but wrong, and its gradient 0, just where D errs most. From the logits it can be computed exactly: `F.softplus`, `F.logsigmoid` or `F.binary_cross_entropy_with_logits`.",
                "zh": "在对数里加一个很小的数，结果虽然有限，却是错的；而且恰恰在判别器错得最厉害的地方，梯度为 0。从 logits 出发可以准确地算出来：`F.softplus`、`F.logsigmoid` 或 `F.binary_cross_entropy_with_logits`。",
            },
        ),
        Misconception(
            "cross_entropy_of_probabilities",
            both(
                "F.binary_cross_entropy(real_logits.sigmoid(), torch.ones_like(real_logits))"
                " + F.binary_cross_entropy(fake_logits.sigmoid(), torch.zeros_like(fake_logits))"
            ),
            {
                "en": "Right, until D is very sure of itself and wrong: `F.binary_cross_entropy` takes probabilities, which have been rounded to 0 or 1 by then, and cuts the logarithm off at -100. `F.binary_cross_entropy_with_logits` takes the logits.",
                "zh": "大体是对的，但当判别器非常有把握却判错时就不对了：`F.binary_cross_entropy` 接收的是概率，那时已经舍入成 0 或 1，它又把对数截断在 -100。请用接收 logits 的 `F.binary_cross_entropy_with_logits`。",
            },
        ),
        Misconception(
            "fakes_cut_off",
            both("F.softplus(-real_logits).mean() + F.softplus(fake_logits.detach()).mean()"),
            {
                "en": "The right number, but no gradient flows back to `fake_logits`, so D learns nothing from the fakes. It is the fake pictures that are cut off from G in D's step; D's logits for them are not.",
                "zh": "数值是对的，但梯度传不回 `fake_logits`，判别器从假图里什么也学不到。在判别器的一步里，要与 G 断开的是假图，而不是 D 对它们给出的 logits。",
            },
        ),
    ),
    hints=(
        {
            "en": "With a logit $s$ and $D = \\sigma(s)$: $-\\log D = \\log(1 + e^{-s})$ and $-\\log(1 - D) = \\log(1 + e^{s})$. `F.softplus(a)` is $\\log(1 + e^a)$, also where $e^a$ would be too large.",
            "zh": "设 logit 为 $s$，$D = \\sigma(s)$：$-\\log D = \\log(1 + e^{-s})$，$-\\log(1 - D) = \\log(1 + e^{s})$。`F.softplus(a)` 就是 $\\log(1 + e^a)$，$e^a$ 太大时也算得出来。",
        },
        {
            "en": "Or think of it as classification with two classes: `F.binary_cross_entropy_with_logits` with labels of ones for real pictures, and with labels of zeros for fakes. The two means are added.",
            "zh": "也可以看成二分类：对真图用全 1 的标签、对假图用全 0 的标签，各调用一次 `F.binary_cross_entropy_with_logits`，把两个平均值相加。",
        },
    ),
)


# --- 4 generator_loss -------------------------------------------------------------------------------------------------


def draw_fakes(rng: np.random.Generator, saturating: bool) -> dict[str, Tree]:
    return {"fake_logits": logits(rng, int(rng.integers(3, 6)), -2.5, 1.5), "saturating": saturating}


def draw_sure_fakes(rng: np.random.Generator, saturating: bool) -> dict[str, Tree]:
    values = rng.uniform(90, 130, 4) * np.array([-1, -1, 1, -1])
    return {"fake_logits": values.round(1).astype(np.float32), "saturating": saturating}


def draw_min_max(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_fakes(rng, True)


def draw_non_saturating(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_fakes(rng, False)


def draw_sure_min_max(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_sure_fakes(rng, True)


def draw_sure_non_saturating(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_sure_fakes(rng, False)


def two_losses(
    game: str = "-F.softplus(s)",
    game_slope: str = "-s.sigmoid()",
    other: str = "F.softplus(-s)",
    other_slope: str = "-(-s).sigmoid()",
    when: str = "saturating",
    result: str = "each.mean(), slope",
) -> str:
    return f"""
def generator_loss(s, saturating):
    each, slope = ({game}, {game_slope}) if {when} else ({other}, {other_slope})
    return {result}
"""


GENERATOR_LOSS = Exercise(
    name="generator_loss",
    title={"en": "The generator's loss, and why it starves", "zh": "生成器的损失，以及它为什么会“挨饿”"},
    difficulty=2,
    minutes=18,
    draw={
        "saturating": draw_min_max,
        "non-saturating": draw_non_saturating,
        "saturating, a sure D": draw_sure_min_max,
        "non-saturating, a sure D": draw_sure_non_saturating,
    },
    groups={
        "saturating": {"zh": "饱和"},
        "non-saturating": {"zh": "非饱和"},
        "saturating, a sure D": {"zh": "饱和，D 很有把握"},
        "non-saturating, a sure D": {"zh": "非饱和，D 很有把握"},
    },
    options={"gradient_to": ["fake_logits"], "gradient_from": 1},
    rules=Rules(forbid=(*PACKAGE, "torch.autograd", "torch.func", ".backward", ".requires_grad_")),
    variants=(
        """
def generator_loss(fake_logits, saturating):
    D = torch.sigmoid(fake_logits)
    if saturating:
        return F.logsigmoid(-fake_logits).mean(), -D
    return -F.logsigmoid(fake_logits).mean(), D - 1
""",
        """
def generator_loss(fake_logits, saturating):
    labels = torch.zeros_like(fake_logits) if saturating else torch.ones_like(fake_logits)
    sign = -1 if saturating else 1
    loss = sign * F.binary_cross_entropy_with_logits(fake_logits, labels)
    return loss, sign * (1 / (1 + torch.exp(-fake_logits)) - labels)
""",
    ),
    misconceptions=(
        Misconception(
            "one_for_the_other",
            two_losses(when="not saturating"),
            {
                "en": "You have taken one loss for the other. The saturating one is the game's own, E log(1 - D(G(z))); the other one is -E log D(G(z)).",
                "zh": "你把两个损失弄反了。饱和的那个是博弈本身的 E log(1 - D(G(z)))；另一个是 -E log D(G(z))。",
            },
        ),
        Misconception(
            "always_the_non_saturating",
            two_losses(when="False"),
            {
                "en": "You give the non-saturating loss in both cases. With `saturating=True` the game's own is asked for: E log(1 - D(G(z))).",
                "zh": "两种情况你给的都是非饱和损失。`saturating=True` 时要的是博弈本身的 E log(1 - D(G(z)))。",
            },
        ),
        Misconception(
            "always_the_game",
            two_losses(when="True"),
            {
                "en": "You give the game's own loss in both cases. With `saturating=False` it is -E log D(G(z)).",
                "zh": "两种情况你给的都是博弈本身的损失。`saturating=False` 时应为 -E log D(G(z))。",
            },
        ),
        Misconception(
            "wants_to_be_found_out",
            two_losses(game="F.softplus(s)", game_slope="s.sigmoid()"),
            {
                "en": "The sign of the saturating loss is the wrong way round: yours is the discriminator's part, -E log(1 - D(G(z))), and whoever makes it small helps D. G minimises E log(1 - D(G(z))), a negative number.",
                "zh": "饱和损失的符号反了：你写的是判别器的那一项 -E log(1 - D(G(z)))，最小化它就是在帮判别器。生成器要最小化的是 E log(1 - D(G(z)))，它是负数。",
            },
        ),
        Misconception(
            "sign_of_the_saturating",
            two_losses(game="F.softplus(s)"),
            {
                "en": "Your slopes are right, the saturating loss has the wrong sign: G minimises E log(1 - D(G(z))), a negative number, which falls as the slope says.",
                "zh": "斜率是对的，但饱和损失的符号反了：生成器要最小化的是 E log(1 - D(G(z)))，它是负数，而且像斜率所说的那样下降。",
            },
        ),
        Misconception(
            "sign_of_the_non_saturating",
            two_losses(other="-F.softplus(-s)", other_slope="(-s).sigmoid()"),
            {
                "en": "The sign of the non-saturating loss is the wrong way round: G wants log D(G(z)) to be large, so the loss is minus that.",
                "zh": "非饱和损失的符号反了：生成器希望 log D(G(z)) 变大，所以损失要取负号。",
            },
        ),
        Misconception(
            "slope_by_probability",
            two_losses(game_slope="-1 / (1 - s.sigmoid())", other_slope="-1 / s.sigmoid()"),
            {
                "en": "Your slopes are derivatives by D, -1/(1 - D) and -1/D. The generator moves the logit, and D = σ(logit): by the chain rule there is a factor D(1 - D) more.",
                "zh": "你求的是对 D 的导数：-1/(1 - D) 和 -1/D。生成器改变的是 logit，而 D = σ(logit)：按链式法则还要乘上 D(1 - D)。",
            },
        ),
        Misconception(
            "slope_of_D",
            two_losses(
                game_slope="-s.sigmoid() * (-s).sigmoid()", other_slope="-s.sigmoid() * (-s).sigmoid()"
            ),
            {
                "en": "D(1 - D) is the slope of D itself. Of its logarithm, the chain rule divides that by what stands in the logarithm, D or 1 - D.",
                "zh": "D(1 - D) 是 D 自己的导数。对它取了对数之后，按链式法则还要除以对数里的那个量，也就是 D 或 1 - D。",
            },
        ),
        Misconception(
            "slopes_exchanged",
            two_losses(game_slope="-(-s).sigmoid()", other_slope="-s.sigmoid()"),
            {
                "en": "Your slopes are exchanged: σ where 1 - σ belongs. Check with a fake that D sees through, logit -5: the saturating loss, log(1 - 0.007), is almost flat there.",
                "zh": "两个斜率弄反了：该是 1 - σ 的地方写成了 σ。用一张被 D 识破的假图（logit 为 -5）验证一下：饱和损失 log(1 - 0.007) 在那里几乎是平的。",
            },
        ),
        Misconception(
            "slope_upside_down",
            two_losses(game_slope="s.sigmoid()", other_slope="(-s).sigmoid()"),
            {
                "en": "The losses are right; your slopes have the wrong sign. Both losses fall when the logit of a fake grows, so both slopes are negative.",
                "zh": "损失是对的，但斜率的符号反了。假图的 logit 变大时，两个损失都下降，所以两个斜率都是负的。",
            },
        ),
        Misconception(
            "slope_of_the_mean",
            two_losses(result="each.mean(), slope / len(s)"),
            {
                "en": "Your slopes are divided by the number of fakes: those of the mean. Asked for is the slope of each fake's own term, which does not depend on how many others there are.",
                "zh": "你的斜率除以了假图的张数，那是平均值的导数。题目要的是每张假图自己那一项的斜率，与另外还有多少张无关。",
            },
        ),
        Misconception(
            "summed",
            two_losses(result="each.sum(), slope"),
            {
                "en": "You add the losses of the batch. E is the mean.",
                "zh": "你把一个批量的损失相加了。E 是平均。",
            },
        ),
        Misconception(
            "not_averaged",
            two_losses(result="each, slope"),
            {
                "en": "Your loss is still one number for each fake. E is the mean; only the slopes are asked for one by one.",
                "zh": "你的损失仍是每张假图一个数。E 是平均；只有斜率才是每张一个。",
            },
        ),
        Misconception(
            "logarithm_of_0",
            two_losses(game="(1 - s.sigmoid()).log()", other="-s.sigmoid().log()"),
            {
                "en": "Right, until D is very sure of itself: then `sigmoid` rounds to 0 or 1, and the logarithm of 0 is infinite (or `exp` itself becomes infinite). Compute from the logits: `F.softplus` or `F.logsigmoid`.",
                "zh": "一般情况下是对的，但当判别器非常有把握时，`sigmoid` 会舍入成 0 或 1，而 0 的对数是无穷（或者 `exp` 本身就成了无穷）。请直接从 logits 算：`F.softplus` 或 `F.logsigmoid`。",
            },
        ),
        Misconception(
            "slope_overflows",
            two_losses(game_slope="-s.exp() / (1 + s.exp())", other_slope="-(-s).exp() / (1 + (-s).exp())"),
            {
                "en": "Your slopes are right until D is very sure of itself: then the exponential is infinite, and infinite by infinite is NaN. e^s / (1 + e^s) is σ(s): `torch.sigmoid` computes it without overflowing.",
                "zh": "斜率是对的，但判别器非常有把握时，指数会变成无穷，无穷除以无穷得到 NaN。e^s / (1 + e^s) 就是 σ(s)：`torch.sigmoid` 算它不会溢出。",
            },
        ),
        Misconception(
            "small_number_added",
            two_losses(game="(1 - s.sigmoid() + 1e-8).log()", other="-(s.sigmoid() + 1e-8).log()"),
            {
                "en": "A small number inside the logarithm keeps it finite, but wrong just where D is very sure. From the logits it can be computed exactly: `F.softplus` or `F.logsigmoid`.",
                "zh": "在对数里加一个很小的数，结果是有限了，但恰恰在判别器很有把握的地方不对。直接从 logits 可以算得准确：`F.softplus` 或 `F.logsigmoid`。",
            },
        ),
        Misconception(
            "sigmoid_twice",
            two_losses(game="-F.softplus(s.sigmoid())", other="F.softplus(-s.sigmoid())"),
            {
                "en": "The sigmoid is in your losses twice: you make probabilities of the logits and give them to a function that expects logits.",
                "zh": "你的损失里 sigmoid 用了两次：先把 logits 变成了概率，又交给了以 logits 为输入的函数。",
            },
        ),
    ),
    hints=(
        {
            "en": "$\\log(1 - \\sigma(s)) = -\\operatorname{softplus}(s)$ and $-\\log \\sigma(s) = \\operatorname{softplus}(-s)$. The loss is the mean of these over the batch.",
            "zh": "$\\log(1 - \\sigma(s)) = -\\operatorname{softplus}(s)$，$-\\log \\sigma(s) = \\operatorname{softplus}(-s)$。损失是它们在批量上的平均。",
        },
        {
            "en": "For the slopes: $\\sigma' = \\sigma(1 - \\sigma)$, so $\\frac{d}{ds} \\log \\sigma(s) = 1 - \\sigma(s)$. The other one goes the same way, and both come out very short.",
            "zh": "求斜率：$\\sigma' = \\sigma(1 - \\sigma)$，所以 $\\frac{d}{ds} \\log \\sigma(s) = 1 - \\sigma(s)$。另一个同理，两个结果都很短。",
        },
    ),
)


# --- 5 discriminator_step, 6 generator_step ---------------------------------------------------------------------------


def small_player(rng: np.random.Generator, outputs: int) -> nn.Sequential:
    """Two inputs, four hidden units; weights drawn from `rng`. One output is a logit for each row: shape (N,)."""
    layers: list[nn.Module] = [nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, outputs)]
    player = nn.Sequential(*layers, *([nn.Flatten(0)] if outputs == 1 else []))
    with torch.no_grad():
        for parameter in player.parameters():
            parameter.copy_(torch.from_numpy(rng.standard_normal(tuple(parameter.shape)) * 0.8))
    return player


def draw_game(rng: np.random.Generator, batches: list[list[Tree]], momentum: float) -> dict[str, Tree]:
    return {
        "generator": small_player(rng, 2),
        "discriminator": small_player(rng, 1),
        "batches": batches,
        "lr": round(float(rng.uniform(0.2, 0.5)), 2),
        "momentum": momentum,
    }


def points(rng: np.random.Generator, size: int, middle: float) -> np.ndarray:
    return (rng.standard_normal((size, 2)) + middle).round(2).astype(np.float32)


def draw_one_for_d(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_game(rng, [[points(rng, 6, 1), points(rng, 6, 0)]], momentum=0.0)


def draw_several_for_d(rng: np.random.Generator) -> dict[str, Tree]:
    """As many fakes as real ones they are not."""
    return draw_game(rng, [[points(rng, 6, 1), points(rng, 9, 0)] for _ in range(3)], momentum=0.5)


def draw_one_for_g(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_game(rng, [[points(rng, 6, 0)]], momentum=0.0)


def draw_several_for_g(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_game(rng, [[points(rng, 6, 0)] for _ in range(3)], momentum=0.5)


STEPS = {"one step": {"zh": "一步"}, "several steps": {"zh": "多步"}}


def d_step(
    fake: str = "generator(z).detach()",
    loss: str = "F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).mean()",
    clear: str = "discriminator_optimizer.zero_grad()",
    update: str = "discriminator_optimizer.step()",
    result: str = "loss.item()",
) -> str:
    return f"""
def discriminator_step(generator, discriminator, generator_optimizer, discriminator_optimizer, real, z):
    {clear}
    fake = {fake}
    loss = {loss}
    loss.backward()
    {update}
    return {result}
"""


DISCRIMINATOR_STEP = Exercise(
    name="discriminator_step",
    title={"en": "The discriminator takes a step", "zh": "判别器走一步"},
    difficulty=2,
    minutes=15,
    draw={"one step": draw_one_for_d, "several steps": draw_several_for_d},
    groups=STEPS,
    adaptor="game_step",
    options={"spectator": "generator"},
    cases=2,
    needs=("discriminator_loss",),
    rules=BY_HAND,
    variants=(
        d_step(),
        """
def discriminator_step(generator, discriminator, generator_optimizer, discriminator_optimizer, real, z):
    bce = nn.BCEWithLogitsLoss()
    discriminator_optimizer.zero_grad()
    with torch.no_grad():
        fake = generator(z)
    on_real = bce(discriminator(real), torch.ones(len(real)))
    on_real.backward()
    on_fake = bce(discriminator(fake), torch.zeros(len(fake)))
    on_fake.backward()
    discriminator_optimizer.step()
    return (on_real + on_fake).item()
""",
        """
def discriminator_step(generator, discriminator, generator_optimizer, discriminator_optimizer, real, z):
    for parameter in generator.parameters():
        parameter.requires_grad_(False)
    logits = discriminator(torch.cat([real, generator(z)]))
    for parameter in generator.parameters():
        parameter.requires_grad_(True)
    loss = discriminator_loss(logits[: len(real)], logits[len(real) :])
    gradients = torch.autograd.grad(loss, list(discriminator.parameters()))
    for parameter, gradient in zip(discriminator.parameters(), gradients):
        parameter.grad = gradient
    discriminator_optimizer.step()
    return float(loss)
""",
    ),
    misconceptions=(
        Misconception(
            "fakes_not_detached",
            d_step(fake="generator(z)"),
            {
                "en": "D learns the right thing, but a gradient is left in the generator: `backward` went on through the fakes into G. That costs time, and what is left there is a push towards being found out; one careless `step` and G takes it. Cut the fakes off: `.detach()`, or make them under `torch.no_grad()`.",
                "zh": "判别器学得没错，但生成器里留下了梯度：`backward` 穿过假图，一直传进了 G。这既浪费时间，留下的梯度又是把 G 往“更容易被识破”的方向推，一不小心 `step` 一下，G 就会照着走。请把假图的梯度断开：用 `.detach()`，或者在 `torch.no_grad()` 里生成假图。",
            },
        ),
        Misconception(
            "both_optimizers_step",
            d_step(fake="generator(z)", update="discriminator_optimizer.step(); generator_optimizer.step()"),
            {
                "en": "Both optimizers take a step, and G's makes the discriminator's loss small: G learns to be found out. In this step only D moves, and the fakes are cut off (`.detach()`).",
                "zh": "两个优化器都走了一步，而生成器走的那一步是在减小判别器的损失：它在学怎样被识破。这一步里只有 D 可以动，假图的梯度要断开（`.detach()`）。",
            },
        ),
        Misconception(
            "spectator_steps_along",
            d_step(update="discriminator_optimizer.step(); generator_optimizer.step()"),
            {
                "en": "D's step is right, but G's optimizer takes one, too. That the fakes are cut off does not stop it: whatever gradients, momentum or weight decay G has, they move it. In this step only D's optimizer is asked.",
                "zh": "判别器的一步是对的，但生成器的优化器也走了一步。假图断开了也拦不住它：G 里原有的梯度、动量或权重衰减都会让它移动。这一步里只能让 D 的优化器走。",
            },
        ),
        Misconception(
            "the_other_optimizer",
            d_step(
                fake="generator(z)",
                clear="generator_optimizer.zero_grad()",
                update="generator_optimizer.step()",
            ),
            {
                "en": "It is the generator that moves in your step, so as to make the discriminator's loss small. Here D's optimizer takes the step.",
                "zh": "你这一步里动的是生成器，而且是为了减小判别器的损失。这里应当由 D 的优化器来走。",
            },
        ),
        Misconception(
            "labels_swapped",
            d_step(loss="F.softplus(discriminator(real)).mean() + F.softplus(-discriminator(fake)).mean()"),
            {
                "en": "Your labels are swapped: D learns to call real pictures fake and fakes real. Real ones have the label 1.",
                "zh": "你的标签反了：判别器在学着把真的说成假的、假的说成真的。真图的标签是 1。",
            },
        ),
        Misconception(
            "gradients_pile_up",
            d_step(clear="pass"),
            {
                "en": "The first step is right, the following ones are not: gradients of earlier steps are still there. In a GAN that is worse than usual, since the generator's step leaves gradients in D as well. Clear D's at the beginning of its step.",
                "zh": "第一步是对的，后面的不对：前几步的梯度还留着。在 GAN 里这比平时更糟，因为生成器的那一步也会在 D 里留下梯度。D 每走一步，一开始都要把它的梯度清零。",
            },
        ),
        Misconception(
            "cleared_too_late",
            d_step(
                clear="pass", update="discriminator_optimizer.step(); discriminator_optimizer.zero_grad()"
            ),
            {
                "en": "Right as long as D plays alone. But before its next step comes the generator's, and the gradient of that one goes through D and stays there. Clear D's gradients at the beginning of its step, not at the end.",
                "zh": "判别器单独走是对的。但在它的下一步之前，生成器先走一步，那一步的梯度会穿过 D 并留在里面。所以要在 D 的一步开始时清零，而不是结束时。",
            },
        ),
        Misconception(
            "fakes_forgotten",
            d_step(loss="F.softplus(-discriminator(real)).mean()"),
            {
                "en": "Your D only ever sees real pictures. It soon calls everything real, and G learns nothing from it.",
                "zh": "你的判别器只看过真图。它很快就会把什么都说成真的，生成器从它那里什么也学不到。",
            },
        ),
        Misconception(
            "real_ones_forgotten",
            d_step(loss="F.softplus(discriminator(fake)).mean()"),
            {
                "en": "Your D only ever sees fakes. Show it the real pictures, too.",
                "zh": "你的判别器只看过假图。真图也要给它看。",
            },
        ),
        Misconception(
            "fakes_give_no_gradient",
            d_step(
                loss="F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).detach().mean()"
            ),
            {
                "en": "The loss is right, but D learns from the real pictures only: what it says of the fakes is cut off from its gradient. Cut off the fakes, `generator(z).detach()`; D itself has to stay out of `no_grad` and `.detach()`.",
                "zh": "损失是对的，但判别器只从真图中学习：它对假图的判断被切断了梯度。要断开的是假图，`generator(z).detach()`；判别器本身不能放进 `no_grad`，也不能 `.detach()`。",
            },
        ),
        Misconception(
            "one_mean_over_all",
            d_step(
                loss="2 * torch.cat([F.softplus(-discriminator(real)), F.softplus(discriminator(fake))]).mean()"
            ),
            {
                "en": "Right with as many fakes as real ones. Otherwise one mean over both lets the larger group count for more: take the mean of each kind, and add.",
                "zh": "真假一样多时是对的。不一样多时，放在一起取平均会让多的那一类份量更大：应当各取平均，再相加。",
            },
        ),
        Misconception(
            "sigmoid_twice",
            d_step(
                loss="F.softplus(-discriminator(real).sigmoid()).mean() + F.softplus(discriminator(fake).sigmoid()).mean()"
            ),
            {
                "en": "The sigmoid is in it twice: D gives logits already, and your loss expects logits.",
                "zh": "sigmoid 用了两次：判别器给出的已经是 logits，而损失要的正是 logits。",
            },
        ),
        Misconception(
            "nobody_moves",
            d_step(update="pass"),
            {
                "en": "The loss is right, but no weight of D changes: its optimizer is not asked for its step.",
                "zh": "损失是对的，但 D 的权重一点没变：没有让它的优化器走一步。",
            },
        ),
        Misconception(
            "no_gradient_at_the_step",
            d_step(update="discriminator_optimizer.zero_grad(); discriminator_optimizer.step()"),
            {
                "en": "The loss is right, but when D's optimizer takes its step there is no gradient: it was cleared after `backward`, or `backward` came too late or not at all. The order: clear, `backward`, step.",
                "zh": "损失是对的，但 D 的优化器走那一步时没有梯度：可能在 `backward` 之后清零了，也可能没有调用 `backward`，或者调用得太晚。顺序是：清零、`backward`、走一步。",
            },
        ),
        Misconception(
            "two_steps",
            """
def discriminator_step(generator, discriminator, generator_optimizer, discriminator_optimizer, real, z):
    total = 0.0
    for batch, sign in ((real, -1), (generator(z).detach(), 1)):
        discriminator_optimizer.zero_grad()
        loss = F.softplus(sign * discriminator(batch)).mean()
        loss.backward()
        discriminator_optimizer.step()
        total += loss.item()
    return total
""",
            {
                "en": "D takes two steps, one for the real pictures and one for the fakes. One step is asked for, by the sum of both losses; otherwise the second is judged by a D that has moved already.",
                "zh": "判别器走了两步：一步看真图，一步看假图。题目要的是按两项损失之和走一步；否则第二项是由已经动过的 D 来判断的。",
            },
        ),
        Misconception(
            "generator_frozen_for_good",
            d_step(fake="generator.requires_grad_(False)(z)"),
            {
                "en": "The step is right, but G can learn nothing afterwards: its `requires_grad` is still off. `.detach()` or `torch.no_grad()` cuts the fakes off without touching G.",
                "zh": "这一步是对的，但之后 G 再也学不动了：它的 `requires_grad` 一直关着。用 `.detach()` 或 `torch.no_grad()` 断开假图，就不用去动 G。",
            },
        ),
        Misconception(
            "generator_left_in_evaluation_mode",
            d_step(fake="generator.eval()(z).detach()"),
            {
                "en": "The step is right, but G is left in evaluation mode, in which dropout and batch normalisation do not train. Leave its mode alone, or set it back with `.train()`.",
                "zh": "这一步是对的，但 G 被留在了评估模式，dropout 和批归一化在这个模式下不会训练。不要动它的模式，或者用 `.train()` 恢复。",
            },
        ),
        Misconception(
            "noise_not_used",
            d_step(fake="generator(torch.randn_like(z)).detach()"),
            {
                "en": "You draw noise of your own. Here it is handed over as `z`, so that your result can be compared.",
                "zh": "你自己又抽了一次噪声。这里的噪声已经作为 `z` 给出，这样才能比较结果。",
            },
        ),
        Misconception(
            "loss_after_the_step",
            d_step(
                result="(F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).mean()).item()"
            ),
            {
                "en": "The weights are right, but the loss that you return is computed anew after the update. Return the one that you differentiated.",
                "zh": "权重是对的，但返回的损失是更新之后重新算的。请返回求导时用的那个损失。",
            },
        ),
    ),
    hints=(
        {
            "en": "Clear D's gradients; fakes from `z`, cut off from G; logits of the real pictures and of the fakes; your `discriminator_loss`; backward; a step of D's optimizer; the loss as a number (`.item()`).",
            "zh": "清零 D 的梯度；由 `z` 生成假图，并断开通往 G 的梯度；算真图和假图的 logits；用你的 `discriminator_loss`；反向传播；D 的优化器走一步；返回损失的数值（`.item()`）。",
        },
    ),
)


def g_step(
    clear: str = "generator_optimizer.zero_grad()",
    fake: str = "generator(z)",
    loss: str = "F.softplus(-discriminator(fake)).mean()",
    update: str = "generator_optimizer.step()",
    result: str = "loss.item()",
    before: str = "pass",
) -> str:
    return f"""
def generator_step(generator, discriminator, generator_optimizer, discriminator_optimizer, z):
    {before}
    {clear}
    fake = {fake}
    loss = {loss}
    loss.backward()
    {update}
    return {result}
"""


GENERATOR_STEP = Exercise(
    name="generator_step",
    title={"en": "The generator takes a step", "zh": "生成器走一步"},
    difficulty=2,
    minutes=15,
    draw={"one step": draw_one_for_g, "several steps": draw_several_for_g},
    groups=STEPS,
    adaptor="game_step",
    cases=2,
    needs=("generator_loss",),
    rules=BY_HAND,
    variants=(
        g_step(),
        """
def generator_step(generator, discriminator, generator_optimizer, discriminator_optimizer, z):
    discriminator.requires_grad_(False)
    scores = discriminator(generator(z))
    loss = nn.BCEWithLogitsLoss()(scores, torch.ones_like(scores))
    loss.backward()
    discriminator.requires_grad_(True)
    generator_optimizer.step()
    generator_optimizer.zero_grad()
    return loss.detach()
""",
        """
def generator_step(generator, discriminator, generator_optimizer, discriminator_optimizer, z):
    loss = -F.logsigmoid(discriminator(generator(z))).mean()
    gradients = torch.autograd.grad(loss, list(generator.parameters()))
    for parameter, gradient in zip(generator.parameters(), gradients):
        parameter.grad = gradient
    generator_optimizer.step()
    return float(loss)
""",
    ),
    misconceptions=(
        Misconception(
            "step_reaches_the_discriminator",
            g_step(
                clear="generator_optimizer.zero_grad(); discriminator_optimizer.zero_grad()",
                update="generator_optimizer.step(); discriminator_optimizer.step()",
            ),
            {
                "en": "The discriminator moves, too, and in G's favour: it learns to let these fakes pass. The gradient has to go through D, but only G's optimizer takes a step.",
                "zh": "判别器也动了，而且是朝着有利于 G 的方向：它在学着放过这些假图。梯度必须穿过 D，但只有 G 的优化器可以走一步。",
            },
        ),
        Misconception(
            "the_other_optimizer",
            g_step(
                clear="discriminator_optimizer.zero_grad()",
                update="discriminator_optimizer.step()",
            ),
            {
                "en": "It is the discriminator that moves in your step: it learns to call fakes real. Here G's optimizer takes the step.",
                "zh": "你这一步里动的是判别器：它在学着把假图说成真的。这里应当由 G 的优化器来走。",
            },
        ),
        Misconception(
            "fakes_detached",
            g_step(fake="generator(z).detach()"),
            {
                "en": "The loss is right, but no gradient has reached G when its optimizer takes the step: the fakes are cut off, as in D's step, or the gradients were cleared after `backward`. Here the gradient must get from D's verdict through the picture back to G.",
                "zh": "损失是对的，但 G 的优化器走那一步时，没有梯度传到 G。可能是像 D 的那一步一样把假图的梯度断开了，也可能是在 `backward` 之后又清零了。这里梯度必须从 D 的判断出发，穿过图像，回到 G。",
            },
        ),
        Misconception(
            "verdict_cut_off",
            g_step(loss="F.softplus(-discriminator(fake).detach()).mean()"),
            {
                "en": "The loss has no gradient at all: D's verdict is cut off (`no_grad` or `.detach()`). G's gradient has to go through D; D stays where it is because its optimizer takes no step, not because it is cut off.",
                "zh": "损失完全没有梯度：D 的判断被切断了（`no_grad` 或 `.detach()`）。G 的梯度必须穿过 D；D 不动，是因为它的优化器不走，而不是因为切断了梯度。",
            },
        ),
        Misconception(
            "nobody_moves",
            g_step(update="pass"),
            {
                "en": "The loss is right, but no weight of G changes: its optimizer is not asked for its step.",
                "zh": "损失是对的，但 G 的权重一点没变：没有让它的优化器走一步。",
            },
        ),
        Misconception(
            "saturating_loss",
            g_step(loss="-F.softplus(discriminator(fake)).mean()"),
            {
                "en": "That is the game's own loss, the saturating one. You have just seen that it starves G when D is sure; the non-saturating one is meant here.",
                "zh": "你用的是博弈本身的损失，也就是饱和损失。刚才已经看到，判别器很有把握时，它会让生成器“挨饿”；这里要用非饱和的那个。",
            },
        ),
        Misconception(
            "discriminators_labels",
            g_step(loss="F.softplus(discriminator(fake)).mean()"),
            {
                "en": "You train G on the discriminator's loss for fakes (label 0): it learns to be found out. G wants its fakes to be called real: label 1.",
                "zh": "你用判别器对假图的损失（标签 0）去训练 G：它学的是怎样被识破。G 希望假图被当成真的：标签应为 1。",
            },
        ),
        Misconception(
            "slope_as_loss",
            g_step(loss="generator_loss(discriminator(fake), False)[1].mean()"),
            {
                "en": "You take the slope for the loss: `generator_loss` returns two things, and the first one is the loss.",
                "zh": "你把斜率当成了损失：`generator_loss` 返回两样东西，第一样才是损失。",
            },
        ),
        Misconception(
            "both_results_as_loss",
            g_step(loss="generator_loss(discriminator(fake), False)"),
            {
                "en": "`generator_loss` returns two things, loss and slopes, and a pair has no `backward`. Take the first: `loss, _ = generator_loss(...)`.",
                "zh": "`generator_loss` 返回损失和斜率两样东西，而元组没有 `backward`。取第一样：`loss, _ = generator_loss(...)`。",
            },
        ),
        Misconception(
            "two_steps",
            g_step(update="generator_optimizer.step(); generator_optimizer.step()"),
            {
                "en": "G takes two steps with the same gradient. One is asked for.",
                "zh": "G 用同一个梯度走了两步。题目只要一步。",
            },
        ),
        Misconception(
            "gradients_pile_up",
            g_step(clear="pass"),
            {
                "en": "The first step is right, the following ones are not: G's gradients of earlier steps are still there. Clear them in every step.",
                "zh": "第一步是对的，后面的不对：G 在前几步的梯度还留着。每一步都要清零。",
            },
        ),
        Misconception(
            "discriminator_frozen_for_good",
            g_step(before="discriminator.requires_grad_(False)"),
            {
                "en": "The step is right, but D can learn nothing afterwards: `requires_grad` is still off. Switch it on again at the end (or leave it alone: D's optimizer simply takes no step here).",
                "zh": "这一步是对的，但之后 D 再也学不动了：`requires_grad` 一直关着。最后要再打开（或者干脆不去动它：这里只要 D 的优化器不走就行了）。",
            },
        ),
        Misconception(
            "noise_not_used",
            g_step(fake="generator(torch.randn_like(z))"),
            {
                "en": "You draw noise of your own. Here it is handed over as `z`, so that your result can be compared.",
                "zh": "你自己又抽了一次噪声。这里的噪声已经作为 `z` 给出，这样才能比较结果。",
            },
        ),
        Misconception(
            "loss_after_the_step",
            g_step(result="F.softplus(-discriminator(generator(z))).mean().item()"),
            {
                "en": "The weights are right, but the loss that you return is computed anew after the update. Return the one that you differentiated.",
                "zh": "权重是对的，但返回的损失是更新之后重新算的。请返回求导时用的那个损失。",
            },
        ),
    ),
    hints=(
        {
            "en": "As before, with the roles changed: clear G's gradients; fakes from `z`, *not* cut off; D's logits for them; your `generator_loss` with `saturating=False`, of which the first value is the loss; backward; a step of G's optimizer.",
            "zh": "和前面一样，只是角色互换：清零 G 的梯度；由 `z` 生成假图，梯度*不要*断开；算 D 对它们的 logits；用你的 `generator_loss`，取 `saturating=False`，返回的第一个值就是损失；反向传播；G 的优化器走一步。",
        },
    ),
)


# --- 7 log_density ----------------------------------------------------------------------------------------------------


def invertible(rng: np.random.Generator, dim: int, sign: float, bent: bool) -> list[nn.Module]:
    """A linear layer whose determinant has the given sign and a size far from 1, and tanh after it if it is to be bent."""
    left, right = (np.linalg.qr(rng.standard_normal((dim, dim)))[0] for _ in range(2))
    stretch = rng.uniform(0.3, 0.6, dim) if bent else rng.uniform(1.4, 2.2, dim)
    weight = left @ np.diag(stretch) @ right
    if np.linalg.det(weight) * sign < 0:
        weight[0] = -weight[0]
    layer = nn.Linear(dim, dim)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(rng.uniform(-0.4, 0.4, dim)))
    return [layer, nn.Tanh()] if bent else [layer]


def draw_flow(rng: np.random.Generator, *bent: bool) -> dict[str, Tree]:
    """A flow of so many steps, of which the first turns space inside out, and points of the base density."""
    dim = 2
    steps = [invertible(rng, dim, -1.0 if i == 0 else 1.0, is_bent) for i, is_bent in enumerate(bent)]
    layers = nn.Sequential(*(layer for step in steps for layer in step))
    return {"layers": layers, "z0": rng.standard_normal((4, dim)).astype(np.float32)}


def draw_linear(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_flow(rng, False)


def draw_bent(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_flow(rng, True, False, True)


NORMAL = "-0.5 * z0.square().sum(1) - z0.shape[1] / 2 * math.log(2 * math.pi)"
DET = "torch.linalg.det(jacobians(layer, z)).abs()"


def density(
    start: str = NORMAL,
    change: str = f"-{DET}.log()",
    at: str = "z",
    result: str = "log_p",
    layers: str = "layers",
) -> str:
    """A `log_density` that is right but for the arguments given."""
    return f"""
def log_density(layers, z0):
    log_p, z = {start}, z0
    for layer in {layers}:
        log_p = log_p + ({change})
        {at} = layer(z)
    return {result}
"""


LOG_DENSITY = Exercise(
    name="log_density",
    title={"en": "Change of variables", "zh": "变量替换"},
    difficulty=3,
    minutes=25,
    draw={"one linear layer": draw_linear, "several layers": draw_bent},
    groups={"one linear layer": {"zh": "一个线性层"}, "several layers": {"zh": "多层"}},
    cases=2,
    rules=Rules(forbid=("coursekit.models", "coursekit.train", "coursekit.measure")),
    variants=(
        """
def log_density(layers, z0):
    whole = jacobians(layers, z0)
    base = torch.distributions.Normal(0.0, 1.0).log_prob(z0).sum(1)
    return base - torch.linalg.slogdet(whole).logabsdet
""",
        """
def log_density(layers, z0):
    log_p, z = torch.distributions.MultivariateNormal(torch.zeros(z0.shape[1]), torch.eye(z0.shape[1])).log_prob(z0), z0
    for layer in layers:
        z = layer(z)
        if isinstance(layer, nn.Linear):
            log_p = log_p - torch.linalg.slogdet(layer.weight)[1]
        else:
            log_p = log_p - (1 - z**2).log().sum(1)
    return log_p.detach()
""",
        """
def log_density(layers, z0):
    p, z = torch.exp(-z0.square() / 2).prod(1) / (2 * math.pi) ** (z0.shape[1] / 2), z0
    for layer in layers:
        p = p / jacobians(layer, z).det().abs()
        z = layer(z)
    return p.log()
""",
    ),
    misconceptions=(
        Misconception(
            "logarithm_forgotten",
            density(change=f"-{DET}"),
            {
                "en": "You get exactly what the formula on the slide gives: it subtracts the determinants themselves. The densities are divided by them, and of a quotient the logarithm subtracts the logarithm: `log |det|`. With the printed formula the density does not integrate to 1.",
                "zh": "你的结果正是照课件上的公式算出来的：那里减去的是行列式本身。密度要除以行列式的绝对值，取对数之后，减去的应当是行列式绝对值的对数 `log |det|`。照印出来的公式算，密度的积分不等于 1。",
            },
        ),
        Misconception(
            "determinant_itself",
            density(change="-torch.linalg.det(jacobians(layer, z))"),
            {
                "en": "You subtract the determinants themselves, with their sign. The bars on the slide are an absolute value, and even so its formula is not right: the densities are divided by `|det|`, and of a quotient the logarithm subtracts the logarithm.",
                "zh": "你减去的是带符号的行列式本身。课件上的竖线表示绝对值，而且即使取了绝对值，那个公式也不对：密度要除以 `|det|`，取对数之后，减去的应当是它的对数。",
            },
        ),
        Misconception(
            "log_determinant_added",
            density(change=f"{DET}.log()"),
            {
                "en": "The log-determinant has the wrong sign (or is that of the inverse map). Where the map stretches space, the same probability lies on more room: the density falls, so `log |det|` of the map from `z` to `x` is subtracted.",
                "zh": "对数行列式的符号反了（或者你用的是逆映射的雅可比矩阵）。映射把空间拉伸时，同样的概率摊到更大的体积上，密度会变小：对从 `z` 到 `x` 的映射，应当减去 `log |det|`。",
            },
        ),
        Misconception(
            "base_forgotten",
            density(start="torch.zeros(len(z0))"),
            {
                "en": "You have the change of volume alone. The density of the noise itself, `log p(z0)`, is the term to begin with.",
                "zh": "你只算了体积的变化。应当从噪声本身的对数密度 `log p(z0)` 算起。",
            },
        ),
        Misconception(
            "normal_without_its_constant",
            density(start="-0.5 * z0.square().sum(1)"),
            {
                "en": "All your values are too large by the same number, `D/2 · log 2π`: the constant of the normal density is missing, without which it does not integrate to 1.",
                "zh": "你的所有结果都大了同一个数 `D/2 · log 2π`：漏掉了正态密度的归一化常数，没有它积分就不等于 1。",
            },
        ),
        Misconception(
            "constant_of_one_dimension",
            density(start="-0.5 * z0.square().sum(1) - 0.5 * math.log(2 * math.pi)"),
            {
                "en": "The constant `1/2 · log 2π` belongs to each coordinate: in `D` dimensions it comes `D` times.",
                "zh": "常数 `1/2 · log 2π` 是每个坐标都有的：`D` 维时要减 `D` 次。",
            },
        ),
        Misconception(
            "constant_doubled",
            density(start="-0.5 * z0.square().sum(1) - z0.shape[1] * math.log(2 * math.pi)"),
            {
                "en": "The constant of the normal density is twice as large as it should be: each coordinate has `1/2 · log 2π`.",
                "zh": "正态密度的常数大了一倍：每个坐标是 `1/2 · log 2π`。",
            },
        ),
        Misconception(
            "square_not_halved",
            density(start="-z0.square().sum(1) - z0.shape[1] / 2 * math.log(2 * math.pi)"),
            {
                "en": "The factor 1/2 is missing before the squares of the normal density: `-1/2 · z²`.",
                "zh": "正态密度里平方项前面漏了系数 1/2：应为 `-1/2 · z²`。",
            },
        ),
        Misconception(
            "base_at_the_wrong_end",
            density(result=f"log_p - ({NORMAL}) + ({NORMAL.replace('z0', 'z')})"),
            {
                "en": "You take the normal density of the points that come out. It belongs to the noise that goes in, `z0`; what comes out has the density that you are computing.",
                "zh": "你把正态密度用在了输出的点上。它属于输入的噪声 `z0`；输出的点的密度正是你要求的。",
            },
        ),
        Misconception(
            "determinant_without_absolute_value",
            density(change="-torch.linalg.det(jacobians(layer, z)).log()"),
            {
                "en": "NaN: one of the layers turns space inside out, so that its determinant is negative, and a negative number has no logarithm. What counts is how much the volume changes, the absolute value.",
                "zh": "结果是 NaN：有一层把空间“翻了面”，行列式为负，而负数没有对数。重要的是体积变化了多少倍，所以要取绝对值。",
            },
        ),
        Misconception(
            "all_jacobians_at_z0",
            density(change="-torch.linalg.det(jacobians(layer, z0)).abs().log()"),
            {
                "en": "Right for one layer. With several, the Jacobian of layer `i` belongs to the point where that layer is applied; you take all of them at `z0`.",
                "zh": "只有一层时是对的。有多层时，第 `i` 层的雅可比矩阵要在它真正作用的点处取；你全都在 `z0` 处取了。",
            },
        ),
        Misconception(
            "jacobian_after_the_layer",
            """
def log_density(layers, z0):
    log_p, z = -0.5 * z0.square().sum(1) - z0.shape[1] / 2 * math.log(2 * math.pi), z0
    for layer in layers:
        z = layer(z)
        log_p = log_p - jacobians(layer, z).det().abs().log()
    return log_p
""",
            {
                "en": "Right for one linear layer. Otherwise the Jacobian of a layer belongs to the point that goes into it; you take it where the point comes out. Subtract first, then `z = layer(z)`.",
                "zh": "只有一个线性层时是对的。否则，某一层的雅可比矩阵要在进入这一层的点处取；你是在出来的点处取的。先减，再 `z = layer(z)`。",
            },
        ),
        Misconception(
            "last_layer_only",
            """
def log_density(layers, z0):
    for layer in layers:
        log_p = -0.5 * z0.square().sum(1) - z0.shape[1] / 2 * math.log(2 * math.pi)
        if layer is layers[0]:
            z = z0
        log_p = log_p - jacobians(layer, z).det().abs().log()
        z = layer(z)
    return log_p
""",
            {
                "en": "Right for one layer. With several, only the last one's log-determinant is in your result: they add up.",
                "zh": "只有一层时是对的。有多层时，你的结果里只有最后一层的对数行列式：各层的应当相加。",
            },
        ),
        Misconception(
            "summed_over_the_points",
            density(result="log_p.sum()"),
            {
                "en": "You return one number: the sum over all points, which is the log-likelihood of the whole batch. Here each point has its own log-density, shape `(N,)`.",
                "zh": "你只返回了一个数：所有点的对数密度之和，也就是整个批量的对数似然。这里每个点要各有一个对数密度，形状为 `(N,)`。",
            },
        ),
        Misconception(
            "coordinates_not_summed",
            density(start="torch.distributions.Normal(0.0, 1.0).log_prob(z0)"),
            {
                "en": "Your log-density of the noise still has one number for each coordinate, shape `(N, D)`. The coordinates are independent: add them up, `.sum(1)`.",
                "zh": "你的噪声对数密度还是每个坐标一个数，形状为 `(N, D)`。各坐标相互独立：要加起来，`.sum(1)`。",
            },
        ),
        Misconception(
            "noise_summed_over_the_points",
            density(start="-0.5 * z0.square().sum() - z0.shape[1] / 2 * math.log(2 * math.pi)"),
            {
                "en": "In the log-density of the noise you add the squares over all points. Each point has its own: `.sum(1)`.",
                "zh": "在噪声的对数密度里，你把所有点的平方都加在了一起。每个点各算各的：`.sum(1)`。",
            },
        ),
        Misconception(
            "density_itself",
            density(result="log_p.exp()"),
            {
                "en": "You return the density itself. Its logarithm is asked for: leave out the last `exp`.",
                "zh": "你返回的是密度本身。题目要的是它的对数：去掉最后的 `exp`。",
            },
        ),
    ),
    hints=(
        {
            "en": "Begin with one layer. $\\log p(z_0)$ of a standard normal in $D$ dimensions is $-\\frac{1}{2}\\sum_d z_d^2 - \\frac{D}{2}\\log 2\\pi$, one number for each point.",
            "zh": "先做一层的情形。$D$ 维标准正态的 $\\log p(z_0)$ 是 $-\\frac{1}{2}\\sum_d z_d^2 - \\frac{D}{2}\\log 2\\pi$，每个点一个数。",
        },
        {
            "en": "`jacobians(layer, z)` gives the Jacobians of one layer at all points, $(N, D, D)$, and `torch.linalg.det` their determinants, $(N,)$. In the loop: subtract, then go on with `z = layer(z)`.",
            "zh": "`jacobians(layer, z)` 给出某一层在各点的雅可比矩阵，形状 $(N, D, D)$；`torch.linalg.det` 给出它们的行列式，形状 $(N,)$。循环里先减，再用 `z = layer(z)` 走到下一层。",
        },
        {
            "en": "Is it the determinant that is subtracted, or its logarithm? Do the sum: `area(log_density)` is 1 only for one of the two.",
            "zh": "减去的究竟是行列式，还是它的对数？算一下积分就知道：两者之中，只有一个能让 `area(log_density)` 等于 1。",
        },
    ),
)


# --- 8 reparameterise -------------------------------------------------------------------------------------------------


def draw_code(rng: np.random.Generator, log_var: np.ndarray) -> dict[str, Tree]:
    """Codes of which no mean is near 0, so that it cannot be left out, and noise of which no value is near 0."""
    shape = log_var.shape
    mu = rng.choice([-1.0, 1.0], shape) * rng.uniform(0.3, 1.5, shape)
    eps = rng.choice([-1.0, 1.0], shape) * rng.uniform(0.4, 1.8, shape)
    return {name: v.astype(np.float32) for name, v in (("mu", mu), ("log_var", log_var), ("eps", eps))}


def draw_unit(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_code(rng, np.zeros((3, 4)))


def draw_any(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_code(rng, rng.choice([-1.0, 1.0], (3, 4)) * rng.uniform(0.5, 3.5, (3, 4)))


def reparameterised(
    z: str = "mu + torch.exp(log_var / 2) * eps",
    kl: str = "0.5 * (mu.square() + log_var.exp() - 1 - log_var)",
    total: str = ".sum(1)",
) -> str:
    return f"""
def reparameterise(mu, log_var, eps):
    kl = {kl}
    return {z}, kl{total}
"""


REPARAMETERISE = Exercise(
    name="reparameterise",
    title={"en": "Reparameterisation", "zh": "重参数化"},
    difficulty=2,
    minutes=15,
    draw={"variance 1": draw_unit, "any variance": draw_any},
    groups={"variance 1": {"zh": "方差为 1"}, "any variance": {"zh": "任意方差"}},
    options={"gradient_to": ["mu", "log_var"]},
    cases=2,
    rules=Rules(forbid=("coursekit.models", "coursekit.train", "coursekit.measure")),
    variants=(
        """
def reparameterise(mu, log_var, eps):
    sigma = log_var.exp().sqrt()
    return mu + sigma * eps, -0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1)
""",
        """
def reparameterise(mu, log_var, eps):
    from torch.distributions import Normal, kl_divergence
    q = Normal(mu, (0.5 * log_var).exp())
    return [q.loc + q.scale * eps, kl_divergence(q, Normal(0.0, 1.0)).sum(-1)]
""",
    ),
    misconceptions=(
        Misconception(
            "log_variance_as_deviation",
            reparameterised(z="mu + log_var * eps"),
            {
                "en": "You multiply the noise by `log_var` itself, or by something else that is 0 where `log_var` is 0. The network gives the logarithm of the variance, so that it may be any number; the standard deviation is `exp(log_var / 2)`.",
                "zh": "你直接用 `log_var` 乘了噪声，或者乘了某个在 `log_var` 为 0 时等于 0 的数。网络给出的是方差的对数（这样它可以取任何实数）；标准差是 `exp(log_var / 2)`。",
            },
        ),
        Misconception(
            "variance_as_deviation",
            reparameterised(z="mu + log_var.exp() * eps"),
            {
                "en": "Right where the variance is 1. Otherwise you multiply the noise by the variance `σ²`; it takes the standard deviation `σ`, its root.",
                "zh": "方差为 1 时是对的。其他情形下你用方差 `σ²` 乘了噪声；应当乘标准差 `σ`，也就是方差的平方根。",
            },
        ),
        Misconception(
            "variance_as_deviation_in_both",
            reparameterised(
                z="mu + log_var.exp() * eps",
                kl="0.5 * (mu.square() + log_var.exp().square() - 1 - 2 * log_var)",
            ),
            {
                "en": "Right where the variance is 1. Otherwise you take `exp(log_var)` for the standard deviation `σ`, in both results. It is `σ²`; `σ` is `exp(log_var / 2)`.",
                "zh": "方差为 1 时是对的。其他情形下，两个结果里你都把 `exp(log_var)` 当成了标准差 `σ`。它是 `σ²`；`σ` 是 `exp(log_var / 2)`。",
            },
        ),
        Misconception(
            "deviation_squared_twice",
            reparameterised(kl="0.5 * (mu.square() + log_var.exp().square() - 1 - 2 * log_var)"),
            {
                "en": "The sample is right. In the KL term you take `exp(log_var)` for `σ` and square it once more: it is `σ²` already, and `log σ²` is `log_var`.",
                "zh": "采样是对的。但在 KL 项里，你把 `exp(log_var)` 当成 `σ` 又平方了一次：它已经是 `σ²`，而 `log σ²` 就是 `log_var`。",
            },
        ),
        Misconception(
            "kl_with_the_deviation",
            reparameterised(kl="0.5 * (mu.square() + torch.exp(log_var / 2) - 1 - log_var)"),
            {
                "en": "The sample is right. In the KL term you take `σ` where `σ²` belongs: it is `exp(log_var)`.",
                "zh": "采样是对的。但在 KL 项里，该用 `σ²` 的地方你用了 `σ`：`σ²` 是 `exp(log_var)`。",
            },
        ),
        Misconception(
            "sign_of_log_var",
            reparameterised(kl="0.5 * (mu.square() + log_var.exp() - 1 + log_var)"),
            {
                "en": "The sample is right. In the KL term `log_var` has the wrong sign: it is subtracted, so that a very narrow distribution costs much.",
                "zh": "采样是对的。但 KL 项里 `log_var` 的符号反了：它是减去的，这样过窄的分布代价才大。",
            },
        ),
        Misconception(
            "noise_of_its_own",
            reparameterised(z="mu + torch.exp(log_var / 2) * torch.randn_like(mu)"),
            {
                "en": "You draw new noise inside the function and leave `eps` unused. The point of the trick is that the randomness comes from outside: given `eps`, `z` is a plain function of `mu` and `log_var`.",
                "zh": "你在函数里又抽了一次噪声，没有用到 `eps`。重参数化的要点正是把随机性放到外面：给定 `eps` 之后，`z` 只是 `mu` 和 `log_var` 的普通函数。",
            },
        ),
        Misconception(
            "no_noise",
            reparameterised(z="mu"),
            {
                "en": "Your `z` is the mean, without noise: that is an ordinary auto-encoder. Add `σ` times `eps`.",
                "zh": "你的 `z` 就是均值，没有噪声：这是普通的自编码器。请加上 `σ` 乘 `eps`。",
            },
        ),
        Misconception(
            "deviation_cut_off",
            reparameterised(z="mu + torch.exp(log_var / 2).detach() * eps"),
            {
                "en": "The right numbers, but no gradient flows from `z` back to `log_var`, so the encoder cannot learn from the reconstruction how unsure to be. To let it through is the whole point: no `.detach()`, no `no_grad`, no `.sample()` on the way.",
                "zh": "数值是对的，但梯度不能从 `z` 传回 `log_var`，编码器就无法从重建误差里学到该有多不确定。重参数化正是为了让梯度通过：中间不要有 `.detach()`、`no_grad` 或 `.sample()`。",
            },
        ),
        Misconception(
            "mean_cut_off",
            reparameterised(z="mu.detach() + torch.exp(log_var / 2) * eps"),
            {
                "en": "The right numbers, but no gradient flows from `z` back to `mu`, so the encoder cannot learn where to put the code.",
                "zh": "数值是对的，但梯度不能从 `z` 传回 `mu`，编码器就无法学到该把编码放在哪里。",
            },
        ),
        Misconception(
            "kl_of_the_wrong_sign",
            reparameterised(kl="0.5 * (1 + log_var - mu.square() - log_var.exp())"),
            {
                "en": "The sample is right; your KL term is negative. A divergence is never below 0: perhaps you have the term as it stands in the bound, where it is subtracted.",
                "zh": "采样是对的，但你的 KL 项是负的。散度永远不小于 0：你写的也许是下界里的形式，在那里它前面带着负号。",
            },
        ),
        Misconception(
            "kl_without_the_half",
            reparameterised(kl="mu.square() + log_var.exp() - 1 - log_var"),
            {
                "en": "The sample is right; your KL term is twice as large as it should be. The factor 1/2 of the normal density is missing.",
                "zh": "采样是对的，但你的 KL 项正好大了一倍：漏掉了来自正态密度的系数 1/2。",
            },
        ),
        Misconception(
            "kl_without_the_one",
            reparameterised(kl="0.5 * (mu.square() + log_var.exp() - log_var)"),
            {
                "en": "The sample is right; in your KL term the -1 is missing. Check: for mean 0 and variance 1 it must be 0.",
                "zh": "采样是对的，但你的 KL 项漏了 -1。检验一下：均值为 0、方差为 1 时它应当等于 0。",
            },
        ),
        Misconception(
            "kl_averaged",
            reparameterised(total=".mean(1)"),
            {
                "en": "The sample is right. In the KL term you take the mean over the latent dimensions; independent dimensions add up.",
                "zh": "采样是对的。但在 KL 项里你对隐变量的各维取了平均；各维相互独立，应当相加。",
            },
        ),
        Misconception(
            "kl_over_the_batch",
            reparameterised(total=".sum()"),
            {
                "en": "The sample is right. Your KL term is one number for the whole batch; each image has its own, shape `(N,)`.",
                "zh": "采样是对的。但你的 KL 项是整个批量的一个数；每张图像应当各有一个，形状为 `(N,)`。",
            },
        ),
        Misconception(
            "kl_of_each_dimension",
            reparameterised(total=""),
            {
                "en": "The sample is right. Your KL term is one number for each latent dimension; each image has one, their sum, shape `(N,)`.",
                "zh": "采样是对的。但你的 KL 项是每一维一个数；每张图像应当只有一个，即各维之和，形状为 `(N,)`。",
            },
        ),
        Misconception(
            "results_exchanged",
            """
def reparameterise(mu, log_var, eps):
    return 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(1), mu + torch.exp(log_var / 2) * eps
""",
            {
                "en": "Both results are right, but in the other order: first the code `z`, then the divergence.",
                "zh": "两个结果都对，但顺序反了：先是编码 `z`，再是 KL 散度。",
            },
        ),
    ),
    hints=(
        {
            "en": "A normal variable with mean $\\mu$ and standard deviation $\\sigma$ is $\\mu + \\sigma\\epsilon$, with $\\epsilon$ standard normal. What is $\\sigma$, if `log_var` is $\\log\\sigma^2$?",
            "zh": "均值为 $\\mu$、标准差为 $\\sigma$ 的正态变量就是 $\\mu + \\sigma\\epsilon$，其中 $\\epsilon$ 是标准正态。如果 `log_var` 是 $\\log\\sigma^2$，$\\sigma$ 是什么？",
        },
        {
            "en": "Write the KL term first for every dimension, $(N, D)$, then sum over the last axis. For $\\mu = 0$ and $\\sigma = 1$ it must be 0.",
            "zh": "先写出每一维的 KL 项，形状 $(N, D)$，再沿最后一个轴求和。$\\mu = 0$、$\\sigma = 1$ 时它应当等于 0。",
        },
    ),
)


# --- 9 own_digits -----------------------------------------------------------------------------------------------------


def draw_wishes(rng: np.random.Generator) -> dict[str, Tree]:
    """Ten of each digit, mixed, and a seed for the noise."""
    labels = rng.permutation(np.arange(DIGITS_A_SET) % 10)
    return {"labels": labels, "seed": int(rng.integers(2**31))}


def drawing_with(sample: str, before: str = "") -> str:
    """A model that is nothing but a way of drawing: `sample` gives images (n, 1, 28, 28) of the classes `labels`."""
    return f"""
{before}
class Drawing(nn.Module):
    def sample(self, n, labels=None, seed=None):
        g = torch.Generator().manual_seed(seed)
        return {sample}
gan = Drawing()
"""


# The mean digit of each class and its spread along its principal components: draws digits that can be read, in no time.
GAUSSIANS = """
X, y = digits.train.X.flatten(1), digits.train.y
means = torch.stack([X[y == k].mean(0) for k in range(10)])
components = [torch.pca_lowrank(X[y == k], q=30) for k in range(10)]

def gaussian(label, g):
    _, S, V = components[label]
    z = 0.7 * torch.randn(30, generator=g) * S / 350**0.5
    return (means[label] + V @ z).clamp(-1, 1).view(1, 28, 28)
"""
# Digits of the data set, each at random, as a model that has learned them by heart would give them.
BY_HEART = """
X, y = digits.train.X, digits.train.y

def pick(label, g):
    of_class = (y == label).nonzero()[:, 0]
    return X[of_class[torch.randint(len(of_class), (1,), generator=g).item()]]
"""
EACH = "torch.stack([{one} for label in labels.tolist()])"

OWN_DIGITS = Exercise(
    name="own_digits",
    object="gan",
    title={"en": "Digits of your own", "zh": "画出自己的数字"},
    difficulty=2,
    minutes=25,
    draw=draw_wishes,
    cases=2,
    adaptor="drawing",
    compare=Accuracy(floor=0.40, threshold=0.85),
    rules=Rules(),
    variants=(
        """
torch.manual_seed(1)
gan = get_model("conditional_gan")
history = fit_gan(gan, digits, epochs=10, lr=0.002, loss="hinge", batch_size=32, seed=1, progress=False)
""",
        drawing_with(EACH.format(one="gaussian(label, g)"), GAUSSIANS),
    ),
    misconceptions=(
        Misconception(
            "diverged",
            drawing_with('torch.full((n, 1, 28, 28), float("nan"))'),
            {
                "en": "The images are not numbers any more (NaN): the training has diverged. Make the learning rate smaller, and the model anew.",
                "zh": "图像里已经不是数了（NaN）：训练发散了。请把学习率调小，并重新建一个模型。",
            },
            symptom="not_finite",
        ),
        Misconception(
            "pixels_of_another_range",
            drawing_with(EACH.format(one="(gaussian(label, g) + 1) / 2"), GAUSSIANS),
            {
                "en": "Most of your images are no digits at all. Either they are still noise (has `fit_gan` run on this very `gan`, and long enough?), or their pixels are not between -1 (black) and 1 (white): a generator learns the range of the images that it is shown, so train with `digits`.",
                "zh": "你的图像大多根本不像数字。要么还是一团噪声（`fit_gan` 训练的确实是这个 `gan` 吗？训练得够久吗？），要么像素不在 -1（黑）到 1（白）之间：生成器看到的图像是什么范围，它就学会什么范围，所以请用 `digits` 来训练。",
            },
            symptom="no_digits",
        ),
        Misconception(
            "learned_by_heart",
            drawing_with(EACH.format(one="pick(label, g)"), BY_HEART),
            {
                "en": "These digits stand in the data set: they are copies, not drawings. Whoever only repeats what was shown has no model of it, so copies do not count. Let the generator make the images from noise.",
                "zh": "这些数字就在数据集里：是照搬，不是自己画的。只会重复见过的样本，就谈不上学到了分布，所以照搬的图不算。请让生成器从噪声里画出图像。",
            },
            symptom="copied",
        ),
        Misconception(
            "one_picture_a_class",
            drawing_with(
                EACH.format(
                    one="gaussian(label, torch.Generator().manual_seed(3)) + 0.02 * torch.randn(1, 28, 28, generator=g)"
                ),
                GAUSSIANS,
            ),
            {
                "en": "You have digits, but the same ones again and again: the generator hardly looks at its noise. That is mode collapse, inside each class. A pair of networks that starts anew, a smaller learning rate for the discriminator, or a `gradient_penalty` often helps; and leave `gan.sample` its fresh noise.",
                "zh": "数字是有了，但画来画去都是同一张：生成器几乎不理会噪声。这就是（每一类内部的）模式崩塌。把两个网络重新初始化再训练、把判别器的学习率调小，或者加上 `gradient_penalty`，往往有用；另外，要让 `gan.sample` 每次都用新的噪声。",
            },
            symptom="repeated",
        ),
        Misconception(
            "one_digit_only",
            drawing_with("torch.stack([gaussian(7, g) for _ in range(n)])", GAUSSIANS),
            {
                "en": "Nearly all images show the same digit: the generator has found one that the discriminator believes, and draws no other. Look at `samples_over_time(history)` to see when that happened; train anew with another seed or with a `gradient_penalty`.",
                "zh": "几乎所有图像都是同一个数字：生成器找到了一个能骗过判别器的数字，就再也不画别的了。用 `samples_over_time(history)` 看看它是什么时候发生的；换一个种子，或加上 `gradient_penalty`，重新训练。",
            },
            symptom="one_class",
        ),
        Misconception(
            "labels_off_by_one",
            drawing_with(EACH.format(one="gaussian((label + 1) % 10, g)"), GAUSSIANS),
            {
                "en": "Your digits can be read, but each is the asked-for digit moved on by a constant. Class 0 is the digit 0: did the labels stay as they are in the data?",
                "zh": "你的数字认得出来，但都与要求的数字错开了同一个常数。类别 0 就是数字 0：训练时标签有没有被改动？",
            },
            symptom="shifted_labels",
        ),
        Misconception(
            "labels_ignored",
            drawing_with(
                "torch.stack([gaussian(torch.randint(10, (1,), generator=g).item(), g) for _ in range(n)])",
                GAUSSIANS,
            ),
            {
                "en": "You draw digits, but not the ones that are asked for: the label makes no difference. `conditional_gan` is the model that is told the class; both players have to be given it.",
                "zh": "你画的是数字，但不是要求的那些：标签没有起作用。`conditional_gan` 才是会被告知类别的模型；标签要同时交给生成器和判别器。",
            },
            symptom="chance",
        ),
        Misconception(
            "not_enough",
            drawing_with(
                EACH.format(
                    one="gaussian(label if torch.rand(1, generator=g) < 0.55 else (3 * label + 1) % 10, g)"
                ),
                GAUSSIANS,
            ),
            {
                "en": "Many of your digits can be read, but not enough of them. Look at the grid: if it is still getting better, train for more epochs; if it has stopped, try a larger learning rate (0.002) or a smaller batch (32).",
                "zh": "已经有不少数字能认出来，但还不够。看看样本网格：如果还在变好，就多训练几轮；如果已经停滞，试试大一点的学习率（0.002）或小一点的批量（32）。",
            },
            symptom="below",
        ),
    ),
    hints=(
        {
            "en": '`gan = get_model("conditional_gan")`. Then `fit_gan(gan, digits, epochs=..., lr=..., save="gan")`: begin with `lr=0.002`, `batch_size=32` and three epochs, and look at the samples.',
            "zh": '`gan = get_model("conditional_gan")`，然后 `fit_gan(gan, digits, epochs=..., lr=..., save="gan")`：先用 `lr=0.002`、`batch_size=32` 训练三轮，看看样本。',
        },
        {
            "en": "After three epochs many digits can be read, after twelve nearly all. The losses tell little: after the first epochs both go up and down a little while the pictures get better.",
            "zh": "三轮之后有不少数字能认出来，十二轮之后几乎都能。损失说明不了太多：最初几轮过后，图像越来越好，两个损失却只是小幅波动。",
        },
    ),
)


# --- 10 coverage ------------------------------------------------------------------------------------------------------


def draw_classes(rng: np.random.Generator, there: int, num_classes: int) -> dict[str, Tree]:
    """Classes with different shares; of `num_classes`, only some are there, not the last, and the first not either."""
    counts = rng.permutation(np.arange(1, there + 1)) * int(rng.integers(2, 4)) + 1
    present = np.arange(num_classes) if there == num_classes else 1 + rng.permutation(num_classes - 2)[:there]
    return {"classes": rng.permutation(np.repeat(present, counts)), "num_classes": num_classes}


def draw_all_there(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_classes(rng, 4, 4)


def draw_some_missing(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_classes(rng, 3, 7)


def covering(
    shares: str = "torch.bincount(classes, minlength=num_classes) / len(classes)",
    entropy: str = "-torch.special.xlogy(p, p).sum()",
    number: str = "entropy.exp()",
    back: str = "p",
) -> str:
    return f"""
def coverage(classes, num_classes):
    p = {shares}
    entropy = {entropy}
    return {back}, {number}
"""


COVERAGE = Exercise(
    name="coverage",
    title={"en": "How many digits does it know?", "zh": "它会画几种数字？"},
    difficulty=2,
    minutes=10,
    draw={"every class is there": draw_all_there, "classes are missing": draw_some_missing},
    groups={"every class is there": {"zh": "各类都有"}, "classes are missing": {"zh": "有的类缺失"}},
    examples={"every class is there": [{"classes": np.array([0, 1, 2, 3]), "num_classes": 4}]},
    cases=2,
    rules=Rules(forbid=("coursekit.models", "coursekit.train", "coursekit.measure", "scipy", "sklearn")),
    variants=(
        """
def coverage(classes, num_classes):
    p = (classes[:, None] == torch.arange(num_classes)).float().mean(0)
    q = p[p > 0]
    return p, torch.exp(-(q * q.log()).sum())
""",
        """
def coverage(classes, num_classes):
    p = [classes.tolist().count(k) / len(classes) for k in range(num_classes)]
    return p, math.prod(x ** -x for x in p if x)
""",
        """
def coverage(classes, num_classes):
    p = F.one_hot(classes, num_classes).float().mean(0)
    return p, 2 ** -(p * torch.log2(p + 1e-12)).sum()
""",
    ),
    misconceptions=(
        Misconception(
            "empty_classes_give_nan",
            covering(entropy="-(p * p.log()).sum()"),
            {
                "en": "Right while every class is there. Where one is missing you compute 0 times log 0, which is NaN to the computer; as a limit it is 0, so missing classes add nothing.",
                "zh": "各类都有时是对的。有类缺失时，你算了 0 乘 log 0，在计算机里是 NaN；它的极限是 0，缺失的类对熵没有贡献。",
            },
        ),
        Misconception(
            "shares_of_present_classes_only",
            covering(shares="torch.bincount(classes).float() / len(classes)"),
            {
                "en": "When the last classes are missing, your shares have too few entries: `torch.bincount` stops at the largest class that it sees. `minlength` makes it go on to the end.",
                "zh": "最后几类缺失时，你的占比少了几项：`torch.bincount` 只数到出现过的最大类别。用 `minlength` 让它数到底。",
            },
        ),
        Misconception(
            "counts_for_shares",
            covering(back="p * len(classes)"),
            {
                "en": "You return how often each class comes; the share is that number divided by the number of images, so that all add up to 1.",
                "zh": "你返回的是每一类的个数；占比还要除以图像总数，各项之和才等于 1。",
            },
        ),
        Misconception(
            "entropy_itself",
            covering(number="entropy"),
            {
                "en": "The shares are right, but the second number is the entropy. Its exponential is asked for: four classes of equal shares have entropy 1.39 but count as 4.",
                "zh": "占比是对的，但第二个数是熵本身。题目要的是它的指数：四类各占四分之一时，熵约为 1.39，而有效类别数是 4。",
            },
        ),
        Misconception(
            "results_exchanged",
            """
def coverage(classes, num_classes):
    p = torch.bincount(classes, minlength=num_classes) / len(classes)
    return torch.exp(-torch.special.xlogy(p, p).sum()), p
""",
            {
                "en": "Both results are right, but in the other order: first the shares, then the effective number.",
                "zh": "两个结果都对，但顺序反了：先是各类占比，再是有效类别数。",
            },
        ),
        Misconception(
            "entropy_in_bits",
            covering(entropy="-torch.special.xlogy(p, p).sum() / math.log(2)"),
            {
                "en": "The shares are right. For the second number you take the logarithm to base 2 and the exponential to base e; both must have the same base.",
                "zh": "占比是对的。第二个数里，对数用了底 2，指数却用了底 e；两者的底必须相同。",
            },
        ),
        Misconception(
            "power_of_two",
            covering(number="2**entropy"),
            {
                "en": "The shares are right. For the second number you take the natural logarithm and a power of 2; both must have the same base.",
                "zh": "占比是对的。第二个数里，对数用的是自然对数，乘方却以 2 为底；两者的底必须相同。",
            },
        ),
        Misconception(
            "sign_of_the_entropy",
            covering(entropy="torch.special.xlogy(p, p).sum()"),
            {
                "en": "The shares are right, but the second number is below 1: the minus sign of the entropy is missing, so you have one divided by the effective number.",
                "zh": "占比是对的，但第二个数小于 1：漏掉了熵的负号，所以得到的是有效类别数的倒数。",
            },
        ),
        Misconception(
            "classes_counted",
            covering(number="(p > 0).sum()"),
            {
                "en": "The shares are right. For the second number you count the classes that come at all, be it once in a thousand. The exponential of the entropy weighs them: a class that hardly ever comes hardly counts.",
                "zh": "占比是对的。第二个数你只数了出现过的类别，哪怕一千张里只有一张也算一类。熵的指数会按占比加权：很少出现的类几乎不算数。",
            },
        ),
        Misconception(
            "inverse_of_squares",
            covering(number="1 / p.square().sum()"),
            {
                "en": "The shares are right. `1 / Σ p²` is another effective number (the inverse Simpson index), which counts rare classes for less. Here the exponential of the entropy is asked for.",
                "zh": "占比是对的。`1 / Σ p²` 是另一种有效类别数（辛普森指数的倒数），它把稀有的类算得更少。这里要的是熵的指数。",
            },
        ),
    ),
    hints=(
        {
            "en": "`torch.bincount(classes, minlength=num_classes)` counts. $p\\log p$ for $p = 0$ is 0: leave these classes out, or use `torch.special.xlogy(p, p)`.",
            "zh": "`torch.bincount(classes, minlength=num_classes)` 可以计数。$p = 0$ 时 $p\\log p$ 取 0：去掉这些类，或者用 `torch.special.xlogy(p, p)`。",
        },
        {
            "en": "Entropy: $H = -\\sum_k p_k \\log p_k$, with the natural logarithm. The effective number of classes is $e^H$.",
            "zh": "熵：$H = -\\sum_k p_k \\log p_k$，用自然对数。有效类别数是 $e^H$。",
        },
    ),
)


# --- 11 roc_auc -------------------------------------------------------------------------------------------------------


def draw_separate(rng: np.random.Generator) -> dict[str, Tree]:
    """Scores without ties: the outliers' mostly higher, some not; as many of one as of the other they are not."""
    n = int(rng.integers(7, 10))
    scores = rng.permutation(np.arange(2 * n + 4)) / 4.0
    inliers, outliers = scores[: n + 3] - 1.0, scores[n + 3 :] + 1.6
    return {
        "inlier_scores": inliers.astype(np.float32),
        "outlier_scores": (outliers + 0.1).astype(np.float32),
    }


def draw_ties(rng: np.random.Generator) -> dict[str, Tree]:
    """Whole numbers, many of them the same on both sides; the outliers have the lower ones."""
    n = int(rng.integers(6, 9))
    inliers, outliers = rng.integers(2, 5, n), rng.integers(0, 4, n - 2)
    inliers[0] = outliers[0]
    return {"inlier_scores": inliers.astype(np.float32), "outlier_scores": outliers.astype(np.float32)}


def pairs_with(result: str) -> str:
    return f"""
def roc_auc(inlier_scores, outlier_scores):
    a, b = inlier_scores[:, None], outlier_scores[None, :]
    return {result}
"""


ROC_AUC = Exercise(
    name="roc_auc",
    title={"en": "Area under the ROC curve", "zh": "ROC 曲线下面积"},
    difficulty=2,
    minutes=15,
    draw={"no ties": draw_separate, "ties": draw_ties},
    groups={"no ties": {"zh": "没有相等的得分"}, "ties": {"zh": "有相等的得分"}},
    examples={
        "no ties": [
            {
                "inlier_scores": np.array([1, 2, 3], np.float32),
                "outlier_scores": np.array([2.5, 4], np.float32),
            }
        ]
    },
    rules=Rules(forbid=("coursekit.measure", "sklearn", "scipy", "torchmetrics")),
    variants=(
        """
def roc_auc(inlier_scores, outlier_scores):
    wins = 0.0
    for out in outlier_scores.tolist():
        for inside in inlier_scores.tolist():
            wins += 1.0 if out > inside else 0.5 if out == inside else 0.0
    return wins / (len(inlier_scores) * len(outlier_scores))
""",
        """
def roc_auc(inlier_scores, outlier_scores):
    scores = torch.cat([inlier_scores, outlier_scores])
    ranks = (scores[:, None] > scores).sum(1) + ((scores[:, None] == scores).sum(1) + 1) / 2
    n, m = len(inlier_scores), len(outlier_scores)
    return (ranks[n:].sum() - m * (m + 1) / 2) / (n * m)
""",
        """
def roc_auc(inlier_scores, outlier_scores):
    scores = torch.cat([inlier_scores, outlier_scores]).unique().flip(0)
    hits = [0.0, *((outlier_scores >= s).float().mean().item() for s in scores)]
    alarms = [0.0, *((inlier_scores >= s).float().mean().item() for s in scores)]
    return torch.trapezoid(torch.tensor(hits), torch.tensor(alarms))
""",
    ),
    misconceptions=(
        Misconception(
            "reversed",
            pairs_with("((b < a).float() + 0.5 * (b == a)).mean()"),
            {
                "en": "Yours is 1 minus the right value: you count the pairs in which the inlier has the higher score. A high score means unusual, so the outlier should win.",
                "zh": "你的结果是 1 减去正确值：你数的是正常样本得分更高的样本对。得分高表示异常，应当是异常样本得分更高才算。",
            },
        ),
        Misconception(
            "turned_above_one_half",
            """
def roc_auc(inlier_scores, outlier_scores):
    a, b = inlier_scores[:, None], outlier_scores[None, :]
    area = ((b > a).float() + 0.5 * (b == a)).mean()
    return torch.maximum(area, 1 - area)
""",
            {
                "en": "Right where the outliers mostly have the higher scores. Where they have the lower ones, you turn the area round. Leave it: below one half says that the model finds the strangers more usual than its own, and that you will want to know.",
                "zh": "异常样本得分普遍更高时是对的。得分普遍更低时，你把面积翻了过来。不要翻：面积小于二分之一，说明模型觉得这些外来者比自己人还正常，这正是需要知道的。",
            },
        ),
        Misconception(
            "curve_from_right_to_left",
            """
def roc_auc(inlier_scores, outlier_scores):
    scores = torch.cat([inlier_scores, outlier_scores]).unique()
    hits = [(outlier_scores >= s).float().mean().item() for s in scores] + [0.0]
    alarms = [(inlier_scores >= s).float().mean().item() for s in scores] + [0.0]
    return torch.trapezoid(torch.tensor(hits), torch.tensor(alarms))
""",
            {
                "en": "The right number with a minus: with growing thresholds the curve is walked from right to left. Begin with the highest threshold.",
                "zh": "数值对，但带了负号：阈值从小到大时，曲线是从右往左走的。请从最高的阈值开始。",
            },
        ),
        Misconception(
            "ties_lost",
            pairs_with("(b > a).float().mean()"),
            {
                "en": "Right without ties. Two equal scores tell nothing, as a coin would: such a pair counts one half, and with you it counts 0. A detector that gives everything the same score must come out at 0.5.",
                "zh": "没有相等的得分时是对的。两个得分相等，等于什么也没说，好比抛硬币：这样一对应当算二分之一，而你算了 0。如果检测器给所有样本同样的得分，结果必须是 0.5。",
            },
        ),
        Misconception(
            "ties_won",
            pairs_with("(b >= a).float().mean()"),
            {
                "en": "Right without ties. Two equal scores tell nothing, as a coin would: such a pair counts one half, and with you it counts 1. A detector that gives everything the same score must come out at 0.5.",
                "zh": "没有相等的得分时是对的。两个得分相等，等于什么也没说，好比抛硬币：这样一对应当算二分之一，而你算了 1。如果检测器给所有样本同样的得分，结果必须是 0.5。",
            },
        ),
        Misconception(
            "accuracy_at_one_threshold",
            """
def roc_auc(inlier_scores, outlier_scores):
    scores = torch.cat([inlier_scores, outlier_scores])
    right = [((inlier_scores < s).sum() + (outlier_scores >= s).sum()) / len(scores) for s in scores]
    return torch.stack(right).max()
""",
            {
                "en": "You look for the best threshold and give the accuracy there. The area says how good the order is, whatever the threshold, and it does not depend on how many of each kind there are.",
                "zh": "你找的是最好的阈值，返回的是用这个阈值时的准确率。曲线下面积衡量的是排序有多好，与阈值无关，也与两类样本各有多少无关。",
            },
        ),
        Misconception(
            "neighbours_compared",
            """
def roc_auc(inlier_scores, outlier_scores):
    n = min(len(inlier_scores), len(outlier_scores))
    a, b = inlier_scores[:n], outlier_scores[:n]
    return ((b > a).float() + 0.5 * (b == a)).mean()
""",
            {
                "en": "You compare the first with the first, the second with the second, and so on. Every outlier is compared with every inlier: `inlier_scores[:, None]` against `outlier_scores[None, :]` makes all pairs.",
                "zh": "你是拿第一个和第一个比，第二个和第二个比，依此类推。每个异常样本都要和每个正常样本比较：用 `inlier_scores[:, None]` 与 `outlier_scores[None, :]` 相比，就得到所有的样本对。",
            },
        ),
        Misconception(
            "pairs_counted",
            pairs_with("((b > a).float() + 0.5 * (b == a)).sum()"),
            {
                "en": "You return the number of pairs that are won. Divide by the number of all pairs, `N · M`.",
                "zh": "你返回的是异常样本胜出的样本对有多少个。还要除以样本对的总数 `N · M`。",
            },
        ),
        Misconception(
            "mixed_with_themselves",
            """
def roc_auc(inlier_scores, outlier_scores):
    scores = torch.cat([inlier_scores, outlier_scores])
    return ((outlier_scores[None] > scores[:, None]).float() + 0.5 * (outlier_scores[None] == scores[:, None])).mean()
""",
            {
                "en": "Each outlier is compared with the other outliers, too. Only pairs of one outlier and one inlier count.",
                "zh": "你把异常样本之间也作了比较。只有由一个异常样本和一个正常样本组成的样本对才算数。",
            },
        ),
        Misconception(
            "places_for_ranks",
            """
def roc_auc(inlier_scores, outlier_scores):
    ranks = torch.cat([inlier_scores, outlier_scores]).argsort() + 1.0
    n, m = len(inlier_scores), len(outlier_scores)
    return (ranks[n:].sum() - m * (m + 1) / 2) / (n * m)
""",
            {
                "en": "`argsort` says which score comes first, second and so on, not which rank each has: that is `argsort` of `argsort`. And equal scores share their mean rank.",
                "zh": "`argsort` 给出的是排在第一、第二……的分别是哪个得分，而不是每个得分排第几：后者要做两次 `argsort`。另外，相等的得分应当取平均名次。",
            },
        ),
    ),
    hints=(
        {
            "en": "The area is the probability that an outlier drawn at random has a higher score than an inlier drawn at random. So: of all $N \\cdot M$ pairs, the share in which it has.",
            "zh": "这个面积就是随机抽一个异常样本和一个正常样本时，前者得分更高的概率。所以要求的是：在全部 $N \\cdot M$ 个样本对里，前者得分更高的占多大比例。",
        },
        {
            "en": "`outlier_scores[None, :] > inlier_scores[:, None]` is a table of all pairs, $(N, M)$. Equal ones count one half: add `0.5 * (... == ...)`, and take the mean.",
            "zh": "`outlier_scores[None, :] > inlier_scores[:, None]` 是所有样本对的表格，形状 $(N, M)$。相等的算二分之一：加上 `0.5 * (... == ...)`，再取平均。",
        },
    ),
)


EXERCISES = [
    PCA,
    AUTOENCODER,
    DISCRIMINATOR_LOSS,
    GENERATOR_LOSS,
    DISCRIMINATOR_STEP,
    GENERATOR_STEP,
    LOG_DENSITY,
    REPARAMETERISE,
    OWN_DIGITS,
    COVERAGE,
    ROC_AUC,
]
