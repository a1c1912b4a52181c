"""Figures and tables of what an encoder does with texts: what is in them, in both languages, and on odd input."""

import re
import warnings
from html.parser import HTMLParser

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.stats import binomtest

from coursekit.data import TextSplit
from coursekit.plot import attention, by_phenomenon, cjk_font, contextual, most_wrong, style
from coursekit.plot.canvas import shortened
from coursekit.plot.embeddings import SIDE, _principal
from coursekit.plot.lettering import width_of
from coursekit.plot.phenomena import LONG
from coursekit.plot.style import COLORS

BANK = ["[CLS]", "dead", "on", "the", "river", "bank", "[SEP]"]
CHINESE = ["[CLS]", "菜", "很", "好", "吃", "，", "真", "的", "[SEP]", "[PAD]"]
SENTENCES = [
    "money to the bank",
    "money in the bank",
    "dead on the river bank",
    "the river bank to fish",
    "its own blood bank",
]
SENSES = ["money", "money", "river", "river", "blood"]


def drawn(figure) -> None:
    """Draw it, with every warning an error: under grading a word on stderr costs the points."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure).draw()  # a figure that pyplot has closed has a canvas that draws nothing


def written(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def pictures(figure) -> list[np.ndarray]:
    """The matrices in a figure, without the scale beside them."""
    found = [np.ma.filled(image.get_array(), np.nan) for image in figure.axes[0].images]
    return [each for each in found if each.shape != (40, 4)]


def weights(tokens: list[str], heads: int | None = None, masked: bool = True) -> torch.Tensor:
    size = len(tokens)
    scores = torch.randn(*([heads] if heads else []), size, size, generator=torch.Generator().manual_seed(0))
    if masked:
        scores = scores.masked_fill(torch.tensor([token == "[PAD]" for token in tokens]), -torch.inf)
    return scores.softmax(-1)


def test_attention_of_one_head_has_its_weights_and_tokens_on_both_sides():
    A = weights(BANK).requires_grad_()
    figure = attention(A, BANK)
    drawn(figure)
    np.testing.assert_allclose(pictures(figure)[0], A.detach().numpy(), rtol=1e-6)
    for token in BANK:
        assert written(figure).count(token) == 2
    assert f"{A[5, 4]:.2f}" in written(figure)  # few tokens: numbers, too
    colours = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert colours["[CLS]"] == colours["[SEP]"] == COLORS[1] and colours["bank"] == "black"


def test_attention_of_several_heads_is_a_grid_on_one_scale():
    A = weights(BANK, heads=6)
    figure = attention(A, BANK)
    drawn(figure)
    np.testing.assert_allclose(np.stack(pictures(figure)), A.numpy(), rtol=1e-6)
    assert [text for text in written(figure) if text.startswith("head")] == [f"head {i}" for i in range(6)]
    assert {image.get_clim() for image in figure.axes[0].images} == {(0.0, A.max().item())}
    assert len(figure.axes) == 1
    # Tokens stand left of both rows and below each of the four columns.
    assert written(figure).count("river") == 6
    one = attention(A, BANK, head=4)
    np.testing.assert_allclose(pictures(one)[0], A[4].numpy(), rtol=1e-6)
    assert "head 4" in written(one)


def test_padding_has_no_rows_and_attention_to_it_is_told():
    leaking = weights(CHINESE, heads=2, masked=False)
    figure = attention(leaking, CHINESE)
    assert np.isnan(pictures(figure)[0][-1]).all() and np.isfinite(pictures(figure)[0][:-1]).all()
    share = leaking[:, :-1, -1].mean().item()
    assert f"{share:.0%} of the attention goes to padding" in written(figure)
    assert not any("goes to padding" in text for text in written(attention(weights(CHINESE), CHINESE)))
    # What the rows of padding hold does not matter: zeros or NaN from a row that was masked as a whole.
    for nothing in (0.0, torch.nan):
        A = weights(CHINESE)
        A[-1] = nothing
        drawn(attention(A, CHINESE))


def test_bars_of_one_query():
    A = weights(BANK, heads=3)
    for query in ("bank", 5):
        figure = attention(A, BANK, query=query)
        drawn(figure)
        (bars,) = figure.axes[0].collections
        lengths = np.array([segment[1, 0] - segment[0, 0] for segment in bars.get_segments()])
        expected = A.mean(0)[5].numpy()
        np.testing.assert_allclose(lengths / lengths.max(), expected / expected.max(), rtol=1e-5)
        assert {"what bank (5) attends to", "mean of 3 heads", *BANK} <= set(written(figure))
        assert f"{expected.max():.2f}" in written(figure)
    assert "head 1" in written(attention(A, BANK, query=5, head=1))


def test_without_special_tokens_the_rest_is_seen():
    A = weights(BANK)
    figure = attention(A, BANK, special=False)
    np.testing.assert_allclose(pictures(figure)[0], A[1:-1, 1:-1].numpy(), rtol=1e-6)
    assert "[CLS]" not in written(figure) and written(figure).count("bank") == 2
    figure = attention(A, BANK, special=False, query="bank")
    assert len(figure.axes[0].collections[0].get_segments()) == 5
    assert "what bank (5) attends to" in written(figure)
    with pytest.raises(ValueError, match="none is left"):
        attention(torch.eye(2), ["[CLS]", "[SEP]"], special=False)


@pytest.mark.parametrize("size", [40, 200])
def test_many_and_long_tokens(size):
    tokens = ["[CLS]", *(f"{'very' * (i % 7)}long{i}" for i in range(size - 2)), "[SEP]"]
    figure = attention(weights(tokens), tokens)
    assert figure.get_figwidth() < 13 and figure.get_figheight() < 13
    assert ("long0" in written(figure)) == (size == 40)  # what has no room is not written, but for the ends
    assert "[SEP]" in written(figure)
    assert max(map(len, written(figure))) <= 14
    assert attention(weights(tokens), tokens, query=3).get_figheight() < 14


def test_a_token_is_text_whatever_it_is():
    tokens = ["$x$", "_{", " ", "\n", "\ud800", "👩‍👩‍👧", "##ing", "<script>"]
    figure = attention(weights(tokens), tokens)
    drawn(figure)
    assert {"$x$", "_{", "␣", "↵", "4", "##ing"} <= set(written(figure))


def test_half_precision_weights_are_exact_enough():
    for dtype in (torch.bfloat16, torch.float16):
        attention(weights([*BANK] * 20, heads=2).to(dtype), [*BANK] * 20)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda A: A[:, :5, :5], r"for 7 tokens the weights have the shape \(heads, 7, 7\)"),
        (lambda A: A[0, 0], "not"),
        (lambda A: A[None], r"batch, \(B, heads, T, T\); give those of one text: weights\[0\]"),
        (lambda A: [A, A], r"2 layers; give those of one: weights\[-1\]"),
        (lambda A: A.transpose(1, 2), "softmax went over the queries"),
        (lambda A: A * 1.1, r"sums to 1\.1.*without dropout"),
        (lambda A: A.log(), "are these scores"),
        (lambda A: A * torch.nan, "infinite or NaN"),
        (lambda A: "weights", "weights must be one tensor; it is a str"),
    ],
)
def test_attention_says_what_it_needs(given, message):
    with pytest.raises(ValueError, match=message):
        attention(given(weights(BANK, heads=2)), BANK)


def test_attention_says_which_heads_and_queries_there_are():
    A = weights(BANK, heads=2)
    with pytest.raises(ValueError, match="no head 2: the heads are 0 to 1"):
        attention(A, BANK, head=2)
    with pytest.raises(ValueError, match="'fish' is not among the tokens"):
        attention(A, BANK, query="fish")
    with pytest.raises(ValueError, match="'bank' stands at 1, 2"):
        attention(weights(["a", "bank", "bank"]), ["a", "bank", "bank"], query="bank")
    with pytest.raises(ValueError, match="numbered 0 to 6"):
        attention(A, BANK, query=7)
    with pytest.raises(ValueError, match="token 9 is padding"):
        attention(weights(CHINESE), CHINESE, query=9)
    with pytest.raises(ValueError, match=r"not \[101, 7, 8\]"):
        attention(weights(["a"] * 3), [101, 7, 8])
    with pytest.raises(ValueError, match="nothing to draw"):
        attention(torch.ones(0, 0), [])


def vectors(senses: list[str], spread: float = 0.3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = {sense: torch.randn(32, generator=generator) for sense in dict.fromkeys(senses)}
    return torch.stack([centres[sense] + spread * torch.randn(32, generator=generator) for sense in senses])


def test_contextual_embeddings_with_their_names_and_cosines():
    X = vectors(SENSES)
    figure = contextual(X, SENTENCES, SENSES)
    drawn(figure)
    expected = torch.nn.functional.cosine_similarity(X[:, None], X[None], dim=-1).numpy()
    np.testing.assert_allclose(pictures(figure)[0], expected, atol=1e-6)
    assert written(figure).count(f"{expected[0, 1]:.2f}") >= 2
    for i, sentence in enumerate(SENTENCES):
        assert sentence in written(figure) and f"{sentence}  {i}" in written(figure)
    assert set(SENSES) <= set(written(figure))
    points = [line for line in figure.axes[0].lines if line.get_marker() != "None"]
    assert [len(line.get_xdata()) for line in points] == [
        2,
        2,
        1,
        1,
        1,
        1,
    ]  # three senses, and what their marks mean
    assert len({line.get_marker() for line in points}) == 3


def test_principal_components_are_those_of_the_covariance_and_their_sign_is_fixed():
    X = vectors(SENSES * 3).double()
    points, shares = _principal(X)
    variances, directions = np.linalg.eigh(np.cov(X.numpy().T))
    expected = (X - X.mean(0)).numpy() @ directions[:, :-3:-1]
    np.testing.assert_allclose(points.abs(), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(shares, variances[:-3:-1] / variances.sum(), atol=1e-9)
    assert (points[0] > 0).all()
    turned = X @ torch.linalg.qr(torch.randn(32, 32, dtype=X.dtype))[0]
    np.testing.assert_allclose(_principal(turned)[0], points, atol=1e-9)


@pytest.mark.parametrize(
    "X",
    [torch.eye(2), torch.ones(4, 8), torch.ones(3, 1), torch.tensor([[1.0], [2.0], [4.0]]), torch.eye(60)],
)
def test_contextual_embeddings_that_have_no_two_directions_or_are_many(X):
    drawn(contextual(X, [f"text {i}" for i in range(len(X))]))


@pytest.mark.parametrize("n", [2, 5, 10])
@pytest.mark.parametrize("spread", [0.0, 0.3, 3.0])
def test_names_of_points_do_not_overlap(spread, n):
    figure = contextual(
        vectors(["sense"] * n, spread) + 1, [f"a sentence that is long, number {i}" for i in range(n)]
    )
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [
        text.get_window_extent(renderer)
        for text in figure.axes[0].texts
        if text.get_position()[0] < SIDE
        and re.match(r"a sent|\d+$", text.get_text())
        and text.get_color() == COLORS[0]
    ]
    boxes = [box for box in boxes if box.x1 / figure.dpi < 0.2 + SIDE]
    assert len(boxes) >= min(n, 5)
    for i, box in enumerate(boxes):
        for other in boxes[:i]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert across < 2 or down < 4  # pixels


@pytest.mark.parametrize(
    ("X", "texts", "groups", "message"),
    [
        (torch.ones(3), ["a"] * 3, None, r"\(N, hidden_size\)"),
        (torch.ones(1, 3), ["a"], None, "N of 2 or more"),
        (torch.ones(2, 3), ["a"], None, "2 vectors and 1 texts"),
        (torch.ones(2, 3), "ab", None, "2 vectors and one text"),
        (torch.ones(2, 3), ["a", "b"], ["g"], "2 vectors and 1 groups"),
        (torch.tensor([[1.0, 2.0], [0.0, 0.0]]), ["a", "b"], None, "vector 1 has the length 0"),
        (torch.tensor([[1.0, torch.nan], [0.0, 1.0]]), ["a", "b"], None, "vector 0 has the length nan"),
        ([torch.ones(2), torch.ones(3)], ["a", "b"], None, "differ in shape"),
    ],
)
def test_contextual_says_what_it_needs(X, texts, groups, message):
    with pytest.raises(ValueError, match=message):
        contextual(X, texts, groups)


P = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.05, 0.95], [0.3, 0.7]])
TEXTS = ["fine", "not good", "boring", "<script>alert('$5 & $6')</script>", "good"]
Y = torch.tensor([0, 0, 0, 0, 1])


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
    assert not re.search(
        r"\$(?!</span>)", table._repr_html_()
    )  # two dollars would be a formula in a notebook
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


KINDS = [{"negation"}, {"negation", "contrast"}, {"negation"}, set(), set()]
SPLIT = TextSplit(TEXTS, Y, [frozenset(kinds) for kinds in KINDS])


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


@pytest.mark.skipif(cjk_font() is None, reason="no Chinese font is installed")
def test_chinese_is_written_with_the_chinese_font():
    for figure in (
        attention(weights(CHINESE, heads=2), CHINESE),
        attention(weights(CHINESE), CHINESE, query="好"),
        contextual(vectors(["河", "钱"]), ["河岸", "银行"], ["河", "钱"]),
        by_phenomenon(SPLIT, {"词袋": P}),
    ):
        drawn(figure)
        assert {text.get_fontfamily()[0] for text in figure.axes[0].texts} == {cjk_font()}
    assert "好" in written(attention(weights(CHINESE), CHINESE))


def test_without_a_chinese_font_things_are_numbered(monkeypatch):
    monkeypatch.setattr(style, "cjk_font", lambda: None)
    figure = attention(weights(CHINESE), CHINESE, query="好")
    drawn(figure)
    assert {"[CLS]", "1", "7"} <= set(written(figure))
    figure = contextual(vectors(["河", "钱"]), ["河岸", "银行"], ["河", "钱"])
    drawn(figure)
    assert {"text 0", "text 1", "group 0", "group 1"} <= set(written(figure))
    assert "model 0" in written(by_phenomenon(SPLIT, {"词袋": P}))


def test_these_figures_do_not_stay_open():
    before = plt.get_fignums(), list(matplotlib.rcParams["font.family"])
    attention(weights(BANK), BANK), contextual(vectors(SENSES), SENTENCES), by_phenomenon(SPLIT, P)
    assert (plt.get_fignums(), list(matplotlib.rcParams["font.family"])) == before


@given(text=st.text(st.sampled_from("ab ，字好"), max_size=30), columns=st.integers(2, 12))
@settings(max_examples=100, deadline=None)
def test_shortened_is_as_wide_as_asked(text, columns):
    cut = shortened(text, columns)
    assert width_of(cut) <= columns and (cut == text or text.startswith(cut[:-1]))
