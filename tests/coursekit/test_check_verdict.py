"""From results to points and a message, and how people and nbgrader see them."""

import logging
from dataclasses import asdict
from html.parser import HTMLParser
from typing import Any

import nbformat.v4 as nbformat
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.check.digits import COPIED, NO_DIGIT, REPEATED
from coursekit.check.exercise import Accuracy, Case, CaseSet, Close, Compare, Exercise
from coursekit.check.show import Box, CheckFailedError, Points, as_text, display, language
from coursekit.check.symptoms import SYMPTOMS
from coursekit.check.verdict import Outcome, judge

CLOSE = Close()
HINTS = {name: {"en": f"hint {name}", "zh": f"提示 {name}"} for name in ("one", "two", "crash")}
GROUPS = {"with padding": {"zh": "有填充"}}


def ok(value: Any) -> dict[str, Any]:
    return {"status": "ok", "value": value}


def error(kind: str = "TypeError", message: str = "no") -> dict[str, Any]:
    return {"status": "error", "type": kind, "message": message, "trace": ["line 2 in f: return 1 / 0"]}


def case_set(cases: list[Case], compare: Compare = CLOSE, points: float = 4.0, **more: Any) -> CaseSet:
    settings: dict[str, Any] = {"hints": HINTS, "symptoms": {}} | more
    return CaseSet(
        exercise="double",
        title={"en": "Doubling", "zh": "加倍"},
        target="double",
        adaptor="function",
        options={},
        compare=asdict(compare),
        rules={"forbid": [], "no_loops": False},
        points=points,
        cases=cases,
        **settings,
    )


def three(**more: Any) -> CaseSet:
    """Doubling 1, 2 and 3; "one" adds 1, "two" adds 2, "crash" fails for 3."""
    return case_set(
        [
            Case(
                group,
                {"x": x},
                2 * x,
                {"one": ok(x + 1), "two": ok(x + 2), "crash": error() if x == 3 else ok(2 * x)},
            )
            for group, x in (("plain", 1), ("plain", 2), ("with padding", 3))
        ],
        **more,
    )


def test_all_right_and_a_round_trip_as_plain_data() -> None:
    outcome = judge(three(), [ok(2), ok(4.0), ok(torch.tensor(6))])
    assert (outcome.status, outcome.points, outcome.message) == ("correct", 4.0, {})
    assert Outcome(**outcome.to_dict()) == outcome
    assert CaseSet.from_tree(three(groups=GROUPS).to_tree()) == three(groups=GROUPS)


def test_partial_credit_by_group_with_the_groups_title() -> None:
    outcome = judge(three(groups=GROUPS), [ok(2), ok(4), ok(7)])
    assert (outcome.status, outcome.points) == ("partial", 2.0)
    assert outcome.message["en"] == "[with padding] expected 6, got 7."
    assert outcome.message["zh"] == "[有填充] 应为 6，得到的是 7。"
    assert judge(three(), [ok(2), ok(5), ok(6)]).message["zh"].startswith("[plain] ")
    assert judge(three(), [ok(1), ok(4), ok(6)]).points == 2.0  # one case of a group costs the group


def test_the_misconception_that_fits_most_cases_is_chosen() -> None:
    assert judge(three(), [ok(2), ok(3), ok(4)]).misconception == "one"
    assert judge(three(), [ok(3), ok(4), ok(5)]).misconception == "two"
    # In the failed case 3 -> 5 only "two" fits; where several do, the one that explains the right cases too.
    assert judge(three(), [ok(2), ok(4), ok(5)]).misconception == "two"
    crash = judge(three(), [ok(2), ok(4), error()])
    assert (crash.misconception, crash.hint) == ("crash", HINTS["crash"])
    assert judge(three(), [ok(2), ok(4), error("ValueError")]).misconception is None
    # Many slips end in an error of this type: where nothing else speaks for it, the error has to be the very same.
    assert judge(three(), [ok(2), ok(4), error(message="another")]).misconception is None
    assert judge(three(), [ok(9), ok(9), ok(9)]).misconception is None


def test_the_first_failure_is_told_and_a_stub_last() -> None:
    stub, form = (
        {"status": "not attempted"},
        {"status": "form", "message": "expected a", "message_zh": "应为甲"},
    )
    outcome = judge(three(), [ok(9), form, error("TypeError", "bad")])
    assert (outcome.status, outcome.message["en"]) == ("incorrect", "[plain] expected 2, got 9.")
    assert judge(three(), [ok(2), form, error()]).message == {
        "en": "[plain] expected a.",
        "zh": "[plain] 应为甲。",
    }
    crash = judge(three(), [error("TypeError", "bad"), ok(9), form])
    assert crash.status == "partial" or crash.status == "error"
    assert crash.message["en"] == "[plain] your code raised TypeError: bad"
    assert crash.message["zh"] == "[plain] 你的代码抛出了 TypeError：bad"
    assert crash.trace == ["line 2 in f: return 1 / 0"]
    assert "expected 6, got 9" in judge(three(), [stub, ok(4), ok(9)]).message["en"]
    late = judge(three(), [ok(2), ok(4), stub])
    assert (late.status, late.points) == ("partial", 2.0)
    assert "still raises NotImplementedError" in late.message["en"]
    assert judge(three(), [error("E", "")] * 3).message["en"].endswith("raised E")


def test_a_misconception_shows_though_a_later_group_fails_otherwise() -> None:
    outcome = judge(three(), [ok(3), ok(4), error("ValueError")])
    assert (outcome.misconception, outcome.status) == ("two", "incorrect")


def test_the_call_is_shown_for_functions_in_a_line() -> None:
    assert judge(three(), [ok(2), ok(5), ok(6)]).call == "double(x=2)"
    assert judge(three(), [ok(2), ok(4), ok(6)]).call == ""


@pytest.mark.parametrize(
    ("inputs", "call"),
    [
        ({"n": 6, "pad": 0.5, "how": "max"}, "double(n=6, pad=0.5, how='max')"),
        ({"x": torch.tensor([[1.0, 2.5], [3.0, 4.0]])}, "double(x=[[1, 2.5], [3, 4]])"),
        ({"x": torch.tensor([1, 2])}, "double(x=[1, 2])"),
        ({"x": torch.zeros(2, 3, 4), "rest": [1]}, "double(x of shape (2, 3, 4), rest=…)"),
        ({"tokens": ["so", "good"]}, "double(tokens=['so', 'good'])"),
        ({f"argument_{i}": torch.zeros(10, 10) for i in range(9)}, ""),
    ],
)
def test_arguments_in_a_line(inputs: dict[str, Any], call: str) -> None:
    case_set = three()
    case_set.cases[0].inputs = inputs
    assert judge(case_set, [ok(9), ok(4), ok(6)]).call == call


def test_a_right_result_with_a_changed_input() -> None:
    spoiled = ok(2) | {"changed": ["x", "nothing of this name", 3]}
    outcome = judge(three(), [spoiled, ok(4), ok(6)])
    assert outcome.status in ("partial", "incorrect") and outcome.misconception is None
    assert "changes its input `x`," in outcome.message["en"] and "`x`" in outcome.message["zh"]
    assert judge(three(), [ok(2) | {"changed": "x"}, ok(4), ok(6)]).status == "correct"


def test_not_attempted_incomplete_and_forbidden() -> None:
    assert judge(three(), [{"status": "not attempted"}]).status == "not attempted"
    assert judge(three(), [ok(2)]).status == "error"
    assert judge(three(), []).status == "error"
    outcome = judge(
        three(), [ok(2), ok(4), ok(6)], [{"en": "no F", "zh": "不用 F"}, {"en": "no G", "zh": "不用 G"}]
    )
    assert (outcome.status, outcome.points) == ("incorrect", 0)
    assert outcome.message == {"en": "no F no G", "zh": "不用 F不用 G"}


def scores(labels: torch.Tensor, right: int, classes: int = 10) -> torch.Tensor:
    shown = labels.clone()
    wrong = torch.arange(len(labels)) >= right
    shown[wrong] = (labels[wrong] + 1 + torch.arange(int(wrong.sum())) % (classes - 1)) % classes
    return torch.nn.functional.one_hot(shown, classes).float()


LABELS = torch.arange(100) % 10


def accuracy(**more: Any) -> CaseSet:
    cases = [Case("", {}, LABELS[:40]), Case("", {}, LABELS[40:])]
    return case_set(cases, Accuracy(0.5, 0.9), points=3.0, **more)


def graded(right: int) -> Outcome:
    logits = scores(LABELS, right)
    return judge(accuracy(), [ok(logits[:40]), ok(logits[40:])])


@given(st.integers(0, 100))
@settings(deadline=None)
def test_credit_for_accuracy_is_linear_between_floor_and_threshold(right: int) -> None:
    outcome = graded(right)
    share = min(1.0, max(0.0, (right / 100 - 0.5) / 0.4))
    assert outcome.points == pytest.approx(3 * share, abs=1e-4)
    assert outcome.status == ("correct" if right >= 90 else "partial" if right > 50 else "incorrect")
    assert graded(min(100, right + 1)).points >= outcome.points


def test_accuracy_tells_the_numbers_and_refuses_what_are_no_scores() -> None:
    assert "70.0% of the check's" in graded(70).message["en"]
    assert "95.0% of the check's" in graded(95).message["en"] and graded(95).status == "correct"
    assert (
        "检查所用的样本中有 70.0% 是对的；达到 90.0% 得满分，不超过 50.0% 不得分。"
        in graded(70).message["zh"]
    )
    good = scores(LABELS, 100)
    for bad in (None, good[40:, 0], good[40:, :9], good[:5], [1, 2]):
        outcome = judge(accuracy(), [ok(good[:40]), ok(bad)])
        assert (outcome.status, outcome.points) == ("incorrect", 0)
        assert "expected scores of shape (60, number of classes)" in outcome.message["en"]
    nan = judge(accuracy(), [ok(good[:40]), ok(good[40:] * float("nan"))])
    assert (nan.status, nan.points) == ("incorrect", 0)
    assert "finite" in nan.message["en"]
    assert judge(accuracy(), [ok(good[:40]), error()]).status == "error"
    assert judge(accuracy(), [ok(good[:40]), {"status": "form", "message": "m"}]).status == "incorrect"
    with pytest.raises(ValueError, match="floor < threshold"):
        Accuracy(0.9, 0.9)


def drawn(kind: int) -> torch.Tensor:
    """Scores of drawn digits: 65 % as asked for, and the rest of one of the kinds that count as no digit."""
    classes = LABELS.where(torch.arange(100) % 20 < 13, torch.tensor(kind))
    return torch.nn.functional.one_hot(classes, 13).float()


def test_each_symptom() -> None:
    generator = torch.Generator().manual_seed(0)
    shown = {
        "not_finite": scores(LABELS, 90).index_fill(0, torch.tensor([3]), float("nan")),
        "one_class": torch.nn.functional.one_hot(torch.full((100,), 3), 10).float(),
        "chance": torch.rand(100, 10, generator=generator),
        "shifted_labels": torch.nn.functional.one_hot((LABELS + 1) % 10, 10).float(),
        "below": scores(LABELS, 60),
        "no_digits": drawn(NO_DIGIT),
        "copied": drawn(COPIED),
        "repeated": drawn(REPEATED),
    }
    assert set(shown) == set(SYMPTOMS)
    symptoms = {name: name for name in SYMPTOMS}
    for name, logits in shown.items():
        settings = {"symptoms": symptoms, "hints": {n: {"en": n, "zh": n} for n in symptoms}}
        outcome = judge(accuracy(**settings), [ok(logits[:40]), ok(logits[40:])])
        assert (outcome.misconception, outcome.hint["en"]) == (name, name)


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["ok", "error", "form", "not attempted", torch.ones(2), torch.tensor(float("nan"))]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "status"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
results = st.lists(
    st.dictionaries(st.sampled_from(["status", "value", "type", "message", "message_zh", "trace"]), odd)
    | odd,
    max_size=4,
)


@given(results)
@settings(deadline=None)
def test_malformed_results_never_raise_and_earn_nothing_by_it(malformed: list[Any]) -> None:
    for cases in (three(), accuracy()):
        outcome = judge(cases, malformed)
        assert outcome.points < outcome.max_points
        for lang in ("en", "zh"):
            assert len(as_text(outcome, lang)) < 10_000
            Box(outcome, lang)._repr_html_()


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


def test_everything_from_the_student_is_escaped() -> None:
    evil = '<img src=x onerror="alert(1)"></div><script>'
    result = error(evil, evil) | {"trace": [evil]}
    parser = Tags()
    page = Box(judge(three(), [result] * 3, []), "en")._repr_html_()
    parser.feed(page)
    assert set(parser.tags) <= {"div", "b", "code", "span", "pre"}
    assert "&lt;script&gt;" in page
    parser.feed(Box(judge(three(), [ok(evil), ok(evil), ok(evil)]), "zh")._repr_html_())
    assert "img" not in parser.tags


def test_plain_text_in_both_languages() -> None:
    outcome = judge(three(groups=GROUPS), [ok(2), ok(4), ok(5)])
    assert as_text(outcome, "en").splitlines() == [
        "◐ double: partly correct (2 / 4 points)",
        "    double(x=3)",
        "[with padding] expected 6, got 5.",
        "Hint: hint two",
    ]
    assert as_text(outcome, "zh").splitlines() == [
        "◐ double：部分正确（2 / 4 分）",
        "    double(x=3)",
        "[有填充] 应为 6，得到的是 5。",
        "提示：提示 two",
    ]
    assert "line 2 in f" in as_text(judge(three(), [error()] * 3), "en")


def test_chinese_messages_have_chinese_punctuation() -> None:
    import re
    from pathlib import Path

    import coursekit.check.show as show

    half_width = re.compile(r"[\u4e00-\u9fff][,;:!?()]|[,;:!?][\u4e00-\u9fff]")
    for path in Path(show.__file__).parent.glob("*.py"):
        assert not half_width.search(path.read_text(encoding="utf-8")), path.name


def test_the_language_is_that_of_the_setting_or_of_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting, expected in (("zh_CN.UTF-8", "zh"), ("EN", "en"), ("fr", "zh"), ("", "zh")):
        monkeypatch.setenv("COURSEKIT_LANG", setting)
        assert language("zh") == expected
    monkeypatch.delenv("COURSEKIT_LANG")
    assert (language("zh"), language("de"), language()) == ("zh", "en", "en")


@given(st.floats(0, 5), st.sampled_from([1.0, 3.0, 5.0]))
@settings(deadline=None)
def test_nbgrader_reads_back_exactly_the_points(share: float, points: float) -> None:
    from nbgrader.utils import determine_grade

    outcome = Outcome("e", {}, "partial", round(min(share / 5, 1) * points, 4), points)
    cell = nbformat.new_code_cell(
        metadata={"nbgrader": {"grade": True, "solution": False, "points": points, "grade_id": "e"}},
        outputs=[nbformat.new_output("execute_result", {"text/plain": repr(Points(outcome, "en"))})],
    )
    assert determine_grade(cell, logging.getLogger("test")) == (outcome.points, points)


def test_a_failed_check_renders_as_text_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = judge(three(), [ok(0), ok(0), ok(0)])
    rendered = CheckFailedError(outcome, "en")._render_traceback_()
    assert rendered == as_text(outcome, "en").splitlines()[:1]
    assert not any("Traceback" in line or "File" in line for line in rendered)
    display(outcome, "en")
    assert capsys.readouterr().out.strip() == as_text(outcome, "en")


def test_titles_and_examples_of_unknown_groups_are_an_authors_error() -> None:
    def draw(rng: Any) -> dict[str, Any]:
        return {"x": 1}

    Exercise("e", {}, {"a": draw}, groups={"a": {"zh": "甲"}})
    with pytest.raises(ValueError, match=r"titles of unknown groups \['b'\]"):
        Exercise("e", {}, {"a": draw}, groups={"b": {"zh": "乙"}})
    with pytest.raises(ValueError, match="examples of unknown groups"):
        Exercise("e", {}, draw, examples={"b": [{"x": 1}]})


def test_two_classes_have_a_chance_of_their_own() -> None:
    labels = torch.arange(100) % 2
    half, better = scores(labels, 52, classes=2), scores(labels, 70, classes=2)
    assert SYMPTOMS["chance"](half, labels) and not SYMPTOMS["below"](half, labels)
    assert SYMPTOMS["below"](better, labels) and not SYMPTOMS["chance"](better, labels)
