"""Outcomes for people: a small box in the notebook and plain text, in English or Chinese."""

import html
import os
import re
import textwrap
from typing import Any

from coursekit.check.light import number
from coursekit.check.tree import Text
from coursekit.check.verdict import Outcome

LANGUAGES = ("en", "zh")

# Okabe-Ito colours, told apart by the colour-blind; every status also has a sign and a word.
_LOOK = {
    "correct": ("✓", "#009E73", {"en": "correct", "zh": "正确"}),
    "partial": ("◐", "#E69F00", {"en": "partly correct", "zh": "部分正确"}),
    "incorrect": ("✗", "#D55E00", {"en": "not yet correct", "zh": "还不正确"}),
    "not attempted": ("○", "#777777", {"en": "not attempted", "zh": "尚未作答"}),
    "error": ("!", "#CC3311", {"en": "your code raised an error", "zh": "代码出错"}),
}
SIGNS = {status: sign for status, (sign, _, _) in _LOOK.items()}
_POINTS = {"en": "points", "zh": "分"}
_HINT = {"en": "Hint: ", "zh": "提示："}
_HEAD = {"en": "{sign} {exercise}: {word} ({points})", "zh": "{sign} {exercise}：{word}（{points}）"}


def language(bundle_language: str = "en") -> str:
    """`COURSEKIT_LANG` if it is set to a known language, else the bundle's."""
    wishes = (os.environ.get("COURSEKIT_LANG", "").lower()[:2], bundle_language)
    return next((wish for wish in wishes if wish in LANGUAGES), "en")


def say(text: Text, lang: str) -> str:
    """The sentence in a language; English where there is none, "" for an empty text."""
    return text.get(lang) or text.get("en", "")


def as_text(outcome: Outcome, lang: str) -> str:
    """Some lines of plain text."""
    sign, _, word = _LOOK[outcome.status]
    points = f"{number(outcome.points)} / {number(outcome.max_points)} {_POINTS[lang]}"
    head = _HEAD[lang].format(sign=sign, exercise=outcome.exercise, word=word[lang], points=points)
    lines = [head]
    lines += [f"    {outcome.call}"] if outcome.call else []
    lines += textwrap.wrap(say(outcome.message, lang), 100) if outcome.message else []
    lines += [f"    {line}" for line in outcome.trace]
    lines += textwrap.wrap(f"{_HINT[lang]}{say(outcome.hint, lang)}", 100) if outcome.hint else []
    return "\n".join(lines)


def as_html(outcome: Outcome, lang: str) -> str:
    """A box; everything that came from the student's code is escaped."""
    sign, colour, word = _LOOK[outcome.status]
    points = f"{number(outcome.points)} / {number(outcome.max_points)} {_POINTS[lang]}"
    parts = [
        f'<b style="color:{colour}">{sign} {word[lang]}</b> '
        f"<code>{html.escape(outcome.exercise)}</code> {html.escape(say(outcome.title, lang))}"
        f'<span style="float:right">{points}</span>'
    ]
    if outcome.call:
        parts.append(f"<div><code>{html.escape(outcome.call)}</code></div>")
    if outcome.message:
        parts.append(f"<div>{with_code(say(outcome.message, lang))}</div>")
    if outcome.trace:
        parts.append(f"<pre style='margin:4px 0'>{html.escape(chr(10).join(outcome.trace))}</pre>")
    if outcome.hint:
        parts.append(f"<div><b>{_HINT[lang]}</b>{with_code(say(outcome.hint, lang))}</div>")
    style = f"border-left:5px solid {colour};padding:6px 10px;margin:4px 0;background:rgba(127,127,127,.08);max-width:60em"
    return f'<div class="coursekit-check" style="{style}">{"".join(parts)}</div>'


def with_code(text: str) -> str:
    """A message as HTML, with its `names` as code; no other markup is known."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


class Box:
    """An outcome as Jupyter displays it."""

    def __init__(self, outcome: Outcome, lang: str):
        self.outcome, self.lang = outcome, lang

    def _repr_html_(self) -> str:
        return as_html(self.outcome, self.lang)

    def __repr__(self) -> str:
        return as_text(self.outcome, self.lang)


class Points(float):
    """The points of a check: a number (nbgrader reads it as partial credit) that shows as a small note."""

    def __new__(cls, outcome: Outcome, lang: str) -> "Points":
        """From an outcome."""
        self = super().__new__(cls, outcome.points)
        self.note = f"{number(outcome.points)} / {number(outcome.max_points)} {_POINTS[lang]}"
        return self

    note: str

    def _repr_html_(self) -> str:
        return f"<small>{self.note}</small>"


class CheckFailedError(Exception):
    """A check that earned nothing. The box above says why; nbgrader sees a failed cell."""

    def __init__(self, outcome: Outcome, lang: str):
        super().__init__(as_text(outcome, lang))
        self.outcome = outcome

    def _render_traceback_(self) -> list[str]:
        # What Jupyter prints instead of a traceback through our own code; the box above says the rest.
        return str(self).splitlines()[:1]


def display(outcome: Outcome, lang: str) -> None:
    """Show the box in a notebook, or print the text elsewhere."""
    shell = _ipython()
    if shell is None:
        print(as_text(outcome, lang))
    else:
        from IPython.display import display as show

        show(Box(outcome, lang))


def _ipython() -> Any | None:
    import sys

    if "IPython" not in sys.modules:
        return None
    return sys.modules["IPython"].get_ipython()
