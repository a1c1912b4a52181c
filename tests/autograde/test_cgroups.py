"""Control groups: a limit on all processes of a kernel together, in both versions of the system's interface."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from autograde.cgroups import ControlGroups
from autograde.course import Limits
from autograde.errors import IsolationError
from autograde.execute import execute
from autograde.kernels import ColdKernels, furnished
from autograde.warm import WarmKernels

LIMITS = Limits(60, 120, 1500, 64, 100_000, 16)
BOUND_MB = 1500 + 2 * 16 + 256


@pytest.fixture
def groups() -> Iterator[ControlGroups]:
    try:
        with ControlGroups(LIMITS) as groups:
            yield groups
    except IsolationError as error:
        pytest.skip(str(error))


GREEDY = """
import subprocess, sys, time
hold = "import time; held = bytearray(400 * 2**20); print('holds', flush=True); time.sleep(60)"
children = [subprocess.Popen([sys.executable, "-S", "-c", hold], stdout=subprocess.PIPE) for _ in range(8)]
held = [child.stdout.readline() == b"holds\\n" for child in children]
time.sleep(1)  # one that held its share may have been killed for the next one's
print(sum(child.poll() is None for child, holds in zip(children, held) if holds))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["warm", "cold"])
def test_the_processes_of_a_kernel_share_one_bound_of_memory(kind: str, groups: ControlGroups):
    with WarmKernels(LIMITS, (), groups) as warm:
        kernels = warm if kind == "warm" else ColdKernels(LIMITS, groups)
        notebook = new_notebook(cells=[new_code_cell(GREEDY)])
        found = execute(notebook, (), lambda: furnished(kernels, {}, {}), LIMITS)
    if found.states[0] == "ran":  # each may have 400 MB, and not all of them
        assert int(found.outputs[0][0].text) * 400 < BOUND_MB
    else:
        assert found.states[0] == "died", found.outputs


@pytest.mark.slow
def test_a_kernel_is_in_its_group_and_the_group_goes_with_it(groups: ControlGroups):
    notebook = new_notebook(cells=[new_code_cell("import time\ntime.sleep(3)")])
    with WarmKernels(LIMITS, (), groups) as kernels, ThreadPoolExecutor(1) as pool:
        running = pool.submit(execute, notebook, (), lambda: furnished(kernels, {}, {}), LIMITS)
        seen: set[Path] = set()
        while not running.done():
            for base in groups.bases:
                with suppress(OSError):  # not there yet, or no longer
                    seen |= {base} if (base / "0" / "cgroup.procs").read_text().split() else set()
            time.sleep(0.05)
        assert running.result().states == {0: "ran"} and seen == set(groups.bases)
        assert not [folder for base in groups.bases for folder in base.iterdir() if folder.is_dir()]


def test_nothing_is_left_in_the_systems_tree(groups: ControlGroups):
    with groups.group("a"), groups.group("b"):
        bases = list(groups.bases)
        assert all((base / "b").is_dir() for base in bases)
    groups.__exit__()
    assert not any(base.exists() for base in bases)


@pytest.mark.skipif(os.getuid() != 0, reason="an ordinary user's place is another one")
def test_version_two_gets_its_limits(tmp_path: Path):
    """The files that are written, where there is no such system to try."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    (tmp_path / "cgroup.subtree_control").write_text("")
    with ControlGroups(LIMITS, tmp_path) as groups, groups.group("k") as group:
        [folder] = group.folders
        assert (folder / "memory.max").read_text() == str(BOUND_MB * 2**20)
        assert (folder / "pids.max").read_text() == "80"
        assert (folder / "cpu.max").read_text() == "100000 100000"
        group.add(7)
        assert (folder / "cgroup.procs").read_text() == "7"
        command = group.around(["true"])
        assert command[-2:] == ["--", "true"] and str(folder / "cgroup.procs") in command
        for path in folder.iterdir():
            path.unlink()


def test_where_there_are_none_it_is_said(tmp_path: Path):
    with pytest.raises(IsolationError, match=r"no control groups: .*memory"), ControlGroups(LIMITS, tmp_path):
        pass
    with ControlGroups(LIMITS).group("x") as group:
        assert group.around(["true"]) == ["true"]
