"""Sample quality: the Frechet distance against its closed form, and what a planted classifier must see."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from coursekit.data import Split
from coursekit.measure import features, frechet_distance, sample_quality
from coursekit.models import get_model

SIZES = st.tuples(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 30), st.integers(2, 30))


def two_sets(seed: int, width: int, n: int, m: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(k: int) -> Tensor:
        return torch.randn(k, width, generator=generator, dtype=torch.float64)

    mix = draw(width)
    return draw(n), draw(m) @ mix + draw(1)


def closed_form(a: Tensor, b: Tensor) -> float:
    """The formula as it stands in the papers, with scipy's root of a matrix."""
    x, y = a.numpy(), b.numpy()
    cov = [np.atleast_2d(np.cov(z, rowvar=False)) for z in (x, y)]
    root = scipy.linalg.sqrtm(cov[0] @ cov[1] + 1e-14 * np.eye(len(cov[0])))
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov[0] + cov[1] - 2 * np.real(root)))


@given(SIZES)
@settings(deadline=None)
def test_frechet_distance_is_the_closed_form_of_gaussians(sizes: tuple[int, int, int, int]) -> None:
    a, b = two_sets(*sizes)
    expected = closed_form(a, b)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@given(st.floats(-5, 5), st.floats(0.1, 5), st.floats(-5, 5), st.floats(0.1, 5))
@settings(deadline=None)
def test_in_one_dimension_by_hand(mu_a: float, sigma_a: float, mu_b: float, sigma_b: float) -> None:
    """(mu_a - mu_b)^2 + (sigma_a - sigma_b)^2; two points at mu +- sigma / sqrt(2) have deviation sigma."""
    sides = torch.tensor([[-1.0], [1.0]], dtype=torch.float64) / 2**0.5
    a, b = mu_a + sigma_a * sides, mu_b + sigma_b * sides
    expected = (mu_a - mu_b) ** 2 + (sigma_a - sigma_b) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(SIZES, st.floats(0.1, 4))
@settings(deadline=None)
def test_symmetry_and_what_leaves_it_the_same(sizes: tuple[int, int, int, int], scale: float) -> None:
    a, b = two_sets(*sizes)
    distance = frechet_distance(a, b)
    near = {"rel": 1e-6, "abs": 1e-8}
    assert distance >= 0 and frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(b, a) == pytest.approx(distance, **near)
    generator = torch.Generator().manual_seed(sizes[0])
    assert frechet_distance(a[torch.randperm(len(a), generator=generator)], b) == pytest.approx(
        distance, **near
    )
    width = a.shape[1]
    turn = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64)).Q
    assert frechet_distance(a @ turn + 3, b @ turn + 3) == pytest.approx(distance, **near)
    assert frechet_distance(scale * a, scale * b) == pytest.approx(scale**2 * distance, **near)


def test_more_dimensions_than_samples() -> None:
    """Covariances are singular then, and roots of their product are complex to machine precision."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(10, 40, generator=generator), torch.randn(15, 40, generator=generator)
    products = np.linalg.eigvals(np.cov(a.T.numpy()) @ np.cov(b.T.numpy())).real.clip(0)
    traces = np.trace(np.cov(a.T.numpy())) + np.trace(np.cov(b.T.numpy()))
    expected = (a.mean(0) - b.mean(0)).square().sum().item() + traces - 2 * np.sqrt(products).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 4), r"not \(3, 2\) and \(3, 4\)"),
        (torch.zeros(1, 2), torch.zeros(3, 2), "at least two rows"),
        (torch.zeros(3), torch.zeros(3), "features are"),
        (torch.full((3, 2), float("nan")), torch.zeros(3, 2), "nan or infinite"),
    ],
)
def test_what_frechet_distance_takes(a: Tensor, b: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)


def test_features_are_what_the_last_layer_reads() -> None:
    torch.manual_seed(0)
    # More images than are looked at at once.
    model, X = get_model("alexnet_small").train(), torch.randn(1203, 1, 28, 28)
    found = features(model, X[:7])
    assert model.training and not model.classifier[-1]._forward_pre_hooks
    expected = nn.Sequential(model.features, nn.Flatten(), *model.classifier[:-1]).eval()(X[:7])
    torch.testing.assert_close(found, expected)
    assert found.shape == (7, 128) and not found.requires_grad
    torch.testing.assert_close(features(model, X)[:7], found, rtol=1e-4, atol=1e-5)


def test_a_classifier_without_a_last_layer_is_told() -> None:
    with pytest.raises(ValueError, match=r"Flatten has no nn.Linear"):
        features(nn.Flatten(), torch.zeros(3, 4))
    steps = nn.Linear(4, 2)
    with pytest.raises(ValueError, match=r"expected one row an image, \(3, D\)"):
        features(nn.Sequential(steps, nn.Flatten(1)), torch.zeros(3, 5, 4))


def judge(certainty: float = 40.0) -> nn.Module:
    """Sees class i in an image whose i-th pixel is bright; its features are the pixels."""
    head = nn.Linear(4, 4)
    with torch.no_grad():
        head.weight.copy_(certainty * torch.eye(4))
        head.bias.zero_()
    return nn.Sequential(nn.Flatten(), head)


def bright(labels: list[int]) -> Tensor:
    return nn.functional.one_hot(torch.tensor(labels), 4).float().reshape(-1, 1, 2, 2)


def test_coverage_confidence_and_distance_of_planted_samples() -> None:
    real = Split(bright([0, 1, 2, 3] * 5), torch.tensor([0, 1, 2, 3] * 5))
    found = sample_quality(bright([0, 0, 0, 2]), judge(), real)
    assert found.coverage == (0.75, 0.0, 0.25, 0.0)
    assert found.confidence == pytest.approx(1.0, abs=1e-6)
    assert found.frechet == pytest.approx(
        frechet_distance(bright([0, 0, 0, 2]).flatten(1), real.X.flatten(1))
    )
    assert repr(found).startswith("confidence 100.0%, 2 of 4 classes, the rarest 0.0%")
    grey = sample_quality(torch.full((8, 1, 2, 2), 0.5), judge(), real.X)
    assert grey.confidence == pytest.approx(0.25)
    assert sample_quality(real.X, judge(), real).frechet == pytest.approx(0, abs=1e-8)
    assert (
        sample_quality(bright([0, 1, 2, 3]), judge(), real).frechet
        < found.frechet
        < grey.frechet + found.frechet
    )
