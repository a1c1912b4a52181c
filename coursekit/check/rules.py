"""Source rules: what the code of an answer may not use, found in its syntax tree."""

import ast
from collections.abc import Iterator, Sequence, Set
from itertools import accumulate
from typing import Any

from coursekit.check.source import Name, Notebook, parse, read
from coursekit.check.tree import Text

# With these a forbidden name can be reached without being written.
_EVASIONS = (
    *("eval", "exec", "compile", "__import__", "importlib", "getattr", "globals", "locals", "vars"),
    *("builtins", "__builtins__", "sys.modules", "operator.attrgetter", "operator.methodcaller"),
    *(".__dict__", ".__globals__", ".__builtins__", ".__getattribute__", ".run_cell", ".run_line_magic"),
)
_LOOPS = (ast.For, ast.While, ast.AsyncFor, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def violations(cells: Sequence[str], target: str, rules: dict[str, Any]) -> list[Text]:
    """What the definition of `target`, and everything of the notebook that it calls, uses against the rules.

    Parameters and local variables are not mistaken for global names, and type annotations are no use of what they
    name. A definition that was kept by a plain assignment of names (`good = f`) is followed, even when its first name means
    something else by now; of the branches of an `if`, the last that binds a name counts. Rules are for honest work:
    whoever wants to hide a call from them can.

    Args:
        cells: sources of the executed code cells, in order; of several definitions of a name the last one counts.
        target: the name that is checked.
        rules: `forbid` (full names; a leading dot means a method) and `no_loops`, as in `exercise.Rules`.

    Returns:
        One bilingual sentence for each broken rule, with the line of the first use; empty when all is well.
    """
    if not rules["forbid"] and not rules["no_loops"]:
        return []
    notebook = read([tree for tree in map(parse, cells) if tree is not None])
    forbidden = frozenset((*rules["forbid"], *_EVASIONS))
    found: dict[str, Text] = {}
    for used in _reached(notebook, target):
        if rules["no_loops"] and isinstance(used.node, _LOOPS):
            found.setdefault("a loop", _loop(target, used.line))
        for name in used.names:
            rule = _broken(name, forbidden)
            if rule:
                found.setdefault(rule, _sentence(target, name.removeprefix("."), used.line))
                break
    return list(found.values())


def _reached(notebook: Notebook, target: str) -> Iterator[Name]:
    """What the definition of `target` uses and, through the names it mentions, those that it depends on."""
    waiting, seen = [target], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in notebook.definitions:
            continue
        seen.add(name)
        for node in notebook.definitions[name]:
            for used in notebook.uses(node):
                yield used
                waiting += used.globals


def _broken(name: str, forbidden: Set[str]) -> str | None:
    """The shortest beginning of a full name that is forbidden; a method (".data") is forbidden as a whole."""
    beginnings = [name] if name.startswith(".") else accumulate(name.split("."), "{}.{}".format)
    return next((each for each in beginnings if each in forbidden), None)


def _sentence(target: str, name: str, line: int) -> Text:
    return {
        "en": f"`{target}` uses `{name}` (line {line} of its cell); this exercise is to be written without it.",
        "zh": f"`{target}` 用到了 `{name}`（所在单元格第 {line} 行）；本题不能用它。",
    }


def _loop(target: str, line: int) -> Text:
    return {
        "en": f"`{target}` uses a Python loop (line {line} of its cell); this exercise is to be written without loops.",
        "zh": f"`{target}` 用到了 Python 循环（所在单元格第 {line} 行）；本题要求不用循环。",
    }
