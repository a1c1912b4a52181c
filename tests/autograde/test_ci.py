"""`autograde ci`: one notebook against the released checks, without a course."""

import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from autograde import ci_output, cli
from autograde.ci import Graded, find_notebook, grade, read_master, released_labs, write_cases
from autograde.course import Course
from autograde.errors import AutogradeError, IsolationError
from autograde.release import student_notebooks
from coursekit.check.verdict import Outcome

RIGHT = {
    "scale": "def scale(x, factor):\n    return factor * x",
    "mean_of": "def mean_of(x):\n    return x.sum() / x.numel()",
}
TITLE = {"en": "Scaling", "zh": "缩放"}


@pytest.fixture(scope="session")
def labs(tiny_lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What comes with the package."""
    root = tmp_path_factory.mktemp("labs")
    student_notebooks(tiny_lab, root)
    return root


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def write(labs: Path, path: Path, answers: dict[str, str]) -> None:
    notebook = nbformat.read(labs / "en/tiny/tiny.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    nbformat.write(notebook, path)


@pytest.mark.slow
def test_a_wrong_and_a_right_notebook(
    labs: Path, repository: Path, tiny_course: Course, tiny_lab, monkeypatch
):
    write_cases(tiny_course, tiny_lab, repository / "hidden.cases")
    step = repository / "step.md"
    step.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    options = ["ci", "--labs", str(labs), "--junit", "out/junit.xml", "--summary", "out/summary.md"]

    write(labs, repository / "my work.ipynb", {"scale": "def scale(x, factor):\n    return x + factor"})
    done = CliRunner().invoke(cli.app, [*options, "--cases", "hidden.cases"], catch_exceptions=False)
    assert done.exit_code == 1
    suite = ET.parse("out/junit.xml").getroot()[0]
    assert suite.attrib == {"name": "tiny", "tests": "4", "failures": "2", "errors": "0", "skipped": "2"}
    found = {case.get("name"): case[0] for case in suite}
    assert "You add the factor" in found["scale-check"].get("message")
    assert "expected " in found["scale-check"].text and "expected one" in found["scale-hidden"].text
    assert not re.search(r"expected -?\d", found["scale-hidden"].text)
    summary = Path("out/summary.md").read_text(encoding="utf-8")
    assert summary.startswith("## tiny: 0 / 5") and "will grade: 1" in summary
    assert step.read_text(encoding="utf-8") == "before\n" + summary

    write(labs, repository / "my work.ipynb", RIGHT)
    done = CliRunner().invoke(cli.app, options, catch_exceptions=False)
    assert done.exit_code == 0
    assert ET.parse("out/junit.xml").getroot()[0].get("tests") == "2"


def test_a_broken_notebook_is_the_students_problem(labs: Path, repository: Path):
    (repository / "tiny.ipynb").write_text("{")
    graded = grade(labs=labs)
    assert "not a notebook" in graded.problem and not graded.passed
    assert 'errors="1"' in ci_output.junit(graded) and "cannot be graded" in ci_output.markdown(graded)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "found: no notebook at all"),
        (["--lab", "other"], "there are: tiny"),
        (["gone.ipynb"], "gone.ipynb is not there"),
        (["--labs", "nowhere"], "no released labs in nowhere"),
    ],
)
def test_a_problem_of_ours_is_status_2(labs: Path, repository: Path, monkeypatch, capsys, options, message):
    given = ["autograde", "ci", *options, *([] if "--labs" in options else ["--labs", str(labs)])]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_unknown_isolation_is_no_result(labs: Path, repository: Path, monkeypatch):
    write(labs, repository / "tiny.ipynb", RIGHT)
    with pytest.raises(IsolationError):
        grade(labs=labs, isolation="hope")


def test_the_notebook_is_found_by_its_cells(labs: Path, repository: Path):
    released = released_labs(labs)
    (repository / "notes.ipynb").write_text(
        json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    write(labs, repository / "a.ipynb", {})
    assert find_notebook(None, None, released, repository) == (repository / "a.ipynb", "tiny")
    write(labs, repository / "b.ipynb", {})
    with pytest.raises(AutogradeError, match=r"a\.ipynb.*b\.ipynb; name the one"):
        find_notebook(None, None, released, repository)
    assert find_notebook(repository / "b.ipynb", None, released, repository)[0].name == "b.ipynb"


def test_hidden_cases_are_for_their_lab_only(labs: Path, tiny_course: Course, tiny_lab, tmp_path: Path):
    file = tmp_path / "cases"
    write_cases(tiny_course, tiny_lab, file)
    without, master = read_master(labs / "en/tiny", None), read_master(labs / "en/tiny", file)
    assert set(without.checks) == {"scale-check", "mean_of-check"}
    assert set(master.checks) - set(without.checks) == {"scale-hidden", "mean_of-hidden"}
    assert master.checks["scale-hidden"].points == 2
    file.write_bytes(b"damaged")
    with pytest.raises(AutogradeError, match="autograde cases tiny"):
        read_master(labs / "en/tiny", file)


def test_what_came_from_a_notebook_is_no_markup():
    message = {"en": "your code raised E: \x00\x1b[31m </failure> | `x` <img src=y> [a](b)\n# \ud800"}
    outcome = Outcome("scale", TITLE, "error", 0, 1, message=message, trace=["line 1 \x08"])
    graded = Graded("tiny", {"scale-check": outcome})
    case = ET.fromstring(ci_output.junit(graded).split("\n", 1)[1]).find(".//failure")
    assert case is not None and "</failure>" in case.text and "\ufffd" in case.text
    (row,) = [line for line in ci_output.markdown(graded).splitlines() if "Scaling" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert "<img" not in row and r"\[a\]\(b\)" in row and r"\`x\`" in row


def test_only_full_marks_pass():
    def outcomes(*statuses):
        return {f"{i}-check": Outcome("e", TITLE, status, 0, 1) for i, status in enumerate(statuses)}

    assert Graded("tiny", outcomes("correct", "correct")).passed
    assert not Graded("tiny", outcomes("correct", "partial")).passed
    assert not Graded("tiny", outcomes("not attempted")).passed
    assert not Graded("tiny").passed
