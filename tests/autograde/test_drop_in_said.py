"""What `autograde run` cannot do as asked, or does otherwise than nbgrader, is said, and the course stays as it was."""

import re
import shutil
from pathlib import Path

import pytest
from drop_in import EARLY, hand_in, ok, ours, stock

from autograde.cli import main
from autograde.course import Course
from autograde.options import remarks
from autograde.students import chosen_students

pytestmark = pytest.mark.slow


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
