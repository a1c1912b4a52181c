"""Generative adversarial networks: a generator that makes images, and a discriminator that tells them from real ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from coursekit.models.modes import evaluating
from coursekit.models.registry import register
from coursekit.models.shapes import check_images

SAMPLE_BATCH = 500  # images made at once: more fall out of a processor's caches


class Generator(nn.Module):
    """From noise (and a class) to an image: one full layer, then two transposed convolutions that double the side.

    Batch norm and ReLU between the layers, tanh at the end (Radford, Metz and Chintala 2016, "Unsupervised representation
    learning with deep convolutional generative adversarial networks"). A class comes in as a one-hot vector beside the
    noise (Mirza and Osindero 2014, "Conditional generative adversarial nets").
    """

    def __init__(
        self, latent_size: int, image_size: int, in_channels: int, width: int, num_classes: int | None = None
    ) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.num_classes: Any = num_classes  # an int, where images have classes
        side = image_size // 4  # 7 for 28x28
        self.project = nn.Linear(latent_size + (num_classes or 0), width * side**2, bias=False)
        self.layers = nn.Sequential(
            nn.Unflatten(1, (width, side, side)),  # (B, width, 7, 7)
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, bias=False),  # (B, width, 14, 14)
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(width, in_channels, 4, stride=2, padding=1),  # (B, C, 28, 28)
            nn.Tanh(),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Noise `(B, latent_size)`, and classes `(B,)` where there are some, to images `(B, C, H, W)` from -1 to 1."""
        if z.ndim != 2 or z.shape[1] != self.latent_size:
            raise ValueError(
                f"expected noise of shape (batch, {self.latent_size}), got {tuple(z.shape)}: "
                f"z = torch.randn(batch, {self.latent_size})"
            )
        y = check_classes(y, len(z), self.num_classes)
        if y is not None:
            z = torch.cat([z, nn.functional.one_hot(y, self.num_classes).to(z.dtype)], 1)
        return self.layers(self.project(z))


class Discriminator(nn.Module):
    """From an image (and a class) to a logit: is it real? Two convolutions that halve the side, then a full layer.

    The filters are divided by their spectral norm, so that features cannot change much faster than the image does (Miyato
    et al. 2018, "Spectral normalization for generative adversarial networks"); the last layer is not, so that the
    discriminator can be sure. A class adds the product of its embedding with
    the features (Miyato and Koyama 2018, "cGANs with projection discriminator").
    """

    def __init__(self, image_size: int, in_channels: int, width: int, num_classes: int | None = None) -> None:
        super().__init__()
        self.image_size, self.in_channels, self.num_classes = image_size, in_channels, num_classes
        side = image_size // 4
        self.features = nn.Sequential(
            spectral_norm(nn.Conv2d(in_channels, width, 4, stride=2, padding=1)),  # (B, width, 14, 14)
            nn.LeakyReLU(0.1, inplace=True),
            spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),  # (B, 2 width, 7, 7)
            nn.LeakyReLU(0.1, inplace=True),
            nn.Flatten(),
        )
        size = 2 * width * side**2
        self.head = nn.Linear(size, 1)
        self.embedding = None if num_classes is None else nn.Embedding(num_classes, size)
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=0.01)

    def forward(self, X: Tensor, y: Tensor | None = None) -> Tensor:
        """Images `(B, C, H, W)`, and classes `(B,)` where there are some, to logits `(B,)`, above 0 for real ones."""
        check_images(X, self.in_channels, self.image_size)
        y = check_classes(y, len(X), self.num_classes)
        H = self.features(X)  # (B, 2 width * 7 * 7)
        logits = self.head(H).squeeze(1)
        return logits if self.embedding is None else logits + (self.embedding(y) * H).sum(1)


def check_classes(y: Tensor | None, batch: int, num_classes: int | None) -> Tensor | None:
    """`y`, where it holds one class for each of the batch; None where there are no classes.

    Raises:
        ValueError: classes are missing, not wanted, or of another shape or type.
    """
    if num_classes is None:
        if y is not None:
            raise ValueError(
                "this model knows no classes: leave them out, or take get_model('conditional_gan')"
            )
        return None
    if y is None:
        raise ValueError(
            f"this model needs the class of each image: y of shape ({batch},), from 0 to {num_classes - 1}"
        )
    if y.shape != (batch,) or y.dtype != torch.int64:
        raise ValueError(
            f"expected one class an image, ({batch},) of torch.int64, got {tuple(y.shape)} of {y.dtype}"
        )
    if y.device.type == "cpu" and len(y) and not 0 <= int(y.min()) <= int(y.max()) < num_classes:
        raise ValueError(
            f"classes go from {int(y.min())} to {int(y.max())}, but the model has {num_classes}: 0 to {num_classes - 1}"
        )
    return y


def _image_from_noise(
    batch_size: int, *, latent_size: int = 64, in_channels: int = 1, image_size: int = 28, **_: Any
) -> tuple[Tensor, Tensor]:
    """Noise `(batch_size, latent_size)`, and as many images from -1 to 1 that might come of it."""
    images = torch.rand(batch_size, in_channels, image_size, image_size) * 2 - 1
    return torch.randn(batch_size, latent_size), images


class Players(nn.Module):
    """A generator and a discriminator of the same images."""

    def __init__(
        self, latent_size: int, image_size: int, in_channels: int, width: int, num_classes: int | None
    ) -> None:
        super().__init__()
        if image_size % 4 or image_size < 8:
            raise ValueError(
                f"image_size={image_size} must be a multiple of 4, at least 8: it is halved twice"
            )
        self.latent_size = latent_size
        self.num_classes: Any = num_classes  # an int, where images have classes
        self.generator = Generator(latent_size, image_size, in_channels, width, num_classes)
        self.discriminator = Discriminator(image_size, in_channels, width, num_classes)

    def _sample(self, n: int, y: Tensor | None, seed: int | None) -> Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        z = torch.randn(n, self.latent_size, generator=generator)  # on the CPU: the same on every device
        place = next(self.parameters()).device
        with evaluating(self):
            parts = [
                self.generator(
                    z[i : i + SAMPLE_BATCH].to(place),
                    None if y is None else y[i : i + SAMPLE_BATCH].to(place),
                )
                for i in range(0, max(n, 1), SAMPLE_BATCH)
            ]
        return torch.cat(parts)


@register("gan", example_batch=_image_from_noise)
class GAN(Players):
    """Generator and discriminator that learn against each other, 153,890 parameters (Goodfellow et al. 2014, "Generative adversarial nets").

    Trained by `coursekit.train.fit_gan` on images with pixels from -1 to 1. `generator` is called with noise, `discriminator`
    with images, and the model itself is its generator.

    Args:
        latent_size: numbers of noise that an image comes from.
        image_size: height and width of an image, in pixels; a multiple of 4.
        in_channels: channels of an image.
        width: channels inside the generator; inside the discriminator there are as many, then twice as many.
    """

    def __init__(
        self, latent_size: int = 64, image_size: int = 28, in_channels: int = 1, width: int = 32
    ) -> None:
        super().__init__(latent_size, image_size, in_channels, width, num_classes=None)

    def forward(self, z: Tensor) -> Tensor:
        """Noise `(B, latent_size)` to images `(B, C, H, W)` from -1 to 1."""
        return self.generator(z)

    def sample(self, n: int, seed: int | None = None) -> Tensor:
        """`n` new images `(n, C, H, W)` from -1 to 1, in eval mode; the same seed gives the same ones."""
        return self._sample(n, None, seed)


@register("conditional_gan", example_batch=_image_from_noise)
class ConditionalGAN(Players):
    """GAN that is told the class of each image, 200,930 parameters (Mirza and Osindero 2014, "Conditional generative adversarial nets").

    Trained by `coursekit.train.fit_gan` on images with pixels from -1 to 1 and their labels. Generator and discriminator
    take the classes beside noise and images.

    Args:
        latent_size: numbers of noise that an image comes from.
        image_size: height and width of an image, in pixels; a multiple of 4.
        in_channels: channels of an image.
        width: channels inside the generator; inside the discriminator there are as many, then twice as many.
        num_classes: number of classes.
    """

    def __init__(
        self,
        latent_size: int = 64,
        image_size: int = 28,
        in_channels: int = 1,
        width: int = 32,
        num_classes: int = 10,
    ) -> None:
        super().__init__(latent_size, image_size, in_channels, width, num_classes)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Noise `(B, latent_size)` and classes `(B,)` to images `(B, C, H, W)` from -1 to 1; without classes 0, 1, 2, ... in turn."""
        return self.generator(z, self._classes(y, len(z)).to(z.device))

    def sample(self, n: int, labels: Tensor | int | None = None, seed: int | None = None) -> Tensor:
        """`n` new images `(n, C, H, W)` from -1 to 1, in eval mode; the same seed gives the same ones.

        Args:
            n: how many.
            labels: the class of each, int64 `(n,)`, or one for all; by default 0, 1, 2, ... in turn.
            seed: of the noise.
        """
        return self._sample(n, self._classes(labels, n), seed)

    def _classes(self, labels: Tensor | int | None, n: int) -> Tensor:
        if labels is None:
            return torch.arange(n) % self.num_classes
        return torch.full((n,), labels) if isinstance(labels, int) else labels
