"""`coursekit doctor`: is everything on this computer that the labs need?"""

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One line of `coursekit doctor`; what is not `needed` makes labs faster or nicer."""

    what: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True


def look_over() -> Iterable[Finding]:
    """What there is, one finding at a time: the slow ones come last."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer")
    try:
        import torch
        import torchvision
    except (ImportError, OSError) as error:  # OSError: a shared library of torch that does not load
        yield Finding("PyTorch", False, str(error), "pip install --force-reinstall torch torchvision")
        return
    yield Finding("PyTorch", True, f"torch {torch.__version__}, torchvision {torchvision.__version__}")
    yield from _look_at_hardware()
    yield from _look_at_extras()


def _look_at_hardware() -> Iterable[Finding]:
    import psutil

    from coursekit.train.device import pick_device

    device = pick_device().type
    note = "not needed: the labs run on the processor"
    yield Finding("GPU", device != "cpu", "none" if device == "cpu" else device, note, needed=False)
    memory = psutil.virtual_memory().total / 2**30
    yield Finding("memory", memory > 3.5, f"{memory:.1f} GB, {os.cpu_count()} cores", "4 GB are needed")
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield Finding("disk", free > 1, f"{free:.1f} GB free here", "make room: 1 GB is needed")


def _look_at_extras() -> Iterable[Finding]:
    import importlib.util

    from jupyter_client.kernelspec import KernelSpecManager

    from coursekit.data import list_datasets
    from coursekit.plot.style import cjk_font

    jupyter = bool(importlib.util.find_spec("jupyterlab"))
    yield Finding("JupyterLab", jupyter, "yes" if jupyter else "no", "pip install jupyterlab")
    specs: dict[str, Any] = KernelSpecManager().get_all_specs()
    kernel = specs.get("python3", {}).get("spec", {}).get("argv", [""])[0]
    # A bare "python" is whatever Python starts Jupyter, which is this one.
    ok = bool(kernel) and (not Path(kernel).is_absolute() or Path(kernel).exists())
    yield Finding(
        "Jupyter kernel", ok, kernel or "no kernel python3", "python -m ipykernel install --sys-prefix"
    )
    for info in list_datasets():
        remedy = f"coursekit data get {info.name}"
        found = info.available or "not here"
        yield Finding(info.name, info.available is not None, found, remedy, needed=False)
    font = cjk_font()
    yield Finding(
        "Chinese font",
        font is not None,
        font or "none",
        "labels in plots are English; or install Noto Sans CJK SC",
        False,
    )
