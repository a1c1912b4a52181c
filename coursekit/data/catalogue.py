"""What data sets there are, and where on this computer."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from coursekit.data.entries import ENTRIES, Entry
from coursekit.data.errors import DataError
from coursekit.data.places import missing, places

CATALOGUE: dict[str, Entry] = {entry.name: entry for entry in ENTRIES}


@dataclass(frozen=True)
class DatasetInfo:
    """What `list_datasets` says of a data set.

    Attributes:
        name: the name `load` takes.
        description: one line.
        size: bytes of its files.
        examples: number of examples, all splits together.
        classes: number of classes.
        licence: terms of use, as far as its makers state them.
        home: its page on the web.
        available: where it is on this computer; None when it has to be fetched.
    """

    name: str
    description: str
    size: int
    examples: int
    classes: int
    licence: str
    home: str
    available: str | None


class DatasetList(list[DatasetInfo]):
    """A list of `DatasetInfo` that prints as a table."""

    def __repr__(self) -> str:
        rows = [("name", "examples", "classes", "size", "here", "licence", "source")]
        rows += [
            (
                d.name,
                f"{d.examples:,}",
                f"{d.classes}",
                megabytes(d.size),
                d.available or "no",
                d.licence,
                d.home,
            )
            for d in self
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
        )


def megabytes(size: int) -> str:
    """`size` bytes in words: "11.6 MB"."""
    return f"{size / 1e6:.1f} MB"


def find(entry: Entry, root: str | Path | None = None) -> tuple[str, Path] | None:
    """The first place that has all files of `entry`: its name, and the folder the files are in."""
    if entry.embedded is not None:
        return entry.embedded()
    assert entry.files is not None  # what is not embedded has to come from somewhere
    for name, place in places(root):
        folder = place / entry.files.folder
        if not missing(folder, entry.files.names):
            return f"{name}, {place}", folder
    return None


def list_datasets() -> DatasetList:
    """Every data set `load` knows, with size, licence, source and whether it is on this computer."""
    infos = DatasetList()
    for e in CATALOGUE.values():
        found = find(e)
        here = found[0] if found else None
        infos.append(
            DatasetInfo(e.name, e.description, e.size, e.examples, len(e.classes), e.licence, e.home, here)
        )
    return infos


def entry_of(name: str) -> Entry:
    """The catalogue's entry `name`; a DataError says which there are."""
    if name not in CATALOGUE:
        close = difflib.get_close_matches(str(name), CATALOGUE, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise DataError(f"there is no data set called {name!r}: {hint}There are {', '.join(CATALOGUE)}.")
    return CATALOGUE[name]
