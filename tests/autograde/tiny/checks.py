from coursekit.check.exercise import Close, Exercise, Misconception, Rules


def vector(rng):
    return {"x": rng.normal(size=5), "factor": int(rng.integers(2, 9))}


def matrix(rng):
    return {"x": rng.normal(size=(2, 3)), "factor": float(rng.uniform(2, 3))}


EXERCISES = [
    Exercise(
        name="scale",
        title={"en": "Scaling", "zh": "缩放"},
        draw={"vector": vector, "matrix": matrix},
        compare=Close(),
        rules=Rules(),
        variants=["def scale(x, factor):\n    return x + (factor - 1) * x"],
        misconceptions=[
            Misconception(
                "adds",
                "def scale(x, factor):\n    return x + factor",
                {"en": "You add the factor instead of multiplying by it.", "zh": "你做的是加法,不是乘法。"},
            ),
            Misconception(
                "vector_only",
                "def scale(x, factor):\n    return factor * x if x.dim() == 1 else x",
                {"en": "Only vectors are scaled.", "zh": "只缩放了向量。"},
            ),
        ],
        hints=[{"en": "One operator is enough.", "zh": "一个运算符就够了。"}],
    ),
    Exercise(
        name="mean_of",
        title={"en": "Mean", "zh": "平均"},
        draw=lambda rng: {"x": rng.normal(size=(3, 4)) + 2},
        rules=Rules(forbid=("torch.mean", ".mean")),
        variants=["def mean_of(x):\n    return sum(x.flatten().tolist()) / x.numel()"],
        misconceptions=[
            Misconception(
                "rows",
                "def mean_of(x):\n    return x.sum() / len(x)",
                {"en": "`len(x)` counts rows, not values.", "zh": "`len(x)` 数的是行数,不是值的个数。"},
            ),
        ],
    ),
]
