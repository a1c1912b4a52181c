"""How large the gradient is at each step of a sequence: does it vanish or explode on its way back?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from coursekit.models.modes import evaluating


def gradient_norms(
    model: Any,
    X: Tensor,
    y: Tensor,
    lengths: Tensor | None = None,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Tensor:
    """The norm of dL/dh_t for each step t, `(T,)`, of the first layer, read forward; weights and gradients stay as they are.

    (Hochreiter 1991; Bengio, Simard and Frasconi 1994, "Learning long-term dependencies with gradient descent is
    difficult".)

    Args:
        model: `rnn`, `gru` or `lstm` of the zoo; anything with `trace(X, lengths)`.
        X: a batch of sequences, `(B, T)` or `(B, T, D)`.
        y: their labels.
        lengths: real steps of each, `(B,)`; None: all.
        loss: `loss(logits, y)`.

    Raises:
        TypeError: the model does not tell its states.
    """
    if not hasattr(model, "trace"):
        raise TypeError(
            f"{type(model).__name__} does not tell its states: take a model of get_model('rnn'), 'gru' or 'lstm'"
        )
    with evaluating(model), torch.enable_grad():
        trace = model.trace(X, lengths)
        gradients = torch.autograd.grad(loss(trace.logits, y), trace.states[0], allow_unused=True)
    return torch.stack([torch.zeros(()) if g is None else g.detach().norm().cpu() for g in gradients])
