"""Cells and outputs as nbformat makes them, but that each is not validated by itself: that takes 2 ms, and notebooks are, as
a whole, when they are read and when they are written."""

from typing import Any

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


def notebook_of(cells: list[NotebookNode]) -> NotebookNode:
    """A notebook that is never written: its cells need no ids."""
    return from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})
