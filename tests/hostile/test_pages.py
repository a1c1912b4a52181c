"""The pages that instructors and students open, in a real browser: nothing of a submission runs or becomes an element."""

import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from attacks import HONEST
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell
from nbgrader.api import Gradebook

from autograde.course import Course
from autograde.feedback import generate
from autograde.report import write_report
from autograde.run import run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

OWN = "document.title='OWNED'"
MARKUP = f'<img src=x onerror="{OWN}">'
SHOWS = f"""
from IPython.display import HTML, Javascript, Latex, Markdown, SVG, display
script = "<script>{OWN}</script>"
display(HTML(script), HTML('{MARKUP}'), HTML('<svg onload="{OWN}"></svg><iframe srcdoc="{MARKUP.replace('"', "&quot;")}">'))
display(HTML('<a id=link href="java\\tscript:{OWN}">x</a><math><mtext><style>{MARKUP}</style></math><noscript><p title="</noscript>{MARKUP}">'))
display(Javascript("{OWN}"), Markdown(script), Markdown('<a href="javascript:{OWN}">'), Latex("$$" + script + "$$"))
display(SVG(data='<svg xmlns="http://www.w3.org/2000/svg" onload="{OWN}"><script>{OWN}</script></svg>'))
display({{"text/plain": script, "text/vnd.mermaid": script, "application/vnd.jupyter.widget-view+json": {{"model_id": script}}}}, raw=True)
print(script + chr(27) + "[31m" + '{MARKUP}')
raise ValueError('{MARKUP}')
"""


def opened(page: Path) -> BeautifulSoup:
    """A page after its scripts have run."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    profile = f"--user-data-dir={page.parent / 'chromium'}"
    done = subprocess.run(
        [str(CHROMIUM), *options, profile, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return BeautifulSoup(done.stdout, "html.parser")


@pytest.fixture
def course(tiny_course: Course, students) -> Course:
    """One student whose id, names, files, answers and outputs are all markup."""
    student = MARKUP.replace("src=x", "src=y")
    path = students.submit(
        student, {**HONEST, "scale": f"{HONEST['scale']}\n{SHOWS}", "why": f"<b>{MARKUP}</b>"}
    )
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, new_markdown_cell(f"# {MARKUP}\n<script>{OWN}</script>\n[x](javascript:{OWN})"))
    nbformat.write(notebook, path)
    path.rename(path.with_name(f"{MARKUP}.ipynb"))
    (path.parent / f"{MARKUP}.png").write_bytes(b"no image")
    (path.parent / "page.html").write_text(f"<script>{OWN}</script>")
    (path.parent / "timestamp.txt").write_text(MARKUP)
    with Gradebook(tiny_course.db_url, tiny_course.nbgrader.course_id) as gradebook:
        gradebook.add_student(student, first_name=f"<script>{OWN}</script>", last_name='"onmouseover="x')
    run(tiny_course, "tiny")
    return tiny_course


def test_nothing_of_a_submission_runs(course: Course, tmp_path: Path):
    control = tmp_path / "control.html"
    control.write_text(f"<title>-</title><p>{MARKUP}", encoding="utf-8")
    assert opened(control).title.get_text() == "OWNED", "such markup does run where nobody takes care"
    [written] = generate(course, "tiny")
    assert written.problem == "" and len(written.pages) == 1
    for page in (*written.pages, write_report(course, "tiny"), write_report(course, "tiny", language="zh")):
        # The policy's 'self' must not depend on the folder.
        copy = tmp_path / f"{len(list(tmp_path.iterdir()))}.html"
        shutil.copyfile(page, copy)
        soup = opened(copy)
        assert soup.title.get_text() != "OWNED"
        assert not soup.find_all(["iframe", "svg", "object", "embed", "form"])
        assert not [img for img in soup.find_all("img") if "//" in str(img.get("src", ""))]
        attributes = [(n, str(v)) for tag in soup.find_all(True) for n, v in tag.attrs.items()]
        assert not [found for found in attributes if found[0].startswith("on") or "script:" in found[1]]
        own = [script for script in soup.find_all("script") if "OWNED" in script.get_text()]
        assert own == []
