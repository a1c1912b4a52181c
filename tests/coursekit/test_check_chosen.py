"""Predictions of which some are chosen: classes or scores, and no other form."""

from typing import Any

import numpy as np
import pytest
import torch

from coursekit.check.call import answer

POSITIONS = {
    "target": "p",
    "adaptor": "chosen",
    "options": {"total": 3, "num_classes": 2},
    "inputs": [{"positions": [0, 2]}],
}


@pytest.mark.parametrize(
    "given", [[1, 0, 0], torch.tensor([1, 0, 0]), np.array([1, 0, 0]), (True, False, False)]
)
def test_chosen_predictions_become_scores(given: Any) -> None:
    (result,) = answer(given, POSITIONS)
    assert result["value"].tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_chosen_scores_stay_scores() -> None:
    (result,) = answer(torch.tensor([[0.25, 2.0], [9.0, 9.0], [3.0, -1.0]]), POSITIONS)
    assert result["value"].tolist() == [[0.25, 2.0], [3.0, -1.0]]


@pytest.mark.parametrize(
    "given",
    [
        [1, 0],
        [[1], [0], [0]],
        [1.0, 0.0, 0.0],
        [0, 1, 2],
        [0, -1, 1],
        ["a", "b", "c"],
        None,
        {},
        torch.ones(3, 3),
        "abc",
    ],
)
def test_other_forms_than_classes_or_scores_are_told(given: Any) -> None:
    (result,) = answer(given, POSITIONS)
    assert result["status"] == "form" and "expected 3 classes, each a whole" in result["message"]
