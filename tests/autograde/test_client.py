"""What a kernel says to the grader: honest displays are kept, and neither their growth nor what others do changes them."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from autograde.course import Limits
from autograde.execute import Executed, execute
from autograde.kernels import ColdKernels, furnished
from autograde.listen import MAX_MESSAGE_BYTES

pytestmark = pytest.mark.slow

LIMITS = Limits(30, 90, 4096, 64, 100_000, 16)
RELEASED = {"nbgrader": {"grade_id": "setup", "locked": True, "grade": False, "solution": False}}


def executed(*cells: str, released: str = "") -> Executed:
    """What comes of these cells; the one that is `released` stands for the instructor's own."""
    made = [new_code_cell(cell, metadata=RELEASED if cell == released else {}) for cell in cells]
    kernels = ColdKernels(LIMITS)
    return execute(new_notebook(cells=made), (), lambda: furnished(kernels, {}, {}), LIMITS)


def texts(found: Executed, i: int) -> list[str]:
    return [o.data["text/plain"] for o in found.outputs[i] if o.output_type == "display_data"]


def test_a_display_is_updated_by_its_own_cell_and_by_no_other():
    found = executed(
        "from IPython.display import display\nh = display(0, display_id=True)\nfor i in range(500): h.update(i)\nh.update('x' * 50_000)",
        "h.update('changed by another cell')\nk = display('again', display_id=True)\nk.update('done')",
    )
    assert found.states == {0: "ran", 1: "ran"} and found.flags == []
    assert texts(found, 0) == [repr("x" * 50_000)]
    assert texts(found, 1) == ["'done'"]


def test_displays_that_grow_are_bounded_like_all_output():
    found = executed(
        "from IPython.display import display\n"
        "handles = [display(0, display_id=True) for _ in range(50)]\n"
        "for h in handles: h.update('x' * 20_000)"
    )
    assert 20_000 < sum(map(len, texts(found, 0))) <= LIMITS.output_bytes


def test_widgets_show_nothing_and_disturb_nothing():
    found = executed("import ipywidgets as w\nout = w.Output()\nwith out: print('inside')", "1 / 0")
    assert found.states == {0: "ran", 1: "error"} and found.flags == []
    assert any("inside" in o.get("text", "") for o in found.outputs[0])


def test_a_message_larger_than_the_cap_is_never_held():
    found = executed(f"print('x' * {MAX_MESSAGE_BYTES + 1})", "print('after')")
    assert found.states[0] in ("timeout", "died") and found.states[1] == "ran"


def test_a_cell_of_the_release_that_an_answer_before_it_kills_is_that_answers_loss():
    setup = "import json.tool"
    kills = "import builtins, os\nold = builtins.__import__\n"
    kills += "builtins.__import__ = lambda n, *a, **k: os._exit(1) if n == 'json.tool' else old(n, *a, **k)"
    found = executed(kills, setup, "print('after')", released=setup)
    assert found.states == {0: "ran", 1: "died", 2: "ran"}
