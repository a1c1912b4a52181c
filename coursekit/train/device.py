"""Where and how precisely to compute, and whether a grader is watching."""

from __future__ import annotations

import contextlib
import os
import sys
from contextlib import AbstractContextManager

import torch

PRECISIONS = ("auto", "bf16", "fp32")
_said: set[str] = set()


def under_grading() -> bool:
    """Whether nbgrader runs this notebook (it sets `NBGRADER_EXECUTION`): then nothing is drawn or downloaded."""
    return bool(os.environ.get("NBGRADER_EXECUTION"))


def in_notebook() -> bool:
    """Whether there is a Jupyter kernel to send rich displays to."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for; by itself CUDA, then MPS, then CPU, and always CPU under grading.

    Each process that `torchrun` starts on a machine gets a GPU of its own.

    Raises:
        ValueError: there are more such processes than GPUs.
    """
    local = local_rank()
    if device is not None:
        chosen = torch.device(device)
    elif under_grading():
        chosen = torch.device("cpu")
    elif torch.cuda.is_available():
        chosen = torch.device("cuda")
    elif torch.backends.mps.is_available() and local is None:
        chosen = torch.device("mps")
    else:
        chosen = torch.device("cpu")
    if chosen.type != "cuda" or chosen.index is not None or local is None:
        return chosen
    if local >= torch.cuda.device_count():
        raise ValueError(
            f"process {local} of this machine has no GPU of its own, there are {torch.cuda.device_count()}: start as "
            "many processes (torchrun --nproc-per-node gpu), or train on the CPU with device='cpu'"
        )
    return torch.device("cuda", local)


def local_rank() -> int | None:
    """The number of this process on its machine, where `torchrun` started several; else None."""
    if under_grading() or int(os.environ.get("WORLD_SIZE") or 1) < 2:
        return None
    return int(os.environ["LOCAL_RANK"]) if "LOCAL_RANK" in os.environ else None


def pick_precision(precision: str, device: torch.device) -> torch.dtype:
    """`torch.bfloat16` or `torch.float32`; "auto" takes bfloat16 where the hardware multiplies it natively.

    Under grading it is float32 on every CPU, so that marks do not depend on the grader's processor.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; there are {', '.join(PRECISIONS)}")
    if precision == "auto":
        exact = device.type == "cpu" and under_grading()
        return torch.bfloat16 if not exact and has_bf16(device) else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def has_bf16(device: torch.device) -> bool:
    """Whether `device` has bfloat16 instructions (emulation, which is slower than float32, does not count)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Automatic mixed precision; nothing at all for float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def say_device(device: torch.device, dtype: torch.dtype, processes: int = 1) -> None:
    """Say once a process, in one line on stdout, what trains; silent under grading."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    threads = torch.get_num_threads()
    detail = f", {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else ""
    name = name if processes == 1 else f"{processes} processes, {name}"
    line = f"Training on {name}{detail}, {str(dtype).removeprefix('torch.')}."
    if line not in _said and not under_grading():
        _said.add(line)
        print(line)
