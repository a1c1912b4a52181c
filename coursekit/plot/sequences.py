"""What a recurrent model does over time: gradients by step, hidden states and gates over the words, sampled text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coursekit.plot.lettering import BOX, VISIBLE, drawable, fonts_of, width_of, wrapped
from coursekit.plot.style import COLORS, legend_above, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

FULL = 60  # tokens that fit side by side


def gradient_norms(
    norms: Tensor | Sequence[Tensor] | Mapping[str, Tensor], labels: Sequence[str] | None = None
) -> Figure:
    """Norm of the loss's gradient by the hidden state of each time step, on a logarithmic scale.

    Args:
        norms: of one run (T,), of several (R, T), or a list of them, or several by name; T may differ.
        labels: a name for each, where they have none yet.

    Raises:
        ValueError: there is no positive finite norm to draw, or not one label a run.
    """
    if isinstance(norms, Mapping):
        labels, norms = list(norms), list(norms.values())
    if isinstance(norms, Tensor):
        norms = [norms] if norms.ndim == 1 else list(norms)
    runs = [torch.as_tensor(run).detach().float().cpu() for run in norms]
    if any(run.ndim != 1 for run in runs):
        raise ValueError(f"norms of a run have the shape (T,), not {[tuple(run.shape) for run in runs]}")
    if labels is not None and len(labels) != len(runs):
        raise ValueError(f"there are norms of {len(runs)} runs and {len(labels)} labels; give one label each")
    finite = [run.where((run > 0) & run.isfinite(), torch.nan) for run in runs]
    if all(run.isnan().all() for run in finite):
        raise ValueError("there is nothing to draw: every norm is 0, infinite or missing")
    figure, axes = new_figure(1, 1, 6.0, 3.4)
    ax = axes[0, 0]
    for i, run in enumerate(finite):
        ax.plot(
            range(1, len(run) + 1),
            run.numpy(),
            color=COLORS[i % len(COLORS)],
            linestyle=("-", "--", ":")[i // len(COLORS) % 3],
            marker="o" if len(run) <= 30 else None,
            ms=4,
            label=drawable(str(labels[i]), fonts_of(ax)) if labels is not None else f"run {i + 1}",
        )
    ax.set(xlabel="time step t", ylabel="norm of ∂L/∂h_t", yscale="log")
    ax.yaxis.set_major_formatter("{x:g}")  # each formula, a power of ten too, takes long to set
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.minorticks_off()  # over many decades they are hundreds
    margin = 0.02 * max(map(len, runs))
    # Steps whose gradient has vanished are part of the picture.
    ax.set_xlim(1 - margin, max(map(len, runs)) + margin)
    ax.grid(alpha=0.3)
    if labels is not None or len(runs) > 1:
        legend_above(ax)
    return figure


def states(tokens: Sequence[str], H: Tensor) -> Figure:
    """The hidden units over the words: white is 0, red is positive, blue negative.

    Args:
        tokens: T words or characters.
        H: what is shown of each unit at each of them, (T, hidden_size).

    Raises:
        ValueError: `H` has not one row a token.
    """
    return gates(tokens, {"": H})


def gates(tokens: Sequence[str], gates: Mapping[str, Tensor]) -> Figure:
    """The gates of a cell over the words, one picture each: from closed, 0, to open, 1.

    Values that may be negative, such as those of a cell state, are shown on a symmetric scale where white is 0.

    Args:
        tokens: T words or characters.
        gates: by name, each (T, hidden_size).

    Raises:
        ValueError: there is none, or one has not one row a token.
    """
    values = {name: torch.as_tensor(gate).detach().float().cpu() for name, gate in gates.items()}
    for name, H in values.items():
        if H.ndim != 2 or len(H) != len(tokens) or not H.numel():
            raise ValueError(
                f"{name or 'H'} must have a row for each of the {len(tokens)} tokens, (T, hidden_size); its shape is "
                f"{tuple(H.shape)}"
            )
    if not values:
        raise ValueError("there is nothing to draw: no gate was given")
    heights = [min(4.0, max(1.2, 0.06 * H.shape[1])) for H in values.values()]
    width = 1.8 + 0.24 * min(max(len(tokens), 12), FULL)
    figure, axes = new_figure(len(values), 1, width, sum(heights) + 0.3 * len(values) + 0.7)
    pictures: list[list[AxesImage]] = []  # neighbours on the scale from 0 to 1 share one colour bar
    signed = True
    for ax, (name, H) in zip(axes[:, 0], values.items(), strict=True):
        limit = H.abs().max().item() or 1.0
        before, signed = signed, name == "" or bool((H < 0).any()) or limit > 1
        style = (
            {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
            if signed
            else {"cmap": "cividis", "vmin": 0, "vmax": 1}
        )
        picture = ax.imshow(H.T.numpy(), aspect="auto", interpolation="nearest", **style)
        ax.set(
            ylabel="unit", title=drawable(name, fonts_of(ax)), xticks=[], yticks=sorted({0, H.shape[1] - 1})
        )
        if signed or before:
            pictures.append([])
        pictures[-1].append(picture)
    for group in pictures:
        beside = [picture.axes for picture in group]
        bar = figure.colorbar(
            group[0], ax=beside, fraction=0.25 / width, pad=0.1 / width, aspect=30 * len(group)
        )
        bar.ax.tick_params(labelfontfamily=fonts_of(beside[0]))
    _write_below(axes[-1, 0], tokens)
    return figure


def sampled(
    texts: str | Sequence[str] | Mapping[str, str], labels: Sequence[str] | None = None, columns: int = 72
) -> Figure:
    """Texts that a model wrote, one below the other; long lines are broken.

    Args:
        texts: one text, several, or several by name ("temperature 0.5", say).
        labels: a name for each, where they have none yet.
        columns: letters in a line; a Chinese character takes the room of two.

    Raises:
        ValueError: there is no text, or not one label a text.
    """
    if isinstance(texts, Mapping):
        labels, texts = list(texts), list(texts.values())
    texts = [texts] if isinstance(texts, str) else texts
    if not texts:
        raise ValueError("there is nothing to show: no text was given")
    if labels is not None and len(labels) != len(texts):
        raise ValueError(f"there are {len(texts)} texts and {len(labels)} labels; give one label each")
    blocks = [[row for line in text.split("\n") for row in wrapped(line, columns)] for text in texts]
    figure, axes = new_figure(len(texts), 1, 0.085 * columns + 0.3, sum(0.17 * len(b) + 0.4 for b in blocks))
    axes[0, 0].get_gridspec().set_height_ratios([0.17 * len(block) + 0.15 for block in blocks])
    for i, (ax, block) in enumerate(zip(axes[:, 0], blocks, strict=True)):
        ax.set_axis_off()
        if labels is not None:
            ax.set_title(
                drawable(str(labels[i]), fonts_of(ax)),
                loc="left",
                fontsize=9,
                fontweight="bold",
                color=COLORS[0],
                fontfamily=fonts_of(ax),
            )
        fonts = ["monospace", *fonts_of(ax)]
        written = drawable("\n".join(block), fonts)
        ax.text(0, 1, written, va="top", fontsize=9, fontfamily=fonts, parse_math=False)
    return figure


def _write_below(ax: Axes, tokens: Sequence[str]) -> None:
    """The tokens below a picture, or every second (third, ...) where they are too many."""
    step = -(-len(tokens) // FULL)
    names = [drawable(token.translate(VISIBLE), fonts_of(ax)) for token in tokens]
    # Boxes do not tell words apart: a word that cannot be written is named by its place.
    names = [str(i + 1) if BOX in name else name for i, name in enumerate(names)]
    turned = any(width_of(name) > 2 for name in names)
    ax.set_xticks(range(0, len(tokens), step))
    for label in ax.set_xticklabels(names[::step], fontsize=9, fontfamily=fonts_of(ax)):
        label.set_parse_math(False)
        if turned and len(label.get_text()) > 1:  # a Chinese character or a comma is not read lying down
            label.set_rotation(90)
