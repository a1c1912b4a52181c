"""Grading a class: `autograde run` in its sandbox against stock `nbgrader autograde`, as commands, on the same submissions.

The light assignment imports torch, torchvision and coursekit, and its cells compute for about a second. nbgrader shuts its
kernels down at once, which is fair to it. The marks must be equal. CPU time is that of the whole machine, so nothing
else may run on it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import nbformat
import psutil
from nbformat.v4 import new_code_cell
from nbgrader.api import Gradebook

from autograde import demo
from autograde.course import Course
from autograde.lab import Lab, load_lab
from autograde.release import HANDOUT, release
from benchmarks.result import Result, in_turn, medians

LIGHT = Path(__file__).parent / "light"
STUDENTS = 24
SMALL = 2  # of a class that is graded to know what a run costs before its first submission


def run(quick: bool) -> Result:
    def prepare(course: Course) -> Lab:
        lab = load_lab(LIGHT)
        release(course, lab)
        exercises = lab.exercises.values()
        answers = [
            lab.solutions,
            {exercise.name: exercise.variants[0] for exercise in exercises},
            lab.solutions | {"power": "def power(A, n):\n    return A**n"},
            {"flat": "def flat(X):\n    return X.flatten()"},
        ]
        for i in range(4 if quick else STUDENTS):
            folder = course.path("submitted", f"student{i:02}", lab.name)
            shutil.copytree(course.root / HANDOUT / "en" / lab.name, folder)
            path = folder / f"{lab.name}.ipynb"
            nbformat.write(demo.filled(path, answers[i % len(answers)]), path)
        return lab

    return compare("grading", LIGHT.parent, prepare, more=0 if quick else 4)


@dataclass
class Cost:
    """Seconds of wall time and of all processors."""

    wall: float
    cpu: float


def compare(name: str, labs: Path, prepare: Callable[[Course], Lab], more: int) -> Result:
    """Both sides, once, on the class that `prepare` hands in; `labs` is the folder of the labs' sources.

    What a submission costs beyond its cells is told from the whole class and a few of it; their runs, of which our side
    does `more`, differ by as much as ten submissions cost.
    """
    with tempfile.TemporaryDirectory() as folder:
        stock = demo.open_course(Path(folder, "stock"), labs)
        lab = prepare(stock)
        for student in stock.students(lab.name):
            _clocked(stock.path("submitted", student, lab.name) / f"{lab.name}.ipynb")
        shutil.copytree(stock.root, Path(folder, "ours"))
        course = Course(Path(folder, "ours"))
        students = course.students(lab.name)
        print(f"  {len(students)} submissions", flush=True)
        costs: list[tuple[Cost, float]] = []

        def ours(i: int) -> float:
            cost = _timed(course, "autograde", "run", lab.name, "--force")
            costs.append((cost, _cells(course, lab.name)))
            return cost.wall / len(students)

        def peer(i: int) -> float:
            command = ("nbgrader", "autograde", lab.name, "--force", "--Execute.shutdown_kernel=immediate")
            return _timed(stock, *command).wall / len(students)

        few = [option for student in students[:SMALL] for option in ("--student", student)]
        sides = in_turn(ours, peer, 1)
        small = [_timed(course, "autograde", "run", lab.name, "--force", *few).cpu]
        for i in range(more):
            ours(i)
            small.append(_timed(course, "autograde", "run", lab.name, "--force", *few).cpu)
        scores = [_scores(each, lab.name) for each in (course, stock)]
    if scores[0] != scores[1]:
        raise AssertionError(f"the marks differ: {scores[0]} {scores[1]}")
    cpu, cells, busy = (
        median(values)
        for values in zip(*((cost.cpu, cells, cost.cpu / cost.wall) for cost, cells in costs), strict=True)
    )
    each = (cpu - median(small)) / max(1, len(students) - SMALL)
    cores = os.cpu_count() or 1
    detail = {
        "submissions": len(students),
        "cells, s of CPU": cells,
        "overhead, s of CPU a submission": each - cells,
        "start, s of CPU a run": median(small) - SMALL * each,
        "cores busy": busy / cores,
    }
    for what, value in detail.items():
        print(f"  {what}: {value:.3g}", flush=True)
    quality = dict(zip(("ours", "peer"), (sum(given.values()) for given in scores), strict=True))
    return Result(name, "s a submission", *medians(sides), quality, detail)


def _timed(course: Course, *command: str) -> Cost:
    """A command of this environment in the course's folder."""
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    before, start = _busy(), time.perf_counter()
    subprocess.run(
        [str(bin_folder / command[0]), *command[1:]],
        cwd=course.root,
        env=environment,
        capture_output=True,
        check=True,
    )
    return Cost(time.perf_counter() - start, _busy() - before)


def _busy() -> float:
    """Seconds that the processors of this machine have worked."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq


def _scores(course: Course, assignment: str) -> dict[str, float]:
    with Gradebook(course.nbgrader.db_url, course.nbgrader.course_id) as gradebook:
        return {each.student.id: each.score for each in gradebook.find_assignment(assignment).submissions}


def _clocked(path: Path) -> None:
    """Have a submitted notebook print the CPU time of its cells, from its first to its last, in the run that is measured."""
    notebook = nbformat.read(path, as_version=4)
    first, last = (
        new_code_cell(f"import time as _time\n{code}")
        for code in ("_begun = _time.process_time()", "print(_time.process_time() - _begun)")
    )
    notebook.cells = [first, *notebook.cells, last]
    nbformat.write(notebook, path)


def _cells(course: Course, assignment: str) -> float:
    """What those clocks have said on average, in the notebooks that were recorded."""
    paths = [course.path("autograded", s, assignment) for s in course.students(assignment)]
    last = [nbformat.read(path / f"{assignment}.ipynb", as_version=4).cells[-1] for path in paths]
    seconds = [float(cell.outputs[0].text) for cell in last]
    return sum(seconds) / len(seconds)
