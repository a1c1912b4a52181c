"""`autograde ci`: grades the one notebook of a student's repository against the released checks; no course is needed."""

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat

from autograde.cases import Workshop, seed_of
from autograde.course import DEFAULT_LIMITS, Course, Limits
from autograde.errors import AutogradeError
from autograde.feedback import without_values
from autograde.grade import grade_notebook
from autograde.intake import take_in
from autograde.lab import Lab
from autograde.local import LocalPlace
from autograde.master import MasterCell, MasterNotebook
from autograde.notebook import BEGIN_HIDDEN, END_HIDDEN, HIDDEN
from autograde.sandbox import check_isolation
from autograde.warm import suited_kernels
from coursekit.check.exercise import CaseSet
from coursekit.check.lab import SUFFIX, BundleError, encode, installed_labs, read_bundle, write_bundle
from coursekit.check.verdict import Outcome

_LEFT_OUT = ("__pycache__", "node_modules", "venv", "env")


@dataclass
class Graded:
    """What `autograde ci` found out.

    Attributes:
        lab: name of the lab.
        outcomes: of each check, by grade id.
        written: how many answers a person has to grade.
        problem: why the notebook cannot be graded; "" when it can.
        notes: repairs and flags.
        language: of the messages.
    """

    lab: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    written: int = 0
    problem: str = ""
    notes: list[str] = field(default_factory=list)
    language: str = "en"

    @property
    def passed(self) -> bool:
        """Whether every check is fully correct."""
        statuses = {outcome.status for outcome in self.outcomes.values()}
        return not self.problem and statuses == {"correct"}

    @property
    def points(self) -> tuple[float, float]:
        """Points earned and possible, of what the checks grade."""
        outcomes = self.outcomes.values()
        return sum(outcome.points for outcome in outcomes), sum(outcome.max_points for outcome in outcomes)


def grade(
    notebook: Path | None = None,
    *,
    lab: str | None = None,
    labs: Path | None = None,
    cases: Path | None = None,
    isolation: str = "bubblewrap",
    folder: Path = Path(),
) -> Graded:
    """Grade one notebook.

    Args:
        notebook: the file; default: the one in `folder` that belongs to a lab.
        lab: name of the lab; default: the one whose cells the notebook has.
        labs: folder of released labs, laid out as `en/<lab>/<lab>.ipynb`; default: those that come with the package.
        cases: file of hidden cases, as `write_cases` makes it.
        isolation: "bubblewrap" or "none".

    Raises:
        AutogradeError: when there is no such notebook or lab, or no sandbox.
    """
    released = released_labs(labs)
    path, name = find_notebook(notebook, lab, released, folder)
    master = read_master(released[name], cases)
    if isolation != "none":
        check_isolation()
    with tempfile.TemporaryDirectory(prefix="ci-") as stage:
        handed_in = Path(stage, "repository")
        _copy(path, handed_in, name)
        submission = take_in("repository", handed_in, [master])
        graded = Graded(name, language=submission.language, notes=submission.repairs)
        if submission.problem:
            graded.problem = submission.problem
            return graded
        graded.written = sum(cell.grade and cell.solution for cell in master.cells.values())
        limits = Limits(**DEFAULT_LIMITS)
        with suited_kernels(isolation, limits) as kernels:
            outcomes, _ = grade_notebook(
                master,
                submission.notebooks[name],
                submission.files,
                limits,
                LocalPlace(kernels),
                submission.language,
                submission.flags,
            )
        graded.outcomes = {
            grade_id: without_values(outcome) if grade_id.endswith(HIDDEN) else outcome
            for grade_id, outcome in outcomes.items()
        }
        graded.notes = [*submission.repairs, *submission.flags]
    return graded


def released_labs(root: Path | None) -> dict[str, Path]:
    """Folders of the released labs by name.

    Raises:
        AutogradeError: when there are none.
    """
    root = root or installed_labs()
    found = {path.parent.name: path.parent for path in sorted(root.glob("en/*/*.ipynb"))} if root else {}
    if not found:
        raise AutogradeError(
            f"no released labs in {root or 'the installed package'}; "
            "expected en/<lab>/<lab>.ipynb, as `autograde release LAB --notebooks FOLDER` writes them: name the folder with --labs"
        )
    return found


def find_notebook(
    notebook: Path | None, lab: str | None, released: dict[str, Path], folder: Path
) -> tuple[Path, str]:
    """The notebook to grade, and the name of its lab: the one named, or the one with most cells in common.

    Raises:
        AutogradeError: when it is not there, or when it cannot be told.
    """
    if lab is not None and lab not in released:
        raise AutogradeError(f"no lab {lab!r}; there are: {', '.join(released)}")
    if notebook is not None and not notebook.is_file():
        raise AutogradeError(f"{notebook} is not there; name the notebook to grade, or leave it out")
    candidates = [notebook] if notebook else sorted(folder.glob("*.ipynb"))
    ids = {name: _grade_ids(released[name] / f"{name}.ipynb") for name in ([lab] if lab else released)}
    matches: list[tuple[int, Path, str]] = []
    for path in candidates:
        own = _grade_ids(path)
        # One that cannot be read is still known by its name; the result will say what is wrong with it.
        shared = {name: len(own & of_lab) or (path.stem == name) for name, of_lab in ids.items()}
        best = max(shared, key=shared.__getitem__)
        if shared[best]:
            matches.append((int(shared[best]), path, best))
    if len(matches) == 1:
        return matches[0][1:]
    if notebook and lab:
        return notebook, lab
    names = ", ".join(str(path) for _, path, _ in matches)
    if matches:
        raise AutogradeError(f"more than one notebook belongs to a lab: {names}; name the one to grade")
    seen = ", ".join(str(path) for path in candidates) or "no notebook at all"
    raise AutogradeError(
        f"no notebook here with the cells of {lab or 'a lab'} ({', '.join(ids)}); found: {seen}; name NOTEBOOK and --lab"
    )


def read_master(folder: Path, cases: Path | None) -> MasterNotebook:
    """A released lab as the grader needs it, with the hidden cases of a file, if there is one.

    Raises:
        AutogradeError: when the file of hidden cases is damaged or is that of another lab.
    """
    name = folder.name
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    hidden = _read_cases(cases, name) if cases else {}
    cells: dict[str, MasterCell] = {}
    for cell in notebook.cells:
        nbgrader = cell.metadata.get("nbgrader")
        if not nbgrader:
            continue
        grade_id = nbgrader["grade_id"]
        master = MasterCell(
            grade_id,
            cell.cell_type,
            cell.source,
            nbgrader["locked"],
            nbgrader["grade"],
            nbgrader["solution"],
            float(nbgrader.get("points", 0)),
            nbgrader.get("checksum"),
        )
        case_set = hidden.get(grade_id.removesuffix(HIDDEN)) if grade_id.endswith(HIDDEN) else None
        cells[grade_id] = _with_cases(master, case_set) if case_set else master
    bundle = read_bundle(folder / f"{name}{SUFFIX}").case_sets
    return MasterNotebook(name, cells, list(cells), dict(notebook.metadata), bundle)


def write_cases(course: Course, lab: Lab, path: Path) -> None:
    """Write the hidden cases of a lab in a course, for `autograde ci --cases`; a file for the instructor's eyes only."""
    with Workshop(lab, course.instructor_data) as workshop:
        case_sets = [
            workshop.draw(exercise, seed_of(course.secret, lab.name, exercise.name), hidden=True)
            for exercise in lab.exercises.values()
        ]
    write_bundle(path, lab.name, "en", case_sets)


def _grade_ids(path: Path) -> set[str]:
    try:
        cells = nbformat.read(path, as_version=4).cells
        found = (cell.metadata.get("nbgrader", {}).get("grade_id") for cell in cells)
        return {grade_id for grade_id in found if isinstance(grade_id, str)}
    except Exception:  # whatever is in a student's file, here it is no notebook of a lab; intake says why
        return set()


def _copy(notebook: Path, folder: Path, name: str) -> None:
    """The notebook, and what lies beside it, without the repository's own machinery and without other notebooks."""

    def left_out(parent: str, names: list[str]) -> list[str]:
        return [
            name
            for name in names
            if name.startswith(".")
            or name in _LEFT_OUT
            or name.endswith(".ipynb")
            or Path(parent, name, "pyvenv.cfg").exists()
        ]

    shutil.copytree(notebook.resolve().parent, folder, symlinks=True, ignore=left_out)
    shutil.copyfile(notebook, folder / f"{name}.ipynb")


def _read_cases(path: Path, lab: str) -> dict[str, CaseSet]:
    try:
        bundle = read_bundle(path)
    except (BundleError, OSError) as error:
        raise AutogradeError(f"{path}: {error}; `autograde cases {lab} -o FILE` writes it") from error
    if bundle.name != lab:
        raise AutogradeError(f"{path} holds the hidden cases of {bundle.name}, the notebook is of {lab}")
    return bundle.case_sets


def _with_cases(cell: MasterCell, case_set: CaseSet) -> MasterCell:
    check = f'check("{case_set.exercise}", {case_set.target}, cases="{encode(case_set)}")'
    return replace(cell, source=f"{cell.source}\n{BEGIN_HIDDEN}\n{check}\n{END_HIDDEN}")
