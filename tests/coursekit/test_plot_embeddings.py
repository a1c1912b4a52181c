"""Figures of contextual embeddings: cosines, principal components, names of points that do not overlap."""

import re

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from text_figures import SENSES, SENTENCES, drawn, pictures, vectors, written

from coursekit.plot import contextual
from coursekit.plot.embeddings import SIDE, _principal
from coursekit.plot.style import COLORS


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
    # The three senses, and what their marks mean.
    assert [len(line.get_xdata()) for line in points] == [2, 2, 1, 1, 1, 1]
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
