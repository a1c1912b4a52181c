"""The result of `autograde ci` for machines and people: JUnit XML, a Markdown summary, a table on the terminal."""

import html
import re
import xml.etree.ElementTree as ET

from rich.table import Table
from rich.text import Text

from autograde.ci import Graded
from autograde.notebook import HIDDEN
from coursekit.check.light import number
from coursekit.check.show import SIGNS, say
from coursekit.check.verdict import Outcome

# XML 1.0 has no place for most control characters, nor for lone surrogates; an exception's message may hold them.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WORDS = {
    "correct": {"en": "correct", "zh": "正确"},
    "partial": {"en": "partly correct", "zh": "部分正确"},
    "incorrect": {"en": "not yet correct", "zh": "还不正确"},
    "error": {"en": "error", "zh": "出错"},
    "not attempted": {"en": "not attempted", "zh": "尚未作答"},
}
_HEAD = {"en": ("check", "result", "points", "what to do"), "zh": ("检查", "结果", "分数", "怎么改")}
_HIDDEN = {"en": "hidden", "zh": "隐藏"}
_WRITTEN = {"en": "Answers in words that a person will grade: {}.", "zh": "需要人工批改的书面题：{} 道。"}
_UNREADABLE = {"en": "The notebook cannot be graded:", "zh": "无法批改这个笔记本："}


def junit(graded: Graded) -> str:
    """The result as JUnit XML: one test case a check."""
    suite = ET.Element("testsuite", name=graded.lab)
    failures = skipped = 0
    if graded.problem:
        case = ET.SubElement(suite, "testcase", classname=graded.lab, name="notebook")
        ET.SubElement(case, "error", message=_xml(graded.problem))
    for grade_id, outcome in graded.outcomes.items():
        case = ET.SubElement(suite, "testcase", classname=graded.lab, name=grade_id)
        text = _xml(explain(outcome, graded.language))
        if outcome.status == "not attempted":
            ET.SubElement(case, "skipped", message=text)
            skipped += 1
        elif outcome.status != "correct":
            element = ET.SubElement(case, "failure", type=outcome.status, message=text)
            element.text = _xml("\n".join([text, *outcome.trace]))
            failures += 1
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    suite.set("errors", str(int(bool(graded.problem))))
    suite.set("skipped", str(skipped))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def markdown(graded: Graded) -> str:
    """The result as a Markdown table; nothing that came from the notebook is taken as markup."""
    got, possible = graded.points
    lines = [f"## {_md(graded.lab)}: {number(got)} / {number(possible)}", ""]
    if graded.problem:
        lines += [f"✗ {_UNREADABLE[graded.language]} {_md(graded.problem)}"]
    else:
        lines += [f"| {' | '.join(_HEAD[graded.language])} |", "| --- | --- | ---: | --- |"]
        lines += [f"| {' | '.join(map(_md, row))} |" for row in _rows(graded)]
    lines += ["", _WRITTEN[graded.language].format(graded.written)] if graded.written else []
    lines += ["", *(f"- {_md(note)}" for note in graded.notes)] if graded.notes else []
    return "\n".join([*lines, ""])


def as_table(graded: Graded) -> Table:
    """The result for the terminal."""
    got, possible = graded.points
    head = _HEAD[graded.language]
    table = Table(title=Text(f"{graded.lab}: {number(got)} / {number(possible)}"))
    for name in head:
        table.add_column(name, justify="right" if name == head[2] else "left")
    for row in _rows(graded):
        table.add_row(*(Text(_NOT_XML.sub("\ufffd", value)) for value in row))
    if graded.problem:
        table.add_row("", Text(f"✗ {_UNREADABLE[graded.language]}"), "", Text(graded.problem))
    return table


def _rows(graded: Graded) -> list[tuple[str, str, str, str]]:
    language = graded.language
    rows = []
    for grade_id, outcome in graded.outcomes.items():
        title = say(outcome.title, language)
        title += f" ({_HIDDEN[language]})" if grade_id.endswith(HIDDEN) else ""
        result = f"{SIGNS[outcome.status]} {_WORDS[outcome.status][language]}"
        points = f"{number(outcome.points)} / {number(outcome.max_points)}"
        rows.append((title, result, points, explain(outcome, language)))
    return rows


def explain(outcome: Outcome, language: str) -> str:
    """Message and hint in one line."""
    return " ".join(part for part in (say(outcome.message, language), say(outcome.hint, language)) if part)


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _md(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]()#!|~@])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
