"""What `load` returns: a data set as tensors, split into train, validation and test."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from coursekit.data.held import count_batches


class Split(Dataset[tuple[Tensor, Tensor]]):
    """Examples and labels as two tensors; also a `torch.utils.data.Dataset`.

    Args:
        X: examples, `(N, ...)`; of images, normalised float32 `(N, C, H, W)`.
        y: class of each, int64 `(N,)`, or what else is to be predicted, `(N, ...)`.
        mean: what was subtracted from the pixels (which were in [0, 1]).
        std: what they were then divided by.
    """

    def __init__(self, X: Tensor, y: Tensor, mean: float = 0.0, std: float = 1.0) -> None:
        if len(X) != len(y):
            raise ValueError(f"X has {len(X)} examples, y has {len(y)}: there must be one label an example")
        self.X, self.y, self.mean, self.std = X, y, mean, std

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int | slice | Tensor) -> tuple[Tensor, Tensor]:
        """Image `(C, H, W)` and label `()` of example `i`; a slice or a tensor of indices gives a batch."""
        return self.X[i], self.y[i]

    @property
    def images(self) -> Tensor:
        """The pixels to look at, uint8 `(N, H, W)` for grey images and `(N, H, W, C)` for colour."""
        pixels = (denormalize(self.X, self.mean, self.std) * 255).round().to(torch.uint8)
        return pixels.squeeze(1) if pixels.shape[1] == 1 else pixels.permute(0, 2, 3, 1)

    @property
    def labels(self) -> Tensor:
        """All labels."""
        return self.y

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """Examples and labels."""
        return self.X, self.y

    @property
    def order(self) -> None:
        """Unshuffled, the examples come as they are."""
        return None

    def num_batches(self, batch_size: int, drop_last: bool = False) -> int:
        """Batches in one pass."""
        return count_batches(len(self), batch_size, drop_last)

    def plan(
        self, batch_size: int, shuffle: bool, generator: torch.Generator | None, drop_last: bool
    ) -> Sequence[slice | Tensor]:
        """The examples of each batch: slices, or shuffled indices."""
        starts = [i * batch_size for i in range(self.num_batches(batch_size, drop_last))]
        if not shuffle:
            return [slice(i, i + batch_size) for i in starts]
        order = torch.randperm(len(self), generator=generator).to(self.X.device)
        return [order[i : i + batch_size] for i in starts]

    def batch(self, chosen: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Examples and labels of one batch."""
        if isinstance(chosen, slice):
            return self.X[chosen], self.y[chosen]
        return self.X.index_select(0, chosen), self.y.index_select(0, chosen)

    def to(self, device: torch.device | str) -> "Split":
        """The same split with its tensors on `device`."""
        return Split(self.X.to(device), self.y.to(device), self.mean, self.std)

    def scaled(self, low: float, high: float) -> "Split":
        """The same examples with pixels from `low` (black) to `high` (white).

        Raises:
            ValueError: `high` is not above `low`.
        """
        if not high > low:
            raise ValueError(
                f"scaled(low, high) needs high above low, not {low!r} and {high!r}; scaled(-1, 1), say"
            )
        pixels = denormalize(self.X, self.mean, self.std)
        # X = (pixels - mean) / std is low at 0 and high at 1 with these two.
        std = 1 / (high - low)
        return Split(pixels * (high - low) + low, self.y, -low * std, std)

    def subset(self, n: int, seed: int = 0) -> "Split":
        """`n` random examples, as evenly over the classes as they allow; the same `seed` gives the same ones.

        Raises:
            ValueError: the split has fewer than `n` examples.
        """
        if not 0 < n <= len(self):
            raise ValueError(f"cannot draw {n} examples from {len(self)}; ask for 1 to {len(self)}")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        labels = self.y.cpu()[order]
        # The first of every class, then the second of every class, and so on, until there are n.
        same = torch.nn.functional.one_hot(labels)
        rank = (same.cumsum(0) * same).sum(1)
        chosen = order[rank.argsort(stable=True)[:n]].to(self.y.device)
        return Split(self.X[chosen], self.y[chosen], self.mean, self.std)

    def __repr__(self) -> str:
        shape = ", ".join(map(str, self.X.shape))
        return (
            f"Split({len(self):,} examples, X {self.X.dtype} ({shape}), y {self.y.dtype}, on {self.X.device})"
        )


def denormalize(X: Tensor, mean: float, std: float) -> Tensor:
    """Undo the normalisation: pixels in [0, 1], same shape as `X`."""
    return (X * std + mean).clamp(0, 1)


def fingerprint(*tensors: Tensor) -> str:
    """SHA-256 of the values, in turn."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class About:
    """What is known about a data set of any kind.

    Attributes:
        name: the name `load` takes; a subset carries its own name, never that of the whole.
        classes: the name of each class, in the order of the labels.
        source: where the files came from on this computer.
        licence: terms of use, as far as its makers state them.
        citation: what to cite.
        home: its page on the web.
        unit: what the length of a split counts.
    """

    unit: ClassVar[str] = "examples"
    name: str
    classes: tuple[str, ...]
    source: str
    licence: str
    citation: str
    home: str

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DataSet(About):
    """Images with their splits.

    Attributes:
        train, val, test: the splits.
        shape: shape of one image, `(channels, height, width)`.
        mean, std: normalisation, `X = (pixels - mean) / std` with pixels in [0, 1].
    """

    train: Split
    val: Split
    test: Split
    shape: tuple[int, ...]
    mean: float
    std: float

    def to(self, device: torch.device | str) -> "DataSet":
        """The same data set with its tensors on `device`."""
        return replace(self, train=self.train.to(device), val=self.val.to(device), test=self.test.to(device))

    def scaled(self, low: float, high: float) -> "DataSet":
        """The same images with pixels from `low` (black) to `high` (white) instead: `scaled(-1, 1)` is what generative models read.

        Raises:
            ValueError: `high` is not above `low`.
        """
        train, val, test = (split.scaled(low, high) for split in (self.train, self.val, self.test))
        return replace(self, train=train, val=val, test=test, mean=train.mean, std=train.std)

    def denormalize(self, X: Tensor) -> Tensor:
        """Normalised images of any shape back to pixels in [0, 1], for showing."""
        return denormalize(X, self.mean, self.std)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the training images and labels: says whether saved weights belong to this data."""
        return fingerprint(*self.train.tensors)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return (
            f"{self.name}: {len(self.train):,} train, {len(self.val):,} val, {len(self.test):,} test, "
            f"images {shape} on {self.train.X.device}\n"
            f"  {self.num_classes} classes: {', '.join(self.classes)}\n"
            f"  normalised with mean {self.mean}, std {self.std}\n"
            f"  from {self.source}"
        )
