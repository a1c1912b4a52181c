"""Odd submissions, gradebooks, kernels and hooks, where nbgrader would stop, drop or lose something."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from drop_in import EARLY, LATE, PARTLY, RIGHT, configure, hand_in, marks, ok, ours, stock, tree
from nbgrader.api import Gradebook

from autograde.convert import run_hook
from autograde.course import Course
from autograde.errors import CourseError
from autograde.feedback import generate
from autograde.master import read_masters
from autograde.record import read_records
from autograde.run import run

pytestmark = pytest.mark.slow


def test_what_gradebook_or_folders_have_lost_is_graded_again(course: Path):
    for student in ("bernie", "bitdiddle", "hacker"):
        hand_in(course, student, PARTLY, without=("problem2.ipynb",))
    ok(ours(course, "ps1"))
    before = (course / "autograded" / "bitdiddle" / "ps1" / "problem1.ipynb").stat().st_mtime_ns
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        gradebook.remove_submission("ps1", "hacker")
    shutil.rmtree(course / "autograded" / "bernie")
    ok(ours(course, "ps1"))
    assert marks(course)["hacker"]["score"] == (1.5, 13), "the gradebook had forgotten it"
    assert (course / "autograded" / "bernie" / "ps1" / "problem1.ipynb").is_file(), "the folder was gone"
    assert (course / "autograded" / "bitdiddle" / "ps1" / "problem1.ipynb").stat().st_mtime_ns == before


def test_nobody_is_lost_and_the_status_says_who_needs_a_look(course: Path):
    """Where nbgrader stops or drops a submission: odd files, odd ids, students that the gradebook does not know."""
    configure(course, "c.Autograde.create_student = False\n")
    for student in ("a1", "a[1]", "half", "clash", "broken"):
        hand_in(course, student, RIGHT)
        with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
            gradebook.add_student(student)
    hand_in(course, "stranger", RIGHT)
    submitted = course / "submitted"
    (submitted / "half" / "ps1" / "problem2.ipynb").write_text('{"cells": [')
    shutil.rmtree(submitted / "clash" / "ps1" / "data")
    (submitted / "clash" / "ps1" / "data").write_text("a file where the release has a folder")
    for name in ("problem1", "problem2"):
        (submitted / "broken" / "ps1" / f"{name}.ipynb").write_text("")

    [only] = run(Course(course), "ps1", students=["a[1]"])
    assert (only.student, only.score) == ("a[1]", 3)
    done = ok(ours(course, "ps1"), 1)
    records = {record.student: record for record in read_records(Course(course), "ps1")}
    states = {student: (record.state, record.score) for student, record in records.items()}
    assert states == {
        "a1": ("graded", 3),
        "a[1]": ("graded", 3),
        "half": ("unreadable", 3),
        "clash": ("graded", 3),
        "broken": ("unreadable", None),
        "stranger": ("failed", None),
    }
    assert "the gradebook has no student 'stranger'" in records["stranger"].reason
    assert "problem2.ipynb: not a notebook" in records["half"].reason
    assert records["clash"].flags == ["data stands where the release has something else; left out"]
    found = marks(course)
    assert "stranger" not in found["students"] and "broken" not in found
    assert found["half"]["problem2/part-a"] == (None, None, None, 1, True), "no 0: it waits for a person"
    assert (course / "autograded" / "clash" / "ps1" / "data" / "numbers.txt").is_file()
    assert "Traceback" not in done.stderr

    [feedback] = generate(Course(course), "ps1", students=["half"])
    assert [page.name for page in feedback.pages] == ["problem1.html", "problem2.html"]
    assert "pyramids" in feedback.pages[0].read_text() and "not a notebook" in feedback.pages[1].read_text()

    # Mended by hand, it is graded; nothing else is.
    before = (course / "autograded" / "a1" / "ps1" / "problem1.ipynb").stat().st_mtime_ns
    shutil.rmtree(submitted / "half")
    hand_in(course, "half", RIGHT)
    [half] = run(Course(course), "ps1", students=["h*"])
    assert (half.state, half.score, half.reason) == ("graded", 3, "")
    assert (course / "autograded" / "a1" / "ps1" / "problem1.ipynb").stat().st_mtime_ns == before


def test_what_nbgrader_has_graded_stays_until_something_newer_comes(course: Path):
    hand_in(course, "bitdiddle", RIGHT, timestamp=EARLY)
    ok(stock(course, "ps1"))
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        grade = gradebook.find_grade("correct_squares", "problem1", "ps1", "bitdiddle")
        grade.manual_score, grade.needs_manual_grade = 0.5, False
        gradebook.db.commit()
    before, files = marks(course), tree(course / "autograded")
    done = ok(ours(course, "ps1"))
    assert "graded by nbgrader before" in " ".join(done.stdout.split())
    assert (marks(course), tree(course / "autograded")) == (before, files)
    [record] = read_records(Course(course), "ps1")
    assert (record.state, record.score, record.isolation) == ("graded", 2.5, "none")
    (course / "submitted" / "bitdiddle" / "ps1" / "timestamp.txt").write_text(LATE)
    [record] = run(Course(course), "ps1")
    assert (record.reason, record.isolation) == ("", "bubblewrap")
    assert marks(course)["bitdiddle"]["problem1/correct_squares"] == (1, 0.5, None, 1, True)


@pytest.mark.parametrize(
    "kernelspec", [{"name": "ir", "language": "R"}, {"name": "deno", "language": "typescript"}]
)
def test_a_notebook_in_another_language_is_not_run_in_python(course: Path, kernelspec: dict[str, str]):
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        gradebook.find_notebook("problem1", "ps1").kernelspec = json.dumps(kernelspec)
        gradebook.db.commit()
    with pytest.raises(
        CourseError, match=rf"problem1.ipynb is written for the kernel '{kernelspec['name']}'"
    ):
        run(Course(course), "ps1")


def test_a_kernel_of_another_python_is_told(course: Path, tmp_path: Path, monkeypatch, caplog):
    spec = {"argv": ["/usr/bin/env", "python"], "display_name": "Data science", "language": "python"}
    folder = tmp_path / "jupyter" / "kernels" / "science"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    read_masters(Course(course), "ps1")
    assert not caplog.messages
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        gradebook.find_notebook("problem2", "ps1").kernelspec = json.dumps({"name": "science"})
        gradebook.db.commit()
    read_masters(Course(course), "ps1")
    assert [message for message in caplog.messages if "'science' (/usr/bin/env)" in message]


def test_a_gradebook_of_another_version_is_said_to_be(course: Path):
    with sqlite3.connect(course / "gradebook.db") as connection:
        connection.execute("ALTER TABLE notebook DROP COLUMN kernelspec")
    with pytest.raises(CourseError, match="run `nbgrader db upgrade`"):
        read_masters(Course(course), "ps1")


def test_an_assignment_that_was_never_generated_has_no_notebooks(course: Path):
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        gradebook.add_assignment("ps3")
    with pytest.raises(CourseError, match="'ps3' has no notebooks in the gradebook; release it first"):
        run(Course(course), "ps3")


def test_a_hook_that_fails_is_told_and_stops_nothing(course: Path):
    configure(
        course,
        "def bad(**_):\n    raise ValueError('no')\ndef ends(**_):\n    raise SystemExit(3)\n"
        "c.BaseConverter.pre_convert_hook, c.BaseConverter.post_convert_hook = bad, ends\n",
    )
    told = [run_hook(Course(course), which, "ps1", "ann", []) for which in ("pre", "post")]
    assert told == ["pre_convert_hook failed: ValueError: no", "post_convert_hook failed: SystemExit: 3"]
