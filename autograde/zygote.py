"""A program of its own inside the sandbox: it imports the heavy libraries once and becomes a kernel for each request.

A request is one line of JSON on the socket `zygote` in ROOMS: `room`, a folder there; `connection`, the kernel's connection file; `limits`,
names of `resource` with their values; `disk`, bytes of each writable folder; `sockets`, where
the room's folder of sockets lies outside; `keep`, folders below /tmp that stay to be seen; `group`, whether the fork
says a word and waits for one, in between it is put into a control group. The process forks, and the child takes
namespaces of its own for users, mounts, processes, ipc and network, sees its own room and nobody else's, gives up every capability
and runs the notebook's kernel as process 1. The connection stays open as long as the kernel lives: what ended it is
said there as one more line, and whoever closes the connection kills the kernel.

It is run as a file, so it uses nothing of `autograde`. Arguments: modules to import.
"""

import ctypes
import fcntl
import gc
import importlib
import json
import os
import random
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

ROOM, ROOMS, SOCKETS = Path("/sandbox"), Path("/sandbox/rooms"), Path("/sandbox/sockets")
INODES = 50_000  # of each writable folder
HOME, WORK = ROOM / "home", ROOM / "home/work"

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
RDONLY, NOSUID, NODEV, REMOUNT, BIND, MOVE, REC, PRIVATE = (
    0x1,
    0x2,
    0x4,
    0x20,
    0x1000,
    0x2000,
    0x4000,
    0x40000,
)
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, CAPABILITY_VERSION_3 = 24, 47, 4, 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def called(result: int, what: str) -> None:
    """Raise the error of a call of libc that failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: Path, kind: str | None, flags: int, options: str = "") -> None:
    """The system call of this name."""
    names = [None if name is None else str(name).encode() for name in (source, target, kind)]
    called(libc.mount(*names, ctypes.c_ulong(flags), options.encode()), f"mount {source} on {target}")


def enter_namespaces() -> None:
    """Users, mounts, processes, ipc and network of its own; inside, this user has every capability over them."""
    uid, gid = os.getuid(), os.getgid()
    called(libc.unshare(NEWUSER | NEWNS | NEWPID | NEWIPC | NEWNET), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    mount("none", Path("/"), None, REC | PRIVATE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # the one interface is the loopback
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def furnish(job: dict[str, Any]) -> None:
    """Mount the one room, fresh writable folders, and nothing over all rooms."""
    room, outside, tmp = ROOMS / job["room"], Path(job["sockets"]), ROOM / "tmp"
    for name in ("submission", "inputs"):
        mount(str(room / name), ROOM / name, None, BIND | REC)
        mount("none", ROOM / name, None, BIND | REMOUNT | RDONLY | NOSUID | NODEV)
    mount(str(room / "s"), SOCKETS, None, BIND | REC)
    for folder in (HOME, tmp):
        mount("tmpfs", folder, "tmpfs", NOSUID | NODEV, f"size={job['disk']},nr_inodes={INODES},mode=1777")
    for kept in job["keep"]:  # what this Python needs and lies in /tmp
        place = tmp / Path(kept).relative_to("/tmp")
        place.mkdir(parents=True)
        mount(kept, place, None, BIND | REC)
    link = tmp / outside.relative_to("/tmp")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(SOCKETS)
    mount(str(tmp), Path("/tmp"), None, MOVE)
    mount("tmpfs", ROOMS, "tmpfs", RDONLY | NOSUID | NODEV, "size=4k")


def give_up_capabilities() -> None:
    """None is left, and none can come back: there are no set-user-id programs that count, and no further namespaces."""
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    number = 0
    while libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    called(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "ambient capabilities")
    header, data = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    called(libc.capset(header, data), "capset")


class Program(ctypes.Structure):
    """`sock_fprog` of the system: a filter, as the number of its instructions and their place."""

    _fields_ = (("count", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def refuse_calls() -> None:
    """From now on the filter of system calls holds, if there is one; nothing takes it back."""
    code = (ROOM / "filter").read_bytes()
    if code:
        filter = Program(len(code) // 8, ctypes.cast(ctypes.c_char_p(code), ctypes.c_void_p))
        called(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter), 0, 0), "seccomp")


def kernel_app() -> Any:
    """The kernel's application, its arguments read (there are none) and its log set up: a fork need not do it again."""
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelapp import IPKernelApp

    class TerseKernel(IPythonKernel):
        """It leaves out two messages of the four that go with each cell: that it begins, and what it was told to run."""

        def _publish_status(self, status: str, *more: Any, **named: Any) -> None:
            if status != "busy":
                super()._publish_status(status, *more, **named)

        def _publish_execute_input(self, *_: Any) -> None:
            pass

    class ForkedKernelApp(IPKernelApp):
        arguments_read = False

        def parse_command_line(self, argv: Any = None) -> None:
            if not self.arguments_read:
                super().parse_command_line([])
            self.arguments_read = True

    app = ForkedKernelApp.instance(kernel_class=TerseKernel)
    app.parse_command_line()
    return app


def launch(app: Any, connection: str) -> None:
    """Be the kernel, until it is told to end."""
    from ipykernel import ipkernel
    from IPython.core import shellapp

    app.connection_file = connection
    # Lists of all modules, which nobody asks for, would have half of what the fork shares copied.
    for module in (ipkernel, shellapp):
        vars(module)["sys"] = SimpleNamespace(**vars(sys) | {"modules": {}})
    app.initialize()
    del app.shell._sys_modules_keys  # without it IPython's `%reset --aggressive` leaves the modules alone
    for module in (ipkernel, shellapp):
        vars(module)["sys"] = sys
    app.start()


def become_kernel(job: dict[str, Any], saying: int, app: Any) -> NoReturn:
    """In the child that is process 1 of its namespace: the notebook's kernel, in a copy of the submission.

    What goes wrong before it is one is for the pipe `saying`.
    """
    mount("proc", Path("/proc"), "proc", NOSUID | NODEV)
    # Where memory runs out, this and what it starts goes first.
    Path("/proc/self/oom_score_adj").write_text("1000")
    shutil.copytree(ROOM / "skeleton", HOME, dirs_exist_ok=True)
    shutil.copytree(ROOM / "submission", WORK, dirs_exist_ok=True)
    os.chdir(WORK)
    for name, value in job["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    give_up_capabilities()
    refuse_calls()
    log = os.open(SOCKETS / "kernel.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.seed()
    os.close(saying)
    sys.argv = ["ipykernel_launcher", "-f", job["connection"]]
    launch(app, job["connection"])
    os._exit(0)


def serve(connection: socket.socket, job: dict[str, Any], app: Any) -> None:
    """In the child: start the kernel and wait with it."""
    if job["group"]:
        connection.sendall(b"\n")
        connection.recv(1)
    enter_namespaces()
    furnish(job)
    said, saying = os.pipe()
    kernel = os.fork()
    if kernel == 0:
        connection.close()
        try:
            become_kernel(job, saying, app)
        except BaseException:  # this child must not go on as its parent; whatever it was, it is told
            os.write(saying, traceback.format_exc().encode())
        finally:
            os._exit(1)
    os.close(saying)
    if connection.fileno() in select.select([connection.fileno(), os.pidfd_open(kernel)], [], [])[0]:
        os.kill(kernel, signal.SIGKILL)
    _, status = os.waitpid(kernel, 0)
    fault = os.read(said, 20_000).decode("utf-8", "replace")
    answer = {"status": os.waitstatus_to_exitcode(status), "fault": fault}
    connection.sendall(json.dumps(answer).encode() + b"\n")


def request(connection: socket.socket) -> dict[str, Any] | None:
    """The line of JSON that the connection begins with."""
    line = b""
    while not line.endswith(b"\n"):
        part = connection.recv(65_536)
        if not part:
            return None
        line += part
    return json.loads(line)


def rehearse() -> None:
    """End at once where a child could not have namespaces of its own, as some systems have it."""
    child = os.fork()
    if child:
        if os.waitpid(child, 0)[1]:
            sys.exit(1)
        return
    status = 1
    try:
        enter_namespaces()
        if inner := os.fork():
            status = os.waitpid(inner, 0)[1] and 1
        else:
            mount("proc", Path("/proc"), "proc", NOSUID | NODEV)
            status = 0
    except OSError as error:
        print(f"no namespaces inside those of the sandbox ({error})", file=sys.stderr)
    finally:
        os._exit(status)


def main() -> None:
    """Import, listen, fork."""
    rehearse()
    listener = socket.socket(socket.AF_UNIX)
    for module in sys.argv[1:]:
        importlib.import_module(module)
    app = kernel_app()
    gc.collect()
    gc.freeze()  # collections in the children leave the pages alone that they share
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        sys.exit(
            f"{threads} threads run after the imports, and a fork would lose them: leave out one of {sys.argv[1:]}"
        )
    if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
        sys.exit("a CUDA context does not survive a fork")
    listener.bind(str(ROOMS / "zygote"))
    listener.listen(128)
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        job = request(connection)
        if job is not None and os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                serve(connection, job, app)
            except BaseException:  # as above: whoever waits for the kernel is told
                answer = {"status": 1, "fault": traceback.format_exc()}
                connection.sendall(json.dumps(answer).encode() + b"\n")
            finally:
                os._exit(0)
        connection.close()


if __name__ == "__main__":
    main()
