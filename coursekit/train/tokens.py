"""Steps for models that predict something at every step of a sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.data.sequences import IGNORED
from coursekit.train.errors import DataError
from coursekit.train.step import Outcome


class PerToken:
    """A batch is `(*inputs, y)`, the model gives logits `(B, T, C)` for labels `(B, T)`; a label of -100 is not counted.

    The loss is the mean over the real steps of the batch, and so is the accuracy.
    """

    def __call__(self, model: nn.Module, batch: Any) -> Outcome:
        """Forward pass and loss of one batch."""
        *inputs, y = batch
        return token_loss(model(*inputs), y)


class Spans:
    """A batch is `(*inputs, y)`, the model gives logits `(B, T, 2)` for the first and the last step of a span, `y` `(B, 2)`.

    The loss is the mean of two cross entropies over the T steps, of the start and of the end (Devlin et al. 2019, "BERT",
    section 4.2). An end that lies outside (-100, or T and above, where a text was cut) is not counted. A span is right
    when both its ends are.
    """

    def __call__(self, model: nn.Module, batch: Any) -> Outcome:
        """Forward pass and loss of one batch."""
        *inputs, y = batch
        return span_loss(model(*inputs), y)


class TruncatedBPTT:
    """A batch of a `TokenStream`; gradients flow through its steps only, the state through the whole text.

    The model gives `model.step(X, state) -> (logits, state)`. (Williams and Peng 1990, "An efficient gradient-based
    algorithm for on-line training of recurrent network trajectories".)
    """

    def __init__(self) -> None:
        self.state: Any = None

    def __call__(self, model: Any, batch: Any) -> Outcome:
        """Forward pass and loss of one batch; the state stays for the next one."""
        if len(batch) != 3 or not hasattr(model, "step"):
            raise DataError(
                "TruncatedBPTT needs batches of a TokenStream and a model with step(X, state), such as "
                'get_model("char_lm"); for other data and models there is PerToken'
            )
        X, first, y = batch
        logits, state = model.step(X, None if first else self.state)
        self.state = detached(state)
        return token_loss(logits, y)


def token_loss(logits: Tensor, y: Tensor) -> Outcome:
    """Cross entropy and hits of logits `(B, T, C)` and labels `(B, T)`, over the steps that are not padded.

    Raises:
        DataError: the shapes do not go together, or a label is not one of the C classes.
    """
    if logits.ndim != 3 or logits.shape[:2] != y.shape:
        raise DataError(
            f"for labels of shape {tuple(y.shape)} the model gave logits of shape {tuple(logits.shape)}, expected "
            f"({', '.join(map(str, y.shape))}, number of classes): one row of logits for each step"
        )
    real = y != IGNORED
    labels = y[real]
    if labels.numel() == 0:
        raise DataError("every label of this batch is -100, so there is nothing to learn from it")
    if not y.is_cuda and (int(labels.min()) < 0 or int(labels.max()) >= logits.shape[2]):
        raise DataError(
            f"labels go from {int(labels.min())} to {int(labels.max())}, but the model has {logits.shape[2]} outputs; "
            "check the size of its vocabulary"
        )
    rows = logits[real].float()  # a softmax over bfloat16 loses digits that the loss needs
    return Outcome(F.cross_entropy(rows, labels), (rows.argmax(1) == labels).sum(), labels.numel())


def span_loss(logits: Tensor, y: Tensor) -> Outcome:
    """Cross entropy and hits of logits `(B, T, 2)` and ends `(B, 2)`, over the ends that lie inside the T steps.

    Raises:
        DataError: the shapes do not go together, or no end lies inside.
    """
    if logits.ndim != 3 or logits.shape[2] != 2 or y.shape != (len(logits), 2):
        raise DataError(
            f"for labels of shape {tuple(y.shape)} the model gave logits of shape {tuple(logits.shape)}, expected "
            "labels (B, 2), the first and the last step of a span, and logits (B, T, 2), of each step to be it"
        )
    inside = (y >= 0) & (y < logits.shape[1])  # (B, 2)
    labels = y.where(inside, IGNORED)
    counted = [end for end in (0, 1) if bool(inside[:, end].any())]
    if not counted:
        raise DataError(
            f"no span of this batch starts or ends within its {logits.shape[1]} steps, so there is nothing to learn from it"
        )
    losses = [
        F.cross_entropy(logits[:, :, end].float(), labels[:, end], ignore_index=IGNORED) for end in counted
    ]
    hits = (logits.argmax(1) == y).all(1).sum()
    return Outcome(torch.stack(losses).mean(), hits, int(inside.any(1).sum()))


def detached(state: Any) -> Any:
    """A state of tensors, in tuples however deep, cut off from what made it."""
    if isinstance(state, tuple):
        return tuple(detached(part) for part in state)
    return state.detach() if isinstance(state, torch.Tensor) else state
