"""Training data in any of the forms that `fit` takes, as batches on the device."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sized
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from coursekit.data import Split, batches
from coursekit.train.errors import DataError
from coursekit.train.step import check_labels

Augment = Callable[[Tensor], Tensor]


def train_and_val(data: Any) -> tuple[Any, Any]:
    """The training and the validation source in `data`; the second is None where there is none."""
    if hasattr(data, "train") and hasattr(data, "val"):
        return data.train, data.val
    if isinstance(data, tuple | list) and len(data) == 2 and not isinstance(data[0], Tensor):
        return data[0], data[1]
    return data, None


def tensors(source: Any) -> tuple[Tensor, Tensor] | None:
    """The pair `(X, y)` in `source`, where it is held in two tensors."""
    if isinstance(source, Split):
        return source.X, source.y
    pair = source.tensors if isinstance(source, TensorDataset) else source
    if isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(part, Tensor) for part in pair):
        return pair[0], pair[1]
    return None


def fingerprint(data: Any) -> str:
    """A hash of the training data; of its kind and length only, where it is not held in tensors."""
    if hasattr(data, "fingerprint"):
        return str(data.fingerprint)
    source, _ = train_and_val(data)
    pair = tensors(source)
    digest = hashlib.sha256()
    for tensor in pair or ():
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    if pair is None:
        digest.update(
            f"{type(source).__name__} {len(source) if isinstance(source, Sized) else None}".encode()
        )
    return digest.hexdigest()


class Feed:
    """A source of batches: a Split, an `(X, y)` pair of tensors, a Dataset, or a DataLoader.

    Tensors are put on the device once and batched by index. A DataLoader keeps its own batch size and order.

    Raises:
        DataError: the source is empty, or its inputs and labels differ in number.
    """

    def __init__(
        self,
        source: Any,
        batch_size: int,
        device: torch.device,
        *,
        shuffle: bool = False,
        augment: Augment | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.batch_size, self.device, self.shuffle, self.augment = batch_size, device, shuffle, augment
        self.num_classes: int | None = None  # once set, the labels of each batch are checked
        pair = tensors(source)
        if pair is not None and len(pair[0]) != len(pair[1]):
            raise DataError(
                f"there are {len(pair[0])} inputs and {len(pair[1])} labels; there must be one label each"
            )
        self.labels = None if pair is None else pair[1]
        self.source: Any = source if pair is None else (pair[0].to(device), pair[1].to(device))
        if self.size == 0:
            raise DataError("there is no data: the data set has no examples; check how it was made or split")

    @property
    def size(self) -> int | None:
        """Number of examples, or of batches for a DataLoader; None where the source does not know."""
        if self.labels is not None:
            return len(self.labels)
        try:
            return len(self.source)
        except TypeError:  # an IterableDataset, or a DataLoader over one
            return None

    @property
    def num_batches(self) -> int | None:
        """Number of batches in an epoch; None where the source does not know."""
        if self.size is None or isinstance(self.source, DataLoader):
            return self.size
        return self.size // self.batch_size if self.drop_last else -(-self.size // self.batch_size)

    @property
    def drop_last(self) -> bool:
        """Whether the last batch is left out: only in training, one of a single example (batch norm cannot take it)."""
        return self.shuffle and self.size not in (None, 1) and self.size % self.batch_size == 1

    def batches(self, generator: torch.Generator | None = None) -> Iterator[Any]:
        """One pass over the data, as batches on the device; `generator` draws the order."""
        for batch in self._by_index(generator) if self.labels is not None else self._loaded(generator):
            yield batch if self.augment is None else (self.augment(batch[0]), *batch[1:])

    def peek(self) -> Any:
        """A first batch (two examples, where the data is held in tensors) on the device; None when there is none."""
        if self.labels is not None:
            return tuple(part[:2] for part in self.source)
        return next(self._loaded(None), None)

    def _by_index(self, generator: torch.Generator | None) -> Iterator[Any]:
        return batches(
            self.source, self.batch_size, shuffle=self.shuffle, generator=generator, drop_last=self.drop_last
        )

    def _loaded(self, generator: torch.Generator | None) -> Iterator[Any]:
        loader = self.source
        if not isinstance(loader, DataLoader):
            shuffle = self.shuffle and not isinstance(loader, IterableDataset)
            loader = DataLoader(
                loader, self.batch_size, shuffle, generator=generator, drop_last=self.drop_last
            )
        for batch in loader:
            if self.num_classes is not None:  # before CUDA sees them: there a wrong label ends the process
                check_labels(batch[-1], self.num_classes)
            yield to_device(batch, self.device)

    def expect(self, num_classes: int) -> None:
        """Check all labels now where they are held in a tensor, else as they come."""
        self.num_classes = num_classes
        if self.labels is not None:
            check_labels(self.labels, num_classes)

    def generators(self) -> list[torch.Generator]:
        """The generators that a DataLoader draws its order from, for the checkpoint."""
        owners = (self.source, getattr(self.source, "sampler", None))
        found = [getattr(owner, "generator", None) for owner in owners]
        return [
            g for i, g in enumerate(found) if g is not None and all(g is not other for other in found[:i])
        ]


def to_device(batch: Any, device: torch.device) -> Any:
    """The tensors of a batch (in tuples, lists and dicts, however deep) on `device`."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        return tuple(to_device(part, device) for part in batch)
    return batch
