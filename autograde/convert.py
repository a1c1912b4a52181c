"""nbgrader's own converter on a submission that has been run already: its gradebook, its folders, its hooks."""

import contextlib
import copy
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.converters import Autograde
from nbgrader.converters.base import BaseConverter
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import setenv
from sqlalchemy.exc import SAWarning
from traitlets import Dict, List, Unicode

from autograde.course import Course
from autograde.errors import AutogradeError
from autograde.log import captured_log
from autograde.options import converter_of, hooks, is_execute, steps_before
from autograde.patience import patient
from autograde.record import made, recorded_marks


@dataclass(frozen=True)
class Finished:
    """A submission as it is to be recorded.

    Attributes:
        notebooks: by name, the executed notebook as JSON.
        files: the other files, by relative path.
        present: further notebooks that were handed in; without them nbgrader would give them 0 points.
        was_run: whether the notebooks have been run; else nbgrader's own steps decide what becomes of their outputs.
    """

    notebooks: dict[str, str]
    files: dict[str, str]
    present: Sequence[str] = ()
    was_run: bool = True


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


class StagedCourse(CourseDirectory):
    """A course directory, but for one submission that lies in a folder of its own until it is recorded."""

    stage = Unicode(help="That folder")

    def format_path(
        self, nbgrader_step: str, student_id: str, assignment_id: str, escape: bool = False
    ) -> str:
        """nbgrader's path of a step."""
        steps = {self.submitted_directory: "submitted", self.autograded_directory: "autograded"}
        if nbgrader_step not in steps:
            return super().format_path(nbgrader_step, student_id, assignment_id, escape)
        stage = CourseDirectory(root=self.stage)
        return stage.format_path(steps[nbgrader_step], student_id, assignment_id, escape)


class StagedAutograde(Autograde):
    """nbgrader's converter for one submission; who and what is graded has been settled, so nothing is looked for."""

    student = Unicode(help="The student's id, which is no pattern")
    names: List[str] = List(help="Names of the notebooks to record")

    def init_notebooks(self) -> None:
        """The notebooks named."""
        folder = self._format_source(self.coursedir.assignment_id, self.student)
        self.assignments = {folder: [str(Path(folder, f"{name}.ipynb")) for name in self.names]}

    def init_destination(self, assignment_id: str, student_id: str) -> bool:
        """It is always written anew."""
        return True

    def set_permissions(self, assignment_id: str, student_id: str) -> None:
        """They are set where the files come to lie."""

    def convert_single_notebook(self, notebook_filename: str) -> None:
        """All steps in one go: the notebook need not be written, read, copied and validated in between."""
        self.exporter._preprocessors = []
        for step in (*self.sanitize_preprocessors, *self.autograde_preprocessors):
            self.exporter.register_preprocessor(step)
        self.exporter.optimistic_validation = True
        with setenv(NBGRADER_EXECUTION="autograde"):
            BaseConverter.convert_single_notebook(self, notebook_filename)

    def run_pre_convert_hook(self) -> None:
        """It has been run, before the submission was read."""

    def run_post_convert_hook(self) -> None:
        """It is run when everything is in its place."""


@patient
def finalise(course: Course, assignment: str, student: str, finished: Finished) -> tuple[float, float, bool]:
    """Record one submission; runs in the one process that writes the gradebook.

    Returns:
        Score, maximum, and whether a person has still to grade something.
    """
    final = course.path("autograded", student, assignment)
    with tempfile.TemporaryDirectory(prefix="stage-", dir=made(course.state)) as stage:
        staged = Path(stage, "submitted", student, assignment)
        staged.mkdir(parents=True)
        for relative, path in finished.files.items():
            (staged / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, staged / relative)
        outputs = {}
        for name, text in finished.notebooks.items():
            outputs[name] = [cell.get("outputs", []) for cell in json.loads(text)["cells"]]
            (staged / f"{name}.ipynb").write_text(text)
        for name in finished.present:
            (staged / f"{name}.ipynb").touch()
        done = Path(stage, "autograded", student, assignment)
        if finished.present and final.is_dir():
            again = [f"{name}.ipynb" for name in finished.notebooks]
            shutil.copytree(final, done, symlinks=True, ignore=shutil.ignore_patterns(*again))
        _convert(course, assignment, student, Path(stage), outputs, finished.was_run)
        _replace(done, final)
    converter_of(course.config).set_permissions(assignment, student)
    marks = recorded_marks(course, assignment, student)
    assert marks is not None  # they have just been written
    return marks


def _convert(
    course: Course, assignment: str, student: str, stage: Path, outputs: dict[str, Any], was_run: bool
) -> None:
    config = copy.deepcopy(course.config)
    config.CourseDirectory.assignment_id = assignment
    config.CourseDirectory.notebook_id = "*"
    config.CourseDirectory.db_url = course.db_url
    steps = converter_of(course.config).autograde_preprocessors
    if was_run:
        config.Autograde.sanitize_preprocessors = steps_before(course.config)
    loads = [LoadExecuted] if was_run else []
    config.Autograde.autograde_preprocessors = [
        each for step in steps for each in (loads if is_execute(step) else [step])
    ]
    config.LoadExecuted.outputs = outputs
    converter = StagedAutograde(
        coursedir=StagedCourse(config=config, stage=str(stage)),
        config=config,
        student=student,
        names=list(outputs),
    )
    with captured_log(converter) as log, warnings.catch_warnings():
        # nbgrader's own way of adding objects, which SQLAlchemy 2 remarks on.
        warnings.simplefilter("ignore", SAWarning)
        try:
            converter.start()
        except (Exception, SystemExit) as error:  # a plugin may be the course's own program
            raise AutogradeError(f"nbgrader could not record {student}: {error}\n{log.getvalue()}") from error


def run_hook(course: Course, which: str, assignment: str, student: str, notebooks: list[str]) -> str:
    """Run the course's hook "pre" or "post" for a submission, in the course directory, as nbgrader does.

    Returns:
        What went wrong in it, "" if nothing; as in nbgrader that is no reason to stop.
    """
    hook = hooks(converter_of(course.config))[which == "post"]
    with contextlib.chdir(course.root):
        try:
            hook(assignment=assignment, student=student, notebooks=notebooks)
        except (Exception, SystemExit) as error:  # it is the course's own program
            return f"{which}_convert_hook failed: {type(error).__name__}: {error}"
    return ""


def _replace(new: Path, old: Path) -> None:
    """Put a finished folder in the place of an older one, which stays until the new one is there."""
    _put_back(old)
    aside = _aside(old)
    aside.mkdir(parents=True)
    shutil.move(new, aside / "new")  # which may be another disk's
    if old.exists():
        old.rename(aside / "old")
    (aside / "new").rename(old)
    _remove(aside)


def _aside(folder: Path) -> Path:
    """Where the old folder and the new one lie, while the one takes the place of the other."""
    return folder.with_name(f".{folder.name}.replaced")


def _remove(folder: Path) -> None:
    """nbgrader makes what it writes read-only; to remove it, the folders must be writable."""
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)
    shutil.rmtree(folder)


def _put_back(folder: Path) -> None:
    """Undo what was begun and not ended to replace a folder."""
    aside = _aside(folder)
    if aside.is_dir():
        if (aside / "old").is_dir() and not folder.exists():
            (aside / "old").rename(folder)
        _remove(aside)


def recover(course: Course, assignment: str, students: Sequence[str]) -> None:
    """Clear what a killed run has left: a folder that was just being replaced is there again, and what was staged goes.

    Nobody else may be at work in the course.
    """
    for student in students:
        _put_back(course.path("autograded", student, assignment))
    for stage in course.state.glob("stage-*"):
        _remove(stage)
