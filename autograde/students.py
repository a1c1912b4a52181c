"""Whose submissions are graded."""

import difflib
import fnmatch
from collections.abc import Sequence

from autograde.course import Course
from autograde.errors import CourseError


def chosen_students(course: Course, assignment: str, patterns: Sequence[str] | None = None) -> list[str]:
    """Ids of those who handed in and are to be graded, in order.

    Args:
        course: where; `CourseDirectory.student_id_exclude` is left out.
        assignment: of which assignment.
        patterns: ids, or patterns of ids as in a shell; default: `CourseDirectory.student_id`. What is somebody's id
            means nobody else.

    Raises:
        CourseError: when one of them fits nobody.
    """
    there = course.students(assignment)
    everyone = patterns is None and course.nbgrader.student_id == "*"
    chosen: set[str] = set()
    for pattern in patterns if patterns is not None else [course.nbgrader.student_id]:
        found = [pattern] if pattern in there and not everyone else fnmatch.filter(there, pattern)
        if not found:
            folder = course.path("submitted", pattern, assignment)
            close = difflib.get_close_matches(pattern, there, 3)
            hint = (
                f"did you mean {', '.join(close)}?"
                if close
                else f"there are: {', '.join(there[:9]) or 'none'}"
            )
            raise CourseError(f"no submission of {assignment}: there is no {folder}; {hint}")
        chosen |= set(found)
    excluded = course.nbgrader.student_id_exclude.split(",")
    return [student for student in there if student in chosen and student not in excluded]
