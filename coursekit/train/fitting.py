"""`fit`: from a model and data to a trained model and its history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.models.modes import same_modes
from coursekit.train import weights
from coursekit.train.augment import pick_augment
from coursekit.train.callbacks import Budget, EarlyStopping, collect
from coursekit.train.checkpoint import Checkpoint
from coursekit.train.device import autocast, pick_device, pick_precision, say_device
from coursekit.train.distributed import Alone, joined
from coursekit.train.errors import DataError
from coursekit.train.feed import Augment, Feed, fingerprint, train_and_val
from coursekit.train.finetune import frozen, lr_factors, usual_lr
from coursekit.train.guard import guarded
from coursekit.train.history import History
from coursekit.train.layout import fit_layout, usual_layout
from coursekit.train.loop import train
from coursekit.train.optim import SCHEDULES, known, make_optimizer, make_schedule
from coursekit.train.progress import pick_progress
from coursekit.train.rng import seeded
from coursekit.train.run import Run, Settings, count_updates
from coursekit.train.saving import Saving
from coursekit.train.scoring import EVAL_BATCH, eval_feed, try_out
from coursekit.train.step import Step, Supervised


def fit(
    model: nn.Module,
    data: Any,
    *,
    epochs: int = 3,
    lr: float | None = None,
    batch_size: int = 128,
    optimizer: str = "adamw",
    schedule: str = "one_cycle",
    weight_decay: float | None = None,
    clip_norm: float | None = 1.0,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    step: Step | None = None,
    augment: str | Callable[[Tensor], Tensor] | None = None,
    patience: int | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: str = "auto",
    callbacks: Sequence[Any] = (),
    checkpoint: str | Path | None = None,
    resume: bool = False,
    save: str | Path | None = None,
    budget: float | None = None,
    progress: bool = True,
    accumulate: int = 1,
    warmup: float | None = None,
    freeze: str | int | None = None,
    thaw: int | None = None,
    layer_decay: float | None = None,
) -> History:
    """Train `model` in place and return what happened, epoch by epoch.

    The same arguments, initial weights and seed give the same numbers on the same machine with as many threads (on a
    GPU up to the order in which it adds). All random numbers come
    from generators seeded here; those of torch, numpy and Python are afterwards as they were before. Ctrl-C ends
    training early: the model keeps its present weights, and the history (whole epochs) says "interrupted".

    Under `torchrun` all processes train one model together, with the same result up to rounding: see
    docs/distributed.md. Ctrl-C is then an error.

    Args:
        model: maps a batch (N, ...) to logits (N, C); moved to the device, and left in the mode (train or eval) it
            was in.
        data: a DataSet (its `train` and `val` are used), a pair (train, val), or training data alone; each a Split, a
            pair of tensors (X, y), a Dataset or a DataLoader. Training data alone may be a tensor X, for a `step` that
            needs no labels.
        epochs: passes over the training data.
        lr: the highest learning rate of the schedule; by default one that suits the optimiser, and a far lower one
            where a pretrained encoder learns.
        batch_size: examples a batch, in all processes together; a DataLoader keeps its own.
        optimizer: "adamw", "adam", "sgd" (Nesterov momentum 0.9) or "rmsprop".
        schedule: "one_cycle", "cosine", "linear" (after a warm-up) or "constant"; advanced after each update.
        weight_decay: of matrices and filters; by default one that suits the optimiser.
        clip_norm: gradients are scaled down to this norm; None leaves them.
        loss: `loss(logits, y)`, a mean over the batch; cross entropy by default, which checks the labels as well.
        step: `step(model, batch) -> Outcome`, in place of `loss`, for batches or losses of another kind.
        augment: changes the inputs (N, ...) of each training batch: "shift", "affine", "flip" or a function.
        patience: stop when the validation loss has not fallen for so many epochs, and take the best weights.
        seed: of the order of the batches, augmentation and dropout (not of the weights, which exist already).
        device: by default CUDA, else MPS, else the CPU; under grading the CPU.
        precision: "auto" (bfloat16 where the hardware has it), "bf16" or "fp32".
        callbacks: functions of the run, called after each epoch, or objects; see `coursekit.train.callbacks`.
        checkpoint: a file to write after each epoch.
        resume: go on from `checkpoint` where it exists; on a CPU the result equals an uninterrupted run bit for bit.
        save: "lenet" leaves `lenet.safetensors` in the current folder when training was not interrupted. Under grading
            nothing is written: that file is loaded when it belongs to this model, data and settings, else the
            history is flagged and training limited to `budget` (40 s by default).
        budget: seconds of wall time, after which training stops with the epoch it is in.
        progress: show the epochs as they come; under grading nothing is shown.
        accumulate: batches an update, which then equals that of one batch so many times as large.
        warmup: share of the updates in which the learning rate rises; by default one that suits the schedule.
        freeze: what stays as it is of a model with a pretrained encoder: "embeddings", so many of its lowest layers with
            them (4, say), or the whole "encoder", so that only the head learns.
        thaw: layers of the encoder, from the top, that begin to learn with each epoch after the first, which is the
            head's alone (gradual unfreezing); what `freeze` names never does.
        layer_decay: each layer of the encoder learns at so many times the rate of the layer above it: 0.9, say.

    Raises:
        DataError: data and model do not fit: labels, shapes, types, or no data at all.
        TrainingError: the loss is no longer finite, the device has no memory left, or another process has ended; the
            model is then as after the last whole epoch, and the error has the `history`.
        ValueError: an argument has no such value; the message says which there are.
    """
    settings = Settings(
        epochs=positive("epochs", epochs),
        lr=positive("lr", usual_lr(model, optimizer, freeze) if lr is None else lr),
        batch_size=positive("batch_size", batch_size),
        optimizer=optimizer,
        schedule=schedule,
        weight_decay=weight_decay,
        clip_norm=clip_norm and positive("clip_norm", clip_norm),
        loss=_name(step or loss),
        augment=_name(augment),
        patience=patience,
        seed=seed,
        accumulate=positive("accumulate", accumulate),
        warmup=warmup,
        freeze=freeze,
        thaw=None if thaw is None else positive("thaw", thaw),
        layer_decay=layer_decay,
    )
    place = pick_device(device)
    if place.type == "cuda":
        torch.cuda.init()  # so that the state of its generator can be kept, too
    with (
        joined(place) as team,
        seeded(team.own_seed(seed)),
        same_modes(model),
        usual_layout(model),
        frozen(model, settings) as thawing,
    ):
        team.check_same(
            lambda: {
                "settings": settings.to_dict(),
                "model": weights.architecture(model),
                "data": [fingerprint(part) for part in train_and_val(data) if part is not None],
                "checkpoint, resume and save": (checkpoint is None, resume, save is None),
                "device": (place.type, pick_precision(precision, place)),
            }
        )
        saving = Saving(save, model, "" if save is None else fingerprint(data), settings, budget)
        loaded = saving.load(History)
        if loaded is not None:
            return loaded
        own: list[Any] = [EarlyStopping(patience)] if patience is not None else []
        own += [Budget(saving.budget)] if saving.budget is not None else []
        last = [Checkpoint(checkpoint)] if checkpoint is not None else []
        run = prepare(
            model,
            data,
            settings,
            step or Supervised(loss),
            pick_augment(augment),
            [*callbacks, *thawing, *own, *pick_progress(progress and team.rank == 0), *last],
            place,
            precision,
            team,
        )
        for keeper in last if resume else []:
            keeper.resume(run)
        saving.flag(run.history)
        with guarded(run):
            train(run)
        if team.rank == 0:
            saving.store(run.history)
        team.wait()
    return run.history


def prepare(
    model: nn.Module,
    data: Any,
    settings: Settings,
    compute: Step,
    augment: Augment | None,
    callbacks: list[Any],
    device: torch.device,
    precision: str,
    team: Alone,
) -> Run:
    """Everything that the loop works on, after a first look at whether model and data fit each other."""
    known("schedule", settings.schedule, SCHEDULES)
    dtype = pick_precision(precision, device)
    model.to(device)
    train_source, val_source = train_and_val(data)
    feed = Feed(
        train_source,
        settings.batch_size,
        device,
        shuffle=True,
        augment=augment,
        smallest=team.smallest(model),
        shard=team.shard,
    )
    val = None if val_source is None else eval_feed(model, val_source, EVAL_BATCH, device, team.shard)
    if val is None and settings.patience is not None:
        raise DataError("patience needs validation data: give fit a DataSet or a pair (train, val)")
    fit_layout(model, feed, compute)
    if val is not None and isinstance(compute, Supervised):
        try_out(model, val, compute)
    if team.rank == 0:
        say_device(device, dtype, team.size)
    factors = lr_factors(model, settings.layer_decay)
    optimizer = make_optimizer(model, settings.optimizer, settings.lr, settings.weight_decay, factors)
    updates = count_updates(feed, settings)
    total = None if updates is None else updates * settings.epochs
    return Run(
        model=model,
        optimizer=optimizer,
        schedule=make_schedule(optimizer, settings.schedule, total, settings.warmup),
        train=feed,
        val=val,
        compute=team.step(model, compute),
        settings=settings,
        device=device,
        autocast=partial(autocast, device, dtype),
        generator=torch.Generator().manual_seed(settings.seed),
        callbacks=callbacks,
        hooks=collect(callbacks),
        team=team,
    )


def positive(name: str, value: Any) -> Any:
    """`value`, if it is above 0."""
    if not value > 0:
        raise ValueError(f"{name} must be above 0, not {value!r}")
    return value


def _name(thing: Any) -> str:
    if thing is None or isinstance(thing, str):
        return thing or "default"
    if is_dataclass(thing):
        return repr(thing)  # with its values, which decide the numbers of the run
    return getattr(thing, "__qualname__", None) or type(thing).__name__
