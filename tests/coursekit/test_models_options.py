"""Options of the recurrent models by name: initialisation, dropout, and what an unknown one says."""

import warnings

import pytest
import torch
from recurrent import D, build
from torch import Tensor, nn

from coursekit.models import (
    cell_of,
    get_model,
    model_info,
)


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
