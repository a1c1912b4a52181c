"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, OneCycleLR

# name -> (class, peak learning rate, weight decay, other arguments)
OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], float, float, dict[str, Any]]] = {
    "adamw": (torch.optim.AdamW, 6e-3, 0.01, {}),
    "adam": (torch.optim.Adam, 6e-3, 0.0, {}),
    "sgd": (torch.optim.SGD, 0.1, 5e-4, {"momentum": 0.9, "nesterov": True}),
    "rmsprop": (torch.optim.RMSprop, 1e-3, 0.0, {}),
}
SCHEDULES = ("one_cycle", "cosine", "linear", "constant")
FUSED = {"adamw", "adam", "sgd"}  # have a kernel that updates all parameters at once, on CPU, CUDA and MPS


def known(kind: str, name: str, names: Iterable[str]) -> None:
    """Raise ValueError that lists `names` when `name` is not one of them."""
    if name not in names:
        raise ValueError(f"unknown {kind} {name!r}; there are {', '.join(names)}")


def default_lr(optimizer: str) -> float:
    """The peak learning rate that `fit` takes for `optimizer` when none is given."""
    known("optimizer", optimizer, OPTIMIZERS)
    return OPTIMIZERS[optimizer][1]


def make_optimizer(
    model: nn.Module,
    name: str,
    lr: float,
    weight_decay: float | None = None,
    lr_factors: Mapping[nn.Parameter, float] | None = None,
) -> torch.optim.Optimizer:
    """An optimiser over the parameters of `model` that ask for a gradient; `lr_factors` multiply the rate of some.

    Weight decay shrinks matrices and filters only, not biases and normalisation scales (parameters of one
    dimension), as is usual since Loshchilov and Hutter, "Decoupled weight decay regularization" (2019).
    """
    known("optimizer", name, OPTIMIZERS)
    cls, _, default_decay, extra = OPTIMIZERS[name]
    decay = default_decay if weight_decay is None else weight_decay
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            "the model has no parameters to train: were its layers assigned to self in __init__, before fit, and "
            "is requires_grad true for some of them?"
        )
    factors = [(lr_factors or {}).get(p, 1.0) for p in parameters]
    groups = []
    for factor in sorted(set(factors), reverse=True):  # the highest rate first: it is the one that is shown
        alike = [p for p, own in zip(parameters, factors, strict=True) if own == factor]
        groups += [
            {"params": [p for p in alike if p.ndim >= 2], "lr": lr * factor, "weight_decay": decay},
            {"params": [p for p in alike if p.ndim < 2], "lr": lr * factor, "weight_decay": 0.0},
        ]
    if name in FUSED and all(p.is_floating_point() for p in parameters):
        extra = extra | {"fused": True}
    return cls([g for g in groups if g["params"]], lr=lr, **extra)


def make_schedule(
    optimizer: torch.optim.Optimizer, name: str, steps: int | None, warmup: float | None = None
) -> LRScheduler:
    """A schedule that is advanced once an update (not once an epoch), over `steps` updates in all.

    one_cycle: up from lr/25 over the first 30 %, down to almost 0 (Smith and Topin, 2018); linear: up over the first
    10 %, then down to 0 (as for BERT); cosine: from lr down to 0; constant. `warmup` is another share of the updates
    for the way up, of any schedule.
    """
    known("schedule", name, SCHEDULES)
    if warmup is not None and not 0 <= warmup < 1:
        raise ValueError(f"warmup is the share of the updates on the way up, 0 to below 1, not {warmup!r}")
    if name == "constant" and not warmup:
        return LambdaLR(optimizer, lambda _: 1.0)
    if steps is None:
        raise ValueError(
            f"the schedule {name!r} needs to know how many batches there are, and this data has no length; "
            'use schedule="constant" without warmup'
        )
    if name == "one_cycle":
        adam_like = "betas" in optimizer.defaults or optimizer.defaults.get("momentum", 0) > 0
        peaks = [group["lr"] for group in optimizer.param_groups]
        share = 0.3 if warmup is None else warmup
        return OneCycleLR(
            optimizer, peaks, total_steps=max(steps, 2), pct_start=share, cycle_momentum=adam_like
        )
    if name == "cosine" and not warmup:
        return CosineAnnealingLR(optimizer, T_max=max(steps, 1))
    rise = max(1, int(steps * (0.1 if warmup is None else warmup)))
    down = {"linear": lambda left: left, "cosine": half_cosine, "constant": lambda _: 1.0}[name]
    return LambdaLR(
        optimizer, lambda i: min((i + 1) / rise, down(max(0.0, (steps - i) / max(1, steps - rise))))
    )


def half_cosine(left: float) -> float:
    """The way down along half a cosine, by the share of it that is left (above 1 on the way up)."""
    return (1 - math.cos(math.pi * min(1.0, left))) / 2
