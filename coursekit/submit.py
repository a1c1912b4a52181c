"""`coursekit submit`: pack a lab's folder into one file to hand in, after looking over its notebook."""

import ast
import json
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from coursekit.check import BundleError, Lab
from coursekit.check.lab import SUFFIX, installed_labs, read_bundle
from coursekit.check.show import SIGNS, language
from coursekit.check.tree import Text

# The autograder takes no more: what is larger is better left out at home than at the door.
MAX_FILES, MAX_BYTES, MAX_NOTEBOOK_BYTES = 1_000, 200 * 2**20, 40 * 2**20
_LEFT_OUT = ("__pycache__", "*.pyc", "*.zip", "*.part", "*.tmp")
_WRITTEN_STUB = "YOUR ANSWER HERE"


class SubmitError(Exception):
    """The folder cannot be handed in as it is; the message says why and what to do."""


@dataclass(frozen=True)
class Packed:
    """What `pack` made.

    Attributes:
        target: the file to hand in.
        files: what is in it, by path below the lab's folder.
        remarks: what may cost points, a sentence each, in the language of the lab.
    """

    target: Path
    files: tuple[str, ...]
    remarks: tuple[str, ...]


def pack(folder: Path, out: Path | None = None, *, force: bool = False) -> Packed:
    """Pack the lab in `folder` into `out` (None: LAB.zip in the working directory).

    Raises:
        SubmitError: `folder` holds no lab, the notebook lacks graded cells (unless `force`), or it is too large.
    """
    lab = _bundle_of(folder)
    notebook = folder / f"{lab.name}.ipynb"
    cells = _graded_cells(notebook)
    missing = sorted(_expected_cells(lab) - set(cells))
    if missing and not force:
        raise SubmitError(
            f"{notebook.name} has lost cells that are graded: {', '.join(missing)}. Copy them from a fresh one "
            f"(coursekit labs get {lab.name} --to fresh), or hand it in as it is: coursekit submit --force"
        )
    files = _to_pack(folder)
    target = out or Path(f"{lab.name}.zip")
    part = target.with_name(f"{target.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, Path(lab.name, path.relative_to(folder)))
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SubmitError(
            f"{target} cannot be written: {error}. Name another file: coursekit submit --out FILE.zip"
        ) from error
    names = tuple(path.relative_to(folder).as_posix() for path in files)
    return Packed(target, names, tuple(_remarks(lab, cells, names)))


def _remarks(lab: Lab, cells: dict[str, "_Cell"], files: tuple[str, ...]) -> Iterable[str]:
    """What may cost points, as far as the saved notebook and the files tell."""
    checks = [name for name in cells if name.endswith("-check")]
    answers = {name: cell for name, cell in cells.items() if not name.endswith(("-check", "-hidden"))}
    found = {
        "empty": [name for name, cell in answers.items() if cell.is_stub()],
        "broken": [
            name
            for name, cell in answers.items()
            if cell.is_code and not cell.is_stub() and cell.tree() is None
        ],
        "wrong": [name.removesuffix("-check") for name in checks if cells[name].sign() not in ("", _RIGHT)],
        "not run": [name.removesuffix("-check") for name in checks if not cells[name].sign()],
    }
    trained = {
        name: cells[name].source
        for name, cases in lab.case_sets.items()
        if cases.compare["kind"] == "accuracy" and name in cells and "fit" in cells[name].source
    }
    found["not saved"] = [name for name, source in trained.items() if not _SAVED.search(source)]
    weights = {f"{name}.safetensors" for source in trained.values() for name in _SAVED.findall(source)}
    found["no weights"] = sorted(weights - set(files))
    lang = language(lab.lang)
    for what, names in found.items():
        if names:
            yield _SAID[what][lang].format(", ".join(names))
    if not (found["empty"] or found["broken"]):
        yield _ANSWERED[lang]


_RIGHT = SIGNS["correct"]
_SAVED = re.compile(r"""\bsave\s*=\s*f?["']([^"'{}]+)["']""")
_SAID: dict[str, Text] = {
    "empty": {"en": "Not attempted: {}", "zh": "尚未作答：{}"},
    "broken": {
        "en": "No Python that can run (a syntax error): {}",
        "zh": "代码有语法错误，无法运行：{}",
    },
    "wrong": {
        "en": "Checks that were not all right when the notebook was saved: {}",
        "zh": "保存笔记本时，检查没有全部通过的练习：{}",
    },
    "not run": {"en": "Checks without a saved result: {}", "zh": "没有保存检查结果的练习：{}"},
    "not saved": {
        "en": "Trained without save=..., so that grading would have to train anew, in less time: {}",
        "zh": "训练时没有写 save=...，批改时只能在更短的时间里重新训练：{}",
    },
    "no weights": {
        "en": "Trained weights that are not in this folder (run the cell that trains them): {}",
        "zh": "文件夹里缺少训练好的权重（请运行训练它的单元格）：{}",
    },
}
_ANSWERED: Text = {"en": "Every exercise has an answer.", "zh": "每道练习都已作答。"}


def _bundle_of(folder: Path) -> Lab:
    """The lab whose folder this is, by the file with its checks."""
    found = sorted(folder.glob(f"*{SUFFIX}"))
    if len(found) != 1:
        inside = sorted(path.parent.as_posix() for path in folder.glob(f"*/*{SUFFIX}"))
        hint = (
            f"Did you mean coursekit submit {inside[0]}?" if inside else "coursekit labs get NAME makes one."
        )
        raise SubmitError(
            f"{folder.resolve()} is not the folder of one lab: it has {len(found)} files *{SUFFIX}. {hint}"
        )
    try:
        return read_bundle(found[0])
    except BundleError as error:
        raise SubmitError(str(error)) from error


@dataclass(frozen=True)
class _Cell:
    """A cell that is graded, as it was saved."""

    source: str
    is_code: bool
    outputs: list[str]

    def is_stub(self) -> bool:
        """Whether it holds what was handed out, or nothing but remarks."""
        stub = re.search(r"^\s*raise NotImplementedError", self.source, re.MULTILINE)
        tree = self.tree()
        return bool(stub) or _WRITTEN_STUB in self.source or (tree is not None and not tree.body)

    def tree(self) -> ast.Module | None:
        """The cell as Python, without IPython's own commands; None where it is none."""
        try:
            return ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", self.source, flags=re.MULTILINE))
        except (SyntaxError, ValueError):  # a ValueError: null bytes
            return None

    def sign(self) -> str:
        """That of the check's saved outcome; "" where there is none."""
        return next((text[:1] for text in self.outputs if text[:1] in SIGNS.values()), "")


def _graded_cells(notebook: Path) -> dict[str, _Cell]:
    """Each cell with an nbgrader id."""
    if not notebook.is_file():
        raise SubmitError(
            f"there is no {notebook.name} in {notebook.parent.resolve()}; give your notebook its first name back"
        )
    if notebook.stat().st_size > MAX_NOTEBOOK_BYTES:
        raise SubmitError(
            f"{notebook.name} is larger than {MAX_NOTEBOOK_BYTES >> 20} MB; in Jupyter choose "
            "Edit > Clear Outputs of All Cells, and save"
        )
    try:
        return dict(_cells(notebook))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SubmitError(
            f"{notebook.name} is not a readable notebook ({error}). If Jupyter opens it, save it there again; "
            "else look for an older copy in .ipynb_checkpoints"
        ) from error


def _cells(notebook: Path) -> Iterable[tuple[str, _Cell]]:
    for cell in json.loads(notebook.read_text(encoding="utf-8-sig"))["cells"]:
        grade_id = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if grade_id:
            shown = [output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])]
            texts = ["".join(text) for text in shown]
            yield grade_id, _Cell("".join(cell["source"]), cell["cell_type"] == "code", texts)


def _expected_cells(lab: Lab) -> set[str]:
    """Ids of the cells that the lab's notebook must have: those of its checks, and of the release where it is installed."""
    expected = {f"{name}{part}" for name in lab.case_sets for part in ("", "-check", "-hidden")}
    folder = installed_labs()
    released = folder / "en" / lab.name / f"{lab.name}.ipynb" if folder else None
    ids = set(dict(_cells(released))) if released and released.is_file() else set()
    # A course may have changed a lab of the same name: then only its checks say what belongs to it.
    return ids if expected <= ids else expected


def _to_pack(folder: Path) -> list[Path]:
    """The ordinary files of a lab's folder without caches, within the limits of what can be handed in."""
    files = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in parts.parts)
        left_out = any(Path(part).match(pattern) for part in parts.parts for pattern in _LEFT_OUT)
        if path.is_file() and not (path.is_symlink() or hidden or left_out):
            files.append(path)
    total = sum(path.stat().st_size for path in files)
    if len(files) > MAX_FILES or total > MAX_BYTES:
        largest = sorted(files, key=lambda path: -path.stat().st_size)[:3]
        raise SubmitError(
            f"{len(files)} files of {total / 1e6:.0f} MB are too many to hand in (at most {MAX_FILES:,} files, "
            f"{MAX_BYTES >> 20} MB); move what is not needed out of the folder, beginning with "
            + ", ".join(
                f"{path.relative_to(folder)} ({path.stat().st_size / 1e6:.0f} MB)" for path in largest
            )
        )
    return files
