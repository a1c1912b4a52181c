"""Questions whose answer is a piece of a text, as windows of word pieces with the place of the answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from coursekit.data.encoded import EncodedDataSet, Parts
from coursekit.data.sequences import PairSequences
from coursekit.data.wordpieces import WordPieces

Language = Literal["en", "zh"]
Offsets = list[tuple[int, int]]  # of pieces: first character, and the one after the last

NO_ANSWER = (0, 0)  # both ends at [CLS]
NOWHERE = (-1, -1)  # the characters of a piece that is not of the context


class Example(NamedTuple):
    """A question, its context, its answer and the character at which that begins."""

    question: str
    context: str
    answer: str
    start: int


class SpanSplit(Dataset[Example]):
    """Questions, each with a context in which its answer stands.

    Args:
        questions, contexts: the texts.
        answers: the answers, `context[start : start + len(answer)]`; the empty one says that the context has none.
        starts: the character of the context at which each answer begins; of the empty answer, any number.
        language: "en" or "zh": how answers are compared.

    Raises:
        ValueError: there is not one of each a question, or an answer does not stand where it should.
    """

    def __init__(
        self,
        questions: Sequence[str],
        contexts: Sequence[str],
        answers: Sequence[str],
        starts: Sequence[int],
        language: Language = "en",
    ) -> None:
        if not len(questions) == len(contexts) == len(answers) == len(starts):
            raise ValueError(
                f"{len(questions)} questions, {len(contexts)} contexts, {len(answers)} answers, {len(starts)} starts: "
                "there must be one of each a question"
            )
        for i, (context, answer, start) in enumerate(zip(contexts, answers, starts, strict=True)):
            if answer and (start < 0 or not context.startswith(answer, start)):
                raise ValueError(
                    f"example {i}: the answer {answer!r} does not begin at character {start} of its context, where "
                    f"{context[max(start, 0) :][: len(answer)]!r} stands; starts count characters from 0"
                )
        self.questions, self.contexts, self.answers = list(questions), list(contexts), list(answers)
        self.starts, self.language = list(starts), language

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, i: int) -> Example:
        return Example(self.questions[i], self.contexts[i], self.answers[i], self.starts[i])

    def __iter__(self) -> Iterator[Example]:
        return (self[i] for i in range(len(self)))

    def subset(self, chosen: Sequence[int]) -> "SpanSplit":
        """The questions with these numbers."""
        some = [self[i] for i in chosen]
        return SpanSplit(
            [example.question for example in some],
            [example.context for example in some],
            [example.answer for example in some],
            [example.start for example in some],
            self.language,
        )

    def encode(self, wordpieces: WordPieces, max_length: int = 384, stride: int = 128) -> "SpanWindows":
        """The questions as `[CLS] question [SEP] context [SEP]`, one or more windows each.

        A context that does not fit into `max_length` ids is cut into windows of which each begins `stride` pieces after
        the one before (the step, as in BERT's own code; less where a window is shorter than that, so that no piece is
        left out). The label of a window is the first and the last piece of the answer, `(s, e)`, or (0, 0), that is
        `[CLS]`, where the answer is not wholly inside. A question may take up half of the room; what is longer is cut.

        (Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers", sections 4.2 and 4.3.)

        Raises:
            ValueError: `max_length` is below 4, or `stride` below 1.
        """
        if max_length < 4:
            raise ValueError(
                f"max_length is {max_length}; [CLS], two [SEP] and one piece of the context are 4 ids"
            )
        if stride < 1:
            raise ValueError(f"stride is {stride}; it must be 1 or more")
        contexts: dict[str, tuple[list[int], Offsets]] = {}  # one has many questions
        rows, second, labels, numbers, places = [], [], [], [], []
        for i, (question, context, answer, start) in enumerate(self):
            if context not in contexts:
                contexts[context] = wordpieces.offsets(context)
            ids, offsets = contexts[context]
            asked = [
                wordpieces.cls,
                *wordpieces.offsets(question)[0][: (max_length - 3) // 2],
                wordpieces.sep,
            ]
            gold = piece_span(offsets, start, start + len(answer)) if answer else None
            for begin, end in windows(len(ids), max_length - len(asked) - 1, stride):
                inside = gold is not None and begin <= gold[0] and gold[1] < end
                shift = len(asked) - begin
                labels.append((gold[0] + shift, gold[1] + shift) if gold and inside else NO_ANSWER)
                rows.append(torch.tensor([*asked, *ids[begin:end], wordpieces.sep]))
                places += [*[NOWHERE] * len(asked), *offsets[begin:end], NOWHERE]
                second.append(len(asked))
                numbers.append(i)
        y = torch.tensor(labels, dtype=torch.int64).view(-1, 2)
        offsets_of_all = torch.tensor(places, dtype=torch.int64).view(-1, 2)
        return SpanWindows(rows, second, y, wordpieces.pad, numbers, offsets_of_all, self)

    def __repr__(self) -> str:
        return (
            f"SpanSplit({len(self):,} questions about {len({*self.contexts}):,} contexts, {self.language!r})"
        )


class SpanWindows(PairSequences):
    """Windows of word pieces, and where each piece stands in its context.

    A batch is `(X, lengths, segments, y)`: `y` `(B, 2)` holds the first and the last piece of the answer, counted from 0
    at `[CLS]`.

    Args:
        sequences, second, y, pad: as of `PairSequences`.
        examples: the number of the question each window belongs to.
        offsets: first character of each piece in its context, and the one after its last, int64 `(steps of all, 2)`;
            (-1, -1) where a piece is not of the context.
        split: what was encoded.
    """

    def __init__(
        self,
        sequences: Sequence[Tensor],
        second: Sequence[int],
        y: Tensor,
        pad: int,
        examples: Sequence[int],
        offsets: Tensor,
        split: SpanSplit,
    ) -> None:
        super().__init__(sequences, second, y, pad)
        self.examples, self.offsets, self.split = list(examples), offsets, split


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SpanDataSet(Parts[SpanSplit]):
    """Questions, contexts and answers, and their splits; there are no classes.

    Attributes:
        train, val, test: the splits; no text of one stands in another.
    """

    unit = "questions"

    def encode(self, wordpieces: WordPieces, max_length: int = 384, stride: int = 128) -> EncodedDataSet:
        """The data set as windows of word pieces, as `fit` takes it with `step=Spans()`."""
        return self._encoded(wordpieces, max_length=max_length, stride=stride)


def windows(pieces: int, room: int, stride: int) -> Iterator[tuple[int, int]]:
    """First piece of each window of at most `room` pieces, and the one after its last; one window at least."""
    begin = 0
    while True:
        yield begin, min(begin + room, pieces)
        if begin + room >= pieces:
            return
        begin += min(stride, room)


def piece_span(offsets: Offsets, start: int, end: int) -> tuple[int, int] | None:
    """First and last of the pieces that have any of the characters `start` to `end - 1`; None where no piece has."""
    touched = [k for k, (a, b) in enumerate(offsets) if a < end and b > start]
    return (touched[0], touched[-1]) if touched else None
