"""`autograde feedback`: nbgrader's feedback pages with our boxes, without hidden values, and with no script of a submission."""

import base64
import copy
import glob
import hashlib
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import bleach
from bleach.css_sanitizer import ALLOWED_CSS_PROPERTIES, CSSSanitizer
from bs4 import BeautifulSoup
from jinja2 import Environment, PackageLoader
from nbgrader import utils
from nbgrader.converters import GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import ClearHiddenTests, GetGrades, NbGraderPreprocessor
from sqlalchemy.exc import SAWarning
from traitlets import Dict, List, Unicode

from autograde.cells import new_output
from autograde.course import Course
from autograde.errors import AutogradeError
from autograde.log import captured_log
from autograde.master import read_masters
from autograde.page import read_words
from autograde.record import Record, read_records
from coursekit.check.show import Box
from coursekit.check.verdict import Outcome

# What nbgrader's release_feedback needs beside the pages, and what a page may show.
_KEPT = {"timestamp.txt", "submission_secret.txt"}
_IMAGES = {".png", ".jpg", ".jpeg", ".gif", ".webp"}

_TAGS = {
    *bleach.ALLOWED_TAGS,
    *(
        "p",
        "br",
        "hr",
        "div",
        "span",
        "pre",
        "small",
        "sub",
        "sup",
        "del",
        "kbd",
        "img",
        "details",
        "summary",
    ),
    *("h1", "h2", "h3", "h4", "h5", "h6", "dl", "dt", "dd", "figure", "figcaption"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
}
_STYLES = CSSSanitizer(
    allowed_css_properties=ALLOWED_CSS_PROPERTIES
    | {"background", "border", "border-left", "margin", "max-width", "padding"}
)

_MATHJAX_HOME = "https://cdnjs.cloudflare.com/ajax/libs/mathjax/2.7.7/"
_MATHJAX = f"{_MATHJAX_HOME}latest.js?config=TeX-AMS_CHTML-full,Safe"
_MATHJAX_CONFIG = (
    r'window.MathJax = {messageStyle: "none", tex2jax: {inlineMath: [["$", "$"], ["\\(", "\\)"]], '
    r'displayMath: [["$$", "$$"], ["\\[", "\\]"]], processEscapes: true}};'
)
_CONFIG_HASH = base64.b64encode(hashlib.sha256(_MATHJAX_CONFIG.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; font-src {_MATHJAX_HOME}; "
    f"script-src 'sha256-{_CONFIG_HASH}' {_MATHJAX_HOME}; base-uri 'none'; form-action 'none'"
)

# Messages of a hidden check that carry no expected value: what the student's own code raised, shapes, kinds, accuracy.
_WITHOUT_VALUES = re.compile(
    r"(\[[^\]]*\] )?(your code raised |\d[\d.]*% of the check's|([\w. \[\]]*: )?expected "
    r"(shape \(|a (tensor|number|list|tuple|dictionary)\b|finite numbers|text, |True or False, ))"
)
_DIFFERS = {
    "en": "on inputs that you have not seen, the result is not the expected one.",
    "zh": "在你没有见过的输入上，结果与预期不符。",
}


@dataclass(frozen=True)
class Feedback:
    """What was written for one student, or why nothing was."""

    student: str
    pages: list[Path]
    problem: str = ""


class PrepareCells(NbGraderPreprocessor):
    """Makes an autograded notebook ready for its student; it runs while the hidden regions are still there."""

    outcomes: Any = Dict(help="By grade id, the outcomes that were recorded").tag(config=True)
    language = Unicode("en", help="Language of the page").tag(config=True)
    notes: Any = List(help="Sentences for the head of the page").tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> Any:
        """Drop what the template must not see, and give it its words."""
        nb, resources = super().preprocess(nb, resources)
        nb.metadata.pop("widgets", None)
        resources["autograde"] = {
            "words": read_words(self.language),
            "notes": list(self.notes),
            "css": _template("feedback.css"),
            "policy": _POLICY,
            "mathjax": _MATHJAX,
            "mathjax_config": _MATHJAX_CONFIG,
        }
        return nb, resources

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> Any:
        """Keep nbgrader's metadata only; show of a hidden check no more than its box."""
        cell.metadata = {"nbgrader": cell.metadata["nbgrader"]} if "nbgrader" in cell.metadata else {}
        if cell.cell_type != "code":
            return cell, resources
        hidden = ClearHiddenTests(parent=self).begin_test_delimeter in cell.source
        if utils.is_grade(cell) and not utils.is_solution(cell):
            cell.metadata["autograde_hidden"] = hidden
            self._show(cell, hidden)
        for output in cell.outputs:
            # The template writes width and height into a tag.
            if "metadata" in output:
                output.metadata = {}
        return cell, resources

    def _show(self, cell: Any, hidden: bool) -> None:
        """Put the box of a check in the place of its outputs; what the student's code printed stays, if it saw public inputs."""
        found = self.outcomes.get(cell.metadata["nbgrader"]["grade_id"])
        outputs = [] if hidden else list(cell.outputs)
        if found is not None:
            outcome = Outcome(**{key: found[key] for key in found if key != "grade_id"})
            box = Box(without_values(outcome) if hidden else outcome, self.language)
            data = {"text/html": box._repr_html_(), "text/plain": repr(box)}
            outputs = [output for output in outputs if output.output_type == "stream"]
            outputs.append(new_output("display_data", data=data))
        cell.outputs = outputs


class ClearRegions(ClearHiddenTests):
    """nbgrader's step, for the cells of the release only: a student may have written its words in an answer."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> Any:
        """Clear a test cell."""
        if utils.is_grade(cell) and not utils.is_solution(cell):
            return super().preprocess_cell(cell, resources, cell_index)
        return cell, resources


def without_values(outcome: Outcome) -> Outcome:
    """An outcome of a hidden check as its student may see it: neither inputs nor expected values are in it."""
    outcome = replace(outcome, call="")
    text = outcome.message.get("en", "")
    if outcome.status in ("correct", "not attempted", "error") or _WITHOUT_VALUES.match(text):
        return outcome
    message = {
        language: _group(outcome.message.get(language, text)) + said for language, said in _DIFFERS.items()
    }
    return replace(outcome, message=message)


def _group(message: str) -> str:
    """The group of cases that a message begins with, in brackets."""
    found = re.match(r"\[[^\]]*\] ?", message)
    return found[0] if found else ""


def safe_html(html: str) -> str:
    """HTML with which a page can be formatted and nothing can be run, sent or laid over something else."""
    soup = BeautifulSoup(str(html), "html.parser")
    for element in soup(["script", "style"]):  # bleach would keep their text
        element.decompose()
    return bleach.clean(
        str(soup),
        tags=_TAGS,
        attributes=_allowed,
        protocols={"http", "https", "mailto", "data"},
        css_sanitizer=_STYLES,
        strip=True,
    )


def _allowed(tag: str, name: str, value: str) -> bool:
    data = value.strip().lower().startswith("data:")
    if tag == "img" and name == "src":
        return not data or value.strip().lower().startswith("data:image/")
    if tag == "a" and name == "href":
        return not data
    extra = {"img": ("alt", "width", "height"), "td": ("colspan", "rowspan"), "th": ("colspan", "rowspan")}
    return name in ("class", "style", "title", "align", *extra.get(tag, ()))


def generate(
    course: Course,
    assignment: str,
    *,
    students: list[str] | None = None,
    on_feedback: Callable[[Feedback], None] = lambda feedback: None,
) -> list[Feedback]:
    """Write the feedback pages of an assignment to where nbgrader's release_feedback looks for them.

    Args:
        students: only these; default: everyone who handed something in.
        on_feedback: called after each student.

    Raises:
        AutogradeError: when a student named has handed in nothing.
    """
    notebooks = [master.name for master in read_masters(course, assignment)]
    records = {record.student: record for record in read_records(course, assignment)}
    handed_in = [student for student, record in records.items() if record.state != "missing"]
    unknown = sorted(set(students or []) - set(handed_in))
    if unknown:
        raise AutogradeError(
            f"nothing handed in for {assignment} by {', '.join(unknown)}; there are: {', '.join(handed_in) or 'none'}"
        )
    done = []
    for student in students or handed_in:
        done.append(_one(course, assignment, records[student], notebooks))
        on_feedback(done[-1])
    return done


def _one(course: Course, assignment: str, record: Record, notebooks: list[str]) -> Feedback:
    folder = course.path("feedback", record.student, assignment)
    if record.state == "failed":
        return Feedback(record.student, [], f"not graded: {record.reason or 'run it again'}")
    try:
        if record.state == "unreadable" and not record.notebooks:
            _copy_needed(course, assignment, record, folder)
        else:
            _convert(course, assignment, record)
            _keep_needed(folder, notebooks)
        if record.state == "unreadable":
            _write_reason(
                record, [name for name in notebooks if not (folder / f"{name}.html").exists()], folder
            )
    except AutogradeError as error:
        return Feedback(record.student, [], str(error))
    return Feedback(record.student, sorted(folder.glob("*.html")))


def _convert(course: Course, assignment: str, record: Record) -> None:
    config = copy.deepcopy(course.config)
    config.CourseDirectory.assignment_id = assignment
    config.CourseDirectory.student_id = glob.escape(record.student)  # nbgrader takes it as a pattern
    config.GenerateFeedback.force = True
    config.GenerateFeedback.preprocessors = [PrepareCells, ClearRegions, GetGrades]
    config.PrepareCells.outcomes = {outcome["grade_id"]: outcome for outcome in record.outcomes}
    config.PrepareCells.language = record.language
    config.PrepareCells.notes = list(record.repairs)
    config.HTMLExporter.template_name = "feedback"
    config.HTMLExporter.extra_template_basedirs = [str(files("autograde").joinpath("templates"))]
    config.HTMLExporter.filters = {"safe_html": "autograde.feedback.safe_html"}
    config.HTMLExporter.exclude_anchor_links = True
    converter: Any = GenerateFeedback(coursedir=CourseDirectory(config=config), config=config)
    with captured_log(converter) as log, warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        warnings.filterwarnings("ignore", message="Your element with mimetype")
        try:
            converter.start()
        except (Exception, SystemExit) as error:  # nbgrader ends the program when a notebook fails
            raise AutogradeError(
                f"nbgrader could not write the feedback of {record.student}: {error}\n{log.getvalue()}"
            ) from error


def _keep_needed(folder: Path, notebooks: list[str]) -> None:
    """nbgrader copies everything of the submission; an HTML page of the student's own must not pass for feedback."""
    pages = {f"{name}.html" for name in notebooks}
    for path in _ordinary(folder):
        top = path.parent == folder
        if not (top and path.name in pages | _KEPT) and path.suffix.lower() not in _IMAGES:
            path.unlink()


def _ordinary(folder: Path) -> Iterator[Path]:
    yield from [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]


def _copy_needed(course: Course, assignment: str, record: Record, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    submitted = course.path("submitted", record.student, assignment)
    for name in _KEPT:
        if (submitted / name).is_file() and not (submitted / name).is_symlink():
            shutil.copyfile(submitted / name, folder / name)


def _write_reason(record: Record, notebooks: list[str], folder: Path) -> None:
    environment = Environment(loader=PackageLoader("autograde"), autoescape=True)
    template = environment.get_template("unreadable.html.j2")
    for name in notebooks:
        page = template.render(words=read_words(record.language), notebook=name, reason=record.reason)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")


def _template(name: str) -> str:
    return files("autograde").joinpath("templates", name).read_text("utf-8")
