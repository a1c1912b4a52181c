"""What all models that make data share: shapes, gradients, weights that round-trip, losses under bf16, seeds."""

import pytest
import safetensors.torch
import torch
from small_generative import SMALL, build
from torch import Tensor, nn

from coursekit.models import Diffusion, get_model, model_info
from coursekit.train import Denoising, NegativeELBO, NegativeLogLikelihood, Reconstruction

STEPS = {
    "autoencoder": Reconstruction(),
    "vae": NegativeELBO(),
    "flow": NegativeLogLikelihood(),
    "diffusion": Denoising(),
}
SHAPES = {name: (1, 28, 28) for name in STEPS} | {"flow": (2,)}


def loss_of(name: str, model: nn.Module, X: Tensor) -> Tensor:
    torch.manual_seed(1)  # of the codes and the noise
    return STEPS[name](model, (X,)).loss


def answer(model: nn.Module, X: Tensor) -> Tensor:
    """What forward gives, as one tensor."""
    out = model(X, torch.arange(1, 1 + len(X))) if isinstance(model, Diffusion) else model(X)
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize("name", STEPS)
def test_every_argument_has_a_default_and_is_in_the_config(name: str) -> None:
    model = get_model(name)
    assert (model.name, model.config) == (name, model_info(name).defaults)


@pytest.mark.parametrize("name", STEPS)
def test_output_has_the_shape_of_the_data(name: str) -> None:
    model, X = build(name)
    assert answer(model, X).shape == X.shape == (8, *SHAPES[name])


@pytest.mark.parametrize("name", STEPS)
def test_gradient_reaches_every_parameter(name: str) -> None:
    model, X = build(name)
    loss_of(name, model, X).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", STEPS)
def test_state_round_trips_through_safetensors(name: str) -> None:
    model, X = build(name)
    state = safetensors.torch.load(safetensors.torch.save(model.state_dict()))
    torch.manual_seed(1)
    other = get_model(name, **SMALL[name])
    assert not torch.equal(answer(other, X), answer(model, X))
    other.load_state_dict(state)
    assert torch.equal(answer(other, X), answer(model, X))


@pytest.mark.parametrize("name", STEPS)
def test_loss_is_float32_under_bf16_and_agrees(name: str) -> None:
    model, X = build(name)
    exact = loss_of(name, model, X)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(name, model, X)
        loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.02)


@pytest.mark.parametrize("name", ["vae", "flow", "diffusion"])
def test_a_seed_repeats_the_samples_and_leaves_torch_alone(name: str) -> None:
    model, _ = build(name)
    how = {"steps": 3} if name == "diffusion" else {}
    before = torch.get_rng_state()
    first = model.sample(3, seed=5, **how)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.shape == (3, *SHAPES[name])
    assert not first.requires_grad and model.training
    assert torch.equal(first, model.sample(3, seed=5, **how))
    assert not torch.equal(first, model.sample(3, seed=6, **how))
    assert not torch.equal(model.sample(3, **how), model.sample(3, **how))
    if name != "flow":
        assert first.abs().max() <= 1


@pytest.mark.parametrize("name", ["autoencoder", "vae", "diffusion"])
def test_flat_images_are_explained(name: str) -> None:
    model, X = build(name)
    with pytest.raises(ValueError, match=r"X.reshape\(-1, 1, 28, 28\)"):
        answer(model, X.flatten(1))
