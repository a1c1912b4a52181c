"""From the logits of an answer's two ends to its text, and how good the texts are."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from coursekit.data.spans import Language, SpanWindows
from coursekit.data.vocabulary import tokenize

AT_ONCE = 256  # windows whose spans are compared at a time: 18 MB for 384 pieces and answers of 30 or fewer


class BestSpan(NamedTuple):
    """First and last position of the best spans, int64 `(...)`, and their scores, `(...)`."""

    start: Tensor
    end: Tensor
    score: Tensor


def best_span(
    start_logits: Tensor, end_logits: Tensor, *, max_answer_length: int = 30, no_answer: bool = False
) -> BestSpan:
    """The span (s, e) with s <= e and the largest `start_logits[s] + end_logits[e]`.

    Of equal ones it is that which begins first, and of those the shortest. A position that no answer may begin or end at
    has the logit -inf.

    (Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers", sections 4.2 and 4.3.)

    Args:
        start_logits, end_logits: `(T,)`, or `(..., T)` for many at a time.
        max_answer_length: most positions of a span.
        no_answer: position 0, `[CLS]`, stands for "there is no answer": the span is (0, 0) unless another one scores
            more. Without it, position 0 is like any other.

    Raises:
        ValueError: the two have different shapes or no position, or `max_answer_length` is below 1.
    """
    if start_logits.shape != end_logits.shape or start_logits.ndim == 0 or start_logits.shape[-1] == 0:
        raise ValueError(
            f"logits of shape {tuple(start_logits.shape)} for starts and {tuple(end_logits.shape)} for ends; expected the "
            "same shape (..., T) with at least one position"
        )
    if max_answer_length < 1:
        raise ValueError(f"max_answer_length is {max_answer_length}; it must be 1 or more")
    length = min(max_answer_length, start_logits.shape[-1])
    exact = torch.promote_types(torch.promote_types(start_logits.dtype, end_logits.dtype), torch.float32)
    start_logits, end_logits = start_logits.to(exact), end_logits.to(exact)
    ends = F.pad(end_logits, (0, length - 1), value=-torch.inf).unfold(-1, length, 1)  # (..., T, length)
    scores = start_logits[..., None] + ends  # [s, d] is the span from s to s + d
    if no_answer:
        scores[..., 0, 1:] = -torch.inf
    score, where = scores.flatten(-2).max(-1)
    start = where // length
    return BestSpan(start, start + where % length, score)


def answers(
    logits: Tensor, windows: SpanWindows, *, max_answer_length: int = 30, no_answer: bool = False
) -> list[str]:
    """The answer to each question, in the letters of its context: the best span of all windows of the question.

    Args:
        logits: as `predict(model, windows)` gives them, `(N, T, 2)`: of the start, of the end.
        windows: what was predicted.
        max_answer_length: most pieces of an answer.
        no_answer: "" where no span scores more than `[CLS]` does; of several windows the lowest score of `[CLS]`
            counts, since a window without the answer rightly says that it has none.

    Raises:
        ValueError: the logits do not belong to these windows.
    """
    n, longest = len(windows), int(windows.lengths.max()) if len(windows) else 0
    if logits.ndim != 3 or len(logits) != n or logits.shape[1] < longest or logits.shape[2] != 2:
        raise ValueError(
            f"the logits have the shape {tuple(logits.shape)}, expected ({n}, {longest} or more, 2): a start and an end "
            "for each piece of each window; pass what predict(model, windows) gives for the same windows"
        )
    best = [-torch.inf] * len(windows.split)
    nothing = [torch.inf] * len(windows.split)
    found = [""] * len(windows.split)
    for first in range(0, n, AT_ONCE):
        part = logits[first : first + AT_ONCE].detach().cpu()
        offsets = _offsets(windows, range(first, first + len(part)), logits.shape[1])  # (n, T, 2)
        allowed = part.masked_fill(offsets[:, :, :1] < 0, -torch.inf)
        spans = best_span(*allowed.unbind(2), max_answer_length=max_answer_length)
        rows = torch.arange(len(part))
        starts = offsets[rows, spans.start, 0].tolist()
        ends = offsets[rows, spans.end, 1].tolist()
        scores, nulls = spans.score.tolist(), part[:, 0].float().sum(1).tolist()
        for k, i in enumerate(windows.examples[first : first + len(part)]):
            nothing[i] = min(nothing[i], nulls[k])
            if scores[k] > best[i]:
                best[i], found[i] = scores[k], _cut(windows.split.contexts[i], starts[k], ends[k])
    if no_answer:
        return ["" if best[i] <= nothing[i] else text for i, text in enumerate(found)]
    return found


def exact_match(true: Sequence[str], predicted: Sequence[str], language: Language = "en") -> float:
    """The share of answers that are equal once normalised, 0 to 1.

    English as in SQuAD v1.1 (Rajpurkar et al. 2016, "SQuAD: 100,000+ questions for machine comprehension of text",
    section 6.1): without capitals, punctuation, "a", "an" and "the". Chinese without capitals, punctuation and blanks.

    Raises:
        ValueError: there is not one predicted answer for each true one, or none at all.
    """
    pairs = _tokens_of_both(true, predicted, language)
    return sum(a == b for a, b in pairs) / len(pairs)


def answer_f1(true: Sequence[str], predicted: Sequence[str], language: Language = "en") -> float:
    """The mean F1 of the tokens that two answers share, 0 to 1; normalised as for `exact_match`.

    Tokens are words in English, and in Chinese characters (letters and digits in a row count as one). Where one of
    the two has no token the F1 is 1 if the other has none either, else 0.

    Raises:
        ValueError: there is not one predicted answer for each true one, or none at all.
    """
    pairs = _tokens_of_both(true, predicted, language)
    return sum(_f1(a, b) for a, b in pairs) / len(pairs)


def word_span(context: str, answer: str, start: int | None = None) -> tuple[int, int]:
    """The answer as two integers (s, e), as a lecture counts: numbers of its first and last word, counted from 1.

    Words are what blanks separate.

    Args:
        context: the text.
        answer: a part of it.
        start: the character at which the answer begins; None is where it first stands.

    Raises:
        ValueError: the answer is blank, or does not stand there.
    """
    begin = context.find(answer) if start is None else start
    if not answer.strip() or begin < 0 or not context.startswith(answer, begin):
        raise ValueError(f"the answer {answer!r} does not stand in the context where it should")
    begin += len(answer) - len(answer.lstrip())
    first = len(re.findall(r"\S+", context[: begin + 1]))
    return first, first + len(answer.split()) - 1


def _offsets(windows: SpanWindows, chosen: range, length: int) -> Tensor:
    """The characters of each piece of the windows `chosen`, `(n, length, 2)`; (-1, -1) where none is of the context."""
    padded = torch.full((len(chosen), length, 2), -1)
    for row, i in zip(padded, chosen, strict=True):
        own = windows.offsets[windows.steps(i)]
        row[: len(own)] = own
    return padded


def _cut(context: str, start: int, end: int) -> str:
    """The characters of a span, with the accents that follow it: pieces leave them out."""
    while end < len(context) and unicodedata.combining(context[end]):
        end += 1
    return context[start:end]


def _tokens_of_both(
    true: Sequence[str], predicted: Sequence[str], language: Language
) -> list[tuple[list[str], list[str]]]:
    if len(true) != len(predicted) or not true:
        raise ValueError(
            f"{len(true)} true answers, {len(predicted)} predicted ones: there must be one each, and one at least"
        )
    tokens = {"en": _words, "zh": _characters}
    if language not in tokens:
        raise ValueError(f'language must be "en" or "zh", not {language!r}')
    of = tokens[language]
    return [(of(a), of(b)) for a, b in zip(true, predicted, strict=True)]


def _words(text: str) -> list[str]:
    bare = text.lower().translate(dict.fromkeys(map(ord, string.punctuation)))
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def _characters(text: str) -> list[str]:
    return [token for token in tokenize(text) if not unicodedata.category(token[0]).startswith("P")]


def _f1(true: list[str], predicted: list[str]) -> float:
    if not true or not predicted:
        return float(true == predicted)
    shared = (Counter(true) & Counter(predicted)).total()
    return 2 * shared / (len(true) + len(predicted))
