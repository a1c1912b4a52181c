"""What a GAN's training did: the balance of its players epoch by epoch, and the same samples through time."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor

from coursekit.train.history import BaseHistory, evenly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_GRIDS = 20  # of samples in a file; of more epochs, evenly chosen ones
MOST_NUMBERS = 1_000_000  # in the grids of a file that someone else wrote


class Grid(NamedTuple):
    """Samples in 256 levels from `low` to `high`, so that those of many epochs take little room; `levels` is uint8 (N, ...)."""

    levels: Tensor
    low: float
    high: float

    @classmethod
    def of(cls, samples: Tensor) -> Grid:
        """The nearest levels of `samples`, (N, ...)."""
        samples = samples.detach().float().cpu()
        low, high = (float(end) for end in samples.aminmax())
        step = max(high - low, 1e-12) / 255
        return cls(((samples - low) / step).round().to(torch.uint8), low, high)

    @property
    def samples(self) -> Tensor:
        """As they were, to within half a level; float32 (N, ...)."""
        return self.low + self.levels.float() * ((self.high - self.low) / 255)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        packed = base64.b64encode(zlib.compress(self.levels.contiguous().numpy().tobytes())).decode()
        return {"shape": list(self.levels.shape), "low": self.low, "high": self.high, "levels": packed}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Grid:
        """The grid that `to_dict` described; ValueError where it is none, however large it would be."""
        shape = [int(n) for n in state["shape"]]
        size = 1
        for n in shape:
            size *= n
        if not 0 < size <= MOST_NUMBERS or min(shape) < 1:
            raise ValueError(f"a grid of samples of shape {shape} is too large or empty")
        unpack = zlib.decompressobj()
        try:
            values = unpack.decompress(base64.b64decode(state["levels"], validate=True), size + 1)
        except zlib.error as error:
            raise ValueError(f"the samples are damaged: {error}") from error
        if len(values) != size:
            raise ValueError(f"the samples have {len(values)} numbers, {size} were expected")
        levels = torch.frombuffer(bytearray(values), dtype=torch.uint8).reshape(shape)
        return cls(levels, float(state["low"]), float(state["high"]))


class GanHistory(BaseHistory):
    """What `fit_gan` returns: one row an epoch, as a list of dicts with the keys of `COLUMNS`.

    Means over the epoch while the weights change: the losses of both players; `real_output` and `fake_output`, what the
    discriminator says of real and of generated images as a probability of being real, the sigmoid of its logits (both 0.5:
    it cannot tell them apart); `discriminator_accuracy`, its share of right answers. `variety` is measured after the epoch:
    how far a sample is from the one most like it, as a share of what it is among as many real images (1: as
    varied as these; near 0: the generator has collapsed). `lr` is the generator's rate at the last step, `seconds` wall time.

    Attributes:
        warnings: collapse and divergence, as sentences, in the order in which they were noticed.
    """

    COLUMNS = (
        "epoch", "discriminator_loss", "generator_loss", "real_output", "fake_output", "discriminator_accuracy",
        "variety", "lr", "seconds",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []
        self.grids: list[tuple[int, Grid]] = []

    @property
    def samples(self) -> list[Tensor]:
        """The grid of samples after each epoch, each (N, C, H, W): the same noise (and classes) every time."""
        return [grid.samples for _, grid in self.grids]

    @property
    def sample_epochs(self) -> list[int]:
        """The epoch of each of `samples`; of a history that was loaded from a file, some may be left out."""
        return [epoch for epoch, _ in self.grids]

    def add_samples(self, epoch: int, samples: Tensor) -> None:
        """Keep the grid of an epoch, (N, C, H, W)."""
        self.grids.append((epoch, Grid.of(samples)))

    def plot(self) -> Figure:
        """The losses of both players and their balance over the epochs, as a matplotlib figure."""
        from coursekit.plot import players

        return players(self)

    def remark(self) -> str:
        """What is to be said about the run as a whole, in one line; "" when there is nothing."""
        return "; ".join([*filter(None, [super().remark()]), *self.warnings])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` gives an equal history back, with the samples of at most 20 epochs."""
        chosen = evenly(self.grids, MOST_GRIDS)
        grids = [{"epoch": epoch, **grid.to_dict()} for epoch, grid in chosen]
        return super().to_dict() | {"warnings": list(self.warnings), "samples": grids}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """The history that `to_dict` described.

        Raises:
            ValueError: `state` is not such a description (it may come from a file that someone else wrote).
        """
        history = super().from_dict(state)
        try:
            history.warnings = [str(warning) for warning in state["warnings"]]
            for grid in state["samples"][:MOST_GRIDS]:
                history.grids.append((int(grid["epoch"]), Grid.from_dict(grid)))
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"this is no history as to_dict writes it: {error!r}") from error
        return history
