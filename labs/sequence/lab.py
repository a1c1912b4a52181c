# %% [markdown] lang="en"
# # Sequences: networks that read
#
# "The food was good, not bad at all." "The food was bad, not good at all." The same ten words and marks, and you would book a table after one of them
# only. In this lab you build a network that reads word by word and keeps in mind what it has read; you find out why it forgets, mend it, teach it to
# tell praise from blame, and in the end let it write.
#
# **When you are through, you can**
#
# - say what a bag of words cannot see, and write a recurrent network that can, step by step;
# - send a gradient back through time by hand, and say by a number of the weights whether it must vanish or may explode;
# - write an LSTM cell, and say what each gate is for;
# - batch sentences of different lengths without the padding having a say;
# - train a network on sentences and one on characters, and make it write more or less boldly.
#
# **Time:** about three hours. **Points:** 30, in twelve programming exercises and one written answer.
#
# Each exercise has a cell to fill in and a cell that checks it. Run the check as often as you like: it tells you at once what is right, what was
# expected, and often which slip leads to just your result. A part of the points is for this check, the rest for the same check on inputs that are
# drawn when the lab is graded. The lines marked *lecture* use the examples of the lecture.

# %% [markdown] lang="zh"
# # 序列：会阅读的网络
#
# “The food was good, not bad at all.”（菜很好，一点也不差。）“The food was bad, not good at all.”（菜很差，一点也不好。）两句话的词和标点一模一样，
# 可你只会在看了其中一句之后去订位。这个实验要搭一个逐词阅读、边读边记的网络；弄清楚它为什么会忘事，把它治好，教它分辨好评和差评，最后让它自己写。
#
# **学完之后，你能够**
#
# - 说出词袋看不见什么，并一步一步写出看得见的循环网络；
# - 亲手让梯度沿时间往回传，并用由权重算出的一个数判断它必定消失还是可能爆炸；
# - 写出 LSTM 单元，并说出每个门的用处；
# - 把长短不一的句子放进一个批量，而不让填充影响结果；
# - 训练一个读句子的网络和一个读字符的网络，并让它写得更大胆或更稳妥。
#
# **用时：** 约三个小时。**分值：** 30 分，十二道编程练习，一道书面题。
#
# 每道练习有一个要填写的单元格和一个检查单元格。检查可以反复运行：它会马上告诉你哪里对了、应该得到什么，往往还能指出是哪种疏忽恰好导致了你的结果。
# 一部分分数来自这次检查，其余分数来自批改时的同样检查，只是输入会重新抽取。标有“课上的例子”的地方用的是课上的例子。

# %% setup=true
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from coursekit import plot
from coursekit.check import open_lab
from coursekit.data import Sequences, TextSplit, TokenStream, Vocabulary, load, tokenize
from coursekit.data.same_bag import same_bag
from coursekit.data.synthetic import adding_problem
from coursekit.models import get_model
from coursekit.models.cells import cell_of
from coursekit.train import TruncatedBPTT, evaluate, fit, gradient_norms, predict

check = open_lab("sequence")
torch.set_num_threads(1)  # for networks this small, threads would mostly wait for one another
pairs = same_bag("en")  # sentences for section 7
vocabulary = pairs.vocabulary(min_count=1)
encoded = pairs.encode(vocabulary)

# %% [markdown] lang="en"
# ## 1 Why sequences?
#
# A picture of 28 x 28 pixels is always 784 numbers. A sentence is as long as it likes. The lecture names four things that a model of sequences must
# cope with:
#
# 1. **Length varies.** The next sentence may have three words or sixty.
# 2. **Order counts.** The two sentences above differ in nothing else.
# 3. **What matters may be far back.** *Lecture:* "France is where I grew up, but I now live in Boston. I speak fluent \_\_\_". The word that decides is
#    the first one.
# 4. **Sharing.** What "not" does to the word after it, it does anywhere in a sentence; it should be learned once, not once for each place.
#
# The simplest model of a text gives up on the second point, and goes surprisingly far with it: the **bag of words** counts how often each word of a
# vocabulary occurs, and forgets the order.

# %% [markdown] lang="zh"
# ## 1 为什么要研究序列？
#
# 一张 $28 \times 28$ 的图永远是 784 个数，而一个句子想多长就多长。课上讲过，处理序列的模型要应付四件事：
#
# 1. **长度不固定。** 下一句话可能只有三个词，也可能有六十个。
# 2. **次序有意义。** 上面两句话的差别只在次序。
# 3. **关键的词可能在很远的前面。** *课上的例子：* “France is where I grew up, but I now live in Boston. I speak fluent \_\_\_”（我在法国长大，
#    但现在住在波士顿。我说一口流利的\_\_\_）。决定答案的是第一个词。
# 4. **共享。** “not”对后面那个词的作用，在句子的哪个位置都一样；应当只学一次，而不是每个位置学一次。
#
# 最简单的文本模型放弃了第二点，居然也能走得很远：**词袋**只数词表里的每个词出现了几次，完全不管次序。

# %% [markdown] lang="en" about="bag_of_words"
# Write `bag_of_words(tokens, vocabulary)`: one count for each word of the vocabulary, in its order. Words that are not in the vocabulary are left
# out.
#
# *Lecture:* the check begins with the two sentences about the food.

# %% [markdown] lang="zh" about="bag_of_words"
# 请写出 `bag_of_words(tokens, vocabulary)`：按词表的次序，给出每个词出现的次数。词表之外的词略去。
#
# *课上的例子：* 检查先用上面两句关于菜的话。


# %% exercise="bag_of_words"
def bag_of_words(tokens: list[str], vocabulary: list[str]) -> torch.Tensor:
    """How often each word of `vocabulary` (V words) is among `tokens`: shape (V,).

    >>> bag_of_words(["so", "good", "so", "far"], ["far", "good", "so"])
    tensor([1, 1, 2])
    """
    ### BEGIN SOLUTION
    return torch.tensor([tokens.count(word) for word in vocabulary])
    ### END SOLUTION


# %% check="bag_of_words" points=1 hidden=1

# %%
praise = tokenize("The food was good, not bad at all.")
blame = tokenize("The food was bad, not good at all.")
words = sorted(set(praise))

_, axes = plt.subplots(1, 2, figsize=(10, 2.4), sharey=True)
for ax, tokens in zip(axes, (praise, blame), strict=True):
    ax.bar(range(len(words)), bag_of_words(tokens, words), color="tab:blue")
    ax.set_xticks(range(len(words)), words, rotation=60)
    ax.set(title=" ".join(tokens), yticks=[0, 1])

# %% [markdown] lang="en"
# Two opposite meanings, one bag. Whatever a model does with the bag afterwards, it must give both sentences the same answer.

# %% [markdown] lang="zh"
# 意思相反的两句话，同一个词袋。模型拿到词袋之后不管怎么处理，都只能给这两句话同样的答案。

# %% [markdown] lang="en"
# ## 2 A state that reads along
#
# A **recurrent network** reads one word after the other, as you do. It has a **hidden state** $h$, a vector of $H$ numbers, in which it keeps what it
# has read so far. Each step makes a new state from the word that comes in, $x_t$ with $D$ numbers, and from the state before:
#
# $$h_t = \tanh\left(W_{xh}\, x_t + W_{hh}\, h_{t-1} + b\right)$$
#
# The same three tables of weights are used at every step. So the network can read a sentence of any length, and what it learns about "not" holds at
# every place: lengths and sharing are settled at one stroke.
#
# In formulas vectors are columns; in a batch each example is a *row*: `x` is $(B, D)$ and `h` is $(B, H)$. The weights are kept as PyTorch keeps
# them, one row for each hidden unit: `W_xh` is $(H, D)$ and `W_hh` is $(H, H)$.

# %% [markdown] lang="zh"
# ## 2 边读边记的状态
#
# **循环网络**像你一样，一个词一个词地读。它有一个**隐藏状态** $h$，是 $H$ 个数组成的向量，用来记住到目前为止读了什么。
# 每一步由新来的词 $x_t$（$D$ 个数）和前一个状态算出新的状态：
#
# $$h_t = \tanh\left(W_{xh}\, x_t + W_{hh}\, h_{t-1} + b\right)$$
#
# 每一步用的都是同样的三组权重。所以网络能读任意长的句子，它学到的关于“not”的知识在任何位置都管用：长度和共享两个问题一举解决。
#
# 公式里的向量是列向量；而在批量里，每个样本是一*行*：`x` 是 $(B, D)$，`h` 是 $(B, H)$。权重的存放方式与 PyTorch 相同，每个隐藏单元一行：`W_xh` 是 $(H, D)$，`W_hh` 是 $(H, H)$。

# %% [markdown] lang="en" about="rnn_step"
# Write `rnn_step(x, h, W_xh, W_hh, b)`, one step for a whole batch. PyTorch's recurrent layers are locked away for this and the next exercises. One
# warning: `W_hh` is square. Used the wrong way round it gives no error, just another network.

# %% [markdown] lang="zh" about="rnn_step"
# 请写出 `rnn_step(x, h, W_xh, W_hh, b)`：对整个批量走一步。本题和下面几题不能用 PyTorch 自带的循环层。提醒一句：`W_hh` 是方阵，用反了方向也不会报错，
# 只是变成了另一个网络。


# %% exercise="rnn_step"
def rnn_step(
    x: torch.Tensor, h: torch.Tensor, W_xh: torch.Tensor, W_hh: torch.Tensor, b: torch.Tensor
) -> torch.Tensor:
    """The state after reading `x` (B, D) in the state `h` (B, H): shape (B, H).

    Args:
        W_xh: weights from the input, shape (H, D).
        W_hh: weights from the old state, shape (H, H).
        b: bias, shape (H,).

    >>> rnn_step(torch.tensor([[1., 2.]]), torch.zeros(1, 1), torch.tensor([[1., 1.]]), torch.ones(1, 1), torch.tensor([-2.5]))
    tensor([[0.4621]])
    """
    ### BEGIN SOLUTION
    return torch.tanh(x @ W_xh.T + h @ W_hh.T + b)
    ### END SOLUTION


# %% check="rnn_step" points=1 hidden=1

# %% [markdown] lang="en" about="rnn_forward"
# Now unroll it. Write `rnn_forward(X, h0, W_xh, W_hh, b)`: read a batch of sequences `X` of shape $(B, T, D)$ from the first step to the last, with
# your `rnn_step`, and return the states after *each* step. Every sequence starts from its own row of `h0`.

# %% [markdown] lang="zh" about="rnn_forward"
# 现在把它沿时间展开。请写出 `rnn_forward(X, h0, W_xh, W_hh, b)`：用你的 `rnn_step` 从第一步到最后一步读完一个批量的序列 `X`（形状 $(B, T, D)$），
# 返回*每一步*之后的状态。每个序列从 `h0` 中自己的那一行开始。


# %% exercise="rnn_forward"
def rnn_forward(
    X: torch.Tensor, h0: torch.Tensor, W_xh: torch.Tensor, W_hh: torch.Tensor, b: torch.Tensor
) -> torch.Tensor:
    """All states of a batch of sequences.

    Args:
        X: B sequences of T steps, shape (B, T, D).
        h0: the states before the first step, shape (B, H).
        W_xh, W_hh, b: as in `rnn_step`.

    Returns:
        The states after each of the T steps (without h0), shape (B, T, H).
    """
    ### BEGIN SOLUTION
    h, states = h0, []
    for t in range(X.shape[1]):
        h = rnn_step(X[:, t], h, W_xh, W_hh, b)
        states.append(h)
    return torch.stack(states, dim=1)
    ### END SOLUTION


# %% check="rnn_forward" points=1 hidden=1

# %% [markdown] lang="en"
# Does it see what the bag could not? Below, a network that nobody has trained reads the two sentences, each word a vector with a single 1. A column
# is the state after that word. Up to "was" the two pictures are equal. From the first word that differs on they part, and although the other words
# are the same again, the states never meet: the last column still knows which sentence it was.

# %% [markdown] lang="zh"
# 它看得见词袋看不见的东西吗？下图中，一个完全没有训练过的网络读这两句话，每个词用一个独热向量（one-hot，只有一个 1）表示。每一列是读完那个词之后的状态。到“was”
# 为止两张图完全一样；从第一个不同的词开始就分开了，后面虽然又有相同的词，状态却不再重合：最后一列仍然知道读的是哪一句。

# %%
torch.manual_seed(3)
hidden = 12
random_weights = 0.9 * torch.randn(hidden, len(words)), 0.3 * torch.randn(hidden, hidden), torch.zeros(hidden)
ids = torch.tensor([[words.index(token) for token in tokens] for tokens in (praise, blame)])
one_hot = torch.eye(len(words))[ids]  # (2, 10, V)
states = rnn_forward(one_hot, torch.zeros(2, hidden), *random_weights)

_, axes = plt.subplots(1, 2, figsize=(10, 3.2))
for ax, tokens, H in zip(axes, (praise, blame), states, strict=True):
    ax.imshow(H.T, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    ax.set_xticks(range(len(tokens)), tokens, rotation=60)
    ax.set_ylabel("hidden unit")
print(f"distance of the two last states: {(states[0, -1] - states[1, -1]).norm():.2f}")

# %% [markdown] lang="en"
# ## 3 Back through time
#
# To learn, the network needs the gradient of the loss $L$ for its weights. Unrolled, it is an ordinary deep network with $T$ layers, and all layers
# happen to have the same weights. So we go back as always, from the last step to the first; this is called **back-propagation through time**. Write
# $a_t$ for the sum inside the tanh, $h_t = \tanh(a_t)$. At each step:
#
# $$\delta_t = \frac{\partial L}{\partial a_t} = \frac{\partial L}{\partial h_t} \odot \tanh'(a_t), \qquad
# \frac{\partial L}{\partial h_{t-1}} = W_{hh}^\top\, \delta_t$$
#
# ($\odot$ is the product number by number, and $\tanh'(a) = 1 - \tanh^2(a)$.) Each use of a weight adds its share, so the gradients are **sums over
# time**:
#
# $$\frac{\partial L}{\partial W_{xh}} = \sum_t \delta_t\, x_t^\top, \qquad
# \frac{\partial L}{\partial W_{hh}} = \sum_t \delta_t\, h_{t-1}^\top, \qquad
# \frac{\partial L}{\partial b} = \sum_t \delta_t$$

# %% [markdown] lang="zh"
# ## 3 随时间反向传播
#
# 要学习，网络就需要损失 $L$ 对权重的梯度。沿时间展开之后，它就是一个 $T$ 层的普通深层网络，只是每一层的权重碰巧相同。所以照旧从最后一步往第一步走，
# 这叫做**随时间反向传播**（BPTT）。把 tanh 里面的和记作 $a_t$，即 $h_t = \tanh(a_t)$。每一步：
#
# $$\delta_t = \frac{\partial L}{\partial a_t} = \frac{\partial L}{\partial h_t} \odot \tanh'(a_t), \qquad
# \frac{\partial L}{\partial h_{t-1}} = W_{hh}^\top\, \delta_t$$
#
# （$\odot$ 表示逐元素相乘，$\tanh'(a) = 1 - \tanh^2(a)$。）权重每被用到一次，就贡献一份，所以梯度是**对时间的求和**：
#
# $$\frac{\partial L}{\partial W_{xh}} = \sum_t \delta_t\, x_t^\top, \qquad
# \frac{\partial L}{\partial W_{hh}} = \sum_t \delta_t\, h_{t-1}^\top, \qquad
# \frac{\partial L}{\partial b} = \sum_t \delta_t$$

# %% [markdown] lang="en" about="bptt"
# Write `bptt(X, h0, W_xh, W_hh, b, grad_h)`. The loss looks at the last state only, and `grad_h` $(B, H)$ is its gradient there,
# $\partial L / \partial h_T$. Return the gradients of `W_xh`, `W_hh` and `b`, summed over the batch. This one takes patience. Autograd is locked away
# in the exercise; right below it you may compare with it.

# %% [markdown] lang="zh" about="bptt"
# 请写出 `bptt(X, h0, W_xh, W_hh, b, grad_h)`。损失只看最后一个状态，`grad_h` $(B, H)$ 是它在那里的梯度 $\partial L / \partial h_T$。返回 `W_xh`、`W_hh`、`b` 的梯度，对批量求和。这一题需要一点耐心。题中不能用 autograd；做完之后，下面就可以和它对照。


# %% exercise="bptt"
def bptt(
    X: torch.Tensor,
    h0: torch.Tensor,
    W_xh: torch.Tensor,
    W_hh: torch.Tensor,
    b: torch.Tensor,
    grad_h: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of W_xh (H, D), W_hh (H, H) and b (H,), for a loss of the last state.

    Args:
        X, h0, W_xh, W_hh, b: as in `rnn_forward`.
        grad_h: gradient of the loss with respect to the last state, shape (B, H).
    """
    ### BEGIN SOLUTION
    H = rnn_forward(X, h0, W_xh, W_hh, b)
    dW_xh, dW_hh, db = torch.zeros_like(W_xh), torch.zeros_like(W_hh), torch.zeros_like(b)
    for t in reversed(range(X.shape[1])):
        before = H[:, t - 1] if t > 0 else h0
        delta = grad_h * (1 - H[:, t] ** 2)  # (B, H)
        dW_xh += delta.T @ X[:, t]
        dW_hh += delta.T @ before
        db += delta.sum(0)
        grad_h = delta @ W_hh
    return dW_xh, dW_hh, db
    ### END SOLUTION


# %% check="bptt" points=2 hidden=2

# %% [markdown] lang="en"
# Autograd has to give the same, or one of you is wrong:

# %% [markdown] lang="zh"
# autograd 应当给出同样的结果，否则你们当中有一个错了：

# %%
torch.manual_seed(0)
X, h0 = torch.randn(4, 6, 3), torch.zeros(4, 5)
weights = [(0.5 * torch.randn(*shape)).requires_grad_() for shape in ((5, 3), (5, 5), (5,))]
last = rnn_forward(X, h0, *weights)[:, -1]
loss = last.square().sum() / 2  # its gradient for the last state is the last state
with torch.no_grad():
    by_hand = bptt(X, h0, *weights, grad_h=last)
for name, mine, theirs in zip(
    ("W_xh", "W_hh", "b"), by_hand, torch.autograd.grad(loss, weights), strict=True
):
    print(f"{name}: largest difference {(mine - theirs).abs().max():.1e}")

# %% [markdown] lang="en"
# ## 4 The long way back
#
# *Lecture:* "**France** is where I grew up, but I now live in Boston. I speak fluent \_\_\_". To learn from this gap that "France" matters, a gradient
# has to travel from the last word back to the first, 16 steps (commas and full stops are read too). How a state depends on an early one is a product
# with a factor for each step, the last step on the left; the gradient is multiplied by its transpose:
#
# $$\frac{\partial h_T}{\partial h_t} = \prod_{s=t+1}^{T} \operatorname{diag}\left(1 - h_s^2\right) W_{hh}, \qquad
# \left\Vert \frac{\partial h_T}{\partial h_t} \right\Vert \le \sigma_{\max}(W_{hh})^{\,T-t}$$
#
# The norm of a matrix says by how much it can stretch a vector at most. It is the matrix's largest **singular value**, $\sigma_{\max}$, and since the
# slope of the tanh is at most 1, the norm of the whole product cannot be larger than the power on the right. Below 1 such a power dies out, above 1 it explodes:
# $0.8^{16} \approx 0.028$, $1.2^{16} \approx 18$.

# %% [markdown] lang="zh"
# ## 4 漫长的回程
#
# *课上的例子：* “**France** is where I grew up, but I now live in Boston. I speak fluent \_\_\_”。要从这个空里学到“France”很重要，
# 梯度就得从最后一个词走回第一个词，一共 16 步（标点也各算一步）。
# 状态怎样依赖于前面的状态，是一个连乘积，每步一个因子，最后一步在最左边；梯度乘的是它的转置：
#
# $$\frac{\partial h_T}{\partial h_t} = \prod_{s=t+1}^{T} \operatorname{diag}\left(1 - h_s^2\right) W_{hh}, \qquad
# \left\Vert \frac{\partial h_T}{\partial h_t} \right\Vert \le \sigma_{\max}(W_{hh})^{\,T-t}$$
#
# 矩阵的范数，说的是它最多能把一个向量拉长多少倍，它等于矩阵最大的**奇异值** $\sigma_{\max}$。tanh 的导数不超过 1，所以整个乘积的范数不会超过右边的幂。
# 小于 1 的数，幂会越来越小；大于 1 的数，幂会爆炸：$0.8^{16} \approx 0.028$，$1.2^{16} \approx 18$。

# %% [markdown] lang="en" about="jacobian_norms"
# How close does the product come to this bound? Leave the tanh aside. Write `jacobian_norms(W_hh, steps)`: for $k = 1, \dots,$ `steps` the largest
# singular value of $W_{hh}^k$, the product of $k$ of these matrices.
#
# The check begins with $\begin{pmatrix} 0.5 & 1 \\ 0 & 0.5 \end{pmatrix}$. Its largest singular value is 1.21, above 1, and yet its powers die out.
# So a $\sigma_{\max}$ below 1 means that the gradient *must* vanish; above 1 it *may* explode.

# %% [markdown] lang="zh" about="jacobian_norms"
# 乘积离这个上界有多近？先不管 tanh。请写出 `jacobian_norms(W_hh, steps)`：对 $k = 1, \dots,$ `steps`，给出 $W_{hh}^k$（$k$ 个这样的矩阵相乘）
# 的最大奇异值。
#
# 检查先用 $\begin{pmatrix} 0.5 & 1 \\ 0 & 0.5 \end{pmatrix}$。它的最大奇异值是 1.21，大于 1，可是它的幂仍然越来越小。
# 所以 $\sigma_{\max}$ 小于 1 时梯度*必定*消失；大于 1 时它*可能*爆炸。


# %% exercise="jacobian_norms"
def jacobian_norms(W_hh: torch.Tensor, steps: int) -> torch.Tensor:
    """By how much k steps can stretch a gradient, for k = 1 to `steps`: shape (steps,).

    >>> jacobian_norms(torch.tensor([[0.0, 0.5], [2.0, 0.0]]), 3)
    tensor([2., 1., 2.])
    """
    ### BEGIN SOLUTION
    product, norms = torch.eye(len(W_hh)), []
    for _ in range(steps):
        product = W_hh @ product
        norms.append(torch.linalg.svdvals(product)[0])
    return torch.stack(norms)
    ### END SOLUTION


# %% check="jacobian_norms" points=1 hidden=1

# %%
torch.manual_seed(0)
noise = torch.randn(16, 16)
turn = torch.linalg.qr(noise).Q  # all singular values are 1: it turns, and stretches nothing
noise /= torch.linalg.matrix_norm(noise, ord=2)

_, axes = plt.subplots(1, 2, figsize=(10, 3.2), sharey=True)
for ax, (title, matrix) in zip(axes, {"orthogonal": turn, "random": noise}.items(), strict=True):
    for sigma, color in ((0.8, "tab:blue"), (1.0, "tab:green"), (1.2, "tab:orange"), (2.0, "tab:red")):
        ax.plot(range(1, 31), jacobian_norms(sigma * matrix, 30), color=color, label=f"{sigma}")
        ax.plot(range(1, 31), sigma ** torch.arange(1, 31), ":", color=color)
    ax.set(yscale="log", xlabel="steps back", title=f"{title} W_hh, dotted: the bound")
    ax.minorticks_off()
    ax.yaxis.set_major_formatter("{x:g}")
axes[0].set_ylabel("how much of the gradient arrives")
axes[0].legend(title="σ_max")
plt.show()

# %% [markdown] lang="en"
# Against **exploding** gradients there is a simple remedy, **gradient clipping**: look at the gradient before the weights are changed, and if it
# is too long, shorten it. All gradients together are one long arrow $g$, and **clipping by the norm** keeps its direction; $c$ is the longest it may be:
#
# $$g \leftarrow g \cdot \min\left(1, \frac{c}{\Vert g \Vert}\right)$$

# %% [markdown] lang="zh"
# 对付**爆炸**的梯度有一个简单的办法，叫**梯度裁剪**：更新参数之前看看梯度，太长就把它缩短。所有的梯度合在一起是一支长箭 $g$，
# **按范数裁剪**保持它的方向，其中 $c$ 是允许的最大范数（下面的 `max_norm`）：
#
# $$g \leftarrow g \cdot \min\left(1, \frac{c}{\Vert g \Vert}\right)$$

# %% [markdown] lang="en" about="clip_by_norm"
# Write `clip_by_norm(grads, max_norm)` for a list of gradients of any shapes. The norm is that of all of them together. Gradients that are short
# enough stay as they are. Return new tensors, and leave those that came in alone.

# %% [markdown] lang="zh" about="clip_by_norm"
# 请写出 `clip_by_norm(grads, max_norm)`，输入是若干个形状任意的梯度组成的列表。范数是它们合在一起的范数。本来就不长的梯度保持不变。请返回新的张量，
# 不要改动传进来的。


# %% exercise="clip_by_norm"
def clip_by_norm(grads: list[torch.Tensor], max_norm: float) -> list[torch.Tensor]:
    """Gradients of the same shapes whose norm, all together, is at most `max_norm`.

    >>> clip_by_norm([torch.tensor([[3.0, 0.0]]), torch.tensor([4.0])], max_norm=1.0)
    [tensor([[0.6000, 0.0000]]), tensor([0.8000])]
    """
    ### BEGIN SOLUTION
    norm = sum((grad**2).sum() for grad in grads).sqrt()
    factor = (max_norm / norm).clamp(max=1.0)
    return [grad * factor for grad in grads]
    ### END SOLUTION


# %% check="clip_by_norm" points=1 hidden=1

# %% [markdown] lang="en"
# Cutting off each number by itself would be simpler still, but look where the arrow points then:

# %% [markdown] lang="zh"
# 把每个数分别截断当然更简单，但看看那样一来箭头指向哪里：

# %%
steep = torch.tensor([1.0, 5.0])
arrows = {
    "gradient": (steep, "lightgray"),
    "clipped by norm": (clip_by_norm([steep.clone()], 2.0)[0], "tab:blue"),
    "clipped by value": (steep.clamp(-2, 2), "tab:orange"),
}
_, ax = plt.subplots(figsize=(4.5, 3.6))
for name, (arrow, color) in arrows.items():
    ax.quiver(0, 0, *arrow.tolist(), angles="xy", scale_units="xy", scale=1, color=color, label=name)
ax.set(xlim=(-0.3, 2.3), ylim=(-0.3, 5.3), aspect="equal")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown] lang="en"
# Against **vanishing** gradients clipping is of no use: what has become 0 cannot be stretched again. One idea is to begin where nothing is lost. Le,
# Jaitly and Hinton (2015) put ReLU in place of tanh, whose slope is exactly 1 where it is at work, and start with $W_{hh} = I$, the identity, and no
# bias. Such a network begins its life by simply keeping its state.

# %% [markdown] lang="zh"
# 对付**消失**的梯度，裁剪毫无用处：已经变成 0 的东西没法再拉长。一个主意是从什么都不丢的地方出发。Le、Jaitly 和 Hinton（2015）
# 用 ReLU 代替 tanh（ReLU 在输入为正的地方导数恰好是 1），并从单位矩阵 $W_{hh} = I$、零偏置开始。这样的网络，一开始就只是原样保持自己的状态。

# %% [markdown] lang="en" about="identity_init"
# Write `identity_init(state)`. `state` is the state dict of an `nn.RNN`: names such as `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`
# (`ih` is input to hidden, `hh` hidden to hidden, `l0` the first layer) with their tensors. Return a new dict of the kind, and leave the one that
# came in alone: in every layer of it the recurrent weights are the identity and the biases zero. The input weights stay.

# %% [markdown] lang="zh" about="identity_init"
# 请写出 `identity_init(state)`。`state` 是某个 `nn.RNN` 的状态字典：名字如 `weight_ih_l0`、`weight_hh_l0`、`bias_ih_l0`、`bias_hh_l0`（`ih` 是输入到隐藏，`hh` 是隐藏到隐藏，`l0` 是第一层），值是张量。返回一个新的字典（传进来的不要改动），
# 其中每一层的循环权重是单位矩阵，偏置是零，输入权重不变。


# %% exercise="identity_init"
def identity_init(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict of an `nn.RNN` with W_hh = I and no biases, in every layer."""
    ### BEGIN SOLUTION
    new = dict(state)
    for name, value in state.items():
        if name.startswith("weight_hh"):
            new[name] = torch.eye(len(value))
        elif name.startswith("bias"):
            new[name] = torch.zeros_like(value)
    return new
    ### END SOLUTION


# %% check="identity_init" points=1 hidden=1

# %% [markdown] lang="en"
# ## 5 A memory with gates
#
# The identity keeps everything; what is missing is someone who decides. In the **LSTM** (Hochreiter and Schmidhuber 1997) a second vector runs along,
# the **cell** $c$, the memory proper. It is changed by an addition, not pushed through a matrix and a tanh at every step. Three **gates**, numbers
# between 0 and 1 for each unit, decide what is kept, what is written and what is shown:
#
# $$\begin{aligned}
# i &= \operatorname{sigmoid}(\dots) & \text{input gate: write?} \\
# f &= \operatorname{sigmoid}(\dots) & \text{forget gate: keep?} \\
# g &= \tanh(\dots) & \text{candidate: what to write} \\
# o &= \operatorname{sigmoid}(\dots) & \text{output gate: show?}
# \end{aligned}
# \qquad
# \begin{aligned}
# c_t &= f \odot c_{t-1} + i \odot g \\
# h_t &= o \odot \tanh(c_t)
# \end{aligned}$$
#
# Each $(\dots)$ is a sum of its own, $W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh}$. The straight way back from $c_t$ to $c_{t-1}$ is a
# multiplication by $f$ and nothing else: while the forget gate stays open, the gradient travels undamped.

# %% [markdown] lang="zh"
# ## 5 带门的记忆
#
# 单位矩阵什么都保留，缺的是一个拿主意的。**长短期记忆网络**（LSTM；Hochreiter 和 Schmidhuber，1997）里还有第二个向量随行：**细胞状态** $c$，它才是真正的记忆。
# 它靠加法来改变，而不是每一步都被推过一个矩阵和一个 tanh。三个**门**（每个门给每个单元一个 0 到 1 之间的数）决定保留什么、写入什么、给人看什么：
#
# $$\begin{aligned}
# i &= \operatorname{sigmoid}(\dots) & \text{输入门：写不写？} \\
# f &= \operatorname{sigmoid}(\dots) & \text{遗忘门：留不留？} \\
# g &= \tanh(\dots) & \text{候选值：写什么} \\
# o &= \operatorname{sigmoid}(\dots) & \text{输出门：给不给看？}
# \end{aligned}
# \qquad
# \begin{aligned}
# c_t &= f \odot c_{t-1} + i \odot g \\
# h_t &= o \odot \tanh(c_t)
# \end{aligned}$$
#
# 每个 $(\dots)$ 都是形如 $W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh}$ 的和，权重和偏置各用各的。从 $c_t$ 回到 $c_{t-1}$ 的直路，只需要乘以 $f$，别无其他：
# 只要遗忘门开着，梯度就能不衰减地传回去。

# %% [markdown] lang="en" about="lstm_step"
# Write `lstm_step(x, h, c, W_ih, W_hh, b_ih, b_hh)`, which returns the new $h$ and the new $c$. The weights are laid out as in `nn.LSTMCell`: `W_ih`
# is $(4H, D)$, its first $H$ rows belong to $i$, the next to $f$, then $g$, then $o$, and so it is with `W_hh` and both biases.

# %% [markdown] lang="zh" about="lstm_step"
# 请写出 `lstm_step(x, h, c, W_ih, W_hh, b_ih, b_hh)`，返回新的 $h$ 和新的 $c$。权重的排列与 `nn.LSTMCell` 相同：`W_ih` 是 $(4H, D)$，
# 前 $H$ 行属于 $i$，接着是 $f$，然后 $g$，最后 $o$；`W_hh` 和两个偏置也一样。


# %% exercise="lstm_step"
def lstm_step(
    x: torch.Tensor,
    h: torch.Tensor,
    c: torch.Tensor,
    W_ih: torch.Tensor,
    W_hh: torch.Tensor,
    b_ih: torch.Tensor,
    b_hh: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of an LSTM.

    Args:
        x: input, shape (B, D).
        h, c: state and cell before the step, shape (B, H) each.
        W_ih, W_hh: weights, shape (4H, D) and (4H, H), rows in the order i, f, g, o.
        b_ih, b_hh: biases, shape (4H,) each, in the same order.

    Returns:
        State and cell after the step, shape (B, H) each.
    """
    ### BEGIN SOLUTION
    i, f, g, o = (x @ W_ih.T + b_ih + h @ W_hh.T + b_hh).chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h, c
    ### END SOLUTION


# %% check="lstm_step" points=1 hidden=2

# %% [markdown] lang="en"
# PyTorch's own cell, with the same weights, has to agree:

# %% [markdown] lang="zh"
# PyTorch 自带的单元用同样的权重，结果应当一致：

# %%
torch.manual_seed(0)
cell = nn.LSTMCell(3, 5)
x, h, c = torch.randn(2, 3), torch.randn(2, 5), torch.randn(2, 5)
with torch.no_grad():
    mine = lstm_step(x, h, c, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    for name, a, b in zip("hc", mine, cell(x, (h, c)), strict=True):
        print(f"{name}: largest difference {(a - b).abs().max():.1e}")

# %% [markdown] lang="en"
# Now the measurement, on three networks that nobody has trained: a plain one, the one with ReLU and your identity, and an LSTM whose forget gates
# stand open at first (a bias of 3, and sigmoid(3) is 0.95; do you recognise the rows?). How much of the loss's gradient arrives at each step, when
# the loss looks at the last of 50 steps only? Read the picture from the right to the left.

# %% [markdown] lang="zh"
# 现在来测量，用三个没有训练过的网络：一个普通的，一个用 ReLU 加上你的单位矩阵，还有一个遗忘门一开始就敞开的 LSTM（偏置为 3，sigmoid(3) 是 0.95；
# 认得出是哪几行吗？）。损失只看 50 步里的最后一步，有多少梯度能传到前面的每一步？请从右往左看这张图。

# %%
torch.manual_seed(0)
sizes = {"input_size": 2, "num_classes": 1, "hidden_size": 32}
plain = get_model("rnn", **sizes)
identity = get_model("rnn", nonlinearity="relu", **sizes)
identity.rnn.load_state_dict(identity_init(identity.rnn.state_dict()))
gated = get_model("lstm", **sizes)
with torch.no_grad():
    gated.rnn.bias_ih_l0[32:64] = 3.0
readers = {"RNN, tanh": plain, "RNN, ReLU, identity": identity, "LSTM": gated}

rows = adding_problem(64, length=50)
arriving = {name: gradient_norms(reader, rows.X, rows.y, loss=F.mse_loss) for name, reader in readers.items()}
plot.gradient_norms(arriving)

# %% [markdown] lang="en"
# Does it matter for learning? In the **adding problem** a network reads 50 pairs of numbers. The first number is random between 0 and 1, the second
# is a mark, and just two of the 50 are marked. At the end it has to say the sum of the two marked numbers. Whoever has forgotten does best to answer
# 1 every time, with a mean squared error of 1/6, about 0.167: the dotted line. (This cell trains for about a minute.)

# %% [markdown] lang="zh"
# 这对学习有影响吗？在**加法问题**里，网络读 50 对数：每对的第一个数是 0 到 1 之间的随机数，第二个是标记，50 对里恰好有两对有标记。读完之后，
# 要说出两个带标记的数之和。忘光了的网络，最好的办法是每次都答 1，均方误差是 1/6，约 0.167：图中的虚线。（这个单元格大约训练一分钟。）

# %%
sums = adding_problem(5000, length=50, seed=1), adding_problem(500, length=50, seed=2)
races = {}
for name, reader in readers.items():
    races[name] = fit(
        reader,
        sums,
        loss=F.mse_loss,
        epochs=8,
        lr=0.01,
        batch_size=32,
        progress=False,
        save=f"adding_{len(races)}",
    )
    print(f"{name}: mean squared error {races[name]['val_loss'][-1]:.4f}")
figure = plot.curves(races)
figure.axes[0].axhline(1 / 6, color="black", linestyle=":")
figure

# %% [markdown] lang="en"
# The plain network stays at the dotted line: from the end of the row it never hears that a mark 30 steps back mattered. The same network with ReLU
# and your identity gets on, and so does the LSTM, to an error below 0.01. Same data, same number of units, same optimizer; what differs is the way
# back.

# %% [markdown] lang="zh"
# 普通的循环网络一直停在虚线上：站在行末，它根本无从知道 30 步之前那个标记很重要。换成 ReLU 再加上你的单位矩阵，同样的网络就学得动了；LSTM 也一样，
# 误差降到 0.01 以下。数据相同，单元数相同，优化器相同，不同的只是回程的路。

# %% [markdown] lang="en"
# ## 6 Sentences of different lengths
#
# A batch is a table, sentences are not. So short sentences are filled up with a **padding** token, and `lengths` remembers where each one ends:

# %% [markdown] lang="zh"
# ## 6 长短不一的句子
#
# 批量是一张整齐的表，句子却不是。所以短句子要用**填充**词元补齐，并用 `lengths` 记住每个句子在哪里结束：

# %%
batch = [
    tokenize(text) for text in ("Not bad at all.", "The food was good.", "Good, but overpriced, I would say.")
]
longest = max(map(len, batch))
_, ax = plt.subplots(figsize=(10, 1.8))
ax.imshow(
    [[step < len(tokens) for step in range(longest)] for tokens in batch], cmap="Blues", vmax=3, aspect="auto"
)
for row, tokens in enumerate(batch):
    for step in range(longest):
        word = tokens[step] if step < len(tokens) else "<pad>"
        ax.text(
            step, row, word, ha="center", va="center", color="black" if step < len(tokens) else "lightgray"
        )
ax.set(xlabel="step", yticks=range(3), yticklabels=[f"length {len(tokens)}" for tokens in batch])
plt.show()

# %% [markdown] lang="en" about="pool_states"
# A network that reads the whole table runs on over the padding, so there are states in the fields marked `<pad>` as well, and they mean nothing. To classify a
# sentence one takes one vector from its states: the last one, or the mean of all. Write `pool_states(H, lengths)`, which returns both, and heeds the
# real steps only.

# %% [markdown] lang="zh" about="pool_states"
# 网络读整张表时会一直读过填充，所以标着 `<pad>` 的格子里也有状态，但它们毫无意义。要给句子分类，就从它的各个状态里取出一个向量：最后一个状态，
# 或者所有状态的平均。请写出 `pool_states(H, lengths)`，两个都返回，而且只看真实的步。


# %% exercise="pool_states"
def pool_states(H: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The last real state and the mean of the real states of each sequence, shape (B, D) each.

    Args:
        H: states, those of the padding too, shape (B, T, D).
        lengths: number of real steps of each sequence, from 1 to T, int64, shape (B,).

    >>> pool_states(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2]))
    (tensor([[3.]]), tensor([[2.]]))
    """
    ### BEGIN SOLUTION
    last = H[torch.arange(len(H)), lengths - 1]
    real = torch.arange(H.shape[1]) < lengths[:, None]  # (B, T)
    mean = (H * real[:, :, None]).sum(1) / lengths[:, None]
    return last, mean
    ### END SOLUTION


# %% check="pool_states" points=1 hidden=1

# %% [markdown] lang="en"
# ## 7 Praise or blame?
#
# Now for sentences. `pairs` holds 2,000 pairs for training, and more for validation and test. The two sentences of a pair have the same words, and
# opposite meanings: in some a word is denied, in others what comes after "but" counts. Here are some; then a bag of words, trained on all of them
# (`encoded` are the same sentences as numbers of words).

# %% [markdown] lang="zh"
# ## 7 是好评还是差评？
#
# 现在来读句子。`pairs` 里有 2,000 对训练句子，还有验证和测试用的。一对里的两句话，词完全相同，意思相反：有的是否定了某个词，有的是“but”
# 后面的话才算数。先看几对，再用它们训练一个词袋模型（`encoded` 是同样的句子，只是把词换成了编号）。

# %%
for text, label in zip(pairs.train.texts[:6], pairs.train.y[:6], strict=True):
    print(f"{pairs.classes[label]:>8}: {text}")

torch.manual_seed(0)
bag = get_model("bow", vocab_size=len(vocabulary))
fit(bag, encoded, epochs=5, lr=0.01, batch_size=64, save="bag")
print(f"bag of words: {evaluate(bag, encoded.test).accuracy:.1%} of the test sentences right")

# %% [markdown] lang="en" about="train_sentiment"
# Half right: by tossing a coin one does as well, and no training can change it. (The loss sinks a little, but only to $\ln 2 = 0.693$, which is the
# coin's.) So choose a model that sees the order, `get_model("lstm", ...)` for
# one (`"rnn"` and `"gru"` are there too), and train it with `fit(model, encoded, epochs=..., lr=..., save="sentiment")`. Call it `model`, and do not
# leave out `save`: the file that it leaves is handed in with the notebook, so that nothing is trained again when your work is graded.
#
# The function `sentiment` above your part is what is checked: it gives your model sentences that it has not seen. Full points from 95% accuracy, and
# a share of them from 60% on.

# %% [markdown] lang="zh" about="train_sentiment"
# 只对了一半，和抛硬币一样，怎么训练都没用。（损失略有下降，但只降到 $\ln 2 = 0.693$，也就是抛硬币的损失。）所以请选一个看得见次序的模型，例如 `get_model("lstm", ...)`（也有 `"rnn"` 和 `"gru"`），
# 用 `fit(model, encoded, epochs=..., lr=..., save="sentiment")` 训练它。模型要叫 `model`，`save` 也不能省：它留下的文件要和笔记本一起提交，批改时就不用重新训练了。
#
# 检查的是你那部分上面的函数 `sentiment`：它把没见过的句子交给你的模型。准确率达到 95% 得满分，从 60% 起按比例得分。


# %% exercise="train_sentiment"
def sentiment(texts: list[str]) -> torch.Tensor:
    """Scores (N, 2) of N sentences: column 0 speaks for negative, column 1 for positive."""
    if model is None:
        raise NotImplementedError
    return predict(model, TextSplit(texts, torch.zeros(len(texts))).encode(vocabulary))


model = None
### BEGIN SOLUTION
model = get_model("lstm", vocab_size=len(vocabulary), embedding_dim=32, hidden_size=64)
fit(model, encoded, epochs=6, lr=0.005, batch_size=64, save="sentiment")
### END SOLUTION


# %% check="train_sentiment" points=1 hidden=2

# %% [markdown] lang="en"
# Beside the bag of words, on the test sentences, by what makes them hard:

# %% [markdown] lang="zh"
# 与词袋比一比，用测试句子，按难在哪里分开看：

# %%
for phenomenon in ("negation", "contrast"):
    part = pairs.test.showing(phenomenon)
    right = (sentiment(part.texts).argmax(1) == part.y).float().mean()
    bag_right = evaluate(bag, part.encode(vocabulary)).accuracy
    print(f"{phenomenon}: bag of words {bag_right:.1%}, your model {right:.1%}")

# %% [markdown] lang="en"
# *Lecture:* and the two sentences about the food? Let us stop the network after every word and ask what it thinks so far. Where does it make up its
# mind? Then try `sentiment(["The food was not good."])`. 100% on the sentences above, and wrong here? It has learned the kinds of sentence that it was
# shown, perhaps only that the first judgement counts.

# %% [markdown] lang="zh"
# *课上的例子：* 那两句关于菜的话呢？让网络每读完一个词就停一下，问问它目前怎么看。它在哪里拿定了主意？再试试 `sentiment(["The food was not good."])`。
# 上面的句子 100% 正确，这里却错了？它学会的只是给它看过的那几种句子，也许只是“第一个评价算数”。

# %%
_, axes = plt.subplots(1, 2, figsize=(10, 2.8), sharey=True)
for ax, tokens in zip(axes, (praise, blame), strict=True):
    beginnings = [" ".join(tokens[: n + 1]) for n in range(len(tokens))]
    positive = sentiment(beginnings).softmax(1)[:, 1] - 0.5
    ax.bar(
        range(len(tokens)),
        positive,
        bottom=0.5,
        color=["tab:blue" if p > 0 else "tab:orange" for p in positive],
    )
    ax.axhline(0.5, color="gray", lw=1)
    ax.set_xticks(range(len(tokens)), tokens, rotation=60)
    ax.set(ylim=(0, 1))
axes[0].set_ylabel("P(positive) so far")
plt.show()

# %% [markdown] lang="en"
# If your model is an LSTM, you can watch its gates as well, here those of 24 units: a row for each unit, a column for each word. Where the input gate
# is bright, something is written; where the forget gate is dark, something is thrown away.

# %% [markdown] lang="zh"
# 如果你的模型是 LSTM，还可以看它的门（这里取 24 个单元）：每个单元一行，每个词一列。输入门亮的地方在写入，遗忘门暗的地方在丢弃。

# %%
figure = None
if isinstance(getattr(model, "rnn", None), nn.LSTM):
    with torch.no_grad():
        read = model.cpu().embedding(torch.tensor([vocabulary.encode(" ".join(blame))]))
        H = model.rnn(read)[0][0, :, : model.rnn.hidden_size]
        before = torch.cat([torch.zeros_like(H[:1]), H[:-1]])
        gate = cell_of(model.rnn).gates(read[0], before)
    figure = plot.gates(blame, {"input gate": gate.input[:, :24], "forget gate": gate.forget[:, :24]})
else:
    print("no LSTM, no gates to show")
figure

# %% [markdown] lang="en"
# ## 8 A network that writes
#
# "I speak fluent \_\_\_": to guess what comes next is a task that needs no labels, any text will do. A **language model** gives, after each token, a
# probability to every token of the vocabulary. Whoever can do this can write: draw a token, read it, draw the next. Ours works with single
# characters.
#
# The loss is the one you know from classification, once for each token: $-\log p$ of the token that really came. Its mean over all *real* tokens is
# what is reported (with the natural logarithm, in **nats**), and $e^{\text{loss}}$ is the **perplexity**: among how many equally likely tokens the model hesitates.

# %% [markdown] lang="zh"
# ## 8 会写字的网络
#
# “I speak fluent \_\_\_”：猜下一个词，这个任务不需要标签，什么文本都行。**语言模型**在每个词元之后，给出词表里每个词元接下来出现的概率。
# 会做这件事，就会写：按概率抽取（采样）一个词元，读进去，再抽下一个。我们的模型以单个字符为词元。
#
# 损失就是分类里的交叉熵，每个词元一次：真正出现的那个词元的 $-\log p$（用自然对数时，单位叫奈特，nat）。报告的是它在所有*真实*词元上的平均，而 $e^{\text{loss}}$ 叫做**困惑度**：
# 模型在多少个同样可能的词元之间犹豫。

# %% [markdown] lang="en" about="token_loss"
# Write `token_loss(logits, y)`: the mean of $-\log p$ over the real tokens of a batch. `logits` are scores, not probabilities; where `y` is -100
# there is padding, and nothing to predict. PyTorch's own cross entropy is locked away here.

# %% [markdown] lang="zh" about="token_loss"
# 请写出 `token_loss(logits, y)`：$-\log p$ 在一个批量的所有真实词元上的平均。`logits` 是得分，不是概率；`y` 为 -100 的地方是填充，没有什么要预测。
# 本题不能用 PyTorch 自带的交叉熵。


# %% exercise="token_loss"
def token_loss(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy of the real tokens, a single number.

    Args:
        logits: scores of V tokens at each step, shape (B, T, V).
        y: the token that came, int64, -100 at the padding, shape (B, T).

    >>> token_loss(torch.zeros(1, 3, 4), torch.tensor([[2, 0, -100]]))
    tensor(1.3863)
    """
    ### BEGIN SOLUTION
    real = y != -100
    log_p = torch.log_softmax(logits[real], dim=1)  # (number of real tokens, V)
    return -log_p.gather(1, y[real][:, None]).mean()
    ### END SOLUTION


# %% check="token_loss" points=1 hidden=1

# %% [markdown] lang="en"
# What it reads are more than 800 short reviews of food, films, courses and things, and 800 sentences of section 7. Here is a network that has not
# read any of them yet; your `token_loss` says how much other reviews surprise it.

# %% [markdown] lang="zh"
# 它要读的，是 800 多条关于菜、电影、课程和商品的短评，再加上第 7 节的 800 个句子。这里是一个一句也没读过的网络；
# 用你的 `token_loss` 看看别的短评让它有多意外。

# %%
reviews = load("reviews_en")
to_read = reviews.train.texts + pairs.train.texts[:800]
letters = Vocabulary.build(["\n".join(to_read)], level="char", min_count=5)
torch.manual_seed(0)
writer = get_model("char_lm", vocab_size=len(letters), embedding_dim=32, hidden_size=160)


def surprise(texts: list[str]) -> float:
    """Nats a character, over texts of different lengths in one padded batch."""
    lines = [torch.tensor(letters.encode(f"\n{text}\n")) for text in texts]
    batch = Sequences([line[:-1] for line in lines], [line[1:] for line in lines])
    X, _, y = batch.batch(torch.arange(len(lines)))
    with torch.no_grad():
        return float(token_loss(writer(X), y))


untrained = surprise(reviews.test.texts[:64])
print(f"{untrained:.2f} nats a character")

# %% [markdown] lang="en"
# Before training that is about $\ln V$, the loss of somebody who takes all $V$ characters for equally likely. The text is long, so back-propagation
# through time is **truncated**: the gradient goes back 64 characters, the state goes on through the whole text. (It trains for less than a minute.)

# %% [markdown] lang="zh"
# 训练之前，这个数大约是 $\ln V$：把全部 $V$ 个字符看成同样可能，损失就是这么多。文本很长，所以随时间反向传播要**截断**：梯度只往回走 64 个字符，
# 状态则一直传到文末。（训练不到一分钟。）


# %%
def stream(texts: list[str]) -> TokenStream:
    return TokenStream(torch.tensor(letters.encode("\n".join(texts) + "\n")), length=64)


text = stream(to_read), stream(reviews.val.texts + pairs.val.texts[:100])
fit(writer, text, step=TruncatedBPTT(), epochs=12, lr=0.01, batch_size=16, save="writer")
writer.cpu()
nats = surprise(reviews.test.texts[:64])
print(f"{untrained:.2f} nats a character before training, {nats:.2f} after it")
print(f"it hesitates among {2.71828**nats:.1f} characters, of {len(letters)}")

# %% [markdown] lang="en"
# (The curve ends lower than the last line says: it was validated on sentences of section 7 as well, which are easier than reviews.)
#
# Which characters does it find hard? A high bar is a surprise. Beginnings of words mostly are, their ends are not.

# %% [markdown] lang="zh"
# （曲线的终点比最后一行的数低：验证用的文本里还有第 7 节的句子，比短评容易。）
#
# 它觉得哪些字符难猜？柱子越高越意外。多半是词的开头难，词的末尾不难。

# %%
line = torch.tensor(letters.encode("\nThe food was good, not bad at all.\n"))
with torch.no_grad():
    nats = F.cross_entropy(writer(line[None, :-1])[0], line[1:], reduction="none")
_, ax = plt.subplots(figsize=(9, 2.2))
ax.bar(range(len(nats)), nats)
ax.set_xticks(range(len(nats)), [letters.decode([i]).replace("\n", "¶") for i in line[1:].tolist()])
ax.set(ylabel="nats", xlim=(-1, len(nats)))
plt.show()

# %% [markdown] lang="en" about="next_char"
# Before a character is drawn, two knobs can be turned. The scores are divided by the **temperature**: below 1 the likely becomes likelier, above 1
# all come nearer to each other. And **top-k** keeps only the k best scores of each text; all other characters get the probability 0, and
# those that stay add up to 1. Write
# `next_char(logits, temperature, top_k)`, which returns the probabilities; `top_k=None` keeps all.

# %% [markdown] lang="zh" about="next_char"
# 抽字符之前，有两个旋钮可调。得分先除以**温度**：小于 1 时，可能的更可能；大于 1 时，各个字符的概率更接近。**top-k** 只保留每个文本里得分最高的 k 个字符，
# 其余字符的概率是 0，保留下来的概率之和仍为 1。请写出 `next_char(logits, temperature, top_k)`，返回概率；`top_k=None` 表示全部保留。


# %% exercise="next_char"
def next_char(logits: torch.Tensor, temperature: float = 1.0, top_k: int | None = None) -> torch.Tensor:
    """Probabilities (B, V) of the next character of B texts, from scores `logits` (B, V).

    >>> next_char(torch.tensor([[0.0, 1.0, 2.0]]), temperature=0.5, top_k=2)
    tensor([[0.0000, 0.1192, 0.8808]])
    """
    ### BEGIN SOLUTION
    scores = logits / temperature
    if top_k is not None:
        least = scores.topk(top_k, dim=1).values[:, -1:]
        scores = scores.masked_fill(scores < least, float("-inf"))
    return torch.softmax(scores, dim=1)
    ### END SOLUTION


# %% check="next_char" points=1 hidden=1

# %% [markdown] lang="en"
# And now it writes, with your probabilities. Cold is dull and correct, hot is wild; somewhere between it begins to sound like somebody.

# %% [markdown] lang="zh"
# 现在它用你的概率来写。温度低，工整而乏味；温度高，天马行空；在两者之间，它开始像个人在说话。


# %%
@torch.no_grad()
def write(prompt: str, length: int, temperature: float, top_k: int | None = None) -> str:
    """Go on writing after `prompt`, character by character."""
    ids = letters.encode("\n" + prompt)
    logits, state = writer.step(torch.tensor([ids]))
    for _ in range(length):
        ids.append(torch.multinomial(next_char(logits[:, -1], temperature, top_k), 1).item())
        logits, state = writer.step(torch.tensor([ids[-1:]]), state)
    return letters.decode(ids).strip()


torch.manual_seed(1)
settings = ((0.3, None), (0.7, 3), (0.7, None), (1.5, None))
for temperature, top_k in settings:
    kept = f"the best {top_k}" if top_k else "all characters"
    print(f"temperature {temperature}, {kept}:\n{write('The food ', 100, temperature, top_k)}\n")

# %%
with torch.no_grad():
    logits = writer(torch.tensor([letters.encode("\nThe food was ")]))[:, -1]
best = logits[0].topk(8).indices
_, axes = plt.subplots(1, 3, figsize=(10, 2.2), sharey=True)
for ax, temperature in zip(axes, (0.3, 1.0, 2.0), strict=True):
    ax.bar(range(8), next_char(logits, temperature)[0, best])
    ax.set_xticks(range(8), [letters.decode([i]) for i in best.tolist()])
    ax.set(title=f"temperature {temperature}", xlabel="next character")
axes[0].set_ylabel('after "The food was "')
plt.show()

# %% [markdown] lang="en"
# ### In your own words
#
# In four to eight sentences (2 points, read by a person):
#
# 1. Why does a plain recurrent network find it hard to learn from "France is where I grew up, but I now live in Boston. I speak fluent \_\_\_" that the
#    first word decides, and what in the LSTM helps? Support it with a number or a picture from this lab.
# 2. Name one task with texts for which a bag of words will do, and one for which it cannot, and say why.

# %% [markdown] lang="zh"
# ### 用自己的话说
#
# 请用四到八句话回答（2 分，由老师评阅）：
#
# 1. 为什么普通的循环网络很难从“France is where I grew up, but I now live in Boston. I speak fluent \_\_\_”里学到“决定答案的是第一个词”这件事？LSTM 的什么结构帮了忙？请用本实验中的一个数字或一张图来支持。
# 2. 举出一个用词袋就够了的文本任务，再举出一个词袋不可能做好的任务，并说明原因。

# %% [markdown] written="why_gates" points=2
# From the gap to "France" the gradient goes back 16 steps, and at each it is multiplied by the slope of the tanh, at most 1, and by W_hh. If the
# largest singular value of W_hh is below 1, the product dies out (0.8 to the power of 16 is 0.028), so the weights never hear of the first word. In
# the LSTM the cell is changed by an addition; the way back through it is a multiplication by the forget gate, and while that is near 1 the gradient
# arrives. In the adding problem the plain network stays at 0.167, the LSTM falls below 0.01. A bag of words will do to find out what a review is
# about (food or film), because the words alone say so. It cannot tell the two sentences about the food apart, nor who bit whom, because there the
# order decides.
#
# 从填空处到“France”，梯度要往回走 16 步，每一步都乘上 tanh 的导数（不超过 1）和 W_hh。如果 W_hh 的最大奇异值小于 1，
# 乘积就会消失（0.8 的 16 次方是 0.028），权重根本得不到来自第一个词的信号。LSTM 的细胞状态靠加法改变，往回走时只乘以遗忘门；遗忘门接近 1，梯度就能传到。
# 在加法问题里，普通网络停在 0.167，LSTM 降到 0.01 以下。判断一条评论说的是菜还是电影，词袋就够了，因为看词就知道；分辨那两句关于菜的话，
# 或者谁咬了谁，词袋做不到，因为那里起决定作用的是次序。
#
# === BEGIN MARK SCHEME ===
# - 1 point: repeated multiplication by W_hh (and the slope of tanh) over many steps as the cause, the additive cell or the open forget gate as the
#   cure, and a number or picture of the lab as support. Half for only one of cause and cure, or without support.
# - 1 point: one fitting task of each kind with a reason (words alone decide: topic, spam; order decides: negation, contrast, who did what to whom).
#   Half for only one, or without reasons.
#
# - 1 分：原因是许多步反复乘以 W_hh（以及 tanh 的导数），办法是细胞状态的加法或开着的遗忘门，并有本实验的数字或图支持。原因和办法只有其一，
#   或没有支持，得一半。
# - 1 分：两类任务各举一个恰当的例子并说明理由（看词就够：主题、垃圾邮件；次序决定：否定、转折、谁对谁做了什么）。只有一个，或没有理由，得一半。
# === END MARK SCHEME ===

# %% [markdown] lang="en"
# ## What you have learned
#
# - A bag of words cannot see order; a recurrent network reads with a state, and shares its weights over all steps.
# - The gradient through many steps is a product of matrices. The largest singular value of $W_{hh}$ says whether it must vanish or may explode.
# - Clipping by the norm tames the explosion. Against vanishing it takes another way back: the identity, or the cell of an LSTM, which is changed by
#   addition and guarded by gates.
# - Padding is there for the table's sake. Masks keep it out of states, means and losses.
# - Whoever can guess the next token can write, and the temperature says how boldly.
#
# **Where to go on.** Put `"gru"` in the LSTM's place in section 5: one gate fewer, does it do as well? Make the rows of the adding problem 100 or 200
# steps long. Train on `load("reviews_en")` instead of `pairs`, on reviews as people write them: how far does the bag of words get there, and on which
# sentences does it fail? The lab on sequence to sequence asks how a network can answer one sentence with another, and what attention is good for.

# %% [markdown] lang="zh"
# ## 你学到了什么
#
# - 词袋看不见次序；循环网络带着状态去读，所有时间步共享权重。
# - 穿过许多步的梯度是许多矩阵的乘积。$W_{hh}$ 的最大奇异值说明它是必定消失，还是可能爆炸。
# - 按范数裁剪能制住爆炸。对付消失则要换一条回程的路：单位矩阵，或者 LSTM 的细胞状态，它靠加法改变，由门把守。
# - 填充只是为了让表整齐。掩码不让它混进状态、平均和损失。
# - 会猜下一个词元，就会写；温度决定写得多大胆。
#
# **接下来可以试试：** 在第 5 节里用 `"gru"` 代替 LSTM：少了一个门，效果一样好吗？把加法问题的行加长到 100 步或 200 步。
# 用 `load("reviews_en")` 里更自然的评论代替 `pairs` 来训练：词袋在那里能走多远？它在哪些句子上会失败？“序列到序列”那个实验会问：
# 网络怎样用一句话回答另一句话，注意力又有什么用。
