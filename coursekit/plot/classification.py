"""Where a classifier goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coursekit.plot.lettering import width_of
from coursekit.plot.pictures import images
from coursekit.plot.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion(y_true: Any, y_pred: Any, classes: Sequence[str] | None = None) -> Figure:
    """How often each class (row) was taken for each (column); colour is the share of the row.

    Args:
        y_true: class indices (N,).
        y_pred: class indices (N,), or logits (N, C).
        classes: a name for each class.

    Raises:
        ValueError: the two differ in length, there are none, or one is no class.
    """
    y_true, y_pred = torch.as_tensor(y_true).cpu(), torch.as_tensor(y_pred).cpu()
    y_pred = y_pred.argmax(1) if y_pred.ndim == 2 else y_pred
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"there are {len(y_true)} true labels and {len(y_pred)} predicted ones; give one each"
        )
    if not len(y_true):
        raise ValueError("there is nothing to draw: no label was given")
    low, high = (int(end) for end in torch.cat([y_true, y_pred]).aminmax())
    size = len(classes) if classes is not None else high + 1
    if low < 0 or high >= size:
        raise ValueError(
            f"the labels go from {low} to {high}, expected 0 to {size - 1}: one name a class, and no label that is left "
            "out of the loss, such as -100"
        )
    names = list(classes) if classes is not None else [str(i) for i in range(size)]
    counts = torch.bincount(y_true * size + y_pred, minlength=size * size).reshape(size, size)
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    side = max(3.0, 0.5 * size + 1)
    figure, axes = new_figure(1, 1, side + 0.8, side)
    ax = axes[0, 0]
    picture = ax.imshow(shares.numpy(), cmap="cividis", vmin=0, vmax=1)
    for row, column in torch.nonzero(counts).tolist():
        ink = "black" if shares[row, column] > 0.5 else "white"
        ax.text(column, row, str(int(counts[row, column])), ha="center", va="center", color=ink, fontsize=8)
    ax.set(xlabel="predicted", ylabel="true", xticks=range(size), yticks=range(size), yticklabels=names)
    crowded = size * max(map(width_of, names)) > 12 * side / 2
    ax.set_xticklabels(names, rotation=90 if crowded else 0)
    figure.colorbar(picture, ax=ax, label="share of the true class", shrink=0.8)
    return figure


def mistakes(split: Any, logits: Tensor, n: int = 16, classes: Sequence[str] | None = None) -> Figure:
    """The images that were classified wrongly, the most confident mistakes first, titled "predicted (true)".

    Args:
        split: a Split, or a pair (X, y) with images (N, C, H, W) and class indices (N,).
        logits: what the model says of them, (N, C).
        n: show at most so many.
        classes: names for the titles.

    Raises:
        ValueError: logits and labels differ in length, or there is no mistake to show.
    """
    X, y = (split.X, split.y) if hasattr(split, "X") else split
    y, logits = y.cpu(), logits.detach().float().cpu()
    if len(y) != len(logits):
        raise ValueError(
            f"there are {len(y)} labels and {len(logits)} rows of logits; were they made from this split?"
        )
    confidence, predicted = logits.softmax(1).max(1)
    wrong = torch.nonzero(predicted != y)[:, 0]
    if not len(wrong):
        raise ValueError(f"there is no mistake to show: all {len(y)} were classified rightly")
    chosen = wrong[confidence[wrong].argsort(descending=True, stable=True)][:n]
    name = (lambda i: str(classes[i])) if classes is not None else str
    titles = [f"{name(int(predicted[i]))} ({name(int(y[i]))})" for i in chosen]
    return images(X.cpu()[chosen], titles, n=n)
