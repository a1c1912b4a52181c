"""What all figures of texts share: a font for Chinese or numbers instead, no figure left open, texts cut to a width."""

import matplotlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from text_figures import BANK, CHINESE, SENSES, SENTENCES, SPLIT, P, drawn, vectors, weights, written

from coursekit.plot import attention, by_phenomenon, cjk_font, contextual, style
from coursekit.plot.canvas import shortened
from coursekit.plot.lettering import width_of


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
