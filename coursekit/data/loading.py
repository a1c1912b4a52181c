"""`load`: a data set by name, from the first place that has it."""

from pathlib import Path
from typing import Any, Literal, overload

import torch

from coursekit.data.catalogue import entry_of, find, megabytes
from coursekit.data.dataset import DataSet
from coursekit.data.download import TIMEOUT, fetch, offline_ways
from coursekit.data.entries import Entry
from coursekit.data.errors import DataError
from coursekit.data.pairs import PairDataSet
from coursekit.data.places import grading, missing, places
from coursekit.data.spans import SpanDataSet
from coursekit.data.tags import TagDataSet
from coursekit.data.text import Corpus, TextDataSet

Images = Literal["mnist", "mnist_5k", "fashion_mnist"]
Texts = Literal["reviews_en", "reviews_zh", "sst2", "chnsenticorp"]
Corpora = Literal["tinyshakespeare", "names"]
Pairs = Literal["rte"]
Tags = Literal["snips"]
Spans = Literal["xquad_en", "xquad_zh"]


@overload
def load(
    name: Images,
    *,
    root: str | Path | None = None,
    download: bool = False,
    timeout: float = TIMEOUT,
    device: torch.device | str | None = None,
) -> DataSet: ...
@overload
def load(
    name: Texts, *, root: str | Path | None = None, download: bool = False, timeout: float = TIMEOUT
) -> TextDataSet: ...
@overload
def load(
    name: Corpora, *, root: str | Path | None = None, download: bool = False, timeout: float = TIMEOUT
) -> Corpus: ...
@overload
def load(
    name: Pairs, *, root: str | Path | None = None, download: bool = False, timeout: float = TIMEOUT
) -> PairDataSet: ...
@overload
def load(
    name: Tags, *, root: str | Path | None = None, download: bool = False, timeout: float = TIMEOUT
) -> TagDataSet: ...
@overload
def load(
    name: Spans, *, root: str | Path | None = None, download: bool = False, timeout: float = TIMEOUT
) -> SpanDataSet: ...
@overload
def load(
    name: str,
    *,
    root: str | Path | None = None,
    download: bool = False,
    timeout: float = TIMEOUT,
    device: torch.device | str | None = None,
) -> Any: ...
def load(
    name: str,
    *,
    root: str | Path | None = None,
    download: bool = False,
    timeout: float = TIMEOUT,
    device: torch.device | str | None = None,
) -> Any:
    """The data set `name`: a `DataSet` of images, a `TextDataSet`, running text (a `Corpus`), or a set of pairs, tags or spans.

    It comes from the first place that has it: `root`, `$COURSEKIT_HOME`, the user's cache, the installed packages. One
    printed line says which it was. The network is used only with `download=True`, and only when no place has it.
    Where the whole is in none of them, `load("mnist")` gives the embedded `mnist_5k`, under that name, and says so.

    Args:
        name: one of those in `list_datasets()`.
        root: a folder with the files: images as torchvision lays them out, `root/MNIST/raw/*.gz`, unpacked or not;
            texts in `root/NAME`.
        download: fetch what no place has, into `root` or the user's cache.
        timeout: seconds without progress after which a download goes on to the next address.
        device: where the tensors of images should lie; None is the CPU.

    Raises:
        DataError: there is no such data set, no place has it, a file is damaged, or the download failed.
    """
    entry = entry_of(name)
    found = find(entry, root)
    if found is None and download:
        fetch(name, root=root, timeout=timeout)
        found = find(entry, root)
    if found is None and entry.subset is None:
        raise DataError(f"{name} is not on this computer: {_looked_in(entry, root)}.\n{offline_ways(name)}")
    wanted = entry
    if found is None:
        entry = entry_of(entry.subset or "")
        found = find(entry)
    assert found is not None  # an embedded set is always found
    source, folder = found
    data = entry.build(folder, source)
    count = f"{sum(map(len, (data.train, data.val, data.test))):,} {data.unit}"
    if entry is not wanted:
        looked = _looked_in(wanted, root)
        _say(
            f"{name} is not on this computer ({looked}): using the {count} of {entry.name}. {_how_to_get(wanted)}"
        )
    else:
        more = f" {_how_to_get(entry_of(entry.subset_of))}" if entry.subset_of else ""
        _say(f"{name}: {count}, {megabytes(entry.size)}, from {source}.{more}")
    return data.to(device) if isinstance(data, DataSet) and device is not None else data


def _how_to_get(entry: Entry) -> str:
    return (
        f"All {entry.examples:,} of {entry.name} ({megabytes(entry.size)}): "
        f'load("{entry.name}", download=True), or `coursekit data get {entry.name}`.'
    )


def _looked_in(entry: Entry, root: str | Path | None) -> str:
    """What each place lacks."""
    assert entry.files is not None
    told = []
    for name, place in places(root):
        lacks = missing(place / entry.files.folder, entry.files.names)
        all_of_it = len(lacks) == len(entry.files.names)
        told.append(f"{name} {place} has no {entry.files.folder if all_of_it else ', '.join(lacks)}")
    return "; ".join(told)


def _say(line: str) -> None:
    if not grading():
        print(line)
