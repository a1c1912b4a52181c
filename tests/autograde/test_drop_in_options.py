"""`autograde run`'s command line and configuration beside `nbgrader autograde`'s: they have the same effect."""

import shutil
from pathlib import Path

import nbformat
import pytest
from drop_in import (
    LATE,
    PARTLY,
    RIGHT,
    SQUARES,
    both,
    differences,
    due,
    hand_in,
    marks,
    ok,
    ours,
    same,
    stock,
    tree,
)

from autograde.course import Course
from autograde.errors import CourseError
from autograde.inputs import digest_of_course
from autograde.master import read_masters
from autograde.record import read_records
from autograde.run import run

pytestmark = pytest.mark.slow


def test_options_of_the_command_line_have_the_same_effect(course: Path, tmp_path: Path):
    """Patterns, another gradebook, a notebook by itself, a setting of a plugin; and then the rest of the class."""
    for student in ("bitdiddle", "bernie", "hacker"):
        hand_in(course, student, PARTLY, timestamp=LATE)
    (course / "submitted" / "bernie" / "ps1" / "problem2.ipynb").unlink()
    due(course)
    theirs, mine = both(course, tmp_path)
    for root in (theirs, mine):
        (root / "gradebook.db").rename(root / "marks.db")
        url = f"sqlite:///{root}/marks.db"
        some = ["--db", url, "--student", "b*", "--notebook", "problem[1]", "--create", "--debug"]
        some += ["--LateSubmissionPlugin.penalty_method=zero"]
        done = ok((stock if root == theirs else ours)(root, "--assignment", "ps1", *some))
    found = [marks(root, f"sqlite:///{root}/marks.db") for root in (theirs, mine)]
    assert found[0] == found[1]
    assert differences(tree(theirs / "autograded"), tree(mine / "autograded")) == {}
    assert found[1]["bitdiddle"]["penalty"] == 1.5 and "hacker" not in found[1]
    assert found[1]["bitdiddle"]["problem2/part-b"][4] and not found[1]["bernie"]["problem2/part-b"][4]
    assert not (mine / "gradebook.db").exists()
    assert "log_level has no meaning here" in done.stderr

    # Now the other notebook, without the penalty; nbgrader keeps what it gave for the first.
    for root in (theirs, mine):
        url = f"sqlite:///{root}/marks.db"
        ok(
            (stock if root == theirs else ours)(
                root, "ps1", f"--db={url}", "--student=b*", "--notebook=problem2"
            )
        )
    found = [marks(root, f"sqlite:///{root}/marks.db") for root in (theirs, mine)]
    assert found[0] == found[1]
    assert differences(tree(theirs / "autograded"), tree(mine / "autograded")) == {}

    # A plain run does what none of these did: nothing in the records stands in its way.
    ok(ours(mine, "ps1", "--db", f"sqlite:///{mine}/marks.db"))
    found = marks(mine, f"sqlite:///{mine}/marks.db")
    assert [found[each]["penalty"] for each in ("bitdiddle", "bernie", "hacker")] == [0, 0, 0]
    assert [found[each]["score"] for each in ("bitdiddle", "bernie", "hacker")] == [(1.5, 13)] * 3


def test_a_course_that_the_users_configuration_names(course: Path, tmp_path: Path):
    """From anywhere, without arguments, as on a hub; a limit of time that the course sets."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    (home / ".jupyter").mkdir(parents=True)
    elsewhere.mkdir()
    hand_in(course, "bitdiddle", {**RIGHT, "squares": f"import time\ntime.sleep(20)\n{SQUARES}"})
    theirs, mine = both(course, tmp_path)
    for root in (theirs, mine):
        (home / ".jupyter" / "nbgrader_config.py").write_text(
            f"c = get_config()\nc.CourseDirectory.root = {str(root)!r}\nc.CourseDirectory.assignment_id = 'ps1'\n"
            "c.Execute.timeout = 4\nc.Autograde.create_student = True\n"
        )
        ok((stock if root == theirs else ours)(elsewhere, home=home))
    assert marks(theirs) == marks(mine)
    assert marks(mine)["bitdiddle"]["problem1/correct_squares"][0] == 0, "the cell did not end in time"
    assert list(elsewhere.iterdir()) == []


def test_no_execute_takes_the_outputs_as_they_are(course: Path, tmp_path: Path):
    """A cleared notebook earns everything, as nbgrader warns; one with an error in it does not. Everybody is flagged."""
    hand_in(course, "bitdiddle", RIGHT)
    path = hand_in(course, "hacker", PARTLY) / "problem1.ipynb"
    notebook = nbformat.read(path, as_version=4)
    cell = next(
        c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "correct_squares"
    )
    cell.outputs = [nbformat.v4.new_output("error", ename="AssertionError", evalue="", traceback=["no"])]
    nbformat.write(notebook, path)
    theirs, mine = both(course, tmp_path)
    ok(stock(theirs, "ps1", "--no-execute"))
    ok(ours(mine, "ps1", "--no-execute"))
    same(theirs, mine)
    records = read_records(Course(mine), "ps1")
    assert [(record.student, record.score) for record in records] == [("bitdiddle", 3), ("hacker", 2)]
    assert all("not run: the marks are what the outputs in it say" in record.flags for record in records)
    ok(ours(mine, "ps1"))
    assert [record.score for record in read_records(Course(mine), "ps1")] == [3, 1.5], "it has been run now"


def test_a_lab_with_checks_is_not_graded_without_being_run(tiny_course: Course, students):
    students.submit("ada")
    with pytest.raises(CourseError, match="cannot be graded with --no-execute"):
        run(Course(tiny_course.root, ("--no-execute",)), "tiny")


MARKS = {
    "penalty": ["--LateSubmissionPlugin.penalty_method=zero"],
    "plugin": ["--AssignLatePenalties.plugin_class=nbgrader.plugins.BasePlugin"],
    "files": ["--Autograde.exclude_overwriting={'ps1': ['helper.py']}"],
    "timeout": ["--Execute.timeout=7"],
    "not run": ["--no-execute"],
    "lines": ["--LimitOutput.max_lines=7"],
    "gradebook": ["--db", "sqlite:///other.db"],
}
NO_MARKS = [
    *(
        ["--force"],
        ["--create"],
        ["--student=b*"],
        ["--notebook=problem1"],
        ["--assignment=ps1"],
        ["--debug"],
    ),
    *(["--BaseConverter.permissions=600"], ["--CourseDirectory.student_id_exclude=x"]),
]


def test_the_digest_knows_what_marks_depend_on(course: Path):
    shutil.copyfile(course / "gradebook.db", course / "other.db")

    def digest(*arguments: str) -> str:
        there = Course(course, arguments)
        return digest_of_course(there, "ps1", read_masters(there, "ps1"))

    plain = digest()
    assert {name: digest(*arguments) == plain for name, arguments in MARKS.items()} == dict.fromkeys(
        MARKS, False
    )
    assert [digest(*arguments) == plain for arguments in NO_MARKS] == [True] * len(NO_MARKS)
    text = (course / "nbgrader_config.py").read_text()
    plugin = "from nbgrader.plugins import BasePlugin\nclass Late(BasePlugin):\n    def late_submission_penalty(self, *a):\n        return 1\n"
    plugin += "def hook(**_):\n    return 1\nc.AssignLatePenalties.plugin_class = Late\nc.BaseConverter.pre_convert_hook = hook\n"
    found = []
    for one in (
        plugin,
        plugin.replace("return 1", "return 2", 1),
        plugin.replace("    return 1\nc.", "    return 2\nc."),
    ):
        (course / "nbgrader_config.py").write_text(text + one)
        assert digest() == digest(), "it is the same in every run"
        found.append(digest())
    assert len({plain, *found}) == 4, "what stands in the file of configuration"
    (course / "nbgrader_config.py").write_text(text)
    due(course)
    late = digest()
    assert late != plain
    (course / "source" / "ps1" / "helper.py").write_text("NUMBER = 6")
    assert digest() != late
    moved = course.rename(course.with_name("moved"))
    there = Course(moved)
    assert digest_of_course(there, "ps1", read_masters(there, "ps1")) not in (plain, late)
    before = digest_of_course(there, "ps1", read_masters(there, "ps1"))
    shutil.copytree(moved, course)
    assert digest() == before, "wherever the course lies"


def test_limits_of_time_are_nbgraders_unless_the_course_says_otherwise(course: Path):
    def limits(*arguments: str) -> tuple[int, int]:
        found = Course(course, arguments).limits
        return found.cell_seconds, found.notebook_seconds

    assert limits() == (60, 300)
    assert limits("--Execute.timeout=90") == (90, 450)
    assert limits("--ExecutePreprocessor.timeout=9") == (9, 300)
    assert limits("--Execute.timeout=-1") == (300, 300)
    (course / "autograde.toml").write_text("[limits]\ncell_seconds = 5\n")
    assert limits("--Execute.timeout=90") == (5, 450)
