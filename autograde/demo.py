"""`autograde demo`: a course, a class with all sorts of submissions, graded; expected marks beside the given ones."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from autograde.course import Course, init_course
from autograde.lab import Lab, load_lab
from autograde.record import Record
from autograde.release import HANDOUT, release

Change = Callable[[NotebookNode], None]

_LOOP = "def count_parameters(c_in, c_out, k, height, width):\n    while True:\n        pass"
_CRASH = "import os\n\n\ndef shift(images, dx, dy, fill):\n    os._exit(3)"
_TAMPER = "check = lambda *arguments, **named: 100.0\nprint('all checks passed')"


@dataclass(frozen=True)
class Pupil:
    """A student of the demonstration: what they hand in and what must come of it."""

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


def class_of(lab: Lab) -> list[Pupil]:
    """At least one of every kind. Marks are without the written answer, which a person grades."""
    full = float(sum(sum(points) for points in lab.points.values()))
    all_right = dict(lab.solutions)

    def variant(number: int) -> dict[str, str]:
        # The trained network's own cell stays: its weights belong to the reference's architecture.
        others = {
            name: e.variants[number]
            for name, e in lab.exercises.items()
            if name not in ("LeNet", "train_lenet")
        }
        return all_right | others

    def holding(exercise: str, name: str) -> dict[str, str]:
        code = next(m.code for m in lab.exercises[exercise].misconceptions if m.name == name)
        return all_right | {exercise: code}

    def without(*exercises: str) -> float:
        return full - sum(sum(lab.points[name]) for name in exercises)

    def wrong(name: str, exercise: str, misconception: str, *also: str, language: str = "en") -> Pupil:
        about = f"{exercise}: {misconception.replace('_', ' ')}"
        answers = holding(exercise, misconception)
        return Pupil(
            name, about, answers, without(exercise, *also), language=language, misconceptions=(misconception,)
        )

    # train_epoch calls train_step, so what is wrong there costs both.
    first_half = dict(list(all_right.items())[:4])
    return [
        Pupil("ada", "all right", all_right, full),
        Pupil("bai", "all right, Chinese notebook", all_right, full, language="zh"),
        Pupil("blank", "nothing done, so no weights", {}, 0.0, flagged=True),
        Pupil("carol", "other correct answers", variant(0), full),
        Pupil("dmitri", "other correct answers again", variant(1), full, language="zh"),
        Pupil(
            "emil", "the first four exercises", first_half, sum(sum(lab.points[name]) for name in first_half)
        ),
        wrong("fatima", "conv2d", "flipped_kernel"),
        wrong("gao", "train_step", "softmax_before_loss", "train_epoch", language="zh"),
        wrong("hana", "shift", "axes_swapped"),
        wrong("ivan", "count_parameters", "biases_forgotten"),
        Pupil(
            "jo", "kernel crashes in shift", all_right | {"shift": _CRASH}, without("shift"), state="salvaged"
        ),
        Pupil("kim", "endless loop", all_right | {"count_parameters": _LOOP}, without("count_parameters")),
        Pupil("lee", "broken file", all_right, None, state="unreadable", broken=True),
        Pupil("mallory", "tampers with the checks", {}, 0.0, flagged=True, change=_tamper),
    ]


def prepare(folder: Path, labs: Path, lab_name: str) -> tuple[Course, Lab]:
    """Make the course afresh and release the lab."""
    lab = load_lab(labs / lab_name)
    if folder.exists():
        shutil.rmtree(folder)
    course = init_course(folder, course_id="demo", language="en")
    settings = folder / "autograde.toml"
    text = settings.read_text(encoding="utf-8").replace("cell_seconds = 60 ", "cell_seconds = 20 ")
    settings.write_text(text, encoding="utf-8")
    course = Course(course.root)
    release(course, lab)
    return course, lab


def solve_at_home(course: Course, lab: Lab) -> Path:
    """Do the lab as its best student would: fill in the notebook and run it from a fresh kernel, training included."""
    folder = course.root / "home" / lab.name
    shutil.copytree(course.root / HANDOUT / "en" / lab.name, folder)
    path = folder / f"{lab.name}.ipynb"
    notebook = filled(path, lab.solutions)
    mode = os.environ.pop("NBGRADER_EXECUTION", None)
    try:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute(
            stderr=subprocess.DEVNULL
        )
    finally:
        if mode is not None:
            os.environ["NBGRADER_EXECUTION"] = mode
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
    """Put a pupil's submission where nbgrader collects it, with the weights that were trained at home."""
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
        for weights in home.glob("*.safetensors"):
            if not (folder / weights.name).exists():
                shutil.copy(weights, folder)


def unexpected(pupil: Pupil, record: Record) -> list[str]:
    """What is not as it must be."""
    found = []
    if record.state != pupil.state:
        found.append(f"state {record.state}, expected {pupil.state}")
    if record.score != pupil.score:
        found.append(f"score {record.score}, expected {pupil.score}")
    if bool(record.flags) != pupil.flagged:
        found.append(f"flags {record.flags}" if record.flags else "not flagged")
    named = {outcome["misconception"] for outcome in record.outcomes}
    found += [f"misconception {name} was not named" for name in pupil.misconceptions if name not in named]
    return found


def _tamper(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if grade_id.endswith(("-check", "-hidden")):
            cell.source, cell.metadata["tags"] = "100.0", ["skip-execution"]
    notebook.cells.insert(1, nbformat.v4.new_code_cell(_TAMPER))
