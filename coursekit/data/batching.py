"""Batches: by index from tensors, or from whatever else torch can iterate over."""

import math
from collections.abc import Iterable, Iterator, Sized
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from coursekit.data.dataset import Split

Batch = tuple[Tensor, Tensor]
Batchable = Split | tuple[Tensor, Tensor] | Dataset[Any] | DataLoader[Any]


def batches(
    data: Batchable,
    batch_size: int,
    *,
    shuffle: bool,
    generator: torch.Generator | None = None,
    drop_last: bool = False,
    device: torch.device | str | None = None,
) -> Iterator[Batch]:
    """Go once through `data` in batches `(X, y)`.

    Tensors are batched by index where they lie, which is as fast as can be. Any other `Dataset` goes through a
    `DataLoader` without worker processes. A `DataLoader` keeps its own batch size and order.

    Args:
        data: a `Split`, a pair of tensors `(X, y)`, a `TensorDataset`, any `Dataset`, or a `DataLoader`.
        batch_size: examples a batch; the last batch may be smaller.
        shuffle: a new random order; False keeps the order of the data.
        generator: a CPU generator that draws the order, for the same order again; None uses torch's global one.
        drop_last: leave the last batch out when it is smaller.
        device: where the batches should lie; None leaves them where they are.

    Raises:
        ValueError: `batch_size` is below 1, or `X` and `y` differ in length.
        TypeError: `data` is none of the above.
    """
    if isinstance(data, DataLoader):
        return _moved(data, device)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be 1 or more")
    tensors = _tensors(data)
    if tensors is not None:
        return _by_index(*tensors, batch_size, shuffle, generator, drop_last, device)
    if isinstance(data, IterableDataset) and shuffle:
        raise ValueError(
            "an IterableDataset has no indices to shuffle: pass shuffle=False, or shuffle inside it"
        )
    if not isinstance(data, Dataset):
        raise TypeError(
            f"cannot make batches from {type(data).__name__}: pass a Split (data.train), a pair of tensors (X, y), "
            "a torch Dataset or a DataLoader"
        )
    loader = DataLoader(data, batch_size, shuffle=shuffle, generator=generator, drop_last=drop_last)
    return _moved(loader, device)


def num_batches(data: Batchable, batch_size: int, *, drop_last: bool = False) -> int:
    """How many batches `batches` gives for the same arguments.

    Raises:
        TypeError: `data` does not know its own length.
    """
    if isinstance(data, DataLoader):
        return len(data)
    tensors = _tensors(data)
    examples = data if tensors is None else tensors[1]
    if not isinstance(examples, Sized):
        raise TypeError(f"{type(data).__name__} has no length, so its batches cannot be counted beforehand")
    n = len(examples)
    return n // batch_size if drop_last else math.ceil(n / batch_size)


def _tensors(data: Batchable) -> Batch | None:
    """The pair `(X, y)` behind `data`, if it is held in tensors."""
    if isinstance(data, Split):
        return data.X, data.y
    pair = data.tensors if isinstance(data, TensorDataset) else data
    if not isinstance(pair, tuple | list):
        return None
    if len(pair) != 2 or not all(isinstance(part, Tensor) for part in pair):
        kinds = ", ".join(type(part).__name__ for part in pair)
        raise TypeError(f"expected a pair of tensors (X, y), got {len(pair)} of type ({kinds})")
    X, y = pair
    if len(X) != len(y):
        raise ValueError(f"X has {len(X)} examples, y has {len(y)}: there must be one label an example")
    return X, y


def _by_index(
    X: Tensor,
    y: Tensor,
    batch_size: int,
    shuffle: bool,
    generator: torch.Generator | None,
    drop_last: bool,
    device: torch.device | str | None,
) -> Iterator[Batch]:
    if device is not None:
        X, y = X.to(device), y.to(device)
    end = len(y) - len(y) % batch_size if drop_last else len(y)
    order = torch.randperm(len(y), generator=generator).to(X.device) if shuffle else None
    for i in range(0, end, batch_size):
        if order is None:
            yield X[i : i + batch_size], y[i : i + batch_size]
        else:
            chosen = order[i : i + batch_size]
            yield X.index_select(0, chosen), y.index_select(0, chosen)


def _moved(loader: Iterable[Any], device: torch.device | str | None) -> Iterator[Batch]:
    for X, y in loader:
        yield (X, y) if device is None else (X.to(device), y.to(device))
