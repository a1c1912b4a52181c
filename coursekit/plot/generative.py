"""What a generative model has learned, seen as a whole: a density in the plane, and the images along two latent axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from coursekit.models.modes import evaluating
from coursekit.plot.canvas import as_values
from coursekit.plot.style import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 500  # points of the data that are drawn: more would hide the density


def density(model: nn.Module | Callable[[Tensor], Any], data: Tensor, size: int = 150) -> Figure:
    """A density in the plane, the darker the higher, with points of the data on it.

    Args:
        model: one with `log_prob(X)`, such as `get_model("flow")`, or a function that gives the log-density of points:
            X (N, 2) to (N,), in nats.
        data: points (N, 2); the picture reaches a little beyond them, and shows the first 500.
        size: the density is computed at size times size points.

    Raises:
        ValueError: the data are no points in the plane, or the density is not finite or not one number a point.
    """
    points = as_values(data, "data").float()
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"a density is drawn over points (N, 2), these are {tuple(points.shape)}")
    low, high = points.amin(0), points.amax(0)
    margin = 0.15 * (high - low).clamp(min=1e-6)
    low, high = low - margin, high + margin
    grid = torch.cartesian_prod(
        torch.linspace(float(low[0]), float(high[0]), size),
        torch.linspace(float(low[1]), float(high[1]), size),
    )  # (size * size, 2), the second coordinate running faster
    values = as_values(_log_density(model, grid), "the log-density")
    if values.shape != (size * size,) or bool((values.isnan() | (values == torch.inf)).any()):
        raise ValueError(
            f"the model must give one log-density a point, without nan: expected ({size * size},), got {tuple(values.shape)}"
        )
    figure, axes = new_figure(1, 1, 5.2, 4.2)
    ax = axes[0, 0]
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    picture = ax.imshow(
        values.exp().view(size, size).T.numpy(),
        cmap="Blues",
        vmin=0,
        origin="lower",
        extent=extent,
        aspect="auto",
    )
    ax.scatter(*points[:SHOWN].T.numpy(), s=3, color=COLORS[1], alpha=0.6, linewidths=0)
    figure.colorbar(picture, ax=ax, label="density")
    return figure


def _log_density(model: Any, grid: Tensor) -> Any:
    if not isinstance(model, nn.Module):
        return model(grid)
    log_prob = getattr(model, "log_prob", None)
    if log_prob is None:
        raise ValueError(f"{type(model).__name__} has no log_prob(X), so it has no density to draw")
    with evaluating(model):
        return log_prob(grid.to(next(model.parameters()).device))


def latent_grid(
    model: nn.Module, data: Tensor | None = None, size: int = 15, axes: tuple[int, int] = (0, 1)
) -> Figure:
    """What a decoder makes of a grid of codes (Kingma and Welling 2014, figure 4): black is -1, white 1.

    The codes go along two of the latent axes, by quantiles from 5 to 95 %, the others staying in the middle; so with
    `latent_size=2` this is all that there is. The first of the two axes runs to the right, the second upwards.

    Args:
        model: one with `encode` and `decode`, such as `get_model("vae")`.
        data: images (N, C, H, W) of whose codes the quantiles are; by default those of N(0, 1), the prior of a VAE. An
            auto-encoder has no prior: give it data.
        size: images in a row and in a column.
        axes: which two of the latent numbers.

    Raises:
        ValueError: the model has no decoder of codes, or no such axes; or it has no prior, and no data are given.
    """
    latent_size: Any = getattr(model, "latent_size", None)
    if latent_size is None or not hasattr(model, "decode") or not hasattr(model, "encode"):
        raise ValueError(
            f"{type(model).__name__} has no latent codes: expected latent_size, encode(X) and decode(z)"
        )
    if len(set(axes)) != 2 or not all(0 <= axis < latent_size for axis in axes):
        raise ValueError(f"axes must be two of the {latent_size} latent numbers, from 0, not {axes}")
    with evaluating(model):
        X = _along(model, data, size, axes)
    rows = X.float().cpu().unflatten(0, (size, size)).flip(0)  # upwards: (size, size, C, H, W)
    mosaic = rows.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2)  # (size * H, size * W, C)
    figure, (line,) = new_figure(1, 1, 6, 6)
    line[0].imshow(((mosaic + 1) / 2).clamp(0, 1).squeeze(2).numpy(), cmap="gray", vmin=0, vmax=1)
    line[0].set_axis_off()
    return figure


def _along(model: Any, data: Tensor | None, size: int, axes: tuple[int, int]) -> Tensor:
    """The images of the grid, (size * size, C, H, W): row by row, from the lowest."""
    place = next(model.parameters()).device
    share = torch.linspace(0.05, 0.95, size)
    if data is not None:
        codes = model.encode(data.to(place))
        codes = (codes[0] if isinstance(codes, tuple) else codes).float().cpu()  # of a VAE, the means
        # (latent_size,), (size, latent_size)
        middle, lines = codes.median(0).values, codes.quantile(share, dim=0)
    elif hasattr(model, "elbo"):
        middle = torch.zeros(model.latent_size)
        lines = torch.special.ndtri(share)[:, None].expand(-1, model.latent_size)
    else:
        raise ValueError(
            f"{type(model).__name__} has no prior over its codes, so give data: latent_grid(model, data.val.X)"
        )
    z = middle.repeat(size, size, 1)  # (row, column, latent_size)
    z[:, :, axes[0]], z[:, :, axes[1]] = lines[None, :, axes[0]], lines[:, None, axes[1]]
    return model.decode(z.flatten(0, 1).to(place))
