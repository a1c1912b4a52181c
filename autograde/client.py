"""nbclient's client with our limits."""

import asyncio
import atexit
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from jupyter_core.utils import ensure_async
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbformat import NotebookNode

from autograde.cells import new_output, output_of
from autograde.course import Limits
from autograde.errors import AutogradeError
from autograde.kernels import KernelManager
from autograde.listen import GarbledError, Listener, bound
from coursekit.check.light import ANSWERS_MIME

MAX_ANSWER_BYTES = 16 * 2**20
GRACE = 20.0  # seconds after the time of a cell in which its interrupt must have had its effect
_ENDINGS = ("status", "error", "execute_result")


class Client(NotebookClient):
    """nbclient's client with our limits: time by cell, and a cap on what a cell may print.

    Attributes:
        timed_out: the last cell was interrupted.
        hidden: the kernel's reply for the last cell tells of an error that it did not show.
        contradicted: cells, by index, after whose end the kernel told once more how they ended.
    """

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
            record_timing=False,
            error_on_timeout=_timeout_error(limits.cell_seconds),
            extra_arguments=["--HistoryManager.hist_file=:memory:"],
        )
        km.log = quiet
        self.manager = km
        km.client_factory = Listener
        bound(km.context)  # of the socket that interrupts are sent on
        self.comm_open_handlers = {}  # a widget could take a cell's outputs, errors too
        self.seconds: float = limits.cell_seconds
        self.limits = limits
        self.printed = 0
        self.timed_out = False
        self.hidden = False
        self.ended: dict[str, int] = {}
        self.contradicted: set[int] = set()
        self.stop: asyncio.Future[None] | None = None
        self.watching: asyncio.Task[Any] | None = None

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
            atexit.unregister(self._cleanup_kernel)  # done already, and it fails a second time
            raise AutogradeError(f"no kernel starts: {self.manager.fault() or error}") from error

    async def run(self, cell: NotebookNode, cell_index: int) -> None:
        """Run one cell within the limits.

        Raises:
            DeadKernelError: the kernel ended, or sent what is no message (`GarbledError`).
            CellTimeoutError: the cell did not end, and its interrupt had no effect.
        """
        self.printed, self.timed_out, self.hidden, self.stop = 0, False, False, None
        self.sizes: dict[str, int] = {}
        self._display_id_map = {}  # what a cell has shown when it ends is not changed by a later one
        self.nb.cells[cell_index] = cell  # where nbclient looks for outputs to be updated
        running = asyncio.ensure_future(self.async_execute_cell(cell, cell_index))
        try:
            done, _ = await asyncio.wait({running}, timeout=self.seconds + GRACE)
            if not done:
                raise DeadKernelError("it neither ends nor answers")
            running.result()
        finally:
            tasks = [task for task in (running, self.stop, self.watching) if task is not None]
            for task in tasks:
                task.cancel()
            # nbclient answers a cancellation with an error.
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._broke_off():
            await self._async_check_alive()

    def _broke_off(self) -> bool:
        assert isinstance(self.kc, Listener)
        return self.kc.broke_off()

    async def _async_check_alive(self) -> None:
        await super()._async_check_alive()
        if not self._broke_off():
            return
        for _ in range(20):  # one that is ending closes its connections first, and why it ends is told last
            await asyncio.sleep(0.1)
            await super()._async_check_alive()
        raise DeadKernelError("it sent more in one message than a message may hold")

    async def _async_poll_kernel_alive(self) -> None:
        self.watching = asyncio.current_task()  # nbclient leaves it when a cell ends in its own way
        await super()._async_poll_kernel_alive()

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: NotebookNode, cell_index: int) -> None:
        """As nbclient does it; and see whether the kernel contradicts what it said of earlier cells."""
        assert self.kc is not None
        try:
            while True:
                message = await self.kc.iopub_channel.get_msg(timeout=None)
                parent = message["parent_header"]
                about = str(parent.get("msg_id"))
                if about == parent_msg_id:
                    self.process_message(message, cell, cell_index)
                elif (
                    about in self.ended
                    # An interrupt may bear the number of a cell, as it is counted elsewhere.
                    and parent.get("msg_type") == "execute_request"
                    and message["msg_type"] in _ENDINGS
                ):
                    self.contradicted.add(self.ended[about])
        except CellControlSignal:
            self.ended[parent_msg_id] = cell_index

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """As nbclient does it, where the message has what it must have."""
        try:
            return super().process_message(msg, cell, cell_index)
        except CellControlSignal:
            raise
        except Exception as error:
            # Any part of the message may be missing or of another kind.
            raise GarbledError(f"{msg['msg_type']}: {type(error).__name__}: {error}") from error

    async def _check_raise_for_error(
        self, cell: NotebookNode, cell_index: int, exec_reply: dict[str, Any] | None
    ) -> None:
        """The reply tells of an error too, and that one cannot be wiped off, or sent elsewhere."""
        content = exec_reply["content"] if exec_reply else {"status": "ok"}
        if content.get("status") == "ok" or any(each.output_type == "error" for each in cell.outputs):
            return
        self.hidden = True
        name, text = str(content.get("ename", "Hidden"))[:100], str(content.get("evalue", ""))[:1000]
        cell.outputs.append(new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"]))

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
    ) -> None:
        """Keep an output, as long as the cell has not printed too much."""
        data = msg["content"].get("data")
        answers = isinstance(data, dict) and ANSWERS_MIME in data
        size = msg["size"]
        if not answers:
            self.printed += size
        limit = MAX_ANSWER_BYTES if answers else self.limits.output_bytes
        if (size if answers else self.printed) <= limit:
            self._keep(outs, msg, display_id, cell_index)
        elif self.printed - size <= self.limits.output_bytes or answers:
            outs.append(
                new_output("error", ename="TooMuchOutput", evalue=f"more than {limit:,} bytes", traceback=[])
            )
            self.stop = asyncio.ensure_future(self._interrupt_soon())

    def _keep(
        self, outs: list[NotebookNode], msg: dict[str, Any], display_id: str | None, cell_index: int
    ) -> None:
        """As nbclient does it, which has nbformat check each output by itself; that takes longer than all the rest."""
        out = output_of(msg)
        if out is None:
            return
        if self.clear_before_next_output:
            outs.clear()
            self.clear_display_id_mapping(cell_index)
            self.clear_before_next_output = False
        if display_id:
            self._display_id_map.setdefault(display_id, {}).setdefault(cell_index, []).append(len(outs))
        outs.append(out)

    def _update_display_id(self, display_id: str, msg: dict[str, Any]) -> None:
        """Change what is shown, as long as that does not grow over the cap; replaced again and again it may be."""
        size = msg["size"]
        places = sum(map(len, self._display_id_map.get(display_id, {}).values()))
        self.printed += places * max(0, size - self.sizes.get(display_id, 0))
        self.sizes[display_id] = max(size, self.sizes.get(display_id, 0))
        if self.printed <= self.limits.output_bytes:
            super()._update_display_id(display_id, msg)

    async def _interrupt_soon(self) -> None:
        """Stop a cell that goes on printing; one that is done by then must not be interrupted, or its reply is lost."""
        await asyncio.sleep(1)
        assert self.km is not None
        await ensure_async(self.km.interrupt_kernel())


def _timeout_error(seconds: float) -> dict[str, Any]:
    text = f"this cell did not end within {seconds:g} seconds"
    return {"ename": "OutOfTime", "evalue": text, "traceback": [f"OutOfTime: {text}"]}
