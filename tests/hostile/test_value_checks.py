"""A class of cheats and accidents, graded in one run beside honest neighbours: each ends as the list of threats says."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from attacks import ATTACKS, FULL, HONEST, Attack

from autograde.course import Course
from autograde.record import Record, read_records
from autograde.run import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def records(
    released: Path, class_in, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Record]]:
    """All attacks graded in one run, with an honest student before each."""
    root = tmp_path_factory.mktemp("hostile") / "course"
    shutil.copytree(released, root)
    settings = root / "autograde.toml"
    text = settings.read_text("utf-8").replace("cell_seconds = 20", "cell_seconds = 8")
    settings.write_text(text.replace("memory_mb = 4096", "memory_mb = 3000"), "utf-8")
    course = Course(root)
    students = class_in(course)
    for attack in ATTACKS:
        path = students.submit(attack.student, dict(attack.answers))
        if attack.change:
            notebook = nbformat.read(path, as_version=4)
            attack.change(notebook)
            nbformat.write(notebook, path)
        if attack.files:
            attack.files(path)
        students.submit(f"{attack.student}_neighbour", HONEST)
    run(course, "tiny")
    yield {record.student: record for record in read_records(course, "tiny")}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.student)
def test_each_ends_as_it_must(records: dict[str, Record], attack: Attack):
    record = records[attack.student]
    assert (record.state, record.score) == (attack.state, attack.score), (record.reason, record.outcomes)
    if attack.flag:
        assert any(re.search(attack.flag, flag) for flag in record.flags), record.flags
    else:
        assert record.flags == []


def test_no_neighbour_is_touched(records: dict[str, Record]):
    neighbours = {
        name: (r.state, r.score, r.flags) for name, r in records.items() if name.endswith("_neighbour")
    }
    assert neighbours == dict.fromkeys(neighbours, ("graded", FULL, []))
    assert len(neighbours) == len(ATTACKS)


def test_nothing_runs_on_and_nothing_was_written_outside(records: dict[str, Record]):
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if "survivor-of-a-kernel" in (p.info["cmdline"] or ())
    ]
    assert not Path("/tmp/pwned").exists()
