"""Pairs of texts: segments, batches, the files of RTE."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pieces import minilm, needs_real, small
from torch import Tensor, nn

from coursekit.data import DataError, PairSequences, PairSplit, batches, load
from coursekit.train import evaluate, fit, predict

odd = st.one_of(
    st.sampled_from(["", " ", "the song", "play 天气 playing!", "😀", "\ud800", "\x07", "a" * 150]), st.text()
)


def test_segments_by_hand() -> None:
    split = PairSplit(["play", "the song"], ["playing", "by"], torch.tensor([0, 1]))
    data = split.encode(small())
    tokens = [small().tokens(ids.tolist()) for ids, _, _ in data]
    assert tokens == [
        ["[CLS]", "play", "[SEP]", "play", "##ing", "[SEP]"],
        ["[CLS]", "the", "song", "[SEP]", "by", "[SEP]"],
    ]
    assert [segments.tolist() for _, segments, _ in data] == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]]
    shorter = PairSplit(["play"], ["by"], torch.tensor([1])).encode(small())
    both = PairSequences(
        [data[0][0], shorter[0][0]], [int(data.second[0]), int(shorter.second[0])], torch.tensor([0, 1])
    )
    X, lengths, segments, y = both.batch(torch.tensor([1, 0]))
    assert X[0].tolist() == [*shorter[0][0].tolist(), 0] and X[1].tolist() == data[0][0].tolist()
    assert segments.tolist() == [[0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1]]  # padding is segment 0
    assert lengths.tolist() == [5, 6] and y.tolist() == [1, 0] and segments.dtype == torch.int64


@settings(max_examples=60)
@given(st.lists(st.tuples(odd, odd), min_size=1, max_size=6), st.sampled_from([None, 3, 4, 7, 50]))
def test_any_texts(pairs: list[tuple[str, str]], max_length: int | None) -> None:
    pieces = small()
    data = PairSplit([a for a, _ in pairs], [b for _, b in pairs], torch.arange(len(pairs))).encode(
        pieces, max_length
    )
    for (ids, segments, _), (a, b) in zip(data, pairs, strict=True):
        expected = pieces.encode_pair(a, b, max_length)
        assert (ids.tolist(), segments.tolist()) == expected
        assert max_length is None or len(ids) <= max_length
    seen = []
    for X, lengths, segments, y in batches(data, 2, shuffle=True):
        assert X.shape == segments.shape == (len(y), int(lengths.max()))
        for row, kind, n, i in zip(X, segments, lengths.tolist(), y.tolist(), strict=True):
            ids, own, _ = data[i]
            assert torch.equal(row[:n], ids) and torch.equal(kind[:n], own) and not kind[n:].any()
            seen.append(i)
    assert sorted(seen) == list(range(len(pairs)))


class Overlap(nn.Module):
    """Logits from the mean embedding of each segment."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(small()), 8)
        self.head = nn.Linear(16, 2)

    def forward(self, X: Tensor, lengths: Tensor, segments: Tensor) -> Tensor:
        real = (torch.arange(X.shape[1]) < lengths[:, None])[:, :, None]
        parts = [
            (self.embedding(X) * (real & (segments == s)[:, :, None])).sum(1) / lengths[:, None]
            for s in (0, 1)
        ]
        return self.head(torch.cat(parts, 1))


def test_fit_evaluate_and_predict_take_pairs() -> None:
    first, second = ["play", "song", "the"] * 20, ["by", "playing", "unplayed song"] * 20
    split = PairSplit(first, second, torch.tensor([0, 1, 1] * 20))
    data = split.encode(small())
    torch.manual_seed(0)
    model = Overlap()
    fit(model, (data, data), epochs=20, lr=0.1, batch_size=8, progress=False)
    assert evaluate(model, data).accuracy == 1.0
    logits = predict(model, data, batch_size=7)
    alone = torch.cat([model(x[None], torch.tensor([len(x)]), s[None]) for x, s, _ in data])
    assert torch.allclose(logits, alone, atol=1e-5)  # in the order of the data


def test_fingerprint_and_device_keep_the_segments() -> None:
    ids = [torch.tensor([2, 9, 3, 3])]
    one, other = (PairSequences(ids, [k], torch.tensor([0])) for k in (2, 3))
    assert any(not torch.equal(a, b) for a, b in zip(one.tensors, other.tensors, strict=True))
    moved = one.to("cpu")
    assert isinstance(moved, PairSequences) and moved[0][1].tolist() == [0, 0, 1, 1]
    assert repr(moved).startswith("PairSequences(1 of 4 to 4 steps")


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="2 first texts, 1 second texts, 2 labels"):
        PairSplit(["a", "b"], ["c"], torch.zeros(2))
    for second in ([5], [-1], [1, 1]):
        with pytest.raises(ValueError, match="at which of its steps the second segment begins"):
            PairSequences([torch.tensor([1, 2])], second, torch.zeros(1))


def test_subset() -> None:
    split = PairSplit(["a", "b", "c"], ["d", "e", "f"], torch.tensor([0, 1, 2])).subset([2, 0])
    assert [(a, b, int(y)) for a, b, y in split] == [("c", "f", 2), ("a", "d", 0)]
    assert split[1][:2] == ("a", "d") and "2 pairs" in repr(split)


def write_rte(root: Path, train: list[tuple[str, ...]], dev: list[tuple[str, ...]]) -> None:
    folder = root / "rte"
    folder.mkdir(parents=True)
    for name, rows in (("train.tsv", train), ("dev.tsv", dev)):
        lines = [
            "index\tsentence1\tsentence2\tlabel",
            *("\t".join((str(i), *row)) for i, row in enumerate(rows)),
        ]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_table_with_quotes_and_leaks(tmp_path: Path) -> None:
    train = [(f'he said " no {i}', 'so " ', "entailment") for i in range(300)]
    leaks = [("in both", "another", "not_entailment"), ("in both", "b", "entailment")]
    twice = [(row[0], "again", "not_entailment") for row in train]
    write_rte(tmp_path, [*train, *leaks, *twice], [("in both", "b", "entailment")])
    data = load("rte", root=tmp_path)
    assert (len(data.val), len(data.test)) == (250, 1)
    assert len(data.train) + data.removed + 250 == 602 and data.removed >= 2
    firsts = [set(split.first) for split in (data.train, data.val, data.test)]
    assert not firsts[0] & firsts[1] and not (firsts[0] | firsts[1]) & firsts[2]
    assert data.classes == ("entailment", "not_entailment")
    assert set(data.train.second) == {'so "', "again"}  # the bare quote has swallowed no row
    by_label = {b: int(y) for _, b, y in data.train}
    assert by_label == {'so "': 0, "again": 1}
    encoded = data.encode(small(), max_length=8)
    assert isinstance(encoded.train, PairSequences) and int(encoded.train.lengths.max()) == 8
    assert len(encoded.fingerprint) == 64
    assert f"{data.removed:,} pairs left out" in repr(data)


def test_damaged_table(tmp_path: Path) -> None:
    write_rte(tmp_path, [("a", "b", "neutral")], [("c", "d", "entailment")])
    with pytest.raises(DataError, match="the label 'neutral' is none of entailment, not_entailment"):
        load("rte", root=tmp_path)


@needs_real
def test_real_rte() -> None:
    data = load("rte")
    assert [len(s) for s in (data.train, data.val, data.test)] == [2_183, 250, 277]
    assert data.removed == 57
    assert data.test.y.bincount().tolist() == [146, 131]
    encoded = data.encode(minilm(), max_length=128)
    assert isinstance(encoded.test, PairSequences)
    ids, segments, y = encoded.test[0]
    assert minilm().decode(ids.tolist()).endswith("christopher reeve had an accident.") and int(y) == 1
    assert minilm().decode(ids[segments == 1].tolist()) == "christopher reeve had an accident."
    assert int(encoded.train.lengths.max()) == 128  # type: ignore[union-attr]  # pairs are Sequences
