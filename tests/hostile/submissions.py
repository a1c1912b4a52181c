"""An attack, what must come of it, and how it is handed in; and what can be done to a notebook before that."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

HOSTILE_LIMITS = "[limits]\ncell_seconds = 8\nmemory_mb = 3000\nprocesses = 48\n"
Change = Callable[[NotebookNode], None]
FileChange = Callable[[Path], object]


@dataclass(frozen=True)
class Attack:
    """What is handed in, and what must come of it.

    `row` is its number in the list of threats of docs/threats.md. `answers` go into the cells of that id, `first` is a cell
    after the first one, `last` one after all others; then `change` gets the notebook, and `files` its path.
    `state` may name two, as "graded or salvaged", and `flag` is a pattern that a flag must have; "": there must be none.
    """

    row: int
    name: str
    score: float | None
    answers: Mapping[str, str] = field(default_factory=dict)
    first: str = ""
    last: str = ""
    change: Change | None = None
    files: FileChange | None = None
    state: str = "graded"
    flag: str = ""

    @property
    def student(self) -> str:
        """The id under which it is handed in."""
        return f"r{self.row:02}_{self.name}"


def hand_in(released: Path, submitted: Path, attack: Attack) -> None:
    """Make a submission from a folder with one released notebook.

    Args:
        released: the folder that was handed out.
        submitted: where the submission is to lie.
    """
    shutil.copytree(released, submitted)
    (path,) = submitted.glob("*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = attack.answers.get(id_of(cell), cell.source)
    if attack.first:
        start = next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
        notebook.cells.insert(start + 1, new_code_cell(attack.first))
    if attack.last:
        notebook.cells.append(new_code_cell(attack.last))
    if attack.change:
        attack.change(notebook)
    nbformat.write(notebook, path)
    if attack.files:
        attack.files(path)


def id_of(cell: NotebookNode) -> str:
    """nbgrader's id of a cell."""
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def each_cell(action: Callable[[NotebookNode], None]) -> Change:
    def change(notebook: NotebookNode) -> None:
        for cell in notebook.cells:
            if id_of(cell):
                action(cell)

    return change


def skip(cell: NotebookNode) -> None:
    cell.metadata["tags"] = ["skip-execution"]


def regrade(cell: NotebookNode) -> None:
    cell.metadata["nbgrader"] |= {"grade": False, "points": 100, "solution": True, "locked": False}


def drop(*grade_ids: str) -> Change:
    def change(notebook: NotebookNode) -> None:
        notebook.cells = [cell for cell in notebook.cells if id_of(cell) not in grade_ids]

    return change


def twice(grade_id: str, other: str) -> Change:
    """Another answer under the same id stands before the one that counts."""

    def change(notebook: NotebookNode) -> None:
        cell = next(cell for cell in notebook.cells if id_of(cell) == grade_id)
        notebook.cells.insert(notebook.cells.index(cell), new_code_cell(other, metadata=cell.metadata))

    return change


def kernel_named(name: str, language: str) -> Change:
    def change(notebook: NotebookNode) -> None:
        notebook.metadata["kernelspec"] = {"name": name, "display_name": name, "language": language}

    return change


def renamed(name: str) -> FileChange:
    def files(path: Path) -> None:
        target = path.parent / name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)

    return files


def beside(name: str, content: str | bytes) -> FileChange:
    """A file beside the notebook."""
    return lambda path: (path.parent / name).write_bytes(
        content.encode() if isinstance(content, str) else content
    )


def linked(make: FileChange) -> FileChange:
    return lambda path: make(path.parent / "extra")


def rewritten(change: Callable[[bytes], bytes]) -> FileChange:
    """Other bytes in the notebook's file."""
    return lambda path: path.write_bytes(change(path.read_bytes()))
