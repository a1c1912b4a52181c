"""Pairs of texts with one label each: does the second follow from the first?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from coursekit.data.encoded import EncodedDataSet, Parts
from coursekit.data.sequences import PairSequences
from coursekit.data.wordpieces import WordPieces


class PairSplit(Dataset[tuple[str, str, Tensor]]):
    """Pairs of texts and their labels.

    Args:
        first, second: the texts of each pair.
        y: class of each, int64 `(N,)`.

    Raises:
        ValueError: there is not one second text and one label for each first text.
    """

    def __init__(self, first: Sequence[str], second: Sequence[str], y: Tensor) -> None:
        if not len(first) == len(second) == len(y):
            raise ValueError(
                f"{len(first)} first texts, {len(second)} second texts, {len(y)} labels: there must be one of each a pair"
            )
        self.first, self.second, self.y = list(first), list(second), y

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, i: int) -> tuple[str, str, Tensor]:
        return self.first[i], self.second[i], self.y[i]

    def __iter__(self) -> Iterator[tuple[str, str, Tensor]]:
        return zip(self.first, self.second, self.y, strict=True)

    def subset(self, chosen: Sequence[int]) -> "PairSplit":
        """The pairs with these numbers."""
        return PairSplit(
            [self.first[i] for i in chosen], [self.second[i] for i in chosen], self.y[list(chosen)]
        )

    def encode(self, wordpieces: WordPieces, max_length: int | None = None) -> PairSequences:
        """The pairs as `[CLS] first [SEP] second [SEP]`, cut to `max_length` ids from the longer text of each first.

        (Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers", section 3 and figure 4a.)
        """
        encoded = [
            wordpieces.encode_pair(a, b, max_length) for a, b in zip(self.first, self.second, strict=True)
        ]
        return PairSequences(
            [torch.tensor(ids, dtype=torch.int64) for ids, _ in encoded],
            [segments.count(0) for _, segments in encoded],
            self.y,
            wordpieces.pad,
        )

    def __repr__(self) -> str:
        return f"PairSplit({len(self):,} pairs, y {self.y.dtype})"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PairDataSet(Parts[PairSplit]):
    """Pairs of texts with one label each, and their splits.

    Attributes:
        train, val, test: the splits.
        removed: training pairs that were left out, because their first text also stands in another split.
    """

    unit = "pairs"

    def encode(self, wordpieces: WordPieces, max_length: int | None = None) -> EncodedDataSet:
        """The data set as token ids and segments, as `fit` takes it."""
        return self._encoded(wordpieces, max_length=max_length)
