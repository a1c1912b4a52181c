"""Marks for other systems: nothing without a mark becomes a 0, ids are what they were, nothing is a formula."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbgrader.api import Gradebook
from typer.testing import CliRunner

from autograde.cli import app
from autograde.course import Course
from autograde.errors import CourseError
from autograde.export import FORMATS, Mark, read_marks, spelled, spelled_id, write_marks
from autograde.record import Record, write_record

# nbgrader's own way of adding objects, which SQLAlchemy 2 remarks on.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

EVIL = '=HYPERLINK("http://x","y")'
ROSTER = {
    "ann": ("Ann", 'O"Hara, Jr.\nthe second', "ann@example.org"),
    "ben": (EVIL, "+1", "ben@example.org"),
    "王小明": ("小明", "王", "wang@example.org"),
    "eva": ("", "", ""),
    "fay": ("Fay", "", ""),
    "gil": ("", "", ""),
    "hal": ("", "", ""),
    "ida": ("", "", ""),
}


@pytest.fixture
def course(tiny_course: Course) -> Course:
    """A class in every state: marks in nbgrader's gradebook, records beside it."""
    with Gradebook(tiny_course.db_url, tiny_course.nbgrader.course_id) as gradebook:
        for student, (first, last, email) in ROSTER.items():
            gradebook.add_student(student, first_name=first, last_name=last, email=email)
        for student, points, penalty in (
            ("ann", 1.0, 0.5),
            ("ben", 0.1, 0.0),
            ("王小明", 0.0, 3.0),
            ("gil", 1.0, 0.0),
        ):
            notebook = gradebook.add_submission("tiny", student).notebooks[0]
            notebook.late_submission_penalty = penalty
            for grade in notebook.grades:
                grade.auto_score = points
                grade.needs_manual_grade = student == "gil" and grade.name == "why"
        gradebook.db.commit()
    records = (
        Record("ann", "graded", score=5.0, flags=["one", "two"]),
        Record("ben", "salvaged", score=0.5, isolation="none"),
        Record("王小明", "repaired", score=0.0),
        Record("eva", "unreadable", reason="not a notebook: the file is empty"),
        Record("fay", "failed", reason="earlier marks stay", score=4.0),
        Record("gil", "graded", score=5.0, needs_manual_grade=True),
        Record("hal", "graded", score=5.0),
    )
    for record in records:
        (tiny_course.root / "submitted" / record.student / "tiny").mkdir(parents=True)
        write_record(tiny_course, "tiny", record)
    return tiny_course


def read(path: Path, encoding: str = "utf-8") -> list[list[str]]:
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.reader(file))


def test_only_what_is_graded_to_its_end_has_a_score(course: Course):
    marks = {mark.student: mark for mark in read_marks(course, "tiny")}
    assert {name: (mark.score, mark.state, mark.late_penalty) for name, mark in marks.items()} == {
        "ann": (4.5, "graded", 0.5),
        "ben": (0.5, "salvaged", 0.0),
        "王小明": (0.0, "repaired", 3.0),  # a real 0: nothing is taken off below it
        "eva": (None, "unreadable", None),
        "fay": (None, "failed", None),
        "gil": (None, "needs manual grade", None),
        "hal": (None, "failed", None),  # a record says graded, the gradebook knows nothing
        "ida": (None, "missing", None),
    }
    assert {mark.max_score for mark in marks.values()} == {7.0} and marks["ann"].flags == 2
    assert "--force" in marks["hal"].reason


def test_the_command_names_what_has_no_mark_and_ends_with_1(course: Course):
    done = CliRunner().invoke(app, ["export", "tiny", "--course", str(course.root)])
    assert done.exit_code == 1
    assert Path(done.stdout.strip()) == course.root / "reports" / "tiny.csv"
    for line in (
        "no mark for eva (unreadable: not a notebook: the file is empty)",
        "no mark for gil (needs manual grade)",
        "nothing handed in: ida",
        "graded without isolation, do not rely on: ben",
    ):
        assert line in done.stderr
    header, *rows = read(course.root / "reports" / "tiny.csv")
    assert header == [
        "student",
        "first_name",
        "last_name",
        "email",
        "score",
        "max_score",
        "state",
        "late_penalty",
        "flags",
    ]
    by_id = {row[0]: row[1:] for row in rows}
    assert by_id.keys() == ROSTER.keys()
    assert by_id["ann"] == [
        "Ann",
        'O"Hara, Jr.\nthe second',
        "ann@example.org",
        "4.5",
        "7",
        "graded",
        "0.5",
        "2",
    ]
    assert by_id["ben"][:2] == ["'" + EVIL, "'+1"]
    assert by_id["王小明"][3] == "0" and by_id["eva"][3] == by_id["ida"][3] == by_id["gil"][3] == ""


def test_status_0_when_all_is_well_although_somebody_handed_in_nothing(tiny_course: Course):
    with Gradebook(tiny_course.db_url, tiny_course.nbgrader.course_id) as gradebook:
        gradebook.add_student("ida")
    done = CliRunner().invoke(app, ["export", "tiny", "--course", str(tiny_course.root)])
    assert done.exit_code == 0 and "nothing handed in: ida" in done.stderr


def test_moodle_and_canvas_get_the_rows_that_have_a_mark_and_no_others(course: Course, tmp_path: Path):
    marks = read_marks(course, "tiny")
    header, *rows = read(write_marks(marks, "tiny", tmp_path / "m.csv", layout="moodle"))
    assert header == ["First name", "Last name", "ID number", "Email address", "tiny"]
    assert [row[2:] for row in rows] == [
        ["ann", "ann@example.org", "4.5"],
        ["ben", "ben@example.org", "0.5"],
        ["王小明", "wang@example.org", "0"],
    ]
    header, points, *rows = read(write_marks(marks, "tiny", tmp_path / "c.csv", layout="canvas"))
    assert header == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "tiny"]
    assert points == ["    Points Possible", "", "", "", "", "7"]
    assert [row[1:] for row in rows] == [
        ["", "ann", "ann", "", "4.5"],
        ["", "ben", "ben", "", "0.5"],
        ["", "王小明", "王小明", "", "0"],
    ]


def test_excel_gets_its_mark_on_request_only(course: Course, tmp_path: Path):
    marks = read_marks(course, "tiny")
    assert write_marks(marks, "tiny", tmp_path / "a.csv").read_bytes().startswith(b'"student"')
    with_mark = write_marks(marks, "tiny", tmp_path / "b.csv", bom=True)
    assert with_mark.read_bytes().startswith(b'\xef\xbb\xbf"student"')
    assert read(with_mark, "utf-8-sig") == read(tmp_path / "a.csv")


def test_what_is_not_there_is_said(tiny_course: Course):
    with pytest.raises(CourseError, match=r"no assignment 'other'.*release it first"):
        read_marks(tiny_course, "other")
    done = CliRunner().invoke(app, ["export", "tiny", "--format", "xls", "--course", str(tiny_course.root)])
    assert "csv, moodle, canvas, got 'xls'" in str(done.exception)


@pytest.mark.parametrize(
    "name",
    [
        "=1",
        "+1",
        "-1",
        "@x",
        "\tx",
        "\rx",
        "\nx",
        " =1",
        "\u00a0=1",
        "＝1",
        "x\n=1",
        "x;=1",
        'x",=1',
        "x\t@y",
    ],
)
def test_nothing_begins_a_formula(name: str):
    cell = spelled(name)
    assert cell != name and cell.replace("'", "") == name
    for separator in ',;|\t\r\n"':
        for part in cell.split(separator):
            assert part.strip(" \u00a0")[:1] not in set("=+-@＝＋－＠")


@pytest.mark.parametrize(
    "name", ["O'Neil-Smith", "Jean-Luc", "a@b.org", "1 + 1", "王-小明", "D’Arcy = x", ""]
)
def test_an_ordinary_name_stays_as_it_is(name: str):
    assert spelled(name) == name


@pytest.mark.parametrize("student", ["-12345", "+8613912345678", "@ann", "a-b_c.d+e@f.org", "王小明", "007"])
def test_an_id_that_can_call_nothing_is_never_touched(student: str):
    assert spelled_id(student) == student
    assert spelled_id(student + "(") == ("'" if student[0] in "+-@" else "") + student + "("


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [EVIL, 'a","b', "\r\n", ",;"]
)
PLAIN_ID = st.from_regex(r"[\w.@+-]{1,12}", fullmatch=True)


@given(
    st.lists(st.tuples(PLAIN_ID, TEXT, TEXT, TEXT), min_size=1, unique_by=lambda who: who[0]),
    st.sampled_from(FORMATS),
)
def test_whatever_the_names_reading_it_back_gives_the_ids(tmp_path_factory, people, layout):
    marks = [
        Mark(student, first, last, mail, 1.5, 7.0, "graded", 0.0, 0) for student, first, last, mail in people
    ]
    path = write_marks(marks, "a,b", tmp_path_factory.getbasetemp() / "marks.csv", layout=layout)
    rows = read(path)[2 if layout == "canvas" else 1 :]
    column = {"csv": 0, "moodle": 2, "canvas": 3}[layout]
    assert [row[column] for row in rows] == [student for student, *_ in people]
    score = {"csv": 4, "moodle": 4, "canvas": 5}[layout]
    assert {row[score] for row in rows} == {"1.5"}
