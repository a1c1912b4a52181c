"""Downloads, on request only: several addresses in turn, a time limit, a hash check, all files or none."""

import contextlib
import hashlib
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from coursekit.data.catalogue import entry_of, megabytes
from coursekit.data.errors import DataError
from coursekit.data.places import data_home, grading
from coursekit.data.sources import RemoteFile, Source

TIMEOUT = 30.0  # seconds without progress before the next address is tried
SLOWEST = 5_000  # bytes a second; a server that trickles below this counts as hanging
CHUNK = 1 << 16
POLL = 0.1  # seconds; Windows notices Ctrl-C only between two waits
STALE = 24 * 3600  # seconds after which the temporary folder of a killed download is swept away

Progress = Callable[[int], object]


def fetch(
    name: str,
    source: Source | None = None,
    *,
    root: str | Path | None = None,
    timeout: float = TIMEOUT,
) -> Path:
    """Download the files of the data set `name`; return the folder they are in.

    A file that is there already and has the right hash is not fetched again. The files land in a temporary folder
    first and are moved when all are complete and checked, so a failure or Ctrl-C leaves nothing half-written.

    Args:
        name: one of those in `list_datasets()`; any name when `source` is given.
        source: the files and their addresses; None takes those of the catalogue.
        root: the folder to put them in; None is the user's cache.
        timeout: seconds without progress after which the next address is tried.

    Raises:
        DataError: no address served a file, or it cannot be written; the message names every address and its answer.
    """
    if source is None:
        source = entry_of(name).files
    if source is None:
        raise DataError(f'{name} needs no download: it comes with coursekit. Use load("{name}").')
    home = data_home() if root is None else Path(root).expanduser()
    folder = home / source.folder
    wanted = [file for file in source.files if _sha256(folder / file.name) != file.sha256]
    if not wanted:
        return folder
    if grading():
        raise DataError(
            f"{name} is not on this computer, and nothing is downloaded while a notebook is graded.\n{offline_ways(name, source)}"
        )
    try:
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=home) as temporary:
            with _progress_bar(name, sum(file.size for file in wanted)) as progress:
                for file in wanted:
                    _fetch_file(name, source, file, Path(temporary) / file.name, timeout, progress)
            folder.mkdir(parents=True, exist_ok=True)
            for file in wanted:
                (Path(temporary) / file.name).replace(folder / file.name)
    except OSError as error:
        raise DataError(
            f"{name} cannot be written to {home}: {error}. Name another folder: coursekit data get {name} --root FOLDER, "
            f'or load("{name}", root=FOLDER, download=True).'
        ) from error
    return folder


def offline_ways(name: str, source: Source | None = None) -> str:
    """How to get the data set `name` without this computer reaching the web."""
    source = source or entry_of(name).files
    assert source is not None  # an embedded set never has to be fetched
    lines = [
        f'To get it ({megabytes(source.size)}): load("{name}", download=True) or `coursekit data get {name}`.',
        f"Without the network, take the folder {source.folder} ({', '.join(source.names)}) from someone who has it, and",
        f"  1. put it into {data_home()}, or",
        "  2. put it anywhere and set COURSEKIT_HOME to the folder above it, or",
        f'  3. put it anywhere and call load("{name}", root=FOLDER) with the folder above it.',
        "Where only some servers can be reached, set COURSEKIT_MIRROR to the address of one that has these folders.",
    ]
    return "\n".join(lines)


def _fetch_file(
    name: str, source: Source, file: RemoteFile, target: Path, timeout: float, progress: Progress
) -> None:
    """Try the addresses of `file` in turn until one gives it whole and right."""
    answers = []
    for url in source.addresses(file):
        received = 0
        digest = hashlib.sha256()
        try:
            with target.open("wb") as out:
                for chunk in _receive(url, file.size, timeout):
                    out.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    progress(len(chunk))
            _check(file, received, digest.hexdigest(), target)
            return
        except _RefusedError as refusal:
            progress(-received)
            target.unlink(missing_ok=True)
            answers.append(f"  {url}\n    {refusal}")
    tried = "\n".join(answers) or "  no address is known for it"
    raise DataError(
        f"{name}: {file.name} could not be downloaded. Tried\n{tried}\n{offline_ways(name, source)}"
    )


class _RefusedError(Exception):
    """One address did not give the file; the message says what it did."""


def _check(file: RemoteFile, received: int, sha256: str, path: Path) -> None:
    """Raise `_RefusedError` unless what came is the file."""
    if received == file.size and sha256 == file.sha256:
        return
    with path.open("rb") as content:
        begin = content.read(512).lstrip().lower()
    if begin.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise _RefusedError(f"sent a web page of {received:,} bytes, not the file (a login or error page?)")
    if received < file.size:
        raise _RefusedError(f"sent only {received:,} of {file.size:,} bytes")
    if received > file.size:
        raise _RefusedError(f"sent more than the {file.size:,} bytes of the file")
    raise _RefusedError(f"sent a file with the wrong hash: SHA-256 {sha256}, expected {file.sha256}")


def _receive(url: str, size: int, timeout: float) -> Iterator[bytes]:
    """The content of `url` in chunks, at most one beyond `size` bytes; raise `_RefusedError` when the server fails or stalls.

    torchvision's `download_url` is not used: it has no time limit, takes a cut-off answer for a whole one, goes from
    https to http by itself, and always draws its progress bar on stderr. A socket's own timeout is not enough either,
    since name look-up ignores it and every byte that trickles in renews it. So a thread does the reading, and this
    side, which alone holds the file, counts what arrives and can leave at any moment, by Ctrl-C too.
    """
    if not url.startswith(("http://", "https://")):
        raise _RefusedError("is not an http or https address")
    chunks: queue.Queue[bytes | Exception | None] = queue.Queue(maxsize=16)
    left = threading.Event()
    threading.Thread(target=_read_into, args=(chunks, left, url, timeout), daemon=True).start()
    try:
        received = in_window = 0
        window_end = time.monotonic() + timeout
        while received <= size:
            with contextlib.suppress(queue.Empty):
                item = chunks.get(timeout=POLL)
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise _RefusedError(_in_words(item, timeout)) from item
                received += len(item)
                in_window += len(item)
                yield item
            if time.monotonic() >= window_end:
                if in_window < SLOWEST * timeout:
                    raise _RefusedError(
                        f"stalled: {in_window:,} bytes in {timeout:g} s, {received:,} of {size:,} in all"
                    )
                window_end, in_window = time.monotonic() + timeout, 0
    finally:
        left.set()


def _read_into(
    chunks: "queue.Queue[bytes | Exception | None]", left: threading.Event, url: str, timeout: float
) -> None:
    """The reading thread: puts chunks, then None at the end or the exception that ended it."""

    def put(item: bytes | Exception | None) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                chunks.put(item, timeout=0.1)
                return

    try:
        headers = {"User-Agent": "coursekit", "Accept-Encoding": "identity"}
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=timeout
        ) as response:
            while not left.is_set() and (chunk := response.read1(CHUNK)):
                put(chunk)
        put(None)
    except Exception as error:  # handed over whole: the other side says it in words
        put(error)


def _in_words(error: Exception, timeout: float) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"answered {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return f"did not answer within {timeout:g} s"
    return f"cannot be reached: {reason}" if isinstance(reason, OSError) else f"failed: {error!r}"


@contextlib.contextmanager
def _progress_bar(name: str, total: int) -> Iterator[Progress]:
    """A bar where someone is looking (a terminal or a notebook), else nothing; never on stderr."""
    in_notebook = "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None
    if not (sys.stdout.isatty() or in_notebook):
        yield lambda _: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=name, unit="B", unit_scale=True, file=sys.stdout) as bar:
        yield bar.update


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sweep(home: Path) -> None:
    """Remove what a killed download left behind."""
    for folder in home.glob(".download-*"):
        if time.time() - folder.stat().st_mtime > STALE:
            shutil.rmtree(folder, ignore_errors=os.name == "nt")  # Windows: another process may hold it open
