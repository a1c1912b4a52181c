"""Outliers: how unusual an example is to a generative model, and how well that tells two data sets apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from coursekit.models.modes import evaluating
from coursekit.train.rng import seeded

BATCH = 500


def outlier_scores(model: Any, X: Tensor, batch_size: int = BATCH, seed: int = 0) -> Tensor:
    """How unusual each example is to `model`, `(N,)` float32 on the CPU; a higher score is more unusual.

    Args:
        model: trained on what is usual; used in eval mode. What it has decides the score: `log_prob` (a flow): minus the
            log-likelihood, in nats; `elbo` (a VAE): minus the bound, in nats; `discriminator` (a GAN): minus its logit;
            else, of an auto-encoder, the mean squared error of the reconstruction `model(X)`.
        X: examples `(N, ...)`, scaled as those of the training were.
        batch_size: examples at a time; changes speed and memory only.
        seed: of the codes that a VAE draws.

    Raises:
        ValueError: there are no examples, or the model gives no score for them.
    """
    if not len(X):
        raise ValueError("there is nothing to score: X has no examples")
    place = next(model.parameters()).device
    with evaluating(model), seeded(seed):
        parts = [_scores(model, part.to(place)).float().cpu() for part in X.split(batch_size)]
    return torch.cat(parts)


def _scores(model: nn.Module, X: Tensor) -> Tensor:
    known: Any = model
    if hasattr(model, "log_prob"):
        return -known.log_prob(X)
    if hasattr(model, "elbo"):
        return -known.elbo(X)
    if hasattr(model, "discriminator"):
        return -_realness(known.discriminator, X)
    X_hat = model(X) if hasattr(model, "decode") else None
    if not isinstance(X_hat, Tensor) or X_hat.shape != X.shape:
        raise ValueError(
            f"{type(model).__name__} gives no score: expected log_prob(X), elbo(X), a discriminator, or encode and decode "
            "with model(X) of the shape of X"
        )
    return (X_hat - X).square().flatten(1).mean(1)


def _realness(discriminator: Any, X: Tensor) -> Tensor:
    """The discriminator's logit `(B,)`; of a conditional one, the highest that any class gets."""
    num_classes = getattr(discriminator, "num_classes", None)
    if num_classes is None:
        return discriminator(X)
    labels = (torch.full((len(X),), y, device=X.device) for y in range(num_classes))
    return torch.stack([discriminator(X, y) for y in labels]).amax(0)


def outlier_auc(inlier_scores: Any, outlier_scores: Any) -> float:
    """Area under the ROC curve: the probability that an outlier scores higher than an inlier, ties counting half.

    1 is perfect, 0.5 no better than chance, and below 0.5 the inliers are the more unusual ones.
    (Hanley and McNeil 1982, "The meaning and use of the area under a receiver operating characteristic curve".)

    Args:
        inlier_scores: `(N,)`, higher being more unusual.
        outlier_scores: `(M,)`.

    Raises:
        ValueError: one of the two is empty, no row of numbers, or holds nan.
    """
    usual, unusual = _row("inlier_scores", inlier_scores), _row("outlier_scores", outlier_scores)
    ordered = usual.sort().values
    below, up_to = (torch.searchsorted(ordered, unusual, right=right) for right in (False, True))
    return float((below + up_to).sum()) / (2 * len(usual) * len(unusual))


def _row(name: str, scores: Any) -> Tensor:
    row = torch.as_tensor(scores, dtype=torch.float64).detach().cpu()
    if row.ndim != 1 or not len(row):
        raise ValueError(f"{name} must be one row of numbers (N,), not {tuple(row.shape)}")
    if bool(row.isnan().any()):
        raise ValueError(f"{name} hold nan: the model is broken, or its inputs are; look at both first")
    return row
