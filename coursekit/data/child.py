"""A library that fetches files, in a process of its own: watched, and ended when it stalls."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

SLOWEST = 5_000  # bytes a second; a server that trickles below this counts as hanging
START = 120.0  # seconds a library may take to be imported
POLL = 0.05  # seconds

PROGRAM = Path(__file__).with_name("fetch_process.py")


class Arrived(NamedTuple):
    """What a look at the folder of a fetching process shows.

    Attributes:
        received: bytes that are there.
        total: bytes there will be; None while that is not known.
        fault: why it makes no sense to go on; "" as long as it does.
    """

    received: int
    total: int | None
    fault: str = ""


def fetch_in_child(
    library: str,
    job: dict[str, Any],
    folder: Path,
    look: Callable[[], Arrived],
    timeout: float,
    progress: Callable[[int], object],
) -> str:
    """Let `library` do `job` in `folder`; return why it stopped short, "" if it did not.

    Args:
        library: one of those in `fetch_process.py`.
        job: what it needs to know; see there.
        folder: where the process is started.
        look: what has come so far.
        timeout: seconds without progress after which it is ended.
        progress: is told the bytes that have arrived so far.
    """
    # -P: a file of the user's called datasets.py is not taken for the library.
    with subprocess.Popen(
        [sys.executable, "-P", str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    ) as process:
        try:
            assert process.stdin is not None  # it is a pipe
            with contextlib.suppress(BrokenPipeError):  # it ended at once; its status says so
                process.stdin.write(json.dumps({"library": library} | job).encode() + b"\n")
                process.stdin.flush()
            stopped = _watch(process, library, folder, look, timeout, progress)
        finally:
            process.kill()
    failed = folder / "failed"
    if stopped or (process.returncode == 0 and not failed.exists()):
        return stopped
    said = (
        failed.read_text(encoding="utf-8") if failed.exists() else f"ended with status {process.returncode}"
    )
    return f"{library} says: {said}"


def size_of(path: Path | None) -> int:
    """Bytes of a file; 0 where there is none (any more)."""
    try:
        return path.stat().st_size if path is not None and path.is_file() else 0
    except FileNotFoundError:  # moved between two looks
        return 0


def _watch(
    process: "subprocess.Popen[bytes]",
    library: str,
    folder: Path,
    look: Callable[[], Arrived],
    timeout: float,
    progress: Callable[[int], object],
) -> str:
    """Wait for `process`; return why it has to be ended, "" when it ended by itself."""
    begin, started, before = time.monotonic(), False, 0
    while process.poll() is None and not (folder / "failed").exists():
        time.sleep(POLL)
        received, total, fault = look()
        progress(received)
        if fault:
            return fault
        now = time.monotonic()
        if not started:
            started = (folder / "started").exists()
            if not started and now - begin > START:
                return f"the library {library} was not imported within {START:g} s"
            begin = now if started else begin
        elif (total is None or received < total) and now - begin >= timeout:
            if received - before < SLOWEST * timeout:
                of_all = "" if total is None else f" of {total:,}"
                return f"stalled: {received - before:,} bytes in {timeout:g} s, {received:,}{of_all} in all"
            begin, before = now, received
    return ""
