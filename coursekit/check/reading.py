"""What a trained model gave, read as scores and labels, outside of the process that it came from.

Most models give scores themselves. Images are read here: whoever made them has no say in what they show.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from coursekit.check.digits import REPEATED, votes
from coursekit.check.exercise import Case
from coursekit.check.tree import BilingualError, Tree


class UnreadableError(BilingualError, ValueError):
    """A value is not of the form that it is read from."""


def scores(value: Tree, case: Case) -> tuple[Tensor, Tensor]:
    """Scores `(N, C)` as they are, with the labels `(N,)` that the case keeps."""
    if (
        isinstance(value, Tensor)
        and value.dim() == 2
        and value.shape[1] > 1
        and len(value) == len(case.expected)
    ):
        return value.float(), case.expected
    raise _no_scores(value, case)


def reconstructions(value: Tree, case: Case) -> tuple[Tensor, Tensor]:
    """Whether each image comes out nearer to the original than the rival's reconstruction: class 1 if so, else 0.

    The case's inputs hold the originals `X` `(N, H, W)`, uint8; what it keeps is the rival's mean squared error for each
    image, of pixels from -1 to 1. What lies outside of these is moved to the nearest of them.
    """
    images = _images(value, len(case.inputs["X"]), case.inputs["X"].shape[1:])
    X = case.inputs["X"].float().unsqueeze(1) / 127.5 - 1
    own = (images.clamp(-1, 1) - X).square().flatten(1).mean(1)
    return torch.stack([-case.expected, -own], 1), torch.ones(len(X), dtype=torch.int64)


def drawings(value: Tree, case: Case) -> tuple[Tensor, Tensor]:
    """The digit that each drawn image shows, or what else it is: the votes of `coursekit.check.digits`.

    Pixels go from -1 to 1. The classes asked for are the case's inputs `labels` `(N,)`.
    """
    labels = case.inputs["labels"]
    images = _images(value, len(labels), (28, 28))
    if not torch.isfinite(images).all():
        return torch.full((len(labels), REPEATED + 1), torch.nan), labels
    return votes(images.clamp(-1, 1)), labels


def _images(value: Tree, count: int, size: tuple[int, ...]) -> Tensor:
    height, width = size
    if isinstance(value, Tensor) and value.shape == (count, 1, height, width):
        return value.float()
    shape, got = f"({count}, 1, {height}, {width})", _form(value)
    raise UnreadableError(
        f"expected images of shape {shape}, got {got}.", f"应为形状 {shape} 的图像，得到的是 {got}。"
    )


def _form(value: Tree) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


# By the name of the adaptor that the value came through; all others give scores.
READINGS: dict[str, Callable[[Tree, Case], tuple[Tensor, Tensor]]] = {
    "reconstruction": reconstructions,
    "drawing": drawings,
}


def read(adaptor: str, values: Sequence[Tree], cases: Sequence[Case]) -> tuple[Tensor, Tensor]:
    """Scores `(N, C)` and labels `(N,)` of all cases, from what came of each through an adaptor.

    Raises:
        UnreadableError: a value is not of the right form, or not of the same as the others.
    """
    reading = READINGS.get(adaptor, scores)
    each, labels = zip(*(reading(*pair) for pair in zip(values, cases, strict=True)), strict=True)
    odd = [found.shape[1] != each[0].shape[1] for found in each]
    if any(odd):
        raise _no_scores(values[odd.index(True)], cases[odd.index(True)])
    return torch.cat(each), torch.cat(labels)


def _no_scores(value: Tree, case: Case) -> UnreadableError:
    count, got = len(case.expected), _form(value)
    return UnreadableError(
        f"expected scores of shape ({count}, number of classes), got {got}.",
        f"应为形状 ({count}, C) 的得分（C 为类别数），得到的是 {got}。",
    )
