"""Drawing the cases of a lab's exercises: inputs from a seed, outputs of the reference and of each misconception."""

import contextlib
import hashlib
import hmac
import io
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autograde.errors import LabError
from autograde.lab import Lab
from coursekit.check.call import answer
from coursekit.check.exercise import Accuracy, CaseSet, Exercise, instructor_data
from coursekit.check.lab import SUFFIX, write_bundle
from coursekit.check.tree import Tree

PUBLIC_SECRET = b"public"


def seed_of(secret: bytes, lab: str, exercise: str) -> int:
    """The seed of an exercise's cases in a course."""
    return int.from_bytes(hmac.digest(secret, f"{lab}/{exercise}".encode(), hashlib.sha256)[:8], "big")


def public_cases(lab: Lab) -> list[CaseSet]:
    """The cases that every student gets."""
    with Workshop(lab) as workshop:
        return [
            workshop.draw(exercise, seed_of(PUBLIC_SECRET, lab.name, name), hidden=False)
            for name, exercise in lab.exercises.items()
        ]


class Workshop(contextlib.ExitStack):
    """Where a lab's own code is run, quietly and in a folder that is gone afterwards.

    `instructor` is a course's own folder of hidden labels, in place of the lab's.
    """

    def __init__(self, lab: Lab, instructor: Path | None = None):
        super().__init__()
        self.lab, self.instructor = lab, instructor
        self.targets: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> "Workshop":
        super().__enter__()
        folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
        self.enter_context(contextlib.chdir(folder))
        self.enter_context(_one_thread())
        self.enter_context(instructor_data(self.instructor))
        for path in self.lab.files:
            shutil.copyfile(path, folder / path.name)
        # The setup cell opens the lab's checks; here there are none yet.
        write_bundle(folder / f"{self.lab.name}{SUFFIX}", self.lab.name, "en", [])
        self.variables: dict[str, Any] = {"__name__": "__main__"}
        self._run(self.lab.setup, self.variables)
        return self

    def target(self, exercise: Exercise, code: str) -> Any:
        """The object that `code` defines; made once, see `make`."""
        key = (exercise.name, code)
        if key not in self.targets:
            self.targets[key] = self.make(exercise, code)
        return self.targets[key]

    def make(self, exercise: Exercise, code: str, *, seed: int = 0) -> Any:
        """The object that `code` defines, with the solutions of the exercises it needs beside it.

        `seed` is that of the initial weights, where the code makes a model.

        Raises:
            NotImplementedError: when the code is a stub that stops before it defines anything.
            LabError: when the code does not define the exercise's object.
        """
        variables = dict(self.variables)
        torch.manual_seed(seed)
        for source in [*(self.lab.solutions[name] for name in exercise.needs), code]:
            self._run(source, variables)
        if exercise.target not in variables:
            raise LabError(
                f"{self.lab.name}, {exercise.name}: the code does not define {exercise.target!r}:\n{code}"
            )
        return variables[exercise.target]

    def answers(self, exercise: Exercise, code: str, case_set: CaseSet) -> list[dict[str, Tree]]:
        """What the object that `code` defines answers."""
        return self.ask(self.target(exercise, code), case_set)

    @staticmethod
    def ask(target: Any, case_set: CaseSet) -> list[dict[str, Tree]]:
        """What an object answers."""
        with _quiet():
            return answer(target, case_set.questions())

    def draw(self, exercise: Exercise, seed: int, *, hidden: bool) -> CaseSet:
        """The cases of one exercise from a seed, with what is expected and what each misconception gives.

        Raises:
            LabError: when the reference fails.
        """
        lab, cases = self.lab, exercise.draw_cases(np.random.default_rng(seed), hidden=hidden)
        case_set = CaseSet(
            exercise=exercise.name,
            title=exercise.title,
            target=exercise.target,
            adaptor=exercise.adaptor,
            options=dict(exercise.options),
            compare=asdict(exercise.compare),
            rules={"forbid": list(exercise.rules.forbid), "no_loops": exercise.rules.no_loops},
            groups={name: dict(text) for name, text in exercise.groups.items()},
            points=lab.points[exercise.name][1 if hidden else 0],
            hints={m.name: m.hint for m in exercise.misconceptions},
            symptoms={m.name: m.symptom for m in exercise.misconceptions if m.symptom},
            cases=cases,
        )
        if isinstance(exercise.compare, Accuracy):
            return case_set
        for case, result in zip(
            cases, self.answers(exercise, lab.solutions[exercise.name], case_set), strict=True
        ):
            if result["status"] != "ok":
                raise LabError(
                    f"{lab.name}, {exercise.name}: the reference solution fails on {case.inputs}: {result}"
                )
            case.expected = result["value"]
        for misconception in exercise.misconceptions:
            wrong = self.answers(exercise, misconception.code, case_set)
            for case, result in zip(cases, wrong, strict=True):
                kept = {key: result[key] for key in ("status", "value", "type", "message") if key in result}
                case.wrong[misconception.name] = kept
        return case_set

    @staticmethod
    def _run(source: str, variables: dict[str, Any]) -> None:
        with _quiet():
            exec(compile(source, "<solution>", "exec"), variables)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums are rounded differently by different numbers of threads, and equal labs must give equal bundles."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What a lab prints, and its progress bars, do not belong in the output of a command."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
