"""Sequences that do not fit a model: what it says, and to do what."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from recurrent import D, V, build
from torch import Tensor
from torch.nn import functional as F

from coursekit.models import (
    SequenceClassifier,
    get_model,
    model_info,
)
from coursekit.models.pooling import check_lengths

IDS = torch.ones(4, 6, dtype=torch.int64)
NUMBERS = torch.randn(4, 6, D)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "bow", "char_lm"])
@pytest.mark.parametrize(
    ("X", "remedy"),
    [
        (IDS[0], r"\(batch, steps\) .* got \(6,\) .*add the batch, X\[None\]"),
        (IDS.float(), r"got \(4, 6\) of torch.float32: ids are whole numbers, X.long\(\)\."),
        (IDS[0].float(), r"X.long\(\), with a batch axis, X\[None\]"),
        (IDS.bool(), r"X.long\(\)"),
        (NUMBERS, r"input_size=3\)"),
        (NUMBERS[..., 0], r"input_size=1.* X\[..., None\]"),
        (F.one_hot(IDS), r"X.argmax\(-1\)"),
        (torch.tensor(3), "two axes"),
        (IDS[None, None], "two axes"),
        (IDS * 11, r"ids go from 11 to 11, .* 11 tokens, 0 to 10: .*vocab_size=len\(vocab\)"),
        (-IDS, "ids go from -1 to -1"),
        (IDS[:0], r"empty, its shape is \(0, 6\)"),
        (IDS[:, :0], r"empty, its shape is \(4, 0\)"),
    ],
)
def test_wrong_tokens_are_explained(name: str, X: Tensor, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        get_model(name, vocab_size=V)(X)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(
    ("X", "remedy"),
    [
        (NUMBERS[0], r"\(batch, steps, 3\) .* got \(6, 3\) .*add the batch, X\[None\]"),
        (IDS, r"vocab_size=\.\.\. and without input_size"),
        (torch.randn(4, 6, 5), r"input_size=5, or give it 3 number\(s\) a step"),
        (torch.randn(4, 3, 6), r"X.transpose\(1, 2\)"),
        (
            NUMBERS.double(),
            r"dtype torch.float32, got \(4, 6, 3\) of torch.float64: change the dtype, X.float\(\)",
        ),
        (NUMBERS.long(), r"X.float\(\)"),
        (torch.randn(6), "three axes"),
        (NUMBERS[:, :0], "empty"),
    ],
)
def test_wrong_series_are_explained(name: str, X: Tensor, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        get_model(name, input_size=D)(X)


def test_a_series_of_one_number_needs_its_axis() -> None:
    with pytest.raises(ValueError, match=r"X\[..., None\]"):
        get_model("gru", input_size=1)(torch.randn(4, 6))


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "bow", "char_lm"])
@pytest.mark.parametrize(
    ("lengths", "remedy"),
    [
        ([6, 6, 6, 6], r"not list: torch.tensor\(lengths\)"),
        (True, "not bool"),
        (torch.ones(4), r"of torch.float32: lengths count steps, lengths.long\(\)"),
        (torch.ones(4, 6), r"mask.sum\(1\)"),
        (torch.ones(4, 1, dtype=torch.int64), r"lengths.squeeze\(1\)"),
        (torch.tensor(6), r"lengths.expand\(4\)"),
        (torch.ones(3, dtype=torch.int64), r"of shape \(4,\) .* got \(3,\) .* the same batch"),
        (torch.tensor([6, 0, 2, 1]), "sequence 1 has length 0"),
        (torch.tensor([6, 1, 7, 1]), r"sequence 2 has length 7, but X \(4, 6\) has only 6 steps"),
    ],
)
def test_wrong_lengths_are_explained(name: str, lengths: Any, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        get_model(name)(IDS, lengths)


@pytest.mark.parametrize("written_out", [False, True])
def test_whole_numbers_of_32_bits_will_do(written_out: bool) -> None:
    model = build("lstm", written_out=written_out)
    lengths = torch.tensor([6, 2, 3, 1])
    torch.testing.assert_close(model(IDS.int(), lengths.int()), model(IDS, lengths))
    assert check_lengths(lengths.int(), IDS).dtype == torch.int64


def test_numeric_example_batches_fit() -> None:
    for name in ("rnn", "gru", "lstm"):
        model = get_model(name, input_size=2, num_classes=1)
        assert isinstance(model, SequenceClassifier)
        X, _ = model_info(name).example_batch(3, **model.config)
        assert X.shape[2] == 2
        assert model(X).shape == (3, 1)


def test_import_brings_no_heavy_library() -> None:
    code = (
        "import sys, coursekit.models as m; m.get_model('lstm'); m.get_model('char_lm');"
        "print([n for n in ('transformers', 'datasets', 'matplotlib', 'torchvision', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
