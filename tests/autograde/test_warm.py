"""Kernels forked in the sandbox: each for itself, as from a process of its own; what ends them is told apart."""

import errno
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import autograde.warm as warm_module
from autograde.cgroups import ControlGroups
from autograde.course import Limits
from autograde.errors import AutogradeError
from autograde.execute import Executed, execute
from autograde.kernels import ColdKernels, Kernels, furnished
from autograde.local import ThisMachine
from autograde.run import run
from autograde.warm import PROGRAM, WarmKernels, suited_kernels

pytestmark = pytest.mark.slow

LIMITS = Limits(20, 60, 4096, 64, 100_000, 16)
MODULES = ("numpy", "torch", "ipykernel.kernelapp", "ipykernel.ipkernel")
SCALE, MEAN = (
    "def scale(x, factor):\n    return factor * x",
    "def mean_of(x):\n    return x.sum() / x.numel()",
)


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmKernels]:
    with WarmKernels(LIMITS, MODULES) as kernels:
        yield kernels


def executed(kernels: Kernels, *cells: str, files: dict[Path, Path] | None = None) -> Executed:
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    return execute(notebook, (), lambda: furnished(kernels, files or {}, {}), LIMITS)


def printed(kernels: Kernels, *cells: str) -> list[str]:
    outputs = executed(kernels, *cells).outputs
    assert not [o for found in outputs.values() for o in found if o.output_type == "error"], outputs
    return ["".join(o.get("text", "") for o in outputs[i]).strip() for i in range(len(cells))]


def test_a_kernel_is_a_fork_that_has_the_libraries_and_one_thread(warm):
    [modules, threads, name, blas] = printed(
        warm,
        "import sys\nprint('torch' in sys.modules)",
        "import os\nprint([open('/proc/1/cmdline').read().count('zygote'), os.getpid()])",
        "print(os.getcwd(), os.environ['NBGRADER_EXECUTION'])",
        "import torch\nprint(torch.get_num_threads(), torch.cuda.is_initialized())",
    )
    assert (modules, threads, blas) == ("True", "[1, 1]", "1 False")
    assert name == "/sandbox/home/work autograde"


def test_imports_that_leave_a_thread_behind_are_refused(tmp_path):
    (tmp_path / "restless.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    )
    command = [sys.executable, str(PROGRAM), "restless"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "2 threads run after the imports" in done.stderr


def test_each_kernel_draws_its_own_numbers(warm):
    cell = "import random, numpy, torch\nprint(random.random(), numpy.random.rand(), torch.rand(1).item())"
    first, second = printed(warm, cell)[0].split(), printed(warm, cell)[0].split()
    assert len({*first, *second}) == 6


def test_kernels_at_the_same_time_see_nothing_of_each_other(warm):
    """Files, processes, memory, the rooms of others and the socket of the process that forks."""
    spread = (
        "import os, pathlib, time\n"
        "for folder in (pathlib.Path.home(), pathlib.Path('/tmp'), pathlib.Path('.'), pathlib.Path('/dev/shm')):\n"
        "    try:\n        (folder / 'mark-of-the-first').write_text('secret')\n    except OSError:\n        pass\n"
        "time.sleep(6)"
    )
    look = (
        "import os, time\ntime.sleep(2)\nseen = []\n"
        "for folder, folders, names in os.walk('/'):\n"
        "    folders[:] = [f for f in folders if os.path.join(folder, f) not in ('/proc', '/sys', '/usr')]\n"
        "    seen += [os.path.join(folder, n) for n in names if 'mark-of-the' in n or n == 'zygote']\n"
        "print(seen, sorted(int(p) for p in os.listdir('/proc') if p.isdigit()), os.listdir('/sandbox/rooms'))"
    )
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda cell: printed(warm, cell), (spread, look))
    assert first == [""]
    assert second == ["[] [1] []"]


def test_a_kernel_has_no_capability_and_cannot_get_one(warm):
    [capabilities, privileges, namespaces, mounts, user, open_files] = printed(
        warm,
        "print({l.split()[1] for l in open('/proc/self/status') if l.startswith('Cap')})",
        "print([l.split()[1] for l in open('/proc/self/status') if l.startswith('NoNewPrivs')])",
        "import ctypes\nlibc = ctypes.CDLL(None)\nprint([libc.unshare(n) for n in (0x10000000, 0x00020000)])",
        "print(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None), libc.umount(b'/tmp'))",
        "import os\nprint(os.getuid() == 0, os.access('/usr', os.W_OK), os.access('/sandbox/submission', os.W_OK))",
        "print([t for f in os.listdir('/proc/self/fd') if (t := os.path.realpath(f'/proc/self/fd/{f}')).count('zygote')])",
    )
    assert capabilities == "{'0000000000000000'}" and privileges == "['1']"
    assert (namespaces, mounts) == ("[-1, -1]", "-1 -1")
    assert (user, open_files) == ("False False False", "[]")


def test_a_kernel_has_no_network(warm):
    [said] = printed(
        warm,
        "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 22), 1)\nexcept OSError as e:\n    print(e.errno in (99, 101, 111))",
    )
    assert said == "True"


def test_files_of_the_submission_are_there_and_cannot_be_changed_for_a_replay(warm, tmp_path):
    (tmp_path / "data.txt").write_text("7")
    files = {Path("sub", "data.txt"): tmp_path / "data.txt"}
    change = "p = 'sub/data.txt'\nprint(open(p).read())\nopen(p, 'w').write('8')"
    found = executed(warm, change, "import os\nos._exit(1)", "print(open(p).read())", files=files)
    assert (found.lost, found.replays) == ([1], 1)
    assert found.outputs[0][0].text == "7\n", "the replay began with the file as it was handed in"
    assert (tmp_path / "data.txt").read_text() == "7"


@pytest.mark.parametrize("kind", ["warm", "cold"])
def test_a_kernel_that_a_notebook_kills_is_the_notebooks_loss(kind, warm):
    kernels = warm if kind == "warm" else ColdKernels(LIMITS)
    for ending in (
        "import os\nos._exit(3)",
        "import ctypes\nctypes.string_at(0)",
        "import os\nos.abort()",
    ):
        found = executed(kernels, "a = 1", ending, "print(a)")
        assert found.states == {0: "ran", 1: "died", 2: "ran"}, ending


def sandboxes() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if p.name() == "bwrap"]


@pytest.mark.parametrize("kind", ["warm", "cold"])
def test_a_sandbox_that_somebody_kills_is_nobodys_loss(kind):
    with WarmKernels(LIMITS, MODULES[-2:]) as warm:
        kernels = warm if kind == "warm" else ColdKernels(LIMITS)
        assert warm.forks()
        killer = threading.Timer(6, lambda: [p.kill() for p in sandboxes()])
        killer.start()
        with pytest.raises(AutogradeError, match=r"was killed|is gone"):
            executed(kernels, "a = 1", "import time\ntime.sleep(15)")
        assert printed(kernels, "print(2)") == ["2"], "the next kernel is there again"


def test_the_process_that_forks_is_killed_in_the_middle_of_a_run(tiny_course, students):
    for student in ("ada", "bob", "cyd", "dan"):
        students.submit(student, {"scale": f"import time\ntime.sleep(2)\n{SCALE}", "mean_of": MEAN})
    done = threading.Event()

    def kill() -> None:
        while not done.wait(0.2):
            if any((tiny_course.root / "autograded").rglob("*.ipynb")):
                for process in sandboxes():
                    with suppress(psutil.Error):  # it may just have ended
                        process.kill()
                return

    killer = threading.Thread(target=kill)
    killer.start()
    records = run(tiny_course, "tiny", where=ThisMachine(1))
    done.set()
    killer.join()
    assert {r.student: (r.state, r.score) for r in records} == dict.fromkeys(
        ("ada", "bob", "cyd", "dan"), ("graded", 5.0)
    )


def test_nothing_is_left_when_it_ends(warm):
    before = {p.pid for p in sandboxes()}
    with WarmKernels(LIMITS, MODULES[-2:]) as kernels:
        executed(kernels, "import subprocess\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)")
        assert not list(kernels.place.glob("[0-9]*")), "each kernel's rooms go with it"
    time.sleep(0.5)
    assert {p.pid for p in sandboxes()} == before and not Path(kernels.folder.name).exists()
    assert not [p for p in psutil.process_iter() if p.name() == "sleep" and "1000" in p.cmdline()]


def test_where_they_cannot_be_had_it_is_said_and_graded_all_the_same(
    tiny_course, students, monkeypatch, caplog
):
    for student in ("ada", "bob"):
        students.submit(student, {"scale": SCALE})

    def refuse(limits: Limits, preload: object, groups: ControlGroups) -> WarmKernels:
        return WarmKernels(limits, ("no_such_module",), groups)

    monkeypatch.setattr(warm_module, "WarmKernels", refuse)
    with caplog.at_level(logging.WARNING, "autograde"):
        records = run(tiny_course, "tiny")
    assert [r.score for r in records] == [3.0, 3.0]
    assert "No module named 'no_such_module'" in caplog.text


def test_one_submission_needs_no_warm_process():
    with suited_kernels("bubblewrap", LIMITS, 1) as kernels:
        assert isinstance(kernels, ColdKernels)


CALLS = """
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
def refused(number, *arguments):
    ctypes.set_errno(0)
    return libc.syscall(number, *arguments) == -1 and ctypes.get_errno()
# unshare, ptrace, bpf, keyctl, io_uring_setup, userfaultfd on x86-64 and, in the same order, on arm64
numbers = {"x86_64": (272, 101, 321, 250, 425, 323), "aarch64": (97, 117, 280, 219, 425, 282)}
print([refused(n, 0, 0, 0, 0) for n in numbers[__import__("platform").machine()]])
def family(number):
    try:
        socket.socket(number, socket.SOCK_RAW if number == 17 else socket.SOCK_STREAM).close()
    except OSError as error:
        return errno.errorcode[error.errno]
print([family(n) for n in (1, 2, 17, 38, 40)])
import os, threading, subprocess
thread = threading.Thread(target=print, args=("threads and programs run",)); thread.start(); thread.join()
print(subprocess.run(["echo", "on"], capture_output=True).stdout)
"""


@pytest.mark.parametrize("kind", ["warm", "cold"])
def test_system_calls_that_nobody_needs_are_refused(kind, warm):
    [said] = printed(warm if kind == "warm" else ColdKernels(LIMITS), CALLS)
    assert said.splitlines() == [
        str([errno.EPERM] * 6),
        "[None, None, 'EAFNOSUPPORT', 'EAFNOSUPPORT', 'EAFNOSUPPORT']",
        "threads and programs run",
        "b'on\\n'",
    ]
