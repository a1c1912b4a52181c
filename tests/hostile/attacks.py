"""Submissions of the tiny lab that cheat, break or overload, with what must come of each.

`row` is its number in the list of threats of docs/threats.md. `scale` is worth 3 points, `mean_of` 2; nobody writes the
answer that a person grades.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

SCALE = "def scale(x, factor):\n    return factor * x"
MEAN = "def mean_of(x):\n    return x.sum() / x.numel()"
HONEST = {"scale": SCALE, "mean_of": MEAN}
WRONG = {
    "scale": "def scale(x, factor):\n    return x - factor",
    "mean_of": "def mean_of(x):\n    return x.max()",
}
FULL, NOTHING = 5.0, 0.0

Change = Callable[[NotebookNode], None]


@dataclass(frozen=True)
class Attack:
    """What is handed in (answers in the lab's cells, then `change`), and what must come of it."""

    row: int
    name: str
    score: float | None
    answers: Mapping[str, str] = field(default_factory=dict)
    change: Change | None = None
    files: Callable[[Path], None] | None = None
    state: str = "graded"
    flag: str = ""  # a pattern that a flag must have; "": there must be none

    @property
    def student(self) -> str:
        return f"r{self.row:02}_{self.name}"


def before(code: str) -> Change:
    """A cell right after the libraries are loaded."""

    def change(notebook: NotebookNode) -> None:
        i = next(i for i, cell in enumerate(notebook.cells) if "open_lab" in cell.source)
        notebook.cells.insert(i + 1, new_code_cell(code))

    return change


def each_cell(action: Callable[[NotebookNode], None]) -> Change:
    def change(notebook: NotebookNode) -> None:
        for cell in notebook.cells:
            if cell.metadata.get("nbgrader", {}).get("grade_id"):
                action(cell)

    return change


def with_first(code: str, answers: Mapping[str, str] = WRONG) -> dict[str, str]:
    """The code before the answer in its own cell."""
    return {**answers, "scale": f"{code}\n\n{answers['scale']}"}


def _skip(cell: NotebookNode) -> None:
    cell.metadata["tags"] = ["skip-execution"]


def _regrade(cell: NotebookNode) -> None:
    cell.metadata["nbgrader"] |= {"grade": False, "points": 100, "solution": True, "locked": False}


def _drop(*grade_ids: str) -> Change:
    def change(notebook: NotebookNode) -> None:
        notebook.cells = [
            c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") not in grade_ids
        ]

    return change


def _twice(notebook: NotebookNode) -> None:
    cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "scale")
    again = new_code_cell(WRONG["scale"], metadata=cell.metadata)
    notebook.cells.insert(notebook.cells.index(cell), again)


def _kernel(name: str, language: str) -> Change:
    def change(notebook: NotebookNode) -> None:
        notebook.metadata["kernelspec"] = {"name": name, "display_name": name, "language": language}

    return change


def _rename(name: str) -> Callable[[Path], None]:
    def files(path: Path) -> None:
        target = path.parent / name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)

    return files


def _link(make: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda path: make(path.parent / "extra")


EQUAL = """
class Equal(torch.Tensor):
    def __eq__(self, other): return torch.tensor(True)
    def allclose(self, *a, **k): return True
    def numel(self): return 5
    def __len__(self): return 5

class Always:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __array__(self, *a, **k): import numpy; return numpy.zeros(5)

def scale(x, factor):
    return Always() if x.dim() == 1 else torch.zeros_like(x).as_subclass(Equal)
"""
LEAVES_ASSERTS_OUT = """
import ast
class Drop(ast.NodeTransformer):
    def visit_Assert(self, node): return ast.Pass()
get_ipython().ast_transformers.append(Drop())
get_ipython().input_transformers_post.append(lambda lines: ["100.0\\n"] if any("collect" in l for l in lines) else lines)
get_ipython().events.register("pre_run_cell", lambda info: None)
"""
PATCHED_SHELL = """
from IPython.core.interactiveshell import InteractiveShell
_real = InteractiveShell.showtraceback
InteractiveShell.showtraceback = lambda self, *a, **k: None
_run = InteractiveShell.run_cell_async
async def run_cell_async(self, raw, *a, **k):
    return await _run(self, raw, *a, **k)
InteractiveShell.run_cell_async = run_cell_async
"""
PATCHED_COMPARISONS = """
import numpy, builtins
torch.allclose = lambda *a, **k: True
torch.equal = lambda *a, **k: True
numpy.testing.assert_allclose = lambda *a, **k: None
builtins.abs = lambda x: 0
"""
FORGED_ANSWERS = """
import coursekit.check.collect as _c, coursekit.check.call as _call
_call.answer = _c.answer = lambda *a, **k: [{"status": "ok", "value": 1.0, "score": 99}] * 9
"""
FORGED_MESSAGE = """
import base64, json
from IPython.display import display
display({"application/x-coursekit-answers": base64.b64encode(json.dumps([{"status": "ok", "points": 99}]).encode()).decode()}, raw=True)
with open("results.json", "w") as f: json.dump({"score": 100}, f)
"""
SWAPS_LATER = """
import threading, time
def _swap():
    while True:
        globals()["scale"] = lambda x, factor: x * factor
        time.sleep(0.01)
threading.Thread(target=_swap, name="swap", daemon=True).start()
"""
LOOKS_FOR_VALUES = """
import gc, inspect, os, pathlib
found = [c for c in In if "HIDDEN TESTS" in c or "cases=" in c]
places = [p for r in ("/sandbox", "/tmp", os.getcwd()) for p in pathlib.Path(r).rglob("*") if p.is_file() and "expected" in p.name]
frames = [f for f in inspect.stack() if "expected" in f.frame.f_locals]
assert not found and not places and not frames
assert not [k for k in os.environ if "SECRET" in k.upper()]
raise RuntimeError("nothing found")
"""
READS_OTHERS = """
import os, sys
for folder, folders, names in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(folder, f) not in ("/proc", "/sys", "/usr", "/dev", sys.prefix, sys.base_prefix)]
    for n in names:
        assert n not in ("gradebook.db", "checks.py", "secret") and "r05" not in folder, os.path.join(folder, n)
"""
WRITES_GRADEBOOK = """
import sqlite3, pathlib
for p in ("gradebook.db", "../gradebook.db", "../../gradebook.db", "/sandbox/submission/gradebook.db"):
    try:
        sqlite3.connect(p).execute("update grade set extra_credit = 95")
    except sqlite3.Error: pass
"""
PICKLE = """
import os, pickle
class Boom:
    def __reduce__(self): return (os.system, ("touch /tmp/pwned",))
open("weights.pt", "wb").write(pickle.dumps(Boom()))
open("scale.pkl", "wb").write(pickle.dumps(Boom()))

def scale(x, factor):
    return Boom()
"""
NETWORK = """
import socket, urllib.request
try:
    urllib.request.urlopen("http://127.0.0.1:80", timeout=1)
    raise SystemError("there is a network")
except OSError: pass
try:
    socket.getaddrinfo("example.org", 80)
    raise SystemError("names are resolved")
except OSError: pass
assert [n for _, n in socket.if_nameindex()] == ["lo"]
"""
FORKS = """
import os, time
children = 0
try:
    for _ in range(5000):
        if os.fork() == 0:
            time.sleep(300); os._exit(0)
        children += 1
except OSError: pass
assert children < 5000
"""
DAEMON = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv("/bin/sleep", ["survivor-of-a-kernel", "600"])
    os._exit(0)
"""
FILLS_DISK = """
try:
    with open("big", "wb") as f:
        while True: f.write(b"0" * 2**20)
except OSError: pass
import os
os.remove("big")
try:
    for i in range(10**7): open(f"/tmp/{i}", "w").close()
except OSError: pass
"""
MANY_THREADS = """
import threading, time
threads = []
try:
    for i in range(3000):
        t = threading.Thread(target=time.sleep, args=(3,), name="many"); t.start(); threads.append(t)
except RuntimeError: pass
torch.set_num_threads(64)
"""

ATTACKS = [
    Attack(0, "honest", FULL, HONEST),
    Attack(1, "skip_tag", NOTHING, WRONG, each_cell(_skip)),
    Attack(
        2,
        "forged_result",
        NOTHING,
        with_first("from IPython.display import display\ndisplay(5.0)\nprint('5.0')"),
    ),
    Attack(
        3,
        "transformers",
        NOTHING,
        WRONG,
        before(LEAVES_ASSERTS_OUT),
        flag="does not say what was replaced",
    ),
    Attack(
        4,
        "patched_shell",
        NOTHING,
        WRONG,
        before(PATCHED_SHELL),
        flag="replaced in the kernel: .*showtraceback",
    ),
    Attack(5, "looks_for_values", 2.0, {"mean_of": MEAN, "scale": LOOKS_FOR_VALUES}),
    Attack(6, "thread", FULL, with_first(SWAPS_LATER, HONEST), flag="a thread was left running: swap"),
    Attack(7, "equal_to_everything", 2.0, {"scale": EQUAL, "mean_of": MEAN}),
    Attack(
        8,
        "patched_comparisons",
        NOTHING,
        WRONG,
        before(PATCHED_COMPARISONS),
        flag="replaced in the kernel: .*allclose",
    ),
    Attack(9, "gradebook", FULL, with_first(WRITES_GRADEBOOK, HONEST)),
    Attack(10, "reads_others", FULL, with_first(READS_OTHERS, HONEST)),
    Attack(
        11,
        "symlink",
        FULL,
        HONEST,
        files=_link(lambda p: p.symlink_to("/etc/passwd")),
        flag="a link or a special file",
    ),
    Attack(
        11,
        "hardlink",
        FULL,
        HONEST,
        files=_link(lambda p: p.hardlink_to(p.parent / "tiny.bundle.safetensors")),
        flag="a link",
    ),
    Attack(12, "forged_answers", NOTHING, WRONG, before(FORGED_ANSWERS), flag="replaced in the kernel"),
    Attack(12, "forged_message", NOTHING, with_first(FORGED_MESSAGE)),
    Attack(13, "pickle", 2.0, {"scale": PICKLE, "mean_of": MEAN}),
    Attack(14, "network", FULL, with_first(NETWORK, HONEST)),
    Attack(15, "sys_exit", 2.0, {"scale": "import sys\nsys.exit(0)", "mean_of": MEAN}),
    Attack(16, "os_exit", 2.0, {"scale": "import os\nos._exit(0)", "mean_of": MEAN}, state="salvaged"),
    Attack(
        16,
        "segfault",
        2.0,
        {"scale": "import ctypes\nctypes.string_at(0)", "mean_of": MEAN},
        state="salvaged",
    ),
    Attack(
        16,
        "dies_in_the_check",
        2.0,
        {"scale": "def scale(x, factor):\n    import os\n    os._exit(1)", "mean_of": MEAN},
        state="salvaged",
    ),
    Attack(17, "loop", 2.0, {"scale": "while True: pass", "mean_of": MEAN}),
    Attack(
        17,
        "deaf_loop",
        2.0,
        {
            "scale": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
            "mean_of": MEAN,
        },
        state="salvaged",
    ),
    Attack(
        19,
        "memory",
        2.0,
        {"scale": "x = torch.ones(2**31)\nwhile True: x = torch.cat([x, x])", "mean_of": MEAN},
    ),
    Attack(20, "fork_bomb", 5.0, with_first(FORKS, HONEST)),
    Attack(20, "daemon", FULL, with_first(DAEMON, HONEST)),
    Attack(21, "output", 2.0, {"scale": "while True: print('x' * 100_000)", "mean_of": MEAN}),
    Attack(22, "disk", FULL, with_first(FILLS_DISK, HONEST)),
    Attack(23, "threads", FULL, with_first(MANY_THREADS, HONEST)),
    Attack(
        27,
        "stderr",
        FULL,
        with_first("import sys, warnings\nprint('1/9', file=sys.stderr)\nwarnings.warn('careful')", HONEST),
    ),
    Attack(28, "empty", None, HONEST, files=lambda p: p.write_bytes(b"") and None, state="unreadable"),
    Attack(
        28,
        "truncated",
        None,
        HONEST,
        files=lambda p: p.write_bytes(p.read_bytes()[:999]) and None,
        state="unreadable",
    ),
    Attack(
        28,
        "bom",
        FULL,
        HONEST,
        files=lambda p: p.write_bytes(b"\xef\xbb\xbf" + p.read_bytes()) and None,
        state="repaired",
    ),
    Attack(
        28,
        "utf16",
        FULL,
        HONEST,
        files=lambda p: p.write_text(p.read_text("utf-8"), "utf-16") and None,
        state="repaired",
    ),
    Attack(29, "deleted_test", FULL, HONEST, _drop("scale-check"), state="repaired"),
    Attack(
        30,
        "deleted_both",
        2.0,
        {"mean_of": MEAN},
        _drop("scale", "scale-check", "scale-hidden"),
        state="repaired",
    ),
    Attack(31, "points", NOTHING, WRONG, each_cell(_regrade)),
    Attack(31, "duplicated", FULL, HONEST, _twice, flag="stands more than once"),
    Attack(
        32,
        "renamed",
        FULL,
        HONEST,
        files=_rename("sub folder/我的 作业 (1).ipynb"),
        state="repaired",
        flag="renamed",
    ),
    Attack(33, "no_such_kernel", FULL, HONEST, _kernel("my-env", "python")),
    Attack(33, "other_language", FULL, HONEST, _kernel("ir", "R")),
    Attack(34, "input", 2.0, {"scale": "factor = input('factor? ')", "mean_of": MEAN}),
    Attack(
        37,
        "detects_grading",
        2.0,
        {
            "scale": f"import os\nif 'NBGRADER_EXECUTION' not in os.environ:\n    raise SystemError\n{WRONG['scale']}",
            "mean_of": MEAN,
        },
    ),
    Attack(
        39, "hard_coded", 3.0, {"scale": SCALE, "mean_of": "def mean_of(x):\n    return torch.tensor(1.9)"}
    ),
    Attack(
        43,
        "unusual",
        FULL,
        {
            "scale": "import os\nos.chdir('/tmp')\nprint('hello')\nscale = lambda x, factor: torch.mul(x, factor)",
            "mean_of": MEAN,
        },
        before("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n%time y = 1\nmy_own_name = 7"),
    ),
]
