"""Data sets by name: `load("mnist_5k")`, `list_datasets()`, and `batches` of them; text becomes ids by a `Vocabulary`."""

from coursekit.data.batching import batches, num_batches
from coursekit.data.catalogue import DatasetInfo, list_datasets
from coursekit.data.dataset import DataSet, Split
from coursekit.data.download import fetch
from coursekit.data.errors import DataError
from coursekit.data.loading import load
from coursekit.data.places import data_home
from coursekit.data.sequences import Sequences, TokenStream
from coursekit.data.sources import RemoteFile, Source
from coursekit.data.text import Corpus, EncodedDataSet, TextDataSet, TextSplit
from coursekit.data.vocabulary import Vocabulary, tokenize

__all__ = [
    "Corpus",
    "DataError",
    "DataSet",
    "DatasetInfo",
    "EncodedDataSet",
    "RemoteFile",
    "Sequences",
    "Source",
    "Split",
    "TextDataSet",
    "TextSplit",
    "TokenStream",
    "Vocabulary",
    "batches",
    "data_home",
    "fetch",
    "list_datasets",
    "load",
    "num_batches",
    "tokenize",
]
