"""Data sets by name: `load("mnist_5k")`, `list_datasets()`, and `batches` of them."""

from coursekit.data.batching import batches, num_batches
from coursekit.data.catalogue import DatasetInfo, list_datasets
from coursekit.data.dataset import DataSet, Split
from coursekit.data.download import fetch
from coursekit.data.errors import DataError
from coursekit.data.loading import load
from coursekit.data.places import data_home
from coursekit.data.sources import RemoteFile, Source

__all__ = [
    "DataError",
    "DataSet",
    "DatasetInfo",
    "RemoteFile",
    "Source",
    "Split",
    "batches",
    "data_home",
    "fetch",
    "list_datasets",
    "load",
    "num_batches",
]
