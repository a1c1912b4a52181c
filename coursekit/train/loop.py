"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_

from coursekit.train.guard import check_finite
from coursekit.train.run import Meter, Run
from coursekit.train.scoring import measure

LOOK_EVERY = 50  # steps between two looks at the loss on a GPU, where each look waits for the device


def train(run: Run) -> None:
    """Epochs of updates; each update: forward pass, loss and gradients of its batches (mostly one), clipping, step."""
    model, optimizer, schedule = run.model, run.optimizer, run.schedule
    accumulate, limit = run.settings.accumulate, run.settings.clip_norm or math.inf
    look_every = 1 if run.device.type == "cpu" else LOOK_EVERY

    run.call("on_fit_start")
    while run.epoch < run.settings.epochs and not run.history.stopped:
        run.epoch, run.step, run.whole, started = run.epoch + 1, 0, True, time.perf_counter()
        meter = Meter()
        model.train()
        for group in grouped(run.train.batches(run.generator), accumulate):
            optimizer.zero_grad()
            examples = 0
            for batch in group:
                with run.autocast():
                    outcome = run.compute(model, batch)
                loss = outcome.loss if accumulate == 1 else outcome.loss * outcome.total
                loss.backward()
                meter.add(outcome)
                examples += outcome.total
            if accumulate > 1:
                divide_gradients(run.parameters, examples)
            norm = clip_grad_norm_(run.parameters, limit)
            if run.step % look_every == 0:
                check_finite(run, outcome.loss, norm, batch=batch)
            optimizer.step()
            lr = optimizer.param_groups[0]["lr"]
            schedule.step()
            meter.update(norm)
            run.step += 1
            run.call("on_step_end")
            if run.history.stopped:
                run.whole = run.step == run.num_updates
                break

        row = {f"train_{name}": value for name, value in meter.scores().items()}
        if run.val is not None:
            with run.autocast():
                row |= {f"val_{name}": value for name, value in measure(model, run.val, run.compute).items()}
        check_finite(run, *row.values())
        seconds = time.perf_counter() - started
        run.history.append(epoch=run.epoch, **row, lr=lr, grad_norm=meter.grad_norm(), seconds=seconds)
        run.keep()
        run.call("on_epoch_end")


def grouped(batches: Iterator[Any], size: int) -> Iterator[Iterator[Any]]:
    """The batches of one update after those of another; the last may have fewer than `size`."""
    for first in batches:
        yield chain([first], islice(batches, size - 1))


def divide_gradients(parameters: list[Parameter], examples: int) -> None:
    """From the gradient of the summed loss to that of its mean, as one batch of all these examples would give it."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad /= examples
