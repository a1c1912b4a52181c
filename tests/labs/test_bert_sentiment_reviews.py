"""The hidden test reviews of the lab `bert_sentiment`: balanced, new, clean, and their labels with the instructor only."""

import collections
import json
import re
import runpy
import tomllib
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

ROOT = Path(__file__).parents[2]
LAB = ROOT / "labs" / "bert_sentiment"
LABELS = LAB / "instructor" / "test_labels.json"
DOMAINS = ["product", "film", "food", "course"]
# How the reviews of `reviews_en` are checked is how these are.
COMMON = runpy.run_path(str(ROOT / "tests" / "coursekit" / "test_data_text.py"))
PHENOMENA, grams = COMMON["PHENOMENA"], COMMON["grams"]

needs_labels = pytest.mark.skipif(
    not LABELS.exists(), reason="the labels are the instructor's: no part of the sdist"
)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    header, *rows = (LAB / "files" / "test_reviews.tsv").read_text(encoding="utf-8").splitlines()
    assert header == "text"
    return rows


@pytest.fixture(scope="module")
def key() -> dict:
    return json.loads(LABELS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def embedded() -> list[dict[str, str]]:
    header, *rows = (ROOT / "data" / "reviews_en.tsv").read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split("\t"), row.split("\t"), strict=True)) for row in rows]


def test_texts_are_clean(texts):
    assert len(texts) == 240
    for text in texts:
        assert text == text.strip() and "\t" not in text and "  " not in text and '"' not in text
        assert text.isascii() and text[-1] in ".!?"
        assert 5 <= len(text.split()) <= 45


@needs_labels
def test_there_is_a_label_for_each_text(texts, key):
    assert set(key) == {"labels", "phenomena", "domain", "public"}
    assert len(key["labels"]) == len(key["phenomena"]) == len(key["domain"]) == len(texts)
    assert set(key["labels"]) == {0, 1} and key["public"] == 40
    assert set().union(*key["phenomena"]) == PHENOMENA
    assert all(some == sorted(set(some)) for some in key["phenomena"])


@needs_labels
def test_labels_are_balanced_over_the_domains(key):
    rows = list(zip(key["domain"], key["labels"], strict=True))
    public = key["public"]
    assert collections.Counter(rows) == {(domain, y): 30 for domain in DOMAINS for y in (0, 1)}
    assert collections.Counter(rows[:public]) == {(domain, y): 5 for domain in DOMAINS for y in (0, 1)}
    runs = sum(a != b for a, b in zip(key["labels"], key["labels"][1:], strict=False))
    assert 90 < runs < 150  # mixed: about half of the neighbours differ


@needs_labels
def test_no_phenomenon_gives_the_label_away(key, embedded):
    def shares(phenomena):
        counts = collections.Counter(p for some in phenomena for p in some or ["none"])
        return {p: n / len(phenomena) for p, n in counts.items()}

    model = shares([row["phenomena"].split(",") if row["phenomena"] else [] for row in embedded])
    public = key["public"]
    whole, first, rest = (
        shares(key["phenomena"][part]) for part in (slice(None), slice(public), slice(public, None))
    )
    for p in [*PHENOMENA, "none"]:
        assert abs(whole[p] - model[p]) < 0.04
        assert abs(first[p] - rest[p]) < 0.06
        labels = [
            y for y, some in zip(key["labels"], key["phenomena"], strict=True) if p in (some or ["none"])
        ]
        low, high = (0.15, 0.5) if p == "sarcasm" else (0.4, 0.6)
        assert low < sum(labels) / len(labels) < high


@needs_labels
def test_lengths_do_not_give_the_label_away(texts, key):
    lengths = {
        y: np.mean([len(t.split()) for t, z in zip(texts, key["labels"], strict=True) if y == z])
        for y in (0, 1)
    }
    assert abs(lengths[0] - lengths[1]) < 3


def test_no_review_is_like_another(texts, embedded):
    """By the measure of `reviews_en`, and well under its bound: 35 %."""
    others = [row["text"] for row in embedded]
    assert len({text.lower() for text in texts + others}) == len(texts) + len(others)
    counter = CountVectorizer(analyzer=lambda text: grams(text, 6))
    pieces = counter.fit_transform([*texts, *others])
    sizes = np.asarray(pieces.sum(axis=1)).ravel()
    shared = (pieces[: len(texts)] @ pieces.T).toarray()
    overlap = shared / (sizes[: len(texts), None] + sizes - shared)
    np.fill_diagonal(overlap, 0)
    assert overlap.max() < 0.2


def test_few_common_openings(texts, embedded):
    def openings(some):
        return collections.Counter(" ".join(text.lower().split()[:3]) for text in some)

    assert openings(texts).most_common(1)[0][1] <= 3
    assert openings([*texts, *(row["text"] for row in embedded)]).most_common(1)[0][1] <= 12


def holds_labels(content: bytes, labels: list[int]) -> bool:
    """`content` holds the labels, written out or as the bytes of an array."""
    digits = "".join(map(str, labels)).encode()
    written = re.sub(rb"[^01]", b"", re.sub(rb"\b([01])\.0\b", rb"\1", content))
    arrays = [np.array(labels, kind).tobytes() for kind in ("u1", "i2", "i4", "i8", "f4", "f8")]
    return digits in written or any(array in content for array in arrays)


@needs_labels
def test_labels_are_found_where_they_are(key):
    hidden = key["labels"][key["public"] :]
    assert holds_labels(LABELS.read_bytes(), hidden)
    assert holds_labels("\n".join(f"{y}.0" for y in hidden).encode(), hidden)
    assert holds_labels(b"head" + np.array(hidden, "i8").tobytes(), hidden)
    assert not holds_labels(json.dumps(hidden[::-1]).encode(), hidden)


@needs_labels
def test_no_file_that_students_get_holds_the_labels(key, texts):
    hidden = key["labels"][key["public"] :]
    handed_out = [
        path
        for folder in (ROOT / "coursekit", ROOT / "notebooks", LAB / "files")
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert len(handed_out) > 10
    assert not [
        path for path in handed_out if path.name == LABELS.name or holds_labels(path.read_bytes(), hidden)
    ]


@needs_labels
def test_neither_wheel_nor_sdist_takes_the_labels(key):
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "labs/*/instructor" in config["tool"]["hatch"]["build"]["targets"]["sdist"]["exclude"]
    sdist = pytest.importorskip("hatchling.builders.sdist")
    wheel = pytest.importorskip("hatchling.builders.wheel")
    hidden = key["labels"][key["public"] :]
    for builder in (wheel.WheelBuilder(str(ROOT)), sdist.SdistBuilder(str(ROOT))):
        with builder.config.set_build_data({"artifacts": [], "force_include": {}, "build_hooks": ()}):
            taken = [Path(file.path) for file in builder.recurse_included_files()]
        assert len(taken) > 20
        assert not [path for path in taken if path.match("labs/*/instructor/*")]
        assert not [
            path for path in taken if path.name == LABELS.name or holds_labels(path.read_bytes(), hidden)
        ]
