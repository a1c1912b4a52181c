"""Training in several processes at once, as `torchrun` starts them: what they share out, and what they agree on.

Each process has a copy of the model and computes its part of each batch; torch's DistributedDataParallel adds up the
gradients (Li et al. 2020, "PyTorch Distributed: experiences on accelerating data parallel training"), so that all take the
same step. For the loop there is nothing to see: what it gets for a batch is the outcome of the whole batch, and what it
decides (to stop, say) is decided alike everywhere.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from coursekit.train.device import under_grading
from coursekit.train.errors import TrainingError
from coursekit.train.history import BaseHistory
from coursekit.train.shards import Shard
from coursekit.train.step import Outcome, Step

TIMEOUT = timedelta(minutes=10)  # that a process waits for another, before it takes it for dead
SEEDS_APART = 1_000_003  # between those of two processes
ENVIRONMENT = ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets
_fits = itertools.count()


class Alone:
    """The one process of an ordinary run: nothing to share, nobody to agree with."""

    rank, size = 0, 1
    shard: Shard | None = None

    def own_seed(self, seed: int) -> int:
        """The seed of the global random generators, from which augmentation and dropout draw."""
        return seed + SEEDS_APART * self.rank

    def smallest(self, model: nn.Module) -> int:
        """Examples of the smallest batch that is trained on: batch normalisation needs two."""
        return 2

    def step(self, model: nn.Module, compute: Step) -> Step:
        """`compute`, for the whole batch."""
        return compute

    def agree(self, stopped: str) -> str:
        """Why training stops: what the first process that wants to stop says; "" where none does."""
        return stopped

    def level(self, model: nn.Module, history: BaseHistory) -> None:
        """After an epoch, make equal what the processes have of their own: buffers of the model, seconds in the history."""

    def gather(self, value: Any) -> list[Any]:
        """The `value` of each process."""
        return [value]

    def first(self, function: Callable[[], Any]) -> Any:
        """What the first process gets from `function`, or the TrainingError that it raises there."""
        return function()

    def check_same(self, what: Callable[[], dict[str, Any]]) -> None:
        """Raise TrainingError where something in `what()` is not the same in all processes."""

    def wait(self) -> None:
        """Until all processes are here."""


class Team(Alone):
    """This process among the others; `control` is a group of theirs for what stands in the memory of the processor."""

    def __init__(self, control: dist.ProcessGroup) -> None:
        self.rank, self.size, self.control = dist.get_rank(), dist.get_world_size(), control
        self.shard = Shard(self.rank, self.size)

    def smallest(self, model: nn.Module) -> int:
        """As of `Alone`: where there is batch normalisation, two for each process."""
        return 2 * self.size if any(isinstance(module, _BatchNorm) for module in model.modules()) else 2

    def step(self, model: nn.Module, compute: Step) -> Step:
        """`compute`, for this process's part of a batch, with the outcome of the whole; begins with the first one's weights."""
        return SharedStep(model, compute, self)

    def agree(self, stopped: str) -> str:
        """As of `Alone`."""
        first = torch.tensor(self.rank if stopped else self.size)
        dist.all_reduce(first, dist.ReduceOp.MIN, self.control)
        if int(first) == self.size:
            return ""
        return self._say(stopped, int(first))

    def level(self, model: nn.Module, history: BaseHistory) -> None:
        """As of `Alone`: statistics of batch normalisation are those of the first process."""
        for buffer in model.buffers():
            theirs = buffer.clone(memory_format=torch.contiguous_format)
            dist.broadcast(theirs, 0)
            if not torch.equal(theirs, buffer):
                buffer.copy_(theirs)
        if history.rows:
            history.rows[-1] = self._say(history.rows[-1])

    def gather(self, value: Any) -> list[Any]:
        """As of `Alone`."""
        values = [None] * self.size
        dist.all_gather_object(values, value, self.control)
        return values

    def first(self, function: Callable[[], Any]) -> Any:
        """As of `Alone`."""
        value: Any = None
        error: TrainingError | None = None
        if self.rank == 0:
            try:
                value = function()
            except TrainingError as raised:
                error = raised
        value, error = self._say((value, error))
        if error is not None:
            raise error
        return value

    def check_same(self, what: Callable[[], dict[str, Any]]) -> None:
        """As of `Alone`."""
        others = self.gather(what())
        differ = [name for name in others[0] if any(other[name] != others[0][name] for other in others)]
        if differ:
            raise TrainingError(
                f"the {self.size} processes do not train the same thing, they differ in {', '.join(differ)}: each must call "
                "fit with the same data, model and arguments, so seed the random numbers that make them; that only the "
                "first process writes files and shows progress is fit's own care"
            )

    def wait(self) -> None:
        """As of `Alone`."""
        dist.barrier(self.control)

    def _say(self, value: Any, speaker: int = 0) -> Any:
        values = [value]
        dist.broadcast_object_list(values, speaker, self.control)
        return values[0]


class SharedStep:
    """A step whose outcome is that of the whole batch, of which each process computes a part.

    The loss is the mean over all examples, whatever process they are in: where process r has n_r of N examples and the mean
    loss L_r, it differentiates L_r n_r R / N, because DistributedDataParallel takes the mean over the R processes.
    """

    def __init__(self, model: nn.Module, compute: Step, team: Team) -> None:
        self.team, self.shard = team, team.shard
        self.together = DistributedDataParallel(OneModule(model, compute), find_unused_parameters=True)

    def __call__(self, model: nn.Module, batch: Any) -> Outcome:
        """Forward pass and loss of this process's part of a batch; all processes must call it."""
        idle = self.shard is not None and self.shard.idle
        loss, correct, count = self.together(batch)
        if idle:
            count = 0
        counted = torch.tensor(count)
        dist.all_reduce(counted, group=self.team.control)  # on the processor: a GPU need not be waited for
        total = int(counted)
        sums = torch.stack([loss.detach().double() * count, loss.new_zeros((), dtype=torch.double)])
        if correct is not None and not idle:
            sums[1] += correct
        dist.all_reduce(sums)
        whole = (sums[0] / total).to(loss.dtype)
        mine = loss * (count * self.team.size / total)
        right = None if correct is None else sums[1].round().long()
        return Outcome(whole + (mine - mine.detach()), right, total)  # of one value everywhere


class OneModule(nn.Module):
    """Model and step as one module, so that a step may call of the model what it likes, not `forward` only."""

    def __init__(self, model: nn.Module, compute: Step) -> None:
        super().__init__()
        self.model, self.compute = model, compute
        # Which parameters a batch uses may change (as layers thaw); torch warns of looking for those that it does not
        # where it finds none, so here is one.
        self.unused = nn.Parameter(next(model.parameters()).new_zeros(()))

    def forward(self, batch: Any) -> tuple[Any, ...]:
        """The outcome of a batch."""
        return tuple(self.compute(self.model, batch))


def several() -> bool:
    """Whether there are several processes that train together; under grading never."""
    if under_grading() or not dist.is_available():
        return False
    if dist.is_initialized():
        return dist.get_world_size() > 1
    return all(os.environ.get(name) for name in ENVIRONMENT) and int(os.environ["WORLD_SIZE"]) > 1


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Alone]:
    """This process with the others that train with it, on a CPU or the CUDA `device`.

    A process group that exists is used; one that had to be made, from what torchrun says in the environment, is gone
    afterwards.
    """
    if not several():
        yield Alone()
        return
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"several processes train on the CPU or on CUDA, not on {device.type}: device='cpu'")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    ours, hook = not dist.is_initialized(), sys.excepthook
    if ours:
        store, rank, size = _meeting_place()
        store = dist.PrefixStore(f"fit {next(_fits)}", store)  # the last group's addresses must not be found
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    control = dist.new_group(backend="gloo", timeout=TIMEOUT)
    assert isinstance(control, dist.ProcessGroup)  # it is of all processes, so of this one
    try:
        yield Team(control)
        sys.excepthook = hook  # else each group puts its prefix before every line of a later error
    finally:
        dist.destroy_process_group(control)
        if ours:
            dist.destroy_process_group()


@cache
def _meeting_place() -> tuple[dist.Store, int, int]:
    """Where the processes find each other, the rank of this one, and their number."""
    return next(dist.rendezvous("env://"))


def lost_another(error: RuntimeError) -> bool:
    """Whether `error` says that another process has ended, or does not answer."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)
