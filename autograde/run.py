"""`autograde run`: every submission of an assignment is graded, several at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

from autograde.convert import recover
from autograde.course import Course
from autograde.errors import AutogradeError, CourseError
from autograde.gradebook import Recorder
from autograde.local import ThisMachine
from autograde.log import log
from autograde.options import converter_of, executes, remarks
from autograde.place import Conditions, Place, Where
from autograde.record import Record, only_run, read_record, write_record
from autograde.students import chosen_students


def run(
    course: Course,
    assignment: str,
    *,
    students: list[str] | None = None,
    force: bool = False,
    where: Where | None = None,
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
        where: notebooks are run; default: on this machine, as many at a time as there are processors.
        isolation: "bubblewrap" or "none".
        on_start: called with the number of submissions.
        on_record: called with each record.

    Returns:
        One record for each submission, in the order of the students' ids.

    Raises:
        AutogradeError: the records cannot be written, or there is no such place.
        LostError: the place is gone; as with the next one, what was graded until then stays.
        KeyboardInterrupt: what was graded until then stays; the next run does the rest.
        IsolationError: when the sandbox cannot be had; nothing has been run then.
        CourseError: when the assignment is not in the gradebook, or nobody of these has handed it in.
    """
    for remark in remarks(course.configuration):
        log.warning("%s", remark)
    runs = executes(course.config)
    where = where if where and runs else ThisMachine()
    conditions = Conditions(isolation if runs else "none", course.limits, tuple(course.preload))
    with only_run(course):
        try:
            chosen = chosen_students(course, assignment, students)
        except CourseError:
            from autograde.master import read_masters

            read_masters(course, assignment)  # which says it better where there is no such assignment
            raise
        with where.place(conditions, len(chosen)) as place:
            recover(course, assignment, chosen)
            on_start(len(chosen))
            again = force or converter_of(course.config).force
            return _run(course, assignment, chosen, place, runs, where.gpu, again, on_record)


def _run(
    course: Course,
    assignment: str,
    chosen: list[str],
    place: Place,
    runs: bool,
    gpu: bool,
    force: bool,
    on_record: Callable[[Record], None],
) -> list[Record]:
    done: dict[str, Record] = {}

    def settle(record: Record) -> None:
        if read_record(course, assignment, record.student) != record:
            _write(course, assignment, record)
        done[record.student] = record
        on_record(record)

    new = sum(force or read_record(course, assignment, student) is None for student in chosen)
    with Recorder() as recorder, ThreadPoolExecutor(place.width) as pool:
        if new > 1:
            place.begin()
            recorder.begin()
        # Only now, as this imports torch too: it takes as long as in the processes that have just begun.
        import torch

        from autograde.grader import Grader, Job

        torch.set_num_threads(1)  # checks of several submissions are decided at a time
        grader = Grader(course, assignment, place, runs)
        if runs and not gpu and (asking := [master.name for master in grader.masters if master.gpu]):
            log.warning("%s: asks for a GPU; without --gpu it is run on the processor", ", ".join(asking))
        waiting: list[Job] = []
        for student in chosen:
            job = Job(student, grader.digest(student))
            record = grader.unknown(student) or (None if force else grader.kept(job))
            if record:
                settle(record)
            else:
                waiting.append(job)
        futures = [pool.submit(grader.grade, job, recorder) for job in waiting]
        try:
            for future in as_completed(futures):
                settle(future.result())
        except BaseException:  # Ctrl-C, too: nothing goes on in the background
            for future in futures:
                future.cancel()
            place.stop()
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
