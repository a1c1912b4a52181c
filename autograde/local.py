"""This machine as the place where notebooks are run: its processors take turns, its GPUs serve one notebook each."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autograde.gpus import Gpus
from autograde.kernels import Kernels, furnished
from autograde.place import Conditions, Task
from autograde.sandbox import check_isolation
from autograde.turns import Turns
from autograde.warm import suited_kernels

if TYPE_CHECKING:
    from autograde.execute import Executed


class LocalPlace:
    """Kernels of this machine.

    Args:
        kernels: where they come from.
        turns: how many notebooks compute at a time.
        gpus: for notebooks that ask for one; default: none is given, and they compute on the processor.
    """

    def __init__(self, kernels: Kernels, turns: Turns | None = None, gpus: Gpus | None = None):
        self.kernels, self.turns, self.gpus = kernels, turns or Turns(), gpus
        self.isolation = kernels.isolation
        # While cells run, the next kernels are started, and results wait to be recorded.
        self.width = 3 * self.turns.count

    def begin(self) -> None:
        """Start the process that forks kernels."""
        self.kernels.begin()

    def run(self, task: Task, turns: Turns | None = None) -> "Executed":
        """Run one notebook, in a turn of `turns` (default: the place's)."""
        if not task.gpu or self.gpus is None:
            return self._run(task, self.kernels, turns)
        with self.gpus.one() as gpu:  # until its kernel has ended, which frees its memory
            return self._run(task, self.kernels.with_gpu(gpu), turns)

    def _run(self, task: Task, kernels: Kernels, turns: Turns | None) -> "Executed":
        from autograde.execute import execute  # imports torch

        return execute(
            task.notebook,
            task.checks,
            lambda: furnished(kernels, task.files, task.questions),
            task.limits,
            turns or self.turns,
        )

    def stop(self) -> None:
        """End all that runs."""
        self.turns.stop()


@contextmanager
def local_place(
    conditions: Conditions, turns: Turns, count: int, gpus: Gpus | None = None
) -> Iterator[LocalPlace]:
    """Kernels as they suit a run of so many submissions; a context, which ends them."""
    with suited_kernels(conditions.isolation, conditions.limits, conditions.preload, count) as kernels:
        yield LocalPlace(kernels, turns, gpus)


@dataclass(frozen=True)
class ThisMachine:
    """Run notebooks here.

    Attributes:
        jobs: how many at a time; default: as many as there are processors.
        gpus: for those that ask for one; None: they get none.
    """

    jobs: int | None = None
    gpus: Gpus | None = None

    @property
    def gpu(self) -> bool:
        """Whether notebooks that ask for a GPU get one."""
        return self.gpus is not None

    @contextmanager
    def place(self, conditions: Conditions, count: int) -> Iterator[LocalPlace]:
        """See `Where`."""
        if conditions.isolation != "none":
            check_isolation()
        turns = Turns(max(1, self.jobs or os.cpu_count() or 1))
        with local_place(conditions, turns, count, self.gpus) as place:
            yield place
