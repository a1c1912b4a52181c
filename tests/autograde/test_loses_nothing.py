"""A run that is stopped or killed, wherever it stands: nothing is lost, nothing is counted twice, the next one goes on."""

import os
import shutil
import signal
import sqlite3
import subprocess
import threading

import psutil
import pytest
from nbgrader.api import Gradebook
from runs import RIGHT, STUDENTS, begin, graded, right_after, wait_for

from autograde.course import Course
from autograde.errors import AutogradeError
from autograde.record import begin_record, read_record, read_records
from autograde.run import run

pytestmark = pytest.mark.slow


@pytest.fixture
def class_of_six(tiny_course: Course, students) -> Course:
    for student in STUDENTS:
        students.submit(student, right_after(1))
    return tiny_course


def offspring(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def leftovers(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def assert_whole(course: Course) -> None:
    """Each submission once, with its marks, in the records and in the gradebook."""
    records = run(course, "tiny")
    assert [(r.student, r.state, r.score) for r in records] == [(s, "graded", 5.0) for s in STUDENTS]
    assert [r.student for r in read_records(course, "tiny")] == list(STUDENTS)
    with Gradebook(course.nbgrader.db_url, course.nbgrader.course_id) as gradebook:
        marks = [(s.student.id, s.score) for s in gradebook.find_assignment("tiny").submissions]
    assert sorted(marks) == [(s, 5.0) for s in STUDENTS]
    for student in STUDENTS:
        names = sorted(p.name for p in course.path("autograded", student, "tiny").iterdir())
        assert names == sorted(p.name for p in course.path("autograded", "ada", "tiny").iterdir())


def test_ctrl_c_stops_cleanly_and_the_next_run_does_the_rest(class_of_six):
    process = begin(class_of_six, "--jobs", "1")
    wait_for(lambda: graded(class_of_six))
    theirs = offspring(process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "of 6 are graded; the same command does the rest" in err and "Traceback" not in err, err
    # multiprocessing's resource tracker ends only after the process that it tracks.
    wait_for(lambda: not leftovers(theirs), 20)
    first = graded(class_of_six)
    assert 1 <= len(first) < 6
    times = {s: (class_of_six.path("autograded", s, "tiny") / "tiny.ipynb").stat().st_mtime_ns for s in first}
    assert_whole(class_of_six)
    for student, written in times.items():
        path = class_of_six.path("autograded", student, "tiny") / "tiny.ipynb"
        assert path.stat().st_mtime_ns == written, "what was graded is not graded again"


def test_a_runner_that_is_killed_leaves_nothing_behind_and_the_next_run_does_the_rest(class_of_six):
    process = begin(class_of_six, "--jobs", "1")
    wait_for(lambda: graded(class_of_six))
    theirs = offspring(process)
    process.kill()
    process.communicate()
    wait_for(lambda: not leftovers(theirs), 20)
    assert 1 <= len(graded(class_of_six)) < 6
    assert_whole(class_of_six)


def test_the_process_that_records_is_killed(class_of_six):
    process = begin(class_of_six, "--jobs", "1")
    wait_for(lambda: graded(class_of_six))
    for child in psutil.Process(process.pid).children():
        if "spawn_main" in " ".join(child.cmdline()):
            child.kill()
    _, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    assert_whole(class_of_six)


def test_two_runs_at_once_count_each_submission_once(class_of_six):
    runs = [begin(class_of_six, "--jobs", "1") for _ in range(2)]
    ends = [process.communicate(timeout=300) for process in runs]
    assert 0 in [process.returncode for process in runs], ends
    assert not any("Traceback" in err for _, err in ends)
    assert_whole(class_of_six)


def test_a_locked_database_is_waited_for(class_of_six):
    """Another program holds it for ten seconds, longer than SQLite would wait by itself."""
    connection = sqlite3.connect(class_of_six.root / "gradebook.db", check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    threading.Timer(10, connection.rollback).start()
    assert_whole(class_of_six)


def test_a_regrade_that_fails_keeps_mark_and_notebook_and_says_so(tiny_course, students, monkeypatch):
    students.submit("ada", RIGHT)
    run(tiny_course, "tiny")
    path = tiny_course.path("autograded", "ada", "tiny") / "tiny.ipynb"
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("a cable is loose")

    monkeypatch.setattr("autograde.grader.take_in", fail)
    [record] = run(tiny_course, "tiny", force=True)
    assert (record.state, record.score, record.max_score) == ("failed", 5.0, 7.0)
    assert "a cable is loose" in record.reason and "of an earlier run stay (5)" in record.reason
    assert path.read_bytes() == before
    monkeypatch.undo()
    [record] = run(tiny_course, "tiny")
    assert (record.state, record.score, record.reason) == ("graded", 5.0, "")


def test_a_run_that_was_killed_while_it_recorded_is_made_good(tiny_course, students):
    students.submit("ada", RIGHT)
    run(tiny_course, "tiny")
    begin_record(tiny_course, "tiny", "ada")  # and here it was killed, the gradebook half new
    shutil.rmtree(tiny_course.path("autograded", "ada", "tiny"))
    assert read_record(tiny_course, "tiny", "ada") is None
    assert [record.state for record in read_records(tiny_course, "tiny")] == ["failed"]
    [record] = run(tiny_course, "tiny")
    assert (record.state, record.score) == ("graded", 5.0)
    assert (tiny_course.path("autograded", "ada", "tiny") / "tiny.ipynb").is_file()


def test_a_run_that_was_killed_while_it_replaced_a_notebook_has_lost_none(tiny_course, students, monkeypatch):
    students.submit("ada", RIGHT)
    run(tiny_course, "tiny")
    final = tiny_course.path("autograded", "ada", "tiny")
    before = (final / "tiny.ipynb").read_bytes()
    final.parent.chmod(0o755)
    begin_record(tiny_course, "tiny", "ada")
    # The old one was out of the way, the new one not yet in its place.
    aside = final.with_name(".tiny.replaced")
    aside.mkdir()
    final.rename(aside / "old")
    (aside / "new").mkdir()
    (tiny_course.state / "stage-abc" / "submitted").mkdir(parents=True)

    def fail(*_: object) -> None:
        raise OSError("a cable is loose")

    monkeypatch.setattr("autograde.grader.take_in", fail)
    [record] = run(tiny_course, "tiny")
    assert (record.state, record.score) == ("failed", 5.0)
    assert (final / "tiny.ipynb").read_bytes() == before
    assert not aside.exists() and not list(tiny_course.state.glob("stage-*"))
    monkeypatch.undo()
    [record] = run(tiny_course, "tiny")
    assert (record.state, record.score) == ("graded", 5.0)
    assert [path.name for path in final.parent.iterdir()] == ["tiny"]


def test_a_full_disk_fails_the_submission_and_keeps_the_old_mark(tmp_path, students, tiny_course):
    """The course lies on a small file system that a big file fills."""
    small = tmp_path / "small"
    small.mkdir()
    students.submit("ada", RIGHT)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("a file system can be mounted by root only")
    try:
        root = small / "course"
        subprocess.run(["cp", "-r", str(tiny_course.root), str(root)], check=True)
        course = Course(root)
        [first] = run(course, "tiny")
        assert (first.state, first.score) == ("graded", 5.0)
        with (small / "filler").open("wb") as filler:
            try:
                while True:
                    filler.write(b"0" * 65536)
                    filler.flush()
            except OSError:
                pass  # now it is full
        before = (course.path("autograded", "ada", "tiny") / "tiny.ipynb").read_bytes()
        with pytest.raises(AutogradeError, match="No space left"):
            run(course, "tiny", force=True)
        assert (course.path("autograded", "ada", "tiny") / "tiny.ipynb").read_bytes() == before
        (small / "filler").unlink()
        [again] = run(course, "tiny", force=True)
        assert (again.state, again.score) == ("graded", 5.0)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
