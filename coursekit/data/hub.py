"""Weights from the Hugging Face hub, on request only: a time limit, every file checked, all files or none."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coursekit.data.child import Arrived, fetch_in_child, size_of
from coursekit.data.download import TIMEOUT, progress_bar, sha256_of, sweep
from coursekit.data.errors import DataError
from coursekit.data.places import grading
from coursekit.data.pretrained_entries import FILES, WEIGHTS, Pretrained, ways_to_get

SLACK = 1_000_000  # bytes of the library's own notes beside the files


def fetch_weights(entry: Pretrained, folder: Path, timeout: float = TIMEOUT) -> None:
    """Download the files of `entry` into `folder`.

    The library `huggingface_hub` fetches them, from HF_ENDPOINT where that is set. They land in a temporary folder first
    and are moved when all are complete and checked, so a failure or Ctrl-C leaves nothing half-written.

    Args:
        entry: what to fetch.
        folder: where to put the files; it is made.
        timeout: seconds without progress after which it is given up.

    Raises:
        DataError: the hub did not serve a file, or served another one, or it cannot be written.
    """
    if grading():
        raise DataError(
            f"{entry.name} is not on this computer, and nothing is downloaded while a notebook is graded.\n"
            f"{ways_to_get(entry)}"
        )
    home = folder.parent
    try:
        home.mkdir(parents=True, exist_ok=True)
        sweep(home)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=home) as temporary:
            landed = Path(temporary) / "files"
            with progress_bar(entry.name, entry.size) as progress:
                refused = _transfer(entry, Path(temporary), timeout, progress) or _refusal(entry, landed)
            if refused:
                address = (
                    f"{os.environ.get('HF_ENDPOINT') or 'https://huggingface.co'}/{entry.repositories[0]}"
                )
                raise DataError(
                    f"{entry.name} could not be downloaded from {address}: {refused.rstrip('.')}.\n{ways_to_get(entry)}"
                )
            folder.mkdir(parents=True, exist_ok=True)
            # The weights last: without them a folder is not used.
            for name in sorted(FILES, key=WEIGHTS.__eq__):
                if (landed / name).is_file():
                    (landed / name).replace(folder / name)
    except OSError as error:
        raise DataError(
            f"{entry.name} cannot be written to {folder}: {error}. Name another folder: "
            f"coursekit data get {entry.name} --root FOLDER"
        ) from error


def _transfer(entry: Pretrained, folder: Path, timeout: float, progress: Callable[[int], object]) -> str:
    """Let the library fetch the files into `folder / "files"`; return why it stopped short, "" if it did not."""

    def look() -> Arrived:
        received = sum(size_of(path) for path in (folder / "files").rglob("*"))
        sizes = [file["size"] for file in _listing(folder)]
        total = sum(sizes) if sizes and None not in sizes else None
        too_much = total is not None and received > total + SLACK
        return Arrived(received, total, f"sent more than the {total:,} bytes there are" if too_much else "")

    job = {"repository": entry.repositories[0], "files": FILES}
    return fetch_in_child("huggingface_hub", job, folder, look, timeout, progress)


def _listing(folder: Path) -> list[dict[str, Any]]:
    """What the hub says of each file."""
    path = folder / "listing.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _refusal(entry: Pretrained, landed: Path) -> str:
    """Why what lies in `landed` is not what the hub lists; "" when it is."""
    listing = {file["name"]: file for file in _listing(landed.parent)}
    if WEIGHTS not in listing:
        return f"it has no {WEIGHTS}"
    for name, file in listing.items():
        path = landed / name
        if not path.is_file():
            return f"{name} did not come"
        size, digest = path.stat().st_size, sha256_of(path)
        expected = entry.sha256 if name == WEIGHTS and entry.sha256 else file["sha256"]
        if file["size"] not in (None, size):
            return f"{name} has {size:,} bytes, expected {file['size']:,}"
        if expected and digest != expected:
            return f"{name} has the wrong hash: SHA-256 {digest}, expected {expected}"
        if not expected and file["git"] not in (None, git_hash(path)):
            return f"{name} has the wrong hash: git {git_hash(path)}, expected {file['git']}"
    return ""


def git_hash(path: Path) -> str:
    """The name git gives to the content of a file."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
