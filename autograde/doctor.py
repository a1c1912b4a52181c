"""`autograde doctor`: what stands between submitted code and this machine, each wall tried here and now."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version

from nbformat.v4 import new_code_cell, new_notebook

from autograde import seccomp
from autograde.cgroups import ControlGroups
from autograde.course import DEFAULT_LIMITS, Limits
from autograde.errors import AutogradeError, IsolationError
from autograde.execute import execute
from autograde.kernels import ColdKernels, Kernels, furnished
from autograde.sandbox import check_isolation
from autograde.warm import WarmKernels
from coursekit.findings import Finding, Report

GRADING, SANDBOX, FURTHER = "Grading", "The sandbox", "Further walls"
LIMITS = Limits(**DEFAULT_LIMITS)
_DELEGATE = "as an ordinary user: `systemd-run --user --scope -p Delegate=yes autograde run ...`"
_TRY = """
import json, os, socket
try:
    interfaces = [name for _, name in socket.if_nameindex() if name != "lo"]
except OSError:
    interfaces = []
print(json.dumps({"user": os.getuid(), "interfaces": interfaces, "writable": os.access("/usr", os.W_OK)}))
"""
_NESTED = (
    "Ubuntu 24.04 and later: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`; "
    "else `sudo sysctl user.max_user_namespaces=10000`"
)


class GradingReport(Report):
    """What was found, for whoever grades."""

    purpose = "that grading needs"


def look_over() -> GradingReport:
    """Try everything; takes some seconds."""
    return GradingReport(_findings())


def _findings() -> Iterator[Finding]:
    yield Finding("nbgrader", True, f"{version('nbgrader')}, with {sys.executable}", group=GRADING)
    alembic = shutil.which("alembic")
    # With this nbgrader makes a gradebook.
    yield Finding("alembic", bool(alembic), alembic or "not found", "pip install alembic", group=GRADING)
    try:
        check_isolation()
        yield Finding("bubblewrap", True, "starts, without network, as an ordinary user", group=SANDBOX)
    except IsolationError as error:
        yield Finding("bubblewrap", False, "no sandbox", str(error), group=SANDBOX)
        return
    yield from _kernels()
    yield Finding(
        "limits of a process",
        True,
        f"{LIMITS.memory_mb} MB of data, {LIMITS.processes} processes, files of {LIMITS.disk_mb} MB (`[limits]` of autograde.toml)",
        group=SANDBOX,
    )
    yield Finding(
        "limits of time",
        True,
        f"{LIMITS.cell_seconds} s a cell, {LIMITS.notebook_seconds} s a notebook; the watchdog ends what goes on",
        group=SANDBOX,
    )
    yield from _further()


def _kernels() -> Iterator[Finding]:
    yield _sealed("a kernel from nothing", ColdKernels(LIMITS))
    with WarmKernels(LIMITS, ()) as warm:
        warm.begin()
        forks = warm.forks()
        if not forks:
            yield Finding("warm kernels", False, warm.reason, _NESTED, needed=False, group=SANDBOX)
            return
        yield _sealed("warm kernels", warm)


def _sealed(what: str, kernels: Kernels) -> Finding:
    """A notebook of one cell, which tells where it is."""
    start = time.monotonic()
    notebook = new_notebook(cells=[new_code_cell(_TRY)])
    try:
        outputs = execute(notebook, (), lambda: furnished(kernels, {}, {}), LIMITS).outputs[0]
    except AutogradeError as error:
        return Finding(
            what, False, str(error), "look at the text above; then file it as a bug", group=SANDBOX
        )
    seconds = time.monotonic() - start
    said = "".join(output.get("text", output.get("evalue", "")) for output in outputs)
    try:
        where = json.loads(said)
        well = where["user"] != 0 and not where["interfaces"] and not where["writable"]
    except ValueError:
        well = False
    found = (
        f"done in {seconds:.1f} s, as user {where['user']}, no network, system read-only" if well else said
    )
    return Finding(
        what, well, found, "this must not be: see docs/grading.md and do not grade here", group=SANDBOX
    )


def _further() -> Iterator[Finding]:
    try:
        calls = len(seccomp.compiled()) // 8
        yield Finding(
            "filter of system calls", True, f"in force ({calls} instructions, seccomp)", group=FURTHER
        )
    except IsolationError as error:
        yield Finding(
            "filter of system calls", False, str(error), seccomp.REMEDY, needed=False, group=FURTHER
        )
    what = "control groups"
    try:
        with ControlGroups(LIMITS) as groups:
            limited = ", ".join(str(base.parent) for base in groups.bases)
            yield Finding(
                what, True, f"in force: memory, processes and one core a kernel ({limited})", group=FURTHER
            )
    except IsolationError as error:
        yield Finding(
            what, False, f"{error}; limits of each process hold", _DELEGATE, needed=False, group=FURTHER
        )
