"""Predictions as a small file to hand in: plain JSON, which a grader reads without running anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.data.batching import held
from coursekit.data.dataset import fingerprint
from coursekit.train.device import under_grading
from coursekit.train.errors import DataError
from coursekit.train.files import replacing
from coursekit.train.scoring import predict

DIGITS = 6  # of a probability


def predict_to_file(
    model: nn.Module,
    data: Any,
    path: str | Path,
    *,
    texts: Sequence[str] | None = None,
    probabilities: bool = False,
    **options: Any,
) -> Path:
    """Write the class that `model` gives each example to `path`, whole or not at all, in place of an older file.

    The file is one JSON object: `labels`, class indices in the order of the data; `inputs`, the `input_fingerprint` of
    what they belong to, so that another order or other examples are noticed; where asked for, `probabilities` (N, C).
    Under grading nothing is computed or written: what counts is the file that was handed in.

    Args:
        model: maps a batch (N, ...) to logits (N, C).
        data: as of `predict`; labels are not looked at.
        path: "predictions.json", say.
        texts: what was encoded as `data`; the fingerprint is then theirs, whatever the encoding.
        probabilities: the softmax of the logits, too.
        **options: batch_size, device and precision, as of `predict`.

    Returns:
        `path`.

    Raises:
        DataError: there is no data, or not one text an example; the model gives something else than logits (N, C), or no
            finite ones.
    """
    path = Path(path)
    if under_grading():
        return path
    logits = predict(model, data, **options)
    if logits.ndim != 2:
        raise DataError(
            f"the model gave logits of shape {tuple(logits.shape)}; a file of predictions holds one class an example, "
            "from logits (N, C)"
        )
    if not bool(torch.isfinite(logits).all()):
        raise DataError("the model gives nan or infinite logits, which say nothing; train it again")
    if texts is not None and len(texts) != len(logits):
        raise DataError(
            f"{len(texts)} texts but {len(logits)} predictions: give the texts that `data` encodes"
        )
    content = {
        "inputs": input_fingerprint(data if texts is None else texts),
        "labels": logits.argmax(1).tolist(),
    }
    if probabilities:
        content["probabilities"] = [
            [round(p, DIGITS) for p in row] for row in logits.double().softmax(1).tolist()
        ]
    with replacing(path) as part:
        part.write_text(json.dumps(content) + "\n", encoding="utf-8")
    return path


def input_fingerprint(data: Any) -> str:
    """SHA-256 of texts, or of the inputs (not the labels) of data held in tensors, in their order.

    Args:
        data: texts; a tensor, or any form that `predict` takes and that holds its examples in tensors.

    Raises:
        DataError: it is neither, a DataLoader for instance.
    """
    if isinstance(data, Tensor):
        return fingerprint(data)
    data = getattr(data, "test", data)
    if isinstance(data, Sequence) and all(isinstance(text, str) for text in data):
        return hashlib.sha256(json.dumps(list(data)).encode()).hexdigest()
    try:
        inside = held(data)
    except TypeError:
        inside = None
    if inside is None:
        raise DataError(
            f"{type(data).__name__} does not hold its examples in tensors, so they have no fingerprint; give texts=..., "
            "or the inputs as one tensor"
        )
    return fingerprint(*(tensor for tensor in inside.tensors if tensor is not inside.labels))
