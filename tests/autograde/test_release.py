"""What is released: the same bytes every time, no solution, no hidden case, two languages with the same code."""

import re
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograde.cases import Workshop, seed_of
from autograde.course import default_labs
from autograde.lab import find_labs, load_lab
from autograde.notebook import WRITTEN_STUB, _escaped, _joined
from autograde.release import stale, student_notebooks
from coursekit.check.lab import decode, read_bundle
from coursekit.check.tree import dumps, loads

LABS = find_labs(default_labs())


def test_the_same_source_gives_the_same_bytes(tiny_lab, tmp_path):
    student_notebooks(tiny_lab, tmp_path / "a")
    student_notebooks(tiny_lab, tmp_path / "b")
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert [str(file) for file in files] == [
        f"{lang}/tiny/tiny.{end}" for lang in ("en", "zh") for end in ("bundle.safetensors", "ipynb")
    ]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert stale(tiny_lab, tmp_path / "a") == []
    (tmp_path / "a" / files[1]).write_text("{}", encoding="utf-8")
    assert stale(tiny_lab, tmp_path / "a") == [str(files[1])]


@pytest.mark.parametrize(("factor", "fresh"), [(1 + 1e-6, True), (1.01, False)])
def test_a_bundle_may_differ_as_processors_round(tiny_lab, tmp_path, factor: float, fresh: bool):
    student_notebooks(tiny_lab, tmp_path)
    bundle = tmp_path / "en" / "tiny" / "tiny.bundle.safetensors"
    tree = loads(bundle.read_bytes())
    number = next(case for item in tree["exercises"] for case in item["cases"])
    number["expected"] = number["expected"] * factor
    elsewhere = dumps(tree)
    assert elsewhere != bundle.read_bytes()
    bundle.write_bytes(elsewhere)
    assert stale(tiny_lab, tmp_path) == ([] if fresh else ["en/tiny/tiny.bundle.safetensors"])
    student_notebooks(tiny_lab, tmp_path)  # which leaves what is right already
    assert (bundle.read_bytes() == elsewhere) == fresh


def test_both_languages_have_the_same_code_and_ids(tiny_lab, tmp_path):
    folders = student_notebooks(tiny_lab, tmp_path)
    english, chinese = (nbformat.read(folder / "tiny.ipynb", as_version=4) for folder in folders)
    nbformat.validate(english)

    def graded(notebook):
        return [
            (cell.cell_type, cell.source, cell.metadata)
            for cell in notebook.cells
            if "nbgrader" in cell.metadata
        ]

    def code(notebook):
        return [(cell.id, cell.source) for cell in notebook.cells if cell.cell_type == "code"]

    assert graded(english) == graded(chinese) and code(english) == code(chinese)
    text = [
        cell for cell in chinese.cells if cell.cell_type == "markdown" and "nbgrader" not in cell.metadata
    ]
    assert "练习 1 · 缩放" in "".join(cell.source for cell in text)
    assert "Exercise 1 · Scaling" not in "".join(cell.source for cell in text)
    assert [read_bundle(folder / "tiny.bundle.safetensors").lang for folder in folders] == ["en", "zh"]


def test_students_get_no_solution_and_no_hidden_part(released):
    for path in [*(released / "release").rglob("*.ipynb"), *(released / "handout").rglob("*.ipynb")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"SOLUTION|HIDDEN|MARK SCHEME|cases=|factor \* x\\n|x\.sum\(\)", text)
        assert "raise NotImplementedError()" in text and WRITTEN_STUB in text
    source = (released / "source" / "tiny" / "tiny.ipynb").read_text(encoding="utf-8")
    assert "cases=" not in source, "nbgrader copies files of source/ to students and into the sandbox"


def test_hidden_cases_come_from_the_secret_and_stand_in_the_gradebook_only(tiny_course, tiny_lab):
    with Gradebook(tiny_course.nbgrader.db_url, "test") as gradebook:
        source = gradebook.find_source_cell("scale-hidden", "tiny", "tiny").source
    cases = decode(re.search(r'cases="([^"]+)"', source)[1])
    exercise = tiny_lab.exercises["scale"]
    with Workshop(tiny_lab) as workshop:
        seed = seed_of(tiny_course.secret, "tiny", "scale")
        assert dumps(cases.to_tree()) == dumps(workshop.draw(exercise, seed, hidden=True).to_tree())
        other = workshop.draw(exercise, seed_of(b"other", "tiny", "scale"), hidden=True)
    assert dumps(cases.to_tree()) != dumps(other.to_tree())
    assert "def " not in dumps(cases.to_tree()).decode("latin-1"), "values only, no code"
    secret = tiny_course.root / ".autograde" / "secret"
    assert secret.stat().st_mode & 0o077 == 0
    assert ".autograde/" in (tiny_course.root / ".gitignore").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("folder", LABS, ids=lambda folder: folder.name)
def test_the_committed_notebooks_are_what_the_labs_give(folder: Path):
    assert stale(load_lab(folder), default_labs().parent / "notebooks") == []


def test_hints_are_markdown_without_html_and_chinese_lines_are_joined():
    assert _escaped("if `a < b` then <b>") == "if `a < b` then &lt;b&gt;"
    assert _joined("在法国长大，\n   但现在\n在 A\n和 B") == "在法国长大，但现在在 A\n和 B"
    listed = "很长：\nBERT、\n**值**。\n- 一项。\n1. 二。\n$$x$$"
    assert _joined(listed) == "很长：BERT、**值**。\n- 一项。\n1. 二。\n$$x$$"
