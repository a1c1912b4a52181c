"""Where notebooks are run: on this machine or on a cluster; for the engine both are a place that takes one notebook at a time."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nbformat import NotebookNode

from autograde.course import Limits

if TYPE_CHECKING:  # it imports torch, which a run does when its processes have begun
    from autograde.execute import Executed


@dataclass(frozen=True)
class Task:
    """One notebook to run. There is no expected value in it: points are decided where the gradebook is.

    Attributes:
        notebook: as merged at intake.
        checks: its cells that are checks, by index.
        questions: what the checks ask, by the names of their files.
        files: what lies beside the notebook, by relative path.
        limits: of time, memory and output.
        gpu: whether the release asks for one.
    """

    notebook: NotebookNode
    checks: Sequence[int]
    questions: Mapping[str, bytes]
    files: Mapping[Path, Path]
    limits: Limits
    gpu: bool = False


@dataclass(frozen=True)
class Conditions:
    """What kernels are like in a run.

    Attributes:
        isolation: "bubblewrap" or "none".
        limits: of each.
        preload: modules that are imported once for all.
    """

    isolation: str
    limits: Limits
    preload: tuple[str, ...]


class Place(Protocol):
    """Where notebooks are run; used by several threads.

    Attributes:
        isolation: as in `Conditions`.
        width: submissions that should be under way at a time, so that nothing there waits for work.
    """

    isolation: str
    width: int

    def begin(self) -> None:
        """Start what takes time before the first notebook."""

    def run(self, task: Task) -> "Executed":
        """Run one notebook; returns when it is done.

        Raises:
            asyncio.CancelledError: the place was stopped.
            LostError: the place is gone; any other error concerns this notebook alone.
        """
        ...

    def stop(self) -> None:
        """End all that runs, and whatever would begin; from any thread."""


class Where(Protocol):
    """A choice of place.

    Attributes:
        gpu: whether notebooks that ask for a GPU get one.
    """

    @property
    def gpu(self) -> bool:
        """See above."""

    def place(self, conditions: Conditions, count: int) -> AbstractContextManager[Place]:
        """The place, for a run of so many submissions; a context, which leaves nothing running.

        Raises:
            IsolationError: when the sandbox cannot be had there.
            AutogradeError: when there is no such place.
        """
