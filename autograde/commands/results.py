"""Commands for what comes after grading: marks for other systems, submissions that are alike."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from autograde.commands.common import CourseOption, app, course_of, err, out
from autograde.errors import AutogradeError
from autograde.export import FORMATS, Mark, read_marks, write_marks


@app.command()
def export(
    assignment: str,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write.")] = None,
    layout: Annotated[
        str, typer.Option("--format", help='"csv" (everyone, with the state), "moodle" or "canvas".')
    ] = "csv",
    bom: Annotated[
        bool, typer.Option("--bom", help="Begin with the mark by which Excel knows UTF-8 (Chinese names).")
    ] = False,
    course: CourseOption = None,
) -> None:
    """Write the marks of an assignment as CSV; what is not graded to its end has no score, which is not a 0."""
    if layout not in FORMATS:
        raise AutogradeError(f"--format must be one of {', '.join(FORMATS)}, got {layout!r}")
    there = course_of(course)
    marks = read_marks(there, assignment)
    name = assignment if layout == "csv" else f"{assignment}-{layout}"
    path = write_marks(
        marks, assignment, output or there.root / "reports" / f"{name}.csv", layout=layout, bom=bom
    )
    out.print(path, highlight=False, soft_wrap=True)
    absent = [mark for mark in marks if mark.state == "missing"]
    unmarked = [mark for mark in marks if mark.score is None and mark.state != "missing"]
    _say("nothing handed in", absent)
    _say("graded without isolation, do not rely on", [mark for mark in marks if not mark.isolated])
    for mark in unmarked:
        reason = f"{mark.state}: {mark.reason}" if mark.reason else mark.state
        err.print(f"no mark for {mark.student} ({reason})", highlight=False, markup=False, soft_wrap=True)
    if unmarked:
        raise typer.Exit(1)


def _say(what: str, marks: Sequence[Mark]) -> None:
    if marks:
        names = ", ".join(mark.student for mark in marks)
        err.print(f"{what}: {names}", highlight=False, markup=False, soft_wrap=True)
