"""A program of its own, which fetches a model's files from the Hugging Face hub with the library `huggingface_hub`.

The library has no time limit of its own for a server that trickles, so `hub.py` runs this file, watches its folder grow
and may end it at any moment. It reads one line of JSON, `{"repository": NAME, "files": [NAME, ...]}`, and leaves in the
folder it is started in: `started` when the library is imported, `listing.json` with what the hub says of each file
(size, and SHA-256 or git's hash), the files in the folder `files`, and `failed` with the library's own words when it
gives up. The library reads HF_ENDPOINT and HF_HUB_OFFLINE. It ends when its input ends, that is with its parent.
"""

import json
import os
import sys
import threading
from pathlib import Path

# The library's second protocol talks to other servers, which mirrors do not cover and whose pieces cannot be watched.
SETTINGS = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def fetch(repository: str, files: list[str]) -> None:
    """Those of `files` that the repository has, as they are now."""
    os.environ.update(SETTINGS)
    from huggingface_hub import HfApi, snapshot_download

    Path("started").touch()
    info = HfApi(token=False).model_info(repository, files_metadata=True)
    listing = [
        {
            "name": file.rfilename,
            "size": file.size,
            "sha256": file.lfs.sha256 if file.lfs else None,
            "git": file.blob_id,
        }
        for file in info.siblings or ()
        if file.rfilename in files
    ]
    _write("listing.json", json.dumps(listing))
    names = [str(file["name"]) for file in listing]
    if names:
        snapshot_download(
            repository,
            revision=info.sha,
            local_dir="files",
            allow_patterns=names,
            max_workers=1,
            token=False,  # no mirror is told the user's
        )


def words(error: BaseException) -> str:
    """What began the failure: the first line of the first error in the chain."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _write(name: str, text: str) -> None:
    Path(f"{name}.part").write_text(text, encoding="utf-8")
    Path(f"{name}.part").replace(name)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> int:
    """Do the one job; the exit status is 0 when the library was content."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        fetch(job["repository"], job["files"])
    except Exception as error:  # whatever it was: the parent says it to the user
        _write("failed", words(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
