"""Denoising diffusion."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.models.dense import seeded
from coursekit.models.modes import evaluating
from coursekit.models.registry import register
from coursekit.models.shapes import check_images


@register("diffusion")
class Diffusion(nn.Module):
    """Denoising diffusion with a small U-Net (Ho et al. 2020, "Denoising diffusion probabilistic models").

    Step t of 1 to `num_steps` keeps sqrt(alpha_bar_t) of an image and adds sqrt(1 - alpha_bar_t) of noise, with the cosine
    schedule of Nichol and Dhariwal (2021). Trained with the step `Denoising`.

    Args:
        num_steps: steps T from an image to noise.
        width: channels of the U-Net at half of the image's height; twice as many at a quarter.
        in_channels: channels of an image.
        image_size: height and width of an image, in pixels; divisible by 4.
    """

    alpha_bar: Tensor

    def __init__(
        self, num_steps: int = 1000, width: int = 32, in_channels: int = 1, image_size: int = 28
    ) -> None:
        super().__init__()
        if image_size % 4 or width % 8:
            raise ValueError(
                f"image_size must be divisible by 4 and width by 8, not {image_size} and {width}: the U-Net halves the "
                "image twice, and normalises its channels in 8 groups"
            )
        self.num_steps, self.in_channels, self.image_size = num_steps, in_channels, image_size
        self.register_buffer("alpha_bar", cosine_schedule(num_steps), persistent=False)  # (T + 1,)
        time_size = 2 * width
        self.time = nn.Sequential(nn.Linear(width, time_size), nn.SiLU(), nn.Linear(time_size, time_size))
        # Two by two pixels become channels: at full height a convolution costs four times as much.
        self.enter = nn.Conv2d(4 * in_channels, width, kernel_size=3, padding=1)
        self.high = Block(width, width, time_size)
        self.down = nn.Conv2d(width, 2 * width, kernel_size=3, stride=2, padding=1)
        self.low = nn.ModuleList([Block(2 * width, 2 * width, time_size) for _ in range(2)])
        self.up = nn.Conv2d(2 * width, width, kernel_size=1)
        self.joined = Block(2 * width, width, time_size)
        self.leave = nn.Sequential(
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, 4 * in_channels, kernel_size=3, padding=1)
        )
        self.width = width

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The noise that the network sees in `x_t`.

        Args:
            x_t: noisy images `(B, C, H, W)`.
            t: the step of each, int64 `(B,)`, 1 to `num_steps`.

        Returns:
            Noise `(B, C, H, W)`.
        """
        check_images(x_t, self.in_channels, self.image_size)
        time = self.time(sinusoids(t, self.width))  # (B, 2 width)
        high = self.high(self.enter(F.pixel_unshuffle(x_t, 2)), time)  # (B, width, H/2, W/2)
        low = self.down(high)  # (B, 2 width, H/4, W/4)
        for block in self.low:
            low = block(low, time)
        low = F.interpolate(self.up(low), size=high.shape[2:])  # (B, width, H/2, W/2)
        return F.pixel_shuffle(self.leave(self.joined(torch.cat([high, low], dim=1), time)), 2)

    def q_sample(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Images `(B, C, H, W)` as they are after the steps `t` `(B,)`, given the noise (equation 4 of the paper)."""
        kept = self.alpha_bar[t].view(-1, 1, 1, 1)
        return kept.sqrt() * x_0 + (1 - kept).sqrt() * noise

    def sample(self, n: int, steps: int = 100, seed: int | None = None) -> Tensor:
        """`n` new images `(n, C, H, W)`, pixels from -1 to 1, by going back from noise (algorithm 2 of the paper).

        Args:
            n: how many.
            steps: how many of the `num_steps` are taken, evenly spaced; fewer are faster and coarser.
            seed: for the same images again.

        Raises:
            ValueError: `steps` is not in 1 to `num_steps`.
        """
        if not 1 <= steps <= self.num_steps:
            raise ValueError(f"steps must lie in 1 to {self.num_steps} (num_steps), not be {steps}")
        place, generator = self.alpha_bar.device, seeded(seed)
        size = (n, self.in_channels, self.image_size, self.image_size)
        x = torch.randn(size, generator=generator).to(place)
        times = torch.linspace(self.num_steps, 0, steps + 1).round().long().tolist()
        with evaluating(self):
            for t, earlier in pairwise(times):
                mean, deviation = self.posterior(x, t, earlier)
                x = mean + deviation * torch.randn(size, generator=generator).to(place)
        return x

    def posterior(self, x_t: Tensor, t: int, earlier: int) -> tuple[Tensor, Tensor]:
        """Mean `(B, C, H, W)` and deviation () of the images at step `earlier`, seen from `t` (equations 6 and 7).

        The image that the noise leaves is kept to pixels from -1 to 1.
        """
        kept, kept_earlier = self.alpha_bar[t], self.alpha_bar[earlier]
        noise = self(x_t, torch.full((len(x_t),), t, device=x_t.device)).float()
        x_0 = ((x_t - (1 - kept).sqrt() * noise) / kept.sqrt()).clamp(-1, 1)
        alpha = kept / kept_earlier
        mean = kept_earlier.sqrt() * (1 - alpha) * x_0 + alpha.sqrt() * (1 - kept_earlier) * x_t
        return mean / (1 - kept), ((1 - alpha) * (1 - kept_earlier) / (1 - kept)).sqrt()


class Block(nn.Module):
    """Two convolutions with a shortcut around them (He et al. 2016); the time scales and shifts what is between."""

    def __init__(self, in_channels: int, out_channels: int, time_size: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, in_channels), nn.GroupNorm(8, out_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        self.time = nn.Linear(time_size, 2 * out_channels)
        self.shortcut = (
            nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(self, X: Tensor, time: Tensor) -> Tensor:
        """Maps `(B, in_channels, H, W)` and times `(B, time_size)` to maps `(B, out_channels, H, W)`."""
        scale, shift = self.time(F.silu(time))[:, :, None, None].chunk(2, dim=1)
        H = self.conv1(F.silu(self.norm1(X)))
        H = self.conv2(F.silu(self.norm2(H) * (1 + scale) + shift))
        return self.shortcut(X) + H


def cosine_schedule(num_steps: int) -> Tensor:
    """alpha_bar of steps 0 to `num_steps`, `(num_steps + 1,)`, from 1 down to almost 0 (Nichol and Dhariwal 2021, equation 17)."""
    t = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    angle = (t + 0.008) / 1.008 * math.pi / 2
    alpha_bar = (angle.cos() / angle[0].cos()).square()
    alpha = (alpha_bar[1:] / alpha_bar[:-1]).clamp(min=0.001)  # no step is all noise
    return torch.cat([torch.ones(1), alpha.cumprod(0)]).float()


def sinusoids(t: Tensor, size: int) -> Tensor:
    """Steps `(B,)` as sines and cosines of `size` / 2 frequencies, `(B, size)` (Vaswani et al. 2017, section 3.5)."""
    frequency = torch.exp(-math.log(10000) * torch.arange(size // 2, device=t.device) / (size // 2))
    angle = t[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)
