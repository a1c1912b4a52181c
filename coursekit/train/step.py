"""From a batch to a loss: the one place that knows what a batch looks like.

A step is any callable `step(model, batch) -> Outcome`. The loop asks no more of it, so sequences of dicts, models with
several inputs or losses that need the model itself (a VAE's) are other steps, not other loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.train.errors import DataError, out_of_memory


class Outcome(NamedTuple):
    """What one batch gave: the loss (0-d, to differentiate), how many were right (0-d, or None), of how many."""

    loss: Tensor
    correct: Tensor | None
    total: int


Step = Callable[[nn.Module, Any], Outcome]


class Supervised:
    """A batch is `(*inputs, y)`; the loss compares `model(*inputs)` with `y`.

    `loss(logits, y)` gives the mean over the batch; cross entropy by default. Where `y` holds class indices
    and `logits` one more dimension (N, C, ...), accuracy is counted too.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        self.loss = F.cross_entropy if loss is None else loss
        self.classifies = loss is None

    def __call__(self, model: nn.Module, batch: Any) -> Outcome:
        """Forward pass and loss of one batch."""
        *inputs, y = batch
        logits = model(*inputs)
        if logits.dtype in (torch.bfloat16, torch.float16):
            logits = logits.float()  # a softmax over bfloat16 loses digits that the loss needs
        loss = self.loss(logits, y)
        if y.is_floating_point() or logits.ndim != y.ndim + 1:
            return Outcome(loss, None, len(y))
        return Outcome(loss, (logits.argmax(1) == y).sum(), y.numel())

    def check(self, model: nn.Module, batch: Any) -> int | None:
        """Try two examples before any training, so that what does not fit is said in words.

        Returns:
            The number of classes C that labels must keep to, from the model's logits (N, C, ...); None for a loss of
            the user's own, which knows for itself what labels it takes.

        Raises:
            DataError: the batch is no (inputs, labels), the model cannot take the inputs, or its output does not go
                with the labels.
        """
        if self.classifies and hasattr(model, "generator") and hasattr(model, "discriminator"):
            raise DataError(
                f"{type(model).__name__} has a generator and a discriminator and gives no logits (N, C): train both with "
                "fit_gan"
            )
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise DataError(
                f"each batch must be (inputs, labels), this one is {type(batch).__name__}; give pairs, or a `step` of "
                "your own that reads such batches"
            )
        *inputs, y = batch
        try:
            logits = model(*(x[:2] for x in inputs))
        except (RuntimeError, ValueError) as error:
            if isinstance(error, NotImplementedError) or out_of_memory(error):
                raise
            shapes = ", ".join(str(tuple(x[:2].shape)) for x in inputs)
            raise DataError(
                f"the model cannot take an input of shape {shapes} ({inputs[0].dtype}): {error}. The first number is "
                "the batch; check that the first layer and the first Linear layer fit the others."
            ) from error
        if not self.classifies:
            return None
        check_outputs(logits, inputs[0][:2], y[:2])
        return logits.shape[1]


def check_outputs(logits: Any, X: Tensor, y: Tensor) -> None:
    """Raise DataError unless `logits`, made of `X`, is a float tensor (N, C, ...) for labels (N, ...)."""
    if not isinstance(logits, Tensor):
        raise DataError(
            f"the model returned {type(logits).__name__}, expected a tensor of logits (N, C): did forward "
            "forget to return?"
        )
    if logits.ndim != y.ndim + 1 or logits.shape[0] != y.shape[0]:
        if X.is_floating_point() and logits.shape == X.shape:
            raise DataError(
                f"the model gave the shape of its input, {tuple(X.shape)}, expected logits ({y.shape[0]}, number of "
                "classes); an auto-encoder learns without labels: give step=Reconstruction(), for a VAE step=NegativeELBO()"
            )
        raise DataError(
            f"for labels of shape {tuple(y.shape)} the model gave logits of shape {tuple(logits.shape)}, expected "
            f"({y.shape[0]}, number of classes{''.join(f', {n}' for n in y.shape[1:])}): labels are class indices "
            "(not one-hot), and the model keeps the batch dimension"
        )


def check_labels(y: Tensor, num_classes: int) -> None:
    """Raise DataError unless `y` (any shape) holds int64 class indices in [0, num_classes)."""
    if y.dtype != torch.int64:
        raise DataError(
            f"labels must be class indices of dtype torch.int64, these are {y.dtype}; use y.long()"
        )
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= num_classes:
        raise DataError(
            f"labels go from {low} to {high}, but the model has {num_classes} outputs, so they must lie in "
            f"0 to {num_classes - 1}; check the labels, or the size of the last layer"
        )
