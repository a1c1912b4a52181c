"""The multilayer perceptron."""

from collections.abc import Sequence

from torch import Tensor, nn

from coursekit.models.registry import register
from coursekit.models.shapes import check_images


@register("mlp")
class MLP(nn.Module):
    """Multilayer perceptron with ReLU (Rumelhart, Hinton and Williams 1986, "Learning representations by back-propagating errors").

    Args:
        in_channels: channels of an image.
        image_size: height and width of an image, in pixels.
        num_classes: number of logits that come out.
        hidden_sizes: width of each hidden layer, from the first to the last.
        dropout: share of the hidden units set to zero in training.
    """

    def __init__(
        self,
        in_channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        hidden_sizes: Sequence[int] = (256, 128),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_channels, self.image_size = in_channels, image_size
        layers: list[nn.Module] = []
        width = in_channels * image_size**2
        for hidden_size in hidden_sizes:
            layers += [nn.Linear(width, hidden_size), nn.ReLU(), nn.Dropout(dropout)]
            width = hidden_size
        self.hidden = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_classes)

    def forward(self, X: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to logits `(B, num_classes)`."""
        check_images(X, self.in_channels, self.image_size)
        H = self.hidden(X.flatten(1))  # (B, C*H*W) -> (B, hidden_sizes[-1])
        return self.head(H)  # (B, num_classes)
