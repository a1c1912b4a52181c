"""The state of one training run: what the loop works on and callbacks see."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from coursekit.train.callbacks import snapshot
from coursekit.train.errors import DataError
from coursekit.train.feed import Feed
from coursekit.train.history import History, Scores
from coursekit.train.step import Outcome, Step


@dataclass(frozen=True)
class Settings:
    """What decides the numbers of a run, besides model and data; plain values, so that they can be hashed."""

    epochs: int
    lr: float
    batch_size: int
    optimizer: str
    schedule: str
    weight_decay: float | None
    clip_norm: float | None
    loss: str
    augment: str
    patience: int | None
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """The settings by name."""
        return asdict(self)

    def changes(self, other: dict[str, Any]) -> str:
        """What differs from `other` (as `to_dict` gives it), in words; "" when nothing does."""
        mine = self.to_dict()
        names = [name for name in mine if name not in other or mine[name] != other[name]]
        return ", ".join(f"{name} was {other.get(name)!r}, is {mine[name]!r}" for name in names)


@dataclass
class Run:
    """A run in progress.

    Callbacks may read everything and change what they like; `stop` is how they end it. `epoch` counts from 1
    and is the one in progress (or just finished); `step` counts the updates of this epoch.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    train: Feed
    val: Feed | None
    compute: Step
    settings: Settings
    device: torch.device
    autocast: Callable[[], AbstractContextManager]
    generator: torch.Generator
    callbacks: list[Any]
    hooks: dict[str, list[Callable[[Run], None]]]
    history: History = field(default_factory=History)
    epoch: int = 0
    step: int = 0
    whole: bool = True  # whether the last epoch went through all of its batches
    good: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.keep()

    def call(self, hook: str) -> None:
        """Call every callback that has `hook`."""
        for function in self.hooks[hook]:
            function(self)

    def stop(self, reason: str) -> None:
        """End training after this step (or epoch); `reason` becomes `history.stopped`."""
        self.history.stopped = reason

    def keep(self) -> None:
        """Remember these weights as good: training goes back to them when it fails."""
        self.good = snapshot(self.model)

    def fall_back(self) -> None:
        """Back to the last good weights, without gradients."""
        self.model.load_state_dict(self.good)
        self.model.zero_grad(set_to_none=True)


class Meter:
    """Sums over an epoch, kept on the device so that a GPU need not wait for them."""

    def __init__(self) -> None:
        self.loss: Tensor | float = 0.0
        self.correct: Tensor | int | None = 0
        self.norm: Tensor | float = 0.0
        self.count, self.steps = 0, 0

    def add(self, outcome: Outcome, norm: Tensor | float = 0.0) -> None:
        """Count one batch."""
        self.loss = self.loss + outcome.loss.detach() * outcome.total
        self.correct = (
            None if outcome.correct is None or self.correct is None else self.correct + outcome.correct
        )
        self.norm = self.norm + norm
        self.count += outcome.total
        self.steps += 1

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
        return float(self.norm) / self.steps
