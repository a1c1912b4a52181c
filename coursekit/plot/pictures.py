"""Pictures as tensors: images, filters, feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from coursekit.models.modes import evaluating
from coursekit.plot.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def images(X: Any, titles: Sequence[Any] | None = None, n: int | None = 24, columns: int = 8) -> Figure:
    """A grid of images, each stretched from its darkest to its brightest value.

    Args:
        X: one image or several: (H, W), (C, H, W), (N, H, W) or (N, C, H, W) with C of 1 or 3, of any range of
            values; or a Split, whose labels become the titles. Three dimensions mean (N, H, W) unless the first is 1
            or 3.
        titles: one for each image (labels, say).
        n: show at most so many; None shows all.
        columns: images in a row.

    Raises:
        ValueError: `X` has no such shape, or holds no image.
    """
    if hasattr(X, "X") and hasattr(X, "y"):
        X, titles = X.X, X.y.tolist() if titles is None else titles
    batch = as_batch(torch.as_tensor(X).detach().float().cpu())[:n]  # (N, C, H, W)
    if isinstance(titles, Tensor):
        titles = titles.tolist()
    return picture_grid(batch, titles, columns, cmap="gray")


def filters(layer: nn.Module | Tensor, n: int | None = 64, columns: int = 8) -> Figure:
    """The filters of a convolution, on one symmetric scale: white is 0, red is positive, blue negative.

    Args:
        layer: a convolution, a model (its first convolution is taken), or weights (out_channels, in_channels, kH, kW).
            Of several input channels each gets its own picture.
        n: show at most so many.
        columns: pictures in a row.

    Raises:
        ValueError: there are no weights of four dimensions in `layer`.
    """
    weight = layer
    if isinstance(layer, nn.Module):
        found = [module.weight for module in layer.modules() if isinstance(module, nn.Conv2d)]
        if not found:
            raise ValueError(
                f"{type(layer).__name__} has no nn.Conv2d layer, so there are no filters to show"
            )
        weight = found[0]
    if not isinstance(weight, Tensor) or weight.ndim != 4:
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise ValueError(f"filters have the shape (out_channels, in_channels, kH, kW), not {shape}")
    weight = weight.detach().float().cpu()
    out_channels, in_channels = weight.shape[:2]
    pairs = [
        f"{o}" if in_channels == 1 else f"{o},{i}" for o in range(out_channels) for i in range(in_channels)
    ]
    limit = weight.abs().max().item() or 1.0
    return picture_grid(
        weight.flatten(0, 1)[:n, None], pairs, columns, cmap="RdBu_r", vmin=-limit, vmax=limit
    )


def feature_maps(
    model: nn.Module | Tensor,
    x: Tensor | None = None,
    layer: str | nn.Module | None = None,
    n: int | None = 32,
) -> Figure:
    """What a convolution makes of one image: a picture for each of its channels.

    Args:
        model: a model, or maps (C, H, W) that you have already.
        x: the image, (C, H, W) or (1, C, H, W).
        layer: the layer whose output is shown: itself, or its name as in `model.named_modules()`; by default the first
            convolution.
        n: show at most so many.

    Raises:
        ValueError: there is no such layer (the message lists them), or its output is no (1, C, H, W).
    """
    if isinstance(model, Tensor):
        maps = model.detach()
        maps = maps[0] if maps.ndim == 4 else maps
    else:
        if x is None:
            raise ValueError("give feature_maps an image: feature_maps(model, x)")
        maps = _output_of(model, _find(model, layer), x if x.ndim == 4 else x[None])
    if maps.ndim != 3:
        raise ValueError(
            f"feature maps have the shape (channels, height, width), these are {tuple(maps.shape)}"
        )
    maps = maps.float().cpu()
    return picture_grid(
        maps[:n, None], range(len(maps)), 8, cmap="viridis", vmin=maps.min().item(), vmax=maps.max().item()
    )


def _find(model: nn.Module, layer: str | nn.Module | None) -> nn.Module:
    if isinstance(layer, nn.Module):
        return layer
    named = dict(model.named_modules())
    if layer is not None:
        if layer not in named:
            raise ValueError(f"the model has no layer {layer!r}; it has {', '.join(filter(None, named))}")
        return named[layer]
    first = next((module for module in named.values() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        raise ValueError(f"{type(model).__name__} has no nn.Conv2d layer; say which `layer` to show")
    return first


def _output_of(model: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: kept.append(output.clone()))
    try:
        with evaluating(model):
            model(x.to(next(model.parameters()).device))
    finally:
        hook.remove()
    if not kept:
        raise ValueError(f"the layer {layer} was not used in the forward pass, so it has no feature maps")
    return kept[0][0]


def as_batch(X: Tensor) -> Tensor:
    """One image or several, (H, W), (C, H, W), (N, H, W) or (N, C, H, W), as (N, C, H, W)."""
    if X.ndim == 2:
        X = X[None, None]
    elif X.ndim == 3:
        X = X[None] if X.shape[0] in (1, 3) else X[:, None]
    if X.ndim != 4 or X.shape[1] not in (1, 3) or not X.numel():
        raise ValueError(
            f"images have the shape (N, C, H, W) with 1 or 3 channels, (N, H, W), (C, H, W) or (H, W), not "
            f"{tuple(X.shape)}"
        )
    return X


def picture_grid(batch: Tensor, titles: Sequence[Any] | None, columns: int, **style: Any) -> Figure:
    """All pictures in one pair of axes, each 1 wide: axes of its own cost ten times what a picture does."""
    columns = min(len(batch), columns)
    rows = -(-len(batch) // columns)
    tall = batch.shape[2] / batch.shape[3]
    lines = max((str(title).count("\n") + 1 for title in titles), default=1) if titles is not None else 0
    across, down = 1.08, tall + 0.08 + 0.15 * lines  # from a picture to the next one
    figure, axes = new_figure(1, 1, 1.1 * across * columns, 1.1 * down * rows)
    ax = axes[0, 0]
    for i, picture in enumerate(batch.permute(0, 2, 3, 1)):  # (H, W, C)
        left, top = across * (i % columns), -down * (i // columns)
        if picture.shape[-1] == 1:
            ax.imshow(picture[..., 0].numpy(), extent=(left, left + 1, top - tall, top), **style)
        else:
            low, high = style.get("vmin", picture.min().item()), style.get("vmax", picture.max().item())
            colours = ((picture - low) / max(high - low, 1e-12)).numpy()
            ax.imshow(colours, extent=(left, left + 1, top - tall, top))
        if titles is not None and i < len(titles):
            text = str(titles[i])
            ax.text(left + 0.5, top + 0.03, text, fontsize=9, ha="center", va="bottom", parse_math=False)
    ax.set(
        xlim=(-0.04, across * columns - 0.04), ylim=(0.04 - down * rows + 0.15 * lines, 0.04 + 0.15 * lines)
    )
    ax.set_axis_off()
    return figure
