"""The class report: what it counts, what it says, and that nothing of a student's gets into it as markup."""

import re
import shutil
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from nbgrader.api import Gradebook

from autograde.cli import app
from autograde.course import Course
from autograde.errors import CourseError
from autograde.record import Record, write_record
from autograde.report import Check, held, histogram, summarise, write_report
from coursekit.check.tree import Text

TITLE: Text = {"en": "Scaling", "zh": "缩放"}
HINTS: dict[str, Text] = {"adds": {"en": "You add the factor.", "zh": "你做的是加法。"}}
CHECKS = [
    Check("scale-check", "scale", TITLE, 1, False, HINTS),
    Check("scale-hidden", "scale", TITLE, 2, True, HINTS),
]


def outcome(grade_id: str, status: str, points: float, misconception: str | None = None) -> dict:
    return {
        "grade_id": grade_id,
        "exercise": grade_id.split("-")[0],
        "title": TITLE,
        "status": status,
        "points": points,
        "max_points": 2.0,
        "message": {},
        "hint": {},
        "misconception": misconception,
        "trace": [],
    }


def record(student: str, public: str, hidden: str, misconception: str | None = None, **more) -> Record:
    points = {"correct": 1.0, "partial": 0.5}
    outcomes = [
        outcome("scale-check", public, points.get(public, 0.0), misconception),
        outcome("scale-hidden", hidden, 2 * points.get(hidden, 0.0), misconception),
    ]
    score = sum(item["points"] for item in outcomes)
    return Record(student, "graded", score=score, max_score=7.0, outcomes=outcomes, **more)


CLASS = [
    record("right", "correct", "correct"),
    record("typed", "correct", "incorrect"),
    record("adds", "incorrect", "incorrect", "adds"),
    Record("broken", "unreadable", reason="not a notebook"),
]


@pytest.fixture
def course(tiny_course: Course) -> Course:
    """Records and a gradebook with names that a spreadsheet or a browser might run."""
    with Gradebook(tiny_course.nbgrader.db_url, tiny_course.nbgrader.course_id) as gradebook:
        gradebook.add_student(
            "right", first_name="<script>alert(1)</script>", last_name='=HYPERLINK("x"), Jr.'
        )
        gradebook.add_student("typed", first_name="小明", last_name="王")
        gradebook.add_student("absent")
    for item in CLASS:
        (tiny_course.root / "submitted" / item.student / "tiny").mkdir(parents=True)
        write_record(tiny_course, "tiny", item)
    return tiny_course


def read(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_histogram_counts_every_score_once_and_ends_in_the_last_bin():
    bins = histogram([0, 0.5, 1, 4.99, 5], 5)
    assert [bin.count for bin in bins] == [2, 1, 0, 0, 2]
    assert (bins[0].low, bins[-1].high) == (0, 5)
    assert len(histogram([3], 30)) == 10
    assert histogram([], 5) == [] and histogram([0], 0) == []


def test_exercises_are_counted_public_against_hidden():
    (scale,) = summarise(CHECKS, CLASS)
    public, hidden = scale.bars
    assert public.counts == {"correct": 2, "incorrect": 1}
    assert hidden.counts == {"correct": 1, "incorrect": 2}
    assert hidden.share == pytest.approx(1 / 3)
    assert scale.public_only == ["typed"]


def test_a_misconception_names_each_student_once():
    (adds,) = held(CHECKS, [*CLASS, record("partly", "partial", "incorrect", "adds")])
    assert (adds.name, adds.students, adds.hint) == ("adds", ["adds", "partly"], HINTS["adds"])


def test_the_page_says_all_of_it_in_both_languages(course: Course):
    english = read(write_report(course, "tiny"))
    text = " ".join(english.get_text().split())
    assert english.html["lang"] == "en"
    for part in (
        "3✓ graded",
        "1✗ unreadable",
        "1○ nothing handed in",
        "not a notebook",
        "1 pass the public check",
    ):
        assert part in text
    assert "You add the factor instead of multiplying by it." in text
    chinese = read(write_report(course, "tiny", language="zh", output=course.root / "other" / "zh.html"))
    assert chinese.html["lang"] == "zh-CN"
    text = " ".join(chinese.get_text().split())
    assert "你做的是加法,不是乘法。" in text and "王小明" in text and "班级报告" in text
    with pytest.raises(CourseError, match="en, zh"):
        write_report(course, "tiny", language="fr")


def test_the_page_is_whole_and_escaped(course: Course):
    page = read(write_report(course, "tiny"))
    assert not page.find_all(["script", "link", "img", "iframe"])
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", str(page))
    assert "<script>alert(1)</script>" in page.get_text()
    assert '=HYPERLINK("x"), Jr.' in page.get_text()
    assert page.find("meta", attrs={"name": "viewport"})


def test_a_run_without_isolation_is_said_loudly(course: Course):
    assert not read(write_report(course, "tiny")).find(role="alert")
    write_record(course, "tiny", record("bare", "correct", "correct", isolation="none"))
    (course.root / "submitted" / "bare" / "tiny").mkdir(parents=True)
    alert = read(write_report(course, "tiny")).find(role="alert")
    assert "Graded without isolation" in alert.get_text() and "bare" in alert.get_text()


def test_links_to_feedback_work_from_where_the_report_lies(course: Course, tmp_path: Path):
    feedback = course.root / "feedback" / "typed" / "tiny" / "tiny.html"
    feedback.parent.mkdir(parents=True)
    feedback.write_text("x")
    output = tmp_path / "else where" / "report.html"
    links = read(write_report(course, "tiny", output=output)).find_all("a")
    assert [(output.parent / link["href"]).resolve() for link in links] == [feedback.resolve()]


def test_an_assignment_without_any_submission_gives_a_page(tiny_course: Course):
    assert "No submission has a score yet." in read(write_report(tiny_course, "tiny")).get_text()
    with pytest.raises(CourseError, match="release it first"):
        write_report(tiny_course, "other")


@pytest.mark.slow
def test_a_graded_class_with_a_written_answer(students, tiny_course: Course):
    from typer.testing import CliRunner

    right = {"scale": "def scale(x, factor):\n    return x + factor", "why": "Because a sum is."}
    students.submit("ann", right)
    patient(tiny_course)
    runner = CliRunner()
    assert runner.invoke(app, ["run", "tiny", "--course", str(tiny_course.root)]).exit_code == 0
    done = runner.invoke(app, ["report", "tiny", "--course", str(tiny_course.root)], catch_exceptions=False)
    assert done.exit_code == 0
    text = " ".join(read(tiny_course.root / "reports" / "tiny.html").get_text().split())
    assert "✎ ann: why" in text and "Scores are preliminary" in text
    assert "Scaling · adds" in text


def patient(course: Course) -> None:
    """A loaded machine may need long to import torch."""
    settings = course.root / "autograde.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(re.sub(r"cell_seconds = \d+", "cell_seconds = 120", text), encoding="utf-8")
    vars(course).pop("settings", None)
    shutil.rmtree(course.state / "records", ignore_errors=True)
