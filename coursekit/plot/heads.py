"""Which word looks at which: the attention weights of one layer."""

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

PADDING = {"[PAD]", "<pad>"}
ENDS = {"[CLS]", "[SEP]", "<s>", "</s>", *PADDING}
SPECIAL = {"[MASK]", "[UNK]", "<mask>", "<unk>", *ENDS}
TOLERANCE = 0.01  # of the sum of a row: 16-bit numbers are no more exact
WRITTEN = 8  # weights in a row that are written as numbers, too
COLUMNS = 14  # letters of a token that are shown
FULL = 60  # bars that a figure has room for


def attention(
    weights: Any,
    tokens: Sequence[str],
    *,
    head: int | None = None,
    query: int | str | None = None,
    special: bool = True,
) -> Figure:
    """How much each token (row, the query) attends to each token (column, the key).

    One head is drawn large, several side by side on one scale. Special tokens are orange and padding is grey: the rows
    of padding, which mean nothing, are left out, and when attention goes to padding the figure says how much.

    Args:
        weights: of one layer and one text, (heads, T, T) or (T, T); each row sums to 1.
        tokens: the T word pieces, with the special tokens and padding among them.
        head: show this one only.
        query: show as bars what this token attends to; its place, or itself where it stands once; of several heads the
            mean.
        special: False leaves out the tokens at the ends and padding, on which many heads lay nearly all, so that one
            sees where the rest goes.

    Returns:
        the figure (such weights are in Vaswani et al., "Attention is all you need", 2017, figures 3 to 5; on the ends
        see Clark et al., "What does BERT look at?", 2019).

    Raises:
        ValueError: the shape is another, the rows do not sum to 1, or there is no such head or query.
    """
    tokens = _checked_tokens(tokens)
    padding = torch.tensor([token in PADDING for token in tokens])
    heads = _checked(weights, tokens, padding)
    names = [f"head {i}" for i in range(len(heads))] if len(heads) > 1 else [""]
    if head is not None:
        if not 0 <= head < len(heads):
            raise ValueError(f"there is no head {head}: the heads are 0 to {len(heads) - 1}")
        heads, names = heads[head : head + 1], names[head : head + 1]
    astray = heads[:, ~padding][..., padding].sum(-1).mean().item()
    note = f"{astray:.0%} of the attention goes to padding" if astray > 0.005 else ""
    heads = heads.masked_fill(padding[None, :, None], torch.nan)
    kept = [i for i, token in enumerate(tokens) if special or token not in ENDS]
    if not kept:
        raise ValueError("without special tokens none is left to draw")
    shown = [tokens[i] for i in kept]
    if query is not None:
        place = _place(query, tokens)
        what = f"what {shortened(tokens[place], COLUMNS)} ({place}) attends to"
        name = names[0] if len(heads) == 1 else f"mean of {len(heads)} heads"
        return _bars(heads[:, place, kept].mean(0), shown, what, name, note)
    heads = heads[:, kept][:, :, kept]
    return _one(heads[0], shown, names[0], note) if len(heads) == 1 else _grid(heads, shown, note)


def _checked_tokens(tokens: Sequence[str]) -> list[str]:
    tokens = list(tokens)
    if not all(isinstance(token, str) for token in tokens):
        raise ValueError(
            f"tokens must be the word pieces as text, not {tokens[:3]}; `tokens(ids)` of the word pieces gives them"
        )
    if all(token in PADDING for token in tokens):
        raise ValueError("there is nothing to draw: there is no token, or all are padding")
    return tokens


def _checked(weights: Any, tokens: list[str], padding: Tensor) -> Tensor:
    """The weights as (heads, T, T)."""
    if isinstance(weights, list | tuple) and weights and isinstance(weights[0], Tensor):
        if weights[0].ndim > 2:
            raise ValueError(
                f"these are the weights of {len(weights)} layers; give those of one: weights[-1]"
            )
        weights = torch.stack(list(weights))
    given = as_values(weights, "weights")
    heads = given[None] if given.ndim == 2 else given
    size = len(tokens)
    if heads.ndim == 4:
        raise ValueError(
            f"weights {tuple(given.shape)} are those of a batch, (B, heads, T, T); give those of one text: weights[0]"
        )
    if heads.ndim != 3 or heads.shape[1:] != (size, size) or not len(heads):
        raise ValueError(
            f"for {size} tokens the weights have the shape (heads, {size}, {size}) or ({size}, {size}), "
            f"not {tuple(given.shape)}; give as many tokens as went through the model, special tokens and padding too"
        )
    rows = heads[:, ~padding]
    if not rows.isfinite().all():
        raise ValueError("some weights are infinite or NaN: was a row masked as a whole before the softmax?")
    if rows.min() < 0:
        raise ValueError(
            f"a weight is {rows.min():.3g}: are these scores? Take softmax over the keys, dim=-1"
        )
    sums = rows.sum(-1)
    if (sums - 1).abs().max() > TOLERANCE:
        if (heads[..., ~padding].sum(-2) - 1).abs().max() <= TOLERANCE:
            raise ValueError(
                "the columns sum to 1, and not the rows: the softmax went over the queries; "
                "take it over the keys, dim=-1"
            )
        worst = sums.flatten()[(sums - 1).abs().argmax()]
        raise ValueError(
            f"each row of weights must sum to 1; one sums to {worst:.3g}. Weights come after the softmax over the "
            "keys, dim=-1, and without dropout: model.eval()"
        )
    return heads


def _place(query: int | str, tokens: list[str]) -> int:
    if isinstance(query, str):
        places = [i for i, token in enumerate(tokens) if token == query]
        if len(places) != 1:
            found = f"stands at {', '.join(map(str, places))}" if places else "is not among the tokens"
            raise ValueError(
                f"{query!r} {found}; give the place of one token as `query`, 0 to {len(tokens) - 1}"
            )
        query = places[0]
    if not 0 <= query < len(tokens):
        raise ValueError(f"there is no token {query}: they are numbered 0 to {len(tokens) - 1}")
    if tokens[query] in PADDING:
        raise ValueError(f"token {query} is padding; what it attends to means nothing")
    return query


def _one(head: Tensor, tokens: list[str], name: str, note: str) -> Figure:
    size = len(tokens)
    cell = min(0.42 if size <= WRITTEN else 0.24, 10.0 / size)
    words = room([shortened(token, COLUMNS) for token in tokens])
    left, top, side = words + 0.35, 0.3 if name else 0.1, cell * size
    bottom = max(top + side, 1.5) + words + 0.25
    figure, ax = canvas(left + side + 0.55, bottom + 0.15 + (LINE if note else 0))
    high = _high(head)
    paint(ax, head.numpy(), left, top, cell, high)
    scale(ax, left + side + 0.1, top + 0.08, high)
    _write_tokens(ax, tokens, cell, 9, left=(left, top), below=(left, top + side))
    if size <= WRITTEN:
        for i, j in torch.nonzero(head.isfinite()).tolist():
            ink = "white" if head[i, j] > 0.6 * high else "black"
            at = left + (j + 0.5) * cell, top + (i + 0.5) * cell
            write(ax, *at, f"{head[i, j]:.2f}", fontsize=8, ha="center", color=ink)
    write(ax, left + side / 2, 0.15, name, ha="center")
    write(ax, 0.12, top + side / 2, "query", ha="center", rotation=90, color="0.4")
    write(ax, left + side / 2, bottom, "key", ha="center", color="0.4")
    _write_note(ax, left, bottom + LINE, note)
    return figure


def _grid(heads: Tensor, tokens: list[str], note: str) -> Figure:
    """All heads in one pair of axes: axes of its own cost ten times what a picture does."""
    size, columns = len(tokens), min(len(heads), 4)
    rows = -(-len(heads) // columns)
    side = min(max(0.13 * size, 1.3), 2.2)
    cell, across, down = side / size, side + 0.12, side + 0.3
    words = room([shortened(token, COLUMNS) for token in tokens], 8)
    left, top = words + 0.12, 0.28
    bottom = top + down * rows + words
    figure, ax = canvas(left + across * columns + 0.45, bottom + (LINE if note else 0))
    high = _high(heads)
    for i, head in enumerate(heads):
        x, y = left + across * (i % columns), top + down * (i // columns)
        paint(ax, head.numpy(), x, y, cell, high)
        write(ax, x + side / 2, y - 0.12, f"head {i}", fontsize=8, ha="center")
        _write_tokens(
            ax,
            tokens,
            cell,
            8,
            left=(x, y) if i % columns == 0 else None,
            below=(x, y + side) if i + columns >= len(heads) else None,
        )
    scale(ax, left + across * columns, top + 0.08, high)
    _write_note(ax, left, bottom, note)
    return figure


def _bars(attended: Tensor, tokens: list[str], what: str, name: str, note: str) -> Figure:
    """Weights (T,) as bars; on a canvas in inches a thick line is a bar, and all bars are one artist."""
    order = attended.argsort(descending=True, stable=True)[:FULL].tolist()
    shown = sorted(order)
    row, long = 0.2, 3.2
    left, top = room([shortened(token, COLUMNS) for token in tokens]) + 0.15, 0.42
    figure, ax = canvas(left + long + 0.5, top + row * len(shown) + 0.15 + (LINE if note else 0))
    centres = dict(zip(shown, top + row * (np.arange(len(shown)) + 0.5), strict=True))
    ends = left + long / _high(attended) * attended.numpy()
    ax.hlines(list(centres.values()), left, ends[shown], lw=72 * row * 0.7, color=COLORS[0])
    for i in order[:WRITTEN]:
        write(ax, ends[i] + 0.06, centres[i], f"{attended[i]:.2f}", fontsize=8)
    _write_tokens(ax, [tokens[i] for i in shown], row, 9, left=(left, top))
    most = f"{FULL} of {len(tokens)} tokens, those with the most" if len(tokens) > FULL else ""
    write(ax, left, 0.13, what, fontweight="bold")
    write(ax, left, 0.3, "; ".join(filter(None, [name, most])), fontsize=8, color="0.4")
    _write_note(ax, left, top + row * len(shown) + 0.1, note)
    return figure


def _write_tokens(
    ax: Axes,
    tokens: list[str],
    cell: float,
    fontsize: int,
    *,
    left: tuple[float, float] | None = None,
    below: tuple[float, float] | None = None,
) -> None:
    """The tokens at the left of a picture, from its corner down, and below it; if there is no room, the special ones."""
    crowded = cell < 0.011 * fontsize
    for i, (token, name) in enumerate(zip(tokens, readable(ax, tokens, COLUMNS), strict=True)):
        if crowded and token not in SPECIAL - PADDING:
            continue
        ink = "0.6" if token in PADDING else COLORS[1] if token in SPECIAL else "black"
        away, along = 0.05, (i + 0.5) * cell
        if left:
            write(ax, left[0] - away, left[1] + along, name, fontsize=fontsize, ha="right", color=ink)
        if below:
            turned = 90 if len(name) > 1 else 0  # a Chinese character or a comma is not read lying down
            at = below[0] + along, below[1] + away
            write(ax, *at, name, fontsize=fontsize, ha="center", va="top", rotation=turned, color=ink)


def _write_note(ax: Axes, x: float, y: float, note: str) -> None:
    if note:
        write(ax, x, y, note, fontsize=8, color=COLORS[1], fontweight="bold")


def _high(weights: Tensor) -> float:
    return weights[weights.isfinite()].max().item() or 1.0
