"""A course whose cells assert in the student's own process: there, tampering is noticed."""

import re
from pathlib import Path

import pytest
from asserting import ATTACKS, make_course
from submissions import Attack

from autograde.course import Course
from autograde.record import Record, read_records
from autograde.run import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Course:
    root = tmp_path_factory.mktemp("foreign") / "course"
    make_course(root)
    return Course(root)


@pytest.fixture(scope="module")
def records(foreign: Course) -> dict[str, Record]:
    run(foreign, "ps1")
    return {record.student: record for record in read_records(foreign, "ps1")}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.student)
def test_each_ends_as_it_must(records: dict[str, Record], attack: Attack):
    record = records[attack.student]
    assert record.state in attack.state.split(" or "), (record.state, record.reason, record.flags)
    assert record.score == attack.score, (record.flags, record.outcomes)
    if attack.flag:
        assert any(re.search(attack.flag, flag) for flag in record.flags), record.flags
    else:
        assert record.flags == []


def test_grading_wrote_nothing_but_what_nbgrader_writes_and_our_state(records, foreign: Course):
    names = {path.name for path in foreign.root.iterdir()}
    assert names == {
        "nbgrader_config.py",
        "autograde.toml",
        "source",
        "release",
        "submitted",
        "gradebook.db",
        "autograded",
        ".autograde",
    }
    assert Path(foreign.root, "autograded", "r00_honest", "ps1", "ps1.ipynb").is_file()
