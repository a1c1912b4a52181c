"""Partial credit in cells of other people's courses: what the last expression of a test cell shows, where it is a number.

nbgrader takes the first result that a cell shows, before it looks for an error, and gives full marks for one that is no number or
is less than 0. The cell is the instructor's, but what it shows may be the student's: so a result counts only below no
error, and where the cell as released computes a number, nothing else will do.
"""

import ast
import math
from collections.abc import Iterator
from typing import Literal

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from autograde.cells import new_output

Kind = Literal["none", "fixed", "number", "open"]
_EMPTY = ast.Module([], [])
_NUMERIC = {"float", "int", "round", "sum", "min", "max", "len", "abs"}


def kind_of(source: str) -> Kind:
    """What the last line of a test cell shows, as far as it can be read off.

    Returns:
        "none": nothing (an assertion, an assignment, a line that ends in `;`).
        "fixed": something that no student can influence, such as a text.
        "number": a number (arithmetic, or a variable that the cell counts up); that is partial credit.
        "open": whatever a call or a comparison gives.
    """
    try:
        tree = ast.parse(TransformerManager().transform_cell(source))
    except SyntaxError:
        return "open"
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr) or source.rstrip().endswith(";"):
        return "none"
    if _is_number(last.value, tree):
        return "number"
    return "fixed" if isinstance(last.value, ast.Constant) else "open"


def _is_number(value: ast.expr, tree: ast.Module) -> bool:
    """Whether an expression can give nothing but a number, whatever an honest answer gives to the cell."""
    match value:
        case ast.Constant():
            return type(value.value) in (int, float)
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
            return _is_number(operand, tree)
        case ast.BinOp(left=left, right=right):
            return all(isinstance(side, ast.Compare) or _is_number(side, tree) for side in (left, right))
        case ast.IfExp(body=body, orelse=orelse):
            return _is_number(body, tree) and _is_number(orelse, tree)
        case ast.Call(func=ast.Name(id=name)):
            return name in _NUMERIC
        case ast.Name(id=name):
            given = list(_given(name, tree))
            return bool(given) and all(each is not None and _is_number(each, _EMPTY) for each in given)
    return False


def _given(name: str, tree: ast.Module) -> Iterator[ast.expr | None]:
    """What a cell assigns to a variable; None where it cannot be told. What is added to it later does not matter."""
    told: set[ast.expr] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = [each for each in targets if isinstance(each, ast.Name) and each.id == name]
            told.update(named)
            if named and not isinstance(node, ast.AugAssign):
                yield node.value
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Name)
            and node.id == name
            and isinstance(node.ctx, ast.Store)
            and node not in told
        ):
            yield None


def checked_credit(
    outputs: list[NotebookNode], source: str, points: float, grade_id: str, flags: list[str]
) -> list[NotebookNode]:
    """The outputs of a test cell in such a form that nbgrader reads the right points from them.

    Args:
        outputs: what the cell gave.
        source: the cell as released, with its hidden part.
        points: the most it gives.
        grade_id: its name in flags.
        flags: suspicions for a person; added to.
    """
    others = [output for output in outputs if output.output_type != "execute_result"]
    results = [output for output in outputs if output.output_type == "execute_result"]
    kind = kind_of(source)
    if kind == "none" or any(output.output_type == "error" for output in others):
        return others
    if not results:
        if kind != "number":
            return others
        return [*others, _impossible("no partial credit, where the cell computes some", grade_id, flags)]
    result = results[-1]  # the last expression's; a shell can be told to show earlier ones too
    text = "".join(result.data.get("text/plain", ""))  # which may come in lines
    result.data["text/plain"] = text
    try:
        credit = float(text)
    except ValueError:
        if kind == "number":
            return [
                *others,
                _impossible(f"impossible partial credit {text[:80]!r} of {points:g}", grade_id, flags),
            ]
        if kind == "open":
            flags.append(
                f"{grade_id}: full marks for a result that is no number, as nbgrader gives them: {text[:80]!r}"
            )
        return [*others, result] if text else others  # nbgrader stops at a result without a text
    if math.isfinite(credit) and 0 <= credit <= points:
        return [*others, result]
    return [*others, _impossible(f"impossible partial credit {credit:g} of {points:g}", grade_id, flags)]


def _impossible(text: str, grade_id: str, flags: list[str]) -> NotebookNode:
    """The error that stands in the place of such a credit, which earns nothing."""
    flags.append(f"{grade_id}: {text}")
    return new_output("error", ename="ImpossibleCredit", evalue=text, traceback=[f"ImpossibleCredit: {text}"])
