"""Drawn digits read by the nearest of real ones: which digit each shows, and whether it is drawn at all."""

import contextlib
import io
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_DIGITS = 10
NO_DIGIT, COPIED, REPEATED = 10, 11, 12  # what an image may be besides a digit

_NEIGHBOURS = 5
_BLACK = -1.0
_HELD_OUT = 1000  # of the real digits, to see how near these are to the others
# Room on both sides of what real digits do, so that none of them would be refused.
_FARTHER, _NEARER = 1.15, 0.85
_SMOOTH = 0.99  # of the real digits are no rougher than what may count
# Real digits lie at least as far from each other as the nearest of thousands, as a rule half as far again.
_REPEATED_WITHIN = 0.5


@dataclass(frozen=True)
class _Real:
    """Real digits to compare with.

    Attributes:
        vectors: pixels `(N, 196)`, as `_vectors` gives them.
        y: their classes `(N,)`.
        far: an image farther than this from all of them shows no digit.
        rough: an image with more edges to its ink than this is no drawing, but noise.
        near: an image is one of them when its nearest is nearer than this share of the next ones' mean distance.
    """

    vectors: Tensor
    y: Tensor
    far: float
    rough: float
    near: float


def votes(images: Tensor) -> Tensor:
    """Scores `(N, 13)` of images `(N, 1, 28, 28)` with pixels from -1 to 1: how many of the five nearest digits have each class.

    The nearest are sought among the 5,000 of `mnist_5k`, over shifts by a pixel. Three kinds of images are given a class of their own,
    so that none counts as a digit: those farther from every digit than real ones are from each other or as rough as noise, the copies of a
    digit (moved by a pixel, or noisy), and those nearly equal to an earlier one of `images`.
    """
    real = _real()
    nearest, neighbours = _distances(images, real.vectors).topk(_NEIGHBOURS + 1, largest=False)
    classes = real.y[neighbours[:, :_NEIGHBOURS]]
    scores = F.one_hot(classes, REPEATED + 1).sum(1).float()
    scores += 0.1 * F.one_hot(classes[:, 0], REPEATED + 1)  # of classes with as many votes, the nearest one's
    odd = torch.zeros(len(images), dtype=torch.int64)
    # The worst is said last.
    odd[_repeats(images, nearest[:, 0])] = REPEATED
    odd[nearest[:, 0] < real.near * nearest[:, 1:].mean(1)] = COPIED
    odd[(nearest[:, 0] > real.far) | (_roughness(images) > real.rough)] = NO_DIGIT
    scores[odd > 0] = F.one_hot(odd[odd > 0], REPEATED + 1).float()
    return scores


def _repeats(images: Tensor, nearest: Tensor) -> Tensor:
    """Which images lie far nearer to an earlier one than to any real digit: `(N,)`, bool."""
    vectors = _vectors(images)
    between = torch.cdist(vectors, vectors).tril(-1)
    earlier = between.masked_fill(torch.ones_like(between).triu().bool(), torch.inf).amin(1)
    return earlier < _REPEATED_WITHIN * nearest


def _distances(images: Tensor, vectors: Tensor) -> Tensor:
    """Distance of each image to each of the vectors, `(N, M)`, in the best of its nine places one pixel around."""
    padded = F.pad(images, (1, 1, 1, 1), value=_BLACK)
    height, width = images.shape[-2:]
    best = torch.full((len(images), len(vectors)), torch.inf)
    for top in range(3):
        for left in range(3):
            moved = padded[..., top : top + height, left : left + width]
            best = torch.minimum(best, torch.cdist(_vectors(moved), vectors))
    return best


def _roughness(images: Tensor) -> Tensor:
    """Sum of the steps from each pixel to the next, for the ink there is: `(N,)`. Pixels drawn one by one are rougher than strokes."""
    steps = sum(images.diff(dim=dim).abs().sum((1, 2, 3)) for dim in (-1, -2))
    return steps / (images - _BLACK).sum((1, 2, 3)).clamp(min=1.0)


def _vectors(images: Tensor) -> Tensor:
    """Means of 2 x 2 pixels `(N, 196)`: half a pixel more or less is no other digit."""
    return F.avg_pool2d(images, 2).flatten(1)


@cache
def _real() -> _Real:
    from coursekit.data import load

    with contextlib.redirect_stdout(io.StringIO()):
        data = load("mnist_5k")
    parts = (data.test, data.val, data.train)
    images = torch.cat([part.images for part in parts]).unsqueeze(1) / 127.5 - 1
    y = torch.cat([part.y for part in parts])
    vectors = _vectors(images)
    held_out = _distances(images[:_HELD_OUT], vectors[_HELD_OUT:])
    nearest = held_out.topk(_NEIGHBOURS + 1, largest=False).values
    near = (nearest[:, 0] / nearest[:, 1:].mean(1)).min().item()
    return _Real(
        vectors,
        y,
        far=_FARTHER * nearest[:, 0].max().item(),
        rough=_roughness(images).quantile(_SMOOTH).item(),
        near=_NEARER * near,
    )
