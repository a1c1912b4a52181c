"""A character model on tinyshakespeare: at most 1.80 nats a character on the validation text, after five minutes on two
cores. Without the file, or in a hurry: the embedded reviews.
"""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from benchmarks.result import Result
from coursekit.data import TokenStream, Vocabulary, load
from coursekit.models import get_model
from coursekit.train import TruncatedBPTT, evaluate, fit

LIMIT, ASKED = 285.0, 1.80  # seconds, nats
RECIPE: dict[str, Any] = {"epochs": 6, "batch_size": 64, "lr": 5e-3}
STREAMS = 4  # of the validation text; every one begins without context


def texts(full: bool) -> tuple[str, str, str]:
    """Name of the data, training text, validation text."""
    if full:
        corpus = load("tinyshakespeare")
        return corpus.name, corpus.train, corpus.val
    reviews = load("reviews_en")
    return reviews.name, "\n".join(reviews.train.texts), "\n".join(reviews.val.texts)


def run(quick: bool) -> Result:
    name, train, val = texts(bool(not quick and os.environ.get("COURSEKIT_HOME")))
    letters = Vocabulary.build([train], level="char")
    streams = [TokenStream(torch.tensor(letters.encode(text)), length=64) for text in (train, val)]
    torch.manual_seed(0)
    model = get_model("char_lm", vocab_size=len(letters), hidden_size=64 if quick else 256)
    started = time.perf_counter()
    history = fit(
        model,
        streams[0],
        step=TruncatedBPTT(),
        budget=LIMIT,
        progress=False,
        **(RECIPE | ({"epochs": 1} if quick else {})),
    )
    seconds = time.perf_counter() - started
    scores = evaluate(model, streams[1], step=TruncatedBPTT(), batch_size=STREAMS)
    detail = {"data": name, "seconds": seconds, "epochs": len(history), "recipe": RECIPE}
    return Result(
        "shakespeare", "nats a character", scores.loss, ASKED, {"ours": scores.loss, "peer": ASKED}, detail
    )
