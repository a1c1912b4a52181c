"""From a lab's cells to the instructor's notebook: nbgrader metadata, headings, hints, check cells."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from coursekit.check.light import number

if TYPE_CHECKING:  # these import torch
    from autograde.lab import Cell, Lab
    from coursekit.check.exercise import Exercise

HIDDEN = "-hidden"
PUBLIC = "-check"
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
WRITTEN_STUB = "YOUR ANSWER HERE / 在此作答"

_CHINESE = "\u4e00-\u9fff\u3000-\u303f\uff00-\uffef“”‘’"  # characters and their punctuation
_EXERCISE = {"en": "Exercise", "zh": "练习"}
_HINT = {"en": "Hint", "zh": "提示"}


def instructor_notebook(lab: Lab, lang: str) -> NotebookNode:
    """The notebook with solutions, as nbgrader's `source/` holds it. Equal labs give equal notebooks."""
    cells = [node for cell in lab.cells for node in _nodes(lab, cell, lang)]
    for i, node in enumerate(cells):
        node["id"] = node.metadata.get("nbgrader", {}).get("grade_id") or f"cell-{i}"
    metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "coursekit": {"lab": lab.name, "language": lang} | ({"gpu": True} if lab.gpu else {}),
    }
    return new_notebook(cells=cells, metadata=metadata)


def hidden_region(exercise: Exercise, cases: str | None = None) -> str:
    """The hidden part of a check cell: a place holder, or the encoded cases that the gradebook keeps."""
    if cases is None:
        body = f"# the hidden cases of {exercise.name} are drawn here when the assignment is generated"
    else:
        body = f'check("{exercise.name}", {exercise.target}, cases="{cases}")'
    return f"{BEGIN_HIDDEN}\n{body}\n{END_HIDDEN}"


def _nodes(lab: Lab, cell: Cell, lang: str) -> Iterator[NotebookNode]:
    if cell.kind == "text":
        if cell.marker.get("lang", lang) == lang:
            about, text = cell.marker.get("about"), _joined(cell.source)
            yield new_markdown_cell(_about(lab, lab.exercises[about], text, lang) if about else text)
    elif cell.kind == "setup":
        yield _graded(new_code_cell(cell.source), "setup", locked=True)
    elif cell.kind == "exercise":
        yield _graded(new_code_cell(cell.source), cell.name, solution=True)
    elif cell.kind == "check":
        exercise = lab.exercises[cell.name]
        public, hidden = lab.points[cell.name]
        source = f'check("{exercise.name}", {exercise.target})'
        yield _graded(new_code_cell(source), cell.name + PUBLIC, points=public, locked=True)
        source = f"# {hidden:g} more: the same check on inputs you have not seen, when the lab is graded\n"
        source += f"# 另有 {hidden:g} 分：批改时换新的输入，做同样的检查\n"
        source += hidden_region(exercise)
        yield _graded(new_code_cell(source), cell.name + HIDDEN, points=hidden, locked=True)
    elif cell.kind == "written":
        yield _graded(new_markdown_cell(cell.source), cell.name, points=cell.marker["points"], solution=True)
    else:
        yield new_code_cell(cell.source)


def _graded(
    node: NotebookNode,
    grade_id: str,
    *,
    points: float | None = None,
    solution: bool = False,
    locked: bool = False,
) -> NotebookNode:
    nbgrader: dict[str, Any] = {
        "schema_version": 3,
        "grade_id": grade_id,
        "grade": points is not None,
        "solution": solution,
        "locked": locked,
        "task": False,
        "cell_type": node.cell_type,
    }
    if points is not None:
        nbgrader["points"] = points
    node.metadata["nbgrader"] = nbgrader
    return node


def _escaped(markdown: str) -> str:
    """Markdown that is no HTML; code stays as it is, Markdown escapes that itself."""
    parts = re.split(r"(`[^`]*`)", markdown)
    return "".join(part if part.startswith("`") else html.escape(part, quote=False) for part in parts)


def _joined(text: str) -> str:
    """Without line breaks that Markdown would show as blanks: between Chinese characters, and after Chinese punctuation."""
    text = re.sub(rf"(?<=[{_CHINESE}])\n *(?=[{_CHINESE}])", "", text)
    return re.sub(r"(?<=[，。；：、！？）”])\n *(?=[A-Za-z`]|\*\*|\$[^$]|\d(?!\. ))", "", text)


def _about(lab: Lab, exercise: Exercise, text: str, lang: str) -> str:
    """The exercise's heading, its author's text, and its hints, each in a fold."""
    place = list(lab.exercises).index(exercise.name) + 1
    stars = "★" * exercise.difficulty + "☆" * (3 - exercise.difficulty)
    points = number(sum(lab.points[exercise.name]))
    facts = {
        "en": f"{stars} · about {exercise.minutes} minutes · {points} points",
        "zh": f"{stars} · 约 {exercise.minutes} 分钟 · {points} 分",
    }
    parts = [f"### {_EXERCISE[lang]} {place} · {exercise.title[lang]}", facts[lang], text]
    for i, hint in enumerate(exercise.hints, 1):
        label = f"{_HINT[lang]} {i}" if len(exercise.hints) > 1 else _HINT[lang]
        parts.append(f"<details><summary>{label}</summary>\n\n{_escaped(hint[lang])}\n\n</details>")
    return "\n\n".join(parts)
