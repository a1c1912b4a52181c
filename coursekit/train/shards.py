"""Which part of each batch a process computes, where several train together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Sampler
from torch.utils.data.distributed import DistributedSampler

from coursekit.data.held import Held
from coursekit.train.errors import DataError


class Shard:
    """Of each batch every `size`-th example, beginning with number `rank`: of texts sorted by length, all get as long ones.

    A process for which a batch has no example computes the batch's first one, so that it goes through the same layers as
    the others; `idle` then says that it must not count.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.idle = False  # about the batch that was given last

    def mine(self, n: int) -> slice:
        """Where the examples of this process stand among `n`."""
        self.idle = self.rank >= n
        return slice(0, 1) if self.idle else slice(self.rank, n, self.size)

    def cut(self, inside: Held, chosen: Any) -> tuple[Any, ...]:
        """The part of one batch of `inside`; `chosen` is what its plan says of the whole batch."""
        if isinstance(chosen, slice):
            chosen = torch.arange(*chosen.indices(len(inside)), device=inside.labels.device)
        if isinstance(chosen, Tensor):
            return inside.batch(chosen[self.mine(len(chosen))])
        # Of a text in streams: the same streams each time, so that a state goes on.
        batch = inside.batch(chosen)
        rows = self.mine(len(batch[-1]))
        return tuple(part[rows] if isinstance(part, Tensor) else part for part in batch)

    def loader(self, whole: DataLoader, generator: torch.Generator | None) -> DataLoader:
        """Batches of the same order as those of `whole`, of which only this process's examples are read."""
        return DataLoader(whole.dataset, batch_sampler=Parts(whole.batch_sampler, self), generator=generator)

    def open(self, source: Any, generator: torch.Generator | None, training: bool) -> None:
        """Before a pass over what is not held in tensors: what shares itself out gets another order, the same everywhere.

        To be measured only, data that cannot be shared out goes through every process whole.

        Raises:
            DataError: `source` is a DataLoader or an iterable that would give each process all of its examples.
        """
        self.idle = False
        if not training:
            return
        sampler = getattr(source, "sampler", None)
        if isinstance(sampler, DistributedSampler):
            if (sampler.num_replicas, sampler.rank) != (self.size, self.rank):
                raise DataError(
                    f"the DistributedSampler gives part {sampler.rank} of {sampler.num_replicas}, and this is process "
                    f"{self.rank} of {self.size}; give it these numbers, or leave both out and call torch.distributed.init_process_group() before"
                )
            sampler.set_epoch(int(torch.randint(2**31, (), generator=generator)))
        elif isinstance(source, DataLoader | IterableDataset):
            raise DataError(
                f"a {type(source).__name__} cannot be shared out among {self.size} processes, each would train on all of "
                "it; give fit the data set itself (a Dataset with a length, or tensors), which it shares out, or a "
                "DataLoader with a torch.utils.data.DistributedSampler"
            )


class Parts(Sampler[list[int]]):
    """The indices of each batch that belong to a shard."""

    def __init__(self, batches: Any, shard: Shard) -> None:
        self.batches, self.shard = batches, shard

    def __iter__(self) -> Iterator[list[int]]:
        for chosen in self.batches:
            yield chosen[self.shard.mine(len(chosen))]

    def __len__(self) -> int:
        return len(self.batches)
