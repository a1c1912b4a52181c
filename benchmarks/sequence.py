"""Training tokens a second on SST-2: `fit` against the textbook loop, same LSTM, same epochs, same accuracy.

The textbook loop pads every sentence to the longest of the data set, takes batches of 64 from a DataLoader over a
TensorDataset, and uses Adam with its default rate. It is told the lengths, so that the model reads the last real word
on both sides. Without SST-2: the embedded reviews.
"""

from __future__ import annotations

import os
import time

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.result import Result, in_turn, medians
from coursekit.data import EncodedDataSet, Sequences, load
from coursekit.models import get_model
from coursekit.train import evaluate, fit
from coursekit.train.device import pick_device

EPOCHS = 2


def new_model(seed: int, vocab_size: int) -> nn.Module:
    torch.manual_seed(seed)
    return get_model("lstm", vocab_size=vocab_size, dropout=0.3)


def textbook(model: nn.Module, train: Sequences, epochs: int, seed: int) -> None:
    X, lengths, y = train.batch(torch.arange(len(train)))  # all of it, padded to the longest
    torch.manual_seed(seed)
    loader = DataLoader(TensorDataset(X, lengths, y), batch_size=64, shuffle=True)
    device = pick_device()
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(epochs):
        for X, lengths, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(X.to(device), lengths), y.to(device)).backward()
            optimizer.step()


def run(quick: bool) -> Result:
    full = not quick and os.environ.get("COURSEKIT_HOME")
    data = load("sst2") if full else load("reviews_en")
    vocabulary = data.vocabulary()
    encoded: EncodedDataSet = data.encode(vocabulary)
    train = encoded.train
    assert isinstance(train, Sequences)  # texts, not a stream
    tokens = int(train.lengths.sum()) * EPOCHS
    print(f"{data.name}: {tokens // EPOCHS:,} training tokens an epoch, {EPOCHS} epochs", flush=True)
    quality: dict[str, float] = {}

    def timed(side: str, seed: int) -> float:
        model = new_model(seed, len(vocabulary))
        start = time.perf_counter()
        if side == "ours":
            fit(model, train, epochs=EPOCHS, batch_size=64, seed=seed, progress=False)
        else:
            textbook(model, train, EPOCHS, seed)
        seconds = time.perf_counter() - start
        quality[side] = evaluate(model, encoded.test).accuracy
        return 1e6 * seconds / tokens

    sides = in_turn(lambda i: timed("ours", i), lambda i: timed("peer", i), 1 if quick else 3)
    rates = {
        f"{side} tokens/s": 1e6 / value for side, value in zip(("ours", "peer"), medians(sides), strict=True)
    }
    detail = {"data": data.name, "epochs": EPOCHS, **rates}
    return Result("sequence", "s a million tokens", *medians(sides), quality, detail)
