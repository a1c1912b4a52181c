"""`autograde run`: intake, sandbox, verdict, record, for every submission of an assignment."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager

from autograde.course import Course, Limits
from autograde.errors import AutogradeError, CourseError, IsolationError
from autograde.gradebook import Recorder
from autograde.grader import Grader, Job
from autograde.inputs import chosen_students
from autograde.kernels import ColdKernels, Kernels, kernels_of
from autograde.log import log
from autograde.master import read_masters
from autograde.options import executes, remarks
from autograde.record import Record, only_run, read_record, write_record
from autograde.sandbox import check_isolation
from autograde.turns import Turns
from autograde.warm import WarmKernels


def run(
    course: Course,
    assignment: str,
    *,
    students: list[str] | None = None,
    force: bool = False,
    jobs: int | None = None,
    isolation: str = "bubblewrap",
    on_start: Callable[[int], None] = lambda count: None,
    on_record: Callable[[Record], None] = lambda record: None,
) -> list[Record]:
    """Grade the submissions of an assignment; those that are graded already and have not changed are kept.

    Args:
        course: with nbgrader's options, of which `--notebook`, `--force` and `--no-execute` are read here.
        assignment: its name.
        students: ids, or patterns of ids; default: as the course is configured, everyone.
        force: grade again what is graded already.
        jobs: submissions at a time; default: as many as there are processors.
        isolation: "bubblewrap" or "none".
        on_start: called with the number of submissions.
        on_record: called with each record.

    Returns:
        One record for each submission, in the order of the students' ids.

    Raises:
        AutogradeError: the records cannot be written.
        KeyboardInterrupt: what was graded until then stays; the next run does the rest.
        IsolationError: when the sandbox cannot be had; nothing has been run then.
        CourseError: when the assignment is not in the gradebook, or nobody of these has handed it in.
    """
    masters = read_masters(course, assignment)
    for remark in remarks(course.configuration):
        log.warning("%s", remark)
    runs = executes(course.config)
    if not runs and any(master.checks for master in masters):
        raise CourseError(
            f"{assignment} has checks whose values are compared when they are run; it cannot be graded with --no-execute"
        )
    if runs and isolation != "none":
        check_isolation()
    with only_run(course):
        grader = Grader(course, assignment, masters, Turns(max(1, jobs or os.cpu_count() or 1)), runs)
        chosen = chosen_students(course, assignment, students)
        on_start(len(chosen))
        return _run(grader, chosen, force or grader.converter.force, isolation, on_record)


def _run(
    grader: Grader, chosen: list[str], force: bool, isolation: str, on_record: Callable[[Record], None]
) -> list[Record]:
    done: dict[str, Record] = {}
    waiting: list[Job] = []

    def settle(record: Record) -> None:
        if read_record(grader.course, grader.assignment, record.student) != record:
            _write(grader.course, grader.assignment, record)
        done[record.student] = record
        on_record(record)

    for student in chosen:
        job = Job(student, grader.digest(student))
        record = grader.unknown(student) or (None if force else grader.kept(job))
        if record:
            settle(record)
        else:
            waiting.append(job)
    # Twice as many threads as turns: while cells run, the next kernels are started, and results recorded.
    workers = grader.turns.count
    with (
        warm_or_cold(isolation if grader.runs else "none", grader.limits, len(waiting)) as kernels,
        Recorder() as recorder,
        ThreadPoolExecutor(2 * workers) as pool,
    ):
        futures = [pool.submit(grader.grade, job, kernels, recorder) for job in waiting]
        try:
            for future in as_completed(futures):
                settle(future.result())
        except BaseException:
            for future in futures:
                future.cancel()
            grader.turns.stop()
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
