"""Padded batches of sequences: what they must look like, which of their steps are real, and pooling over those."""

from typing import Any

import torch
from torch import Tensor

POOLINGS = ("last", "mean", "max")


def check_choice(what: str, name: str, choices: tuple[str, ...]) -> None:
    """Raise a ValueError unless `name` is one of `choices`; `what` is the argument it was given for."""
    if name not in choices:
        raise ValueError(f"{what}={name!r} is not known; it is one of {', '.join(map(repr, choices))}")


def check_tokens(
    X: Tensor,
    vocab_size: int,
    remedy: str = "build the model with vocab_size=len(vocab), for the vocabulary that encoded the text",
) -> None:
    """Raise a ValueError unless `X` holds token ids (batch, steps) below `vocab_size`. The message says what to change.

    `remedy` is what to do about ids that lie outside.
    """
    shape = tuple(X.shape)
    whole = X.dtype in (torch.int64, torch.int32)
    if X.ndim != 2 or not whole:
        raise ValueError(
            f"expected token ids of shape (batch, steps) and dtype torch.int64, got {shape} of {X.dtype}: "
            f"{_remedy_for_tokens(X, whole)}"
        )
    _check_not_empty(X)
    low, high = torch.stack(X.aminmax()).tolist()
    if low < 0 or high >= vocab_size:
        raise ValueError(
            f"the token ids go from {low} to {high}, but the model's vocabulary has {vocab_size} tokens, 0 to "
            f"{vocab_size - 1}: {remedy}."
        )


def _remedy_for_tokens(X: Tensor, whole: bool) -> str:
    """What to do about it, for the mistakes that are common."""
    if X.ndim == 1 and whole:
        return "add the batch, X[None] or X.unsqueeze(0)."
    if X.ndim == 3 and X.is_floating_point():
        return f"numbers need a model built for them, get_model('lstm', input_size={X.shape[2]})."
    if X.ndim == 3:
        return "give the ids themselves, not one-hot vectors, X.argmax(-1)."
    if X.ndim == 2 and X.is_floating_point() and bool((X.round() != X).any()):
        return (
            "numbers need a model built for them, get_model('lstm', input_size=1), and an axis, X[..., None]."
        )
    if X.ndim in (1, 2):
        return "ids are whole numbers, X.long()" + (", with a batch axis, X[None]." if X.ndim == 1 else ".")
    return "a batch of texts has two axes: batch, step."


def check_series(X: Tensor, input_size: int, dtype: torch.dtype) -> None:
    """Raise a ValueError unless `X` holds numbers (batch, steps, input_size). The message says what to change.

    `dtype` is that of the model's weights.
    """
    # float64 is what numpy gives; torch does not multiply it with float32.
    double = X.dtype == torch.float64 and dtype != torch.float64
    if X.ndim == 3 and X.shape[2] == input_size and X.is_floating_point() and not double:
        return _check_not_empty(X)
    raise ValueError(
        f"expected numbers of shape (batch, steps, {input_size}) and dtype {dtype}, got {tuple(X.shape)} of {X.dtype}: "
        f"{_remedy_for_series(X, input_size)}"
    )


def _remedy_for_series(X: Tensor, input_size: int) -> str:
    """What to do about it, for the mistakes that are common."""
    shape = tuple(X.shape)
    if X.ndim == 2 and shape[1] == input_size:
        return "add the batch, X[None] or X.unsqueeze(0)."
    if X.ndim == 2 and not X.is_floating_point():
        return (
            "token ids need a model with an embedding: build it with vocab_size=... and without input_size."
        )
    if X.ndim == 2 and input_size == 1:
        return "add the axis of the one number a step has, X[..., None]."
    if X.ndim == 3 and shape[2] != input_size and shape[1] == input_size:
        return "the numbers of a step come last, X.transpose(1, 2)."
    if X.ndim == 3 and shape[2] != input_size:
        return f"build the model with input_size={shape[2]}, or give it {input_size} number(s) a step."
    if X.ndim == 3:
        return "change the dtype, X.float()."
    return "a batch of series has three axes: batch, step, numbers of a step."


def _check_not_empty(X: Tensor) -> None:
    if X.shape[0] == 0 or X.shape[1] == 0:
        raise ValueError(
            f"the batch is empty, its shape is {tuple(X.shape)}: it needs at least one sequence of at least one step."
        )


def check_lengths(lengths: Tensor | None, X: Tensor) -> Tensor:
    """The lengths (B,) int64 on the CPU of the sequences in `X` (B, T, ...); T each, where `lengths` is None.

    Raises:
        ValueError: not one whole number a sequence, or one below 1 or above T. The message says what to change.
    """
    batch_size, num_steps = X.shape[:2]
    if lengths is None:
        return torch.full((batch_size,), num_steps)
    if not isinstance(lengths, Tensor):
        raise ValueError(
            f"lengths must be a tensor ({batch_size},) of whole numbers, one a sequence, not {type(lengths).__name__}: "
            "torch.tensor(lengths)."
        )
    shape = tuple(lengths.shape)
    if shape != (batch_size,) or lengths.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"expected lengths of shape ({batch_size},) and dtype torch.int64, one a sequence, got {shape} of "
            f"{lengths.dtype}: {_remedy_for_lengths(shape, batch_size, num_steps)}"
        )
    lengths = lengths.to("cpu", torch.int64)
    low, high = int(lengths.min()), int(lengths.max())
    if low < 1:
        raise ValueError(
            f"sequence {int(lengths.argmin())} has length {low}, every one needs at least one step: leave it out, or "
            "give an empty text one unknown token."
        )
    if high > num_steps:
        raise ValueError(
            f"sequence {int(lengths.argmax())} has length {high}, but X {tuple(X.shape)} has only {num_steps} steps: "
            "the lengths belong to another batch, or X was cut without them, lengths.clamp(max=X.shape[1])."
        )
    return lengths


def _remedy_for_lengths(shape: tuple[int, ...], batch_size: int, num_steps: int) -> str:
    """What to do about it, for the mistakes that are common."""
    if shape == (batch_size,):
        return "lengths count steps, lengths.long()."
    if shape == (batch_size, num_steps):
        return "this looks like a mask, whose lengths are mask.sum(1)."
    if shape == (batch_size, 1):
        return "drop the second axis, lengths.squeeze(1)."
    if shape == ():
        return f"repeat it for each sequence, lengths.expand({batch_size})."
    return "X and lengths must come from the same batch."


def real_steps(lengths: Tensor, num_steps: int) -> Tensor:
    """Which steps are real: (B, T) bool, True where the step t < length, for `lengths` (B,)."""
    return torch.arange(num_steps, device=lengths.device) < lengths[:, None]


def pool(H: Tensor, lengths: Tensor, how: str, bidirectional: bool = False) -> Tensor:
    """One vector for a whole sequence (B, H), from the vectors of its real steps (B, T, H).

    Args:
        H: a vector for each step; what padded steps hold does not matter.
        lengths: number of real steps (B,), each from 1 to T.
        how: "last", the last real step; "mean" or "max" over the real steps, number by number.
        bidirectional: the second half of each vector was computed from the end to the beginning, and so has read the
            whole sequence at the first step; "last" takes it from there.
    """
    lengths = lengths.to(H.device)
    if how == "last":
        at_end = H[torch.arange(len(H), device=H.device), lengths - 1]
        if not bidirectional:
            return at_end
        half = H.shape[2] // 2
        return torch.cat([at_end[:, :half], H[:, 0, half:]], dim=1)
    padding = ~real_steps(lengths, H.shape[1])[..., None]  # (B, T, 1)
    if how == "max":
        return H.masked_fill(padding, -torch.inf).amax(1)
    return H.masked_fill(padding, 0.0).sum(1) / lengths[:, None]


def sequence_batch(
    batch_size: int,
    *,
    vocab_size: int = 1000,
    input_size: int | None = None,
    num_classes: int = 2,
    num_steps: int = 12,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Random sequences, token ids (batch_size, num_steps) or numbers (..., input_size), and labels (batch_size,)."""
    if input_size is None:
        X = torch.randint(vocab_size, (batch_size, num_steps))
    else:
        X = torch.randn(batch_size, num_steps, input_size)
    return X, torch.arange(batch_size) % num_classes
