"""Augmentations by name: small random changes of a batch of images that leave the label true."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from coursekit.train.optim import known


def shift(X: Tensor, pixels: int = 2) -> Tensor:
    """Move each image of (N, C, H, W) by up to `pixels` in both directions; the border is repeated."""
    n, _, height, width = X.shape
    by = torch.randint(-pixels, pixels + 1, (2, n, 1)).to(X.device)
    rows = (torch.arange(height, device=X.device) + by[0]).clamp_(0, height - 1)  # (N, H)
    columns = (torch.arange(width, device=X.device) + by[1]).clamp_(0, width - 1)  # (N, W)
    examples = torch.arange(n, device=X.device)[:, None, None]
    moved = X.movedim(1, -1)[examples, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return moved.movedim(-1, 1).contiguous()


def affine(
    X: Tensor, degrees: float = 12.0, scale: float = 0.12, pixels: float = 2.0, shear: float = 0.15
) -> Tensor:
    """Turn, scale, shear and move each image of (N, C, H, W) a little; the border is repeated."""
    n, _, height, width = X.shape
    angle, stretch_x, stretch_y, skew, dx, dy = (torch.rand(6, n) * 2 - 1).to(X.device)
    angle, skew = angle * math.radians(degrees), skew * shear
    stretch_x, stretch_y = 1 + stretch_x * scale, 1 + stretch_y * scale
    row_x = torch.stack([angle.cos() * stretch_x, -angle.sin() + skew, dx * 2 * pixels / width], 1)
    row_y = torch.stack([angle.sin(), angle.cos() * stretch_y, dy * 2 * pixels / height], 1)
    grid = F.affine_grid(torch.stack([row_x, row_y], 1), list(X.shape), align_corners=False)  # (N, H, W, 2)
    return F.grid_sample(X, grid, padding_mode="border", align_corners=False)


def flip(X: Tensor) -> Tensor:
    """Mirror each image of (N, C, H, W) left to right with probability 1/2 (not for digits or letters)."""
    mirrored = torch.rand(len(X), 1, 1, 1).to(X.device) < 0.5
    return torch.where(mirrored, X.flip(-1), X)


AUGMENTS: dict[str, Callable[[Tensor], Tensor]] = {"shift": shift, "affine": affine, "flip": flip}


def pick_augment(augment: str | Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor] | None:
    """The augmentation of that name, or the function itself."""
    if not isinstance(augment, str):
        return augment
    known("augmentation", augment, AUGMENTS)
    return AUGMENTS[augment]
