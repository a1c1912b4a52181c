"""A program of its own, which fetches files with torchvision, `datasets` or `huggingface_hub`.

None of them has a time limit of its own for a server that trickles, so `child.py` runs this file, watches its folder grow
and may end it at any moment. It reads one line of JSON, a job, and leaves the files below the folder it is started in.
`started` is made there when the library is imported, and `failed` with the library's own words when it gives up. It ends
when its input ends, that is with its parent.

A job has "library", and for torchvision and `datasets` "folder", where the files go, and "urls", their addresses by name;
for torchvision "class", that of `torchvision.datasets`; for `huggingface_hub` "repository" and "files", their names.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

# The hub's second protocol talks to other servers, which mirrors do not cover and whose pieces cannot be watched.
SETTINGS = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def with_torchvision(job: dict[str, Any]) -> None:
    """As `torchvision.datasets.CLASS(root, download=True)`, from one mirror; what lies there already is not fetched."""
    from torchvision import datasets

    loader = getattr(datasets, job["class"])
    name, url = next(iter(job["urls"].items()))
    loader.mirrors = [url.removesuffix(name)]
    # Its MD5 sums are left to the parent, which checks SHA-256.
    loader.resources = [(resource, None) for resource, _ in loader.resources]
    Path("started").touch()
    loader(Path(), download=True)


def with_datasets(job: dict[str, Any]) -> None:
    """With the download manager of `datasets`, through a cache of its own for each file."""
    import fsspec.implementations.http  # noqa: F401 - what the manager imports at its first request
    from datasets import DownloadConfig, DownloadManager

    Path("started").touch()
    for name, url in job["urls"].items():
        cache = Path("cache", name).absolute()
        config = DownloadConfig(cache_dir=cache, use_etag=False, max_retries=0, disable_tqdm=True)
        Path(DownloadManager(download_config=config).download(url)).replace(Path(job["folder"], name))


def with_huggingface_hub(job: dict[str, Any]) -> None:
    """Those of the files that the repository has, as they are now, into the folder `files`.

    `listing.json` is what the hub says of each: size, and SHA-256 or git's hash. The library reads HF_ENDPOINT and
    HF_HUB_OFFLINE.
    """
    os.environ.update(SETTINGS)
    from huggingface_hub import HfApi, snapshot_download

    Path("started").touch()
    info = HfApi(token=False).model_info(job["repository"], files_metadata=True)
    listing = [
        {
            "name": file.rfilename,
            "size": file.size,
            "sha256": file.lfs.sha256 if file.lfs else None,
            "git": file.blob_id,
        }
        for file in info.siblings or ()
        if file.rfilename in job["files"]
    ]
    write("listing.json", json.dumps(listing))
    names = [str(file["name"]) for file in listing]
    if names:
        snapshot_download(
            job["repository"],
            revision=info.sha,
            local_dir="files",
            allow_patterns=names,
            max_workers=1,
            token=False,  # no mirror is told the user's
        )


# Each library, and which line of its error says what is wrong.
LIBRARIES = {
    "torchvision": (with_torchvision, -1),
    "datasets": (with_datasets, -1),
    "huggingface_hub": (with_huggingface_hub, 0),
}


def words(error: BaseException, line: int) -> str:
    """What began the failure: one line of the first error in the chain."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    found = [text.strip() for text in str(error).splitlines() if text.strip()]
    return found[line] if found else type(error).__name__


def write(name: str, text: str) -> None:
    """Write a file that is never seen half-written."""
    Path(f"{name}.part").write_text(text, encoding="utf-8")
    Path(f"{name}.part").replace(name)


def end_with_parent() -> None:
    """Wait until the parent closes the input, at the latest by its own end."""
    sys.stdin.read()
    os._exit(1)


def main() -> int:
    """Do the one job; the exit status is 0 when the library was content."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_parent, daemon=True).start()
    fetch, line = LIBRARIES[job["library"]]
    try:
        fetch(job)
    except Exception as error:  # whatever it was: the parent says it to the user
        write("failed", words(error, line))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
