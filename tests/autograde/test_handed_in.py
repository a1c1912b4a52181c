"""Predictions that are handed in: files beside the notebook, and labels that no student and no sandbox sees."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest

from autograde.cases import Workshop
from autograde.course import Course, init_course
from autograde.demo import filled
from autograde.lab import Lab, load_lab
from autograde.release import release, stale, student_notebooks
from autograde.run import run
from autograde.verify import verify

HANDED = Path(__file__).parent / "handed"
SPY = """
from pathlib import Path

found = [str(path) for place in ("/sandbox", "/tmp", str(Path.home())) for path in Path(place).rglob("labels.json")]
assert not found, found
odd = [n % 2 for n in numbers]
"""


@pytest.fixture(scope="module")
def handed_lab() -> Lab:
    return load_lab(HANDED)


@pytest.fixture
def course(tmp_path: Path, handed_lab: Lab) -> Course:
    return opened(tmp_path / "course", handed_lab)


def opened(root: Path, lab: Lab, **settings: str) -> Course:
    made = init_course(root, course_id="test", language="en", labs=HANDED.parent)
    lines = (root / "autograde.toml").read_text(encoding="utf-8").splitlines()
    lines = [f'{name} = "{value}"' for name, value in settings.items()] + lines
    (root / "autograde.toml").write_text("\n".join(lines), encoding="utf-8")
    release(Course(made.root), lab)
    return Course(made.root)


def submitted(course: Course, lab: Lab, student: str, answer: str) -> Path:
    folder = course.path("submitted", student, lab.name)
    shutil.copytree(course.root / "handout" / "en" / lab.name, folder)
    path = folder / f"{lab.name}.ipynb"
    nbformat.write(filled(path, {"odd": answer}), path)
    return folder


def test_files_lie_beside_every_notebook_and_labels_beside_none(course, handed_lab, tmp_path):
    student_notebooks(handed_lab, tmp_path / "notebooks")
    for folder in (
        *(course.root / place / "handed" for place in ("source", "release", "handout/en", "handout/zh")),
        *(tmp_path / "notebooks" / lang / "handed" for lang in ("en", "zh")),
    ):
        assert {path.name for path in folder.iterdir() if path.suffix != ".ipynb"} == {
            "numbers.txt",
            "handed.bundle.safetensors",
        }
    assert stale(handed_lab, tmp_path / "notebooks") == []
    (tmp_path / "notebooks" / "zh" / "handed" / "numbers.txt").write_text("1")
    assert stale(handed_lab, tmp_path / "notebooks") == [str(Path("zh", "handed", "numbers.txt"))]


def test_handed_in_predictions_are_graded_outside(course, handed_lab):
    solution = handed_lab.solutions["odd"]
    submitted(course, handed_lab, "ann", SPY)
    submitted(course, handed_lab, "ben", "odd = torch.tensor([n % 2 for n in numbers])")
    (submitted(course, handed_lab, "cem", solution) / "numbers.txt").write_text("1\n1\n1\n1\n1\n1\n")
    submitted(course, handed_lab, "dai", "odd = [1 - n % 2 for n in numbers]")
    submitted(course, handed_lab, "eva", "odd = [1, 0, 1]")
    submitted(course, handed_lab, "fay", "odd = [1, 0, 1, 0, 1, 0]")
    submitted(course, handed_lab, "gil", "odd = [1, 0, 2, 0, 1, 1]")
    records = {record.student: record for record in run(course, "handed")}
    assert {name: record.score for name, record in records.items()} == {
        "ann": 4.0,
        "ben": 4.0,
        "cem": 4.0,  # the released file counts, not the submitted one
        "dai": 0.0,
        "eva": 0.0,
        "fay": 2.5,
        "gil": 0.0,
    }
    (said,) = {outcome["message"]["en"] for outcome in records["eva"].outcomes}
    assert said == "expected 6 classes, each a whole number from 0 to 1, got a list of length 3 (of int)."
    assert records["dai"].outcomes[0]["misconception"] == "even"


def test_a_course_may_have_labels_of_its_own(handed_lab, tmp_path):
    own = tmp_path / "course" / "secret labels" / "handed"
    own.mkdir(parents=True)
    (own / "labels.json").write_text(json.dumps([1, 0, 0, 1, 0, 0]))
    course = opened(tmp_path / "course", handed_lab, instructor_data="secret labels")
    submitted(course, handed_lab, "ann", handed_lab.solutions["odd"])
    (record,) = run(course, "handed")
    assert record.score == 1.0
    with Workshop(handed_lab) as workshop:
        case_set = workshop.draw(handed_lab.exercises["odd"], 0, hidden=True)
    assert case_set.cases[0].expected.tolist() == [1, 0, 1, 1], "elsewhere the lab's own count"


def test_such_a_lab_can_be_proved(handed_lab):
    assert all(finding.ok for finding in verify(handed_lab, seeds=2))
