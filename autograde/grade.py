"""Grading one submission: intake, sandbox, verdict, record."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograde.course import Course, Limits
from autograde.execute import Executed, execute, questions_name
from autograde.gradebook import Recorder
from autograde.intake import Submission, take_in
from autograde.kernels import Kernels, furnished
from autograde.master import MasterNotebook, read_masters
from autograde.record import Record, begin_record, recorded_marks
from autograde.turns import Turns
from autograde.verdict import decide
from coursekit.check.lab import SUFFIX
from coursekit.check.light import number
from coursekit.check.tree import dumps
from coursekit.check.verdict import Outcome

RETRIES = 1


@dataclass(frozen=True)
class Job:
    """One submission to grade."""

    student: str
    digest: str


class Grader:
    """Grades one submission at a time; used by several threads."""

    def __init__(
        self,
        course: Course,
        assignment: str,
        turns: Turns,
    ):
        self.course, self.assignment, self.turns = course, assignment, turns
        self.masters = read_masters(course, assignment)
        self.limits = course.limits
        self.released = released_files(course, assignment)

    def digest(self, student: str) -> str:
        """Of all that the score depends on: the submission, the release, the limits."""
        sha = hashlib.sha256()
        folder = self.course.path("submitted", student, self.assignment)
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                sha.update(
                    f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode("utf-8", "surrogateescape")
                )
                sha.update(path.read_bytes())
        for master in self.masters:
            sha.update(json.dumps([asdict(cell) for cell in master.cells.values()]).encode())
        for relative, path in self.released.items():
            sha.update(f"{relative}\0".encode() + path.read_bytes())
        sha.update(json.dumps(asdict(self.limits)).encode())
        return sha.hexdigest()

    def grade(self, job: Job, kernels: Kernels, recorder: Recorder) -> Record:
        """Grade one submission; a fault of ours is tried again and then recorded as "failed", never as a 0."""
        for attempt in range(RETRIES + 1):
            try:
                return self._grade(job, kernels, recorder)
            except Exception as error:
                # Whatever went wrong here must not touch the other submissions; the record says what it was.
                reason = f"{type(error).__name__}: {error}"
                if attempt == RETRIES:
                    return self._failed(job.student, reason, kernels.isolation)
        raise AssertionError("unreachable")

    def _grade(self, job: Job, kernels: Kernels, recorder: Recorder) -> Record:
        folder = self.course.path("submitted", job.student, self.assignment)
        submission = take_in(job.student, folder, self.masters)
        submission.files |= self.released
        record = Record(
            job.student,
            "graded",
            language=submission.language,
            isolation=kernels.isolation,
            digest=job.digest,
        )
        record.flags, record.repairs = submission.flags, submission.repairs
        if submission.problem:
            record.state, record.reason = "unreadable", submission.problem
            return record
        salvaged = False
        for master in self.masters:
            if master.name in submission.notebooks:
                salvaged |= self._run_one(master, submission, record, kernels)
        record.flags += [f"{name}.ipynb is not there" for name in submission.missing]
        notebooks = {name: nbformat.writes(notebook) for name, notebook in submission.notebooks.items()}
        files = {str(relative): str(path) for relative, path in submission.files.items()}
        begin_record(self.course, self.assignment, job.student)
        record.score, record.max_score, record.needs_manual_grade = recorder.record(
            replace(self.course), self.assignment, job.student, notebooks, files
        )
        record.state = "salvaged" if salvaged else "repaired" if record.repairs else "graded"
        return record

    def _failed(self, student: str, reason: str, isolation: str) -> Record:
        """What cannot be graded now keeps the marks that it has in the gradebook."""
        record = Record(student, "failed", reason=reason, isolation=isolation)
        marks = recorded_marks(self.course, self.assignment, student)
        if marks is not None:
            record.score, record.max_score, record.needs_manual_grade = marks
            record.reason += f"; the marks and the notebook of an earlier run stay ({number(marks[0])})"
        return record

    def _run_one(
        self, master: MasterNotebook, submission: Submission, record: Record, kernels: Kernels
    ) -> bool:
        notebook = submission.notebooks[master.name]
        outcomes, executed = grade_notebook(
            master,
            notebook,
            submission.files,
            self.limits,
            kernels,
            submission.language,
            record.flags,
            self.turns,
        )
        record.outcomes += [
            {"grade_id": grade_id, **outcome.to_dict()} for grade_id, outcome in outcomes.items()
        ]
        record.seconds += executed.seconds
        return bool(executed.lost)


def released_files(course: Course, assignment: str) -> dict[Path, Path]:
    """What was handed out beside the notebooks, by relative path: the grader's copy counts, as with nbgrader.

    The bundle is not among them: the student's own says the language, and no check reads it under grading.
    """
    folder = course.path("release", ".", assignment)
    return {
        path.relative_to(folder): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".ipynb" and not path.name.endswith(SUFFIX)
    }


def grade_notebook(
    master: MasterNotebook,
    notebook: NotebookNode,
    files: Mapping[Path, Path],
    limits: Limits,
    kernels: Kernels,
    language: str,
    flags: list[str],
    turns: Turns | None = None,
) -> tuple[dict[str, Outcome], Executed]:
    """Run one notebook in a sandbox and decide its checks; its cells get their outputs.

    Args:
        master: the release, with the expected values.
        notebook: as merged at intake.
        files: what lies beside the notebook, by relative path.
        limits: of time, memory and output.
        kernels: where the kernels come from.
        language: of the boxes, "en" or "zh".
        flags: suspicions for a person; added to.
        turns: see `execute`.

    Returns:
        The outcome of each check by grade id, in the notebook's order, and what came of the run.
    """
    by_grade_id = {
        cell.metadata.get("nbgrader", {}).get("grade_id"): i for i, cell in enumerate(notebook.cells)
    }
    checks = {by_grade_id[grade_id]: case_set for grade_id, case_set in master.checks.items()}
    questions = {questions_name(i): dumps(case_set.questions()) for i, case_set in checks.items()}
    executed = execute(notebook, checks, lambda: furnished(kernels, files, questions), limits, turns)
    flags += executed.flags
    outcomes = decide(master, notebook, executed, language, flags)
    grade_ids = sorted(master.checks, key=by_grade_id.__getitem__)
    return dict(zip(grade_ids, outcomes, strict=True)), executed
