"""Kernels for submissions: each in a sandbox of its own, started from nothing, or bare where no sandbox is wanted."""

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable as Function
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from traitlets import Callable

from autograde.cgroups import ControlGroups
from autograde.course import Limits
from autograde.errors import IsolationError
from autograde.gpus import COMMON, Gpu
from autograde.sandbox import INPUTS, Rooms, command, rooms
from autograde.seccomp import program
from coursekit.check.light import FLAGS

GRADING = {"NBGRADER_EXECUTION": "autograde"}
_numbers = itertools.count()


class Process(Protocol):
    """What a kernel runs in; as much of `subprocess.Popen` as jupyter_client asks for, and who ended it.

    Attributes:
        fault: why it ended, where that was no doing of the notebook that runs in it; else "".
    """

    @property
    def fault(self) -> str:
        """See above."""

    pid: int
    returncode: int | None
    stdin: Any
    stdout: Any
    stderr: Any

    def poll(self) -> int | None:
        """The exit status; None as long as it lives."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended."""
        ...

    def send_signal(self, signum: int) -> None:
        """Tell it something; to end, mostly."""

    def kill(self) -> None:
        """End it."""

    def terminate(self) -> None:
        """Ask it to end."""


class Kernels(Protocol):
    """A way to get kernels for submissions.

    Attributes:
        isolation: what it is called in records, "bubblewrap" or "none".
    """

    isolation: str

    def begin(self) -> None:
        """Start what takes time before the first kernel is asked for."""

    def rooms(self) -> AbstractContextManager[Rooms]:
        """Fresh folders for one kernel."""

    def manager(self, there: Rooms) -> "tuple[KernelManager, Path]":
        """A manager of one kernel that works in these rooms, and where that kernel finds the folder of the inputs."""

    def with_gpu(self, gpu: Gpu) -> "Kernels":
        """Kernels like these that have one GPU. They start from nothing, as what has begun does not see its device."""
        ...


@contextmanager
def furnished(
    kernels: Kernels, files: Mapping[Path, Path], questions: Mapping[str, bytes]
) -> "Iterator[tuple[KernelManager, Path]]":
    """A kernel that finds `files` in its working folder (by their relative paths), and `questions` among its inputs."""
    with kernels.rooms() as there:
        for relative, path in files.items():
            target = there.submission / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            target.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        for name, content in questions.items():
            (there.inputs / name).write_bytes(content)
        yield kernels.manager(there)


class Provisioner(LocalProvisioner):
    """Starts a kernel's process by the function `start`, which gets the command of the kernel."""

    start = Callable()

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """The kernel's command; where it runs is up to `start`."""
        kwargs = await super().pre_launch(**kwargs)
        kwargs.pop("cwd", None)
        return kwargs

    async def launch_kernel(self, cmd: list[str], **_: Any) -> Any:
        """Start it."""
        self.process = self.start(cmd)
        self.pid = self.process.pid
        return self.connection_info


class KernelManager(AsyncKernelManager):
    """A manager of one kernel."""

    def fault(self) -> str:
        """Why the kernel ended, where that was no doing of its notebook; "" where it was."""
        return ""


class SandboxKernelManager(KernelManager):
    """A manager whose kernel lives in a sandbox, on sockets in a folder (there is no network).

    Args:
        there: its rooms.
        start: starts the kernel's process, given its command.
    """

    def __init__(self, there: Rooms, start: Function[[list[str]], Process]):
        super().__init__(transport="ipc")
        self.process: Process | None = None

        def launch(cmd: list[str]) -> Process:
            self.process = start(cmd)
            return self.process

        self.ip = str(there.sockets / "k")
        self.connection_file = str(there.sockets / "kernel.json")
        self._kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            language="python",
            display_name="Python 3 in a sandbox",
            # A signal would end at the border of the process namespace.
            interrupt_mode="message",
            metadata={
                "kernel_provisioner": {"provisioner_name": "autograde-sandbox", "config": {"start": launch}}
            },
        )

    def fault(self) -> str:
        """What its process says."""
        return self.process.fault if self.process else ""


class Bubblewrap(subprocess.Popen[bytes]):
    """A process that is bubblewrap, whose status is the kernel's unless it was itself killed."""

    @property
    def fault(self) -> str:
        """That it was killed."""
        status = self.poll()
        return f"the sandbox was killed (signal {-status})" if status is not None and status < 0 else ""


class ColdKernels:
    """A sandbox and a fresh process for each kernel."""

    isolation = "bubblewrap"

    def __init__(self, limits: Limits, groups: ControlGroups | None = None, gpu: Gpu | None = None):
        self.limits, self.groups = limits, groups or ControlGroups(limits)
        self.devices = (gpu.device, *COMMON) if gpu else ()

    def with_gpu(self, gpu: Gpu) -> "ColdKernels":
        """The same, with a GPU."""
        return ColdKernels(self.limits, self.groups, gpu)

    def begin(self) -> None:
        """Nothing takes time here."""

    @contextmanager
    def rooms(self) -> Iterator[Rooms]:
        """In a folder of their own."""
        with self.groups.group(f"cold{next(_numbers)}") as group, rooms(group) as there:
            yield there

    def manager(self, there: Rooms) -> tuple[KernelManager, Path]:
        """A kernel that begins with bubblewrap."""

        return SandboxKernelManager(there, partial(self.start, there)), INPUTS

    def start(self, there: Rooms, cmd: list[str]) -> Bubblewrap:
        """The process of a kernel."""
        with there.log.open("wb") as log, tempfile.TemporaryFile() as rules:
            rules.write(program())
            rules.seek(0)
            filtered = ["--seccomp", str(rules.fileno())] if program() else []
            line = command(there, self.limits, cmd, GRADING, self.devices)
            return Bubblewrap(
                there.group.around([line[0], *filtered, *line[1:]]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[rules.fileno()],
            )


class BareKernels:
    """No sandbox, for `--isolation none`: a kernel works in a copy of the submission and can read everything."""

    isolation = "none"

    def __init__(self, gpu: Gpu | None = None):
        self.gpu = gpu

    def with_gpu(self, gpu: Gpu) -> "BareKernels":
        """The same, with a GPU."""
        return BareKernels(gpu)

    def begin(self) -> None:
        """Nothing takes time here."""

    def rooms(self) -> AbstractContextManager[Rooms]:
        """In a folder of their own."""
        return rooms()

    def manager(self, there: Rooms) -> tuple[KernelManager, Path]:
        """A kernel like any other."""
        return BareKernelManager(there, self.gpu), there.inputs


class BareKernelManager(KernelManager):
    """A kernel without a sandbox."""

    def __init__(self, there: Rooms, gpu: Gpu | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.there, self.gpu = there, gpu
        self._kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            language="python",
            display_name="Python 3",
        )

    async def _async_start_kernel(self, **kwargs: Any) -> None:
        env = {**os.environ, **GRADING, "OMP_NUM_THREADS": "1"}
        env[FLAGS] = str(self.there.inputs / "flags.jsonl")
        env["CUDA_VISIBLE_DEVICES"] = str(self.gpu.index) if self.gpu else ""
        with self.there.log.open("wb") as log:
            await super()._async_start_kernel(
                cwd=str(self.there.submission), env=env, stdout=log, stderr=log, **kwargs
            )

    start_kernel = _async_start_kernel  # type: ignore[assignment]  # as jupyter_client has it


def kernels_of(isolation: str, limits: Limits) -> Kernels:
    """Kernels that are started one by one.

    Raises:
        IsolationError: when there is no isolation of that name.
    """
    if isolation == "bubblewrap":
        return ColdKernels(limits)
    if isolation == "none":
        return BareKernels()
    raise IsolationError(f'isolation must be "bubblewrap" or "none", got {isolation!r}')
