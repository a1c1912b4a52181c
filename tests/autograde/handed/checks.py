import json

import numpy as np

from coursekit.check.exercise import Accuracy, Exercise, Misconception, Rules, instructor_folder

PUBLIC = [0, 1]


def draw(rng):
    return labelled(PUBLIC)


def draw_hidden(rng):
    return labelled(range(2, 6))


def labelled(positions):
    labels = json.loads((instructor_folder(__file__) / "labels.json").read_text(encoding="utf-8"))
    return {"positions": list(positions), "y": np.array([labels[i] for i in positions])}


EXERCISES = [
    Exercise(
        name="odd",
        title={"en": "Odd numbers", "zh": "奇数"},
        draw=draw,
        draw_hidden=draw_hidden,
        cases=1,
        adaptor="chosen",
        options={"total": 6, "num_classes": 2},
        answer="y",
        compare=Accuracy(floor=0.5, threshold=1.0),
        rules=Rules(),
        variants=["odd = torch.tensor([n % 2 for n in numbers])"],
        misconceptions=[
            Misconception(
                "even",
                "odd = [1 - n % 2 for n in numbers]",
                {"en": "Class 1 is odd.", "zh": "类别 1 是奇数。"},
                symptom="shifted_labels",
            ),
        ],
    )
]
