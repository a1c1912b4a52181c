"""Points are decided here, outside the sandbox, from plain data."""

from collections.abc import Sequence

from nbformat import NotebookNode

from autograde.cells import new_output
from autograde.credit import checked_credit
from autograde.execute import Executed
from autograde.master import MasterNotebook
from coursekit.check.rules import violations
from coursekit.check.show import Box, CheckFailedError, Points
from coursekit.check.tree import DamagedError, Text, Tree, loads
from coursekit.check.verdict import Outcome, judge

_STOPPED: dict[str, Text] = {
    "died": {
        "en": "the kernel died here (os._exit, a crash, too much memory, or too much printed at once). The rest was graded without this cell.",
        "zh": "内核在这里崩溃了（os._exit、程序崩溃、内存超限，或一次输出过多）。其余部分已在跳过该单元格后评分。",
    },
    "timeout": {
        "en": "this check did not end in time: is there a loop that never stops?",
        "zh": "检查没有按时结束：是否有停不下来的循环？",
    },
    "no time left": {
        "en": "the time for the whole notebook was used up before this check.",
        "zh": "在轮到这项检查之前，整个笔记本的时间已经用完。",
    },
    "silent": {
        "en": "the check sent no answer: your code stopped it.",
        "zh": "检查没有得到回答：你的代码中止了它。",
    },
}


def decide(
    master: MasterNotebook, notebook: NotebookNode, executed: Executed, language: str, flags: list[str]
) -> list[Outcome]:
    """Decide every check of an executed notebook and write the outcome into its cells' outputs.

    Args:
        master: the release, with the expected values.
        notebook: as merged at intake; its code cells get their outputs here.
        executed: what came of it.
        language: of the boxes, "en" or "zh".
        flags: suspicions for a person; added to.
    """
    outcomes = []
    sources: list[str] = []
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        nbgrader = cell.metadata.get("nbgrader", {})
        grade_id = nbgrader.get("grade_id", "")
        outputs = executed.outputs.get(i, [])
        if grade_id in master.checks:
            outcome = _decide_one(master, grade_id, i, executed, sources, flags)
            outcomes.append(outcome)
            cell.outputs = [*_printed(outputs), *_shown(outcome, language)]
        elif nbgrader.get("grade") and not nbgrader.get("solution"):
            released = master.cells[grade_id]
            outputs = checked_credit(
                _printed_and_rest(outputs), released.source, released.points, grade_id, flags
            )
            cell.outputs = _unproven(outputs, grade_id, flags) if i in executed.unproven else outputs
        else:
            cell.outputs = outputs
        cell.execution_count = len(sources) + 1
        sources.append(cell.source)
    return outcomes


def _decide_one(
    master: MasterNotebook,
    grade_id: str,
    i: int,
    executed: Executed,
    sources: Sequence[str],
    flags: list[str],
) -> Outcome:
    case_set = master.checks[grade_id]
    state = executed.states[i]
    if i not in executed.answers:
        reason = _STOPPED.get(state, _STOPPED["silent"])
        return Outcome(case_set.exercise, case_set.title, "error", 0.0, case_set.points, message=reason)
    try:
        results = _results(loads(executed.answers[i]))
    except DamagedError as error:
        flags.append(f"{grade_id}: the answers that came out of the sandbox are damaged ({error})")
        return Outcome(
            case_set.exercise, case_set.title, "error", 0.0, case_set.points, message=_STOPPED["silent"]
        )
    return judge(case_set, results, violations(sources, case_set.target, case_set.rules))


def _results(tree: Tree) -> list[dict[str, Tree]]:
    """The results of a check, when they are of the form that `coursekit.check.call.answer` gives."""
    statuses = ("ok", "not attempted", "error", "form")
    if not isinstance(tree, list) or not all(
        isinstance(item, dict) and item.get("status") in statuses for item in tree
    ):
        raise DamagedError("not a list of results")
    if any(item["status"] == "ok" and "value" not in item for item in tree):
        raise DamagedError("a result without its value")
    return tree


def _shown(outcome: Outcome, language: str) -> list[NotebookNode]:
    """The outputs that the check would have shown in the notebook; nbgrader reads its points from them."""
    box = Box(outcome, language)
    outputs = [new_output("display_data", data={"text/html": box._repr_html_(), "text/plain": repr(box)})]
    if outcome.status == "correct" or outcome.points:
        points = Points(outcome, language)
        data = {"text/plain": repr(float(points)), "text/html": points._repr_html_()}
        return [*outputs, new_output("execute_result", data=data)]
    error = CheckFailedError(outcome, language)
    lines = error._render_traceback_()
    return [*outputs, new_output("error", ename=type(error).__name__, evalue=lines[0], traceback=lines)]


def _printed(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """What the student's code printed during a check, as stdout: anything on stderr would cost the cell its points."""
    return [output for output in _printed_and_rest(outputs) if output.output_type == "stream"]


def _printed_and_rest(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    for output in outputs:
        if output.output_type == "stream":
            output.name = "stdout"
    return list(outputs)


def _unproven(outputs: list[NotebookNode], grade_id: str, flags: list[str]) -> list[NotebookNode]:
    """What stands below a cell whose assertions cannot have failed: it earns nothing until a person has looked."""
    flags.append(f"{grade_id}: assertions do not fail in this kernel; its points wait for a person")
    text = "a cell that must fail did not fail in this kernel, so that this one proves nothing"
    error = new_output("error", ename="NotProven", evalue=text, traceback=[f"NotProven: {text}"])
    return [*(output for output in outputs if output.output_type != "execute_result"), error]
