"""The checks of the assignment that is as light as a feather."""

from coursekit.check.exercise import Exercise

EXERCISES = [
    Exercise(
        name="total",
        title={"en": "Total", "zh": "总和"},
        draw=lambda rng: {"numbers": rng.integers(1, 100, size=8).tolist()},
        variants=["def total(numbers):\n    return sum(map(lambda n: n ** 2, numbers))"],
    ),
    Exercise(
        name="mirrored",
        title={"en": "Mirrored", "zh": "倒写"},
        draw=lambda rng: {"text": "".join(map(chr, rng.integers(97, 123, size=12)))},
        variants=["def mirrored(text):\n    return ''.join(reversed(text))"],
    ),
]
