"""What the instructor's pages share: words in two languages, the templates, names, and how a page is written."""

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from nbgrader.api import Gradebook

from autograde.course import Course
from autograde.errors import CourseError
from coursekit.check.show import LANGUAGES


def read_words(language: str) -> dict[str, Any]:
    """The words of the pages in a language.

    Raises:
        CourseError: when there is no such language.
    """
    if language not in LANGUAGES:
        raise CourseError(f"language must be one of {', '.join(LANGUAGES)}, got {language!r}")
    return tomllib.loads(files("autograde").joinpath("templates", "words.toml").read_text("utf-8"))[language]


@cache
def templates() -> Environment:
    """The pages' templates; whatever they are given is escaped."""
    return Environment(
        loader=PackageLoader("autograde"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def full_names(course: Course) -> dict[str, str]:
    """By student id, the name in the gradebook; "" where it has none."""
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        return {student.id: _full_name(student) for student in gradebook.students}


def _full_name(student: Any) -> str:
    """First and last name; in Chinese the family name comes first, without a space."""
    first, last = student.first_name or "", student.last_name or ""
    return last + first if "\u4e00" <= last[:1] <= "\u9fff" else f"{first} {last}".strip()


def write_page(path: Path, text: str) -> Path:
    """Write a page; what a submission holds that is no text at all (half a surrogate pair) becomes a question mark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "replace"))
    return path
