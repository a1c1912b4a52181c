"""What was released: the gradebook's cells, in the order of the released notebook, and the cases of its checks."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry

from autograde.course import Course
from autograde.errors import CourseError
from autograde.notebook import BEGIN_HIDDEN, END_HIDDEN
from coursekit.check.exercise import CaseSet
from coursekit.check.lab import SUFFIX, decode, read_bundle

_CHECK = re.compile(
    r'^check\("(?P<exercise>\w+)", \w+(?:, cases="(?P<cases>[A-Za-z0-9+/=]+)")?\)$', re.MULTILINE
)
_HIDDEN = re.compile(rf"^{BEGIN_HIDDEN}$.*?^{END_HIDDEN}$\n?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class MasterCell:
    """A cell as the gradebook has it; `source` with the hidden region."""

    grade_id: str
    cell_type: str
    source: str
    locked: bool
    grade: bool
    solution: bool
    points: float
    checksum: str | None

    @property
    def visible(self) -> str:
        """The source without the hidden region."""
        return _HIDDEN.sub("", self.source)

    def metadata(self) -> dict[str, Any]:
        """Its nbgrader metadata, whatever a submission says."""
        nbgrader = {
            "schema_version": 3,
            "grade_id": self.grade_id,
            "grade": self.grade,
            "solution": self.solution,
            "locked": self.locked,
            "task": False,
            "cell_type": self.cell_type,
            "checksum": self.checksum,
        }
        return {**nbgrader, "points": self.points} if self.grade else nbgrader


@dataclass(frozen=True)
class MasterNotebook:
    """One released notebook.

    Attributes:
        cells: those that nbgrader knows, by grade id.
        order: their ids as they stand in the notebook.
        given: the code of every cell as it was handed out.
    """

    name: str
    cells: dict[str, MasterCell]
    order: list[str]
    metadata: dict[str, Any]
    bundle: dict[str, CaseSet]
    given: tuple[str, ...] = ()

    @cached_property
    def checks(self) -> dict[str, CaseSet]:
        """Cases of each check cell, by grade id; the other graded cells (of other people's courses) have none."""
        found = {}
        for cell in self.cells.values():
            match = _CHECK.search(cell.source) if cell.grade and not cell.solution else None
            if match is None:
                continue
            cases = decode(match["cases"]) if match["cases"] else self.bundle.get(match["exercise"])
            if cases is not None:
                found[cell.grade_id] = replace(cases, points=cell.points)
        return found

    @property
    def max_score(self) -> float:
        """Points of all graded cells."""
        return sum(cell.points for cell in self.cells.values() if cell.grade)


def read_masters(course: Course, assignment: str) -> list[MasterNotebook]:
    """The released notebooks of an assignment.

    Raises:
        CourseError: when the gradebook does not know the assignment.
    """
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        try:
            names = [notebook.name for notebook in gradebook.find_assignment(assignment).notebooks]
        except MissingEntry:
            raise CourseError(
                f"the gradebook of {course.root} has no assignment {assignment!r}; "
                f"release it first (`autograde release {assignment}`, or nbgrader's generate_assignment)"
            ) from None
        return [_read(course, gradebook, assignment, name) for name in sorted(names)]


def due_date(course: Course, assignment: str) -> datetime | None:
    """When an assignment of the gradebook is due (UTC), if it says so."""
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        return gradebook.find_assignment(assignment).duedate


def _read(course: Course, gradebook: Gradebook, assignment: str, name: str) -> MasterNotebook:
    notebook = gradebook.find_notebook(name, assignment)
    points = {cell.name: cell.max_score for cell in [*notebook.grade_cells, *notebook.task_cells]}
    graded = {cell.name for cell in notebook.grade_cells}
    solutions = {cell.name for cell in notebook.solution_cells}
    cells = {
        cell.name: MasterCell(
            cell.name,
            cell.cell_type,
            cell.source or "",
            cell.locked,
            cell.name in graded,
            cell.name in solutions,
            points.get(cell.name, 0.0),
            cell.checksum,
        )
        for cell in notebook.source_cells
    }
    released = _released(course, assignment, name)
    order = [grade_id for cell in released.cells if (grade_id := _grade_id(cell)) in cells]
    bundle = course.path("release", ".", assignment) / f"{assignment}{SUFFIX}"
    case_sets = read_bundle(bundle).case_sets if bundle.is_file() else {}
    given = tuple(cell.source for cell in released.cells if cell.cell_type == "code")
    return MasterNotebook(name, cells, order or list(cells), dict(released.metadata), case_sets, given)


def _released(course: Course, assignment: str, name: str) -> NotebookNode:
    for step in ("release", "source"):
        path = course.path(step, ".", assignment) / f"{name}.ipynb"
        if path.is_file():
            return nbformat.read(path, as_version=4)
    raise CourseError(
        f"{name}.ipynb is neither in release/{assignment} nor in source/{assignment} of {course.root}"
    )


def _grade_id(cell: NotebookNode) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")
