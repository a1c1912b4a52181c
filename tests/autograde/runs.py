"""`autograde run` as a process of its own on a class of six, for tests of what becomes of it."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from autograde.course import Course
from autograde.record import read_record

SCALE, MEAN = (
    "def scale(x, factor):\n    return factor * x",
    "def mean_of(x):\n    return x.sum() / x.numel()",
)
RIGHT = {"scale": SCALE, "mean_of": MEAN}
STUDENTS = ("ada", "bob", "cyd", "dan", "eve", "fay")


def right_after(seconds: float) -> dict[str, str]:
    """Right answers, of which one keeps its kernel busy."""
    return RIGHT | {"scale": f"import time\ntime.sleep({seconds})\n{SCALE}"}


def begin(course: Course, *options: str) -> subprocess.Popen[str]:
    """`autograde run` as a terminal starts it: in a process group of its own."""
    command = [str(Path(sys.executable).parent / "autograde"), "run", "tiny", *options]
    return subprocess.Popen(
        [*command, "--course", str(course.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def wait_for(what: Callable[[], object], seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def graded(course: Course) -> list[str]:
    return [student for student in STUDENTS if read_record(course, "tiny", student)]
