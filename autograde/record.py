"""How submissions ended: one JSON file each, beside nbgrader's gradebook, written as a whole or not at all."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from nbgrader.api import Gradebook, MissingEntry

from autograde.course import Course
from autograde.log import log
from autograde.patience import patient

State = Literal["graded", "repaired", "salvaged", "unreadable", "missing", "failed"]


@dataclass
class Record:
    """How one submission ended. `score` is None where nothing could be graded, which is not a 0.

    Attributes:
        digest: of all that the marks depend on.
        notebooks: those that were graded when the digest was this.
    """

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
    notebooks: list[str] = field(default_factory=list)


def records_folder(course: Course, assignment: str) -> Path:
    """Where the records of an assignment lie, one JSON file a student."""
    return course.state / "records" / assignment


def begin_record(course: Course, assignment: str, student: str) -> None:
    """Note that the gradebook is about to be written: until `write_record`, the record there is does not hold.

    A run that is killed in between leaves the note, and the next one grades again.
    """
    _begun(course, assignment, student).touch()


def was_begun(course: Course, assignment: str, student: str) -> bool:
    """Whether a run has begun to write the gradebook for a student and did not come to the end."""
    return _begun(course, assignment, student).exists()


def _begun(course: Course, assignment: str, student: str) -> Path:
    return made(records_folder(course, assignment)) / f"{student}.begun"


@contextmanager
def only_run(course: Course) -> Iterator[None]:
    """One run at a time in a course; another one waits."""
    lock = FileLock(made(course.state) / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("Another run is at work in %s; waiting for its end.", course.root)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_record(course: Course, assignment: str, record: Record) -> None:
    """Write a record as a whole or not at all."""
    folder = made(records_folder(course, assignment))
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, suffix=".part", encoding="utf-8") as file:
        json.dump(asdict(record), file, ensure_ascii=False, indent=1)
    Path(file.name).replace(folder / f"{record.student}.json")
    _begun(course, assignment, record.student).unlink(missing_ok=True)


def read_record(course: Course, assignment: str, student: str) -> Record | None:
    """The record of a student, if there is one that holds."""
    if was_begun(course, assignment, student):
        return None
    path = records_folder(course, assignment) / f"{student}.json"
    return Record(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def read_records(course: Course, assignment: str) -> list[Record]:
    """Every student of the course and everyone who handed something in; those without a submission are "missing"."""
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
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
            # They change when a person grades a written answer.
            marks = _marks(gradebook, assignment, student) if record.score is not None else None
            if marks is not None:
                record.score, record.max_score, record.needs_manual_grade = marks
            records.append(record)
        return records


def known_students(course: Course) -> set[str]:
    """Ids of the students that the gradebook has."""
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        return {student.id for student in gradebook.students}


def all_marks(course: Course, assignment: str) -> dict[str, tuple[float, float, bool]]:
    """The marks that the gradebook has, as `recorded_marks`, by student."""
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        submissions = gradebook.find_assignment(assignment).submissions
        return {
            each.student.id: (each.score, each.max_score, each.needs_manual_grade) for each in submissions
        }


@patient
def recorded_marks(course: Course, assignment: str, student: str) -> tuple[float, float, bool] | None:
    """What the gradebook has: marks, the most there are, and whether a person has still to grade something."""
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        return _marks(gradebook, assignment, student)


def _marks(gradebook: Gradebook, assignment: str, student: str) -> tuple[float, float, bool] | None:
    try:
        submission = gradebook.find_submission(assignment, student)
    except MissingEntry:
        return None
    return submission.score, submission.max_score, submission.needs_manual_grade


def made(folder: Path) -> Path:
    """A folder that is there now."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder
