"""Commands that bring their own course: the demonstration, and one repository in CI."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from autograde.commands.common import app, err, labs_named, out, progress_bar
from autograde.course import Course, default_labs
from autograde.errors import AutogradeError
from coursekit.check.light import number

if TYPE_CHECKING:
    from autograde.demo import Pupil
    from autograde.lab import Lab


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where to make the course; what is there is replaced.")] = Path(
        "build/course"
    ),
    lab: Annotated[list[str] | None, typer.Option(help="A lab to show; default: every one.")] = None,
) -> None:
    """Make a course, hand in a class of all sorts, grade it in the sandbox, and compare with the expected marks."""
    from autograde import demo as show
    from autograde.feedback import generate as write_feedback
    from autograde.lab import find_labs
    from autograde.release import release
    from autograde.report import write_report

    course = show.open_course(folder)
    folders = default_labs()
    labs = labs_named(lab or [path.name for path in find_labs(folders)], folders)
    labs.sort(key=lambda each: each.settings["minutes"])  # the whole class does the shortest; it comes first
    with err.status(f"releasing {', '.join(each.name for each in labs)}"):
        for each in labs:
            release(course, each)
    well = True
    # While one lab is graded, the next is still being trained at home; so none may take all cores.
    threads = {"OMP_NUM_THREADS": "1"} if len(labs) > 1 else {}
    with ThreadPoolExecutor(len(labs)) as pool:
        at_home = [pool.submit(show.solve_at_home, course, each, **threads) for each in labs]
        for each, solving in zip(labs, at_home, strict=True):
            with err.status(f"{each.name}: doing it once at home, training included"):
                home = solving.result()
            well = _show_class(course, each, show.class_of(each, small=each is not labs[0]), home) and well
            with err.status(f"{each.name}: feedback and class report"):
                write_feedback(course, each.name)
                page = write_report(course, each.name)
            solved = home / f"{each.name}.ipynb"
            _say(f"solved notebook  {solved}\nclass report     {page}\n")
    _say(f"gradebook        {course.root / 'gradebook.db'}\nfeedback         {course.root / 'feedback'}")
    if not well:
        raise typer.Exit(1)


def _show_class(course: Course, lab: Lab, class_: list[Pupil], home: Path) -> bool:
    """Hand in, grade, and print the table; whether all came as expected."""
    from autograde import demo as show
    from autograde.run import run as run_all

    pupils = {pupil.name: pupil for pupil in class_}
    for pupil in pupils.values():
        show.hand_in(course, lab, pupil, home)
    with progress_bar(len(pupils), f"grading {lab.name}") as progress:
        task = progress.task_ids[0]
        records = run_all(course, lab.name, on_record=lambda record: progress.advance(task))
    well = True
    title = f"{lab.name}: a class of {len(records)}"
    table = Table("student", "what was handed in", "expected", "given", "state", "", title=title)
    for record in records:
        pupil = pupils[record.student]
        graded = course.path("autograded", pupil.name, lab.name) / f"{lab.name}.ipynb"
        problems = show.unexpected(pupil, record, graded)
        well = well and not problems
        expected, given = ("–" if score is None else number(score) for score in (pupil.score, record.score))
        table.add_row(
            pupil.name, pupil.about, expected, given, record.state, "; ".join(problems) or "as expected"
        )
    out.print(table)
    return well


def _say(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True)


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
