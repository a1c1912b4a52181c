"""Warm kernels: forked from a process in the sandbox that has imported the heavy libraries already."""

import itertools
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from autograde.cgroups import ControlGroups, Group
from autograde.course import Limits
from autograde.errors import AutogradeError, IsolationError
from autograde.gpus import Gpu
from autograde.kernels import (
    GRADING,
    ColdKernels,
    KernelManager,
    Kernels,
    Process,
    SandboxKernelManager,
    kernels_of,
)
from autograde.log import log
from autograde.sandbox import (
    HOME,
    INPUTS,
    ROOM,
    Rooms,
    as_user,
    bound,
    environment,
    give,
    rlimits,
    skeleton,
    some_uid,
    variables,
    walls,
)
from autograde.seccomp import program

PROGRAM = Path(__file__).with_name("zygote.py")
# What every kernel imports when it starts, and the checks with their answers.
_KERNEL = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.utils.wildcard",
    "sqlite3",
    "tornado.platform.asyncio",
    "IPython.extensions.storemagic",
    "matplotlib_inline.backend_inline",
    "coursekit.check.collect",
    "coursekit.check.lab",
)
_CREDENTIALS = struct.Struct("3i")  # process, user, group
START = 180.0  # seconds the imports may take
# What would start threads at import, which a fork loses.
_ONE_THREAD = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


@contextmanager
def suited_kernels(
    isolation: str, limits: Limits, preload: Sequence[str] = (), count: int = 1
) -> Iterator[Kernels]:
    """Warm kernels for more than one submission, else cold ones; in control groups where the system lets us make some.

    Raises:
        IsolationError: when there is no isolation of that name.
    """
    if isolation != "bubblewrap":
        yield kernels_of(isolation, limits)
        return
    with ExitStack() as stack:
        groups = ControlGroups(limits)
        # Where there can be no groups, limits of processes hold; `autograde doctor` says what stands in the way.
        with suppress(IsolationError):
            stack.enter_context(groups)
        if count > 1:
            yield stack.enter_context(WarmKernels(limits, preload, groups))
        else:
            yield ColdKernels(limits, groups)


class WarmKernels:
    """Kernels forked from one process; a context, which ends them all. Where that process does not start, which is said,
    each kernel starts from nothing.

    Args:
        limits: of each kernel.
        modules: what to import beforehand, besides what every kernel needs.
    """

    isolation = "bubblewrap"

    def __init__(self, limits: Limits, modules: Sequence[str], groups: ControlGroups | None = None):
        self.limits, self.modules, self.groups = limits, modules, groups or ControlGroups(limits)
        self.numbers, self.lock = itertools.count(), threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.cold: ColdKernels | None = None
        self.reason = ""

    def __enter__(self) -> Self:
        self.folder = tempfile.TemporaryDirectory(prefix="ag-", dir="/tmp")
        root = Path(self.folder.name)
        root.chmod(0o755)
        self.place, self.log, self.uid = root / "r", root / "log", some_uid()
        self.place.mkdir()
        self.filter = root / "filter"
        self.filter.write_bytes(program())
        give(self.place, self.uid)
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self.folder.cleanup()

    def begin(self) -> None:
        """Start the process; its imports take seconds, and the first kernel waits for their end."""
        with self.lock:
            self._begin()

    def _begin(self) -> None:
        self._end()
        (self.place / "zygote").unlink(missing_ok=True)
        self.ready = False
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )

    def _end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()

    def forks(self) -> bool:
        """Whether the process is there; begun again where it was killed, as the kernels that it had went with it."""
        with self.lock:
            if self.cold is not None:
                return False
            if self.process is None or (self.ready and self.process.poll() is not None):
                self._begin()
            if self.ready:
                return True
            assert self.process is not None and self.process.stdout is not None
            in_time = select.select([self.process.stdout], [], [], START)[0]
            self.ready = bool(in_time) and self.process.stdout.readline() == b"ready\n"
            if not self.ready:
                said = self.log.read_text("utf-8", "replace").strip().splitlines()
                reason = said[-1:] or [
                    "it ended" if in_time else f"its imports took more than {START:g} seconds"
                ]
                self.reason = f"the process that forks them does not start: {reason[0]}"
                log.warning("Each kernel starts from nothing, which takes longer, as %s", self.reason)
                self.cold = ColdKernels(self.limits, self.groups)
            return self.ready

    @contextmanager
    def rooms(self) -> Iterator[Rooms]:
        """Below the one folder that the process sees; no kernel sees another's."""
        root = self.place / str(next(self.numbers))
        with self.groups.group(root.name) as group:
            there = Rooms(root / "submission", root / "inputs", root / "s", skeleton(), group)
            for folder in (root, there.submission, there.inputs, there.sockets):
                folder.mkdir(mode=0o755)
            try:
                yield there
            finally:
                subprocess.run(["rm", "-rf", "--", str(root)], check=False)

    def manager(self, there: Rooms) -> tuple[KernelManager, Path]:
        """A kernel that is forked when it is started."""

        def start(cmd: list[str]) -> Process:
            if not self.forks():
                assert self.cold is not None  # that is why it does not
                return self.cold.start(there, cmd)
            give(there.sockets, self.uid)
            job = {
                "room": there.sockets.parent.name,
                "group": bool(there.group.folders),
                "sockets": str(there.sockets),
                "connection": cmd[cmd.index("-f") + 1],
                "keep": [str(path) for path in environment() if path.is_relative_to("/tmp")],
                "disk": self.limits.disk_mb * 2**20,
                "limits": {f"RLIMIT_{name.upper()}": value for name, value in rlimits(self.limits).items()},
            }
            return ForkedKernel(self.place / "zygote", job, there.group)

        return SandboxKernelManager(there, start), INPUTS

    def with_gpu(self, gpu: Gpu) -> ColdKernels:
        """Kernels that do not come from that process."""
        return ColdKernels(self.limits, self.groups, gpu)

    def _command(self) -> list[str]:
        line = walls("CAP_SYS_ADMIN")
        for name in ("submission", "inputs", "sockets", "tmp"):
            line += ["--perms", "0755", "--dir", str(ROOM / name)]
        for folder in (Path("/tmp"), HOME):
            line += ["--perms", "1777", "--tmpfs", str(folder)]
        inside = {
            ROOM / "rooms": self.place,
            ROOM / "skeleton": skeleton(),
            ROOM / PROGRAM.name: PROGRAM,
            ROOM / "filter": self.filter,
        }
        line += bound(inside, writable=[ROOM / "rooms"])
        line += variables(_ONE_THREAD | GRADING)
        settle = f'cp -r {ROOM}/skeleton/. "$HOME" && exec "$@"'
        program = [
            *as_user(self.uid),
            "sh",
            "-c",
            settle,
            "sh",
            sys.executable,
            str(ROOM / PROGRAM.name),
            *_KERNEL,
            *self.modules,
        ]
        if os.getuid() != 0:
            return [*line, "--proc", "/proc", "--", *program]
        # As root bubblewrap mounts a /proc that is covered in part, and then no fresh one can be mounted in a fork.
        mount = 'mount -t proc proc /proc && exec "$@"'
        return [*line, "--perms", "0755", "--dir", "/proc", "--", "sh", "-c", mount, "sh", *program]


class ForkedKernel:
    """A kernel in a fork, known by its connection; to jupyter_client it looks like a `Popen`."""

    stdin = stdout = stderr = None
    pid = 0  # it has one in a namespace of its own only

    def __init__(self, zygote: Path, job: dict[str, object], group: Group):
        self.returncode: int | None = None
        self.fault = ""
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.connection.connect(str(zygote))
        self.connection.sendall(json.dumps(job).encode() + b"\n")
        if not group.folders:
            return
        # The system says who sends, by its number outside.
        self.connection.settimeout(START)
        word, said, *_ = self.connection.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
        if not word:
            raise AutogradeError("the process that forks kernels is gone")
        group.add(_CREDENTIALS.unpack(said[0][2])[0])
        self.connection.sendall(b"\n")

    def poll(self) -> int | None:
        """The exit status; None as long as it lives."""
        return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended."""
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("kernel", timeout or 0)
        return status

    def send_signal(self, signum: int) -> None:
        """Any signal ends it."""
        if signum and self.returncode is None:
            with suppress(OSError):  # it may have ended in the meantime
                self.connection.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """End it, and all it has started."""
        self.send_signal(9)

    terminate = kill

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self.connection.settimeout(timeout)
            try:
                line = self.connection.recv(65_536)
            except (BlockingIOError, TimeoutError):
                return None
            except ConnectionError:
                line = b""
            told: dict[str, Any] = {"status": -9, "fault": "the process that forks kernels is gone"}
            if line.endswith(b"\n"):
                told = json.loads(line)
            self.returncode, self.fault = told["status"], told["fault"]
            self.connection.close()
        return self.returncode
