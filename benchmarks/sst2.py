"""Fine-tuning MiniLM on all of SST-2: errors on GLUE's dev set, against the 10 % that are asked.

Three passes over all training phrases, nothing frozen; some 45 minutes on two cores. SST-2 writes words and punctuation
apart ("does n't", "fun ."); the encoder was trained on ordinary text, so they are joined again.
"""

from __future__ import annotations

import re
import time

import torch

from benchmarks.result import Result
from coursekit.data import TextSplit, load, load_wordpieces
from coursekit.models import get_model
from coursekit.train import evaluate, fit

NEEDS = ("sst2",)
ASKED = 0.10
# what stands apart in SST-2 -> as it is written
_JOINED = (
    (r" (n't)\b", r"\1"),
    (r" ('(?:s|re|ve|ll|d|m))\b", r"\1"),
    (r" ([,.;:?!%])", r"\1"),
    (r"\$ ", "$"),
    (r"-lrb- ", "("),
    (r" -rrb-", ")"),
    (r"`` ?", '"'),
    (r" ?''", '"'),
    (r"` ", "'"),
    (r" ' ", "' "),
)


def joined(text: str) -> str:
    """A phrase of SST-2 as one would write it.

    >>> joined("it does n't work , and that 's ( almost ) all .")
    "it doesn't work, and that's ( almost ) all."
    """
    for apart, together in _JOINED:
        text = re.sub(apart, together, text)
    return text.strip()


def run(quick: bool) -> Result:
    data, pieces = load("sst2"), load_wordpieces("minilm")
    texts, y = data.train.texts + data.val.texts, torch.cat([data.train.y, data.val.y])
    size = 64 if quick else len(texts)
    train = TextSplit([joined(text) for text in texts[:size]], y[:size]).encode(pieces)
    test = TextSplit([joined(text) for text in data.test.texts], data.test.y).encode(pieces)
    torch.manual_seed(0)
    model = get_model("bert_sentence", encoder="minilm")
    start = time.perf_counter()
    fit(
        model,
        train,
        epochs=1 if quick else 3,
        batch_size=32,
        lr=1e-4,
        schedule="linear",
        seed=0,
        progress=False,
    )
    seconds = time.perf_counter() - start
    accuracy = evaluate(model, test).accuracy
    detail = {"examples": len(train), "seconds": seconds, "threads": torch.get_num_threads()}
    return Result("sst2", "share wrong", 1 - accuracy, ASKED, {"ours": accuracy, "peer": 1 - ASKED}, detail)
