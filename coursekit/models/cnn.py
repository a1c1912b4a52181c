"""Convolutional networks, from LeNet-5 to AlexNet."""

from typing import Any

from torch import Tensor, nn

from coursekit.models.registry import image_batch, register
from coursekit.models.shapes import check_images

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
POOLS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


def _choose(what: str, name: str, choices: dict[str, type[nn.Module]]) -> type[nn.Module]:
    if name not in choices:
        raise ValueError(f"{what}={name!r} is not known; it is one of {', '.join(map(repr, choices))}")
    return choices[name]


@register("lenet")
class LeNet(nn.Module):
    """LeNet-5 for 28x28 digits, 61,706 parameters (LeCun et al. 1998, "Gradient-based learning applied to document recognition").

    The layers are those of figure 2 of the paper, the first padded by 2 so that 28x28 images do for its 32x32.
    With `activation="tanh", pool="avg"` it is close to the original; ReLU and max pooling learn faster.

    Args:
        in_channels: channels of an image.
        image_size: height and width of an image, in pixels; at least 12.
        num_classes: number of logits that come out.
        activation: "relu", "tanh" or "sigmoid".
        pool: "max" or "avg".
    """

    def __init__(
        self,
        in_channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        activation: str = "relu",
        pool: str = "max",
    ) -> None:
        super().__init__()
        if image_size < 12:
            raise ValueError(f"image_size={image_size} is too small for LeNet: two poolings need at least 12")
        act, Pool = _choose("activation", activation, ACTIVATIONS), _choose("pool", pool, POOLS)
        self.in_channels, self.image_size = in_channels, image_size
        side = (image_size // 2 - 4) // 2  # 5 for 28x28
        self.conv1 = nn.Conv2d(in_channels, 6, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.pool = Pool(2)
        self.act = act()
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, X: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to logits `(B, num_classes)`."""
        check_images(X, self.in_channels, self.image_size)
        X = self.pool(self.act(self.conv1(X)))  # (B, 6, 28, 28) -> (B, 6, 14, 14)
        X = self.pool(self.act(self.conv2(X)))  # (B, 16, 10, 10) -> (B, 16, 5, 5)
        X = self.act(self.fc1(X.flatten(1)))  # (B, 400) -> (B, 120)
        X = self.act(self.fc2(X))  # (B, 84)
        return self.fc3(X)  # (B, num_classes)


def _conv(in_channels: int, out_channels: int, kernel_size: int = 3, pool: bool = False) -> nn.Sequential:
    """A convolution that keeps height and width, pooling (or none), batch norm (Ioffe and Szegedy 2015), ReLU.

    Pooling comes before the norm and ReLU, so that these two work on a quarter of the pixels.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
        nn.MaxPool2d(2) if pool else nn.Identity(),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


@register("alexnet_small")
class AlexNetSmall(nn.Module):
    """AlexNet's plan, five convolutions and three full layers, for 28x28 and 32x32 images (Krizhevsky, Sutskever and Hinton 2012).

    Kernels are 5x5 and 3x3 for its 11x11 and 5x5, and batch norm stands for its local response normalisation.
    It is narrow enough for a laptop: 133,914 parameters, 4.0 million multiplications an image.

    Args:
        in_channels: channels of an image.
        image_size: height and width of an image, in pixels; at least 8.
        num_classes: number of logits that come out.
        dropout: share of the units of the full layers set to zero in training.
    """

    def __init__(
        self, in_channels: int = 1, image_size: int = 28, num_classes: int = 10, dropout: float = 0.3
    ) -> None:
        super().__init__()
        if image_size < 8:
            raise ValueError(
                f"image_size={image_size} is too small for AlexNet: three poolings need at least 8"
            )
        self.in_channels, self.image_size = in_channels, image_size
        side = image_size // 8  # 3 for 28x28, 4 for 32x32
        self.features = nn.Sequential(
            _conv(in_channels, 16, kernel_size=5, pool=True),  # (B, 16, 14, 14)
            _conv(16, 32, pool=True),  # (B, 32, 7, 7)
            _conv(32, 48),  # (B, 48, 7, 7)
            _conv(48, 48),  # (B, 48, 7, 7)
            _conv(48, 48, pool=True),  # (B, 48, 3, 3)
        )
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(48 * side * side, 128),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(128, 128),
            nn.ReLU(inplace=True),
            nn.Linear(128, num_classes),
        )

    def forward(self, X: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to logits `(B, num_classes)`."""
        check_images(X, self.in_channels, self.image_size)
        X = self.features(X)  # (B, 48, 3, 3)
        return self.classifier(X.flatten(1))  # (B, num_classes)


def _alexnet_batch(batch_size: int, **config: Any) -> tuple[Tensor, Tensor]:
    # 64 is the smallest side that leaves a pixel after AlexNet's three poolings: cheap to test with.
    return image_batch(batch_size, **(config | {"in_channels": 3, "image_size": 64}))


def _check_alexnet_input(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    check_images(inputs[0], in_channels=3, image_size=None)


@register("alexnet", example_batch=_alexnet_batch)
def alexnet(num_classes: int = 1000, dropout: float = 0.5) -> nn.Module:
    """AlexNet as torchvision has it, 61,100,840 parameters, for colour images of 224x224 (Krizhevsky 2014, "One weird trick").

    Args:
        num_classes: number of logits that come out.
        dropout: share of the units of the full layers set to zero in training.
    """
    from torchvision.models import alexnet as torchvision_alexnet  # takes seconds to import

    model = torchvision_alexnet(weights=None, num_classes=num_classes, dropout=dropout)
    model.register_forward_pre_hook(_check_alexnet_input)
    return model
