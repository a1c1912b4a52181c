"""How training ends when it cannot go on: a clear message, with model and history intact."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from coursekit.train.distributed import lost_another
from coursekit.train.errors import TrainingError, out_of_memory
from coursekit.train.run import BaseRun


@contextlib.contextmanager
def guarded(run: BaseRun) -> Iterator[None]:
    """Turn Ctrl-C into an early stop and failures into errors that carry the history; then call `on_fit_end`.

    After Ctrl-C the model keeps its present weights, and `history.stopped` is "interrupted"; after a failure it
    has those of the last whole epoch.
    """
    failure: TrainingError | None = None
    try:
        yield
    except KeyboardInterrupt:
        if run.team.size > 1:
            raise  # the others are in the middle of a step, and cannot finish it without this process
        run.stop("interrupted")
    except TrainingError as error:
        failure = error
    except RuntimeError as error:
        words = explain(run, error)
        if not words:
            raise
        failure = TrainingError(words)
    # Here, not inside `except`: a pending error would hold the frames, and with them the memory, that ran out.
    if failure is not None:
        run.fall_back()
        failure.history = run.history
    run.call("on_fit_end")
    if failure is not None:
        raise failure


def explain(run: BaseRun, error: RuntimeError) -> str:
    """What `error` means, where it is one of those that training knows what to do about; else ""."""
    if out_of_memory(error):
        return (
            f"the {run.device.type} device ran out of memory in epoch {run.epoch} with batches of "
            f"{run.settings.batch_size}; try {run.settings.trainer}(..., {run.settings.smaller()}) or a smaller model, and restart the kernel if other models fill "
            f"the memory ({str(error).splitlines()[0]})"
        )
    if run.team.size > 1 and lost_another(error):
        return (
            f"another process of this training ended, or did not answer, in epoch {run.epoch}; look for its own error "
            "in what torchrun prints"
        )
    return ""


def check_finite(run: BaseRun, *values: Tensor | float, batch: Any = None) -> None:
    """Raise TrainingError when a loss or gradient norm is nan or infinite; waits for the device."""
    numbers = [value.item() if isinstance(value, Tensor) else value for value in values]
    if all(map(math.isfinite, numbers)):
        return
    inputs = batch[0] if isinstance(batch, tuple | list) else None
    if isinstance(inputs, Tensor) and inputs.is_floating_point() and not bool(torch.isfinite(inputs).all()):
        cause = "the inputs of this batch hold nan or infinite numbers: clean the data first"
    else:
        cause = (
            f"most often the learning rate is too high: try {run.settings.trainer}(..., lr={run.settings.lr / 10:.2g}); else look for a "
            "division by zero or the logarithm of zero in the model or the loss"
        )
    shown = ", ".join(f"{number:.4g}" for number in numbers)
    raise TrainingError(
        f"loss or gradient is no longer finite ({shown}) in epoch {run.epoch}, step {run.step + 1}; {cause}. The "
        "model is back at its last good epoch, and this error's .history has the epochs before."
    )
