"""Cells and outputs as nbformat makes them, but that each is not validated by itself: that takes 2 ms, and notebooks are, as
a whole, when they are read and when they are written."""

import functools
import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import fastjsonschema
from nbformat import NotebookNode, from_dict


def new_cell(kind: str, source: str = "", metadata: dict[str, Any] | None = None) -> NotebookNode:
    """A cell of a kind ("code", "markdown", "raw"), without an id."""
    cell = {"cell_type": kind, "metadata": metadata or {}, "source": source}
    return from_dict(cell | {"execution_count": None, "outputs": []} if kind == "code" else cell)


def new_output(kind: str, **fields: Any) -> NotebookNode:
    """An output of a kind; `fields` are those that the kind has."""
    more: dict[str, dict[str, Any]] = {
        "display_data": {"metadata": {}},
        "execute_result": {"metadata": {}, "execution_count": None},
    }
    return from_dict({"output_type": kind, **more.get(kind, {}), **fields})


def notebook_of(cells: list[NotebookNode], metadata: Mapping[str, Any] | None = None) -> NotebookNode:
    """A notebook; one that is written needs cells with ids."""
    return NotebookNode(
        nbformat=4, nbformat_minor=5, metadata=from_dict(dict(metadata or {})), cells=list(cells)
    )


_FIELDS = {
    "stream": ("name", "text"),
    "display_data": ("data", "metadata"),
    "execute_result": ("data", "metadata", "execution_count"),
    "error": ("ename", "evalue", "traceback"),
}


def output_of(message: Mapping[str, Any]) -> NotebookNode | None:
    """The output that a kernel's message tells, as nbformat's `output_from_msg` in a fraction of its time; None if it tells none.

    Raises:
        KeyError: a part of it is missing.
        ValueError: it is one that no notebook may hold.
    """
    kind, content = message["header"]["msg_type"], message["content"]
    if kind not in _FIELDS:
        return None
    output = from_dict({"output_type": kind, **{name: content[name] for name in _FIELDS[kind]}})
    _check_output()(output)
    return output


@functools.cache
def _check_output() -> Callable[[Any], Any]:
    schema = json.loads((files("nbformat.v4") / "nbformat.v4.5.schema.json").read_text("utf-8"))
    return fastjsonschema.compile({"definitions": schema["definitions"], "$ref": "#/definitions/output"})
