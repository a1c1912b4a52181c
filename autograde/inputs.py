"""What is graded, and what its marks depend on: notebooks, files beside them, and the digest of it all."""

import fnmatch
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from nbgrader.api import Gradebook
from nbgrader.utils import find_all_files

from autograde.course import Course
from autograde.errors import CourseError
from autograde.master import MasterNotebook
from autograde.options import converter_of, settings_of_marks
from coursekit.check.lab import SUFFIX


def chosen_notebooks(course: Course, masters: Sequence[MasterNotebook]) -> list[str]:
    """Names of the notebooks to be graded: all, or those that fit `--notebook`.

    Raises:
        CourseError: when it fits none.
    """
    names = [master.name for master in masters]
    pattern = course.nbgrader.notebook_id
    found = [pattern] if pattern in names else fnmatch.filter(names, pattern)
    if not found:
        raise CourseError(f"no notebook fits {pattern!r}; there are: {', '.join(names)}")
    return found


def released_files(course: Course, assignment: str) -> dict[Path, Path]:
    """What was handed out beside the notebooks, by relative path: the grader's copy counts, as with nbgrader.

    `Autograde.exclude_overwriting` names those of which the student's copy counts. The bundle is not among them: the
    student's own says the language, and no check reads it under grading.
    """
    source = course.path("source", ".", assignment)
    folder = source if source.is_dir() else course.path("release", ".", assignment)
    theirs = {Path(name) for name in converter_of(course.config).exclude_overwriting.get(assignment, [])}
    return {
        relative: path
        for relative, path in _files(course, folder).items()
        if relative not in theirs and not relative.name.endswith(SUFFIX)
    }


def files_beside(
    course: Course,
    submitted: Mapping[Path, Path],
    folder: Path,
    released: Mapping[Path, Path],
    names: Sequence[str],
) -> tuple[dict[Path, Path], list[str]]:
    """The files beside the notebooks, by relative path: the student's, under those that were handed out.

    Args:
        course: which says what to ignore.
        submitted: the student's files.
        folder: the submission's.
        released: what was handed out.
        names: of the notebooks.

    Returns:
        The files, and a flag for each of the student's that cannot lie beside them, a file where a folder must be, say.
    """
    wanted = _files(course, folder)
    settled = [*released, *(Path(f"{name}.ipynb") for name in names)]
    kept, flags = {}, []
    for relative, path in submitted.items():
        if relative not in wanted:
            continue
        if any(relative in other.parents or other in relative.parents for other in settled):
            flags.append(f"{relative} stands where the release has something else; left out")
        else:
            kept[relative] = path
    return kept | dict(released), flags


def digest_of_course(course: Course, assignment: str, masters: Sequence[MasterNotebook]) -> str:
    """Of what all marks depend on: the release, the limits, the settings, the due date."""
    sha = hashlib.sha256()
    for master in masters:
        cells = [asdict(replace(cell, released=None)) for cell in master.cells.values()]
        sha.update(json.dumps([cells, master.metadata.get("kernelspec")]).encode())
    for relative, path in released_files(course, assignment).items():
        sha.update(f"{relative}\0".encode() + path.read_bytes())
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        due = gradebook.find_assignment(assignment).duedate
    sha.update(f"{json.dumps(asdict(course.limits))}\0{settings_of_marks(course.config)}\0{due}".encode())
    return sha.hexdigest()


def digest_of_submission(course: Course, assignment: str, student: str, common: str) -> str:
    """Of all that the marks of one submission depend on; `common` is what it shares with the others."""
    sha = hashlib.sha256(common.encode())
    folder = course.path("submitted", student, assignment)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            sha.update(
                f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode("utf-8", "surrogateescape")
            )
            sha.update(path.read_bytes())
    return sha.hexdigest()


def _files(course: Course, folder: Path) -> dict[Path, Path]:
    """The files below a folder that nbgrader would copy, by relative path."""
    found = find_all_files(str(folder), [*course.nbgrader.ignore, "*.ipynb"])
    return {Path(name).relative_to(folder): Path(name) for name in sorted(found)}
