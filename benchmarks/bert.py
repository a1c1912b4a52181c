"""Fine-tuning MiniLM on SST-2: `fit` against `transformers.Trainer` with its defaults; `predict` against `pipeline`.

Same encoder, same examples, same number in a batch (8, the Trainer's default), same epochs, texts encoded beforehand on
both sides. Ours keeps the embeddings and the first two of six layers as they are and goes without dropout, options that one
pass over few data takes no harm from. `predict` and the pipeline start from text. Without SST-2: the embedded reviews.
"""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from benchmarks import trainer
from benchmarks.result import Result, in_turn, medians
from coursekit.data import TextSplit, load, load_wordpieces
from coursekit.models import get_model, load_encoder
from coursekit.train import evaluate, fit, predict

BATCH = 8
EXAMPLES = 4_000


def run(quick: bool) -> Result:
    full = not quick and bool(os.environ.get("COURSEKIT_HOME"))
    data = load("sst2") if full else load("reviews_en")
    chosen = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    train = data.train.subset(chosen[: EXAMPLES if full else 64].tolist())
    test = _together(data.val, data.test) if full else data.val
    pieces = load_wordpieces("minilm")
    encoded, encoded_test = train.encode(pieces), test.encode(pieces)
    print(
        f"{data.name}: {len(train):,} training texts, {len(test):,} to test, batches of {BATCH}", flush=True
    )
    models: dict[str, Any] = {}
    accuracies: dict[str, list[float]] = {"ours": [], "peer": []}

    def ours(seed: int) -> float:
        torch.manual_seed(seed)
        models["ours"] = get_model("bert_sentence", encoder=load_encoder("minilm", dropout=0.0))
        start = time.perf_counter()
        fit(
            models["ours"],
            encoded,
            epochs=1,
            batch_size=BATCH,
            freeze=2,
            seed=seed,
            progress=False,
        )
        seconds = time.perf_counter() - start
        accuracies["ours"].append(evaluate(models["ours"], encoded_test).accuracy)
        return 1000 * seconds / len(train)

    def peer(seed: int) -> float:
        from transformers import DataCollatorWithPadding

        tokens = trainer.tokenizer()
        models["peer"] = trainer.model_of("BertForSequenceClassification", seed, num_labels=2)
        ids = tokens(train.texts, truncation=True)["input_ids"]
        examples = [{"input_ids": row, "label": int(y)} for row, y in zip(ids, train.y, strict=True)]
        start = time.perf_counter()
        trainer.train(models["peer"], examples, DataCollatorWithPadding(tokens), seed, num_train_epochs=1)
        seconds = time.perf_counter() - start
        said = _pipeline(models["peer"], test.texts)
        accuracies["peer"].append((torch.tensor(said) == test.y).float().mean().item())
        return 1000 * seconds / len(train)

    rounds = 3 if full else 1
    sides = in_turn(ours, peer, rounds)
    print("  reading the test texts", flush=True)
    reading = in_turn(
        lambda i: _timed(lambda: predict(models["ours"], test.encode(pieces))) / len(test) * 1000,
        lambda i: _timed(lambda: _pipeline(models["peer"], test.texts)) / len(test) * 1000,
        rounds,
    )
    ours_reading, peer_reading = medians(reading)
    fitted = {
        f"{side} examples/s": 1000 / t for side, t in zip(("ours", "peer"), medians(sides), strict=True)
    }
    detail = {
        "data": data.name,
        **fitted,
        "ours predict, ms a text": ours_reading,
        "peer pipeline, ms a text": peer_reading,
        "predict ratio": peer_reading / ours_reading,
        "accuracies": accuracies,
    }
    print(f"  predict against pipeline: ratio {peer_reading / ours_reading:.2f}", flush=True)
    quality = {side: sum(found) / len(found) for side, found in accuracies.items()}
    return Result("bert", "ms an example", *medians(sides), quality, detail)


def _together(*splits: TextSplit) -> TextSplit:
    texts = [text for split in splits for text in split.texts]
    return TextSplit(texts, torch.cat([split.y for split in splits]))


def _pipeline(model: Any, texts: list[str]) -> list[int]:
    from transformers import pipeline

    model.eval()
    read = pipeline("text-classification", model=model, tokenizer=trainer.tokenizer(), device="cpu")
    return [int(row["label"].removeprefix("LABEL_")) for row in read(texts, truncation=True)]


def _timed(function: Any) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
