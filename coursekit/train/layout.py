"""Memory layout: channels last, in which convolutions run a third faster on a CPU and on tensor cores."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from coursekit.train.errors import DataError
from coursekit.train.feed import Feed
from coursekit.train.scoring import try_out
from coursekit.train.step import Step, Supervised


def fit_layout(model: nn.Module, feed: Feed, compute: Step) -> None:
    """Put a convolutional model into channels last, if it works so; check that model and data fit each other.

    A model that reads its feature maps with `view` needs the usual layout, and keeps it.

    Raises:
        DataError: model and data do not fit each other.
    """
    if not isinstance(compute, Supervised):
        return
    if feed.device.type in ("cpu", "cuda") and has_convolutions(model):
        model.to(memory_format=torch.channels_last)
        try:
            return try_out(model, feed, compute)
        except DataError:
            model.to(memory_format=torch.contiguous_format)
    try_out(model, feed, compute)


@contextlib.contextmanager
def usual_layout(model: nn.Module) -> Iterator[None]:
    """When the block ends, the weights are back in the layout that `weight.view(...)` expects."""
    try:
        yield
    finally:
        if has_convolutions(model):
            model.to(memory_format=torch.contiguous_format)


def has_convolutions(model: nn.Module) -> bool:
    """Whether `model` has a layer that gains."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())
