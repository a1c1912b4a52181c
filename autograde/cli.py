"""The `autograde` command."""

import sys

from autograde.commands import authoring, computer, grading, results, single  # each adds its commands
from autograde.commands.common import app, err
from autograde.errors import AutogradeError

__all__ = ["app", "authoring", "computer", "grading", "main", "results", "single"]


def main() -> None:
    """Run the command; an error that we know is one message, not a traceback."""
    try:
        app()
    except AutogradeError as error:
        err.print("[bold red]autograde:[/]", end=" ")
        err.print(error, highlight=False, markup=False)
        sys.exit(2)
