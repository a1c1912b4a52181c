"""What `fit` costs beyond its arithmetic: the same steps by hand, on the same tensors, from the same weights.

Measured in processor time of one thread, which a busy machine disturbs less than wall time.
"""

from __future__ import annotations

import time

import torch
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from benchmarks.result import Result, in_turn, medians
from coursekit.data import load
from coursekit.models import get_model
from coursekit.train import evaluate, fit

BATCH, LR = 128, 6e-3


def by_hand(model: torch.nn.Module, X: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
    """The steps that `fit` takes with its defaults: same layout, optimiser, schedule, clipping, order."""
    model.to(memory_format=torch.channels_last)
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.01},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, fused=True)
    steps = epochs * -(-len(y) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(y), generator=generator)
        for chosen in order.split(BATCH):
            loss = F.cross_entropy(model(X[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()


def run(quick: bool) -> Result:
    data = load("mnist_5k")
    epochs, rounds = 1, 2 if quick else 15
    torch.set_num_threads(1)
    quality: dict[str, float] = {}

    def timed(side: str, seed: int) -> float:
        torch.manual_seed(seed)
        model = get_model("lenet")
        started = time.process_time()
        if side == "ours":
            fit(model, data.train, epochs=epochs, device="cpu", precision="fp32", progress=False)
        else:
            by_hand(model, data.train.X, data.train.y, epochs)
        seconds = time.process_time() - started
        quality[side] = evaluate(model, data.test).accuracy
        return seconds

    timed("ours", 0), timed("peer", 0)  # the first use of a kernel is slow
    sides = in_turn(lambda i: timed("ours", i), lambda i: timed("peer", i), rounds)
    return Result("overhead", "s of CPU", *medians(sides), quality, {"ours": sides[0], "peer": sides[1]})
