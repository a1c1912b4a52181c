"""Steps for generative models; what they learn from has no labels, and those that come along are not looked at.

As data `fit` takes what it takes of classifiers, or a plain tensor X (N, ...).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.train.errors import DataError
from coursekit.train.step import Outcome


@dataclass(frozen=True)
class Reconstruction:
    """The mean squared error of `model(X)` against `X`, over all pixels; of an auto-encoder, `get_model("autoencoder")`."""

    def __call__(self, model: nn.Module, batch: Any) -> Outcome:
        """Forward pass and loss of one batch."""
        X = inputs(batch)
        X_hat = model(X)
        if not isinstance(X_hat, Tensor) or X_hat.shape != X.shape:
            got = tuple(X_hat.shape) if isinstance(X_hat, Tensor) else type(X_hat).__name__
            raise DataError(
                f"the model made {got} of inputs {tuple(X.shape)}; a reconstruction has the shape of its input"
            )
        return Outcome(F.mse_loss(X_hat.float(), X), None, len(X))


@dataclass(frozen=True)
class NegativeELBO:
    """Minus the evidence lower bound, in nats an image; of a VAE, `get_model("vae")` (Kingma and Welling 2014).

    Args:
        beta: weight of the divergence; other than 1 the loss is no bound any more (Higgins et al. 2017, "beta-VAE").
    """

    beta: float = 1.0

    def __call__(self, model: nn.Module, batch: Any) -> Outcome:
        """Forward pass and loss of one batch."""
        X = inputs(batch)
        elbo = method(model, "elbo", "vae", self)
        bound = elbo(X) if self.beta == 1 else elbo(X, beta=self.beta)  # a VAE of one's own may know no beta
        return Outcome(-bound.mean(), None, len(X))


@dataclass(frozen=True)
class NegativeLogLikelihood:
    """Minus the log-likelihood, in nats an example; of a flow, `get_model("flow")` (Dinh et al. 2017)."""

    def __call__(self, model: nn.Module, batch: Any) -> Outcome:
        """Forward pass and loss of one batch."""
        X = inputs(batch)
        return Outcome(-method(model, "log_prob", "flow", self)(X).mean(), None, len(X))


@dataclass(frozen=True)
class Denoising:
    """The mean squared error of the predicted noise; of a diffusion model, `get_model("diffusion")` (Ho et al. 2020, equation 14).

    The steps t of a batch are spread evenly over all of them, so that its loss varies less from batch to batch
    (Kingma et al. 2021, "Variational diffusion models", appendix I.1).
    """

    def __call__(self, model: nn.Module, batch: Any) -> Outcome:
        """Forward pass and loss of one batch."""
        X = inputs(batch)
        q_sample = method(model, "q_sample", "diffusion", self)
        num_steps: Any = model.num_steps
        spread = (torch.rand(()) + torch.arange(len(X)) / len(X)) % 1  # (B,) in [0, 1)
        t = (1 + (spread * num_steps).long()).clamp(max=num_steps).to(X.device)
        noise = torch.randn(X.shape).to(X.device)
        return Outcome(F.mse_loss(model(q_sample(X, t, noise), t).float(), noise), None, len(X))


def inputs(batch: Any) -> Tensor:
    """X of a batch that is X, or begins with it.

    Raises:
        DataError: it is no tensor of floats.
    """
    X = batch[0] if isinstance(batch, tuple | list) and len(batch) else batch
    if not isinstance(X, Tensor) or not X.is_floating_point():
        kind = f"a tensor of {X.dtype}" if isinstance(X, Tensor) else f"a {type(X).__name__}"
        raise DataError(
            f"a generative model learns from float tensors, and this batch begins with {kind}; give X as float32"
        )
    return X


def method(model: nn.Module, name: str, example: str, step: Any) -> Any:
    """The method `name` of `model`.

    Raises:
        DataError: it has none.
    """
    found = getattr(model, name, None)
    if found is None:
        raise DataError(
            f"{type(step).__name__} needs a model with {name}(...), such as get_model({example!r}); "
            f"{type(model).__name__} has none"
        )
    return found
