"""The `autograde` command. Results go to stdout, everything else to stderr; exit status 0 only when all is well."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from autograde.course import Course, default_labs, find_course, init_course
from autograde.errors import AutogradeError
from autograde.lab import Lab, find_labs, load_lab
from coursekit.check.show import number

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
out, err = Console(), Console(stderr=True)

CourseOption = Annotated[
    Path | None,
    typer.Option("--course", "--course-dir", help="The course directory; default: the one here or above."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON line for each result.")]


def main() -> None:
    """Run the command; an error that we know is one message, not a traceback."""
    try:
        app()
    except AutogradeError as error:
        err.print(f"[bold red]autograde:[/] {error}", highlight=False)
        sys.exit(2)


def _course(path: Path | None) -> Course:
    return Course(path.resolve()) if path else find_course(Path.cwd())


def _labs(names: list[str], folder: Path) -> list[Lab]:
    """Labs by name (below `folder`) or by path."""
    paths = [Path(name) if Path(name, "lab.py").is_file() else folder / name for name in names]
    for path in paths:
        if not (path / "lab.py").is_file():
            known = ", ".join(found.name for found in find_labs(folder)) or "none"
            raise AutogradeError(f"no lab {path.name!r} in {folder}; there are: {known}")
    return [load_lab(path) for path in paths]


@contextmanager
def _progress(total: int, text: str) -> Iterator[Progress]:
    """A bar with rate and time left, on stderr; on a pipe only the results are seen."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal and "CI" not in os.environ) as progress:
        progress.add_task(text, total=total)
        yield progress


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
        there = _course(course)
        for lab in _labs(labs, there.labs):
            released = release_one(there, lab)
            out.print(f"{lab.name}: {released.folder}", *released.handouts, sep="\n  ", highlight=False)
        return
    for lab in _labs(labs, default_labs()):
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
def run(
    assignment: Annotated[str | None, typer.Argument()] = None,
    assignment_option: Annotated[
        str | None, typer.Option("--assignment", help="As for nbgrader autograde.")
    ] = None,
    student: Annotated[list[str] | None, typer.Option("--student", help="Only these students.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Grade again what is graded already.")] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="Submissions at a time; default: cores.")
    ] = None,
    isolation: Annotated[
        str, typer.Option(help='"bubblewrap", or "none" for a machine that may be lost.')
    ] = "bubblewrap",
    course: CourseOption = None,
) -> None:
    """Grade an assignment: a drop-in for `nbgrader autograde`."""
    from autograde.run import run as run_all

    name = assignment or assignment_option
    if not name:
        raise AutogradeError("which assignment? `autograde run ASSIGNMENT`")
    there = _course(course)
    if isolation == "none":
        err.print("[bold red]no sandbox:[/] submitted code can read and change everything on this machine")
    students = student or there.students(name)
    with _progress(len(students), f"grading {name}") as progress:
        task = progress.task_ids[0]
        records = run_all(
            there,
            name,
            students=student,
            force=force,
            jobs=jobs,
            isolation=isolation,
            on_record=lambda record: progress.advance(task),
        )
    _print_records(records)
    if any(record.state in ("unreadable", "failed") for record in records):
        raise typer.Exit(1)


@app.command()
def status(assignment: str, as_json: JsonOption = False, course: CourseOption = None) -> None:
    """How each submission of an assignment ended."""
    from autograde.record import read_records

    records = read_records(_course(course), assignment)
    if as_json:
        keys = ("student", "state", "score", "max_score", "flags", "repairs", "reason", "needs_manual_grade")
        for record in records:
            print(json.dumps({key: asdict(record)[key] for key in keys}, ensure_ascii=False))
    else:
        _print_records(records)
    if any(record.state in ("unreadable", "failed") for record in records):
        raise typer.Exit(1)


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
    for lab in _labs(labs, folder or default_labs()):
        with _progress(len(lab.exercises), f"verifying {lab.name}") as progress:
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
def demo(
    folder: Annotated[Path, typer.Option(help="Where to make the course; what is there is replaced.")] = Path(
        "build/course"
    ),
    lab: Annotated[str, typer.Option(help="The lab to show.")] = "cnn_mnist",
) -> None:
    """Make a course, hand in a class of all sorts, grade it in the sandbox, and compare with the expected marks."""
    from autograde import demo as show
    from autograde.feedback import generate as write_feedback
    from autograde.report import write_report
    from autograde.run import run as run_all

    with err.status("making a course and releasing the lab"):
        course, source = show.prepare(folder, default_labs(), lab)
    with err.status("doing the lab once at home, training included"):
        home = show.solve_at_home(course, source)
    pupils = {pupil.name: pupil for pupil in show.class_of(source)}
    for pupil in pupils.values():
        show.hand_in(course, source, pupil, home)
    with _progress(len(pupils), f"grading {lab}") as progress:
        task = progress.task_ids[0]
        records = run_all(course, lab, on_record=lambda record: progress.advance(task))
    well = True
    table = Table(
        "student",
        "what was handed in",
        "expected",
        "given",
        "state",
        "",
        title=f"{lab}: a class of {len(records)}",
    )
    for record in records:
        pupil = pupils[record.student]
        problems = show.unexpected(pupil, record)
        well = well and not problems
        expected, given = ("–" if score is None else number(score) for score in (pupil.score, record.score))
        table.add_row(
            pupil.name, pupil.about, expected, given, record.state, "; ".join(problems) or "as expected"
        )
    out.print(table)
    write_feedback(course, lab)
    page = write_report(course, lab)
    out.print(
        f"solved notebook  {home / f'{lab}.ipynb'}\ngradebook        {course.root / 'gradebook.db'}\n"
        f"feedback         {course.root / 'feedback'}\nclass report     {page}",
        highlight=False,
        soft_wrap=True,
    )
    if not well:
        raise typer.Exit(1)


def _print_records(records: list) -> None:
    table = Table("student", "state", "score", "notes")
    for record in records:
        score = "–" if record.score is None else f"{number(record.score)} / {number(record.max_score)}"
        notes = [record.reason] if record.reason else []
        notes += [f"flag: {flag}" for flag in record.flags] + record.repairs
        notes += ["a written answer waits to be graded"] if record.needs_manual_grade else []
        table.add_row(record.student, record.state, score, "\n".join(notes))
    out.print(table)


@app.command()
def report(
    assignment: str,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write.")] = None,
    language: Annotated[str | None, typer.Option(help='"en" or "zh"; default: the course\'s.')] = None,
    course: CourseOption = None,
) -> None:
    """Write the class report: one HTML page with scores, exercises, misconceptions and submissions."""
    from autograde.report import write_report

    out.print(write_report(_course(course), assignment, output=output, language=language), highlight=False)


@app.command()
def feedback(
    assignment: str,
    student: Annotated[list[str] | None, typer.Option("--student", help="Only these students.")] = None,
    course: CourseOption = None,
) -> None:
    """Write the students' feedback pages, for nbgrader's release_feedback."""
    from autograde.feedback import generate

    there = _course(course)
    with _progress(len(student or there.students(assignment)), f"feedback on {assignment}") as progress:
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


@app.command()
def ci(
    notebook: Annotated[
        Path | None, typer.Argument(help="Default: the one here that belongs to a lab.")
    ] = None,
    lab: Annotated[str | None, typer.Option(help="Default: the lab whose cells the notebook has.")] = None,
    labs: Annotated[
        Path | None, typer.Option(help="Folder of released labs; default: those of the package.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the result as JUnit XML.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Write the result as a Markdown table.")] = None,
    cases: Annotated[
        Path | None, typer.Option(help="Hidden cases, a file that `autograde cases` wrote.")
    ] = None,
    isolation: Annotated[
        str, typer.Option(help='"bubblewrap", or "none" for a machine that may be lost.')
    ] = "bubblewrap",
) -> None:
    """Grade the notebook of one repository: exit status 0 when all checks are right, 1 when not, 2 for a problem of ours."""
    from autograde import ci_output
    from autograde.ci import grade

    try:
        graded = grade(notebook, lab=lab, labs=labs, cases=cases, isolation=isolation)
    except AutogradeError:
        raise
    except Exception as error:  # status 1 would say that the student's answers are wrong
        raise AutogradeError(f"could not grade: {type(error).__name__}: {error}") from error
    if junit:
        junit.parent.mkdir(parents=True, exist_ok=True)
        junit.write_text(ci_output.junit(graded), encoding="utf-8")
    table = ci_output.markdown(graded)
    if summary:
        summary.parent.mkdir(parents=True, exist_ok=True)
        summary.write_text(table, encoding="utf-8")
    if step := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(step).open("a", encoding="utf-8") as file:
            file.write(table)
    out.print(ci_output.as_table(graded))
    if not graded.passed:
        raise typer.Exit(1)


@app.command()
def cases(
    lab: str,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    course: CourseOption = None,
) -> None:
    """Write a lab's hidden cases for `autograde ci --cases`: keep the file secret, it holds the expected answers."""
    from autograde.ci import write_cases

    there = _course(course)
    write_cases(there, _labs([lab], there.labs)[0], output)
    out.print(output, highlight=False)
