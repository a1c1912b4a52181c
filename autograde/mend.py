"""Mending a submitted notebook: whatever it says about itself, it becomes a valid notebook with the release's cells in it."""

import copy
import platform
import re
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograde.cells import new_cell, notebook_of
from autograde.master import MasterNotebook

_KINDS = ("code", "markdown", "raw")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIRST_WITH_IDS = 5  # of notebook format 4
# What a Python kernel says of itself, and pages need to colour code.
_LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
    "version": platform.python_version(),
}


def rebuilt(tree: dict[str, Any], outputs: bool) -> NotebookNode:
    """A valid notebook from what the old one has; from its sources and nbgrader's ids alone, where the rest is not valid.

    Args:
        tree: a notebook of format 4, as it is in the file.
        outputs: whether to keep the outputs of its cells.
    """
    try:
        return _rebuilt(tree, outputs, everything=True)
    except nbformat.ValidationError:
        return _rebuilt(tree, outputs, everything=False)


def merged(
    master: MasterNotebook, submitted: NotebookNode, *, flags: list[str], repairs: list[str], run: bool = True
) -> NotebookNode:
    """The submitted notebook with locked cells, metadata and missing cells as released.

    Of several cells with one id the last non-empty one counts; the others stay as ordinary cells.

    Args:
        master: the release.
        submitted: as `rebuilt`.
        flags: suspicions for a person; added to.
        repairs: what was mended; added to.
        run: whether it will be run; then it says by what.
    """
    keep: dict[str, int] = {}
    for i, cell in enumerate(submitted.cells):
        grade_id = grade_id_of(cell)
        if grade_id in master.cells:
            if grade_id in keep:
                flags.append(f"cell {grade_id} stands more than once; the last answer counts")
            if grade_id not in keep or cell.source.strip():
                keep[grade_id] = i
    cells: list[NotebookNode] = []
    for i, cell in enumerate(submitted.cells):
        grade_id = grade_id_of(cell)
        counts = keep.get(grade_id) == i
        cells.append(_released(master, grade_id, cell, flags) if counts else _ordinary(cell))
    for place, grade_id in enumerate(master.order):
        if grade_id not in keep:
            repairs.append(f"cell {grade_id} was missing; put back from the release")
            before = set(master.order[:place])
            after = max((i for i, cell in enumerate(cells) if grade_id_of(cell) in before), default=-1)
            cells.insert(after + 1, _released(master, grade_id, None, flags))
    kernelspec = {"name": "python3", "display_name": "Python 3", **(master.metadata.get("kernelspec") or {})}
    metadata = {
        **submitted.metadata,
        "kernelspec": kernelspec,
        **({"language_info": _LANGUAGE} if run else {}),
    }
    return _notebook(cells, metadata, submitted.nbformat_minor)


def grade_id_of(cell: NotebookNode) -> str:
    """A cell's id in nbgrader; "" where it has none."""
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def _rebuilt(tree: dict[str, Any], outputs: bool, everything: bool) -> NotebookNode:
    metadata = copy.deepcopy(tree.get("metadata")) if everything else None
    metadata = metadata if isinstance(metadata, dict) else {}
    metadata.pop("widgets", None)  # states of a kernel that is gone
    cells = [_cell(cell, outputs, everything) for cell in tree["cells"]]
    minor = tree.get("nbformat_minor") if everything else None
    minor = minor if isinstance(minor, int) and 0 <= minor < _FIRST_WITH_IDS else _FIRST_WITH_IDS
    notebook = nbformat.from_dict(_notebook(cells, metadata, minor))
    nbformat.validate(notebook)
    return notebook


def _notebook(cells: list[NotebookNode], metadata: dict[str, Any], minor: int) -> NotebookNode:
    """A notebook whose cells have each an id of its own, its old one where it can be; before format 4.5 they have none."""
    taken: set[str] = set()
    for i, cell in enumerate(cells):
        old = cell.get("id")
        fit = isinstance(old, str) and _ID.fullmatch(old) and old not in taken
        cell["id"] = old if fit else f"cell-{i}"
        while not fit and cell["id"] in taken:
            cell["id"] += "-"
        taken.add(cell["id"])
    notebook = notebook_of(cells, metadata)
    if minor < _FIRST_WITH_IDS:
        notebook["nbformat_minor"] = minor
        for cell in notebook.cells:
            del cell["id"]
    return notebook


def _cell(cell: dict[str, Any], outputs: bool, everything: bool) -> NotebookNode:
    source = cell.get("source", "")
    kind = cell.get("cell_type")
    kind = kind if kind in _KINDS else "markdown"
    made = new_cell(kind, "".join(source) if isinstance(source, list) else str(source))
    metadata = cell.get("metadata")
    metadata = dict(metadata) if isinstance(metadata, dict) else {}
    nbgrader = metadata.pop("nbgrader", None)
    if everything:
        made["metadata"] = metadata
        made |= {
            key: cell[key] for key in ("id", "attachments") if key in cell and (key == "id" or kind != "code")
        }
    grade_id = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    if isinstance(grade_id, str):
        made["metadata"]["nbgrader"] = {"grade_id": grade_id}
    if outputs and kind == "code":
        made["outputs"] = cell.get("outputs", [])
    return made


def _released(
    master: MasterNotebook, grade_id: str, submitted: NotebookNode | None, flags: list[str]
) -> NotebookNode:
    """A released cell with the student's source where it is theirs to write."""
    cell = master.cells[grade_id]
    if submitted is not None and cell.locked and submitted.source.strip() != cell.visible.strip():
        flags.append(f"locked cell {grade_id} was changed; put back from the release")
    theirs = submitted if submitted is not None and not cell.locked else None
    kind = cell.cell_type if cell.cell_type in _KINDS else "code"
    made = new_cell(kind, theirs.source if theirs is not None else cell.source, cell.metadata())
    written = theirs if theirs is not None else cell.released
    if made.cell_type != "code" and written is not None and "attachments" in written:
        made["attachments"] = written.attachments
    if submitted is not None:
        made |= {"id": submitted["id"]} if "id" in submitted else {}
        if made.cell_type == submitted.cell_type == "code":
            made["outputs"] = submitted.outputs
    return made


def _ordinary(cell: NotebookNode) -> NotebookNode:
    """A cell that is no cell of the release, whatever it says."""
    made = copy.deepcopy(cell)
    made.metadata.pop("nbgrader", None)
    return made
