"""The page of `autograde similarity`: pairs that are alike, side by side, and weights that several handed in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from copydetect import CodeFingerprint, compare_files
from copydetect.utils import highlight_overlap
from markupsafe import Markup
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from autograde.course import Course
from autograde.page import full_names, read_words, templates, write_page
from autograde.similarity import ALIKE, ALIKE_CELL, Comparison, K, Pair
from coursekit.check.show import with_code

MAX_SHOWN = 50  # pairs side by side
MAX_LISTED = 500  # pairs by name


@dataclass(frozen=True)
class CellView:
    """A cell of two students, with what they share marked."""

    name: str
    share: float
    left: Markup
    right: Markup


@dataclass(frozen=True)
class PairView:
    """A pair with the cells that are alike."""

    pair: Pair
    cells: list[CellView]


def write_similarity(
    course: Course,
    assignment: str,
    comparison: Comparison,
    *,
    output: Path | None = None,
    language: str | None = None,
) -> Path:
    """Write the page.

    Args:
        output: the file; default: `reports/<assignment>-similarity.html` in the course.
        language: "en" or "zh"; default: the course's.

    Returns:
        The file.

    Raises:
        CourseError: when there is no such language.
    """
    path = output or course.root / "reports" / f"{assignment}-similarity.html"
    words = read_words(language or course.settings.get("language", "en"))
    pairs = [pair for pair in comparison.pairs if pair.shared]
    names = full_names(course)
    everyone = {*comparison.students, *(student for student, _ in comparison.notes)}
    page = (
        templates()
        .get_template("similarity.html.j2")
        .render(
            assignment=assignment,
            course_id=course.nbgrader.course_id,
            words=words,
            now=datetime.now().astimezone(),
            compared=len(comparison.students),
            total=len(pairs),
            groups=groups(pairs),
            shown=[PairView(pair, list(_cells(comparison, pair))) for pair in pairs[:MAX_SHOWN]],
            listed=pairs[MAX_SHOWN : MAX_SHOWN + MAX_LISTED],
            beyond=max(0, len(pairs) - MAX_SHOWN - MAX_LISTED),
            weights=comparison.weights,
            notes=comparison.notes,
            who={student: names.get(student) or student for student in everyone},
            k=K,
            alike=round(100 * ALIKE),
            alike_cell=round(100 * ALIKE_CELL),
            code=lambda text: Markup(with_code(text)),
        )
    )
    return write_page(path, page)


def groups(pairs: Sequence[Pair]) -> list[list[str]]:
    """Three students or more who hang together by pairs that are alike, the largest group first."""
    students = sorted({student for pair in pairs for student in pair.students})
    place = {student: i for i, student in enumerate(students)}
    rows, columns = ([place[pair.students[side]] for pair in pairs] for side in (0, 1))
    links = coo_array(([1] * len(pairs), (rows, columns)), shape=(len(students), len(students)))
    count, labels = connected_components(links, directed=False)
    found = [[s for s, label in zip(students, labels, strict=True) if label == i] for i in range(count)]
    return sorted((group for group in found if len(group) > 2), key=lambda group: (-len(group), group))


def _cells(comparison: Comparison, pair: Pair) -> Iterator[CellView]:
    several = len({notebook for notebook, _ in pair.cells}) > 1
    for cell, share in pair.cells.items():
        left, right = (comparison.cells[student][cell] for student in pair.students)
        _, _, slices = compare_files(left, right)
        sides = (_marked(found, places) for found, places in zip((left, right), slices, strict=True))
        yield CellView("/".join(cell) if several else cell[1], share, *sides)


def _marked(found: CodeFingerprint, slices: object) -> Markup:
    """The source, escaped, with the slices marked."""
    text, _ = highlight_overlap(found.raw_code, slices, "<mark>", "</mark>", escape_html=True)
    return Markup(text)
