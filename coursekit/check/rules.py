"""Source rules: what the code of an answer may not use, found in its syntax tree."""

import ast
from collections.abc import Iterator, Sequence
from typing import Any

from coursekit.check.tree import Text

# With these a forbidden name can be reached without being written.
_EVASIONS = ("eval", "exec", "compile", "__import__", "importlib", "getattr", "globals", "vars")
_LOOPS = (ast.For, ast.While, ast.AsyncFor, ast.comprehension)


def violations(cells: Sequence[str], target: str, rules: dict[str, Any]) -> list[Text]:
    """What the definition of `target`, and everything of the notebook that it calls, uses against the rules.

    Args:
        cells: sources of the executed code cells, in order; of several definitions of a name the last one counts.
        target: the name that is checked.
        rules: `forbid` (full names; a leading dot means a method) and `no_loops`, as in `exercise.Rules`.

    Returns:
        One bilingual sentence for each forbidden thing, with its line; empty when all is well.
    """
    if not rules["forbid"] and not rules["no_loops"]:
        return []
    trees = [tree for tree in map(_parse, cells) if tree is not None]
    aliases = _aliases(trees)
    found: dict[str, Text] = {}
    for node in _reachable(trees, target):
        for child in ast.walk(node):
            for name, line in _uses(child, aliases):
                rule = _broken(name, rules["forbid"])
                if rule:
                    found.setdefault(name, _sentence(target, name, line))
            if rules["no_loops"] and isinstance(child, _LOOPS):
                line = getattr(child, "lineno", getattr(getattr(child, "target", None), "lineno", 0))
                found.setdefault("a Python loop", _loop(target, line))
    return list(found.values())


def _parse(source: str) -> ast.Module | None:
    """The tree of a cell, magics and shell lines left out; None for a cell that Python cannot read (it did not run)."""
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()]
    try:
        return ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _aliases(trees: Sequence[ast.Module]) -> dict[str, str]:
    """What each imported or simply assigned name stands for: `import torch.nn.functional as F` gives F -> its full name."""
    aliases: dict[str, str] = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for item in node.names:
                    aliases[item.asname or item.name.split(".")[0]] = (
                        item.name if item.asname else item.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and node.module:
                for item in node.names:
                    aliases[item.asname or item.name] = f"{node.module}.{item.name}"
            elif isinstance(node, ast.Assign) and isinstance(node.value, (ast.Attribute, ast.Name)):
                full = _dotted(node.value, aliases)
                for name in node.targets:
                    if isinstance(name, ast.Name) and full and "." in full:
                        aliases[name.id] = full
    return aliases


def _reachable(trees: Sequence[ast.Module], target: str) -> Iterator[ast.AST]:
    """The definition of `target` and, through the names they mention, those of the notebook that it depends on."""
    definitions: dict[str, ast.AST] = {}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                definitions[node.name] = node
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                names = node.targets if isinstance(node, ast.Assign) else [node.target]
                definitions.update({name.id: node for name in names if isinstance(name, ast.Name)})
    waiting, seen = [target], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in definitions:
            continue
        seen.add(name)
        yield definitions[name]
        waiting += _free_names(definitions[name])


def _free_names(node: ast.AST) -> set[str]:
    """Names that a definition reads from outside; its parameters and variables are its own."""
    own: set[str] = set()
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        own = {child.arg for child in ast.walk(node) if isinstance(child, ast.arg)}
        own |= {c.id for c in ast.walk(node) if isinstance(c, ast.Name) and isinstance(c.ctx, ast.Store)}
    return {c.id for c in ast.walk(node) if isinstance(c, ast.Name) and isinstance(c.ctx, ast.Load)} - own


def _uses(node: ast.AST, aliases: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Full names and method names (with a leading dot) that a node mentions."""
    if isinstance(node, ast.Attribute):
        full = _dotted(node, aliases)
        if full:
            yield full, node.lineno
        yield f".{node.attr}", node.lineno
    elif isinstance(node, ast.Name):
        yield aliases.get(node.id, node.id), node.lineno
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from ((f"{node.module}.{item.name}", node.lineno) for item in node.names)
    elif isinstance(node, ast.Import):
        yield from ((item.name, node.lineno) for item in node.names)


def _dotted(node: ast.AST, aliases: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, aliases)
        return f"{base}.{node.attr}" if base else None
    return None


def _broken(name: str, forbidden: Sequence[str]) -> str | None:
    for rule in (*forbidden, *_EVASIONS):
        if name == rule or (not rule.startswith(".") and name.startswith(f"{rule}.")):
            return rule
    return None


def _sentence(target: str, name: str, line: int) -> Text:
    shown = name.removeprefix(".")
    return {
        "en": f"`{target}` uses `{shown}` (line {line} of its cell); this exercise is to be written without it.",
        "zh": f"`{target}` 用到了 `{shown}`(所在单元格第 {line} 行);本题要求不用它来写。",
    }


def _loop(target: str, line: int) -> Text:
    return {
        "en": f"`{target}` uses a Python loop (line {line} of its cell); this exercise is to be written without loops.",
        "zh": f"`{target}` 用到了 Python 循环(所在单元格第 {line} 行);本题要求不用循环。",
    }
