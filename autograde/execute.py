"""Running one notebook in a kernel: cell by cell, with limits, salvaged when the kernel dies."""

import base64
import binascii
import secrets
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from autograde.cells import new_cell, new_output, notebook_of
from autograde.client import Client
from autograde.course import Limits
from autograde.errors import AutogradeError
from autograde.evidence import PROBE, differences, seen
from autograde.kernels import KernelManager
from autograde.listen import GarbledError
from autograde.turns import Turns
from coursekit.check.light import ANSWERS_MIME
from coursekit.check.tree import DamagedError, loads

CellState = Literal["ran", "error", "timeout", "died", "no time left"]

MAX_REPLAYS = 5
# A cell of the release that is not graded loads the libraries, which is not on the student's account.
OUR_SECONDS = 180
_LOST = {
    "died": ("KernelDied", "the kernel died in this cell; the rest of the notebook was run again without it"),
    "timeout": (
        "OutOfTime",
        "this cell did not end within its time and ignored the interrupt; the rest was run without it",
    ),
    "no time left": ("OutOfTime", "the notebook's time was used up before this cell"),
}

_MUST_FAIL = (
    "assert 1 == 2, '{token}'",
    "assert not [0], '{token}'",
    "assert len('ab') == 3, '{token}'",
    "assert isinstance('a', int), '{token}'",
)

# A kernel that is used once, and where it finds the questions of the checks.
KernelFactory = Callable[[], AbstractContextManager[tuple[KernelManager, Path]]]


@dataclass
class Executed:
    """What came of a notebook.

    Attributes:
        states: what happened to each code cell, by index.
        outputs: of each code cell, by index.
        answers: bytes that each check cell sent back, by index; none where it did not get to it.
        lost: cells that cost a kernel; the notebook was run again without them.
        flags: suspicions, and what `coursekit` noted in the kernel; a student can silence it, so it proves nothing.
        unproven: cells that assert, of which the kernel does not show that their assertions can fail.
        replays: how often a fresh kernel was needed.
        spent: wall time of the student's cells, over all replays; the notebook's limit is on this.
        seconds: wall time of all cells, over all replays.
    """

    states: dict[int, CellState] = field(default_factory=dict)
    outputs: dict[int, list[NotebookNode]] = field(default_factory=dict)
    answers: dict[int, bytes] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    unproven: list[int] = field(default_factory=list)
    replays: int = 0
    spent: float = 0.0
    seconds: float = 0.0

    def lose(self, i: int, state: CellState) -> None:
        """Note that a cell did not end, with the error that stands in its place."""
        name, text = _LOST[state]
        self.states[i] = state
        self.answers.pop(i, None)
        self.outputs[i] = [new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])]


def execute(
    notebook: NotebookNode,
    checks: Collection[int],
    new_kernel: KernelFactory,
    limits: Limits,
    turns: Turns | None = None,
) -> Executed:
    """Run a notebook; where the kernel dies in a cell, run it again in a fresh kernel without that cell.

    Args:
        notebook: its code cells are run in order, none is skipped for a tag.
        checks: cells that are checks; the questions of cell i are in the file `questions_name(i)`.
        new_kernel: a context that gives a kernel manager, used for one kernel, and the folder of the questions.
        limits: of time and output.
        turns: one is taken when the kernel stands ready, for as long as its cells run; so a kernel is started while
            others work, and no more work at a time than there are processors.

    Raises:
        asyncio.CancelledError: `turns` were stopped.
    """
    turns = turns or Turns()
    executed = Executed()
    for replay in range(MAX_REPLAYS + 1):
        with new_kernel() as (manager, folder):
            questions = {i: folder / questions_name(i) for i in checks}
            run = _Run(notebook, questions, manager, limits, executed)
            lost = turns.run(run.all(turns))
        executed.replays = replay
        if lost is None:
            break
        executed.lost.append(lost)
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and i not in executed.states:
            executed.lose(i, "no time left")
    return executed


def questions_name(i: int) -> str:
    """Name of the file with the questions of the check in cell `i`."""
    return f"{i}.safetensors"


class _Run:
    """One pass over the notebook with one kernel."""

    def __init__(
        self,
        notebook: NotebookNode,
        checks: dict[int, Path],
        manager: KernelManager,
        limits: Limits,
        executed: Executed,
    ):
        self.notebook, self.checks, self.limits, self.manager = notebook, checks, limits, manager
        self.executed = executed  # a later pass replaces what an earlier one found, cell by cell
        self.skipped = {i for i, state in executed.states.items() if state in ("died", "timeout")}
        # A copy that belongs to the client: it holds what is executed, not what is recorded.
        self.client = Client(
            notebook_of([new_cell("code") for _ in notebook.cells]), km=manager, limits=limits
        )

    async def all(self, turns: Turns) -> int | None:
        """Run every code cell, in our turn; the index of the one that cost the kernel, or None."""
        async with self.client.kernel():
            with turns:
                start = time.monotonic()
                try:
                    return await self._cells()
                finally:
                    self.executed.seconds += time.monotonic() - start

    async def _cells(self) -> int | None:
        before = await self._probe()
        theirs = False  # whether something of the student's has run
        for i, cell in enumerate(self.notebook.cells):
            if cell.cell_type != "code" or i in self.skipped:
                continue
            left = self.limits.notebook_seconds - self.executed.spent
            if left < 1:
                break
            if i not in self.checks and _asserts(cell):
                self._suspect(*differences(before, await self._probe()))
                await self._can_fail(i)
            if _is_ours(cell) and not theirs:
                await self._prepare(i, cell)
                continue
            theirs = True
            seconds = self._our_seconds if _is_ours(cell) else min(self.limits.cell_seconds, left)
            if not await self._ends(i, cell, seconds):
                self._contradictions()
                return i
        await self._flags()
        self._suspect(*differences(before, await self._probe()))
        self._contradictions()
        return None

    @property
    def _our_seconds(self) -> float:
        return max(OUR_SECONDS, self.limits.cell_seconds)

    def _suspect(self, *flags: str) -> None:
        self.executed.flags += [flag for flag in flags if flag not in self.executed.flags]

    def _contradictions(self) -> None:
        """A kernel that tells twice how a cell ended has lied once."""
        for i in sorted(self.client.contradicted):
            self._suspect(f"the kernel said twice that {_name(self.notebook.cells[i], i)} had ended")
            self.executed.unproven.append(i)

    async def _probe(self) -> dict[str, Any] | None:
        running = new_cell("code", PROBE)
        self.client.seconds = 10
        try:
            await self.client.run(running, 0)
        except (DeadKernelError, CellTimeoutError):
            return None
        return seen(running.outputs)

    async def _prepare(self, i: int, cell: NotebookNode) -> None:
        """Run a cell of the release that is not graded; it takes its time, and it must end."""
        self.client.seconds = self._our_seconds
        try:
            await self._one(i, cell)
        except (DeadKernelError, CellTimeoutError) as error:
            raise AutogradeError(
                f"a cell of the release did not end: {self.manager.fault() or error}"
            ) from error
        if self.executed.states[i] == "timeout":
            raise AutogradeError(f"a cell of the release did not end within {self.client.seconds:g} seconds")

    async def _ends(self, i: int, cell: NotebookNode, seconds: float) -> bool:
        """Run a cell that counts against the limits; whether the kernel survived it."""
        start, self.client.seconds = time.monotonic(), seconds
        try:
            await self._one(i, cell)
        except DeadKernelError as error:
            if fault := self.manager.fault():
                raise AutogradeError(fault) from error
            if isinstance(error, GarbledError):
                self._suspect(f"the kernel sent what is no message while {_name(cell, i)} ran")
            self.executed.lose(i, "died")
            return False
        except CellTimeoutError:
            self.executed.lose(i, "timeout")
            return False
        finally:
            self.executed.spent += time.monotonic() - start
        return True

    async def _flags(self) -> None:
        """Ask for what the library noted; a kernel that does not answer has nothing to say."""
        running = new_cell("code", "from coursekit.check.collect import send_flags\nsend_flags()")
        self.client.seconds = 10
        try:
            await self.client.run(running, 0)
            lines = loads(_without_answers(running.outputs)[1])
        except (DeadKernelError, CellTimeoutError, DamagedError):
            return
        if isinstance(lines, list):
            self._suspect(*(str(line)[:300] for line in lines[:20]))

    async def _can_fail(self, i: int) -> None:
        """Before a cell that asserts: one that must fail, or the other proves nothing."""
        token = secrets.token_hex(8)
        running = new_cell("code", secrets.choice(_MUST_FAIL).format(token=token))
        self.client.seconds = 10
        with suppress(DeadKernelError, CellTimeoutError):  # then it has not failed as it must
            await self.client.run(running, i)
        errors = [output for output in running.outputs if output.output_type == "error"]
        if not any(error.ename == "AssertionError" and token in error.evalue for error in errors):
            self.executed.unproven.append(i)

    async def _one(self, i: int, cell: NotebookNode) -> None:
        source = cell.source
        if i in self.checks:
            source = (
                f"from coursekit.check.collect import collect as _collect\n_collect({str(self.checks[i])!r})"
            )
        running = new_cell("code", source)
        await self.client.run(running, i)
        outputs, answers = _without_answers(running.outputs)
        if i in self.checks and answers:
            self.executed.answers[i] = answers
        self.executed.outputs[i] = outputs
        if self.client.hidden:
            self._suspect(f"an error in {_name(cell, i)} was kept from being shown")
        failed = any(output.output_type == "error" for output in outputs)
        self.executed.states[i] = "timeout" if self.client.timed_out else "error" if failed else "ran"


def _asserts(cell: NotebookNode) -> bool:
    nbgrader = cell.metadata.get("nbgrader", {})
    return bool(nbgrader.get("grade") and not nbgrader.get("solution"))


def _name(cell: NotebookNode, i: int) -> str:
    """What a cell is called in a flag."""
    return cell.metadata.get("nbgrader", {}).get("grade_id") or f"cell {i + 1}"


def _is_ours(cell: NotebookNode) -> bool:
    nbgrader = cell.metadata.get("nbgrader", {})
    return bool(nbgrader.get("locked") and not nbgrader.get("grade"))


def _without_answers(outputs: list[NotebookNode]) -> tuple[list[NotebookNode], bytes]:
    """The cell's outputs without the message that carries the answers, and what it carried last."""
    kept, answers = [], b""
    for output in outputs:
        encoded = output.get("data", {}).get(ANSWERS_MIME)
        if encoded is None:
            kept.append(output)
            continue
        try:
            answers = base64.b64decode(str(encoded), validate=True)
        except binascii.Error:
            answers = b""
    return kept, answers
