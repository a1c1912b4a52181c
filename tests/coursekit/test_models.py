"""Every entry of the zoo, whatever it is: shapes, gradients, over-fitting one batch, saving, bf16."""

import subprocess
import sys

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from coursekit.models import get_model, list_models, model_info
from coursekit.models.registry import register

PARAMETERS = {
    "linear": 7_850,
    "mlp": 235_146,
    "lenet": 61_706,
    "alexnet_small": 133_914,
    "alexnet": 61_100_840,
    "bow": 100_202,
    "rnn": 129_698,
    "gru": 188_578,
    "lstm": 218_018,
    "char_lm": 350_593,
    "bert_sentence": 974_850,
    "bert_pair": 974_850,
    "bert_token": 974_850,
    "bert_span": 974_850,
    "bert_mlm": 995_360,
    "bert_nsp": 991_362,
    "autoencoder": 419_120,
    "vae": 1_079_600,
    "flow": 35_352,
    "diffusion": 251_044,
    "gan": 153_890,
    "conditional_gan": 200_930,
}
# What makes data has no logits: tests of their own go over these.
GENERATIVE = {"autoencoder", "vae", "flow", "diffusion", "gan", "conditional_gan"}
CLASSIFIERS = [name for name in list_models() if name not in GENERATIVE]
OUTPUTS = {"bert_span": 2, "bert_mlm": 4_000, "bert_nsp": 2}  # of models that do not let one choose
SMALL = {"alexnet": {"num_classes": 10, "dropout": 0.0}}  # less to compute, the same code


def build(name: str, batch_size: int = 4) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = get_model(name, **SMALL.get(name, {}))
    X, y = model_info(name).example_batch(batch_size, **model.config)
    return model, X, y


def loss_of(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Cross entropy of one row of logits an example, or one a step; of a span (B, T, 2), over the steps."""
    if logits.shape[:-1] != y.shape:
        return F.cross_entropy(logits, y)
    return F.cross_entropy(logits.flatten(0, -2), y.flatten())


@pytest.mark.parametrize("name", list_models())
def test_parameter_count(name: str) -> None:
    with torch.device("meta"):  # shapes without memory
        model = get_model(name)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_one_row_of_logits_an_example(name: str) -> None:
    model, X, y = build(name)
    logits = model.eval()(X)
    rows = X.shape if name == "bert_span" else y.shape
    outputs = model.config.get("num_classes") or model.config.get("vocab_size") or OUTPUTS[name]
    assert logits.shape == (*rows, outputs)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_argument_has_a_default_and_is_in_the_config(name: str) -> None:
    model = get_model(name)
    assert model.name == name
    assert model.config == model_info(name).defaults
    outputs = next((argument for argument in ("num_classes", "vocab_size") if argument in model.config), None)
    assert outputs or name in OUTPUTS
    if outputs:
        assert get_model(name, **{outputs: 3}).config == model.config | {outputs: 3}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_gradient_reaches_every_parameter(name: str) -> None:
    model, X, y = build(name)
    loss_of(model(X), y).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


SLOW = [pytest.param(n, marks=pytest.mark.slow) if n == "alexnet" else n for n in CLASSIFIERS]


@pytest.mark.parametrize("name", SLOW)
def test_overfits_one_batch(name: str) -> None:
    model, X, y = build(name, batch_size=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4 if name == "alexnet" else 3e-3, fused=True)
    for step in range(100):
        loss = loss_of(model.train()(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 9 and (model.eval()(X).argmax(1 if name == "bert_span" else -1) == y).all():
            return
    pytest.fail(f"after 100 steps on one batch the loss is still {loss.item():.3f}")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_state_round_trips_through_safetensors(name: str) -> None:
    model, X, _ = build(name)
    model(X)  # moves the running statistics of batch norm, where there are any
    state = safetensors.torch.load(safetensors.torch.save(model.state_dict()))
    torch.manual_seed(1)
    other = get_model(name, **model.config)
    assert not torch.equal(other.eval()(X), model.eval()(X))
    other.load_state_dict(state)
    assert torch.equal(other(X), model(X))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_runs_in_bf16_and_agrees(name: str) -> None:
    model, X, y = build(name)
    exact = model.eval()(X)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(X)
        loss_of(logits, y).backward()
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - exact).abs().max() <= 0.05 * max(1.0, exact.abs().max().item())


@given(
    name=st.sampled_from(["linear", "mlp", "lenet", "alexnet_small"]),
    image_size=st.sampled_from([16, 28, 32]),
    in_channels=st.integers(1, 3),
    num_classes=st.integers(2, 12),
    batch_size=st.integers(1, 3),
)
@settings(max_examples=25, deadline=None)
def test_any_size_channels_and_classes(
    name: str, image_size: int, in_channels: int, num_classes: int, batch_size: int
) -> None:
    model = get_model(name, image_size=image_size, in_channels=in_channels, num_classes=num_classes)
    X, _ = model_info(name).example_batch(batch_size, **model.config)
    assert model.eval()(X).shape == (batch_size, num_classes)


def test_lenet_is_the_classic() -> None:
    shapes = {n: tuple(p.shape) for n, p in get_model("lenet").named_parameters() if n.endswith("weight")}
    assert shapes == {
        "conv1.weight": (6, 1, 5, 5),
        "conv2.weight": (16, 6, 5, 5),
        "fc1.weight": (120, 400),
        "fc2.weight": (84, 120),
        "fc3.weight": (10, 84),
    }


def test_lenet_options_are_used() -> None:
    X = torch.randn(2, 1, 28, 28)
    outputs = []
    for activation in ("relu", "tanh", "sigmoid"):
        for pool in ("max", "avg"):
            torch.manual_seed(0)
            outputs.append(get_model("lenet", activation=activation, pool=pool)(X))
    pairs = [(a, b) for i, a in enumerate(outputs) for b in outputs[:i]]
    assert not any(torch.allclose(a, b) for a, b in pairs)
    with pytest.raises(ValueError, match=r"activation='gelu' .* 'relu', 'tanh', 'sigmoid'"):
        get_model("lenet", activation="gelu")


def test_too_small_an_image_is_said() -> None:
    for name in ("lenet", "alexnet_small"):
        with pytest.raises(ValueError, match="image_size=4 is too small"):
            get_model(name, image_size=4)


def test_wrong_name_says_what_there_is() -> None:
    with pytest.raises(ValueError, match="did you mean 'lenet'") as caught:
        get_model("lennet")
    assert all(name in str(caught.value) for name in list_models())


def test_wrong_argument_says_what_there_are() -> None:
    with pytest.raises(TypeError, match=r"mlp has no argument 'hidden_size'.*hidden_sizes=\(256, 128\)"):
        get_model("mlp", hidden_size=3)


def test_the_same_name_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="two models are called 'lenet'"):
        register("lenet")(nn.Identity)


def test_an_argument_without_a_default_is_refused() -> None:
    with pytest.raises(TypeError, match="'recurrent' needs a default for input_size, hidden_size"):
        register("recurrent")(lambda input_size, hidden_size, num_layers=1: nn.Identity())
    assert "recurrent" not in list_models()


def test_model_info_shows_the_arguments() -> None:
    assert repr(model_info("linear")).startswith(
        "linear(in_channels=1, image_size=28, num_classes=10): Softmax"
    )


@pytest.mark.parametrize("name", ["linear", "mlp", "lenet", "alexnet_small"])
@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((28, 28), r"X\[None, None\]"),
        ((1, 28, 28), r"add the batch"),
        ((5, 28, 28), r"add the channel"),
        ((5, 28, 28, 1), r"permute\(0, 3, 1, 2\)"),
        ((5, 3, 28, 28), r"in_channels=3"),
        ((5, 1, 32, 32), r"image_size=32"),
        ((5, 784), r"X.reshape\(-1, 1, 28, 28\)"),
        ((5,), r"four axes"),
    ],
)
def test_wrong_shape_is_explained(name: str, shape: tuple[int, ...], remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy) as caught:
        get_model(name)(torch.zeros(shape))
    assert "expected images of shape (batch, 1, 28, 28)" in str(caught.value)
    assert f"got {shape}" in str(caught.value)


def test_alexnet_explains_a_grey_image() -> None:
    with pytest.raises(ValueError, match=r"expected images of shape \(batch, 3, height, width\).*3 channel"):
        get_model("alexnet", num_classes=2)(torch.zeros(1, 1, 64, 64))


def test_import_is_cheap() -> None:
    code = "import sys, coursekit.models as m; m.get_model('lenet'); print('torchvision' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
