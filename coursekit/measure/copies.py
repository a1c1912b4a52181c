"""Do samples repeat training images?"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 250  # of distances at once: 250 x 60,000 float32 are 60 MB


def nearest(images: Tensor, training: Tensor) -> tuple[Tensor, Tensor]:
    """For each image the training image that is most like it, by Euclidean distance of the pixels.

    Args:
        images: (N, ...).
        training: (M, ...), examples of the same shape and range of values.

    Returns:
        Distances (N,), in units of the pixels, and indices (N,) into `training`.

    Raises:
        ValueError: there is nothing to compare, or the shapes differ.
    """
    if not len(images) or not len(training) or images.shape[1:] != training.shape[1:]:
        raise ValueError(
            f"images of shape {tuple(images.shape)} and training images of shape {tuple(training.shape)}: there must be some "
            "of both, and all axes but the first alike"
        )
    rows, others = images.detach().float().flatten(1), training.detach().float().flatten(1).to(images.device)
    lengths = others.square().sum(1)
    # |a - b|^2 = |a|^2 + |b|^2 - 2ab finds the nearest at the speed of a matrix product; its distance, exactly, comes after.
    chosen = torch.cat([(lengths - 2 * part @ others.T).argmin(1) for part in rows.split(ROWS)])
    return (rows - others[chosen]).norm(dim=1), chosen


def copied(images: Tensor, training: Tensor, held_out: Tensor, quantile: float = 0.01) -> float:
    """The share of `images` nearer to a training image than all but a share `quantile` of held-out images are.

    Of images that are as new as the held-out ones, about `quantile` are so near; of a generator that repeats its training
    images, far more. (The idea of Meehan, Chaudhuri and Dasgupta 2020, "A non-parametric test to detect data-copying in
    generative models".) Look at those that are, beside their `nearest`: blurred or simple images (a plain "1") are near to
    many others without being a copy of any.

    Args:
        images: samples (N, ...).
        training: what the generator learned from, (M, ...).
        held_out: images of the same kind that it did not learn from, (K, ...).
        quantile: between 0 and 1; 0 asks for those nearer than every held-out image.

    Raises:
        ValueError: shapes differ, or `quantile` is no share.
    """
    if not 0 <= quantile < 1:
        raise ValueError(f"quantile is a share of the held-out images, 0 to below 1, not {quantile!r}")
    usual = nearest(held_out, training)[0].quantile(quantile)
    return float((nearest(images, training)[0] < usual).float().mean())
