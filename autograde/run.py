"""`autograde run`: intake, sandbox, verdict, record, for every submission of an assignment."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograde.course import Course, Limits
from autograde.errors import AutogradeError, IsolationError
from autograde.execute import Executed, execute, questions_name
from autograde.gradebook import Recorder
from autograde.intake import Submission, take_in
from autograde.kernels import ColdKernels, Kernels, furnished, kernels_of
from autograde.log import log
from autograde.master import MasterNotebook, due_date, read_masters
from autograde.reaching import reaching
from autograde.record import Record, begin_record, only_run, read_record, recorded_marks, write_record
from autograde.sandbox import check_isolation
from autograde.timestamp import check_timestamp
from autograde.turns import Turns
from autograde.verdict import decide
from autograde.warm import WarmKernels
from coursekit.check.lab import SUFFIX
from coursekit.check.show import number
from coursekit.check.tree import dumps
from coursekit.check.verdict import Outcome

RETRIES = 1


@dataclass(frozen=True)
class Job:
    """One submission to grade."""

    student: str
    digest: str


def run(
    course: Course,
    assignment: str,
    *,
    students: list[str] | None = None,
    force: bool = False,
    jobs: int | None = None,
    isolation: str = "bubblewrap",
    on_record: Callable[[Record], None] = lambda record: None,
) -> list[Record]:
    """Grade the submissions of an assignment; those that are graded already and have not changed are kept.

    Returns:
        One record for each submission, in the order of the students' ids.

    Raises:
        AutogradeError: the records cannot be written.
        KeyboardInterrupt: what was graded until then stays; the next run does the rest.
        IsolationError: when the sandbox cannot be had; nothing has been run then.
        CourseError: when the assignment is not in the gradebook.
    """
    if isolation != "none":
        check_isolation()
    with only_run(course):
        return _run(course, assignment, students, force, jobs, isolation, on_record)


def _run(
    course: Course,
    assignment: str,
    students: list[str] | None,
    force: bool,
    jobs: int | None,
    isolation: str,
    on_record: Callable[[Record], None],
) -> list[Record]:
    masters = read_masters(course, assignment)
    workers = max(1, jobs or os.cpu_count() or 1)
    turns = Turns(workers)
    grader = _Grader(course, assignment, masters, turns)
    chosen = students if students is not None else course.students(assignment)
    done: dict[str, Record] = {}
    waiting: list[Job] = []
    for student in chosen:
        digest = grader.digest(student)
        record = None if force else read_record(course, assignment, student)
        if record and record.digest == digest and record.state != "failed":
            done[student] = record
            on_record(record)
        else:
            waiting.append(Job(student, digest))
    # Twice as many threads as turns: while cells run, the next kernels are started, and results recorded.
    with (
        warm_or_cold(isolation, course.limits, len(waiting)) as kernels,
        Recorder() as recorder,
        ThreadPoolExecutor(2 * workers) as pool,
    ):
        futures = [pool.submit(grader.grade, job, kernels, recorder) for job in waiting]
        try:
            for future in as_completed(futures):
                record = future.result()
                _write(course, assignment, record)
                done[record.student] = record
                on_record(record)
        except BaseException:
            for future in futures:
                future.cancel()
            turns.stop()
            raise
    return [done[student] for student in sorted(done)]


def _write(course: Course, assignment: str, record: Record) -> None:
    try:
        write_record(course, assignment, record)
    except OSError as error:
        raise AutogradeError(
            f"the record of {record.student} cannot be written ({error.strerror}: {course.state}). "
            "What was recorded before stays; mend that, and the same command does the rest."
        ) from error


@contextmanager
def warm_or_cold(isolation: str, limits: Limits, count: int) -> Iterator[Kernels]:
    """Warm kernels for more than one submission, where they can be had; else others."""
    with ExitStack() as stack:
        kernels = kernels_of(isolation, limits)
        if isinstance(kernels, ColdKernels) and count > 1:
            try:
                kernels = stack.enter_context(WarmKernels(limits))
            except IsolationError as error:
                log.warning("Each kernel starts from nothing, which takes longer: %s", error)
        yield kernels


class _Grader:
    """Grades one submission at a time; used by several threads."""

    def __init__(
        self,
        course: Course,
        assignment: str,
        masters: list[MasterNotebook],
        turns: Turns,
    ):
        self.course, self.assignment, self.masters, self.turns = course, assignment, masters, turns
        self.limits = course.limits
        self.released = released_files(course, assignment)
        self.due = due_date(course, assignment)

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
        check_timestamp(submission.files, self.due, submission.flags)
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
    flags += [*reaching(master, notebook), *executed.flags]
    outcomes = decide(master, notebook, executed, language, flags)
    grade_ids = sorted(master.checks, key=by_grade_id.__getitem__)
    return dict(zip(grade_ids, outcomes, strict=True)), executed
