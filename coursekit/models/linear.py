"""Softmax regression: one linear layer, the yardstick for everything deeper."""

from torch import Tensor, nn

from coursekit.models.registry import register
from coursekit.models.shapes import check_images


@register("linear")
class Linear(nn.Module):
    """Softmax regression: the pixels in a row, one linear layer (Bishop 2006, section 4.3.4).

    Args:
        in_channels: channels of an image.
        image_size: height and width of an image, in pixels.
        num_classes: number of logits that come out.
    """

    def __init__(self, in_channels: int = 1, image_size: int = 28, num_classes: int = 10) -> None:
        super().__init__()
        self.in_channels, self.image_size = in_channels, image_size
        self.fc = nn.Linear(in_channels * image_size**2, num_classes)

    def forward(self, X: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to logits `(B, num_classes)`."""
        check_images(X, self.in_channels, self.image_size)
        logits = self.fc(X.flatten(1))  # (B, C*H*W) -> (B, num_classes)
        return logits
