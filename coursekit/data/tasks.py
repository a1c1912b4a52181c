"""How the files of the sets of pairs, tags and answer spans become splits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coursekit.data.errors import DataError
from coursekit.data.pairs import PairDataSet, PairSplit
from coursekit.data.spans import Language, SpanDataSet, SpanSplit
from coursekit.data.tags import TagDataSet, TagSplit
from coursekit.data.texts import SEED, SPLITS, read_table, read_text, set_apart

FOLDERS = ("train", "valid", "test")
SHARES = (0.6, 0.75)  # of the articles: where the training part ends, and the validation part


def pair_set(first: str, second: str, label: str, validation: int) -> Callable[..., PairDataSet]:
    """How a set is made from `train.tsv` and `dev.tsv`, whose columns have these names; labels are written out.

    `dev.tsv` is the test split, `validation` pairs of `train.tsv` validate. Pairs of `train.tsv` whose first text stands
    in the test split, or was drawn for validation, are left out.
    """

    def make(folder: Path, **facts: Any) -> PairDataSet:
        classes = facts["classes"]
        tables = []
        for name in ("train.tsv", "dev.tsv"):
            rows = read_table(folder / name, (first, second, label))
            wrong = next((row for row in rows if row[label] not in classes), None)
            if wrong is not None:
                raise DataError(
                    f"{folder / name} is damaged: the label {wrong[label]!r} is none of {', '.join(classes)}; get it again."
                )
            tables.append([(row[first].strip(), row[second].strip(), row[label]) for row in rows])
        train, test = tables
        kept, val, removed = set_apart(train, test, validation, lambda row: row[0], folder / "train.tsv")

        def split(rows: list[tuple[str, str, str]]) -> PairSplit:
            y = torch.tensor([classes.index(row[2]) for row in rows], dtype=torch.int64)
            return PairSplit([row[0] for row in rows], [row[1] for row in rows], y)

        return PairDataSet(**facts, train=split(kept), val=split(val), test=split(test), removed=removed)

    return make


def tag_set() -> Callable[..., TagDataSet]:
    """How a set is made from the folders `train`, `valid` and `test`, each with the files `seq.in`, `seq.out`, `label`.

    Sentences of the test split are neither trained nor validated on, those of the validation split are not trained on.
    """

    def make(folder: Path, **facts: Any) -> TagDataSet:
        read = {split: _sentences(folder / name) for split, name in zip(SPLITS, FOLDERS, strict=True)}
        seen: set[tuple[str, ...]] = set()
        splits, removed = {}, 0
        for name in reversed(SPLITS):
            rows = [row for row in read[name] if tuple(row[0]) not in seen]
            seen |= {tuple(words) for words, _, _ in rows}
            removed += len(read[name]) - len(rows)
            try:
                splits[name] = TagSplit(
                    [words for words, _, _ in rows],
                    [tags for _, tags, _ in rows],
                    facts["classes"],
                    [intent for _, _, intent in rows],
                )
            except ValueError as error:
                raise DataError(f"{folder} is damaged ({name}): {error}. Get it again.") from error
        return TagDataSet(
            **facts, train=splits["train"], val=splits["val"], test=splits["test"], removed=removed
        )

    return make


def _sentences(folder: Path) -> list[tuple[list[str], list[str], str]]:
    """Words, tags and intent of each sentence."""
    words, tags, intents = (
        read_text(folder / name).removesuffix("\n").split("\n") for name in ("seq.in", "seq.out", "label")
    )
    if not len(words) == len(tags) == len(intents):
        raise DataError(
            f"{folder} is damaged: seq.in has {len(words):,} lines, seq.out {len(tags):,}, label {len(intents):,}; "
            "get them again."
        )
    return [(w.split(), t.split(), i.strip()) for w, t, i in zip(words, tags, intents, strict=True)]


def span_set(file: str, language: Language) -> Callable[..., SpanDataSet]:
    """How a set is made from a file in the layout of SQuAD 1.1, of whose answers the first counts.

    The split is by article, so that no text is in two splits, and the same for each file with the same titles: about 60
    % of the articles to train, 15 % to validate, 25 % to test.
    """

    def make(folder: Path, **facts: Any) -> SpanDataSet:
        try:
            articles = {
                article["title"]: [
                    (
                        qa["question"],
                        paragraph["context"],
                        qa["answers"][0]["text"],
                        qa["answers"][0]["answer_start"],
                    )
                    for paragraph in article["paragraphs"]
                    for qa in paragraph["qas"]
                ]
                for article in json.loads(read_text(folder / file))["data"]
            }
            titles = np.array(sorted(articles))
            mixed = np.random.RandomState(SEED).permutation(len(titles))
            parts = np.split(titles[mixed], [round(len(titles) * share) for share in SHARES])
            splits = {}
            for name, part in zip(SPLITS, parts, strict=True):
                questions, contexts, answers, starts = zip(
                    *(row for title in part for row in articles[title]), strict=True
                )
                splits[name] = SpanSplit(questions, contexts, answers, starts, language)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise DataError(
                f"{folder / file} is damaged ({type(error).__name__}: {error}). Delete this file and get it again."
            ) from error
        return SpanDataSet(**facts, train=splits["train"], val=splits["val"], test=splits["test"])

    return make
