"""The gradebook in a PostgreSQL server: two graders, broken connections and a restart lose nothing and count nothing twice."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from postgres import Server, server
from runs import RIGHT, STUDENTS, begin
from sqlalchemy import create_engine, text

from autograde.course import Course
from autograde.lab import Lab
from autograde.local import ThisMachine
from autograde.record import read_records
from autograde.release import release
from autograde.run import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with server() as there:
        yield there


def configured(root: Path, url: str) -> Course:
    """A course whose gradebook is at this address."""
    (root / "gradebook.db").unlink()
    config = root / "nbgrader_config.py"
    more = f"c.CourseDirectory.db_url = {url!r}\n"
    config.write_text(config.read_text(encoding="utf-8") + more, encoding="utf-8")
    return Course(root)


@pytest.fixture(scope="module")
def released_there(released: Path, postgres: Server, tiny_lab: Lab, tmp_path_factory) -> str:
    """Name of a database in which the tiny lab is released."""
    root = tmp_path_factory.mktemp("released") / "course"
    shutil.copytree(released, root)
    release(configured(root, postgres.database("released")), tiny_lab)
    return "released"


@pytest.fixture
def course(tiny_course: Course, students, postgres: Server, released_there: str, tmp_path: Path) -> Course:
    """A course whose gradebook is a new database of the server, with six submissions."""
    for student in STUDENTS:
        students.submit(student, RIGHT)
    return configured(tiny_course.root, postgres.database(tmp_path.name, released_there))


def counts(course: Course) -> dict[str, int]:
    """Rows that a submission counted twice would have twice."""
    tables = ("student", "submitted_assignment", "submitted_notebook", "grade", "comment")
    engine = create_engine(course.db_url)
    with engine.connect() as connection:
        found = {
            table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in tables
        }
    engine.dispose()
    return found


def assert_whole(course: Course) -> None:
    assert [(r.student, r.state, r.score) for r in read_records(course, "tiny")] == [
        (s, "graded", 5.0) for s in STUDENTS
    ]
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        marks = sorted((s.student.id, s.score) for s in gradebook.find_assignment("tiny").submissions)
    assert marks == [(s, 5.0) for s in STUDENTS]
    number = len(STUDENTS)
    assert counts(course) == {
        "student": number,
        "submitted_assignment": number,
        "submitted_notebook": number,
        "grade": 5 * number,
        "comment": 3 * number,
    }


def recorded(course: Course) -> list[Path]:
    return list((course.root / "autograded").glob("*/tiny/tiny.ipynb"))


def during(course: Course, work: Callable[[threading.Event], None]) -> subprocess.Popen[str]:
    """A run, with something happening to the server from the first recorded submission on."""
    process = begin(course, "--jobs", "1")
    over = threading.Event()

    def disturb() -> None:
        while not recorded(course) and not over.wait(0.05):
            pass
        work(over)

    thread = threading.Thread(target=disturb)
    thread.start()
    process.said = process.communicate(timeout=400)
    over.set()
    thread.join()
    return process


def test_a_course_is_graded_into_a_server(course):
    assert [(r.student, r.score) for r in run(course, "tiny")] == [(s, 5.0) for s in STUDENTS]
    assert_whole(course)
    again = run(course, "tiny", students=["a*"], force=True)
    assert [(r.student, r.state, r.score) for r in again] == [("ada", "graded", 5.0)]
    assert_whole(course)


def test_connections_that_are_dropped_again_and_again(course, postgres):
    dropped = []

    def drop(over: threading.Event) -> None:
        done = 0
        while not over.wait(0.02):  # once for each submission, as soon as the run is connected again
            if len(recorded(course)) > done and (
                number := postgres.drop_connections(course.root.parent.name)
            ):
                dropped.append(number)
                done += 1

    process = during(course, drop)
    assert len(dropped) > 2, "the run has lost connections"
    assert process.returncode == 0 and "Traceback" not in process.said[1], process.said
    assert_whole(course)


def test_a_server_that_restarts_in_the_middle(course, postgres):
    restarted = []

    def restart(over: threading.Event) -> None:
        for _ in range(2):
            postgres.control("stop")
            time.sleep(3)
            postgres.control("start")
            restarted.append(len(recorded(course)))
            time.sleep(2)

    process = during(course, restart)
    assert restarted[0] < len(STUDENTS), "it was in the middle"
    assert process.returncode == 0 and "Traceback" not in process.said[1], process.said
    assert_whole(course)


def test_two_graders_at_once_on_one_gradebook(course, tmp_path):
    """Each has the course's folder; the students are new to the gradebook, and both grade all of them, from both ends."""
    other = Course(tmp_path / "other")
    shutil.copytree(course.root, other.root)
    graders = [begin(each, "--jobs", "1", "--force") for each in (course, other)]
    ends = [grader.communicate(timeout=400) for grader in graders]
    assert [grader.returncode for grader in graders] == [0, 0], ends
    assert not any("Traceback" in err for _, err in ends), ends
    for each in (course, other):
        assert_whole(each)


def test_a_server_that_is_not_there_is_said_and_nothing_is_run(course, postgres):
    wrong = Course(course.root, ("--db", "postgresql://nobody:hush@127.0.0.1:9/none"))
    command = [str(Path(sys.executable).parent / "autograde"), "run", "tiny", *wrong.arguments]
    done = subprocess.run(
        [*command, "--course", str(course.root)], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 2 and "cannot be read" in done.stderr and "127.0.0.1:9" in done.stderr
    assert "hush" not in done.stderr + done.stdout and "Traceback" not in done.stderr
    assert not recorded(course)


def test_one_submission_waits_for_a_server_that_comes_back(course, postgres, monkeypatch):
    """Away for twelve seconds exactly when its marks are to be written."""
    import autograde.gradebook as module

    real = module.Recorder.record

    def record(self, *arguments):
        postgres.control("stop")
        threading.Timer(12, postgres.control, ("start",)).start()
        return real(self, *arguments)

    monkeypatch.setattr(module.Recorder, "record", record)
    [found] = run(course, "tiny", students=["ada"], where=ThisMachine(1))
    assert (found.state, found.score) == ("graded", 5.0)
