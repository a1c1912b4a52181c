"""The exercises of the lab `bert_sentiment`: inputs, comparisons, misconceptions and variants."""

import json
from collections.abc import Sequence

import numpy as np

from coursekit.check.exercise import Accuracy, Equal, Exercise, Misconception, Rules, instructor_folder
from coursekit.check.tree import Tree

# What is ready-made in torch and in the package, and the doors to it.
READY_MADE = (
    "coursekit.models",
    "coursekit.train",
    "coursekit.data",
    "transformers",
    "tokenizers",
    "sentence_transformers",
    *(
        f"torch.nn.functional.{name}"
        for name in ("scaled_dot_product_attention", "multi_head_attention_forward")
    ),
    "torch.nn.MultiheadAttention",
    *(f"torch.nn.Transformer{part}" for part in ("", "Encoder", "EncoderLayer", "Decoder", "DecoderLayer")),
    "torch.nn.attention",
    "torch.nn.modules",
    "torch._native_multi_head_attention",
    "torch._transformer_encoder_layer_fwd",
    "torch._scaled_dot_product_attention_math",
    "torch.ops",
    "torch._C",
)
BY_HAND = Rules(forbid=READY_MADE)

PAD, CLS, SEP, MASK = 0, 101, 102, 103  # as in the lab's setup


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Numbers of a normal distribution with two decimals, which read well in a message."""
    return (rng.standard_normal(shape) * scale).round(2).astype(np.float32)


def away_from_zero(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers of both signs, none of which is small enough to go unnoticed."""
    return (rng.uniform(0.3, 1.2, shape) * rng.choice([-1, 1], shape)).round(2).astype(np.float32)


def words(rng: np.random.Generator, n: int) -> list[int]:
    """Ids of `n` ordinary word pieces, all different."""
    return [int(i) for i in rng.choice(np.arange(1000, 9999), n, replace=False)]


# --- 1 word_pieces ----------------------------------------------------------------------------------------------------

PARTS = (
    "over",
    "watch",
    "play",
    "price",
    "proof",
    "water",
    "able",
    "ful",
    "ness",
    "ing",
    "less",
    "book",
    "shop",
)


def draw_pieces(rng: np.random.Generator, kind: str) -> dict[str, Tree]:
    """A word of four parts, and a vocabulary in which there is more than one way to cut it.

    "whole": single letters help out wherever nothing longer fits. "odd": one sign of the word is in no piece. "stuck":
    the longest first piece leads into a dead end, though a shorter one would not.
    """
    parts = [str(part) for part in rng.choice(PARTS, 4, replace=False)]
    first, second, third, last = parts
    word, rest = "".join(parts), second + third + last
    # The first piece may be longer than the first part, and then the second part no longer fits. What stands here without
    # hashes is a trap for who forgets them within a word.
    vocabulary = {first, first[:1], first[:2], first + second[0], second, third, last, second[1:]}
    vocabulary |= {f"##{piece}" for piece in (first, second, third, last, last[:2])}
    if kind == "stuck":
        vocabulary -= {f"##{rest[1:end]}" for end in range(2, len(rest) + 1)}
    else:
        vocabulary |= {f"##{letter}" for letter in word} | set(word)
        vocabulary.add(f"##{third[-1]}{last}")  # the same trap for who begins at the end
    if kind == "odd":
        word = f"{first}{second}7{third}{last}"
    return {"word": word, "vocabulary": [str(piece) for piece in rng.permutation(sorted(vocabulary))]}


def draw_whole(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_pieces(rng, "whole")


def draw_odd(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_pieces(rng, "odd")


def draw_stuck(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_pieces(rng, "stuck")


def cut(
    ends: str = "range(len(word), start, -1)",
    piece: str = '("##" if start else "") + word[start:end]',
    shown: str = "piece",
    nothing: str = 'return ["[UNK]"]',
) -> str:
    return f"""
def word_pieces(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        for end in {ends}:
            piece = {piece}
            if piece in vocabulary:
                pieces.append({shown})
                start = end
                break
        else:
            {nothing}
    return pieces
"""


WORD_PIECES = Exercise(
    name="word_pieces",
    title={"en": "Cutting a word into pieces", "zh": "把词切成子词"},
    difficulty=2,
    minutes=12,
    draw={"pieces that fit": draw_whole, "a letter in no piece": draw_odd, "a dead end": draw_stuck},
    groups={
        "pieces that fit": {"zh": "切得开的词"},
        "a letter in no piece": {"zh": "有切不了的字母"},
        "a dead end": {"zh": "走进死胡同"},
    },
    examples={
        "pieces that fit": [
            {
                "word": "unwatchable",
                "vocabulary": ["un", "watch", "able", "##watch", "##able", "##a", "##ble"],
            },
            {"word": "bank", "vocabulary": ["b", "##ank", "bank", "##er"]},
        ]
    },
    cases=3,
    compare=Equal(),
    rules=BY_HAND,
    variants=(
        """
def word_pieces(word, vocabulary):
    if not word:
        return []
    pieces, rest, mark = [], word, ""
    while rest:
        n = next((n for n in range(len(rest), 0, -1) if mark + rest[:n] in vocabulary), 0)
        if n == 0:
            return ["[UNK]"]
        pieces.append(mark + rest[:n])
        rest, mark = rest[n:], "##"
    return pieces
""",
        """
def word_pieces(word, vocabulary, mark=""):
    if not word:
        return []
    for n in range(len(word), 0, -1):
        if mark + word[:n] in vocabulary:
            rest = word_pieces(word[n:], vocabulary, "##")
            return ["[UNK]"] if "[UNK]" in rest else [mark + word[:n], *rest]
    return ["[UNK]"]
""",
    ),
    misconceptions=(
        Misconception(
            "shortest_first",
            cut(ends="range(start + 1, len(word) + 1)"),
            {
                "en": "You take the shortest piece that fits, mostly single letters. The longest is meant: begin with the whole rest of the word and shorten it from the end.",
                "zh": "你每次取的是能匹配的最短的一段，多半是单个字母。应当取最长的：从剩下的整个词开始，从末尾一点点缩短。",
            },
        ),
        Misconception(
            "no_hashes_within_the_word",
            cut(piece="word[start:end]"),
            {
                "en": 'You look for the same kind of piece within the word as at its beginning. Within a word only pieces with "##" count: `play` begins a word, `##play` goes on with one.',
                "zh": "词的中间，你找的也是不带“##”的子词。词的中间只能用带“##”的：`play` 是词的开头，`##play` 是接着前面的。",
            },
        ),
        Misconception(
            "hashes_lost_in_the_result",
            cut(shown='piece.removeprefix("##")'),
            {
                "en": 'The cuts are right. But the pieces within the word are called by their names in the vocabulary, with "##" in front; without it they are other pieces.',
                "zh": "切得对。但词中间的子词要写出它在词表里的名字，前面带“##”；去掉之后就成了另一个子词。",
            },
        ),
        Misconception(
            "hashes_in_the_result_only",
            cut(piece="word[start:end]", shown='("##" if start else "") + piece'),
            {
                "en": 'You write "##" into the result, but look the piece up without it. Within a word the piece has to be in the vocabulary as it stands there: with "##".',
                "zh": "你在结果里写上了“##”，查词表时却没带。词的中间，要查的就是带“##”的那个子词。",
            },
        ),
        Misconception(
            "only_the_rest_is_unknown",
            cut(nothing='return [*pieces, "[UNK]"]'),
            {
                "en": "Where nothing fits you keep the pieces that you have and call the rest unknown. BERT gives up the whole word then: the answer is `[UNK]` alone.",
                "zh": "匹配不下去时，你保留了前面的子词，只把剩下的记为未知。BERT 的做法是放弃整个词：结果只有一个 `[UNK]`。",
            },
        ),
        Misconception(
            "only_the_letter_is_unknown",
            cut(nothing='pieces.append("[UNK]"); start += 1'),
            {
                "en": "Where nothing fits you call one letter unknown and go on. BERT gives up the whole word then: the answer is `[UNK]` alone.",
                "zh": "匹配不下去时，你把一个字母记为未知，然后接着切。BERT 的做法是放弃整个词：结果只有一个 `[UNK]`。",
            },
        ),
        Misconception(
            "whole_word_or_nothing",
            """
def word_pieces(word, vocabulary):
    return [word] if word in vocabulary else ["[UNK]"]
""",
            {
                "en": "You look up whole words, and all others are unknown: that is the vocabulary of the sequence lab. Here a word that is not listed is put together from pieces.",
                "zh": "你只查整个词，查不到就算未知：那是“序列”实验里的词表。这里，词表里没有的词要用子词拼起来。",
            },
        ),
        Misconception(
            "fewest_pieces",
            """
def word_pieces(word, vocabulary):
    best = {0: []}
    for end in range(1, len(word) + 1):
        ways = [
            [*best[start], ("##" if start else "") + word[start:end]]
            for start in range(end)
            if start in best and ("##" if start else "") + word[start:end] in vocabulary
        ]
        if ways:
            best[end] = min(ways, key=len)
    return best.get(len(word), ["[UNK]"])
""",
            {
                "en": "You look for the cut with the fewest pieces. BERT is greedier and simpler: it takes the longest piece at the beginning, then the longest at the beginning of the rest, and never looks ahead.",
                "zh": "你找的是子词个数最少的切法。BERT 更“贪心”也更简单：先取开头最长的一段，再取剩余部分开头最长的一段，从不往后看。",
            },
        ),
        Misconception(
            "goes_back",
            """
def word_pieces(word, vocabulary):
    def cut(start):
        if start == len(word):
            return []
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary and (rest := cut(end)) is not None:
                return [piece, *rest]
        return None
    found = cut(0)
    return ["[UNK]"] if found is None else found
""",
            {
                "en": "In a dead end you go back and try a shorter piece. That finds more words, but BERT's rule does not do it: a piece once taken is taken, and if nothing fits after it the word is `[UNK]`.",
                "zh": "走进死胡同时，你会退回去换一个短一点的子词。这样能切开更多的词，但 BERT 的规则不这么做：取了就不反悔，后面接不下去，整个词就是 `[UNK]`。",
            },
        ),
        Misconception(
            "longest_from_the_end",
            """
def word_pieces(word, vocabulary):
    pieces, end = [], len(word)
    while end:
        for start in range(end):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                pieces.insert(0, piece)
                end = start
                break
        else:
            return ["[UNK]"]
    return pieces
""",
            {
                "en": "You cut from the end of the word: the longest ending first. BERT cuts from the beginning.",
                "zh": "你是从词尾往前切的：先取最长的词尾。BERT 从词首开始切。",
            },
        ),
    ),
    hints=(
        {
            "en": "Two positions will do: `start`, where the next piece begins, and `end`, which runs from the end of the word down to `start`.",
            "zh": "两个位置就够了：`start` 是下一个子词的起点，`end` 从词尾往回走到 `start`。",
        },
        {
            "en": '`("##" if start > 0 else "") + word[start:end]` is what to look for in the vocabulary. If `end` has come down to `start`, nothing fits.',
            "zh": '要在词表里查的是 `("##" if start > 0 else "") + word[start:end]`。如果 `end` 一直退到了 `start`，就是匹配不了。',
        },
    ),
)


# --- 2 bert_input -----------------------------------------------------------------------------------------------------


def draw_one_sentence(rng: np.random.Generator) -> dict[str, Tree]:
    n = int(rng.integers(2, 5))
    return {"a": words(rng, n), "b": None, "max_length": n + 2 + int(rng.integers(1, 4))}


def draw_long_sentence(rng: np.random.Generator) -> dict[str, Tree]:
    """It is cut to just what room there is with two special tokens."""
    n = int(rng.integers(6, 9))
    return {"a": words(rng, n), "b": None, "max_length": n + 2 - int(rng.integers(1, 3))}


def draw_pair(rng: np.random.Generator) -> dict[str, Tree]:
    n, m = (int(i) for i in rng.choice([2, 3, 4, 5], 2, replace=False))
    return {"a": words(rng, n), "b": words(rng, m), "max_length": n + m + 3 + int(rng.integers(1, 4))}


def draw_one_too_long(rng: np.random.Generator) -> dict[str, Tree]:
    """One of the two is so much longer that it alone is cut."""
    long, short = words(rng, int(rng.integers(8, 10))), words(rng, int(rng.integers(2, 4)))
    a, b = (long, short) if rng.random() < 0.5 else (short, long)
    return {"a": a, "b": b, "max_length": 3 + int(rng.integers(7, 9))}


def draw_both_too_long(rng: np.random.Generator) -> dict[str, Tree]:
    """Both are cut; the second is one shorter where they cannot be equally long."""
    n = int(rng.integers(5, 7))
    return {"a": words(rng, n), "b": words(rng, n), "max_length": 3 + 7}


def form_input(
    room: str = "max_length - (2 if b is None else 3)",
    cutting: str = "(a if len(a) > len(b) else b).pop()",
    ids: str = "[CLS, *a, SEP] + ([*b, SEP] if pair else [])",
    segments: str = "[0] * (len(a) + 2) + [1] * (len(ids) - len(a) - 2)",
    real: str = "[1] * len(ids)",
    result: str = "ids + padding, segments + padding, real + padding",
    after: str = "",
) -> str:
    return f"""
def bert_input(a, b, max_length):
    room, pair = {room}, b is not None
    a, b = list(a), list(b or [])
    while len(a) + len(b) > room:
        {cutting}
    ids = {ids}
    segments = {segments}
    real = {real}
    {after}
    padding = [0] * (max_length - len(ids))
    return {result}
"""


BERT_INPUT = Exercise(
    name="bert_input",
    title={"en": "What BERT reads", "zh": "BERT 的输入"},
    difficulty=1,
    minutes=15,
    draw={
        "one text": draw_one_sentence,
        "one text, too long": draw_long_sentence,
        "a pair": draw_pair,
        "one is too long": draw_one_too_long,
        "both are too long": draw_both_too_long,
    },
    groups={
        "one text": {"zh": "一段文本"},
        "one text, too long": {"zh": "一段文本，太长"},
        "a pair": {"zh": "两段文本"},
        "one is too long": {"zh": "其中一段太长"},
        "both are too long": {"zh": "两段都太长"},
    },
    examples={
        "one text": [{"a": [4012, 3309], "b": None, "max_length": 6}],
        "a pair": [{"a": [4012, 3309], "b": [7115], "max_length": 8}],
    },
    cases=2,
    compare=Equal(),
    rules=BY_HAND,
    variants=(
        """
def bert_input(a, b, max_length):
    parts = [list(a)] if b is None else [list(a), list(b)]
    while sum(map(len, parts)) + len(parts) + 1 > max_length:
        longest = max(range(len(parts)), key=lambda i: (len(parts[i]), i))
        parts[longest] = parts[longest][:-1]
    ids, segments = [101], [0]
    for number, part in enumerate(parts):
        ids += [*part, 102]
        segments += [number] * (len(part) + 1)
    missing = max_length - len(ids)
    return ids + [0] * missing, segments + [0] * missing, [1] * len(ids) + [0] * missing
""",
        """
def bert_input(a, b, max_length):
    first, second = torch.tensor(a), torch.tensor([] if b is None else b).long()
    special = 2 if b is None else 3
    while len(first) + len(second) + special > max_length:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    ids, segments, real = torch.zeros(3, max_length, dtype=torch.int64)
    ids[0] = CLS
    ids[1 : 1 + len(first)] = first
    ids[1 + len(first)] = SEP
    n = len(first) + 2
    if b is not None:
        ids[n : n + len(second)] = second
        ids[n + len(second)] = SEP
        segments[n : n + len(second) + 1] = 1
        n += len(second) + 1
    real[:n] = 1
    return ids, segments, real
""",
    ),
    misconceptions=(
        Misconception(
            "special_tokens_forgotten",
            form_input(room="max_length", ids="a + b", segments="[0] * len(a) + [1] * len(b)"),
            {
                "en": "The special tokens are missing. BERT has been trained on `[CLS] a [SEP] b [SEP]`; without them it reads something that it has never seen, and there is no `[CLS]` whose vector could stand for the whole.",
                "zh": "缺了特殊词元。BERT 是在 `[CLS] a [SEP] b [SEP]` 上训练出来的；没有它们，它读到的就是从未见过的东西，也没有可以代表整句的 `[CLS]`。",
            },
        ),
        Misconception(
            "last_sep_forgotten",
            form_input(
                room="max_length - (1 if b is None else 2)", ids="[CLS, *a] + ([SEP, *b] if pair else [])"
            ),
            {
                "en": "The last `[SEP]` is missing. Each text is closed by one, the last one too.",
                "zh": "缺了最后一个 `[SEP]`。每段文本都以 `[SEP]` 结尾，最后一段也一样。",
            },
        ),
        Misconception(
            "middle_sep_forgotten",
            form_input(
                room="max_length - 2",
                ids="[CLS, *a, *b, SEP]",
                segments="[0] * (len(a) + 1) + [1] * (len(b) + 1) if pair else [0] * len(ids)",
            ),
            {
                "en": "Between the two texts the `[SEP]` is missing: each of them is closed by one.",
                "zh": "两段文本之间缺了 `[SEP]`：每一段都要以它结尾。",
            },
        ),
        Misconception(
            "always_as_if_a_pair",
            form_input(
                room="max_length - 3",
                ids="[CLS, *a, SEP, *b, SEP]",
                segments="[0] * (len(a) + 2) + [1] * (len(b) + 1)",
            ),
            {
                "en": "Where there is one text only you still close a second one: two `[SEP]` in a row. After `b = list(b or [])` nothing tells an absent text from an empty one, so note `b is None` before.",
                "zh": "只有一段文本，你却写了两个 `[SEP]`。`b = list(b or [])` 之后就看不出有没有第二段了，要事先记下 `b is None`。",
            },
        ),
        Misconception(
            "three_places_always",
            form_input(room="max_length - 3"),
            {
                "en": "You always keep three places free. A single text has two special tokens only, `[CLS]` and one `[SEP]`, so one more of its own tokens fits in.",
                "zh": "你总是留出三个位置。只有一段文本时只有两个特殊词元（`[CLS]` 和一个 `[SEP]`），你少放了一个词元。",
            },
        ),
        Misconception(
            "cut_after_the_special_tokens",
            form_input(
                room="10**6",
                after="ids, segments, real = ids[:max_length], segments[:max_length], real[:max_length]",
            ),
            {
                "en": "What is too long is cut at the very end, and with it goes the last `[SEP]`. Count the special tokens first, and cut the texts to what room is left.",
                "zh": "你在最末尾截断，把最后的 `[SEP]` 也截掉了。应当先给特殊词元留好位置，再把文本截到剩下的长度。",
            },
        ),
        Misconception(
            "each_cut_to_half",
            form_input(
                cutting="""half = room // 2
        a, b = (a[:half], b[: room - half]) if pair else (a[:room], b)"""
            ),
            {
                "en": "You give each text half of the room, even where one of them needs less. Only the longer one is cut, token by token, until the pair fits.",
                "zh": "你给两段各留一半位置，哪怕其中一段用不了那么多。应当一个一个地截较长的那段，直到放得下为止。",
            },
        ),
        Misconception(
            "only_the_second_is_cut",
            form_input(cutting="(b or a).pop()"),
            {
                "en": "You cut the second text only, down to nothing if need be. Cut from the longer of the two.",
                "zh": "你只截第二段，甚至把它截光。应当从两段中较长的那段截。",
            },
        ),
        Misconception(
            "first_cut_where_equal",
            form_input(cutting="(b if len(b) > len(a) else a).pop()"),
            {
                "en": "Nearly. Where both texts are equally long you cut the first one; here it is to be the second. (Somebody has to decide it, or two programs read the same pair differently.)",
                "zh": "只差一点。两段一样长时，你截的是第一段；这里规定截第二段。（这种事总得有个规定，否则两个程序读同一对句子会不一样。）",
            },
        ),
        Misconception(
            "cut_from_the_front",
            form_input(cutting="(a if len(a) > len(b) else b).pop(0)"),
            {
                "en": "You cut from the front of the text. Cut from its end.",
                "zh": "你从文本开头截掉了词元。应当从末尾截。",
            },
        ),
        Misconception(
            "first_sep_in_segment_1",
            form_input(
                segments="[0] * (len(a) + 1) + [1] * (len(ids) - len(a) - 1) if pair else [0] * len(ids)"
            ),
            {
                "en": "The first `[SEP]` closes the first text, so it belongs to segment 0. You have it in segment 1.",
                "zh": "第一个 `[SEP]` 是第一段的结尾，属于第 0 段。你把它放进了第 1 段。",
            },
        ),
        Misconception(
            "padding_in_segment_1",
            form_input(result="ids + padding, segments + [1] * len(padding), real + padding"),
            {
                "en": "Ids and mask are right. Your padding is of segment 1; it belongs to no text and is given a 0.",
                "zh": "编号和掩码都对。但你把填充算进了第 1 段；填充不属于任何一段，应当填 0。",
            },
        ),
        Misconception(
            "special_tokens_masked",
            form_input(real="[int(i not in (CLS, SEP)) for i in ids]"),
            {
                "en": "Your mask hides `[CLS]` and `[SEP]`. They are real tokens, which the others may look at; only padding is hidden.",
                "zh": "你的掩码把 `[CLS]` 和 `[SEP]` 也遮住了。它们是真实的词元，别的词元可以看；要遮的只有填充。",
            },
        ),
        Misconception(
            "mask_the_other_way_round",
            form_input(result="ids + padding, segments + padding, [0] * len(ids) + [1] * len(padding)"),
            {
                "en": "Your mask is the other way round: 1 stands for a real token, 0 for padding.",
                "zh": "掩码反了：1 表示真实词元，0 表示填充。",
            },
        ),
    ),
    hints=(
        {
            "en": "First cut, then add the special tokens, then fill up. How much room do the special tokens leave, for one text and for two?",
            "zh": "先截断，再加特殊词元，最后填充。特殊词元之外还剩多少位置？一段文本是多少，两段又是多少？",
        },
        {
            "en": "Note first whether there is a second text, `two = b is not None`. Then work on copies, `a, b = list(a), list(b or [])`: `while len(a) + len(b) > room:` drop the last token of the longer one.",
            "zh": "先记下有没有第二段：`two = b is not None`。再在副本上做，`a, b = list(a), list(b or [])`：只要 `len(a) + len(b) > room`，就去掉较长那段的最后一个词元。",
        },
    ),
)


# --- 3 embed ----------------------------------------------------------------------------------------------------------


def draw_embeddings(rng: np.random.Generator, pair: bool) -> dict[str, Tree]:
    B, T, D, V = 2, int(rng.integers(5, 7)), 4, 9
    segments = np.zeros((B, T), dtype=np.int64)
    if pair:
        for row, begin in zip(segments, rng.choice([2, 3], B), strict=True):
            row[begin : T - int(rng.integers(0, 2))] = 1
    return {
        "ids": rng.integers(0, V, (B, T)),
        "segments": segments,
        "token": normal(rng, V, D),
        "position": normal(rng, T + 3, D),
        "segment": normal(rng, 2, D),
        "gamma": away_from_zero(rng, D),
        "beta": away_from_zero(rng, D),
    }


def draw_single_text(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_embeddings(rng, False)


def draw_two_texts(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_embeddings(rng, True)


def embedded(
    token: str = "token[ids]",
    position: str = "position[: ids.shape[1]]",
    segment: str = "segment[segments]",
    total: str = "t + p + s",
    result: str = "F.layer_norm(E, (E.shape[-1],), gamma, beta, eps=1e-12)",
) -> str:
    return f"""
def embed(ids, segments, token, position, segment, gamma, beta):
    t, p, s = {token}, {position}, {segment}
    E = {total}
    return {result}
"""


EMBED = Exercise(
    name="embed",
    title={"en": "Three embeddings in one", "zh": "三种嵌入合而为一"},
    difficulty=1,
    minutes=10,
    draw={"one text": draw_single_text, "two texts": draw_two_texts},
    groups={"one text": {"zh": "一段文本"}, "two texts": {"zh": "两段文本"}},
    cases=2,
    rules=BY_HAND,
    variants=(
        """
def embed(ids, segments, token, position, segment, gamma, beta):
    steps = torch.arange(ids.shape[1])
    E = F.embedding(ids, token) + F.embedding(steps, position) + F.embedding(segments, segment)
    mean = E.mean(-1, keepdim=True)
    variance = ((E - mean) ** 2).mean(-1, keepdim=True)
    return gamma * (E - mean) / torch.sqrt(variance + 1e-12) + beta
""",
        """
def embed(ids, segments, token, position, segment, gamma, beta):
    rows = []
    for row, kinds in zip(ids.tolist(), segments.tolist()):
        rows.append(torch.stack([token[i] + position[t] + segment[k] for t, (i, k) in enumerate(zip(row, kinds))]))
    E = torch.stack(rows)
    E = (E - E.mean(2, keepdim=True)) / E.std(2, unbiased=False, keepdim=True)
    return E * gamma + beta
""",
    ),
    misconceptions=(
        Misconception(
            "positions_forgotten",
            embedded(total="t + s"),
            {
                "en": "You get what comes out without the positions. Attention does not see the order by itself; it is only through them that BERT knows what stands where.",
                "zh": "你的结果恰好是没有加位置嵌入的结果。注意力本身看不见次序，BERT 全靠位置嵌入知道什么词在什么地方。",
            },
        ),
        Misconception(
            "segments_forgotten",
            embedded(total="t + p"),
            {
                "en": "You get what comes out without the segments. A single text has one as well: each of its tokens gets the vector of segment 0.",
                "zh": "你的结果恰好是没有加段嵌入的结果。只有一段文本时也要加：每个词元都加第 0 段的向量。",
            },
        ),
        Misconception(
            "everything_in_segment_0",
            embedded(segment="segment[0]"),
            {
                "en": "Every token gets the vector of segment 0. For a pair, `segments` says which of the two it is: `segment[segments]`.",
                "zh": "所有词元加的都是第 0 段的向量。两段文本时要看 `segments` 是几：`segment[segments]`。",
            },
        ),
        Misconception(
            "positions_from_one",
            embedded(position="position[1 : ids.shape[1] + 1]"),
            {
                "en": "Your positions begin at 1. The first token, `[CLS]`, stands at position 0.",
                "zh": "你的位置从 1 开始。第一个词元 `[CLS]` 的位置是 0。",
            },
        ),
        Misconception(
            "positions_begin_again",
            embedded(
                position="position[torch.arange(ids.shape[1]) - segments * segments.argmax(1, keepdim=True)]"
            ),
            {
                "en": "In the second text your positions begin at 0 again. They count on through the whole input; which text it is, the segments say.",
                "zh": "到第二段文本，你的位置又从 0 数起。位置在整个输入里一直往下数；属于哪一段，由段嵌入来说。",
            },
        ),
        Misconception(
            "whole_position_table",
            embedded(position="position"),
            {
                "en": "You add the whole table of positions, which has more rows than there are tokens. Only its first T rows are meant: `position[: ids.shape[1]]`.",
                "zh": "你加上了整张位置表，它的行数比词元多。只要前 T 行：`position[: ids.shape[1]]`。",
            },
        ),
        Misconception(
            "positions_by_id",
            embedded(position="position[ids]"),
            {
                "en": "You look the positions up by the ids of the words. A position says where a token stands, whatever it is: rows 0 to T - 1 of the table.",
                "zh": "你用词的编号去查位置表。位置说的是词元站在哪里，和它是什么词无关：用表的第 0 到 T - 1 行。",
            },
        ),
        Misconception(
            "norm_forgotten",
            embedded(result="E"),
            {
                "en": "The sum is right. The layer normalisation after it is missing.",
                "zh": "和是对的，但后面少了层归一化。",
            },
        ),
        Misconception(
            "scale_and_shift_forgotten",
            embedded(result="F.layer_norm(E, (E.shape[-1],), eps=1e-12)"),
            {
                "en": "Normalised rightly, to mean 0 and variance 1. But then each of the D numbers is multiplied by its own `gamma`, and its own `beta` is added.",
                "zh": "归一化是对的：均值 0，方差 1。但之后 D 个数还要各自乘以自己的 `gamma`，再加上自己的 `beta`。",
            },
        ),
        Misconception(
            "norm_over_the_text",
            embedded(
                result="(E - E.mean((1, 2), keepdim=True)) / E.std((1, 2), unbiased=False, keepdim=True) * gamma + beta"
            ),
            {
                "en": "You normalise over all tokens of a text together. Layer normalisation takes each token by itself: mean and variance of its own D numbers.",
                "zh": "你是对整段文本的所有词元一起归一化的。层归一化是每个词元各做各的：用它自己那 D 个数的均值和方差。",
            },
        ),
        Misconception(
            "norm_over_the_batch",
            embedded(result="(E - E.mean((0, 1))) / E.std((0, 1), unbiased=False) * gamma + beta"),
            {
                "en": "That is batch normalisation: each number is normalised over all tokens of the batch. Layer normalisation takes each token by itself, over its D numbers.",
                "zh": "这是批归一化：每个数在整个批量的词元之间归一化。层归一化是每个词元自己做，在它的 D 个数之间。",
            },
        ),
        Misconception(
            "variance_with_n_minus_one",
            embedded(result="(E - E.mean(-1, keepdim=True)) / E.std(-1, keepdim=True) * gamma + beta"),
            {
                "en": "Your variance divides by D - 1, as `std` does by default. Layer normalisation divides by D: `unbiased=False`.",
                "zh": "你的方差除以的是 D - 1（`std` 默认如此）。层归一化除以 D：`unbiased=False`。",
            },
        ),
        Misconception(
            "side_by_side",
            embedded(
                total="torch.cat([t, p.expand_as(t), s.expand_as(t)], -1)",
                result="F.layer_norm(E, (E.shape[-1],), eps=1e-12)",
            ),
            {
                "en": "You put the three vectors side by side, 3D numbers. They are added, so that there are still D.",
                "zh": "你把三个向量拼在了一起，成了 3D 个数。它们应当相加，仍然是 D 个数。",
            },
        ),
        Misconception(
            "normalised_one_by_one",
            embedded(
                total="sum(F.layer_norm(x, (token.shape[1],), eps=1e-12) for x in (t, p, s))",
                result="E * gamma + beta",
            ),
            {
                "en": "You normalise each of the three embeddings and then add them. Add first; there is one normalisation, of the sum.",
                "zh": "你先把三种嵌入各自归一化再相加。应当先相加：只对和做一次归一化。",
            },
        ),
    ),
    hints=(
        {
            "en": "A table is read with ids in square brackets: `token[ids]` has shape $(B, T, D)$. Which rows of `position` belong to $T$ tokens?",
            "zh": "用编号做下标就能查表：`token[ids]` 的形状是 $(B, T, D)$。$T$ 个词元要用 `position` 的哪几行？",
        },
        {
            "en": "`F.layer_norm(E, (E.shape[-1],), gamma, beta, eps=1e-12)` normalises over the last axis.",
            "zh": "`F.layer_norm(E, (E.shape[-1],), gamma, beta, eps=1e-12)` 在最后一个轴上做归一化。",
        },
    ),
)


# --- 4 attention ------------------------------------------------------------------------------------------------------


def draw_qkv(rng: np.random.Generator, lengths: list[int], T: int, d: int) -> dict[str, Tree]:
    B = len(lengths)
    return {
        "Q": normal(rng, B, T, d, scale=1.3),
        "K": normal(rng, B, T, d, scale=1.3),
        "V": normal(rng, B, T, d),
        "lengths": np.array(lengths),
    }


def draw_full(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_qkv(rng, [4, 4], 4, 3)


def draw_padded(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_qkv(rng, [int(i) for i in rng.permutation([5, 3, 2])], 5, 3)


def draw_square(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_qkv(rng, [3, int(rng.integers(1, 3))], 3, 3)


def attend(
    scores: str = "Q @ K.transpose(1, 2) / Q.shape[-1] ** 0.5",
    masked: str = 'scores.masked_fill(~real[:, None, :], float("-inf"))',
    weights: str = "torch.softmax(scores, dim=-1)",
    result: str = "weights @ V, weights",
) -> str:
    return f"""
def attention(Q, K, V, lengths):
    B, T, d = Q.shape
    real = torch.arange(T) < lengths[:, None]
    scores = {scores}
    scores = {masked}
    weights = {weights}
    return {result}
"""


ATTENTION = Exercise(
    name="attention",
    title={"en": "Attention by hand", "zh": "动手写注意力"},
    difficulty=2,
    minutes=15,
    draw={"no padding": draw_full, "padding": draw_padded, "T = d": draw_square},
    groups={"no padding": {"zh": "没有填充"}, "padding": {"zh": "有填充"}},
    cases=2,
    rules=BY_HAND,
    variants=(
        """
def attention(Q, K, V, lengths):
    scores = torch.einsum("bqd,bkd->bqk", Q, K) / torch.tensor(Q.shape[2]).sqrt()
    padded = torch.arange(Q.shape[1])[None, None, :] >= lengths[:, None, None]
    weights = F.softmax(scores.masked_fill(padded, -1e9), dim=2)
    return torch.einsum("bqk,bkd->bqd", weights, V), weights
""",
        """
def attention(Q, K, V, lengths):
    B, T, d = Q.shape
    weights = torch.zeros(B, T, T)
    for b, n in enumerate(lengths.tolist()):
        weights[b, :, :n] = torch.softmax(Q[b] @ K[b, :n].T / d**0.5, dim=1)
    return weights @ V, weights
""",
        """
def attention(Q, K, V, lengths):
    real = (torch.arange(K.shape[1]) < lengths[:, None]).float()[:, None, :]
    powers = torch.exp(torch.bmm(Q, K.mT) / Q.shape[-1] ** 0.5) * real
    weights = powers / powers.sum(-1, keepdim=True)
    return torch.bmm(weights, V), weights
""",
    ),
    misconceptions=(
        Misconception(
            "no_mask_on_padding",
            attend(masked="scores"),
            {
                "en": "Right where nothing is padded. Elsewhere the tokens attend to the padding as well: the same sentence gets another result when a longer one stands beside it in the batch. What is the score of a token that nobody may look at?",
                "zh": "没有填充时是对的。有填充时，词元把注意力也分给了填充：同一个句子，旁边放一个更长的句子，结果就变了。不许看的词元，得分应该是多少？",
            },
        ),
        Misconception(
            "divided_by_d",
            attend(scores="Q @ K.transpose(1, 2) / Q.shape[-1]"),
            {
                "en": "You divide by `d`. It is the square root of `d`: a sum of d products of numbers with variance 1 has variance d, so its standard deviation is √d.",
                "zh": "你除以了 `d`。应当除以 `d` 的平方根：d 个方差为 1 的乘积之和，方差是 d，标准差是 √d。",
            },
        ),
        Misconception(
            "not_scaled",
            attend(scores="Q @ K.transpose(1, 2)"),
            {
                "en": "You get what comes out without the division by √d. Without it the scores grow with d, and the softmax gives nearly everything to one token.",
                "zh": "你的结果恰好是没有除以 √d 的结果。不除的话，得分随 d 变大，softmax 会把几乎全部权重给一个词元。",
            },
        ),
        Misconception(
            "scaled_by_the_length",
            attend(scores="Q @ K.transpose(1, 2) / Q.shape[1] ** 0.5"),
            {
                "en": "You divide by the square root of the number of tokens. It is the number of features, `d = Q.shape[-1]`.",
                "zh": "你除以的是词元个数的平方根。应当用特征数 `d = Q.shape[-1]`。",
            },
        ),
        Misconception(
            "softmax_over_the_queries",
            attend(
                weights="torch.softmax(scores, dim=1).nan_to_num()",
                masked="scores.masked_fill(~real[:, None, :], -1e9)",
            ),
            {
                "en": "Your columns add up to 1: the softmax goes over the queries. Each row is one token that shares out its attention among all others, so the rows add up to 1: `dim=-1`.",
                "zh": "你的每一列之和为 1：softmax 做在了查询之间。每一行是一个词元，它把自己的注意力分给大家，所以应当是每一行之和为 1：`dim=-1`。",
            },
        ),
        Misconception(
            "rows_masked_instead",
            attend(masked="scores.masked_fill(~real[:, :, None], -1e9)"),
            {
                "en": "You mask the rows of the padding, that is, padding as a query. What has to be hidden is padding as a key, its column: then nobody looks at it.",
                "zh": "你遮的是填充所在的行，也就是作为查询的填充。应当遮住作为键的填充，也就是它的列：这样谁都看不到它。",
            },
        ),
        Misconception(
            "rows_and_columns_masked",
            attend(masked='scores.masked_fill(~(real[:, None, :] & real[:, :, None]), float("-inf"))'),
            {
                "en": "You set the whole rows of the padding to minus infinity, and a softmax of nothing else is 0/0: NaN. Hide the columns only, `real[:, None, :]`; what comes out in the rows of the padding nobody uses.",
                "zh": "你把填充所在的整行也设成了负无穷，softmax 就成了 0/0，结果是 NaN。只遮列：`real[:, None, :]`；填充那几行算出什么，没有人会用。",
            },
        ),
        Misconception(
            "rows_masked_with_infinity",
            attend(masked='scores.masked_fill(~real[:, :, None], float("-inf"))'),
            {
                "en": "You mask the rows of the padding, that is, padding as a query, and a softmax of minus infinity alone is 0/0: NaN. What has to be hidden is padding as a key, its column: `real[:, None, :]`.",
                "zh": "你遮的是填充所在的行，也就是作为查询的填充，而整行负无穷的 softmax 是 0/0，结果是 NaN。应当遮住作为键的填充，也就是它的列：`real[:, None, :]`。",
            },
        ),
        Misconception(
            "masked_score_0",
            attend(masked="scores.masked_fill(~real[:, None, :], 0.0)"),
            {
                "en": "You set the scores of padding to 0. A score of 0 still gets a share, `e⁰ = 1`; the score whose softmax is 0 is minus infinity.",
                "zh": "你把填充的得分设成了 0。得分 0 照样分得到权重，因为 `e⁰ = 1`；softmax 之后为 0 的得分是负无穷。",
            },
        ),
        Misconception(
            "masked_after_the_softmax",
            attend(masked="scores", weights="torch.softmax(scores, dim=-1) * real[:, None, :]"),
            {
                "en": "You take the padding out after the softmax, so that the rows no longer add up to 1. Take it out before: then its share goes to the real tokens.",
                "zh": "你在 softmax 之后才去掉填充，于是每一行之和不再是 1。应当在之前去掉：这样它的份额会分给真实的词元。",
            },
        ),
        Misconception(
            "keys_not_transposed",
            attend(scores="Q @ K / Q.shape[-1] ** 0.5"),
            {
                "en": "`Q @ K` multiplies rows with columns. The score of i and j is the dot product of row i of Q and row j of K: K has to be turned, `K.transpose(1, 2)`. Where T happens to equal d, no error tells you.",
                "zh": "`Q @ K` 是行乘列。i 和 j 的得分是 Q 的第 i 行与 K 的第 j 行的内积：K 要转置，`K.transpose(1, 2)`。要是碰巧 T = d，这个错误还不会报出来。",
            },
        ),
        Misconception(
            "queries_and_keys_swapped",
            attend(scores="K @ Q.transpose(1, 2) / Q.shape[-1] ** 0.5"),
            {
                "en": "Your scores are turned: row i has the products of key i with all queries. Row i belongs to query i: `Q @ K.transpose(1, 2)`.",
                "zh": "你的得分矩阵转置了：第 i 行是第 i 个键与所有查询的内积。第 i 行应当属于第 i 个查询：`Q @ K.transpose(1, 2)`。",
            },
        ),
        Misconception(
            "softmax_forgotten",
            attend(masked="scores.masked_fill(~real[:, None, :], 0.0)", weights="scores"),
            {
                "en": "There is no softmax: your weights may be negative and do not add up to 1.",
                "zh": "没有做 softmax：你的权重可能是负数，加起来也不等于 1。",
            },
        ),
        Misconception(
            "values_forgotten",
            attend(result="weights @ K, weights"),
            {
                "en": "Your weights are right. They say how much of each value `V` is taken; you mix the keys.",
                "zh": "权重是对的。权重说的是各取多少“值” `V`，而你混合的是键。",
            },
        ),
        Misconception(
            "weights_first",
            attend(result="weights, weights @ V"),
            {
                "en": "Both are right but in the wrong order: first what comes out, then the weights.",
                "zh": "两个都对，但次序反了：先输出，后权重。",
            },
        ),
    ),
    hints=(
        {
            "en": "All scores at once: `Q @ K.transpose(1, 2)` has shape $(B, T, T)$, row $i$ for query $i$.",
            "zh": "一次算出所有得分：`Q @ K.transpose(1, 2)` 的形状是 $(B, T, T)$，第 $i$ 行属于第 $i$ 个查询。",
        },
        {
            "en": '`real = torch.arange(T) < lengths[:, None]` is $(B, T)$. With `real[:, None, :]` it speaks of the columns: `scores.masked_fill(~real[:, None, :], float("-inf"))`.',
            "zh": '`real = torch.arange(T) < lengths[:, None]` 的形状是 $(B, T)$。写成 `real[:, None, :]` 就是针对列的：`scores.masked_fill(~real[:, None, :], float("-inf"))`。',
        },
    ),
)


# --- 5 multi_head -----------------------------------------------------------------------------------------------------


def draw_heads(rng: np.random.Generator, num_heads: int, d: int, lengths: list[int]) -> dict[str, Tree]:
    D, B = num_heads * d, len(lengths)
    return {
        "X": normal(rng, B, max(lengths), D),
        "lengths": np.array(lengths),
        "W_qkv": normal(rng, 3 * D, D, scale=0.7),
        "b_qkv": away_from_zero(rng, 3 * D),
        "W_o": normal(rng, D, D, scale=0.6),
        "b_o": away_from_zero(rng, D),
        "num_heads": num_heads,
    }


def draw_one_head(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_heads(rng, 1, 4, [3, 3])


def draw_many_heads(rng: np.random.Generator) -> dict[str, Tree]:
    num_heads, d = (int(i) for i in rng.permutation([2, 3]))
    return draw_heads(rng, num_heads, d, [4, 4])


def draw_heads_and_padding(rng: np.random.Generator) -> dict[str, Tree]:
    num_heads, d = (int(i) for i in rng.permutation([2, 3]))
    return draw_heads(rng, num_heads, d, [int(i) for i in rng.permutation([5, 2])])


def heads(
    qkv: str = "(X @ W_qkv.T + b_qkv).chunk(3, dim=-1)",
    split: str = "[(Q[..., i * d : i * d + d], K[..., i * d : i * d + d], V[..., i * d : i * d + d]) for i in range(num_heads)]",
    found: str = "[attention(q, k, v, lengths)[0] for q, k, v in parts]",
    joined: str = "torch.cat(found, dim=-1)",
    result: str = "joined @ W_o.T + b_o",
) -> str:
    return f"""
def multi_head(X, lengths, W_qkv, b_qkv, W_o, b_o, num_heads):
    B, T, D = X.shape
    d = D // num_heads
    Q, K, V = {qkv}
    parts = {split}
    found = {found}
    joined = {joined}
    return {result}
"""


def folded(split: str, join: str) -> str:
    """All heads at once, as further rows of the batch."""
    return f"""
def multi_head(X, lengths, W_qkv, b_qkv, W_o, b_o, num_heads):
    B, T, D = X.shape
    N, d = num_heads, D // num_heads

    def split(Z):
        return {split}.reshape(B * N, T, d)

    Q, K, V = (X @ W_qkv.T + b_qkv).chunk(3, dim=-1)
    A, _ = attention(split(Q), split(K), split(V), lengths.repeat_interleave(N))
    A = A.reshape(B, N, T, d)
    return {join} @ W_o.T + b_o
"""


MULTI_HEAD = Exercise(
    name="multi_head",
    title={"en": "Several heads", "zh": "多头注意力"},
    difficulty=3,
    minutes=20,
    draw={
        "one head": draw_one_head,
        "several heads": draw_many_heads,
        "heads and padding": draw_heads_and_padding,
    },
    groups={
        "one head": {"zh": "一个头"},
        "several heads": {"zh": "多个头"},
        "heads and padding": {"zh": "多个头，有填充"},
    },
    cases=2,
    rules=BY_HAND,
    needs=("attention",),
    variants=(
        folded("Z.view(B, T, N, d).transpose(1, 2)", "A.transpose(1, 2).reshape(B, T, D)"),
        """
def multi_head(X, lengths, W_qkv, b_qkv, W_o, b_o, num_heads):
    B, T, D = X.shape
    W_q, W_k, W_v = W_qkv.split(D)
    b_q, b_k, b_v = b_qkv.split(D)
    out = torch.zeros(B, T, D) + b_o
    for head in torch.arange(D).chunk(num_heads):
        Q, K, V = (F.linear(X, W[head], b[head]) for W, b in ((W_q, b_q), (W_k, b_k), (W_v, b_v)))
        out = out + attention(Q, K, V, lengths)[0] @ W_o[:, head].T
    return out
""",
        """
def multi_head(X, lengths, W_qkv, b_qkv, W_o, b_o, num_heads):
    B, T, D = X.shape
    Q, K, V = (X @ W_qkv.T + b_qkv).view(B, T, 3, num_heads, D // num_heads).permute(2, 0, 3, 1, 4)
    scores = Q @ K.mT / (D // num_heads) ** 0.5
    scores = scores.masked_fill((torch.arange(T) >= lengths[:, None])[:, None, None], float("-inf"))
    return (scores.softmax(-1) @ V).transpose(1, 2).flatten(2) @ W_o.T + b_o
""",
    ),
    misconceptions=(
        Misconception(
            "number_of_heads_ignored",
            heads(split="[(Q, K, V)]"),
            {
                "en": "You get what one large head gives. Split Q, K and V into `num_heads` slices of `D / num_heads` features each, and let each slice attend by itself.",
                "zh": "你的结果恰好是只有一个大头的结果。请把 Q、K、V 各切成 `num_heads` 份，每份 `D / num_heads` 个特征，各自做注意力。",
            },
        ),
        Misconception(
            "tokens_and_features_mixed",
            folded("Z.reshape(B, N, T, d)", "A.transpose(1, 2).reshape(B, T, D)"),
            {
                "en": "`reshape` from `(B, T, D)` straight to `(B, N, T, d)` mixes tokens and features: it takes the numbers as they lie in memory. First `(B, T, N, d)`, then swap the axes with `transpose(1, 2)`.",
                "zh": "从 `(B, T, D)` 直接 `reshape` 成 `(B, N, T, d)`，词元和特征就混在一起了：它只按内存里的次序取数。应当先变成 `(B, T, N, d)`，再用 `transpose(1, 2)` 交换两个轴。",
            },
        ),
        Misconception(
            "joined_without_turning_back",
            folded("Z.view(B, T, N, d).transpose(1, 2)", "A.reshape(B, T, D)"),
            {
                "en": "The heads are right, but they are joined wrongly: from `(B, N, T, d)` the axes have to be swapped back before `reshape(B, T, D)`, or tokens get mixed.",
                "zh": "各个头是对的，拼的时候错了：从 `(B, N, T, d)` 要先把轴换回来，再 `reshape(B, T, D)`，否则词元会混在一起。",
            },
        ),
        Misconception(
            "every_nth_feature",
            folded("Z.view(B, T, d, N).permute(0, 3, 1, 2)", "A.permute(0, 2, 3, 1).reshape(B, T, D)"),
            {
                "en": "Your heads take every N-th feature. Head 0 has the first `d` features in a row, head 1 the next, and so on: `view(B, T, N, d)`.",
                "zh": "你的每个头是隔 N 个取一个特征。第 0 个头取最前面连续的 `d` 个特征，第 1 个头取接下来的 `d` 个，依此类推：`view(B, T, N, d)`。",
            },
        ),
        Misconception(
            "every_nth_feature_joined",
            heads(
                split="[(Q[..., i::num_heads], K[..., i::num_heads], V[..., i::num_heads]) for i in range(num_heads)]"
            ),
            {
                "en": "Your heads take every N-th feature, `i::num_heads`. Head 0 has the first `d` features in a row, head 1 the next: `i * d : (i + 1) * d`.",
                "zh": "你的每个头是隔 N 个取一个特征（`i::num_heads`）。第 0 个头取最前面连续的 `d` 个特征，第 1 个头取接下来的 `d` 个：`i * d : (i + 1) * d`。",
            },
        ),
        Misconception(
            "scaled_by_all_features",
            heads(found="[attention(q / num_heads**0.5, k, v, lengths)[0] for q, k, v in parts]"),
            {
                "en": "The scores of each head are divided by √D, the width of all heads together. A head's dot product has only d = D / N terms: divide by √d.",
                "zh": "每个头的得分除以了 √D，也就是所有头加起来的宽度。一个头的内积只有 d = D / N 项：应当除以 √d。",
            },
        ),
        Misconception(
            "scaled_twice",
            heads(found="[attention(q / d**0.5, k, v, lengths)[0] for q, k, v in parts]"),
            {
                "en": "The scores are divided by √d twice: `attention` already does it.",
                "zh": "除以 √d 做了两次：`attention` 里已经除过了。",
            },
        ),
        Misconception(
            "weights_taken_for_the_output",
            heads(found="[attention(q, k, v, lengths) for q, k, v in parts]"),
            {
                "en": "`attention` returns two things, what comes out and the weights. Take the first: `attention(...)[0]`.",
                "zh": "`attention` 返回两样东西：输出和权重。只取第一样：`attention(...)[0]`。",
            },
        ),
        Misconception(
            "lengths_of_other_texts",
            folded("Z.view(B, T, N, d).transpose(1, 2)", "A.transpose(1, 2).reshape(B, T, D)").replace(
                "repeat_interleave", "repeat"
            ),
            {
                "en": "With the heads as further rows of the batch, text 0 has the first N rows, text 1 the next. `lengths.repeat(N)` gives them the lengths of other texts: `lengths.repeat_interleave(N)`.",
                "zh": "把各个头当作批次里更多的行时，第 0 段文本占最前面 N 行，第 1 段占接下来的 N 行。`lengths.repeat(N)` 会配上别的文本的长度，应当用 `lengths.repeat_interleave(N)`。",
            },
        ),
        Misconception(
            "mask_forgotten",
            heads(found="[attention(q, k, v, torch.full_like(lengths, T))[0] for q, k, v in parts]"),
            {
                "en": "Right where nothing is padded. But the lengths do not arrive at the attention, so padding is attended to.",
                "zh": "没有填充时是对的。但长度没有传给注意力，于是填充也被看到了。",
            },
        ),
        Misconception(
            "output_projection_forgotten",
            heads(result="joined"),
            {
                "en": "The heads are joined rightly. What is missing is the last step, `W_o` and `b_o`, which mixes what the heads have found.",
                "zh": "各头拼接得对。还缺最后一步：用 `W_o` 和 `b_o` 把各个头找到的东西混合起来。",
            },
        ),
        Misconception(
            "output_weights_transposed",
            heads(result="joined @ W_o + b_o"),
            {
                "en": "`W_o` is used the wrong way round. It is square, so no error tells you: as in `nn.Linear`, a row belongs to one output.",
                "zh": "`W_o` 用反了方向。它是方阵，所以不会报错：和 `nn.Linear` 一样，每一行属于一个输出。",
            },
        ),
        Misconception(
            "biases_forgotten",
            heads(qkv="(X @ W_qkv.T).chunk(3, dim=-1)", result="joined @ W_o.T"),
            {
                "en": "You get what comes out without the biases `b_qkv` and `b_o`.",
                "zh": "你的结果恰好是没有加偏置 `b_qkv` 和 `b_o` 的结果。",
            },
        ),
        Misconception(
            "order_k_q_v",
            heads(qkv="[(X @ W_qkv.T + b_qkv).chunk(3, dim=-1)[i] for i in (1, 0, 2)]"),
            {
                "en": "Queries and keys have changed places. The rows of `W_qkv` are in the order query, key, value.",
                "zh": "查询和键对调了。`W_qkv` 的行按查询、键、值的次序排列。",
            },
        ),
        Misconception(
            "heads_averaged",
            heads(joined="torch.stack(found).mean(0).repeat(1, 1, num_heads)"),
            {
                "en": "You average the heads. They are put side by side, each in its own d features; otherwise it would be of no use that they look at different things.",
                "zh": "你把各个头取了平均。应当把它们并排拼起来，每个头占自己的 d 个特征；否则各看各的就没有意义了。",
            },
        ),
    ),
    hints=(
        {
            "en": "`Q, K, V = (X @ W_qkv.T + b_qkv).chunk(3, dim=-1)`. Head `i` takes the features `i * d` to `(i + 1) * d` of each, with `d = D // num_heads`.",
            "zh": "`Q, K, V = (X @ W_qkv.T + b_qkv).chunk(3, dim=-1)`。第 `i` 个头取其中第 `i * d` 到 `(i + 1) * d` 个特征，`d = D // num_heads`。",
        },
        {
            "en": "A loop over the heads is fine: `attention` for each, and `torch.cat(..., dim=-1)` joins them. The division by the square root already happens in `attention`.",
            "zh": "对各个头写循环就行：每个头调用一次 `attention`，再用 `torch.cat(..., dim=-1)` 拼起来。除以平方根已经在 `attention` 里做了。",
        },
    ),
)


# --- 6 mean_of --------------------------------------------------------------------------------------------------------


def draw_one_word(rng: np.random.Generator) -> dict[str, Tree]:
    """A word of 2, 1 and 3 pieces, somewhere in three texts."""
    B, T = 3, 6
    keep = np.zeros((B, T), dtype=bool)
    for row, n in zip(keep, rng.permutation([2, 1, 3]), strict=True):
        start = int(rng.integers(1, T - n))
        row[start : start + n] = True
    return {"H": normal(rng, B, T, 2, scale=2), "keep": keep}


def draw_real_tokens(rng: np.random.Generator) -> dict[str, Tree]:
    lengths = rng.permutation([2, 3, 5])
    return {"H": normal(rng, 3, 5, 4, scale=2), "keep": np.arange(5) < lengths[:, None]}


def mean(value: str) -> str:
    return f"""
def mean_of(H, keep):
    rows = torch.arange(len(H))
    return {value}
"""


MEAN_OF = Exercise(
    name="mean_of",
    title={"en": "One vector for several tokens", "zh": "几个词元，一个向量"},
    difficulty=1,
    minutes=8,
    draw={"the pieces of a word": draw_one_word, "texts with padding": draw_real_tokens},
    groups={"the pieces of a word": {"zh": "一个词的子词"}, "texts with padding": {"zh": "有填充的文本"}},
    cases=2,
    rules=BY_HAND,
    variants=(
        mean("torch.stack([h[k].mean(0) for h, k in zip(H, keep)])"),
        mean("H.masked_fill(~keep[..., None], 0).sum(1) / keep.sum(1, keepdim=True)"),
        mean('(torch.einsum("btd,bt->bd", H, keep.float()).T / keep.sum(1)).T'),
    ),
    misconceptions=(
        Misconception(
            "padding_counts",
            mean("H.mean(1)"),
            {
                "en": "You take the mean over all tokens, padding and all. `keep` says which belong to it.",
                "zh": "你对所有词元取了平均，连填充也算在内。哪些该算，由 `keep` 决定。",
            },
        ),
        Misconception(
            "divided_by_all_tokens",
            mean("(H * keep[..., None]).mean(1)"),
            {
                "en": "The sum is right, but you divide it by T, the number of all tokens. So short texts get short vectors. Divide by the number of those that you keep.",
                "zh": "和是对的，但你除以的是全部词元的个数 T，于是短文本的向量就偏短。应当除以保留的词元个数。",
            },
        ),
        Misconception(
            "keepdim_forgotten",
            mean("(H * keep[..., None]).sum(1) / keep.sum(1)"),
            {
                "en": "`keep.sum(1)` has shape `(B,)`, and the sums `(B, D)`: torch tries to match B with D. `keep.sum(1, keepdim=True)` is `(B, 1)`, one number for each text.",
                "zh": "`keep.sum(1)` 的形状是 `(B,)`，而和的形状是 `(B, D)`，torch 会拿 B 去对 D。`keep.sum(1, keepdim=True)` 是 `(B, 1)`，每段文本一个数。",
            },
        ),
        Misconception(
            "sum_for_mean",
            mean("(H * keep[..., None]).sum(1)"),
            {
                "en": "That is the sum of the right tokens. A mean divides it by their number, of each text by its own.",
                "zh": "这是该算的词元之和。平均还要除以它们的个数，每段文本除以自己的。",
            },
        ),
        Misconception(
            "first_piece_only",
            mean("H[rows, keep.int().argmax(1)]"),
            {
                "en": "You take the first of the tokens that are to be kept. All of them count: what a word means is spread over its pieces.",
                "zh": "你只取了要保留的第一个词元。应当全部算上：一个词的意思分散在它的各个子词里。",
            },
        ),
        Misconception(
            "first_token",
            mean("H[:, 0]"),
            {
                "en": "You take the vector of the first token, `[CLS]`. That is another way to get one vector for a text; here the mean is asked for.",
                "zh": "你取的是第一个词元 `[CLS]` 的向量。那是得到整句向量的另一种办法；这里要的是平均。",
            },
        ),
        Misconception(
            "mean_over_the_batch",
            mean("H[keep].mean(0).expand(len(H), -1)"),
            {
                "en": "`H[keep]` throws the tokens of all texts together, and every text gets the same mean. Each is to have its own.",
                "zh": "`H[keep]` 把所有文本的词元混在了一起，每段文本都得到同一个平均。应当各算各的。",
            },
        ),
        Misconception(
            "largest_for_mean",
            mean('H.masked_fill(~keep[..., None], float("-inf")).amax(1)'),
            {
                "en": "You take the largest value of each feature (max pooling). The mean is asked for.",
                "zh": "你取的是每个特征的最大值（最大汇聚）。这里要的是平均。",
            },
        ),
        Misconception(
            "the_others",
            mean("(H * ~keep[..., None]).sum(1) / (~keep).sum(1, keepdim=True).clamp(min=1)"),
            {
                "en": "Your mask is the wrong way round: you take the mean of the tokens that are to be left out.",
                "zh": "掩码反了：你平均的正是该去掉的那些词元。",
            },
        ),
    ),
    hints=(
        {
            "en": "`keep[..., None]` has shape $(B, T, 1)$: times `H`, it makes the others 0. How many are left in each text, `keep.sum(1)` says.",
            "zh": "`keep[..., None]` 的形状是 $(B, T, 1)$：乘以 `H`，其余的就变成 0。每段文本留下几个，看 `keep.sum(1)`。",
        },
    ),
)


# --- 7 mask_tokens ----------------------------------------------------------------------------------------------------


def draw_masking(rng: np.random.Generator) -> dict[str, Tree]:
    """Two texts, the second padded, in which each of the rule's cases comes up.

    Special tokens and padding are drawn for masking like the others; of the ordinary tokens that are drawn some are to
    become [MASK], some another token, and some stay.
    """
    T = 13
    n = T - int(rng.integers(3, 5))  # the second text's length
    pad, cls, sep, mask = (PAD, CLS, SEP, MASK) if rng.random() < 0.5 else (0, 2, 3, 4)  # of two vocabularies
    ids = rng.choice(np.arange(1000, 9999), (2, T), replace=False)
    ids[:, 0], ids[0, -1], ids[1, n - 1], ids[1, n:] = cls, sep, sep, pad
    choose = rng.uniform(0.17, 0.99, (2, T))
    how = rng.uniform(0.03, 0.97, (2, T))
    ordinary = rng.permutation([(0, t) for t in range(1, T - 1)] + [(1, t) for t in range(1, n - 1)])
    for number, (row, t) in enumerate(ordinary[:8]):
        choose[row, t] = rng.uniform(0.01, 0.095) if number % 2 else rng.uniform(0.105, 0.14)
        low, high = ((0.05, 0.75), (0.82, 0.88), (0.92, 0.98), (0.16, 0.75))[number // 2]
        how[row, t] = rng.uniform(low, high)
    for row, t in ((0, 0), (0, T - 1), (1, n - 1), (1, T - 1), (1, 0)):
        choose[row, t], how[row, t] = rng.uniform(0.01, 0.14), rng.uniform(0.05, 0.75)
    return {
        "ids": ids,
        "special": [pad, cls, sep],
        "mask": mask,
        "choose": choose.round(3).astype(np.float32),
        "how": how.round(3).astype(np.float32),
        "random_ids": rng.choice(np.arange(10_000, 29_000), (2, T), replace=False),
    }


SPARED = "~torch.isin(ids, torch.tensor(special))"


def masking(
    chosen: str = f"(choose < 0.15) & {SPARED}",
    masked: str = "chosen & (how < 0.8)",
    swapped: str = "chosen & (how >= 0.8) & (how < 0.9)",
    labels: str = "torch.where(chosen, ids, -100)",
    result: str = "inputs, labels",
) -> str:
    return f"""
def mask_tokens(ids, special, mask, choose, how, random_ids):
    chosen = {chosen}
    masked = {masked}
    swapped = {swapped}
    inputs = torch.where(masked, mask, torch.where(swapped, random_ids, ids))
    labels = {labels}
    return {result}
"""


MASK_TOKENS = Exercise(
    name="mask_tokens",
    title={"en": "Hide and seek", "zh": "遮住再猜"},
    difficulty=2,
    minutes=12,
    draw=draw_masking,
    compare=Equal(),
    rules=BY_HAND,
    variants=(
        """
def mask_tokens(ids, special, mask, choose, how, random_ids):
    chosen = choose < 0.15
    for i in special:
        chosen = chosen & (ids != i)
    inputs, labels = ids.clone(), torch.full_like(ids, -100)
    labels[chosen] = ids[chosen]
    inputs[chosen & (how < 0.8)] = mask
    swap = chosen & (how > 0.8) & (how < 0.9)
    inputs[swap] = random_ids[swap]
    return inputs, labels
""",
        """
def mask_tokens(ids, special, mask, choose, how, random_ids):
    inputs, labels = [], []
    for row in range(len(ids)):
        new, label = [], []
        for i, c, h, r in zip(ids[row].tolist(), choose[row].tolist(), how[row].tolist(), random_ids[row].tolist()):
            chosen = c < 0.15 and i not in special
            label.append(i if chosen else -100)
            new.append(i if not chosen or h >= 0.9 else mask if h < 0.8 else r)
        inputs.append(new)
        labels.append(label)
    return torch.tensor(inputs), torch.tensor(labels)
""",
    ),
    misconceptions=(
        Misconception(
            "special_tokens_masked",
            masking(chosen="choose < 0.15"),
            {
                "en": "Special tokens and padding are hidden as well. There is nothing to guess about `[CLS]`, `[SEP]` and `[PAD]`: they are never chosen.",
                "zh": "特殊词元和填充也被遮住了。`[CLS]`、`[SEP]`、`[PAD]` 没有什么可猜的：它们永远不会被选中。",
            },
        ),
        Misconception(
            "only_padding_spared",
            masking(chosen="(choose < 0.15) & (ids != 0)"),
            {
                "en": "Padding is spared, but `[CLS]` and `[SEP]` are hidden. They stand where they stand in every text, so there is nothing to guess.",
                "zh": "填充放过了，但 `[CLS]` 和 `[SEP]` 被遮住了。它们在每段文本里都在固定的地方，没有什么可猜的。",
            },
        ),
        Misconception(
            "labels_at_every_position",
            masking(labels=f"torch.where({SPARED}, ids, -100)"),
            {
                "en": "Your labels ask for every word, so the loss would count all positions, also those where the answer is there to be read. BERT learns nothing from copying: -100 wherever nothing was chosen.",
                "zh": "你的标签要求猜每一个词，损失会算上所有位置，包括答案就摆在那里的位置。照抄学不到东西：没被选中的地方都应当是 -100。",
            },
        ),
        Misconception(
            "labels_everywhere",
            masking(labels="ids.clone()"),
            {
                "en": "Your labels are the whole text, special tokens and padding too, so the loss would count all positions. Only the chosen ones are to be guessed, all others are -100.",
                "zh": "你的标签是整段文本，连特殊词元和填充都在内，损失会算上所有位置。要猜的只有选中的，其余都是 -100。",
            },
        ),
        Misconception(
            "labels_only_where_masked",
            masking(labels="torch.where(masked, ids, -100)"),
            {
                "en": "Only the places with `[MASK]` have a label. The chosen tokens that were swapped, or left as they are, are to be guessed as well. That is the point of them: BERT cannot know which of the words that it sees are true.",
                "zh": "只有写着 `[MASK]` 的地方有标签。被换成别的词、或原样留下的那些被选中的词元也要猜。这正是它们的用处：BERT 不知道看到的词哪些是真的。",
            },
        ),
        Misconception(
            "labels_only_where_changed",
            masking(labels="torch.where(inputs != ids, ids, -100)"),
            {
                "en": "The chosen tokens that stay as they are have no label. They are to be guessed as well: else there would be no reason to leave them.",
                "zh": "原样留下的那些被选中的词元没有标签。它们也要猜，否则留下它们就没有意义了。",
            },
        ),
        Misconception(
            "labels_after_masking",
            masking(labels="torch.where(chosen, inputs, -100)"),
            {
                "en": "Your labels hold what stands there after the masking. To be guessed is what stood there before.",
                "zh": "你的标签是遮住之后的内容。要猜的是原来的词。",
            },
        ),
        Misconception(
            "always_masked",
            masking(masked="chosen", swapped="chosen & False"),
            {
                "en": "Every chosen token becomes `[MASK]`. That is so for 80% of them; 10% become another token, and 10% stay. Why? After pre-training there are no `[MASK]` any more, and BERT should think about ordinary words, too.",
                "zh": "你把所有选中的词元都换成了 `[MASK]`。应当是 80%；另有 10% 换成别的词元，10% 保持不变。为什么？预训练之后就再也没有 `[MASK]` 了，BERT 对普通的词也要多想一想。",
            },
        ),
        Misconception(
            "random_and_kept_swapped",
            masking(swapped="chosen & (how >= 0.9)"),
            {
                "en": "The last two cases have changed places: from 0.8 to 0.9 a token is swapped, from 0.9 on it stays.",
                "zh": "后两种情形对调了：0.8 到 0.9 换成随机词元，0.9 以上保持不变。",
            },
        ),
        Misconception(
            "never_kept",
            masking(swapped="chosen & (how >= 0.8)"),
            {
                "en": "None of the chosen tokens stays as it is: you swap all of the last 20%. Half of them, from 0.9 on, stay.",
                "zh": "选中的词元没有一个保持原样：后面的 20% 你全换掉了。其中的一半（0.9 以上）应当保持不变。",
            },
        ),
        Misconception(
            "one_number_for_both",
            masking(
                masked="chosen & (choose < 0.8 * 0.15)",
                swapped="chosen & (choose >= 0.8 * 0.15) & (choose < 0.9 * 0.15)",
            ),
            {
                "en": "You decide with `choose` what becomes of a chosen token. Whether it is chosen, `choose` says; what becomes of it, `how`.",
                "zh": "你用 `choose` 决定选中之后怎么办。选不选由 `choose` 定，怎么办由 `how` 定。",
            },
        ),
        Misconception(
            "ten_percent",
            masking(chosen=f"(choose < 0.10) & {SPARED}"),
            {
                "en": "You choose 10% of the tokens. It is 15%; the tenths come afterwards.",
                "zh": "你选了 10% 的词元。应当选 15%，一成一成是之后的事。",
            },
        ),
        Misconception(
            "labels_first",
            masking(result="labels, inputs"),
            {
                "en": "Both are right but in the wrong order: first the inputs, then the labels.",
                "zh": "两个都对，但次序反了：先输入，后标签。",
            },
        ),
        Misconception(
            "zero_for_nothing",
            masking(labels="torch.where(chosen, ids, 0)"),
            {
                "en": "Where there is nothing to guess you write 0. That is the id of `[PAD]`, a class like any other; PyTorch's losses leave out -100.",
                "zh": "不用猜的地方你填了 0。0 是 `[PAD]` 的编号，也是一个类别；PyTorch 的损失会略过的是 -100。",
            },
        ),
    ),
    hints=(
        {
            "en": "Begin with a mask of what is chosen: `choose < 0.15`, and not one of the special tokens (`torch.isin(ids, torch.tensor(special))`). `&` joins masks, and each comparison needs its own brackets.",
            "zh": "先写出“选中了哪些”的掩码：`choose < 0.15`，并且不是特殊词元（`torch.isin(ids, torch.tensor(special))`）。掩码之间用 `&` 连接，每个比较都要加括号。",
        },
        {
            "en": "`torch.where(mask, a, b)` takes from `a` where the mask is True, else from `b`. Do not change `ids` itself.",
            "zh": "`torch.where(mask, a, b)` 在掩码为 True 的地方取 `a`，否则取 `b`。不要改动 `ids` 本身。",
        },
    ),
)


# --- 8 pretraining_loss -----------------------------------------------------------------------------------------------


def draw_pretraining(rng: np.random.Generator) -> dict[str, Tree]:
    """Three pairs of texts, in which 1, 2 and 4 tokens are to be guessed."""
    B, T, V = 3, 7, 6
    labels = np.full((B, T), -100, dtype=np.int64)
    for row, n in zip(labels, rng.permutation([1, 2, 4]), strict=True):
        row[rng.choice(np.arange(1, T), n, replace=False)] = rng.integers(0, V, n)
    follows = rng.permutation([0, 1, int(rng.integers(0, 2))])
    return {
        "word_logits": normal(rng, B, T, V, scale=1.5),
        "labels": labels,
        "pair_logits": normal(rng, B, 2, scale=1.5),
        "pair_labels": follows,
    }


def losses(
    words: str = "F.cross_entropy(word_logits.flatten(0, 1), labels.flatten())",
    pairs: str = "F.cross_entropy(pair_logits, pair_labels)",
    total: str = "words + pairs",
) -> str:
    return f"""
def pretraining_loss(word_logits, labels, pair_logits, pair_labels):
    chosen = labels != -100
    words = {words}
    pairs = {pairs}
    return {total}
"""


PRETRAINING_LOSS = Exercise(
    name="pretraining_loss",
    title={"en": "The loss of both games", "zh": "两个任务的损失"},
    difficulty=2,
    minutes=10,
    draw=draw_pretraining,
    options={"gradient_to": ["word_logits", "pair_logits"]},
    rules=BY_HAND,
    variants=(
        losses(words="F.cross_entropy(word_logits.transpose(1, 2), labels)"),
        """
def pretraining_loss(word_logits, labels, pair_logits, pair_labels):
    chosen = labels != -100
    log_p = torch.log_softmax(word_logits, dim=-1)[chosen]
    words = -log_p[torch.arange(len(log_p)), labels[chosen]].mean()
    pairs = -torch.log_softmax(pair_logits, 1).gather(1, pair_labels[:, None]).mean()
    return words + pairs
""",
        """
def pretraining_loss(word_logits, labels, pair_logits, pair_labels):
    total, count = 0.0, 0
    for b in range(len(labels)):
        for t in range(labels.shape[1]):
            if labels[b, t] >= 0:
                p = torch.softmax(word_logits[b, t], dim=0)[labels[b, t]]
                total, count = total - torch.log(p), count + 1
    one_hot = F.one_hot(pair_labels, 2)
    return total / count + (pair_logits.logsumexp(1) - (pair_logits * one_hot).sum(1)).mean()
""",
    ),
    misconceptions=(
        Misconception(
            "all_positions",
            losses(words="F.cross_entropy(word_logits.flatten(0, 1), labels.clamp(min=0).flatten())"),
            {
                "en": "All positions count in your loss; where the label is -100 it is as if `[PAD]`, number 0, were to be guessed. Only the chosen positions count.",
                "zh": "所有位置都算进了你的损失；标签为 -100 的地方，就好像要猜的是第 0 号词元 `[PAD]`。只有选中的位置才算。",
            },
        ),
        Misconception(
            "divided_by_all_positions",
            losses(
                words='F.cross_entropy(word_logits.flatten(0, 1), labels.flatten(), reduction="sum") / labels.numel()'
            ),
            {
                "en": "The sum is that of the chosen positions, but you divide by the number of all positions. Divide by the number of those that were to be guessed.",
                "zh": "求和只算了选中的位置，但你除以的是所有位置的个数。应当除以要猜的位置的个数。",
            },
        ),
        Misconception(
            "sum_over_the_words",
            losses(words='F.cross_entropy(word_logits.flatten(0, 1), labels.flatten(), reduction="sum")'),
            {
                "en": "You take the sum over the hidden words. It is their mean, else a long text would weigh more than the whole second task.",
                "zh": "你对遮住的词取了总和。应当取平均，否则长文本会压过整个第二个任务。",
            },
        ),
        Misconception(
            "mean_of_the_texts",
            losses(words="torch.stack([F.cross_entropy(a, b) for a, b in zip(word_logits, labels)]).mean()"),
            {
                "en": "You take the mean of each text first and then the mean of the texts, so that the single word of a text with one counts as much as all four of another. It is one mean over all hidden words.",
                "zh": "你先在每段文本里取平均，再对文本取平均，于是只遮了一个词的文本，那一个词就抵得上别人的四个词。应当对所有遮住的词一起取平均。",
            },
        ),
        Misconception(
            "pairs_forgotten",
            losses(total="words"),
            {
                "en": "The words are right. The loss of the second task, `pair_logits` and `pair_labels`, is missing.",
                "zh": "猜词的部分对了。还缺第二个任务（`pair_logits` 和 `pair_labels`）的损失。",
            },
        ),
        Misconception(
            "mean_of_the_two",
            losses(total="(words + pairs) / 2"),
            {
                "en": "You take the mean of the two losses; BERT adds them. (For the gradient that is the same up to a factor.)",
                "zh": "你取了两个损失的平均，BERT 是把它们相加。（对梯度来说，只差一个常数倍。）",
            },
        ),
        Misconception(
            "softmax_twice",
            losses(
                words="F.cross_entropy(word_logits.softmax(-1).flatten(0, 1), labels.flatten())",
                pairs="F.cross_entropy(pair_logits.softmax(-1), pair_labels)",
            ),
            {
                "en": "There is one softmax too many: `F.cross_entropy` takes logits and does the softmax itself. Nothing tells you, but the model then learns slowly and is never sure.",
                "zh": "多做了一次 softmax：`F.cross_entropy` 接收的是 logits，自己会做 softmax。这样不会报错，但模型学得慢，也永远没有把握。",
            },
        ),
        Misconception(
            "columns_swapped",
            losses(pairs="F.cross_entropy(pair_logits, 1 - pair_labels)"),
            {
                "en": "The words are right. In the second task your classes have changed places: label 0 belongs to column 0.",
                "zh": "猜词的部分对了。第二个任务里，你把两个类别对调了：标签 0 对应第 0 列。",
            },
        ),
        Misconception(
            "classes_in_the_wrong_axis",
            losses(words="F.cross_entropy(word_logits, labels)"),
            {
                "en": "`F.cross_entropy` looks for the classes in axis 1. Make one row of each position, `flatten(0, 1)`, or turn the axes with `transpose(1, 2)`.",
                "zh": "`F.cross_entropy` 认为类别在第 1 轴。请把每个位置变成一行（`flatten(0, 1)`），或者用 `transpose(1, 2)` 换轴。",
            },
        ),
        Misconception(
            "reshaped_instead_of_turned",
            losses(
                words="F.cross_entropy(word_logits.reshape(len(word_logits), word_logits.shape[2], -1), labels)"
            ),
            {
                "en": "`reshape` does not turn axes: it deals the numbers out anew, and logits of different places get mixed. `transpose(1, 2)` turns them.",
                "zh": "`reshape` 不会交换轴，只是把数重新排一遍，不同位置的 logits 就混在了一起。交换轴用 `transpose(1, 2)`。",
            },
        ),
    ),
    hints=(
        {
            "en": "You may use `F.cross_entropy` here. It leaves out labels of -100, in the sum and in the number that it divides by.",
            "zh": "本题可以用 `F.cross_entropy`。标签为 -100 的位置，它在求和与计数时都会略过。",
        },
        {
            "en": "It wants rows: `word_logits.flatten(0, 1)` is $(BT, V)$, `labels.flatten()` is $(BT,)$.",
            "zh": "它要的是一行一行的：`word_logits.flatten(0, 1)` 是 $(BT, V)$，`labels.flatten()` 是 $(BT,)$。",
        },
    ),
)


# --- 9 fine_tune ------------------------------------------------------------------------------------------------------


def draw_rehearsal(rng: np.random.Generator) -> dict[str, Tree]:
    """Weights of a small reader, three batches to learn from, and a larger one to judge it by."""
    V, D = 9, 4

    def batch(size: int, T: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lengths = rng.integers(2, T + 1, size)
        lengths[0] = T
        X = rng.integers(1, V, (size, T))
        return X * (np.arange(T) < lengths[:, None]), lengths, rng.permutation(np.arange(size) % 2)

    settings = [
        [[*batch(4, 5)], [*batch(4, 6)], [*batch(4, 4)]],
        [*batch(9, 7)],
        2,
        float(rng.choice([0.01, 0.02])),
        float(rng.choice([0.1, 0.2])),
    ]
    return {
        "arguments": {"table": away_from_zero(rng, V, D), "weight": away_from_zero(rng, 2, D)},
        "calls": [["run", settings]],
    }


REHEARSAL = '''

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
'''


def tuning(
    groups: str = '[{"params": model.encoder.parameters(), "lr": lr}, {"params": model.head.parameters(), "lr": head_lr}]',
    made: str = "optimizer = torch.optim.AdamW(groups)",
    once: str = "pass",
    every_epoch: str = "model.train()",
    clear: str = "optimizer.zero_grad()",
    loss: str = "F.cross_entropy(model(X, lengths), y)",
    before: str = "model.eval()",
    judged: str = "model(X, lengths)",
) -> str:
    return f"""
def fine_tune(model, batches, val, epochs, lr, head_lr):
    groups = {groups}
    {made}
    {once}
    accuracies = []
    for epoch in range(epochs):
        {every_epoch}
        for X, lengths, y in batches:
            {clear}
            {loss}.backward()
            optimizer.step()
        {before}
        X, lengths, y = val
        with torch.no_grad():
            accuracies.append(({judged}.argmax(1) == y).float().mean().item())
    return accuracies
{REHEARSAL}"""


FINE_TUNE = Exercise(
    name="fine_tune",
    object="Rehearsal",
    title={"en": "Fine-tuning, step by step", "zh": "一步一步地微调"},
    difficulty=2,
    minutes=22,
    draw=draw_rehearsal,
    adaptor="method",
    rules=BY_HAND,
    variants=(
        """
def fine_tune(model, batches, val, epochs, lr, head_lr):
    head = list(model.head.parameters())
    rest = [p for name, p in model.named_parameters() if not name.startswith("head")]
    optimizer = torch.optim.AdamW([{"params": head, "lr": head_lr}, {"params": rest}], lr=lr)
    accuracies = []
    for _ in range(epochs):
        for X, lengths, y in batches:
            model.train()
            loss = nn.CrossEntropyLoss()(model(X, lengths), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        model.train(False)
        right = model(val[0], val[1]).argmax(dim=-1) == val[2]
        accuracies.append(int(right.sum()) / len(right))
    return accuracies
"""
        + REHEARSAL,
        """
def accuracy_of(model, X, lengths, y):
    model.eval()
    with torch.inference_mode():
        return (model(X, lengths).argmax(1) == y).double().mean()

def fine_tune(model, batches, val, epochs, lr, head_lr):
    low = torch.optim.AdamW(model.encoder.parameters(), lr=lr)
    high = torch.optim.AdamW(model.head.parameters(), lr=head_lr)
    found = torch.zeros(epochs)
    for epoch in range(epochs):
        model.train()
        for X, lengths, y in batches:
            model.zero_grad()
            log_p = model(X, lengths).log_softmax(1)
            F.nll_loss(log_p, y).backward()
            low.step()
            high.step()
        found[epoch] = accuracy_of(model, *val)
    return found.tolist()
"""
        + REHEARSAL,
    ),
    misconceptions=(
        Misconception(
            "learning_rate_of_a_new_network",
            tuning(made="optimizer = torch.optim.AdamW(model.parameters(), lr=head_lr)"),
            {
                "en": "The encoder learns as fast as the head. That is the learning rate of a network from scratch: with a pretrained encoder it wipes out in a few steps what took weeks to learn. The encoder's is `lr`, the head's `head_lr`.",
                "zh": "编码器和分类头学得一样快。那是从零训练网络的学习率：用在预训练的编码器上，几步就把花了几个星期学到的东西抹掉了。编码器用 `lr`，分类头用 `head_lr`。",
            },
        ),
        Misconception(
            "low_rate_for_all",
            tuning(made="optimizer = torch.optim.AdamW(model.parameters(), lr=lr)"),
            {
                "en": "The head learns as slowly as the encoder. But it is new and knows nothing: it gets `head_lr`.",
                "zh": "分类头学得和编码器一样慢。可它是新的，什么都不会：它应当用 `head_lr`。",
            },
        ),
        Misconception(
            "rates_swapped",
            tuning(
                groups='[{"params": model.encoder.parameters(), "lr": head_lr}, {"params": model.head.parameters(), "lr": lr}]'
            ),
            {
                "en": "The learning rates have changed places: `lr` is the encoder's, `head_lr` the head's.",
                "zh": "两个学习率对调了：`lr` 是编码器的，`head_lr` 是分类头的。",
            },
        ),
        Misconception(
            "encoder_left_out",
            tuning(made="optimizer = torch.optim.AdamW(model.head.parameters(), lr=head_lr)"),
            {
                "en": "The encoder stays as it was; only the head learns. That is feature extraction, fast and often quite good. Fine-tuning changes both.",
                "zh": "编码器没有变，只有分类头在学。这叫特征提取，快，往往也不错。微调则两者都要学。",
            },
        ),
        Misconception(
            "evaluated_in_training_mode",
            tuning(before="pass"),
            {
                "en": "You evaluate in training mode, where dropout sets numbers to zero at random: the accuracy comes out lower than it is, and different each time. `model.eval()` first.",
                "zh": "你在训练模式下评估：dropout 会随机把一些数置零，算出来的准确率偏低，而且每次都不一样。请先调用 `model.eval()`。",
            },
        ),
        Misconception(
            "never_back_in_training_mode",
            tuning(once="model.train()", every_epoch="pass"),
            {
                "en": "After the first evaluation the model stays in evaluation mode, so from the second epoch on it learns without dropout. `model.train()` belongs at the beginning of every epoch.",
                "zh": "第一次评估之后，模型就一直停在评估模式，从第二轮起训练时没有 dropout。`model.train()` 应当放在每一轮的开头。",
            },
        ),
        Misconception(
            "trained_in_evaluation_mode",
            tuning(every_epoch="pass"),
            {
                "en": "You train in the mode that the model happens to be in, and here that was evaluation mode: no dropout. Say `model.train()` before each epoch.",
                "zh": "你没有设定模式就开始训练，而模型当时正处在评估模式：没有 dropout。每一轮之前都要调用 `model.train()`。",
            },
        ),
        Misconception(
            "gradients_not_cleared",
            tuning(clear="pass"),
            {
                "en": "Gradients add up from batch to batch: `optimizer.zero_grad()` is missing before `backward()`.",
                "zh": "梯度一批接一批地累加了：`backward()` 之前少了 `optimizer.zero_grad()`。",
            },
        ),
        Misconception(
            "lengths_forgotten",
            tuning(loss="F.cross_entropy(model(X), y)", judged="model(X)"),
            {
                "en": "Your model never hears of the lengths, so it takes padding for text: no mask, and a mean over the padding. `model(X, lengths)`.",
                "zh": "你没有把长度告诉模型，它就把填充当成了文本：没有掩码，平均也算上了填充。应当是 `model(X, lengths)`。",
            },
        ),
        Misconception(
            "trained_without_lengths",
            tuning(loss="F.cross_entropy(model(X), y)"),
            {
                "en": "While it learns, your model never hears of the lengths, so it takes padding for text. `model(X, lengths)` there, too.",
                "zh": "训练时你没有把长度告诉模型，它就把填充当成了文本。那里也应当是 `model(X, lengths)`。",
            },
        ),
        Misconception(
            "softmax_before_the_loss",
            tuning(loss="F.cross_entropy(model(X, lengths).softmax(1), y)"),
            {
                "en": "There is one softmax too many: `F.cross_entropy` takes logits.",
                "zh": "多做了一次 softmax：`F.cross_entropy` 接收的是 logits。",
            },
        ),
        Misconception(
            "new_optimizer_in_every_epoch",
            tuning(
                groups="None",
                made="",
                every_epoch="""model.train()
        optimizer = torch.optim.AdamW([
            {"params": model.encoder.parameters(), "lr": lr},
            {"params": model.head.parameters(), "lr": head_lr},
        ])""",
            ),
            {
                "en": "You make a new optimizer in every epoch. AdamW remembers the gradients that it has seen; a new one has forgotten them. Make it once, before the loop.",
                "zh": "你每一轮都新建一个优化器。AdamW 会记住见过的梯度，新建的就全忘了。在循环之前建一次就好。",
            },
        ),
        Misconception(
            "one_epoch",
            tuning().replace("range(epochs)", "range(1)"),
            {
                "en": "You go through the data once. `epochs` says how often, and there is one accuracy for each.",
                "zh": "你只把数据过了一遍。过几遍由 `epochs` 决定，每一遍对应一个准确率。",
            },
        ),
        Misconception(
            "no_step",
            tuning().replace("            optimizer.step()\n", ""),
            {
                "en": "No weight has changed: `optimizer.step()` is missing after `backward()`.",
                "zh": "权重一点没变：`backward()` 之后少了 `optimizer.step()`。",
            },
        ),
        Misconception(
            "adam_for_adamw",
            tuning(made="optimizer = torch.optim.Adam(groups)"),
            {
                "en": "That is Adam. AdamW, which is asked for, also lets the weights decay a little in every step.",
                "zh": "你用的是 Adam。题目要的是 AdamW，它每一步还会让权重衰减一点。",
            },
        ),
        Misconception(
            "accuracy_in_percent",
            tuning(judged="model(X, lengths)").replace(".item())", ".item() * 100)"),
            {
                "en": "Your accuracies are percentages. A share from 0 to 1 is meant.",
                "zh": "你给的是百分数。准确率请用 0 到 1 的数。",
            },
        ),
        Misconception(
            "judged_at_the_end_only",
            tuning().replace(
                "        model.eval()\n        X, lengths, y = val",
                "        if epoch < epochs - 1:\n            continue\n        model.eval()\n        X, lengths, y = val",
            ),
            {
                "en": "There is one accuracy only, of the end. One is wanted after every epoch: `model.eval()` and the accuracy belong into the loop.",
                "zh": "你只在最后算了一次准确率。每一轮之后都要算一次：`model.eval()` 和准确率应当写在循环里面。",
            },
        ),
    ),
    hints=(
        {
            "en": '`torch.optim.AdamW([{"params": model.encoder.parameters(), "lr": lr}, {...}])` has a learning rate for each group.',
            "zh": '`torch.optim.AdamW([{"params": model.encoder.parameters(), "lr": lr}, {...}])` 可以给每一组参数各设一个学习率。',
        },
        {
            "en": "In each epoch: `model.train()`, then for each batch clear the gradients, loss, backward, step; then `model.eval()` and, inside `torch.no_grad()`, the accuracy on `val`.",
            "zh": "每一轮：先 `model.train()`；对每个批量：清空梯度、算损失、反向传播、更新；然后 `model.eval()`，在 `torch.no_grad()` 里算 `val` 上的准确率。",
        },
    ),
)


# --- 10 predictions ---------------------------------------------------------------------------------------------------


# The reviews whose labels students know: as many of each class, and as hard for several fine-tuned models as the others,
# with little difference between one training and the next, so that the public check is fair with 40 of them.
PUBLIC = (
    *(0, 2, 5, 11, 16, 17, 19, 20, 23, 26, 27, 37, 41, 50, 52, 63, 68, 79, 100, 111),
    *(114, 118, 129, 131, 132, 136, 139, 153, 166, 172, 173, 179, 180, 193, 198, 203, 213, 217, 222, 225),
)
NUM_REVIEWS = 240


def labelled(positions: Sequence[int]) -> dict[str, Tree]:
    """Reviews of the unlabelled file, by their places in it, with the labels that only the instructor has."""
    known = json.loads((instructor_folder(__file__) / "test_labels.json").read_text(encoding="utf-8"))
    return {"positions": list(positions), "y": np.array([known["labels"][i] for i in positions])}


def draw_public(rng: np.random.Generator) -> dict[str, Tree]:
    return labelled(PUBLIC)


def draw_hidden(rng: np.random.Generator) -> dict[str, Tree]:
    return labelled([i for i in range(NUM_REVIEWS) if i not in PUBLIC])


HAND_IN = """
predict_to_file(model, unlabelled, "predictions.json", texts=unlabelled_texts)
predictions = json.loads(Path("predictions.json").read_text(encoding="utf-8"))["labels"]
"""


def tuned(fitting: str, pooling: str = "mean") -> str:
    return f"""
torch.manual_seed(0)
model = get_model("bert_sentence", encoder="minilm", num_classes=2, pooling="{pooling}")
{fitting}
{HAND_IN}
"""


def quick(predictions: str) -> str:
    """A linear layer on the mean of a middle layer of the encoder, which stays as it is."""
    return f"""
def mean_states(sequences):
    rows = torch.zeros(len(sequences), 384)
    for chosen in sequences.order.split(64):
        X, lengths, _ = sequences.batch(chosen)
        real = (torch.arange(X.shape[1]) < lengths[:, None])[:, :, None]
        with torch.no_grad():
            rows[chosen] = (minilm.hidden_states(X, lengths)[3] * real).sum(1) / real.sum(1)
    return rows

features, y = mean_states(data[0])[:832], data[0].y[:832]
mean, std = features.mean(0), features.std(0)
torch.manual_seed(0)
head = nn.Linear(384, 2)
optimizer = torch.optim.LBFGS(head.parameters(), max_iter=60)

def closure():
    optimizer.zero_grad()
    loss = F.cross_entropy(head((features - mean) / std), y) + 0.1 * head.weight.square().sum()
    loss.backward()
    return loss

optimizer.step(closure)
found = head((mean_states(unlabelled) - mean) / std).argmax(1)
{predictions}
"""


PREDICTIONS = Exercise(
    name="predictions",
    title={"en": "Reviews without labels", "zh": "没有标签的评论"},
    difficulty=2,
    minutes=20,
    draw=draw_public,
    draw_hidden=draw_hidden,
    answer="y",
    cases=1,
    adaptor="chosen",
    options={"total": NUM_REVIEWS, "num_classes": 2},
    compare=Accuracy(floor=0.52, threshold=0.65),
    rules=Rules(),
    variants=(
        tuned(
            "model.encoder.layers = model.encoder.layers[:4]\nadd_lora(model, rank=8)\n"
            "fit(model, data, epochs=3, lr=0.002, batch_size=16, progress=False)"
        ),
        """
torch.manual_seed(1)
model = get_model("bert_sentence", encoder="minilm", num_classes=2, pooling="cls")
model.encoder.layers = model.encoder.layers[:4]
fit(model, data, epochs=3, lr=3e-4, batch_size=16, freeze=1, schedule="linear", progress=False)
predictions = predict(model, unlabelled).softmax(1)
""",
    ),
    misconceptions=(
        Misconception(
            "learning_rate_of_a_new_network",
            tuned(
                "model.encoder.layers = model.encoder.layers[:2]\nfit(model, data, epochs=1, lr=0.03, batch_size=32, progress=False)"
            ),
            {
                "en": "Nearly all reviews get the same class. So does a model whose head was never trained, and one that was trained with the learning rate of a network from scratch: 0.001 and more for the whole encoder destroys in a few steps what pre-training has built. Take about 0.0003 for the upper layers, or adapters.",
                "zh": "几乎所有评论都得到同一个类别。分类头没有训练过的模型是这样；用从零训练网络的学习率训练出来的也是这样：整个编码器用 0.001 以上的学习率，几步就毁掉了预训练的成果。上面几层请用 0.0003 左右，或者用适配器。",
            },
            symptom="one_class",
        ),
        Misconception(
            "classes_swapped",
            quick("predictions = 1 - found"),
            {
                "en": "Your model can tell the reviews apart, but calls the good ones bad and the bad ones good. Class 0 is negative, class 1 positive.",
                "zh": "你的模型分得清，但把好评叫成差评、差评叫成好评。类别 0 是负面，类别 1 是正面。",
            },
            symptom="shifted_labels",
        ),
        Misconception(
            "in_another_order",
            quick("predictions = found[unlabelled.order]"),
            {
                "en": "The predictions are hardly better than guessing. If the accuracy on `reviews.test` is fine, they are in another order than the reviews of the file (sorted by length, say, or shuffled). If it is not, the model has not learned: is `fit` run on this very `model`, and do all of them come from the same word pieces?",
                "zh": "预测和瞎猜差不多。如果在 `reviews.test` 上的准确率正常，那多半是次序和文件里的评论对不上（例如按长度排过序，或打乱了）。如果那里也不行，就是模型没有学会：`fit` 训练的确实是这个 `model` 吗？用的是同一套子词吗？",
            },
            symptom="chance",
        ),
        Misconception(
            "not_enough",
            quick("predictions = found\npredictions[3::5] = 1 - predictions[3::5]"),
            {
                "en": "It has learned something, but a fine-tuned encoder can do better. Look at the curves: a few epochs more, the upper layers, too, instead of the head alone, or another learning rate (for the upper layers about 0.0003, for adapters about 0.001)?",
                "zh": "它学到了一些，但微调好的编码器还能更好。看看曲线：要不要多训练几轮，让上面几层也学而不只是分类头，或者换一个学习率（上面几层大约 0.0003，适配器大约 0.001）？",
            },
            symptom="below",
        ),
    ),
    hints=(
        {
            "en": '`get_model("bert_sentence", encoder="minilm", num_classes=2, pooling="mean")` is a BERT with a head. `add_lora(model, rank=8)` freezes the encoder and gives it small adapters; then `fit(model, data, epochs=..., lr=..., batch_size=16, save="sentiment")`, and at last `predict_to_file(model, unlabelled, "predictions.json", texts=unlabelled_texts)`. The last line of the cell reads that file.',
            "zh": '`get_model("bert_sentence", encoder="minilm", num_classes=2, pooling="mean")` 是带分类头的 BERT。`add_lora(model, rank=8)` 冻结编码器并加上小小的适配器；然后 `fit(model, data, epochs=..., lr=..., batch_size=16, save="sentiment")`；最后 `predict_to_file(model, unlabelled, "predictions.json", texts=unlabelled_texts)`。单元格的最后一行读的就是这个文件。',
        },
        {
            "en": "Three or four epochs are a good beginning, with a learning rate of 0.0003 and `freeze=2`, or of 0.001 and adapters. Without the two top layers it goes faster, and not worse.",
            "zh": "可以先试三四轮：`freeze=2` 配学习率 0.0003，或者适配器配 0.001。去掉最上面两层会更快，而且不会更差。",
        },
    ),
)


# --- 11 align_labels --------------------------------------------------------------------------------------------------


def draw_pieces_of_words(rng: np.random.Generator, odd: bool) -> dict[str, Tree]:
    """The word of each piece, `None` at special tokens and padding. Odd: a word without pieces, and one that was cut off."""
    n = int(rng.integers(5, 7))
    counts = [1, 2, 3, *(int(i) for i in rng.integers(1, 3, n - 3))]
    counts = [int(i) for i in rng.permutation(counts)]
    if odd:
        counts[int(rng.integers(1, n - 2))], counts[-1] = 0, 0
    word_of = [None, *(i for i, count in enumerate(counts) for _ in range(count)), None]
    word_of += [None] * int(rng.integers(1, 4))
    # No two neighbours have the same label, so that a shift shows.
    labels = [int(rng.integers(1, 7))]
    while len(labels) < n:
        labels.append(int(rng.choice([k for k in range(1, 7) if k != labels[-1]])))
    return {"word_of": word_of, "labels": labels}


def draw_all_pieces(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_pieces_of_words(rng, False)


def draw_missing_pieces(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_pieces_of_words(rng, True)


def aligned(
    label: str = "labels[word]", other: str = "-100", special: str = "-100", first: str = "word != before"
) -> str:
    return f"""
def align_labels(word_of, labels):
    aligned, before = [], None
    for word in word_of:
        if word is None:
            aligned.append({special})
        else:
            aligned.append({label} if {first} else {other})
        before = word
    return aligned
"""


ALIGN_LABELS = Exercise(
    name="align_labels",
    title={"en": "A label for each word", "zh": "每个词一个标签"},
    difficulty=1,
    minutes=8,
    draw={"every word has pieces": draw_all_pieces, "words without pieces": draw_missing_pieces},
    groups={
        "every word has pieces": {"zh": "每个词都有子词"},
        "words without pieces": {"zh": "有的词没有子词"},
    },
    examples={"every word has pieces": [{"word_of": [None, 0, 1, 1, 1, 2, None, None], "labels": [5, 3, 4]}]},
    compare=Equal(),
    rules=BY_HAND,
    variants=(
        """
def align_labels(word_of, labels):
    seen, result = set(), []
    for word in word_of:
        result.append(-100 if word is None or word in seen else labels[word])
        seen.add(word)
    return result
""",
        """
def align_labels(word_of, labels):
    aligned = torch.full((len(word_of),), -100)
    for word, label in enumerate(labels):
        if word in word_of:
            aligned[word_of.index(word)] = label
    return aligned
""",
    ),
    misconceptions=(
        Misconception(
            "label_on_every_piece",
            aligned(first="True"),
            {
                "en": "Every piece has the label of its word. So a word of three pieces counts three times, and a slot that begins once (`B-`) seems to begin three times. Only the first piece has it.",
                "zh": "你让每个子词都带上了它那个词的标签。这样三个子词的词就算了三次，只开始一次的槽位（`B-`）好像开始了三次。只有第一个子词带标签。",
            },
        ),
        Misconception(
            "label_on_the_last_piece",
            """
def align_labels(word_of, labels):
    after = [*word_of[1:], None]
    return [-100 if word is None or word == next_word else labels[word] for word, next_word in zip(word_of, after)]
""",
            {
                "en": "You put the label on the last piece of a word. It belongs on the first.",
                "zh": "你把标签放在了词的最后一个子词上。应当放在第一个上。",
            },
        ),
        Misconception(
            "special_tokens_have_label_0",
            aligned(special="0"),
            {
                "en": "`[CLS]`, `[SEP]` and padding get the label 0, a class like any other. They are no words: -100.",
                "zh": "`[CLS]`、`[SEP]` 和填充得到了标签 0，那也是一个类别。它们不是词，应当是 -100。",
            },
        ),
        Misconception(
            "other_pieces_have_label_0",
            aligned(other="0"),
            {
                "en": "The further pieces of a word get the label 0, a class like any other. Nothing is asked of them: -100.",
                "zh": "一个词后面的子词得到了标签 0，那也是一个类别。它们什么也不用答：-100。",
            },
        ),
        Misconception(
            "one_label_a_piece",
            """
def align_labels(word_of, labels):
    aligned, rest = [], list(labels)
    for word in word_of:
        aligned.append(-100 if word is None or not rest else rest.pop(0))
    return aligned
""",
            {
                "en": "You deal the labels out to the pieces in a row, so that after the first word of two pieces they are one too early. `word_of` says to which word a piece belongs.",
                "zh": "你把标签依次发给了子词，于是碰到第一个由两个子词组成的词之后，就都错开了一位。子词属于哪个词，看 `word_of`。",
            },
        ),
        Misconception(
            "special_tokens_not_counted",
            """
def align_labels(word_of, labels):
    aligned, before = [], None
    for word in word_of:
        if word is not None:
            aligned.append(labels[word] if word != before else -100)
            before = word
    return aligned + [-100] * (len(word_of) - len(aligned))
""",
            {
                "en": "You leave no place for `[CLS]`, so all labels are one step too early. The result has one number for each entry of `word_of`.",
                "zh": "你没有给 `[CLS]` 留位置，所有标签都早了一步。`word_of` 的每一项在结果里都对应一个数。",
            },
        ),
        Misconception(
            "words_counted_as_they_come",
            """
def align_labels(word_of, labels):
    aligned, before, count = [], None, 0
    for word in word_of:
        if word is None or word == before:
            aligned.append(-100)
        else:
            aligned.append(labels[count])
            count += 1
        before = word
    return aligned
""",
            {
                "en": "Right while every word has a piece. You count the words as they come; where one has no piece at all, the labels after it are shifted. Take `labels[word]`.",
                "zh": "每个词都有子词时是对的。你是按出现的先后数词的；要是有的词一个子词也没有，它后面的标签就都错位了。应当取 `labels[word]`。",
            },
        ),
        Misconception(
            "word_0_taken_for_none",
            """
def align_labels(word_of, labels):
    aligned, before = [], None
    for word in word_of:
        aligned.append(labels[word] if word and word != before else -100)
        before = word
    return aligned
""",
            {
                "en": "The first word gets no label: its number is 0, and `if word` (or `not word`) takes 0 for nothing. Ask `word is None`.",
                "zh": "第一个词没有得到标签：它的编号是 0，而 `if word`（或 `not word`）把 0 当成了没有。应当写 `word is None`。",
            },
        ),
    ),
    hints=(
        {
            "en": "Go through `word_of` and remember the entry before. A piece is the first of its word when its number differs from the one before.",
            "zh": "逐项走过 `word_of`，记住前一项。编号与前一项不同，就是这个词的第一个子词。",
        },
    ),
)


# --- 12 best_span -----------------------------------------------------------------------------------------------------

LONGEST = 4  # pieces of an answer in the cases


def draw_span(rng: np.random.Generator, kind: str) -> dict[str, Tree]:
    """Logits in which one span is best, and in which the wrong ways each find another.

    At two places both logits are very low, so that their product is large.
    """
    T, first = 16, int(rng.integers(3, 5))
    start, end = rng.uniform(-1, 1, T), rng.uniform(-1, 1, T)
    start[-2] = end[-1] = -8
    s = int(rng.integers(first + 2, first + 4))
    e = s + {"one word": 0, "ends that cross": 1, "question": 1, "length": LONGEST - 1, "unlikely": 1}[kind]
    start[s], end[e] = 4.2, 4.3
    if kind == "ends that cross":  # each for itself is highest elsewhere
        start[e + 3], end[s - 2] = 5.2, 5.4
    if kind == "question":
        start[0], end[1] = 6.1, 6.2
    if kind == "length":
        end[s + LONGEST], end[s + LONGEST + 2] = 5.3, 6.3
    if kind == "unlikely":  # no sum is above 0
        start, end = start - 9, end - 9
    return {
        "start": start.round(2).astype(np.float32),
        "end": end.round(2).astype(np.float32),
        "first": first,
        "max_length": LONGEST,
    }


def draw_single_word(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_span(rng, "one word")


def draw_crossed(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_span(rng, "ends that cross")


def draw_in_question(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_span(rng, "question")


def draw_long_span(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_span(rng, "length")


def draw_unlikely(rng: np.random.Generator) -> dict[str, Tree]:
    return draw_span(rng, "unlikely")


def span(
    starts: str = "range(first, len(start))",
    ends: str = "range(s, min(s + max_length, len(end)))",
    score: str = "float(start[s] + end[e])",
    result: str = "s, e",
    lowest: str = '-float("inf")',
) -> str:
    return f"""
def best_span(start, end, first, max_length):
    best, where = {lowest}, None
    for s in {starts}:
        for e in {ends}:
            if {score} > best:
                best, where = {score}, ({result})
    return where
"""


BEST_SPAN = Exercise(
    name="best_span",
    title={"en": "From where to where?", "zh": "从哪里到哪里？"},
    difficulty=2,
    minutes=12,
    draw={
        "one word": draw_single_word,
        "ends that cross": draw_crossed,
        "question": draw_in_question,
        "length": draw_long_span,
        "all below 0": draw_unlikely,
    },
    groups={
        "one word": {"zh": "只有一个词"},
        "ends that cross": {"zh": "首尾交叉"},
        "question": {"zh": "答在问题里"},
        "length": {"zh": "长度限制"},
        "all below 0": {"zh": "全是负数"},
    },
    cases=2,
    compare=Equal(),
    rules=BY_HAND,
    variants=(
        """
def best_span(start, end, first, max_length):
    T = len(start)
    scores = start[:, None] + end[None, :]
    s, e = torch.arange(T)[:, None], torch.arange(T)[None, :]
    allowed = (s >= first) & (e >= s) & (e < s + max_length)
    best = scores.masked_fill(~allowed, -torch.inf).argmax()
    return torch.stack([best // T, best % T])
""",
        """
def best_span(start, end, first, max_length):
    p, q = start.softmax(0), end.softmax(0)
    spans = [(s, e) for s in range(first, len(p)) for e in range(s, len(q)) if e - s + 1 <= max_length]
    return list(max(spans, key=lambda span: (p[span[0]] * q[span[1]]).item()))
""",
    ),
    misconceptions=(
        Misconception(
            "each_end_by_itself",
            """
def best_span(start, end, first, max_length):
    return first + int(start[first:].argmax()), first + int(end[first:].argmax())
""",
            {
                "en": "You take the best start and the best end, each by itself, so that s > e can come out: an answer that ends before it begins. Look for the best pair with s ≤ e.",
                "zh": "你分别取了最好的起点和最好的终点，于是会出现 s > e：答案还没开始就结束了。应当在 s ≤ e 的前提下找最好的一对。",
            },
        ),
        Misconception(
            "any_two_ends",
            """
def best_span(start, end, first, max_length):
    return int(start.argmax()), int(end.argmax())
""",
            {
                "en": "You take the highest start and the highest end of all positions: s > e can come out, and an answer inside the question. Look for the best pair that is allowed.",
                "zh": "你在所有位置里分别取最高的起点和终点：会出现 s > e，也会答到问题里去。应当在允许的范围里找最好的一对。",
            },
        ),
        Misconception(
            "start_first_then_end",
            """
def best_span(start, end, first, max_length):
    s = first + int(start[first:].argmax())
    return s, s + int(end[s : s + max_length].argmax())
""",
            {
                "en": "You settle the start first and then look for the best end after it. The best start may have no good end behind it: compare the sums of all pairs.",
                "zh": "你先定下起点，再在它后面找最好的终点。可是最好的起点后面未必有好的终点：应当比较所有组合的和。",
            },
        ),
        Misconception(
            "end_first_then_start",
            """
def best_span(start, end, first, max_length):
    e = first + int(end[first:].argmax())
    begin = max(first, e - max_length + 1)
    return begin + int(start[begin : e + 1].argmax()), e
""",
            {
                "en": "You settle the end first and then look for the best start before it. Compare the sums of all pairs.",
                "zh": "你先定下终点，再在它前面找最好的起点。应当比较所有组合的和。",
            },
        ),
        Misconception(
            "question_allowed",
            span(starts="range(len(start))"),
            {
                "en": "Your answer may lie inside the question. Both ends must be at `first` or after it, where the text begins.",
                "zh": "你的答案可能落在问题里。两端都应当不早于 `first`，正文从那里开始。",
            },
        ),
        Misconception(
            "no_limit_of_length",
            span(ends="range(s, len(end))"),
            {
                "en": "Your answers may be as long as they like. At most `max_length` tokens are allowed.",
                "zh": "你的答案可以任意长。最多只能有 `max_length` 个词元。",
            },
        ),
        Misconception(
            "one_too_long",
            span(ends="range(s, min(s + max_length + 1, len(end)))"),
            {
                "en": "Your answers may be one token too long: from s to e there are e - s + 1 tokens.",
                "zh": "你的答案可以多出一个词元：从 s 到 e 一共是 e - s + 1 个。",
            },
        ),
        Misconception(
            "one_too_short",
            span(ends="range(s, min(s + max_length - 1, len(end)))"),
            {
                "en": "An answer of exactly `max_length` tokens is allowed; you stop one short of it.",
                "zh": "恰好 `max_length` 个词元的答案是允许的；你少了一个。",
            },
        ),
        Misconception(
            "single_words_forbidden",
            span(ends="range(s + 1, min(s + max_length, len(end)))"),
            {
                "en": "You demand s < e, and so forbid answers of one word. `gravity` of the lecture is one: s = e.",
                "zh": "你要求 s < e，这就排除了只有一个词元的答案。课上的 `gravity` 正是这样：s = e。",
            },
        ),
        Misconception(
            "logits_multiplied",
            span(score="float(start[s] * end[e])"),
            {
                "en": "You multiply the logits, and two very low ones make a high product. Multiply probabilities, or add logits: log p + log q = log pq.",
                "zh": "你把 logits 相乘了，两个很低的负数相乘反而很大。概率可以相乘，logits 应当相加：log p + log q = log pq。",
            },
        ),
        Misconception(
            "best_begins_at_0",
            span(lowest="0"),
            {
                "en": 'Where all sums are negative your function finds nothing. Logits may well be below 0: let the best so far begin at `float("-inf")`.',
                "zh": '所有的和都是负数时，你的函数什么也没找到。logits 完全可能小于 0：目前最好的分数应当从 `float("-inf")` 开始。',
            },
        ),
        Misconception(
            "over_the_end",
            span(ends="range(s, s + max_length)"),
            {
                "en": "Near the end of the text your `e` runs past the last token. It goes at most to `len(end) - 1`.",
                "zh": "靠近结尾时，你的 `e` 越过了最后一个词元。它最多到 `len(end) - 1`。",
            },
        ),
        Misconception(
            "end_one_further",
            span(result="s, e + 1"),
            {
                "en": "Your e is one step after the answer, as in a Python slice. Here e is the last token of the answer itself.",
                "zh": "你的 e 比答案多走了一步（像 Python 切片那样）。这里的 e 就是答案的最后一个词元。",
            },
        ),
        Misconception(
            "counted_from_the_text",
            span(result="s - first, e - first"),
            {
                "en": "You count from the beginning of the text. Count from the beginning of the input, question and all.",
                "zh": "你是从正文开头数的。应当从整个输入的开头数，问题也算在内。",
            },
        ),
    ),
    hints=(
        {
            "en": "Two loops will do: s from `first` on, e from s to `min(s + max_length, len(end)) - 1`. Keep the pair whose `start[s] + end[e]` is largest.",
            "zh": "两重循环就够了：s 从 `first` 开始，e 从 s 到 `min(s + max_length, len(end)) - 1`。记住 `start[s] + end[e]` 最大的那一对。",
        },
    ),
)


EXERCISES = [
    WORD_PIECES,
    BERT_INPUT,
    EMBED,
    ATTENTION,
    MULTI_HEAD,
    MEAN_OF,
    MASK_TOKENS,
    PRETRAINING_LOSS,
    FINE_TUNE,
    PREDICTIONS,
    ALIGN_LABELS,
    BEST_SPAN,
]
