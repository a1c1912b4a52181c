"""Where a classifier of texts is wrong: the table of its surest mistakes, and its accuracy by phenomenon."""

import re
from html.parser import HTMLParser

import pytest
import torch
from scipy.stats import binomtest
from text_figures import SPLIT, TEXTS, P, Y, drawn, written

from coursekit.data import TextSplit
from coursekit.plot import by_phenomenon, most_wrong
from coursekit.plot.lettering import width_of
from coursekit.plot.phenomena import LONG


class Cells(HTMLParser):
    """The words of a page, and the tags that it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words, self.tags = "", set()
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)

    def handle_data(self, data) -> None:
        self.words += f"{data} "


def test_most_wrong_the_surest_first():
    table = most_wrong(
        TEXTS, Y, P, ["负面", "正面"], phenomena=[set(), {"negation", "mixed"}, set(), set(), set()]
    )
    assert [row.index for row in table.rows] == [3, 1, 2] and len(table) == 3
    row = table.rows[1]
    assert (row.text, row.true, row.predicted, row.phenomena) == (
        "not good",
        "负面",
        "正面",
        ("mixed", "negation"),
    )
    assert (row.p_true, row.p_predicted) == pytest.approx((0.2, 0.8))
    assert "3 of 5 texts are wrong" in repr(table)
    assert re.search(
        r"true: 负面 \(20%\) +predicted: 正面 \(80%\) █{8} +\[mixed, negation\]\n +not good", repr(table)
    )
    page = Cells(table._repr_html_())
    assert {"phenomena", "negation"} <= set(re.findall(r"\w+", page.words)) and "正面 80%" in page.words
    assert most_wrong(TEXTS, Y, P, n=1).caption == "3 of 5 texts are wrong; the 1 surest of them:"
    assert "phenomena" not in most_wrong(TEXTS, Y, P)._repr_html_()


def test_what_a_text_holds_is_shown_and_not_done():
    table = most_wrong(TEXTS, Y, P, ["<b>no</b>", "yes"])
    page = Cells(table._repr_html_())
    assert page.tags == {"div", "table", "thead", "tbody", "tr", "th", "td", "span"}
    assert TEXTS[3].replace(" ", "") in page.words.replace(" ", "") and "<b>no</b> 5%" in page.words
    # Two bare dollars would be a formula in a notebook.
    assert not re.search(r"\$(?!</span>)", table._repr_html_())
    nasty = "\x1b[31mred\x1b[0m\r\n\u202eturned \ud800 👩\u200d👧 \x00"
    shown = most_wrong([nasty], [0], P[1:2])
    for page in (repr(shown), shown._repr_html_()):
        assert page.encode("utf-8") and not re.search("[\x00-\x09\x0b-\x1f\u202e]", page)
        assert "👩\u200d👧" in page and "turned" in page


def test_long_texts_are_cut():
    table = most_wrong(["word " * 400, "字" * 900], [0, 0], P[[1, 3]])
    for row in table.rows:
        assert width_of(table.shown(row)) <= 240 and table.shown(row).endswith("…")
    assert max(map(width_of, repr(table).split("\n"))) < 110
    whole = most_wrong(["word " * 400], [0], P[1:2], max_length=None)
    assert repr(whole).count("word") == 400


def test_nothing_wrong_is_said():
    assert repr(most_wrong(TEXTS[:1], [0], P[:1])) == "0 of 1 texts are wrong"
    assert "table" not in Cells(most_wrong(TEXTS[:1], [0], P[:1])._repr_html_()).tags
    assert repr(most_wrong([], [], torch.zeros(0, 2))) == "0 of 0 texts are wrong"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TEXTS, Y[:3], P), r"5 texts, y \(3,\) and probabilities \(5, 2\)"),
        ((TEXTS, Y, P[:, 1]), r"probabilities \(5,\)"),
        (("text", Y, P), "one text, no list"),
        ((TextSplit(TEXTS, Y), Y, P), "give split.texts"),
        ((TEXTS, Y, P.logit()), r"logits\.softmax\(1\)"),
        ((TEXTS, Y, P, ["a"]), "2 classes, and 1 are named"),
        ((TEXTS, Y - 1, P), "y must be classes 0 to 1"),
        ((TEXTS, None, P), "y must be one tensor; it is a NoneType"),
    ],
)
def test_most_wrong_says_what_it_needs(arguments, message):
    with pytest.raises(ValueError, match=message):
        most_wrong(*arguments)


def lengths(collection) -> list[float]:
    return [float(segment[1, 0] - segment[0, 0]) / LONG for segment in collection.get_segments()]


def test_accuracy_by_phenomenon_of_several_models_with_wilson_intervals():
    figure = by_phenomenon(SPLIT, {"bag of words": P, "BERT": Y})
    drawn(figure)
    told = written(figure)
    assert [text for text in told if text.endswith(")")] == [
        "all (5)",
        "none (2)",
        "negation (3)",
        "contrast (1)",
    ]
    assert {"bag of words", "BERT"} <= set(told)
    words, intervals, bert, _ = figure.axes[0].collections
    assert lengths(words) == pytest.approx([2 / 5, 1 / 2, 1 / 3, 0])
    assert lengths(bert) == pytest.approx([1, 1, 1, 1])
    for (right, n), length in zip([(2, 5), (1, 2), (1, 3), (0, 1)], lengths(intervals), strict=True):
        low, high = binomtest(right, n).proportion_ci(method="wilson")
        assert length == pytest.approx(high - low, abs=1e-6)


def test_accuracy_of_one_model_needs_no_name():
    for predictions in (P, P.argmax(1), P.argmax(1).tolist(), P.argmax(1).bool(), P.argmax(1).numpy()):
        figure = by_phenomenon(SPLIT, predictions)
        assert lengths(figure.axes[0].collections[0]) == pytest.approx([2 / 5, 1 / 2, 1 / 3, 0])


def test_by_phenomenon_says_what_it_needs():
    with pytest.raises(ValueError, match=r"5 texts, and the predictions of lstm have the shape \(3,\)"):
        by_phenomenon(SPLIT, {"lstm": Y[:3]})
    with pytest.raises(ValueError, match="class indices, not probabilities"):
        by_phenomenon(SPLIT, P[:, 1])
    with pytest.raises(ValueError, match="of no text here it is known"):
        by_phenomenon(TextSplit(TEXTS, Y), Y)
    with pytest.raises(ValueError, match="no predictions"):
        by_phenomenon(SPLIT, {})
