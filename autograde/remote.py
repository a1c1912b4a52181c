"""The functions that Dask calls by name in its own processes. Its scheduler imports them too, so nothing heavy is imported here."""

from typing import Any

NAME = "autograde"


def run_parcel(key: str, packed: bytes) -> bytes:
    """A task, on a worker: `Workplace.run`."""
    from distributed import get_worker

    workplace: Any = get_worker().plugins[NAME]
    return workplace.run(key, packed)


def prepare(packed: bytes, dask_worker: Any) -> str:
    """On every worker, before the first task: `Workplace.prepare`."""
    return dask_worker.plugins[NAME].prepare(packed)
