"""`check = open_lab("cnn_mnist")`: a lab's bundle of public cases, and the instant check that reads it."""

import base64
import inspect
import zlib
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from coursekit.check.call import answer
from coursekit.check.exercise import CaseSet
from coursekit.check.rules import violations
from coursekit.check.show import CheckFailedError, Points, _ipython, display, language
from coursekit.check.tree import DamagedError, dumps, loads
from coursekit.check.verdict import Outcome, judge

SUFFIX = ".bundle.safetensors"


class BundleError(Exception):
    """The bundle of a lab is missing or damaged; the message says what to do."""


class Lab:
    """The public checks of one lab; called as `check("conv2d", conv2d)`."""

    def __init__(self, name: str, lang: str, case_sets: dict[str, CaseSet]):
        self.name, self.lang, self.case_sets = name, lang, case_sets

    def __call__(self, exercise: str, target: Any, *, cases: str | None = None) -> Points:
        """Check an answer and show the outcome.

        Args:
            exercise: name of the exercise.
            target: your function, class or model.
            cases: other cases than the public ones, as `encode` writes them (nbgrader's hidden cells use this).

        Returns:
            The points of the cell, where there are any.

        Raises:
            CheckFailedError: when the answer earns nothing; the message says why.
        """
        case_set = decode(cases) if cases else self._find(exercise)
        outcome = self.outcome(case_set, target)
        lang = language(self.lang)
        display(outcome, lang)
        if outcome.status == "correct" or outcome.points:
            return Points(outcome, lang)
        raise CheckFailedError(outcome, lang)

    def outcome(self, case_set: CaseSet, target: Any) -> Outcome:
        """Call `target` on the cases and judge what came of it."""
        cells = _cells(target)
        broken = violations(cells, case_set.target, case_set.rules)
        return judge(case_set, answer(target, case_set.questions()), broken)

    def _find(self, exercise: str) -> CaseSet:
        if exercise not in self.case_sets:
            raise ValueError(
                f"{exercise!r} is not an exercise of {self.name}; it has {', '.join(self.case_sets)}"
            )
        return self.case_sets[exercise]

    def __repr__(self) -> str:
        return f"<checks of {self.name} ({self.lang}): {', '.join(self.case_sets)}>"


def open_lab(name: str, folder: str | Path | None = None) -> Lab:
    """Open the checks of a lab: from the folder given, the current folder, or the installed package.

    Raises:
        BundleError: when there is no bundle of that name, or it is damaged.
    """
    filename = f"{name}{SUFFIX}"
    for place in [Path(folder) if folder else Path.cwd(), *_installed(name)]:
        if (place / filename).is_file():
            return read_bundle(place / filename)
    where = f"in {folder}" if folder else f"beside the notebook ({Path.cwd()})"
    raise BundleError(
        f"no checks of the lab {name!r}: {filename} is neither {where} nor in the installed "
        f"coursekit. Copy it beside the notebook from where you got the notebook, or run `coursekit labs get {name}`."
    )


def read_bundle(path: Path) -> Lab:
    """Read a bundle file."""
    return bundle_from(path.read_bytes(), path.name)


def bundle_from(content: bytes, name: str) -> Lab:
    """A bundle from the content of its file; the name is for errors."""
    try:
        tree = loads(content)
        case_sets = [CaseSet.from_tree(item) for item in tree["exercises"]]
        return Lab(tree["lab"], tree["language"], {case_set.exercise: case_set for case_set in case_sets})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{name} is damaged ({error}), or made for another version of coursekit. "
            "Copy it again from where you got the notebook, and update coursekit."
        ) from error


def write_bundle(path: Path, name: str, lang: str, case_sets: Sequence[CaseSet]) -> None:
    """Write a bundle file; equal content gives equal bytes."""
    tree = {"lab": name, "language": lang, "exercises": [case_set.to_tree() for case_set in case_sets]}
    path.write_bytes(dumps(tree))


def encode(case_set: CaseSet) -> str:
    """Cases as text that fits into a notebook cell."""
    return base64.b64encode(zlib.compress(dumps(case_set.to_tree()), 9)).decode("ascii")


def decode(text: str) -> CaseSet:
    """Cases back from text.

    Raises:
        DamagedError: when the text is not what `encode` wrote.
    """
    try:
        return CaseSet.from_tree(loads(zlib.decompress(base64.b64decode(text, validate=True))))
    except (ValueError, zlib.error, TypeError, KeyError) as error:  # binascii.Error is a ValueError
        raise DamagedError(f"not an encoded set of cases: {error}") from error


def installed_labs() -> Path | None:
    """The folder of student notebooks that comes with the package (or with its source checkout), if there is one."""
    with as_file(files("coursekit")) as package:
        for folder in (package / "notebooks", package.parent / "notebooks"):
            if folder.is_dir():
                return folder
    return None


def _installed(name: str) -> list[Path]:
    folder = installed_labs()
    return [folder / language("en") / name] if folder else []


def _cells(target: Any) -> Sequence[str]:
    """Sources of what has been executed: the notebook's cells, or outside Jupyter the target's own source."""
    shell = _ipython()
    if shell is not None:
        return list(shell.history_manager.input_hist_raw)  # `In` has magics as calls already
    try:
        return [inspect.cleandoc(inspect.getsource(target))]
    except (OSError, TypeError):  # defined in a terminal, or a value without source: no rule can be applied
        return []
