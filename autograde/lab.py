"""Reading a lab folder: `lab.py` (the notebook's one source), `checks.py` (its exercises), `lab.toml`.

The format of `lab.py` is jupytext's percent format; the marker on a cell says what it is (see docs/authoring.md).
"""

import importlib.util
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import jupytext

from autograde.errors import LabError
from coursekit.check.exercise import Exercise

Kind = Literal["text", "setup", "exercise", "check", "written", "code"]

BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
_KEYS: dict[Kind, set[str]] = {
    "text": {"lang", "about"},
    "setup": {"setup"},
    "exercise": {"exercise"},
    "check": {"check", "points", "hidden"},
    "written": {"written", "points"},
    "code": set(),
}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Cell:
    """One cell of `lab.py`: what it is, its marker's settings, its source, and the line of its marker."""

    kind: Kind
    source: str
    line: int
    marker: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the exercise or written answer that the cell belongs to."""
        return str(self.marker.get(self.kind, ""))


@dataclass(frozen=True)
class Lab:
    """A lab as its author wrote it, checked for balance."""

    folder: Path
    cells: Sequence[Cell]
    exercises: dict[str, Exercise]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> list[Path]:
        """What students get beside the notebook: the files in `files/`."""
        return sorted(path for path in (self.folder / "files").glob("*") if path.is_file())

    @property
    def name(self) -> str:
        """The folder's name, which is the assignment's."""
        return self.folder.name

    @property
    def gpu(self) -> bool:
        """Whether its notebook asks for a GPU when it is graded (`gpu = true` in lab.toml)."""
        return self.settings.get("gpu", False) is True

    @cached_property
    def solutions(self) -> dict[str, str]:
        """Source of each exercise's cell with the reference solution."""
        return {cell.name: cell.source for cell in self.cells if cell.kind == "exercise"}

    @cached_property
    def points(self) -> dict[str, tuple[float, float]]:
        """Public and hidden points of each exercise."""
        checks = (cell for cell in self.cells if cell.kind == "check")
        return {cell.name: (cell.marker["points"], cell.marker["hidden"]) for cell in checks}

    @property
    def setup(self) -> str:
        """Source of the setup cell."""
        return next(cell.source for cell in self.cells if cell.kind == "setup")


def load_lab(folder: Path) -> Lab:
    """Read and check a lab.

    Raises:
        LabError: with file, line and what was expected, for the first thing that is wrong.
    """
    for filename in ("lab.py", "checks.py", "lab.toml"):
        if not (folder / filename).is_file():
            raise LabError(f"{folder} is not a lab: it has no {filename}")
    settings = tomllib.loads((folder / "lab.toml").read_text(encoding="utf-8"))
    lab = Lab(
        folder.resolve(), _read_cells(folder / "lab.py"), _read_exercises(folder / "checks.py"), settings
    )
    _check_balance(lab)
    return lab


def find_labs(root: Path) -> list[Path]:
    """Folders below `root` that hold a lab."""
    return sorted(path.parent for path in root.glob("*/lab.py"))


def _read_cells(path: Path) -> list[Cell]:
    text = path.read_text(encoding="utf-8")
    lines = [i for i, line in enumerate(text.splitlines(), 1) if line.startswith("# %%")]
    cells = jupytext.reads(text, fmt="py:percent").cells
    if len(cells) != len(lines):
        raise LabError(f"{path}:1: expected the file to begin with a cell marker (`# %% ...`)")
    return [_read_cell(path, line, cell) for line, cell in zip(lines, cells, strict=True)]


def _read_cell(path: Path, line: int, cell: Any) -> Cell:
    # jupytext notes blank lines after a cell; that is no part of the marker.
    marker = {key: value for key, value in cell.metadata.items() if key != "lines_to_next_cell"}
    kinds: tuple[Kind, ...] = ("written",) if cell.cell_type == "markdown" else ("setup", "exercise", "check")
    kind: Kind = next((k for k in kinds if k in marker), "text" if cell.cell_type == "markdown" else "code")
    unknown = sorted(set(marker) - _KEYS[kind])
    if unknown:
        known = ", ".join(sorted(_KEYS[kind])) or "nothing"
        raise LabError(f"{path}:{line}: unknown {', '.join(unknown)} on a {kind} cell; expected {known}")
    needed = _KEYS[kind] - {"lang", "about"}
    missing = sorted(needed - set(marker))
    if missing:
        raise LabError(f"{path}:{line}: a {kind} cell needs {', '.join(missing)}, as in `{_example(kind)}`")
    for key in {"points", "hidden"} & set(marker):
        if not isinstance(marker[key], (int, float)) or isinstance(marker[key], bool) or marker[key] < 0:
            raise LabError(f"{path}:{line}: {key} must be a number from 0 up, got {marker[key]!r}")
    if marker.get("lang", "en") not in ("en", "zh"):
        raise LabError(f'{path}:{line}: lang must be "en" or "zh", got {marker["lang"]!r}')
    if kind in ("exercise", "check", "written") and not _IDENTIFIER.match(str(marker[kind])):
        raise LabError(
            f"{path}:{line}: {marker[kind]!r} is not a name; expected letters, digits and underscores"
        )
    _check_region(path, line, kind, cell.source)
    return Cell(kind, cell.source, line, marker)


def _check_region(path: Path, line: int, kind: Kind, source: str) -> None:
    """Solution lines must come in pairs, and only in an exercise's cell."""
    inside, count = False, 0
    for number, text in enumerate(source.splitlines(), line + 1):
        begin, end = BEGIN_SOLUTION in text, END_SOLUTION in text
        if (begin and inside) or (end and not inside):
            found, wanted = (BEGIN_SOLUTION, END_SOLUTION) if begin else (END_SOLUTION, BEGIN_SOLUTION)
            raise LabError(f"{path}:{number}: `{found}` where `{wanted}` was expected")
        inside, count = (begin or inside) and not end, count + begin
    if inside:
        raise LabError(
            f"{path}:{line}: `{BEGIN_SOLUTION}` is never closed; expected `{END_SOLUTION}` in the same cell"
        )
    if kind == "exercise" and not count:
        raise LabError(f"{path}:{line}: an exercise cell needs `{BEGIN_SOLUTION}` and `{END_SOLUTION}`")
    if kind != "exercise" and count:
        raise LabError(f'{path}:{line}: a solution stands in a {kind} cell; expected `# %% exercise="NAME"`')


def _read_exercises(path: Path) -> dict[str, Exercise]:
    spec = importlib.util.spec_from_file_location(f"checks_of_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise LabError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    exercises: list[Exercise] = getattr(module, "EXERCISES", [])
    names = [exercise.name for exercise in exercises]
    if not exercises or len(set(names)) != len(names):
        raise LabError(f"{path}: expected a list EXERCISES of exercises with different names, got {names}")
    for exercise in exercises:
        for misconception in exercise.misconceptions:
            for hint in misconception.hint.values():
                if marked := re.search(r"\$|\*\w", re.sub(r"`[^`]*`", "", hint)):
                    raise LabError(
                        f"{path}: the hint of {exercise.name}, {misconception.name} has {marked[0]!r}; it is shown in a box "
                        "that knows `code` and no other markup"
                    )
    return {exercise.name: exercise for exercise in exercises}


def _check_balance(lab: Lab) -> None:
    path = lab.folder / "lab.py"
    setups = [cell for cell in lab.cells if cell.kind == "setup"]
    if len(setups) != 1:
        where = setups[1].line if setups else 1
        raise LabError(f"{path}:{where}: expected exactly one `# %% setup=true` cell, found {len(setups)}")
    for kind in ("exercise", "check", "written"):
        seen: dict[str, int] = {}
        for cell in lab.cells:
            if cell.kind != kind:
                continue
            if cell.name in seen:
                raise LabError(
                    f"{path}:{cell.line}: {kind} {cell.name!r} stands twice, first in line {seen[cell.name]}"
                )
            if kind != "written" and cell.name not in lab.exercises:
                known = ", ".join(lab.exercises)
                raise LabError(f"{path}:{cell.line}: {cell.name!r} is not in checks.py, which has {known}")
            seen[cell.name] = cell.line
        missing = sorted(set(lab.exercises) - set(seen)) if kind != "written" else []
        if missing:
            raise LabError(f'{path}: no `# %% {kind}="{missing[0]}"` cell for the exercise of checks.py')
        if kind == "exercise" and list(seen) != list(lab.exercises):
            at, name = next(pair for pair in zip(seen, lab.exercises, strict=True) if pair[0] != pair[1])
            raise LabError(
                f"{path}:{seen[at]}: exercise {at!r} comes where EXERCISES of checks.py has {name!r}; they are numbered "
                "in the order of that list, so it must be that of the notebook"
            )
    _check_languages(path, lab)
    total = sum(sum(points) for points in lab.points.values())
    total += sum(cell.marker["points"] for cell in lab.cells if cell.kind == "written")
    if total != lab.settings.get("points"):
        raise LabError(f"{path}: the cells have {total:g} points, lab.toml says {lab.settings.get('points')}")


def _check_languages(path: Path, lab: Lab) -> None:
    """English text is followed by its Chinese twin; both are about the same exercise."""
    waiting: Cell | None = None
    for cell in [*lab.cells, None]:
        lang = cell.marker.get("lang") if cell else None
        if waiting and (lang != "zh" or (cell and cell.marker.get("about") != waiting.marker.get("about"))):
            raise LabError(
                f'{path}:{waiting.line}: expected its lang="zh" twin, about the same exercise, as the next cell'
            )
        if cell and lang == "zh" and not waiting:
            raise LabError(f'{path}:{cell.line}: expected the lang="en" twin as the cell before')
        about = cell.marker.get("about") if cell else None
        if cell and about is not None and about not in lab.exercises:
            raise LabError(
                f"{path}:{cell.line}: about={about!r} is not in checks.py, which has {', '.join(lab.exercises)}"
            )
        waiting = cell if lang == "en" else None


def _example(kind: Kind) -> str:
    return {
        "exercise": '# %% exercise="conv2d"',
        "check": '# %% check="conv2d" points=1 hidden=2',
        "written": '# %% [markdown] written="why" points=2',
    }.get(kind, "# %% setup=true")
