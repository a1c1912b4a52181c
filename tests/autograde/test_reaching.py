"""What an answer reaches for: the means to look at its own test, and nothing that honest answers use."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from autograde.master import MasterCell, MasterNotebook
from autograde.reaching import reached, reaching


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import sys\nframe = sys._getframe(1).f_back", ["_getframe", "f_back"]),
        ("from sys import settrace", ["settrace"]),
        ("text = In[-1]", ["In"]),
        ("import ctypes", ["ctypes"]),
        ("globals()['score'] = 5", ["globals"]),
        ("get_ipython().kernel", ["get_ipython().kernel"]),
        ("get_ipython().events.register('pre_run_cell', f)", ["get_ipython().events"]),
        ("class A:\n    def __eq__(self, other): return True", ["__eq__ that is always the same"]),
    ],
)
def test_what_is_told(source: str, found: list[str]):
    assert reached(source) == found


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline\n!ls\nx = !ls\n%time y = 1",
        "%%timeit\nf(1)",
        "model = SVC(kernel='rbf')\nmodel.kernel",
        "torch.stack([a, b])\ngc.collect()\ninspect.signature(f)",
        "class V:\n    def __eq__(self, other): return self.x == other.x",
        "In, Out = 3, 4\nprint(In)",
        "this is no code (",
        "def f(x):\n    return locals()",
        "(" * 5000,
    ],
)
def test_what_honest_answers_use_is_not(source: str):
    assert reached(source) == []


def released(test: str, *given: str) -> MasterNotebook:
    cells = {
        "f": MasterCell("f", "code", "", False, False, True, 0, None),
        "test_f": MasterCell("test_f", "code", test, True, True, False, 1, None),
    }
    return MasterNotebook("ps1", cells, list(cells), {}, {}, given)


def test_it_is_told_of_answers_that_tests_call_beside_them_and_what_the_course_itself_uses_is_not():
    cells = [
        new_code_cell("x = globals()"),
        new_code_cell("import ctypes\ny = In", metadata={"nbgrader": {"grade_id": "f"}}),
        new_code_cell("import ctypes", metadata={"nbgrader": {"grade_id": "test_f"}}),
    ]
    notebook = new_notebook(cells=cells)
    assert reaching(released("assert f"), notebook) == [
        "cell 1 reaches for globals",
        "f reaches for In, ctypes",
    ]
    assert reaching(released("assert f", "import ctypes", "globals()['a'] = 1"), notebook) == [
        "f reaches for In"
    ]
