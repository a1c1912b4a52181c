"""From the results of the calls to an outcome: how many points, and what to tell the student."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch

from coursekit.check import reading
from coursekit.check.compare import difference
from coursekit.check.exercise import Case, CaseSet
from coursekit.check.symptoms import SYMPTOMS
from coursekit.check.tree import Text, Tree

Status = Literal["correct", "partial", "incorrect", "not attempted", "error"]
Result = Mapping[str, Tree]

_KNOWN = ("ok", "not attempted", "error", "form")
_MAX_MESSAGE = 600
_MAX_CALL = 160
_FEW = 9  # numbers of a tensor that is shown whole


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Attributes:
        status: "correct", "partial" (some groups of cases right), "incorrect", "not attempted" or "error".
        points, max_points: credit for the cell.
        message: what is wrong, in both languages; of a trained model how far it got, with full points too; else empty when
            nothing is wrong.
        hint: of the misconception that gives exactly these outputs, if there is one.
        misconception: its name.
        trace: the student's own lines of an exception.
        call: the call that the message is about, where it can be shown in a line; never shown of a hidden check.
    """

    exercise: str
    title: Text
    status: Status
    points: float
    max_points: float
    message: Text = field(default_factory=dict)
    hint: Text = field(default_factory=dict)
    misconception: str | None = None
    trace: list[str] = field(default_factory=list)
    call: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def judge(case_set: CaseSet, results: Sequence[Result], violations: Sequence[Text] = ()) -> Outcome:
    """Decide the outcome of one check from plain results; nothing of the student's is called.

    Results may come from anybody: whatever is not of the form that `answer` gives counts as a failed case. Of several
    failures the first is told, since cases go from simple to odd; code that is not there yet (the stub) is told last.

    Args:
        case_set: the cases with their expected outputs.
        results: what `coursekit.check.call.answer` gave for each case, in order.
        violations: broken source rules, as sentences.
    """

    def outcome(status: Status, share: float = 0.0, **more: Any) -> Outcome:
        points = round(case_set.points * share, 4)
        return Outcome(case_set.exercise, case_set.title, status, points, case_set.points, **more)

    statuses = [_status(result) for result in results]
    if statuses and all(status == "not attempted" for status in statuses):
        return outcome("not attempted", message=_NOT_ATTEMPTED)
    if len(results) != len(case_set.cases):
        return outcome("error", message=_INCOMPLETE)
    if violations:
        return outcome("incorrect", message=_join(violations))
    if case_set.compare["kind"] == "accuracy":
        return _judge_accuracy(case_set, results, outcome)

    verdicts = [
        _differs(result, case, case_set) for case, result in zip(case_set.cases, results, strict=True)
    ]
    failed = [i for i, verdict in enumerate(verdicts) if verdict is not None]
    if not failed:
        return outcome("correct", 1.0)
    groups = list(dict.fromkeys(case.group for case in case_set.cases))
    broken = {case_set.cases[i].group for i in failed}
    share = (len(groups) - len(broken)) / len(groups)
    first = min(failed, key=lambda i: (statuses[i] == "not attempted", i))
    wrong = [i for i in failed if not _changed(results[i], case_set.cases[i])]
    group = [i for i in wrong if case_set.cases[i].group == case_set.cases[first].group]
    name = _misconception(case_set, results, wrong) or _misconception(case_set, results, group)
    message = verdicts[first] or {}
    if case_set.cases[first].group:
        message = _in_group(message, case_set, case_set.cases[first].group)
    status: Status = "partial" if share else "error" if statuses[first] == "error" else "incorrect"
    return outcome(
        status,
        share,
        message=message,
        hint=case_set.hints.get(name, {}) if name else {},
        misconception=name,
        trace=_trace(results[first]),
        call=_call(case_set, case_set.cases[first]),
    )


def _status(result: Result) -> str:
    """One of the known statuses; "form" for a result that is none."""
    status = result.get("status") if isinstance(result, Mapping) else None
    return status if isinstance(status, str) and status in _KNOWN else "form"


def _differs(result: Result, case: Case, case_set: CaseSet) -> Text | None:
    if _status(result) != "ok":
        return _failure(result)
    return difference(result.get("value"), case.expected, case_set.compare) or _changed(result, case)


def _changed(result: Result, case: Case) -> Text | None:
    """That the values are right, but what was given is no longer what it was."""
    changed = result.get("changed") if isinstance(result, Mapping) else None
    names = [name for name in case.inputs if isinstance(changed, list) and name in changed]
    if not names:
        return None
    code = ", ".join(f"`{name}`" for name in names)
    return {
        "en": f"the result is right, but your function changes its input {code}, which the caller may still need. "
        "Work on a copy.",
        "zh": f"结果是对的，但你的函数改动了输入 {code}，调用者可能还要用它。请在副本上计算。",
    }


def _call(case_set: CaseSet, case: Case) -> str:
    """The call in a line: numbers and small tensors as they are, others by their shape; "" where it is none."""
    if case_set.adaptor != "function":
        return ""
    line = f"{case_set.target}({', '.join(_argument(*item) for item in case.inputs.items())})"
    return line if len(line) <= _MAX_CALL else ""


def _argument(name: str, value: Tree) -> str:
    if isinstance(value, torch.Tensor):
        numbers = str(
            [
                [f"{n:g}" for n in row]
                for row in value.reshape(-1, value.shape[-1] if value.dim() else 1).tolist()
            ]
        )
        small = (
            value.dim() <= 2 and value.numel() <= _FEW and not value.is_complex() and len(numbers) <= 6 * _FEW
        )
        if not small:
            return f"{name} of shape {tuple(value.shape)}"
        return f"{name}={numbers.replace(chr(39), '') if value.dim() == 2 else numbers[1:-1].replace(chr(39), '')}"
    if isinstance(value, list) and len(value) <= _FEW and all(isinstance(item, str) for item in value):
        return f"{name}={value!r}"
    return f"{name}={value!r}" if isinstance(value, (bool, int, float, str, type(None))) else f"{name}=…"


def _failure(result: Result) -> Text:
    status, message = _status(result), _said(result, "message")
    if status == "not attempted":
        return _STILL_A_STUB
    if status == "form":
        message = message or "the result cannot be read"
        return {"en": f"{message}.", "zh": f"{_said(result, 'message_zh') or message}。"}
    kind = _said(result, "type") or "Exception"
    return {
        "en": f"your code raised {kind}{f': {message}' if message else ''}",
        "zh": f"你的代码抛出了 {kind}{f'：{message}' if message else ''}",
    }


def _said(result: Result, key: str) -> str:
    text = result.get(key) if isinstance(result, Mapping) else None
    return text[:_MAX_MESSAGE] if isinstance(text, str) else ""


def _misconception(case_set: CaseSet, results: Sequence[Result], failed: Sequence[int]) -> str | None:
    """The misconception that gives the student's outputs in each of the cases `failed`; of several, the one that fits most cases.

    One that shows in nothing but errors has to raise the very same: many slips end in a RuntimeError.
    """

    def fits(name: str, i: int) -> bool:
        wrong, result = case_set.cases[i].wrong.get(name), results[i]
        if wrong is None or wrong.get("status") != _status(result):
            return False
        if wrong["status"] == "error":
            return wrong["type"] == result.get("type")
        return (
            wrong["status"] == "ok"
            and difference(result.get("value"), wrong["value"], case_set.compare) is None
        )

    def tells(name: str, i: int) -> bool:
        wrong = case_set.cases[i].wrong[name]
        return wrong["status"] == "ok" or wrong.get("message") == results[i].get("message")

    everything = range(len(case_set.cases))
    names = [
        name
        for name in case_set.hints
        if failed and all(fits(name, i) for i in failed) and any(tells(name, i) for i in failed)
    ]
    return max(names, key=lambda name: sum(fits(name, i) for i in everything), default=None)


def _judge_accuracy(case_set: CaseSet, results: Sequence[Result], outcome: Any) -> Outcome:
    """Credit for the share of right classes over all cases, rising from the floor to the threshold."""
    bad = [result for result in results if _status(result) != "ok"]
    if bad:
        first = min(bad, key=lambda result: _FIRST.index(_status(result)))
        status = "error" if _status(first) == "error" else "incorrect"
        return outcome(status, message=_failure(first), trace=_trace(first))
    try:
        values = [result.get("value") for result in results]
        logits, labels = reading.read(case_set.adaptor, values, case_set.cases)
    except reading.UnreadableError as error:
        return outcome("incorrect", message=error.text)
    accuracy = int((logits.argmax(1) == labels).sum()) / len(labels)
    floor, threshold = case_set.compare["floor"], case_set.compare["threshold"]
    finite = bool(torch.isfinite(logits).all())
    share = min(1.0, max(0.0, (accuracy - floor) / (threshold - floor))) if finite else 0.0
    if share == 1.0:
        return outcome("correct", 1.0, message=_how_far(accuracy, threshold, floor))
    name = next(
        (name for name, symptom in case_set.symptoms.items() if SYMPTOMS[symptom](logits, labels)), None
    )
    message = _how_far(accuracy, threshold, floor) if finite else _NOT_FINITE
    hint = case_set.hints.get(name, {}) if name else {}
    return outcome("partial" if share else "incorrect", share, message=message, hint=hint, misconception=name)


def _how_far(accuracy: float, threshold: float, floor: float) -> Text:
    return {
        "en": f"{accuracy:.1%} of the check's examples are right; full points from {threshold:.1%}, none up to {floor:.1%}.",
        "zh": f"检查所用的样本中有 {accuracy:.1%} 是对的；达到 {threshold:.1%} 得满分，不超过 {floor:.1%} 不得分。",
    }


def _trace(result: Result) -> list[str]:
    trace = result.get("trace") if isinstance(result, Mapping) else None
    return [line[:300] for line in trace[:12] if isinstance(line, str)] if isinstance(trace, list) else []


def _in_group(message: Text, case_set: CaseSet, group: str) -> Text:
    title = case_set.groups.get(group, {})
    return {language: f"[{title.get(language) or group}] {message[language]}" for language in ("en", "zh")}


def _join(texts: Sequence[Text]) -> Text:
    return {"en": " ".join(text["en"] for text in texts), "zh": "".join(text["zh"] for text in texts)}


# Which failure a student needs to hear of first.
_FIRST = ("error", "form", "ok", "not attempted")

_NOT_FINITE: Text = {
    "en": "expected finite numbers, got scores that are NaN or infinite.",
    "zh": "应为有限的数，得到的得分中却有 NaN 或无穷。",
}
_STILL_A_STUB: Text = {
    "en": "for some inputs your code still raises NotImplementedError.",
    "zh": "对某些输入，你的代码仍会抛出 NotImplementedError。",
}
_NOT_ATTEMPTED: Text = {
    "en": "not attempted yet: the cell still raises NotImplementedError. Write your answer there and run it.",
    "zh": "尚未作答：单元格里仍是 NotImplementedError。请写下你的答案并运行该单元格。",
}
_INCOMPLETE: Text = {
    "en": "the check did not finish: your code ended the kernel, ran out of time, or stopped the check.",
    "zh": "检查没有完成：你的代码结束了内核，或运行超时，或中止了检查。",
}
