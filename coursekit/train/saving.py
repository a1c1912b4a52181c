"""`save=`: the weights that training leaves at home, and what stands for training under grading."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from coursekit.train import weights
from coursekit.train.device import under_grading
from coursekit.train.history import BaseHistory
from coursekit.train.run import BaseSettings

# Seconds of training under grading, when the weights that came with a notebook do not fit: less than a cell may take,
# so that what stands below it, a file of predictions to read for instance, still counts.
GRADING_BUDGET = 40.0


class Saving:
    """The file that `save=` names, if any, for `model` as it is before training.

    Args:
        save: as of `fit`; None for no file, and then nothing here does anything.
        model: what is trained; its architecture and frozen weights are looked at now.
        data: fingerprint of the training data.
        settings: of the run.
        budget: seconds that the caller allows, or None.
    """

    def __init__(
        self,
        save: str | Path | None,
        model: nn.Module,
        data: str,
        settings: BaseSettings,
        budget: float | None,
    ) -> None:
        self.path = None if save is None else weights.weights_path(save)
        self.model, self.settings, self.budget = model, settings, budget
        self.origin = None if self.path is None else weights.Origin.of(model, data, settings)
        self.error: weights.WeightsError | None = None

    def load(self, history: type[weights.AnyHistory]) -> weights.AnyHistory | None:
        """Under grading, the history of the weights that are now in the model; None when it has to be trained.

        Where the file does not fit, training has a budget from now on.
        """
        if self.path is None or self.origin is None or not under_grading():
            return None
        try:
            return weights.load_weights(self.path, self.model, self.origin, self.settings, history)
        except weights.WeightsError as error:
            self.error, self.budget = error, self.budget or GRADING_BUDGET
            return None

    def flag(self, history: BaseHistory) -> None:
        """Say in `history`, and to the grader, why the file was not taken, if it was not."""
        if self.path is not None and self.error is not None:
            weights.raise_flag(history, self.path.stem, self.error)

    def store(self, history: BaseHistory) -> None:
        """Write the file, unless a grader watches or training was interrupted."""
        if under_grading() or history.stopped == "interrupted":
            return
        if self.path is not None and self.origin is not None:
            weights.save_weights(self.path, self.model, self.origin, history)
