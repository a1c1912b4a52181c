"""Partial credit in other people's test cells: what may count, and what honest cells of such courses end with."""

import pytest
from nbformat.v4 import new_output

from autograde.credit import checked_credit, kind_of


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("assert f(1) == 2", "none"),
        ("score = f(1)", "none"),
        ("f(1);", "none"),
        ("", "none"),
        ("for i in range(3):\n    f(i)", "none"),
        ("assert f(1) == 2\n'well done'", "fixed"),
        ("True", "fixed"),
        ("score = 0\nif f(1) == 2:\n    score += 1.5\nscore", "number"),
        ("score: float = 0\nscore += f(1)\nscore", "number"),
        ("3 * (f(1) == 2)", "number"),
        ("(f(1) == 2) + (f(2) == 3)", "number"),
        ("2 if f(1) == 2 else 0", "number"),
        ("right = [f(1) == 2, f(2) == 3]\n2 * sum(right) / len(right)", "number"),
        ("round(f(1), 1)", "number"),
        ("%time f(1)\n0.5", "number"),
        ("f(1) == 2", "open"),
        ("ok = f(1) == 2\nok", "open"),
        ("not f(1)", "open"),
        ("table * 2", "open"),
        ("[1] + [2]", "open"),
        ("'a' + name()", "open"),
        ("score, n = f(1)\nscore = 0\nscore", "open"),
        ("plt.plot([1])", "open"),
        ("table", "open"),
        ("check(f)", "open"),
        ("%%time\nf(1)", "open"),
        ("this is no code", "open"),
    ],
)
def test_what_a_cell_shows(source: str, kind: str):
    assert kind_of(source) == kind


ERROR = new_output("error", ename="AssertionError", evalue="", traceback=[])
COUNTED, OPEN, NONE, FIXED = (
    "score = 0\nscore += f(1)\nscore",
    "check(f)",
    "assert f(1)",
    "assert f(1)\n'done'",
)


def result(text: str):
    return new_output("execute_result", {"text/plain": text})


@pytest.mark.parametrize(
    ("source", "shown", "credit", "flag"),
    [
        (COUNTED, ["1.5"], "1.5", ""),
        (COUNTED, ["0"], "0", ""),
        (COUNTED, ["2"], "2", ""),
        (COUNTED, ["2.1"], None, "impossible partial credit 2.1 of 2"),
        (COUNTED, ["-0.1"], None, "impossible partial credit -0.1 of 2"),
        (COUNTED, ["nan"], None, "impossible partial credit nan of 2"),
        (COUNTED, ["-inf"], None, "impossible partial credit -inf of 2"),
        (COUNTED, ["True"], None, "impossible partial credit 'True' of 2"),
        (COUNTED, [""], None, "impossible partial credit '' of 2"),
        (COUNTED, [], None, "no partial credit"),
        (OPEN, ["0.5"], "0.5", ""),
        (OPEN, ["9"], None, "impossible partial credit 9 of 2"),
        (OPEN, ["False"], "False", "full marks for a result that is no number"),
        (OPEN, [], "", ""),
        (OPEN, [""], "", "full marks for a result that is no number"),
        (FIXED, ["'done'"], "'done'", ""),
        (NONE, ["1.0"], "", ""),
        (COUNTED, ["2.0", "0.5"], "0.5", ""),
    ],
)
def test_what_may_count(source: str, shown: list[str], credit: str | None, flag: str):
    flags: list[str] = []
    outputs = checked_credit([result(text) for text in shown], source, 2, "test_f", flags)
    found = [o.data["text/plain"] for o in outputs if o.output_type == "execute_result"]
    errors = [o for o in outputs if o.output_type == "error"]
    assert found == ([credit] if credit else []) and len(errors) == (credit is None)
    assert [f for f in flags if flag in f] == flags and len(flags) == bool(flag)


def test_a_result_beside_an_error_counts_for_nothing():
    for outputs in ([result("2.0"), ERROR], [ERROR, result("2.0")]):
        assert checked_credit(outputs, OPEN, 2, "test_f", []) == [ERROR]
