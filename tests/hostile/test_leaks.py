"""Kernels forked from one process: what one leaves behind in every place it can think of, no other finds, then or later."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from autograde.course import Limits
from autograde.execute import execute
from autograde.kernels import furnished
from autograde.warm import WarmKernels

pytestmark = pytest.mark.slow

LIMITS = Limits(40, 60, 4096, 64, 100_000, 16)
MODULES = ("numpy", "torch", "ipykernel.kernelapp", "ipykernel.ipkernel")
LEAVES = """
import builtins, ctypes, os, pathlib, random, signal, socket, subprocess, sys, time, types
import numpy, torch
places = ("/tmp", "/var/tmp", "/dev/shm", "/run", ".", "~", "/sandbox/sockets", "/sandbox/rooms", "/sandbox/inputs", "/sandbox/submission")
for place in places:
    try:
        pathlib.Path(place).expanduser().joinpath("left-behind").write_text("the answers")
    except OSError:
        pass  # where nothing can be written, nothing is left behind
os.environ["LEFT_BEHIND"] = "the answers"
builtins.left_behind = numpy.left_behind = torch.left_behind = "the answers"
sys.modules["left_behind"] = types.ModuleType("left_behind")
random.random = numpy.random.rand = torch.rand = lambda *size: "the answers"
signal.signal(signal.SIGTERM, signal.SIG_IGN)
libc = ctypes.CDLL(None)
kept = [libc.shmget(4711, 4096, 0o1666), libc.msgget(4711, 0o1666), libc.semget(4711, 1, 0o1666)]
named = socket.socket(socket.AF_UNIX)
named.bind(chr(0) + "left-behind")
named.listen()
port = socket.create_server(("127.0.0.1", 4711))
subprocess.Popen(["sleep", "60"], start_new_session=True)
assert min(kept) >= 0
print("left")
time.sleep(25)
"""
FINDS = """
import builtins, ctypes, json, os, random, signal, socket, sys, time
import numpy, torch
time.sleep(3)
libc = ctypes.CDLL(None)
def answers(family, address):
    with socket.socket(family) as there:
        return there.connect_ex(address) == 0
found = {
    "files": [os.path.join(place, name) for place, _, names in os.walk("/") for name in names if "left-behind" in name],
    "environment": [name for name in os.environ if "LEFT" in name],
    "modules": [m.__name__ for m in (builtins, numpy, torch) if hasattr(m, "left_behind")] + [m for m in sys.modules if "left_b" in m],
    "numbers": [str(draw) for draw in (random.random(), numpy.random.rand(1), torch.rand(1)) if "answers" in str(draw)],
    "signals": signal.getsignal(signal.SIGTERM).name,
    "ipc": [libc.shmget(4711, 0, 0), libc.msgget(4711, 0), libc.semget(4711, 0, 0)],
    "sockets": [answers(socket.AF_UNIX, chr(0) + "left-behind"), answers(socket.AF_INET, ("127.0.0.1", 4711))],
    "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
    "rooms": os.listdir("/sandbox/rooms"),
}
print(json.dumps(found))
"""
NOTHING = {
    "files": [],
    "environment": [],
    "modules": [],
    "numbers": [],
    "signals": "SIG_DFL",
    "ipc": [-1, -1, -1],
    "sockets": [False, False],
    "processes": [1],
    "rooms": [],
}


def printed(kernels: WarmKernels, code: str) -> str:
    notebook = new_notebook(cells=[new_code_cell(code)])
    executed = execute(notebook, (), lambda: furnished(kernels, {}, {}), LIMITS)
    assert executed.states == {0: "ran"}, executed.outputs
    return "".join(output.text for output in executed.outputs[0])


def test_nothing_is_found_of_a_neighbour():
    with WarmKernels(LIMITS, MODULES) as kernels, ThreadPoolExecutor(2) as pool:
        leaves = pool.submit(printed, kernels, LEAVES)
        time.sleep(1)
        beside = json.loads(printed(kernels, FINDS))
        assert not leaves.done(), "they were there at the same time"
        assert leaves.result() == "left\n"
        later = json.loads(printed(kernels, FINDS))
    assert beside == NOTHING
    assert later == NOTHING
