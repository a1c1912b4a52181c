"""Commands for labs: release, prove, calibrate."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from autograde.commands.common import (
    CourseOption,
    JsonOption,
    app,
    course_of,
    err,
    labs_named,
    out,
    progress_bar,
)
from autograde.course import default_labs, init_course
from autograde.errors import AutogradeError


@app.command()
def init(
    folder: Path,
    course_id: Annotated[str, typer.Option(help="nbgrader's id of the course.")] = "",
    language: Annotated[str, typer.Option(help='Language of the released notebooks, "en" or "zh".')] = "en",
) -> None:
    """Make a course directory: nbgrader's layout and configuration, and the secret of the hidden checks."""
    course = init_course(folder, course_id=course_id or folder.resolve().name, language=language)
    out.print(f"course in {course.root}\nnext: cd {folder} && autograde release cnn_mnist", highlight=False)


@app.command()
def release(
    labs: list[str],
    course: CourseOption = None,
    notebooks: Annotated[
        Path | None, typer.Option(help="Write only the students' notebooks, below this folder.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="With --notebooks: change nothing, say whether they are up to date."),
    ] = False,
) -> None:
    """Release labs: students' notebooks in both languages, and in a course the gradebook too."""
    from autograde.release import release as release_one
    from autograde.release import stale, student_notebooks

    if notebooks is None:
        there = course_of(course)
        for lab in labs_named(labs, there.labs):
            released = release_one(there, lab)
            out.print(f"{lab.name}: {released.folder}", *released.handouts, sep="\n  ", highlight=False)
        return
    for lab in labs_named(labs, default_labs()):
        if check:
            changed = stale(lab, notebooks)
            if changed:
                raise AutogradeError(
                    f"not what labs/{lab.name} gives: {', '.join(changed)}; run `autograde release {lab.name} --notebooks {notebooks}`"
                )
            out.print(f"{lab.name}: up to date")
        else:
            out.print(*student_notebooks(lab, notebooks), sep="\n", highlight=False)


@app.command()
def verify(
    labs: list[str],
    seeds: Annotated[int, typer.Option(help="Sets of cases to try, public and hidden in turn.")] = 20,
    folder: Annotated[Path | None, typer.Option("--labs", help="The folder with the labs' sources.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove labs: reference full marks, stub zero, variants full, each misconception caught with its own hint."""
    from autograde.verify import shortcomings
    from autograde.verify import verify as verify_one

    well = True
    for lab in labs_named(labs, folder or default_labs()):
        with progress_bar(len(lab.exercises), f"verifying {lab.name}") as progress:
            findings = verify_one(lab, seeds, on_exercise=lambda name: progress.advance(progress.task_ids[0]))
        lacking = shortcomings(lab)
        well = well and not lacking and all(finding.ok for finding in findings)
        if as_json:
            for finding in findings:
                print(json.dumps({"lab": lab.name, **asdict(finding), "ok": finding.ok}, ensure_ascii=False))
        else:
            table = Table("exercise", "answer", "right", "otherwise", title=lab.name)
            for finding in findings:
                right = f"{finding.passed} of {finding.seeds}"
                table.add_row(
                    finding.exercise, f"{finding.kind} {finding.name}".strip(), right, finding.failure
                )
            out.print(table)
        for text in lacking:
            err.print(f"{lab.name}: {text}", highlight=False)
    if not well:
        raise typer.Exit(1)


@app.command()
def calibrate(
    lab: str,
    seeds: Annotated[int, typer.Option(help="Trainings, at least 20.")] = 20,
    folder: Annotated[Path | None, typer.Option("--labs", help="The folder with the labs' sources.")] = None,
) -> None:
    """Train a lab's reference many times and write what its accuracy thresholds may be, to be committed."""
    from autograde.calibrate import calibrate as calibrate_one
    from autograde.calibrate import too_high

    [source] = labs_named([lab], folder or default_labs())
    with progress_bar(seeds, f"training {lab}") as progress:
        found = calibrate_one(source, seeds, on_training=lambda: progress.advance(progress.task_ids[0]))
    out.print_json(data=found)
    if problems := too_high(source):
        raise AutogradeError("; ".join(problems))


@app.command()
def cases(
    lab: str,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    course: CourseOption = None,
) -> None:
    """Write a lab's hidden cases for `autograde ci --cases`: keep the file secret, it holds the expected answers."""
    from autograde.ci import write_cases

    there = course_of(course)
    write_cases(there, labs_named([lab], there.labs)[0], output)
    out.print(output, highlight=False)
