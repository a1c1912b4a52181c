"""Generated sequences: their laws, and that the same seed gives the same."""

import math
import re
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.data import tokenize
from coursekit.data.same_bag import LANGUAGES
from coursekit.data.synthetic import (
    REBER_SYMBOLS,
    adding_problem,
    copy_memory,
    daily_series,
    long_range_accuracy,
    parity,
    reber_grammar,
    reber_next,
    reber_string,
    same_bag,
    same_bag_pairs,
    windows,
)

seeds = st.integers(0, 2**32)
sizes = st.integers(0, 20)
quick = settings(max_examples=40, deadline=None)
EMBEDDED_SIX = {  # one by hand for each of the two ways through the outer grammar, and of different lengths
    "BTBTXSETE", "BPBTXSEPE", "BTBPVVETE", "BPBPVVEPE", "BTBTSSXXTTVVETE", "BPBPTTVPXVPSEPE",
}  # fmt: skip


@given(n=sizes, length=st.integers(2, 60), seed=seeds)
@quick
def test_adding_marks_one_number_in_each_half_and_y_is_their_sum(n, length, seed):
    split = adding_problem(n, length, seed)
    assert split.X.shape == (n, length, 2) and split.X.dtype == split.y.dtype == torch.float32
    numbers, marks = split.X.unbind(2)
    assert ((numbers >= 0) & (numbers < 1)).all() and set(marks.flatten().tolist()) <= {0.0, 1.0}
    assert (marks[:, : length // 2].sum(1) == 1).all() and (marks[:, length // 2 :].sum(1) == 1).all()
    expected = [[math.fsum(row[mark == 1].tolist())] for row, mark in zip(numbers, marks, strict=True)]
    torch.testing.assert_close(split.y, torch.tensor(expected).reshape(n, 1))


def test_adding_marks_every_place_and_without_memory_the_error_is_a_sixth():
    split = adding_problem(20_000, length=7)
    counts = split.X[..., 1].sum(0)
    assert ((counts / 20_000 - torch.tensor([1 / 3] * 3 + [1 / 4] * 4)).abs() < 0.02).all()
    assert ((split.y - 1) ** 2).mean().item() == pytest.approx(1 / 6, abs=0.01)
    with pytest.raises(ValueError, match="at least 2"):
        adding_problem(1, length=1)


@given(n=sizes, length=st.integers(1, 30), symbols=st.integers(1, 9), remember=st.integers(1, 12), seed=seeds)
@quick
def test_copy_asks_once_and_then_wants_what_came_first(n, length, symbols, remember, seed):
    split = copy_memory(n, length, symbols, remember, seed)
    assert split.X.shape == split.y.shape == (n, length + 2 * remember)
    assert split.X.dtype == split.y.dtype == torch.int64
    for x, y in zip(split.X.tolist(), split.y.tolist(), strict=True):
        memory = x[:remember]
        assert set(memory) <= set(range(1, symbols + 1))
        assert x[remember:] == [0] * (length - 1) + [symbols + 1] + [0] * remember
        assert y == [0] * (length + remember) + memory


@pytest.mark.parametrize("wrong", [{"length": 0}, {"symbols": 0}, {"remember": 0}])
def test_copy_says_which_sizes_it_takes(wrong):
    with pytest.raises(ValueError, match="each must be 1 or more"):
        copy_memory(2, **wrong)


@given(n=sizes, length=st.integers(1, 40), seed=seeds)
@quick
def test_parity_of_the_whole_row(n, length, seed):
    split = parity(n, length, seed)
    assert split.X.shape == (n, length, 1) and split.X.dtype == torch.float32
    assert split.y.dtype == torch.int64
    for bits, label in zip(split.X[..., 0].tolist(), split.y.tolist(), strict=True):
        assert set(bits) <= {0.0, 1.0} and bits.count(1.0) % 2 == label


def accepted(text: str, embedded: bool) -> bool:
    """Is this a whole string, going by `reber_next` alone?"""
    steps = all(symbol in reber_next(text[:i], embedded) for i, symbol in enumerate(text))
    return steps and not reber_next(text, embedded)


@given(n=st.integers(1, 20), embedded=st.booleans(), seed=seeds)
@quick
def test_reber_strings_are_those_that_reber_next_accepts(n, embedded, seed):
    strings = reber_grammar(n, embedded, seed)
    assert len(strings) == n and strings.values.dtype == torch.int64
    for x, y in strings:
        assert torch.equal(x[1:], y[:-1])
        text = reber_string(x) + REBER_SYMBOLS[int(y[-1]) - 1]
        assert accepted(text, embedded) and not accepted(text, not embedded)
        assert len(text) >= (9 if embedded else 5) and text[0] == "B" and text[-1] == "E"
        if embedded:
            assert text[1] == text[-2] and accepted(text[2:-2], embedded=False)
        assert not accepted(text[:-1], embedded) and not accepted(text + "E", embedded)


# The plain grammar as a regular expression, worked out by hand from its figure: from the node in the middle through the
# lower half and back to it as often as one likes, then out at the top or at the bottom.
OUT = "(?:XT*VP)*(?:S|XT*VV)"
PLAIN = re.compile(f"B(?:TS*X{OUT}|PT*V(?:V|P{OUT}))E")


@given(seed=seeds, place=st.integers(0, 20), put=st.text(REBER_SYMBOLS, max_size=2), cut=st.integers(0, 2))
@settings(max_examples=300, deadline=None)
def test_reber_next_accepts_only_the_grammar(seed, place, put, cut):
    x, y = reber_grammar(1, embedded=False, seed=seed)[0]
    right = reber_string(x) + reber_string(y[-1:])
    assert PLAIN.fullmatch(right)
    for text in (put, right[:place] + put + right[place + cut :]):
        assert accepted(text, embedded=False) == bool(PLAIN.fullmatch(text))
        for first, last in ("TT", "PP", "TP", "PT"):
            whole = f"B{first}{text}{last}E"
            assert accepted(whole, embedded=True) == bool(first == last and PLAIN.fullmatch(text))


def test_reber_next_by_hand():
    assert reber_next("") == {"B"} and reber_next("B") == {"T", "P"} and reber_next("BT") == {"B"}
    assert reber_next("BTBTXSE") == {"T"} and reber_next("BPBTXSE") == {"P"}
    assert reber_next("BTBTXSETE") == reber_next("BTBTXSEP") == set()
    assert reber_next("BT", embedded=False) == {"S", "X"}
    assert all(accepted(text, embedded=True) for text in EMBEDDED_SIX)
    with pytest.raises(ValueError, match="not b"):
        reber_next("Bb")


def test_both_branches_are_as_likely_at_every_node():
    after: dict[str, Counter[str]] = {}
    for x, y in reber_grammar(4_000, embedded=False):
        text = reber_string(x)
        for i, symbol in enumerate(reber_string(y)):
            # What has come last says which node it is only together with what may follow.
            after.setdefault("".join(sorted(reber_next(text[: i + 1], embedded=False))), Counter()).update(
                symbol
            )
    assert set(after) == {"PT", "SX", "TV", "PV", "E"}
    for counts in after.values():
        shares = [count / counts.total() for count in counts.values()]
        assert shares == pytest.approx([1 / len(shares)] * len(shares), abs=0.02)


def test_a_test_set_without_the_strings_of_the_training_set():
    train = reber_grammar(256, seed=0)
    test = reber_grammar(256, seed=1, without=train)
    train_strings = {reber_string(x) for x, _ in train}
    assert train_strings & {reber_string(x) for x, _ in reber_grammar(256, seed=1)}
    assert not train_strings & {reber_string(x) for x, _ in test}


@given(n=st.integers(1, 12), seed=seeds, data=st.data())
@quick
def test_long_range_accuracy_looks_at_one_place_of_each_string(n, seed, data):
    strings = reber_grammar(n, seed=seed)
    right = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    T = int(strings.lengths.max())
    predicted = torch.randint(1, 8, (n, T), generator=torch.Generator().manual_seed(seed))
    other = {1 + REBER_SYMBOLS.index("T"): 1 + REBER_SYMBOLS.index("P")}
    other |= {b: a for a, b in other.items()}
    for i, (_, y) in enumerate(strings):
        predicted[i, len(y) - 2] = y[-2] if right[i] else other[int(y[-2])]
    logits = torch.nn.functional.one_hot(predicted, 8).float()
    ragged = [row[:length] for row, length in zip(logits, strings.lengths.tolist(), strict=True)]
    for guess in (predicted, logits, ragged, [row.argmax(1) for row in ragged]):
        assert long_range_accuracy(guess, strings) == sum(right) / n


def test_long_range_accuracy_says_what_it_needs():
    with pytest.raises(ValueError, match="3 strings and predictions for 2"):
        long_range_accuracy(torch.zeros(2, 30, 8), reber_grammar(3))
    plain = reber_grammar(50, embedded=False)
    with pytest.raises(ValueError, match="embedded=True"):
        long_range_accuracy(torch.zeros(50, 80, 8), plain)


@given(days=st.integers(0, 800), seed=seeds)
@quick
def test_a_daily_series_is_positive(days, seed):
    series = daily_series(days, seed)
    assert series.shape == (days,) and series.dtype == torch.float32 and (series > 0).all()


def test_a_daily_series_has_a_week_and_grows():
    series = torch.stack([daily_series(7 * 104, seed) for seed in range(30)]).mean(0).reshape(104, 7)
    of_day = series.mean(0) / series.mean()
    assert of_day.argmax() == 1 and of_day.argmin() == 5 and of_day.max() / of_day.min() > 1.3
    assert 1.15 < series[52:].mean() / series[:52].mean() < 1.25


def test_a_week_of_days_foretells_better_than_a_day_and_a_month_better_still():
    """As the lecture's page views do: a linear model of the last 1, 7 and 28 days, fitted on the first two thirds."""
    errors = {}
    for k in (1, 7, 28):
        losses = []
        for seed in range(8):
            series = daily_series(1_100, seed)
            train, test = windows(series[:730], k), windows(series[730 - k :], k)
            A, B = (torch.cat([s.X[..., 0], torch.ones(len(s), 1)], dim=1) for s in (train, test))
            losses.append(
                float((B @ torch.linalg.lstsq(A, train.y).solution - test.y).square().mean()) ** 0.5
            )
        errors[k] = sum(losses) / len(losses)
    assert errors[7] < 0.8 * errors[1] and errors[28] < 0.97 * errors[7]


@given(days=st.integers(2, 50), data=st.data())
@quick
def test_windows_are_the_days_before(days, data):
    k = data.draw(st.integers(1, days - 1))
    series = torch.arange(float(days))
    split = windows(series, k)
    assert split.X.shape == (days - k, k, 1) and split.y.shape == (days - k, 1)
    for i in range(days - k):
        assert split.X[i, :, 0].tolist() == list(range(i, i + k)) and split.y[i].item() == i + k
    split.X.zero_()
    assert series[-1] == days - 1


@pytest.mark.parametrize(("series", "k"), [(torch.ones(3), 3), (torch.ones(3), 0), (torch.ones(3, 1), 1)])
def test_windows_need_more_days_than_k(series, k):
    with pytest.raises(ValueError, match="1 <= k < days"):
        windows(series, k)


def bag(text: str) -> Counter[str]:
    return Counter(tokenize(text))


both = pytest.mark.parametrize("lang", ["en", "zh"])


@both
@given(n=st.integers(0, 60), seed=seeds)
@quick
def test_the_two_of_a_pair_have_the_same_bag_and_opposite_labels(lang, n, seed):
    split = same_bag_pairs(n, lang, seed)
    assert len(split) == 2 * n == len(set(split.texts)) and split.y.dtype == torch.int64
    for i in range(0, 2 * n, 2):
        first, second = split.texts[i : i + 2]
        assert bag(first) == bag(second) and tokenize(first) != tokenize(second)
        assert sorted(split.y[i : i + 2].tolist()) == [0, 1]
        assert split.phenomena[i] == split.phenomena[i + 1] in ({"negation"}, {"contrast"})
    assert abs(len(split.showing("negation")) - n) <= 1 if n else True


@both
def test_no_adjective_is_praise_here_and_blame_there(lang):
    language = LANGUAGES[lang]
    pairs = [pair for field in language.fields for _, pairs in field for pair in pairs] + language.always
    good, bad = zip(*(pair.split("/") for pair in pairs), strict=True)
    assert not set(good) & set(bad)
    assert all(len(pair.split("/")) == 2 and all(pair.split("/")) for pair in pairs)


@both
def test_the_label_is_what_is_asserted_or_comes_after_but(lang):
    language = LANGUAGES[lang]
    pairs = [pair for field in language.fields for _, pairs in field for pair in pairs] + language.always
    good, bad = ({pair.split("/")[side] for pair in pairs} for side in (0, 1))
    turns = {"en": [" but "], "zh": ["但是", "可是", "但", "却"]}[lang]
    denials = {"en": {"not", "never", "no", "nobody"}, "zh": {"不", "没"}}[lang]
    split = same_bag_pairs(400, lang, seed=1)
    for text, label, phenomena in zip(split.texts, split.y.tolist(), split.phenomena, strict=True):
        if phenomena == {"negation"}:
            assert set(tokenize(text)) & denials and not any(turn in text for turn in turns)
        else:
            assert not set(tokenize(text)) & denials
            turn = next(turn for turn in turns if turn in text)
            decisive = text.partition(turn)[2]
            words = set(tokenize(decisive)) if lang == "en" else None
            said = [
                {word for word in side if (word in words if words else word in decisive)}
                for side in (bad, good)
            ]
            # A Chinese adjective may have a shorter one inside (好 in 好吃), never one of the other side.
            assert said[label] and not said[1 - label]


def test_the_pair_of_the_lecture_can_be_written():
    food = next(frame for frame in LANGUAGES["en"].frames["negation"]["opposites"] if "at all." in frame)
    assert (
        food.format(thing_was="food was", very="", A="good", B="bad") == "the food was good, not bad at all."
    )
    assert any(
        "food" in things and "good/bad" in LANGUAGES["en"].always for things, _ in LANGUAGES["en"].fields[0]
    )


@both
def test_sentences_are_well_formed(lang):
    split = same_bag_pairs(1_500, lang, seed=2)
    for text in split.texts:
        assert text == text.strip() and "  " not in text and not set(text) & set("{}*/:")
        assert text.endswith("." if lang == "en" else "。")
        if lang == "en":
            assert text[0].isupper() and text.isascii()
        else:
            assert not any(letter.isascii() for letter in text)
    starts = Counter(split.y[::2].tolist())
    assert min(starts.values()) > 600


@both
def test_same_bag_splits_share_no_sentence_and_know_every_word(lang):
    data = same_bag(lang, seed=3, train=400, val=60, test=100)
    splits = (data.train, data.val, data.test)
    assert [len(split) for split in splits] == [800, 120, 200]
    texts = [set(split.texts) for split in splits]
    assert len(texts[0] | texts[1] | texts[2]) == 1_120
    vocabulary = data.vocabulary(min_count=2)
    for split in splits:
        assert not any(vocabulary.unk in vocabulary.encode(text) for text in split.texts)
        assert split.y.float().mean() == 0.5
        assert len(split.showing("negation")) == len(split.showing("contrast"))
    assert data.classes == ("negative", "positive")
    assert len(data.encode(vocabulary).test) == 200


@both
def test_there_are_many_thousand_pairs(lang):
    assert len(set(same_bag_pairs(8_000, lang).texts)) == 16_000


def test_same_bag_says_what_it_cannot_do():
    with pytest.raises(ValueError, match="'en' or 'zh', got 'fr'"):
        same_bag_pairs(2, "fr")
    with pytest.raises(ValueError, match="ask for more pairs in train"):
        same_bag("en", train=2, val=50)


def everything(seed: int) -> list[object]:
    """One of each, as plain lists."""
    splits = [adding_problem(3, 6, seed), copy_memory(3, seed=seed), parity(3, seed=seed)]
    strings = [reber_grammar(20, embedded, seed) for embedded in (True, False)]
    return [
        *((split.X.tolist(), split.y.tolist()) for split in splits),
        *([(x.tolist(), y.tolist()) for x, y in each] for each in strings),
        daily_series(9, seed).tolist(),
        *(same_bag_pairs(4, lang, seed).texts for lang in LANGUAGES),
        same_bag("zh", seed, train=40, val=2, test=2).test.texts,
    ]


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_seeds_repeat_differ_and_leave_torch_alone(seed):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = everything(seed)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert everything(seed) == first
    assert all(a != b for a, b in zip(everything(seed + 1), first, strict=True))
