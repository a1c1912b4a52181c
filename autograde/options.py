"""nbgrader's own options: read by nbgrader itself, honoured by its own code, and named where they can have no meaning here."""

import builtins
import inspect
import io
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbconvert.preprocessors import ExecutePreprocessor
from nbgrader.apps import AutogradeApp
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    DeduplicateIds,
    Execute,
    OverwriteCells,
    OverwriteKernelspec,
)
from traitlets import TraitError
from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from autograde.errors import CourseError

# Settings of nbgrader's `Execute` that are honoured; nothing of the others reaches a kernel in the sandbox.
HONOURED = {"enabled", "timeout"}
STARTUP_TIMEOUT = 120
# What says who is graded and how that is told, and has no part in what is earned.
_NOT_IN_MARKS = {"Application", "JupyterApp", "NbGrader", "AutogradeApp", "CourseDirectory", "Exchange"}
_NOT_IN_MARKS |= {"BaseConverter", "GenerateAssignment", "GenerateFeedback", "TransferApp"}


@dataclass(frozen=True)
class Configuration:
    """nbgrader's configuration.

    Attributes:
        config: of all its files and arguments.
        words: arguments that are no options; nbgrader takes one, the assignment.
        warnings: what nbgrader says about the rest.
    """

    config: Config
    words: tuple[str, ...]
    warnings: tuple[str, ...]


def read_configuration(arguments: Sequence[str], root: Path | None = None) -> Configuration:
    """Let `nbgrader autograde` read its files of configuration (the user's, here, the course's) and its arguments.

    Args:
        arguments: as for `nbgrader autograde`.
        root: the course directory; default: what the configuration says.

    Raises:
        CourseError: with nbgrader's words, when it cannot.
    """
    told = io.StringIO()
    app = AutogradeApp()
    app.log = logging.Logger("nbgrader", logging.WARNING)
    app.log.addHandler(logging.StreamHandler(told))
    try:
        app.initialize(list(arguments), root=str(root or ""))
    except (Exception, SystemExit) as error:  # a file of configuration is a program
        said = told.getvalue().strip() or f"{type(error).__name__}: {error}"
        raise CourseError(f"nbgrader cannot read its configuration: {said}") from error
    if root is not None:
        if str(root) not in sys.path:  # as nbgrader does with the working directory, for plugins and hooks
            sys.path.append(str(root))
        app.config.CourseDirectory.root = str(root)
    warnings = [
        line for line in told.getvalue().splitlines() if "No nbgrader_config.py file found" not in line
    ]
    return Configuration(app.config, tuple(app.extra_args), tuple(dict.fromkeys(warnings)))


def converter_of(config: Config) -> Autograde:
    """nbgrader's converter, which knows the values of its options.

    Raises:
        CourseError: when a hook cannot be had.
    """
    try:
        return Autograde(coursedir=CourseDirectory(config=config), config=config)
    except Exception as error:  # the hooks of a course are its own programs
        raise CourseError(
            f"nbgrader's Autograde does not take its configuration ({type(error).__name__}: {error}); "
            "a hook must be a function, or its name: 'module.function'"
        ) from error


def cell_timeout(config: Config) -> int | None:
    """`Execute.timeout` in seconds, 0 for none; None where the course leaves it at nbgrader's default."""
    if "timeout" not in _given(config):
        return None
    return max(0, _execute(config).timeout or 0)


def executes(config: Config) -> bool:
    """Whether notebooks are to be run (`--no-execute`)."""
    return _execute(config).enabled and any(map(is_execute, converter_of(config).autograde_preprocessors))


def is_execute(step: Any) -> bool:
    """Whether a step of nbgrader's is the one that runs the notebook."""
    names = ("nbgrader.preprocessors.Execute", "nbgrader.preprocessors.execute.Execute")
    return step in names or (isinstance(step, type) and issubclass(step, Execute))


def steps_before(config: Config) -> list[Any]:
    """The steps before a notebook is run, without those of nbgrader's whose work has been done at intake."""
    done = (DeduplicateIds, OverwriteKernelspec, OverwriteCells, CheckCellMetadata)
    return [step for step in converter_of(config).sanitize_preprocessors if step not in done]


def remarks(configuration: Configuration) -> list[str]:
    """What a course or a command line asks for and does not get, one sentence each."""
    config = configuration.config
    found = list(configuration.warnings)
    converter = converter_of(config)
    for name, value in _given(config).items():
        if name not in HONOURED and not (name == "startup_timeout" and value <= STARTUP_TIMEOUT):
            found.append(
                f"Execute.{name} has no meaning here: `autograde run` runs notebooks in kernels of its own"
            )
    steps = list(converter.autograde_preprocessors)
    first = next((i for i, step in enumerate(steps) if is_execute(step)), 0)
    early = [step for step in steps[:first] if step not in Autograde.autograde_preprocessors.default()]
    early += [
        step
        for step in converter.sanitize_preprocessors
        if step not in Autograde.sanitize_preprocessors.default()
    ]
    if early:
        names = ", ".join(getattr(step, "__name__", str(step)) for step in early)
        found.append(f"{names}: applied to what is recorded, after the notebook has been run, not before")
    for section, name in (("Application", "log_level"), ("NbGrader", "logfile")):
        if name in config.get(section, {}):
            found.append(
                f"{section}.{name} has no meaning here: `autograde run` writes no log of nbgrader's; how each submission "
                "ended is in its table, in `autograde status` and in .autograde/records"
            )
    return found


def settings_of_marks(config: Config) -> str:
    """The settings that marks may depend on, as text; with the source of a plugin of the course's own."""
    sections = {
        name: {key: _plain(value) for key, value in section.items()}
        for name, section in config.items()
        if isinstance(section, Config) and name not in _NOT_IN_MARKS
    }
    autograde = sections.setdefault("Autograde", {})
    for own in ("force", "create_student", "permissions"):
        autograde.pop(own, None)
    there = CourseDirectory(config=config)
    return json.dumps(
        {
            **{name: section for name, section in sections.items() if section},
            "database": there.db_url.replace(there.root, "."),
            "ignore": there.ignore,
            "late": _plain(_late_plugin(config)),
            "hooks": [_plain(hook) for hook in hooks(converter_of(config))],
        },
        sort_keys=True,
    ).replace(there.root, ".")


def hooks(converter: Autograde) -> tuple[Any, Any]:
    """What a course has run before and after each submission is graded."""
    return converter.pre_convert_hook, converter.post_convert_hook


def _execute(config: Config) -> Execute:
    """nbgrader's step that runs notebooks, which knows the values of its options."""
    try:
        return Execute(config=config)
    except TraitError as error:
        raise CourseError(f"nbgrader's Execute does not take its configuration: {error}") from error


def _late_plugin(config: Config) -> type:
    """The class that gives late penalties."""
    try:
        return AssignLatePenalties(config=config).plugin_class
    except Exception as error:  # it may be the course's own module
        raise CourseError(f"there is no such plugin for late penalties: {error}") from error


def _given(config: Config) -> dict[str, Any]:
    """The settings of `Execute` that somebody has set, under its own name or that of a class it comes from."""
    return {
        name: getattr(_execute(config), name)
        for kind in (Execute, ExecutePreprocessor, NotebookClient)
        for name in config.get(kind.__name__, {})
        if name in Execute.class_traits(config=True)
    }


def _plain(value: Any) -> Any:
    """A setting as plain data, the same in every run."""
    if isinstance(value, LazyConfigValue):
        return _plain(value.to_dict())
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if value is None or isinstance(value, str | int | float):
        return value
    name = value if inspect.isroutine(value) or isinstance(value, type) else type(value)
    return [f"{name.__module__}.{name.__qualname__}", *_source(name)]


def _source(thing: Any) -> Iterator[str]:
    """The text of a class or function of the course's own; a library's does not change under its name."""
    library = (thing.__module__ or "").partition(".")[0] in (
        "nbgrader",
        "nbconvert",
        "traitlets",
        "autograde",
    )
    if library or getattr(builtins, thing.__name__, None) is thing:
        return
    try:
        yield inspect.getsource(thing)
    except (OSError, TypeError):  # a class that is written in a file of configuration, which is no module
        for name, each in sorted(vars(thing).items()):
            if (code := getattr(each, "__code__", None)) is not None:
                yield f"{name} {code.co_code.hex()} {code.co_names} {[c for c in code.co_consts if not hasattr(c, 'co_code')]}"
