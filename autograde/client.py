"""nbclient's client with our limits."""

import asyncio
import atexit
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from jupyter_core.utils import ensure_async
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_output

from autograde.course import Limits
from autograde.errors import AutogradeError
from autograde.kernels import KernelManager
from coursekit.check.light import ANSWERS_MIME

MAX_ANSWER_BYTES = 16 * 2**20


class Client(NotebookClient):
    """nbclient's client with our limits: time by cell, and a cap on what a cell may print."""

    def __init__(self, notebook: NotebookNode, *, km: KernelManager, limits: Limits):
        quiet = logging.Logger("autograde.kernel", logging.CRITICAL)
        super().__init__(
            notebook,
            km=km,
            log=quiet,
            allow_errors=True,
            interrupt_on_timeout=True,
            timeout_func=lambda cell: self.seconds,
            raise_on_iopub_timeout=True,
            startup_timeout=120,
            shutdown_kernel="immediate",
            store_widget_state=False,
            error_on_timeout=_timeout_error(limits.cell_seconds),
            extra_arguments=["--HistoryManager.hist_file=:memory:"],
        )
        km.log = quiet
        self.manager = km
        self.seconds: float = limits.cell_seconds
        self.limits = limits
        self.printed = 0
        self.timed_out = False
        self.stop: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def kernel(self) -> AsyncIterator[None]:
        """The kernel, started and ready.

        Raises:
            AutogradeError: it does not start.
        """
        started = False
        try:
            async with self.async_setup_kernel(cleanup_kc=True):
                started = True
                yield
        except RuntimeError as error:
            if started:
                raise
            atexit.unregister(
                self._cleanup_kernel
            )  # nbclient has cleaned up already, and fails a second time
            raise AutogradeError(f"no kernel starts: {self.manager.fault() or error}") from error

    async def run(self, cell: NotebookNode, cell_index: int) -> None:
        """Run one cell within the limits."""
        self.printed, self.timed_out, self.stop = 0, False, None
        try:
            await self.async_execute_cell(cell, cell_index)
        finally:
            if self.stop is not None:
                self.stop.cancel()

    async def _async_handle_timeout(
        self, timeout: int, cell: NotebookNode | None = None
    ) -> dict[str, Any] | None:
        self.timed_out = True
        if cell is not None:
            error = _timeout_error(self.limits.cell_seconds)
            cell.outputs.append(new_output("error", **error))
        return await super()._async_handle_timeout(timeout, cell)

    def output(
        self, outs: list[NotebookNode], msg: dict[str, Any], display_id: str | None, cell_index: int
    ) -> Any:
        """Keep an output, as long as the cell has not printed too much."""
        data = msg["content"].get("data")
        answers = isinstance(data, dict) and ANSWERS_MIME in data
        size = len(str(msg["content"]))
        if not answers:
            self.printed += size
        limit = MAX_ANSWER_BYTES if answers else self.limits.output_bytes
        if (size if answers else self.printed) <= limit:
            return super().output(outs, msg, display_id, cell_index)
        if self.printed - size <= self.limits.output_bytes or answers:
            outs.append(
                new_output("error", ename="TooMuchOutput", evalue=f"more than {limit:,} bytes", traceback=[])
            )
            self.stop = asyncio.ensure_future(self._interrupt_soon())
        return None

    async def _interrupt_soon(self) -> None:
        """Stop a cell that goes on printing; one that is done by then must not be interrupted, or its reply is lost."""
        await asyncio.sleep(1)
        assert self.km is not None
        await ensure_async(self.km.interrupt_kernel())


def _timeout_error(seconds: float) -> dict[str, Any]:
    text = f"this cell did not end within {seconds:g} seconds"
    return {"ename": "OutOfTime", "evalue": text, "traceback": [f"OutOfTime: {text}"]}
