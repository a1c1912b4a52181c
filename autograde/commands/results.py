"""Commands for what comes after grading: marks for other systems, submissions that are alike."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from autograde.commands.common import CourseOption, app, course_of, err, out, progress_bar
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


@app.command()
def similarity(
    assignment: str,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The page to write.")] = None,
    language: Annotated[str | None, typer.Option(help='"en" or "zh"; default: the course\'s.')] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON line for each pair; a page only with --output.")
    ] = False,
    course: CourseOption = None,
) -> None:
    """Find submissions that are alike beyond what was handed out, and weights handed in twice: for a person to look at."""
    from autograde.page import read_words
    from autograde.similarity import compare
    from autograde.similarity_page import write_similarity

    there = course_of(course)
    read_words(language or "en")  # a language that we do not have is said before the work, not after it
    with progress_bar(len(there.students(assignment)), f"comparing {assignment}") as progress:
        found = compare(there, assignment, on_read=lambda student: progress.advance(progress.task_ids[0]))
    for pair in found.pairs if as_json else ():
        line = {
            "students": pair.students,
            "shared": round(pair.shared, 1),
            "coverage": round(pair.coverage, 3),
            "cells": {"/".join(cell): round(share, 3) for cell, share in pair.cells.items()},
            "weights": pair.weights,
        }
        print(json.dumps(line, ensure_ascii=False))
    for student, note in found.notes:
        err.print(f"{student}: {note}", highlight=False, markup=False, soft_wrap=True)
    if output or not as_json:
        page = write_similarity(there, assignment, found, output=output, language=language)
        (err if as_json else out).print(page, highlight=False, soft_wrap=True)


def _say(what: str, marks: Sequence[Mark]) -> None:
    if marks:
        names = ", ".join(mark.student for mark in marks)
        err.print(f"{what}: {names}", highlight=False, markup=False, soft_wrap=True)
