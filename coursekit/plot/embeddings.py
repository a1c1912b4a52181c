"""One word in many sentences: where its contextual embeddings lie, and how alike they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from coursekit.plot.canvas import LINE, as_values, canvas, paint, readable, room, scale, shortened, write
from coursekit.plot.style import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^DvP*X"
COLUMNS = 30  # letters of a sentence that are shown
WRITTEN = 10  # vectors whose similarities are written as numbers, too
NAMED = 40  # vectors that have a name beside the matrix
SIDE = 3.6  # inches of the picture of the points
Box = tuple[float, float, float, float]  # left, right, top, bottom


def contextual(vectors: Any, texts: Sequence[str], groups: Sequence[str] | None = None) -> Figure:
    """Contextual embeddings of one word: their two principal components, and the cosine of each two of them.

    The components are those of the centred vectors, on one scale for both, and turned so that the first text lies to
    the right and at the top. The cosines are those of the vectors as given.

    Args:
        vectors: the word's embedding in each text, (N, H).
        texts: N sentences, or other names.
        groups: for each its group, the sense of the word, say: it becomes a colour and a mark.

    Returns:
        the figure (for the principal components of such embeddings compare Coenen et al., "Visualizing and measuring
        the geometry of BERT", 2019).

    Raises:
        ValueError: the shape is another, there are fewer than two vectors, or not one text and group each; or a vector
            is 0, infinite or NaN.
    """
    X = _checked(vectors, texts, groups)
    points, shares = _principal(X)
    texts, groups = list(map(str, texts)), None if groups is None else list(map(str, groups))
    kinds = list(dict.fromkeys(groups or ()))
    looks = [kinds.index(group) for group in groups] if groups is not None else [0] * len(X)
    colours = [COLORS[look % len(COLORS)] for look in looks]

    cell = min(0.42 if len(X) <= WRITTEN else 0.2, 5.0 / len(X))
    legend = LINE * (len(kinds) + 1) if kinds else 0.0
    beside = room([shortened(text, COLUMNS) for text in texts]) + 0.3 if len(X) <= NAMED else 0.0
    top, middle, side = 0.35, SIDE + 0.35 + beside, cell * len(X)
    figure, ax = canvas(middle + side + 0.6, top + max(SIDE + 0.3 + legend, side + 0.4))
    names = readable(ax, texts, COLUMNS, "text ")
    _scatter(ax, points, names, looks, colours, (0.15, top))
    along = f"component 1 ({shares[0]:.0%} of the variance) across, component 2 ({shares[1]:.0%}) up"
    write(ax, 0.15, top - 0.15, "principal components", fontweight="bold")
    write(ax, 0.15, top + SIDE + 0.13, along, fontsize=8, color="0.4")
    for i, kind in enumerate(readable(ax, kinds, COLUMNS, "group ")):
        y = top + SIDE + 0.2 + LINE * (i + 1)
        ax.plot([0.25], [y], MARKERS[i % len(MARKERS)], ms=7, color=COLORS[i % len(COLORS)])
        write(ax, 0.4, y, kind)
    _similarities(ax, X, names, colours, (middle, top), cell)
    return figure


def _checked(vectors: Any, texts: Sequence[str], groups: Sequence[str] | None) -> Tensor:
    if isinstance(vectors, list | tuple) and vectors and all(isinstance(v, Tensor) for v in vectors):
        if len({v.shape for v in vectors}) > 1:
            raise ValueError(
                f"vectors differ in shape: {[tuple(v.shape) for v in vectors]}; take one word of each text"
            )
        vectors = torch.stack(list(vectors))
    X = as_values(vectors, "vectors")
    if X.ndim != 2 or len(X) < 2 or not X.shape[1]:
        raise ValueError(
            f"vectors must have the shape (N, hidden_size) with N of 2 or more, not {tuple(X.shape)}; give the "
            "embedding of one word in each text, such as hidden[i, place]"
        )
    if isinstance(texts, str) or len(texts) != len(X):
        told = "one text" if isinstance(texts, str) else f"{len(texts)} texts"
        raise ValueError(f"there are {len(X)} vectors and {told}; give a list with one text each")
    if groups is not None and (isinstance(groups, str) or len(groups) != len(X)):
        told = "one group" if isinstance(groups, str) else f"{len(groups)} groups"
        raise ValueError(f"there are {len(X)} vectors and {told}; give a list with the group of each")
    for i, norm in enumerate(X.norm(dim=1).tolist()):
        if not 0 < norm < float("inf"):
            raise ValueError(f"vector {i} has the length {norm}, so it has no direction to compare")
    return X


def _principal(X: Tensor) -> tuple[Tensor, list[float]]:
    """Coordinates (N, 2) and the share of the variance that each explains."""
    centred = X - X.mean(0)
    U, s, _ = torch.linalg.svd(centred, full_matrices=False)
    s[s <= 1e-9 * X.norm()] = 0.0  # what rounding leaves of a direction that is not there
    scores = torch.zeros(len(X), 2, dtype=X.dtype)
    scores[:, : len(s)] = (U * s)[:, :2]
    for axis in scores.T:  # the sign is arbitrary: the first text that is off the middle is positive
        off = axis[axis.abs() > 1e-6 * axis.abs().max()]
        axis *= -1.0 if len(off) and off[0] < 0 else 1.0
    total = s.square().sum().item() or 1.0
    return scores, [*(s.square()[:2] / total).tolist(), 0.0][:2]


def _scatter(
    ax: Axes,
    points: Tensor,
    names: list[str],
    looks: list[int],
    colours: list[str],
    corner: tuple[float, float],
) -> None:
    """The points in a square, each with its name where there is room for it, else with its number."""
    left, top = corner
    ax.plot(
        [left, left + SIDE, left + SIDE, left, left],
        [top, top, top + SIDE, top + SIDE, top],
        color="0.7",
        lw=0.8,
    )
    low, high = points.min(0).values, points.max(0).values
    per_unit = (SIDE - 0.7) / ((high - low).max().item() or 1.0)
    x = (left + SIDE / 2 + per_unit * (points - (low + high) / 2)[:, 0]).numpy()
    y = (top + SIDE / 2 - per_unit * (points - (low + high) / 2)[:, 1]).numpy()
    for look in dict.fromkeys(looks):
        mine = np.array(looks) == look
        ax.plot(x[mine], y[mine], MARKERS[look % len(MARKERS)], ms=7, color=COLORS[look % len(COLORS)])
    if len(names) > NAMED:
        return
    points_at = [(a - 0.06, a + 0.06, b - 0.06, b + 0.06) for a, b in zip(x, y, strict=True)]
    written: list[Box] = []
    for i in range(len(names)):
        choices = [names[i], str(i)] if len(names) <= WRITTEN else [str(i)]
        places = (_free(x[i], y[i], c, [*points_at, *written], written, corner) for c in choices)
        text, box = next(filter(None, places), ("", None))
        if box is None:
            continue
        written.append(box)
        end, middle, to_left = _end(x[i], box), (box[2] + box[3]) / 2, box[1] < x[i]
        if abs(middle - y[i]) > LINE:
            ax.plot([x[i], end], [y[i], middle], color="0.7", lw=0.7, zorder=1)
        ha, at = ("right", box[1] - 0.02) if to_left else ("left", box[0] + 0.02)
        write(ax, at, middle, text, fontsize=8.5, color=colours[i], ha=ha)


def _free(
    x: float, y: float, text: str, taken: list[Box], written: list[Box], corner: tuple[float, float]
) -> tuple[str, Box] | None:
    """The nearest place beside a point where the text covers nothing; nor does the line to it, if it needs one."""
    width, half = room([text], 8.5) + 0.04, LINE / 2
    left, top = corner
    for step in range(14):
        for up in (1, -1) if step else (1,):
            centre = y - up * step * half
            for start in (x + 0.09, x - 0.09 - width):
                box = (start, start + width, centre - half, centre + half)
                inside = left <= box[0] and box[1] <= left + SIDE and top <= box[2] and box[3] <= top + SIDE
                end = _end(x, box)
                way = [(x + t * (end - x), y + t * (centre - y)) for t in (0.2, 0.4, 0.6, 0.8)]
                crossed = step > 2 and any(_overlap((a, a, b, b), other) for a, b in way for other in written)
                if inside and not crossed and not any(_overlap(box, other) for other in taken):
                    return text, box
    return None


def _end(x: float, box: Box) -> float:
    """The side of a box that is nearer."""
    return min(box[:2], key=lambda side: abs(side - x))


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


def _similarities(
    ax: Axes, X: Tensor, names: list[str], colours: list[str], corner: tuple[float, float], cell: float
) -> None:
    unit = X / X.norm(dim=1, keepdim=True)
    cosine = (unit @ unit.T).clamp(-1, 1)
    left, top = corner
    low = min(cosine.min().item(), 0.99)
    paint(ax, cosine.numpy(), left, top, cell, 1.0, low)
    write(ax, left, top - 0.15, "cosine similarity", fontweight="bold")
    size = len(X)
    if size <= NAMED:
        for i, name in enumerate(names):
            at = (i + 0.5) * cell
            write(ax, left - 0.05, top + at, f"{name}  {i}", ha="right", color=colours[i], fontsize=8.5)
            write(ax, left + at, top + size * cell + 0.1, str(i), ha="center", fontsize=8.5)
    if size <= WRITTEN:
        for i in range(size):
            for j in range(size):
                ink = "white" if cosine[i, j] > 0.4 * low + 0.6 else "black"
                x, y = left + (j + 0.5) * cell, top + (i + 0.5) * cell
                write(ax, x, y, f"{cosine[i, j]:.2f}", fontsize=8, ha="center", color=ink)
    else:
        scale(ax, left + size * cell + 0.1, top + 0.05, 1.0, low)
