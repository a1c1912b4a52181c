"""Figures measured in inches, with everything put where it belongs at once.

Ticks and automatic layout, which lays every text out twice, cost more than all else in a figure of words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from coursekit.plot.lettering import BOX, VISIBLE, drawable, fonts_of, width_of
from coursekit.plot.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE = 0.17  # inches from a line of text to the next one
LETTER = 0.0082  # inches that a letter is wide, by points of its size


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure and its axes: from (0, 0) at the top left to (`width`, `height`) inches at the bottom right."""
    figure, axes = new_figure(1, 1, width, height)
    figure.set_layout_engine("none")
    ax = axes[0, 0]
    ax.set_position((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    return figure, ax


def write(ax: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text as it stands, without formulas; letters that no font has are boxes."""
    fonts = fonts_of(ax)
    style = {"fontsize": 9, "va": "center", **style}
    ax.text(x, y, drawable(text, fonts), fontfamily=fonts, parse_math=False, **style)


def paint(
    ax: Axes,
    values: np.ndarray[Any, Any],
    left: float,
    top: float,
    cell: float,
    high: float,
    low: float = 0.0,
) -> None:
    """A matrix from white, `low`, to dark blue, `high`, each number `cell` inches wide; what is NaN is grey."""
    from matplotlib import colormaps

    rows, columns = values.shape
    ax.imshow(
        np.ma.masked_invalid(values),
        cmap=colormaps["Blues"].with_extremes(bad="0.9"),
        vmin=low,
        vmax=high,
        interpolation="nearest",
        aspect="auto",
        extent=(left, left + columns * cell, top + rows * cell, top),
    )


def scale(ax: Axes, left: float, top: float, high: float, low: float = 0.0) -> None:
    """What the blue of `paint` means: a bar 0.12 wide and 1.2 inches high."""
    paint(ax, np.linspace(high, low, 40)[:, None].repeat(4, 1), left, top, 0.03, high, low)
    for y, value in ((top, high), (top + 1.2, low)):
        write(ax, left + 0.17, y, f"{value:.2g}", fontsize=8)


def room(texts: Iterable[str], fontsize: float = 9) -> float:
    """Inches that the widest of some texts takes, about."""
    return LETTER * fontsize * max(map(width_of, texts), default=0)


def shortened(text: str, columns: int) -> str:
    """The text, or its beginning and an ellipsis; a Chinese character takes two columns."""
    if width_of(text) <= columns:
        return text
    text = text[:columns]
    while width_of(text) >= columns:
        text = text[:-1]
    return f"{text.rstrip()}…"


def readable(ax: Axes, texts: Iterable[str], columns: int, instead: str = "") -> list[str]:
    """The texts cut to `columns` letters; for one that no font has `instead` and its number, from 0."""
    fonts = fonts_of(ax)
    marked = [text.translate(VISIBLE) if text.isspace() else " ".join(text.split()) for text in texts]
    names = [drawable(shortened(text, columns), fonts) for text in marked]
    return [f"{instead}{i}" if BOX in name else name for i, name in enumerate(names)]


def as_values(values: Any, name: str) -> Tensor:
    """Numbers, of a model perhaps, as a float tensor on the CPU.

    Raises:
        ValueError: they are not one array of numbers.
    """
    try:
        return torch.as_tensor(values).detach().double().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be one tensor; it is a {type(values).__name__}") from error
