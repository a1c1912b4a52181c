"""What is remembered over a long way: an LSTM against a plain recurrent network, in error rather than in time.

The adding problem with rows of 100 steps (who has no memory has a mean squared error of 1/6), and the embedded Reber
grammar, where the last symbol but one repeats the second (chance: one half), over five seeds.
"""

from __future__ import annotations

from statistics import mean

import torch
from torch.nn import functional as F

from benchmarks.result import Result
from coursekit.data.synthetic import adding_problem, long_range_accuracy, reber_grammar
from coursekit.models import get_model
from coursekit.train import PerToken, evaluate, fit, predict


def adding(kind: str, quick: bool, seed: int = 0) -> float:
    """Mean squared error on 2,000 new rows."""
    length, n, epochs = (20, 1_000, 3) if quick else (100, 10_000, 25)
    init = {"init": "forget_bias"} if kind == "lstm" else {}
    torch.manual_seed(seed)
    model = get_model(kind, input_size=2, num_classes=1, hidden_size=64, **init)
    train, test = (
        adding_problem(n, length, seed=2 * seed + 1),
        adding_problem(2_000, length, seed=2 * seed + 2),
    )
    fit(model, train, loss=F.mse_loss, epochs=epochs, lr=5e-3, batch_size=64, seed=seed, progress=False)
    return evaluate(model, test, loss=F.mse_loss).loss


def reber(cell: str, quick: bool, seed: int) -> float:
    """Share of new strings whose repeated symbol is predicted."""
    train = reber_grammar(300 if quick else 2_000, seed=2 * seed + 1)
    test = reber_grammar(500, seed=2 * seed + 2, without=train)
    torch.manual_seed(seed)
    model = get_model("char_lm", vocab_size=8, embedding_dim=16, hidden_size=48, cell=cell)
    fit(
        model,
        train,
        step=PerToken(),
        epochs=2 if quick else 12,
        lr=1e-2,
        batch_size=32,
        seed=seed,
        progress=False,
    )
    return long_range_accuracy(predict(model, test), test)


def run(quick: bool) -> Result:
    errors = {}
    for kind in ("lstm", "rnn"):
        errors[kind] = adding(kind, quick)
        print(f"  adding problem, {kind}: mean squared error {errors[kind]:.4f}", flush=True)
    right: dict[str, list[float]] = {"lstm": [], "rnn": []}
    for seed in range(1 if quick else 5):
        for cell, values in right.items():
            values.append(reber(cell, quick, seed))
            print(f"  embedded Reber grammar, seed {seed}, {cell}: {values[-1]:.4f} right", flush=True)
    quality = {"ours": mean(right["lstm"]), "peer": mean(right["rnn"])}
    return Result(
        "long_range", "mean squared error", errors["lstm"], errors["rnn"], quality, {"reber": right}
    )
