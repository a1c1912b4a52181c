# %% [markdown] lang="en"
# # Generative models: drawing what was never there
#
# So far a network was shown a picture and said what it is. Now the other way round: nothing is shown, and a picture is to come out, one that nobody
# ever drew. To do that, a network must have found out what digits look like, all of them, and not only what tells a 3 from a 5. In this lab you
# squeeze digits through sixteen numbers, let two networks play against each other until one of them can draw, compute probabilities exactly where that
# is possible and bound them where it is not, and measure what your eye would let pass.
#
# **When you are through, you can**
#
# - say what a generative model is for, and which kind of model can do what;
# - compare an auto-encoder with principal components by the same measure;
# - write the losses of the two players of a GAN and one step of each, and show why the game's own loss starves the generator;
# - compute a density exactly by a change of variables, and sample in such a way that the gradient still gets through;
# - train a GAN of your own, and measure whether it has collapsed;
# - find what does not belong, and say how well you find it.
#
# **Time:** about three and a half hours. **Points:** 30, in eleven programming exercises and one written answer.
#
# Each exercise has a cell to fill in and a cell that checks it. Run the check as often as you like: it tells you at once what is right, what was
# expected, and often which slip leads to just your result. A part of the points is for this check, the rest for the same check on inputs that are
# drawn when the lab is graded. What is marked *lecture* is the lecture's.

# %% [markdown] lang="zh"
# # 生成模型：画出从未有过的图像
#
# 到目前为止，都是给网络看一张图，让它说出这是什么。现在反过来：什么也不给它看，却要它画出一张图，一张从来没有人画过的图。要做到这一点，网络必须弄清楚所有的数字究竟长什么样，
# 而不只是怎样区分 3 和 5。在这个实验里，你要把数字压缩成十六个数再还原；让两个网络互相对抗，直到其中一个学会画画；能精确算出概率的就精确计算，不能的就给出下界；
# 还要定量地衡量那些肉眼容易放过的东西。
#
# **学完之后，你能够**
#
# - 说出生成模型有什么用，哪一种模型能做什么；
# - 用同一把尺子比较自编码器和主成分分析；
# - 写出 GAN 中博弈双方的损失和各自的一步训练，并说明为什么博弈本身的损失会让生成器“挨饿”；
# - 用变量替换精确地计算概率密度，并且在采样时让梯度仍能传过去；
# - 训练自己的 GAN，并定量地判断它有没有崩塌；
# - 找出不属于这里的东西，并说明找得有多好。
#
# **用时：** 约三个半小时。**分值：** 30 分，十一道编程练习，一道书面题。
#
# 每道练习有一个要填写的单元格和一个检查单元格。检查可以反复运行：它会马上告诉你哪里对了、应该得到什么，往往还能指出是哪种疏忽恰好导致了你的结果。
# 一部分分数来自这次检查，其余分数来自批改时的同样检查，只是输入会重新抽取。标有“课上”的地方是课上讲过的内容。

# %% setup=true
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from coursekit import plot
from coursekit.check import open_lab
from coursekit.data import DataError, load
from coursekit.measure import nearest, outlier_scores
from coursekit.models import get_model
from coursekit.train import NegativeELBO, NegativeLogLikelihood, Reconstruction, fit, fit_gan, predict
from coursekit.train.device import under_grading

check = open_lab("generative")
digits = load("mnist_5k").scaled(-1, 1)  # pixels from -1 (black) to 1 (white)


def jacobians(layer: nn.Module, z: torch.Tensor) -> torch.Tensor:
    """The Jacobian of a layer at each of the points z (N, D): shape (N, D, D)."""
    return torch.autograd.functional.jacobian(lambda z: layer(z).sum(0), z).movedim(1, 0)


# %% [markdown] lang="en"
# ## 1 What a generative model is for
#
# A classifier learns $p(y \mid x)$: given this picture, which digit? A generative model learns $p(x)$: how likely is such a picture at all? *Lecture:*
# there are two things above all that one wants from it.
#
# - **Sampling:** draw new $x$ from $p(x)$, pictures that look as if they came from the data.
# - **Finding outliers:** an $x$ with a low $p(x)$ is none of ours: a forged payment, a tumour, a letter among the digits.
#
# For the second one needs the number $p(x)$, a **density**; for the first one does not. The models of this lab differ in just that:
#
# | | draws new pictures | says how likely a picture is |
# |---|---|---|
# | auto-encoder | not really | no, only how well it can redraw it |
# | GAN (Goodfellow et al. 2014) | yes, sharp ones | no |
# | VAE (Kingma and Welling 2014) | yes, soft ones | a lower bound |
# | flow (RealNVP, Dinh et al. 2017) | yes | exactly |
#
# How hard can it be? Here is the simplest generative model that there is: give every pixel the value that it has in some training digit, chosen at random
# for each pixel. Each pixel by itself then has exactly the right distribution.

# %% [markdown] lang="zh"
# ## 1 生成模型有什么用
#
# 分类器学的是 $p(y \mid x)$：给定这张图，它是几？生成模型学的是 $p(x)$：这样一张图究竟有多大可能出现？*课上*讲过，人们主要想用它做两件事：
#
# - **采样：** 从 $p(x)$ 中抽取新的 $x$，也就是看上去像是来自这批数据的图。
# - **异常检测：** $p(x)$ 很小的 $x$ 是异常样本，不是“自己人”：一笔伪造的付款、一个肿瘤、混在数字里的一个字母。
#
# 后者需要知道 $p(x)$ 这个数，也就是**概率密度**；前者不需要。这个实验里的几种模型，差别正在于此：
#
# | | 能不能画出新的图 | 能不能说出一张图有多大可能 |
# |---|---|---|
# | 自编码器 | 不太行 | 不能，只能看它重画得有多像 |
# | GAN（生成对抗网络，Goodfellow 等 2014） | 能，很清晰 | 不能 |
# | VAE（变分自编码器，Kingma 与 Welling 2014） | 能，偏模糊 | 给出下界 |
# | 流模型（RealNVP，Dinh 等 2017） | 能 | 精确 |
#
# 这有多难呢？先看一个最简单的生成模型：每个像素都各自随机挑一张训练图，取那张图在这个位置上的值。这样，单看任何一个像素，分布都完全正确。

# %%
X_train, X_test = digits.train.X.flatten(1), digits.test.X.flatten(1)  # (3500, 784) and (1000, 784)
torch.manual_seed(0)
rows = torch.randint(len(X_train), (10, 784))
each_by_itself = X_train[rows, torch.arange(784)].view(-1, 1, 28, 28)
plot.sample_grid(torch.cat([digits.test.X[:10], each_by_itself]), columns=10)

# %% [markdown] lang="en"
# Above ten real digits, below ten of this model. Every pixel is right and no picture is: what makes a digit is how the 784 pixels **hang together**.
# There are not 784 things to decide when one writes a digit; a slant, a width, a loop more or less. So: how many numbers does a digit need?

# %% [markdown] lang="zh"
# 上面一行是十个真的数字，下面一行是这个模型画的十个。每个像素都对，却没有一张图是对的：数字之所以是数字，在于 784 个像素怎样**互相配合**。写一个数字的时候，要决定的东西远没有 784 样：
# 无非是斜一点、宽一点、多一个圈或少一个圈。那么，描述一个数字需要多少个数？

# %% [markdown] lang="en"
# ## 2 Sixteen numbers for a picture
#
# The classical answer is **principal component analysis** (PCA). Think of the digits as points in 784 dimensions. Take their mean $\mu$, and the $k$
# directions $v_1, \dots, v_k$ (at right angles to each other, of length 1) in which they spread most. A digit is then described by $k$ numbers, its
# **code**, and what can be made of the code again is its **reconstruction**:
#
# $$z = V^\top (x - \mu), \qquad \hat x = \mu + V z, \qquad V = (v_1, \dots, v_k)$$
#
# No other $k$ directions lose less, in the squared error over the points that they were computed from. The directions come from the singular value
# decomposition of the centred points, $X - \mu = U S V^\top$, sorted by $S$.

# %% [markdown] lang="zh"
# ## 2 用十六个数表示一张图
#
# 经典的答案是**主成分分析**（PCA）。把每个数字看成 784 维空间里的一个点。求出均值 $\mu$，再找出这些点散得最开的 $k$ 个方向 $v_1, \dots, v_k$（互相垂直，长度为 1）。
# 于是一个数字用 $k$ 个数来表示，这就是它的**编码**；由编码还原出来的就是它的**重建**：
#
# $$z = V^\top (x - \mu), \qquad \hat x = \mu + V z, \qquad V = (v_1, \dots, v_k)$$
#
# 对于用来求这些方向的点，换成任何别的 $k$ 个方向，平方误差都不会更小。这些方向来自中心化数据的奇异值分解 $X - \mu = U S V^\top$，按 $S$ 从大到小排列。

# %% [markdown] lang="en" about="pca"
# Write `pca(train, X, k)`: reconstruct the points `X` from `k` numbers each. Mean and directions are those of `train`; `X` may be other points. You may use
# `torch.linalg`; ready-made components (`torch.pca_lowrank`, scikit-learn) are locked away.

# %% [markdown] lang="zh" about="pca"
# 请写出 `pca(train, X, k)`：把 `X` 中的每个点压缩成 `k` 个数再重建。均值和方向都从 `train` 求得；`X` 可以是别的点。可以用 `torch.linalg`，不能用现成的主成分分析（`torch.pca_lowrank`、scikit-learn）。


# %% exercise="pca"
def pca(train: torch.Tensor, X: torch.Tensor, k: int) -> torch.Tensor:
    """Reconstructions (M, D) of X (M, D) from the first k principal components of train (N, D)."""
    ### BEGIN SOLUTION
    mean = train.mean(0)
    V = torch.linalg.svd(train - mean, full_matrices=False).Vh[:k].T  # (D, k)
    return mean + (X - mean) @ V @ V.T
    ### END SOLUTION


# %% check="pca" points=1 hidden=1

# %%
by_pca = {k: pca(X_train, X_test, k) for k in (4, 16, 64)}
for k, X_hat in by_pca.items():
    print(f"{k:>3} numbers a digit: mean squared error {(X_hat - X_test).square().mean():.3f}")
shown = [X_test[:10], *(X_hat[:10] for X_hat in by_pca.values())]
plot.sample_grid(torch.cat(shown).view(-1, 1, 28, 28), columns=10)

# %% [markdown] lang="en"
# From above: digits that the components have never seen, then from 4, 16 and 64 numbers. With 16 one begins to read them, through a fog.
#
# Everything here is a matrix: a code is $V^\top (x - \mu)$, a reconstruction a weighted sum of 16 fixed pictures. But turning a stroke is no sum of pictures. An
# **auto-encoder** has a network on either side, an *encoder* and a *decoder*, with a **bottleneck** between them, and is trained to give back what
# it was given. In 2006 Hinton and Salakhutdinov showed that it can say more with as many numbers. See for yourself.

# %% [markdown] lang="zh"
# 从上到下：求主成分时没有用过的数字，以及分别用 4、16、64 个数得到的重建。用 16 个数时已经依稀可辨，只是像隔着一层雾。
#
# 这里的一切都是矩阵运算：编码是 $V^\top (x - \mu)$，重建是 16 张固定的图的加权和。可是，把一笔转个角度，靠图像相加是做不到的。**自编码器**的两边各是一个网络，即*编码器*和*解码器*，
# 中间是一个**瓶颈**，训练的目标是把输入原样还原出来。2006 年，Hinton 和 Salakhutdinov 的工作表明，用同样多的数，它能表达更多的内容。请你亲自看一看。

# %% [markdown] lang="en" about="autoencoder"
# Fill in the two networks of `Autoencoder`, from a picture to **16** numbers and back, and train it with
# `fit(autoencoder, digits, step=Reconstruction(), epochs=..., lr=..., save="autoencoder")`. `Reconstruction()` makes the mean squared error between what
# goes in and what comes out the loss; no label is used. `save` keeps the weights in a file, which you hand in, so that grading need not train anew.
#
# The check takes digits that it has not seen, each moved by up to a pixel, and asks of each: is your reconstruction nearer to it than that of PCA with 16 numbers? (Of both,
# pixels beyond -1 and 1 are first cut off there.) Full points when that is so for 80% of them, and a share of the points from 50% on. For the check the decoder is given nothing but the codes. Validation
# digits here, test digits at grading. Half a minute of training is plenty.

# %% [markdown] lang="zh" about="autoencoder"
# 请填好 `Autoencoder` 的两个网络：从一张图到 **16** 个数，再从 16 个数回到一张图。然后用
# `fit(autoencoder, digits, step=Reconstruction(), epochs=..., lr=..., save="autoencoder")` 训练它。`Reconstruction()` 以输入与输出之间的均方误差为损失，不用任何标签。`save` 把权重存成一个文件，和笔记本一起提交，批改时就不必重新训练。
#
# 检查用的是它没见过的数字，每个平移了最多一个像素。对每个数字只看一点：你的重建是不是比用 16 个数的主成分重建更接近原图？
# （两者超出 -1 到 1 的像素都先截断到这个范围。）80% 的数字做到就得满分，从 50% 起按比例得分。检查时，解码器只拿得到编码。这里的检查用验证集的数字，批改时用测试集的数字。训练半分钟就足够了。


# %% exercise="autoencoder"
class Autoencoder(nn.Module):
    """Images (N, 1, 28, 28) to codes (N, 16), and back."""

    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 16))
        self.decoder = nn.Sequential(nn.Linear(16, 256), nn.ReLU(), nn.Linear(256, 784), nn.Tanh())
        ### END SOLUTION

    def encode(self, X: torch.Tensor) -> torch.Tensor:
        return self.encoder(X)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.decoder(z).view(-1, 1, 28, 28)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(X))


autoencoder = Autoencoder()
### BEGIN SOLUTION
history = fit(
    autoencoder,
    digits,
    step=Reconstruction(),
    epochs=12,
    lr=0.008,
    batch_size=128,
    augment="shift",
    save="autoencoder",
)
### END SOLUTION

# %% check="autoencoder" points=1 hidden=2

# %%
with torch.no_grad():
    by_network = autoencoder(digits.test.X).flatten(1)
errors = {
    name: (X_hat.clamp(-1, 1) - X_test).square().mean(1)
    for name, X_hat in (("PCA", by_pca[16]), ("yours", by_network))
}
for name, error in errors.items():
    print(f"{name:>5}: mean squared error {error.mean():.3f}")
print(f"yours is nearer on {(errors['yours'] < errors['PCA']).float().mean():.0%} of the test digits")
shown = [X_test[:10], by_pca[16][:10], by_network[:10]]
plot.sample_grid(torch.cat(shown).view(-1, 1, 28, 28), columns=10)

# %% [markdown] lang="en"
# The same sixteen numbers, and much of the fog is gone (middle row PCA, last row yours; these digits stand where they were written, which is easier for PCA than the moved ones of the check). So sixteen numbers will nearly do. Then drawing a new digit is easy: make up sixteen numbers
# and decode them! As codes we take random ones with the mean and the covariance that the codes of the training digits have.

# %% [markdown] lang="zh"
# 同样是十六个数，雾散去了不少（中间一行是主成分，最后一行是你的；这些数字没有平移过，对主成分来说比检查里的容易）。可见十六个数差不多够了。那么画一个新数字就容易了：随便造十六个数，解码就行！我们从一个正态分布里随机抽取编码，
# 分布的均值和协方差就取训练数字的编码的均值和协方差。

# %%
with torch.no_grad():
    codes = autoencoder.encode(digits.train.X)
    made_up = torch.distributions.MultivariateNormal(codes.mean(0), torch.cov(codes.T)).sample((20,))
    invented = autoencoder.decode(made_up)
plot.sample_grid(invented, columns=10)

# %% [markdown] lang="en"
# Ink, strokes, here and there a digit, but also much that is none. The decoder only ever learned to decode *codes of digits*. Where these lie among
# all possible codes nobody told us, and between them is no man's land. Two ways out: somebody has to look at the drawings
# and object (a GAN, next), or the codes have to be made to lie where we draw them (a VAE, after that).

# %% [markdown] lang="zh"
# 有墨迹，有笔画，偶尔也有个数字，但很多什么都不是。解码器只学过怎样解码*数字的编码*。至于在所有可能的编码里，数字的编码落在什么地方，没有人告诉我们；它们之间是一片无人区。
# 出路有两条：要么请一位评委来看这些画，挑它们的毛病（接下来的 GAN，评委也是一个网络）；要么让编码正好落在我们采样的地方（再往后的 VAE）。

# %% [markdown] lang="en"
# ## 3 A game for two players
#
# The **generator** $G$ makes a picture of random numbers $z$. The **discriminator** $D$ is shown pictures, real ones $x$ and fakes $G(z)$, and says of each
# how probable it is that it is real. $D$ wants to be right; $G$ wants $D$ to be wrong. *Lecture:*
#
# $$\min_G \max_D \; \mathbb{E}_x \log D(x) + \mathbb{E}_z \log\bigl(1 - D(G(z))\bigr)$$
#
# Nobody tells $G$ what a digit looks like. All it gets is the gradient of $D$'s opinion.
#
# A network that ends in a sigmoid is a nuisance: near 0 and 1 its logarithm is lost in rounding. So $D$ gives **logits** $s$, and
# $D(x) = \sigma(s)$ with $\sigma(s) = 1 / (1 + e^{-s})$ is only thought.

# %% [markdown] lang="zh"
# ## 3 双人博弈
#
# **生成器** $G$ 把随机数 $z$ 变成一张图。**判别器** $D$ 看到的图有真（$x$）有假（$G(z)$），对每一张图，它都要说出这张图为真的概率。$D$ 希望自己判断正确，$G$ 希望 $D$ 判断错误。*课上*的公式：
#
# $$\min_G \max_D \; \mathbb{E}_x \log D(x) + \mathbb{E}_z \log\bigl(1 - D(G(z))\bigr)$$
#
# 没有人告诉 $G$ 数字长什么样。它得到的只有一样东西：$D$ 的判断的梯度。
#
# 网络如果以 sigmoid 结尾，会很麻烦：输出接近 0 或 1 时，它的对数就毁在舍入误差里了。所以 $D$ 给出的是 **logits** $s$；$D(x) = \sigma(s)$（其中 $\sigma(s) = 1 / (1 + e^{-s})$）只出现在推导里，网络并不去算它。

# %% [markdown] lang="en" about="discriminator_loss"
# Write `discriminator_loss(real_logits, fake_logits)`: a loss that is small when the value of the game is large. Each $\mathbb{E}$ is the mean over
# its pictures; there need not be as many fakes as real ones. It has to be right, too, where $D$ is very sure of itself, and so sigmoid rounds to 0 or 1.

# %% [markdown] lang="zh" about="discriminator_loss"
# 请写出 `discriminator_loss(real_logits, fake_logits)`：博弈的值越大，这个损失越小。每个 $\mathbb{E}$ 都是对相应的图取平均；真图和假图的张数不一定相同。
# 当 $D$ 非常有把握、sigmoid 舍入成 0 或 1 时，结果也要正确。


# %% exercise="discriminator_loss"
def discriminator_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """What D minimises, from its logits for real pictures (N,) and for fakes (M,): a tensor of shape ().

    >>> discriminator_loss(torch.zeros(3), torch.zeros(2))
    tensor(1.3863)
    """
    ### BEGIN SOLUTION
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
    ### END SOLUTION


# %% check="discriminator_loss" points=1 hidden=1

# %% [markdown] lang="en"
# Who answers 1/2 to everything loses $2 \log 2 \approx 1.386$. Remember this number: if the fakes were just like the real pictures, nobody could do better, and the
# game would be over (Goodfellow et al. 2014 show that this is the only end that it has).
#
# Now the generator. Only the second term depends on it. Taken literally, it minimises $\mathbb{E}_z \log(1 - D(G(z)))$: the **saturating** loss. In practice everybody
# minimises $-\mathbb{E}_z \log D(G(z))$ instead, the **non-saturating** loss. Both want the same, $D(G(z)) = 1$. Why then a second one? A network learns from the slope of
# its loss. So compute the slope of each, on paper, with respect to the logit $s$ of a fake: once for $\log(1 - \sigma(s))$ and once for $-\log \sigma(s)$.

# %% [markdown] lang="zh"
# 对什么都回答 1/2 的判别器，损失是 $2 \log 2 \approx 1.386$。请记住这个数：如果假图与真图毫无区别，谁也不可能做得更好，博弈也就结束了（Goodfellow 等 2014 证明，这是它唯一的结局）。
#
# 再看生成器。只有第二项与它有关。照字面意思，它要最小化 $\mathbb{E}_z \log(1 - D(G(z)))$，这叫**饱和**损失（saturating）。而实际上大家最小化的是 $-\mathbb{E}_z \log D(G(z))$，
# 即**非饱和**损失（non-saturating）。两者的目标相同，都是 $D(G(z)) = 1$。那为什么还要第二个？网络是靠损失的斜率学习的。所以请在纸上求出两者对假图的 logit $s$ 的导数：
# 一个是 $\log(1 - \sigma(s))$ 的导数，一个是 $-\log \sigma(s)$ 的导数。

# %% [markdown] lang="en" about="generator_loss"
# Write `generator_loss(fake_logits, saturating)`. It returns two things: the loss, which is the mean over the fakes, and the **slope** of each fake's own term,
# $\frac{d}{ds} \log(1 - \sigma(s))$ or $\frac{d}{ds} (-\log \sigma(s))$, as the formula that you found on paper; automatic differentiation is locked away here. Nothing may overflow when $D$ is very sure.

# %% [markdown] lang="zh" about="generator_loss"
# 请写出 `generator_loss(fake_logits, saturating)`。它返回两样东西：损失，即对所有假图取平均；以及每张假图自己那一项的**斜率** $\frac{d}{ds} \log(1 - \sigma(s))$ 或 $\frac{d}{ds} (-\log \sigma(s))$，
# 请按你在纸上求出的公式来写，这里不能用自动求导。$D$ 非常有把握时，也不能有任何溢出。


# %% exercise="generator_loss"
def generator_loss(fake_logits: torch.Tensor, saturating: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, shape (), and the slope of each term, shape (N,), from D's logits for fakes (N,)."""
    ### BEGIN SOLUTION
    if saturating:
        return -F.softplus(fake_logits).mean(), -torch.sigmoid(fake_logits)
    return F.softplus(-fake_logits).mean(), -torch.sigmoid(-fake_logits)
    ### END SOLUTION


# %% check="generator_loss" points=1 hidden=2

# %%
s = torch.linspace(-8, 8, 200)
_, axes = plt.subplots(1, 2, figsize=(10, 3.4))
for saturating, name in ((True, "saturating: log(1 - D)"), (False, "non-saturating: -log D")):
    axes[0].plot(s, [generator_loss(one, saturating)[0] for one in s.split(1)], label=name)
    axes[1].plot(s, generator_loss(s, saturating)[1], label=name)
for ax, title in zip(axes, ("loss of one fake", "its slope"), strict=True):
    ax.set(title=title, xlabel="logit of the fake (left: D sees through it)")
    ax.axvline(0, color="silver", lw=1, zorder=0)
axes[0].legend()
plt.show()
for saturating in (True, False):
    print(
        f"slope at logit -5, saturating={saturating}: {generator_loss(torch.tensor([-5.0]), saturating)[1].item():.4f}"
    )

# %% [markdown] lang="en"
# In the beginning the fakes are bad, $D$ sees through them, and their logits are far to the left. There the saturating loss is flat: at a logit of -5 its slope is
# -0.0067, that of the other one -0.9933, about 150 times as steep. The worse $G$ is, the less it learns: it **starves**. With the non-saturating loss the worst fakes learn most.

# %% [markdown] lang="zh"
# 一开始假图很差，$D$ 一眼识破，它们的 logits 都在左边很远的地方。饱和损失在那里是平的：logit 为 -5 时，它的斜率是 -0.0067，另一个是 -0.9933，后者的陡峭程度大约是前者的 150 倍。
# $G$ 越差，学到的越少，这就是“**挨饿**”。用非饱和损失，则是从最差的假图上学得最多。

# %% [markdown] lang="en"
# ## 4 One step each
#
# The players take turns. Both steps are given everything, both networks and both optimizers, as it is in a training loop; which of them you touch is up to you,
# and that is just where most GANs go wrong.

# %% [markdown] lang="zh"
# ## 4 各走一步
#
# 双方轮流走。每一步都会拿到全部的东西，两个网络和两个优化器，就像在训练循环里那样；动哪一个由你决定，而大多数 GAN 恰恰就错在这里。

# %% [markdown] lang="en" about="discriminator_step"
# Write `discriminator_step(generator, discriminator, generator_optimizer, discriminator_optimizer, real, z)`: the discriminator takes one step, on the real examples `real` and on the fakes
# that the generator makes of the noise `z`. The generator is a spectator: it must not move, and no gradient may be left in it. Return the loss, as a number, as it was before the step. You may use your
# `discriminator_loss`. The check plays on points in the plane.

# %% [markdown] lang="zh" about="discriminator_step"
# 请写出 `discriminator_step(generator, discriminator, generator_optimizer, discriminator_optimizer, real, z)`：判别器走一步，用的是真样本 `real`，以及生成器由噪声 `z` 生成的假样本。
# 生成器只是旁观者：它不许动，里面也不许留下梯度。返回走这一步之前的损失（一个数）。可以用你的 `discriminator_loss`。检查里的样本是平面上的点。


# %% exercise="discriminator_step"
def discriminator_step(
    generator: nn.Module,
    discriminator: nn.Module,
    generator_optimizer: torch.optim.Optimizer,
    discriminator_optimizer: torch.optim.Optimizer,
    real: torch.Tensor,
    z: torch.Tensor,
) -> float:
    """One step of D on real examples (N, ...) and on fakes made of the noise z (M, latent size); its loss before it."""
    ### BEGIN SOLUTION
    discriminator_optimizer.zero_grad()
    with torch.no_grad():
        fake = generator(z)
    loss = discriminator_loss(discriminator(real), discriminator(fake))
    loss.backward()
    discriminator_optimizer.step()
    return loss.item()
    ### END SOLUTION


# %% check="discriminator_step" points=1 hidden=2

# %% [markdown] lang="en" about="generator_step"
# Write `generator_step(generator, discriminator, generator_optimizer, discriminator_optimizer, z)`: the generator takes one step with the **non-saturating** loss. The gradient goes through the discriminator, but
# the discriminator must not move, and afterwards it must be able to learn as before. (What gradients are left in it does not matter; why not?) Return the loss as it was before the step.

# %% [markdown] lang="zh" about="generator_step"
# 请写出 `generator_step(generator, discriminator, generator_optimizer, discriminator_optimizer, z)`：生成器用**非饱和**损失走一步。梯度要穿过判别器，但判别器不许动，而且之后还要能照常学习。
# （判别器里留下什么梯度都没关系；为什么？）返回走这一步之前的损失。


# %% exercise="generator_step"
def generator_step(
    generator: nn.Module,
    discriminator: nn.Module,
    generator_optimizer: torch.optim.Optimizer,
    discriminator_optimizer: torch.optim.Optimizer,
    z: torch.Tensor,
) -> float:
    """One step of G on fakes made of the noise z (M, latent size); its non-saturating loss before it."""
    ### BEGIN SOLUTION
    generator_optimizer.zero_grad()
    loss, _ = generator_loss(discriminator(generator(z)), saturating=False)
    loss.backward()
    generator_optimizer.step()
    return loss.item()
    ### END SOLUTION


# %% check="generator_step" points=1 hidden=2

# %% [markdown] lang="en"
# These two functions, in turn, are the whole of it. Let them play where one can see everything: the data are points in the plane, two half moons. The generator has never seen them.

# %% [markdown] lang="zh"
# 这两个函数轮流调用，就是 GAN 的全部。先让它们在一个一目了然的地方博弈：数据是平面上的点，排成两个月牙形。生成器从没见过这些点。


# %%
def player(inputs, outputs):
    layers = [nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs)]
    return nn.Sequential(*layers, *([nn.Flatten(0)] if outputs == 1 else []))  # logits have shape (N,)


torch.manual_seed(0)
angle, upper = math.pi * torch.rand(2000), torch.arange(2000) % 2 == 0
x, y = (
    torch.where(upper, angle.cos(), 1 - angle.cos()),
    torch.where(upper, angle.sin(), 0.5 - angle.sin()),
)
moons = torch.stack([x, y], 1) + 0.08 * torch.randn(2000, 2)
moons = (moons - moons.mean(0)) / moons.std(0)

G, D = player(2, 2), player(2, 1)
optimizers = [torch.optim.Adam(each.parameters(), lr=0.001, betas=(0.5, 0.99)) for each in (G, D)]
watched, film, losses = torch.randn(500, 2), {}, []
moments = (0, 1, 2, 3) if under_grading() else (0, 200, 800, 2000)  # for you to see; nothing is graded here
for turn in range(moments[-1] + 1):
    if turn in moments:
        film[turn] = G(watched).detach()
    real = moons[torch.randint(len(moons), (256,))]
    d = discriminator_step(G, D, *optimizers, real, torch.randn(256, 2))
    g = generator_step(G, D, *optimizers, torch.randn(256, 2))
    losses.append((d, g))

# %%
_, axes = plt.subplots(1, len(film), figsize=(12, 3.2), sharex=True, sharey=True)
for ax, (turn, points) in zip(axes, film.items(), strict=True):
    ax.scatter(*moons[:500].T, s=3, color="silver", label="real")
    ax.scatter(*points.T, s=3, color="tab:orange", label="made by G")
    ax.set(title=f"after {turn} turns", xlim=(-2.6, 2.6), ylim=(-2.6, 2.6))
axes[0].legend(loc="upper right")
last = torch.tensor(losses[-200:]).mean(0)
print(
    f"in the last 200 turns: loss of D {last[0]:.2f}, of G {last[1]:.2f} (if nobody can tell: 1.39 and 0.69)"
)

# %% [markdown] lang="en"
# From a heap in the middle to two moons, by nothing but the objections of $D$. Some points lie on bridges between the moons: $G$ is continuous, and a plane cannot be torn in two.
#
# The losses have come to the numbers of a game that is over, and yet you see differences: they only say that *this* small $D$ no longer finds any.
#
# One thing this picture cannot tell, and neither can $G$: how *dense* the points are at some place, as a number. The next model can.

# %% [markdown] lang="zh"
# 从中间的一团到两个月牙，靠的只是 $D$ 的挑剔。有些点落在两个月牙之间的“桥”上：$G$ 是连续的，没法把一个平面撕成两半。
#
# 两个损失已经等于“博弈结束”时的数，你却还看得出差别：这两个数只说明*这个*小小的 $D$ 再也找不出差别了。
#
# 有一件事这张图说不出来，$G$ 也说不出来：某个地方的点究竟有多*密*，用一个数来表示。下一个模型可以。

# %% [markdown] lang="en"
# ## 5 How likely? Exactly, with a flow
#
# The game has given us a way to draw points, and no number that says how likely a point is. A **flow** gives both. It is a chain of maps that can be
# undone, $z_0 \to z_1 \to \dots \to z_K = x$. Noise $z_0$ from a normal distribution goes in, data come out; and since every point $x$ comes from exactly one
# $z_0$, its density can be worked out. In one dimension: where the map stretches a short piece of line to twice its length, the same probability lies on
# twice the room, so the density is halved, $p(x) = p(z_0) \,/\, |dx/dz_0|$. In more dimensions the determinant of the Jacobian says how volumes grow:
#
# $$p(x) = \frac{p(z_0)}{\left|\det \frac{\partial x}{\partial z_0}\right|}$$
#
# *Lecture:* for a chain of maps $f_1, \dots, f_K$ and in logarithms, the slide has
#
# $$\log p(z_K) = \log p(z_0) - \sum_{i=1}^{K} \left|\det \frac{\partial f_i}{\partial z_{i-1}}\right|.$$
#
# Look at it closely before you use it: compare it with the formula above, for a single map. Something was lost in print. There is a test that every
# density passes, since the probabilities of everything that can happen add up to 1: what fails it is no density (what passes may still be the wrong one). `area` below does the sum for a flow in one dimension.

# %% [markdown] lang="zh"
# ## 5 有多大可能？用流模型精确地算
#
# 上面的博弈给了我们生成新点的办法，却说不出一个点有多大可能。**流模型**（flow）两样都行。它是一串可逆的映射 $z_0 \to z_1 \to \dots \to z_K = x$：
# 输入是来自正态分布的噪声 $z_0$，输出是数据；每个 $x$ 只来自唯一的一个 $z_0$，所以它的密度算得出来。先看一维：如果映射把一小段直线拉长到两倍，
# 同样的概率就摊在两倍的长度上，密度减半，即 $p(x) = p(z_0) \,/\, |dx/dz_0|$。在高维里，体积放大多少倍由雅可比矩阵的行列式给出：
#
# $$p(x) = \frac{p(z_0)}{\left|\det \frac{\partial x}{\partial z_0}\right|}$$
#
# *课上：* 对一串映射 $f_1, \dots, f_K$ 取对数，课件上写的是
#
# $$\log p(z_K) = \log p(z_0) - \sum_{i=1}^{K} \left|\det \frac{\partial f_i}{\partial z_{i-1}}\right|.$$
#
# 用之前请仔细看一看：拿只有一个映射的情形和上面的公式对比。印刷时少了点什么。有一个检验，任何概率密度都通得过，因为所有可能情形的概率加起来等于 1：通不过的一定不是概率密度（通过的也未必就是你要的那一个）。
# 下面的 `area` 就对一维的流模型做这个积分。


# %%
line_flow = nn.Sequential(nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 1))
with torch.no_grad():
    line_flow[0].weight.fill_(0.9)
    line_flow[2].weight.fill_(-2.5)


def area(log_density):
    """The area under a density that flows along the line: 1, if it is a density."""
    z0 = torch.linspace(-6, 6, 4001)[:, None]
    x = line_flow(z0).detach()[:, 0]
    return torch.trapezoid(log_density(line_flow, z0).exp(), x).abs().item()


# %% [markdown] lang="en" about="log_density"
# Write `log_density(layers, z0)`: the log-density, in nats, of the points $x$ at which `z0` arrives after all `layers` of an `nn.Sequential`. The noise `z0` comes from a
# standard normal distribution in $D$ dimensions. `jacobians(layer, z)`, from the first code cell, gives
# the Jacobians of one layer at the points `z`, shape $(N, D, D)$, and `torch.linalg.det` their determinants. Half of the points are for a single linear layer. When you have something, let `area(log_density)` judge it.

# %% [markdown] lang="zh" about="log_density"
# 请写出 `log_density(layers, z0)`：`z0` 经过 `nn.Sequential` 的全部 `layers` 到达点 $x$，返回各个 $x$ 处的对数密度（单位 nat）。噪声 `z0` 来自 $D$ 维标准正态分布。
# 第一个代码单元格里的 `jacobians(layer, z)` 给出某一层在各点 `z` 处的雅可比矩阵，
# 形状为 $(N, D, D)$；`torch.linalg.det` 给出它们的行列式。只有一个线性层的情形占一半分数。
# 写出一版之后，就让 `area(log_density)` 来评判。


# %% exercise="log_density"
def log_density(layers: nn.Sequential, z0: torch.Tensor) -> torch.Tensor:
    """Log-densities (N,) of the points layers(z0), for z0 (N, D) from a standard normal distribution.

    >>> double = nn.Linear(1, 1)
    >>> double.weight.data.fill_(2.0)
    >>> log_density(nn.Sequential(double), torch.zeros(1, 1))  # -log(sqrt(2 pi)) - log(2)
    tensor([-1.6121])
    """
    ### BEGIN SOLUTION
    log_p = -0.5 * z0.square().sum(1) - z0.shape[1] / 2 * math.log(2 * math.pi)
    z = z0
    for layer in layers:
        log_p = log_p - torch.linalg.det(jacobians(layer, z)).abs().log()
        z = layer(z)
    return log_p
    ### END SOLUTION


# %% check="log_density" points=1 hidden=2

# %%
print(f"area under your density: {area(log_density):.3f}")

# %% [markdown] lang="en"
# A flow is trained by the most straightforward of all losses: make the data likely. **RealNVP** (Dinh et al. 2017) builds its maps so that the determinant costs
# nothing: each layer leaves one half of the numbers as they are and stretches and shifts the other half, by amounts that a small network reads off the first half. The
# Jacobian is triangular, and its log-determinant is the sum of the logarithms of the stretches. (The library's `forward` runs from $x$ to $z$, so its log-determinant is *added*.)
# Here it learns the moons, in half a minute, and must then say how likely 400 points are that it has not seen.

# %% [markdown] lang="zh"
# 训练流模型，用的是最直接的损失：让数据的似然尽量大。**RealNVP**（Dinh 等，2017）这样设计映射，使行列式的计算几乎不花代价：每一层保持一半的数不变，对另一半做伸缩和平移，
# 伸缩多少、平移多少由一个小网络根据前一半算出。这样雅可比矩阵是三角形的，对数行列式就是各个伸缩系数的对数之和。（库里的 `forward` 是从 $x$ 到 $z$，所以它的对数行列式是*加上*去的。）
# 下面让它学习两个月牙，大约半分钟；然后请它说出 400 个没见过的点有多大可能。

# %%
seen, unseen = moons[:1600], moons[1600:]
torch.manual_seed(0)
flow = get_model("flow")
fit(
    flow,
    (seen, torch.zeros(len(seen))),
    step=NegativeLogLikelihood(),
    epochs=40,
    lr=0.003,
    batch_size=128,
    save="flow",
)

one_normal = torch.distributions.MultivariateNormal(seen.mean(0), torch.cov(seen.T))
with torch.no_grad():
    print(f"mean log-likelihood of points never seen: flow {flow.log_prob(unseen).mean():.2f} nats,", end=" ")
print(f"a single normal distribution {one_normal.log_prob(unseen).mean():.2f}")
plot.density(flow, unseen)

# %% [markdown] lang="en"
# ## 6 How likely? At least so much, with a VAE
#
# A flow must keep as many numbers in the middle as there are pixels. A **variational auto-encoder** keeps the bottleneck and pays with exactness. Its encoder gives no code
# but a distribution of codes, a normal one with mean $\mu(x)$ and standard deviation $\sigma(x)$ in each dimension. A code $z$ is drawn from it, the decoder draws the picture from $z$, and what is
# maximised is a lower bound of the log-likelihood:
#
# $$\log p(x) \;\ge\; \mathbb{E}_{z \sim q(z \mid x)} \log p(x \mid z) \;-\; \mathrm{KL}\big(q(z \mid x)\,\|\,\mathcal N(0, I)\big)$$
#
# The first term asks for good reconstructions. The second asks that the codes, all together, look like standard normal noise: that is why one may draw $z$ from $\mathcal N(0, I)$
# afterwards and get digits, which the plain auto-encoder of section 2 could not do. For two normal distributions the divergence can be written down, with one term for each latent dimension:
#
# $$\mathrm{KL} = \tfrac12 \sum_d \left(\mu_d^2 + \sigma_d^2 - 1 - \log \sigma_d^2\right)$$
#
# One obstacle is left: no gradient passes through "draw at random". So draw elsewhere: $\epsilon$ comes from a standard normal distribution, and $z = \mu + \sigma\epsilon$ is a plain function of $\mu$ and $\sigma$.
# This is the **reparameterisation trick** (Kingma and Welling 2014).

# %% [markdown] lang="zh"
# ## 6 有多大可能？用 VAE 给出下界
#
# 流模型里，中间的数必须和像素一样多。**变分自编码器**（VAE）保留了瓶颈，代价是不再精确。它的编码器给出的不是一个编码，而是编码的分布：每一维是一个正态分布，均值 $\mu(x)$，标准差 $\sigma(x)$。
# 从这个分布中抽取编码 $z$，解码器再由 $z$ 画出图像；训练时最大化的是对数似然的一个下界：
#
# $$\log p(x) \;\ge\; \mathbb{E}_{z \sim q(z \mid x)} \log p(x \mid z) \;-\; \mathrm{KL}\big(q(z \mid x)\,\|\,\mathcal N(0, I)\big)$$
#
# 第一项要求重建得好；第二项要求所有编码合在一起，看上去像标准正态噪声。正因为有第二项，训练之后才可以从 $\mathcal N(0, I)$ 中抽取 $z$，解码出数字，这是第 2 节里普通的自编码器做不到的。
# 两个正态分布之间的 KL 散度可以直接写成公式，隐变量的每一维对应一项：
#
# $$\mathrm{KL} = \tfrac12 \sum_d \left(\mu_d^2 + \sigma_d^2 - 1 - \log \sigma_d^2\right)$$
#
# 还有一个障碍：梯度无法穿过“随机抽取”这一步。那就把抽取挪到外面：从标准正态分布中抽取 $\epsilon$，而 $z = \mu + \sigma\epsilon$ 只是 $\mu$ 和 $\sigma$ 的普通函数。
# 这就是**重参数化技巧**（Kingma 和 Welling，2014）。

# %% [markdown] lang="en" about="reparameterise"
# Write `reparameterise(mu, log_var, eps)`: the code `z` and the divergence of each image, as two results. The encoder gives the logarithm of the variance, $\log\sigma^2$, because that may be any number. The noise `eps`
# is given to you.

# %% [markdown] lang="zh" about="reparameterise"
# 请写出 `reparameterise(mu, log_var, eps)`：返回两个结果，编码 `z` 和每张图像的 KL 散度。编码器给出的是方差的对数 $\log\sigma^2$，因为它可以取任何实数。噪声 `eps` 已经给定。


# %% exercise="reparameterise"
def reparameterise(
    mu: torch.Tensor, log_var: torch.Tensor, eps: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes z (N, D) and divergences from the standard normal distribution (N,), for mu, log_var and noise eps (N, D).

    >>> reparameterise(torch.ones(1, 2), torch.zeros(1, 2), torch.tensor([[0.5, -0.5]]))
    (tensor([[1.5000, 0.5000]]), tensor([1.]))
    """
    ### BEGIN SOLUTION
    z = mu + torch.exp(log_var / 2) * eps
    kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(1)
    return z, kl
    ### END SOLUTION


# %% check="reparameterise" points=1 hidden=1

# %% [markdown] lang="en"
# Let us see whether the gradient gets through. And then a VAE for the digits, with your sixteen numbers a digit; below, what it draws from fresh noise. The pictures are soft: where it is unsure, it paints the mean.
#
# The bound is in nats, for a whole picture of 784 pixels, each of which counts as the probability of white; about -130 of them are -0.17 a pixel. It can be compared with the bound of another VAE, not with the likelihood of a flow, which takes pixels as real numbers.

# %% [markdown] lang="zh"
# 先看看梯度是不是真的传过去了。再用这些数字训练一个 VAE，每个数字同样用十六个数；下面是它从新抽的噪声画出来的。图像有些模糊：拿不准的地方，它就画平均值。
#
# 下界的单位是 nat，是整张图 784 个像素合起来的值，每个像素的灰度被当作它是白色的概率；整张图约 -130 nat，平均到每个像素约 -0.17 nat。它可以和另一个 VAE 的下界比较，不能和流模型的似然比较：流模型把像素当作实数。

# %%
mu = torch.tensor([[0.5]], requires_grad=True)
log_var = torch.tensor([[0.0]], requires_grad=True)
codes, _ = reparameterise(mu.expand(1000, 1), log_var.expand(1000, 1), torch.randn(1000, 1))
codes.square().mean().backward()
print(
    f"slope of E z^2: by mu {mu.grad.item():.2f} (exactly 1), by log_var {log_var.grad.item():.2f} (exactly 1)"
)

torch.manual_seed(0)
vae = get_model("vae", latent_size=16)
fit(vae, digits, step=NegativeELBO(), epochs=12, lr=0.002, batch_size=64, save="vae")
print(
    f"bound on unseen digits: log p(x) is at least {vae.elbo(digits.test.X).mean().item():.0f} nats a digit"
)
plot.sample_grid(vae.sample(20, seed=0), columns=10)

# %% [markdown] lang="en"
# ## 7 Digits of your own
#
# Now the game in earnest. `fit_gan` does what your two steps do, with all that makes such training bearable: it watches the balance of the players, keeps a grid of samples after every
# epoch, and averages the generator's weights over its last steps. A **conditional** GAN (Mirza and Osindero 2014) tells both players which digit is meant, so that one can ask for one.

# %% [markdown] lang="zh"
# ## 7 画出自己的数字
#
# 现在来真的。`fit_gan` 做的就是你写的那两步，再加上让这种训练不至于太折磨人的种种办法：它留意双方是否势均力敌，每一轮之后保存一张样本网格图，还会对生成器最后若干步的参数取平均。
# **条件** GAN（Mirza 和 Osindero，2014）把“要画哪个数字”同时告诉双方，这样就可以指定要某个数字。

# %% [markdown] lang="en" about="own_digits"
# Train `gan`, a `conditional_gan`, with `fit_gan(gan, digits, epochs=..., lr=..., save="gan")`, and keep what it returns as `history`. The check asks your `gan.sample` for two hundred digits, from noise that it
# has never had, and reads each picture as the vote of the five nearest among the 5,000 real digits. A picture counts when it is read as the digit that was asked for. It does not count when it is far from every digit, when it *is* one of the real digits,
# or when you have drawn the same one before. Full points from 85% of the pictures, a share of them from 40% on. One to two minutes of training do.

# %% [markdown] lang="zh" about="own_digits"
# 请用 `fit_gan(gan, digits, epochs=..., lr=..., save="gan")` 训练 `gan`（一个 `conditional_gan`），并把返回值存为 `history`。检查会用全新的噪声，让你的 `gan.sample` 画两百个指定的数字，
# 再拿每张图与 5,000 个真实数字比较，由最近的五个投票决定它是几。认出来正是要求的数字，才算数。离所有数字都很远的、*就是*某个真实数字的、与你前面画过的重复的，都不算。
# 达到 85% 得满分，从 40% 起按比例得分。训练一两分钟就够了。

# %% exercise="own_digits"
### BEGIN SOLUTION
gan = get_model("conditional_gan")
history = fit_gan(gan, digits, epochs=12, lr=0.002, batch_size=32, save="gan")
### END SOLUTION

# %% check="own_digits" points=1 hidden=2

# %% [markdown] lang="en"
# Here they are, a column for each digit, and how the game went. Read the curves with care: when a classifier's loss falls, it gets better; here a player's loss tells how it stands against the other, and both may get better
# while neither moves.

# %% [markdown] lang="zh"
# 这就是你画的数字，每个数字一列；后面是博弈的过程。看曲线要小心：分类器的损失下降，说明它变好了；而在这里，一方的损失只说明它与对手相比如何，双方都在进步时，两个损失可以都不动。

# %%
own = gan.sample(50, labels=torch.arange(50) % 10, seed=1)
plot.sample_grid(own, columns=10)

# %%
plot.samples_over_time(history)

# %%
plot.players(history)

# %% [markdown] lang="en"
# Has it drawn them, or learned them by heart? In each pair of rows: your digits above, below each the training digit that is nearest to it.

# %% [markdown] lang="zh"
# 它是自己画的，还是背下来的？每两行一组：上面是你画的数字，下面是训练集中离它最近的那个。

# %%
_, places = nearest(own[:20], digits.train.X)
pairs = torch.stack([own[:20].view(2, 10, 1, 28, 28), digits.train.X[places].view(2, 10, 1, 28, 28)], 1)
plot.sample_grid(pairs.flatten(0, 2), columns=10)

# %% [markdown] lang="en"
# ## 8 How many digits does it know?
#
# A generator wins when D believes its fakes, and nobody has asked it to draw *all* digits. If it finds one beautiful 7, it may go on drawing sevens: **mode collapse**. Eyes are bad at noticing this, because every single picture looks good.
# So count. Let a classifier read the samples, and take the share $p_k$ of each class. From the entropy $H = -\sum_k p_k \log p_k$ comes one number that is easy to read, the **effective number of classes** $e^H$:
# ten digits equally often give 10, one digit alone gives 1, and a digit that hardly ever comes hardly counts.

# %% [markdown] lang="zh"
# ## 8 它会画几种数字？
#
# 只要 D 相信了假图，生成器就赢了；谁也没有要求它把*所有*数字都画出来。如果它碰巧画出了一个漂亮的 7，就可能一直画 7：这就是**模式崩塌**（mode collapse）。肉眼很难发现，因为单看每一张图都很好。
# 所以要数一数。用一个分类器来认这些样本，得到每一类的占比 $p_k$。由熵 $H = -\sum_k p_k \log p_k$ 可以得到一个好懂的数，**有效类别数** $e^H$：
# 十个数字一样多时是 10，只有一个数字时是 1，很少出现的数字几乎不算数。

# %% [markdown] lang="en" about="coverage"
# Write `coverage(classes, num_classes)`: from the classes that were read, whole numbers from 0 on, the share of each of the `num_classes` classes and the effective number of classes. Some classes may not come at all; they have share 0.

# %% [markdown] lang="zh" about="coverage"
# 请写出 `coverage(classes, num_classes)`：`classes` 是认出来的类别（从 0 开始的整数），返回 `num_classes` 个类各自的占比和有效类别数。有的类可能一次也没有出现，它的占比是 0。


# %% exercise="coverage"
def coverage(classes: torch.Tensor, num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares (num_classes,) and the effective number of classes, shape (), from classes (N,), int64.

    >>> coverage(torch.tensor([0, 0, 2, 2]), 3)
    (tensor([0.5000, 0.0000, 0.5000]), tensor(2.))
    """
    ### BEGIN SOLUTION
    shares = torch.bincount(classes, minlength=num_classes) / len(classes)
    entropy = -torch.special.xlogy(shares, shares).sum()
    return shares, entropy.exp()
    ### END SOLUTION


# %% check="coverage" points=1 hidden=1

# %%
torch.manual_seed(0)
reader = get_model("lenet")
fit(reader, digits, epochs=4, lr=0.003, batch_size=64, save="reader")
drawn = {
    "test digits": digits.test.X,
    "VAE": vae.sample(1000, seed=1),
    "your GAN": gan.sample(1000, labels=torch.arange(1000) % 10, seed=1),
}
for name, pictures in drawn.items():
    logits = predict(reader, pictures)
    shares, number = coverage(logits.argmax(1), 10)
    print(
        f"{name:>12}: {float(number):.1f} effective classes, rarest {min(map(float, shares)):.1%}, confidence {logits.softmax(1).amax(1).mean():.0%}"
    )

# %% [markdown] lang="en"
# Your GAN was told which digit to draw, so it can hardly leave one out. To see a collapse, take the label away: eight heaps of points on a ring, and a generator that begins in the middle. Your own losses play, twice.
# The first time with a hasty G, which learns ten times as fast as D, so that D cannot keep up. The second time with players of the same speed and a brake for D, a penalty on the slope of its logits at real points
# (R1, Mescheder et al. 2018). How many of the eight heaps does G know?

# %% [markdown] lang="zh"
# 你的 GAN 是被告知该画哪个数字的，想漏掉一个都难。要看到崩塌，就把标签拿掉：数据是圆环上的八堆点，生成器从正中间出发。博弈用的是你自己写的损失，进行两次。
# 第一次用一个性急的 G：它的学习率是 D 的十倍，D 怎么也跟不上。第二次双方一样快，并给 D 装上刹车，也就是惩罚它的 logit 在真实点处的斜率（R1，Mescheder 等，2018）。
# 八堆点里，G 会画几堆？

# %%
angles = 2 * math.pi * torch.arange(8) / 8
heaps = 2 * torch.stack([angles.cos(), angles.sin()], 1)  # (8, 2)


TURNS = 5 if under_grading() else 1200  # for you to see; nothing is graded here


def play(lr_of_G, penalty, saturating=False, size=64, seed=0):
    """A game on the ring; 2,000 points of the generator at the end."""
    torch.manual_seed(seed)
    G, D = player(4, 2), player(2, 1)
    with torch.no_grad():
        G[-1].weight.mul_(0.1)  # it begins in the middle
    of_G = torch.optim.Adam(G.parameters(), lr=lr_of_G, betas=(0.5, 0.9))
    of_D = torch.optim.Adam(D.parameters(), lr=0.001, betas=(0.5, 0.9))
    for _ in range(TURNS):
        real = heaps[torch.randint(8, (size,))] + 0.05 * torch.randn(size, 2)
        real.requires_grad_()
        logits = D(real)
        loss = discriminator_loss(logits, D(G(torch.randn(size, 4)).detach()))
        if penalty:
            (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
            loss = loss + penalty / 2 * slope.square().sum(1).mean()
        of_D.zero_grad()
        loss.backward()
        of_D.step()
        of_G.zero_grad()
        generator_loss(D(G(torch.randn(size, 4))), saturating)[0].backward()
        of_G.step()
    return G(torch.randn(2000, 4)).detach()


games = {
    "a hasty G": play(lr_of_G=0.01, penalty=0.0),
    "equal speed, D with a brake": play(lr_of_G=0.001, penalty=1.0),
}
_, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharex=True, sharey=True)
for ax, (name, points) in zip(axes, games.items(), strict=True):
    _, number = coverage(torch.cdist(points, heaps).argmin(1), 8)
    ax.scatter(*heaps.T, s=300, color="silver")
    ax.scatter(*points[:1000].T, s=3, color="tab:orange")
    ax.set(title=f"{name}: {float(number):.1f} of 8", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal")
plt.show()

# %% [markdown] lang="en"
# On the left the noise ends in few places: where D distrusts least at the moment, there the cloud runs, and when D has learned better, it runs on. Call `play` with other seeds: the place changes, and the collapse seldom fails to come.
#
# Two things were different on the right, and it mostly takes both: call `play` with one of them at a time. The loss was the same both times, and it is not what matters here: with `saturating=True`, equal speed and the brake, all eight heaps are found as well.

# %% [markdown] lang="zh"
# 左图里，噪声都落到了少数几处：D 眼下哪里最不设防，整团点就涌向哪里；等 D 学会了，它们又一起跑向别处。换几个种子再调用 `play`：地方会变，崩塌却几乎总会出现。
#
# 右图有两点不同，通常缺一不可：一次只改一点，再调用 `play` 试试。两次用的是同样的损失，而且这里要紧的并不是损失：用 `saturating=True`，只要双方一样快又有刹车，同样能找到全部八堆。

# %% [markdown] lang="en"
# ## 9 What does not belong
#
# Back to the second use of a generative model. Each of your models can give a picture a score that is high when the picture is unusual: the auto-encoder its reconstruction error, the VAE minus its bound, a flow minus its log-likelihood, a GAN minus the logit of its discriminator (of a conditional one, the highest that any label gets).
# How good is such a score? A threshold would have to be chosen, and every choice trades missed outliers for false alarms. The **ROC curve** shows all choices at once: for every threshold, the share of outliers found (upwards) against the share of false alarms among the usual ones (to the right).
# The area under it is one number without any threshold, and it has a plain meaning: **take one outlier and one usual example at random; with which probability does the outlier have the higher score?** A coin has 0.5.

# %% [markdown] lang="zh"
# ## 9 找出不属于这里的东西
#
# 回到生成模型的第二个用处。你的每个模型都能给图像打一个分，分数越高越异常：自编码器用重建误差，VAE 用下界的相反数，流模型用对数似然的相反数，GAN 用判别器 logit 的相反数（条件 GAN 取各个标签下最大的 logit）。
# 这样的得分好不好？要用它，就得选一个阈值，而每一种选择都是在漏报和误报之间取舍。**ROC 曲线**一次画出所有的选择：对每个阈值，纵轴是异常样本中被找出的比例，横轴是正常样本中被误报的比例。
# 曲线下的面积（AUC）是一个与阈值无关的数，意思也很明白：**随机取一个异常样本和一个正常样本，前者得分更高的概率是多少？** 靠抛硬币来猜，是 0.5。

# %% [markdown] lang="en" about="roc_auc"
# Write `roc_auc(inlier_scores, outlier_scores)`: that probability, over all pairs of one outlier and one usual example (inlier). Where both have the same score, the pair counts one half. Half of the points are for scores without ties. Ready-made functions of scikit-learn
# and of `coursekit.measure` are locked away.

# %% [markdown] lang="zh" about="roc_auc"
# 请写出 `roc_auc(inlier_scores, outlier_scores)`：在所有由一个异常样本（outlier）和一个正常样本（inlier）组成的样本对上求这个概率；两者得分相等时，这一对算二分之一。没有相等得分的情形占一半分数。本题不能用 scikit-learn 和 `coursekit.measure` 里现成的函数。


# %% exercise="roc_auc"
def roc_auc(inlier_scores: torch.Tensor, outlier_scores: torch.Tensor) -> torch.Tensor:
    """The area under the ROC curve, shape (), from scores (N,) and (M,), of which higher ones mean more unusual.

    >>> roc_auc(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.5, 4.0]))
    tensor(0.8333)
    """
    ### BEGIN SOLUTION
    inliers, outliers = inlier_scores[:, None], outlier_scores[None, :]  # (N, 1) and (1, M)
    return ((outliers > inliers).float() + 0.5 * (outliers == inliers)).mean()
    ### END SOLUTION


# %% check="roc_auc" points=1 hidden=1

# %% [markdown] lang="en"
# Now things that are no digits: capital letters, digits cut through the middle with their halves exchanged, and blank pictures. (If Fashion-MNIST is on this computer, clothes as well.)

# %% [markdown] lang="zh"
# 现在来几种不是数字的东西：大写字母；从中间切开、上下两半对调的数字；还有空白的图。（如果这台电脑上有 Fashion-MNIST，就再加上衣服。）


# %%
def letters() -> torch.Tensor:
    """The capital letters in 12 faces, drawn like the digits: (312, 1, 28, 28), from -1 to 1."""
    pictures = []
    for family in ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono"):
        for style in ("normal", "italic"):
            for weight in ("normal", "bold"):
                face = font_manager.FontProperties(family=family, style=style, weight=weight)
                font = ImageFont.truetype(font_manager.findfont(face), 22)
                for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
                    picture = Image.new("L", (28, 28))
                    ImageDraw.Draw(picture).text((14, 14), letter, fill=255, font=font, anchor="mm")
                    pictures.append(np.array(picture))
    return torch.from_numpy(np.stack(pictures)).float()[:, None] / 127.5 - 1


strangers = {
    "letters": letters(),
    "halves exchanged": digits.test.X.roll(14, dims=2),
    "blank": torch.full((100, 1, 28, 28), -1.0),
}
try:
    strangers["clothes"] = load("fashion_mnist").scaled(-1, 1).test.X[:1000]
except DataError:
    print("Fashion-MNIST is not on this computer, so there are no clothes among the strangers.")
plot.sample_grid(torch.cat([X[:10] for X in strangers.values()]), columns=10)


# %%
def small(X, noise=0.05):
    """Pictures as 49 means of 4 x 4 pixels, a little noisy, so that black is no single value of infinite density."""
    means = F.avg_pool2d(X, 4).flatten(1)
    return means + noise * torch.randn(means.shape, generator=torch.Generator().manual_seed(0))


torch.manual_seed(0)
picture_flow = get_model("flow", dim=49, num_layers=8, hidden_size=128)
X_small = small(digits.train.X)
fit(
    picture_flow,
    (X_small, torch.zeros(len(X_small))),
    step=NegativeLogLikelihood(),
    epochs=15,
    lr=0.001,
    batch_size=64,
    save="picture_flow",
)

detectors = {
    "auto-encoder: error": lambda X: outlier_scores(autoencoder, X),
    "VAE: bound": lambda X: outlier_scores(vae, X),
    "flow: likelihood": lambda X: outlier_scores(picture_flow, small(X)),
    "GAN: discriminator": lambda X: outlier_scores(gan, X),
}
print(f"{'area under the curve':>22}" + "".join(f"{name:>18}" for name in strangers))
for name, score in detectors.items():
    usual = score(digits.test.X)
    print(f"{name:>22}" + "".join(f"{float(roc_auc(usual, score(X))):18.3f}" for X in strangers.values()))

# %% [markdown] lang="en"
# Look at the column of the blank pictures before you go on. There is nothing on them, and yet the auto-encoder and the VAE find them *more* usual than any digit, with an area near 0; the flow, which sees them only coarse and noisy, and the discriminator find nothing much about them.
# For the auto-encoder it is plain: nothing is easier to redraw than nothing. The VAE's bound is no mistake either. Black pixels are likely, so the picture of nothing but black has a higher probability than any *one* picture of a digit, and still nobody ever draws it,
# because there are so many more pictures with a digit on them (Nalisnick et al. 2019).
#
# ### In your own words
#
# In five to ten sentences (2 points, read by a person):
#
# 1. Why does a high likelihood not mean good samples, nor good samples a high likelihood? One way to begin: a model gives with probability 0.01 what a perfect model gives, and with probability 0.99 plain noise. How many nats does that cost at most, compared with the bound
#    that your VAE reached, and what do its samples look like? And a model that has learned the training digits by heart?
# 2. What does a discriminator judge that the likelihood does not, and what does it not know? Support this with a number or a picture from this lab.

# %% [markdown] lang="zh"
# 继续之前，先看看“空白”（blank）那一列。图上什么也没有，自编码器和 VAE 却觉得它比任何数字都*更*正常，面积接近 0；流模型看到的只是又粗又带噪声的图，它和判别器都看不出空白图有什么特别。
# 自编码器的道理很简单：没有什么比“什么都没有”更容易重画了。VAE 的下界也没有错：黑色像素的概率大，所以全黑的图比任何*单独一张*数字图的概率都高；可是谁也不会画出它来，因为画着数字的图实在多得多（Nalisnick 等，2019）。
#
# ### 用自己的话说
#
# 请用五到十句话回答（2 分，由老师评阅）：
#
# 1. 为什么似然高不等于样本好，样本好也不等于似然高？可以这样开头：某个模型以 0.01 的概率给出完美模型的输出，以 0.99 的概率给出纯噪声。这样做最多损失多少 nat？与你的 VAE 达到的下界比一比。它的样本又是什么样子？
#    再想想把训练数字背下来的模型。
# 2. 判别器判断的是哪些似然不判断的东西？又有什么是它不知道的？请用本实验中的一个数或一张图来支持你的说法。

# %% [markdown] written="likelihood" points=2
# The mixture of 1 % perfect model and 99 % noise has at least 0.01 p(x) everywhere, so its log-likelihood is at most log 100 = 4.6 nats lower, out of more than a hundred nats a digit: hardly to be seen, although 99 of 100 samples are noise. The other way round, a model that repeats the training
# digits draws perfect samples, and gives digits that it has not seen next to no probability. So the two have to be measured separately (Theis, van den Oord and Bethge 2016). A likelihood asks how probable this one picture is, pixel by pixel, so by the VAE's bound the blank picture beats all digits. The
# discriminator asks whether a picture can be told from real ones, which is what the eye asks, and why GANs draw sharp digits where the VAE paints means. But it knows only the fakes that it has met, gives no probability, and does not notice what is missing: in the ring the samples sat on few heaps of eight.
#
# 1 % 完美模型加 99 % 噪声的混合，处处至少有 0.01 p(x)，所以对数似然最多低 log 100 = 4.6 nat，而每个数字有一百多 nat：几乎看不出来，可是一百个样本里九十九个是噪声。反过来，只会重复训练集的模型样本完美，却几乎不给没见过的数字任何概率。
# 所以两者必须分开衡量（Theis、van den Oord 和 Bethge，2016）。似然问的是这一张图逐个像素有多大可能，所以按 VAE 的下界，空白图胜过了所有数字。判别器问的是这张图能不能和真图区分开，这正是眼睛在问的，所以 GAN 画得清晰，而 VAE 画的是平均。
# 但判别器只认识它见过的假图，给不出概率，也发现不了缺了什么：在圆环的例子里，样本只落在八堆中的少数几堆上。
#
# === BEGIN MARK SCHEME ===
# - 1 point: both directions with a reason: noise may be mixed in at a cost of a few nats (log 100 = 4.6, against the VAE's bound), and copies are perfect samples with next to no probability for unseen data. Half for one direction.
# - 1 point: the discriminator judges whether fakes can be told from real pictures (sharpness, plausibility), but gives no probability, knows only the fakes it has met and does not see what is missing; supported by a number or picture of the lab (blank pictures, ring, soft VAE samples). Half without support.
#
# - 1 分：两个方向都说明理由：混入噪声只损失几个 nat（log 100 = 4.6，与 VAE 的下界相比）；照搬训练集样本完美，却几乎不给新数据概率。只有一个方向得一半。
# - 1 分：判别器判断的是真假能否区分（清晰、像真的），但给不出概率，只认识见过的假图，也看不到缺了什么；并有本实验的数或图支持（空白图、圆环、VAE 的模糊样本）。没有支持得一半。
# === END MARK SCHEME ===

# %% [markdown] lang="en"
# ## What you have learned
#
# - Generative models differ in what they can tell: a GAN draws, a flow computes densities, a VAE bounds them, an auto-encoder only redraws.
# - Squeezing with a network keeps more of a digit in sixteen numbers than principal components do.
# - The game's own loss starves the generator just when it needs help; the non-saturating one does not. Each player's step must leave the other alone.
# - Densities change by the *logarithm* of a determinant, and a density can be tested: what has not area 1 is none. Randomness that comes from outside lets gradients through.
# - Good pictures are not enough: count what is missing, look for copies, and measure.
#
# **Where to go on.** `get_model("diffusion")` with `step=Denoising()` draws by taking noise away in many small steps (Ho et al. 2020): it is slower, and does not collapse. Or ask your VAE for what lies between two digits: decode the codes on the way from one to the other.

# %% [markdown] lang="zh"
# ## 你学到了什么
#
# - 各种生成模型能告诉我们的东西不同：GAN 会画，流模型能算密度，VAE 给出下界，自编码器只会重画。
# - 同样是十六个数，用网络来压缩，比主成分保留了数字的更多内容。
# - 博弈本身的损失偏偏在生成器最需要帮助的时候让它挨饿，非饱和损失不会。一方走一步时，绝不能动到另一方。
# - 变量替换时，对数密度的变化由行列式的*对数*给出；密度可以检验：总面积不是 1 的，就不是概率密度。把随机性放到外面，梯度就能通过。
# - 图好看还不够：要数一数缺了什么，查一查有没有照搬，并且定量地衡量。
#
# **接下来可以试试：** 用 `get_model("diffusion")` 配 `step=Denoising()`，它一小步一小步地去掉噪声，把图画出来（Ho 等，2020）：慢一些，但不会崩塌。或者问问你的 VAE，两个数字之间是什么：把从一个编码走到另一个编码的途中各点解码出来看看。

# %% [markdown] lang="en"
# **Handing in.** Save the notebook, and run `coursekit submit` in a terminal, in the folder of this notebook: it looks over your work and packs the notebook with its weights into
# one file, `generative.zip`. Hand in this file, unless your course has another way.

# %% [markdown] lang="zh"
# **提交作业：** 保存笔记本，在终端里进入笔记本所在的文件夹，运行 `coursekit submit`：它会看看有没有漏做的题、保存下来的检查结果如何，再把笔记本和权重打包成一个文件 `generative.zip`。
# 如果课程没有另外的要求，交这个文件就行。
