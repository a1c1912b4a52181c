"""Reading what models gave: scores, reconstructions and drawings, from anybody."""

import pytest
import torch

from coursekit.check.exercise import Case
from coursekit.check.reading import UnreadableError, read
from coursekit.data import load


def originals(n: int = 6) -> torch.Tensor:
    return torch.randint(0, 256, (n, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def as_pixels(X: torch.Tensor) -> torch.Tensor:
    return X.float().unsqueeze(1) / 127.5 - 1


def test_scores_are_taken_as_they_are():
    given, labels = torch.rand(4, 3), torch.tensor([0, 1, 2, 1])
    cases = [Case("", {}, expected=labels[:3]), Case("", {}, expected=labels[3:])]
    found, truth = read("prediction", [given[:3], given[3:]], cases)
    assert torch.equal(found, given) and torch.equal(truth, labels)


@pytest.mark.parametrize("second", [torch.rand(2, 4), torch.rand(3, 3), torch.rand(2), "text", None])
def test_scores_of_another_form_than_the_first_are_refused(second):
    cases = [Case("", {}, expected=torch.zeros(2)), Case("", {}, expected=torch.zeros(2))]
    with pytest.raises(UnreadableError, match=r"expected scores of shape \(2, number of classes\)"):
        read("prediction", [torch.rand(2, 3), second], cases)


def test_a_reconstruction_wins_where_it_is_nearer_than_the_rivals():
    X = originals()
    errors = torch.tensor([0.1, 0.2, 0.3, 0.1, 0.2, 0.3])
    off = torch.tensor([0.05, 0.25, 0.25, 0.15, 0.15, 0.35])  # mean squared errors
    inwards = torch.where(as_pixels(X) > 0, -1, 1)
    images = as_pixels(X) + inwards * off.sqrt().view(-1, 1, 1, 1)
    found, truth = read("reconstruction", [images], [Case("", {"X": X}, expected=errors)])
    assert (found.argmax(1) == truth).tolist() == [True, False, True, False, True, False]


def test_pixels_beyond_black_and_white_are_cut_off():
    X = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1).expand(2, 28, 28)
    images = 3 * as_pixels(X)
    found, truth = read("reconstruction", [images], [Case("", {"X": X}, expected=torch.full((2,), 1e-6))])
    assert torch.equal(found.argmax(1), truth)


@pytest.mark.parametrize("value", [torch.zeros(6, 784), torch.zeros(5, 1, 28, 28), 3.0, None])
def test_reconstructions_of_another_shape_are_refused(value):
    with pytest.raises(UnreadableError, match=r"\(6, 1, 28, 28\)") as error:
        read("reconstruction", [value], [Case("", {"X": originals()}, expected=torch.ones(6))])
    assert "(6, 1, 28, 28)" in error.value.text["zh"]


def test_images_that_are_no_numbers_give_no_points():
    X = originals()
    for adaptor, inputs in (
        ("reconstruction", {"X": X}),
        ("drawing", {"labels": torch.zeros(6, dtype=torch.int64)}),
    ):
        found, _ = read(
            adaptor, [torch.full((6, 1, 28, 28), torch.nan)], [Case("", inputs, expected=torch.ones(6))]
        )
        assert not torch.isfinite(found).all(1).any()


def test_drawings_that_are_real_digits_do_not_count():
    digits = load("mnist_5k").test
    images, labels = as_pixels(digits.images[:20]), digits.y[:20]
    found, truth = read("drawing", [images], [Case("", {"labels": labels})])
    assert torch.equal(truth, labels)
    assert not (found.argmax(1) == truth).any()
