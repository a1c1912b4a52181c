"""What the two players of a GAN minimise: the game by name, and penalties on the discriminator's gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.train.optim import known

DiscriminatorLoss = Callable[[Tensor, Tensor], Tensor]
GeneratorLoss = Callable[[Tensor], Tensor]


def cross_entropy(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """- E log D(x) - E log(1 - D(G(z))), with D the sigmoid of the logits: what the discriminator minimises in both games."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def minimax(fake_logits: Tensor) -> Tensor:
    """E log(1 - D(G(z))): the game as written; its gradient vanishes where the discriminator is sure (equation 1)."""
    return -F.softplus(fake_logits).mean()


def non_saturating(fake_logits: Tensor) -> Tensor:
    """- E log D(G(z)): the same fixed point, and a strong gradient where the discriminator is sure (section 3)."""
    return F.softplus(-fake_logits).mean()


def hinge(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))), with D the logits."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def hinge_generator(fake_logits: Tensor) -> Tensor:
    """- E D(G(z)), with D the logits."""
    return -fake_logits.mean()


LOSSES: dict[str, tuple[DiscriminatorLoss, GeneratorLoss]] = {
    "minimax": (cross_entropy, minimax),
    "non_saturating": (cross_entropy, non_saturating),
    "hinge": (hinge, hinge_generator),
}


def gan_losses(name: str) -> tuple[DiscriminatorLoss, GeneratorLoss]:
    """The losses of the two players, `discriminator_loss(real_logits, fake_logits)` and `generator_loss(fake_logits)`; both to minimise.

    "minimax" and "non_saturating" are those of Goodfellow et al. 2014, "Generative adversarial nets"; "hinge" is that of Lim
    and Ye 2017, "Geometric GAN". Logits have the shape (B,); a loss is a mean over the batch, in nats for the first two.

    Raises:
        ValueError: there is no such loss.
    """
    known("loss", name, LOSSES)
    return LOSSES[name]


def r1(discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """E |dD/dx|^2 / 2 at real images (Mescheder, Geiger and Nowozin 2018, "Which training methods for GANs do actually converge?")."""
    return squared_gradient(discriminator, real).mean() / 2


def interpolated(discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """E (|dD/dx| - 1)^2 between real and fake images (Gulrajani et al. 2017, "Improved training of Wasserstein GANs")."""
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = share * real + (1 - share) * fake
    return ((squared_gradient(discriminator, between) + 1e-12).sqrt() - 1).square().mean()


def squared_gradient(discriminator: Callable[[Tensor], Tensor], X: Tensor) -> Tensor:
    """|dD/dx|^2 of each image, `(B,)`, itself differentiable."""
    X = X.detach().requires_grad_(True)
    logits = discriminator(X)
    (gradient,) = torch.autograd.grad(logits.sum(), X, create_graph=True)
    return gradient.flatten(1).square().sum(1)


PENALTIES = {"r1": r1, "interpolated": interpolated}


def pick_penalty(wanted: float | tuple[str, float]) -> tuple[str, float]:
    """The penalty by name, and its weight; a number alone is the weight of "r1".

    Raises:
        ValueError: there is no such penalty, or its weight is below 0.
    """
    name, weight = wanted if isinstance(wanted, tuple | list) else ("r1", wanted)
    known("gradient penalty", name, PENALTIES)
    if not weight >= 0:
        raise ValueError(f"the weight of a gradient penalty must be 0 or more, not {weight!r}")
    return name, float(weight)


def conditioned(discriminator: nn.Module, *y: Any) -> Callable[[Tensor], Tensor]:
    """The discriminator as a function of the images alone."""
    return lambda X: discriminator(X, *y)
