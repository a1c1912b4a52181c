"""Drawing the cases of a lab's exercises: inputs from a seed, outputs of the reference and of each misconception."""

import contextlib
import hashlib
import hmac
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from autograde.errors import LabError
from autograde.lab import Lab
from coursekit.check.call import answer
from coursekit.check.exercise import Accuracy, CaseSet, Exercise
from coursekit.check.lab import SUFFIX, write_bundle
from coursekit.check.tree import Tree

PUBLIC_SECRET = b"public"


def seed_of(secret: bytes, lab: str, exercise: str) -> int:
    """The seed of an exercise's cases in a course."""
    return int.from_bytes(hmac.digest(secret, f"{lab}/{exercise}".encode(), hashlib.sha256)[:8], "big")


def public_cases(lab: Lab) -> list[CaseSet]:
    """The cases that every student gets."""
    return [
        draw(lab, exercise, seed_of(PUBLIC_SECRET, lab.name, name), hidden=False)
        for name, exercise in lab.exercises.items()
    ]


def draw(lab: Lab, exercise: Exercise, seed: int, *, hidden: bool) -> CaseSet:
    """The cases of one exercise from a seed, with what is expected and what each misconception gives.

    Raises:
        LabError: when the reference fails, or a misconception that is told by its outputs cannot be told from it.
    """
    cases = exercise.draw_cases(np.random.default_rng(seed), hidden=hidden)
    compare = asdict(exercise.compare)
    points = lab.points[exercise.name][1 if hidden else 0]
    case_set = CaseSet(
        exercise=exercise.name,
        title=exercise.title,
        target=exercise.target,
        adaptor=exercise.adaptor,
        options=dict(exercise.options),
        compare=compare,
        rules={"forbid": list(exercise.rules.forbid), "no_loops": exercise.rules.no_loops},
        points=points,
        hints={m.name: m.hint for m in exercise.misconceptions},
        symptoms={m.name: m.symptom for m in exercise.misconceptions if m.symptom},
        cases=cases,
    )
    if isinstance(exercise.compare, Accuracy):
        return case_set
    for case, result in zip(
        cases, results_of(lab, exercise, lab.solutions[exercise.name], case_set), strict=True
    ):
        if result["status"] != "ok":
            raise LabError(
                f"{lab.name}, {exercise.name}: the reference solution fails on {case.inputs}: {result}"
            )
        case.expected = result["value"]
    for misconception in exercise.misconceptions:
        wrong = results_of(lab, exercise, misconception.code, case_set)
        for case, result in zip(cases, wrong, strict=True):
            kept = {key: result[key] for key in ("status", "value", "type") if key in result}
            case.wrong[misconception.name] = kept
    return case_set


def results_of(lab: Lab, exercise: Exercise, code: str, case_set: CaseSet) -> list[dict[str, Tree]]:
    """What the object that `code` defines answers, with the solutions of the exercises it needs beside it."""
    with namespace(lab, [lab.solutions[name] for name in exercise.needs] + [code]) as variables:
        if exercise.target not in variables:
            raise LabError(
                f"{lab.name}, {exercise.name}: the code does not define {exercise.target!r}:\n{code}"
            )
        return answer(variables[exercise.target], case_set.questions())


@contextlib.contextmanager
def namespace(lab: Lab, sources: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Run the lab's setup cell and then `sources`, quietly and in a folder of its own; the variables they leave."""
    variables: dict[str, Any] = {"__name__": "__main__"}
    before, mode = Path.cwd(), os.environ.get("NBGRADER_EXECUTION")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        # The setup cell opens the lab's checks; here there are none yet.
        write_bundle(Path(folder, f"{lab.name}{SUFFIX}"), lab.name, "en", [])
        os.chdir(folder)
        os.environ["NBGRADER_EXECUTION"] = "validate"
        try:
            for source in [lab.setup, *sources]:
                exec(compile(source, "<solution>", "exec"), variables)
            yield variables
        finally:
            os.chdir(before)
            os.environ.pop("NBGRADER_EXECUTION")
            if mode is not None:
                os.environ["NBGRADER_EXECUTION"] = mode
