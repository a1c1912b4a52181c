"""A class on the tiny lab, graded in the real sandbox and, where the work is honest, by stock nbgrader too."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import psutil
import pytest
from nbgrader.api import Gradebook

from autograde.course import Course
from autograde.grade import grade_notebook
from autograde.intake import take_in
from autograde.kernels import kernels_of
from autograde.local import LocalPlace
from autograde.master import read_masters
from autograde.record import read_record, read_records
from autograde.run import run

pytestmark = pytest.mark.slow

SCALE = "def scale(x, factor):\n    return factor * x"
MEAN = "def mean_of(x):\n    return x.sum() / x.numel()"
CRASH = "import os\nos._exit(3)"
WHY = "Because a sum is linear and dividing by a constant is too."


def autograde(course: Course, *arguments: str) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).parent / "autograde"), *arguments, "--course", str(course.root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def nbgrader(course: Course, *arguments: str) -> subprocess.CompletedProcess:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=course.root,
        env={**os.environ, "PATH": path},
    )


def test_every_kind_of_submission_ends_in_its_state_with_its_score(tiny_course, students):
    full = {"scale": SCALE, "mean_of": MEAN, "why": WHY}
    students.submit("all_right", full)
    students.submit("blank")
    students.submit("chinese", full, language="zh")
    students.submit("half", {"scale": "def scale(x, factor):\n    return factor * x if x.dim() == 1 else x"})
    students.submit("adds", full | {"scale": "def scale(x, factor):\n    return x + factor"})
    students.submit("crash", full | {"scale": CRASH})
    students.submit("loop", full | {"mean_of": "def mean_of(x):\n    while True: pass"})
    students.submit(
        "deaf",
        full | {"mean_of": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"},
    )
    students.submit("broken").write_text('{"cells": [', encoding="utf-8")
    students.submit("rule", full | {"mean_of": "def mean_of(x):\n    return x.mean()"})
    students.submit(
        "noisy",
        full
        | {
            "scale": f"import warnings\n{SCALE.replace('return', 'warnings.warn(str(x))' + chr(10) + '    return')}"
        },
    )
    done = autograde(tiny_course, "run", "tiny")

    records = {record.student: record for record in read_records(tiny_course, "tiny")}
    states = {name: (record.state, record.score) for name, record in records.items()}
    assert states == {
        "all_right": ("graded", 5.0),
        "blank": ("graded", 0.0),
        "chinese": ("graded", 5.0),
        "half": ("graded", 1.5),
        "adds": ("graded", 2.0),
        "crash": ("salvaged", 2.0),
        "loop": ("graded", 3.0),
        "deaf": ("salvaged", 3.0),
        "broken": ("unreadable", None),
        "rule": ("graded", 3.0),
        "noisy": ("graded", 5.0),
    }
    assert done.returncode == 1, "a submission is unreadable"
    assert "Traceback" not in done.stderr
    assert records["all_right"].needs_manual_grade and not records["blank"].needs_manual_grade
    assert {o["misconception"] for o in records["adds"].outcomes} == {"adds", None}
    assert records["chinese"].language == "zh"
    assert not any(record.flags for record in records.values())

    lines = [
        json.loads(line) for line in autograde(tiny_course, "status", "tiny", "--json").stdout.splitlines()
    ]
    assert {line["student"]: (line["state"], line["score"]) for line in lines} == states
    assert all({"student", "state", "score", "max_score", "flags"} <= set(line) for line in lines)


def test_tampering_gains_nothing_and_is_flagged(tiny_course, students):
    path = students.submit("mallory", {"mean_of": MEAN})
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if grade_id.startswith("scale-"):
            cell.source, cell.metadata["tags"] = "100.0", ["skip-execution"]
            cell.metadata["nbgrader"]["points"] = 100
    forged = "check = lambda *a, **k: 5.0\nimport coursekit.check.collect, coursekit.check.call\n"
    forged += "coursekit.check.call.answer = lambda *a: [{'status': 'ok', 'value': 1.0}] * 9\n"
    notebook.cells.insert(2, nbformat.v4.new_code_cell(forged))
    nbformat.write(notebook, path)
    [record] = run(tiny_course, "tiny")
    assert record.score == 2.0 or record.score == 0.0
    assert {o["points"] for o in record.outcomes if o["exercise"] == "scale"} == {0.0}
    assert any("scale-check was changed" in flag for flag in record.flags)


def test_the_sandbox_shows_neither_solutions_nor_network_nor_others(tiny_course, students):
    spy = (
        "import os, socket, sys\n"
        "found, skipped = [], (sys.prefix, sys.base_prefix, '/proc', '/sys')\n"
        "for folder, folders, names in os.walk('/'):\n"
        "    folders[:] = [f for f in folders if not os.path.join(folder, f).startswith(skipped)]\n"
        "    found += [os.path.join(folder, n) for n in (*folders, *names) if n in ('gradebook.db', 'checks.py', 'secret', 'neighbour')]\n"
        "try:\n    socket.create_connection(('127.0.0.1', 22), 1); net = True\nexcept OSError as e:\n    net = 'unreachable' not in str(e) and 'refused' not in str(e)\n"
        "writable = [p for p in (sys.prefix, '/usr', '/etc') if os.access(p, os.W_OK)]\n"
        f"root = os.getuid() == 0\n{SCALE}\n"
        "if found or net or writable or root:\n    raise RuntimeError((found, net, writable, root))"
    )
    students.submit("spy", {"scale": spy, "mean_of": MEAN})
    students.submit("neighbour", {"scale": SCALE, "mean_of": MEAN})
    records = {record.student: record for record in run(tiny_course, "tiny")}
    graded = nbformat.read(tiny_course.path("autograded", "spy", "tiny") / "tiny.ipynb", as_version=4)
    errors = [o.evalue for c in graded.cells for o in c.get("outputs", []) if o.output_type == "error"]
    assert errors == []
    assert records["spy"].score == 5.0


def test_the_sandbox_has_all_that_the_package_carries(tiny_course, students):
    """Embedded data sets and weights, wherever they are installed; in a checkout the project's own data lie beside the package."""
    look = (
        "from coursekit.data import find_pretrained, list_datasets, load\n"
        "[load(each.name) for each in list_datasets() if 'embedded' in str(each.available)]\nfind_pretrained('minilm')\n"
    )
    students.submit("ann", {"scale": look + SCALE, "mean_of": MEAN})
    run(tiny_course, "tiny")
    graded = nbformat.read(tiny_course.path("autograded", "ann", "tiny") / "tiny.ipynb", as_version=4)
    assert [o.evalue for c in graded.cells for o in c.get("outputs", []) if o.output_type == "error"] == []


def test_expected_values_and_hidden_regions_stay_outside(tiny_course, students):
    look = f"{SCALE}\nimport pathlib\nprint([p.name for p in pathlib.Path('.').rglob('*')])\nprint(len(In), [c for c in In[:-1] if 'HIDDEN' in c or 'cases=' in c])"
    students.submit("eve", {"scale": SCALE, "mean_of": f"{MEAN}\n{look}"})
    run(tiny_course, "tiny")
    graded = nbformat.read(tiny_course.path("autograded", "eve", "tiny") / "tiny.ipynb", as_version=4)
    printed = [o.text for c in graded.cells for o in c.get("outputs", []) if o.output_type == "stream"]
    assert any(text.strip().endswith("[]") for text in printed)
    recorded = next(
        c for c in graded.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "scale-hidden"
    )
    assert "BEGIN HIDDEN TESTS" in recorded.source, "the recorded notebook has the hidden region again"


def test_grading_again_changes_nothing_and_goes_on_where_it_stopped(tiny_course, students):
    students.submit("ada", {"scale": SCALE})
    [first] = run(tiny_course, "tiny")
    graded = tiny_course.path("autograded", "ada", "tiny") / "tiny.ipynb"
    before = graded.stat().st_mtime_ns
    [again] = run(tiny_course, "tiny")
    assert again == first and graded.stat().st_mtime_ns == before, "an unchanged submission is not run again"
    [forced] = run(tiny_course, "tiny", force=True)
    assert (forced.score, forced.state) == (first.score, first.state)
    assert graded.stat().st_mtime_ns != before
    students.submit("late", {"mean_of": MEAN})
    scores = {record.student: record.score for record in run(tiny_course, "tiny")}
    assert scores == {"ada": 3.0, "late": 2.0}


@pytest.mark.parametrize("isolation", ["bubblewrap", "none"])
def test_a_kernel_ends_with_its_notebook(tiny_course, students, isolation):
    # The sandbox dies with the thread that started it; here that is the main thread, which lives on.
    (master,) = read_masters(tiny_course, "tiny")
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    for student, answers in {
        "ada": {"scale": SCALE},
        "crash": {"scale": CRASH},
        "deaf": {"scale": deaf},
    }.items():
        folder = students.submit(student, answers).parent
        submission = take_in(student, folder, [master])
        limits = replace(tiny_course.limits, cell_seconds=2)
        grade_notebook(
            master,
            submission.notebooks["tiny"],
            submission.files,
            limits,
            LocalPlace(kernels_of(isolation, limits)),
            "en",
            [],
        )
        left = [" ".join(process.cmdline()) for process in psutil.Process().children(recursive=True)]
        assert not [line for line in left if "bwrap" in line or "ipykernel" in line]


def test_a_fault_of_ours_is_failed_not_zero_and_touches_nobody(tiny_course, students, monkeypatch):
    students.submit("ada", {"scale": SCALE})
    students.submit("bob", {"scale": SCALE})
    import autograde.grader as module

    real = module.take_in

    def faulty(student, *arguments):
        if student == "ada":
            raise OSError("disk error")
        return real(student, *arguments)

    monkeypatch.setattr(module, "take_in", faulty)
    records = {record.student: record for record in run(tiny_course, "tiny")}
    assert (records["ada"].state, records["ada"].score) == ("failed", None)
    assert "disk error" in records["ada"].reason
    assert (records["bob"].state, records["bob"].score) == ("graded", 3.0)
    monkeypatch.undo()
    assert {r.student: r.state for r in run(tiny_course, "tiny")} == {"ada": "graded", "bob": "graded"}
    assert read_record(tiny_course, "tiny", "ada").score == 3.0


def test_stock_nbgrader_gives_the_same_scores_for_honest_work(tiny_course, students, tmp_path):
    work = {
        "all_right": {"scale": SCALE, "mean_of": MEAN},
        "blank": {},
        "half": {"scale": "def scale(x, factor):\n    return factor * x if x.dim() == 1 else x"},
        "wrong": {"scale": SCALE, "mean_of": "def mean_of(x):\n    return x.sum() / len(x)"},
        "raises": {"scale": "def scale(x, factor):\n    raise ValueError('no')", "mean_of": MEAN},
    }
    for name, answers in work.items():
        students.submit(name, answers)
    stock = Course(tmp_path / "stock")
    shutil.copytree(tiny_course.root, stock.root)
    ours = {record.student: record.score for record in run(tiny_course, "tiny")}
    done = nbgrader(stock, "autograde", "tiny")
    assert done.returncode == 0, done.stderr
    with Gradebook(f"sqlite:///{stock.root}/gradebook.db", "test") as gradebook:
        theirs = {s.student.id: s.score for s in gradebook.find_assignment("tiny").submissions}
    assert ours == theirs == {"all_right": 5.0, "blank": 0.0, "half": 1.5, "wrong": 3.0, "raises": 2.0}


def test_one_round_through_nbgraders_exchange(tiny_course, tmp_path):
    exchange, home = tmp_path / "exchange", tmp_path / "home"
    exchange.mkdir(mode=0o777)
    exchange.chmod(0o777)
    home.mkdir()
    config = tiny_course.root / "nbgrader_config.py"
    more = f"c.Exchange.root = {str(exchange)!r}\nc.Exchange.cache = {str(tmp_path / 'cache')!r}\n"
    config.write_text(config.read_text(encoding="utf-8") + more, encoding="utf-8")
    (home / "nbgrader_config.py").write_text(
        f"c = get_config()\nc.CourseDirectory.course_id = 'test'\n{more}", encoding="utf-8"
    )
    student = Course(home)

    def ok(done: subprocess.CompletedProcess) -> None:
        assert done.returncode == 0, done.stderr

    ok(nbgrader(tiny_course, "release_assignment", "tiny"))
    ok(nbgrader(student, "fetch_assignment", "tiny"))
    path = home / "tiny" / "tiny.ipynb"
    assert (home / "tiny" / "tiny.bundle.safetensors").is_file()
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "scale":
            cell.source = SCALE
    nbformat.write(notebook, path)
    ok(nbgrader(student, "submit", "tiny"))
    ok(nbgrader(tiny_course, "collect", "tiny"))
    [record] = run(tiny_course, "tiny")
    assert (record.state, record.score) == ("graded", 3.0)


def test_commands_begin_without_the_heavy_libraries():
    """What a run imports before it starts the processes that import them too."""
    code = "import sys, autograde.cli, autograde.run; print({'torch', 'matplotlib', 'rfc3987_syntax.utils'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_process_that_records_does_without_torch(tiny_course):
    """It reads the course's configuration, which names our step of nbgrader's conversion."""
    code = "import sys, autograde.gradebook, autograde.course as c; print(c.Course(sys.argv[1]).config.AddHiddenCases.course, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, tiny_course.root], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(tiny_course.root), "False"]
