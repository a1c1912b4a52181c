"""Losses of the two players against values and gradients by hand, and penalties against those of a linear discriminator."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from coursekit.train import gan_losses
from coursekit.train.gan_losses import LOSSES, PENALTIES, pick_penalty

LOGITS = st.lists(st.floats(-8, 8), min_size=1, max_size=6)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@given(real=LOGITS, fake=LOGITS)
@settings(deadline=None)
def test_cross_entropy_by_hand(real: list[float], fake: list[float]) -> None:
    expected = -sum(math.log(sigmoid(x)) for x in real) / len(real)
    expected -= sum(math.log(1 - sigmoid(x)) for x in fake) / len(fake)
    for name in ("minimax", "non_saturating"):
        loss, _ = gan_losses(name)
        assert loss(torch.tensor(real), torch.tensor(fake)).item() == pytest.approx(
            expected, rel=1e-3, abs=1e-5
        )


@given(fake=LOGITS)
@settings(deadline=None)
def test_the_generators_losses_by_hand(fake: list[float]) -> None:
    n, logits = len(fake), torch.tensor(fake)
    by_hand = {
        "minimax": sum(math.log(1 - sigmoid(x)) for x in fake) / n,
        "non_saturating": -sum(math.log(sigmoid(x)) for x in fake) / n,
        "hinge": -sum(fake) / n,
    }
    for name, expected in by_hand.items():
        assert gan_losses(name)[1](logits).item() == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_hinge_by_hand() -> None:
    loss, _ = gan_losses("hinge")
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0])
    assert loss(real, fake).item() == pytest.approx((0 + 0.5 + 2) / 3 + (0 + 1) / 2)


@given(logit=st.floats(-8, 8))
@settings(deadline=None)
def test_gradients_of_the_generator(logit: float) -> None:
    """Per logit -D for the minimax loss and -(1 - D) for the non-saturating: where D is 0 the first starves."""
    for name, expected in (
        ("minimax", -sigmoid(logit)),
        ("non_saturating", sigmoid(logit) - 1),
        ("hinge", -1.0),
    ):
        x = torch.tensor([logit, logit], requires_grad=True)
        gan_losses(name)[1](x).backward()
        assert x.grad.tolist() == pytest.approx([expected / 2] * 2, rel=1e-3, abs=1e-6)


def test_a_discriminator_that_cannot_tell_pays_two_bits() -> None:
    zero = torch.zeros(4)
    assert gan_losses("minimax")[0](zero, zero).item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("name", LOSSES)
def test_large_logits_stay_finite(name: str) -> None:
    d_loss, g_loss = gan_losses(name)
    far = torch.tensor([-300.0, 300.0], requires_grad=True)
    (d_loss(far, far) + g_loss(far)).backward()
    assert far.grad.isfinite().all()


def test_unknown_names_are_listed() -> None:
    with pytest.raises(ValueError, match="unknown loss 'wgan'; there are minimax, non_saturating, hinge"):
        gan_losses("wgan")


@given(weights=st.lists(st.floats(-3, 3), min_size=4, max_size=4))
@settings(deadline=None)
def test_penalties_of_a_linear_discriminator(weights: list[float]) -> None:
    """Its gradient is its weight everywhere: R1 is |w|^2 / 2, the other (|w| - 1)^2."""
    w = torch.tensor(weights, requires_grad=True)
    real, fake = torch.randn(5, 1, 2, 2), torch.randn(5, 1, 2, 2)
    norm = math.sqrt(sum(x * x for x in weights))
    for name, expected in (("r1", norm**2 / 2), ("interpolated", (norm - 1) ** 2)):
        value = PENALTIES[name](lambda X: X.flatten(1) @ w, real, fake)
        assert value.item() == pytest.approx(expected, rel=1e-3, abs=1e-4)
    (gradient,) = torch.autograd.grad(PENALTIES["r1"](lambda X: X.flatten(1) @ w, real, fake), w)
    assert gradient.tolist() == pytest.approx(weights, rel=1e-4, abs=1e-6)


def test_r1_looks_at_real_images_and_the_other_between() -> None:
    seen: list[torch.Tensor] = []

    def discriminator(X: torch.Tensor) -> torch.Tensor:
        seen.append(X.detach())
        return X.sum(1)

    real, fake = torch.zeros(50, 2), torch.ones(50, 2)
    PENALTIES["r1"](discriminator, real, fake)
    PENALTIES["interpolated"](discriminator, real, fake)
    assert torch.equal(seen[0], real)
    assert torch.equal(seen[1][:, 0], seen[1][:, 1]) and seen[1].min() > 0 and seen[1].max() < 1
    assert seen[1].unique().numel() > 40  # another share for each pair


def test_a_number_alone_is_r1() -> None:
    assert pick_penalty(0.5) == ("r1", 0.5) and pick_penalty(("interpolated", 10)) == ("interpolated", 10.0)
    with pytest.raises(ValueError, match="not nan"):
        pick_penalty(float("nan"))


def test_penalties_differentiate_through_the_zoo() -> None:
    from coursekit.models import get_model

    torch.manual_seed(0)
    discriminator: nn.Module = get_model("gan", image_size=8, width=4, latent_size=4).discriminator
    X = torch.randn(3, 1, 8, 8).clamp(-1, 1)
    for penalty in PENALTIES.values():
        discriminator.zero_grad()
        penalty(discriminator, X, -X).backward()
        assert discriminator.head.weight.grad.abs().sum() > 0
