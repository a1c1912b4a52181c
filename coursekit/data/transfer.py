"""One mirror's try at a data set's files."""

from collections.abc import Callable
from pathlib import Path

from coursekit.data.child import Arrived, fetch_in_child, size_of
from coursekit.data.sources import RemoteFile, Source


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
    total = sum(file.size for file in files)

    def look() -> Arrived:
        sizes = [size_of(arrived(source, file, folder)) for file in files]
        too_much = any(size > file.size for size, file in zip(sizes, files, strict=True))
        return Arrived(sum(sizes), total, "sent too much" if too_much else "")

    job = {"class": source.torchvision, "folder": source.folder, "urls": wanted}
    library = "torchvision" if source.torchvision else "datasets"
    return fetch_in_child(library, job, folder, look, timeout, progress)


def arrived(source: Source, file: RemoteFile, folder: Path) -> Path | None:
    """Where the bytes of `file` are, whole or in part; None while there are none."""
    landed = folder / source.folder / file.name
    if landed.is_file():
        return landed
    # That of the library `datasets`, which keeps notes and locks beside the file.
    cache = folder / "cache" / file.name
    parts = [path for path in cache.glob("*") if path.suffix not in (".json", ".lock")]
    return parts[0] if parts else None
