"""One submission from intake to record."""

import fnmatch
import json
from dataclasses import dataclass, replace

from autograde.convert import Finished, run_hook
from autograde.course import Course
from autograde.errors import CourseError, LostError
from autograde.grade import grade_notebook
from autograde.gradebook import Recorder
from autograde.inputs import (
    chosen_notebooks,
    digest_of_course,
    digest_of_submission,
    files_beside,
    released_files,
)
from autograde.intake import Submission, take_in
from autograde.master import MasterNotebook, due_date, read_masters
from autograde.options import converter_of, hooks
from autograde.place import Place
from autograde.record import (
    Record,
    all_marks,
    begin_record,
    known_students,
    read_record,
    recorded_marks,
    was_begun,
)
from autograde.timestamp import check_timestamp
from coursekit.check.light import number

RETRIES = 1


@dataclass(frozen=True)
class Job:
    """One submission to grade."""

    student: str
    digest: str


class Grader:
    """Grades one submission at a time; used by several threads."""

    def __init__(self, course: Course, assignment: str, place: Place, runs: bool):
        self.course, self.assignment = course, assignment
        self.masters = masters = read_masters(course, assignment)
        if not runs and any(master.checks for master in masters):
            raise CourseError(
                f"{assignment} has checks whose values are compared when they are run; it cannot be graded with --no-execute"
            )
        self.place, self.runs = place, runs
        self.limits = course.limits
        self.names = chosen_notebooks(course, masters)
        self.released = released_files(course, assignment)
        self.converter = converter_of(course.config)
        self.hooks = dict(zip(("pre", "post"), hooks(self.converter), strict=True))
        self.due = due_date(course, assignment)
        self.common = digest_of_course(course, assignment, masters)
        self.marks = all_marks(course, assignment)
        self.students = None if self.converter.create_student else known_students(course)

    def digest(self, student: str) -> str:
        """Of all that the marks of a submission depend on."""
        return digest_of_submission(self.course, self.assignment, student, self.common)

    def unknown(self, student: str) -> Record | None:
        """A record that says so, where the gradebook does not know a student and is not to be given new ones."""
        if self.students is None or student in self.students:
            return None
        reason = f"the gradebook has no student {student!r}, and Autograde.create_student is off; add the student first"
        return Record(student, "failed", reason=reason)

    def kept(self, job: Job) -> Record | None:
        """The record of what is graded already and has not changed, by us or by nbgrader, whose files are still there."""
        record = read_record(self.course, self.assignment, job.student)
        if record is None:
            return self._graded_by_nbgrader(job)
        settled = record.digest == job.digest and set(self.names) <= set(record.notebooks)
        if not settled or record.state == "failed" or not self._is_recorded(job.student):
            return None
        # They change when a person grades a written answer.
        record.score, record.max_score, record.needs_manual_grade = self.marks[job.student]
        return record

    def _is_recorded(self, student: str) -> bool:
        """Whether gradebook and files have what is asked for; as in nbgrader, the folder where that is everything."""
        done = self.course.path("autograded", student, self.assignment)
        handed_in = self.course.path("submitted", student, self.assignment)
        files = [f"{name}.ipynb" for name in self.names]
        if len(self.names) == len(self.masters):
            files = ["."]
        there = all((done / file).exists() for file in files if (handed_in / file).exists())
        return there and student in self.marks

    def _graded_by_nbgrader(self, job: Job) -> Record | None:
        """nbgrader, too, passes over what is graded already, unless something newer has been handed in."""
        steps = [self.course.path(step, job.student, self.assignment) for step in ("submitted", "autograded")]
        times = [path.read_bytes() if (path := step / "timestamp.txt").is_file() else b"" for step in steps]
        begun = was_begun(self.course, self.assignment, job.student)
        if begun or times[0] != times[1] or not self._is_recorded(job.student):
            return None
        score, max_score, waits = self.marks[job.student]
        return Record(
            job.student,
            "graded",
            score,
            max_score,
            reason="graded by nbgrader before; --force grades it again",
            needs_manual_grade=waits,
            isolation="none",
            digest=job.digest,
            notebooks=self.names,
        )

    def grade(self, job: Job, recorder: Recorder) -> Record:
        """Grade one submission; a fault of ours is tried again and then recorded as "failed", never as a 0.

        Raises:
            LostError: the place where submissions are run is gone.
        """
        for attempt in range(RETRIES + 1):
            try:
                return self._grade(job, recorder)
            except LostError:
                raise
            except Exception as error:
                # Whatever went wrong here must not touch the other submissions; the record says what it was.
                reason = f"{type(error).__name__}: {error}"
                if attempt == RETRIES:
                    return self._failed(job.student, reason)
        raise AssertionError("unreachable")

    def _grade(self, job: Job, recorder: Recorder) -> Record:
        flags = self._hook("pre", job.student, recorder)
        digest = self.digest(job.student) if self.hooks["pre"] else job.digest
        folder = self.course.path("submitted", job.student, self.assignment)
        submission = take_in(job.student, folder, self.masters, not self.runs)
        check_timestamp(submission.files, self.due, submission.flags)
        names = [master.name for master in self.masters]
        submission.files, odd = files_beside(self.course, submission.files, folder, self.released, names)
        record = Record(
            job.student,
            "graded",
            language=submission.language,
            isolation=self.place.isolation if self.runs else "not run",
            digest=digest,
        )
        record.flags, record.repairs = [*flags, *submission.flags, *odd], submission.repairs
        record.flags += [] if self.runs else ["not run: the marks are what the outputs in it say"]
        unreadable = [reason for name, reason in submission.unreadable.items() if name in self.names]
        wanted = [master for master in self.masters if master.name in {*self.names} & {*submission.notebooks}]
        if submission.problem or (unreadable and not wanted):
            record.state, record.reason = "unreadable", submission.problem or "; ".join(unreadable)
            return self._with_earlier_marks(record)
        before = read_record(self.course, self.assignment, job.student)
        if not wanted:  # nbgrader passes over who has none of the notebooks that were asked for
            reason = f"none of the notebooks is there: {', '.join(self.names)}"
            return before or Record(job.student, "missing", reason=reason)
        lost = [self._run_one(master, submission, record) for master in wanted if self.runs]
        record.flags += [f"{name}.ipynb is not there" for name in submission.missing]
        self._record(record, submission, [master.name for master in wanted], recorder)
        record.flags += self._hook("post", job.student, recorder)
        if unreadable:
            record.state, record.reason = "unreadable", "; ".join(unreadable)
        else:
            record.state = "salvaged" if any(lost) else "repaired" if record.repairs else "graded"
        record.notebooks = self.names
        return self._with_other_notebooks(record, before)

    def _record(self, record: Record, submission: Submission, names: list[str], recorder: Recorder) -> None:
        texts = {name: json.dumps(submission.notebooks[name]) for name in names}
        files = {str(relative): str(path) for relative, path in submission.files.items()}
        present = [name for name in (*submission.notebooks, *submission.unreadable) if name not in names]
        begin_record(self.course, self.assignment, record.student)
        record.score, record.max_score, record.needs_manual_grade = recorder.record(
            replace(self.course), self.assignment, record.student, Finished(texts, files, present, self.runs)
        )

    def _hook(self, which: str, student: str, recorder: Recorder) -> list[str]:
        """Run the course's hook, if it has one; what went wrong is a flag."""
        if self.hooks[which] is None:
            return []
        folder = self.course.path("submitted", student, self.assignment)
        pattern = self.course.nbgrader.notebook_id
        notebooks = [
            str(path)
            for path in sorted(folder.glob("*.ipynb"))
            if (path.stem in self.names if which == "post" else fnmatch.fnmatch(path.stem, pattern))
        ]
        fault = recorder.call(run_hook, replace(self.course), which, self.assignment, student, notebooks)
        return [fault] if fault else []

    def _with_other_notebooks(self, record: Record, before: Record | None) -> Record:
        """What an earlier run found of the notebooks that this one was not asked for (`--notebook`)."""
        if before is None or len(self.names) == len(self.masters):
            return record
        graded = {cell for master in self.masters if master.name in self.names for cell in master.checks}
        record.outcomes += [each for each in before.outcomes if each["grade_id"] not in graded]
        if before.digest == record.digest:
            record.notebooks = sorted({*self.names, *before.notebooks})
            record.flags += [flag for flag in before.flags if flag not in record.flags]
            if record.state != "unreadable" and before.state in ("salvaged", "unreadable"):
                record.state, record.reason = before.state, before.reason
        return record

    def _failed(self, student: str, reason: str) -> Record:
        """What cannot be graded now keeps the marks that it has in the gradebook."""
        failed = Record(student, "failed", reason=reason, isolation=self.place.isolation)
        return self._with_earlier_marks(failed)

    def _with_earlier_marks(self, record: Record) -> Record:
        marks = recorded_marks(self.course, self.assignment, record.student)
        if marks is not None:
            record.score, record.max_score, record.needs_manual_grade = marks
            record.reason += f"; the marks and the notebook of an earlier run stay ({number(marks[0])})"
        return record

    def _run_one(self, master: MasterNotebook, submission: Submission, record: Record) -> bool:
        notebook = submission.notebooks[master.name]
        outcomes, executed = grade_notebook(
            master,
            notebook,
            submission.files,
            self.limits,
            self.place,
            submission.language,
            record.flags,
        )
        record.outcomes += [
            {"grade_id": grade_id, **outcome.to_dict()} for grade_id, outcome in outcomes.items()
        ]
        record.seconds += executed.seconds
        return bool(executed.lost)
