"""Downloads, on request only: several addresses in turn, a time limit, a hash check, all files or none."""

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from coursekit.data.catalogue import entry_of, megabytes
from coursekit.data.errors import DataError
from coursekit.data.places import data_home, grading
from coursekit.data.sources import RemoteFile, Source
from coursekit.data.transfer import arrived, transfer

TIMEOUT = 30.0  # seconds without progress before the next address is tried
STALE = 24 * 3600  # seconds after which the temporary folder of a killed download is swept away


def fetch(
    name: str,
    source: Source | None = None,
    *,
    root: str | Path | None = None,
    timeout: float = TIMEOUT,
) -> Path:
    """Download the files of the data set `name`; return the folder they are in.

    The loader of torchvision or of `datasets` fetches them, as the `Source` says. A file that is there already and has
    the right hash is not fetched again. The files land in a temporary folder first and are moved when all are complete
    and checked, so a failure or Ctrl-C leaves nothing half-written.

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
    wanted = [file for file in source.files if sha256_of(folder / file.name) != file.sha256]
    if not wanted:
        return folder
    if grading():
        raise DataError(
            f"{name} is not on this computer, and nothing is downloaded while a notebook is graded.\n{offline_ways(name, source)}"
        )
    try:
        home.mkdir(parents=True, exist_ok=True)
        sweep(home)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=home) as temporary:
            landed = _fetch_files(name, source, wanted, folder, Path(temporary), timeout)
            for file, path in landed.items():
                (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
                path.replace(folder / file.name)
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


def _fetch_files(
    name: str, source: Source, wanted: list[RemoteFile], here: Path, temporary: Path, timeout: float
) -> dict[RemoteFile, Path]:
    """Try the mirrors in turn until each file has come whole and right from one of them; where they are, still apart."""
    landed: dict[RemoteFile, Path] = {}
    lacking, answers = wanted, []
    with progress_bar(name, sum(file.size for file in wanted)) as progress:
        for urls in source.addresses():
            folder = Path(tempfile.mkdtemp(dir=temporary))
            # Torchvision's loader wants all files in one folder, and fetches those that are not there.
            good = {file: here / file.name for file in source.files if file not in wanted} | landed
            for file in source.files:
                (folder / source.folder / file.name).parent.mkdir(parents=True, exist_ok=True)
            for file, path in good.items() if source.torchvision else ():
                shutil.copyfile(path, folder / source.folder / file.name)
            before = sum(path.stat().st_size for path in landed.values())

            def show(received: int, before: int = before) -> None:
                progress(before + received)

            stopped = transfer(source, lacking, urls, folder, timeout, show)
            refusals = {}
            for file in lacking:
                came = arrived(source, file, folder)
                if came is not None and sha256_of(came) == file.sha256:
                    landed[file] = came.replace(folder / source.folder / file.name)
                else:
                    refusals[file] = _refusal(file, came, stopped)
            progress(sum(path.stat().st_size for path in landed.values()))
            if not refusals:
                return landed
            lacking = list(refusals)
            # The first is what the loader was at when it failed; it may not have asked for those after it.
            answers.append(f"  {urls[lacking[0].name]}\n    {refusals[lacking[0]]}")
    tried = "\n".join(answers) or "  no address is known for it"
    raise DataError(
        f"{name}: {lacking[0].name} could not be downloaded. Tried\n{tried}\n{offline_ways(name, source)}"
    )


def _refusal(file: RemoteFile, path: Path | None, stopped: str) -> str:
    """Why what lies at `path` is not `file`; `stopped` says why its transfer ended early."""
    size = path.stat().st_size if path else 0
    if not path or not size:
        return stopped or "sent nothing"
    with path.open("rb") as content:
        begin = content.read(512).lstrip().lower()
    if begin.startswith((b"<!doctype", b"<html", b"<?xml")):
        return f"sent a web page of {size:,} bytes, not the file (a login or error page?)"
    if size > file.size:
        return f"sent more than the {file.size:,} bytes of the file"
    if stopped.startswith("stalled"):
        return stopped
    if size < file.size:
        return f"sent only {size:,} of {file.size:,} bytes"
    return f"sent a file with the wrong hash: SHA-256 {sha256_of(path)}, expected {file.sha256}"


Progress = Callable[[int], object]


@contextlib.contextmanager
def progress_bar(name: str, total: int) -> Iterator[Progress]:
    """A bar where someone is looking (a terminal or a notebook), else nothing; never on stderr. It takes the bytes so far."""
    in_notebook = "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None
    if not (sys.stdout.isatty() or in_notebook):
        yield lambda _: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=name, unit="B", unit_scale=True, file=sys.stdout) as bar:
        yield lambda received: bar.update(received - bar.n)


def sha256_of(path: Path) -> str | None:
    """The hash of a file, in hex; None, where there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep(home: Path) -> None:
    """Remove what a killed download left behind."""
    for folder in home.glob(".download-*"):
        if time.time() - folder.stat().st_mtime > STALE:
            shutil.rmtree(folder, ignore_errors=os.name == "nt")  # Windows: another process may hold it open
