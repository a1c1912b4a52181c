"""`autograde report`: one HTML page for the class, which needs no network and no other file."""

import os
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup
from nbgrader.api import Gradebook, MissingEntry

from autograde.course import Course
from autograde.master import MasterNotebook, read_masters
from autograde.page import full_names, read_words, templates, write_page
from autograde.record import Record, read_records
from coursekit.check.light import number
from coursekit.check.show import say, with_code
from coursekit.check.tree import Text

MAX_BINS = 10
# Okabe-Ito colours, each with a sign; the words are in templates/words.toml.
STATUSES = {
    "correct": ("✓", "#009E73"),
    "partial": ("◐", "#E69F00"),
    "incorrect": ("✗", "#D55E00"),
    "error": ("!", "#CC79A7"),
    "not attempted": ("○", "#999999"),
}
STATES = {
    "graded": ("✓", "#009E73"),
    "repaired": ("✎", "#56B4E9"),
    "salvaged": ("◐", "#E69F00"),
    "unreadable": ("✗", "#D55E00"),
    "failed": ("!", "#CC79A7"),
    "missing": ("○", "#999999"),
}


@dataclass(frozen=True)
class Check:
    """One check cell as released."""

    grade_id: str
    exercise: str
    title: Text
    points: float
    hidden: bool
    hints: dict[str, Text]


@dataclass
class Bar:
    """How one check went in the class: students by status; share of its points that were earned."""

    check: Check
    counts: Counter[str]
    share: float


@dataclass
class ExerciseSummary:
    """One exercise: a bar for each of its checks, and who passes the public one but not the hidden one."""

    name: str
    title: Text
    bars: list[Bar] = field(default_factory=list)
    public_only: list[str] = field(default_factory=list)


@dataclass
class Held:
    """A misconception and the students who hold it."""

    exercise: str
    title: Text
    name: str
    hint: Text
    students: list[str]


@dataclass
class Bin:
    """Submissions with a score from `low` up to `high` (the last bin includes its end)."""

    low: float
    high: float
    count: int = 0


@dataclass
class Row:
    """One submission as the table shows it."""

    record: Record
    name: str
    feedback: list[str]
    waiting: list[str]


def write_report(
    course: Course, assignment: str, *, output: Path | None = None, language: str | None = None
) -> Path:
    """Write the class report of an assignment.

    Args:
        output: the file; default: `reports/<assignment>.html` in the course.
        language: "en" or "zh"; default: the course's.

    Returns:
        The file.

    Raises:
        CourseError: when the assignment is not in the gradebook, or there is no such language.
    """
    path = output or course.root / "reports" / f"{assignment}.html"
    page = render(course, assignment, path.parent, language or course.settings.get("language", "en"))
    return write_page(path, page)


def render(course: Course, assignment: str, folder: Path, language: str) -> str:
    """The page as text; links to feedback files are relative to `folder`."""
    words = read_words(language)
    checks = list(_checks(read_masters(course, assignment)))
    records = read_records(course, assignment)
    rows = _rows(course, assignment, records, folder)
    scores = [record.score for record in records if record.score is not None]
    top = max((record.max_score or 0.0 for record in records), default=0.0)
    states: Counter[str] = Counter(record.state for record in records)
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            assignment=assignment,
            course_id=course.nbgrader.course_id,
            language=language,
            words=words,
            now=datetime.now().astimezone(),
            rows=rows,
            states={state: states[state] for state in STATES if states[state]},
            state_look=STATES,
            status_look=STATUSES,
            scores=scores,
            top=top,
            mean=statistics.fmean(scores) if scores else None,
            median=statistics.median(scores) if scores else None,
            bins=histogram(scores, top),
            exercises=summarise(checks, records),
            misconceptions=held(checks, records),
            waiting=[row for row in rows if row.waiting],
            unsafe=[row for row in rows if row.record.isolation == "none" and row.record.score is not None],
            who={row.record.student: row.name or row.record.student for row in rows},
            say=lambda text: say(text, language),
            code=_code,
            number=number,
        )
    )


def histogram(scores: Sequence[float], top: float) -> list[Bin]:
    """Scores from 0 to `top` in at most ten bins of equal width."""
    if not scores or top <= 0:
        return []
    count = max(1, min(MAX_BINS, int(top)))
    bins = [Bin(top * i / count, top * (i + 1) / count) for i in range(count)]
    for score in scores:
        bins[max(0, min(count - 1, int(score / top * count)))].count += 1
    return bins


def summarise(checks: Sequence[Check], records: Sequence[Record]) -> list[ExerciseSummary]:
    """Each exercise in the notebook's order, with its checks counted by status."""
    found: dict[str, ExerciseSummary] = {}
    for check in checks:
        outcomes = {
            record.student: outcome
            for record in records
            for outcome in record.outcomes
            if outcome.get("grade_id") == check.grade_id
        }
        counts = Counter(str(outcome["status"]) for outcome in outcomes.values())
        possible = check.points * len(outcomes)
        share = sum(outcome["points"] for outcome in outcomes.values()) / possible if possible else 0.0
        summary = found.setdefault(check.exercise, ExerciseSummary(check.exercise, check.title))
        summary.bars.append(Bar(check, counts, share))
        right = {student for student, outcome in outcomes.items() if outcome["status"] == "correct"}
        if check.hidden:
            summary.public_only = sorted(set(summary.public_only) - right)
        else:
            summary.public_only = sorted(right)
    for summary in found.values():
        if not any(bar.check.hidden for bar in summary.bars):
            summary.public_only = []
    return list(found.values())


def held(checks: Sequence[Check], records: Sequence[Record]) -> list[Held]:
    """The misconceptions that somebody holds, the most frequent first."""
    students: dict[tuple[str, str], set[str]] = {}
    for record in records:
        for outcome in record.outcomes:
            if outcome["misconception"]:
                key = (outcome["exercise"], outcome["misconception"])
                students.setdefault(key, set()).add(record.student)
    by_exercise = {check.exercise: check for check in checks}
    everything = [
        Held(exercise, check.title, name, check.hints.get(name, {}), sorted(who))
        for (exercise, name), who in students.items()
        if (check := by_exercise.get(exercise))
    ]
    order = list(by_exercise)
    return sorted(everything, key=lambda item: (-len(item.students), order.index(item.exercise), item.name))


def _checks(masters: Sequence[MasterNotebook]) -> Iterator[Check]:
    for master in masters:
        for grade_id in master.order:
            if cases := master.checks.get(grade_id):
                cell = master.cells[grade_id]
                hidden = cell.visible != cell.source
                yield Check(grade_id, cases.exercise, cases.title, cell.points, hidden, dict(cases.hints))


def _rows(course: Course, assignment: str, records: Sequence[Record], folder: Path) -> list[Row]:
    names = full_names(course)
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        return [
            Row(
                record,
                names.get(record.student, ""),
                _feedback(course, assignment, record.student, folder),
                _waiting(gradebook, assignment, record),
            )
            for record in records
        ]


def _feedback(course: Course, assignment: str, student: str, folder: Path) -> list[str]:
    """Links to a student's feedback pages, as the report's page has to write them."""
    pages = sorted(course.path("feedback", student, assignment).glob("*.html"))
    return [quote(Path(os.path.relpath(page, folder.resolve())).as_posix()) for page in pages]


def _waiting(gradebook: Gradebook, assignment: str, record: Record) -> list[str]:
    """Names of the answers of a submission that a person has still to grade."""
    if not record.needs_manual_grade:
        return []
    try:
        submission = gradebook.find_submission(assignment, record.student)
    except MissingEntry:
        return []
    return sorted(
        grade.name
        for notebook in submission.notebooks
        for grade in notebook.grades
        if grade.needs_manual_grade
    )


def _code(text: str) -> Markup:
    """A hint with its `names` as code."""
    return Markup(with_code(text))
