"""`autograde run`: every submission of an assignment is graded, in turn or several at a time."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

from autograde.course import Course
from autograde.errors import AutogradeError
from autograde.gradebook import Recorder
from autograde.record import Record, only_run, read_record, write_record
from autograde.sandbox import check_isolation
from autograde.turns import Turns
from autograde.warm import suited_kernels


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
    workers = max(1, jobs or os.cpu_count() or 1)
    turns = Turns(workers)
    chosen = students if students is not None else course.students(assignment)
    records = {student: None if force else read_record(course, assignment, student) for student in chosen}
    new = sum(record is None for record in records.values())
    # More threads than turns: while cells run, the next kernels are started, and results wait to be recorded.
    with (
        suited_kernels(isolation, course.limits, course.preload, len(chosen)) as kernels,
        Recorder() as recorder,
        ThreadPoolExecutor(3 * workers) as pool,
    ):
        if new > 1:
            kernels.begin()
            recorder.begin()
        # Only now, as this imports torch too: it takes as long as in the processes that have just begun.
        from autograde.grade import Grader, Job

        grader = Grader(course, assignment, turns)
        done: dict[str, Record] = {}
        waiting: list[Job] = []
        for student, record in records.items():
            digest = grader.digest(student)
            if record and record.digest == digest and record.state != "failed":
                done[student] = record
                on_record(record)
            else:
                waiting.append(Job(student, digest))
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
