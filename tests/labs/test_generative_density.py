"""The second half of the lab `generative`, worked out with torch and scikit-learn: densities, codes, coverage, outliers."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.distributions import Normal, TransformedDistribution, kl_divergence
from torch.distributions.transforms import AffineTransform, TanhTransform
from torch.nn import functional as F

from autograde.lab import load_lab
from coursekit.measure import outlier_auc

LAB = Path(__file__).parents[2] / "labs" / "generative"


@pytest.fixture(scope="module")
def lab():
    return load_lab(LAB)


@pytest.fixture(scope="module")
def solved(lab):
    """The solutions of the lab, but for those that train, and the helpers of its setup and of the area."""
    names = {"torch": torch, "nn": nn, "F": F, "math": math, "np": np, "under_grading": lambda: False}
    setup = lab.setup
    exec(setup[setup.index("def jacobians") :], names)
    for name, source in lab.solutions.items():
        if name not in ("autoencoder", "own_digits"):
            exec(source, names)
    return names


def cell(lab, text: str) -> str:
    return next(c.source for c in lab.cells if c.kind == "code" and text in c.source)


def quoted(text: str) -> bool:
    """Both languages of the lab quote `text`."""
    return (LAB / "lab.py").read_text(encoding="utf-8").count(text) >= 2


PRINTED = (
    r"\log p(z_K) = \log p(z_0) - \sum_{i=1}^{K} \left|\det \frac{\partial f_i}{\partial z_{i-1}}\right|"
)


def test_area_tells_the_printed_formula_from_the_right_one(lab, solved):
    assert quoted(PRINTED)
    exec(cell(lab, "def area("), solved)

    def printed(layers, z0):
        log_p, z = Normal(0.0, 1.0).log_prob(z0).sum(1), z0
        for layer in layers:
            log_p, z = log_p - torch.linalg.det(solved["jacobians"](layer, z)).abs(), layer(z)
        return log_p

    assert solved["area"](solved["log_density"]) == pytest.approx(1, abs=1e-3)
    assert abs(solved["area"](printed) - 1) > 0.1


def test_density_of_a_flow_on_a_line_is_torchs(solved):
    layers = nn.Sequential(nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 1))
    with torch.no_grad():
        for layer, (scale, shift) in zip(layers[::2], ((0.7, 0.2), (-1.8, 0.4)), strict=True):
            layer.weight.fill_(scale)
            layer.bias.fill_(shift)
    transforms = [AffineTransform(0.2, 0.7), TanhTransform(), AffineTransform(0.4, -1.8)]
    flow = TransformedDistribution(Normal(torch.zeros(1), torch.ones(1)), transforms)
    z0 = torch.linspace(-2, 2, 9)[:, None]
    with torch.no_grad():
        expected = flow.log_prob(layers(z0))[:, 0]
    mine = solved["log_density"](layers, z0).detach()
    torch.testing.assert_close(mine, expected, atol=1e-4, rtol=1e-4)


def test_a_line_twice_as_long_has_half_the_density(solved):
    double = nn.Linear(1, 1)
    nn.init.constant_(double.weight, 2.0)
    value = solved["log_density"](nn.Sequential(double), torch.zeros(1, 1)).item()
    assert f"{value:.4f}" == "-1.6121" == f"{-0.5 * math.log(2 * math.pi) - math.log(2):.4f}"
    assert "tensor([-1.6121])" in (LAB / "lab.py").read_text(encoding="utf-8")


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_divergence_is_torchs(solved, seed):
    generator = torch.Generator().manual_seed(seed)
    mu, log_var, eps = torch.randn(3, 4, 5, generator=generator).unbind()
    z, kl = solved["reparameterise"](mu, log_var, eps)
    q = Normal(mu, (log_var / 2).exp())
    torch.testing.assert_close(kl, kl_divergence(q, Normal(0.0, 1.0)).sum(1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(q.cdf(z), Normal(0.0, 1.0).cdf(eps), atol=1e-4, rtol=1e-4)


def test_effective_number_of_classes(solved):
    def number(classes):
        return solved["coverage"](torch.tensor(classes), 10)[1].item()

    assert number(list(range(10))) == pytest.approx(10) and number([7] * 9) == pytest.approx(1)
    assert 1 < number([7] * 99 + [3]) < 1.1


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), levels=st.integers(2, 50))
def test_area_under_the_curve_is_scikit_learns(solved, seed, levels):
    """With few levels there are many ties."""
    rng = np.random.default_rng(seed)
    usual, odd = (torch.from_numpy(rng.integers(0, levels, n)).float() for n in (17, 11))
    mine = solved["roc_auc"](usual, odd).item()
    expected = roc_auc_score([0] * 17 + [1] * 11, torch.cat([usual, odd]).numpy())
    assert mine == pytest.approx(expected) == pytest.approx(outlier_auc(usual, odd))


def test_noise_in_the_mixture_costs_4_6_nats_at_most():
    assert f"{math.log(100):.1f}" == "4.6"
    assert quoted("log 100 = 4.6")


@pytest.mark.slow  # about half a minute
def test_the_ring_collapses_and_does_not(lab, solved):
    """What the text says of its games: mostly few heaps of eight, or all of them. Each game depends on how a processor rounds."""
    players, games = cell(lab, "def player("), cell(lab, "def play(")
    exec(players[players.index("def player(") : players.index("torch.manual_seed(0)")], solved)
    exec(games[: games.index("games = ")], solved)

    def heaps(**game) -> list[float]:
        found = [solved["play"](**game, seed=seed) for seed in range(5)]
        return [
            solved["coverage"](torch.cdist(points, solved["heaps"]).argmin(1), 8)[1].item()
            for points in found
        ]

    hasty, braked = {"lr_of_G": 0.01, "penalty": 0.0}, {"lr_of_G": 0.001, "penalty": 1.0}
    for game in (hasty, braked):
        assert f"play({', '.join(f'{name}={value}' for name, value in game.items())})" in games
    assert sum(number < 4 for number in heaps(**hasty)) >= 4
    assert sum(number > 7.5 for number in heaps(**braked)) >= 4
    assert sum(number > 7.5 for number in heaps(**braked, saturating=True)) >= 4
