"""Small GANs, and images for them; for the tests of `fit_gan` and of what watches it."""

import torch
from torch import nn

from coursekit.models import get_model
from coursekit.train import GanHistory, fit_gan


def pictures(n: int = 48, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 1, 8, 8) from -1 to 1: a bright bar whose height is the class, 0 to 2, on noise."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=generator)
    X = torch.rand(n, 1, 8, 8, generator=generator) * 0.4 - 1
    X[torch.arange(n), :, 2 * y + 1] = 0.9
    return X, y


def gan(name: str = "gan", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    config = {"num_classes": 3} if name == "conditional_gan" else {}
    return get_model(name, image_size=8, width=4, latent_size=6, **config)


def train(model: nn.Module, source=None, **options) -> GanHistory:
    options = {
        "epochs": 2,
        "batch_size": 16,
        "lr": 1e-3,
        "device": "cpu",
        "precision": "fp32",
        "progress": False,
    } | options
    return fit_gan(model, pictures() if source is None else source, **options)
