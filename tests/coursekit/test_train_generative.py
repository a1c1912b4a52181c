"""The steps of generative models in `fit`: they learn, labels do not matter, and weights travel."""

import json

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from coursekit.data import Split
from coursekit.models import get_model
from coursekit.models.vae import kl_divergence
from coursekit.train import (
    DataError,
    Denoising,
    NegativeELBO,
    NegativeLogLikelihood,
    Reconstruction,
    evaluate,
    fit,
)

MODELS = {
    "autoencoder": (Reconstruction(), {"image_size": 8, "hidden_sizes": (32,), "latent_size": 4}),
    "vae": (NegativeELBO(), {"image_size": 8, "hidden_sizes": (32,), "latent_size": 4}),
    "flow": (NegativeLogLikelihood(), {"num_layers": 4, "hidden_size": 16}),
    "diffusion": (Denoising(), {"image_size": 8, "width": 8, "num_steps": 50}),
}


def data(name: str, n: int = 256, seed: int = 0) -> Tensor:
    """Squares of 4 x 4 white pixels somewhere on 8 x 8 black ones; for a flow, points on a line, with noise."""
    generator = torch.Generator().manual_seed(seed)
    if name == "flow":
        x = torch.randn(n, 1, generator=generator)
        return torch.cat([x, 0.5 * x + 0.1 * torch.randn(n, 1, generator=generator)], 1)
    X = -torch.ones(n, 1, 8, 8)
    for image, (row, column) in zip(X, torch.randint(0, 5, (n, 2), generator=generator), strict=True):
        image[0, row : row + 4, column : column + 4] = 1
    return X


def train(name: str, source=None, step=None, **options):
    torch.manual_seed(0)
    own, config = MODELS[name]
    model = get_model(name, **config)
    options = {
        "epochs": 3,
        "batch_size": 32,
        "device": "cpu",
        "precision": "fp32",
        "progress": False,
    } | options
    history = fit(model, data(name) if source is None else source, step=step or own, **options)
    return model, history


@pytest.mark.parametrize("name", MODELS)
def test_training_lowers_the_loss(name: str) -> None:
    torch.manual_seed(0)
    step, config = MODELS[name]
    before = evaluate(get_model(name, **config), data(name, seed=1), step=step).loss
    held_out = (data(name, seed=1),) * 2
    model, history = train(name, (Split(data(name), torch.zeros(256)), Split(*held_out)), epochs=8)
    assert history[-1]["val_loss"] < before - 0.1 * abs(before)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert "train_accuracy" not in history[0]
    torch.manual_seed(0)
    assert evaluate(model, data(name, seed=1), step=step).loss == pytest.approx(
        history[-1]["val_loss"], rel=0.1
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_tensor_alone_does_as_well_as_one_with_labels(name: str) -> None:
    X = data(name)
    _, alone = train(name, X)
    _, labelled = train(name, (X, torch.arange(len(X)) % 10))
    assert alone["train_loss"] == labelled["train_loss"]


@pytest.mark.parametrize("name", MODELS)
def test_a_loader_without_labels_does(name: str) -> None:
    _, history = train(name, DataLoader(TensorDataset(data(name)), batch_size=32), epochs=1)
    assert history[0]["train_loss"] < 100


@pytest.mark.parametrize("name", MODELS)
def test_weights_stand_for_the_training_under_grading(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, history = train(name, save=name, epochs=1)
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    again, loaded = train(name, save=name, epochs=1)
    assert loaded.loaded_from == f"{name}.safetensors" and not loaded.flags
    assert loaded["train_loss"] == history["train_loss"]
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters(), strict=True))
    _, other = train(name, data(name, seed=3), save=name, epochs=1)
    assert [flag["flag"] for flag in other.flags] == ["weights-mismatch"]
    assert "other training data" in other.flags[0]["detail"]


def test_beta_belongs_to_the_settings(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    train("vae", save="vae", epochs=1, step=NegativeELBO(beta=4.0))
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    _, history = train("vae", save="vae", epochs=1)
    assert "loss was 'NegativeELBO(beta=4.0)', is 'NegativeELBO(beta=1.0)'" in json.dumps(history.flags)


def test_the_bound_with_a_greater_beta_has_codes_nearer_the_prior() -> None:
    X = data("vae")
    gaps = []
    for beta in (0.1, 10.0):
        model, _ = train("vae", X, step=NegativeELBO(beta), epochs=6)
        gaps.append(kl_divergence(*model.encode(X)).mean().item())
    assert gaps[1] < gaps[0]


def test_steps_of_noise_are_spread_over_all() -> None:
    seen: list[Tensor] = []

    class Watching(nn.Module):
        num_steps = 10

        def q_sample(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
            seen.append(t)
            return noise

        def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
            return x_t  # all noise, and exactly it

    outcome = Denoising()(Watching(), (torch.zeros(40, 1, 2, 2), torch.zeros(40)))
    assert (outcome.loss, outcome.correct, outcome.total) == (0, None, 40)
    assert seen[0].bincount(minlength=11).tolist()[1:] == pytest.approx([4] * 10, abs=1)
    assert seen[0].min() >= 1 and seen[0].max() <= 10


def test_mistakes_are_said() -> None:
    X = data("vae")
    with pytest.raises(
        DataError, match=r"NegativeELBO needs a model with elbo\(...\).*get_model\('vae'\).*Linear"
    ):
        fit(nn.Linear(8, 8), X, step=NegativeELBO(), progress=False)
    with pytest.raises(DataError, match=r"NegativeLogLikelihood needs a model with log_prob"):
        NegativeLogLikelihood()(nn.Linear(8, 8), X)
    with pytest.raises(DataError, match=r"Denoising needs a model with q_sample"):
        Denoising()(nn.Linear(8, 8), X)
    with pytest.raises(DataError, match=r"made \(256, 1, 8, 3\) of inputs \(256, 1, 8, 8\)"):
        Reconstruction()(nn.Linear(8, 3), X)
    with pytest.raises(DataError, match=r"begins with a tensor of torch.uint8"):
        Reconstruction()(nn.Identity(), ((X * 100).to(torch.uint8),))
    with pytest.raises(DataError, match="labels of shape"):
        fit(nn.Flatten(), X, progress=False)  # a classifier, without labels


@pytest.mark.parametrize("labelled", [True, False])
def test_an_auto_encoder_without_its_step_is_told_which_one_it_needs(labelled) -> None:
    X = data("autoencoder")
    source = (X, torch.zeros(len(X)).long()) if labelled else X
    for use in (fit, evaluate):
        with pytest.raises(DataError, match=r"shape of its input, \(2, 1, 8, 8\).*step=Reconstruction\(\)"):
            use(get_model("autoencoder", **MODELS["autoencoder"][1]), source)
