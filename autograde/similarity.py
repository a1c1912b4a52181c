"""`autograde similarity`: who handed in what somebody else handed in. It takes no point; it says where a person should look.

Compared are the cells that students write, each with the same cell of the others, by the fingerprints of `copydetect`
(Schleimer, Wilkerson, Aiken: Winnowing, SIGMOD 2003): fragments of K characters of code in which names count alike, and
comments and blanks not at all. Every fragment is kept (a window of 1), so that the result is the same each time.

Right answers to a short question look alike, so a fragment counts only where it is a student's own: not in what was
released and not in the reference solution. And it counts the less, the more students have it: by its inverse document
frequency, 1 where only two have it, COMMON at least, for what half a class copied is not nothing either.
"""

import hashlib
import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import nbformat
import numpy as np
from copydetect import CodeFingerprint
from scipy.sparse import csr_array

from autograde.course import Course
from autograde.intake import Submission, take_in
from autograde.master import MasterNotebook, read_masters
from autograde.release import HANDOUT
from coursekit.check.lab import SUFFIX

K = 25  # characters in a fragment of code, or of text in letters
K_CHINESE = 10  # of text in Chinese characters
ALIKE = 0.7  # of the smaller one's own fragments, over the whole notebook
ALIKE_CELL = 0.85  # the same where it is one cell alone
ENOUGH = 150  # fragments, so that it cannot be chance
HALF = 0.5  # from this share on, a cell of such a pair is shown
COMMON = 1 / 3  # what a fragment counts that all have
MAX_CHARACTERS = 50_000  # of one cell

# As if so many more had other answers: in a small class, what all share could be what all copied.
_OTHERS = 10
_SELF = re.compile(r"\bself\b")

Cell = tuple[str, str]  # notebook and grade id


@dataclass(frozen=True)
class Pair:
    """Two students whose work is alike.

    Attributes:
        shared: own fragments in common, each counted by its rarity.
        coverage: the share of them in the own fragments of the one who has fewer, over the whole notebook.
        cells: the same share in each cell where it is at least HALF, the cell with the most in common first.
        weights: names of weights files that are the same file.
    """

    students: tuple[str, str]
    shared: float = 0.0
    coverage: float = 0.0
    cells: dict[Cell, float] = field(default_factory=dict)
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class SameWeights:
    """One and the same weights file, handed in by several students."""

    name: str
    sha256: str
    students: list[str]


@dataclass
class Comparison:
    """What came of comparing the submissions of an assignment.

    Attributes:
        students: who was compared.
        pairs: whose work is alike, most in common first; then those who share nothing but weights.
        weights: files that several handed in.
        notes: what could not be compared, and of whom.
        cells: fingerprints of the cells by student, own fragments only.
    """

    students: list[str]
    pairs: list[Pair]
    weights: list[SameWeights]
    notes: list[tuple[str, str]]
    cells: dict[str, dict[Cell, CodeFingerprint]]


def compare(
    course: Course, assignment: str, *, on_read: Callable[[str], None] = lambda student: None
) -> Comparison:
    """Compare the submissions of an assignment with each other.

    Raises:
        CourseError: when the assignment is not in the gradebook.
    """
    masters = read_masters(course, assignment)
    template = _template(course, assignment, masters)
    released = set(_released(course, assignment))
    cells: dict[str, dict[Cell, CodeFingerprint]] = {}
    files: dict[str, dict[str, str]] = defaultdict(dict)
    notes: list[tuple[str, str]] = []
    for student in course.students(assignment):
        try:
            submission = take_in(student, course.path("submitted", student, assignment), masters)
            for name, digest in _weights(submission):
                if digest not in released:
                    files[digest][student] = name
        except OSError as error:
            notes.append((student, f"cannot be read: {error}"))
            on_read(student)
            continue
        if submission.problem:
            notes.append((student, submission.problem))
        else:
            cells[student] = dict(_own(masters, submission, template, notes))
        on_read(student)
    weights = [
        SameWeights(min(who.values()), digest, sorted(who)) for digest, who in files.items() if len(who) > 1
    ]
    weights.sort(key=lambda same: (-len(same.students), same.name))
    return Comparison(sorted(cells), _pairs(cells, weights), weights, notes, cells)


def fingerprint(source: str, kind: str, template: Set[int] = frozenset()) -> CodeFingerprint:
    """The fragments of a cell that are not in the template; `kind` is "code" or "markdown"."""
    found = _text(source) if kind != "code" else _code(source)
    found.hashes -= template
    found.hash_idx = {each: found.hash_idx[each] for each in found.hashes}
    return found


def _code(source: str) -> CodeFingerprint:
    # Beginning and lines as the lexer makes them, for places in the one are places in the other.
    text = source.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff").strip("\n")[:MAX_CHARACTERS]
    # To the lexer `self` is no name as any other, and `@W` is a decorator also where it multiplies; in the same length:
    lexed = _SELF.sub("this", text).replace("@", "^")
    found = CodeFingerprint("code", K, 1, language="python", fp=io.StringIO(lexed))
    found.raw_code = text
    # Of a class's name, copydetect notes only its own length, not how much was left out before it.
    found.offsets[:, 1] = np.maximum.accumulate(found.offsets[:, 1])
    return found


def _text(source: str) -> CodeFingerprint:
    text = " ".join(source[:MAX_CHARACTERS].split())
    chinese = sum("\u4e00" <= sign <= "\u9fff" for sign in text) > len(text) / 3
    return CodeFingerprint("text", K_CHINESE if chinese else K, 1, filter=False, fp=io.StringIO(text))


def _template(course: Course, assignment: str, masters: Sequence[MasterNotebook]) -> set[int]:
    """Fragments that are nobody's own: of all that was released, and of the reference solution where it is there."""
    cells = [(cell.visible, cell.cell_type) for master in masters for cell in master.cells.values()]
    for master in masters:
        source = course.path("source", ".", assignment) / f"{master.name}.ipynb"
        if source.is_file():
            cells += [(cell.source, cell.cell_type) for cell in nbformat.read(source, as_version=4).cells]
    return set().union(*(fingerprint(source, kind).hashes for source, kind in cells))


def _own(
    masters: Sequence[MasterNotebook],
    submission: Submission,
    template: set[int],
    notes: list[tuple[str, str]],
) -> Iterator[tuple[Cell, CodeFingerprint]]:
    """The fingerprints of the cells that a student wrote, without the template's fragments."""
    for master in masters:
        for cell in submission.notebooks[master.name].cells if master.name in submission.notebooks else ():
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
            if grade_id not in master.cells or not master.cells[grade_id].solution:
                continue
            if len(cell.source) > MAX_CHARACTERS:
                notes.append((submission.student, f"{grade_id}: only {MAX_CHARACTERS} characters compared"))
            yield (master.name, grade_id), fingerprint(cell.source, cell.cell_type, template)


def _pairs(cells: dict[str, dict[Cell, CodeFingerprint]], weights: Sequence[SameWeights]) -> list[Pair]:
    same: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in weights:
        for students in combinations(each.students, 2):
            same[students].append(each.name)
    found = [replace(pair, weights=tuple(same.pop(pair.students, ()))) for pair in alike(cells)]
    rest = [Pair(students, weights=tuple(names)) for students, names in same.items()]
    return sorted([*found, *rest], key=lambda pair: (-pair.shared, pair.students))


def alike(cells: Mapping[str, Mapping[Cell, CodeFingerprint]]) -> Iterator[Pair]:
    """Pairs that share enough of what is their own, in one cell or over the whole notebook.

    Args:
        cells: by student, the fingerprints of their cells.
    """
    students = sorted(cells)
    counts: dict[Cell, Counter[int]] = defaultdict(Counter)
    for student in students:
        for cell, found in cells[student].items():
            counts[cell].update(found.hashes)
    by_cell = {cell: _shared(students, cells, cell, counts[cell]) for cell in counts}
    if not by_cell:
        return
    whole = sum(by_cell.values(), np.zeros((len(students), len(students))))
    coverage = _coverage(whole)
    coverages = {cell: _coverage(shared) for cell, shared in by_cell.items()}
    alike = (whole >= ENOUGH) & (coverage >= ALIKE)
    for cell, shared in by_cell.items():
        alike |= (shared >= ENOUGH) & (coverages[cell] >= ALIKE_CELL)
    for i, j in np.argwhere(np.triu(alike, 1)):
        most = sorted(
            (cell for cell in by_cell if coverages[cell][i, j] >= HALF), key=lambda c: -by_cell[c][i, j]
        )
        yield Pair(
            (students[i], students[j]),
            float(whole[i, j]),
            float(coverage[i, j]),
            {cell: float(coverages[cell][i, j]) for cell in most},
        )


def _shared(
    students: Sequence[str],
    cells: Mapping[str, Mapping[Cell, CodeFingerprint]],
    cell: Cell,
    counts: Counter[int],
) -> np.ndarray:
    """How much each two students have in common in a cell; on the diagonal, how much each has."""
    columns = {fragment: i for i, fragment in enumerate(counts)}
    n = len(students) + _OTHERS
    rarity = np.clip(np.log(n / np.array(list(counts.values()))) / math.log(n / 2), COMMON, 1)
    rows, places = [], []
    for i, student in enumerate(students):
        if found := cells[student].get(cell):
            rows += [i] * len(found.hashes)
            places += [columns[fragment] for fragment in found.hashes]
    has = csr_array((np.ones(len(rows)), (rows, places)), shape=(len(students), len(columns)))
    return (has.multiply(rarity).tocsr() @ has.T).toarray()


def _coverage(shared: np.ndarray) -> np.ndarray:
    own = shared.diagonal()
    smaller = np.minimum.outer(own, own)
    return np.divide(shared, smaller, out=np.zeros_like(shared), where=smaller > 0)


def _weights(submission: Submission) -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of the weights that were handed in."""
    for relative, path in submission.files.items():
        if relative.suffix == ".safetensors" and not relative.name.endswith(SUFFIX):
            yield str(relative), _sha256(path)


def _released(course: Course, assignment: str) -> Iterator[str]:
    """SHA-256 of every file that students were given."""
    folders = [course.path("release", ".", assignment), *(course.root / HANDOUT).glob(f"*/{assignment}")]
    for folder in folders:
        for path in folder.rglob("*.safetensors"):
            yield _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
