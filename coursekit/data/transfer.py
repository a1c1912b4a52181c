"""One mirror's try at a data set's files: the loader in a process of its own, watched, and ended when it stalls."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from coursekit.data.sources import RemoteFile, Source

SLOWEST = 5_000  # bytes a second; a server that trickles below this counts as hanging
START = 120.0  # seconds a loader may take to be imported
POLL = 0.05  # seconds

PROGRAM = Path(__file__).with_name("loader_process.py")


def transfer(
    source: Source,
    files: list[RemoteFile],
    urls: dict[str, str],
    folder: Path,
    timeout: float,
    progress: Callable[[int], object],
) -> str:
    """Let the loader of `source` fetch `files` into `folder / source.folder`; return why it stopped short, "" if it did not.

    `folder / source.folder` is there; what came is not checked here. `progress` is told the bytes that have arrived so far.
    """
    wanted = {file.name: urls[file.name] for file in files}
    strange = [url for url in wanted.values() if not url.startswith(("http://", "https://"))]
    if strange:
        return f"{strange[0]} is not an http or https address"
    job = {"torchvision": source.torchvision, "folder": source.folder, "urls": wanted}
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
                process.stdin.write(json.dumps(job).encode() + b"\n")
                process.stdin.flush()
            stopped = _watch(process, source, files, folder, timeout, progress)
        finally:
            process.kill()
    failed = folder / "failed"
    if stopped or (process.returncode == 0 and not failed.exists()):
        return stopped
    said = (
        failed.read_text(encoding="utf-8") if failed.exists() else f"ended with status {process.returncode}"
    )
    return f"{'torchvision' if source.torchvision else 'datasets'} says: {said}"


def arrived(source: Source, file: RemoteFile, folder: Path) -> Path | None:
    """Where the bytes of `file` are, whole or in part; None while there are none."""
    landed = folder / source.folder / file.name
    if landed.is_file():
        return landed
    cache = (
        folder / "cache" / file.name
    )  # of the library `datasets`, which keeps notes and locks beside the file
    parts = [path for path in cache.glob("*") if path.suffix not in (".json", ".lock")]
    return parts[0] if parts else None


def _watch(
    process: "subprocess.Popen[bytes]",
    source: Source,
    files: list[RemoteFile],
    folder: Path,
    timeout: float,
    progress: Callable[[int], object],
) -> str:
    """Wait for `process`; return why it has to be ended, "" when it ended by itself."""
    total = sum(file.size for file in files)
    begin, started, before = time.monotonic(), False, 0
    while process.poll() is None and not (folder / "failed").exists():
        time.sleep(POLL)
        sizes = [_size(arrived(source, file, folder)) for file in files]
        received = sum(sizes)
        progress(received)
        if any(size > file.size for size, file in zip(sizes, files, strict=True)):
            return "sent too much"
        now = time.monotonic()
        if not started:
            started = (folder / "started").exists()
            if not started and now - begin > START:
                return f"the loader was not imported within {START:g} s"
            begin = now if started else begin
        elif received < total and now - begin >= timeout:
            if received - before < SLOWEST * timeout:
                return (
                    f"stalled: {received - before:,} bytes in {timeout:g} s, {received:,} of {total:,} in all"
                )
            begin, before = now, received
    return ""


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path else 0
    except FileNotFoundError:  # moved between two looks
        return 0
