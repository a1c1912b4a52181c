"""The command that looks over the computer."""

import json
import shutil
import sys
from dataclasses import asdict

import typer

from autograde.commands.common import JsonOption, app


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Try the sandbox and say which walls are in force between submitted code and this computer."""
    from autograde.doctor import look_over

    report = look_over()
    if as_json:
        for finding in report:
            print(json.dumps(asdict(finding) | {"status": finding.status}, ensure_ascii=False))
    else:  # off a terminal nothing is wrapped, so that a line is an item
        print(report.text(shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    if not report.ok:
        raise typer.Exit(1)
