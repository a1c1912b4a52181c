"""nbgrader's own example course with a class in it, and what a grader makes of it: files and gradebook, ready to compare."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
import nbgrader
from nbgrader.api import Gradebook

EXAMPLE = Path(nbgrader.__file__).parent / "docs" / "source" / "user_guide" / "source"
BIN = Path(sys.executable).parent

SQUARES = "def squares(n):\n    if n < 1:\n        raise ValueError('n')\n    return [i ** 2 for i in range(1, n + 1)]"
CARELESS = "def squares(n):\n    return [i ** 2 for i in range(1, n + 1)]"
SUM = "def sum_of_squares(n):\n    return sum(squares(n))"
OWN_SUM = "def sum_of_squares(n):\n    return sum(i * i for i in range(n + 1))"
WRITTEN = {
    "sum_of_squares_equation": r"$\sum_{i=1}^n i^2$",
    "sum_of_squares_application": "print('pyramids')\nsum_of_squares(3)",
    "part-a": "Fibonacci's numbers.",
}


RIGHT = {"squares": SQUARES, "sum_of_squares": SUM, **WRITTEN}
PARTLY = {"squares": CARELESS, "sum_of_squares": OWN_SUM, "part-b": "For negative numbers."}
EARLY, LATE = "2015-02-02 14:58:23.948203 America/Los_Angeles", "2015-02-05 10:00:00 UTC"
DUE = datetime(2015, 2, 4)


def command(
    program: str, root: Path, *arguments: str, home: Path | None = None
) -> subprocess.CompletedProcess:
    """A program of this environment, run in the course; nbgrader calls alembic by its name."""
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    if home:
        env |= {"HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / ".jupyter")}
    return subprocess.run(
        [str(BIN / program), *arguments],
        cwd=root,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def stock(root: Path, *arguments: str, home: Path | None = None) -> subprocess.CompletedProcess:
    """`nbgrader autograde`."""
    return command("nbgrader", root, "autograde", *arguments, home=home)


def ours(root: Path, *arguments: str, home: Path | None = None) -> subprocess.CompletedProcess:
    """`autograde run`."""
    return command("autograde", root, "run", *arguments, home=home)


def example_course(root: Path) -> Path:
    """What `nbgrader quickstart` makes, released, with files of its own beside the notebooks; nobody has handed in."""
    shutil.copytree(EXAMPLE / "ps1", root / "source" / "ps1")
    shutil.copyfile(EXAMPLE / "header.ipynb", root / "source" / "header.ipynb")
    (root / "source" / "ps1" / "data").mkdir()
    (root / "source" / "ps1" / "data" / "numbers.txt").write_text("1 4 9\n")
    (root / "source" / "ps1" / "helper.py").write_text("NUMBER = 3\n")
    (root / "nbgrader_config.py").write_text(
        "c = get_config()\n"
        'c.CourseDirectory.course_id = "course101"\n'
        'c.IncludeHeaderFooter.header = "source/header.ipynb"\n'
    )
    done = command("nbgrader", root, "generate_assignment", "ps1")
    assert done.returncode == 0, done.stderr
    return root


def hand_in(
    root: Path,
    student: str,
    answers: Mapping[str, str] | None = None,
    *,
    timestamp: str | None = None,
    without: tuple[str, ...] = (),
    files: Mapping[str, str] | None = None,
    submitted: Path | None = None,
) -> Path:
    """The released assignment with some cells filled in, some files left out and others added."""
    folder = (submitted or root / "submitted") / student / "ps1"
    shutil.copytree(root / "release" / "ps1", folder)
    for path in folder.glob("*.ipynb"):
        answer(path, answers or {})
    for name in without:
        (folder / name).unlink()
    for name, text in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755 if text.startswith("#!") else 0o644)
    if timestamp:
        (folder / "timestamp.txt").write_text(timestamp)
    return folder


def answer(path: Path, answers: Mapping[str, str]) -> None:
    """Fill in cells by their ids."""
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    for cell in notebook.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    nbformat.write(notebook, path)


def both(root: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two copies of a course, one for each grader."""
    for name in ("theirs", "ours"):
        shutil.copytree(root, tmp_path / name, symlinks=True)
    return tmp_path / "theirs", tmp_path / "ours"


def marks(root: Path, url: str | None = None) -> dict[str, Any]:
    """All that the gradebook has on the submissions."""
    with Gradebook(url or f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        found: dict[str, Any] = {"students": sorted(student.id for student in gradebook.students)}
        for submission in gradebook.find_assignment("ps1").submissions:
            about = {
                "timestamp": str(submission.timestamp),
                "late": submission.total_seconds_late,
                "score": (submission.score, submission.max_score),
                "penalty": submission.late_submission_penalty,
                "waits": submission.needs_manual_grade,
            }
            for notebook in submission.notebooks:
                about[notebook.name] = (notebook.score, notebook.late_submission_penalty)
                for grade in notebook.grades:
                    about[f"{notebook.name}/{grade.name}"] = (
                        grade.auto_score,
                        grade.manual_score,
                        grade.extra_credit,
                        grade.max_score,
                        grade.needs_manual_grade,
                    )
                for comment in notebook.comments:
                    about[f"{notebook.name}/{comment.name} comment"] = (
                        comment.auto_comment,
                        comment.manual_comment,
                    )
            found[submission.student.id] = about
        return found


def tree(folder: Path) -> dict[str, Any]:
    """Every file and folder: its permissions, and what is in it, of a notebook what does not change from run to run."""
    found: dict[str, Any] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        name = path.relative_to(folder).as_posix()
        found[f"{name} mode"] = stat.filemode(path.stat().st_mode)
        if path.suffix == ".ipynb":
            found |= {f"{name} {key}": value for key, value in notebook(path).items()}
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def notebook(path: Path) -> dict[str, Any]:
    """A notebook by its parts."""
    tree = json.loads(path.read_text("utf-8"))
    about = {"metadata": tree["metadata"], "format": (tree["nbformat"], tree["nbformat_minor"])}
    for number, cell in enumerate(tree["cells"]):
        cell.pop("execution_count", None)
        cell.get("metadata", {}).pop("execution", None)  # when it ran
        cell["outputs"] = _joined([_plain(output) for output in cell.get("outputs", [])])
        about[f"cell {number}"] = cell
    return about


def _plain(output: dict[str, Any]) -> dict[str, Any]:
    """Without numbers of executions, and names of files that the kernel makes up."""
    output.pop("execution_count", None)
    if "traceback" in output:
        output["traceback"] = [
            re.sub(r"In\[\d+\]|ipykernel_\d+/\d+\.py|/tmp/", "", re.sub(r"\x1b\[[0-9;]*m", "", line))
            for line in output["traceback"]
        ]
    return output


def _joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With what was printed in one piece; when the kernel sends the next one depends on the time."""
    joined: list[dict[str, Any]] = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if (
            output["output_type"] == before.get("output_type") == "stream"
            and output["name"] == before["name"]
        ):
            before["text"] = "".join([*before["text"], *output["text"]]).splitlines(keepends=True)
        else:
            joined.append(output)
    return joined


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What is not the same: theirs, ours."""
    return {
        key: (theirs.get(key), ours.get(key))
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    }


def same(theirs: Path, ours: Path) -> None:
    """The same gradebook and the same files."""
    found = marks(ours)
    for student, about in marks(theirs).items():
        assert about == found[student], student
    assert differences(tree(theirs / "autograded"), tree(ours / "autograded")) == {}


def ok(done: subprocess.CompletedProcess, status: int = 0) -> subprocess.CompletedProcess:
    """A program that ended with this exit status."""
    assert done.returncode == status, done.stdout + done.stderr
    return done


def configure(root: Path, text: str) -> None:
    """Add to the course's configuration."""
    with (root / "nbgrader_config.py").open("a") as file:
        file.write(text)


def due(root: Path) -> None:
    """Set the date that `EARLY` is before and `LATE` after."""
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        gradebook.update_or_create_assignment("ps1", duedate=DUE)
