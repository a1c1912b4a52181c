"""A Dask cluster as the place where notebooks are run: its workers have the sandboxes, the run keeps the gradebook."""

import asyncio
import logging
import pickle
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client, Future

from autograde.errors import AutogradeError, IsolationError, LostError
from autograde.log import log
from autograde.parcel import pack, read
from autograde.place import Conditions, Task
from autograde.remote import NAME, prepare, run_parcel
from autograde.workplace import Workplace

if TYPE_CHECKING:
    from autograde.execute import Executed

MIN_THREADS = 8  # that a cluster may have soon which begins with none


class DaskPlace:
    """Workers of a Dask cluster. A notebook whose worker is lost runs again on another one; that is Dask's doing.

    Args:
        client: connected.
        conditions: of the kernels.
        width: submissions under way at a time.
        gpu: whether notebooks that ask for a GPU go to workers with the resource GPU.
    """

    def __init__(self, client: Client, conditions: Conditions, width: int, gpu: bool):
        self.client, self.conditions, self.width, self.gpu = client, conditions, width, gpu
        self.isolation = conditions.isolation
        self.futures: set[Future] = set()
        self.lock, self.stopped = threading.Lock(), False

    def begin(self) -> None:
        """The workers have begun already."""

    def run(self, task: Task) -> "Executed":
        """See `Place`."""
        future = self._submit(task)
        try:
            return read(future.result())
        except CancelledError as error:
            raise self._ended(error) from error
        finally:
            with self.lock:
                self.futures.discard(future)
            future.release()

    def _submit(self, task: Task) -> Future:
        gpu = task.gpu and self.gpu
        packed = pickle.dumps((self.conditions, pack(replace(task, gpu=gpu))))
        resources = {"GPU": 1} if gpu else None
        with self.lock:
            if self.stopped or self.client.status != "running":
                raise self._ended(None)
            key = f"{NAME}-{uuid.uuid4().hex}"
            future = self.client.submit(run_parcel, key, packed, key=key, resources=resources)
            self.futures.add(future)
        return future

    def _ended(self, error: BaseException | None) -> BaseException:
        """What a future that is cancelled means."""
        if self.stopped:
            return asyncio.CancelledError()
        reason = getattr(error, "reason", "no connection")
        return LostError(f"the Dask scheduler is gone ({reason})")

    def stop(self) -> None:
        """Cancel what the workers run; they end its kernels."""
        with self.lock:
            self.stopped = True
            if self.client.status == "running":
                self.client.cancel(list(self.futures), force=True)


@dataclass(frozen=True)
class Cluster:
    """Run notebooks on a Dask cluster.

    Attributes:
        address: of its scheduler, as `tcp://host:8786`.
        jobs: for how many threads work is kept ready; default: those that its workers have when the run begins.
        gpu: whether notebooks that ask for a GPU go to workers with the resource GPU.
        timeout: seconds in which the scheduler must answer.
    """

    address: str
    jobs: int | None = None
    gpu: bool = False
    timeout: float = 30

    @contextmanager
    def place(self, conditions: Conditions, count: int) -> Iterator[DaskPlace]:
        """See `Where`."""
        with _connected(self.address, self.timeout) as client:
            workers = self._prepared(client, conditions)
            threads = sum(worker["nthreads"] for worker in workers)
            log.warning(
                "Dask: %d workers with %d threads; dashboard %s", len(workers), threads, client.dashboard_link
            )
            if not workers:
                log.warning("No worker has come yet; waiting for the first one.")
            if self.gpu and not any(worker["resources"].get("GPU") for worker in workers):
                log.warning(
                    "No worker has the resource GPU; notebooks that ask for one wait until one comes."
                )
            width = 3 * (self.jobs or max(MIN_THREADS, threads))
            yield DaskPlace(client, conditions, width, self.gpu)

    def _prepared(self, client: Client, conditions: Conditions) -> list[dict[str, Any]]:
        """Have every worker begin its sandbox."""
        try:
            client.get_versions(check=True)
            client.register_plugin(Workplace())
            said = client.run(prepare, pickle.dumps(conditions))
        except Exception as error:  # whatever the other processes have in place of this package
            raise AutogradeError(
                f"the cluster at {self.address} cannot grade: {type(error).__name__}: {error}\n"
                "Scheduler and workers need the same packages as this machine, this one too."
            ) from error
        for worker, reason in said.items():
            if reason:
                raise IsolationError(f"the worker {worker}: {reason}")
        return list(client.scheduler_info(n_workers=-1)["workers"].values())


@contextmanager
def _connected(address: str, timeout: float) -> Iterator[Client]:
    for name in list(logging.root.manager.loggerDict):  # we say ourselves what happens to the run
        if name.partition(".")[0] == "distributed":  # each has a level of its own
            logging.getLogger(name).setLevel(logging.CRITICAL)
    # A submission is sent as a whole; the files of one are no reason to warn.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
        try:
            client = Client(address, timeout=timeout, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise AutogradeError(
                f"no Dask scheduler answers at {address} ({error}); `dask scheduler` starts one, see docs/cluster.md"
            ) from error
        try:
            yield client
        finally:
            with suppress(TimeoutError):  # a scheduler that is gone says no goodbye
                client.close(timeout=10)
