"""Drawn digits read by the nearest of real ones: what counts, and what does not."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.check.digits import COPIED, NO_DIGIT, REPEATED, votes
from coursekit.data import load

COUNT = 100


@pytest.fixture(scope="module")
def real() -> tuple[Tensor, Tensor]:
    """Training digits from -1 to 1, and their classes."""
    split = load("mnist_5k").train
    return split.images[:COUNT].unsqueeze(1) / 127.5 - 1, split.y[:COUNT]


def turned(X: Tensor, degrees: float) -> Tensor:
    angle = torch.tensor(degrees).deg2rad()
    theta = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0]]).expand(len(X), 2, 3)
    grid = F.affine_grid(theta, list(X.shape), align_corners=False)
    return F.grid_sample(X + 1, grid, align_corners=False) - 1


def share(images: Tensor, kind: int) -> float:
    return (votes(images).argmax(1) == kind).float().mean().item()


def test_digits_that_are_not_in_the_data_are_read(real: tuple[Tensor, Tensor]) -> None:
    X, y = real
    scores = votes(turned(X, 12.0))
    assert scores.shape == (COUNT, 13)
    assert (scores.argmax(1) == y).float().mean() > 0.9


def test_copies_do_not_count_moved_or_noisy_neither(real: tuple[Tensor, Tensor]) -> None:
    X, _ = real
    noise = 0.1 * torch.randn(X.shape, generator=torch.Generator().manual_seed(0))
    assert share(X, COPIED) == 1
    assert share(X.roll(1, 3), COPIED) > 0.95
    assert share((X + noise).clamp(-1, 1), COPIED) > 0.9


def test_noise_and_pixels_of_another_range_show_no_digit(real: tuple[Tensor, Tensor]) -> None:
    X, _ = real
    assert share(torch.rand(X.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1, NO_DIGIT) == 1
    assert share((X + 1) / 2, NO_DIGIT) == 1
    assert share((X + 1) * 127.5, NO_DIGIT) == 1


def test_the_same_drawing_counts_once(real: tuple[Tensor, Tensor]) -> None:
    drawn = turned(real[0], 12.0)
    again = drawn[torch.arange(COUNT) % 4] + 0.02 * torch.randn(
        drawn.shape, generator=torch.Generator().manual_seed(0)
    )
    kinds = votes(again).argmax(1)
    assert (kinds[:4] < NO_DIGIT).all()
    assert (kinds[4:] == REPEATED).all()
    assert share(drawn, REPEATED) < 0.05


def test_a_blank_picture_again_and_again_is_one_picture() -> None:
    kinds = votes(torch.full((10, 1, 28, 28), -1.0)).argmax(1)
    assert (kinds[1:] == REPEATED).all()


def test_pixels_drawn_one_by_one_show_no_digit(real: tuple[Tensor, Tensor]) -> None:
    """Each pixel from some digit of the right class: by distance alone such noise would be read as that class."""
    split = load("mnist_5k").train
    generator = torch.Generator().manual_seed(0)
    for digit in range(10):
        X = split.images[split.y == digit].flatten(1) / 127.5 - 1
        drawn = X[torch.randint(len(X), (20, 784), generator=generator), torch.arange(784)].view(
            -1, 1, 28, 28
        )
        assert share(drawn, NO_DIGIT) > 0.9


def test_real_strokes_are_smooth_enough(real: tuple[Tensor, Tensor]) -> None:
    assert share(turned(real[0], 12.0), NO_DIGIT) < 0.05
