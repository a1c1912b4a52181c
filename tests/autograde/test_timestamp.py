"""`timestamp.txt`: trusted where it can be true, flagged where it cannot, and never a reason not to grade."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from autograde.timestamp import NAME, check_timestamp

DUE = datetime(2026, 1, 1)


def flags_of(tmp_path: Path, content: bytes | None, due: datetime | None = None) -> tuple[list[str], bool]:
    """The flags, and whether the file is kept."""
    files = {}
    if content is not None:
        (tmp_path / NAME).write_bytes(content)
        files[NAME] = tmp_path / NAME
    flags: list[str] = []
    check_timestamp(files, due, flags)
    return flags, NAME in files


def stamp(**later: int) -> bytes:
    return f"{datetime.now(UTC) + timedelta(**later):%Y-%m-%d %H:%M:%S.%f} UTC".encode()


@pytest.mark.parametrize(
    "content",
    [
        stamp(),
        stamp(days=-400),
        stamp(hours=14),
        b"2020-01-01T10:00:00+08:00\n",
        b"2020-01-01 10:00:00 Asia/Shanghai",
    ],
    ids=["now", "a year ago", "of a zone ahead", "with an offset", "with a zone"],
)
def test_what_can_be_true_is_trusted(tmp_path: Path, content: bytes):
    assert flags_of(tmp_path, content, DUE) == ([], True)


def test_files_from_an_archive_may_be_older_than_their_timestamp(tmp_path: Path):
    (tmp_path / NAME).write_bytes(stamp())
    os.utime(tmp_path / NAME, (315532800, 315532800))
    flags: list[str] = []
    check_timestamp({NAME: tmp_path / NAME}, DUE, flags)
    assert flags == []


@pytest.mark.parametrize(
    "content",
    [
        b"soon",
        b"\xff\xfe2020",
        b"2020-01-01 00:00:00 \xff",
        b"9" * 90,
        b"9" * 10**6,
        b"0001-01-01 00:00:00 +1400",
        b"2020-01-01 00:00:00 86400",
    ],
    ids=range(7),
)
def test_what_is_no_time_is_left_out(tmp_path: Path, content: bytes):
    for due in (None, DUE):
        [flag], kept = flags_of(tmp_path, content, due)
        assert flag.startswith("timestamp.txt is no time: '") and not kept
        assert flag.endswith("so it does not count as late") is bool(due)


def test_a_time_after_the_collection_is_flagged_and_kept(tmp_path: Path):
    [flag], kept = flags_of(tmp_path, stamp(days=2))
    assert flag.endswith("which is later than it was collected") and kept


def test_none_is_flagged_where_there_is_a_date(tmp_path: Path):
    assert flags_of(tmp_path, None) == ([], False)
    assert flags_of(tmp_path, None, DUE)[0] == ["no timestamp.txt, so it does not count as late"]
    assert flags_of(tmp_path, b" \n") == ([], True)
    assert flags_of(tmp_path, b" \n", DUE)[0] == [
        "timestamp.txt is no time: ''; left out, so it does not count as late"
    ]
