"""Recording: nbgrader's gradebook and folders, written by nbgrader's own code, by one process at a time."""

import functools
import gc
import json
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace
from typing import Any, Self, TypeVar

import jsonschema
import nbgrader.api
import nbgrader.nbgraderformat.common
import nbgrader.preprocessors.saveautogrades
from nbgrader.api import BaseCell, Comment, Grade, Gradebook

from autograde.convert import finalise

T = TypeVar("T")

# nbgrader's converter changes directory and environment: a process of its own.
_SPAWN = multiprocessing.get_context("spawn")


class Recorder:
    """The one process that writes the gradebook; a context. It is begun again when it is killed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()

    def begin(self) -> None:
        """Start the process, which takes seconds; else the first call does."""
        self.pool.submit(os.getpid)

    def _begin(self) -> None:
        self.pool = ProcessPoolExecutor(1, _SPAWN, _settle)

    def record(self, *arguments: Any) -> tuple[float, float, bool]:
        """`finalise` in that process."""
        return self.call(finalise, *arguments)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """A function in that process; what a killed one had begun is done again from its beginning."""
        pool = self.pool
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            with self.lock:
                if self.pool is pool:
                    self._begin()
            return self.pool.submit(function, *arguments).result()


class NotebooksGradebook(Gradebook):
    """nbgrader's gradebook for the marks of one notebook, which are read in one go, and written in one when all went well.

    nbgrader looks for each cell's grade and comment by themselves, and commits after each.
    """

    def __init__(self, *arguments: Any, **more: Any):
        super().__init__(*arguments, **more)
        self.found: dict[tuple[Any, ...], Any] = {}
        self.db.commit = self.db.flush

    def __exit__(self, kind: Any, *error: Any) -> None:
        try:
            if kind is None:
                self.db().commit()
        finally:
            super().__exit__(kind, *error)

    def find_grade(self, grade_cell: str, notebook: str, assignment: str, student: str) -> Grade:
        """Of a graded cell, as in nbgrader."""
        found = self._all(Grade, notebook, assignment, student).get(grade_cell)
        return found or super().find_grade(grade_cell, notebook, assignment, student)

    def find_comment(self, solution_cell: str, notebook: str, assignment: str, student: str) -> Comment:
        """On a cell with an answer, as in nbgrader."""
        found = self._all(Comment, notebook, assignment, student).get(solution_cell)
        return found or super().find_comment(solution_cell, notebook, assignment, student)

    def _all(self, kind: Any, *of: str) -> dict[str, Any]:
        """By the cell's name."""
        if (kind, *of) not in self.found:
            there = self.find_submission_notebook(*of)
            pairs = self.db.query(BaseCell.name, kind).join(kind, BaseCell.id == kind.cell_id)
            self.found[kind, *of] = dict(pairs.filter(kind.notebook_id == there.id).all())
        return self.found[kind, *of]


@functools.cache
def _validator(schema: str) -> Any:
    parsed = json.loads(schema)
    kind = jsonschema.validators.validator_for(parsed)
    kind.check_schema(parsed)
    return kind(parsed)


def _validate(instance: Any, schema: Any) -> None:
    """`jsonschema.validate`, which checks a schema once."""
    error = jsonschema.exceptions.best_match(_validator(json.dumps(schema)).iter_errors(instance))
    if error is not None:
        raise error


def _settle() -> None:
    """In that process: Ctrl-C is for the run, so that what is being recorded is recorded; and it ends with the run.

    nbgrader makes an engine of its own each of the ten times that it opens the gradebook for a submission, and each compiles every
    statement anew and looks for every table; one serves them all. For each cell it has the schema of metadata checked anew; once is enough.
    What is there by now stays, so it is no concern of the garbage collector.
    """
    gc.freeze()
    nbgrader.api.create_engine = functools.cache(nbgrader.api.create_engine)
    tables = nbgrader.api.Base.metadata
    tables.create_all = functools.cache(tables.create_all)
    nbgrader.preprocessors.saveautogrades.Gradebook = NotebooksGradebook
    # It logs what it raises, and that is tried again, or told.
    nbgrader.api.app_log.setLevel(logging.CRITICAL)
    nbgrader.nbgraderformat.common.jsonschema = SimpleNamespace(validate=_validate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = multiprocessing.parent_process()
    assert run is not None  # we are a child

    def follow() -> None:
        run.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
