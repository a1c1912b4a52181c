"""Vocabularies, text sets and their files, English and Chinese."""

import collections
import csv
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coursekit.data import DataError, TextDataSet, TextSplit, Vocabulary, load, tokenize

needs_real = pytest.mark.skipif(
    not os.environ.get("COURSEKIT_HOME"), reason="needs the real files: set COURSEKIT_HOME"
)
PHENOMENA = {"negation", "contrast", "intensity", "comparison", "sarcasm", "mixed"}
LANGUAGES = ["reviews_en", "reviews_zh"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It isn't bad.", ["it", "isn't", "bad", "."]),
        ("真不错！5星", ["真", "不", "错", "！", "5", "星"]),
        ("iPhone手机 ok", ["iphone", "手", "机", "ok"]),
        ("a_b  --", ["a", "_", "b", "-", "-"]),
        ("", []),
        ("😀 naïve Straße", ["😀", "naïve", "straße"]),
    ],
)
def test_words(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens


@given(st.text())
def test_words_lose_nothing_but_blanks_and_case(text: str) -> None:
    assert "".join(tokenize(text)) == re.sub(r"\s", "", text.lower())


@given(st.text())
def test_characters_come_back(text: str) -> None:
    vocabulary = Vocabulary.build([text], level="char")
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_frequent_tokens_first_and_rare_ones_unknown() -> None:
    vocabulary = Vocabulary.build(["b a b c", "b a"], min_count=2)
    assert vocabulary.tokens == ["<pad>", "<unk>", "b", "a"]
    assert vocabulary.encode("a b c") == [3, 2, 1]
    assert len(Vocabulary.build(["b a b c", "b a"], max_size=3)) == 3
    assert "a" in vocabulary and "c" not in vocabulary


def test_text_again() -> None:
    english = Vocabulary.build(["not good , really bad !"])
    assert english.decode([0, *english.encode("Not good, really bad!"), 0, 0]) == "not good, really bad!"
    chinese = Vocabulary.build(["味道不错，下次还来。"])
    assert chinese.decode(chinese.encode("味道不错，下次还来。")) == "味道不错，下次还来。"


def test_what_a_vocabulary_does_not_take() -> None:
    with pytest.raises(ValueError, match='level must be "word" or "char"'):
        Vocabulary([], level="letter")  # type: ignore[arg-type]  # the wrong value is the point
    with pytest.raises(ValueError, match="'a' is in the list twice"):
        Vocabulary(["a", "b", "a"])
    with pytest.raises(TypeError, match=r"pass \[text\]"):
        Vocabulary.build("one text")
    with pytest.raises(ValueError, match="no token with the id 9"):
        Vocabulary(["a"]).decode([9])


def test_vocabulary_maps_a_dataset_of_the_library() -> None:
    datasets = pytest.importorskip("datasets")
    vocabulary = Vocabulary(["good", "bad"])
    table = datasets.Dataset.from_dict({"text": ["good", "bad good"]})
    assert table.map(vocabulary, batched=True)["ids"][:] == [[2], [3, 2]]


def test_a_text_without_a_token_is_one_unknown() -> None:
    split = TextSplit(["good", "", "  "], torch.tensor([1, 0, 0]))
    data = split.encode(Vocabulary(["good"]))
    assert [x.tolist() for x, _ in data] == [[2], [1], [1]]


@pytest.fixture(scope="module", params=LANGUAGES)
def reviews(request: pytest.FixtureRequest) -> TextDataSet:
    return load(request.param)


def everything(data: TextDataSet) -> list[tuple[str, int, frozenset[str]]]:
    return [
        row
        for s in (data.train, data.val, data.test)
        for row in zip(s.texts, s.y.tolist(), s.phenomena, strict=True)
    ]


def test_reviews_are_enough_and_balanced(reviews: TextDataSet) -> None:
    assert [len(s) for s in (reviews.train, reviews.val, reviews.test)] == [832, 128, 320]
    for split in (reviews.train, reviews.val, reviews.test):
        assert split.y.float().mean() == 0.5
    for phenomenon in PHENOMENA - {"sarcasm"}:
        labels = [y for _, y, p in everything(reviews) if phenomenon in p]
        assert len(labels) >= 150
        assert 0.4 < sum(labels) / len(labels) < 0.6  # none gives the label away
    sarcastic = [y for _, y, p in everything(reviews) if "sarcasm" in p]
    assert len(sarcastic) >= 90 and 0.15 < sum(sarcastic) / len(sarcastic) < 0.5
    assert set().union(*(p for _, _, p in everything(reviews))) == PHENOMENA


def grams(text: str, n: int) -> set[str]:
    bare = re.sub(r"\W+", " ", text.lower())
    return {bare[i : i + n] for i in range(max(1, len(bare) - n + 1))}


def test_no_two_reviews_are_alike(reviews: TextDataSet) -> None:
    """No template and no near-duplicate: pieces of six letters (three Chinese characters) overlap by a third at most."""
    chinese = reviews.name.endswith("zh")
    texts = [text for text, _, _ in everything(reviews)]
    assert len(set(texts)) == len(texts)
    pieces = [grams(text, 3 if chinese else 6) for text in texts]
    holders = collections.defaultdict(list)
    for i, some in enumerate(pieces):
        for piece in some:
            holders[piece].append(i)
    shared: collections.Counter[tuple[int, int]] = collections.Counter()
    for owners in holders.values():
        for k, i in enumerate(owners):
            for j in owners[k + 1 :]:
                shared[i, j] += 1
    alike = [
        (texts[i], texts[j])
        for (i, j), n in shared.items()
        if n / (len(pieces[i]) + len(pieces[j]) - n) > 0.35
    ]
    assert not alike
    openings = collections.Counter(
        text[:4] if chinese else " ".join(text.lower().split()[:3]) for text in texts
    )
    assert openings.most_common(1)[0][1] <= 12


def test_reviews_are_clean(reviews: TextDataSet) -> None:
    chinese = reviews.name.endswith("zh")
    for text, _, _ in everything(reviews):
        assert text == text.strip() and "\t" not in text and "  " not in text
        assert bool(re.search("[一-鿿]", text)) == chinese
        assert (8 if chinese else 5) <= len(text if chinese else text.split()) <= (60 if chinese else 45)


def test_reviews_by_phenomenon(reviews: TextDataSet) -> None:
    some = reviews.test.showing("negation")
    assert 0 < len(some) < len(reviews.test) and all("negation" in p for p in some.phenomena)
    assert all(not p for p in reviews.test.showing("none").phenomena)
    with pytest.raises(ValueError, match=r"no text here shows 'irony'; there are: comparison, contrast"):
        reviews.test.showing("irony")


def test_encoded_reviews_say_what_they_are(reviews: TextDataSet) -> None:
    encoded = reviews.encode(reviews.vocabulary(), max_length=20)
    assert int(encoded.train.lengths.max()) == 20  # type: ignore[union-attr]  # texts are Sequences
    assert len(encoded.fingerprint) == 64
    assert encoded.fingerprint != reviews.encode(reviews.vocabulary()).fingerprint
    assert reviews.name in repr(encoded) and "832" in repr(reviews)


def write_table(folder: Path, name: str, rows: list[tuple[str, str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["sentence\tlabel", *("\t".join(row) for row in rows)]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_tables_with_quotes_and_leaks(tmp_path: Path) -> None:
    train = [(f'he said " no {i}', str(i % 2)) for i in range(2_500)]
    write_table(tmp_path / "sst2", "train.tsv", [*train, ("in both", "1"), ("in both", "0")])
    write_table(tmp_path / "sst2", "dev.tsv", [("in both", "1"), ('a lone " quote', "0")])
    data = load("sst2", root=tmp_path)
    assert len(data.train) + data.removed + len(data.val) == 2_502
    assert data.test.texts == ["in both", 'a lone " quote']
    assert "in both" not in data.train.texts + data.val.texts and data.removed == 2
    assert not set(data.train.texts) & set(data.val.texts)
    assert f"{data.removed:,} texts left out" in repr(data)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("fine", "1"), ("bad label", "2")], "the label '2' is neither 0 nor 1"),
        ([("one column",)], "line 2 lacks one of"),
    ],
)
def test_damaged_tables(rows: list[tuple[str, str]], message: str, tmp_path: Path) -> None:
    write_table(tmp_path / "sst2", "train.tsv", rows)
    write_table(tmp_path / "sst2", "dev.tsv", [("x", "1")])
    with pytest.raises(DataError, match=message):
        load("sst2", root=tmp_path)


def test_a_table_that_is_no_text(tmp_path: Path) -> None:
    write_table(tmp_path / "sst2", "dev.tsv", [("x", "1")])
    (tmp_path / "sst2" / "train.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="it is no UTF-8 text"):
        load("sst2", root=tmp_path)


def test_running_text_is_cut_at_line_ends(tmp_path: Path) -> None:
    (tmp_path / "tinyshakespeare").mkdir()
    text = "".join(f"line {i}\n" for i in range(100))
    (tmp_path / "tinyshakespeare" / "input.txt").write_text(text)
    data = load("tinyshakespeare", root=tmp_path)
    assert data.train + data.val + data.test == text
    assert all(part.endswith("\n") for part in (data.train, data.val, data.test))
    encoded = data.encode(data.vocabulary())
    assert len(encoded.train) == len(data.train) - 1


@needs_real
def test_real_sst2_is_whole() -> None:
    data = load("sst2")
    assert len(data.test) == 872
    assert len(data.train) + data.removed + len(data.val) == 67_349
    assert not set(data.train.texts) & (set(data.val.texts) | set(data.test.texts))


@needs_real
def test_real_chnsenticorp_is_whole() -> None:
    data = load("chnsenticorp")
    assert len(data.test) == 1_200
    assert len(data.train) + data.removed + len(data.val) == 9_600
    assert data.removed >= 300  # more than three hundred of its development texts stand in its training table
    assert not set(data.train.texts) & (set(data.val.texts) | set(data.test.texts))


@needs_real
def test_real_running_text() -> None:
    shakespeare, names = load("tinyshakespeare"), load("names")
    assert sum(map(len, (shakespeare.train, shakespeare.val, shakespeare.test))) == 1_115_394
    assert len(shakespeare.vocabulary()) == 65 + 2
    assert sum(part.count("\n") for part in (names.train, names.val, names.test)) == 32_033
    initials = [part[0] for part in names.train.split("\n")[:200] if part]
    assert len(set(initials)) > 10 and any(a > b for a, b in pairwise(initials))  # mixed, not by the alphabet


def test_the_files_of_the_project_are_tables(request: pytest.FixtureRequest) -> None:
    root = request.config.rootpath / "data"
    for name in LANGUAGES:
        rows = list(
            csv.DictReader(
                (root / f"{name}.tsv").open(encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE
            )
        )
        assert len(rows) == 1_280
        counts = collections.Counter((row["domain"], row["label"]) for row in rows)
        assert set(counts.values()) == {160} and len(counts) == 8
