"""Training data in any of the forms that `fit` takes, as batches on the device."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from coursekit.data.batching import held
from coursekit.data.dataset import fingerprint as hash_tensors
from coursekit.data.held import Held, count_batches
from coursekit.data.pairs import PairSplit
from coursekit.data.sequences import Sequences
from coursekit.data.spans import SpanSplit
from coursekit.data.tags import TagSplit
from coursekit.data.text import TextSplit
from coursekit.train.errors import DataError
from coursekit.train.shards import Shard
from coursekit.train.step import check_labels

Augment = Callable[[Tensor], Tensor]


def train_and_val(data: Any) -> tuple[Any, Any]:
    """The training and the validation source in `data`; the second is None where there is none."""
    if hasattr(data, "train") and hasattr(data, "val"):
        return data.train, data.val
    if isinstance(data, tuple | list) and len(data) == 2 and not isinstance(data[0], Tensor):
        return data[0], data[1]
    return data, None


def fingerprint(data: Any) -> str:
    """A hash of the training data; of its kind and length only, where it is not held in tensors."""
    if hasattr(data, "fingerprint"):
        return str(data.fingerprint)
    source, _ = train_and_val(data)
    inside = _held(source)
    if inside is not None:
        return hash_tensors(*inside.tensors)
    length = len(source) if isinstance(source, Sized) else None
    return hashlib.sha256(f"{type(source).__name__} {length}".encode()).hexdigest()


def _held(source: Any) -> Held | None:
    """As `coursekit.data.batching.held`; what is wrong with a pair of tensors is a DataError."""
    if isinstance(source, TextSplit | PairSplit | TagSplit | SpanSplit):
        how = "data.vocabulary()" if isinstance(source, TextSplit) else 'load_wordpieces("minilm")'
        raise DataError(
            f"these are texts, and a model reads numbers: encode them first, encoded = data.encode({how}), and pass "
            "`encoded`"
        )
    if isinstance(source, tuple | list) and not all(isinstance(part, Tensor) for part in source):
        return None  # a list of examples is a Dataset to torch
    try:
        return held(source)
    except (ValueError, TypeError) as error:
        raise DataError(str(error)) from error


class Feed:
    """A source of batches: what is held in tensors (a Split, Sequences, a pair `(X, y)`), a Dataset, or a DataLoader.

    Tensors are put on the device once and batched by index. A DataLoader keeps its own batch size and order. Batches of
    sequences are cut so that they have, padded, at most `max_steps` steps. Of each batch only the part of this process
    comes, where there is a `shard`; a last batch of fewer than `smallest` examples is left out of training.

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
        max_steps: int | None = None,
        smallest: int = 2,
        shard: Shard | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.batch_size, self.device, self.shuffle, self.augment = batch_size, device, shuffle, augment
        self.max_steps, self.smallest, self.shard = max_steps, smallest, shard
        self.num_classes: int | None = None  # once set, the labels of each batch are checked
        inside = _held(source)
        self.held = None if inside is None else inside.to(device)
        self.source: Any = source if inside is None else self.held
        if self.size == 0:
            raise DataError("there is no data: the data set has no examples; check how it was made or split")

    @property
    def size(self) -> int | None:
        """Number of examples, or of batches for a DataLoader; None where the source does not know."""
        try:
            return len(self.source)
        except TypeError:  # an IterableDataset, or a DataLoader over one
            return None

    @property
    def num_batches(self) -> int | None:
        """Number of batches in an epoch; None where the source does not know."""
        if self.held is not None:
            return self.held.num_batches(self.batch_size, self.drop_last)
        if self.size is None or isinstance(self.source, DataLoader):
            return self.size
        return count_batches(self.size, self.batch_size, self.drop_last)

    @property
    def drop_last(self) -> bool:
        """Whether the last batch is left out: only in training, one that is too small (batch norm cannot take it)."""
        if not self.shuffle or self.size is None or self.size <= self.batch_size:
            return False
        return 0 < self.size % self.batch_size < self.smallest

    def batches(self, generator: torch.Generator | None = None) -> Iterator[Any]:
        """One pass over the data, as batches on the device; `generator` draws the order."""
        for batch in self._loaded(generator) if self.held is None else self._cut(self.held, generator):
            yield batch if self.augment is None else (self.augment(batch[0]), *batch[1:])

    def peek(self) -> Any:
        """A first batch (two examples, where the data is held in tensors) on the device; None when there is none."""
        if self.held is None:
            return next(self._loaded(None), None)
        return self.held.batch(self.held.plan(2, False, None, False)[0])

    def _cut(self, inside: Held, generator: torch.Generator | None) -> Iterator[Any]:
        plan: Iterable[Any] = inside.plan(self.batch_size, self.shuffle, generator, self.drop_last)
        if self.max_steps is not None and isinstance(inside, Sequences):
            plan = (
                part
                for chosen in plan
                for part in chosen.split(max(1, self.max_steps // int(inside.lengths[chosen].max())))
            )
        if self.shard is not None:
            return (self.shard.cut(inside, chosen) for chosen in plan)
        return map(inside.batch, plan)

    def _loaded(self, generator: torch.Generator | None) -> Iterator[Any]:
        loader = self.source
        if self.shard is not None:
            self.shard.open(loader, generator, training=self.shuffle)
        if not isinstance(loader, DataLoader):
            shuffle = self.shuffle and not isinstance(loader, IterableDataset)
            loader = DataLoader(
                loader, self.batch_size, shuffle, generator=generator, drop_last=self.drop_last
            )
            if self.shard is not None and not isinstance(loader.dataset, IterableDataset):
                loader = self.shard.loader(loader, generator)
        for batch in loader:
            if self.num_classes is not None:  # before CUDA sees them: there a wrong label ends the process
                check_labels(batch[-1], self.num_classes)
            yield to_device(batch, self.device)

    def expect(self, num_classes: int) -> None:
        """Check all labels now where they are held in a tensor, else as they come."""
        self.num_classes = num_classes
        if self.held is not None:
            check_labels(self.held.labels, num_classes)

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
