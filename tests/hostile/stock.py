"""The same submissions, given to stock `nbgrader autograde`, and its result beside ours, as a table in Markdown.

    python tests/hostile/stock.py [-j 2] > table.md

nbgrader has no sandbox and the attacks are real: so the whole command runs in one of ours, as an ordinary user without
network, in memory, with our limits for each process, and is ended after `SECONDS`. Each submission has a course of its own,
so that what one does to the gradebook or the next is not seen in another's line.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asserting
import attacks
import nbgrader
from nbgrader.api import Gradebook, MissingEntry
from submissions import HOSTILE_LIMITS, Attack, hand_in

import autograde
from autograde.course import Course, Limits, init_course
from autograde.lab import load_lab
from autograde.local import ThisMachine
from autograde.record import Record, read_records
from autograde.release import release
from autograde.run import run
from autograde.sandbox import ROOM, as_user, bound, give, rlimits, some_uid, variables, walls

SECONDS = 300
LIMITS = Limits(8, 60, 3000, 48, 2_000_000, 256)
TINY = Path(__file__).parents[1] / "autograde" / "tiny"
_COPY = f'cp -r {ROOM}/course/. {ROOM}/work && cd {ROOM}/work && umask 022 && exec "$@"'
# The cell that loads the libraries needs its time too; it is not told from the others.
_OPTIONS = ("--Execute.timeout=60",)
_ERROR = re.compile(r"^ *(?:\w+\.)*(\w+(?:Error|Exception|Timeout))\b", re.MULTILINE)


@dataclass(frozen=True)
class Stock:
    """How `nbgrader autograde` ended, and what is in the gradebook then."""

    score: float | None
    text: str


def stock(course: Course, assignment: str, student: str) -> Stock:
    """Grade one submission with nbgrader, contained."""
    with tempfile.TemporaryDirectory(prefix="ag-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        work, uid = Path(folder, "work"), some_uid()
        work.mkdir()
        give(work, uid)
        alone = Path(folder, "course")
        ignore = shutil.ignore_patterns("submitted", "autograded", ".autograde")
        shutil.copytree(course.root, alone, ignore=ignore)
        shutil.copytree(course.root / "submitted" / student, alone / "submitted" / student, symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", str(alone)], check=True)
        done = _contained(
            alone, work, uid, [sys.executable, "-m", "nbgrader", "autograde", assignment, *_OPTIONS]
        )
        return _found(work, course.nbgrader.course_id, assignment, student, done)


def _contained(course: Path, work: Path, uid: int, command: list[str]) -> str:
    """What ended a command in a copy of the course: "" where nothing did."""
    line = [*walls(), "--proc", "/proc", "--perms", "1777", "--size", str(2**29), "--tmpfs", "/tmp"]
    package = Path(autograde.__file__).parent
    inside = {ROOM / "course": course, ROOM / "work": work, package: package}
    line += bound(inside, writable=[ROOM / "work"])
    line += variables({"HOME": str(ROOM / "work")})
    prlimits = [f"--{name}={value}" for name, value in rlimits(LIMITS).items()]
    line += ["--", *as_user(uid), "prlimit", *prlimits, "sh", "-c", _COPY, "sh", *command]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            status = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return f"not ended in {SECONDS} s"
        log.seek(max(0, log.tell() - 20_000))
        errors = _ERROR.findall(log.read().decode("utf-8", "replace"))
    return "" if status == 0 else errors[-1] if errors else f"exit status {status}"


def _found(work: Path, course_id: str, assignment: str, student: str, ended: str) -> Stock:
    """What lies in the folder afterwards; its configuration may be the submission's, and is not read."""
    if not any((work / "autograded" / student / assignment).glob("*.ipynb")):
        return Stock(None, f"none ({ended or 'skipped'})")
    with Gradebook(f"sqlite:///{work}/gradebook.db", course_id) as gradebook:
        try:
            submission = gradebook.find_submission(assignment, student)
        except MissingEntry:
            return Stock(None, f"none ({ended or 'not in the gradebook'})")
        grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
        waiting = [grade.name for grade in grades if grade.needs_manual_grade and grade.name != "why"]
        notes = [f"{', '.join(waiting)} left to a person"] if waiting else []
        notes += [ended] if ended else []
        return Stock(submission.score, f"{submission.score:g}" + (f" ({'; '.join(notes)})" if notes else ""))


def rows(course: Course, assignment: str, cases: list[Attack], jobs: int) -> Iterator[str]:
    """A line of the table for each attack; nbgrader comes first, so that our scores are not in the gradebook it gets."""
    theirs: dict[str, Stock] = {}
    with ThreadPoolExecutor(jobs) as pool:
        for attack, found in zip(
            cases, pool.map(lambda each: stock(course, assignment, each.student), cases), strict=True
        ):
            theirs[attack.student] = found
            print(attack.student, found.text, file=sys.stderr, flush=True)
    run(course, assignment, students=[attack.student for attack in cases], where=ThisMachine(jobs))
    ours = {record.student: record for record in read_records(course, assignment)}
    for attack in cases:
        yield _row(attack, theirs[attack.student], ours[attack.student])


def _row(attack: Attack, theirs: Stock, record: Record) -> str:
    score = "none" if record.score is None else f"{record.score:g}"
    cells = [
        str(attack.row),
        attack.name.replace("_", " "),
        theirs.text,
        score,
        record.state,
        textwrap.shorten("; ".join(record.flags), 110, placeholder=" …"),
    ]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def value_checks(root: Path) -> Course:
    """A course of this package's kind, with everything handed in."""
    made = init_course(root, course_id="hostile", language="en", labs=TINY.parent)
    settings = root / "autograde.toml"
    text = settings.read_text("utf-8")
    settings.write_text(text.split("[limits]")[0] + HOSTILE_LIMITS, "utf-8")
    release(Course(made.root), load_lab(TINY))
    for attack in attacks.ATTACKS:
        hand_in(root / "handout" / "en" / "tiny", root / "submitted" / attack.student / "tiny", attack)
    return Course(root)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="nbgrader's results beside ours")
    parser.add_argument("-j", "--jobs", type=int, default=1)
    parser.add_argument("-k", "--only", default="", help="attacks with this in their names")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        values, foreign = Path(folder, "values"), Path(folder, "foreign")
        asserting.make_course(foreign)
        courses = (
            (f"Value checks, of {attacks.FULL:g}", value_checks(values), "tiny", attacks.ATTACKS),
            (f"Assert cells, of {asserting.FULL:g}", Course(foreign), "ps1", asserting.ATTACKS),
        )
        for title, course, assignment, all_attacks in courses:
            print(f"\n### {title}\n\n| # | attack | nbgrader {nbgrader.__version__} | ours | state | flags |")
            print("|---|---|---|---|---|---|", flush=True)
            chosen = [attack for attack in all_attacks if options.only in attack.student]
            for row in rows(course, assignment, chosen, options.jobs):
                print(row, flush=True)


if __name__ == "__main__":
    main()
