"""Answers from logits: the best span against brute force, windows of a question, exact match and F1."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_pieces import one, perfect, small

from coursekit.data import (
    SpanSplit,
    answer_f1,
    answers,
    best_span,
    exact_match,
    word_span,
)
from coursekit.data.spans import Language

PRECIPITATION = (  # P. Rajpurkar et al. (2016), "SQuAD", figure 1; from Wikipedia, CC BY-SA
    "In meteorology, precipitation is any product of the condensation of atmospheric water vapor that falls under "
    "gravity. The main forms of precipitation include drizzle, rain, sleet, snow, graupel and hail... Precipitation "
    "forms as smaller droplets coalesce via collision with other rain drops or ice crystals within a cloud."
)


def brute_force(starts: list[float], ends: list[float], longest: int, no_answer: bool) -> tuple[int, int]:
    best, where = float("-inf"), (0, 0)
    for s in range(len(starts)):
        for e in range(s, min(len(starts), s + longest)):
            if no_answer and s == 0 and e > 0:
                continue
            if starts[s] + ends[e] > best:
                best, where = starts[s] + ends[e], (s, e)
    return where


logit = st.one_of(st.integers(-3, 3).map(float), st.just(float("-inf")))  # few values, so that many are equal


@settings(max_examples=300)
@given(
    st.integers(1, 12).flatmap(lambda n: st.lists(st.tuples(logit, logit), min_size=n, max_size=n)),
    st.integers(1, 14),
    st.booleans(),
)
@example([(0.0, 5.0), (5.0, 0.0)], 2, False)  # the best end is before the best start
def test_best_span_is_the_best(rows: list[tuple[float, float]], longest: int, no_answer: bool) -> None:
    starts, ends = [list(column) for column in zip(*rows, strict=True)]
    span = best_span(torch.tensor(starts), torch.tensor(ends), max_answer_length=longest, no_answer=no_answer)
    assert (int(span.start), int(span.end)) == brute_force(starts, ends, longest, no_answer)
    assert float(span.score) == starts[span.start] + ends[span.end]


def test_best_spans_of_many_at_a_time() -> None:
    random = torch.Generator().manual_seed(0)
    starts, ends = torch.randn(2, 3, 4, 50, generator=random)
    start, end, score = best_span(starts, ends, max_answer_length=5)
    assert start.shape == end.shape == score.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            alone = best_span(starts[i, j], ends[i, j], max_answer_length=5)
            assert (start[i, j], end[i, j], score[i, j]) == alone
            assert (int(alone.start), int(alone.end)) == brute_force(
                starts[i, j].tolist(), ends[i, j].tolist(), 5, False
            )


def test_best_span_of_other_numbers_and_what_it_refuses() -> None:
    assert best_span(torch.tensor([1, 5, 2]), torch.tensor([0, 1, 3]))[:2] == (1, 2)
    half = torch.tensor([0.0, 256.0]).bfloat16()  # 256 + 1 is no bfloat16
    assert float(best_span(half, torch.tensor([0.0, 1.0]).bfloat16()).score) == 257
    with pytest.raises(ValueError, match=r"\(3,\) for starts and \(2,\) for ends"):
        best_span(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ValueError, match="at least one position"):
        best_span(torch.zeros(2, 0), torch.zeros(2, 0))
    with pytest.raises(ValueError, match="max_answer_length is 0"):
        best_span(torch.zeros(2), torch.zeros(2), max_answer_length=0)


def test_no_answer_wins_ties_and_loses_to_more() -> None:
    starts, ends = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([2.0, 0.0, 3.0])
    assert best_span(starts, ends, no_answer=True)[:2] == (0, 0)  # 4 against 4
    assert best_span(starts, ends + torch.tensor([0, 0, 0.5]), no_answer=True)[:2] == (1, 2)
    assert best_span(starts, ends)[:2] == (0, 2)


def test_answers_keep_to_the_limit_and_to_the_context() -> None:
    data = one("the song", "play song by the song", "song by the song").encode(small())
    logits = perfect(data)
    assert answers(logits, data) == ["song by the song"]
    logits[0, 1], logits[0, -1], logits[0, 0] = 50.0, 50.0, 50.0  # question, [SEP] and [CLS] are no answer
    assert answers(logits, data) == ["song by the song"]
    short = answers(logits, data, max_answer_length=2)[0]
    assert short in ("song", "song by", "the song")
    assert answers(logits, data, no_answer=True) == [""]
    with pytest.raises(ValueError, match=r"the shape \(1, 3, 2\), expected \(1, \d+ or more, 2\)"):
        answers(logits[:, :3], data)


def test_the_best_window_of_each_question_counts() -> None:
    split = SpanSplit(["a", "b"], ["a b c d e f"] * 2, ["b", ""], [2, -1])
    data = split.encode(small(), max_length=7, stride=3)  # two windows of three pieces each
    assert data.examples == [0, 0, 1, 1]
    logits = torch.zeros(4, 9, 2)  # longer than any: padded, as `predict` does with batches
    logits[0, 4] = 2.0  # "b"
    logits[1, 3] = 3.0  # "d" in the second window
    logits[2:, 5] = 1.0
    assert answers(logits, data) == ["d", "c"]  # of equal ones the first window's
    logits[[0, 2, 3], 0] = 4.0  # of the first question only one window says that there is no answer
    assert answers(logits, data, no_answer=True) == ["d", ""]


def test_an_empty_context_has_no_answer() -> None:
    split = SpanSplit(["the", "", "\ud800"], ["", "\x07 \ud800", " "], [""] * 3, [0] * 3)
    data = split.encode(small(), max_length=4)
    assert data.y.eq(0).all() and len(data) == 3
    assert answers(torch.randn(3, 9, 2), data) == [""] * 3
    assert answers(torch.randn(3, 9, 2), data, no_answer=True) == [""] * 3


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("the end", "end"),
        ("ends with 😀", "😀"),
        ("天气好play北京", "play北京"),
        ("broken \ud800 song \udfff", "song"),
        ("cafe\u0301", "cafe\u0301"),
        ("the 北京，playing", "北京，playing"),
        ("PLAY Song", "PLAY Song"),
    ],
)
def test_answers_are_the_letters_of_the_context(context: str, answer: str) -> None:
    data = one("", context, answer).encode(small())
    assert answers(perfect(data), data) == [answer]


@pytest.mark.parametrize(
    ("true", "predicted", "language", "match", "f1"),
    [
        ("the Norman dukes", "Norman  Dukes.", "en", 1, 1),
        ("Denver Broncos", "the Broncos", "en", 0, 2 / 3),
        ("10,000", "10000", "en", 1, 1),
        ("a b b c", "b b b", "en", 0, 2 * 2 / (3 + 3)),
        ("the", "a", "en", 1, 1),
        ("song", "", "en", 0, 0),
        ("", "", "en", 1, 1),
        ("北京大学", "北京", "zh", 0, 2 * 2 / (4 + 2)),
        ("“黄金 50 周年”", "黄金50周年", "zh", 1, 1),
        ("NFL 联赛", "nfl", "zh", 0, 2 * 1 / (3 + 1)),
        ("北京大学", "北京大学在", "en", 0, 0),  # what happens with the wrong language
    ],
)
def test_scores_by_hand(true: str, predicted: str, language: Language, match: float, f1: float) -> None:
    assert exact_match([true], [predicted], language) == match
    assert answer_f1([true], [predicted], language) == pytest.approx(f1)


def test_scores_are_means() -> None:
    assert exact_match(["a cat", "dog"], ["cat", "cat"]) == 0.5
    assert answer_f1(["red cat", "dog"], ["cat", "cat"]) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="1 true answers, 2 predicted ones"):
        answer_f1(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="one at least"):
        exact_match([], [])
    with pytest.raises(ValueError, match='language must be "en" or "zh"'):
        exact_match(["a"], ["a"], "de")  # type: ignore[arg-type]  # the wrong value is the point


def test_the_lecture_counts_words_from_1() -> None:
    assert word_span(PRECIPITATION, "gravity") == (17, 17)
    assert PRECIPITATION.split()[17 - 1] == "gravity."
    assert word_span(PRECIPITATION, "graupel") == (28, 28)
    assert word_span(PRECIPITATION, "within a cloud") == (46, 48)
    assert word_span("a b a c", " a c", 3) == (3, 4)
    for answer in ("fog", " "):
        with pytest.raises(ValueError, match="does not stand in the context"):
            word_span(PRECIPITATION, answer)


def test_the_lecture_in_word_pieces() -> None:
    """The same answers through the whole machinery, as a model sees them."""
    asked = ["gravity", "graupel", "within a cloud"]
    starts = [PRECIPITATION.find(answer) for answer in asked]
    split = SpanSplit(["What causes precipitation to fall?"] * 3, [PRECIPITATION] * 3, asked, starts)
    data = split.encode(small(), max_length=400)
    assert answers(perfect(data), data) == asked
