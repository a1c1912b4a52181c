"""Callbacks: what happens around the loop without standing in it.

A callback is any object with some of the methods `on_fit_start`, `on_step_end`, `on_epoch_end`, `on_fit_end`, each
called with the `Run`; a plain function is called at the end of each epoch. `run.stop(reason)` ends training. One that
has `state_dict` and `load_state_dict` is kept in checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from coursekit.train.run import BaseRun, Run, snapshot

HOOKS = ("on_fit_start", "on_step_end", "on_epoch_end", "on_fit_end")


def collect(callbacks: Sequence[Any]) -> dict[str, list[Callable[[Any], None]]]:
    """The functions to call, by hook.

    Raises:
        TypeError: something has none of the hooks, so it would never be called.
    """
    hooks: dict[str, list[Callable[[Any], None]]] = {hook: [] for hook in HOOKS}
    for callback in callbacks:
        found = [hook for hook in HOOKS if hasattr(callback, hook)]
        if isinstance(callback, type) or not (found or callable(callback)):
            raise TypeError(
                f"{callback!r} is no callback: give a function of the run, or an object (not its class) with some of "
                f"{', '.join(HOOKS)}"
            )
        for hook in found:
            hooks[hook].append(getattr(callback, hook))
        if not found:
            hooks["on_epoch_end"].append(callback)
    return hooks


class EarlyStopping:
    """Stop when the validation loss has not fallen for `patience` epochs; the model ends with its best weights."""

    def __init__(self, patience: int) -> None:
        if patience < 1:
            raise ValueError(f"patience must be at least 1 epoch, not {patience}")
        self.patience = patience
        self.best, self.best_epoch = float("inf"), 0
        self.weights: dict[str, Tensor] = {}

    def on_epoch_end(self, run: Run) -> None:
        """Remember the weights of a better epoch, or stop."""
        loss = run.history[-1]["val_loss"]
        if loss < self.best:
            self.best, self.best_epoch, self.weights = loss, run.epoch, snapshot(run.model)
        elif run.epoch - self.best_epoch >= self.patience:
            run.stop("patience")

    def on_fit_end(self, run: Run) -> None:
        """Put the best weights back, unless a person interrupted: then they see what they interrupted."""
        if self.weights and run.history.stopped != "interrupted":
            run.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"best": self.best, "best_epoch": self.best_epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.best, self.best_epoch, self.weights = state["best"], state["best_epoch"], state["weights"]


class Average:
    """End with the average of the weights of many steps, each with so many times the weight of the one after it.

    (Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging"; torch.optim.swa_utils.) The average
    reaches back over about 1 / (1 - decay) steps. It evens out what single batches do, so that a learning rate that stays
    high does less harm. The scores after each epoch are those of the weights that learn, not of their average; statistics of
    batch normalisation stay those of the model.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay must lie between 0 and 1 (0.999, say), not {decay!r}")
        self.decay = decay
        self.resumed: dict[str, Tensor] | None = None

    def on_fit_start(self, run: Run) -> None:
        """Begin with the weights as they are after the first step; a resumed run goes on with its average."""
        self.mean = AveragedModel(run.model, multi_avg_fn=get_ema_multi_avg_fn(self.decay))
        if self.resumed is not None:
            self.mean.load_state_dict(self.resumed)
            self.resumed = None

    def on_step_end(self, run: Run) -> None:
        """Take the new weights in."""
        self.mean.update_parameters(run.model)

    def on_fit_end(self, run: Run) -> None:
        """Give the model its average, unless a person interrupted, or there was no step."""
        if run.history.stopped != "interrupted" and int(self.mean.n_averaged):
            with torch.no_grad():
                for own, mean in zip(run.model.parameters(), self.mean.module.parameters(), strict=True):
                    own.copy_(mean)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return self.mean.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.resumed = state


class Budget:
    """Stop after `seconds` of wall time, at the end of the step that crosses it."""

    def __init__(self, seconds: float) -> None:
        if seconds <= 0:
            raise ValueError(f"a budget must be more than 0 seconds, not {seconds}")
        self.seconds = seconds

    def on_fit_start(self, run: BaseRun) -> None:
        """Start the clock."""
        self.end = time.perf_counter() + self.seconds

    def on_step_end(self, run: BaseRun) -> None:
        """Look at the clock."""
        if time.perf_counter() > self.end:
            run.stop("budget")
