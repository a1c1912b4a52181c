"""Sentiment by phenomenon: an LSTM beside a bag of words, with 95 % confidence intervals.

The reviews that come along (832 to train on, 320 to test on, in each language) are too few to tell the two apart, which
the intervals show; the generated pairs with the same words separate them.
"""

from __future__ import annotations

from typing import Any

import torch
from scipy.stats import binomtest

from benchmarks.result import Result
from coursekit.data import TextDataSet, load
from coursekit.data.synthetic import same_bag
from coursekit.models import get_model
from coursekit.train import fit, predict

MODELS: dict[str, dict[str, Any]] = {
    "lstm": {"embedding_dim": 64, "hidden_size": 64, "bidirectional": True, "pooling": "max", "dropout": 0.5},
    "bow": {"embedding_dim": 64, "dropout": 0.5},
}
PHENOMENA = ("none", "negation", "contrast", "intensity", "comparison", "mixed", "sarcasm")


def errors(kind: str, data: TextDataSet, epochs: int, seed: int) -> torch.Tensor:
    """Which test texts come out wrong, (N,) bool."""
    encoded = data.encode(data.vocabulary(min_count=1))
    torch.manual_seed(seed)
    model = get_model(kind, vocab_size=len(encoded.vocabulary), **MODELS[kind])
    fit(model, encoded, epochs=epochs, lr=5e-3, batch_size=32, seed=seed, progress=False)
    return predict(model, encoded.test).argmax(1) != data.test.y


def told(wrong: torch.Tensor) -> str:
    """The share that is right, with its Wilson interval."""
    n, right = len(wrong), int((~wrong).sum())
    low, high = binomtest(right, n).proportion_ci(method="wilson")
    return f"{right / n:6.1%} [{low:.1%}, {high:.1%}]"


def run(quick: bool) -> Result:
    detail: dict[str, dict[str, dict[str, float]]] = {}
    quality: dict[str, float] = {}
    shares: dict[str, float] = {}
    for data in (load("reviews_en"), load("reviews_zh"), same_bag("en"), same_bag("zh")):
        epochs = 1 if quick else 12
        wrong = {kind: errors(kind, data, epochs, seed=0) for kind in MODELS}
        detail[data.name] = {kind: {} for kind in MODELS}
        print(f"{data.name}: {len(data.test):,} test texts", flush=True)
        shown = [
            p
            for p in PHENOMENA
            if any(p in some or (p == "none" and not some) for some in data.test.phenomena)
        ]
        for phenomenon in ("all", *shown):
            chosen = torch.tensor(
                [
                    phenomenon == "all" or phenomenon in p or (phenomenon == "none" and not p)
                    for p in data.test.phenomena
                ]
            )
            for kind in MODELS:
                detail[data.name][kind][phenomenon] = float((~wrong[kind][chosen]).float().mean())
            sides = "   ".join(f"{kind} {told(wrong[kind][chosen])}" for kind in MODELS)
            print(f"  {phenomenon:10} {int(chosen.sum()):4}   {sides}", flush=True)
        # Of the last, the Chinese pairs; none wrong counts as one, so that there is a ratio.
        shares = {kind: max(float(wrong[kind].float().mean()), 1 / len(data.test)) for kind in MODELS}
        quality = {
            side: detail[data.name][kind]["all"] for side, kind in zip(("ours", "peer"), MODELS, strict=True)
        }
    return Result(
        "phenomena",
        "share wrong of Chinese sentences in same-bag pairs",
        shares["lstm"],
        shares["bow"],
        quality,
        detail,
    )
