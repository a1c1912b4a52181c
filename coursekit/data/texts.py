"""How the files of the text sets become splits; tables are read with quoting off, or rows with a bare quote vanish."""

import csv
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from coursekit.data.errors import DataError
from coursekit.data.text import Corpus, TextDataSet, TextSplit

SEED = 0  # of the validation splits; another value would give other splits, so it never changes
SPLITS = ("train", "val", "test")
R = TypeVar("R")  # a row of a table


def table_set(text: str, label: str, validation: int) -> Callable[..., TextDataSet]:
    """How a set is made from `train.tsv` and `dev.tsv`, whose columns are called `text` and `label`.

    `dev.tsv` is the test split (the labels of GLUE's own test files are secret); `validation` texts of `train.tsv`
    validate. Rows of `train.tsv` whose text stands in the test split, or was drawn for validation, are left out.
    """

    def make(folder: Path, **facts: Any) -> TextDataSet:
        tables = []
        for name in ("train.tsv", "dev.tsv"):
            rows = read_table(folder / name, (text, label))
            wrong = next((row for row in rows if row[label] not in ("0", "1")), None)
            if wrong is not None:
                raise DataError(
                    f"{folder / name} is damaged: the label {wrong[label]!r} is neither 0 nor 1; get it again."
                )
            tables.append([(row[text].strip(), int(row[label])) for row in rows])
        train, test = tables
        kept, val, removed = set_apart(train, test, validation, lambda row: row[0], folder / "train.tsv")
        return TextDataSet(
            **facts,
            train=_split(kept),
            val=_split(val),
            test=_split(test),
            removed=removed,
        )

    return make


def review_set(file: str) -> Callable[..., TextDataSet]:
    """How the reviews of this project are made from `file`, which says the split and the phenomena of each."""

    def make(folder: Path, **facts: Any) -> TextDataSet:
        parts: dict[str, list[dict[str, str]]] = {split: [] for split in SPLITS}
        for row in read_table(folder / file, ("text", "label", "phenomena", "split")):
            parts[row["split"]].append(row)
        splits = {
            split: TextSplit(
                [row["text"] for row in rows],
                torch.tensor([facts["classes"].index(row["label"]) for row in rows]),
                [frozenset(row["phenomena"].split(",")) - {"none"} for row in rows],
            )
            for split, rows in parts.items()
        }
        return TextDataSet(**facts, train=splits["train"], val=splits["val"], test=splits["test"])

    return make


def corpus(file: str) -> Callable[..., Corpus]:
    """How running text is made from one file: nine tenths for training, then a twentieth each, cut at line ends."""

    def make(folder: Path, **facts: Any) -> Corpus:
        text = read_text(folder / file)
        first, second = (text.rfind("\n", 0, int(len(text) * share)) + 1 for share in (0.9, 0.95))
        return Corpus(**facts, train=text[:first], val=text[first:second], test=text[second:])

    return make


def shuffled_lines(file: str) -> Callable[..., Corpus]:
    """As `corpus`, for a file whose lines stand in some order of their own, such as names by frequency."""

    def make(folder: Path, **facts: Any) -> Corpus:
        lines = np.array(read_text(folder / file).split())
        mixed = np.random.RandomState(SEED).permutation(len(lines))
        cuts = [int(len(lines) * share) for share in (0.9, 0.95)]
        train, val, test = ("\n".join(lines[part]) + "\n" for part in np.split(mixed, cuts))
        return Corpus(**facts, train=train, val=val, test=test)

    return make


def set_apart(
    train: list[R], test: list[R], validation: int, key: Callable[[R], Hashable], path: Path
) -> tuple[list[R], list[R], int]:
    """Rows to train on, `validation` rows to validate on, and how many were left out.

    What is tested is neither trained nor validated on, what is validated is not trained on: no two splits have rows
    with the same `key`.

    Raises:
        DataError: `train`, which was read from `path`, has too few rows.
    """
    if len(train) <= validation:
        raise DataError(f"{path} has {len(train):,} texts; more than {validation:,} are expected.")
    tested = {key(row) for row in test}
    pool = [row for row in train if key(row) not in tested]
    chosen = set(np.random.RandomState(SEED).permutation(len(pool))[:validation].tolist())
    val = [row for i, row in enumerate(pool) if i in chosen]
    validated = {key(row) for row in val}
    kept = [row for row in pool if key(row) not in validated]
    return kept, val, len(train) - len(val) - len(kept)


def read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a tab-separated file with a header.

    Raises:
        DataError: a row lacks one of `columns`, or the file is no UTF-8 text.
    """
    lines = read_text(path).split("\n")
    rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    for number, row in enumerate(rows, 2):
        if any(row.get(column) is None for column in columns):
            raise DataError(
                f"{path} is damaged: line {number} lacks one of the columns {', '.join(columns)}. "
                "Delete this file and get it again."
            )
    return rows


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        DataError: it is no UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is damaged: it is no UTF-8 text ({error}). Delete this file and get it again."
        ) from error


def _split(rows: list[tuple[str, int]]) -> TextSplit:
    return TextSplit(
        [text for text, _ in rows], torch.tensor([label for _, label in rows], dtype=torch.int64)
    )
