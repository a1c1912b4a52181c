"""Intake: every submission becomes well-formed notebooks, or a named reason why not. Nothing of it is executed here."""

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograde.master import MasterNotebook
from coursekit.check.lab import SUFFIX, BundleError, read_bundle
from coursekit.submit import MAX_BYTES, MAX_FILES, MAX_NOTEBOOK_BYTES

_ENCODINGS = ("utf-8-sig", "utf-16", "gb18030")


@dataclass
class Submission:
    """What one student handed in, made ready.

    Attributes:
        notebooks: by released name; mended, with metadata and locked cells as released.
        files: the other ordinary files, by their path inside the submission.
        problem: why nothing can be graded; None when something can.
        missing: released notebooks that are not there.
    """

    student: str
    folder: Path
    notebooks: dict[str, NotebookNode] = field(default_factory=dict)
    files: dict[Path, Path] = field(default_factory=dict)
    repairs: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    problem: str | None = None
    language: str = "en"


def take_in(student: str, folder: Path, masters: list[MasterNotebook]) -> Submission:
    """Read a submission folder."""
    submission = Submission(student, folder)
    files = _ordinary_files(folder, submission)
    candidates = [path for path in files if path.suffix == ".ipynb"]
    submission.files = {path.relative_to(folder): path for path in files if path.suffix != ".ipynb"}
    readable: dict[Path, NotebookNode] = {}
    reasons: list[str] = []
    for path in candidates:
        try:
            readable[path] = _read(path, submission)
        except ValueError as error:
            reasons.append(f"{path.relative_to(folder)}: {error}")
    for master in masters:
        found = _match(master, folder, readable, submission)
        if found is None:
            submission.missing.append(master.name)
        else:
            submission.notebooks[master.name] = _merge(master, readable[found], submission)
    if not submission.notebooks:
        submission.problem = "; ".join(reasons) or "no notebook in it"
    else:
        submission.flags += [f"unreadable extra notebook: {reason}" for reason in reasons]
    submission.language = _language(submission)
    return submission


def _ordinary_files(folder: Path, submission: Submission) -> list[Path]:
    """Ordinary files below the folder. Links and special files are left out: following one would hand out its target."""
    if folder.is_symlink():
        submission.flags.append("the submission folder itself is a link")
        return []
    found: list[Path] = []
    total = 0
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name != ".ipynb_checkpoints")
        for name in [*folders, *sorted(names)]:
            path = Path(parent, name)
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            relative = path.relative_to(folder)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                submission.flags.append(f"{relative} is a link or a special file; left out")
                continue
            total += status.st_size
            if len(found) == MAX_FILES or total > MAX_BYTES:
                submission.flags.append(
                    f"more than {MAX_FILES} files or {MAX_BYTES >> 20} MB; {relative} and more left out"
                )
                return found
            found.append(path)
    return found


def _read(path: Path, submission: Submission) -> NotebookNode:
    """A notebook of format 4 from whatever is in the file.

    Raises:
        ValueError: with the reason, when there is no notebook in it.
    """
    if path.stat().st_size > MAX_NOTEBOOK_BYTES:
        raise ValueError(f"larger than {MAX_NOTEBOOK_BYTES >> 20} MB")
    data = path.read_bytes()
    if not data.strip():
        raise ValueError("the file is empty")
    content = _decode(data, path, submission)
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a notebook: {error}") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("cells", tree.get("worksheets")), list):
        raise ValueError("JSON, but not a notebook: it has no list of cells")
    try:
        if tree.get("nbformat") == 3:
            tree = nbformat.convert(nbformat.from_dict(tree), 4)
            submission.repairs.append(f"{path.name}: converted from notebook format 3")
        return _rebuild(tree)
    except Exception as error:
        # nbformat's converters fail in their own ways on odd input; each is one reason why this is no notebook.
        raise ValueError(f"not a notebook: {type(error).__name__}: {error}") from error


def _decode(data: bytes, path: Path, submission: Submission) -> str:
    for encoding in _ENCODINGS:
        try:
            text = data.decode(encoding)
        except UnicodeError:
            continue
        if encoding != "utf-8-sig" or data.startswith(b"\xef\xbb\xbf"):
            submission.repairs.append(f"{path.name}: encoding {encoding}, now UTF-8")
        return text
    raise ValueError(f"text in none of the encodings {', '.join(_ENCODINGS)}")


def _rebuild(tree: dict[str, Any]) -> NotebookNode:
    """A new notebook with the sources and nbgrader ids of the old one and nothing else of it (no outputs, no tags)."""
    cells = []
    for cell in tree["cells"]:
        source = cell.get("source", "")
        source = "".join(source) if isinstance(source, list) else str(source)
        make = new_code_cell if cell.get("cell_type") == "code" else new_markdown_cell
        metadata = cell.get("metadata")
        nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        grade_id = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
        cells.append(
            make(source, metadata={"nbgrader": {"grade_id": grade_id}} if isinstance(grade_id, str) else {})
        )
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    return new_notebook(cells=cells)


def _match(
    master: MasterNotebook, folder: Path, readable: dict[Path, NotebookNode], submission: Submission
) -> Path | None:
    """The file that is this notebook: by its name, or the one that has most of its cells."""
    exact = folder / f"{master.name}.ipynb"
    if exact in readable:
        return exact

    def shared(path: Path) -> int:
        return len({_grade_id(cell) for cell in readable[path].cells} & set(master.cells))

    best = max(readable, key=shared, default=None)
    if best is None or not shared(best):
        return None
    submission.repairs.append(f"{best.relative_to(folder)} taken as {master.name}.ipynb, by its cells")
    submission.flags.append(f"renamed: {best.relative_to(folder)}")
    return best


def _merge(master: MasterNotebook, submitted: NotebookNode, submission: Submission) -> NotebookNode:
    """The submitted notebook with locked cells, metadata and missing cells as released.

    Of several cells with one id the last non-empty one counts; the others stay as ordinary cells.
    """
    keep: dict[str, int] = {}
    for i, cell in enumerate(submitted.cells):
        grade_id = _grade_id(cell)
        if grade_id in master.cells:
            if grade_id in keep:
                submission.flags.append(f"cell {grade_id} stands more than once; the last answer counts")
            if grade_id not in keep or cell.source.strip():
                keep[grade_id] = i
    cells: list[NotebookNode] = []
    for i, cell in enumerate(submitted.cells):
        grade_id = _grade_id(cell)
        counts = keep.get(grade_id) == i
        cells.append(_restored(master, cell.source, grade_id, submission) if counts else _ordinary(cell))
    for place, grade_id in enumerate(master.order):
        if grade_id not in keep:
            submission.repairs.append(f"cell {grade_id} was missing; put back from the release")
            before = set(master.order[:place])
            after = max((i for i, cell in enumerate(cells) if _grade_id(cell) in before), default=-1)
            cells.insert(after + 1, _restored(master, None, grade_id, submission))
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    metadata = {
        "kernelspec": master.metadata.get("kernelspec", {"name": "python3", "display_name": "Python 3"})
    }
    return new_notebook(cells=cells, metadata=metadata)


def _restored(
    master: MasterNotebook, source: str | None, grade_id: str, submission: Submission
) -> NotebookNode:
    """A released cell with the student's source where it is theirs to write."""
    cell = master.cells[grade_id]
    if cell.locked or source is None:
        if source is not None and source.strip() != cell.visible.strip():
            submission.flags.append(f"locked cell {grade_id} was changed; put back from the release")
        source = cell.source
    make = new_code_cell if cell.cell_type == "code" else new_markdown_cell
    return make(source, metadata={"nbgrader": cell.metadata()})


def _ordinary(cell: NotebookNode) -> NotebookNode:
    make = new_code_cell if cell.cell_type == "code" else new_markdown_cell
    return make(cell.source)


def _grade_id(cell: NotebookNode) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def _language(submission: Submission) -> str:
    """The language of the notebook that the student works in, which stands in the bundle beside it."""
    for relative, path in submission.files.items():
        if relative.name.endswith(SUFFIX):
            try:
                return "zh" if read_bundle(path).lang == "zh" else "en"
            except BundleError:
                submission.flags.append(f"{relative} is damaged")
    return "en"
