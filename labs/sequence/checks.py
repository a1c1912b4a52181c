"""The exercises of the lab `sequence`: inputs, comparisons, misconceptions and variants."""

import numpy as np

from coursekit.check.exercise import Accuracy, Equal, Exercise, Misconception, Rules
from coursekit.check.tree import Tree
from coursekit.data.same_bag import same_bag_pairs

# What is ready-made in torch, and the doors to it.
READY_MADE = (
    "coursekit.models",
    "coursekit.train",
    *(
        f"torch.nn.{name}{kind}"
        for name in ("RNN", "GRU", "LSTM")
        for kind in ("", "Cell", "Base", "CellBase")
    ),
    *(f"torch.{name}" for name in ("rnn_tanh", "rnn_relu", "rnn_tanh_cell", "rnn_relu_cell")),
    *(f"torch.{name}" for name in ("gru", "gru_cell", "lstm", "lstm_cell")),
    "torch.nn.modules",
    "torch.ops",
    "torch._C",
    "torch._VF",
)
BY_HAND = Rules(forbid=READY_MADE)
NO_AUTOGRAD = Rules(
    forbid=(
        *READY_MADE,
        "torch.autograd",
        "torch.func",
        ".backward",
        ".requires_grad",
        ".requires_grad_",
    )
)

# The sentences of the lecture (CURRICULUM, `sequence`).
PRAISE = ["the", "food", "was", "good", ",", "not", "bad", "at", "all", "."]
BLAME = ["the", "food", "was", "bad", ",", "not", "good", "at", "all", "."]


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Numbers of a normal distribution with two decimals, which read well in a message."""
    return (rng.standard_normal(shape) * scale).round(2).astype(np.float32)


def away_from_zero(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers of both signs, none of which is small enough to go unnoticed."""
    return (rng.uniform(0.3, 1.2, shape) * rng.choice([-1, 1], shape)).round(2).astype(np.float32)


# --- 1 bag_of_words ---------------------------------------------------------------------------------------------------

KNOWN = ("not", "nothing", "bad", "badly", "good", "food", "film", "was", "the", "at", "all", ",")
UNKNOWN = ("waiter", "notable", "soup", "actor", "goodness", "plot")


def draw_words(rng: np.random.Generator, unknown: int) -> dict[str, Tree]:
    """A text with words that come twice, and words of which others are a part ("not" in "nothing")."""
    others = rng.choice([word for word in KNOWN if word not in ("not", "nothing")], 7, replace=False)
    vocabulary = rng.permutation(["not", "nothing", *others]).tolist()
    twice = str(rng.choice(others))
    tokens = ["not", "not", "nothing", twice, twice, *rng.choice(others, int(rng.integers(2, 5)))]
    tokens += rng.choice(UNKNOWN, unknown, replace=False).tolist()
    return {"tokens": [str(word) for word in rng.permutation(tokens)], "vocabulary": vocabulary}


def draw_known(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_words(rng, 0)


def draw_unknown(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_words(rng, int(rng.integers(1, 4)))


VOCABULARY = sorted(set(PRAISE))

BAG_OF_WORDS = Exercise(
    name="bag_of_words",
    title={"en": "A bag of words", "zh": "词袋"},
    difficulty=1,
    minutes=5,
    draw={"known words": draw_known, "unknown words": draw_unknown},
    groups={"known words": {"zh": "全是词表里的词"}, "unknown words": {"zh": "有词表之外的词"}},
    examples={
        "known words": [
            {"tokens": PRAISE, "vocabulary": VOCABULARY},
            {"tokens": BLAME, "vocabulary": VOCABULARY},
        ]
    },
    compare=Equal(),
    rules=Rules(forbid=("coursekit.models", "coursekit.train", "sklearn")),
    variants=(
        """
def bag_of_words(tokens, vocabulary):
    return [tokens.count(word) for word in vocabulary]
""",
        """
def bag_of_words(tokens, vocabulary):
    from collections import Counter
    found = Counter(tokens)
    return torch.tensor([float(found[word]) for word in vocabulary])
""",
        """
def bag_of_words(tokens, vocabulary):
    places = torch.tensor([vocabulary.index(token) for token in tokens if token in vocabulary])
    return torch.bincount(places, minlength=len(vocabulary))
""",
    ),
    misconceptions=(
        Misconception(
            "present_or_not",
            """
def bag_of_words(tokens, vocabulary):
    return torch.tensor([int(word in tokens) for word in vocabulary])
""",
            {
                "en": 'Your numbers say whether a word is there, 0 or 1. A bag keeps how often it is there: two times "not" are 2.',
                "zh": "你的数只说明这个词有没有出现（0 或 1）。词袋还要记住出现了几次：两个“not”就是 2。",
            },
        ),
        Misconception(
            "part_of_a_word",
            """
def bag_of_words(tokens, vocabulary):
    text = " ".join(tokens)
    return torch.tensor([text.count(word) for word in vocabulary])
""",
            {
                "en": 'You count letters, not words: "nothing" counts for "not" as well. Compare whole tokens.',
                "zh": "你数的是字母串，不是词：“nothing”也被算进了“not”。应当比较完整的词。",
            },
        ),
        Misconception(
            "share_of_the_text",
            """
def bag_of_words(tokens, vocabulary):
    return torch.tensor([tokens.count(word) / len(tokens) for word in vocabulary])
""",
            {
                "en": "Your numbers are divided by the length of the text: shares, not counts. Here the plain counts are asked for.",
                "zh": "你的数都除以了文本长度：那是比例，不是次数。这里要的是次数本身。",
            },
        ),
        Misconception(
            "one_row_a_token",
            """
def bag_of_words(tokens, vocabulary):
    return torch.tensor([[int(word == token) for word in vocabulary] for token in tokens])
""",
            {
                "en": "You have one row for every token (one-hot vectors), so the order is still in it. A bag is the sum of these rows: one number for each word of the vocabulary.",
                "zh": "你给每个词都留了一行（独热向量），次序还在里面。词袋是这些行的和：词表里每个词一个数。",
            },
        ),
        Misconception(
            "alphabetical_order",
            """
def bag_of_words(tokens, vocabulary):
    return torch.tensor([tokens.count(word) for word in sorted(vocabulary)])
""",
            {
                "en": "The counts are right but stand in alphabetical order. They must stand in the order of `vocabulary`, else nobody knows which number belongs to which word.",
                "zh": "次数都对，但排成了字母顺序。应当按 `vocabulary` 的次序排，否则不知道哪个数属于哪个词。",
            },
        ),
        Misconception(
            "unknown_is_first_word",
            """
def bag_of_words(tokens, vocabulary):
    place = {word: i for i, word in enumerate(vocabulary)}
    counts = torch.zeros(len(vocabulary))
    for token in tokens:
        counts[place.get(token, 0)] += 1
    return counts
""",
            {
                "en": "Words that are not in the vocabulary are counted for its first word. They are to be left out.",
                "zh": "词表之外的词都被算到了词表的第一个词头上。它们应当略去。",
            },
        ),
        Misconception(
            "stops_at_unknown_word",
            """
def bag_of_words(tokens, vocabulary):
    counts = torch.zeros(len(vocabulary))
    for token in tokens:
        counts[vocabulary.index(token)] += 1
    return counts
""",
            {
                "en": "Right while every word is in the vocabulary. For another word `index` stops with an error; such words are to be left out.",
                "zh": "词都在词表里时是对的。遇到词表之外的词，`index` 会报错；这样的词应当略去。",
            },
        ),
    ),
    hints=(
        {
            "en": "A list can count: `tokens.count(word)`. For which words do you need it, and in which order?",
            "zh": "列表自己会数：`tokens.count(word)`。要对哪些词数？按什么次序？",
        },
    ),
)


# --- 2 rnn_step -------------------------------------------------------------------------------------------------------


def draw_weights(rng: np.random.Generator, inputs: int, hidden: int) -> dict[str, Tree]:
    """Weights of a plain recurrent layer that leave tanh neither linear nor saturated."""
    return {
        "W_xh": normal(rng, hidden, inputs, scale=0.6),
        "W_hh": normal(rng, hidden, hidden, scale=0.6),
        "b": away_from_zero(rng, hidden),
    }


def draw_step(rng: np.random.Generator, inputs: int, hidden: int) -> dict[str, Tree]:
    batch = 2 if inputs == 3 else 3  # unlike the other sizes
    return {
        "x": normal(rng, batch, inputs),
        "h": normal(rng, batch, hidden, scale=0.6),
        **draw_weights(rng, inputs, hidden),
    }


def draw_two_sizes(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_step(rng, *rng.permutation([2, 4]).tolist())


def draw_one_size(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_step(rng, 3, 3)


def step(value: str) -> str:
    return f"""
def rnn_step(x, h, W_xh, W_hh, b):
    return {value}
"""


RNN_STEP = Exercise(
    name="rnn_step",
    title={"en": "One step of a recurrent network", "zh": "循环网络的一步"},
    difficulty=1,
    minutes=10,
    draw={"D and H differ": draw_two_sizes, "D = H": draw_one_size},
    groups={"D and H differ": {"zh": "D 与 H 不同"}},
    rules=BY_HAND,
    variants=(
        step("torch.tanh(F.linear(x, W_xh, b) + F.linear(h, W_hh))"),
        step("torch.tanh(torch.cat([x, h], 1) @ torch.cat([W_xh, W_hh], 1).T + b)"),
        step('(torch.einsum("bd,hd->bh", x, W_xh) + torch.einsum("bk,hk->bh", h, W_hh) + b).tanh()'),
    ),
    misconceptions=(
        Misconception(
            "tanh_forgotten",
            step("x @ W_xh.T + h @ W_hh.T + b"),
            {
                "en": "The sum is right, but it is the whole step: the tanh around it is missing. Without it the state is not kept between -1 and 1, and many steps are no more than one linear map.",
                "zh": "求和是对的，但外面少了 tanh。没有它，状态不会保持在 -1 和 1 之间，许多步合起来也只是一个线性变换。",
            },
        ),
        Misconception(
            "sigmoid_for_tanh",
            step("torch.sigmoid(x @ W_xh.T + h @ W_hh.T + b)"),
            {
                "en": "You get what a sigmoid gives: all values lie between 0 and 1. The state of this network goes through tanh.",
                "zh": "你的结果恰好是用 sigmoid 得到的：所有值都在 0 和 1 之间。这里的状态要经过 tanh。",
            },
        ),
        Misconception(
            "recurrent_weights_transposed",
            step("torch.tanh(x @ W_xh.T + h @ W_hh + b)"),
            {
                "en": "`W_hh` is used the wrong way round. It is square, so no error tells you: row j holds the weights that lead to unit j, just as in `W_xh`.",
                "zh": "`W_hh` 用反了方向。它是方阵，所以不会报错：第 j 行是通向第 j 个单元的权重，和 `W_xh` 一样。",
            },
        ),
        Misconception(
            "input_weights_transposed",
            step("torch.tanh(x @ W_xh + h @ W_hh.T + b)"),
            {
                "en": "`W_xh` is used the wrong way round: it has shape `(H, D)`, one row for each hidden unit. Where D and H differ PyTorch stops you, where they are equal nothing does.",
                "zh": "`W_xh` 用反了方向：它的形状是 `(H, D)`，每个隐藏单元一行。D 与 H 不同时 PyTorch 会报错，相同时就不会。",
            },
        ),
        Misconception(
            "both_transposed",
            step("torch.tanh(x @ W_xh + h @ W_hh + b)"),
            {
                "en": "Both matrices are used the wrong way round. In both a row belongs to one hidden unit of the new state; a batch has its examples in rows, so the matrix has to be turned.",
                "zh": "两个矩阵都用反了方向。它们的每一行都属于新状态的一个隐藏单元；而批量的每一行是一个样本，所以矩阵要转置。",
            },
        ),
        Misconception(
            "bias_forgotten",
            step("torch.tanh(x @ W_xh.T + h @ W_hh.T)"),
            {
                "en": "You get exactly what the step gives without its bias `b`.",
                "zh": "你的结果恰好是没有加偏置 `b` 的结果。",
            },
        ),
        Misconception(
            "bias_outside",
            step("torch.tanh(x @ W_xh.T + h @ W_hh.T) + b"),
            {
                "en": "The bias is added after the tanh. It belongs inside: it shifts the sum before it is bent.",
                "zh": "偏置加在了 tanh 之后。它应当在里面：先平移总和，再做 tanh。",
            },
        ),
        Misconception(
            "two_tanh",
            step("torch.tanh(x @ W_xh.T) + torch.tanh(h @ W_hh.T + b)"),
            {
                "en": "Input and state each go through a tanh of their own. Add them first; there is one tanh, around the whole sum.",
                "zh": "输入和状态各自做了一次 tanh。应当先相加：只有一个 tanh，套在整个和的外面。",
            },
        ),
        Misconception(
            "old_state_ignored",
            step("torch.tanh(x @ W_xh.T + b)"),
            {
                "en": "The old state `h` makes no difference to your result: this is an ordinary layer. It is `h` and `W_hh` that make the network remember.",
                "zh": "旧状态 `h` 对你的结果没有影响：这只是一个普通的层。正是 `h` 和 `W_hh` 让网络有了记忆。",
            },
        ),
    ),
    hints=(
        {
            "en": "Look at the shapes: `x` is $(B, D)$ and `W_xh` is $(H, D)$; the result is $(B, H)$. `@` multiplies matrices, `.T` turns one.",
            "zh": "看形状：`x` 是 $(B, D)$，`W_xh` 是 $(H, D)$，结果是 $(B, H)$。`@` 是矩阵乘法，`.T` 是转置。",
        },
        {
            "en": "The bias has shape $(H,)$ and is added to every row by itself (broadcasting).",
            "zh": "偏置的形状是 $(H,)$，会自动加到每一行上（广播）。",
        },
    ),
)


# --- 3 rnn_forward ----------------------------------------------------------------------------------------------------


def draw_unrolled(rng: np.random.Generator, batch: int, steps: int) -> dict[str, Tree]:
    inputs, hidden = 2, 4
    return {
        "X": normal(rng, batch, steps, inputs),
        "h0": away_from_zero(rng, batch, hidden),
        **draw_weights(rng, inputs, hidden),
    }


def draw_short(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_unrolled(rng, 2, 1)


def draw_long(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_unrolled(rng, 3, int(rng.integers(5, 7)))


def draw_square_batch(rng: np.random.Generator) -> dict[str, Tree]:
    size = int(rng.integers(3, 5))
    return draw_unrolled(rng, size, size)


def forward(body: str) -> str:
    return f"""
def rnn_forward(X, h0, W_xh, W_hh, b):
    B, T, D = X.shape
    h, states = h0, []
{body}
"""


RNN_FORWARD = Exercise(
    name="rnn_forward",
    title={"en": "Unrolled in time", "zh": "沿时间展开"},
    difficulty=1,
    minutes=10,
    draw={"several steps": draw_long, "a single step": draw_short, "B = T": draw_square_batch},
    groups={"several steps": {"zh": "多步"}, "a single step": {"zh": "只有一步"}},
    cases=2,
    rules=BY_HAND,
    needs=("rnn_step",),
    variants=(
        forward("""
    out = torch.empty(B, T, h0.shape[1])
    for t in range(T):
        h = torch.tanh(X[:, t] @ W_xh.T + h @ W_hh.T + b)
        out[:, t] = h
    return out
"""),
        forward("""
    for x in X.unbind(1):
        h = rnn_step(x, h, W_xh, W_hh, b)
        states.append(h)
    return torch.stack(states).transpose(0, 1)
"""),
        forward("""
    from_inputs = X @ W_xh.T + b  # of all steps at once
    for t in range(T):
        states.append(torch.tanh(from_inputs[:, t] + (states[-1] if states else h0) @ W_hh.T))
    return torch.stack(states, dim=1)
"""),
    ),
    misconceptions=(
        Misconception(
            "state_not_carried_on",
            forward("""
    return torch.stack([rnn_step(X[:, t], h0, W_xh, W_hh, b) for t in range(T)], 1)
"""),
            {
                "en": "The first state is right, but every later step starts from `h0` again, so the network never remembers more than one word. The state that comes out of a step goes into the next.",
                "zh": "第一个状态是对的，但之后每一步又从 `h0` 开始，网络永远只记得一个词。一步输出的状态要送进下一步。",
            },
        ),
        Misconception(
            "state_not_reset",
            forward("""
    h = h0[:1]
    for i in range(B):
        for t in range(T):
            h = rnn_step(X[i : i + 1, t], h, W_xh, W_hh, b)
            states.append(h)
    return torch.cat(states).view(B, T, -1)
"""),
            {
                "en": "The first sequence is right. The others begin with the state in which the one before ended: the state is not reset. Each sequence of the batch starts from its own row of `h0`.",
                "zh": "第一个序列是对的。后面的序列却从前一个序列结束时的状态接着走：状态没有重置。批量里每个序列都从 `h0` 中自己的那一行开始。",
            },
        ),
        Misconception(
            "starts_from_zero",
            forward("""
    h = torch.zeros_like(h0)
    for t in range(T):
        h = rnn_step(X[:, t], h, W_xh, W_hh, b)
        states.append(h)
    return torch.stack(states, 1)
"""),
            {
                "en": "You start from a state of zeros. Often that is the choice, but here the start `h0` is given.",
                "zh": "你从全零的状态开始。平时常常如此，但这里给定了初始状态 `h0`。",
            },
        ),
        Misconception(
            "last_state_only",
            forward("""
    for t in range(T):
        h = rnn_step(X[:, t], h, W_xh, W_hh, b)
    return h
"""),
            {
                "en": "You return the last state alone, `(B, H)`. The states of all steps are asked for, `(B, T, H)`.",
                "zh": "你只返回了最后一个状态 `(B, H)`。题目要的是所有时间步的状态 `(B, T, H)`。",
            },
        ),
        Misconception(
            "start_is_among_them",
            forward("""
    states.append(h)
    for t in range(T):
        h = rnn_step(X[:, t], h, W_xh, W_hh, b)
        states.append(h)
    return torch.stack(states, 1)
"""),
            {
                "en": "You have one state too many: `h0` stands in front. It is where the network starts; the first state asked for is the one after the first word.",
                "zh": "多了一个状态：`h0` 也放了进去。它是出发点；要返回的第一个状态，是读完第一个词之后的状态。",
            },
        ),
        Misconception(
            "state_before_the_step",
            forward("""
    for t in range(T):
        states.append(h)
        h = rnn_step(X[:, t], h, W_xh, W_hh, b)
    return torch.stack(states, 1)
"""),
            {
                "en": "You keep the state before each step, so `h0` comes first and the last state is missing. Make the step first, then keep what came out.",
                "zh": "你保存的是每一步之前的状态：`h0` 排在最前，最后一个状态却丢了。请先走一步，再保存得到的状态。",
            },
        ),
        Misconception(
            "cat_for_stack",
            forward("""
    for t in range(T):
        h = rnn_step(X[:, t], h, W_xh, W_hh, b)
        states.append(h)
    return torch.cat(states, 1)
"""),
            {
                "en": "`torch.cat` joins along an axis that is there already: you get `(B, T * H)`. `torch.stack` makes a new axis for the time.",
                "zh": "`torch.cat` 沿已有的轴拼接，得到的是 `(B, T * H)`。`torch.stack` 会为时间新建一个轴。",
            },
        ),
        Misconception(
            "time_axis_first",
            forward("""
    for t in range(T):
        h = rnn_step(X[:, t], h, W_xh, W_hh, b)
        states.append(h)
    return torch.stack(states)
"""),
            {
                "en": "The values are right, but the axes stand as (time, batch, unit). Stack the states along axis 1, so that the batch comes first.",
                "zh": "数值都对，但轴的次序成了（时间，批量，单元）。请沿第 1 轴（`dim=1`）堆叠，让批量排在最前面。",
            },
        ),
        Misconception(
            "steps_through_the_batch",
            forward("""
    for x in X:
        h = rnn_step(x, h, W_xh, W_hh, b)
        states.append(h)
    return torch.stack(states)
"""),
            {
                "en": "Your loop walks along the batch: `X[t]` is the whole sequence number t. Step t of all sequences is `X[:, t]`. Where B and T are equal, no error tells you.",
                "zh": "你的循环走的是批量那个轴：`X[t]` 是第 t 个完整的序列。所有序列的第 t 步是 `X[:, t]`。B 与 T 相等时不会报错。",
            },
        ),
        Misconception(
            "backwards",
            forward("""
    for t in reversed(range(T)):
        h = rnn_step(X[:, t], h, W_xh, W_hh, b)
        states.insert(0, h)
    return torch.stack(states, 1)
"""),
            {
                "en": "You read from the last word to the first. A bidirectional network does that as well; here we read forwards.",
                "zh": "你是从最后一个词往前读的。双向网络里也有这样的一半；这里要从前往后读。",
            },
        ),
    ),
    hints=(
        {
            "en": "`X[:, t]` is step $t$ of all sequences of the batch, shape $(B, D)$. Keep the state in a variable, and call `rnn_step` once for each $t$.",
            "zh": "`X[:, t]` 是批量中所有序列的第 $t$ 步，形状 $(B, D)$。把状态放在一个变量里，对每个 $t$ 调用一次 `rnn_step`。",
        },
        {
            "en": "Collect the states in a list; `torch.stack(states, dim=1)` puts them side by side with the time as axis 1.",
            "zh": "把各步的状态收进一个列表；`torch.stack(states, dim=1)` 把它们排在一起，时间是第 1 轴（轴从 0 数起）。",
        },
    ),
)


# --- 4 bptt -----------------------------------------------------------------------------------------------------------


def draw_gradient(rng: np.random.Generator, steps: int) -> dict[str, Tree]:
    inputs = draw_unrolled(rng, 3, steps)
    return {**inputs, "grad_h": away_from_zero(rng, 3, 4)}


def draw_one_back(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_gradient(rng, 1)


def draw_many_back(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_gradient(rng, int(rng.integers(3, 6)))


def back(
    slope: str = "1 - H[:, t] ** 2",
    before: str = "H[:, t - 1] if t else h0",
    pass_on: str = "grad_h = delta @ W_hh",
    times: str = "reversed(range(T))",
    result: str = "dW_xh, dW_hh, db",
) -> str:
    """A `bptt` that is right but for the arguments given."""
    return f"""
def bptt(X, h0, W_xh, W_hh, b, grad_h):
    H = rnn_forward(X, h0, W_xh, W_hh, b)
    B, T = X.shape[:2]
    given = grad_h
    dW_xh, dW_hh, db = torch.zeros_like(W_xh), torch.zeros_like(W_hh), torch.zeros_like(b)
    for t in {times}:
        delta = grad_h * ({slope})
        dW_xh = dW_xh + delta.T @ X[:, t]
        dW_hh = dW_hh + delta.T @ ({before})
        db = db + delta.sum(0)
        {pass_on}
    return {result}
"""


BPTT = Exercise(
    name="bptt",
    title={"en": "Back through time", "zh": "随时间反向传播"},
    difficulty=3,
    minutes=30,
    draw={"one step": draw_one_back, "several steps": draw_many_back},
    groups={"one step": {"zh": "一步"}, "several steps": {"zh": "多步"}},
    rules=NO_AUTOGRAD,
    needs=("rnn_step", "rnn_forward"),
    variants=(
        """
def bptt(X, h0, W_xh, W_hh, b, grad_h):
    B, T, D = X.shape
    states = [h0]
    for t in range(T):
        states.append(torch.tanh(X[:, t] @ W_xh.T + states[-1] @ W_hh.T + b))
    deltas = []
    for h in states[:0:-1]:
        deltas.insert(0, grad_h * (1 - h * h))
        grad_h = deltas[0] @ W_hh
    deltas = torch.stack(deltas, 1)  # (B, T, H)
    before = torch.stack(states[:-1], 1)
    return (
        torch.einsum("bth,btd->hd", deltas, X),
        torch.einsum("bth,btk->hk", deltas, before),
        deltas.sum((0, 1)),
    )
""",
        """
def bptt(X, h0, W_xh, W_hh, b, grad_h):
    # one sequence after the other, one step by recursion
    def back(i, t, grad):
        h = H[i, t]
        before = H[i, t - 1] if t > 0 else h0[i]
        delta = grad * (1 - h.square())
        mine = [torch.outer(delta, X[i, t]), torch.outer(delta, before), delta]
        if t == 0:
            return mine
        return [a + c for a, c in zip(mine, back(i, t - 1, W_hh.T @ delta))]

    H = rnn_forward(X, h0, W_xh, W_hh, b)
    total = [torch.zeros_like(W_xh), torch.zeros_like(W_hh), torch.zeros_like(b)]
    for i in range(len(X)):
        total = [a + c for a, c in zip(total, back(i, X.shape[1] - 1, grad_h[i]))]
    return total
""",
    ),
    misconceptions=(
        Misconception(
            "last_step_only",
            back(times="[T - 1]"),
            {
                "en": "You have the gradient of the last step alone: exactly what autograd gives when the state is detached at every step. The same weights are used at all steps, so the shares of all steps are added up.",
                "zh": "你只算了最后一步的梯度：恰好等于每一步都把状态 detach 之后 autograd 给出的结果。所有时间步共用同一组权重，所以各步的贡献要加起来。",
            },
        ),
        Misconception(
            "slope_at_the_wrong_value",
            back(slope="1 - torch.tanh(H[:, t]) ** 2"),
            {
                "en": "Your slope takes the tanh once too often. `H` holds the values after the tanh, and `tanh'(a) = 1 - tanh(a)²` needs just these.",
                "zh": "你在求导时多做了一次 tanh。`H` 里已经是 tanh 之后的值，而 `tanh'(a) = 1 - tanh(a)²` 要的正是它。",
            },
        ),
        Misconception(
            "slope_of_sigmoid",
            back(slope="H[:, t] * (1 - H[:, t])"),
            {
                "en": "`h (1 - h)` is the slope of the sigmoid. What is the slope of tanh, written with its value h?",
                "zh": "`h (1 - h)` 是 sigmoid 的导数。tanh 的导数用它的函数值 h 怎么写？",
            },
        ),
        Misconception(
            "slope_forgotten",
            back(slope="1"),
            {
                "en": "You go back through the sums but not through the tanh: its slope is missing. It stands between the gradient of `h_t` and that of the sum inside.",
                "zh": "你的反向传播穿过了求和，却没有穿过 tanh：少了它的导数。它夹在 `h_t` 的梯度和里面那个和的梯度之间。",
            },
        ),
        Misconception(
            "square_forgotten",
            back(slope="1 - H[:, t]"),
            {
                "en": "Your slope is `1 - h`; the square is missing: `1 - h²`.",
                "zh": "你的导数是 `1 - h`，少了平方：`1 - h²`。",
            },
        ),
        Misconception(
            "shares_overwritten",
            back()
            .replace("dW_xh + delta", "delta")
            .replace("dW_hh + delta", "delta")
            .replace("db + delta", "delta"),
            {
                "en": "You have the share of the first step alone: each step puts its share in the place of the others. Add them up, with `+=`.",
                "zh": "你只得到了第一步的贡献：每一步都覆盖了之前的结果。应当累加，用 `+=`。",
            },
        ),
        Misconception(
            "tanh_left_out_on_the_way_back",
            back(pass_on="grad_h = grad_h @ W_hh"),
            {
                "en": "The last step is right. On the way to the step before you take the gradient of the state, not `delta`: so it goes through `W_hh`, but not through the tanh.",
                "zh": "最后一步是对的。传给前一步时，你用的是状态的梯度，而不是 `delta`：它穿过了 `W_hh`，却没有穿过 tanh。",
            },
        ),
        Misconception(
            "weights_not_turned",
            back(pass_on="grad_h = delta @ W_hh.T"),
            {
                "en": "On the way back `W_hh` is used as on the way forward. Backwards, the gradient goes from each new unit to each old one: the other way round. The matrix is square, so no error tells you.",
                "zh": "反向时你仍然照前向的方式使用 `W_hh`。反向时梯度从新的单元流回旧的单元，方向相反。它是方阵，所以不会报错。",
            },
        ),
        Misconception(
            "state_of_the_wrong_step",
            back(before="H[:, t]"),
            {
                "en": "The gradient of `W_hh` is made with `h_t`. What went into step t was the state before it, `h_(t-1)`, and before the first step `h0`.",
                "zh": "`W_hh` 的梯度用成了 `h_t`。进入第 t 步的是它之前的状态 `h_(t-1)`；第一步之前是 `h0`。",
            },
        ),
        Misconception(
            "start_taken_as_zero",
            back(before="H[:, t - 1] if t else torch.zeros_like(h0)"),
            {
                "en": "`W_xh` and `b` are right. In the gradient of `W_hh` the first step is missing: before it the state was `h0`, not zero.",
                "zh": "`W_xh` 和 `b` 都对。`W_hh` 的梯度少了第一步的贡献：在它之前的状态是 `h0`，而不是零。",
            },
        ),
        Misconception(
            "mean_over_the_batch",
            back(result="dW_xh / B, dW_hh / B, db / B"),
            {
                "en": "Your gradients are the right ones divided by the size of the batch. The gradient given, `grad_h`, is that of the whole loss: sum over the examples.",
                "zh": "你的梯度恰好是正确值除以批量大小。给出的 `grad_h` 已经是整个损失的梯度：对样本求和即可。",
            },
        ),
        Misconception(
            "loss_at_every_step",
            back(pass_on="grad_h = delta @ W_hh + given"),
            {
                "en": "You add the given gradient at every step, as if there were a loss at every step. It is the gradient at the last state only; the earlier states feel it through `W_hh`.",
                "zh": "你在每一步都加上了给定的梯度，好像每一步都有损失。它只是最后一个状态处的梯度；更早的状态通过 `W_hh` 感受到它。",
            },
        ),
        Misconception(
            "gradients_transposed",
            back(result="dW_xh.T, dW_hh.T, db"),
            {
                "en": "The values are right, but rows and columns have changed places. A gradient has the shape of its weights: `W_xh` is `(H, D)`.",
                "zh": "数值都对，但行和列反了。梯度的形状与权重相同：`W_xh` 是 `(H, D)`。",
            },
        ),
        Misconception(
            "one_step_missing",
            back(times="reversed(range(1, T))"),
            {
                "en": "The share of the first step is missing. Your loop ends one step too early.",
                "zh": "少了第一步的贡献。你的循环早停了一步。",
            },
        ),
    ),
    hints=(
        {
            "en": "Forward first: `H = rnn_forward(X, h0, W_xh, W_hh, b)`. Then walk from the last step to the first and keep one tensor, the gradient of the present state, shape $(B, H)$.",
            "zh": "先做前向：`H = rnn_forward(X, h0, W_xh, W_hh, b)`。然后从最后一步走到第一步，手里始终拿着一个张量：当前状态的梯度，形状 $(B, H)$。",
        },
        {
            "en": "At each step: through the tanh (that gives $\\delta_t$), then three sums from $\\delta_t$, then on to the state before. If one step alone comes out right, half of the points are yours.",
            "zh": "每一步：先穿过 tanh（得到 $\\delta_t$），再由 $\\delta_t$ 累加三个梯度，最后传给前一个状态。只要一步的情形算对，就有一半的分数。",
        },
        {
            "en": "`delta.T @ x` has shape $(H, D)$: it sums the products $\\delta_j x_i$ over the batch. And before step 0 the state was `h0`.",
            "zh": "`delta.T @ x` 的形状是 $(H, D)$：它把 $\\delta_j x_i$ 在批量上求和。另外，第 0 步之前的状态是 `h0`。",
        },
    ),
)


# --- 5 jacobian_norms -------------------------------------------------------------------------------------------------


def draw_matrix(rng: np.random.Generator) -> dict[str, Tree]:
    """A matrix that is far from symmetric, so that its powers grow otherwise than those of its largest singular value."""
    size = int(rng.integers(3, 6))
    W_hh = rng.standard_normal((size, size)) / size**0.5 + np.triu(rng.uniform(0.3, 0.8, (size, size)), 1)
    return {"W_hh": W_hh.round(2).astype(np.float32), "steps": int(rng.integers(4, 7))}


def norms(value: str, powers: str = "range(1, steps + 1)") -> str:
    return f"""
def jacobian_norms(W_hh, steps):
    def power(k):
        return torch.linalg.matrix_power(W_hh, k)
    return torch.stack([{value} for k in {powers}])
"""


JACOBIAN_NORMS = Exercise(
    name="jacobian_norms",
    title={"en": "How far a gradient reaches", "zh": "梯度能传多远"},
    difficulty=2,
    minutes=15,
    draw=draw_matrix,
    examples={"": [{"W_hh": np.array([[0.5, 1.0], [0.0, 0.5]], np.float32), "steps": 4}]},
    rules=Rules(forbid=("coursekit.models", "coursekit.train", "coursekit.plot")),
    variants=(
        norms("torch.linalg.matrix_norm(power(k), ord=2)"),
        """
def jacobian_norms(W_hh, steps):
    out, product = [], W_hh
    while len(out) < steps:
        out.append(torch.linalg.svdvals(product)[0].item())
        product = W_hh @ product
    return out
""",
        """
def jacobian_norms(W_hh, steps):
    out, product = [], torch.eye(len(W_hh), dtype=torch.float64)
    for _ in range(steps):
        product = product @ W_hh.double()
        out.append(torch.linalg.eigvalsh(product.T @ product).max().sqrt())
    return torch.stack(out)
""",
    ),
    misconceptions=(
        Misconception(
            "power_of_the_norm",
            norms("torch.linalg.svdvals(W_hh)[0] ** k"),
            {
                "en": "You have the powers of the largest singular value of `W_hh`: that is the bound, and for `k = 1` it is reached. The product of the matrices itself may be much smaller; take its largest singular value.",
                "zh": "你算的是 `W_hh` 最大奇异值的幂：那是上界，`k = 1` 时取到。矩阵的乘积本身可能小得多；请取乘积的最大奇异值。",
            },
        ),
        Misconception(
            "frobenius_norm",
            norms("torch.linalg.norm(power(k))"),
            {
                "en": "You get the Frobenius norm, the root of all squares: what `norm` gives for a matrix by itself. By how much a vector can be stretched at most, the largest singular value says.",
                "zh": "你得到的是 Frobenius 范数（所有元素平方和的根），那是 `norm` 对矩阵的默认结果。一个向量最多能被拉长多少倍，要看最大奇异值。",
            },
        ),
        Misconception(
            "elementwise_power",
            norms("torch.linalg.svdvals(W_hh ** k)[0]"),
            {
                "en": "`*` and `**` work number by number. The product of k matrices is meant, and that is `@`.",
                "zh": "`*` 和 `**` 都是逐元素运算。这里要的是 k 个矩阵的乘积，矩阵相乘用 `@`。",
            },
        ),
        Misconception(
            "largest_eigenvalue",
            norms("torch.linalg.eigvals(power(k)).abs().max()"),
            {
                "en": "You take the largest eigenvalue. It tells what happens after very many steps; on the way there the product can stretch a vector by more, namely by its largest singular value.",
                "zh": "你取的是模最大的特征值。它决定步数非常多时的情形；在那之前，乘积能把向量拉得更长：倍数是它的最大奇异值。",
            },
        ),
        Misconception(
            "smallest_singular_value",
            norms("torch.linalg.svdvals(power(k))[-1]"),
            {
                "en": "You take the smallest singular value: that is the direction which shrinks most. Singular values come sorted, the largest first.",
                "zh": "你取的是最小的奇异值，那是缩得最厉害的方向。奇异值是从大到小排列的。",
            },
        ),
        Misconception(
            "starts_at_no_step",
            norms("torch.linalg.svdvals(power(k))[0]", "range(steps)"),
            {
                "en": "Your list begins with no step at all (the norm of the identity, 1). It begins with `k = 1`, the norm of `W_hh` itself.",
                "zh": "你的列表从“零步”开始（单位矩阵的范数 1）。应当从 `k = 1` 开始，也就是 `W_hh` 自己的范数。",
            },
        ),
        Misconception(
            "last_one_only",
            """
def jacobian_norms(W_hh, steps):
    return torch.linalg.svdvals(torch.linalg.matrix_power(W_hh, steps))[0]
""",
            {
                "en": "You return the number for all `steps` together. One number for each k from 1 to `steps` is asked for, to be plotted.",
                "zh": "你只返回了走完 `steps` 步的那个数。题目要的是从 1 到 `steps` 每个 k 各一个数，好画成曲线。",
            },
        ),
    ),
    hints=(
        {
            "en": "Keep the product in a variable: start with `W_hh`, and multiply by `W_hh` once more (`@`) for every further step.",
            "zh": "把乘积放在一个变量里：从 `W_hh` 开始，每多一步就再乘一次 `W_hh`（用 `@`）。",
        },
        {
            "en": "`torch.linalg.svdvals(M)` gives the singular values of `M`, the largest first; `torch.linalg.matrix_norm(M, ord=2)` is the largest alone.",
            "zh": "`torch.linalg.svdvals(M)` 给出 `M` 的奇异值，从大到小；`torch.linalg.matrix_norm(M, ord=2)` 就是最大的那一个。",
        },
    ),
)


# --- 6 clip_by_norm ---------------------------------------------------------------------------------------------------


def draw_gradients(rng: np.random.Generator) -> list[np.ndarray]:
    hidden = int(rng.integers(2, 4))
    return [away_from_zero(rng, *shape) * 2 for shape in ((hidden, 2), (hidden, hidden), (hidden,))]


def together(grads: list[np.ndarray]) -> float:
    return sum(float((grad**2).sum()) for grad in grads) ** 0.5


def draw_too_long(rng: np.random.Generator) -> dict[str, Tree]:
    """The bound is below the norm of each tensor alone, and below some of the numbers."""
    grads = draw_gradients(rng)
    shortest = min(together([grad]) for grad in grads)
    return {"grads": grads, "max_norm": round(float(rng.uniform(0.3, 0.6)) * shortest, 2)}


def draw_short_enough(rng: np.random.Generator) -> dict[str, Tree]:
    grads = draw_gradients(rng)
    return {"grads": grads, "max_norm": round(float(rng.uniform(1.2, 2.5)) * together(grads), 2)}


def clip(body: str) -> str:
    return f"""
def clip_by_norm(grads, max_norm):
    norm = sum((g ** 2).sum() for g in grads).sqrt()
{body}
"""


CLIP_BY_NORM = Exercise(
    name="clip_by_norm",
    title={"en": "Clipping by the norm", "zh": "按范数裁剪"},
    difficulty=2,
    minutes=10,
    draw={"too long": draw_too_long, "short enough": draw_short_enough},
    groups={"too long": {"zh": "太长"}, "short enough": {"zh": "不长"}},
    examples={
        "too long": [
            {"grads": [np.array([[3.0, 0.0]], np.float32), np.array([4.0], np.float32)], "max_norm": 1.0}
        ]
    },
    rules=Rules(forbid=("coursekit.models", "coursekit.train", "torch.nn.utils")),
    variants=(
        """
def clip_by_norm(grads, max_norm):
    norm = torch.cat([g.flatten() for g in grads]).norm()
    return [g * (max_norm / (norm + 1e-6)).clamp(max=1) for g in grads]
""",
        clip("""
    shorter = [g.clone() for g in grads]
    if norm > max_norm:
        for g in shorter:
            g *= max_norm / norm
    return shorter
"""),
        """
def clip_by_norm(grads, max_norm):
    norm = torch.linalg.vector_norm(torch.stack([g.norm() for g in grads])).item()
    return tuple(g * min(1.0, max_norm / norm) for g in grads)
""",
    ),
    misconceptions=(
        Misconception(
            "by_value",
            clip("    return [g.clamp(-max_norm, max_norm) for g in grads]"),
            {
                "en": "You cut every number off at `max_norm`: clipping by value. It changes the direction of the gradient; clipping by norm shortens the whole arrow and keeps its direction.",
                "zh": "你把每个数都截断在 `max_norm` 处：那是按值裁剪，会改变梯度的方向。按范数裁剪是把整支箭缩短，方向不变。",
            },
        ),
        Misconception(
            "each_by_itself",
            clip("    return [g * min(1.0, (max_norm / g.norm()).item()) for g in grads]"),
            {
                "en": "You shorten every tensor by its own norm. All of them together are one gradient, one long arrow: there is one norm and one factor.",
                "zh": "你按每个张量自己的范数分别缩短。它们合在一起才是一个梯度、一支长箭：只有一个范数，一个系数。",
            },
        ),
        Misconception(
            "always_scaled",
            clip("    return [g * max_norm / norm for g in grads]"),
            {
                "en": "Gradients that are too long come out right. Those that are short enough you stretch to `max_norm`; they are to stay as they are.",
                "zh": "太长的梯度处理对了。可是本来不长的梯度被你拉长到了 `max_norm`；它们应当保持不变。",
            },
        ),
        Misconception(
            "root_forgotten",
            clip("    return [g * (max_norm / norm**2).clamp(max=1) for g in grads]"),
            {
                "en": "You divide by the sum of the squares. The norm is the root of it.",
                "zh": "你除以的是平方和。范数还要开平方。",
            },
        ),
        Misconception(
            "sum_of_norms",
            clip("    return [g * (max_norm / sum(g.norm() for g in grads)).clamp(max=1) for g in grads]"),
            {
                "en": "You add the norms of the tensors. Lengths at right angles do not add up: add the squares, then take the root (the tensors 3 and 4 have the norm 5, not 7).",
                "zh": "你把各个张量的范数直接相加了。互相垂直的长度不能直接相加：先加平方，再开方（3 和 4 合起来的范数是 5，不是 7）。",
            },
        ),
        Misconception(
            "down_to_length_one",
            clip("    return [g / norm if norm > max_norm else g for g in grads]"),
            {
                "en": "Gradients that are too long come out with the norm 1, whatever `max_norm` is.",
                "zh": "太长的梯度都变成了范数 1，与 `max_norm` 无关。",
            },
        ),
        Misconception(
            "set_to_zero",
            clip("    return [g * (norm <= max_norm) for g in grads]"),
            {
                "en": "Gradients that are too long become zero: such a step is lost. Shortened, it still leads downhill.",
                "zh": "太长的梯度被你变成了零：这一步就浪费了。把它缩短，方向不变，沿它的反方向走仍然是下坡。",
            },
        ),
    ),
    hints=(
        {
            "en": "The norm of all together: the root of the sum of all squares, over all numbers of all tensors.",
            "zh": "合在一起的范数：所有张量的所有数，平方求和，再开方。",
        },
        {
            "en": "One factor for all: `max_norm / norm` where the norm is too large, else 1.",
            "zh": "所有张量用同一个系数：范数太大时是 `max_norm / norm`，否则是 1。",
        },
    ),
)


# --- 7 identity_init --------------------------------------------------------------------------------------------------


def draw_state(rng: np.random.Generator, inputs: int, hidden: int, layers: int) -> dict[str, Tree]:
    state = {}
    for layer in range(layers):
        state[f"weight_ih_l{layer}"] = away_from_zero(rng, hidden, hidden if layer else inputs)
        state[f"weight_hh_l{layer}"] = away_from_zero(rng, hidden, hidden)
        state[f"bias_ih_l{layer}"] = away_from_zero(rng, hidden)
        state[f"bias_hh_l{layer}"] = away_from_zero(rng, hidden)
    return {"state": state}


def draw_one_layer(rng: np.random.Generator) -> dict[str, Tree]:
    hidden = int(rng.integers(2, 5))
    return draw_state(rng, hidden + int(rng.integers(-1, 2)), hidden, 1)


def draw_two_layers(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_state(rng, int(rng.integers(4, 6)), int(rng.integers(2, 4)), 2)


def initial(
    recurrent: str = "torch.eye(*value.shape)", incoming: str = "value", bias: str = "torch.zeros_like(value)"
) -> str:
    return f"""
def identity_init(state):
    new = {{}}
    for name, value in state.items():
        if name.startswith("weight_hh"):
            new[name] = {recurrent}
        elif name.startswith("weight_ih"):
            new[name] = {incoming}
        else:
            new[name] = {bias}
    return new
"""


IDENTITY_INIT = Exercise(
    name="identity_init",
    title={"en": "Starting from the identity", "zh": "从单位矩阵开始"},
    difficulty=1,
    minutes=10,
    draw={"one layer": draw_one_layer, "two layers": draw_two_layers},
    groups={"one layer": {"zh": "一层"}, "two layers": {"zh": "两层"}},
    cases=2,
    rules=Rules(forbid=("coursekit.models", "coursekit.train")),
    variants=(
        """
def identity_init(state):
    new = {name: value.clone() for name, value in state.items()}
    with torch.no_grad():
        for name in new:
            if "_hh_" in name and new[name].dim() == 2:
                nn.init.eye_(new[name])
            elif "bias" in name:
                new[name].zero_()
    return new
""",
        """
def identity_init(state):
    layers = sum(name.startswith("weight_hh") for name in state)
    new = dict(state)
    for layer in range(layers):
        size = len(state[f"bias_hh_l{layer}"])
        new[f"weight_hh_l{layer}"] = torch.diag(torch.ones(size))
        new[f"bias_ih_l{layer}"] = new[f"bias_hh_l{layer}"] = torch.zeros(size)
    return new
""",
    ),
    misconceptions=(
        Misconception(
            "identity_on_the_input_weights",
            initial(recurrent="value", incoming="torch.eye(*value.shape)"),
            {
                "en": "You made the input weights (`weight_ih`) the identity. It is the way from state to state, `weight_hh`, that is walked again and again.",
                "zh": "你把输入权重（`weight_ih`）设成了单位矩阵。被反复走过的是从状态到状态的路，即 `weight_hh`。",
            },
        ),
        Misconception(
            "identity_on_both",
            initial(incoming="torch.eye(*value.shape)"),
            {
                "en": "`weight_hh` is right, but `weight_ih` has become the identity as well. The input weights stay as they are.",
                "zh": "`weight_hh` 是对的，但 `weight_ih` 也变成了单位矩阵。输入权重应保持不变。",
            },
        ),
        Misconception(
            "input_weights_zero",
            initial(incoming="torch.zeros_like(value)"),
            {
                "en": "The input weights have become zero: such a network is deaf. Only the recurrent weights and the biases change.",
                "zh": "输入权重变成了零：这样的网络什么也听不见。要改的只有循环权重和偏置。",
            },
        ),
        Misconception(
            "all_ones",
            initial(recurrent="torch.ones_like(value)"),
            {
                "en": "Your `weight_hh` is 1 everywhere: every unit would become the sum of all. The identity has ones on the diagonal and zeros elsewhere, so that each unit keeps its own value.",
                "zh": "你的 `weight_hh` 处处是 1：每个单元都会变成所有单元的和。单位矩阵只有对角线是 1，其余是 0，这样每个单元保持自己的值。",
            },
        ),
        Misconception(
            "biases_left",
            initial(bias="value"),
            {
                "en": "The weights are right, but the biases are still there. Added at every step, they would pull the state away; they start at zero.",
                "zh": "权重都对，但偏置还在。它们每一步都会加一次，把状态越拉越远；应从零开始。",
            },
        ),
        Misconception(
            "one_bias_left",
            initial(bias='torch.zeros_like(value) if "hh" in name else value'),
            {
                "en": "PyTorch keeps two biases, `bias_ih` and `bias_hh`, and adds both. You set only one of them to zero.",
                "zh": "PyTorch 有两个偏置 `bias_ih` 和 `bias_hh`，两个都会加上。你只把其中一个设成了零。",
            },
        ),
        Misconception(
            "first_layer_only",
            initial(
                recurrent='torch.eye(*value.shape) if name.endswith("l0") else value',
                bias='torch.zeros_like(value) if name.endswith("l0") else value',
            ),
            {
                "en": "Right for one layer. Of a deeper network you changed only the first: the names end in `_l0`, `_l1` and so on.",
                "zh": "一层的网络是对的。更深的网络你只改了第一层：名字以 `_l0`、`_l1` 等结尾。",
            },
        ),
    ),
    hints=(
        {
            "en": '`state` is a dictionary from names to tensors. Go through `state.items()` and decide by the name: `name.startswith("weight_hh")`.',
            "zh": '`state` 是从名字到张量的字典。遍历 `state.items()`，按名字决定怎么做：`name.startswith("weight_hh")`。',
        },
        {
            "en": "`torch.eye(n)` is the identity of size $n$, `torch.zeros_like(t)` a tensor of zeros with the shape of `t`.",
            "zh": "`torch.eye(n)` 是 $n$ 阶单位矩阵，`torch.zeros_like(t)` 是与 `t` 同形状的全零张量。",
        },
    ),
)


# --- 8 lstm_step ------------------------------------------------------------------------------------------------------


def draw_lstm(rng: np.random.Generator, first: bool) -> dict[str, Tree]:
    batch, inputs, hidden = 2, 4, 3
    zero = 0.0 if first else 1.0
    return {
        "x": normal(rng, batch, inputs),
        "h": away_from_zero(rng, batch, hidden) * 0.7 * zero,
        "c": away_from_zero(rng, batch, hidden) * 1.5 * zero,
        "W_ih": normal(rng, 4 * hidden, inputs, scale=0.5),
        "W_hh": normal(rng, 4 * hidden, hidden, scale=0.5),
        "b_ih": away_from_zero(rng, 4 * hidden),
        "b_hh": away_from_zero(rng, 4 * hidden),
    }


def draw_first_step(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_lstm(rng, first=True)


def draw_later_step(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_lstm(rng, first=False)


def lstm(
    order: str = "i, f, g, o",
    gates: str = "x @ W_ih.T + b_ih + h @ W_hh.T + b_hh",
    change: str = "",
    new_c: str = "f * c + i * g",
    new_h: str = "o * torch.tanh(c_new)",
    result: str = "h_new, c_new",
) -> str:
    """An `lstm_step` that is right but for the arguments given."""
    return f"""
def lstm_step(x, h, c, W_ih, W_hh, b_ih, b_hh):
    {order} = ({gates}).chunk(4, dim=1)
    {change}
    i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
    c_new = {new_c}
    h_new = {new_h}
    return {result}
"""


LSTM_STEP = Exercise(
    name="lstm_step",
    title={"en": "An LSTM cell", "zh": "LSTM 单元"},
    difficulty=3,
    minutes=20,
    draw={"first step": draw_first_step, "later step": draw_later_step},
    groups={"first step": {"zh": "第一步"}, "later step": {"zh": "之后的一步"}},
    cases=2,
    rules=BY_HAND,
    variants=(
        """
def lstm_step(x, h, c, W_ih, W_hh, b_ih, b_hh):
    size = h.shape[1]
    a = F.linear(x, W_ih, b_ih) + F.linear(h, W_hh, b_hh)
    i, f = a[:, :size].sigmoid(), a[:, size : 2 * size].sigmoid()
    g, o = a[:, 2 * size : 3 * size].tanh(), a[:, 3 * size :].sigmoid()
    c = f * c + i * g
    return o * c.tanh(), c
""",
        """
def lstm_step(x, h, c, W_ih, W_hh, b_ih, b_hh):
    def gate(k, squash):
        rows = slice(k * h.shape[1], (k + 1) * h.shape[1])
        return squash(x @ W_ih[rows].T + h @ W_hh[rows].T + b_ih[rows] + b_hh[rows])
    kept = gate(1, torch.sigmoid) * c
    cell = kept + gate(0, torch.sigmoid) * gate(2, torch.tanh)
    return [gate(3, torch.sigmoid) * torch.tanh(cell), cell]
""",
    ),
    misconceptions=(
        Misconception(
            "order_i_f_o_g",
            lstm(order="i, f, o, g"),
            {
                "en": "You get exactly what the gate order i, f, o, g gives. Some papers and libraries write it so; PyTorch keeps the rows as i, f, g, o: input, forget, candidate, output.",
                "zh": "你的结果恰好是按 i、f、o、g 的次序得到的。有的论文和库这样写；PyTorch 的行次序是 i、f、g、o：输入门、遗忘门、候选值、输出门。",
            },
        ),
        Misconception(
            "order_f_i_g_o",
            lstm(order="f, i, g, o"),
            {
                "en": "Input gate and forget gate have changed places. In PyTorch's rows the input gate comes first. Or is it in the line for c? There f goes with the old c, and i with g.",
                "zh": "输入门和遗忘门弄反了。PyTorch 的行里输入门在前。或者是 c 那一行写反了？那里 f 乘旧的 c，i 乘 g。",
            },
        ),
        Misconception(
            "forget_gate_without_bias",
            lstm(change="f = f - (b_ih + b_hh).chunk(4)[1]"),
            {
                "en": "All is right but the forget gate, which has no bias in your version. Each gate has its share of `b_ih` and `b_hh`; the forget gate's bias decides how long the cell remembers before anything is learned.",
                "zh": "其他都对，只是你的遗忘门没有加偏置。每个门在 `b_ih` 和 `b_hh` 里都有自己的一份；遗忘门的偏置决定了还没学到东西之前细胞能记多久。",
            },
        ),
        Misconception(
            "one_bias_missing",
            lstm(gates="x @ W_ih.T + b_ih + h @ W_hh.T"),
            {
                "en": "`b_hh` is missing. PyTorch keeps two biases, one beside each matrix, and adds both.",
                "zh": "漏掉了 `b_hh`。PyTorch 给两个矩阵各配了一个偏置，两个都要加。",
            },
        ),
        Misconception(
            "candidate_through_sigmoid",
            lstm(change="g = torch.atanh(torch.sigmoid(g))"),
            {
                "en": "The candidate `g` goes through a sigmoid in your version, so it can only add to the memory. It is no gate but new content, of both signs: tanh.",
                "zh": "你的候选值 `g` 用了 sigmoid，于是只能往记忆里加正数。它不是门，而是新内容，可正可负：用 tanh。",
            },
        ),
        Misconception(
            "output_without_tanh",
            lstm(new_h="o * c_new"),
            {
                "en": "The cell state is right. On its way out it passes through a tanh before the output gate, which you left out.",
                "zh": "细胞状态是对的。它输出之前要先经过 tanh，再乘输出门，你漏了这个 tanh。",
            },
        ),
        Misconception(
            "output_of_the_old_cell",
            lstm(new_h="o * torch.tanh(c)"),
            {
                "en": "The new cell state is right, but `h` is made from the old one. The output shows the memory after it has been brought up to date.",
                "zh": "新的细胞状态是对的，但 `h` 是用旧的细胞状态算的。输出要看更新之后的记忆。",
            },
        ),
        Misconception(
            "forget_is_one_minus_input",
            lstm(new_c="(1 - i) * c + i * g"),
            {
                "en": "You keep `1 - i` of the old memory, as a GRU does it with one gate. The LSTM has a forget gate of its own, so it may keep the old and take in the new.",
                "zh": "你让旧记忆保留 `1 - i`，那是 GRU 用一个门的做法。LSTM 有单独的遗忘门，可以既保留旧的，又写入新的。",
            },
        ),
        Misconception(
            "forgets_what_it_should_keep",
            lstm(new_c="(1 - f) * c + i * g"),
            {
                "en": "Your forget gate works the other way round. In spite of its name it says how much is kept: `f = 1` keeps everything.",
                "zh": "你的遗忘门方向反了。尽管叫这个名字，它说的是保留多少：`f = 1` 就是全部保留。",
            },
        ),
        Misconception(
            "old_memory_lost",
            lstm(new_c="i * g"),
            {
                "en": "The old cell state `c` is not in your new one. The memory is the sum of what is kept of the old and what is let in of the new.",
                "zh": "你的新细胞状态里没有旧的 `c`。记忆是“旧的保留下来的”与“新的放进来的”之和。",
            },
        ),
        Misconception(
            "c_before_h",
            lstm(result="c_new, h_new"),
            {
                "en": "Both are right but in the wrong order: first the state `h`, then the cell `c`, as `nn.LSTMCell` gives them.",
                "zh": "两个都对，但次序反了：先 `h` 后 `c`，和 `nn.LSTMCell` 一样。",
            },
        ),
    ),
    hints=(
        {
            "en": "The three gates and the candidate in one line: the sum $x W_{ih}^\\top + b_{ih} + h W_{hh}^\\top + b_{hh}$ has shape $(B, 4H)$; `.chunk(4, dim=1)` cuts it into four pieces $(B, H)$.",
            "zh": "三个门和候选值一行就能算：总和 $x W_{ih}^\\top + b_{ih} + h W_{hh}^\\top + b_{hh}$ 的形状是 $(B, 4H)$；`.chunk(4, dim=1)` 把它切成四块 $(B, H)$。",
        },
        {
            "en": "Sigmoid for the three gates i, f, o; tanh for the candidate g. Then the two lines of formulas, the cell first. Write the product with `*`: each unit has its own gate.",
            "zh": "三个门 i、f、o 用 sigmoid，候选值 g 用 tanh。然后是那两行公式，先算细胞状态。乘积用 `*`：每个单元有自己的门。",
        },
    ),
)


# --- 9 pool_states ----------------------------------------------------------------------------------------------------


def draw_states(rng: np.random.Generator, lengths: list[int]) -> dict[str, Tree]:
    """States with values after the end of a sequence too: a network that runs on over the padding leaves some."""
    return {"H": away_from_zero(rng, len(lengths), max(lengths), 2), "lengths": np.array(lengths)}


def draw_equal_lengths(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_states(rng, [int(rng.integers(2, 5))] * 3)


def draw_different_lengths(rng: np.random.Generator) -> dict[str, Tree]:
    lengths = rng.choice([1, 2, 3, 4, 6], 3, replace=False).tolist()
    return draw_states(rng, lengths)


def pool(last: str = "H[rows, lengths - 1]", mean: str = "(H * real).sum(1) / lengths[:, None]") -> str:
    return f"""
def pool_states(H, lengths):
    rows = torch.arange(len(H))
    real = (torch.arange(H.shape[1]) < lengths[:, None])[:, :, None]
    last = {last}
    mean = {mean}
    return last, mean
"""


POOL_STATES = Exercise(
    name="pool_states",
    title={"en": "Sentences of different lengths", "zh": "长短不一的句子"},
    difficulty=2,
    minutes=15,
    draw={"equal lengths": draw_equal_lengths, "different lengths": draw_different_lengths},
    groups={"equal lengths": {"zh": "长度相同"}, "different lengths": {"zh": "长度不同"}},
    rules=Rules(forbid=("coursekit.models", "coursekit.train")),
    variants=(
        """
def pool_states(H, lengths):
    last = torch.stack([states[n - 1] for states, n in zip(H, lengths)])
    mean = torch.stack([states[:n].mean(0) for states, n in zip(H, lengths.tolist())])
    return last, mean
""",
        """
def pool_states(H, lengths):
    D = H.shape[2]
    last = H.gather(1, (lengths - 1).view(-1, 1, 1).expand(-1, 1, D)).squeeze(1)
    mask = torch.arange(H.shape[1])[None, :] >= lengths[:, None]
    return last, H.masked_fill(mask.unsqueeze(2), 0).sum(dim=1) / lengths.unsqueeze(1)
""",
        """
def pool_states(H, lengths):
    up_to = H.cumsum(1)[torch.arange(len(H)), lengths - 1]
    return [H[torch.arange(len(H)), lengths - 1], up_to / lengths.view(-1, 1)]
""",
    ),
    misconceptions=(
        Misconception(
            "last_padded_step",
            pool(last="H[:, -1]"),
            {
                "en": "Your mean is right. Your last state is that of the last padded step: the network has run on over the padding there. The last real word of a sentence of length n is step `n - 1`.",
                "zh": "平均是对的。但你取的是最后一个填充步的状态：网络在那里已经空跑过了填充。长度为 n 的句子，最后一个真实的词在第 `n - 1` 步。",
            },
        ),
        Misconception(
            "mean_over_the_padding",
            pool(mean="H.mean(1)"),
            {
                "en": "Your last state is right. Your mean takes in the states of the padding: what comes after the end of a sentence is no part of it.",
                "zh": "最后状态是对的。但你的平均把填充处的状态也算了进去：句子结束之后的内容不属于这个句子。",
            },
        ),
        Misconception(
            "divided_by_the_padded_length",
            pool(mean="(H * real).mean(1)"),
            {
                "en": "Your last state is right, and the padding is left out of the sum. But you divide by the padded length, so short sentences come out too small. Divide each by its own length.",
                "zh": "最后状态是对的，求和时也去掉了填充。但你除以的是填充之后的长度，短句子的结果就太小了。每个句子除以自己的长度。",
            },
        ),
        Misconception(
            "padding_ignored_in_both",
            pool(last="H[:, -1]", mean="H.mean(1)"),
            {
                "en": "You get what comes out when all sentences are taken to be as long as the longest. `lengths` says where each one ends.",
                "zh": "你的结果相当于把所有句子都当成和最长的一样长。每个句子在哪里结束，`lengths` 已经告诉你了。",
            },
        ),
        Misconception(
            "one_step_before_the_last",
            pool(last="H[rows, lengths - 2]"),
            {
                "en": "Your mean is right. Your last state is one step too early: steps are numbered from 0, so the last of n is number `n - 1`.",
                "zh": "平均是对的。你的最后状态早了一步：时间步从 0 数起，n 步里的最后一步是第 `n - 1` 号。",
            },
        ),
        Misconception(
            "one_step_after_the_last",
            pool(last="H[rows, lengths]"),
            {
                "en": "You reach one step beyond the end: for the longest sentence that step does not exist. Steps are numbered from 0.",
                "zh": "你往后多走了一步：对最长的句子，这一步根本不存在。时间步从 0 数起。",
            },
        ),
        Misconception(
            "mask_one_step_too_long",
            pool(
                mean="(H * (torch.arange(H.shape[1]) <= lengths[:, None])[:, :, None]).sum(1) / lengths[:, None]"
            ),
            {
                "en": "Your last state is right. Your mean takes in one step after the end: steps are numbered from 0, so the real ones are those below the length, `<` and not `<=`.",
                "zh": "最后状态是对的。你的平均多算了结束之后的一步：时间步从 0 数起，真实的步号小于长度，用 `<`，不是 `<=`。",
            },
        ),
        Misconception(
            "every_length_of_every_sentence",
            pool(last="H[:, lengths - 1]"),
            {
                "en": "`H[:, lengths - 1]` takes all these steps from every sentence, `(B, B, D)`. Pair row i with its own step: `H[torch.arange(len(H)), ...]`.",
                "zh": "`H[:, lengths - 1]` 从每个句子里把这些步全取了出来，形状是 `(B, B, D)`。应当让第 i 行配它自己的那一步：`H[torch.arange(len(H)), ...]`。",
            },
        ),
        Misconception(
            "sum_for_mean",
            pool(mean="(H * real).sum(1)"),
            {
                "en": "Your last state is right, and so are the sums. The mean divides them, each by the length of its sentence.",
                "zh": "最后状态对，求和也对。平均还要各自除以句子的长度。",
            },
        ),
        Misconception(
            "mean_first",
            pool(last="(H * real).sum(1) / lengths[:, None]", mean="H[rows, lengths - 1]"),
            {
                "en": "Both are right but in the wrong order: the last state comes first, then the mean.",
                "zh": "两个都对，但次序反了：先最后状态，后平均。",
            },
        ),
    ),
    hints=(
        {
            "en": "The last state, for every sentence another step: `H[torch.arange(len(H)), steps]` takes from row $i$ the step `steps[i]`.",
            "zh": "每个句子的最后一步各不相同：`H[torch.arange(len(H)), steps]` 从第 $i$ 行取出第 `steps[i]` 步。",
        },
        {
            "en": "A mask: `torch.arange(T) < lengths[:, None]` has shape $(B, T)$ and is True at the real steps. Times `H` (give it a third axis with `[:, :, None]`) the padding becomes 0.",
            "zh": "掩码：`torch.arange(T) < lengths[:, None]` 形状为 $(B, T)$，真实的步为 True。先用 `[:, :, None]` 给它补上第三个轴，再乘以 `H`，填充处就变成 0。",
        },
    ),
)


# --- 10 train_sentiment -----------------------------------------------------------------------------------------------

PAIRS_A_CASE = 100


def draw_pairs(rng: np.random.Generator) -> dict[str, Tree]:
    """Both sentences of each pair, so that whatever ignores their order gets half of them right."""
    pairs = same_bag_pairs(PAIRS_A_CASE, seed=int(rng.integers(2**31)))
    order = rng.permutation(len(pairs)).tolist()
    return {"texts": [pairs.texts[i] for i in order], "y": pairs.y[order]}


SENTIMENT = """
def sentiment(texts):
    return predict(model, TextSplit(texts, torch.zeros(len(texts))).encode(vocabulary))
"""


def trained(make: str, fitting: str = "fit(model, encoded, epochs=6, lr=0.005, batch_size=64)") -> str:
    return f"""
torch.manual_seed(0)
model = get_model({make}, vocab_size=len(vocabulary))
{fitting}
{SENTIMENT}
"""


TRAIN_SENTIMENT = Exercise(
    name="train_sentiment",
    object="sentiment",
    title={"en": "A network that sees the order", "zh": "看得见次序的网络"},
    difficulty=2,
    minutes=15,
    draw=draw_pairs,
    answer="y",
    cases=1,
    compare=Accuracy(floor=0.60, threshold=0.95),
    rules=Rules(forbid=("transformers",)),
    variants=(
        trained('"gru", embedding_dim=32, hidden_size=64, pooling="mean"'),
        """
torch.manual_seed(1)

class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(vocabulary), 32, padding_idx=0)
        self.lstm = nn.LSTM(32, 48, batch_first=True, bidirectional=True)
        self.head = nn.Linear(96, 2)

    def forward(self, X, lengths):
        H, _ = self.lstm(self.embedding(X))
        return self.head(H.masked_fill((X == 0)[:, :, None], -1.0).amax(1))

model = Reader()
optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
for _ in range(5):
    for chosen in torch.randperm(len(encoded.train)).split(64):
        X, lengths, y = encoded.train.batch(chosen)
        optimizer.zero_grad()
        F.cross_entropy(model(X, lengths), y).backward()
        optimizer.step()

def sentiment(texts):
    rows = [torch.tensor(vocabulary.encode(text)) for text in texts]
    X = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return model(X, None)
""",
    ),
    misconceptions=(
        Misconception(
            "diverged",
            trained('"lstm"', "nn.init.constant_(model.head.weight, float('nan'))"),
            {
                "en": "The scores are not numbers any more (NaN): the training has diverged. A smaller learning rate, or `clip_norm`, usually cures it.",
                "zh": "得分已经不是数了（NaN）：训练发散了。把学习率调小，或使用 `clip_norm`，通常就好。",
            },
            symptom="not_finite",
        ),
        Misconception(
            "one_answer",
            trained('"lstm"', "nn.init.constant_(model.head.weight, 0.0)"),
            {
                "en": "Nearly all sentences get the same answer. So does a network that has not been trained (has `fit` run on this very `model`?), one that was trained with far too large steps, or a bag of words, which cannot see the order.",
                "zh": "几乎所有句子都得到同一个答案。没有训练过的网络（`fit` 训练的确实是这个 `model` 吗？）、步子迈得太大的网络，或者看不见次序的词袋，都是这样。",
            },
            symptom="one_class",
        ),
        Misconception(
            "classes_swapped",
            trained('"gru", embedding_dim=32, hidden_size=64, pooling="mean"').replace(
                "return predict(", "return -predict("
            ),
            {
                "en": "Your network can tell the sentences apart, but calls the good ones bad and the bad ones good. Column 0 is negative, column 1 positive.",
                "zh": "你的网络分得清，但把好评叫成差评、差评叫成好评。第 0 列是负面，第 1 列是正面。",
            },
            symptom="shifted_labels",
        ),
        Misconception(
            "cannot_see_order",
            trained('"bow"', "fit(model, encoded, epochs=2, lr=0.01)"),
            {
                "en": "Of the two sentences of a pair your model gets one right and one wrong, or little better. So does every model that cannot see the order, such as a bag of words. With a recurrent network it means that it has not learned enough yet, or that `fit` has not run on this `model`: look at the curves, and try more epochs or a larger learning rate.",
                "zh": "一对句子里，你的模型往往一个对一个错，或者只好一点点。所有看不见次序的模型都是这样，例如词袋。如果用的是循环网络，那就是还没学够，或者 `fit` 训练的不是这个 `model`：看看曲线，多训练几轮，或调大学习率。",
            },
            symptom="chance",
        ),
        Misconception(
            "not_enough",
            trained('"gru", embedding_dim=32, hidden_size=64, pooling="mean"').replace(
                "return predict(model, TextSplit(texts, torch.zeros(len(texts))).encode(vocabulary))",
                """scores = predict(model, TextSplit(texts, torch.zeros(len(texts))).encode(vocabulary))
    scores[::4] = -scores[::4]
    return scores""",
            ),
            {
                "en": "It sees the order, but it has not learned all there is to learn: train for more epochs, with a learning rate between 0.003 and 0.01, and compare the curves.",
                "zh": "它看得见次序，但还没有学完：多训练几轮，学习率取 0.003 到 0.01 之间，再比较曲线。",
            },
            symptom="below",
        ),
    ),
    hints=(
        {
            "en": '`get_model("lstm", vocab_size=len(vocabulary), embedding_dim=32, hidden_size=64)` is large enough.',
            "zh": '`get_model("lstm", vocab_size=len(vocabulary), embedding_dim=32, hidden_size=64)` 就够大了。',
        },
        {
            "en": '`fit(model, encoded, epochs=..., lr=..., batch_size=64, save="sentiment")`: watch the curves. If they are flat for a long time, try `pooling="mean"`, which makes the way of the gradient shorter, or another learning rate.',
            "zh": '`fit(model, encoded, epochs=..., lr=..., batch_size=64, save="sentiment")`：请留意曲线。如果它很久都是平的，可以试试 `pooling="mean"`（梯度要走的路更短），或换一个学习率。',
        },
    ),
)


# --- 11 token_loss ----------------------------------------------------------------------------------------------------


def draw_labels(rng: np.random.Generator, lengths: list[int]) -> dict[str, Tree]:
    """Scores of four tokens, and labels of which the first token is never the one that padding could be taken for."""
    batch, steps, size = len(lengths), max(lengths), 4
    y = rng.integers(1, size, (batch, steps))
    for i, length in enumerate(lengths):
        y[i, length:] = -100
    return {"logits": normal(rng, batch, steps, size, scale=1.5), "y": y}


def draw_all_real(rng: np.random.Generator) -> dict[str, Tree]:
    drawn = draw_labels(rng, [int(rng.integers(3, 6))] * 2)
    drawn["y"][0, 1] = 0  # a token like any other
    return drawn


def draw_padded(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_labels(rng, rng.choice([1, 2, 3, 5, 6], 3, replace=False).tolist())


def loss(
    log_p: str = "torch.log_softmax(logits, dim=2)",
    each: str = "-log_p.gather(2, y.clamp(min=0)[:, :, None])[:, :, 0]",
    result: str = "(each * real).sum() / real.sum()",
) -> str:
    return f"""
def token_loss(logits, y):
    real = y != -100
    log_p = {log_p}
    each = {each}
    return {result}
"""


TOKEN_LOSS = Exercise(
    name="token_loss",
    title={"en": "The loss of every real token", "zh": "每个真实词元的损失"},
    difficulty=2,
    minutes=15,
    draw={"no padding": draw_all_real, "with padding": draw_padded},
    groups={"no padding": {"zh": "没有填充"}, "with padding": {"zh": "有填充"}},
    rules=Rules(
        forbid=(
            "coursekit.models",
            "coursekit.train",
            *(f"torch.nn.functional.{name}" for name in ("cross_entropy", "nll_loss")),
            *(f"torch.nn.{name}" for name in ("CrossEntropyLoss", "NLLLoss")),
            "torch.nll_loss",
            "torch.nn.modules",
            "torch.ops",
        )
    ),
    variants=(
        """
def token_loss(logits, y):
    real = y != -100
    log_p = F.log_softmax(logits[real], dim=1)  # (number of real tokens, V)
    return -log_p[torch.arange(len(log_p)), y[real]].mean()
""",
        """
def token_loss(logits, y):
    total, count = 0.0, 0
    for i in range(y.shape[0]):
        for t in range(y.shape[1]):
            if y[i, t] >= 0:
                total += logits[i, t].logsumexp(0) - logits[i, t, y[i, t]]
                count += 1
    return float(total / count)
""",
        """
def token_loss(logits, y):
    p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    wanted = torch.stack([y == k for k in range(logits.shape[-1])], dim=-1)  # one-hot, all False at padding
    return -(p.log() * wanted).sum() / wanted.sum()
""",
    ),
    misconceptions=(
        Misconception(
            "divided_by_all_places",
            loss(result="(each * real).mean()"),
            {
                "en": "You leave the padding out of the sum, but divide by all places, padding too. The more padding, the smaller your loss: divide by the number of real tokens.",
                "zh": "求和时去掉了填充，但除以的是所有位置（包括填充）。填充越多，你的损失越小：应当除以真实词元的个数。",
            },
        ),
        Misconception(
            "padding_counts_as_token_0",
            loss(result="each.mean()"),
            {
                "en": "The padding is in your sum: it counts as if token 0 were the right answer there. Where `y` is -100 there is nothing to predict.",
                "zh": "填充也进入了你的求和：好像那里的正确答案是 0 号词元。`y` 为 -100 的位置没有什么要预测。",
            },
        ),
        Misconception(
            "padding_as_a_class",
            loss(each="-log_p.gather(2, y[:, :, None])[:, :, 0]"),
            {
                "en": "Right without padding. With padding your code stops: there is no class -100 to look up. Choose the real places first, or put another number in the place of -100 and leave these places out of the sum.",
                "zh": "没有填充时是对的。有填充时代码会报错：查不到 -100 号类别。请先选出真实的位置，或者把 -100 换成别的数，求和时再把这些位置去掉。",
            },
        ),
        Misconception(
            "padding_as_an_index",
            loss(each="-log_p[torch.arange(len(y))[:, None], torch.arange(y.shape[1]), y]"),
            {
                "en": "Right without padding. With padding -100 is used as an index, and no token has that number. Choose the real places first, or put another number in the place of -100 and leave these places out of the sum.",
                "zh": "没有填充时是对的。有填充时 -100 被当成了下标，而没有哪个词元是这个编号。请先选出真实的位置，或者把 -100 换成别的数，求和时再把这些位置去掉。",
            },
        ),
        Misconception(
            "sign_forgotten",
            loss(result="-(each * real).sum() / real.sum()"),
            {
                "en": "The sign is wrong: a logarithm of a probability is negative, a loss is positive. It is `-log p`.",
                "zh": "符号反了：概率的对数是负的，损失是正的，应为 `-log p`。",
            },
        ),
        Misconception(
            "perplexity",
            loss(result="((each * real).sum() / real.sum()).exp()"),
            {
                "en": "You return e to the power of the loss: that is the perplexity. The loss itself is asked for.",
                "zh": "你返回的是 e 的“损失”次方，那是困惑度。题目要的是损失本身。",
            },
        ),
        Misconception(
            "softmax_over_time",
            loss(log_p="torch.log_softmax(logits, dim=1)"),
            {
                "en": "Your softmax goes over the time steps (axis 1), so the words of a sentence compete with each other. At each step the tokens of the vocabulary compete: the last axis.",
                "zh": "你的 softmax 做在时间轴（第 1 轴）上，成了句子里各个位置互相竞争。应当是每一步上词表里的词元互相竞争：最后一个轴。",
            },
        ),
        Misconception(
            "softmax_over_the_batch",
            loss(log_p="torch.log_softmax(logits, dim=0)"),
            {
                "en": "Your softmax goes over the batch (axis 0), so the sentences compete with each other. It belongs on the last axis, the tokens of the vocabulary.",
                "zh": "你的 softmax 做在批量轴（第 0 轴）上，成了各个句子互相竞争。它应当做在最后一个轴上，也就是词表的词元。",
            },
        ),
        Misconception(
            "sum_for_mean",
            loss(result="(each * real).sum()"),
            {
                "en": "You return the sum over all real tokens. The mean is asked for, so that long and short texts can be compared.",
                "zh": "你返回的是所有真实词元的总和。题目要的是平均值，这样长短文本才能比较。",
            },
        ),
        Misconception(
            "mean_of_sentence_means",
            loss(result="((each * real).sum(1) / real.sum(1)).mean()"),
            {
                "en": "You take the mean of each sentence first and then the mean of those, so a token of a short sentence counts for more. Every real token counts the same.",
                "zh": "你先对每个句子求平均，再对句子求平均，短句子里的词元就占了更大的份量。每个真实词元的份量应当相同。",
            },
        ),
        Misconception(
            "logarithm_forgotten",
            loss(log_p="torch.softmax(logits, dim=2)"),
            {
                "en": "You have the mean probability of the right token, with a minus in front: the logarithm is missing. The loss of a token is `-log p`.",
                "zh": "你得到的是正确词元概率的平均值再取负：少了对数。一个词元的损失是 `-log p`。",
            },
        ),
        Misconception(
            "softmax_forgotten",
            loss(log_p="logits"),
            {
                "en": "You take the scores themselves for logarithms of probabilities. Probabilities of all tokens add up to 1: that takes a (log-)softmax first.",
                "zh": "你把得分直接当成了概率的对数。所有词元的概率之和为 1：要先做一次（log-）softmax。",
            },
        ),
    ),
    hints=(
        {
            "en": "`torch.log_softmax(logits, dim=-1)` gives the logarithms of the probabilities, safer than `softmax` and then `log`.",
            "zh": "`torch.log_softmax(logits, dim=-1)` 直接给出概率的对数，比先 `softmax` 再 `log` 更稳。",
        },
        {
            "en": "`real = y != -100` is a mask of shape $(B, T)$; `logits[real]` has one row for each real token, `y[real]` its label.",
            "zh": "`real = y != -100` 是形状为 $(B, T)$ 的掩码；`logits[real]` 每个真实词元一行，`y[real]` 是它们的标签。",
        },
    ),
)


# --- 12 next_char -----------------------------------------------------------------------------------------------------


def draw_scores(rng: np.random.Generator, top_k: int | None) -> dict[str, Tree]:
    """Scores of which no two are near each other, for several texts at once."""
    scores = np.stack([rng.permutation(np.arange(7) * 0.7) for _ in range(3)]) + normal(rng, 3, 7, scale=0.05)
    temperature = float(rng.choice([0.4, 0.5, 0.6, 1.5, 2.0]))
    return {"logits": scores.astype(np.float32), "temperature": temperature, "top_k": top_k}


def draw_temperature(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_scores(rng, None)


def draw_top_k(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_scores(rng, int(rng.integers(2, 4)))


def choose(
    scores: str = "logits / temperature",
    k: str = "top_k",
    largest: bool = True,
    cut: str = 'float("-inf")',
    result: str = "torch.softmax(scores, dim=1)",
) -> str:
    return f"""
def next_char(logits, temperature=1.0, top_k=None):
    scores = {scores}
    keep = torch.ones_like(scores, dtype=torch.bool)
    if top_k is not None:
        keep = torch.zeros_like(keep).scatter(1, scores.topk({k}, dim=1, largest={largest}).indices, True)
        scores = scores.masked_fill(~keep, {cut})
    return {result}
"""


NEXT_CHAR = Exercise(
    name="next_char",
    title={"en": "Choosing the next character", "zh": "选出下一个字符"},
    difficulty=2,
    minutes=15,
    draw={"temperature": draw_temperature, "top-k": draw_top_k},
    groups={"temperature": {"zh": "温度"}, "top-k": {"zh": "top-k"}},
    cases=2,
    rules=Rules(forbid=("coursekit.models", "coursekit.train")),
    variants=(
        """
def next_char(logits, temperature=1.0, top_k=None):
    p = torch.softmax(logits, dim=-1) ** (1 / temperature)
    if top_k:
        p = p * (p >= p.sort(dim=-1, descending=True).values[:, top_k - 1 : top_k])
    return p / p.sum(-1, keepdim=True)
""",
        """
def next_char(logits, temperature=1.0, top_k=None):
    k = logits.shape[1] if top_k is None else top_k
    values, places = logits.topk(k, dim=1)
    return torch.zeros_like(logits).scatter_(1, places, (values / temperature).softmax(1))
""",
        """
def next_char(logits, temperature=1.0, top_k=None):
    import math
    rows = []
    for row in logits.tolist():
        least = sorted(row)[-top_k] if top_k is not None else -math.inf
        weights = [math.exp(v / temperature) if v >= least else 0.0 for v in row]
        rows.append([w / sum(weights) for w in weights])
    return torch.tensor(rows)
""",
    ),
    misconceptions=(
        Misconception(
            "temperature_multiplied",
            choose(scores="logits * temperature"),
            {
                "en": "Your temperature works the other way round: you multiply by it. Hot means wild, all scores near each other: divide by it.",
                "zh": "温度的作用反了：你是乘以温度。温度高意味着更随意、各个得分更接近：应当除以它。",
            },
        ),
        Misconception(
            "temperature_after_softmax",
            choose(
                scores="logits",
                result="(p := torch.softmax(scores, dim=1) / temperature) / p.sum(1, keepdim=True)",
            ),
            {
                "en": "The temperature makes no difference to your result. Perhaps you divide the probabilities by it: that changes all alike, and nothing is left of it once they add up to 1. Divide the scores, before the softmax.",
                "zh": "温度对你的结果没有影响。是不是用它除了概率？所有概率同比变化，归一化之后就什么也没变。应当在 softmax 之前除得分。",
            },
        ),
        Misconception(
            "temperature_not_undone",
            choose(scores="logits", result="torch.softmax(scores, dim=1) / temperature"),
            {
                "en": "Your probabilities do not add up to 1: they are divided by the temperature after the softmax. Divide the scores, before it.",
                "zh": "你的概率加起来不等于 1：温度除在了 softmax 之后。应当在它之前除得分。",
            },
        ),
        Misconception(
            "softmax_over_the_texts",
            choose(result="torch.softmax(scores, dim=0)", cut="-1e9"),
            {
                "en": "Your softmax goes over the texts of the batch (axis 0): columns add up to 1. Each row is one text, and its characters compete: axis 1.",
                "zh": "你的 softmax 做在批量的各个文本之间（第 0 轴）：列之和为 1。每一行是一个文本，应当是该行里的字符互相竞争：第 1 轴。",
            },
        ),
        Misconception(
            "others_get_score_0",
            choose(cut="0.0"),
            {
                "en": "You set the scores of the others to 0. A score of 0 is not a probability of 0: `e⁰ = 1`. Which score gives the probability 0?",
                "zh": "你把其余字符的得分设成了 0。得分 0 并不是概率 0：`e⁰ = 1`。什么样的得分才会得到概率 0？",
            },
        ),
        Misconception(
            "does_not_add_up",
            choose(result="torch.softmax(logits / temperature, dim=1) * keep"),
            {
                "en": "With top-k your probabilities add up to less than 1: what is cut off has to be shared among those that stay. Cut before the softmax, or divide by the sum once more.",
                "zh": "用 top-k 时你的概率之和小于 1：去掉的那部分要分给留下来的。请在 softmax 之前去掉，或再除以一次总和。",
            },
        ),
        Misconception(
            "one_threshold_for_all",
            """
def next_char(logits, temperature=1.0, top_k=None):
    scores = logits / temperature
    if top_k is not None:
        scores = scores.masked_fill(scores < scores.flatten().topk(top_k).values[-1], -1e9)
    return torch.softmax(scores, dim=1)
""",
            {
                "en": "You choose the k best of all texts together. Every text keeps its own k best: `topk(..., dim=1)`.",
                "zh": "你是在所有文本里一共选出 k 个最高的。每个文本要各自保留 k 个：`topk(..., dim=1)`。",
            },
        ),
        Misconception(
            "one_too_few",
            choose(k="top_k - 1"),
            {
                "en": "With top-k you keep one character too few. Perhaps you compare with `>` where the k-th itself is to stay.",
                "zh": "用 top-k 时你少留了一个字符。是不是用了 `>` 来比较？第 k 个本身也要留下。",
            },
        ),
        Misconception(
            "keeps_the_worst",
            choose(largest=False),
            {
                "en": "You keep the k characters with the lowest scores. The best are meant.",
                "zh": "你留下的是得分最低的 k 个字符。应当留下最高的。",
            },
        ),
        Misconception(
            "top_k_ignored",
            """
def next_char(logits, temperature=1.0, top_k=None):
    return torch.softmax(logits / temperature, dim=1)
""",
            {
                "en": "The temperature is right; `top_k` makes no difference to your result yet.",
                "zh": "温度是对的；但 `top_k` 对你的结果还没有影响。",
            },
        ),
    ),
    hints=(
        {
            "en": "Temperature first: divide the scores by it, then the softmax over each row. That is half of the points.",
            "zh": "先做温度：把得分除以它，再对每一行做 softmax。这就有一半的分数。",
        },
        {
            "en": '`logits.topk(k, dim=1)` gives the k largest values of each row and their places. Every other score becomes `float("-inf")`, whose softmax is 0.',
            "zh": '`logits.topk(k, dim=1)` 给出每行最大的 k 个值和它们的位置。其余的得分设为 `float("-inf")`，softmax 之后就是 0。',
        },
    ),
)


EXERCISES = [
    BAG_OF_WORDS,
    RNN_STEP,
    RNN_FORWARD,
    BPTT,
    JACOBIAN_NORMS,
    CLIP_BY_NORM,
    IDENTITY_INIT,
    LSTM_STEP,
    POOL_STATES,
    TRAIN_SENTIMENT,
    TOKEN_LOSS,
    NEXT_CHAR,
]
