"""What a worker of a Dask cluster keeps for grading: a warm sandbox, as many turns as it has threads, the GPUs it may lend.

It is a plugin of the worker and ends with it. A sandbox that no run has asked for in ten minutes ends earlier.
"""

import asyncio
import pickle
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from distributed import Reschedule, Worker, WorkerPlugin, secede

from autograde.errors import AutogradeError
from autograde.gpus import Gpus, gpus_here
from autograde.local import LocalPlace, local_place
from autograde.parcel import Parcel, unpack, written
from autograde.place import Conditions
from autograde.remote import NAME
from autograde.sandbox import check_isolation
from autograde.turns import Turns

IDLE = 600.0  # seconds
AHEAD = 2  # notebooks for each thread whose kernels are started while another one computes


class JobTurns(Turns):
    """One notebook's share in the worker's turns: it can be stopped by itself, and says when it has had its turn."""

    def __init__(self, turns: Turns):
        super().__init__(turns.count)
        self.free = turns.free
        self.taken = threading.Event()

    def __enter__(self) -> None:
        super().__enter__()
        self.taken.set()


class Sandbox:
    """A warm sandbox for the conditions of a run."""

    def __init__(self, conditions: Conditions, turns: Turns, gpus: Gpus | None):
        if conditions.isolation != "none":
            check_isolation()
        self.ending = ExitStack()
        self.place: LocalPlace = self.ending.enter_context(local_place(conditions, turns, 2, gpus))
        self.place.begin()
        self.users, self.last = 0, time.monotonic()


class Workplace(WorkerPlugin):
    """The plugin."""

    name = NAME
    idempotent = True  # a second run finds the first one's

    def setup(self, worker: Worker) -> None:
        """Settle at a worker."""
        count = worker.state.nthreads
        self.turns = Turns(count)
        self.gpus: Gpus | None = None
        if worker.state.total_resources.get("GPU"):
            with suppress(AutogradeError):  # said when a notebook comes that asks for one
                self.gpus = gpus_here()
        self.sandboxes: dict[Conditions, Sandbox] = {}
        self.jobs: dict[str, JobTurns] = {}
        self.lock, self.closed = threading.Lock(), threading.Event()
        self.ahead = threading.Semaphore(AHEAD * count)
        # A sandbox dies with the thread that has begun it, and threads of Dask's end at any time.
        self.threads = ThreadPoolExecutor((AHEAD + 1) * count + 1, thread_name_prefix=NAME)
        threading.Thread(target=self._sweep, daemon=True).start()

    def teardown(self, worker: Worker) -> None:
        """End everything."""
        self.closed.set()
        for job in list(self.jobs.values()):
            job.stop()
        self.threads.shutdown(wait=False, cancel_futures=True)
        with self.lock:
            for sandbox in self.sandboxes.values():
                sandbox.ending.close()
            self.sandboxes.clear()

    def transition(self, key: Any, start: str, finish: str, **kwargs: Any) -> None:
        """A notebook that nobody waits for any more is stopped."""
        ends = start in ("executing", "long-running") and finish in ("released", "cancelled", "forgotten")
        if ends and (job := self.jobs.get(key)) is not None:
            job.stop()

    def prepare(self, packed: bytes) -> str:
        """Begin a sandbox for conditions of ours, pickled; why there is none, or ""."""
        conditions: Conditions = pickle.loads(packed)
        try:
            self.threads.submit(self._sandbox, conditions).result()
        except AutogradeError as error:
            return str(error)
        return ""

    def run(self, key: str, packed: bytes) -> bytes:
        """Run one notebook; what came of it, as JSON.

        The thread of Dask's is given back as soon as not too many notebooks wait for their turn; so the next ones' kernels are
        started.

        Args:
            key: of the task.
            packed: conditions and parcel of ours, pickled.
        """
        conditions, parcel = pickle.loads(packed)
        turns = self.jobs[key] = JobTurns(self.turns)
        try:
            with self.ahead:
                job = self.threads.submit(self._run, conditions, parcel, turns)
                job.add_done_callback(lambda _: turns.taken.set())
                secede()
                turns.taken.wait()
            return job.result()
        except asyncio.CancelledError:  # it was stopped: nobody waits for it, or this worker ends
            raise Reschedule from None
        except Exception:  # any, when what it worked in has gone under its hands
            if self.closed.is_set():
                raise Reschedule from None
            raise
        finally:
            del self.jobs[key]

    def _run(self, conditions: Conditions, parcel: Parcel, turns: JobTurns) -> bytes:
        if parcel.gpu and self.gpus is None:
            gpus_here()
            raise AutogradeError("this worker was begun without the resource GPU")
        with self._using(conditions) as place, tempfile.TemporaryDirectory(prefix="parcel-") as folder:
            return written(place.run(unpack(parcel, Path(folder)), turns))

    @contextmanager
    def _using(self, conditions: Conditions) -> Iterator[LocalPlace]:
        sandbox = self._sandbox(conditions, +1)
        try:
            yield sandbox.place
        finally:
            with self.lock:
                sandbox.users -= 1
                sandbox.last = time.monotonic()

    def _sandbox(self, conditions: Conditions, users: int = 0) -> Sandbox:
        with self.lock:
            if conditions not in self.sandboxes:
                self.sandboxes[conditions] = Sandbox(conditions, self.turns, self.gpus)
            sandbox = self.sandboxes[conditions]
            sandbox.users += users
            sandbox.last = time.monotonic()
            return sandbox

    def _sweep(self) -> None:
        while not self.closed.wait(IDLE / 10):
            with self.lock:
                now = time.monotonic()
                for conditions, sandbox in list(self.sandboxes.items()):
                    if not sandbox.users and now - sandbox.last > IDLE:
                        del self.sandboxes[conditions]
                        sandbox.ending.close()
