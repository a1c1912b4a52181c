"""Data sets of texts, and how they become sequences of token ids."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from coursekit.data.dataset import About
from coursekit.data.encoded import EncodedDataSet, Parts, facts
from coursekit.data.sequences import Sequences, TokenStream
from coursekit.data.vocabulary import Level, Vocabulary
from coursekit.data.wordpieces import WordPieces


class TextSplit(Dataset[tuple[str, Tensor]]):
    """Texts and their labels.

    Args:
        texts: the texts.
        y: class of each, int64 `(N,)`.
        phenomena: what makes each text hard (negation, contrast, ...), where that is known.
    """

    def __init__(
        self, texts: Sequence[str], y: Tensor, phenomena: Sequence[frozenset[str]] | None = None
    ) -> None:
        if not len(texts) == len(y) == len(texts if phenomena is None else phenomena):
            raise ValueError(
                f"{len(texts)} texts, {len(y)} labels: there must be one label (and set of phenomena) a text"
            )
        self.texts, self.y = list(texts), y
        self.phenomena = [frozenset[str]()] * len(texts) if phenomena is None else list(phenomena)

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i: int) -> tuple[str, Tensor]:
        return self.texts[i], self.y[i]

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        return zip(self.texts, self.y, strict=True)

    def showing(self, phenomenon: str) -> "TextSplit":
        """The texts that show `phenomenon`; "none" gives those that show none.

        Raises:
            ValueError: no text of the split shows it.
        """
        chosen = [
            i for i, p in enumerate(self.phenomena) if (phenomenon in p if phenomenon != "none" else not p)
        ]
        if not chosen:
            known = ", ".join(sorted(set().union(*self.phenomena))) or "none"
            raise ValueError(f"no text here shows {phenomenon!r}; there are: {known}")
        return self.subset(chosen)

    def subset(self, chosen: Sequence[int]) -> "TextSplit":
        """The texts with these numbers."""
        return TextSplit(
            [self.texts[i] for i in chosen], self.y[list(chosen)], [self.phenomena[i] for i in chosen]
        )

    def encode(self, vocabulary: Vocabulary | WordPieces, max_length: int | None = None) -> Sequences:
        """The texts as at most `max_length` token ids each.

        By a `Vocabulary` a text without any token is one unknown token; by `WordPieces` it is `[CLS] [SEP]`.
        """
        ids = vocabulary.encode_batch(self.texts, max_length)
        return Sequences([torch.tensor(row, dtype=torch.int64) for row in ids], self.y, vocabulary.pad)

    def __repr__(self) -> str:
        return f"TextSplit({len(self):,} texts, y {self.y.dtype})"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TextDataSet(Parts[TextSplit]):
    """Texts with one label each, and their splits.

    Attributes:
        train, val, test: the splits.
        removed: training texts that were left out, because they also stand in the validation or the test split.
    """

    unit = "texts"

    def vocabulary(
        self, level: Level = "word", min_count: int = 2, max_size: int | None = None
    ) -> Vocabulary:
        """The vocabulary of the training texts."""
        return Vocabulary.build(self.train.texts, level, min_count, max_size)

    def encode(self, vocabulary: Vocabulary | WordPieces, max_length: int | None = None) -> EncodedDataSet:
        """The data set as token ids, as `fit` takes it."""
        return self._encoded(vocabulary, max_length=max_length)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Corpus(About):
    """Running text for a model of the next token; it has no classes.

    Attributes:
        train, val, test: consecutive parts of the text.
    """

    unit = "characters"
    train: str
    val: str
    test: str

    def vocabulary(
        self, level: Level = "char", min_count: int = 1, max_size: int | None = None
    ) -> Vocabulary:
        """The vocabulary of the training text."""
        return Vocabulary.build([self.train], level, min_count, max_size)

    def encode(self, vocabulary: Vocabulary, length: int = 64) -> "EncodedDataSet":
        """The text as streams of token ids, `length` steps a batch, as `fit` takes it with `step=TruncatedBPTT()`."""
        train, val, test = (
            TokenStream(torch.tensor(vocabulary.encode(text), dtype=torch.int64), length)
            for text in (self.train, self.val, self.test)
        )
        return EncodedDataSet(**facts(self), vocabulary=vocabulary, train=train, val=val, test=test)

    def __repr__(self) -> str:
        return (
            f"{self.name}: {len(self.train):,} train, {len(self.val):,} val, {len(self.test):,} test characters\n"
            f"  from {self.source}"
        )
