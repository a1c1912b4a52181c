"""`fit_gan`: from a GAN and images to a generator, and the history of the game."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from coursekit.models.modes import evaluating, same_modes
from coursekit.train.callbacks import Budget, collect
from coursekit.train.device import autocast, pick_device, pick_precision, say_device
from coursekit.train.distributed import several
from coursekit.train.errors import DataError, out_of_memory
from coursekit.train.feed import Feed, fingerprint, train_and_val
from coursekit.train.fitting import positive
from coursekit.train.gan_history import GanHistory
from coursekit.train.gan_loop import real_images, train_gan
from coursekit.train.gan_losses import gan_losses, pick_penalty
from coursekit.train.gan_run import GanRun, GanSettings, Player, inputs_of
from coursekit.train.guard import guarded
from coursekit.train.layout import has_convolutions, usual_layout
from coursekit.train.progress import pick_progress
from coursekit.train.rng import seeded
from coursekit.train.saving import Saving

BETAS = (0.5, 0.999)  # of Adam: little momentum, since the other player moves the goal (Radford et al. 2016)
GRID = 40  # samples of the grid through time


def fit_gan(
    gan: nn.Module,
    data: Any,
    *,
    epochs: int = 3,
    batch_size: int = 64,
    lr: float = 2e-3,
    lr_discriminator: float | None = None,
    loss: str = "non_saturating",
    gradient_penalty: float | tuple[str, float] = 0.0,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: str = "auto",
    callbacks: Sequence[Any] = (),
    save: str | Path | None = None,
    budget: float | None = None,
    progress: bool = True,
) -> GanHistory:
    """Train generator and discriminator of `gan` against each other, in place, and return what happened, epoch by epoch.

    Each step draws noise, makes images of it, and updates the discriminator, then the generator, by Adam. Rates
    stay as they are for half of the steps and then fall to 0. The generator that `gan` ends with is the average of the last
    thousand steps or so, batch statistics included; the samples in the history are drawn from it, too.

    As with `fit`, the same arguments, initial weights and seed give the same numbers on the same machine with as many
    threads, and random generators are afterwards as they were before. Ctrl-C ends training early: the model keeps its
    present discriminator and the generator's average, and the history (whole epochs) says "interrupted". There is no checkpoint:
    another call goes on from these weights, with fresh optimisers.

    Args:
        gan: `get_model("gan")`, "conditional_gan", or a module with `generator`, `discriminator` and `latent_size`: noise
            (N, latent_size) to images, images to logits (N,). Where it has `num_classes` (not None), both get the classes
            (N,) as a second argument. Moved to the device, and left in the mode it was in.
        data: a DataSet (its `train` is used), a Split, a pair of tensors (X, y), a Dataset or a DataLoader; images
            (N, C, H, W) with pixels from -1 to 1, as `data.scaled(-1, 1)` gives them.
        epochs: passes over the training data; digits are seen after five hundred steps or so, whatever the epochs.
        batch_size: images a step, and as many generated ones; a DataLoader keeps its own.
        lr: the generator's learning rate.
        lr_discriminator: the discriminator's; by default the same.
        loss: "non_saturating", "minimax" or "hinge"; see `gan_losses`.
        gradient_penalty: weight of R1, the discriminator's squared gradient at real images, 0 for none; or ("interpolated",
            10.0) for the penalty of WGAN-GP with such a weight. A step then takes about twice as long.
        seed: of the order of the batches and the noise (not of the weights, which exist already).
        device: by default CUDA, else MPS, else the CPU; under grading the CPU.
        precision: "auto" (bfloat16 where the hardware has it), "bf16" or "fp32".
        callbacks: functions of the run, called after each epoch, or objects; see `coursekit.train.callbacks`.
        save: "gan" leaves `gan.safetensors` in the current folder, with weights, history and samples, as `fit` does;
            under grading it is loaded when it belongs to this model, data and settings, else the history is flagged and
            training limited to `budget` (40 s by default).
        budget: seconds of wall time, after which training stops with the epoch it is in.
        progress: show the epochs as they come; under grading nothing is shown.

    Raises:
        DataError: data and model do not fit: shapes, classes, range of the pixels, or no data at all.
        TrainingError: a loss is no longer finite, or the device has no memory left; the model is then as after the last
            whole epoch, and the error has the `history`.
        ValueError: an argument has no such value; the message says which there are.
    """
    gan_losses(loss)
    if several():
        raise ValueError(
            "fit_gan trains in one process: start it without torchrun, or with --nproc-per-node 1"
        )
    settings = GanSettings(
        epochs=positive("epochs", epochs),
        lr=positive("lr", lr),
        batch_size=positive("batch_size", batch_size),
        lr_discriminator=positive("lr_discriminator", lr if lr_discriminator is None else lr_discriminator),
        loss=loss,
        gradient_penalty=list(pick_penalty(gradient_penalty)),
        seed=seed,
    )
    check_players(gan)
    place = pick_device(device)
    if place.type == "cuda":
        torch.cuda.init()  # so that the state of its generator can be kept, too
    with seeded(seed), same_modes(gan), usual_layout(gan):
        saving = Saving(save, gan, "" if save is None else fingerprint(data), settings, budget)
        loaded = saving.load(GanHistory)
        if loaded is not None:
            return loaded
        own = [Budget(saving.budget)] if saving.budget is not None else []
        run = prepare(gan, data, settings, [*callbacks, *own, *pick_progress(progress)], place, precision)
        saving.flag(run.history)
        with guarded(run):
            train_gan(run)
        run.take_average()
        saving.store(run.history)
    return run.history


def prepare(
    gan: Any,
    data: Any,
    settings: GanSettings,
    callbacks: list[Any],
    device: torch.device,
    precision: str,
) -> GanRun:
    """Everything that the loop works on, after a first look at whether model and data fit each other."""
    dtype = pick_precision(precision, device)
    gan.to(device)
    feed = Feed(train_and_val(data)[0], settings.batch_size, device, shuffle=True)
    if device.type in ("cpu", "cuda") and has_convolutions(gan):
        gan.to(memory_format=torch.channels_last)
    say_device(device, dtype)
    num_classes = getattr(gan, "num_classes", None)
    steps = None if feed.num_batches is None else feed.num_batches * settings.epochs
    run = GanRun(
        model=gan,
        train=feed,
        settings=settings,
        device=device,
        autocast=partial(autocast, device, dtype),
        generator=torch.Generator().manual_seed(settings.seed),
        callbacks=callbacks,
        hooks=collect(callbacks),
        generator_player=player(gan.generator, settings.lr, steps),
        discriminator_player=player(gan.discriminator, settings.lr_discriminator, steps),
        noise=torch.randn(GRID, gan.latent_size).to(device),
        classes=None if num_classes is None else torch.arange(GRID, device=device) % num_classes,
    )
    try_players(run, feed.peek())
    if num_classes is not None:
        feed.expect(num_classes)
    return run


def player(network: nn.Module, lr: float, steps: int | None) -> Player:
    """`network` with Adam; its rate stays for half of the steps and then falls to 0, or stays where their number is not known."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=lr, betas=BETAS, fused=True)
    schedule = LambdaLR(optimizer, lambda i: 1.0 if steps is None else min(1.0, 2 * (1 - i / max(1, steps))))
    return Player(network, optimizer, schedule)


def check_players(gan: nn.Module) -> None:
    """Raise TypeError unless `gan` has two networks and the size of its noise."""
    lacking = [name for name in ("generator", "discriminator", "latent_size") if not hasattr(gan, name)]
    if lacking:
        raise TypeError(
            f"{type(gan).__name__} has no {', '.join(lacking)}: fit_gan trains get_model('gan'), get_model('conditional_gan'), "
            "or a module with generator, discriminator and latent_size"
        )


def try_players(run: GanRun, batch: Any) -> None:
    """Raise DataError unless the discriminator can take both real and generated images, which have the same shape and range."""
    if batch is None:
        raise DataError("there is no data: the source gave no batch")
    if run.classes is not None and (isinstance(batch, Tensor) or len(batch) < 2):
        raise DataError("a conditional GAN needs the class of each image: give pairs (images, labels)")
    real, classes = real_images(run, batch)
    real, y = real[:2], inputs_of(classes, slice(2))
    check_pixels(real)
    z = run.noise[: len(real)]
    try:
        with evaluating(run.model):
            fake = run.model.generator(z, *y)
            outputs = {
                "real": run.model.discriminator(real, *y),
                "generated": run.model.discriminator(fake, *y),
            }
    except (RuntimeError, ValueError) as error:
        if isinstance(error, NotImplementedError) or out_of_memory(error):
            raise
        raise DataError(f"the GAN cannot take images of shape {tuple(real.shape)}: {error}") from error
    if fake.shape != real.shape:
        raise DataError(
            f"the generator makes images of shape {tuple(fake.shape[1:])}, the real ones have {tuple(real.shape[1:])}"
        )
    for kind, logits in outputs.items():
        if not isinstance(logits, Tensor) or logits.shape != (len(real),):
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise DataError(
                f"of {len(real)} {kind} images the discriminator gave {shape}, expected one logit each, ({len(real)},): "
                "squeeze(1) takes the last axis away"
            )


def check_pixels(real: Tensor) -> None:
    """Raise DataError where pixels of images (N, C, H, W) lie outside of what a generator makes: brightness would tell the two apart."""
    low, high = (float(end) for end in real.aminmax())
    if real.ndim == 4 and (low < -1.001 or high > 1.001):
        raise DataError(
            f"pixels go from {low:.3g} to {high:.3g}, and generated ones from -1 (black) to 1 (white): use data.scaled(-1, 1)"
        )
