"""Where files of a data set may lie: a folder given, `$COURSEKIT_HOME`, the user's cache."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import platformdirs


def data_home() -> Path:
    """The user's cache folder for data, where downloads go. It need not exist yet."""
    return platformdirs.user_cache_path("coursekit") / "data"


def places(root: str | Path | None = None) -> Iterator[tuple[str, Path]]:
    """The folders to look in, in order, each with its name for messages."""
    if root is not None:
        yield "the folder given", Path(root).expanduser()
    if os.environ.get("COURSEKIT_HOME"):
        yield "$COURSEKIT_HOME", Path(os.environ["COURSEKIT_HOME"]).expanduser()
    yield "the user cache", data_home()


def missing(folder: Path, names: Iterable[str]) -> list[str]:
    """Which of the files `names` are not in `folder`, neither packed nor unpacked."""
    return [name for name in names if present(folder, name) is None]


def present(folder: Path, name: str) -> Path | None:
    """The file `name` (which ends in .gz) in `folder`, or its unpacked form, or None."""
    packed = folder / name
    return next((path for path in (packed.with_suffix(""), packed) if path.is_file()), None)


def grading() -> bool:
    """Whether nbgrader runs this notebook: then nothing is printed and the network is never used."""
    return bool(os.environ.get("NBGRADER_EXECUTION"))
