"""What data sets of texts have in common, before and after they are encoded as token ids."""

from collections.abc import Sized
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Generic, TypeVar

from coursekit.data.dataset import About, fingerprint
from coursekit.data.sequences import Sequences, TokenStream
from coursekit.data.vocabulary import Vocabulary
from coursekit.data.wordpieces import WordPieces

S = TypeVar("S", bound=Sized)
MANY = 20  # classes that are named one by one


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EncodedDataSet(About):
    """A data set as token ids.

    Attributes:
        train, val, test: the splits.
        vocabulary: what the ids mean.
    """

    train: Sequences | TokenStream
    val: Sequences | TokenStream
    test: Sequences | TokenStream
    vocabulary: Vocabulary | WordPieces

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the training ids and labels: says whether saved weights belong to this data."""
        return fingerprint(*self.train.tensors)

    def __repr__(self) -> str:
        return f"{self.name}, {self.vocabulary!r}\n  train {self.train!r}\n  val {self.val!r}\n  test {self.test!r}"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Parts(About, Generic[S]):
    """Three splits of which no two share an example.

    Attributes:
        train, val, test: the splits.
        removed: examples that were left out of training or validation, because they also stand in another split.
    """

    train: S
    val: S
    test: S
    removed: int = 0

    def _encoded(self, vocabulary: Vocabulary | WordPieces, **options: Any) -> EncodedDataSet:
        """Every split, encoded by its own `encode(vocabulary, **options)`."""
        splits: tuple[Any, ...] = (self.train, self.val, self.test)
        train, val, test = (split.encode(vocabulary, **options) for split in splits)
        return EncodedDataSet(**facts(self), vocabulary=vocabulary, train=train, val=val, test=test)

    def __repr__(self) -> str:
        names = (*self.classes[:MANY], "...") if self.num_classes > MANY else self.classes
        classes = f"\n  {self.num_classes} classes: {', '.join(names)}" * bool(names)
        removed = f"\n  {self.removed:,} {self.unit} left out: they stand in another split, too" * bool(
            self.removed
        )
        return (
            f"{self.name}: {len(self.train):,} train, {len(self.val):,} val, {len(self.test):,} test {self.unit}"
            f"{classes}{removed}\n  from {self.source}"
        )


def facts(data: About) -> dict[str, Any]:
    """What is known about `data`, to say the same of another form of it."""
    return {field.name: getattr(data, field.name) for field in fields(About)}
