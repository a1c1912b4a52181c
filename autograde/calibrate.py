"""Thresholds of checks by accuracy, measured: the reference trained many times, judged on many sets of cases."""

import json
import math
import statistics
from collections.abc import Callable
from typing import Any

from autograde.cases import Workshop
from autograde.errors import LabError
from autograde.lab import Lab
from coursekit.check import reading
from coursekit.check.exercise import Accuracy

FILENAME = "calibration.json"
MIN_SEEDS = 20


def calibrate(lab: Lab, seeds: int, on_training: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Train the reference of each such exercise `seeds` times from different initial weights; write calibration.json.

    Each training is judged on hidden cases of a seed of its own, so that the spread is that of a student in some course.

    Raises:
        LabError: for fewer than 20 seeds.
    """
    if seeds < MIN_SEEDS:
        raise LabError(f"{seeds} seeds are too few for a spread; at least {MIN_SEEDS}")
    found = {}
    for exercise in lab.exercises.values():
        if not isinstance(exercise.compare, Accuracy):
            continue
        accuracies = []
        for seed in range(seeds):
            with Workshop(lab) as workshop:
                target = workshop.make(exercise, lab.solutions[exercise.name], seed=seed)
                case_set = workshop.draw(exercise, seed, hidden=True)
                results = workshop.ask(target, case_set)
            values = [result["value"] for result in results]
            scores, labels = reading.read(exercise.adaptor, values, case_set.cases)
            accuracies.append((scores.argmax(1) == labels).float().mean().item())
            on_training()
        mean, deviation = statistics.mean(accuracies), statistics.stdev(accuracies)
        found[exercise.name] = {
            "trainings": seeds,
            "mean": round(mean, 4),
            "standard_deviation": round(deviation, 4),
            "lowest": round(min(accuracies), 4),
            "highest_threshold": math.floor((mean - 4 * deviation) * 100) / 100,
        }
    text = json.dumps(found, indent=2) + "\n"
    (lab.folder / FILENAME).write_text(text, encoding="utf-8")
    return found


def too_high(lab: Lab) -> list[str]:
    """Thresholds that are higher than measured, or were never measured."""
    path = lab.folder / FILENAME
    measured = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    problems = []
    for name, exercise in lab.exercises.items():
        if not isinstance(exercise.compare, Accuracy):
            continue
        if name not in measured:
            problems.append(f"{name}: no calibration; run `autograde calibrate {lab.name}`")
        elif exercise.compare.threshold > measured[name]["highest_threshold"]:
            highest = measured[name]["highest_threshold"]
            problems.append(
                f"{name}: threshold {exercise.compare.threshold} is above {highest}, which was measured"
            )
    return problems
