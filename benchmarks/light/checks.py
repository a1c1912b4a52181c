"""The checks of the light assignment."""

from coursekit.check.exercise import Exercise

EXERCISES = [
    Exercise(
        name="power",
        title={"en": "Power", "zh": "幂"},
        draw=lambda rng: {"A": rng.normal(size=(4, 4)), "n": int(rng.integers(2, 5))},
        variants=["def power(A, n):\n    return torch.linalg.matrix_power(A, n)"],
    ),
    Exercise(
        name="flat",
        title={"en": "Flat", "zh": "展平"},
        draw=lambda rng: {"X": rng.normal(size=(3, 2, 4))},
        variants=["def flat(X):\n    return X.flatten(1)"],
    ),
]
