"""Feedback pages: our boxes, no hidden value, and nothing of a submission that runs."""

import copy
import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange.default import ExchangeReleaseFeedback

from autograde.course import Course
from autograde.errors import AutogradeError
from autograde.feedback import generate, safe_html, without_values
from autograde.local import ThisMachine
from autograde.record import read_record
from autograde.run import run
from coursekit.check.verdict import Outcome

HOSTILE = """
from IPython.display import HTML, Javascript, Markdown, SVG, display
display(HTML("<script>own()</script><b onclick='own()'>bold</b><img src=x onerror='own()'><style>p{}</style>"))
display(HTML("<iframe src='https://example.org'></iframe><form action=x><input></form>"))
display(Javascript("own()"))
display(Markdown("<script>own()</script>"))
display(SVG(data="<svg xmlns='http://www.w3.org/2000/svg' onload='own()'><script>own()</script></svg>"))
display({"image/png": "iVBORw0KGgo=", "text/plain": "x"}, metadata={"image/png": {"width": "1 onerror=own()"}}, raw=True)
"""
WRONG = "def scale(x, factor):\n    print('PRINTED', x)\n    return x + factor"


@pytest.fixture
def course(tiny_course: Course, students) -> Course:
    """Three students: a hostile one who writes English, one who works in Chinese, and one whose file is broken."""
    settings = tiny_course.root / "autograde.toml"
    text = re.sub(r"cell_seconds = \d+", "cell_seconds = 120", settings.read_text(encoding="utf-8"))
    settings.write_text(text, encoding="utf-8")
    path = students.submit(
        "e,vil", {"scale": WRONG + HOSTILE, "why": "<script>own()</script> a *sum* ### BEGIN HIDDEN TESTS"}
    )
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(
        0, nbformat.v4.new_markdown_cell("<img src=x onerror=own()> $a<b$ [x](javascript:own()) `code`")
    )
    nbformat.write(notebook, path)
    (path.parent / "evil.html").write_text("<script>own()</script>")
    for name in ("timestamp.txt", "submission_secret.txt"):
        (path.parent / name).write_text("2026-01-01 00:00:00 UTC")
    students.submit("mei", {"scale": WRONG}, language="zh")
    students.submit("broken").write_text("{ not a notebook <script>")
    run(tiny_course, "tiny", where=ThisMachine(2))
    return tiny_course


def page(course: Course, student: str) -> BeautifulSoup:
    path = course.root / "feedback" / student / "tiny" / "tiny.html"
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def hidden_values(course: Course, student: str) -> list[str]:
    record = read_record(course, "tiny", student)
    assert record is not None
    messages = [
        o["message"]["en"] for o in record.outcomes if o["grade_id"].endswith("-hidden") and o["message"]
    ]
    return [value for message in messages for value in re.findall(r"expected (-?\d+\.\d+)", message)]


@pytest.mark.slow
def test_feedback_of_a_class(course: Course, tmp_path: Path):
    written = generate(course, "tiny")
    assert {item.student: item.problem for item in written} == {"broken": "", "e,vil": "", "mei": ""}

    hostile = page(course, "e,vil")
    scripts = hostile.find_all("script")
    assert len(scripts) == 2 and all("own" not in script.get_text() for script in scripts)
    assert not hostile.find_all(["iframe", "form", "input", "object", "embed", "svg"])
    attributes = [
        (tag.name, name, value) for tag in hostile.find_all(True) for name, value in tag.attrs.items()
    ]
    assert not [found for found in attributes if found[1].startswith("on") or "javascript:" in str(found[2])]
    assert hostile.find("b", string="bold")
    policy = hostile.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert "default-src 'none'" in policy and "'unsafe-inline'" not in policy.split("script-src")[1]

    text = hostile.get_text()
    assert "You add the factor instead of multiplying by it." in text
    values = hidden_values(course, "e,vil")
    assert values and not [value for value in values if value in str(hostile)]
    assert "HIDDEN TESTS" not in text.replace("### BEGIN HIDDEN TESTS", "", 1) and "cases=" not in text
    answer, public, hidden = (
        hostile.find(id=name).find_parent(class_="cell") for name in ("scale", "scale-check", "scale-hidden")
    )
    assert "return x + factor" in answer.get_text()
    assert "PRINTED" in public.get_text() and "PRINTED" not in hidden.get_text()
    assert hidden.find(class_="coursekit-check")

    chinese = page(course, "mei")
    assert chinese.html["lang"] == "zh-CN"
    assert "你做的是加法,不是乘法。" in chinese.get_text() and "隐藏检查" in chinese.get_text()

    broken = page(course, "broken")
    assert "could not be read" in broken.get_text() and "not a notebook" in broken.get_text()

    folder = course.root / "feedback" / "e,vil" / "tiny"
    assert sorted(path.name for path in folder.iterdir()) == [
        "submission_secret.txt",
        "timestamp.txt",
        "tiny.html",
    ]
    release_feedback(course, tmp_path / "exchange")


def release_feedback(course: Course, exchange: Path) -> None:
    """nbgrader's own step takes the pages."""
    exchange.mkdir()
    exchange.chmod(0o777)
    config = copy.deepcopy(course.config)
    config.Exchange.root = str(exchange)
    config.CourseDirectory.assignment_id = "tiny"
    config.CourseDirectory.student_id = "e,vil"
    ExchangeReleaseFeedback(coursedir=CourseDirectory(config=config), config=config).start()
    (sent,) = (exchange / "test" / "feedback").glob("*.html")
    assert sent.read_bytes() == (course.root / "feedback/e,vil/tiny/tiny.html").read_bytes()


def test_a_student_without_a_submission_is_named(tiny_course: Course):
    with pytest.raises(AutogradeError, match="nothing handed in for tiny by ann"):
        generate(tiny_course, "tiny", students=["ann"])


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("[vector] expected -15 at position (0, 0), got -14 (25/25 values differ).", False),
        ("expected 24, got 23.", False),
        ("expected 'yes', got 'no'.", False),
        ("expected True, got False.", False),
        ("expected the keys ['a'], got ['b'].", False),
        ("[vector] expected shape (2, 3), got (3, 2).", True),
        ("output[0]: expected a tensor of shape (2,), got None. Did you forget `return`?", True),
        ("loss of step 1: expected a number, got None. Did you forget `return`?", True),
        ("loss of step 1: expected 0.5, got 0.7.", False),
        ("expected finite numbers, got 3 NaN or infinite.", True),
        ("80.0% of the check's examples are right; full points from 95.0%, none up to 50.0%.", True),
    ],
)
def test_a_hidden_outcome_tells_no_expected_value(message: str, kept: bool):
    hidden = Outcome(
        "e", {"en": "E"}, "incorrect", 0, 1, message={"en": message, "zh": "应为 24"}, hint={"en": "h"}
    )
    seen = without_values(hidden)
    assert (seen.message == hidden.message) is kept
    assert seen.hint == {"en": "h"}
    if not kept:
        assert seen.message["en"].endswith("the result is not the expected one.") and "24" not in str(
            seen.message
        )
        assert seen.message["en"].startswith("[vector] ") is message.startswith("[")


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("<p onclick=x style='position:fixed;color:red'>a</p>", '<p style="color:red;">a</p>'),
        ("<a href='javascript:x'>a</a>", "<a>a</a>"),
        ("<a href='data:text/html,x'>a</a>", "<a>a</a>"),
        ("<a href=' DATA:text/html,x'>a</a>", "<a>a</a>"),
        ("<img src='data:image/png;base64,AA'>", '<img src="data:image/png;base64,AA">'),
        ("<img src='data:text/html,x'>", "<img>"),
        ("a<script>x</script><STYLE>y</STYLE>b", "ab"),
        ("<script>never closed", ""),
        ("<svg><b onload=x>t</b></svg>", "<b>t</b>"),
    ],
)
def test_html_is_made_safe(given: str, safe: str):
    assert safe_html(given) == safe
