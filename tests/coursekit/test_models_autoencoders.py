"""Auto-encoders: the variational one's bound and likelihood, and what the plain one learns."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_generative import build
from torch import Tensor
from torch.distributions import Bernoulli, Normal
from torch.distributions import kl_divergence as torch_kl

from coursekit.models import VAE, Autoencoder
from coursekit.models.vae import kl_divergence, reparameterise
from coursekit.train import Reconstruction, fit

# The variational auto-encoder

codes = st.lists(st.floats(-5, 5), min_size=6, max_size=6).map(
    lambda row: torch.tensor(row).double().view(2, 3)
)


@given(mu=codes, log_var=codes)
@settings(deadline=None)
def test_kl_divergence_is_the_closed_form(mu: Tensor, log_var: Tensor) -> None:
    there = torch_kl(Normal(mu, (log_var / 2).exp()), Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(kl_divergence(mu, log_var), there, atol=1e-6)
    assert (kl_divergence(mu, log_var) >= -1e-12).all()


def test_reparameterised_codes_have_mean_and_variance_and_gradients() -> None:
    torch.manual_seed(0)
    mu, log_var = (torch.tensor([[value]], requires_grad=True) for value in (2.0, math.log(0.25)))
    z = reparameterise(mu, log_var, torch.randn(100_000, 1))
    assert (z.mean().item(), z.std().item()) == pytest.approx((2, 0.5), abs=0.01)
    z.square().mean().backward()  # E z^2 = mu^2 + exp(log_var)
    assert (mu.grad.item(), log_var.grad.item()) == pytest.approx((4, 0.25), abs=0.02)


def tiny_vae(seed: int = 0) -> VAE:
    """Four pixels and one latent number, so that p(x) can be integrated; far from its start, so that it is no constant."""
    torch.manual_seed(seed)
    model = VAE(latent_size=1, hidden_sizes=(8,), image_size=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.5)
        model.encoder[-1].weight.mul_(0.2)  # q wider than any posterior, so that no importance weight is huge
        model.encoder[-1].bias[1] = 1.0
    return model


ALL = torch.tensor(list(product([-1.0, 1.0], repeat=4))).view(16, 1, 2, 2)


def exact_log_evidence(model: VAE, X: Tensor) -> Tensor:
    """log p(x) by the trapezoidal rule over z."""
    z = torch.linspace(-9, 9, 2001)
    joint = [
        model.log_likelihood(x.expand(len(z), 1, 2, 2), z[:, None]) + Normal(0.0, 1.0).log_prob(z) for x in X
    ]
    return torch.stack([torch.trapezoid(row.exp(), z).log() for row in joint])


@pytest.mark.parametrize("seed", range(4))
@torch.no_grad()
def test_bound_lies_below_the_log_evidence(seed: int) -> None:
    model = tiny_vae(seed)
    exact = exact_log_evidence(model, ALL)
    assert exact.exp().sum().item() == pytest.approx(1, abs=1e-4)  # over all images that there are
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([model.elbo(ALL, generator=generator) for _ in range(2000)])
    bound, error = draws.mean(0), draws.std(0) / 2000**0.5
    assert (bound <= exact + 4 * error).all()
    assert (exact - bound).max() > 0.01  # and below it, where q is not the posterior
    estimate = model.log_evidence(ALL, samples=5000, generator=generator)
    assert (estimate >= bound - 4 * error).all()
    assert torch.allclose(estimate, exact, atol=0.1)


@torch.no_grad()
def test_grey_pixels_count_as_the_mean_over_binary_images() -> None:
    model, z = tiny_vae(), torch.tensor([[0.7]])
    grey = torch.tensor([-0.9, 0.2, 0.5, 1.0]).view(1, 1, 2, 2)
    chances = Bernoulli((grey + 1) / 2).log_prob((ALL + 1) / 2).sum((1, 2, 3)).exp()  # of each binary image
    mean = (chances * model.log_likelihood(ALL, z.expand(16, 1))).sum()
    assert model.log_likelihood(grey, z).item() == pytest.approx(mean.item(), rel=1e-4)


@torch.no_grad()
def test_decoded_pixels_are_the_means_of_the_likelihood() -> None:
    model, z = tiny_vae(), torch.tensor([[0.7]])
    chances = model.log_likelihood(ALL, z.expand(16, 1)).exp()
    assert torch.allclose((chances.view(16, 1, 1, 1) * ALL).sum(0), model.decode(z)[0], atol=1e-5)


def test_beta_weighs_the_divergence() -> None:
    model, X = build("vae")
    one, four = (model.elbo(X, beta=b, generator=torch.Generator().manual_seed(0)) for b in (1.0, 4.0))
    assert torch.allclose(one - four, 3 * kl_divergence(*model.encode(X)), rtol=1e-3)


def test_pixels_of_another_scale_are_refused() -> None:
    model, X = build("vae")
    with pytest.raises(ValueError, match=r"pixels go from .* to 2\.82.*data\.scaled\(-1, 1\)"):
        model.elbo(X.clone().index_fill_(0, torch.tensor([0]), 2.82))


# The auto-encoder


def test_linear_autoencoder_comes_to_principal_components() -> None:
    torch.manual_seed(0)
    X = (torch.randn(512, 3) * torch.tensor([3.0, 2.0, 0.3]) @ torch.linalg.qr(torch.randn(16, 3)).Q.T).view(
        -1, 1, 4, 4
    )
    model = Autoencoder(latent_size=2, hidden_sizes=(), image_size=4)
    fit(
        model,
        X,
        epochs=60,
        batch_size=32,
        step=Reconstruction(),
        lr=0.02,
        precision="fp32",
        device="cpu",
        progress=False,
    )
    flat = X.flatten(1) - X.flatten(1).mean(0)
    _, _, V = torch.linalg.svd(flat, full_matrices=False)
    best = (flat - flat @ V[:2].T @ V[:2]).square().mean()
    error = (model(X) - X).square().mean()
    assert best <= error <= 1.1 * best


def test_codes_have_their_size() -> None:
    model, X = build("autoencoder")
    assert model.encode(X).shape == (8, 32)
    assert torch.equal(model.decode(model.encode(X)), model(X))
    assert model.encoder[0].weight.shape == model.decoder[-1].weight.T.shape == (256, 784)
