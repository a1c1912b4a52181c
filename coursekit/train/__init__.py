"""Training: `fit(model, data)` trains, `evaluate` and `predict` say how well; the loop itself is in `loop.py`."""

from coursekit.train.errors import DataError, TrainingError
from coursekit.train.fitting import fit
from coursekit.train.history import History, Scores
from coursekit.train.run import Run
from coursekit.train.scoring import count_parameters, evaluate, predict
from coursekit.train.step import Outcome, Supervised

__all__ = [
    "DataError",
    "History",
    "Outcome",
    "Run",
    "Scores",
    "Supervised",
    "TrainingError",
    "count_parameters",
    "evaluate",
    "fit",
    "predict",
]
