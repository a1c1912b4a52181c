"""Figures of generative models: the density that is drawn is the model's, and each image stands where its code belongs."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from coursekit.models import get_model
from coursekit.plot import density, latent_grid


def standard_normal(X: Tensor) -> Tensor:
    return Normal(0.0, 1.0).log_prob(X - torch.tensor([0.0, 5.0])).sum(1)


POINTS = torch.tensor([[-4.0, 1.0], [4.0, 9.0], [0.0, 5.0]])


def drawn(figure) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


def test_density_is_drawn_where_it_is() -> None:
    figure = density(standard_normal, POINTS, size=81)
    picture, image = drawn(figure), figure.axes[0].images[0]
    assert picture.shape == (81, 81)
    assert picture.max() == pytest.approx(1 / (2 * np.pi), rel=1e-5)
    assert np.unravel_index(picture.argmax(), picture.shape) == (40, 40)
    assert image.get_extent() == pytest.approx([-5.2, 5.2, -0.2, 10.2])
    assert image.origin == "lower"
    assert picture.sum() * (10.4 / 80) ** 2 == pytest.approx(1, abs=0.01)


def test_density_has_its_axes_the_right_way_round() -> None:
    right_half = drawn(density(lambda X: torch.where(X[:, 0] > 0, 0.0, -torch.inf), POINTS, size=20))
    assert right_half[:, 10:].min() == 1 and right_half[:, :10].max() == 0


def test_density_shows_the_first_points() -> None:
    figure = density(standard_normal, torch.randn(900, 2))
    assert len(figure.axes[0].collections[0].get_offsets()) == 500
    assert figure.axes[1].get_ylabel() == "density"


def test_density_of_a_flow_and_of_numpy() -> None:
    torch.manual_seed(0)
    flow = get_model("flow", num_layers=2, hidden_size=4)
    picture = drawn(density(flow, POINTS, size=11))
    there = flow.log_prob(torch.tensor([[0.0, 5.0]])).exp().item()
    assert picture[5, 5] == pytest.approx(there, rel=1e-4)
    assert drawn(density(lambda X: np.zeros(len(X)), POINTS.double(), size=5)).tolist() == [[1.0] * 5] * 5


def test_density_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"over points \(N, 2\), these are \(4, 3\)"):
        density(standard_normal, torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"expected \(2500,\), got \(2500, 2\)"):
        density(lambda X: X, POINTS, size=50)
    with pytest.raises(ValueError, match="without nan"):
        density(lambda X: X[:, 0] * torch.nan, POINTS)
    with pytest.raises(ValueError, match="Linear has no log_prob"):
        density(nn.Linear(2, 1), POINTS)


class Painter(nn.Module):
    """Its decoder paints the first two numbers of a code into the image: the left pixel and the right one."""

    latent_size = 3

    def __init__(self, prior: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        if prior:
            self.elbo = lambda X: X

    def encode(self, X: Tensor) -> Tensor:
        return X.flatten(1)[:, :3]

    def decode(self, z: Tensor) -> Tensor:
        return self.scale * z[:, None, None, :2].clone()


def test_codes_run_along_the_quantiles_of_the_prior() -> None:
    picture = drawn(latent_grid(Painter(prior=True), size=5))  # (5, 10): rows of pairs of pixels
    across, up = picture[:, 0::2], picture[:, 1::2]
    quantiles = Normal(0.0, 1.0).icdf(torch.linspace(0.05, 0.95, 5))
    grey = ((quantiles + 1) / 2).clamp(0, 1).numpy()
    assert np.allclose(across, np.tile(grey, (5, 1)), atol=1e-5)
    assert np.allclose(up, np.tile(grey[::-1, None], (1, 5)), atol=1e-5)


def test_codes_run_along_the_quantiles_of_data() -> None:
    X = torch.linspace(-1, 1, 101)[:, None] * torch.tensor([0.5, 1.0, 0.0])
    picture = drawn(latent_grid(Painter(prior=False), X.view(-1, 1, 1, 3), size=3, axes=(1, 0)))
    right = picture[:, 1::2] * 2 - 1  # the second number of the code, which now runs across
    assert np.allclose(right, np.tile([-0.9, 0.0, 0.9], (3, 1)), atol=0.02)
    left = picture[:, 0::2] * 2 - 1
    assert np.allclose(left[:, 0], [0.45, 0.0, -0.45], atol=0.02)


@pytest.mark.parametrize("name", ["vae", "autoencoder"])
def test_latent_grid_of_the_zoo(name: str) -> None:
    torch.manual_seed(0)
    model = get_model(name, latent_size=2)
    picture = drawn(latent_grid(model, torch.rand(20, 1, 28, 28), size=4))
    assert picture.shape == (4 * 28, 4 * 28)
    assert 0 <= picture.min() < picture.max() <= 1


def test_latent_grid_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="Autoencoder has no prior over its codes, so give data"):
        latent_grid(get_model("autoencoder"))
    with pytest.raises(ValueError, match=r"two of the 16 latent numbers, from 0, not \(0, 16\)"):
        latent_grid(get_model("vae"), axes=(0, 16))
    with pytest.raises(ValueError, match="LeNet has no latent codes"):
        latent_grid(get_model("lenet"))
