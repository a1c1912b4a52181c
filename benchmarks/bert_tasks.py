"""Pairs, slots and answer spans: what `fit` reaches against `transformers.Trainer`, same encoder, data and epochs.

Both sides learn from the same word pieces, in batches of 16, one seed; the Trainer otherwise has its defaults. Scores are
of the test splits: accuracy on RTE, entity F1 (seqeval) on SNIPS, F1 of the answers on XQuAD in English. The sum of the
errors is what is compared. It needs the real data (COURSEKIT_HOME); with --quick a few examples of each are enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks import trainer
from benchmarks.result import Result
from coursekit.data import answer_f1, answers, entity_f1, load, load_wordpieces, word_tags
from coursekit.models import get_model
from coursekit.train import PerToken, fit, predict
from coursekit.train.tokens import Spans

NEEDS = ("rte", "snips", "xquad_en")  # data sets that are nowhere embedded
BATCH = 16
SEED = 0


class Task(NamedTuple):
    """A case of BERT: its data, its heads here and there, and how its test split is scored, from 0 to 1."""

    data: str
    epochs: int
    head: str
    peer: str
    step: Any
    score: Callable[[Tensor, Any, Any], float]  # logits, encoded test split, test split
    max_length: int


TASKS = (
    Task(
        "rte", 2, "bert_pair", "BertForSequenceClassification", None, lambda z, _, test: right(z, test), 256
    ),
    Task(
        "snips",
        1,
        "bert_token",
        "BertForTokenClassification",
        PerToken(),
        lambda z, encoded, test: entity_f1(test.tags, word_tags(z, encoded)),
        64,
    ),
    Task(
        "xquad_en",
        2,
        "bert_span",
        "BertForQuestionAnswering",
        Spans(),
        lambda z, encoded, test: answer_f1(test.answers, answers(z, encoded)),
        384,
    ),
)


def right(logits: Tensor, test: Any) -> float:
    return (logits.argmax(1) == test.y).float().mean().item()


def run(quick: bool) -> Result:
    pieces = load_wordpieces("minilm")
    scores: dict[str, dict[str, float]] = {"ours": {}, "peer": {}}
    seconds: dict[str, dict[str, float]] = {"ours": {}, "peer": {}}
    for task in TASKS:
        data = load(task.data)
        train, test = data.train, data.test
        if quick:
            train, test = train.subset(list(range(16))), test.subset(list(range(8)))
        encoded, encoded_test = (split.encode(pieces, task.max_length) for split in (train, test))
        print(f"  {task.data}: {encoded!r}, {task.epochs} epochs", flush=True)
        for side, trained in (("ours", _ours), ("peer", _peer)):
            start = time.perf_counter()
            model = trained(task, encoded, data)
            seconds[side][task.data] = time.perf_counter() - start
            scores[side][task.data] = task.score(predict(model, encoded_test), encoded_test, test)
            print(
                f"    {side}: {scores[side][task.data]:.4f} in {seconds[side][task.data]:.0f} s", flush=True
            )
    errors = {side: sum(1 - score for score in found.values()) for side, found in scores.items()}
    quality = {side: sum(found.values()) / len(found) for side, found in scores.items()}
    detail = {"scores": scores, "seconds": seconds}
    return Result("bert_tasks", "errors (sum of 1 - score)", errors["ours"], errors["peer"], quality, detail)


def _ours(task: Task, encoded: Any, data: Any) -> nn.Module:
    torch.manual_seed(SEED)
    classes = {} if task.head == "bert_span" else {"num_classes": data.num_classes}
    model = get_model(task.head, encoder="minilm", **classes)
    fit(model, encoded, epochs=task.epochs, batch_size=BATCH, step=task.step, seed=SEED, progress=False)
    return model


def _peer(task: Task, encoded: Any, data: Any) -> nn.Module:
    from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding

    tokens = trainer.tokenizer()
    per_step = task.head == "bert_token"
    collator = DataCollatorForTokenClassification(tokens) if per_step else DataCollatorWithPadding(tokens)
    config = {} if task.head == "bert_span" else {"num_labels": data.num_classes}
    model = trainer.model_of(task.peer, SEED, **config)
    examples = [_as_theirs(task, *encoded[i]) for i in range(len(encoded))]
    trainer.train(
        model, examples, collator, SEED, num_train_epochs=task.epochs, per_device_train_batch_size=BATCH
    )
    return Theirs(model)


def _as_theirs(task: Task, X: Tensor, *rest: Tensor) -> dict[str, Any]:
    *segments, y = rest
    example: dict[str, Any] = {"input_ids": X.tolist()}
    if segments:
        example["token_type_ids"] = segments[0].tolist()
    if task.head == "bert_span":
        return example | {"start_positions": int(y[0]), "end_positions": int(y[1])}
    return example | ({"labels": y.tolist()} if task.head == "bert_token" else {"label": int(y)})


class Theirs(nn.Module):
    """A model of transformers that is called as ours are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, X: Tensor, lengths: Tensor, segments: Tensor | None = None) -> Tensor:
        mask = (torch.arange(X.shape[1]) < lengths[:, None]).long()
        out = self.model(input_ids=X, attention_mask=mask, token_type_ids=segments)
        if "logits" in out:
            return out.logits
        return torch.stack([out.start_logits, out.end_logits], 2)
