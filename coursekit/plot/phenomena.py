"""What makes a text hard: accuracy by phenomenon."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coursekit.plot.canvas import LINE, as_values, canvas, readable, room, shortened, write
from coursekit.plot.style import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from coursekit.data import TextSplit

BAR, GAP, LONG = 0.17, 0.12, 3.4  # inches: a bar is thick, between phenomena, a bar of 100 % is long
Z = 1.959964  # of 95 %


def by_phenomenon(split: TextSplit, predictions: Any) -> Figure:
    """Accuracy on the texts that show each phenomenon, with 95 % intervals: of few texts little is known.

    A text with two phenomena counts for both; "none" are the texts without any.

    Args:
        split: texts whose `phenomena` are known.
        predictions: class indices (N,) or logits (N, C); of several models by name.

    Returns:
        the figure, with the number of texts in brackets; the intervals are Wilson's ("Probable inference, the law of
        succession, and statistical inference", Journal of the American Statistical Association, 1927).

    Raises:
        ValueError: not one prediction a text, or no text of the split has a phenomenon.
    """
    named = predictions if isinstance(predictions, Mapping) else {"": predictions}
    right = {str(name): _right(split.y, given, str(name)) for name, given in named.items()}
    if not right:
        raise ValueError("there is nothing to draw: no predictions were given")
    if not any(split.phenomena):
        raise ValueError(
            "of no text here it is known what makes it hard; the splits of reviews_en and reviews_zh say it"
        )
    masks = _masks(split.phenomena)
    titles = [f"{shortened(name, 20)} ({int(mask.sum())})" for name, mask in masks.items()]
    left, top = (
        room(titles) + 0.2,
        0.05 + (LINE * (len(right) + 0.6) if isinstance(predictions, Mapping) else 0),
    )
    down = BAR * len(right) + GAP
    bottom = top + len(masks) * down + GAP
    figure, ax = canvas(left + LONG + 0.55, bottom + 0.42)
    for share in (0, 0.25, 0.5, 0.75, 1):
        ax.plot([left + LONG * share] * 2, [top, bottom], color="0.85", lw=0.8, zorder=0)
        write(ax, left + LONG * share, bottom + 0.1, f"{share:.0%}", fontsize=8, ha="center")
    write(ax, left + LONG / 2, bottom + 0.29, "accuracy and its 95% interval", ha="center", color="0.4")
    for i, title in enumerate(titles):
        write(ax, left - 0.06, top + GAP + i * down + (down - GAP) / 2, title, ha="right")
    names = readable(ax, right, 40, "model ")
    for j, (name, correct) in enumerate(zip(names, right.values(), strict=True)):
        colour = COLORS[j % (len(COLORS) - 1)]  # the last is black, as the intervals are
        ys = [top + GAP + i * down + BAR * (j + 0.5) for i in range(len(masks))]
        shares, lows, highs = zip(*(_interval(correct[mask]) for mask in masks.values()), strict=True)
        ax.hlines(ys, left, [left + LONG * s for s in shares], lw=72 * BAR * 0.85, color=colour, alpha=0.6)
        ax.hlines(
            ys, [left + LONG * s for s in lows], [left + LONG * s for s in highs], lw=1.2, color="black"
        )
        for y, share, high in zip(ys, shares, highs, strict=True):
            write(ax, left + LONG * high + 0.05, y, f"{share:.0%}", fontsize=8)
        if name:
            y = LINE * (j + 0.9)
            ax.plot([left + 0.06], [y], "s", ms=8, color=colour, alpha=0.6)
            write(ax, left + 0.2, y, name)
    return figure


def _right(y: Tensor, given: Any, name: str) -> Tensor:
    """Which texts are right, (N,) bool."""
    values, whose = as_values(given, "predictions"), f" of {name}" if name else ""
    values = values.argmax(1) if values.ndim == 2 and values.shape[1] > 1 else values
    if values.shape != y.shape:
        raise ValueError(
            f"there are {len(y)} texts, and the predictions{whose} have the shape "
            f"{tuple(torch.as_tensor(given).shape)}; give class indices ({len(y)},) or logits ({len(y)}, num_classes) of "
            "the same split, in its order"
        )
    if (values != values.round()).any():
        raise ValueError(f"predictions{whose} of the shape (N,) must be class indices, not probabilities")
    return values == y.cpu()


def _masks(phenomena: Sequence[frozenset[str]]) -> dict[str, Tensor]:
    """Which texts show each phenomenon: all, those that show none, then the most frequent first."""
    masks = {
        name: torch.tensor([name in some for some in phenomena]) for name in sorted(set().union(*phenomena))
    }
    masks = dict(sorted(masks.items(), key=lambda item: -int(item[1].sum())))
    none = torch.tensor([not some for some in phenomena])
    return {"all": torch.ones_like(none), **({"none": none} if none.any() else {}), **masks}


def _interval(correct: Tensor) -> tuple[float, float, float]:
    """The share that is right, and Wilson's 95 % interval of it."""
    n, share = len(correct), correct.double().mean().item()
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return share, max(0.0, middle - half), min(1.0, middle + half)
