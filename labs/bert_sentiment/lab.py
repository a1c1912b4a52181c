# %% [markdown] lang="en"
# # BERT: reading with attention
#
# The network of the last lab began to read knowing nothing, and had to learn English from a few thousand sentences. Nobody learns to judge films
# that way: you could read long before. In this lab you take a network that has read a great deal already, look inside, build its parts by hand, and
# teach it in minutes what it was never told: whether a review is praise or blame.
#
# **When you are through, you can**
#
# - cut any word into pieces, and prepare texts for BERT as it expects them;
# - write attention with one head and with many, without the padding having a say, and get the numbers of a real BERT;
# - measure whether the same word means the same in two sentences;
# - hide words so that a network learns from text without labels;
# - fine-tune a pretrained encoder without spoiling it, and read where it still goes wrong;
# - use the same encoder for slots and for answers to questions.
#
# **Time:** about three hours. **Points:** 30, in twelve programming exercises and one written answer.
#
# Each exercise has a cell to fill in and a cell that checks it. Run the check as often as you like: it tells you at once what is right, what was
# expected, and often which slip leads to just your result. A part of the points is for this check, the rest for the same check on inputs that are
# drawn when the lab is graded. The lines marked *lecture* use the examples of the lecture.
#
# Nothing is downloaded. The encoder, **MiniLM**, is a small BERT (6 layers, 384 numbers for each token, 22.7 million weights) that comes as a Python
# package. It was trained on English sentences; a section for Chinese is near the end.

# %% [markdown] lang="zh"
# # BERT：用注意力阅读
#
# 上个实验里的网络，开始读的时候一无所知，要靠几千个句子从头学会英语。没有人是这样学会评价电影的：你早就识字了。
# 这个实验换一个已经读过大量文字的网络：先看看它里面是什么样，亲手把各个部件写出来，再用几分钟教会它一件没人教过的事：一条评论是夸还是骂。
#
# **学完之后，你能够**
#
# - 把任意一个词切成子词，并按 BERT 要求的样子准备输入；
# - 写出单头和多头的注意力，不让填充影响结果，并算出与真正的 BERT 一样的数；
# - 量一量同一个词在两句话里是不是同一个意思；
# - 把词遮起来，让网络从没有标签的文本里学习；
# - 微调一个预训练的编码器而不把它毁掉，并看出它还错在哪里；
# - 用同一个编码器去做槽位填充和阅读理解。
#
# **用时：** 约三个小时。**分值：** 30 分，十二道编程练习，一道书面题。
#
# 每道练习有一个要填写的单元格和一个检查单元格。检查可以反复运行：它会马上告诉你哪里对了、应该得到什么，往往还能指出是哪种疏忽恰好导致了你的结果。
# 一部分分数来自这次检查，其余分数来自批改时的同样检查，只是输入会重新抽取。标有“课上的例子”的地方用的是课上的例子。
#
# 全程不需要下载。所用的编码器 **MiniLM** 是一个小号的 BERT（6 层，每个词元（token）384 个数，2270 万个权重），随 Python 包一起安装。
# 它是用英文句子训练的；中文的部分在靠近结尾的一节。

# %% setup=true
import json
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from coursekit import plot
from coursekit.check import open_lab
from coursekit.data import (
    DataError,
    PairSequences,
    TextSplit,
    Vocabulary,
    WordPieces,
    load,
    load_wordpieces,
    tokenize,
    word_span,
)
from coursekit.data.same_bag import same_bag
from coursekit.data.wordpieces import SPECIAL
from coursekit.models import Bert, BertConfig, get_model, load_encoder
from coursekit.train import Outcome, add_lora, evaluate, fit, predict, predict_to_file

check = open_lab("bert_sentiment")
PAD, CLS, SEP, MASK = 0, 101, 102, 103  # the special tokens of every English BERT, by number
wordpieces = load_wordpieces("minilm")
minilm = load_encoder("minilm").eval()

reviews, pairs = load("reviews_en"), same_bag("en")  # for sections 5 and 6
train = TextSplit(
    reviews.train.texts + pairs.train.texts[:400], torch.cat([reviews.train.y, pairs.train.y[:400]])
)
data = train.encode(wordpieces), reviews.val.encode(wordpieces)
unlabelled_texts = Path("test_reviews.tsv").read_text(encoding="utf-8").splitlines()[1:]
unlabelled = TextSplit(unlabelled_texts, torch.zeros(len(unlabelled_texts))).encode(wordpieces)

# %% [markdown] lang="en"
# ## 1 From letters to numbers
#
# A vocabulary of whole words has a hole: a word that it does not have is "unknown", and there are always such words. A vocabulary of letters has no
# hole, but sentences become very long. BERT takes the middle: about 30,000 **word pieces**. Common words are whole; rare ones are put together, and a
# piece that goes on with a word begins with `##`: "unwatchable" is `un`, `##watch`, `##able`.
#
# The rule is greedy. Take the longest piece of the vocabulary that the word begins with. Then the longest that the rest begins with, and so on. It
# never goes back. If at some point no piece fits, the **whole** word becomes `[UNK]`.

# %% [markdown] lang="zh"
# ## 1 从字母到编号
#
# 以整词为单位的词表有个漏洞：表里没有的词只能算“未知”，而这样的词永远都有。以字母为单位的词表没有漏洞，可句子会变得很长。
# BERT 取中间：大约三万个**子词**（word piece）。常用词是完整的一个；少见的词用几个子词拼成，不在词首的子词以 `##` 开头：“unwatchable”是 `un`、`##watch`、`##able`。
#
# 规则是贪心的：在词表里找这个词开头最长的一段，取下来；再找剩余部分开头最长的一段，依此类推，从不反悔。如果某一步什么也匹配不上，**整个**词就变成 `[UNK]`。

# %% [markdown] lang="en" about="word_pieces"
# Write `word_pieces(word, vocabulary)`. The word is not empty and has small letters only. At its beginning only pieces without `##` fit, within it
# only pieces with `##`.

# %% [markdown] lang="zh" about="word_pieces"
# 请写出 `word_pieces(word, vocabulary)`。输入的词不为空，只含小写字母。词的开头只能用不带 `##` 的子词，词的中间只能用带 `##` 的。


# %% exercise="word_pieces"
def word_pieces(word: str, vocabulary: list[str]) -> list[str]:
    """The pieces of one word, by the longest match first; `["[UNK]"]` where the rule finds no way.

    >>> word_pieces("unwatchable", ["un", "watch", "##watch", "##able", "##a"])
    ['un', '##watch', '##able']
    """
    ### BEGIN SOLUTION
    pieces, start = [], 0
    while start < len(word):
        mark, end = "##" if start else "", len(word)
        while end > start and mark + word[start:end] not in vocabulary:
            end -= 1
        if end == start:
            return ["[UNK]"]
        pieces.append(mark + word[start:end])
        start = end
    return pieces
    ### END SOLUTION


# %% check="word_pieces" points=1 hidden=1

# %%
known = set(wordpieces.tokens(range(len(wordpieces))))  # MiniLM's 30,522 pieces, which are those of BERT
for word in ("bank", "unwatchable", "overpriced", "embarrassingly", "tiramisu", "chatgpt", "好"):
    mine = word_pieces(word, known)
    print(
        f"{word:>15}: {' '.join(mine):<30} {'as MiniLM' if mine == wordpieces.tokenize(word) else 'not as MiniLM'}"
    )

# %% [markdown] lang="en"
# No vocabulary could hold every word, and yet `[UNK]` has become rare. (In English. This vocabulary has a few hundred Chinese characters only, which
# is why Chinese needs an encoder of its own.)
#
# Pieces become numbers, their **ids**, and some **special tokens** join them. One text becomes `[CLS] text [SEP]`, two as `[CLS] first
# [SEP] second [SEP]`. `[SEP]` closes a text. `[CLS]` stands for no word at all: its vector is meant to gather what the whole is about. Three rows of
# numbers go in:
#
# | | `[CLS]` | the | food | `[SEP]` | not | bad | `[SEP]` | `[PAD]` |
# |---|---|---|---|---|---|---|---|---|
# | ids | 101 | 1996 | 2833 | 102 | 2025 | 2919 | 102 | 0 |
# | segments | 0 | 0 | 0 | 0 | 1 | 1 | 1 | 0 |
# | mask | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 0 |

# %% [markdown] lang="zh"
# 没有哪个词表装得下所有的词，可 `[UNK]` 已经很少见了。（这是说英文。这个词表里只有几百个汉字，所以中文需要另一个编码器。）
#
# 子词变成数字，也就是**编号**（id），再加上几个**特殊词元**（special token）。一段文本写成 `[CLS] 文本 [SEP]`，两段写成 `[CLS] 第一段 [SEP] 第二段 [SEP]`。
# `[SEP]` 表示一段结束。`[CLS]` 不是任何词：它的向量用来汇总整个输入说了什么。送进 BERT 的是三行数：
#
# | | `[CLS]` | the | food | `[SEP]` | not | bad | `[SEP]` | `[PAD]` |
# |---|---|---|---|---|---|---|---|---|
# | 编号 ids | 101 | 1996 | 2833 | 102 | 2025 | 2919 | 102 | 0 |
# | 段 segments | 0 | 0 | 0 | 0 | 1 | 1 | 1 | 0 |
# | 掩码 mask | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 0 |

# %% [markdown] lang="en" about="bert_input"
# Write `bert_input(a, b, max_length)`: three lists of exactly `max_length` numbers. `a` and `b` are ids of the pieces of two texts, without special
# tokens; `b` is `None` when there is one text only. What is too long is cut token by token from the end of the longer text (of the second, where both
# are equally long), until it fits with its special tokens. The rest is filled up with `[PAD]`. `CLS`, `SEP` and `PAD` hold the numbers of the special
# tokens.

# %% [markdown] lang="zh" about="bert_input"
# 请写出 `bert_input(a, b, max_length)`：返回三个列表，每个恰好 `max_length` 个数。`a` 和 `b` 是两段文本的子词编号，不含特殊词元；只有一段时 `b` 为 `None`。
# 太长时，从较长的那段末尾一个一个地去掉词元（一样长时去掉第二段的），直到连同特殊词元放得下为止。不足的用 `[PAD]` 补齐。特殊词元的编号存在 `CLS`、`SEP`、`PAD` 里。


# %% exercise="bert_input"
def bert_input(a: list[int], b: list[int] | None, max_length: int) -> tuple[list[int], list[int], list[int]]:
    """Ids, segments (0, then 1 from the second text on; padding 0) and mask (1 real, 0 padding).

    >>> bert_input([1996, 2833], None, 6)
    ([101, 1996, 2833, 102, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0])
    """
    ### BEGIN SOLUTION
    first, second = list(a), list(b or [])
    room = max_length - (2 if b is None else 3)
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()
    ids, segments = [CLS, *first, SEP], [0] * (len(first) + 2)
    if b is not None:
        ids, segments = [*ids, *second, SEP], segments + [1] * (len(second) + 1)
    padding = [0] * (max_length - len(ids))
    return ids + [PAD] * len(padding), segments + padding, [1] * len(ids) + padding
    ### END SOLUTION


# %% check="bert_input" points=1 hidden=1

# %% [markdown] lang="en"
# ## 2 Three embeddings
#
# Inside, every token becomes a vector of $D$ numbers, the sum of three: **what** it is, **where** it stands, and to **which** of the two texts it
# belongs. Each comes from a table of its own, and the tables are learned. Then each token's vector $x$ goes through **layer normalisation**, on its
# own: mean 0 and variance 1 over its $D$ numbers, after which every number gets a scale and a shift that are learned as well:
#
# $$\operatorname{LayerNorm}(x) = \gamma \odot \frac{x - \operatorname{mean}(x)}{\sqrt{\operatorname{var}(x) + \epsilon}} + \beta$$

# %% [markdown] lang="zh"
# ## 2 三种嵌入
#
# 进了 BERT，每个词元变成一个 $D$ 个数的向量，它是三个向量之和：它是**什么**词，站在**哪个位置**，属于**哪一段**。三个向量各查一张表，表都是学出来的。
# 然后每个词元的向量 $x$ 各自做**层归一化**：在它自己的 $D$ 个数上化成均值 0、方差 1，再给每个数乘一个系数、加一个偏移，这两个也是学出来的：
#
# $$\operatorname{LayerNorm}(x) = \gamma \odot \frac{x - \operatorname{mean}(x)}{\sqrt{\operatorname{var}(x) + \epsilon}} + \beta$$

# %% [markdown] lang="en" about="embed"
# Write `embed(ids, segments, token, position, segment, gamma, beta)` for a batch. `token`, `position` and `segment` are the three tables, one row for
# each id, each position (from 0) and each segment. You may use `F.layer_norm`, with `eps=1e-12`.

# %% [markdown] lang="zh" about="embed"
# 请写出 `embed(ids, segments, token, position, segment, gamma, beta)`，对整个批量计算。`token`、`position`、`segment` 是三张表，分别是每个编号、每个位置（从 0 数起）、每个段一行。
# 可以用 `F.layer_norm`，取 `eps=1e-12`。


# %% exercise="embed"
def embed(
    ids: torch.Tensor,
    segments: torch.Tensor,
    token: torch.Tensor,
    position: torch.Tensor,
    segment: torch.Tensor,
    gamma: torch.Tensor,
    beta: torch.Tensor,
) -> torch.Tensor:
    """What BERT makes of ids before its first layer: shape (B, T, D).

    Args:
        ids, segments: int64, shape (B, T) each.
        token, position, segment: tables of shape (V, D), (P, D) and (2, D); P is at least T.
        gamma, beta: scale and shift of the layer normalisation, shape (D,) each.
    """
    ### BEGIN SOLUTION
    E = token[ids] + position[: ids.shape[1]] + segment[segments]
    return F.layer_norm(E, (E.shape[-1],), gamma, beta, eps=1e-12)
    ### END SOLUTION


# %% check="embed" points=1 hidden=1

# %% [markdown] lang="en"
# Do your two functions do what the real encoder does? Here are its own tables. Any difference that remains is rounding.

# %% [markdown] lang="zh"
# 你的两个函数和真正的编码器做的是同一件事吗？这里用的就是它自己的表。剩下的差别只是舍入误差。

# %%
question = wordpieces.encode("Was the food good?")[1:-1]
answer = wordpieces.encode("The food was good, not bad at all.")[1:-1]
rows = bert_input(question, answer, max_length=20)
ids, segments, mask = (torch.tensor([list(map(int, row))]) for row in rows)
tables = minilm.embeddings
with torch.no_grad():
    E = embed(
        ids,
        segments,
        tables.token.weight,
        tables.position.weight,
        tables.segment.weight,
        tables.norm.weight,
        tables.norm.bias,
    )
    print(f"largest difference from MiniLM's own: {(E - tables(ids, segments)).abs().max():.1e}")
print(" ".join(wordpieces.tokens(ids[0])))

# %% [markdown] lang="en"
# ## 3 Attention
#
# In these vectors "bank" is "bank", whatever stands around it. Now the tokens look at each other. Each makes three vectors of its own: a **query**
# $q$ (what am I looking for?), a **key** $k$ (what do I have to offer?) and a **value** $v$ (what do I hand over?). The dot
# product says how well query $i$ fits key $j$; a softmax makes shares of it, the attention weights; and what comes out for token $i$ is the mixture
# of all values in these shares:
#
# $$\operatorname{Attention}(Q, K, V) = \operatorname{softmax}\left(\frac{Q K^\top}{\sqrt d}\right) V$$
#
# Why $\sqrt d$? A sum of $d$ independent terms, each with variance 1, has variance $d$. Without the division the scores would grow with $d$, the
# softmax would put nearly all on one token, and hardly any gradient would get through.
#
# One step connects every word with every other. There is no long way back through time, as in the recurrent network. In "France is where I
# grew up, ... I speak fluent ___" France is one step away from the gap, however far off it stands.

# %% [markdown] lang="zh"
# ## 3 注意力
#
# 在这些向量里，“bank”就是“bank”，不管旁边是什么词。现在让词元互相看一看。每个词元各有三个向量：**查询**（query）$q$：我在找什么？**键**（key）$k$：我能提供什么？**值**（value）$v$：我给出什么？。查询 $i$ 与键 $j$ 合不合，看内积；softmax 把内积变成注意力权重（每一行之和为 1）；词元 $i$ 的输出，就是按这些权重把所有的值加起来。这叫**缩放点积注意力**（scaled dot-product attention，点积就是内积）：
#
# $$\operatorname{Attention}(Q, K, V) = \operatorname{softmax}\left(\frac{Q K^\top}{\sqrt d}\right) V$$
#
# 为什么要除以 $\sqrt d$？$d$ 个互不相关的项相加，每项方差为 1，总方差就是 $d$。不除的话，得分随 $d$ 变大，softmax 几乎把全部份额给一个词元，梯度也就几乎传不过去。
#
# 只要一步，每个词就和其他所有的词连上了。不再有循环网络里那条漫长的回程：比如“France is where I grew up, … I speak fluent ___”：“France”不管离得多远，到填空处都只有一步。

# %% [markdown] lang="en" about="attention"
# Write `attention(Q, K, V, lengths)` for a batch of texts. It returns what comes out and the weights (the shares). Text $b$ has `lengths[b]` real
# tokens, the rest is padding: no token may attend to it, so its weight is 0, and the weights of each row still add up to 1. (The rows of the padding
# itself may look at the real tokens like all others; nobody will use them.) PyTorch's own attention is locked away for this exercise and the next.

# %% [markdown] lang="zh" about="attention"
# 请写出 `attention(Q, K, V, lengths)`，对一个批次的文本计算，返回输出和权重。第 $b$ 段文本有 `lengths[b]` 个真实词元，其余是填充：任何词元都不许看填充，
# 填充的权重为 0，而每一行的权重之和仍为 1。（填充自己所在的行照常去看真实词元就行，反正没人会用。）本题和下一题不能用 PyTorch 自带的注意力。


# %% exercise="attention"
def attention(
    Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled dot-product attention.

    Args:
        Q, K, V: queries, keys and values, shape (B, T, d) each.
        lengths: real tokens of each text, from 1 to T, int64, shape (B,).

    Returns:
        The mixed values, shape (B, T, d), and the weights, shape (B, T, T): row i is what query i takes of each key.

    >>> attention(torch.zeros(1, 2, 1), torch.zeros(1, 2, 1), torch.tensor([[[2.0], [4.0]]]), torch.tensor([2]))
    (tensor([[[3.], [3.]]]), tensor([[[0.5000, 0.5000], [0.5000, 0.5000]]]))
    """
    ### BEGIN SOLUTION
    T, d = Q.shape[1:]
    scores = Q @ K.transpose(1, 2) / d**0.5  # (B, T, T)
    real = torch.arange(T) < lengths[:, None]  # (B, T)
    weights = torch.softmax(scores.masked_fill(~real[:, None, :], float("-inf")), dim=-1)
    return weights @ V, weights
    ### END SOLUTION


# %% check="attention" points=1 hidden=2

# %% [markdown] lang="en"
# One softmax can look for one thing at a time. So BERT does it several times side by side, with **several heads**: the $D$ features of queries, keys
# and values are split into $N$ slices of $d = D / N$, each slice attends on its own, and the results are joined and mixed by one more matrix.

# %% [markdown] lang="zh"
# 一个 softmax 一次只能找一样东西。所以 BERT 同时做好几份，这就是**多头**：查询、键、值的 $D$ 个特征切成 $N$ 份，每份 $d = D / N$ 个，各做各的注意力，再拼起来，用一个矩阵混合。

# %% [markdown] lang="en" about="multi_head"
# Write `multi_head(X, lengths, W_qkv, b_qkv, W_o, b_o, num_heads)`, with your `attention`. As in `nn.Linear`, a row of a weight matrix belongs to one
# output. The first $D$ rows of `W_qkv` make the queries, the next the keys, the last the values. Head 0 has the first $d$ features of each, head 1
# the next $d$, and so on.

# %% [markdown] lang="zh" about="multi_head"
# 请用你的 `attention` 写出 `multi_head(X, lengths, W_qkv, b_qkv, W_o, b_o, num_heads)`。和 `nn.Linear` 一样，权重矩阵的每一行属于一个输出。`W_qkv` 的前 $D$ 行产生查询，
# 接着 $D$ 行产生键，最后 $D$ 行产生值。第 0 个头取其中最前面 $d$ 个特征，第 1 个头取接下来的 $d$ 个，依此类推。


# %% exercise="multi_head"
def multi_head(
    X: torch.Tensor,
    lengths: torch.Tensor,
    W_qkv: torch.Tensor,
    b_qkv: torch.Tensor,
    W_o: torch.Tensor,
    b_o: torch.Tensor,
    num_heads: int,
) -> torch.Tensor:
    """Multi-head self-attention: shape (B, T, D) to (B, T, D).

    Args:
        X: a vector for each token, shape (B, T, D).
        lengths: real tokens of each text, shape (B,).
        W_qkv, b_qkv: weights and bias of queries, keys and values, shape (3D, D) and (3D,).
        W_o, b_o: weights and bias of the output, shape (D, D) and (D,).
        num_heads: heads, a divisor of D.
    """
    ### BEGIN SOLUTION
    d = X.shape[2] // num_heads
    Q, K, V = (X @ W_qkv.T + b_qkv).chunk(3, dim=-1)  # (B, T, D) each
    heads = []
    for i in range(num_heads):
        own = slice(i * d, (i + 1) * d)
        heads.append(attention(Q[..., own], K[..., own], V[..., own], lengths)[0])
    return torch.cat(heads, dim=-1) @ W_o.T + b_o
    ### END SOLUTION


# %% check="multi_head" points=1 hidden=2

# %% [markdown] lang="en"
# PyTorch's own multi-head attention has to agree, and so has the first layer of MiniLM, which has 12 heads of 32 features each. It gets the
# embeddings that you made above. (`lengths` keeps the padding out.)

# %% [markdown] lang="zh"
# PyTorch 自带的多头注意力应当与你的一致，MiniLM 的第一层也一样：它有 12 个头，每个头 32 个特征。送进去的就是你上面算出的嵌入。（填充由 `lengths` 屏蔽。）

# %%
torch.manual_seed(0)
theirs = nn.MultiheadAttention(24, num_heads=4, batch_first=True)
X, lengths = torch.randn(2, 5, 24), torch.tensor([5, 3])
first_layer = minilm.layers[0].attention
with torch.no_grad():
    padded = torch.arange(5) >= lengths[:, None]
    expected, _ = theirs(X, X, X, key_padding_mask=padded)
    weights = theirs.in_proj_weight, theirs.in_proj_bias, theirs.out_proj.weight, theirs.out_proj.bias
    print(f"PyTorch: largest difference {(multi_head(X, lengths, *weights, 4) - expected).abs().max():.1e}")

    real = mask.bool()[:, None, None]
    weights = first_layer.qkv.weight, first_layer.qkv.bias, first_layer.out.weight, first_layer.out.bias
    mine = multi_head(E, mask.sum(1), *weights, num_heads=12)
    print(f"MiniLM:  largest difference {(mine - first_layer(E, real)).abs().max():.1e}")

# %% [markdown] lang="en"
# That is the heart of it. The rest of a layer is what you know already: what attention gives is added to what went in and normalised, then a small
# network with one hidden layer works on each token by itself, and again its result is added and normalised. Six such layers are MiniLM, twelve are
# BERT-base.
#
# What do the heads look at? Rows are queries, columns are keys; layers and heads are counted from 0. In layer 3, head 1, what does "it" look at?
# Head 2 of layer 0 looks at the word before, head 8 of layer 1 mostly at the next one, and head 7 of layer 2 rests on `[CLS]`, as many do
# when there is nothing to find. Try others, and a sentence of your own.

# %% [markdown] lang="zh"
# 这就是核心。一层里剩下的部分你都认识：注意力的结果加到输入上，做归一化；再用一个只有一个隐藏层的小网络逐个处理词元，结果同样加上、归一化。
# 六个这样的层就是 MiniLM，十二个就是 BERT-base。
#
# 各个头在看什么？（层和头都从 0 数起；行是查询，列是键。）第 3 层的第 1 个头里，“it”在看谁？第 0 层的第 2 个头看的是前一个词，第 1 层的第 8 个头多半看后一个词，
# 第 2 层的第 7 个头停在 `[CLS]` 上，许多头在没什么可看时都这样。换几个头、换一句自己的话试试。

# %%
layer, head = 3, 1
ids = torch.tensor([wordpieces.encode("The soup was cold, but the waiter warmed it at once.")])
with torch.no_grad():
    looks = minilm.attention(ids)[layer][0]  # (heads, T, T)
plot.attention(looks, wordpieces.tokens(ids[0]), head=head)

# %% [markdown] lang="en"
# ## 4 One word, five banks
#
# *Lecture:* five sentences, and "bank" in each of them:
#
# 1. Have you paid that money to the **bank** yet?
# 2. It is safest to deposit your money in the **bank**.
# 3. The victim was found lying dead on the river **bank**.
# 4. They stood on the river **bank** to fish.
# 5. The hospital has its own blood **bank**.
#
# A dictionary, and the embeddings of the lab on representation, have one entry for the word. BERT gives each *token* a vector of its own, made
# with all that stands around it: a **contextual embedding**. The first two banks should be neighbours, and the next two. And the fifth? Is a blood
# bank a third sense, or is it the first one, a place where something is kept?
#
# To measure it we need one vector for a word. A word may have several pieces, though, so we take the mean of their vectors. The same tool gives one
# vector for a whole text: the mean of all its real tokens.

# %% [markdown] lang="zh"
# ## 4 一个词，五个 bank
#
# *课上的例子：* 五句话，每句都有“bank”：
#
# 1. Have you paid that money to the **bank** yet?（钱交给银行了吗？）
# 2. It is safest to deposit your money in the **bank**.（钱存在银行里最安全。）
# 3. The victim was found lying dead on the river **bank**.（受害者被发现死在河岸上。）
# 4. They stood on the river **bank** to fish.（他们站在河岸上钓鱼。）
# 5. The hospital has its own blood **bank**.（这家医院有自己的血库。）
#
# 词典里这个词只有一条，“表示”那个实验里的词嵌入也是。BERT 则给每个*词元*一个自己的向量，里面有周围所有词的影响：这叫**上下文嵌入**。前两个 bank 应当挨得近，中间两个也应当挨得近。
# 第五个呢？血库是第三个意思，还是和银行一样，不过是存东西的地方？
#
# 要测量，就要让一个词有一个向量。可一个词可能有好几个子词，所以取它们的向量的平均。用同一个工具也能得到整段文本的向量：所有真实词元的平均。

# %% [markdown] lang="en" about="mean_of"
# Write `mean_of(H, keep)`: for each text the mean of the vectors of those tokens for which `keep` is True. At least one is kept in each text.

# %% [markdown] lang="zh" about="mean_of"
# 请写出 `mean_of(H, keep)`：对每段文本，求 `keep` 为 True 的那些词元的向量的平均。每段文本至少保留一个词元。


# %% exercise="mean_of"
def mean_of(H: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Mean of the chosen vectors of each text: shape (B, D).

    Args:
        H: a vector for each token, shape (B, T, D).
        keep: which tokens count, bool, shape (B, T).

    >>> mean_of(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    ### BEGIN SOLUTION
    kept = H * keep[..., None]  # (B, T, D), the others 0
    return kept.sum(1) / keep.sum(1, keepdim=True)
    ### END SOLUTION


# %% check="mean_of" points=1 hidden=1


# %%
def word_vectors(texts: list[str], word: str, layer: int = -1) -> torch.Tensor:
    """The vector of `word`, which stands in each of N texts, after a layer of MiniLM (0: its embeddings): (N, D)."""
    X, lengths, _ = (
        TextSplit(texts, torch.zeros(len(texts))).encode(wordpieces).batch(torch.arange(len(texts)))
    )
    pieces = wordpieces.encode(word)[1:-1]
    keep = torch.zeros_like(X, dtype=torch.bool)
    for row, ids in zip(keep, X.tolist(), strict=True):
        start = next(i for i in range(len(ids)) if ids[i : i + len(pieces)] == pieces)
        row[start : start + len(pieces)] = True
    with torch.no_grad():
        return mean_of(minilm.hidden_states(X, lengths)[layer], keep)


banks = [
    "Have you paid that money to the bank yet?",
    "It is safest to deposit your money in the bank.",
    "The victim was found lying dead on the river bank.",
    "They stood on the river bank to fish.",
    "The hospital has its own blood bank.",
]
plot.contextual(
    word_vectors(banks, "bank"),
    [
        "money to the bank",
        "money in the bank",
        "dead on the river bank",
        "the river bank to fish",
        "blood bank",
    ],
    ["money", "money", "river", "river", "blood"],
)

# %% [markdown] lang="en"
# Meaning is not all that counts here: where the word stands and what stands before it do, too. And how does it come about? The same similarities
# (cosines) after each of the six layers, where 0 is the embeddings, in which the word is the same and only its place differs:

# %% [markdown] lang="zh"
# 这里起作用的不只是意思，词的位置和它前面的词也有影响。这又是怎么形成的？下面是逐层的相似度（余弦）。第 0 层是嵌入，那里词是同一个，差别只在位置：

# %%
compared = {
    "money and money": [(0, 1)],
    "river and river": [(2, 3)],
    "money and river": [(0, 2), (0, 3), (1, 2), (1, 3)],
    "blood and money": [(4, 0), (4, 1)],
    "blood and river": [(4, 2), (4, 3)],
}
_, ax = plt.subplots(figsize=(7, 3.2))
by_layer = [F.normalize(word_vectors(banks, "bank", layer), dim=1) for layer in range(7)]
for (name, both), style in zip(compared.items(), ("-", "-", "--", ":", ":"), strict=True):
    ax.plot(
        range(7), [sum(float(V[i] @ V[j]) for i, j in both) / len(both) for V in by_layer], style, label=name
    )
ax.set(xlabel="layer", ylabel="cosine of the two banks")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown] lang="en"
# Try it with a word and sentences of your own: `plot.contextual(word_vectors([...], "light"), [...])`. The written question at the end comes back to
# the blood bank, so note down what you measure.

# %% [markdown] lang="zh"
# 换一个词和你自己的句子试试：`plot.contextual(word_vectors([...], "light"), [...])`。最后的书面题还会问到血库，请把测到的数记下来。

# %% [markdown] lang="en"
# ## 5 Learning without labels
#
# Where does the encoder know all this from? From two games that need no labels, only text:
#
# - **Masked words** (masked language modelling). Hide some words, let the network guess them from *both* sides. Of all tokens 15% are chosen. Of those, 80% become `[MASK]`,
#   10% become some other token drawn at random, and 10% stay as they are. The network has to say at every chosen place what stood there.
# - **Next sentence** (prediction). Does the second text follow the first one, or was it taken from elsewhere? Half and half. (Later work found that one can do
#   without it.)
#
# Why not `[MASK]` for all of the 15%? In use there is no `[MASK]`, and a network that only ever had to think at a `[MASK]` might not bother about
# other words. Since any word might be a wrong one, or be asked for, it has to make sense of each.

# %% [markdown] lang="zh"
# ## 5 没有标签也能学
#
# 编码器的这些知识从哪里来？来自两个只需要文本、不需要标签的任务：
#
# - **掩码语言模型**（MLM）：猜被遮住的词。 把一些词遮起来，让网络根据*左右两边*来猜。从所有词元里选出 15%。选中的当中，80% 换成 `[MASK]`，10% 换成随机抽的另一个词元，10% 保持不变。
#   凡是选中的地方，网络都要说出原来是什么。
# - **下一句预测**（NSP）。 第二段是不是接着第一段的，还是从别处拿来的？各占一半。（后来的研究发现，不要这个任务也行。）
#
# 为什么不把这 15% 全换成 `[MASK]`？因为实际使用时没有 `[MASK]`；如果网络只需要处理 `[MASK]`，对别的词就可能敷衍了事。
# 既然每个词都可能是错的、都可能被问到，它就得认真对待每一个词。

# %% [markdown] lang="en" about="mask_tokens"
# Write `mask_tokens(ids, special, mask, choose, how, random_ids)`. So that it can be checked, the random numbers are given: for each token two
# numbers between 0 and 1 and a random id. A token is chosen where `choose` is below 0.15, unless its id is one of `special`. Of the chosen ones those
# with `how` below 0.8 become `mask`, those from there to below 0.9 become the `random_ids` of their place, and the others stay. Return the new ids
# and the labels: the old id at every chosen place, -100 at all others.

# %% [markdown] lang="zh" about="mask_tokens"
# 请写出 `mask_tokens(ids, special, mask, choose, how, random_ids)`。为了便于检查，随机数是给定的：每个词元有两个 0 到 1 之间的数，还有一个随机编号。`choose` 小于 0.15
# 的词元被选中，但编号在 `special` 里的除外。选中的当中，`how` 小于 0.8 的换成 `mask`，0.8 到 0.9（不含）的换成同一位置的 `random_ids`，其余保持不变。
# 返回新的编号和标签：选中的位置标签是原来的编号，其余位置都是 -100。


# %% exercise="mask_tokens"
def mask_tokens(
    ids: torch.Tensor,
    special: list[int],
    mask: int,
    choose: torch.Tensor,
    how: torch.Tensor,
    random_ids: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What BERT sees and what it has to guess, int64, shape (B, T) each.

    Args:
        ids: the texts, int64, shape (B, T).
        special: ids of tokens that are never chosen.
        mask: the id of [MASK].
        choose, how: random numbers between 0 and 1, shape (B, T) each.
        random_ids: random tokens, int64, shape (B, T).
    """
    ### BEGIN SOLUTION
    chosen = (choose < 0.15) & ~torch.isin(ids, torch.tensor(special))
    labels = torch.where(chosen, ids, -100)
    inputs = torch.where(chosen & (how < 0.9), random_ids, ids)
    inputs = torch.where(chosen & (how < 0.8), mask, inputs)
    return inputs, labels
    ### END SOLUTION


# %% check="mask_tokens" points=1 hidden=1

# %% [markdown] lang="en" about="pretraining_loss"
# Now the loss of both games, in one number (a tensor: it is to be trained with). For the words it is the cross entropy at the chosen places, the mean
# of all of them in the batch; the label -100 says that a place does not count. For the pairs it is the mean cross entropy of the two classes: 0, it
# follows; 1, it does not. BERT adds the two. Write `pretraining_loss(word_logits, labels, pair_logits, pair_labels)`. You may use `F.cross_entropy`,
# which leaves out -100 by itself.

# %% [markdown] lang="zh" about="pretraining_loss"
# 再来算两个任务的损失，合成一个数（张量：之后要用它训练）。猜词的损失是选中位置上的交叉熵，对批量中所有选中的位置一起取平均；标签 -100 表示这个位置不算。下一句的损失是两类的平均交叉熵：
# 0 是接着的，1 不是。BERT 把两者相加。请写出 `pretraining_loss(word_logits, labels, pair_logits, pair_labels)`。可以用 `F.cross_entropy`，它自己会略过 -100。


# %% exercise="pretraining_loss"
def pretraining_loss(
    word_logits: torch.Tensor, labels: torch.Tensor, pair_logits: torch.Tensor, pair_labels: torch.Tensor
) -> torch.Tensor:
    """Masked words plus next sentence, a single number.

    Args:
        word_logits: scores of V tokens at each place, shape (B, T, V).
        labels: the hidden tokens, int64, -100 where there is nothing to guess, shape (B, T).
        pair_logits: scores of the two classes of each pair, shape (B, 2).
        pair_labels: 0, the second text follows the first; 1, it does not; int64, shape (B,).

    >>> pretraining_loss(torch.zeros(1, 2, 8), torch.tensor([[5, -100]]), torch.zeros(1, 2), torch.tensor([0]))
    tensor(2.7726)
    """
    ### BEGIN SOLUTION
    words = F.cross_entropy(word_logits.flatten(0, 1), labels.flatten())
    return words + F.cross_entropy(pair_logits, pair_labels)
    ### END SOLUTION


# %% check="pretraining_loss" points=1 hidden=1

# %% [markdown] lang="en"
# Let us play. BERT read 3.3 billion words; our small one (2 layers, 64 numbers for each token, a vocabulary of 230 words and 5 special tokens) begins
# with random weights and reads the 4,000 sentences of the sequence lab, again and again, each time masked anew by your `mask_tokens`. Each sentence
# is cut in two at its last comma or semicolon (those without are left out), and half of the second parts are swapped for those of other sentences.
# (It trains for about half a minute. The accuracy is that of the pairs.)

# %% [markdown] lang="zh"
# 来玩玩看。BERT 读了 33 亿个词；我们这个小的（2 层，每个词元 64 个数，词表只有 230 个词和 5 个特殊词元）从随机权重开始，反复读“序列”实验里的 4,000 个句子，每次都用你的 `mask_tokens` 重新遮一遍。
# 每个句子在最后一个逗号或分号处切成两段（没有的就不用），其中一半的后段换成别的句子的。（大约训练半分钟。显示的准确率是下一句任务的。）

# %%
pieces = WordPieces.of(
    [*SPECIAL, *sorted({word for text in pairs.train.texts for word in tokenize(text)})], "small"
)


class Pretrainer(nn.Module):
    """A small BERT with both heads of pre-training."""

    def __init__(self, D: int = 64) -> None:
        super().__init__()
        self.encoder = Bert(
            BertConfig(
                len(pieces), hidden_size=D, num_layers=2, num_heads=4, intermediate_size=2 * D, dropout=0.0
            )
        )
        self.words = get_model("bert_mlm", encoder=self.encoder).head
        self.pairs = nn.Linear(D, 2)

    def forward(self, X, lengths, segments):
        hidden, pooled = self.encoder(X, lengths, segments)
        return self.words(hidden, self.encoder.token_weight), self.pairs(pooled)


def play(model: nn.Module, batch: tuple) -> Outcome:
    """Both games, on one batch."""
    X, lengths, segments, y = (tensor.cpu() for tensor in batch)
    random_ids = torch.randint(len(SPECIAL), len(pieces), X.shape)
    special = [pieces.pad, pieces.cls, pieces.sep]
    inputs, labels = mask_tokens(
        X, special, pieces.mask, torch.rand(X.shape), torch.rand(X.shape), random_ids
    )
    device = next(model.parameters()).device
    word_logits, pair_logits = model(inputs.to(device), lengths, segments.to(device))
    loss = pretraining_loss(word_logits, labels.to(device), pair_logits, y.to(device))
    return Outcome(loss, (pair_logits.argmax(1) == y.to(device)).sum(), len(y))


def halves(texts: list[str], seed: int) -> PairSequences:
    """Texts cut at the last comma or semicolon; label 0 where the second half is the text's own."""
    generator = torch.Generator().manual_seed(seed)
    texts = [text for text in texts if ", " in text or "; " in text]
    cuts = [max(text.rfind(", "), text.rfind("; ")) + 1 for text in texts]
    others = torch.randperm(len(texts), generator=generator).tolist()
    y = torch.randint(2, (len(texts),), generator=generator)
    rows = []
    for i, cut in enumerate(cuts):
        j = others[i] if y[i] else i
        rows.append(pieces.encode_pair(texts[i][:cut], texts[j][cuts[j] :]))
    starts = [segments.index(1) for _, segments in rows]
    return PairSequences([torch.tensor(ids) for ids, _ in rows], starts, y, pieces.pad)


torch.manual_seed(0)
small = Pretrainer()
games = halves(pairs.train.texts, seed=0), halves(pairs.val.texts[:300], seed=1)
history = fit(small, games, step=play, epochs=12, lr=0.005, batch_size=32, progress=False, save="pretrained")
print(f"loss of a blind guess: ln 235 + ln 2 = 6.15; after training: {history['val_loss'][-1]:.2f}")
print(f"{history['val_accuracy'][-1]:.0%} of the pairs right")


# %%
@torch.no_grad()
def guess(model: nn.Module, pieces: WordPieces, ids: list[int], segments: list[int]) -> str:
    """The likeliest words at [MASK]."""
    out = model.cpu().eval()(torch.tensor([ids]), None, torch.tensor([segments]))
    word_logits = out[0] if isinstance(out, tuple) else out
    p, best = word_logits[0, ids.index(pieces.mask)].softmax(0).topk(4)
    return ", ".join(
        f"{word} {share:.0%}" for word, share in zip(pieces.tokens(best), p.tolist(), strict=True)
    )


for first, second in (
    ("The food was good,", "[MASK] bad at all."),
    ("Some people say that the acting was great;", "I found [MASK] awful."),
):
    print(f"{first} | {second}  {guess(small, pieces, *pieces.encode_pair(first, second))}")

# %% [markdown] lang="en"
# It has learned the sentences that it was shown, nothing of the world. That takes a real BERT with the head it was pretrained with. MiniLM has lost
# its own, so this cell needs `bert-base-uncased`, where it is on your computer (`coursekit data get bert-base-uncased` fetches its 440 MB; nothing
# later depends on it).

# %% [markdown] lang="zh"
# 它只学会了给它看过的那些句子，对世界一无所知。要有见识，得用真正的 BERT 和它预训练时的输出头。MiniLM 的输出头已经丢掉了，所以这个单元格需要电脑上有 `bert-base-uncased`
# （`coursekit data get bert-base-uncased` 会下载 440 MB；后面的内容都不依赖它）。

# %%
try:
    big, big_pieces = (
        get_model("bert_mlm", encoder="bert-base-uncased").eval(),
        load_wordpieces("bert-base-uncased"),
    )
    for text in (
        "France is where I grew up, but I now live in Boston. I speak fluent [MASK].",
        "The food was [MASK], we will never come back.",
        "They stood on the river [MASK] to fish.",
    ):
        ids = big_pieces.encode(text)
        print(f"{text}\n  BERT-base: {guess(big, big_pieces, ids, [0] * len(ids))}")
except DataError:
    print("bert-base-uncased is not on this computer: coursekit data get bert-base-uncased")

# %% [markdown] lang="en"
# ## 6 Praise or blame
#
# **Pre-training** is done once, by somebody with many GPUs. What you do now is **fine-tuning**: on top of the encoder you set a **head** (not one of
# the heads of attention: the last piece, that answers), for a class of the whole text no more than a linear layer on one vector (the mean of the
# tokens, your `mean_of`, or the vector of `[CLS]`), and train both on your own, few examples.
#
# The head is new and may learn fast. The encoder knows a lot already, and a learning rate that a fresh network needs would wipe it out. So it gets
# a far lower one.

# %% [markdown] lang="zh"
# ## 6 是夸还是骂
#
# **预训练**（pre-training）只做一次，由有许多 GPU 的人来做。你现在要做的是**微调**（fine-tuning）：在编码器上面加一个任务头（head，和“多头注意力”的头不是一回事）。给整段文本分类时，它叫**分类头**：在一个向量（词元的平均，也就是你的 `mean_of`，或者 `[CLS]` 的向量）上加一个线性层，然后用你自己那不多的样本把两者一起训练。
#
# 分类头是新的，可以学得快。编码器已经会很多，从零训练时用的学习率会把这些都抹掉，所以它的学习率要小得多。

# %% [markdown] lang="en" about="fine_tune"
# Write `fine_tune(model, batches, val, epochs, lr, head_lr)`, the loop that `fit` will do for you afterwards. `model.encoder` learns with `lr`,
# `model.head` with `head_lr`; the optimizer is `torch.optim.AdamW`, its other settings are left as they are. `batches` is a list of
# `(X, lengths, y)`; `model(X, lengths)` gives logits; the loss is the cross entropy. After every epoch the accuracy on `val`, one such batch from
# which nothing is learned, joins the list that you return. Dropout is for training only, so mind the mode of the model; you do not
# know in which one it comes.
#
# The class `Rehearsal` below your function tries it on a small model with known weights. It is what is checked; leave it as it is. (For the real
# model you will use `fit`, which does the same, faster, and keeps the weights.)

# %% [markdown] lang="zh" about="fine_tune"
# 请写出 `fine_tune(model, batches, val, epochs, lr, head_lr)`，也就是之后 `fit` 替你做的循环。`model.encoder` 的学习率是 `lr`，`model.head` 的是 `head_lr`；优化器用 `torch.optim.AdamW`，其余取默认值。
# `batches` 是 `(X, lengths, y)` 的列表；`model(X, lengths)` 给出 logits；损失是交叉熵。每一轮之后，算出在 `val`（一个这样的批量，不用来学习）上的准确率，加进要返回的列表。
# dropout 只在训练时才用，所以要注意模型的模式。交到你手里时它处在哪种模式，你并不知道。
#
# 你的函数下面有一个类 `Rehearsal`，它用一个权重已知的小模型来试运行你的函数。检查的就是它，请不要改动。（真正的模型之后用 `fit` 训练，做的是同样的事，更快，还会保存权重。）


# %% exercise="fine_tune"
def fine_tune(model, batches: list, val: tuple, epochs: int, lr: float, head_lr: float) -> list[float]:
    """Train in place; the accuracy on `val` after each epoch."""
    ### BEGIN SOLUTION
    groups = [
        {"params": model.encoder.parameters(), "lr": lr},
        {"params": model.head.parameters(), "lr": head_lr},
    ]
    optimizer, accuracies = torch.optim.AdamW(groups), []
    for _ in range(epochs):
        model.train()
        for X, lengths, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(X, lengths), y).backward()
            optimizer.step()
        model.eval()
        X, lengths, y = val
        with torch.no_grad():
            accuracies.append((model(X, lengths).argmax(1) == y).float().mean().item())
    return accuracies
    ### END SOLUTION


class Rehearsal:
    """A small reader to rehearse with; the check looks at what your function does to it."""

    def __init__(self, table, weight):
        self.model = Reader(table, weight)

    def run(self, batches, val, epochs, lr, head_lr):
        self.model.eval()  # as whoever looked at it last has left it
        accuracies = fine_tune(self.model, batches, val, epochs, lr, head_lr)
        modes, n = self.model.modes, len(batches)
        learned = [training for size, training in modes if size != len(val[0])]
        return {
            "accuracies": list(accuracies),
            "learned in training mode": [all(learned[i : i + n]) for i in range(0, len(learned), n)],
            "judged in evaluation mode": [not training for size, training in modes if size == len(val[0])],
            "encoder": self.model.encoder.weight.detach(),
            "head": self.model.head.weight.detach(),
        }


class Reader(nn.Module):
    """What a fine-tuned BERT is, in small: `encoder`, mean over the real tokens, `head`. It notes in which mode it was used."""

    def __init__(self, table, weight):
        super().__init__()
        self.encoder = nn.Embedding.from_pretrained(table.clone(), freeze=False)
        self.head = nn.Linear(weight.shape[1], 2)
        self.head.load_state_dict({"weight": weight.clone(), "bias": torch.zeros(2)})
        self.modes = []

    def forward(self, X, lengths=None):
        self.modes.append((len(X), self.training))
        T = X.shape[1]
        real = torch.arange(T) < (torch.full((len(X),), T) if lengths is None else lengths)[:, None]
        return self.head((self.encoder(X) * real[:, :, None]).sum(1) / real.sum(1, keepdim=True))


# %% check="fine_tune" points=1 hidden=2

# %% [markdown] lang="en" about="predictions"
# Now in earnest. `test_reviews.tsv`, beside this notebook, holds 240 reviews without labels; `unlabelled_texts` are its lines, `unlabelled` the same
# as ids. Hand in a class for each of them: 0, negative; 1, positive. To learn from there is `data`: 832 reviews, and 400 sentences of the sequence
# lab, in which "not" and "but" decide. Begin with `model = get_model("bert_sentence", encoder="minilm", num_classes=2, pooling="mean")`. Then
# `fit(model, data, epochs=..., lr=..., batch_size=16, save="sentiment")`, in one of these ways:
#
# - `freeze=2`: the embeddings and the two lowest layers stay as they are, what is above them learns, with a rate of about 0.0003.
# - `add_lora(model, rank=8)` before `fit`: the whole encoder stays, and beside its matrices learn small new ones, **adapters** (0.1 million
#   weights in place of 22.7). Being new they may learn faster, with about 0.001.
# - `freeze="encoder"`: only the head learns. It shows what the others are worth.
#
# MiniLM's top layers were trained to say which sentences are about the same thing; its middle ones know more about praise and blame. If you like,
# cut two off before you begin: `model.encoder.layers = model.encoder.layers[:4]`.
#
# Three or four epochs are enough, one to two minutes on a laptop. `fit` leaves what has learned in `sentiment.safetensors`; after it,
# `predict_to_file(model, unlabelled, "predictions.json", texts=unlabelled_texts)` leaves your answers in `predictions.json`. Keep the name `model`,
# the cells below use it. **Hand in both files with the notebook**, and the others that `fit` leaves: when it is graded nothing is trained again.
#
# Full points from 65% of right answers, and a share of them from 52% on. That sounds low, but these reviews were written to be hard: a bag of words
# gets 62 to 64% of them, four layers with `freeze=2` and three epochs about 71%. The public check knows the labels of 40 of them, the hidden check
# those of the other 200; with 40 reviews, 15 points more or less may be chance. Who trains again replaces the two files: another `save=` and
# another file name for an experiment, and `torch.manual_seed(0)` before `get_model`, make it safe and repeatable.

# %% [markdown] lang="zh" about="predictions"
# 现在来真的。笔记本旁边的 `test_reviews.tsv` 里有 240 条没有标签的评论；`unlabelled_texts` 是其中的各行，`unlabelled` 是同样的内容变成编号。
# 请为每一条交一个类别：0 是负面，1 是正面。用来学习的是 `data`：832 条评论，加上“序列”实验里的 400 个句子，那些句子的褒贬全看“not”和“but”。
# 先写 `model = get_model("bert_sentence", encoder="minilm", num_classes=2, pooling="mean")`，再用 `fit(model, data, epochs=..., lr=..., batch_size=16, save="sentiment")` 训练，做法有几种：
#
# - `freeze=2`：嵌入和最低的两层保持不变，上面的学，学习率 0.0003 左右。
# - 在 `fit` 之前 `add_lora(model, rank=8)`：整个编码器保持不变，在它的矩阵旁边学一些新的小矩阵，叫**适配器**（11 万个权重，而不是 2270 万）。它们是新的，可以学得快些，学习率 0.001 左右。
# - `freeze="encoder"`：只有头在学。可以看出前两种做法值不值。
#
# MiniLM 最上面几层是为判断“哪些句子说的是同一件事”训练的，中间几层反而更懂褒贬。愿意的话，开始之前可以去掉两层：`model.encoder.layers = model.encoder.layers[:4]`。
#
# 三四轮就够了，笔记本电脑上要一两分钟。`fit` 把学到的权重存进 `sentiment.safetensors`；然后用 `predict_to_file(model, unlabelled, "predictions.json", texts=unlabelled_texts)` 把你的答案写进 `predictions.json`。变量名请用 `model`，后面的单元格还要用它。**请把这两个文件（以及 `fit` 留下的其他文件）和笔记本一起提交**：批改时不会重新训练。
#
# 答对 65% 得满分，从 52% 起按比例得分。听起来不高，可这些评论是特意写得难的：词袋能对 62% 到 64%，四层、`freeze=2`、三轮大约能对 71%。
# 公开检查知道其中 40 条的标签，隐藏检查知道另外 200 条的；只看 40 条时，上下 15 个百分点可能只是偶然。
# 再训练一次会覆盖这两个文件：做试验时请换一个 `save=` 和文件名，并在 `get_model` 之前写上 `torch.manual_seed(0)`，这样既安全又能重复。


# %% exercise="predictions"
predictions = None
### BEGIN SOLUTION
model = get_model("bert_sentence", encoder="minilm", num_classes=2, pooling="mean")
model.encoder.layers = model.encoder.layers[:4]
fit(model, data, epochs=3, lr=0.0003, batch_size=16, freeze=2, save="sentiment")
predict_to_file(model, unlabelled, "predictions.json", texts=unlabelled_texts)
### END SOLUTION
predictions = json.loads(Path("predictions.json").read_text(encoding="utf-8"))["labels"]


# %% check="predictions" points=1 hidden=2

# %% [markdown] lang="en"
# ### Where is it wrong?
#
# A number says how often a model is wrong. The wrong answers say what it does not understand. For 320 other reviews, the labelled test split, we
# know what makes them hard, often more than one thing, sometimes none: a negation, a contrast ("..., but ..."), strong words (intensity), a
# comparison, mixed feelings, sarcasm. Beside your model stand
# the two of the sequence lab, trained on the very same texts: a bag of words and an LSTM. The black lines are 95% intervals: how much may be chance?

# %% [markdown] lang="zh"
# ### 它错在哪里？
#
# 一个数只说明模型错了多少；它究竟不懂什么，要看那些错了的答案。另外 320 条有标签的测试评论，每一条都注明了难点，可以有好几个，也可以没有（none）：否定（negation）、转折（contrast，“……但是……”）、语气强烈（intensity）、
# 比较（comparison）、褒贬参半（mixed）、反讽（sarcasm）。和你的模型放在一起的是“序列”实验里的两个：词袋和 LSTM，用的是同样的训练文本。黑线是 95% 置信区间：有多少可能只是偶然？

# %%
vocabulary = Vocabulary.build(train.texts, min_count=2)
as_words = train.encode(vocabulary), reviews.val.encode(vocabulary)
torch.manual_seed(0)
others = {
    "bag of words": get_model("bow", vocab_size=len(vocabulary)),
    "LSTM": get_model("lstm", vocab_size=len(vocabulary), embedding_dim=32, hidden_size=64),
}
logits = {"BERT": predict(model, reviews.test.encode(wordpieces))}
for name, other in others.items():
    fit(other, as_words, epochs=8, lr=0.005, batch_size=32, progress=False, save=name.replace(" ", "_"))
    logits[name] = predict(other, reviews.test.encode(vocabulary))
plot.by_phenomenon(reviews.test, logits)

# %%
plot.most_wrong(
    reviews.test.texts,
    reviews.test.y,
    logits["BERT"].softmax(1),
    reviews.classes,
    phenomena=reviews.test.phenomena,
    n=8,
)

# %% [markdown] lang="en"
# Read them one by one. Could *you* say it without having eaten there? Is it a word that misleads, or is something to be known about the world? Then
# write some reviews of your own that the model gets wrong. What have they in common?

# %% [markdown] lang="zh"
# 一条一条地读。没去那里吃过，*你*看得出来吗？是被某个词带偏了，还是需要知道一些世上的常识？再自己写几条让模型答错的评论。它们有什么共同点？

# %%
own = [
    "The food was good, not bad at all.",
    "The food was bad, not good at all.",
    "I can't say that I liked it.",
    "I have had worse. Once. In hospital.",
]
positive = predict(model, TextSplit(own, torch.zeros(len(own))).encode(wordpieces)).softmax(1)[:, 1]
for text, p in zip(own, positive.tolist(), strict=True):
    print(f"{p:6.1%} positive: {text}")

# %% [markdown] lang="en"
# ## 7 Other questions, the same encoder
#
# *Lecture:* there are four ways to use BERT; what changes is the head.
#
# 1. One text, one class: what you have just done.
# 2. One text, a class for **each token**: slot filling.
# 3. Two texts, one class: does the second follow from the first? They go in as `[CLS] first [SEP] second [SEP]`; the head is that of case 1.
# 4. A question and a text, the answer is a **part of the text**: two numbers, where it begins and where it ends.
#
# **Case 2.** "Play *the unwatchable truth* on *monday*": for an assistant each word has a label, here `O` (outside), `B-film` and `I-film` (a film
# begins, goes on) and `B-day`. But BERT reads pieces, and "unwatchable" has three of them.

# %% [markdown] lang="zh"
# ## 7 换个问题，还是这个编码器
#
# *课上的例子：* BERT 有四种用法，变的只是头。
#
# 1. 一段文本，一个类别：刚刚做过。
# 2. 一段文本，**每个词元**一个类别：槽位填充。
# 3. 两段文本，一个类别：由第一句能推出第二句吗？输入写成 `[CLS] 第一段 [SEP] 第二段 [SEP]`，头和第 1 种一样。
# 4. 一个问题加一段文本，答案是**文本中的一个片段**（span）：用两个数表示从哪里开始、到哪里结束。
#
# **第 2 种。** “Play *the unwatchable truth* on *monday*”（周一播放《看不下去的真相》）：对语音助手来说，每个词有一个标签，这里是 `O`（不属于任何槽位）、`B-film` 和 `I-film`（片名的开头和后续）、`B-day`。
# 可 BERT 读的是子词，“unwatchable”有三个子词。

# %% [markdown] lang="en" about="align_labels"
# Write `align_labels(word_of, labels)`. `labels` has the number of each word's label, `word_of` says for each token of the input to which word it
# belongs: `None` for special tokens and padding. The first piece of a word gets the word's label, everything else -100, so that every word counts
# once. Some words have no piece (they were cut off at the end, or consist of characters that were dropped); their labels are not used.

# %% [markdown] lang="zh" about="align_labels"
# 请写出 `align_labels(word_of, labels)`。`labels` 是每个词的标签编号，`word_of` 说明输入里的每个词元属于第几个词，特殊词元和填充为 `None`。每个词的第一个子词得到这个词的标签，
# 其余一律 -100，这样每个词只算一次。有的词没有子词（在末尾被截掉了，或者由被丢弃的字符组成），它们的标签就用不上。


# %% exercise="align_labels"
def align_labels(word_of: list[int | None], labels: list[int]) -> list[int]:
    """One label for each token, -100 where none is to be learned.

    >>> align_labels([None, 0, 1, 1, None], [4, 7])
    [-100, 4, 7, -100, -100]
    """
    ### BEGIN SOLUTION
    before = [None, *word_of[:-1]]
    return [
        -100 if word is None or word == last else labels[word]
        for word, last in zip(word_of, before, strict=True)
    ]
    ### END SOLUTION


# %% check="align_labels" points=1 hidden=1

# %%
request = ["play", "the", "unwatchable", "truth", "on", "monday"]
slots = ["O", "B-film", "I-film", "I-film", "O", "B-day"]
classes = sorted(set(slots))
cut = [wordpieces.tokenize(word) for word in request]
tokens = ["[CLS]", *(piece for word in cut for piece in word), "[SEP]"]
word_of = [None, *(i for i, word in enumerate(cut) for _ in word), None]
for token, label in zip(tokens, align_labels(word_of, [classes.index(s) for s in slots]), strict=True):
    print(f"{token:>9}  {classes[label] if label >= 0 else ''}")

# %% [markdown] lang="en"
# **Case 4.** The answer is $\{d_s, \dots, d_e\}$. *Lecture:* "In meteorology, precipitation is any product of the condensation of atmospheric water
# vapor that falls under gravity." What causes precipitation to fall? "gravity", $s = e = 17$, words counted from 1. Is it? The cell counts. And
# where do drops collide with ice crystals? "within a cloud": there the numbers depend on how much of the paragraph there is and on how words are
# counted. Never just trust a number that you can compute.

# %% [markdown] lang="zh"
# **第 4 种。** 答案是 $\{d_s, \dots, d_e\}$。*课上的例子：* “In meteorology, precipitation is any product of the condensation of atmospheric water vapor that falls under gravity.”
# （在气象学中，降水是大气中水汽凝结后在重力作用下落下的任何产物。）是什么让降水落下来？“gravity”，$s = e = 17$，词从 1 数起。真是这样吗？下面数一数。
# 再看另一个问题：水滴在哪里和冰晶相撞？答案是“within a cloud”，它的编号取决于给出了多长的文字、怎样数词。能自己算的数，就自己算一遍。

# %%
paragraph = (  # P. Rajpurkar et al. (2016), "SQuAD", figure 1; from Wikipedia, CC BY-SA
    "In meteorology, precipitation is any product of the condensation of atmospheric water vapor that falls under "
    "gravity. The main forms of precipitation include drizzle, rain, sleet, snow, graupel and hail... Precipitation "
    "forms as smaller droplets coalesce via collision with other rain drops or ice crystals within a cloud."
)
for part in ("gravity", "within a cloud"):
    print(f"{part}: s, e = {word_span(paragraph, part)}")

# %% [markdown] lang="en" about="best_span"
# A head for spans gives every token two logits: that the answer begins here, and that it ends here. Write `best_span(start, end, first, max_length)`,
# which finds the pair $(s, e)$ with the largest `start[s] + end[e]` among those that are an answer: $s \le e$, at most `max_length` tokens, and
# inside the text, which begins at token `first` (before it stands the question). Tokens are counted from 0, as Python does; `e` is the last token of
# the answer itself.

# %% [markdown] lang="zh" about="best_span"
# 用来找片段的头给每个词元两个 logits：答案从这里开始，答案到这里结束。请写出 `best_span(start, end, first, max_length)`，在合格的答案里找出 `start[s] + end[e]` 最大的一对 $(s, e)$：
# $s \le e$，至多 `max_length` 个词元，并且落在正文里（正文从第 `first` 个词元开始，前面是问题）。词元按 Python 的习惯从 0 数起；`e` 就是答案的最后一个词元。


# %% exercise="best_span"
def best_span(start: torch.Tensor, end: torch.Tensor, first: int, max_length: int) -> tuple[int, int]:
    """First and last token of the best answer.

    Args:
        start, end: logits of each token, shape (T,) each.
        first: where the text begins.
        max_length: most tokens of an answer.
    """
    ### BEGIN SOLUTION
    spans = [(s, e) for s in range(first, len(start)) for e in range(s, min(s + max_length, len(end)))]
    return max(spans, key=lambda span: float(start[span[0]] + end[span[1]]))
    ### END SOLUTION


# %% check="best_span" points=1 hidden=1

# %% [markdown] lang="en"
# ## 8 In Chinese (optional)
#
# MiniLM knows next to no Chinese. Below, a small LSTM reads reviews in Chinese character by character, beginning from nothing. If `bert-base-chinese`
# is on your computer, put its name in the first line: then its head learns, and the encoder stays as it is. (For a GPU: leave out `freeze`, and set
# the learning rate to 0.00003.)

# %% [markdown] lang="zh"
# ## 8 换成中文（选做）
#
# MiniLM 几乎不懂中文。下面让一个小小的 LSTM 逐字读中文评论，从零学起。如果你的电脑上有 `bert-base-chinese`（`coursekit data get bert-base-chinese` 可以下载），就把它的名字写进第一行：
# 那么编码器保持不变，只有头在学。（有 GPU 的话，可以去掉 `freeze`，学习率设为 0.00003。）

# %%
chinese_encoder = None  # "bert-base-chinese"
chinese = load("reviews_zh")
torch.manual_seed(0)
if chinese_encoder:
    in_pieces = chinese.encode(load_wordpieces(chinese_encoder))
    reader = get_model("bert_sentence", encoder=chinese_encoder, num_classes=2, pooling="mean")
    fit(
        reader, in_pieces, epochs=5, lr=0.005, batch_size=32, freeze="encoder", progress=False, save="chinese"
    )
else:
    letters = chinese.vocabulary(level="char", min_count=2)
    in_pieces = chinese.encode(letters)
    reader = get_model("lstm", vocab_size=len(letters), embedding_dim=32, hidden_size=64, pooling="mean")
    fit(reader, in_pieces, epochs=6, lr=0.005, batch_size=32, progress=False, save="chinese")
print(f"{evaluate(reader, in_pieces.test).accuracy:.1%} of the Chinese test reviews right")

# %% [markdown] lang="en"
# ## 9 BERT and GPT
#
# Both are made of the layers that you have built. **BERT** (October 2018; its large version has 340 million weights) is an *encoder*: every token
# looks at all others, left and right, and it is trained to fill gaps. That makes good vectors for a text that is there already, but it cannot simply
# write on. **GPT** (the first one: June 2018, 117 million weights) is a *decoder*: a token may look at those before it only, which is one more mask
# in your `attention`, and it is trained to say the next word, like the writer of the sequence lab. So it can write; and whoever can go on with any
# text can be *asked* for a class: "Review: ... Is it positive or negative?"

# %% [markdown] lang="zh"
# ## 9 BERT 与 GPT
#
# 两者都由你刚才写的那种层搭成。**BERT**（2018 年 10 月；大号的有 3.4 亿个权重）是*编码器*：每个词元都能看左右两边所有的词元，训练的任务是填空。
# 它能给现成的文本算出很好的向量，但不能直接接着往下写。**GPT**（第一代：2018 年 6 月，1.17 亿个权重）是*解码器*：每个词元只许看它前面的，也就是在你的 `attention` 里再加一个掩码；
# 训练的任务是说出下一个词，和“序列”实验里那个会写字的网络一样。所以它会写；而能把任何文本接着写下去的模型，也就可以直接*问*它类别：“评论：……这是好评还是差评？”

# %% [markdown] lang="en"
# ### In your own words
#
# In five to ten sentences (2 points, read by a person):
#
# 1. Is "bank" in "blood bank" a third sense? Argue with the numbers that you measured in section 4, and say what they cannot decide.
# 2. Where is your BERT better than the bag of words and the LSTM, and where is it not? Name one kind of review of each sort (by the figure of section
#    6, with a glance at the intervals) and one wrong answer that you have read, and say why it may be so.

# %% [markdown] lang="zh"
# ### 用自己的话说
#
# 请用五到十句话回答（2 分，由老师评阅）：
#
# 1. “blood bank”里的“bank”是第三个意思吗？请用你在第 4 节测到的数来论证，并说明这些数决定不了什么。
# 2. 你的 BERT 在什么地方比词袋和 LSTM 强，在什么地方并不强？根据第 6 节的图（也看一眼置信区间）各举一类评论，再举一条你读过的答错的评论，说说可能是什么原因。

# %% [markdown] written="third_sense" points=2
# The two money banks have a cosine of 0.86 and the two river banks one of 0.91; money against river it is 0.79 on the average. The blood bank has 0.76
# with the money banks and 0.85 with the river banks. So it is nearer to the river, yet less alike to it than the two river banks are to each other, and
# that speaks for a group of its own. It does not decide it. One sentence is no group; no value of the cosine says where a new sense begins; and the
# vectors hold other things, too: "river bank" and "blood bank" are both a noun with a noun before it, which may be why they are near. By its meaning
# a blood bank is a place where something is kept, as the first is. Eye banks and data banks would have to be measured as well.
# On contrast BERT has 89% right and the bag of words 62%; the intervals do not touch. What comes after "but" counts, and it has learned that. On
# negation it is 70% against 73%, and on sarcasm, with 31 reviews, 61% against 74%: there the intervals overlap widely, and nothing is shown. "The grief
# is never milked, the laughter is never canned" is called negative with 98%. Every word in it sounds bad, both negations have to be undone, and one has to
# know what canned laughter is.
#
# 两个“银行”的余弦是 0.86，两个“河岸”是 0.91；银行与河岸之间平均 0.79。血库与银行是 0.76，与河岸是 0.85。所以它离河岸近一些，但又不如两个河岸彼此那么像，这支持它自成一类。
# 但这还不能下定论：一句话算不上一类；余弦没有哪个值说明“从这里起是新的意思”；向量里还有别的东西，“river bank”和“blood bank”都是名词前面加名词，也许正因为这样才挨得近。
# 按意思来说，血库是存放东西的地方，和第一种相近。还应当再量一量眼库、数据库。
# 在转折类评论上，BERT 对了 89%，词袋 62%，置信区间不相交：它学会了“but”后面的才算数。在否定类上是 70% 对 73%；反讽只有 31 条，61% 对 74%，区间大幅重叠，说明不了什么。
# “The grief is never milked, the laughter is never canned”（不煽情，也不用罐头笑声）以 98% 被判成差评：每个词听起来都不好，两个否定都要翻转过来，还得知道“罐头笑声”是什么。
#
# === BEGIN MARK SCHEME ===
# - 1 point: a clear position on the blood bank, supported by at least two of one's own numbers that are compared with each other, and one thing that they cannot decide (one sentence, no
#   threshold, other things in the vector). Any position will do. Half without numbers or without the limit.
# - 1 point: one kind of review where BERT is better and one where it is not (or where the intervals leave it open), and one wrong answer with a plausible reason (world knowledge,
#   irony, a misleading word, few examples). Half for one of the two.
#
# - 1 分：对血库有明确的看法，用至少两个自己测到的、相互比较的数来支持，并指出一件它们决定不了的事（只有一句话、没有界线、向量里还有别的东西）。持哪种看法都可以。没有数，或没有指出局限，得一半。
# - 1 分：举出一类 BERT 更强的评论，一类并不更强（或置信区间无法判断）的评论，以及一条答错的评论和合理的原因（常识、反讽、误导的词、样本太少）。只有其一，得一半。
# === END MARK SCHEME ===

# %% [markdown] lang="en"
# ## What you have learned
#
# - Word pieces leave almost no word unknown. `[CLS]`, `[SEP]`, segments and a mask tell BERT what is what.
# - Attention: dot products divided by $\sqrt d$, padding masked, a softmax, and with its weights a mixture of the values. Heads look for different
#   things side by side.
# - The vector of a token depends on its sentence. How alike two are can be measured; what it means has to be argued.
# - From hidden words a network learns without labels. The loss counts the chosen places only.
# - Fine-tuning: a new head, a low learning rate for what is old, training mode to learn and evaluation mode to judge.
# - Four cases, one encoder; what differs is the head and how labels meet pieces.
#
# **Where to go on.** Cut the two top layers off, `model.encoder.layers = model.encoder.layers[:4]`: is it worse? Draw how the accuracy grows with
# 100, 200, 400, 800 training reviews, for BERT and for the bag of words. Train `get_model("bert_token", ...)` on `load("snips")`, or
# `get_model("bert_span", ...)` on `load("xquad_en")`. The lab on language models takes the other road: GPT.

# %% [markdown] lang="zh"
# ## 你学到了什么
#
# - 用子词，几乎没有词是未知的。`[CLS]`、`[SEP]`、段和掩码告诉 BERT 什么是什么。
# - 注意力：内积除以 $\sqrt d$，遮住填充，做 softmax，再用得到的权重把值加权求和。多个头同时找不同的东西。
# - 词元的向量取决于它所在的句子。两个向量有多像可以测量，意味着什么则要论证。
# - 把词遮起来，网络不用标签也能学。损失只算选中的位置。
# - 微调：新的头，旧的部分用小学习率；学习时用训练模式，评估时用评估模式。
# - 四种用法，一个编码器；不同的是头，以及标签怎样对上子词。
#
# **接下来可以试试：** 去掉最上面的两层，`model.encoder.layers = model.encoder.layers[:4]`：会变差吗？画出准确率怎样随 100、200、400、800 条训练评论增长，BERT 和词袋各画一条。
# 用 `load("snips")` 训练 `get_model("bert_token", ...)`，或者用 `load("xquad_en")` 训练 `get_model("bert_span", ...)`。“语言模型”那个实验走的是另一条路：GPT。
