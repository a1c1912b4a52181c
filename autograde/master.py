"""What was released: the gradebook's cells, in the order of the released notebook, and the cases of its checks."""

import json
import re
import shutil
import sys
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.utils import is_locked
from sqlalchemy import make_url
from sqlalchemy.exc import DatabaseError

from autograde.course import Course, not_released, release_first
from autograde.errors import CourseError
from autograde.log import log
from autograde.notebook import BEGIN_HIDDEN, END_HIDDEN
from coursekit.check.exercise import CaseSet
from coursekit.check.lab import SUFFIX, decode, read_bundle
from coursekit.check.tree import dumps

_CHECK = re.compile(
    r'^check\("(?P<exercise>\w+)", \w+(?:, cases="(?P<cases>[A-Za-z0-9+/=]+)")?\)$', re.MULTILINE
)
_HIDDEN = re.compile(rf"^{BEGIN_HIDDEN}$.*?^{END_HIDDEN}$\n?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class MasterCell:
    """A cell as the gradebook has it; `source` with the hidden region, `released` as it was handed out."""

    grade_id: str
    cell_type: str
    source: str
    locked: bool
    grade: bool
    solution: bool
    points: float
    checksum: str | None
    task: bool = False
    released: NotebookNode | None = None

    @cached_property
    def visible(self) -> str:
        """The source without the hidden region."""
        return _HIDDEN.sub("", self.source)

    def metadata(self) -> dict[str, Any]:
        """Its metadata, whatever a submission says: as released, under what the gradebook has."""
        nbgrader: dict[str, Any] = {
            "schema_version": 3,
            "grade_id": self.grade_id,
            "grade": self.grade,
            "solution": self.solution,
            "locked": self.locked,
            "task": self.task,
            "cell_type": self.cell_type,
            "checksum": self.checksum,
        }
        if self.grade or self.task:
            nbgrader["points"] = self.points
        if self.released is None:
            return {"nbgrader": nbgrader}
        metadata = dict(self.released.metadata)
        told = metadata["nbgrader"]
        # What is released may leave out what goes without saying; only what contradicts the gradebook is replaced.
        meant = {**told, "locked": is_locked(self.released)}
        metadata["nbgrader"] = told | {
            key: value for key, value in nbgrader.items() if (meant.get(key) or None) != (value or None)
        }
        return metadata


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

    @cached_property
    def questions(self) -> dict[str, bytes]:
        """What enters the sandbox of each check, by grade id."""
        return {grade_id: dumps(cases.questions()) for grade_id, cases in self.checks.items()}

    @property
    def gpu(self) -> bool:
        """Whether the release asks for a GPU; what a submission says of itself does not count."""
        about = self.metadata.get("coursekit")
        return isinstance(about, dict) and about.get("gpu") is True

    @property
    def max_score(self) -> float:
        """Points of all graded cells."""
        return sum(cell.points for cell in self.cells.values() if cell.grade)


def read_masters(course: Course, assignment: str) -> list[MasterNotebook]:
    """The released notebooks of an assignment.

    Raises:
        CourseError: when the gradebook cannot be read, does not know the assignment, or names a kernel that is no Python.
    """
    url = make_url(course.db_url)
    if url.drivername == "sqlite" and url.database and not Path(url.database).is_file():
        raise CourseError(f"there is no gradebook {url.database}; {release_first(assignment)}")
    try:
        with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
            try:
                names = [notebook.name for notebook in gradebook.find_assignment(assignment).notebooks]
            except MissingEntry:
                raise not_released(course, gradebook, assignment) from None
            if not names:
                raise CourseError(
                    f"{assignment!r} has no notebooks in the gradebook; {release_first(assignment)}"
                )
            return [_read(course, gradebook, assignment, name) for name in sorted(names)]
    except DatabaseError as error:
        raise CourseError(
            f"the gradebook {url} cannot be read ({error.orig}); if nbgrader has become newer since it was made, "
            "keep a copy of it and run `nbgrader db upgrade`"
        ) from error


def due_date(course: Course, assignment: str) -> datetime | None:
    """When an assignment of the gradebook is due (UTC), if it says so."""
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        return gradebook.find_assignment(assignment).duedate


def _read(course: Course, gradebook: Gradebook, assignment: str, name: str) -> MasterNotebook:
    notebook = gradebook.find_notebook(name, assignment)
    points = {cell.name: cell.max_score for cell in [*notebook.grade_cells, *notebook.task_cells]}
    graded = {cell.name for cell in notebook.grade_cells}
    solutions = {cell.name for cell in notebook.solution_cells}
    tasks = {cell.name for cell in notebook.task_cells}
    released = _released(course, assignment, name)
    by_id = {_grade_id(cell): cell for cell in released.cells}
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
            cell.name in tasks,
            by_id.get(cell.name),
        )
        for cell in notebook.source_cells
    }
    order = [grade_id for grade_id in by_id if grade_id in cells]
    bundle = course.path("release", ".", assignment) / f"{assignment}{SUFFIX}"
    case_sets = read_bundle(bundle).case_sets if bundle.is_file() else {}
    given = tuple(cell.source for cell in released.cells if cell.cell_type == "code")
    metadata = dict(released.metadata)
    if kernelspec := json.loads(notebook.kernelspec or "null"):  # the source's, which counts
        metadata["kernelspec"] = kernelspec
    _check_language(name, metadata.get("kernelspec") or {})
    return MasterNotebook(name, cells, order or list(cells), metadata, case_sets, given)


def _check_language(name: str, kernelspec: dict[str, Any]) -> None:
    """Notebooks run in this Python; R, say, would earn 0 everywhere."""
    kernel = kernelspec.get("name", "")
    installed = KernelSpecManager().get_all_specs().get(kernel, {}).get("spec", {})
    language = kernelspec.get("language") or installed.get("language")
    if language and language.lower() != "python":
        raise CourseError(
            f"{name}.ipynb is written for the kernel {kernel!r} ({language}), and `autograde run` runs "
            "Python only; grade it with `nbgrader autograde`"
        )
    python = shutil.which(installed["argv"][0]) if installed.get("argv") else None
    if python and not Path(python).parent.samefile(Path(sys.executable).parent):
        log.warning(
            "%s.ipynb is written for the kernel %r (%s); `autograde run` runs it in %s, so what it imports has to be there",
            *(name, kernel, python, sys.executable),
        )


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
