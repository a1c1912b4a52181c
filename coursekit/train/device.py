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
    """The device asked for; by itself CUDA, then MPS, then CPU, and always CPU under grading."""
    if device is not None:
        return torch.device(device)
    if under_grading():
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def pick_precision(precision: str, device: torch.device) -> torch.dtype:
    """`torch.bfloat16` or `torch.float32`; "auto" takes bfloat16 where the hardware multiplies it natively."""
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; there are {', '.join(PRECISIONS)}")
    if precision == "auto":
        return torch.bfloat16 if has_bf16(device) else torch.float32
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


def say_device(device: torch.device, dtype: torch.dtype) -> None:
    """Say once a process, in one line on stdout, what trains; silent under grading."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    threads = torch.get_num_threads()
    detail = f", {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else ""
    line = f"Training on {name}{detail}, {str(dtype).removeprefix('torch.')}."
    if line not in _said and not under_grading():
        _said.add(line)
        print(line)
