"""Diffusion: the schedule of noise, its posterior, and samples of a denoiser that knows the answer."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from coursekit.models import Diffusion


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
