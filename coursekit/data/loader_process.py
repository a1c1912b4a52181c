"""A program of its own, which fetches files with the loader of torchvision or of `datasets`.

Neither loader has a time limit of its own, so `download.py` runs this file, watches its folder grow and may end it at
any moment. It reads one line of JSON, `{"torchvision": CLASS or null, "folder": PATH, "urls": {NAME: URL}}`, and leaves
the files in the folder PATH below the folder it is started in. `started` is made there when the loader is imported,
and `failed` with the loader's own words when it gives up. It ends when its input ends, that is with its parent.
"""

import json
import os
import sys
import threading
from pathlib import Path


def fetch_with_torchvision(kind: str, folder: Path, urls: dict[str, str]) -> None:
    """As `torchvision.datasets.KIND(root, download=True)`, from one mirror; what lies there already is not fetched."""
    from torchvision import datasets

    loader = getattr(datasets, kind)
    name, url = next(iter(urls.items()))
    loader.mirrors = [url.removesuffix(name)]
    # Its MD5 sums are left to the parent, which checks SHA-256.
    loader.resources = [(resource, None) for resource, _ in loader.resources]
    Path("started").touch()
    loader(Path(), download=True)


def fetch_with_datasets(folder: Path, urls: dict[str, str]) -> None:
    """With the download manager of `datasets`, through a cache of its own for each file."""
    import fsspec.implementations.http  # noqa: F401 - what the manager imports at its first request
    from datasets import DownloadConfig, DownloadManager

    Path("started").touch()
    for name, url in urls.items():
        cache = Path("cache", name).absolute()
        config = DownloadConfig(cache_dir=cache, use_etag=False, max_retries=0, disable_tqdm=True)
        Path(DownloadManager(download_config=config).download(url)).replace(folder / name)


def words(error: BaseException) -> str:
    """What began the failure: the last line of the first error in the chain."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> int:
    """Do the one job; the exit status is 0 when the loader was content."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder = Path(job["folder"])
    try:
        if job["torchvision"]:
            fetch_with_torchvision(job["torchvision"], folder, job["urls"])
        else:
            fetch_with_datasets(folder, job["urls"])
    except Exception as error:  # whatever it was: the parent says it to the user
        Path("failing").write_text(words(error), encoding="utf-8")
        Path("failing").replace("failed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
