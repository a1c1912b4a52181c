"""What training says when it cannot go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coursekit.train.history import BaseHistory


class TrainingError(RuntimeError):
    """Training could not go on.

    The model holds the weights of the last whole epoch (those it started with, where there was none), and
    `history` the epochs that were finished.
    """

    history: BaseHistory | None = None


class DataError(TrainingError, ValueError):
    """The data do not fit the model or the task: labels, shapes, types, or nothing at all."""


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` means that a device has no memory left (CUDA has a class for it; MPS and CPU only words)."""
    import torch

    words = ("out of memory", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(w in str(error) for w in words)
    )
