"""Recording: nbgrader's gradebook, written by nbgrader's own code, by one process at a time; and our record beside it."""

import copy
import glob
import json
import os
import shutil
import tempfile
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    IgnorePattern,
    LimitOutput,
    NbGraderPreprocessor,
    SaveAutoGrades,
)
from sqlalchemy.exc import SAWarning
from traitlets import Dict

from autograde.course import Course
from autograde.errors import AutogradeError
from autograde.log import captured_log

State = Literal["graded", "repaired", "salvaged", "unreadable", "missing", "failed"]


@dataclass
class Record:
    """How one submission ended. `score` is None where nothing could be graded, which is not a 0."""

    student: str
    state: State
    score: float | None = None
    max_score: float | None = None
    flags: list[str] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    reason: str = ""
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    needs_manual_grade: bool = False
    language: str = "en"
    isolation: str = "bubblewrap"
    seconds: float = 0.0
    digest: str = ""


class LoadExecuted(NbGraderPreprocessor):
    """Takes the place of nbgrader's `Execute`: the outputs of a notebook that has been run already."""

    outputs = Dict(help="By notebook, the outputs of each cell").tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> Any:
        """Set outputs by position; the cells are those that were run."""
        outputs = self.outputs[resources["nbgrader"]["notebook"]]
        if len(outputs) != len(nb.cells):
            raise AutogradeError(f"{len(outputs)} cells were run, {len(nb.cells)} are to be recorded")
        for number, (cell, found) in enumerate(zip(nb.cells, outputs, strict=True), 1):
            if cell.cell_type == "code":
                cell.outputs = [nbformat.from_dict(output) for output in found]
                cell.execution_count = number
        return nb, resources


def finalise(
    root: str, assignment: str, student: str, notebooks: dict[str, str], files: dict[str, str]
) -> tuple[float, float, bool]:
    """Record one executed submission; runs in the one process that writes the gradebook.

    Args:
        root: the course directory.
        notebooks: by name, the executed notebook as JSON.
        files: other files of the submission, by relative path.

    Returns:
        Score, maximum, and whether a person has still to grade something.
    """
    course = Course(Path(root))
    with tempfile.TemporaryDirectory(prefix="stage-", dir=_made(course.state)) as stage:
        staged = Path(stage, "submitted", student, assignment)
        staged.mkdir(parents=True)
        for relative, path in files.items():
            (staged / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, staged / relative)
        outputs = {}
        for name, text in notebooks.items():
            notebook = nbformat.reads(text, as_version=4)
            outputs[name] = [cell.get("outputs", []) for cell in notebook.cells]
            nbformat.write(notebook, staged / f"{name}.ipynb")
        _convert(course, assignment, student, Path(stage), outputs)
        _replace(
            Path(stage, "autograded", student, assignment), course.path("autograded", student, assignment)
        )
    with Gradebook(course.nbgrader.db_url, course.nbgrader.course_id) as gradebook:
        submission = gradebook.find_submission(assignment, student)
        return submission.score, submission.max_score, submission.needs_manual_grade


def _convert(course: Course, assignment: str, student: str, stage: Path, outputs: dict[str, Any]) -> None:
    config = copy.deepcopy(course.config)
    config.CourseDirectory.assignment_id = assignment
    config.CourseDirectory.student_id = glob.escape(student)  # nbgrader takes it as a pattern
    config.CourseDirectory.submitted_directory = str(stage.relative_to(course.root) / "submitted")
    config.CourseDirectory.autograded_directory = str(stage.relative_to(course.root) / "autograded")
    config.Autograde.autograde_preprocessors = [
        LoadExecuted,
        IgnorePattern,
        LimitOutput,
        SaveAutoGrades,
        AssignLatePenalties,
        CheckCellMetadata,
    ]
    config.LoadExecuted.outputs = outputs
    converter = Autograde(coursedir=CourseDirectory(config=config), config=config)
    with captured_log(converter) as log, warnings.catch_warnings():
        # nbgrader's own way of adding objects, which SQLAlchemy 2 remarks on.
        warnings.simplefilter("ignore", SAWarning)
        try:
            converter.start()
        except Exception as error:
            raise AutogradeError(f"nbgrader could not record {student}: {error}\n{log.getvalue()}") from error


def _replace(new: Path, old: Path) -> None:
    """Put a finished folder in the place of an older one, which stays until the new one is there."""
    old.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=old.parent) as aside:
        if old.exists():
            old.rename(Path(aside, "old"))
        new.rename(old)
        _writable(Path(aside))


def _writable(folder: Path) -> None:
    """nbgrader makes what it writes read-only; to remove it, the folders must be writable."""
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)


def records_folder(course: Course, assignment: str) -> Path:
    """Where the records of an assignment lie, one JSON file a student."""
    return course.state / "records" / assignment


def write_record(course: Course, assignment: str, record: Record) -> None:
    """Write a record as a whole or not at all."""
    folder = _made(records_folder(course, assignment))
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, suffix=".part", encoding="utf-8") as file:
        json.dump(asdict(record), file, ensure_ascii=False, indent=1)
    Path(file.name).replace(folder / f"{record.student}.json")


def read_record(course: Course, assignment: str, student: str) -> Record | None:
    """The record of a student, if there is one."""
    path = records_folder(course, assignment) / f"{student}.json"
    return Record(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def read_records(course: Course, assignment: str) -> list[Record]:
    """Every student of the course and everyone who handed something in; those without a submission are "missing"."""
    with Gradebook(course.nbgrader.db_url, course.nbgrader.course_id) as gradebook:
        roster = {student.id for student in gradebook.students}
        records = []
        for student in sorted(roster | set(course.students(assignment))):
            record = read_record(course, assignment, student)
            if record is None:
                handed_in = course.path("submitted", student, assignment).exists()
                records.append(
                    Record(
                        student,
                        "failed" if handed_in else "missing",
                        reason="not graded yet" if handed_in else "",
                    )
                )
                continue
            if record.score is not None:
                _refresh(gradebook, assignment, record)
            records.append(record)
        return records


def _refresh(gradebook: Gradebook, assignment: str, record: Record) -> None:
    """Scores change when a person grades a written answer: the gradebook knows."""
    try:
        submission = gradebook.find_submission(assignment, record.student)
    except MissingEntry:
        return
    record.score, record.max_score = submission.score, submission.max_score
    record.needs_manual_grade = submission.needs_manual_grade


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
