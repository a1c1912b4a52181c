"""What grading one submission costs in the sandbox beyond imports: with the weights that were trained at home, and without.

CPU time of the kernel and all it started, one thread. Imports are the same notebook with nothing left but its first cell,
and torch._dynamo, which torch imports when the first optimiser is made: with the weights handed in, where a check makes
one, and without them always.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from statistics import median

import psutil
from nbformat import NotebookNode

from autograde import demo
from autograde.course import default_labs
from autograde.grade import grade_notebook
from autograde.intake import take_in
from autograde.kernels import ColdKernels
from autograde.lab import load_lab
from autograde.local import LocalPlace
from autograde.master import MasterNotebook, read_masters
from autograde.release import release
from benchmarks.result import Result, in_turn, medians
from coursekit.check.lab import SUFFIX

LATE_IMPORT = "import torch._dynamo"
# lab -> what is imported late though the weights are there
LABS = {"cnn_mnist": LATE_IMPORT, "sequence": "", "bert_sentiment": LATE_IMPORT, "generative": LATE_IMPORT}


def run(quick: bool) -> Result:
    detail: dict[str, dict[str, float]] = {}
    for name in list(LABS)[: 1 if quick else None]:
        print(f"  {name}: solving it once, training included", flush=True)
        detail[name] = _measure(name, 1 if quick else 3)
    sums = {
        side: sum(lab[side] for lab in detail.values()) for side in ("ours", "peer", "score", "trained score")
    }
    quality = {"ours": sums["score"], "peer": sums["trained score"]}
    return Result("graded_path", "s of CPU a submission", sums["ours"], sums["peer"], quality, detail)


def _measure(name: str, rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        lab = load_lab(default_labs() / name)
        course = demo.open_course(Path(folder, "course"))
        release(course, lab)
        home = demo.solve_at_home(course, lab)
        (master,) = read_masters(course, name)
        limits = replace(course.limits, cell_seconds=60)
        scores: dict[bool, float] = {}

        def graded(weights: bool, imports: str | None = None) -> float:
            submission = take_in("student", home, [master])
            files = {p: f for p, f in submission.files.items() if weights or not trained(p)}
            notebook = submission.notebooks[name]
            if imports is not None:
                _only_imports(notebook, master, imports)
            with _Children() as children:
                place = LocalPlace(ColdKernels(limits))
                outcomes, _ = grade_notebook(master, notebook, files, limits, place, "en", [])
            if imports is None:
                scores[weights] = sum(outcome.points for outcome in outcomes.values())
            return children.seconds

        imports, all_imports = (
            median(graded(True, late) for _ in range(rounds)) for late in (LABS[name], LATE_IMPORT)
        )
        sides = in_turn(lambda i: graded(True) - imports, lambda i: graded(False) - all_imports, rounds)
    ours, peer = medians(sides)
    return {
        "imports": imports,
        "ours": ours,
        "peer": peer,
        "score": scores[True],
        "trained score": scores[False],
    }


def trained(path: Path) -> bool:
    """Whether a file that was handed in holds weights."""
    return path.suffix == ".safetensors" and not path.name.endswith(SUFFIX)


def _only_imports(notebook: NotebookNode, master: MasterNotebook, late: str) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code[1:]:
        if cell.metadata.get("nbgrader", {}).get("grade_id") not in master.checks:
            cell.source = ""
    code[1].source = late


class _Children:
    """CPU time of the processes that are started meanwhile. They are killed in the end, so nobody is told what they used:
    they are looked at every 20 milliseconds."""

    def __enter__(self) -> _Children:
        self.used: dict[int, float] = {}
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    @property
    def seconds(self) -> float:
        return sum(self.used.values())

    def _watch(self) -> None:
        while not self.done.wait(0.02):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):  # it may just have ended
                    self.used[process.pid] = sum(process.cpu_times()[:2])
