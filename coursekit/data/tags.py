"""Sentences with one tag a word, aligned over the pieces of the words and back; entity F1."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from coursekit.data.encoded import EncodedDataSet, Parts
from coursekit.data.sequences import IGNORED, Sequences
from coursekit.data.wordpieces import WordPieces

OUTSIDE = "O"  # the tag of a word that belongs to no entity


class TagSplit(Dataset[tuple[list[str], list[str]]]):
    """Sentences as words, and a tag for each word: "B-city" where a city begins, "I-city" inside of it, "O" elsewhere.

    (Ramshaw and Marcus 1995, "Text chunking using transformation-based learning".)

    Args:
        words: the words of each sentence.
        tags: their tags.
        classes: the tags there are, in the order of the model's outputs; "O" among them.
        intents: what each sentence asks for, where that is known.

    Raises:
        ValueError: there is not one tag a word, or a tag is none of `classes`.
    """

    def __init__(
        self,
        words: Sequence[Sequence[str]],
        tags: Sequence[Sequence[str]],
        classes: Sequence[str],
        intents: Sequence[str] | None = None,
    ) -> None:
        if not len(words) == len(tags) == len(words if intents is None else intents):
            raise ValueError(
                f"{len(words)} sentences, {len(tags)} rows of tags: there must be one row (and intent) a sentence"
            )
        known = {*classes}
        if OUTSIDE not in known:
            raise ValueError(f'"O" is none of the classes {", ".join(classes)}; words without a tag need it')
        for i, (sentence, row) in enumerate(zip(words, tags, strict=True)):
            if len(sentence) != len(row):
                raise ValueError(
                    f"sentence {i} has {len(sentence)} words but {len(row)} tags; give one a word"
                )
            if not known.issuperset(row):
                strange = next(tag for tag in row if tag not in known)
                raise ValueError(f"sentence {i} has the tag {strange!r}; there are: {', '.join(classes)}")
        self.words, self.tags = [list(row) for row in words], [list(row) for row in tags]
        self.classes = tuple(classes)
        self.intents = None if intents is None else list(intents)

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, i: int) -> tuple[list[str], list[str]]:
        return self.words[i], self.tags[i]

    def __iter__(self) -> Iterator[tuple[list[str], list[str]]]:
        return zip(self.words, self.tags, strict=True)

    def subset(self, chosen: Sequence[int]) -> "TagSplit":
        """The sentences with these numbers."""
        return TagSplit(
            [self.words[i] for i in chosen],
            [self.tags[i] for i in chosen],
            self.classes,
            None if self.intents is None else [self.intents[i] for i in chosen],
        )

    def encode(self, wordpieces: WordPieces, max_length: int | None = None) -> "TagSequences":
        """The sentences as `[CLS] pieces [SEP]`, with the label of a word on its first piece and -100 elsewhere.

        So each word counts once, however many pieces it has (Devlin et al. 2019, "BERT: pre-training of deep
        bidirectional transformers", section 5.3). Pieces beyond `max_length` ids are cut off before `[SEP]`.

        Raises:
            ValueError: `max_length` is below 2.
        """
        if max_length is not None and max_length < 2:
            raise ValueError(f"max_length is {max_length}; [CLS] and [SEP] alone are 2 ids")
        room = None if max_length is None else max_length - 2
        number = {name: i for i, name in enumerate(self.classes)}
        pieces: dict[str, list[int]] = {}  # of each word, which mostly comes many times
        ids, labels, firsts = [], [], []
        for sentence, tags in self:
            row, label, first = [], [], []
            for i, (word, tag) in enumerate(zip(sentence, tags, strict=True)):
                if word not in pieces:
                    pieces[word] = wordpieces.offsets(word)[0]
                rest = len(pieces[word]) - 1
                row += pieces[word]
                if rest >= 0:
                    label += [number[tag], *[IGNORED] * rest]
                    first += [i, *[-1] * rest]
            ids.append(torch.tensor([wordpieces.cls, *row[:room], wordpieces.sep]))
            labels.append(torch.tensor([IGNORED, *label[:room], IGNORED]))
            firsts.append(torch.tensor([-1, *first[:room], -1]))
        return TagSequences(
            ids, labels, wordpieces.pad, firsts, [len(row) for row in self.words], self.classes
        )

    def __repr__(self) -> str:
        return f"TagSplit({len(self):,} sentences, {sum(map(len, self.words)):,} words, {len(self.classes)} tags)"


class TagSequences(Sequences):
    """Sentences as word pieces, labels on the first piece of each word, and which piece belongs to which word.

    Args:
        sequences, y, pad: as of `Sequences`, one label a step.
        words: for each step the number of the word whose first piece it is, else -1; tensors `(T_i,)`.
        num_words: how many words each sentence has, with those of which no piece is there.
        classes: the names of the labels.
    """

    def __init__(
        self,
        sequences: Sequence[Tensor],
        y: Sequence[Tensor],
        pad: int,
        words: Sequence[Tensor],
        num_words: Sequence[int],
        classes: Sequence[str],
    ) -> None:
        super().__init__(sequences, y, pad)
        self.words, self.num_words, self.classes = list(words), list(num_words), tuple(classes)


def word_tags(logits: Tensor, sequences: TagSequences) -> list[list[str]]:
    """The tag of every word, from the logits of its first piece.

    A word of which there is no piece (the cut at `max_length` took it, or it has only characters that the word pieces
    leave out) is "O".

    Args:
        logits: as `predict(model, sequences)` gives them, `(N, T, C)`.
        sequences: what was predicted.

    Raises:
        ValueError: the logits do not belong to these sequences.
    """
    n, classes = len(sequences), len(sequences.classes)
    longest = int(sequences.lengths.max()) if n else 0
    if logits.ndim != 3 or len(logits) != n or logits.shape[1] < longest or logits.shape[2] != classes:
        raise ValueError(
            f"the logits have the shape {tuple(logits.shape)}, expected ({n}, {longest} or more, {classes}): one row for "
            "each piece of each sentence; pass what predict(model, sequences) gives for the same sequences"
        )
    found = []
    for row, words, count in zip(logits.argmax(2).cpu(), sequences.words, sequences.num_words, strict=True):
        tags = [OUTSIDE] * count
        steps = (words >= 0).nonzero().flatten()
        for word, label in zip(words[steps].tolist(), row[steps].tolist(), strict=True):
            tags[word] = sequences.classes[label]
        found.append(tags)
    return found


def entity_f1(true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """F1 of whole entities, all kinds together (micro-averaged), from the tags of the words; 0 to 1.

    An entity counts when its kind, its first and its last word are right (Tjong Kim Sang and De Meulder 2003, the
    CoNLL-2003 shared task). As in that task's program, an "I-" tag that continues nothing begins an entity.

    Raises:
        ModuleNotFoundError: the package seqeval is not installed.
        ValueError: there is not one predicted tag for each true one.
    """
    try:
        from seqeval.metrics import f1_score
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("entity_f1 needs the package seqeval: pip install seqeval") from error
    if not true or [len(row) for row in true] != [len(row) for row in predicted]:
        raise ValueError(
            f"{len(true)} sentences with {sum(map(len, true))} tags, {len(predicted)} predicted ones with "
            f"{sum(map(len, predicted))}: there must be one predicted tag for each word, and one sentence at least"
        )
    return float(f1_score([list(row) for row in true], [list(row) for row in predicted], zero_division=0))


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TagDataSet(Parts[TagSplit]):
    """Sentences with one tag a word, and their splits; the classes are the tags.

    Attributes:
        train, val, test: the splits.
        removed: sentences that were left out of training or validation, because they also stand in another split.
    """

    unit = "sentences"

    def encode(self, wordpieces: WordPieces, max_length: int | None = None) -> EncodedDataSet:
        """The data set as word pieces with one label a piece, as `fit` takes it with `step=PerToken()`."""
        return self._encoded(wordpieces, max_length=max_length)
