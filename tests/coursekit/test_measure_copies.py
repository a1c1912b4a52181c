"""Nearest training images against brute force, and copying where it is planted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.measure import copied, nearest


@given(st.integers(0, 10_000), st.integers(1, 300), st.integers(1, 20), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_nearest_is_what_brute_force_finds(seed: int, n: int, m: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 1, width, 1, generator=generator)
    training = torch.randn(m, 1, width, 1, generator=generator)
    distances, indices = nearest(images, training)
    exact = (images.double()[:, None] - training.double()[None]).flatten(2).norm(dim=2)
    assert distances.shape == indices.shape == (n,)
    torch.testing.assert_close(distances.double(), exact.amin(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(exact.gather(1, indices[:, None])[:, 0], exact.amin(1), rtol=1e-4, atol=1e-5)


def test_a_training_image_finds_itself_at_distance_0() -> None:
    training = torch.rand(40, 1, 6, 6) * 2 - 1
    distances, indices = nearest(training[[7, 3]], training)
    assert indices.tolist() == [7, 3] and distances.tolist() == [0, 0]


def sets() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(1200, 1, 4, 4, generator=generator)
    return X[:400], X[400:800], X[800:]


def test_planted_copies_are_found() -> None:
    new, training, held_out = sets()
    slightly = training + 0.01 * torch.randn(training.shape)
    assert copied(training, training, held_out) == 1.0
    assert copied(slightly, training, held_out) == 1.0
    assert copied(torch.cat([new[:200], slightly[:200]]), training, held_out) == pytest.approx(0.5, abs=0.05)


def test_new_images_are_as_near_as_held_out_ones() -> None:
    new, training, held_out = sets()
    for quantile in (0.05, 0.2, 0.5):
        assert copied(new, training, held_out, quantile) == pytest.approx(quantile, abs=0.08)
    assert copied(held_out, training, held_out, 0.0) == 0


def test_what_does_not_compare_is_said() -> None:
    new, training, held_out = sets()
    with pytest.raises(ValueError, match=r"all axes but the first alike"):
        nearest(new, training.flatten(1))
    with pytest.raises(ValueError, match=r"there must be some of both"):
        nearest(new, training[:0])
    with pytest.raises(ValueError, match=r"0 to below 1, not 1"):
        copied(new, training, held_out, 1)
