"""Time to an accuracy on MNIST: `fit` with its defaults against the textbook loop.

Both train the same LeNet, from the same weights, on the same device; the clock runs while they train and stands
while the test images are looked at, which happens after each epoch. `fit` trains on 55,000 images and validates on
5,000 (inside its time), the textbook loop trains on all 60,000. Without MNIST: the embedded 5,000 and a lower target.
"""

from __future__ import annotations

import struct
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks.result import Result, in_turn, medians
from coursekit.data import DataSet, load
from coursekit.models import get_model
from coursekit.train import Run, evaluate, fit
from coursekit.train.device import pick_device

TARGETS = {"mnist": 0.99, "mnist_5k": 0.95}
MOST_EPOCHS = 15  # of the textbook loop


class Clock:
    """Time spent training until the test accuracy reaches the target; inf when it never does."""

    def __init__(self, data: DataSet, target: float) -> None:
        self.data, self.target = data, target
        self.trained, self.started, self.reached, self.accuracy = 0.0, time.perf_counter(), float("inf"), 0.0

    def look(self, model: nn.Module) -> bool:
        self.trained += time.perf_counter() - self.started
        self.accuracy = evaluate(model, self.data.test).accuracy
        if self.accuracy >= self.target:
            self.reached = self.trained
        self.started = time.perf_counter()
        return self.accuracy >= self.target


def ours(data: DataSet, target: float, seed: int) -> Clock:
    model = new_model(seed)
    clock = Clock(data, target)

    def look(run: Run) -> None:
        if clock.look(run.model):
            run.stop("target")

    fit(model, data, seed=seed, callbacks=[look], progress=False)
    return clock


def textbook(data: DataSet, target: float, seed: int, folder: Path) -> Clock:
    from torchvision.datasets import MNIST
    from torchvision.transforms import Compose, Normalize, ToTensor

    device = pick_device()
    model = new_model(seed).to(device)
    clock = Clock(data, target)
    transform = Compose([ToTensor(), Normalize((data.mean,), (data.std,))])
    loader = DataLoader(MNIST(folder, train=True, transform=transform), batch_size=64, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(MOST_EPOCHS):
        model.train()
        for X, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(X.to(device)), y.to(device)).backward()
            optimizer.step()
        if clock.look(model):
            break
    return clock


def new_model(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return get_model("lenet")


def write_idx(path: Path, values: Tensor) -> None:
    """`values` (uint8) in the format of the MNIST files, which torchvision's MNIST reads."""
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.contiguous().numpy().tobytes())


def lay_out(data: DataSet, folder: Path) -> None:
    """Write `data` as torchvision's MNIST has it: training and validation images together are its training set."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, splits in (("train", (data.train, data.val)), ("t10k", (data.test,))):
        write_idx(raw / f"{part}-images-idx3-ubyte", torch.cat([split.images for split in splits]))
        write_idx(raw / f"{part}-labels-idx1-ubyte", torch.cat([split.y for split in splits]).to(torch.uint8))


def run(quick: bool) -> Result:
    data = load("mnist_5k" if quick else "mnist")
    target = TARGETS[data.name]
    print(f"{data.name}: time to {target:.1%} of its {len(data.test):,} test images", flush=True)
    last: dict[str, Clock] = {}

    with tempfile.TemporaryDirectory() as folder:
        lay_out(data, Path(folder))

        def timed(side: str, seed: int) -> float:
            mine = side == "ours"
            last[side] = ours(data, target, seed) if mine else textbook(data, target, seed, Path(folder))
            return last[side].reached

        sides = in_turn(lambda i: timed("ours", i), lambda i: timed("peer", i), 1 if quick else 3)
    quality = {side: clock.accuracy for side, clock in last.items()}
    detail = {"data": data.name, "target": target, "ours": sides[0], "peer": sides[1]}
    return Result("mnist", "s", *medians(sides), quality, detail)
