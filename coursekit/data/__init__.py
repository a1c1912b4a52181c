"""Data sets by name: `load("mnist_5k")`, `list_datasets()`, and `batches` of them; text becomes ids by a `Vocabulary`
or by the `WordPieces` of a pretrained encoder."""

from coursekit.data.answers import BestSpan, answer_f1, answers, best_span, exact_match, word_span
from coursekit.data.batching import batches, num_batches
from coursekit.data.catalogue import DatasetInfo, list_datasets
from coursekit.data.dataset import DataSet, Split
from coursekit.data.download import fetch
from coursekit.data.encoded import EncodedDataSet
from coursekit.data.errors import DataError
from coursekit.data.loading import load
from coursekit.data.pairs import PairDataSet, PairSplit
from coursekit.data.places import data_home
from coursekit.data.pretrained import (
    PretrainedInfo,
    fetch_pretrained,
    find_pretrained,
    list_pretrained,
    load_wordpieces,
)
from coursekit.data.sequences import PairSequences, Sequences, TokenStream
from coursekit.data.sources import RemoteFile, Source
from coursekit.data.spans import SpanDataSet, SpanSplit, SpanWindows
from coursekit.data.tags import TagDataSet, TagSequences, TagSplit, entity_f1, word_tags
from coursekit.data.text import Corpus, TextDataSet, TextSplit
from coursekit.data.vocabulary import Vocabulary, tokenize
from coursekit.data.wordpieces import WordPieces

__all__ = [
    "BestSpan",
    "Corpus",
    "DataError",
    "DataSet",
    "DatasetInfo",
    "EncodedDataSet",
    "PairDataSet",
    "PairSequences",
    "PairSplit",
    "PretrainedInfo",
    "RemoteFile",
    "Sequences",
    "Source",
    "SpanDataSet",
    "SpanSplit",
    "SpanWindows",
    "Split",
    "TagDataSet",
    "TagSequences",
    "TagSplit",
    "TextDataSet",
    "TextSplit",
    "TokenStream",
    "Vocabulary",
    "WordPieces",
    "answer_f1",
    "answers",
    "batches",
    "best_span",
    "data_home",
    "entity_f1",
    "exact_match",
    "fetch",
    "fetch_pretrained",
    "find_pretrained",
    "list_datasets",
    "list_pretrained",
    "load",
    "load_wordpieces",
    "num_batches",
    "tokenize",
    "word_span",
    "word_tags",
]
