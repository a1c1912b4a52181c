"""Where a classifier of texts goes wrong: a table, since texts are read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import torch

from coursekit.plot.canvas import as_values, shortened
from coursekit.plot.lettering import wrapped
from coursekit.plot.style import COLORS

JOINER = "\u200d"  # makes one picture of several emoji
HEADS = ("", "text", "true class", "predicted class", "phenomena")


@dataclass(frozen=True)
class WrongText:
    """A text that was classified wrongly: its number, itself, two classes with their probabilities, its phenomena."""

    index: int
    text: str
    true: str
    predicted: str
    p_true: float
    p_predicted: float
    phenomena: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class WrongTexts:
    """A table in a notebook, plain text elsewhere.

    Attributes:
        rows: what is shown, the surest first.
        wrong, total: how many texts are wrong, of how many.
        max_length: letters of a text that are shown; None is all.
    """

    rows: tuple[WrongText, ...]
    wrong: int
    total: int
    max_length: int | None

    @property
    def caption(self) -> str:
        """How many are wrong, and what is shown of them."""
        told = f"{self.wrong:,} of {self.total:,} texts are wrong"
        return told if len(self.rows) == self.wrong else f"{told}; the {len(self.rows)} surest of them:"

    def shown(self, row: WrongText) -> str:
        """A text as it is shown: in one line, cut off, without what a screen could take for a command."""
        text = _printable(row.text)
        return text if self.max_length is None else shortened(text, self.max_length)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        lines = [self.caption]
        for row in self.rows:
            said = f"{_printable(row.predicted)} ({row.p_predicted:.0%})"
            kinds = f"  [{', '.join(map(_printable, row.phenomena))}]" if row.phenomena else ""
            bar = "█" * round(10 * row.p_predicted)
            lines.append(
                f"{row.index:>5}  true: {_printable(row.true)} ({row.p_true:.0%})  predicted: {said} {bar}{kinds}"
            )
            lines += [f"       {line}" for line in wrapped(self.shown(row), 90)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        left = 'style="text-align:left"'
        with_kinds = any(row.phenomena for row in self.rows)
        heads = "".join(f"<th {left}>{head}</th>" for head in HEADS[: None if with_kinds else -1])
        body = []
        for row in self.rows:
            bar = (
                '<div style="background-color:rgba(127,127,127,.3)"><div style="height:6px;'
                f'width:{row.p_predicted:.0%};background-color:{COLORS[1]}"></div></div>'
            )
            cells = [
                str(row.index),
                f'<div style="max-width:44em;white-space:normal;overflow-wrap:anywhere">{_html(self.shown(row))}</div>',
                f"{_html(row.true)} {row.p_true:.0%}",
                f"{_html(row.predicted)} {row.p_predicted:.0%}{bar}",
                *([_html(", ".join(row.phenomena))] if with_kinds else []),
            ]
            body.append(f"<tr>{''.join(f'<td {left}>{cell}</td>' for cell in cells)}</tr>")
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        return f"<div>{self.caption}</div>{table if self.rows else ''}"


def most_wrong(
    texts: Sequence[str],
    y: Any,
    probabilities: Any,
    classes: Sequence[str] | None = None,
    *,
    n: int = 10,
    phenomena: Sequence[Collection[str]] | None = None,
    max_length: int | None = 240,
) -> WrongTexts:
    """The texts that were classified wrongly, those of which the model was surest first.

    Args:
        texts: N texts.
        y: class indices (N,).
        probabilities: (N, C), the softmax of the logits.
        classes: a name for each class.
        n: show at most so many.
        phenomena: what makes each text hard, as `split.phenomena` has it.
        max_length: letters of a text that are shown, a Chinese character counts twice; None shows all.

    Returns:
        a table for the last line of a cell; elsewhere `print` it. Its `rows` are the texts.

    Raises:
        ValueError: shapes or lengths do not fit, or these are no probabilities.
    """
    p, labels = as_values(probabilities, "probabilities"), as_values(y, "y").long()
    if isinstance(texts, str) or not p.ndim == 2 or not labels.shape == (len(texts),) == (len(p),):
        raise ValueError(
            "for N texts y has the shape (N,) and probabilities (N, num_classes); there are "
            f"{'one text, no list' if isinstance(texts, str) else f'{len(texts)} texts'}, y {tuple(labels.shape)} and "
            f"probabilities {tuple(p.shape)}"
        )
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("texts must be a list of texts; of a split give split.texts")
    if phenomena is not None and len(phenomena) != len(texts):
        raise ValueError(f"there are {len(texts)} texts and phenomena of {len(phenomena)}; give a set each")
    names = [str(i) for i in range(p.shape[1])] if classes is None else [str(name) for name in classes]
    if len(names) != p.shape[1]:
        raise ValueError(f"probabilities are of {p.shape[1]} classes, and {len(names)} are named: {names}")
    if len(p) and not (p.min() >= 0 and (p.sum(1) - 1).abs().max() < 0.01):
        raise ValueError(
            "each row of probabilities must sum to 1, with none below 0; of logits take logits.softmax(1)"
        )
    if len(p) and not 0 <= labels.min() <= labels.max() < len(names):
        raise ValueError(f"y must be classes 0 to {len(names) - 1}; it has {labels.unique().tolist()[:10]}")
    sure, predicted = p.max(1) if len(p) else (p.sum(1), labels)
    wrong = torch.nonzero(predicted != labels)[:, 0]
    chosen = wrong[sure[wrong].argsort(descending=True, stable=True)][: max(n, 0)].tolist()
    rows = tuple(
        WrongText(
            i,
            texts[i],
            names[int(labels[i])],
            names[int(predicted[i])],
            p[i, labels[i]].item(),
            sure[i].item(),
            tuple(sorted(phenomena[i])) if phenomena is not None else (),
        )
        for i in chosen
    )
    return WrongTexts(rows, len(wrong), len(texts), max_length)


def _printable(text: str) -> str:
    """In one line; a question mark in a box for what is no letter (an escape sequence, half a character)."""
    kept = []
    for letter in " ".join(text.split()):
        kind = unicodedata.category(letter)
        if kind in ("Cc", "Cs", "Cn", "Co"):
            kept.append("\ufffd")
        elif kind != "Cf" or letter == JOINER:  # the others of the kind turn the direction of writing round
            kept.append(letter)
    return "".join(kept)


def _html(text: str) -> str:
    """Escaped; dollars and backslashes stand alone, or a notebook would read formulas."""
    return re.sub(r"[$\\]", r"<span>\g<0></span>", escape(_printable(text)))
