"""The recurrent classifiers: cells, gradients through time, padding, order."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent import KINDS, D, V, build, example, kinds, logits_and_gradients, poolings, ragged
from torch import nn
from torch.nn import functional as F

from coursekit.models import (
    GRUCell,
    LSTMCell,
    RNNCell,
    cell_of,
    get_model,
    rnn,
)
from coursekit.models.cells import run_written_out
from coursekit.models.pooling import pool, real_steps

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
