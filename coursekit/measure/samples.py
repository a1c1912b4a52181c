"""Quality and variety of samples, by what a classifier of the real images sees in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.models.modes import evaluating

AT_ONCE = 500  # images


@dataclass(frozen=True)
class SampleQuality:
    """What a classifier makes of samples.

    Attributes:
        confidence: mean probability of the class it thinks most likely, 0 to 1; low for samples that are no digits.
        coverage: share of the samples in each class, (num_classes,), which sum to 1; a 0 is a class never made.
        frechet: Frechet distance to real images in its feature space, 0 or more; it grows as fewer images are compared, so
            that distances compare only for as many.
    """

    confidence: float
    coverage: tuple[float, ...]
    frechet: float

    def __repr__(self) -> str:
        made = sum(share > 0 for share in self.coverage)
        return (
            f"confidence {self.confidence:.1%}, {made} of {len(self.coverage)} classes, the rarest "
            f"{min(self.coverage):.1%}, Frechet distance {self.frechet:.2f}"
        )


def features(classifier: nn.Module, X: Tensor) -> Tensor:
    """What `classifier` computes of images (N, ...) before its last full layer: (N, D), float32 on the CPU.

    Raises:
        ValueError: the classifier has no nn.Linear layer, or does not use the last one once an image.
    """
    return look(classifier, X)[0]


def look(classifier: nn.Module, X: Tensor) -> tuple[Tensor, Tensor]:
    """Features (N, D) and logits (N, num_classes), in eval mode."""
    layers = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ValueError(
            f"{type(classifier).__name__} has no nn.Linear layer, so no features before the last one"
        )
    kept: list[Tensor] = []
    hook = layers[-1].register_forward_pre_hook(lambda _module, inputs: kept.append(inputs[0]))
    place = layers[-1].weight.device
    try:
        with evaluating(classifier):
            logits = [classifier(part.to(place)).float().cpu() for part in X.split(AT_ONCE)]
    finally:
        hook.remove()
    found = torch.cat(kept).float().cpu() if kept else torch.empty(0)
    if found.ndim != 2 or len(found) != len(X):
        raise ValueError(
            f"the last nn.Linear of {type(classifier).__name__} saw {tuple(found.shape)}, expected one row an image, ({len(X)}, D)"
        )
    return found, torch.cat(logits)


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of two sets of features, (N, D) and (M, D).

    The squared 2-Wasserstein distance of the Gaussians with their means and covariances (Dowson and Landau 1982; Heusel et al.
    2017, "GANs trained by a two time-scale update rule", for the features of Inception, hence FID).

    Raises:
        ValueError: the widths differ, a set has fewer than two rows, or a number is nan or infinite.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"features are (N, D) and (M, D) with at least two rows each, not {tuple(a.shape)} and {tuple(b.shape)}"
        )
    a, b = a.detach().double(), b.detach().double()
    if not bool(a.isfinite().all() and b.isfinite().all()):
        raise ValueError("features hold nan or infinite numbers: look at the samples and the classifier")
    means = (a.mean(0) - b.mean(0)).square().sum()
    # With centred matrices A, B scaled so that S_a = A'A and S_b = B'B, the trace of (S_a S_b)^(1/2) is the sum of the
    # singular values of A B': no root of a matrix that may be singular. Their triangular factors give the same in D x D.
    roots = [torch.linalg.qr((x - x.mean(0)) / (len(x) - 1) ** 0.5, mode="r").R for x in (a, b)]
    traces = sum(root.square().sum() for root in roots)
    shared = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    return max(0.0, float(means + traces - 2 * shared))


def sample_quality(images: Tensor, classifier: nn.Module, real: Any) -> SampleQuality:
    """How good samples are, seen by a classifier of the real images.

    Args:
        images: samples (N, C, H, W), in the range of values that the classifier was trained on; at least some hundreds.
        classifier: maps images to logits (N, num_classes) by a last nn.Linear; `lenet` fitted on `data.scaled(-1, 1)`, say.
        real: real images to compare with that neither the generator nor the classifier learned from: a Split (`data.test`) or a tensor (M, C, H, W).

    Raises:
        ValueError: shapes do not fit, or there are too few images.
    """
    seen, logits = look(classifier, images)
    probabilities = logits.softmax(1)
    shares = torch.bincount(probabilities.argmax(1), minlength=logits.shape[1]).double() / len(images)
    return SampleQuality(
        confidence=float(probabilities.amax(1).mean()),
        coverage=tuple(shares.tolist()),
        frechet=frechet_distance(seen, features(classifier, getattr(real, "X", real))),
    )
