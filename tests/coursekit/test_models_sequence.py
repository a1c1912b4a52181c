"""The models that read sequences: written out against torch's, padding, initialisation, sampling, what order is worth."""

import subprocess
import sys
import warnings
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.models import (
    CharLM,
    GRUCell,
    LSTMCell,
    RNNCell,
    SequenceClassifier,
    cell_of,
    get_model,
    model_info,
    rnn,
)
from coursekit.models.cells import run_written_out
from coursekit.models.char_lm import draw
from coursekit.models.pooling import check_lengths, pool, real_steps

KINDS = {
    "rnn": {},
    "rnn relu": {"nonlinearity": "relu"},
    "gru": {},
    "lstm": {},
}
V, D = 11, 3  # tokens, numbers a step

kinds = st.sampled_from(list(KINDS))
poolings = st.sampled_from(["last", "mean", "max"])
ragged = st.lists(st.integers(1, 6), min_size=1, max_size=4)  # lengths


def build(kind: str, numeric: bool = False, **config: Any) -> Any:
    torch.manual_seed(0)
    if kind == "bow":
        return get_model("bow", vocab_size=V, embedding_dim=4, num_classes=3)
    sizes = {"vocab_size": V, "input_size": D if numeric else None, "embedding_dim": 4, "hidden_size": 5}
    return get_model(kind.split()[0], **sizes, num_classes=3, **KINDS[kind], **config)


def example(lengths: list[int], numeric: bool, num_steps: int = 7) -> Tensor:
    """Sequences for `build`, whose padding is not empty."""
    torch.manual_seed(len(lengths))
    if numeric:
        return torch.randn(len(lengths), num_steps, D, dtype=torch.float64)
    return torch.randint(V, (len(lengths), num_steps))


def logits_and_gradients(model: nn.Module, X: Tensor, lengths: Tensor | None) -> dict[str, Tensor]:
    X = X.clone().requires_grad_(X.is_floating_point())
    logits = model(X, lengths)
    (logits * torch.arange(1.0, 4.0, dtype=logits.dtype)).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return {"logits": logits.detach(), **gradients} | ({"X": X.grad} if X.requires_grad else {})


# Written out and fast


@given(
    kind=kinds,
    numeric=st.booleans(),
    bidirectional=st.booleans(),
    num_layers=st.integers(1, 3),
    pooling=poolings,
    lengths=ragged,
    use_lengths=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=80, deadline=None)
def test_written_out_gives_the_same_outputs_and_gradients(
    kind: str,
    numeric: bool,
    bidirectional: bool,
    num_layers: int,
    pooling: str,
    lengths: list[int],
    use_lengths: bool,
    dtype: torch.dtype,
) -> None:
    config = {
        "numeric": numeric,
        "bidirectional": bidirectional,
        "num_layers": num_layers,
        "pooling": pooling,
    }
    fast = build(kind, **config).to(dtype)
    slow = build(kind, **config, written_out=True).to(dtype)
    with torch.no_grad():
        for parameter in fast.parameters():
            parameter.uniform_(-0.7, 0.7)  # larger than torch draws them, so that nothing is nearly linear
    slow.load_state_dict(fast.state_dict())
    X = example(lengths, numeric)
    X = X.to(dtype) if numeric else X
    given_lengths = torch.tensor(lengths) if use_lengths else None
    expected = logits_and_gradients(fast, X, given_lengths)
    got = logits_and_gradients(slow, X, given_lengths)
    assert expected.keys() == got.keys()
    atol, rtol = (1e-11, 1e-9) if dtype == torch.float64 else (1e-5, 1e-5)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, atol=atol, rtol=rtol, msg=lambda m, n=name: f"{n}: {m}")


def test_written_out_really_runs_the_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    step = LSTMCell.forward
    monkeypatch.setattr(LSTMCell, "forward", lambda *args: calls.append(1) or step(*args))
    X = example([7, 7], numeric=False)
    build("lstm")(X)
    assert calls == []
    build("lstm", num_layers=2, written_out=True)(X)
    assert len(calls) == 2 * 7


CELLS = [(RNNCell, nn.RNNCell), (GRUCell, nn.GRUCell), (LSTMCell, nn.LSTMCell)]


@pytest.mark.parametrize(("Ours", "Theirs"), CELLS)
def test_a_cell_is_torchs_cell(Ours: type[nn.Module], Theirs: type[nn.Module]) -> None:
    torch.manual_seed(0)
    ours = Ours(4, 6)
    torch.manual_seed(0)
    theirs = Theirs(4, 6)
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()), atol=0, rtol=0)
    for x in (torch.randn(3, 4), torch.randn(4)):  # a batch, and one example
        first, expected = ours(x), theirs(x)  # from the state 0
        torch.testing.assert_close(first, expected)
        torch.testing.assert_close(ours(-x, first), theirs(-x, expected))


def test_relu_is_a_choice_of_the_cell() -> None:
    ours, theirs = RNNCell(4, 6, "relu"), nn.RNNCell(4, 6, nonlinearity="relu")
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 4)
    torch.testing.assert_close(ours(x), theirs(x))
    with pytest.raises(ValueError, match=r"nonlinearity='gelu' .* 'tanh', 'relu'"):
        RNNCell(4, 6, "gelu")


def test_gates_by_name() -> None:
    x, h, c = torch.randn(3, 4), torch.randn(3, 6), torch.randn(3, 6)
    lstm = LSTMCell(4, 6)
    gates = lstm.gates(x, h)._asdict()
    assert list(gates) == ["input", "forget", "candidate", "output"]
    new_c = gates["forget"] * c + gates["input"] * gates["candidate"]
    torch.testing.assert_close(lstm(x, (h, c)), (gates["output"] * torch.tanh(new_c), new_c))
    gru = GRUCell(4, 6)
    reset, update, candidate = gru.gates(x, h)
    torch.testing.assert_close(gru(x, h), update * h + (1 - update) * candidate)
    from_h = F.linear(h, gru.weight_hh, gru.bias_hh)[:, 12:]
    from_x = F.linear(x, gru.weight_ih, gru.bias_ih)[:, 12:]
    torch.testing.assert_close(candidate, torch.tanh(from_x + reset * from_h))


def test_cell_of_shares_the_weights_and_reads_the_gates_of_a_text_at_once() -> None:
    model = build("lstm", num_layers=2, bidirectional=True)
    cell = cell_of(model.rnn, layer=1, reverse=True)
    assert cell.weight_hh is model.rnn.weight_hh_l1_reverse
    assert not [name for name, _ in model.named_parameters() if "cell" in name]
    cell = cell_of(model.rnn)
    X = example([7], numeric=False)
    E = model.embedding(X)[0]  # (T, D)
    states = torch.cat(model.trace(X).states[0])  # (T, H)
    before = torch.cat([torch.zeros(1, 5), states[:-1]])
    torch.testing.assert_close(cell.gates(E, before).forget[3], cell.gates(E[3], before[3]).forget)


@pytest.mark.parametrize("Module", [nn.RNN, nn.GRU, nn.LSTM])
def test_all_outputs_are_torchs_and_padded_ones_are_zero(Module: Any) -> None:
    module = Module(D, 5, num_layers=2, bidirectional=True, batch_first=True).double()
    lengths = torch.tensor([2, 6, 4])
    X = example([2, 6, 4], numeric=True, num_steps=6)
    packed = nn.utils.rnn.pack_padded_sequence(X, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(module(packed)[0], batch_first=True)
    H, states = run_written_out(module, X, real_steps(lengths, 6))
    torch.testing.assert_close(H, expected, atol=1e-12, rtol=0)
    assert [len(h) for h in states] == [6] * 4
    torch.testing.assert_close(run_written_out(module, X)[0], module(X)[0], atol=1e-12, rtol=0)


def test_dropout_between_layers_when_written_out() -> None:
    X = example([7], numeric=True).float()
    model = build("lstm", numeric=True, num_layers=2, dropout=0.9, written_out=True)
    model.dropout.p = 0.0  # leaves what is between the layers
    once, again = model.trace(X).states, model.trace(X).states
    assert torch.equal(once[0][-1], again[0][-1])
    assert not torch.equal(once[1][-1], again[1][-1])
    assert torch.equal(model.eval()(X), model(X))


# Gradients through time


def test_trace_gives_the_total_gradient_of_each_state() -> None:
    model = build("rnn", numeric=True).double()
    X = example([7, 7], numeric=True)
    logits, states = model.trace(X)
    torch.testing.assert_close(logits, model(X))
    h = states[0]
    assert len(states) == 1
    assert [tuple(part.shape) for part in h] == [(2, 5)] * 7
    gradients = torch.autograd.grad(logits.sum(), h)
    torch.testing.assert_close(gradients[-1], model.head.weight.sum(0).expand(2, 5))
    for t in range(1, 7):  # dL/dh_{t-1} = W_hh^T (tanh'(a_t) * dL/dh_t)
        expected = (gradients[t] * (1 - h[t] ** 2)) @ model.rnn.weight_hh_l0
        torch.testing.assert_close(gradients[t - 1], expected)


def test_no_gradient_comes_from_padding() -> None:
    model = build("gru")
    logits, states = model.trace(example([3], numeric=False), torch.tensor([3]))
    sizes = [g.abs().sum().item() for g in torch.autograd.grad(logits.sum(), states[0])]
    assert all(size > 0 for size in sizes[:3])
    assert sizes[3:] == [0] * 4


# Padding


@given(
    kind=st.sampled_from([*KINDS, "bow"]),
    numeric=st.booleans(),
    bidirectional=st.booleans(),
    num_layers=st.integers(1, 2),
    pooling=poolings,
    written_out=st.booleans(),
    lengths=ragged,
)
@settings(max_examples=80, deadline=None)
def test_neither_padding_nor_neighbours_change_an_example(
    kind: str,
    numeric: bool,
    bidirectional: bool,
    num_layers: int,
    pooling: str,
    written_out: bool,
    lengths: list[int],
) -> None:
    config = {"bidirectional": bidirectional, "num_layers": num_layers, "pooling": pooling}
    numeric = numeric and kind != "bow"
    model = build(kind, numeric=numeric, **config, written_out=written_out).double().eval()
    X = example(lengths, numeric)  # its padding is random
    together = model(X, torch.tensor(lengths))
    for i, length in enumerate(lengths):
        torch.testing.assert_close(together[i], model(X[i : i + 1, :length])[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("config", [{}, {"bidirectional": True}, {"written_out": True}], ids=str)
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_not_even_nan_in_the_padding_matters(kind: str, config: dict[str, bool]) -> None:
    model = build(kind, numeric=True, num_layers=2, pooling="mean", **config)
    X = example([4, 7], numeric=True).float()
    X[0, 4:] = torch.nan
    results = logits_and_gradients(model, X, torch.tensor([4, 7]))
    assert all(value.isfinite().all() for value in results.values())


@given(lengths=ragged, cell=st.sampled_from(["lstm", "gru", "rnn"]))
@settings(max_examples=20, deadline=None)
def test_a_language_model_does_not_see_what_comes_later(lengths: list[int], cell: str) -> None:
    model = char_lm(cell=cell)
    X = example(lengths, numeric=False)
    together = model(X, torch.tensor(lengths))
    for i, length in enumerate(lengths):
        torch.testing.assert_close(together[i, :length], model(X[i : i + 1, :length])[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("bidirectional", "lengths", "packed"),
    [
        (False, [6, 6], False),
        (False, [6, 1], False),  # 7 of 12 steps are real: running over the rest is cheaper
        (False, [4, 1], True),
        (True, [6, 6], False),
        (True, [6, 5], True),  # from the end it would begin in the padding
    ],
)
def test_packed_only_where_it_is_needed_or_cheaper(
    bidirectional: bool, lengths: list[int], packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, pack = [], rnn.pack_padded_sequence
    monkeypatch.setattr(rnn, "pack_padded_sequence", lambda *a, **kw: calls.append(1) or pack(*a, **kw))
    build("lstm", bidirectional=bidirectional)(example(lengths, False, num_steps=6), torch.tensor(lengths))
    assert bool(calls) == packed


@pytest.mark.parametrize("config", [{}, {"bidirectional": True}, {"written_out": True}], ids=str)
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_mixed_precision_on_a_cpu_leaves_the_recurrence_exact(kind: str, config: dict[str, bool]) -> None:
    model, X, lengths = build(kind, **config), example([6, 3, 5], False), torch.tensor([6, 3, 5])
    model.head = nn.Identity()  # so that what comes out is the state
    exact = model(X, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(model(X, lengths), exact)


def test_pooling_by_hand() -> None:
    H = torch.tensor(
        [[[1.0, 8.0], [3.0, 2.0], [9.0, 9.0]], [[1.0, 8.0], [3.0, -2.0], [-1.0, 0.0]]]
    )  # (2, 3, 2)
    lengths = torch.tensor([2, 3])
    assert pool(H, lengths, "last").tolist() == [[3.0, 2.0], [-1.0, 0.0]]
    assert pool(H, lengths, "last", bidirectional=True).tolist() == [[3.0, 8.0], [-1.0, 8.0]]
    assert pool(H, lengths, "mean").tolist() == [[2.0, 5.0], [1.0, 2.0]]
    assert pool(H, lengths, "max").tolist() == [[3.0, 8.0], [3.0, 8.0]]
    assert pool(-H, lengths, "max").tolist() == [[-1.0, -2.0], [1.0, 2.0]]


def test_real_steps() -> None:
    assert real_steps(torch.tensor([1, 3]), 3).tolist() == [[True, False, False], [True, True, True]]


@pytest.mark.parametrize("written_out", [False, True])
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_batch_of_one_and_length_one(kind: str, written_out: bool, pooling: str) -> None:
    model = build(kind, pooling=pooling, bidirectional=True, written_out=written_out)
    alone = model(torch.tensor([[4]]))
    assert alone.shape == (1, 3)
    torch.testing.assert_close(model(torch.tensor([[4, 5, 6]]), torch.tensor([1])), alone)


# Initialisation


@pytest.mark.parametrize("written_out", [False, True])
def test_identity_keeps_a_state_over_a_thousand_steps(written_out: bool) -> None:
    sizes = {"input_size": D, "hidden_size": 16, "init": "identity", "nonlinearity": "relu"}
    model = get_model("rnn", **sizes, num_layers=2, written_out=written_out)
    X = torch.zeros(2, 1000, D)
    X[:, 0] = torch.randn(2, D)
    states = model.trace(X).states[0]
    assert states[0].count_nonzero() > 0
    assert torch.equal(states[-1], states[0])
    first = get_model("rnn", **sizes)  # one layer: then the logits too stay as they were
    torch.testing.assert_close(first(X), first(X[:, :1]))
    plain = get_model("rnn", **sizes | {"init": "default"})
    assert not torch.allclose(plain(X), plain(X[:, :1]), atol=1e-3)


def test_identity_sets_recurrent_weights_and_biases_only() -> None:
    plain = build("rnn", num_layers=2, bidirectional=True)
    identity = build("rnn", num_layers=2, bidirectional=True, init="identity")
    for name, parameter in identity.rnn.named_parameters():
        if name.startswith("weight_hh"):
            assert torch.equal(parameter, torch.eye(5))
        elif name.startswith("bias"):
            assert not parameter.any()
        else:
            assert torch.equal(parameter, plain.rnn.get_parameter(name))


def test_forget_bias_is_one_in_total() -> None:
    plain = build("lstm", num_layers=2, bidirectional=True)
    model = build("lstm", num_layers=2, bidirectional=True, init="forget_bias")
    forget = slice(5, 10)  # the second block of i, f, g, o
    for suffix in ("l0", "l0_reverse", "l1", "l1_reverse"):
        biases = [model.rnn.get_parameter(f"{name}_{suffix}") for name in ("bias_ih", "bias_hh")]
        assert torch.equal(sum(b[forget] for b in biases), torch.ones(5))
    for name, parameter in model.state_dict().items():
        before, now = plain.state_dict()[name].clone(), parameter.clone()
        if "bias_" in name:
            before[forget], now[forget] = 0, 0
        assert torch.equal(now, before), name
    cell = cell_of(model.rnn)
    f = cell.gates(torch.zeros(1, 4), torch.zeros(1, 5)).forget
    torch.testing.assert_close(f, torch.ones(1, 5).sigmoid())


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_orthogonal_gate_by_gate(kind: str) -> None:
    plain, model = build(kind, num_layers=2), build(kind, num_layers=2, init="orthogonal")
    for suffix in ("l0", "l1"):
        for block in model.rnn.get_parameter(f"weight_hh_{suffix}").split(5):
            torch.testing.assert_close(block @ block.T, torch.eye(5), atol=1e-5, rtol=0)
    assert torch.equal(plain.rnn.weight_ih_l0, model.rnn.weight_ih_l0)


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("lstm", {"init": "identity"}, "lstm: init='identity' .* 'default', 'forget_bias', 'orthogonal'"),
        ("gru", {"init": "forget_bias"}, "gru: init='forget_bias' .* 'default', 'orthogonal'"),
        ("rnn", {"init": "forget_bias"}, "'default', 'identity', 'orthogonal'"),
        ("lstm", {"pooling": "first"}, "pooling='first' .* 'last', 'mean', 'max'"),
        ("rnn", {"nonlinearity": "sigmoid"}, "nonlinearity='sigmoid' .* 'tanh', 'relu'"),
        ("char_lm", {"cell": "bert"}, "cell='bert' .* 'rnn', 'gru', 'lstm'"),
    ],
)
def test_unknown_choices_are_listed(kind: str, config: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_model(kind, **config)


def test_options_reach_the_model() -> None:
    model = get_model("rnn", nonlinearity="relu", num_layers=2, dropout=0.25, bidirectional=True)
    assert (model.rnn.mode, model.rnn.num_layers, model.rnn.dropout) == ("RNN_RELU", 2, 0.25)
    assert model.head.in_features == 2 * 128
    assert get_model("gru", input_size=1).embedding is None
    assert [get_model("char_lm", cell=cell).rnn.mode for cell in ("lstm", "gru", "rnn")] == [
        "LSTM",
        "GRU",
        "RNN_TANH",
    ]


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "bow", "char_lm"])
def test_dropout_acts_in_training_only_and_without_a_warning(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = get_model(name, dropout=0.5)
    X, _ = model_info(name).example_batch(3, **model.config)
    assert not torch.equal(model(X), model(X))
    assert torch.equal(model.eval()(X), model(X))


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "char_lm"])
def test_dropout_of_embeddings_and_before_the_last_layer(name: str) -> None:
    model = get_model(name, dropout=0.5)
    X, _ = model_info(name).example_batch(3, **model.config)
    states: list[Tensor] = []
    model.rnn.register_forward_hook(lambda module, inputs, outputs: states.append(outputs[0]))
    model(X), model(X)
    assert not torch.equal(states[0], states[1])
    nn.init.zeros_(model.embedding.weight)  # of zeros dropout leaves zeros
    logits = model(X), model(X)
    assert torch.equal(states[2], states[3])
    assert not torch.equal(*logits)


@pytest.mark.parametrize(
    ("name", "paper"),
    [
        ("rnn", "Elman 1990"),
        ("gru", "Cho et al. 2014"),
        ("lstm", "Hochreiter and Schmidhuber 1997"),
        ("bow", "Joulin et al. 2017"),
        ("char_lm", "Sutskever, Martens and Hinton 2011"),
    ],
)
def test_each_names_its_paper_first(name: str, paper: str) -> None:
    assert paper in model_info(name).summary


# The language model


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


# Order


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_a_bag_of_words_cannot_tell_permutations_apart(data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, V - 1), min_size=1, max_size=9))
    other = data.draw(st.permutations(ids))
    model = build("bow").double()
    X = torch.tensor([ids, other])
    torch.testing.assert_close(model(X)[0], model(X)[1], atol=1e-12, rtol=0)


def test_a_bag_of_words_can_tell_words_and_their_shares_apart() -> None:
    model = build("bow")
    a, b, c = model(torch.tensor([[1, 1, 2], [1, 2, 2], [1, 1, 3]]))
    assert not torch.allclose(a, b)
    assert not torch.allclose(a, c)
    torch.testing.assert_close(model(torch.tensor([[1, 2, 1, 2]])), model(torch.tensor([[1, 2]])))


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "bow"])
def test_order_is_learnt_by_recurrent_nets_only(name: str) -> None:
    torch.manual_seed(0)
    X = torch.randint(3, 10, (64, 8))
    X[:, 2], X[:, 5] = 1, 2  # 1 before 2
    X = torch.cat([X, X.flip(1)])  # the same words, 2 before 1
    y = torch.arange(128) // 64
    model = get_model(name, vocab_size=10, embedding_dim=8, **({} if name == "bow" else {"hidden_size": 16}))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(60):
        loss = F.cross_entropy(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    logits = model(X)
    if name == "bow":
        torch.testing.assert_close(logits[:64], logits[64:])
    else:
        assert (logits.argmax(1) == y).all()


# Inputs that do not fit

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
