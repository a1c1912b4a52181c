"""The auto-encoder."""

from collections.abc import Sequence

from torch import Tensor, nn

from coursekit.models.dense import full_layers
from coursekit.models.registry import register
from coursekit.models.shapes import check_images


@register("autoencoder")
class Autoencoder(nn.Module):
    """Auto-encoder of full layers (Hinton and Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks").

    Trained with the step `Reconstruction`. The code and the pixels that come out are linear in the layer before. So with
    `hidden_sizes=()` it is a linear auto-encoder, whose best code spans the first principal components
    (Baldi and Hornik 1989, "Neural networks and principal component analysis").

    Args:
        latent_size: numbers in the code of an image.
        hidden_sizes: width of each hidden layer of the encoder; the decoder has them the other way round.
        in_channels: channels of an image.
        image_size: height and width of an image, in pixels.
    """

    def __init__(
        self,
        latent_size: int = 32,
        hidden_sizes: Sequence[int] = (256,),
        in_channels: int = 1,
        image_size: int = 28,
    ) -> None:
        super().__init__()
        self.latent_size, self.in_channels, self.image_size = latent_size, in_channels, image_size
        widths = (in_channels * image_size**2, *hidden_sizes, latent_size)
        self.encoder = full_layers(widths)
        self.decoder = full_layers(widths[::-1])

    def encode(self, X: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to codes `(B, latent_size)`."""
        check_images(X, self.in_channels, self.image_size)
        return self.encoder(X.flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        """Codes `(B, latent_size)` to images `(B, C, H, W)`, whose pixels may lie a little outside of -1 to 1."""
        return self.decoder(z).unflatten(1, (self.in_channels, self.image_size, self.image_size))

    def forward(self, X: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to their reconstructions, of the same shape."""
        return self.decode(self.encode(X))
