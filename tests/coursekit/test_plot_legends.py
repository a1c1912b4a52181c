"""Legends: beside or above the curves, never on them."""

import numpy as np
import pytest
import torch
from text_figures import drawn

from coursekit.plot import curves, gradient_norms, players
from coursekit.train import GanHistory, History
from coursekit.train.history import BaseHistory

EPOCHS = 60


def everywhere(kind: type[BaseHistory]) -> BaseHistory:
    """Curves that leave no corner of the axes free."""
    noise = np.random.default_rng(0)
    made = kind()
    for i in range(EPOCHS):
        made.append(
            **dict(zip(kind.COLUMNS, noise.random(len(kind.COLUMNS)), strict=True)) | {"epoch": i + 1}
        )
    return made


FIGURES = {
    "players": lambda: players(everywhere(GanHistory)),
    "curves": lambda: curves(everywhere(History)),
    "curves of several": lambda: curves({"a name of many letters": everywhere(History), "b": everywhere(History)}),
    "gradient norms": lambda: gradient_norms(torch.rand(5, EPOCHS), ["RNN", "LSTM", "GRU", "LSTM, b = 1", "reversed"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_legend_hides_no_curve_and_is_seen_whole(name):
    figure = FIGURES[name]()
    drawn(figure)
    legends = [*figure.legends, *filter(None, (ax.get_legend() for ax in figure.axes))]
    boxes = [legend.get_window_extent() for legend in legends]
    assert boxes
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(ax.bbox) for ax in figure.axes)
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        low, high = figure.bbox.min - 1, figure.bbox.max + 1
        assert (box.min >= low).all() and (box.max <= high).all()
    assert min(ax.bbox.width for ax in figure.axes) > 0.3 * figure.bbox.width
