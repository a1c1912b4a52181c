"""A small model of each generative kind, with data for it; for the tests of what they share and of each."""

import torch
from torch import Tensor, nn

from coursekit.models import get_model, model_info

SMALL = {"diffusion": {"width": 8}, "vae": {"hidden_sizes": (64,)}, "autoencoder": {}, "flow": {}}


def build(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = get_model(name, **SMALL[name])
    X, _ = model_info(name).example_batch(8, **model.config)
    return model, X if name == "flow" else X.tanh()
