"""How good is a model: scores and predictions, without touching it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.models.modes import evaluating
from coursekit.train.device import autocast, pick_precision
from coursekit.train.errors import DataError
from coursekit.train.feed import Feed
from coursekit.train.finetune import has_encoder
from coursekit.train.history import Scores
from coursekit.train.run import Meter
from coursekit.train.shards import Shard
from coursekit.train.step import Step, Supervised

EVAL_BATCH = 500
MAX_TOKENS = 4096  # that an encoder reads at once on a CPU, with padding: more fall out of its caches
MAX_TOKENS_GPU = 65536


def evaluate(
    model: nn.Module,
    data: Any,
    *,
    batch_size: int = EVAL_BATCH,
    loss: Any = None,
    step: Step | None = None,
    device: str | torch.device | None = None,
    precision: str = "auto",
) -> Scores:
    """Mean loss, and accuracy where there are classes, of `model` on `data`; in eval mode, whatever its mode.

    Args:
        model: maps a batch (N, ...) to logits (N, C).
        data: a Split, a pair of tensors (X, y), a Dataset or a DataLoader; of a DataSet, its test split; a tensor X for a
            `step` that needs no labels.
        batch_size: examples at a time, fewer where long texts go through an encoder; changes speed and memory only. Of a TokenStream, the streams that the text is cut
            into: each begins without context, so fewer streams give a slightly lower loss, and take longer.
        loss: as in `fit`; cross entropy by default.
        step: as in `fit`.
        device: moves the model there; by default everything happens where the model is.
        precision: as in `fit`.

    Raises:
        DataError: labels or shapes do not fit the model, or there is no data.
    """
    place = _place(model, device)
    feed = eval_feed(model, getattr(data, "test", data), batch_size, place)
    compute = step or Supervised(loss)
    with autocast(place, pick_precision(precision, place)):
        if isinstance(compute, Supervised):
            try_out(model, feed, compute)
        return measure(model, feed, compute)


def predict(
    model: nn.Module,
    data: Any,
    *,
    batch_size: int = EVAL_BATCH,
    device: str | torch.device | None = None,
    precision: str = "auto",
) -> Tensor:
    """The logits (N, C) of `model`, float32 on the CPU, in the order of the data; (N, T, C) where it gives some a step.

    Args:
        model: maps a batch (N, ...) to logits (N, C); used in eval mode, whatever its mode.
        data: inputs as a tensor (N, ...), or any form that `evaluate` takes (labels are not looked at).
        batch_size: examples at a time, fewer where long texts go through an encoder; changes speed and memory only.
        device: moves the model there; by default everything happens where the model is.
        precision: as in `fit`.

    Raises:
        DataError: there is no data.
    """
    place = _place(model, device)
    if isinstance(data, Tensor):
        data = (data, torch.zeros(len(data), dtype=torch.int64))
    feed = eval_feed(model, getattr(data, "test", data), batch_size, place)
    with evaluating(model), autocast(place, pick_precision(precision, place)):
        logits = _joined([model(*inputs).float().cpu() for *inputs, _ in feed.batches()])
    order = None if feed.held is None else feed.held.order
    return logits if order is None else logits[order.argsort()]


def _joined(pieces: list[Tensor]) -> Tensor:
    """Batches of logits, one below the other; those of sequences are filled up with zeros to the longest."""
    if pieces and pieces[0].ndim == 3:
        longest = max(piece.shape[1] for piece in pieces)
        pieces = [F.pad(piece, (0, 0, 0, longest - piece.shape[1])) for piece in pieces]
    return torch.cat(pieces)


def eval_feed(
    model: nn.Module, source: Any, batch_size: int, device: torch.device, shard: Shard | None = None
) -> Feed:
    """`source` in its own order (sequences by length), in batches of a size that suits model and device."""
    limit = MAX_TOKENS if device.type == "cpu" else MAX_TOKENS_GPU
    return Feed(source, batch_size, device, max_steps=limit if has_encoder(model) else None, shard=shard)


def measure(model: nn.Module, feed: Feed, compute: Step) -> Scores:
    """Loss and accuracy over one pass."""
    meter = Meter()
    with evaluating(model):
        for batch in feed.batches():
            meter.add(compute(model, batch))
    return meter.scores()


def try_out(model: nn.Module, feed: Feed, compute: Supervised) -> None:
    """Raise DataError when model and data do not fit each other; costs two examples."""
    small = feed.peek()
    if small is None:
        raise DataError("there is no data: the source gave no batch")
    with evaluating(model):
        num_classes = compute.check(model, small)
    if num_classes is not None:
        feed.expect(num_classes)


def count_parameters(model: nn.Module) -> int:
    """How many numbers training adjusts (61,706 for `lenet`); shared ones count once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _place(model: nn.Module, device: str | torch.device | None) -> torch.device:
    if device is not None:
        model.to(device)
    first = next(model.parameters(), None)
    return torch.device(device or "cpu") if first is None else first.device
