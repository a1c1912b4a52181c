"""Batches: by index from what is held in tensors, or from whatever else torch can iterate over."""

from collections.abc import Iterable, Iterator, Sized
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from coursekit.data.dataset import Split
from coursekit.data.held import Batch, Held, count_batches

Batchable = Held | Tensor | tuple[Tensor, Tensor] | Dataset[Any] | DataLoader[Any]


def batches(
    data: Batchable,
    batch_size: int,
    *,
    shuffle: bool,
    generator: torch.Generator | None = None,
    drop_last: bool = False,
    device: torch.device | str | None = None,
) -> Iterator[Batch]:
    """Go once through `data` in batches `(*inputs, y)`, mostly `(X, y)`.

    Tensors are batched by index where they lie, which is as fast as can be; sequences by length buckets. Any other
    `Dataset` goes through a `DataLoader` without worker processes. A `DataLoader` keeps its own batch size and order.

    Args:
        data: a `Split`, `Sequences`, a `TokenStream`, a pair of tensors `(X, y)`, a tensor X (whose batches are
            `(X, X)`), a `TensorDataset`, any `Dataset`, or a `DataLoader`.
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
    inside = held(data)
    if inside is not None:
        inside = inside if device is None else inside.to(device)
        return map(inside.batch, inside.plan(batch_size, shuffle, generator, drop_last))
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
    inside = held(data)
    if inside is not None:
        return inside.num_batches(batch_size, drop_last)
    if not isinstance(data, Sized):
        raise TypeError(f"{type(data).__name__} has no length, so its batches cannot be counted beforehand")
    return count_batches(len(data), batch_size, drop_last)


def held(data: Any) -> Held | None:
    """`data` as it is held in tensors; None where it is not.

    A pair of tensors becomes a `Split`, and so does a tensor alone, whose examples are then their own labels: what an
    auto-encoder is to answer.
    """
    if isinstance(data, Held):
        return data
    if isinstance(data, Tensor):
        return Split(data, data)
    pair = data.tensors if isinstance(data, TensorDataset) else data
    if not isinstance(pair, tuple | list):
        return None
    if len(pair) != 2 or not all(isinstance(part, Tensor) for part in pair):
        kinds = ", ".join(type(part).__name__ for part in pair)
        raise TypeError(f"expected a pair of tensors (X, y), got {len(pair)} of type ({kinds})")
    return Split(*pair)


def _moved(loader: Iterable[Any], device: torch.device | str | None) -> Iterator[Batch]:
    for batch in loader:
        yield tuple(batch) if device is None else tuple(part.to(device) for part in batch)
