"""What a benchmark reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass
class Result:
    """Medians of both sides (smaller is better) with what they reached; `ratio` is how many times better ours is."""

    name: str
    unit: str
    ours: float
    peer: float
    quality: dict[str, float] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return self.peer / self.ours

    def summary(self) -> str:
        quality = ", ".join(f"{side} {value:.4f}" for side, value in self.quality.items())
        line = f"{self.name}: ours {self.ours:.4g} {self.unit}, peer {self.peer:.4g} {self.unit}, ratio {self.ratio:.3f}"
        return line + (f"; quality: {quality}" if quality else "")


def in_turn(
    ours: Callable[[int], float], peer: Callable[[int], float], rounds: int
) -> tuple[list[float], list[float]]:
    """Run A B A B ..., each with the number of its round, and print what each gave."""
    results: tuple[list[float], list[float]] = ([], [])
    for i in range(rounds):
        for side, function, values in (("ours", ours, results[0]), ("peer", peer, results[1])):
            values.append(function(i))
            print(f"  round {i + 1}, {side}: {values[-1]:.4g}", flush=True)
    return results


def medians(values: tuple[list[float], list[float]]) -> tuple[float, float]:
    return median(values[0]), median(values[1])
