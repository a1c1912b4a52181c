"""The state of a GAN's training: two players, two optimisers, and the average of the generator that samples are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from coursekit.models.modes import evaluating
from coursekit.train.gan_history import GanHistory
from coursekit.train.run import BaseRun, BaseSettings, snapshot

DECAY = 0.999  # of the generator's average: it reaches back over about a thousand steps
AT_ONCE = 500  # samples


@dataclass(frozen=True)
class GanSettings(BaseSettings):
    """The settings of `fit_gan`; `lr` is the generator's."""

    trainer = "fit_gan"

    lr_discriminator: float
    loss: str
    gradient_penalty: list[Any]
    seed: int


class Player(NamedTuple):
    """One of the two networks with what moves it."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler

    def update(self, loss: Tensor) -> None:
        """One step down the gradient of `loss`."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()


@dataclass(kw_only=True)
class GanRun(BaseRun):
    """A run of `fit_gan`; `model` is the GAN.

    `average` is the generator whose samples are shown and which the model ends with: the exponential average of the
    generator that learns, batch statistics included (Yazici et al. 2019, "The unusual effectiveness of averaging in GAN
    training"). `noise` (and `classes`, of a conditional GAN) are those of the grid of samples.
    """

    model: Any  # a module with generator, discriminator and latent_size
    settings: GanSettings
    generator_player: Player
    discriminator_player: Player
    noise: Tensor
    classes: Tensor | None
    history: GanHistory = field(default_factory=GanHistory)

    def __post_init__(self) -> None:
        self.mean = AveragedModel(self.model.generator, multi_avg_fn=_average, use_buffers=True)
        super().__post_init__()

    @property
    def average(self) -> nn.Module:
        """The averaged generator."""
        return self.mean.module

    def keep(self) -> None:
        """Remember the present weights, with the average for the generator's."""
        averaged = {f"generator.{name}": tensor for name, tensor in snapshot(self.average).items()}
        self.good = snapshot(self.model) | averaged

    def take_average(self) -> None:
        """Give the model the averaged generator."""
        self.model.generator.load_state_dict(self.average.state_dict())

    def samples(self, noise: Tensor, classes: Tensor | None) -> Tensor:
        """What the averaged generator makes of noise (N, latent_size), in eval mode; (N, C, H, W)."""
        with evaluating(self.average), self.autocast():
            parts = [
                self.average(noise[i : i + AT_ONCE], *inputs_of(classes, slice(i, i + AT_ONCE)))
                for i in range(0, len(noise), AT_ONCE)
            ]
        return torch.cat(parts).float()


def inputs_of(classes: Tensor | None, chosen: slice = slice(None)) -> tuple[Tensor, ...]:
    """What a network gets beside noise or images: the classes, where there are some."""
    return () if classes is None else (classes[chosen],)


def _average(means: Any, current: Any, count: Tensor | int) -> None:
    """One step of the average, which reaches back less far at the beginning, when it would still be of random weights."""
    decay = min(DECAY, (1 + float(count)) / (10 + float(count)))
    if means[0].is_floating_point():
        torch._foreach_lerp_(means, current, 1 - decay)
    else:
        torch._foreach_copy_(means, current)
