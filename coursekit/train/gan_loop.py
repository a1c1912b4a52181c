"""The training loop of a GAN: in each step the discriminator learns, then the generator."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from coursekit.train.errors import DataError
from coursekit.train.gan_losses import PENALTIES, conditioned, gan_losses
from coursekit.train.gan_run import GanRun, inputs_of
from coursekit.train.gan_watch import variety, warnings_of
from coursekit.train.guard import check_finite
from coursekit.train.loop import LOOK_EVERY


def train_gan(run: GanRun) -> None:
    """Epochs of steps; each step: images from noise, an update of the discriminator, one of the generator."""
    look_every = 1 if run.device.type == "cpu" else LOOK_EVERY

    run.call("on_fit_start")
    while run.epoch < run.settings.epochs and not run.history.stopped:
        run.epoch, run.step, run.whole, started = run.epoch + 1, 0, True, time.perf_counter()
        meter, first = GanMeter(), None
        run.model.train()
        for batch in run.train.batches(run.generator):
            real, classes = real_images(run, batch)
            first = first or (real, classes)
            fake = fake_images(run, len(real), classes)
            d_loss, real_logits, fake_logits = discriminator_step(run, real, fake.detach(), classes)
            g_loss = generator_step(run, fake, classes)
            if run.step % look_every == 0:
                check_finite(run, d_loss, g_loss, batch=batch)
            run.mean.update_parameters(run.model.generator)
            meter.add(d_loss, g_loss, real_logits, fake_logits)
            run.step += 1
            run.call("on_step_end")
            if run.history.stopped:
                run.whole = run.step == run.num_updates
                break
        end_epoch(run, meter, first, started)


def end_epoch(
    run: GanRun, meter: GanMeter, first: tuple[Tensor, Tensor | None] | None, started: float
) -> None:
    """Record what the epoch gave, look at it, and keep it if it is sound."""
    if first is None:
        raise DataError("there is no data: the source gave no batch; is it empty, or a generator used up?")
    row = meter.scores() | {"variety": variety(run, *first)}
    check_finite(run, *filter(None, row.values()))
    lr = run.generator_player.optimizer.param_groups[0]["lr"]
    seconds = time.perf_counter() - started
    run.history.append(epoch=run.epoch, **row, lr=lr, seconds=seconds)
    run.history.add_samples(run.epoch, run.samples(run.noise, run.classes))
    run.history.warnings = warnings_of(run.history)
    run.keep()
    run.call("on_epoch_end")


def real_images(run: GanRun, batch: Any) -> tuple[Tensor, Tensor | None]:
    """Images of a batch and, for a conditional GAN, their classes."""
    if isinstance(batch, Tensor):
        return batch, None
    return batch[0], None if run.classes is None else batch[1]


def fake_images(run: GanRun, n: int, classes: Tensor | None) -> Tensor:
    """`n` images of the generator that learns."""
    z = torch.randn(n, run.noise.shape[1], device=run.device)
    with run.autocast():
        return run.model.generator(z, *inputs_of(classes)).float()


def discriminator_step(
    run: GanRun, real: Tensor, fake: Tensor, classes: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """One update of the discriminator; `fake` has no gradient, so the generator feels nothing. Loss and both logits, detached."""
    discriminator, y = run.discriminator_player.network, inputs_of(classes)
    loss_of, _ = gan_losses(run.settings.loss)
    with run.autocast():
        real_logits = discriminator(real, *y).float()
        fake_logits = discriminator(fake, *y).float()
    loss = loss_of(real_logits, fake_logits)
    name, weight = run.settings.gradient_penalty
    # In float32: the gradient of a gradient loses too many digits in bfloat16.
    penalty = weight * PENALTIES[name](conditioned(discriminator, *y), real, fake) if weight else 0.0
    run.discriminator_player.update(loss + penalty)
    return loss.detach(), real_logits.detach(), fake_logits.detach()


def generator_step(run: GanRun, fake: Tensor, classes: Tensor | None) -> Tensor:
    """One update of the generator, through a discriminator that stands still. The loss, detached."""
    discriminator = run.discriminator_player.network
    _, loss_of = gan_losses(run.settings.loss)
    learns = [p for p in discriminator.parameters() if p.requires_grad]
    for parameter in learns:  # its gradients are not needed: a third of the work
        parameter.requires_grad_(False)
    try:
        with run.autocast():
            logits = discriminator(fake, *inputs_of(classes)).float()
        loss = loss_of(logits)
        run.generator_player.update(loss)
    finally:
        for parameter in learns:
            parameter.requires_grad_(True)
    return loss.detach()


class GanMeter:
    """Sums over an epoch, kept on the device so that a GPU need not wait for them."""

    def __init__(self) -> None:
        self.sums: Tensor | float = 0.0
        self.count = 0

    def add(self, d_loss: Tensor, g_loss: Tensor, real_logits: Tensor, fake_logits: Tensor) -> None:
        """Count one step."""
        real, fake = real_logits.sigmoid().mean(), fake_logits.sigmoid().mean()
        right = ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean()) / 2
        n = len(real_logits)
        self.sums = self.sums + torch.stack([d_loss, g_loss, real, fake, right]) * n
        self.count += n

    def scores(self) -> dict[str, float | None]:
        """Means over the images, by the names of the columns."""
        names = (
            "discriminator_loss",
            "generator_loss",
            "real_output",
            "fake_output",
            "discriminator_accuracy",
        )
        means = (self.sums / self.count).tolist() if isinstance(self.sums, Tensor) else []
        return dict(zip(names, means, strict=True))
