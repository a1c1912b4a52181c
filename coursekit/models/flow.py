"""A normalising flow."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.models.dense import full_layers, seeded
from coursekit.models.modes import evaluating
from coursekit.models.registry import register


def vector_batch(batch_size: int, *, dim: int = 2, **_: Any) -> tuple[Tensor, Tensor]:
    """Random vectors `(batch_size, dim)`, and labels `(batch_size,)` that are all 0."""
    return torch.randn(batch_size, dim), torch.zeros(batch_size, dtype=torch.int64)


@register("flow", example_batch=vector_batch)
class RealNVP(nn.Module):
    """Affine coupling layers for small vectors: an exact density, and samples (Dinh et al. 2017, "Density estimation using Real NVP").

    Each layer keeps one half of the numbers, and scales and shifts the other by what a network makes of the first; then
    the halves change places. Trained with the step `NegativeLogLikelihood`, best on data of mean 0 and deviation 1.

    Args:
        dim: numbers in a vector, at least 2.
        num_layers: coupling layers, at least 2, since one leaves half of the numbers as they are.
        hidden_size: width of the two hidden layers of each network.
    """

    def __init__(self, dim: int = 2, num_layers: int = 8, hidden_size: int = 64) -> None:
        super().__init__()
        if dim < 2 or num_layers < 2:
            raise ValueError(
                f"a coupling flow needs dim and num_layers of at least 2, not {dim} and {num_layers}"
            )
        self.dim = dim
        layers, kept = [], dim // 2
        for _ in range(num_layers):
            layers.append(Coupling(kept, dim - kept, hidden_size))
            kept = dim - kept
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data `(B, dim)` to z `(B, dim)` and log |det dz/dx| `(B,)`."""
        self._check(x)
        log_det = x.new_zeros(len(x))
        with full_precision(x):
            for layer in self.layers:
                x, change = layer(x)
                log_det = log_det + change
        return x, log_det

    def inverse(self, z: Tensor) -> Tensor:
        """z `(B, dim)` to data `(B, dim)`."""
        self._check(z)
        with full_precision(z):
            layer: Any
            for layer in reversed(self.layers):
                z = layer.inverse(z)
        return z

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-density of each row of `(B, dim)`: `(B,)`, in nats, by log p(x) = log N(z; 0, 1) + log |det dz/dx|."""
        z, log_det = self(x)
        return log_det - 0.5 * (z.square().sum(1) + self.dim * math.log(2 * math.pi))

    def sample(self, n: int, seed: int | None = None) -> Tensor:
        """`n` new vectors `(n, dim)`."""
        place = next(self.parameters()).device
        with evaluating(self):
            return self.inverse(torch.randn(n, self.dim, generator=seeded(seed)).to(place))

    def _check(self, x: Tensor) -> None:
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(
                f"expected vectors of shape (batch, {self.dim}), got {tuple(x.shape)}: build the flow with "
                f"dim={x.shape[-1] if x.ndim == 2 else '...'}, or flatten what is no vector"
            )


class Coupling(nn.Module):
    """One layer: keeps `kept` numbers a, changes the `changed` numbers b that follow, and gives (b, a).

    b becomes b * exp(s(a)) + t(a); s stays within plus or minus `limit`, which is learned, since otherwise a single
    point far out makes exp(s) overflow.
    """

    def __init__(self, kept: int, changed: int, hidden_size: int) -> None:
        super().__init__()
        self.kept, self.changed = kept, changed
        self.network = full_layers((kept, hidden_size, hidden_size, 2 * changed))
        self.limit = nn.Parameter(torch.ones(changed))

    def scale_and_shift(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """s(a) and t(a), `(B, changed)` each."""
        scale, shift = self.network(a).chunk(2, dim=1)
        return self.limit * scale.tanh(), shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, dim)` to `(B, dim)` and log |det| `(B,)`."""
        a, b = x.split([self.kept, self.changed], dim=1)
        scale, shift = self.scale_and_shift(a)
        return torch.cat([b * scale.exp() + shift, a], dim=1), scale.sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """What `forward` made `y` of."""
        b, a = y.split([self.changed, self.kept], dim=1)
        scale, shift = self.scale_and_shift(a)
        return torch.cat([a, (b - shift) * (-scale).exp()], dim=1)


def full_precision(x: Tensor) -> torch.autocast:
    """No bfloat16 inside: its 8 bits are too few for a map that must be undone exactly."""
    return torch.autocast(x.device.type, enabled=False)
