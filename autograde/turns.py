"""Whose turn it is: so many kernels compute at a time, until it is said that all shall stop."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Turns:
    """Entered, it is a turn: no more than `count` are taken at a time, the others wait."""

    def __init__(self, count: int = 1):
        self.count = count
        self.free = threading.Semaphore(count)
        self.lock = threading.Lock()
        self.running: set[asyncio.Task[Any]] = set()
        self.stopped = False

    def __enter__(self) -> None:
        self.free.acquire()

    def __exit__(self, *_: object) -> None:
        self.free.release()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """`asyncio.run`, until `stop` is called.

        Raises:
            asyncio.CancelledError: it was stopped; what the work held is given back.
        """

        async def watched() -> T:
            task = asyncio.current_task()
            assert task is not None  # we are in one
            with self.lock:
                if self.stopped:
                    task.cancel()
                self.running.add(task)
            try:
                return await work
            finally:
                with self.lock:
                    self.running.discard(task)

        return asyncio.run(watched())

    def stop(self) -> None:
        """Cancel all that runs, and whatever would begin; from any thread."""
        with self.lock:
            self.stopped = True
            for task in self.running:
                task.get_loop().call_soon_threadsafe(task.cancel)
