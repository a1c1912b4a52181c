"""`autograde run` beside `nbgrader autograde`, on nbgrader's own example course: the same marks, the same files."""

import shutil
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
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell
from nbgrader.api import Gradebook

pytestmark = pytest.mark.slow


def with_cells_of_ones_own(folder: Path) -> None:
    """What a student puts into a notebook: cells, tags, pictures, errors."""
    path = folder / "problem1.ipynb"
    notebook = nbformat.read(path, as_version=4)
    picture = {"image.png": {"image/png": "aGVsbG8="}}
    notebook.cells[3:3] = [
        new_code_cell(
            "from IPython.display import HTML\nprint('a')\nHTML('<b>b</b>')", metadata={"tags": ["mine"]}
        ),
        new_code_cell("!./own.sh"),
        new_code_cell("1 / 0", metadata={"collapsed": False}),
        new_raw_cell("raw *text*", metadata={"format": "text/x-rst"}),
        new_markdown_cell("![](attachment:image.png)", attachments=picture),
    ]
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "sum_of_squares_equation":
            cell.attachments = picture
        cell.pop("id", None)
    notebook.metadata["celltoolbar"] = "Create Assignment"
    notebook.nbformat_minor = 4  # without ids, with attachments
    nbformat.write(notebook, path)
    path = folder / "problem2.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"own-{number}"
    notebook.nbformat_minor = 5
    nbformat.write(notebook, path)


def test_a_class_has_the_same_marks_and_files(course: Path, tmp_path: Path):
    hand_in(course, "bitdiddle", RIGHT, timestamp=EARLY)
    hand_in(course, "hacker", PARTLY, timestamp=LATE, without=("problem2.ipynb",))
    hand_in(
        course,
        "reasoner",
        {"squares": "def squares(n):\n    print(n)\n    return 3"},
        without=("helper.py", "jupyter.png", "data/numbers.txt"),
        files={
            "notes/own.txt": "mine",
            "own.py": "x = 1",
            "extra.ipynb": "{}",
            "notes/__pycache__/x.pyc": "x",
        },
    )
    hand_in(course, "o'brien (2)")
    hand_in(
        course, "改变", RIGHT, files={"helper.py": "NUMBER = 4", "data/numbers.txt": "changed", "图.txt": "é"}
    )
    with_cells_of_ones_own(
        hand_in(course, "collage", RIGHT, timestamp=LATE, files={"own.sh": "#!/bin/sh\ncat data/numbers.txt"})
    )
    due(course)
    theirs, mine = both(course, tmp_path)
    ok(stock(theirs, "ps1"))
    ok(ours(mine, "ps1"))
    same(theirs, mine)
    found = marks(mine)
    assert [found[name]["score"] for name in ("bitdiddle", "hacker", "reasoner")] == [
        (3, 13),
        (1.5, 13),
        (0, 13),
    ]
    assert found["hacker"]["late"] == 34 * 3600
    assert found["hacker"]["problem2/part-b"] == (0, None, None, 2, False), "a notebook that is missing"
    files = {
        path.relative_to(mine / "autograded" / "reasoner" / "ps1").as_posix()
        for path in (mine / "autograded" / "reasoner").rglob("*.*")
    }
    assert files == {
        "problem1.ipynb",
        "problem2.ipynb",
        "jupyter.png",
        "helper.py",
        "data/numbers.txt",
        "notes/own.txt",
        "own.py",
    }

    # A person grades; then everything is graded again.
    for root in (theirs, mine):
        with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
            for name, score in (("sum_of_squares_equation", 0.5), ("correct_squares", 0.25)):
                grade = gradebook.find_grade(name, "problem1", "ps1", "bitdiddle")
                grade.manual_score, grade.needs_manual_grade, grade.extra_credit = score, False, 1.5
            gradebook.find_comment("part-a", "problem2", "ps1", "bitdiddle").manual_comment = "good"
            gradebook.db.commit()
    before = tree(mine / "autograded")
    ok(ours(mine, "ps1"))
    assert tree(mine / "autograded") == before
    assert marks(mine)["bitdiddle"]["waits"] == marks(theirs)["bitdiddle"]["waits"]
    ok(stock(theirs, "ps1", "--force", "--student", "bitdiddle"))
    ok(ours(mine, "ps1", "--force", "--student", "bitdiddle"))
    same(theirs, mine)
    assert marks(mine)["bitdiddle"]["problem1/correct_squares"] == (1, 0.25, 1.5, 1, True)

    # Something newer is handed in.
    for root in (theirs, mine):
        shutil.rmtree(root / "submitted" / "hacker")
        hand_in(root, "hacker", RIGHT, timestamp="2015-02-06 10:00:00 UTC", without=("problem1.ipynb",))
        ok((stock if root == theirs else ours)(root, "ps1"))
    same(theirs, mine)


LATE_PLUGIN = """
from nbgrader.plugins import BasePlugin
from traitlets import Float

class HalfADay(BasePlugin):
    rate = Float(0.1).tag(config=True)

    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return self.rate * total_seconds_late / 3600
"""

HOOKS = """
import json
from pathlib import Path

def note(which, assignment, student, notebooks):
    names = [str(Path(name).relative_to(Path.cwd() / "handed in")) for name in notebooks]
    done = [Path("graded", "all", name).exists() for name in names]
    with open("hooks.jsonl", "a") as file:
        print(json.dumps([which, assignment, names, done]), file=file)

def after(assignment, student, notebooks):
    note("after", assignment, student, notebooks)
"""

BEFORE = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
def before(assignment, student, notebooks):
    from hooks import note
    note("before", assignment, student, notebooks)
    for name in notebooks:
        Path(name).with_name("helper.py").write_text("NUMBER = 5")
        Path(name).with_name("from_hook.txt").write_text("for all")
c.Autograde.pre_convert_hook = before
c.BaseConverter.post_convert_hook = "hooks.after"
"""


def test_settings_of_a_course_have_the_same_effect(course: Path, tmp_path: Path):
    """Late penalties by a plugin of the course's own, files that are not overwritten, permissions, who is left out."""
    (course / "late.py").write_text(LATE_PLUGIN)
    configure(
        course,
        'c.AssignLatePenalties.plugin_class = "late.HalfADay"\n'
        "c.HalfADay.rate = 0.05\n"
        'c.Autograde.exclude_overwriting = {"ps1": ["helper.py"]}\n'
        "c.BaseConverter.permissions = 640\n"
        'c.CourseDirectory.student_id_exclude = "lost,reasoner"\n'
        'c.CourseDirectory.ignore = ["*.tmp", "__pycache__"]\n'
        "c.LimitOutput.max_lines = 3\n",
    )
    files = {"helper.py": "NUMBER = 4", "x.tmp": "x", "data/numbers.txt": "changed"}
    many = SQUARES + "\nfor i in range(10):\n    print(i)\nimport helper\nprint(helper.NUMBER)"
    hand_in(course, "hacker", {**RIGHT, "squares": many}, timestamp=LATE, files=files)
    hand_in(course, "bitdiddle", RIGHT, timestamp=EARLY)
    hand_in(course, "reasoner", RIGHT)
    due(course)
    theirs, mine = both(course, tmp_path)
    ok(stock(theirs, "ps1"))
    ok(ours(mine, "ps1"))
    same(theirs, mine)
    found = marks(mine)
    assert (found["hacker"]["penalty"], found["bitdiddle"]["penalty"]) == (pytest.approx(1.7), 0)
    done = mine / "autograded" / "hacker" / "ps1"
    assert (done / "helper.py").read_text() == "NUMBER = 4" and not (done / "x.tmp").exists()
    assert "reasoner" not in found

    # What marks depend on has changed, so they are given again; and then nothing has.
    plugin = (mine / "late.py").read_text()
    (mine / "late.py").write_text(plugin.replace("3600", "1800"))
    ok(ours(mine, "ps1"))
    assert marks(mine)["hacker"]["penalty"] == 3, "as much as there is"
    times = {path: path.stat().st_mtime_ns for path in (mine / "autograded").rglob("*")}
    ok(ours(mine, "ps1"))
    assert {path: path.stat().st_mtime_ns for path in (mine / "autograded").rglob("*")} == times


def test_directories_database_and_hooks_of_a_course(course: Path, tmp_path: Path):
    """Other folders in another order, a gradebook elsewhere, files for the whole group, hooks before and after."""
    (course / "hooks.py").write_text(HOOKS)
    configure(
        course,
        'c.CourseDirectory.directory_structure = "{nbgrader_step}/{assignment_id}/{student_id}"\n'
        'c.CourseDirectory.submitted_directory = "handed in"\n'
        'c.CourseDirectory.autograded_directory = "graded/all"\n'
        'c.CourseDirectory.source_directory = "master"\n'
        "c.CourseDirectory.groupshared = True\n" + BEFORE,
    )
    (course / "handed in" / "ps1").mkdir(parents=True)
    (course / "source").rename(course / "master")
    for student, answers in (("bitdiddle", RIGHT), ("hacker", PARTLY)):
        hand_in(course, student, answers)
        shutil.move(course / "submitted" / student / "ps1", course / "handed in" / "ps1" / student)
    (course / "db").mkdir()
    (course / "gradebook.db").rename(course / "db" / "marks.db")
    theirs, mine = both(course, tmp_path)
    for root in (theirs, mine):
        configure(root, f'c.CourseDirectory.db_url = "sqlite:///{root}/db/marks.db"\n')
    ok(stock(theirs, "ps1"))
    ok(ours(mine, "ps1", "--jobs", "1"))
    assert marks(theirs, f"sqlite:///{theirs}/db/marks.db") == marks(mine, f"sqlite:///{mine}/db/marks.db")
    assert differences(tree(theirs / "graded"), tree(mine / "graded")) == {}
    assert (mine / "graded" / "all" / "ps1" / "hacker" / "from_hook.txt").read_text() == "for all"
    assert not (mine / "gradebook.db").exists()
    notes = [sorted((root / "hooks.jsonl").read_text().splitlines()) for root in (theirs, mine)]
    assert notes[0] == notes[1] and len(notes[1]) == 4
    ok(ours(mine, "ps1"))
    assert len((mine / "hooks.jsonl").read_text().splitlines()) == 4, "what is graded is passed over"
