"""RealNVP: it is undone by its inverse, and its density is one."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd.functional import jacobian

from coursekit.models import RealNVP
from coursekit.train import NegativeLogLikelihood, fit


def flow(dim: int, num_layers: int, seed: int, strength: float = 3.0) -> RealNVP:
    """A flow in double precision whose layers do something."""
    torch.manual_seed(seed)
    model = RealNVP(dim, num_layers, hidden_size=8).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(strength)
    return model


@given(dim=st.integers(2, 7), num_layers=st.integers(2, 9), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_flow_is_undone_by_its_inverse(dim: int, num_layers: int, seed: int) -> None:
    model = flow(dim, num_layers, seed, strength=1.5)
    x = torch.randn(5, dim, dtype=torch.float64)
    z, _ = model(x)
    assert torch.allclose(model.inverse(z), x, atol=1e-8)
    assert torch.allclose(model(model.inverse(x))[0], x, atol=1e-8)


@given(dim=st.integers(2, 6), num_layers=st.integers(2, 7), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_log_det_is_that_of_the_jacobian(dim: int, num_layers: int, seed: int) -> None:
    model = flow(
        dim, num_layers, seed, strength=1.5
    )  # a stronger one has Jacobians too bad for any `slogdet`
    x = torch.randn(3, dim, dtype=torch.float64)
    jacobians = torch.stack([jacobian(lambda row: model(row[None])[0][0], row) for row in x])
    assert torch.allclose(model(x)[1], torch.linalg.slogdet(jacobians).logabsdet, atol=1e-8)


@given(dim=st.integers(2, 6), num_layers=st.integers(2, 7), seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_every_number_depends_on_every_other(dim: int, num_layers: int, seed: int) -> None:
    """Two couplings at least reach everything that comes in, or a density would fall apart into parts."""
    model = flow(dim, num_layers + 1, seed)
    depends = jacobian(lambda row: model(row[None])[0][0], torch.randn(dim, dtype=torch.float64)) != 0
    assert depends.any(0).all() and depends.any(1).all()
    assert depends.float().mean() > 0.7


def moons(n: int, seed: int) -> Tensor:
    """Points (n, 2) on two half circles, with noise of 0.1; each coordinate has mean 0 and deviation 1."""
    generator = torch.Generator().manual_seed(seed)
    angle = math.pi * torch.rand(n, generator=generator)
    upper = torch.rand(n, generator=generator) < 0.5
    x = torch.where(upper, angle.cos(), 1 - angle.cos())
    y = torch.where(upper, angle.sin(), 0.5 - angle.sin())
    points = torch.stack([x, y], 1) + 0.1 * torch.randn(n, 2, generator=generator)
    return (points - torch.tensor([0.5, 0.25])) / torch.tensor([0.87, 0.51])


@pytest.fixture(scope="module")
def moon_flow() -> RealNVP:
    torch.manual_seed(0)
    model = RealNVP(num_layers=6, hidden_size=32)
    fit(model, moons(1500, 0), epochs=12, step=NegativeLogLikelihood(), device="cpu", progress=False)
    return model


def test_trained_density_beats_a_gaussian_and_integrates_to_one(moon_flow: RealNVP) -> None:
    held_out = moons(2000, 1)
    gaussian = torch.distributions.MultivariateNormal(held_out.mean(0), held_out.T.cov())
    with torch.no_grad():
        assert moon_flow.log_prob(held_out).mean() > gaussian.log_prob(held_out).mean() + 0.5
        side = torch.linspace(-6, 6, 401)
        mass = moon_flow.log_prob(torch.cartesian_prod(side, side)).exp().sum() * 0.03**2
    assert mass.item() == pytest.approx(1, abs=0.01)


def test_samples_are_those_of_the_density(moon_flow: RealNVP) -> None:
    samples, data = moon_flow.sample(4000, seed=0), moons(4000, 2)
    assert torch.allclose(samples.mean(0), data.mean(0), atol=0.1)
    assert torch.allclose(samples.T.cov(), data.T.cov(), atol=0.15)
    # -E log p(x) over the model's own samples is its entropy: about what the data cost it.
    with torch.no_grad():
        assert moon_flow.log_prob(samples).mean().item() == pytest.approx(
            moon_flow.log_prob(data).mean().item(), abs=0.15
        )


def test_flow_says_what_it_takes() -> None:
    with pytest.raises(ValueError, match=r"at least 2, not 1 and 8"):
        RealNVP(dim=1)
    with pytest.raises(ValueError, match=r"expected vectors of shape \(batch, 2\), got \(5, 3\).*dim=3"):
        RealNVP().log_prob(torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"got \(5, 1, 28, 28\)"):
        RealNVP()(torch.zeros(5, 1, 28, 28))
