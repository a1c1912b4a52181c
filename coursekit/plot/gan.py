"""Samples of generative models, and the game of a GAN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coursekit.plot.pictures import as_batch, picture_grid
from coursekit.plot.style import COLORS, legend_above, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sample_grid(
    images: Tensor,
    titles: Any = None,
    columns: int = 10,
    n: int | None = 100,
    low: float = -1.0,
    high: float = 1.0,
) -> Figure:
    """A grid of images on one fixed scale, so that a pale one looks pale: `low` is black, `high` is white.

    Args:
        images: (N, C, H, W) or (N, H, W) with C of 1 or 3.
        titles: one for each (labels, say).
        columns: images in a row.
        n: show at most so many; None shows all.
        low: what is black.
        high: what is white.

    Raises:
        ValueError: `images` has no such shape, or holds no image.
    """
    batch = as_batch(torch.as_tensor(images).detach().float().cpu())[:n]
    titles = titles.tolist() if isinstance(titles, Tensor) else titles
    return picture_grid(batch.clamp(low, high), titles, columns, cmap="gray", vmin=low, vmax=high)


def samples_over_time(history: Any, n: int = 10, rows: int = 8) -> Figure:
    """The same noise through the epochs: a row an epoch, from the first to the last, a column a sample.

    Args:
        history: what `fit_gan` returned; anything with `samples`, a list of (N, C, H, W), and `sample_epochs`.
        n: samples in a row.
        rows: show at most so many epochs, evenly chosen, with the first and the last.

    Raises:
        ValueError: there are no samples.
    """
    if not history.samples:
        raise ValueError("there are no samples: no epoch was finished")
    last = len(history.samples) - 1
    chosen = sorted({round(i * last / max(1, rows - 1)) for i in range(rows)})
    n = min(n, len(history.samples[0]))
    images = torch.cat([history.samples[i][:n] for i in chosen])
    titles = [f"epoch {history.sample_epochs[i]}" if j == 0 else "" for i in chosen for j in range(n)]
    return sample_grid(images, titles, columns=n, n=None)


def players(history: Any) -> Figure:
    """The two players of a GAN by epoch: their losses, and what the discriminator says of real and of generated images.

    Args:
        history: what `fit_gan` returned.

    Raises:
        ValueError: no epoch was finished.
    """
    if not len(history):
        raise ValueError("there is nothing to draw: no epoch was finished")
    figure, axes = new_figure(1, 2, 9, 3.2)
    losses, balance = axes[0]
    marks: dict[str, Any] = {"marker": "o", "ms": 4, "markevery": max(1, len(history) // 15)}
    for i, player in enumerate(("discriminator", "generator")):
        losses.plot(history["epoch"], history[f"{player}_loss"], color=COLORS[i], label=player, **marks)
    for i, kind in enumerate(("real", "fake")):
        balance.plot(
            history["epoch"], history[f"{kind}_output"], color=COLORS[2 + i], label=f"{kind} images", **marks
        )
    balance.axhline(0.5, color="gray", linestyle=":", label="cannot tell")
    losses.set(xlabel="epoch", ylabel="loss")
    balance.set(xlabel="epoch", ylabel="discriminator's output", ylim=(0, 1))
    for ax in (losses, balance):
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        legend_above(ax)
    return figure
