"""`autograde doctor`, and grading as an ordinary user and where a system denies namespaces inside the sandbox."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autograde.course import Course

pytestmark = pytest.mark.slow

AUTOGRADE = str(Path(sys.executable).with_name("autograde"))
PREFIX = Path(sys.base_prefix).resolve()
SCALE = {"scale": "def scale(x, factor):\n    return factor * x"}


def as_ordinary_user(command: list[str], *own: Path) -> list[str]:
    """The command as a user that is not root, to whom the folders `own` belong then; as oneself where that is so already.

    Python may lie where only root looks, so it is shown at its place in folders that all may enter.
    """
    if os.getuid() != 0:
        return command
    for folder in own:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 1000, 1000)
    top = Path(*PREFIX.parts[:2])
    hidden = [] if top == Path("/usr") else ["--tmpfs", str(top)]
    for parent in reversed([p for p in PREFIX.parents if top in p.parents]) if hidden else ():
        hidden += ["--perms", "0755", "--dir", str(parent)]
    hidden += ["--ro-bind", str(PREFIX), str(PREFIX)] if hidden else []
    user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=-all"]
    walls = ["bwrap", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", *hidden, "--cap-add", "ALL", "--"]
    return [*walls, *user, "--bounding-set=-all", "env", f"HOME={own[0]}", *command]


def doctor(*before: str, **environment: str) -> tuple[int, dict[str, dict[str, object]]]:
    done = subprocess.run(
        [*before, AUTOGRADE, "doctor", "--json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert findings, done.stderr
    return done.returncode, {finding["what"]: finding for finding in findings}


def test_the_walls_are_tried_and_named():
    status, found = doctor()
    assert status == 0, found
    assert found["a kernel from nothing"]["ok"] and found["warm kernels"]["ok"]
    assert "no network, system read-only" in str(found["warm kernels"]["found"])
    assert {"limits of a process", "limits of time", "filter of system calls", "control groups"} <= set(found)


def test_without_bubblewrap_it_says_what_to_install(tmp_path: Path):
    status, found = doctor(PATH=str(tmp_path))
    assert status == 1 and found["bubblewrap"]["status"] == "MISSING"
    assert "apt-get install bubblewrap" in str(found["bubblewrap"]["remedy"])


@pytest.fixture
def course(tiny_course: Course, students) -> Course:
    """With two submissions, in a place where another user finds it."""
    for student in ("ada", "bob"):
        students.submit(student, SCALE)
    return tiny_course


def graded(command: list[str], course: Course) -> tuple[list[tuple[str, float]], str]:
    """State and score of each submission, and what the run said."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=course.root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    read = subprocess.run(
        [AUTOGRADE, "status", "tiny", "--json"], cwd=course.root, capture_output=True, text=True, check=True
    )
    return [(r["state"], r["score"]) for r in map(json.loads, read.stdout.splitlines())], done.stderr


@pytest.mark.skipif(os.getuid() == 0 and not shutil.which("setpriv"), reason="no setpriv")
def test_an_ordinary_user_grades_with_warm_kernels(course: Course):
    for parent in course.root.parents:
        if not (mode := parent.stat().st_mode) & 0o001:
            parent.chmod(mode | 0o001)
    command = as_ordinary_user([AUTOGRADE, "run", "tiny"], course.root)
    states, said = graded(command, course)
    assert states == [("graded", 3.0)] * 2
    assert "starts from nothing" not in said


@pytest.mark.skipif(os.getuid() != 0, reason="the system is made to deny it by mapping root to another user")
def test_where_namespaces_are_denied_inside_the_sandbox_kernels_start_cold(course: Course):
    denied = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    status, found = doctor(*denied)
    assert status == 0 and found["warm kernels"]["status"] == "optional"
    assert "sysctl" in str(found["warm kernels"]["remedy"])
    states, said = graded([*denied, AUTOGRADE, "run", "tiny"], course)
    assert states == [("graded", 3.0)] * 2
    assert "starts from nothing" in said
