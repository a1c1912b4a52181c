"""One notebook: run in a sandbox, its checks decided outside."""

from collections.abc import Mapping
from pathlib import Path

from nbformat import NotebookNode

from autograde.course import Limits
from autograde.execute import Executed, questions_name
from autograde.master import MasterNotebook
from autograde.place import Place, Task
from autograde.reaching import reaching
from autograde.verdict import decide
from coursekit.check.verdict import Outcome


def grade_notebook(
    master: MasterNotebook,
    notebook: NotebookNode,
    files: Mapping[Path, Path],
    limits: Limits,
    place: Place,
    language: str,
    flags: list[str],
) -> tuple[dict[str, Outcome], Executed]:
    """Run one notebook in a sandbox and decide its checks; its cells get their outputs.

    Args:
        master: the release, with the expected values.
        notebook: as merged at intake.
        files: what lies beside the notebook, by relative path.
        limits: of time, memory and output.
        place: where it is run.
        language: of the boxes, "en" or "zh".
        flags: suspicions for a person; added to.

    Returns:
        The outcome of each check by grade id, in the notebook's order, and what came of the run.
    """
    by_grade_id = {
        cell.metadata.get("nbgrader", {}).get("grade_id"): i for i, cell in enumerate(notebook.cells)
    }
    checks = [by_grade_id[grade_id] for grade_id in master.checks]
    questions = {questions_name(by_grade_id[each]): found for each, found in master.questions.items()}
    executed = place.run(Task(notebook, checks, questions, files, limits, master.gpu))
    flags += [*reaching(master, notebook), *executed.flags]
    outcomes = decide(master, notebook, executed, language, flags)
    grade_ids = sorted(master.checks, key=by_grade_id.__getitem__)
    return dict(zip(grade_ids, outcomes, strict=True)), executed
