"""Patterns in predictions that name a misconception where outputs differ from one training to the next.

Each takes scores `(N, C)` and true labels `(N,)`. They are tried in the order of the exercise's misconceptions.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from coursekit.check.digits import COPIED, NO_DIGIT, REPEATED


def not_finite(scores: Tensor, labels: Tensor) -> bool:
    """Some score is NaN or infinite: the training has diverged."""
    return not bool(torch.isfinite(scores).all())


def one_class(scores: Tensor, labels: Tensor) -> bool:
    """At least 95 % of the predictions are the same class."""
    return not_finite(scores, labels) is False and _largest_share(scores.argmax(1)) >= 0.95


def chance(scores: Tensor, labels: Tensor) -> bool:
    """Hardly better than guessing, with predictions over several classes."""
    return (
        not one_class(scores, labels)
        and not shifted_labels(scores, labels)
        and _accuracy(scores, labels) < _hardly_better(scores.shape[1])
    )


def shifted_labels(scores: Tensor, labels: Tensor) -> bool:
    """At least 60 % right after adding one and the same constant other than 0 to every label."""
    classes = scores.shape[1]
    offset = (scores.argmax(1) - labels) % classes
    return bool((offset.mode().values != 0) and _largest_share(offset) >= 0.6)


def below(scores: Tensor, labels: Tensor) -> bool:
    """Learned something, but not enough."""
    return _accuracy(scores, labels) >= _hardly_better(scores.shape[1])


def no_digits(scores: Tensor, labels: Tensor) -> bool:
    """Of the drawn images at least 30 % show no digit at all (`coursekit.check.digits`)."""
    return _share_of(NO_DIGIT, scores) >= 0.3


def copied(scores: Tensor, labels: Tensor) -> bool:
    """Of the drawn images at least 30 % are digits of the data set (`coursekit.check.digits`)."""
    return _share_of(COPIED, scores) >= 0.3


def repeated(scores: Tensor, labels: Tensor) -> bool:
    """Of the drawn images at least 30 % are nearly the same as an earlier one (`coursekit.check.digits`)."""
    return _share_of(REPEATED, scores) >= 0.3


def _share_of(kind: int, scores: Tensor) -> float:
    return (scores.argmax(1) == kind).float().mean().item()


def _accuracy(scores: Tensor, labels: Tensor) -> float:
    return (scores.argmax(1) == labels).float().mean().item()


def _hardly_better(classes: int) -> float:
    """A ninth of the way from guessing to all right: 20 % for ten classes, 56 % for two."""
    return 1 / classes + (1 - 1 / classes) / 9


def _largest_share(values: Tensor) -> float:
    return torch.bincount(values).max().item() / len(values)


SYMPTOMS: dict[str, Callable[[Tensor, Tensor], bool]] = {
    symptom.__name__: symptom
    for symptom in (not_finite, no_digits, copied, repeated, one_class, chance, shifted_labels, below)
}
