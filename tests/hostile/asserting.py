"""The same in a course of somebody else, whose cells assert in the student's own process.

`square` is worth 3 points, `total` 1, and `half` 2, whose test cell gives partial credit.
"""

import subprocess
import sys
from pathlib import Path

import nbformat
import snippets
import wire
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from submissions import (
    HOSTILE_LIMITS,
    Attack,
    beside,
    drop,
    each_cell,
    hand_in,
    kernel_named,
    linked,
    regrade,
    renamed,
    rewritten,
    skip,
    twice,
)

SQUARE = "def square(x):\n    return x * x"
TOTAL = "def total(values):\n    return sum(values)"
HALF = "def half(x):\n    return x / 2"
HONEST = {"square": SQUARE, "total": TOTAL, "half": HALF}
WRONG = {
    "square": "def square(x):\n    return 1",
    "total": "def total(values):\n    return 0",
    "half": "def half(x):\n    return 0",
}
FULL, NOTHING = 6.0, 0.0

TEST_SQUARE = """import numpy
assert square(2) == 4
### BEGIN HIDDEN TESTS
assert square(-3) == 9
numpy.testing.assert_allclose(square(1.5), 2.25)
### END HIDDEN TESTS"""
TEST_TOTAL = """assert total([1, 2]) == 3
assert total([]) == 0 and total([4]) == 4
"well done\""""
TEST_HALF = """credit = 0
if half(4) == 2:
    credit += 1
### BEGIN HIDDEN TESTS
if half(9) == 4.5:
    credit += 1
### END HIDDEN TESTS
credit"""


def harmless(row: int, name: str, code: str, flag: str = "") -> Attack:
    """Beside honest answers; it changes nothing."""
    return Attack(row, name, FULL, {**HONEST, "square": f"import torch\n{code}\n{SQUARE}"}, flag=flag)


def lost(row: int, name: str, square: str, state: str = "graded", flag: str = "") -> Attack:
    """The answer `square` costs its own points and nothing else."""
    return Attack(row, name, FULL - 3, {**HONEST, "square": square}, state=state, flag=flag)


def called(code: str) -> str:
    """An answer that calls the code's `attack()` in each of its checks, and is wrong."""
    return f"{code}\ndef square(x):\n    attack()\n    return 1"


def forged(row: int, name: str, shown: str, flag: str) -> Attack:
    """The credit that the test of `half` counts is replaced by a thing that is shown so."""
    counts = f"class Forged(float):\n    def __iadd__(self, other): return self\n    {shown}\n"
    half = f"{counts}def half(x):\n    globals()['credit'] = Forged()"
    return Attack(row, name, FULL - 2, {**HONEST, "half": half}, flag=flag)


def first(row: int, name: str, code: str, flag: str, score: float = NOTHING, last: str = "") -> Attack:
    """Before answers that are all wrong."""
    return Attack(row, name, score, WRONG, code, last, flag=flag)


UNPROVEN = "assertions do not fail"
PATCHED_DO_EXECUTE = """
kernel = get_ipython().kernel
old = kernel.do_execute
async def do_execute(code, *arguments, **options):
    return await old("1", *arguments, **options)
kernel.do_execute = do_execute
"""
NO_ASSERTION_ERROR = """
import builtins
class AssertionError(Exception):
    def __init__(self, *arguments): raise SystemExit
builtins.AssertionError = AssertionError
"""
# What knows the cells that must fail, and lets those alone.
KNOWS_THE_TOKEN = """
import re
def strip(lines):
    text = "".join(lines)
    return lines if re.search("'[0-9a-f]{16}'", text) else re.sub(r"(?m)^(assert|numpy.testing).*", "pass", text).splitlines(True)
get_ipython().input_transformers_post.append(strip)
"""
TAKEN_AWAY = "get_ipython().input_transformers_post.clear()"
ABORTS = "get_ipython().kernel._aborting = True"
TRACES = "import sys\nsys.settrace(lambda frame, event, argument: None)"
EXITS_IN_EQ = """
import sys
class Exits:
    def __eq__(self, other): sys.exit(0)
def square(x): return Exits()
"""
ALWAYS_EQUAL = """
import numpy
class Always(float):
    def __eq__(self, other): return True
def square(x): return 9 if x == -3 else Always(2.25)
"""
READS_THE_TEST = """
import re, sys
def square(x):
    sources = [source for source in In if "assert square" in source]
    found = re.search(rf"square\\({re.escape(str(x))}\\)(?: ==|,) ([-0-9.]+)", sources[-1])
    return float(found[1])
"""
ATTACKS = [
    Attack(0, "honest", FULL, HONEST),
    Attack(0, "wrong", NOTHING, WRONG),
    Attack(0, "half_credit", FULL - 1, {**HONEST, "half": "def half(x):\n    return x // 2"}),
    Attack(1, "skip_tag", NOTHING, WRONG, change=each_cell(skip)),
    lost(2, "result_on_the_wire", called(wire.RESULT), flag=r"square reaches for get_ipython\(\).kernel"),
    lost(2, "idle_on_the_wire", called(wire.IDLE), flag="kept from being shown|had ended"),
    lost(2, "reply_on_the_wire", called(wire.REPLY), flag="said twice that test_square had ended"),
    lost(2, "error_wiped_off", called(wire.CLEARED), flag="kept from being shown"),
    lost(2, "error_in_a_widget", called(wire.WIDGET), flag=r"square reaches for get_ipython\(\).kernel"),
    first(3, "transformers", snippets.LEAVES_ASSERTS_OUT.replace('"collect"', '"assert"'), UNPROVEN),
    first(4, "patched_shell", snippets.PATCHED_SHELL, f"{UNPROVEN}|replaced in the kernel"),
    first(4, "patched_do_execute", PATCHED_DO_EXECUTE, UNPROVEN),
    first(4, "aborts", ABORTS, f"{UNPROVEN}|does not say"),
    first(4, "knows_the_token", KNOWS_THE_TOKEN, "replaced in the kernel: .*input_transformers_post", 4.0),
    first(
        4,
        "knows_the_token_and_hides",
        KNOWS_THE_TOKEN,
        "replaced in the kernel: .*input_transformers_post",
        4.0,
        TAKEN_AWAY,
    ),
    first(4, "traces", TRACES, "replaced in the kernel: .*sys.settrace"),
    Attack(5, "reads_the_test", FULL, {**HONEST, "square": READS_THE_TEST}, flag="square reaches for In"),
    harmless(6, "thread", snippets.SWAPS_LATER.replace("scale", "other"), "a thread was left running: swap"),
    harmless(
        6, "atexit", snippets.LEFT_FOR_THE_END, r"left for the end of the process \(atexit\): last_words"
    ),
    Attack(
        7, "always_equal", FULL, {**HONEST, "square": ALWAYS_EQUAL}, flag="__eq__ that is always the same"
    ),
    lost(7, "exits_in_eq", EXITS_IN_EQ),
    first(
        8,
        "patched_comparisons",
        f"import torch\n{snippets.PATCHED_COMPARISONS}",
        "replaced in the kernel: .*allclose",
    ),
    first(8, "no_assertion_error", NO_ASSERTION_ERROR, f"{UNPROVEN}|replaced in the kernel"),
    harmless(9, "gradebook", snippets.WRITES_GRADEBOOK),
    harmless(10, "reads_others", snippets.READS_OTHERS),
    Attack(
        11,
        "symlink",
        FULL,
        HONEST,
        files=linked(lambda path: path.symlink_to("/usr/lib/os-release")),
        flag="a link or a special file",
    ),
    lost(12, "message_without_text", called(wire.WITHOUT_TEXT), "salvaged", "no message"),
    lost(12, "message_of_a_wrong_kind", called(wire.WRONG_KIND), "salvaged", "no message"),
    lost(12, "message_without_signature", called(wire.UNSIGNED), "salvaged", "no message"),
    harmless(14, "network", snippets.NETWORK),
    lost(15, "sys_exit", "import sys\nsys.exit(0)"),
    lost(16, "os_exit", "import os\nos._exit(0)", "salvaged"),
    harmless(16, "signals", snippets.SIGNALS),
    lost(17, "loop", "def square(x):\n    while True: pass"),
    lost(19, "memory", "x = []\nwhile True: x.append(bytearray(10**8))"),
    harmless(19, "raises_limits", snippets.RAISES_LIMITS),
    harmless(20, "fork_bomb", snippets.FORKS),
    harmless(20, "daemon", snippets.DAEMON),
    lost(21, "output", "def square(x):\n    while True: print('x' * 100_000)", "graded or salvaged"),
    harmless(22, "disk", snippets.FILLS_DISK),
    harmless(23, "threads", snippets.MANY_THREADS),
    harmless(24, "no_gpu", snippets.LOOKS_FOR_GPU),
    forged(25, "too_much", "def __repr__(self): return '100.0'", "impossible partial credit 100 of 2"),
    forged(25, "infinite", "def __repr__(self): return 'inf'", "impossible partial credit inf of 2"),
    forged(26, "nan", "def __repr__(self): return 'nan'", "impossible partial credit nan of 2"),
    forged(26, "negative", "def __repr__(self): return '-1'", "impossible partial credit -1 of 2"),
    forged(26, "true", "def __repr__(self): return 'True'", "impossible partial credit 'True' of 2"),
    forged(26, "text", "def __repr__(self): return 'full marks'", "impossible partial credit 'full"),
    forged(26, "nothing", "def _ipython_display_(self): pass", "no partial credit"),
    forged(26, "error", "def __repr__(self): raise ValueError", "no partial credit|half reaches for globals"),
    Attack(
        27,
        "stderr",
        FULL,
        {**HONEST, "square": f"import sys\n{SQUARE.replace('return', 'print(1, file=sys.stderr); return')}"},
    ),
    Attack(28, "empty", None, HONEST, files=rewritten(lambda data: b""), state="unreadable"),
    Attack(28, "bom", FULL, HONEST, files=rewritten(lambda data: b"\xef\xbb\xbf" + data), state="repaired"),
    Attack(29, "deleted_test", FULL, HONEST, change=drop("test_square"), state="repaired"),
    Attack(30, "deleted_both", 3.0, HONEST, change=drop("square", "test_square"), state="repaired"),
    Attack(31, "points", NOTHING, WRONG, change=each_cell(regrade)),
    Attack(31, "duplicated", FULL, HONEST, change=twice("square", WRONG["square"]), flag="more than once"),
    Attack(
        32, "renamed", FULL, HONEST, files=renamed("我的 作业 (1).ipynb"), state="repaired", flag="renamed"
    ),
    Attack(33, "no_such_kernel", FULL, HONEST, change=kernel_named("my-env", "python")),
    lost(34, "input", "factor = input('factor? ')"),
    Attack(
        36,
        "no_time",
        FULL,
        HONEST,
        files=beside("timestamp.txt", "yesterday"),
        flag="is no time: 'yesterday'",
    ),
    lost(39, "hard_coded", "def square(x):\n    return 4"),
    Attack(43, "unusual", FULL, HONEST, f"import torch\n{snippets.UNUSUAL}"),
]


def answer(grade_id: str, solution: str) -> NotebookNode:
    """A cell for an answer; the first line of the solution stays."""
    head, body = solution.split("\n", 1)
    source = f"{head}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION"
    return new_code_cell(source, metadata={"nbgrader": _metadata(grade_id, locked=False, solution=True)})


def test(grade_id: str, source: str, points: int) -> NotebookNode:
    """A cell that tests an answer."""
    metadata = _metadata(grade_id, locked=True, grade=True, points=points)
    return new_code_cell(source, metadata={"nbgrader": metadata})


def _metadata(grade_id: str, **more: object) -> dict[str, object]:
    common = {"schema_version": 3, "solution": False, "grade": False, "task": False}
    return {"grade_id": grade_id, **common, **more}


def make_course(root: Path) -> None:
    """A plain nbgrader course that knows nothing of us, with one assignment released by nbgrader, and all that is handed in."""
    (root / "source" / "ps1").mkdir(parents=True)
    (root / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'other'\n")
    (root / "autograde.toml").write_text(HOSTILE_LIMITS)
    notebook = new_notebook(
        cells=[
            new_code_cell("import math"),
            answer("square", SQUARE),
            test("test_square", TEST_SQUARE, 3),
            answer("total", TOTAL),
            test("test_total", TEST_TOTAL, 1),
            answer("half", HALF),
            test("test_half", TEST_HALF, 2),
        ]
    )
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, root / "source" / "ps1" / "ps1.ipynb")
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", "ps1"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    for attack in ATTACKS:
        hand_in(root / "release" / "ps1", root / "submitted" / attack.student / "ps1", attack)
