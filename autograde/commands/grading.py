"""Commands for submissions: run, look, report, hand back."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from autograde.commands.common import (
    CourseOption,
    JsonOption,
    app,
    course_of,
    err,
    out,
    print_records,
    progress_bar,
)
from autograde.course import Course
from autograde.errors import AutogradeError, LostError
from autograde.place import Where


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="ASSIGNMENT [NBGRADER OPTIONS]", show_default=False)
    ] = None,
    student: Annotated[
        list[str] | None, typer.Option("--student", help="Only these students; a pattern as in a shell, too.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Grade again what is graded already.")] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="Submissions at a time; default: cores.")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Run notebooks on the workers of this Dask scheduler.", show_default=False
        ),
    ] = None,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Notebooks whose release asks for a GPU get one each.")
    ] = False,
    isolation: Annotated[
        str, typer.Option(help='"bubblewrap", or "none" for a machine that may be lost.')
    ] = "bubblewrap",
    course: CourseOption = None,
) -> None:
    """Grade an assignment: a drop-in for `nbgrader autograde`, whose other options it takes too.

    Such as `--notebook "p*"`, `--db URL`, `--no-execute`, `--assignment NAME`, `--Execute.timeout=60`; docs/nbgrader.md
    has them all.
    """
    from autograde.run import run as run_all

    there = _course_or_id(course, arguments or [])
    name = _assignment_of(there)
    where = _where(dask, jobs, gpu)
    patterns = [_unquoted(each) for each in student] if student else None
    if isolation == "none":
        err.print("[bold red]no sandbox:[/] submitted code can read and change everything on this machine")
    with progress_bar(0, f"grading {name}") as progress:
        task = progress.task_ids[0]
        try:
            records = run_all(
                there,
                name,
                students=patterns,
                force=force,
                where=where,
                isolation=isolation,
                on_start=lambda count: progress.update(task, total=count),
                on_record=lambda record: progress.advance(task),
            )
        except (KeyboardInterrupt, LostError) as end:
            done, count = progress.tasks[0].completed, progress.tasks[0].total or 0
            lost = isinstance(end, LostError)
            why = f"stopped, {end}" if lost else "stopped"
            err.print(
                f"{why}: {done:g} of {count:g} are graded; the same command does the rest",
                markup=False,
                soft_wrap=True,
            )
            raise typer.Exit(2 if lost else 130) from None
    print_records(records)
    if any(record.state in ("unreadable", "failed") for record in records):
        raise typer.Exit(1)


def _where(dask: str | None, jobs: int | None, gpu: bool) -> Where:
    """Where notebooks are run."""
    if dask is None:
        from autograde.gpus import gpus_here
        from autograde.local import ThisMachine

        return ThisMachine(jobs, gpus_here() if gpu else None)
    try:
        from autograde.cluster import Cluster
    except ImportError as error:
        raise AutogradeError(f"--dask needs {error.name}: `pip install 'dask[distributed]'`") from error
    return Cluster(dask, jobs, gpu)


def _course_or_id(named: Path | None, arguments: list[str]) -> Course:
    """The course; `--course`, to nbgrader, is a course's id, and no folder."""
    if named is None or named.is_dir() or len(named.parts) > 1:
        return course_of(named, arguments)
    there = course_of(None, [*arguments, f"--CourseDirectory.course_id={named}"])
    err.print(
        f"--course {named}: no folder; taken for nbgrader's course id, in {there.root}", highlight=False
    )
    return there


def _assignment_of(course: Course) -> str:
    """The one that is named, as nbgrader has it: as an argument, with `--assignment`, or in a file of configuration."""
    words, configured = course.configuration.words, course.nbgrader.assignment_id
    if len(words) > 1:
        raise AutogradeError(f"one assignment at a time; got {', '.join(words)}")
    if words and configured:
        raise AutogradeError(
            f"two assignments: {words[0]!r}, and {configured!r} by option or configuration; say one"
        )
    if not words and not configured:
        raise AutogradeError("which assignment? `autograde run ASSIGNMENT`")
    return words[0] if words else configured


def _unquoted(student: str) -> str:
    """nbgrader's help has ids of digits in quotes of their own."""
    quoted = len(student) > 1 and student[0] == student[-1] and student[0] in "\"'"
    return student[1:-1] if quoted else student


@app.command()
def status(assignment: str, as_json: JsonOption = False, course: CourseOption = None) -> None:
    """How each submission of an assignment ended."""
    from autograde.record import read_records

    records = read_records(course_of(course), assignment)
    if as_json:
        keys = ("student", "state", "score", "max_score", "flags", "repairs", "reason", "needs_manual_grade")
        for record in records:
            print(json.dumps({key: asdict(record)[key] for key in keys}, ensure_ascii=False))
    else:
        print_records(records)
    if any(record.state in ("unreadable", "failed") for record in records):
        raise typer.Exit(1)


@app.command()
def report(
    assignment: str,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write.")] = None,
    language: Annotated[str | None, typer.Option(help='"en" or "zh"; default: the course\'s.')] = None,
    course: CourseOption = None,
) -> None:
    """Write the class report: one HTML page with scores, exercises, misconceptions and submissions."""
    from autograde.report import write_report

    out.print(write_report(course_of(course), assignment, output=output, language=language), highlight=False)


@app.command()
def feedback(
    assignment: str,
    student: Annotated[list[str] | None, typer.Option("--student", help="Only these students.")] = None,
    course: CourseOption = None,
) -> None:
    """Write the students' feedback pages, for nbgrader's release_feedback."""
    from autograde.feedback import generate

    there = course_of(course)
    with progress_bar(len(student or there.students(assignment)), f"feedback on {assignment}") as progress:
        done = generate(
            there,
            assignment,
            students=student,
            on_feedback=lambda written: progress.advance(progress.task_ids[0]),
        )
    for written in done:
        out.print(*written.pages, sep="\n", highlight=False, soft_wrap=True)
        if written.problem:
            err.print(f"{written.student}: {written.problem}", highlight=False, markup=False)
    if any(written.problem for written in done):
        raise typer.Exit(1)
