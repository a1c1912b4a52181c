"""Control groups: what a kernel may use together with all that it starts, where the system lets us make such groups.

Both versions of the interface are known. Version 2 wants a part of the tree that is ours: as root one at its top, as an
ordinary user one that systemd delegates (`systemd-run --user --scope -p Delegate=yes autograde run ...`). Without groups the limits of
single processes hold, the number of processes and the time of the notebook are bounded all the same.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from autograde.course import Limits
from autograde.errors import IsolationError

TREE = Path("/sys/fs/cgroup")
_PERIOD = 100_000  # microseconds; a kernel gets one core's worth of each
_JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit; shift; done; shift; exec "$@"'


@dataclass(frozen=True)
class Group:
    """One kernel's group: a folder in each hierarchy that has one of its limits; none where there are no groups."""

    folders: Sequence[Path] = ()

    def add(self, pid: int) -> None:
        """Put a process in; what it starts from now on is in it too."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def around(self, command: list[str]) -> list[str]:
        """The command, run in the group."""
        files = [str(folder / "cgroup.procs") for folder in self.folders]
        return ["sh", "-c", _JOIN, "sh", *files, "--", *command] if files else command


NO_GROUP = Group()


class ControlGroups:
    """Groups below one of our own; a context, which removes them all. Before it is entered, its groups are none.

    Raises:
        IsolationError: on entering, when the system lets us have none; the message says what stands in the way.
    """

    def __init__(self, limits: Limits, tree: Path = TREE):
        self.limits, self.tree = limits, tree
        self.bases: dict[
            Path, dict[str, str]
        ] = {}  # our folder in each hierarchy, with the settings of a group there

    def __enter__(self) -> Self:
        try:
            for parent, settings in self._places():
                base = parent / f"autograde-{os.getpid()}-{id(self):x}"
                base.mkdir()
                self.bases[base] = settings
                if (base / "cgroup.subtree_control").exists():
                    (base / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        except OSError as error:
            self.__exit__()
            raise IsolationError(f"no control groups: {error.strerror} ({error.filename})") from error
        return self

    def __exit__(self, *_: object) -> None:
        for base in self.bases:
            with suppress(OSError):  # a process that is just ending; systemd clears what is empty
                for folder in base.iterdir():
                    if folder.is_dir():
                        _remove(folder)
                _remove(base)
        self.bases.clear()

    def _places(self) -> list[tuple[Path, dict[str, str]]]:
        """Where we may make groups: the parent in each hierarchy, and how its groups are limited."""
        # More than a process may have, so that one that wants too much is told so and not killed.
        memory = str((self.limits.memory_mb + 2 * self.limits.disk_mb + 256) * 2**20)
        pids = str(self.limits.processes + 16)
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        own = {name: path for _, names, path in lines for name in names.split(",")}
        if (self.tree / "cgroup.controllers").is_file():
            parent = self.tree if os.getuid() == 0 else self.tree / own[""].lstrip("/")
            if os.getuid() != 0:  # a group with processes of its own has no groups with limits below it
                inner = parent / "autograde"
                inner.mkdir(exist_ok=True)
                (inner / "cgroup.procs").write_text(str(os.getpid()))
            (parent / "cgroup.subtree_control").write_text("+memory +pids +cpu")
            return [(parent, {"memory.max": memory, "pids.max": pids, "cpu.max": f"{_PERIOD} {_PERIOD}"})]
        limits = {
            "memory": {"memory.limit_in_bytes": memory},
            "pids": {"pids.max": pids},
            "cpu": {"cpu.cfs_quota_us": str(_PERIOD)},
        }
        return [
            (self.tree / name / own.get(name, "/").lstrip("/"), settings) for name, settings in limits.items()
        ]

    @contextmanager
    def group(self, name: str) -> Iterator[Group]:
        """A group for one kernel, removed with what is still in it."""
        folders = []
        try:
            for base, settings in self.bases.items():
                folder = base / name
                folder.mkdir()
                folders.append(folder)
                for file, value in settings.items():
                    (folder / file).write_text(value)
            yield Group(folders)
        finally:
            for folder in folders:
                _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a group; its processes are killed where that takes no more than a word, and get a moment to be gone."""
    if (kill := folder / "cgroup.kill").exists():
        kill.write_text("1")
    for _ in range(50):
        try:
            folder.rmdir()
            return
        except OSError:
            time.sleep(0.02)
