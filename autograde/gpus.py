"""GPUs of this machine: one notebook at a time has one, and sees no other."""

import glob
import os
import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autograde.errors import AutogradeError

# What every program needs that uses one, besides the node of the GPU itself.
COMMON = tuple(
    Path("/dev", name) for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
)
NODES = "/dev/nvidia[0-9]*"


@dataclass(frozen=True)
class Gpu:
    """One GPU: its number among those that this process may use, and its device."""

    index: int
    device: Path


class Gpus:
    """The GPUs, each lent to one notebook at a time."""

    def __init__(self, gpus: Sequence[Gpu]):
        self.count = len(gpus)
        self.free: queue.SimpleQueue[Gpu] = queue.SimpleQueue()
        for gpu in gpus:
            self.free.put(gpu)

    @contextmanager
    def one(self) -> Iterator[Gpu]:
        """One of them, as soon as one is free."""
        gpu = self.free.get()
        try:
            yield gpu
        finally:
            self.free.put(gpu)


def gpus_here() -> Gpus:
    """Those that this process may open, of which `CUDA_VISIBLE_DEVICES` chooses by number.

    `AUTOGRADE_GPU_NODES` is a pattern of their device nodes where they are called otherwise than /dev/nvidia0, 1, ...

    Raises:
        AutogradeError: when there is none.
    """
    pattern = os.environ.get("AUTOGRADE_GPU_NODES", NODES)
    nodes = [Path(name) for name in glob.glob(pattern)]  # noqa: PTH207 - pathlib takes no absolute pattern
    devices = [path for path in sorted(nodes, key=_number) if _opens(path)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    numbers = range(len(devices)) if visible is None else [int(n) for n in visible.split(",") if n.isdigit()]
    found = [Gpu(i, devices[i]) for i in numbers if i < len(devices)]
    if not found:
        raise AutogradeError(
            f"there is no GPU that may be used here (no {pattern} that opens, or CUDA_VISIBLE_DEVICES names none); "
            "without --gpu, notebooks are graded on the processor"
        )
    return Gpus(found)


def _number(node: Path) -> tuple[int, str]:
    return int("0" + "".join(filter(str.isdigit, node.name))), node.name


def _opens(path: Path) -> bool:
    """A cluster's scheduler may keep a device from us whose node is there."""
    try:
        os.close(os.open(path, os.O_RDWR))
    except OSError:
        return False
    return True
