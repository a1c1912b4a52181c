"""Small models, data for them, and what came of a training; for the tests of `fit` and of what it takes."""

import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from coursekit.data import Sequences
from coursekit.models import Bert, BertConfig
from coursekit.train import fit


def data(n: int = 96, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (N, 4) in three classes that a linear model can tell apart."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=generator)
    return torch.randn(n, 4, generator=generator) + 3 * F.one_hot(y, 4), y


def net(seed: int = 0, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def noise(X):
    return X + 0.1 * torch.randn_like(X) + random.random() * 0.01 + np.random.rand() * 0.01


def train(model: nn.Module, source=None, **options):
    options = {
        "epochs": 2,
        "batch_size": 16,
        "device": "cpu",
        "precision": "fp32",
        "progress": False,
    } | options
    return fit(model, (data(), data(48, 1)) if source is None else source, **options)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def numbers(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


class Classifier(nn.Module):
    """A head on a small BERT of three layers."""

    def __init__(self, seed: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = Bert(BertConfig(50, 16, 3, 2, 32, dropout=dropout, attention_dropout=dropout))
        self.out = nn.Linear(16, 2)

    def forward(self, X, lengths=None):
        return self.out(self.encoder(X, lengths).pooled)


def sentences(n: int = 48, seed: int = 0) -> Sequences:
    """Rows of tokens; the class says whether the second one is high."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 12, (n,), generator=generator).tolist()
    rows = [torch.randint(1, 50, (length,), generator=generator) for length in lengths]
    return Sequences(rows, torch.tensor([int(row[1] > 25) for row in rows]))


def tune(model: nn.Module, source=None, **options):
    return train(model, sentences() if source is None else source, **options)
