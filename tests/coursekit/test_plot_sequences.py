"""Figures of sequences: what is in them, in both languages."""

import warnings

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg

from coursekit.plot import cjk_font, curves, gates, gradient_norms, sampled, states, style
from coursekit.plot.lettering import drawable, fonts_of, width_of, wrapped
from coursekit.plot.style import COLORS
from coursekit.train import History

CHINESE = ["菜", "很", "好", "吃", "，", "一", "点", "也", "不", "难", "吃", "。"]
ENGLISH = ["the", "food", "was", "good", ",", "not", "bad", "at", "all", "."]


def drawn(figure) -> None:
    """Draw it, with every warning an error: under grading a word on stderr costs the points."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure).draw()  # a figure that pyplot has closed has a canvas that draws nothing


def below(ax) -> list[str]:
    return [label.get_text() for label in ax.get_xticklabels()]


def pictures(figure) -> list:
    return [ax.images[0] for ax in figure.axes if ax.images]


def lines(ax) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in ax.lines}


def legend(owner) -> list[str]:
    return [text.get_text() for text in owner.get_texts()]


def test_gradient_norms_of_one_run():
    norms = torch.tensor([1e-3, 1e-2, 1.0], requires_grad=True)
    ax = gradient_norms(norms).axes[0]
    assert list(lines(ax).values()) == [pytest.approx([1e-3, 1e-2, 1.0])]
    assert list(ax.lines[0].get_xdata()) == [1, 2, 3]
    assert ax.get_yscale() == "log" and ax.get_legend() is None and "time step" in ax.get_xlabel()


def test_gradient_norms_of_several_runs():
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0])
    expected = {"rnn": [1, 2], "lstm": [3, 4, 5]}
    for figure in (gradient_norms({"rnn": a, "lstm": b}), gradient_norms([a, b], ["rnn", "lstm"])):
        assert lines(figure.axes[0]) == expected
        assert legend(figure.axes[0].get_legend()) == ["rnn", "lstm"]
        assert [line.get_color() for line in figure.axes[0].lines] == list(COLORS[:2])
    assert lines(gradient_norms(torch.stack([a, b[:2]])).axes[0]) == {"run 1": [1, 2], "run 2": [3, 4]}


def test_runs_beyond_the_colours_have_other_lines():
    many = gradient_norms(torch.ones(16, 4)).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in many}) == 16


def test_gradients_that_vanish_or_explode_leave_gaps():
    norms = torch.tensor([0.0, 1e-30, 1.0, torch.inf, torch.nan])
    figure = gradient_norms(norms)
    np.testing.assert_array_equal(
        figure.axes[0].lines[0].get_ydata(), np.float32([np.nan, 1e-30, 1, np.nan, np.nan])
    )
    low, high = figure.axes[0].get_xlim()
    assert low < 1 and high > 5
    drawn(figure)


def test_gradient_norms_say_what_they_need():
    with pytest.raises(ValueError, match="every norm is 0"):
        gradient_norms(torch.zeros(4))
    with pytest.raises(ValueError, match="2 runs and 1 labels"):
        gradient_norms(torch.ones(2, 3), ["one"])
    with pytest.raises(ValueError, match=r"\(T,\)"):
        gradient_norms(torch.ones(2, 3, 4))


@pytest.mark.parametrize("tokens", [ENGLISH, CHINESE, "hello"])
def test_states_have_a_column_a_token(tokens):
    H = torch.randn(len(tokens), 16, requires_grad=True)
    figure = states(tokens, H)
    drawn(figure)
    picture = pictures(figure)[0]
    np.testing.assert_array_equal(np.asarray(picture.get_array()), H.detach().T.numpy())
    top = H.abs().max().item()
    assert picture.get_clim() == (-top, top)
    if cjk_font() or tokens is not CHINESE:
        assert below(figure.axes[0]) == list(tokens)


def test_words_are_turned_and_single_characters_are_not():
    def rotations(tokens) -> list[float]:
        return [
            label.get_rotation()
            for label in states(tokens, torch.ones(len(tokens), 3)).axes[0].get_xticklabels()
        ]

    assert rotations(ENGLISH) == [90 if len(word) > 1 else 0 for word in ENGLISH]
    assert set(rotations(CHINESE)) == set(rotations("hello")) == set(rotations(["so", "it", "is"])) == {0}


def test_gates_have_a_picture_each_and_the_words_below():
    given_gates = {
        "forget gate": torch.rand(10, 4),
        "cell state": 3 * torch.randn(10, 4),
        "输入门": torch.rand(10, 8),
    }
    figure = gates(ENGLISH, given_gates)
    drawn(figure)
    titled = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in titled] == [drawable(name, fonts_of(titled[0])) for name in given_gates]
    named = dict(zip(given_gates, titled, strict=True))
    for name, ax in named.items():
        np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), given_gates[name].T.numpy())
    assert named["forget gate"].images[0].get_clim() == (0, 1)
    low, high = named["cell state"].images[0].get_clim()
    assert low == -high == -given_gates["cell state"].abs().max().item()
    assert below(named["输入门"]) == ENGLISH and not any(below(named["forget gate"]))
    assert len(figure.axes) == 3 + 3


def test_neighbours_on_the_scale_from_0_to_1_share_a_colour_bar():
    open_or_closed = {"input gate": torch.rand(10, 4), "forget gate": torch.rand(10, 4)}
    figure = gates(ENGLISH, open_or_closed | {"cell state": torch.randn(10, 4)})
    assert len(figure.axes) == 3 + 2


def test_a_logarithmic_axis_is_labelled_without_formulas():
    figure = gradient_norms(torch.logspace(-9, 0, 30))
    drawn(figure)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert {"0.01", "1"} <= set(labels) and not any("$" in label for label in labels)


@pytest.mark.parametrize("H", [torch.ones(9, 4), torch.ones(10), torch.ones(1, 10, 4), torch.ones(10, 0)])
def test_states_say_what_shape_they_take(H):
    with pytest.raises(ValueError, match="row for each of the 10 tokens"):
        states(ENGLISH, H)


def test_gates_need_one_at_least():
    with pytest.raises(ValueError, match="no gate was given"):
        gates(ENGLISH, {})


def test_a_token_that_leaves_no_mark_is_shown_by_one_and_a_formula_is_text():
    figure = states(["a", " ", "\n", "\t", "$x$", "_{"], torch.ones(6, 2))
    drawn(figure)
    assert below(figure.axes[0]) == ["a", "␣", "↵", "⇥", "$x$", "_{"]


def test_of_many_tokens_only_some_are_written():
    text = "abcdefghij" * 20
    figure = states(text, torch.ones(200, 2))
    assert below(figure.axes[0]) == list(text[::4])
    assert list(figure.axes[0].get_xticks()) == list(range(0, 200, 4))
    assert figure.get_figwidth() < 20


def test_without_a_chinese_font_a_word_is_named_by_its_place(monkeypatch):
    monkeypatch.setattr(style, "cjk_font", lambda: None)
    figure = gates(["good", *CHINESE[:2], "!"], {"forget gate": torch.rand(4, 3)})
    drawn(figure)
    assert below(figure.axes[0]) == ["good", "2", "3", "!"]
    figure = sampled("这是 good")
    drawn(figure)
    assert figure.axes[0].texts[0].get_text() == "□□ good"


@pytest.mark.skipif(cjk_font() is None, reason="no Chinese font is installed")
def test_chinese_is_drawn_with_the_chinese_font():
    def family(text) -> str:
        return text.get_fontfamily()[0]

    figure = states(CHINESE, torch.ones(12, 2))
    assert {family(label) for label in figure.axes[0].get_xticklabels()} == {cjk_font()}
    runs = gradient_norms({"循环网络": torch.ones(3), "长短期记忆": torch.ones(3)})
    assert {family(text) for text in runs.axes[0].get_legend().get_texts()} == {cjk_font()}
    histories = curves({"循环网络": history(2), "长短期记忆": history(3)})
    assert {family(text) for text in histories.legends[0].get_texts()} == {cjk_font()}
    for each in (figure, runs, histories):
        drawn(each)


def test_sampled_texts_with_their_names():
    figure = sampled({"temperature 0.5": "To be\nor not", "temperature 1.0": "$Ba_d$ 你好。"})
    drawn(figure)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["temperature 0.5", "temperature 1.0"]
    assert figure.axes[0].texts[0].get_text() == "To be\nor not"
    assert [ax.texts[0].get_text() for ax in sampled(["a", "b"]).axes] == ["a", "b"]
    long = sampled("word " * 40, columns=30).axes[0].texts[0].get_text()
    assert max(map(len, long.split("\n"))) <= 30 and long.split() == ["word"] * 40


def test_sampled_says_what_it_needs():
    with pytest.raises(ValueError, match="no text"):
        sampled([])
    with pytest.raises(ValueError, match="1 texts and 2 labels"):
        sampled("a", ["b", "c"])


@given(line=st.text(st.sampled_from("ab ，字好"), max_size=60), columns=st.integers(2, 20))
@settings(max_examples=200, deadline=None)
def test_lines_are_broken_without_loss(line, columns):
    rows = wrapped(line, columns)
    assert all(width_of(row) <= columns for row in rows)
    assert "".join(rows).replace(" ", "") == line.replace(" ", "")
    for word in line.split(" "):
        if width_of(word) <= columns and word.isascii() and line.isascii():
            assert any(word in row for row in rows)


def history(epochs: int, validated: bool = True) -> History:
    made = History()
    for i in range(epochs):
        made.append(epoch=i + 1, train_loss=1.0 + i, **({"val_loss": 2.0 + i} if validated else {}))
    return made


def test_curves_of_several_runs_say_once_what_a_colour_and_a_dash_mean():
    figure = curves({"rnn": history(3), "lstm": history(40, validated=False)})
    assert legend(figure.legends[0]) == ["rnn", "lstm", "train", "val"]
    assert all(ax.get_legend() is None for ax in figure.axes)
    of_run = figure.legends[0].get_lines()
    assert [line.get_color() for line in of_run[:2]] == [
        line.get_color() for line in figure.axes[0].lines[::2]
    ]
    assert [line.get_linestyle() for line in of_run[2:]] == ["--", "-"]
    # A point for each of few epochs; forty would be a thick line.
    assert [line.get_markevery() for line in figure.axes[0].lines] == [1, 1, 2]
    assert legend(curves([history(2, validated=False)] * 2).legends[0]) == ["run 1", "run 2", "train"]
    assert legend(curves(history(3)).axes[0].get_legend()) == ["train", "val"]


def test_curves_of_more_runs_than_colours_differ_in_their_points():
    runs = curves([history(2, validated=False) for _ in range(12)]).axes[0].lines
    assert len({(line.get_color(), line.get_marker()) for line in runs}) == 12


def test_these_figures_do_not_stay_open():
    before = plt.get_fignums(), list(matplotlib.rcParams["font.family"])
    gradient_norms(torch.ones(3)), states("ab", torch.ones(2, 2)), sampled("a"), curves([history(1)] * 2)
    assert (plt.get_fignums(), list(matplotlib.rcParams["font.family"])) == before


def test_the_font_found_is_one_that_has_chinese():
    if cjk_font():
        face = font_manager.get_font(font_manager.findfont(cjk_font()))
        assert all(face.get_char_index(ord(letter)) for letter in CHINESE)
