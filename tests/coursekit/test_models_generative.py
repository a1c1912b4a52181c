"""Models that make data: the laws that densities, bounds and noise obey, beside shapes and gradients."""

import math
from itertools import product

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd.functional import jacobian
from torch.distributions import Bernoulli, Normal
from torch.distributions import kl_divergence as torch_kl

from coursekit.models import VAE, Autoencoder, Diffusion, RealNVP, get_model, model_info
from coursekit.models.vae import kl_divergence, reparameterise
from coursekit.train import Denoising, NegativeELBO, NegativeLogLikelihood, Reconstruction, fit

STEPS = {
    "autoencoder": Reconstruction(),
    "vae": NegativeELBO(),
    "flow": NegativeLogLikelihood(),
    "diffusion": Denoising(),
}
SMALL = {"diffusion": {"width": 8}, "vae": {"hidden_sizes": (64,)}, "autoencoder": {}, "flow": {}}
SHAPES = {name: (1, 28, 28) for name in STEPS} | {"flow": (2,)}


def build(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = get_model(name, **SMALL[name])
    X, _ = model_info(name).example_batch(8, **model.config)
    return model, X if name == "flow" else X.tanh()


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


# The flow


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
    model = flow(dim, num_layers, seed)
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
    with (
        torch.no_grad()
    ):  # -E log p(x) over the model's own samples is its entropy: about what the data cost it
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


# Diffusion


@pytest.fixture(scope="module")
def diffusion() -> Diffusion:
    torch.manual_seed(0)
    return Diffusion(width=8)


def test_schedule_goes_from_the_image_to_noise(diffusion: Diffusion) -> None:
    kept = diffusion.alpha_bar
    assert kept.shape == (1001,) and kept[0] == 1
    assert (kept.diff() < 0).all() and kept[-1] < 1e-4
    assert "alpha_bar" not in diffusion.state_dict()


@given(t=st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_signal_and_noise_share_a_variance_of_one(diffusion: Diffusion, t: int) -> None:
    one, zero, step = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), torch.tensor([t])
    signal, noise = diffusion.q_sample(one, step, zero), diffusion.q_sample(zero, step, one)
    assert (signal.square() + noise.square()).item() == pytest.approx(1, abs=1e-6)
    assert (signal.square()).item() == pytest.approx(diffusion.alpha_bar[t].item(), abs=1e-6)


@pytest.mark.parametrize("t", [1, 300, 700, 1000])
def test_q_sample_has_its_moments(diffusion: Diffusion, t: int) -> None:
    torch.manual_seed(0)
    kept = diffusion.alpha_bar[t].item()
    x_t = diffusion.q_sample(
        torch.full((200, 1, 28, 28), 0.5), torch.full((200,), t), torch.randn(200, 1, 28, 28)
    )
    assert x_t.mean().item() == pytest.approx(0.5 * kept**0.5, abs=0.01)
    assert x_t.var().item() == pytest.approx(1 - kept, rel=0.02, abs=1e-4)


class Oracle(Diffusion):
    """The best denoiser of data whose pixels are from N(mean, deviation^2), each on its own."""

    def __init__(self, mean: float, deviation: float, num_steps: int = 1000) -> None:
        super().__init__(num_steps=num_steps, width=8)
        self.mean, self.deviation = mean, deviation

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        kept = self.alpha_bar[t].view(-1, 1, 1, 1)
        gain = kept.sqrt() * self.deviation**2 / (kept * self.deviation**2 + 1 - kept)
        x_0 = self.mean + gain * (x_t - kept.sqrt() * self.mean)
        return (x_t - kept.sqrt() * x_0) / (1 - kept).sqrt()


@pytest.mark.parametrize("steps", [1, 10, 1000])
def test_who_knows_the_only_image_draws_it(steps: int) -> None:
    assert torch.allclose(Oracle(0.3, 0.0).sample(2, steps=steps, seed=0), torch.full((), 0.3), atol=1e-4)


def test_who_knows_the_noise_draws_the_data() -> None:
    samples = Oracle(0.1, 0.2).sample(20, steps=1000, seed=0)
    assert (samples.mean().item(), samples.std().item()) == pytest.approx((0.1, 0.2), rel=0.03)


@given(t=st.integers(2, 1000), share=st.floats(0.01, 0.99), x_0=st.floats(-1, 1), x_t=st.floats(-2, 2))
@settings(deadline=None, max_examples=60)
def test_posterior_is_that_of_bayes(t: int, share: float, x_0: float, x_t: float) -> None:
    """q(x_s | x_t, x_0) is proportional to q(x_t | x_s) q(x_s | x_0), three Gaussians."""
    model, earlier = Oracle(x_0, 0.0).double(), int(share * t)
    mean, deviation = model.posterior(torch.full((1, 1, 28, 28), x_t).double(), t, earlier)
    if earlier == 0:
        assert deviation == 0
        assert mean.mean().item() == pytest.approx(x_0, abs=1e-4)
        return
    kept, before = model.alpha_bar[t].item(), model.alpha_bar[earlier].item()
    alpha = kept / before
    precision = alpha / (1 - alpha) + 1 / (1 - before)
    expected = (alpha**0.5 * x_t / (1 - alpha) + before**0.5 * x_0 / (1 - before)) / precision
    assert deviation.item() == pytest.approx(precision**-0.5, rel=1e-3)
    assert mean.mean().item() == pytest.approx(expected, abs=1e-3)


def test_the_denoiser_sees_the_time(diffusion: Diffusion) -> None:
    X = torch.randn(1, 1, 28, 28).expand(3, -1, -1, -1)
    early, late, again = diffusion(X, torch.tensor([1, 900, 1]))
    assert torch.allclose(early, again, atol=1e-5)
    assert not torch.allclose(early, late, atol=1e-3)


def test_diffusion_says_what_it_takes(diffusion: Diffusion) -> None:
    with pytest.raises(ValueError, match=r"steps must lie in 1 to 1000"):
        diffusion.sample(1, steps=1001)
    with pytest.raises(ValueError, match="divisible by 4"):
        Diffusion(image_size=30)
    colour = Diffusion(width=8, in_channels=3, image_size=32)
    assert colour.sample(2, steps=2, seed=0).shape == (2, 3, 32, 32)
