"""The language model: piece by piece, and what it draws."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent import V, example, ragged

from coursekit.models import (
    CharLM,
    get_model,
)
from coursekit.models.char_lm import draw


def char_lm(**config: Any) -> CharLM:
    torch.manual_seed(0)
    model = (
        get_model("char_lm", **{"vocab_size": V, "embedding_dim": 4, "hidden_size": 6} | config)
        .double()
        .eval()
    )
    assert isinstance(model, CharLM)
    with torch.no_grad():
        model.head.weight.mul_(5)  # so that what comes next depends on what came before
    return model


@given(
    cuts=st.lists(st.integers(1, 8), max_size=3),
    cell=st.sampled_from(["lstm", "gru", "rnn"]),
    num_layers=st.integers(1, 2),
)
@settings(max_examples=30, deadline=None)
def test_piece_by_piece_is_one_pass(cuts: list[int], cell: str, num_layers: int) -> None:
    model = char_lm(cell=cell, num_layers=num_layers)
    X = torch.randint(V, (3, 9))
    edges = sorted({0, 9, *cuts})
    state, pieces = None, []
    for start, end in pairwise(edges):
        logits, state = model.step(X[:, start:end], state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, 1), model(X), atol=1e-12, rtol=0)
    assert model(X).shape == (3, 9, V)


def test_sampling_reads_prompt_and_what_it_drew() -> None:
    model = char_lm()
    text = [3, 1, 4]
    for _ in range(12):  # the likeliest, reading everything again each time
        text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
    assert model.sample(torch.tensor([3, 1, 4]), 12, top_k=1).tolist() == text[3:]
    assert len(set(text[3:])) > 1


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-308])
def test_a_temperature_near_zero_takes_the_likeliest(temperature: float) -> None:
    model = char_lm()
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        sampled = model.sample([3, 1], 20, temperature=temperature, generator=generator)
        assert torch.equal(sampled, model.sample([3, 1], 20, top_k=1))
    assert draw(torch.tensor([30.0, 90.0, -9.0]), temperature) == 1  # float32


@given(k=st.integers(1, 8), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_top_k_draws_all_of_the_k_likeliest_and_no_other(k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randperm(8, generator=generator) / 4.0
    drawn = {int(draw(logits, top_k=k, generator=generator)) for _ in range(300)}
    assert drawn == set(logits.topk(k).indices.tolist())


def test_top_k_is_exact_with_equal_logits_and_may_exceed_the_vocabulary() -> None:
    assert len({int(draw(torch.zeros(8), top_k=3)) for _ in range(100)}) == 3
    assert len({int(draw(torch.zeros(8), top_k=99)) for _ in range(200)}) == 8


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_tempered_softmax(temperature: float) -> None:
    logits, n = torch.tensor([2.0, 0.0, 1.0, -1.0]), 4000
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(4)
    for _ in range(n):
        counts[draw(logits, temperature, generator=generator)] += 1
    p = (logits / temperature).softmax(0)
    assert ((counts / n - p).abs() <= 4 * (p * (1 - p) / n).sqrt()).all()


def test_the_generators_seed_repeats_a_text() -> None:
    model = char_lm()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    texts = [
        model.sample([1], 30, generator=torch.Generator().manual_seed(seed)).tolist() for seed in (7, 7, 8)
    ]
    assert texts[0] == texts[1] != texts[2]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    without = model.sample([1], 30)
    torch.manual_seed(1)
    assert torch.equal(model.sample([1], 30), without)


def test_shape_of_a_sample() -> None:
    model = char_lm()
    for prompt in ([1], [1, 2, 3], torch.tensor([1, 2]), torch.tensor([1], dtype=torch.int32)):
        ids = model.sample(prompt, 5)
        assert (ids.shape, ids.dtype) == ((5,), torch.int64)
        assert ids.min() >= 0
        assert ids.max() < V
    assert model.sample([1], 0).tolist() == []


def test_sampling_leaves_the_mode_and_uses_no_dropout() -> None:
    model = char_lm(dropout=0.9).train()
    sampled = model.sample([1], 10, top_k=1)
    assert model.training
    assert torch.equal(sampled, model.eval().sample([1], 10, top_k=1))
    assert not model.training


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0}, "temperature=0: .* above 0; .* top_k=1"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"top_k": 0}, "top_k=0"),
        ({"length": -1}, "length=-1"),
        ({"prompt_ids": []}, r"at least one, got shape \(0,\)"),
        ({"prompt_ids": torch.zeros(0, dtype=torch.int64)}, "at least one"),
        ({"prompt_ids": torch.zeros(2, 3, dtype=torch.int64)}, r"got shape \(2, 3\)"),
        ({"prompt_ids": [V]}, "vocabulary has 11 tokens"),
        ({"prompt_ids": [0.5]}, "expected token ids"),
    ],
)
def test_wrong_sampling_is_explained(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        char_lm().sample(**{"prompt_ids": [1], "length": 3} | arguments)


@given(lengths=ragged, cell=st.sampled_from(["lstm", "gru", "rnn"]))
@settings(max_examples=20, deadline=None)
def test_a_language_model_does_not_see_what_comes_later(lengths: list[int], cell: str) -> None:
    model = char_lm(cell=cell)
    X = example(lengths, numeric=False)
    together = model(X, torch.tensor(lengths))
    for i, length in enumerate(lengths):
        torch.testing.assert_close(together[i, :length], model(X[i : i + 1, :length])[0], atol=1e-12, rtol=0)
