"""One tag a word: over the word pieces and back, entity F1, the files of SNIPS."""

import hashlib
import sys
from pathlib import Path

import pytest
import torch
from http_server import serving
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pieces import minilm, needs_real, small
from torch import Tensor
from torch.nn import functional as F

from coursekit.data import (
    DataError,
    RemoteFile,
    Source,
    TagSequences,
    TagSplit,
    batches,
    entity_f1,
    fetch,
    load,
    word_tags,
)

CLASSES = ("O", "B-x", "I-x", "B-y")
HERE = Path(__file__).parent


def logits_for(data: TagSequences) -> Tensor:
    """Logits of a model that gives each first piece its own label, and every other piece a wrong one."""
    rows = []
    for _, y in data:
        rows.append(F.one_hot(torch.where(y == -100, 3, y), len(data.classes)).float())
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def test_labels_by_hand() -> None:
    split = TagSplit([["play", "playing", "songs"]], [["O", "B-x", "I-x"]], CLASSES)
    data = split.encode(small())
    ids, y = data[0]
    assert small().tokens(ids.tolist()) == ["[CLS]", "play", "play", "##ing", "song", "##s", "[SEP]"]
    assert y.tolist() == [-100, 0, 1, -100, 2, -100, -100]
    assert word_tags(logits_for(data), data) == split.tags


def test_cut_words_and_words_without_a_piece_are_outside() -> None:
    words = [["\x07", "song", "\ufffd\ufffd", "playing", "song"], [], ["\u200d"]]
    tags = [["B-x", "I-x", "B-y", "B-x", "I-x"], [], ["B-y"]]
    split = TagSplit(words, tags, CLASSES)
    whole = split.encode(small())
    assert [len(x) for x, _ in whole] == [6, 2, 2]
    assert word_tags(logits_for(whole), whole) == [["O", "I-x", "O", "B-x", "I-x"], [], ["O"]]
    cut = split.encode(small(), max_length=4)
    assert small().tokens(cut[0][0].tolist()) == ["[CLS]", "song", "play", "[SEP]"]
    assert word_tags(logits_for(cut), cut) == [["O", "I-x", "O", "B-x", "O"], [], ["O"]]
    nothing = split.encode(small(), max_length=2)
    assert word_tags(logits_for(nothing), nothing) == [["O"] * 5, [], ["O"]]
    with pytest.raises(ValueError, match=r"max_length is 1; \[CLS\] and \[SEP\] alone are 2"):
        split.encode(small(), max_length=1)


word = st.one_of(
    st.sampled_from(["song", "playing", "天气", "😀", "\ud83d", "", "it's", "\x07", "x" * 120]),
    st.text(max_size=8),
)


@settings(max_examples=80)
@given(st.lists(st.lists(word, max_size=6), min_size=1, max_size=5), st.data())
def test_true_labels_give_the_tags_again(sentences: list[list[str]], data: st.DataObject) -> None:
    tags = [[data.draw(st.sampled_from(CLASSES)) for _ in sentence] for sentence in sentences]
    encoded = TagSplit(sentences, tags, CLASSES).encode(small())
    expected = [
        [tag if small().offsets(w)[0] else "O" for w, tag in zip(sentence, row, strict=True)]
        for sentence, row in zip(sentences, tags, strict=True)
    ]
    assert word_tags(logits_for(encoded), encoded) == expected
    for X, _, y in batches(encoded, 2, shuffle=True):
        assert X.shape == y.shape
        assert (y[:, 0] == -100).all() and y[small().pad == X].eq(-100).all()


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="sentence 0 has 2 words but 1 tags"):
        TagSplit([["a", "b"]], [["O"]], CLASSES)
    with pytest.raises(ValueError, match="sentence 0 has the tag 'B-z'; there are: O, B-x"):
        TagSplit([["a"]], [["B-z"]], CLASSES)
    with pytest.raises(ValueError, match='"O" is none of the classes B-x'):
        TagSplit([["a"]], [["B-x"]], ("B-x",))
    with pytest.raises(ValueError, match="1 sentences, 2 rows of tags"):
        TagSplit([["a"]], [["O"], ["O"]], CLASSES)
    data = TagSplit([["song"]], [["O"]], CLASSES).encode(small())
    for wrong in (torch.zeros(1, 3), torch.zeros(2, 3, 4), torch.zeros(1, 2, 4), torch.zeros(1, 3, 5)):
        with pytest.raises(ValueError, match=r"expected \(1, 3 or more, 4\)"):
            word_tags(wrong, data)


def test_subset_keeps_the_intents() -> None:
    split = TagSplit([["a"], ["b", "c"]], [["O"], ["B-x", "I-x"]], CLASSES, ["Play", "Rate"])
    some = split.subset([1])
    assert some[0] == (["b", "c"], ["B-x", "I-x"]) and some.intents == ["Rate"]
    assert repr(some) == "TagSplit(1 sentences, 2 words, 4 tags)"


@pytest.mark.parametrize(
    ("true", "predicted", "f1"),
    [
        ([["B-x", "I-x", "O"]], [["B-x", "I-x", "O"]], 1.0),
        ([["B-x", "I-x", "O"]], [["B-x", "O", "O"]], 0.0),  # the last word is wrong, and so is the entity
        ([["B-x", "I-x", "O"]], [["B-y", "I-y", "O"]], 0.0),
        # Three true ones, two predicted, one right: precision 1/2, recall 1/3.
        ([["B-x", "O", "B-y"], ["B-x", "I-x"]], [["B-x", "O", "B-x"], ["O", "O"]], 0.4),
        ([["B-x", "B-x"]], [["B-x", "I-x"]], 0.0),  # two entities side by side are not one
        ([["B-x", "I-x"]], [["I-x", "I-x"]], 1.0),
        ([["O"], []], [["O"], []], 0.0),  # there is nothing to find
    ],
)
def test_entity_f1_by_hand(true: list[list[str]], predicted: list[list[str]], f1: float) -> None:
    pytest.importorskip("seqeval")
    assert entity_f1(true, predicted) == pytest.approx(f1)


def test_entity_f1_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("seqeval")
    for true, predicted in ([["O"]], [["O", "O"]]), ([["O"]], []), ([], []):
        with pytest.raises(ValueError, match="one predicted tag for each word"):
            entity_f1(true, predicted)
    monkeypatch.setitem(sys.modules, "seqeval.metrics", None)
    with pytest.raises(ModuleNotFoundError, match="pip install seqeval"):
        entity_f1([["O"]], [["O"]])


def write_snips(root: Path, **splits: list[tuple[str, str, str]]) -> None:
    for name, rows in splits.items():
        folder = root / "snips" / name
        folder.mkdir(parents=True)
        for file, column in zip(("seq.in", "seq.out", "label"), zip(*rows, strict=True), strict=True):
            (folder / file).write_text("\n".join(column) + "\n", encoding="utf-8")


def test_files_with_leaks(tmp_path: Path) -> None:
    rows = [
        ("play clásicos ", "O B-album ", "PlayMusic"),
        ("rate it", "O O", "RateBook"),
        ("in paris", "O B-city", "GetWeather"),
    ]
    write_snips(tmp_path, train=[*rows, rows[0]], valid=rows[1:], test=rows[2:])
    data = load("snips", root=tmp_path)
    assert data.train.words == [["play", "clásicos"]] * 2  # twice in training is no leak
    assert data.val.words == [["rate", "it"]] and data.test.intents == ["GetWeather"]
    assert data.removed == 3 and data.num_classes == 72
    assert "3 sentences left out" in repr(data) and repr(data).count("B-") < 20
    encoded = data.encode(small(), max_length=6)
    assert isinstance(encoded.train, TagSequences) and int(encoded.train.lengths.max()) == 6


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("play it", "O", "PlayMusic"), "sentence 0 has 2 words but 1 tags"),
        (("play", "B-song", "PlayMusic"), "the tag 'B-song'"),
    ],
)
def test_damaged_files(row: tuple[str, str, str], message: str, tmp_path: Path) -> None:
    good = [("rate it", "O O", "RateBook")]
    write_snips(tmp_path, train=good, valid=[row], test=[("sing", "O", "PlayMusic")])
    with pytest.raises(DataError, match=message):
        load("snips", root=tmp_path)
    (tmp_path / "snips/train/label").write_text("RateBook\nRateBook\n")
    with pytest.raises(DataError, match=r"seq.in has 1 lines, seq.out 1, label 2"):
        load("snips", root=tmp_path)


def test_files_in_folders_are_fetched_into_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the same name in several folders, as SNIPS has them; one is there already."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("COURSEKIT_MIRROR", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    contents = {"train/label": b"a\n", "test/label": b"b\nc\n", "test/seq.in": b"d\n"}
    files = tuple(RemoteFile(n, len(c), hashlib.sha256(c).hexdigest()) for n, c in contents.items())
    (tmp_path / "toy/train").mkdir(parents=True)
    (tmp_path / "toy/train/label").write_bytes(contents["train/label"])
    with serving(contents) as server:
        source = Source("toy", files, mirrors=(f"{server.url('ok')}/",))
        folder = fetch("toy", source, root=tmp_path)
    assert {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    } == contents
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


@needs_real
def test_real_snips() -> None:
    data = load("snips")
    assert [len(s) for s in (data.train, data.val, data.test)] == [13_003, 699, 700]
    assert data.removed == 82
    used = {tag for split in (data.train, data.val, data.test) for row in split.tags for tag in row}
    assert used == set(data.classes)
    assert set(data.train.intents or ()) == set(data.test.intents or ())
    encoded = data.train.encode(minilm())
    assert len(encoded.labels[encoded.labels != -100]) == sum(map(len, data.train.words)) - 1
    lost = [
        (sentence[k], tags[k])
        for (sentence, tags), back in zip(data.train, word_tags(logits_for(encoded), encoded), strict=True)
        for k in range(len(tags))
        if back[k] != tags[k]
    ]
    assert lost == [("\ufffd" * 6, "I-playlist")]  # the one word that the word pieces leave out wholly
