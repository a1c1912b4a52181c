"""Has a GAN collapsed, or has one of its players run away?"""

from __future__ import annotations

import torch
from torch import Tensor

from coursekit.train.gan_history import GanHistory
from coursekit.train.gan_run import GanRun

COLLAPSED = 0.4  # variety below which samples repeat themselves
SURE = 0.98  # accuracy of a discriminator that the generator learns little from
PATIENCE = 2  # epochs in a row: at the beginning all samples are alike


def variety(run: GanRun, real: Tensor, classes: Tensor | None) -> float | None:
    """How far samples of the averaged generator lie from the ones most like them, as a share of what real images do.

    As many samples as there are real images are compared, of the same classes. None for fewer than two images, or where all
    of these are the same.
    """
    if len(real) < 2:
        return None
    noise = torch.randn(len(real), run.noise.shape[1], device=run.device)
    among_real = nearest_other(real)
    return None if among_real == 0 else nearest_other(run.samples(noise, classes)) / among_real


def nearest_other(X: Tensor) -> float:
    """Mean Euclidean distance of each of (N, ...) to the nearest other one."""
    flat = X.detach().float().flatten(1)
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    return float(distances.fill_diagonal_(float("inf")).amin(1).mean())


def warnings_of(history: GanHistory) -> list[str]:
    """What a person should know, as sentences; the first epoch at which each was seen stays in it."""
    found = [collapse(history), sure_discriminator(history)]
    return [warning for warning in found if warning]


def collapse(history: GanHistory) -> str:
    """A sentence, where the samples of some epochs in a row were too much alike."""
    last = first_streak([value < COLLAPSED for value in history["variety"]])
    if last is None:
        return ""
    row = history[last]
    return (
        f"collapse: by epoch {row['epoch']:.0f} samples differ from the nearest other one by {row['variety']:.0%} of what real "
        "images do, so many noises give the same image; try a gradient penalty, another loss or a lower learning rate"
    )


def sure_discriminator(history: GanHistory) -> str:
    """A sentence, where the discriminator was right about almost all images for some epochs in a row."""
    last = first_streak([value > SURE for value in history["discriminator_accuracy"]])
    if last is None:
        return ""
    row = history[last]
    return (
        f"divergence: by epoch {row['epoch']:.0f} the discriminator is right about {row['discriminator_accuracy']:.1%} of all "
        "images, so the generator learns little from it; try a lower lr_discriminator, a gradient penalty, or the loss "
        '"non_saturating" if it was "minimax"'
    )


def first_streak(seen: list[bool]) -> int | None:
    """Where the first `PATIENCE` true values in a row end."""
    ends = (i for i in range(PATIENCE - 1, len(seen)) if all(seen[i - PATIENCE + 1 : i + 1]))
    return next(ends, None)
