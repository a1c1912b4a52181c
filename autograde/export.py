"""`autograde export`: the marks of an assignment as a CSV file, for people or for a learning management system.

Only what is graded to its end has a score. Everything else (unreadable, failed, missing, a written answer that waits) has none,
which is not a 0: the file for people says why, the files for Moodle and Canvas leave the row out, for an empty cell may
overwrite there.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry, Student, SubmittedAssignment

from autograde.course import Course, not_released
from autograde.record import Record, read_records

MANUAL = "needs manual grade"
FORMATS = ("csv", "moodle", "canvas")

Cell = str | float | None

# Where a spreadsheet may begin a cell: at the start, and after what some spreadsheets take for a separator or quote, whatever
# the quoting says (OWASP, CSV Injection). The signs are there in full width too, which some editions of Excel read alike.
_FORMULA = re.compile(r"^(?=[\t\r\n])|(?:^|(?<=[;,|\"\t\r\n]))[^\S\t\r\n]*(?=[=+\-@＝＋－＠])")
_PLAIN = re.compile(r"[\w.@+-]+")


@dataclass(frozen=True)
class Mark:
    """What one student gets for an assignment.

    Attributes:
        score: as in nbgrader's gradebook, the late penalty taken off; None where there is no mark.
        state: how the submission ended, or "needs manual grade".
        late_penalty: what was taken off; None where there is no mark.
        flags: how many suspicions a person has to look at.
        reason: why there is no mark, where the state does not say all.
        isolated: False when the submission ran without a sandbox.
    """

    student: str
    first_name: str
    last_name: str
    email: str
    score: float | None
    max_score: float
    state: str
    late_penalty: float | None
    flags: int
    reason: str = ""
    isolated: bool = True


def read_marks(course: Course, assignment: str) -> list[Mark]:
    """The marks of everyone in the course and everyone who handed something in, in the order of their ids.

    Raises:
        CourseError: when the assignment is not in the gradebook.
    """
    records = read_records(course, assignment)
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        try:
            max_score = gradebook.find_assignment(assignment).max_score
        except MissingEntry:
            raise not_released(course, gradebook, assignment) from None
        students = {student.id: student for student in gradebook.students}
        submissions = {each.student.id: each for each in gradebook.assignment_submissions(assignment)}
        return [
            _mark(record, students.get(record.student), submissions.get(record.student), max_score)
            for record in records
        ]


def _mark(
    record: Record, student: Student | None, submission: SubmittedAssignment | None, max_score: float
) -> Mark:
    state, reason = str(record.state), record.reason
    score = penalty = None
    if record.state in ("graded", "repaired", "salvaged"):
        if submission is None:
            state, reason = (
                "failed",
                "its marks are not in the gradebook; `autograde run --force` grades again",
            )
        elif submission.needs_manual_grade:
            state, reason = MANUAL, ""
        else:
            penalty = submission.late_submission_penalty or 0.0
            score = max(0.0, submission.score - penalty)
    return Mark(
        record.student,
        (student and student.first_name) or "",
        (student and student.last_name) or "",
        (student and student.email) or "",
        score,
        max_score,
        state,
        penalty,
        len(record.flags),
        reason,
        record.isolation != "none" or score is None,
    )


def write_marks(
    marks: Sequence[Mark], assignment: str, path: Path, *, layout: str = "csv", bom: bool = False
) -> Path:
    """Write marks as CSV in UTF-8.

    Args:
        marks: see `read_marks`.
        assignment: names the column of the scores, for Moodle and Canvas.
        path: the file.
        layout: "csv" (everyone, with the state), "moodle" or "canvas" (those who have a mark, in the columns of its import).
        bom: begin with the mark by which Excel knows UTF-8.
    """
    rows = {"csv": _for_people, "moodle": _for_moodle, "canvas": _for_canvas}[layout](marks, assignment)
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding = "utf-8-sig" if bom else "utf-8"
    with path.open("w", encoding=encoding, errors="backslashreplace", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return path


def _for_people(marks: Sequence[Mark], assignment: str) -> list[list[Cell]]:
    header = ("student", "first_name", "last_name", "email")
    rows: list[list[Cell]] = [[*header, "score", "max_score", "state", "late_penalty", "flags"]]
    for mark in marks:
        who = [
            spelled_id(mark.student),
            spelled(mark.first_name),
            spelled(mark.last_name),
            spelled_id(mark.email),
        ]
        numbers = [_number(mark.score), _number(mark.max_score)]
        rows.append([*who, *numbers, mark.state, _number(mark.late_penalty), mark.flags])
    return rows


def _for_moodle(marks: Sequence[Mark], assignment: str) -> list[list[Cell]]:
    """The columns of Moodle's own export, which its import takes (docs.moodle.org, Grade import)."""
    rows: list[list[Cell]] = [["First name", "Last name", "ID number", "Email address", spelled(assignment)]]
    for mark in marks:
        if mark.score is not None:
            who = [spelled(mark.first_name), spelled(mark.last_name)]
            rows.append([*who, spelled_id(mark.student), spelled_id(mark.email), _number(mark.score)])
    return rows


def _for_canvas(marks: Sequence[Mark], assignment: str) -> list[list[Cell]]:
    """The columns of Canvas's gradebook; the id may be that of the student information system or the login."""
    header = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
    rows: list[list[Cell]] = [[*header, spelled(assignment)]]
    if marks:
        rows.append(["    Points Possible", "", "", "", "", _number(marks[0].max_score)])
    for mark in marks:
        if mark.score is not None:
            name = ", ".join(part for part in (mark.last_name, mark.first_name) if part)
            student = spelled_id(mark.student)
            rows.append([spelled(name), "", student, student, "", _number(mark.score)])
    return rows


def spelled(text: str) -> str:
    """A text that no spreadsheet takes for a formula: with `'` before the sign that would begin one."""
    return _FORMULA.sub(lambda match: "'" + match[0], text)


def spelled_id(text: str) -> str:
    """An id or address, by which rows are matched: as it is where it has only letters, digits and `. @ + - _`.

    Those can begin with a sign but call nothing. With anything else it is a text as any other.
    """
    return text if _PLAIN.fullmatch(text) else spelled(text)


def _number(value: float | None) -> float | None:
    """A number without the noise of binary fractions; 3.0 as 3."""
    if value is None:
        return None
    rounded = round(value, 4)
    return int(rounded) if rounded == int(rounded) else rounded
