"""Recording: nbgrader's gradebook and folders, written by nbgrader's own code, by one process at a time."""

import copy
import functools
import glob
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Self

import nbformat
import nbgrader.api
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    IgnorePattern,
    LimitOutput,
    NbGraderPreprocessor,
    SaveAutoGrades,
)
from sqlalchemy.exc import SAWarning
from traitlets import Dict

from autograde.course import Course
from autograde.errors import AutogradeError
from autograde.log import captured_log
from autograde.record import made, recorded_marks

# nbgrader's converter changes directory and environment: a process of its own.
_SPAWN = multiprocessing.get_context("spawn")


class Recorder:
    """The one process that writes the gradebook; a context. It is begun again when it is killed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __enter__(self) -> Self:
        self._begin()
        return self

    def begin(self) -> None:
        """Start the process, which takes seconds; else the first record does."""
        self.pool.submit(os.getpid)

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()

    def _begin(self) -> None:
        self.pool = ProcessPoolExecutor(1, _SPAWN, _settle)

    def record(self, *arguments: Any) -> tuple[float, float, bool]:
        """`finalise` in that process; what a killed one had begun is done again from its beginning."""
        pool = self.pool
        try:
            return pool.submit(finalise, *arguments).result()
        except BrokenProcessPool:
            with self.lock:
                if self.pool is pool:
                    self._begin()
            return self.pool.submit(finalise, *arguments).result()


class LoadExecuted(NbGraderPreprocessor):
    """Takes the place of nbgrader's `Execute`: the outputs of a notebook that has been run already."""

    outputs = Dict(help="By notebook, the outputs of each cell").tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> Any:
        """Set outputs by position; the cells are those that were run."""
        outputs = self.outputs[resources["nbgrader"]["notebook"]]
        if len(outputs) != len(nb.cells):
            raise AutogradeError(f"{len(outputs)} cells were run, {len(nb.cells)} are to be recorded")
        for number, (cell, found) in enumerate(zip(nb.cells, outputs, strict=True), 1):
            if cell.cell_type == "code":
                cell.outputs = [nbformat.from_dict(output) for output in found]
                cell.execution_count = number
        return nb, resources


def _settle() -> None:
    """In that process: Ctrl-C is for the run, so that what is being recorded is recorded; and it ends with the run.

    nbgrader makes an engine of its own each of the ten times that it opens the gradebook for a submission, and each compiles every
    statement anew; one serves them all.
    """
    nbgrader.api.create_engine = functools.cache(nbgrader.api.create_engine)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = multiprocessing.parent_process()
    assert run is not None  # we are a child

    def follow() -> None:
        run.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def finalise(
    course: Course, assignment: str, student: str, notebooks: dict[str, str], files: dict[str, str]
) -> tuple[float, float, bool]:
    """Record one executed submission; runs in the one process that writes the gradebook.

    Args:
        course: where.
        notebooks: by name, the executed notebook as JSON.
        files: other files of the submission, by relative path.

    Returns:
        Score, maximum, and whether a person has still to grade something.
    """
    with tempfile.TemporaryDirectory(prefix="stage-", dir=made(course.state)) as stage:
        staged = Path(stage, "submitted", student, assignment)
        staged.mkdir(parents=True)
        for relative, path in files.items():
            (staged / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, staged / relative)
        outputs = {}
        for name, text in notebooks.items():
            notebook = nbformat.reads(text, as_version=4)
            outputs[name] = [cell.get("outputs", []) for cell in notebook.cells]
            nbformat.write(notebook, staged / f"{name}.ipynb")
        _convert(course, assignment, student, Path(stage), outputs)
        _replace(
            Path(stage, "autograded", student, assignment), course.path("autograded", student, assignment)
        )
    marks = recorded_marks(course, assignment, student)
    assert marks is not None  # they have just been written
    return marks


def _convert(course: Course, assignment: str, student: str, stage: Path, outputs: dict[str, Any]) -> None:
    config = copy.deepcopy(course.config)
    config.CourseDirectory.assignment_id = assignment
    config.CourseDirectory.db_url = course.db_url
    config.CourseDirectory.student_id = glob.escape(student)  # nbgrader takes it as a pattern
    config.CourseDirectory.submitted_directory = str(stage.relative_to(course.root) / "submitted")
    config.CourseDirectory.autograded_directory = str(stage.relative_to(course.root) / "autograded")
    config.Autograde.autograde_preprocessors = [
        LoadExecuted,
        IgnorePattern,
        LimitOutput,
        SaveAutoGrades,
        AssignLatePenalties,
        CheckCellMetadata,
    ]
    config.LoadExecuted.outputs = outputs
    converter = Autograde(coursedir=CourseDirectory(config=config), config=config)
    with captured_log(converter) as log, warnings.catch_warnings():
        # nbgrader's own way of adding objects, which SQLAlchemy 2 remarks on.
        warnings.simplefilter("ignore", SAWarning)
        try:
            converter.start()
        except Exception as error:
            raise AutogradeError(f"nbgrader could not record {student}: {error}\n{log.getvalue()}") from error


def _replace(new: Path, old: Path) -> None:
    """Put a finished folder in the place of an older one, which stays until the new one is there."""
    old.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=old.parent) as aside:
        if old.exists():
            old.rename(Path(aside, "old"))
        new.rename(old)
        _writable(Path(aside))


def _writable(folder: Path) -> None:
    """nbgrader makes what it writes read-only; to remove it, the folders must be writable."""
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)
