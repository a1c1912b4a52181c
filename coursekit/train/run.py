"""The state of one training run: what the loop works on and callbacks see."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from coursekit.train.distributed import Alone
from coursekit.train.errors import DataError
from coursekit.train.feed import Feed
from coursekit.train.history import BaseHistory, History, Scores
from coursekit.train.step import Outcome, Step


@dataclass(frozen=True)
class BaseSettings:
    """What decides the numbers of a run, besides model and data; plain values, so that they can be hashed.

    A setting with a default came later than the first weights that were saved: it is told only where it is another,
    so that their hash stays what it was.
    """

    trainer: ClassVar[str]  # the function that was called with these settings

    epochs: int
    lr: float
    batch_size: int

    def to_dict(self) -> dict[str, Any]:
        """The settings by name, without those at their defaults."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {f.name: values[f.name] for f in fields(self) if values[f.name] != f.default}

    def changes(self, other: dict[str, Any]) -> str:
        """What differs from `other` (as `to_dict` gives it), in words; "" when nothing does."""
        theirs = {
            f.name: other.get(f.name, None if f.default is MISSING else f.default) for f in fields(self)
        }
        mine = {name: getattr(self, name) for name in theirs}
        names = [name for name in mine if mine[name] != theirs[name]]
        return ", ".join(f"{name} was {theirs[name]!r}, is {mine[name]!r}" for name in names)

    def smaller(self) -> str:
        """Arguments that need less memory."""
        return f"batch_size={max(1, self.batch_size // 2)}"


@dataclass(frozen=True)
class Settings(BaseSettings):
    """The settings of `fit`."""

    trainer = "fit"

    optimizer: str
    schedule: str
    weight_decay: float | None
    clip_norm: float | None
    loss: str
    augment: str
    patience: int | None
    seed: int
    accumulate: int = 1
    warmup: float | None = None
    freeze: str | int | None = None
    thaw: int | None = None
    layer_decay: float | None = None

    def smaller(self) -> str:
        """Arguments that need less memory, for the same numbers."""
        return f"{super().smaller()}, accumulate={2 * self.accumulate}"


def count_updates(feed: Feed, settings: Settings) -> int | None:
    """Updates of an epoch over `feed`; None where it does not know its number of batches."""
    return None if feed.num_batches is None else math.ceil(feed.num_batches / settings.accumulate)


@dataclass(kw_only=True)
class BaseRun:
    """A run in progress.

    Callbacks may read everything and change what they like; `stop` is how they end it. `epoch` counts from 1
    and is the one in progress (or just finished); `step` counts the updates of this epoch.
    """

    model: nn.Module
    train: Feed
    settings: BaseSettings
    history: BaseHistory
    device: torch.device
    autocast: Callable[[], AbstractContextManager]
    generator: torch.Generator
    callbacks: list[Any]
    hooks: dict[str, list[Callable[[Any], None]]]
    team: Alone = field(default_factory=Alone)  # the processes that train together, mostly one
    epoch: int = 0
    step: int = 0
    whole: bool = True  # whether the last epoch went through all of its batches
    good: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keep()

    @property
    def num_updates(self) -> int | None:
        """Updates of an epoch; None where the data does not know its number of batches."""
        return self.train.num_batches

    def call(self, hook: str) -> None:
        """Call every callback that has `hook`; one that stops training stops it in all processes."""
        for function in self.hooks[hook]:
            function(self)
        if hook != "on_fit_end":
            self.history.stopped = self.team.agree(self.history.stopped)

    def stop(self, reason: str) -> None:
        """End training after this step (or epoch); `reason` becomes `history.stopped`."""
        self.history.stopped = reason

    def keep(self) -> None:
        """Remember these weights as good: training goes back to them when it fails."""
        self.team.level(self.model, self.history)
        self.good = snapshot(self.model)

    def fall_back(self) -> None:
        """Back to the last good weights, without gradients."""
        self.model.load_state_dict(self.good)
        self.model.zero_grad(set_to_none=True)


@dataclass(kw_only=True)
class Run(BaseRun):
    """A run of `fit`."""

    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    val: Feed | None
    compute: Step
    settings: Settings
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        super().__post_init__()

    @property
    def num_updates(self) -> int | None:
        """Updates of an epoch, each of `accumulate` batches; None where the data does not know their number."""
        return count_updates(self.train, self.settings)


class Meter:
    """Sums over an epoch, kept on the device so that a GPU need not wait for them."""

    def __init__(self) -> None:
        self.loss: Tensor | float = 0.0
        self.correct: Tensor | int | None = 0
        self.norm: Tensor | float = 0.0
        self.count, self.updates = 0, 0

    def add(self, outcome: Outcome) -> None:
        """Count one batch."""
        self.loss = self.loss + outcome.loss.detach() * outcome.total
        self.correct = (
            None if outcome.correct is None or self.correct is None else self.correct + outcome.correct
        )
        self.count += outcome.total

    def update(self, norm: Tensor | float) -> None:
        """Count one update, with the norm of its gradient."""
        self.norm = self.norm + norm
        self.updates += 1

    def scores(self) -> Scores:
        """Mean loss, and accuracy where there are classes.

        Raises:
            DataError: no batch was counted.
        """
        if not self.count:
            raise DataError(
                "there is no data: the source gave no batch; is it empty, or a generator used up?"
            )
        scores = Scores(loss=float(self.loss) / self.count)
        if self.correct is not None:
            scores["accuracy"] = int(self.correct) / self.count
        return scores

    def grad_norm(self) -> float:
        """Mean norm of the gradient before clipping."""
        return float(self.norm) / self.updates


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights and buffers of `model`."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
