"""Reading a notebook's source: which names its definitions use, and what those names stand for."""

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Cell magics whose body is Python; the body of any other is not.
_PYTHON_MAGIC = re.compile(r"\s*%%(time|timeit|capture|prun)\b[^\n]*")

# What the names of one scope stand for: a full name ("torch.nn.functional"), or None for a value of the scope's own.
Scope = Mapping[str, str | None]


@dataclass(frozen=True)
class Name:
    """One node of a definition: the names that it may stand for (best first), and the globals that it reads."""

    node: ast.AST
    names: Sequence[str]
    globals: Sequence[str]
    line: int


@dataclass
class Notebook:
    """The global names of a notebook after all of its cells.

    Attributes:
        definitions: the statements that made each name what it is: the last that binds it and those that change it after;
            names of one object share them, whatever becomes of the name that it had first.
        aliases: names that stand for others: `import torch.nn.functional as F` gives F -> its full name.
        stars: modules of which all names were imported.
    """

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)

    def uses(self, definition: ast.AST) -> Sequence[Name]:
        """Every node of a definition, with the names that it stands for in its scope."""
        defined = self.definitions if self.stars else ()
        return _uses(definition, frozenset(self.aliases.items()), tuple(self.stars), frozenset(defined))

    def walk(self, definition: ast.AST) -> Iterator[Name]:
        """As `uses`, which remembers what it has found."""
        waiting: list[tuple[ast.AST, tuple[Scope, ...]]] = [(definition, ())]
        while waiting:
            node, scopes = waiting.pop()
            yield self._name(node, scopes)
            waiting += reversed(list(self._children(node, scopes)))

    def full_name(self, node: ast.AST, scopes: Sequence[Scope] = ()) -> str | None:
        """What `a.b.c` stands for; None where `a` is a value of its scope, or is no name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        scope = next((scope for scope in scopes if node.id in scope), None)
        root = self.aliases.get(node.id, node.id) if scope is None else scope[node.id]
        return ".".join([root, *reversed(parts)]) if root else None

    def _name(self, node: ast.AST, scopes: tuple[Scope, ...]) -> Name:
        names: list[str] = []
        used: list[str] = []
        full = self.full_name(node, scopes)
        if isinstance(node, ast.Attribute):
            names = [*([full] if full else []), f".{node.attr}"]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and full:
            names = [full]
            if not any(node.id in scope for scope in scopes):
                used = [node.id]
                if node.id not in self.definitions:
                    names += [f"{module}.{node.id}" for module in self.stars]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [full for _, full in _imported(node)]
        return Name(node, names, used, getattr(node, "lineno", 0))

    def _children(
        self, node: ast.AST, scopes: tuple[Scope, ...]
    ) -> Iterator[tuple[ast.AST, tuple[Scope, ...]]]:
        if isinstance(node, ast.arg):
            return  # what is left of it is an annotation
        if isinstance(node, _Function):
            inside = (self._own(node, scopes), *scopes)
            yield node.args, scopes  # defaults belong to the scope around
            body = [node.body] if isinstance(node, ast.Lambda) else node.body
            yield from ((child, inside) for child in body)
            yield from ((child, scopes) for child in getattr(node, "decorator_list", ()))
            return
        if isinstance(node, ast.ClassDef):
            own: Scope = dict.fromkeys(name for child in node.body for name in _stored(child))
            for child in ast.iter_child_nodes(node):  # methods do not see the names of the class
                yield child, scopes if isinstance(child, _Function) else (own, *scopes)
            return
        if isinstance(node, _COMPREHENSIONS):
            scopes = ({name: None for part in node.generators for name in _stored(part.target)}, *scopes)
        skipped = node.annotation if isinstance(node, ast.AnnAssign) else None
        yield from ((child, scopes) for child in ast.iter_child_nodes(node) if child is not skipped)

    def _own(self, function: _Function, scopes: tuple[Scope, ...]) -> Scope:
        """Parameters and variables of a function, those of functions inside it left out."""
        arguments = function.args
        own: dict[str, str | None] = {
            arg.arg: None
            for arg in (
                *(*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs),
                *(arg for arg in (arguments.vararg, arguments.kwarg) if arg),
            )
        }
        shared: set[str] = set()
        body: list[ast.AST] = [function.body] if isinstance(function, ast.Lambda) else list(function.body)
        for node in _within(body):
            if isinstance(node, (ast.Global, ast.Nonlocal)):
                shared |= set(node.names)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                own |= _imported(node)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                own[node.name] = None
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.setdefault(node.id, None)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                own[node.name] = None
            elif isinstance(node, ast.Assign) and isinstance(node.value, (ast.Name, ast.Attribute)):
                full = self.full_name(node.value, (own, *scopes))
                own |= {t.id: full for t in node.targets if isinstance(t, ast.Name)}
        return {name: stands_for for name, stands_for in own.items() if name not in shared}


@lru_cache(maxsize=4096)  # most checks reach what earlier ones did, and in other submissions too
def _uses(
    definition: ast.AST, aliases: frozenset[tuple[str, str]], stars: tuple[str, ...], defined: frozenset[str]
) -> Sequence[Name]:
    return tuple(Notebook({name: [] for name in defined}, dict(aliases), list(stars)).walk(definition))


def read(trees: Sequence[ast.Module]) -> Notebook:
    """The global names after all cells have run, in order."""
    notebook = Notebook()
    for tree in trees:
        for statement in _statements(tree.body):
            _bind(notebook, statement)
    return notebook


def _bind(notebook: Notebook, statement: ast.stmt) -> None:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        _define(notebook, statement.name, statement, None)
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*" and statement.module:
            notebook.stars.append(statement.module)
        for name, full in _imported(statement):
            # Alone: the other names of the line are no concern of who uses this one.
            alone = ast.Import([ast.alias(full, name)], lineno=statement.lineno)
            _define(notebook, name, alone, full)
    else:
        same = notebook.full_name(statement.value) if isinstance(statement, ast.Assign) else None
        made = notebook.definitions
        shared = {name: made[value] for name, value in _renamed(statement) if value in made}
        for name in _stored(statement):
            _define(notebook, name, statement, same, anew=not isinstance(statement, ast.AugAssign))
        made |= shared
        for name in _changed(statement):
            _define(notebook, name, statement, notebook.aliases.get(name), anew=False)


def _define(
    notebook: Notebook, name: str, statement: ast.stmt, full: str | None, *, anew: bool = True
) -> None:
    if anew:
        notebook.definitions[name] = []
    notebook.definitions.setdefault(name, []).append(statement)
    if full and full != name:
        notebook.aliases[name] = full
    else:
        notebook.aliases.pop(name, None)


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Simple statements and definitions, those inside `if`, `with`, `try` and loops too."""
    waiting = list(reversed(body))
    while waiting:
        statement = waiting.pop()
        inner = [
            child
            for name in ("body", "orelse", "handlers", "finalbody", "cases")
            for part in getattr(statement, name, ())
            for child in (part.body if isinstance(part, (ast.ExceptHandler, ast.match_case)) else [part])
        ]
        if inner and not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            waiting += reversed(inner)
        else:
            yield statement


@lru_cache(maxsize=4096)  # each check reads all cells before it, and trees are kept
def _stored(node: ast.AST) -> Sequence[str]:
    """Names that a statement or a target binds in its own scope."""
    return [n.id for n in _within([node]) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def _renamed(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """`good` and `f` of `good = f`, and each such pair of `good, n = f, 3`."""
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return
    value = statement.value
    for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
        pairs: Iterable[tuple[ast.expr, ast.expr | None]] = [(target, value)]
        if isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List)):
            pairs = zip(target.elts, value.elts, strict=False)
        yield from ((t.id, v.id) for t, v in pairs if isinstance(t, ast.Name) and isinstance(v, ast.Name))


def _changed(statement: ast.stmt) -> list[str]:
    """`Net` in `Net.forward = f` and in `Net.layers["a"] = f`."""
    found = []
    for target in getattr(statement, "targets", [getattr(statement, "target", None)]):
        base = target
        while isinstance(base, (ast.Attribute, ast.Subscript)):
            base = base.value
        if base is not target and isinstance(base, ast.Name):
            found.append(base.id)
    return found


def _within(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Nodes in the order of the source, those inside functions, classes and comprehensions left out."""
    waiting = list(reversed(nodes))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (_Function, ast.ClassDef, *_COMPREHENSIONS)):
            waiting += reversed(list(ast.iter_child_nodes(node)))


def _imported(node: ast.Import | ast.ImportFrom) -> list[tuple[str, str]]:
    """The names that an import binds, each with its full name."""
    if isinstance(node, ast.ImportFrom):
        return [(item.asname or item.name, f"{node.module}.{item.name}") for item in node.names]
    roots = [item.name if item.asname else item.name.split(".")[0] for item in node.names]
    return [(item.asname or root, root) for item, root in zip(node.names, roots, strict=True)]


@lru_cache(maxsize=512)
def parse(source: str) -> ast.Module | None:
    """The tree of a cell, its magics and shell lines read as IPython does; None for one that Python cannot read.

    Such a cell did not run either, or not as Python (`%%bash`).
    """
    source = _PYTHON_MAGIC.sub("", source, count=1) if source.lstrip().startswith("%%") else source
    for text in (lambda: source, lambda: _as_python(source)):
        try:
            return compile(text(), "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None


def _as_python(source: str) -> str:
    """With IPython's own syntax (`%time f()`, `!ls`, `f?`) turned into calls.

    Raises:
        SyntaxError: when IPython cannot read it either.
    """
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        # It warns of odd line ends; on stderr that would cost the cell its points.
        with warnings.catch_warnings(action="ignore"):
            return TransformerManager().transform_cell(source)
    except RuntimeError as error:  # its limit for the number of magics in a cell
        raise SyntaxError(str(error)) from error
