"""Looking at a model without leaving it in another mode than it was in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def same_modes(model: nn.Module) -> Iterator[None]:
    """When the block ends, each layer is in the mode (train or eval) that it was in before."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients inside the block."""
    with same_modes(model), torch.no_grad():
        model.eval()
        yield
