"""Answer spans: windows, decoding against brute force, answers in the letters of the context, the files of XQuAD."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pieces import minilm, needs_real, one, perfect, small

from coursekit.data import (
    DataError,
    SpanSplit,
    SpanWindows,
    answer_f1,
    answers,
    batches,
    exact_match,
    load,
)


def test_a_window_by_hand() -> None:
    data = one("the song?", "play 天气 songs.", "天气 song").encode(small())
    ids, segments, y = data[0]
    assert " ".join(small().tokens(ids.tolist())) == "[CLS] the song ? [SEP] play 天 气 song ##s . [SEP]"
    assert segments.tolist() == [0] * 5 + [1] * 7
    assert y.tolist() == [6, 8]
    assert data.offsets[5:11].tolist() == [[0, 4], [5, 6], [6, 7], [8, 12], [12, 13], [13, 14]]
    assert (data.offsets[[0, 1, 2, 3, 4, 11]] == -1).all()


def test_the_gold_span_is_the_pieces_of_the_answer() -> None:
    data = one("the song?", "play 天气 songs.", "天气 songs").encode(small())
    assert answers(perfect(data), data) == ["天气 songs"]
    inside = one("", "play song", "la").encode(small())
    assert answers(perfect(inside), inside) == ["play"]  # no piece is smaller


def test_windows_by_hand() -> None:
    """Ten pieces, room for four, a step of three: 0 to 3, 3 to 6, 6 to 9; "h" is only in the last."""
    context = "a b c d e f g h i j"
    data = one("the", context, "h i").encode(small(), max_length=8, stride=3)
    rows = [small().tokens(ids.tolist()) for ids, _, _ in data]
    assert [row[:3] for row in rows] == [["[CLS]", "the", "[SEP]"]] * 3
    assert ["".join(row[3:-1]) for row in rows] == ["abcd", "defg", "ghij"]
    assert data.y.tolist() == [[0, 0], [0, 0], [4, 5]] and data.examples == [0, 0, 0]
    assert answers(perfect(data), data) == ["h i"]
    wide = one("the", context, "h i").encode(small(), max_length=8, stride=100)  # no piece is left out
    assert ["".join(small().tokens(ids.tolist())[3:-1]) for ids, _, _ in wide] == ["abcd", "efgh", "ij"]
    assert wide.y.tolist() == [[0, 0]] * 3  # "h i" is in no window as a whole
    assert answers(perfect(wide), wide, no_answer=True) == [""]


def test_longer_than_a_model_takes() -> None:
    context = " ".join(["play song by the"] * 300) + " 北京大学😀"
    data = one("在哪里?", context, "北京大学", context.find("北京")).encode(
        small(), max_length=512, stride=128
    )
    assert int(data.lengths.max()) == 512 and len(data) == 7
    assert data.y[:-1].eq(0).all() and data.y[-1].gt(0).all()
    assert answers(perfect(data), data) == ["北京大学"]
    covered = {tuple(o) for o in data.offsets.tolist() if o[0] >= 0}
    assert len(covered) == len(small().offsets(context)[0])


text = st.one_of(
    st.sampled_from(
        ["", " ", "the song", "天气好 play 北京", "😀 song 👩‍👩‍👧", "a\ud800b", "\x07", "cafe\u0301 déjà"]
    ),
    st.text(max_size=30),
)


@settings(max_examples=150)
@given(text, text, st.data(), st.integers(4, 24), st.integers(1, 30))
def test_any_text_comes_back_as_it_was(
    question: str, context: str, data: st.DataObject, max_length: int, stride: int
) -> None:
    start = data.draw(st.integers(0, len(context)))
    answer = context[start : data.draw(st.integers(start, len(context)))]
    windows = one(question, context, answer, start).encode(small(), max_length, stride)
    assert int(windows.lengths.max()) <= max_length
    pieces, offsets = small().offsets(context)
    seen = [tuple(o) for o in windows.offsets.tolist() if o[0] >= 0]
    assert set(seen) == set(offsets) and len(windows) >= 1
    for X, lengths, segments, y in batches(windows, 3, shuffle=True):
        assert X.shape == segments.shape and (y < lengths[:, None]).all() and (y[:, 0] <= y[:, 1]).all()
        assert segments.gather(1, y).eq((y > 0).long()).all()  # an answer lies in the second segment
    found = answers(perfect(windows), windows, max_answer_length=100, no_answer=True)[0]
    touched = [(a, b) for a, b in offsets if answer and a < start + len(answer) and b > start]
    if windows.y.any():
        assert found.startswith(context[touched[0][0] : touched[-1][1]])  # and accents, if any follow
        assert found in context
    else:
        assert found == "" and (not touched or len(windows) > 1)
    assert len(windows) > 1 or len(pieces) <= max_length


def test_a_long_question_leaves_room_for_the_context() -> None:
    data = one("song " * 100, "a b c d", "d").encode(small(), max_length=13)
    assert len(data) == 1 and int(data.second[0]) == 7
    assert answers(perfect(data), data) == ["d"]


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match=r"the answer 'song' does not begin at character 1 .* 'lay ' stands"):
        one("", "play song", "song", 1)
    with pytest.raises(ValueError, match="does not begin at character -1"):
        one("", "play song", "by")
    with pytest.raises(ValueError, match="2 questions, 1 contexts"):
        SpanSplit(["a", "b"], ["c"], ["c"], [0])
    split = one("", "play", "play")
    with pytest.raises(ValueError, match="max_length is 3"):
        split.encode(small(), max_length=3)
    with pytest.raises(ValueError, match="stride is 0"):
        split.encode(small(), stride=0)


def test_subset() -> None:
    split = SpanSplit(["p", "q"], ["a b", "c"], ["b", "c"], [2, 0], "zh").subset([1])
    assert list(split) == [("q", "c", "c", 0)] and split.language == "zh"
    assert repr(split) == "SpanSplit(1 questions about 1 contexts, 'zh')"


def write_xquad(root: Path, articles: int, start: int = 0) -> None:
    (root / "xquad").mkdir(parents=True, exist_ok=True)
    for language, word in (("en", "song"), ("zh", "天气")):
        data = [
            {
                "title": f"title {i}",
                "paragraphs": [
                    {
                        "context": f"{word} {i}",
                        "qas": [{"question": f"{k}?", "answers": [{"text": word, "answer_start": start}]}],
                    }
                    for k in range(1 + i % 3)
                ],
            }
            for i in range(articles)
        ]
        (root / "xquad" / f"xquad.{language}.json").write_text(json.dumps({"data": data}), encoding="utf-8")


def test_the_same_articles_in_both_languages(tmp_path: Path) -> None:
    write_xquad(tmp_path, 20)
    english, chinese = load("xquad_en", root=tmp_path), load("xquad_zh", root=tmp_path)
    for a, b in zip(
        (english.train, english.val, english.test), (chinese.train, chinese.val, chinese.test), strict=True
    ):
        assert [c.split()[1] for c in a.contexts] == [c.split()[1] for c in b.contexts]
        assert (a.language, b.language) == ("en", "zh")
    contexts = [{*split.contexts} for split in (english.train, english.val, english.test)]
    assert [len(c) for c in contexts] == [12, 3, 5]
    assert len(set().union(*contexts)) == 20
    encoded = english.encode(small(), max_length=32, stride=8)
    assert isinstance(encoded.val, SpanWindows) and encoded.val.split is english.val


def test_damaged_files(tmp_path: Path) -> None:
    write_xquad(tmp_path, 4, start=1)
    with pytest.raises(DataError, match=r"xquad.en.json is damaged .* 'song' does not begin at character 1"):
        load("xquad_en", root=tmp_path)
    for content in ("[]", "{", '{"data": [{"title": "x"}]}', '{"data": []}', '{"data": [3]}'):
        (tmp_path / "xquad/xquad.zh.json").write_text(content)
        with pytest.raises(DataError, match=r"xquad.zh.json is damaged .*get it again"):
            load("xquad_zh", root=tmp_path)


@needs_real
@pytest.mark.parametrize(("name", "whole"), [("xquad_en", 0.99), ("xquad_zh", 0.99)])
def test_real_xquad(name: str, whole: float) -> None:
    data = load(name)
    assert [len(s) for s in (data.train, data.val, data.test)] == [694, 185, 311]
    windows = data.test.encode(minilm())
    found = answers(perfect(windows), windows, max_answer_length=400)
    assert exact_match(data.test.answers, found, data.test.language) > whole  # answers end at pieces
    assert answer_f1(data.test.answers, found, data.test.language) > whole
    narrow = data.test.encode(minilm(), max_length=128, stride=48)
    assert len(narrow) > 2 * len(windows)
    again = answers(perfect(narrow), narrow, max_answer_length=400)
    same = sum(a == b for a, b in zip(found, again, strict=True)) / len(found)
    assert same > 0.95  # an answer of many words may be cut by every window
