"""Pretrained encoders by name: the first place that has one, `find_pretrained`, and its word pieces."""

import contextlib
import difflib
import functools
import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coursekit.data.catalogue import megabytes
from coursekit.data.download import TIMEOUT, sha256_of
from coursekit.data.errors import DataError
from coursekit.data.hub import fetch_weights
from coursekit.data.places import grading
from coursekit.data.pretrained_entries import PRETRAINED, WEIGHTS, Pretrained, models_home, ways_to_get
from coursekit.data.tiny import TINY, tiny_wordpieces
from coursekit.data.wordpieces import WordPieces

_said: set[tuple[str, Path]] = set()


@dataclass(frozen=True)
class PretrainedInfo:
    """What `list_pretrained` says of an encoder.

    Attributes:
        name: the name `find_pretrained` takes.
        description: one line.
        size: bytes of its weights.
        licence: as its makers state it.
        home: its page on the web.
        available: where it is on this computer; None when it has to be fetched.
    """

    name: str
    description: str
    size: int
    licence: str
    home: str
    available: str | None


class PretrainedList(list[PretrainedInfo]):
    """A list of `PretrainedInfo` that prints as a table."""

    def __repr__(self) -> str:
        rows = [("name", "size", "here", "licence", "description")]
        rows += [(p.name, megabytes(p.size), p.available or "no", p.licence, p.description) for p in self]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
        )


def list_pretrained() -> PretrainedList:
    """Every pretrained encoder there is a name for, with size, licence and whether it is on this computer."""
    infos = PretrainedList()
    for e in PRETRAINED.values():
        here = None
        with contextlib.suppress(DataError):  # damaged is as good as not here
            here = where_is(e)
        infos.append(PretrainedInfo(e.name, e.description, e.size, e.licence, e.home, here))
    return infos


def find_pretrained(
    name: str | Path,
    *,
    root: str | Path | None = None,
    download: bool = False,
    timeout: float = TIMEOUT,
) -> Path:
    """The folder with `config.json`, `model.safetensors` and `vocab.txt` or `tokenizer.json` of a pretrained encoder.

    It is the first that has these files: `root/NAME`, `$COURSEKIT_HOME/models/NAME`, the user's cache, a pip package
    (whose code is not run), the cache of `transformers`. One printed line says which it was. The network is used only
    with `download=True`, and only when no place has it. Weights are read from safetensors only: the older format,
    `pytorch_model.bin`, can run code when it is opened.

    Args:
        name: one of those in `list_pretrained()`, or the path of a folder.
        root: a folder with a folder NAME in it.
        download: fetch what no place has from the hub, into `root/NAME` or the user's cache.
        timeout: seconds without progress after which a download is given up.

    Raises:
        DataError: there is no such encoder, no place has it, its weights are damaged, or the download failed.
    """
    entry = PRETRAINED.get(str(name))
    if entry is None:
        return _folder_given(name)
    lacking = []
    for where, folder, sha256 in _places(entry, root):
        lacks = _lacks(folder)
        if not lacks:
            _check(folder / WEIGHTS, sha256)
            _say(entry, where, folder)
            return folder
        lacking.append(f"  {where}: {lacks}")
    if not download:
        places = "\n".join(lacking)
        raise DataError(f"{name} is not on this computer:\n{places}\n{ways_to_get(entry)}")
    return fetch_pretrained(entry.name, root=root, timeout=timeout)


def fetch_pretrained(name: str, *, root: str | Path | None = None, timeout: float = TIMEOUT) -> Path:
    """Download a pretrained encoder from the hub, or from the mirror HF_ENDPOINT; return the folder it is in.

    Args:
        name: one of those in `list_pretrained()`.
        root: its folder is `root/NAME`; None is the user's cache. What is there whole already is not fetched again.
        timeout: seconds without progress after which it is given up.

    Raises:
        DataError: the download failed, or what is there already is damaged.
    """
    entry = PRETRAINED[name]
    folder = (models_home() if root is None else Path(root).expanduser()) / name
    if _lacks(folder):
        fetch_weights(entry, folder, timeout)
    _check(folder / WEIGHTS)
    return folder


def where_is(entry: Pretrained) -> str | None:
    """The name of the first place that has `entry`, or None. Nothing is printed or fetched.

    Raises:
        DataError: its weights there are damaged.
    """
    for where, folder, sha256 in _places(entry):
        if not _lacks(folder):
            _check(folder / WEIGHTS, sha256)
            return where
    return None


def load_wordpieces(
    name: str | Path, *, root: str | Path | None = None, download: bool = False
) -> WordPieces:
    """The word pieces of a pretrained encoder.

    Args:
        name, root, download: as of `find_pretrained`. "bert-tiny", for tests, has 4,000 pieces made from the words of
            `reviews_en`, and needs no files.

    Raises:
        DataError: as of `find_pretrained`, or the files of the word pieces are damaged.
    """
    if name == TINY:
        return tiny_wordpieces()
    return WordPieces.read(find_pretrained(name, root=root, download=download), str(name))


def _folder_given(name: str | Path) -> Path:
    """The folder with the path `name`, where it holds an encoder."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        lacks = _lacks(folder)
        if lacks:
            raise DataError(f"{folder}: {lacks}")
        _check(folder / WEIGHTS)
        return folder
    if str(name) == TINY:
        raise DataError(f'{TINY} has random weights and no files; load_encoder("{TINY}") makes it')
    close = difflib.get_close_matches(str(name), PRETRAINED, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise DataError(
        f"there are no pretrained weights called {str(name)!r}, nor a folder of that name: {hint}"
        f"There are {', '.join(PRETRAINED)}; or pass the path of a folder."
    )


def _places(entry: Pretrained, root: str | Path | None = None) -> Iterator[tuple[str, Path, str | None]]:
    """The folders to look in, in order, each with its name for messages, and the hash its weights must have."""
    homes = [("the user cache", models_home())]
    if os.environ.get("COURSEKIT_HOME"):
        homes.insert(0, ("$COURSEKIT_HOME", Path(os.environ["COURSEKIT_HOME"]).expanduser() / "models"))
    if root is not None:
        homes.insert(0, ("the folder given", Path(root).expanduser()))
    for where, home in homes:
        yield f"{where}, {home}", home / entry.name, None
    if entry.package:
        spec = importlib.util.find_spec(entry.package.module)  # finds it, and does not import it
        for place in (spec and spec.submodule_search_locations) or ():
            # Anyone may publish a package, so this one's weights must be the known ones.
            yield f"the pip package {entry.package.name}", Path(place) / entry.package.folder, entry.sha256
    from huggingface_hub import constants

    if Path(constants.HF_HUB_CACHE).is_dir():
        from huggingface_hub import try_to_load_from_cache

        for repository in entry.repositories:
            path = try_to_load_from_cache(repository, WEIGHTS)
            if isinstance(path, str):
                yield f"the cache of transformers, {constants.HF_HUB_CACHE}", Path(path).parent, None


def _lacks(folder: Path) -> str:
    """What `folder` lacks to hold an encoder, "" when it lacks nothing."""
    if not folder.is_dir():
        return f"it has no folder {folder.name}"
    here = {path.name for path in folder.iterdir() if path.is_file()}
    if WEIGHTS not in here and (pickled := sorted(name for name in here if name.endswith(".bin"))):
        return (
            f"{folder} has {pickled[0]} but no {WEIGHTS}. A .bin file can run code when it is opened, so it is not. If you "
            'trust it, convert it once: python -c "from transformers import AutoModel; '
            f"AutoModel.from_pretrained(r'{folder}').save_pretrained(r'{folder}')\""
        )
    lacking = [name for name in ("config.json", WEIGHTS) if name not in here]
    if not here & {"vocab.txt", "tokenizer.json"}:
        lacking.append("vocab.txt (or tokenizer.json)")
    return f"{folder} has no {' and no '.join(lacking)}" if lacking else ""


def _check(path: Path, sha256: str | None = None) -> None:
    """Refuse a safetensors file that is cut off or something else (its header says how long it has to be), or another."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = file.read(length) if length <= size else b""
    try:
        tensors = [tensor for key, tensor in json.loads(head).items() if key != "__metadata__"]
        expected = 8 + length + max(tensor["data_offsets"][1] for tensor in tensors)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(
            f"{path} is damaged: its {size:,} bytes do not begin as a safetensors file does (a web page, or what git "
            "keeps in place of a large file?). Delete it and get it again."
        ) from error
    if size != expected:
        raise DataError(
            f"{path} is damaged: it has {size:,} bytes, expected {expected:,}. Delete it and get it again."
        )
    if sha256 and (digest := _hash_once(path, size, path.stat().st_mtime_ns)) != sha256:
        raise DataError(
            f"{path} is not the file that was published: it has SHA-256 {digest}, expected {sha256}. Get it again."
        )


@functools.cache
def _hash_once(path: Path, size: int, changed: int) -> str | None:
    return sha256_of(path)


def _say(entry: Pretrained, where: str, folder: Path) -> None:
    """Say once a process where weights come from."""
    if not grading() and (entry.name, folder) not in _said:
        _said.add((entry.name, folder))
        print(f"{entry.name}: {megabytes((folder / WEIGHTS).stat().st_size)}, from {where}.")
