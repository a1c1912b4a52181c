"""Letters in figures: which font has them, how much room they take, where a line breaks."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Characters that would leave no mark under a picture.
VISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥"})
BOX = "□"


def fonts_of(ax: Axes) -> list[str]:
    """The fonts of the figure: a legend or a colour bar is made later than the title and would take matplotlib's own."""
    return ax.title.get_fontfamily()


def drawable(text: str, fonts: Sequence[str]) -> str:
    """The text with a box for each character that no font has, which else would be a warning for each."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    faces = [get_font(findfont(FontProperties(family=[name]))) for name in fonts]
    return "".join(
        letter if letter == "\n" or any(face.get_char_index(ord(letter)) for face in faces) else BOX
        for letter in text
    )


def width_of(text: str) -> int:
    """Letters that would take as much room."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def wrapped(line: str, columns: int) -> list[str]:
    """The line in rows no wider than `columns`, parted at a space where there is one."""
    rows, row = [], ""
    for letter in line:
        if width_of(row + letter) > columns:
            head, space, tail = row.rpartition(" ")
            if letter == " " or not space or width_of(tail + letter) > len(tail + letter):
                head, tail = row, ""  # no space to part it at, or Chinese, which may be parted anywhere
            rows.append(head)
            row = tail
            if letter == " ":
                continue
        row += letter
    return [*rows, row]
