"""What the commands share: consoles, options, the progress bar, and finding courses and labs."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from autograde.course import Course, find_course, open_course
from autograde.errors import AutogradeError
from autograde.record import Record
from coursekit.check.light import number

if TYPE_CHECKING:
    from autograde.lab import Lab

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Release labs, grade them in a sandbox, record, report. Results go to stdout, everything else to stderr; "
    "exit status 0 only when all is well.",
)
out, err = Console(), Console(stderr=True)

CourseOption = Annotated[
    Path | None,
    typer.Option("--course", "--course-dir", help="The course directory; default: the one here or above."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON line for each result.")]


def course_of(path: Path | None, arguments: Sequence[str] = ()) -> Course:
    """The course named, or the one here or above; `arguments` are nbgrader's."""
    return open_course(path, arguments) if path else find_course(Path.cwd(), arguments)


def labs_named(names: list[str], folder: Path) -> "list[Lab]":
    """Labs by name (below `folder`) or by path."""
    from autograde.lab import find_labs, load_lab

    paths = [Path(name) if Path(name, "lab.py").is_file() else folder / name for name in names]
    for path in paths:
        if not (path / "lab.py").is_file():
            known = ", ".join(found.name for found in find_labs(folder)) or "none"
            raise AutogradeError(f"no lab {path.name!r} in {folder}; there are: {known}")
    return [load_lab(path) for path in paths]


class Rate(ProgressColumn):
    """How many are done in a minute."""

    def render(self, task: Task) -> Text:
        """Nothing until one is done."""
        return Text(f"{60 * task.speed:.0f} a minute" if task.speed else "", style="progress.data.speed")


@contextmanager
def progress_bar(total: int, text: str) -> Iterator[Progress]:
    """A bar with rate and time left, on stderr; on a pipe only the results are seen."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal and "CI" not in os.environ) as progress:
        progress.add_task(text, total=total)
        yield progress


def print_records(records: Sequence[Record]) -> None:
    """A table of how submissions ended."""
    table = Table("student", "state", "score", "notes")
    for record in records:
        score = "–" if record.score is None else f"{number(record.score)} / {number(record.max_score or 0)}"
        notes = [record.reason] if record.reason else []
        notes += [f"flag: {flag}" for flag in record.flags] + record.repairs
        notes += ["a written answer waits to be graded"] if record.needs_manual_grade else []
        table.add_row(record.student, record.state, score, "\n".join(notes))
    out.print(table)
