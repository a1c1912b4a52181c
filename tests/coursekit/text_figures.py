"""Texts, tokens and weights to draw, and what a figure of them holds; for the tests of such figures."""

import warnings

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from coursekit.data import TextSplit

BANK = ["[CLS]", "dead", "on", "the", "river", "bank", "[SEP]"]
CHINESE = ["[CLS]", "菜", "很", "好", "吃", "，", "真", "的", "[SEP]", "[PAD]"]
SENTENCES = [
    "money to the bank",
    "money in the bank",
    "dead on the river bank",
    "the river bank to fish",
    "its own blood bank",
]
SENSES = ["money", "money", "river", "river", "blood"]
P = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.05, 0.95], [0.3, 0.7]])
TEXTS = ["fine", "not good", "boring", "<script>alert('$5 & $6')</script>", "good"]
Y = torch.tensor([0, 0, 0, 0, 1])
KINDS = [{"negation"}, {"negation", "contrast"}, {"negation"}, set(), set()]
SPLIT = TextSplit(TEXTS, Y, [frozenset(kinds) for kinds in KINDS])


def drawn(figure) -> None:
    """Draw it, with every warning an error: under grading a word on stderr costs the points."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure).draw()  # a figure that pyplot has closed has a canvas that draws nothing


def written(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def pictures(figure) -> list[np.ndarray]:
    """The matrices in a figure, without the scale beside them."""
    found = [np.ma.filled(image.get_array(), np.nan) for image in figure.axes[0].images]
    return [each for each in found if each.shape != (40, 4)]


def weights(tokens: list[str], heads: int | None = None, masked: bool = True) -> torch.Tensor:
    size = len(tokens)
    scores = torch.randn(*([heads] if heads else []), size, size, generator=torch.Generator().manual_seed(0))
    if masked:
        scores = scores.masked_fill(torch.tensor([token == "[PAD]" for token in tokens]), -torch.inf)
    return scores.softmax(-1)


def vectors(senses: list[str], spread: float = 0.3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = {sense: torch.randn(32, generator=generator) for sense in dict.fromkeys(senses)}
    return torch.stack([centres[sense] + spread * torch.randn(32, generator=generator) for sense in senses])
