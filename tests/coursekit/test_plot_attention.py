"""Figures of attention: the weights, their tokens, padding and special tokens; what is asked of both."""

import numpy as np
import pytest
import torch
from text_figures import BANK, CHINESE, drawn, pictures, weights, written

from coursekit.plot import attention
from coursekit.plot.style import COLORS


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
