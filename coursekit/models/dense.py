"""What the generative models are made of: full layers, and where their random numbers come from."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn


def full_layers(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers from `widths[0]` to `widths[-1]` numbers, with ReLU between any two of them."""
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(widths):
        layers += [nn.Linear(wide, narrow), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def seeded(seed: int | None) -> torch.Generator | None:
    """A generator of the CPU, whose numbers do not depend on where the model is; None, torch's own, for no seed."""
    return None if seed is None else torch.Generator().manual_seed(seed)
