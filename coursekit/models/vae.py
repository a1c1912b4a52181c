"""The variational auto-encoder."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.models.dense import full_layers, seeded
from coursekit.models.modes import evaluating
from coursekit.models.registry import register
from coursekit.models.shapes import check_images


@register("vae")
class VAE(nn.Module):
    """Variational auto-encoder with Gaussian codes and Bernoulli pixels (Kingma and Welling 2014, "Auto-encoding variational Bayes").

    Trained with the step `NegativeELBO`. A grey pixel x from -1 to 1 counts as white with probability (x + 1) / 2, so the
    bound is the mean over images drawn with these probabilities, as Salakhutdinov and Murray (2008) binarise MNIST, of
    a lower bound of their log-probability.

    Args:
        latent_size: numbers in the code z of an image.
        hidden_sizes: width of each hidden layer of the encoder; the decoder has them the other way round.
        in_channels: channels of an image.
        image_size: height and width of an image, in pixels.
    """

    def __init__(
        self,
        latent_size: int = 16,
        hidden_sizes: Sequence[int] = (512, 256),
        in_channels: int = 1,
        image_size: int = 28,
    ) -> None:
        super().__init__()
        self.latent_size, self.in_channels, self.image_size = latent_size, in_channels, image_size
        num_pixels = in_channels * image_size**2
        self.encoder = full_layers((num_pixels, *hidden_sizes, 2 * latent_size))
        self.decoder = full_layers((latent_size, *hidden_sizes[::-1], num_pixels))

    def encode(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Images `(B, C, H, W)` to mean and log-variance of q(z|x), `(B, latent_size)` each."""
        check_images(X, self.in_channels, self.image_size)
        mu, log_var = self.encoder(X.flatten(1)).float().chunk(2, dim=1)
        return mu, log_var

    def decode(self, z: Tensor) -> Tensor:
        """Codes `(B, latent_size)` to the mean images of p(x|z), `(B, C, H, W)`, pixels from -1 to 1."""
        pixels = (self.decoder(z).float() / 2).tanh()  # 2 sigmoid(a) - 1 = tanh(a / 2)
        return pixels.unflatten(1, (self.in_channels, self.image_size, self.image_size))

    def forward(self, X: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to their reconstructions from the mean of q(z|x), of the same shape."""
        return self.decode(self.encode(X)[0])

    def elbo(self, X: Tensor, beta: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """The evidence lower bound of each image, `(B,)`, in nats, with one sample of z.

        Args:
            X: images `(B, C, H, W)`, pixels from -1 to 1.
            beta: weight of the divergence; other than 1 it is no bound any more (Higgins et al. 2017, "beta-VAE").
            generator: of the CPU, draws z; by default torch's own.

        Raises:
            ValueError: pixels lie outside of -1 to 1.
        """
        mu, log_var = self.encode(X)
        noise = torch.randn(mu.shape, generator=generator).to(mu.device)
        z = reparameterise(mu, log_var, noise)
        return self.log_likelihood(X, z) - beta * kl_divergence(mu, log_var)

    def log_likelihood(self, X: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of images `(B, C, H, W)`, each with its code of `(B, latent_size)`: `(B,)`, in nats.

        Raises:
            ValueError: pixels lie outside of -1 to 1.
        """
        white = (X.flatten(1) + 1) / 2
        low, high = (float(end) for end in white.aminmax())
        if low < -1e-4 or high > 1 + 1e-4:
            raise ValueError(
                f"pixels go from {2 * low - 1:.3g} to {2 * high - 1:.3g}, and a VAE reads them as probabilities: they "
                "must lie from -1 (black) to 1 (white); use data.scaled(-1, 1)"
            )
        logits = self.decoder(z).float()
        return -F.binary_cross_entropy_with_logits(logits, white, reduction="none").sum(1)

    def log_evidence(self, X: Tensor, samples: int = 64, generator: torch.Generator | None = None) -> Tensor:
        """An estimate of log p(x) by importance sampling from q(z|x), `(B,)`, in nats; on average below it, and above the bound.

        (Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders", equation 8.)
        """
        mu, log_var = self.encode(X)
        log_weights = []
        for _ in range(samples):
            noise = torch.randn(mu.shape, generator=generator).to(mu.device)
            z = reparameterise(mu, log_var, noise)
            log_prior, log_q = -0.5 * z.square(), -0.5 * (noise.square() + log_var)  # both less log(2 pi) / 2
            log_weights.append(self.log_likelihood(X, z) + (log_prior - log_q).sum(1))
        return torch.stack(log_weights).logsumexp(0) - math.log(samples)

    def sample(self, n: int, seed: int | None = None) -> Tensor:
        """`n` new images `(n, C, H, W)`: the means of p(x|z) for z from N(0, 1)."""
        place = next(self.parameters()).device
        with evaluating(self):
            return self.decode(torch.randn(n, self.latent_size, generator=seeded(seed)).to(place))


def reparameterise(mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """A sample of N(mu, exp(log_var)) from noise of N(0, 1), so that gradients reach mu and log_var; all `(B, D)`."""
    return mu + (0.5 * log_var).exp() * noise


def kl_divergence(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, exp(log_var)) || N(0, 1)) of each row of `(B, D)`, in nats (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(1)
