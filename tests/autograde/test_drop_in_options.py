"""`autograde run`'s command line and configuration beside `nbgrader autograde`'s; what it says where it does otherwise."""

import json
import re
import shutil
import sqlite3
from pathlib import Path

import nbformat
import pytest
from drop_in import (
    EARLY,
    LATE,
    PARTLY,
    RIGHT,
    SQUARES,
    both,
    configure,
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
from nbgrader.api import Gradebook

from autograde.cli import main
from autograde.convert import run_hook
from autograde.course import Course
from autograde.errors import CourseError
from autograde.feedback import generate
from autograde.inputs import digest_of_course
from autograde.master import read_masters
from autograde.options import remarks
from autograde.record import read_records
from autograde.run import run
from autograde.students import chosen_students

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


@pytest.fixture(scope="module")
def handed_in(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course that nobody writes into."""
    root = tmp_path_factory.mktemp("handed_in") / "course"
    shutil.copytree(example, root)
    for student in ("bitdiddle", "hacker", "*"):
        hand_in(root, student, timestamp=EARLY)
    return root


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ps2"], r"has no assignment 'ps2' \(there are: ps1\)"),
        ([], "which assignment"),
        (["ps1", "ps2"], "one assignment at a time; got ps1, ps2"),
        (["ps1", "--assignment=ps1"], "two assignments"),
        (["ps1", "--student", "biddle"], "did you mean bitdiddle"),
        (["ps1", "--notebook", "problem3"], "no notebook fits 'problem3'; there are: problem1, problem2"),
        (["ps1", "--course", "/no/such/folder"], "there is no folder /no/such/folder"),
        (["ps1", "--course-dir", "/"], "there is no gradebook /gradebook.db"),
        (["ps1", "--CourseDirectory.root=/nowhere"], "there is no folder /nowhere"),
        (["ps1", "--db", "sqlite:////nowhere/marks.db"], "there is no gradebook /nowhere/marks.db"),
        (["ps1", "--Execute.timeout=soon"], "does not take its configuration"),
        (["ps1", "--BaseConverter.pre_convert_hook=no.where"], "a hook must be a function"),
        (
            ["ps1", "--CourseDirectory.directory_structure={nbgrader_step}/{assignment_id}"],
            "must have {student_id} in it, once",
        ),
    ],
)
def test_what_cannot_be_done_is_said(
    handed_in: Path, arguments: list[str], expected: str, monkeypatch, capsys
):
    monkeypatch.chdir(handed_in)
    monkeypatch.setattr("sys.argv", ["autograde", "run", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    said = " ".join(capsys.readouterr().err.split())
    assert end.value.code == 2 and re.search(expected, said), said
    assert not (handed_in / "autograded").exists() and not Path("/gradebook.db").exists()


def test_the_command_says_it_too(handed_in: Path):
    done = ok(ours(handed_in, "ps2"), 2)
    assert "Traceback" not in done.stderr and "has no assignment 'ps2'" in " ".join(done.stderr.split())


@pytest.mark.parametrize("arguments", [["ps2"], ["ps1", "ps2"], ["ps1", "--student", "biddle"]])
def test_nbgrader_ends_with_an_error_there_too(handed_in: Path, tmp_path: Path, arguments: list[str]):
    shutil.copytree(handed_in, tmp_path / "course")
    assert stock(tmp_path / "course", *arguments).returncode == 1


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


def test_what_an_option_cannot_do_here_is_said(handed_in: Path):
    wanted = {
        "Execute.kernel_name has no meaning here": "--Execute.kernel_name=python3",
        "Execute.iopub_timeout has no meaning here": "--ExecutePreprocessor.iopub_timeout=9",
        "Application.log_level has no meaning here": "--quiet",
        "NbGrader.logfile has no meaning here": f"--NbGrader.logfile={handed_in.parent / 'log'}",
        "no effect": "--timout=9",
        "not recognized": "--CourseDirectory.routes=9",
        "HeaderFooter: applied to what is recorded": "--Autograde.sanitize_preprocessors=HeaderFooter",
    }
    found = {text: remarks(Course(handed_in, (argument,)).configuration) for text, argument in wanted.items()}
    assert {text: [text in remark for remark in said] for text, said in found.items()} == {
        text: [True] for text in wanted
    }
    honoured = ["--Execute.timeout=9", "--Execute.startup_timeout=60", "--force", "--no-execute", "--create"]
    assert remarks(Course(handed_in, tuple(honoured)).configuration) == []


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


def test_students_are_chosen_as_in_nbgrader_and_by_their_ids(handed_in: Path):
    there = Course(handed_in)
    assert chosen_students(there, "ps1") == ["*", "bitdiddle", "hacker"]
    assert chosen_students(there, "ps1", ["*"]) == ["*"], "an id that is there is nobody else's"
    assert chosen_students(there, "ps1", ["[bh]*", "hacker"]) == ["bitdiddle", "hacker"]
    one = Course(handed_in, ("--CourseDirectory.student_id=h*",))
    assert chosen_students(one, "ps1") == ["hacker"]
    without = Course(handed_in, ("--CourseDirectory.student_id_exclude=hacker,*",))
    assert chosen_students(without, "ps1", ["bitdiddle", "hacker"]) == ["bitdiddle"]


def test_a_gradebook_beside_the_course_is_found_from_anywhere(handed_in: Path):
    url = Course(handed_in, ("--db", "sqlite:///marks/a.db")).db_url
    assert url.startswith(f"sqlite:///{handed_in}/marks/a.db?")


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


def test_nbgraders_option_course_is_the_id_of_a_course(handed_in: Path, monkeypatch, capsys):
    monkeypatch.chdir(handed_in)
    monkeypatch.setattr("sys.argv", ["autograde", "run", "ps2", "--course", "course101"])
    with pytest.raises(SystemExit):
        main()
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "--course course101: no folder; taken for nbgrader's course id" in said
        and "no assignment 'ps2'" in said
    )


def test_outside_a_course_there_is_none(tmp_path: Path):
    done = ok(ours(tmp_path, "ps1", home=tmp_path), 2)
    assert "is not in an nbgrader course" in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []
