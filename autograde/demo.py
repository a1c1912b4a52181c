"""`autograde demo`: a course, a class with all sorts of submissions, graded; expected marks beside the given ones."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from autograde.course import Course, init_course
from autograde.lab import Lab
from autograde.record import Record
from autograde.release import HANDOUT
from coursekit.check.exercise import Accuracy

Change = Callable[[NotebookNode], None]

_LOOP = "def {name}(*arguments, **named):\n    while True:\n        pass"
_CRASH = "import os\n\n\ndef {name}(*arguments, **named):\n    os._exit(3)"
_NAMES = ("fatima", "gao", "hana", "ivan", "nadia", "omar")
_TAMPER = "check = lambda *arguments, **named: 100.0\nprint('all checks passed')"


@dataclass(frozen=True)
class Pupil:
    """A student of the demonstration: what they hand in and what must come of it.

    All is right in the work of a `sound` one: no cell of it stops.
    """

    name: str
    about: str
    answers: Mapping[str, str]
    score: float | None
    state: str = "graded"
    language: str = "en"
    flagged: bool = False
    change: Change | None = None
    broken: bool = False
    misconceptions: tuple[str, ...] = field(default=())
    sound: bool = False


def class_of(lab: Lab, small: bool = False) -> list[Pupil]:
    """At least one of every kind, as the table `[demo]` of lab.toml asks; a small class has only those that say something
    about the lab, not those whose trouble is the same in every lab. Marks are without the written answer, which a person
    grades.

    `trained` are exercises whose cell stays the reference's, because weights belong to it; `wrong` has a list
    `[exercise, misconception, other exercises that it costs...]` for each wrong answer; `crash` and `loop` name functions.
    What it does not say is chosen from the lab.
    """
    functions = [name for name, e in lab.exercises.items() if e.adaptor == "function"]
    trained = [name for name, e in lab.exercises.items() if isinstance(e.compare, Accuracy)]
    plan: dict[str, Any] = {"trained": trained, "wrong": [], "crash": functions[0], "loop": functions[-1]}
    plan |= lab.settings.get("demo", {})
    full = float(sum(sum(points) for points in lab.points.values()))
    all_right = dict(lab.solutions)

    def variant(number: int) -> dict[str, str]:
        others = {n: e.variants[number] for n, e in lab.exercises.items() if n not in plan["trained"]}
        return all_right | others

    def holding(exercise: str, name: str) -> dict[str, str]:
        code = next(m.code for m in lab.exercises[exercise].misconceptions if m.name == name)
        return all_right | {exercise: code}

    def without(*exercises: str) -> float:
        return full - sum(sum(lab.points[name]) for name in exercises)

    def broken(template: str, exercise: str) -> dict[str, str]:
        return all_right | {exercise: template.format(name=exercise)}

    first_half = dict(list(all_right.items())[: len(all_right) // 2])
    first_marks = sum(sum(lab.points[name]) for name in first_half)
    crash, loop = plan["crash"], plan["loop"]
    pupils = [
        Pupil("ada", "all right", all_right, full, sound=True),
        Pupil("bai", "all right, Chinese notebook", all_right, full, language="zh", sound=True),
        Pupil("blank", "nothing done, so no weights", {}, 0.0, flagged=True),
        Pupil("carol", "other correct answers", variant(0), full, sound=True),
        Pupil("emil", f"the first {len(first_half)} exercises", first_half, first_marks),
    ]
    rest = [
        Pupil("dmitri", "other correct answers again", variant(1), full, language="zh", sound=True),
        Pupil("jo", f"kernel crashes in {crash}", broken(_CRASH, crash), without(crash), state="salvaged"),
        Pupil("kim", f"endless loop in {loop}", broken(_LOOP, loop), without(loop)),
        Pupil("lee", "broken file", all_right, None, state="unreadable", broken=True),
        Pupil("mallory", "tampers with the checks", {}, 0.0, flagged=True, change=_tamper),
    ]
    for i, (exercise, misconception, *costs) in enumerate(plan["wrong"]):
        pupils.append(
            Pupil(
                _NAMES[i],
                f"{exercise}: {misconception.replace('_', ' ')}",
                holding(exercise, misconception),
                without(exercise, *costs),
                language=("en", "zh")[i % 2],
                misconceptions=(misconception,),
            )
        )
    return sorted(pupils if small else pupils + rest, key=lambda pupil: pupil.name)


def open_course(folder: Path, labs: Path | None = None) -> Course:
    """A new course for the labs in `labs`; one that is there already is replaced."""
    if folder.exists():
        shutil.rmtree(folder)
    course = init_course(folder, course_id="demo", language="en", labs=labs)
    settings = folder / "autograde.toml"
    text = settings.read_text(encoding="utf-8").replace("cell_seconds = 60 ", "cell_seconds = 10 ")
    settings.write_text(text, encoding="utf-8")
    return Course(course.root)


def solve_at_home(course: Course, lab: Lab, **environment: str) -> Path:
    """Do the lab as its best student would: fill in the notebook and run it from a fresh kernel, training included.

    Several may be solved at a time, each in a thread of its own.
    """
    folder = course.root / "home" / lab.name
    shutil.copytree(course.root / HANDOUT / "en" / lab.name, folder)
    path = folder / f"{lab.name}.ipynb"
    notebook = filled(path, lab.solutions)
    inherited = {name: value for name, value in os.environ.items() if name != "NBGRADER_EXECUTION"}
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute(env=inherited | environment, stderr=subprocess.DEVNULL)
    nbformat.write(notebook, path)
    return folder


def filled(path: Path, answers: Mapping[str, str]) -> NotebookNode:
    """A released notebook with answers in their cells."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = answers.get(grade_id, cell.source)
    return notebook


def hand_in(course: Course, lab: Lab, pupil: Pupil, home: Path) -> None:
    """Put a pupil's submission where nbgrader collects it, with what was trained and predicted at home."""
    folder = course.path("submitted", pupil.name, lab.name)
    shutil.copytree(course.root / HANDOUT / pupil.language / lab.name, folder)
    path = folder / f"{lab.name}.ipynb"
    notebook = filled(path, pupil.answers)
    if pupil.change:
        pupil.change(notebook)
    nbformat.write(notebook, path)
    if pupil.broken:
        path.write_bytes(path.read_bytes()[:2000])
    if pupil.answers:
        for made in home.iterdir():
            if made.is_file() and not (folder / made.name).exists():
                shutil.copy(made, folder)


def unexpected(pupil: Pupil, record: Record, graded: Path) -> list[str]:
    """What is not as it must be; `graded` is the notebook as grading left it."""
    found = []
    if record.state != pupil.state:
        found.append(f"state {record.state}, expected {pupil.state}")
    if record.score != pupil.score:
        found.append(f"score {record.score}, expected {pupil.score}")
    if bool(record.flags) != pupil.flagged:
        found.append(f"flags {record.flags}" if record.flags else "not flagged")
    named = {outcome["misconception"] for outcome in record.outcomes}
    found += [f"misconception {name} was not named" for name in pupil.misconceptions if name not in named]
    if pupil.sound:
        cells = nbformat.read(graded, as_version=4).cells
        found += [
            f"cell {i} stopped with {output.ename}: {output.evalue}"
            for i, cell in enumerate(cells)
            for output in cell.get("outputs", ())
            if output.output_type == "error"
        ]
    return found


def _tamper(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if grade_id.endswith(("-check", "-hidden")):
            cell.source, cell.metadata["tags"] = "100.0", ["skip-execution"]
    notebook.cells.insert(1, nbformat.v4.new_code_cell(_TAMPER))
