"""What data held in memory can do: say in which order its batches come, and cut one out."""

import math
from collections.abc import Sequence
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

Batch = tuple[Any, ...]  # (*inputs, y)


@runtime_checkable
class Held(Protocol):
    """Data in tensors: batches are cut from it by index, on the device it lies on."""

    @property
    def labels(self) -> Tensor:
        """All labels in one tensor of any shape."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor that decides what a batch holds, for a fingerprint."""

    @property
    def order(self) -> Tensor | None:
        """In which order the examples come unshuffled, `(N,)`; None: as they are."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device | str) -> Self:
        """The same data on `device`."""

    def num_batches(self, batch_size: int, drop_last: bool = False) -> int:
        """How many batches `plan` gives."""

    def plan(
        self, batch_size: int, shuffle: bool, generator: torch.Generator | None, drop_last: bool
    ) -> Sequence[Any]:
        """What each batch consists of, in the order in which they come: arguments for `batch`."""

    def batch(self, chosen: Any) -> Batch:
        """One batch, `(*inputs, y)`."""


def count_batches(n: int, batch_size: int, drop_last: bool) -> int:
    """Batches of `n` examples."""
    return n // batch_size if drop_last else math.ceil(n / batch_size)
