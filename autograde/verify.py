"""Proving a lab: the reference earns all, the stub nothing, variants all, and each misconception its own hint."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from autograde.calibrate import too_high
from autograde.cases import Workshop
from autograde.lab import BEGIN_SOLUTION, END_SOLUTION, Lab
from coursekit.check.exercise import CaseSet, Exercise
from coursekit.check.rules import violations
from coursekit.check.verdict import Outcome, judge

MIN_MISCONCEPTIONS, MIN_VARIANTS = 3, 2


@dataclass(frozen=True)
class Finding:
    """One thing that was tried over all seeds.

    Attributes:
        kind: "reference", "stub", "variant" or "misconception".
        passed: for how many seeds it came out as it must.
        failure: what came out instead, for the first seed where it did not.
    """

    exercise: str
    kind: str
    name: str
    passed: int
    seeds: int
    failure: str = ""

    @property
    def ok(self) -> bool:
        """Whether it came out right for every seed."""
        return self.passed == self.seeds


def verify(lab: Lab, seeds: int, on_exercise: Callable[[str], None] = lambda name: None) -> list[Finding]:
    """Try every answer of every exercise on public cases and on hidden cases of `seeds` seeds."""
    findings = []
    with Workshop(lab) as workshop:
        for exercise in lab.exercises.values():
            case_sets = [workshop.draw(exercise, seed, hidden=seed % 2 == 1) for seed in range(seeds)]
            findings += [
                _tried(exercise, kind, name, _outcomes(workshop, exercise, code, case_sets))
                for kind, name, code in _answers(lab, exercise)
            ]
            on_exercise(exercise.name)
    return findings


def _answers(lab: Lab, exercise: Exercise) -> Iterator[tuple[str, str, str]]:
    solution = lab.solutions[exercise.name]
    yield "reference", "", solution
    yield "stub", "", stub_of(solution)
    for number, code in enumerate(exercise.variants, 1):
        yield "variant", str(number), code
    for misconception in exercise.misconceptions:
        yield "misconception", misconception.name, misconception.code


def stub_of(solution: str) -> str:
    """The cell as a student gets it: nbgrader's stub in the place of the solution."""
    lines, inside = [], False
    for line in solution.splitlines():
        if BEGIN_SOLUTION in line:
            inside = True
            lines.append(line[: len(line) - len(line.lstrip())] + "raise NotImplementedError()")
        elif END_SOLUTION in line:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def _outcomes(workshop: Workshop, exercise: Exercise, code: str, case_sets: list[CaseSet]) -> list[Outcome]:
    """What comes of an answer for each set of cases."""
    try:
        results = [workshop.answers(exercise, code, case_set) for case_set in case_sets]
    except NotImplementedError:
        results = [[{"status": "not attempted"}] for _ in case_sets]
    lab = workshop.lab
    cells = [lab.setup, *(lab.solutions[name] for name in exercise.needs), code]
    return [
        judge(case_set, result, violations(cells, case_set.target, case_set.rules))
        for case_set, result in zip(case_sets, results, strict=True)
    ]


def _tried(exercise: Exercise, kind: str, name: str, outcomes: list[Outcome]) -> Finding:
    right = {
        "reference": lambda o: o.status == "correct",
        "variant": lambda o: o.status == "correct",
        "stub": lambda o: o.status == "not attempted" and o.points == 0,
        "misconception": lambda o: (
            o.points < o.max_points and o.misconception == name and bool(o.hint.get("zh"))
        ),
    }[kind]
    wrong = [outcome for outcome in outcomes if not right(outcome)]
    failure = ""
    if wrong:
        first = wrong[0]
        failure = f"{first.status}, {first.points:g} of {first.max_points:g}, {first.misconception}: {first.message.get('en', '')}"
    return Finding(exercise.name, kind, name, len(outcomes) - len(wrong), len(outcomes), failure)


def shortcomings(lab: Lab) -> list[str]:
    """Exercises with too few misconceptions or variants, or a hint that is not in both languages."""
    found = too_high(lab)
    for exercise in lab.exercises.values():
        if len(exercise.misconceptions) < MIN_MISCONCEPTIONS:
            found.append(
                f"{exercise.name}: {len(exercise.misconceptions)} misconceptions, at least {MIN_MISCONCEPTIONS}"
            )
        if len(exercise.variants) < MIN_VARIANTS:
            found.append(f"{exercise.name}: {len(exercise.variants)} variants, at least {MIN_VARIANTS}")
        texts = [exercise.title, *exercise.hints, *(m.hint for m in exercise.misconceptions)]
        if any(not text.get("en") or not text.get("zh") for text in texts):
            found.append(f"{exercise.name}: a title or hint is not in both languages")
        codes = [m.code for m in exercise.misconceptions]
        if len(set(codes)) != len(codes):
            found.append(f"{exercise.name}: two misconceptions have the same code")
    return found
