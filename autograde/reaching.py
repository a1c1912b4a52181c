"""What an answer's code reaches for, read without running it: the test's own text, the frames of its caller, the shell.

In a course whose cells assert in the student's process, an answer can look at the test that calls it, or change how it is run,
and leave no trace. Honest answers have no use for the means to do that; so where they stand in the source, a person
is told. Code that hides them (`exec` of a string) is not seen.
"""

import ast
from collections.abc import Iterator

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from autograde.master import MasterNotebook

_MODULES = {"ctypes", "_ctypes"}
_NAMES = {"In", "_ih", "_i", "_ii", "__builtins__", "globals"}
_ATTRIBUTES = {
    *("_getframe", "_current_frames", "currentframe", "getouterframes", "f_back", "f_locals", "f_globals"),
    *("settrace", "setprofile", "get_objects", "get_referrers", "ast_transformers"),
    *("input_transformers_post", "input_transformers_cleanup", "run_cell", "run_code", "showtraceback"),
}
# What IPython's own syntax (%magic, !command) turns into, and what notebooks commonly ask the shell for.
_COMMON = {"run_line_magic", "run_cell_magic", "magic", "system", "getoutput"}


def reached(source: str) -> list[str]:
    """Names of what the code of a cell reaches for, sorted; none where it is no code."""
    try:
        tree = ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError):
        return []
    stored = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return sorted(set(_reached(tree)) - stored)


def _reached(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.split(".")[0] in _MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (each.name for each in names if each.name in _ATTRIBUTES)
                yield from [module] if module.split(".")[0] in _MODULES else []
            case ast.Name(id=name) if name in _NAMES:
                yield name
            case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=name) if (
                name not in _COMMON
            ):
                yield f"get_ipython().{name}"
            case ast.Attribute(attr=name) if name in _ATTRIBUTES:
                yield name
            case ast.FunctionDef(name="__eq__" | "__ne__" as name, body=[ast.Return(value=ast.Constant())]):
                yield f"{name} that is always the same"


def reaching(master: MasterNotebook, notebook: NotebookNode) -> list[str]:
    """Flags for a submission whose tests assert in its own process; there are none where values are compared outside."""
    graded = [
        cell
        for cell in master.cells.values()
        if cell.grade and not cell.solution and cell.cell_type == "code"
    ]
    if all(cell.grade_id in master.checks for cell in graded):
        return []
    flags = []
    given = {
        name for source in master.given for name in reached(source)
    }  # what the course itself shows is not odd
    for i, cell in enumerate(notebook.cells):
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        theirs = cell.cell_type == "code" and not (grade_id and master.cells[grade_id].locked)
        found = [name for name in reached(cell.source) if name not in given] if theirs else []
        if found:
            flags.append(f"{grade_id or f'cell {i + 1}'} reaches for {', '.join(found)[:200]}")
    return flags
