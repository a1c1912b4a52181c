"""What `coursekit doctor` found, as text and as a table."""

import html
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

COMPUTER, PACKAGES, DATA, WEIGHTS = "This computer", "Packages", "Data sets", "Pretrained weights"
GET = "coursekit data get"


@dataclass(frozen=True)
class Finding:
    """One line of `coursekit doctor`; what is not `needed` makes labs faster or nicer."""

    what: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True
    group: str = COMPUTER

    @property
    def status(self) -> str:
        """In a word."""
        return "OK" if self.ok else "MISSING" if self.needed else "optional"


class Report(list[Finding]):
    """Findings that print as text, and as a table in a notebook."""

    purpose = "that the labs need"

    @property
    def ok(self) -> bool:
        """Whether all that is needed is there."""
        return all(finding.ok for finding in self if finding.needed)

    @property
    def summary(self) -> str:
        """In a sentence."""
        missing = [finding.what for finding in self if finding.needed and not finding.ok]
        return f"Missing: {', '.join(missing)}." if missing else f"All {self.purpose} is here."

    def text(self, width: int | None = None) -> str:
        """In lines of `width` characters; None wraps nothing, so that a line is an item."""
        lines: list[str] = []
        for group, findings in self._groups():
            lines.append(group)
            indent = max(len(finding.what) for finding in findings) + 14
            get = False
            for f in findings:
                line = f"  {f.status:<8}  {f.what}".ljust(indent) + f.found
                if f.remedy == f"{GET} {f.what}":
                    get = get or not f.ok  # said once, below
                elif not f.ok:
                    line += f" -> {f.remedy}"
                lines += [line] if width is None else _wrapped(line, width, indent)
            lines += [f"  To get one that is not here: {GET} NAME"] * get
        return "\n".join([*lines, self.summary])

    def _groups(self) -> Iterator[tuple[str, list[Finding]]]:
        for group in dict.fromkeys(finding.group for finding in self):
            yield group, [finding for finding in self if finding.group == group]

    def __repr__(self) -> str:
        return self.text(shutil.get_terminal_size().columns)

    def _repr_html_(self) -> str:
        colours = {"OK": "#009E73", "MISSING": "#CC3311", "optional": "#777777"}
        rows = []
        for group, findings in self._groups():
            rows.append(f'<tr><th colspan="4" style="text-align:left">{html.escape(group)}</th></tr>')
            for f in findings:
                remedy = "" if f.ok else f"<code>{html.escape(f.remedy)}</code>"
                cells = (
                    f'<b style="color:{colours[f.status]}">{f.status}</b>',
                    html.escape(f.what),
                    html.escape(f.found),
                    remedy,
                )
                rows.append(
                    "<tr>" + "".join(f'<td style="text-align:left">{c}</td>' for c in cells) + "</tr>"
                )
        return f"<table>{''.join(rows)}</table><p>{html.escape(self.summary)}</p>"


def _wrapped(line: str, width: int, indent: int) -> list[str]:
    hang = " " * min(indent, width // 2)
    return textwrap.wrap(line, width, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False)
