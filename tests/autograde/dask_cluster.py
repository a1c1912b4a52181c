"""A real Dask cluster on loopback: a scheduler and workers, each a process of the `dask` command."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client

DASK = Path(sys.executable).parent / "dask"


def free_port() -> int:
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return any_socket.getsockname()[1]


class DaskCluster:
    """Processes are killed as `kill -9` does it, with no word to those that they start."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.begin_scheduler()
        self.workers: list[subprocess.Popen[bytes]] = []

    def begin_scheduler(self) -> subprocess.Popen[bytes]:
        return self._start(
            "scheduler", "--port", self.address.rpartition(":")[2], "--dashboard-address", ":0"
        )

    def begin_worker(self, *options: str, threads: int = 1) -> subprocess.Popen[bytes]:
        fixed = ("--no-nanny", "--no-dashboard", "--nthreads", str(threads))
        worker = self._start("worker", self.address, *fixed, "--local-directory", str(self.folder), *options)
        self.workers.append(worker)
        return worker

    def wait_for_workers(self, count: int) -> None:
        with Client(self.address, timeout=300, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=300)

    def log(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{len(self.processes)}-{arguments[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(DASK), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        end = time.monotonic() + 20
        for process in self.processes:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def dask_cluster(folder: Path, workers: int = 2, threads: int = 1) -> Iterator[DaskCluster]:
    folder.mkdir(parents=True)
    cluster = DaskCluster(folder)
    try:
        for _ in range(workers):
            cluster.begin_worker(threads=threads)
        if workers:
            cluster.wait_for_workers(workers)
        yield cluster
    finally:
        cluster.end()
