"""A class of cheats and accidents, graded in one run beside honest neighbours: each ends as the list of threats says."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from attacks import ATTACKS, FULL, HONEST
from submissions import HOSTILE_LIMITS, Attack, hand_in

from autograde.course import Course
from autograde.record import Record, read_records
from autograde.run import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def records(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Record]]:
    """All attacks graded in one run, with an honest student after every second one."""
    root = tmp_path_factory.mktemp("hostile") / "course"
    shutil.copytree(released, root)
    settings = root / "autograde.toml"
    text = settings.read_text("utf-8")
    settings.write_text(text.split("[limits]")[0] + HOSTILE_LIMITS, "utf-8")
    for number, attack in enumerate(ATTACKS):
        submit(root, attack)
        if number % 2:
            submit(root, Attack(attack.row, f"{attack.name}_neighbour", FULL, HONEST))
    course = Course(root)
    run(course, "tiny")
    yield {record.student: record for record in read_records(course, "tiny")}


def submit(root: Path, attack: Attack) -> None:
    hand_in(root / "handout" / "en" / "tiny", root / "submitted" / attack.student / "tiny", attack)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.student)
def test_each_ends_as_it_must(records: dict[str, Record], attack: Attack):
    record = records[attack.student]
    assert record.state in attack.state.split(" or "), (record.state, record.reason, record.flags)
    assert record.score == attack.score, (record.flags, record.outcomes)
    if attack.flag:
        assert any(re.search(attack.flag, flag) for flag in record.flags), record.flags
    else:
        assert record.flags == []


def test_no_neighbour_is_touched(records: dict[str, Record]):
    neighbours = {
        name: (r.state, r.score, r.flags) for name, r in records.items() if name.endswith("_neighbour")
    }
    assert neighbours == dict.fromkeys(neighbours, ("graded", FULL, []))
    assert len(neighbours) == len(ATTACKS) // 2


def test_nothing_runs_on_and_nothing_was_written_outside(records: dict[str, Record]):
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if "survivor-of-a-kernel" in (p.info["cmdline"] or ())
    ]
    assert not Path("/tmp/pwned").exists()
