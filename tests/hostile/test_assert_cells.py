"""The same in a course of somebody else, whose cells assert in the student's own process: there, it is noticed."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from attacks import LEAVES_ASSERTS_OUT, PATCHED_COMPARISONS, PATCHED_SHELL
from nbformat.v4 import new_code_cell, new_notebook

from autograde.course import Course
from autograde.record import Record, read_records
from autograde.run import run

pytestmark = pytest.mark.slow

SQUARE, TOTAL = "def square(x):\n    return x * x", "def total(values):\n    return sum(values)"
HONEST = {"square": SQUARE, "total": TOTAL}
WRONG = {"square": "def square(x):\n    return 1", "total": "def total(values):\n    return 0"}


def graded(grade_id: str, source: str, points: int | None = None) -> nbformat.NotebookNode:
    """A cell of nbgrader: an answer, or a test where it has points."""
    metadata = {
        "grade_id": grade_id,
        "schema_version": 3,
        "locked": points is not None,
        "solution": points is None,
        "grade": points is not None,
        "task": False,
    }
    return new_code_cell(
        source, metadata={"nbgrader": metadata | ({} if points is None else {"points": points})}
    )


@dataclass(frozen=True)
class Attack:
    row: int
    name: str
    score: float
    answers: dict[str, str]
    first: str = ""
    flag: str = ""
    state: str = "graded"
    skip: bool = False


FORGED_CREDIT = "class Forged(float):\n    def __repr__(self): return '100.0'\n"
ATTACKS = [
    Attack(0, "honest", 4.0, HONEST),
    Attack(0, "wrong", 0.0, WRONG),
    Attack(1, "skip_tag", 0.0, WRONG, skip=True),
    Attack(
        3,
        "transformers",
        0.0,
        WRONG,
        LEAVES_ASSERTS_OUT.replace('"collect"', '"assert"'),
        "assertions do not fail",
    ),
    Attack(4, "patched_shell", 0.0, WRONG, PATCHED_SHELL, "assertions do not fail|replaced in the kernel"),
    Attack(
        4,
        "patched_do_execute",
        0.0,
        WRONG,
        "k = get_ipython().kernel\nold = k.do_execute\nasync def do_execute(code, *a, **kw):\n    return await old('1', *a, **kw)\nk.do_execute = do_execute",
        "assertions do not fail",
    ),
    Attack(
        8,
        "patched_comparisons",
        0.0,
        WRONG,
        "import torch\n" + PATCHED_COMPARISONS,
        "replaced in the kernel: .*allclose",
    ),
    Attack(
        8,
        "no_assertion_error",
        0.0,
        WRONG,
        "import builtins\nclass AssertionError(Exception):\n    def __init__(self, *a): raise SystemExit\nbuiltins.AssertionError = AssertionError",
        "assertions do not fail|replaced in the kernel",
    ),
    Attack(15, "sys_exit", 1.0, {"square": "import sys\nsys.exit(0)", "total": TOTAL}),
    Attack(16, "os_exit", 1.0, {"square": "import os\nos._exit(0)", "total": TOTAL}, state="salvaged"),
    Attack(25, "infinite_credit", 1.0, {"square": "def square(x):\n    return 1", "total": TOTAL}),
    Attack(
        27,
        "stderr",
        4.0,
        {
            "square": f"import sys\n{SQUARE.replace('return', 'print(1, file=sys.stderr); return')}",
            "total": TOTAL,
        },
    ),
]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A plain nbgrader course that knows nothing of us, with one assignment released by nbgrader."""
    root = tmp_path_factory.mktemp("foreign") / "course"
    (root / "source" / "ps1").mkdir(parents=True)
    (root / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'other'\n")
    notebook = new_notebook(
        cells=[
            new_code_cell("import math"),
            graded(
                "square", "def square(x):\n    ### BEGIN SOLUTION\n    return x * x\n    ### END SOLUTION"
            ),
            graded(
                "test_square",
                "import numpy\nassert square(2) == 4\n### BEGIN HIDDEN TESTS\nassert square(-3) == 9\nnumpy.testing.assert_allclose(square(1.5), 2.25)\n### END HIDDEN TESTS",
                3,
            ),
            graded(
                "total",
                "def total(values):\n    ### BEGIN SOLUTION\n    return sum(values)\n    ### END SOLUTION",
            ),
            graded("test_total", "assert total([1, 2]) == 3\nassert total([]) == 0 and total([4]) == 4", 1),
        ]
    )
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, root / "source" / "ps1" / "ps1.ipynb")
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", "ps1"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for attack in ATTACKS:
        folder = root / "submitted" / attack.name / "ps1"
        shutil.copytree(root / "release" / "ps1", folder)
        path = folder / "ps1.ipynb"
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            cell.source = attack.answers.get(grade_id, cell.source)
            if attack.skip:
                cell.metadata["tags"] = ["skip-execution"]
        if attack.first:
            notebook.cells.insert(1, new_code_cell(attack.first))
        nbformat.write(notebook, path)
    return Course(root)


@pytest.fixture(scope="module")
def records(foreign: Course) -> dict[str, Record]:
    run(foreign, "ps1")
    return {record.student: record for record in read_records(foreign, "ps1")}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"r{attack.row:02}_{attack.name}")
def test_each_ends_as_it_must(records: dict[str, Record], attack: Attack):
    record = records[attack.name]
    assert (record.state, record.score) == (attack.state, attack.score), (record.reason, record.flags)
    if attack.flag:
        assert any(re.search(attack.flag, flag) for flag in record.flags), record.flags
    else:
        assert record.flags == []


def test_grading_wrote_nothing_but_what_nbgrader_writes_and_our_state(records, foreign: Course):
    names = {path.name for path in foreign.root.iterdir()}
    assert names == {
        "nbgrader_config.py",
        "source",
        "release",
        "submitted",
        "gradebook.db",
        "autograded",
        ".autograde",
    }
    assert Path(foreign.root, "autograded", "honest", "ps1", "ps1.ipynb").is_file()
