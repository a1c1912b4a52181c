"""The `coursekit` command. Results go to stdout, everything else to stderr; exit status 0 only when all is well."""

import json
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer

# Torch and Jupyter take seconds to import: each command imports what it needs, so that `--help` answers at once.
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
data_app = typer.Typer(invoke_without_command=True, no_args_is_help=False)
labs_app = typer.Typer(invoke_without_command=True, no_args_is_help=False)
app.add_typer(data_app, name="data", help="The data sets there are; `data get NAME` downloads one.")
app.add_typer(
    labs_app, name="labs", help="The labs there are; `labs get NAME` copies one for you to work in."
)


@app.callback()
def main() -> None:
    """Labs for a deep-learning course: get them, work in them, hand them in."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a Windows pipe may not know Chinese characters
            stream.reconfigure(errors="replace")


@data_app.callback()
def data(context: typer.Context) -> None:
    """List the data sets: where each is now, its size and licence."""
    if context.invoked_subcommand is not None:
        return
    from coursekit.data import list_datasets
    from coursekit.data.catalogue import megabytes

    rows = [
        (info.name, info.available or "not here", megabytes(info.size), info.licence)
        for info in list_datasets()
    ]
    _print_table(("name", "where", "size", "licence"), rows)
    _note("To download one: coursekit data get NAME")


@data_app.command("get")
def get_data(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="As `coursekit data` lists them.")],
    root: Annotated[Path | None, typer.Option(help="The folder to put them in; default: your cache.")] = None,
) -> None:
    """Download data sets."""
    from coursekit.data import DataError, fetch, list_datasets

    here = {info.name: info.available for info in list_datasets()}
    for name in names:
        if root is None and here.get(name):
            print(f"{name}: {here[name]}")
            continue
        try:
            print(f"{name}: {fetch(name, root=root)}")
        except DataError as error:
            _fail(str(error))


@labs_app.callback()
def labs(context: typer.Context) -> None:
    """List the labs that came with coursekit."""
    if context.invoked_subcommand is not None:
        return
    names = {path.name for lang in ("en", "zh") for path in (_labs_folder() / lang).glob("*/")}
    rows = [
        (name, *(_title(_labs_folder() / lang / name) for lang in ("en", "zh"))) for name in sorted(names)
    ]
    _print_table(("name", "title", "标题"), rows)
    _note("To work in one: coursekit labs get NAME, or coursekit labs get NAME --lang zh")


@labs_app.command("get")
def get_lab(
    name: Annotated[str, typer.Argument(help="As `coursekit labs` lists them.")],
    lang: Annotated[
        str | None, typer.Option(help='"en" or "zh"; default: COURSEKIT_LANG, or English.')
    ] = None,
    to: Annotated[Path, typer.Option(help="The folder to put the lab's own folder in.")] = Path(),
) -> None:
    """Copy a lab's notebook, and the file with its checks, into a folder of its own. Your own work is never overwritten."""
    from coursekit.check.show import LANGUAGES, language

    chosen = lang or language()
    if chosen not in LANGUAGES:
        _fail(f'--lang must be "en" or "zh", got {chosen!r}')
    source = _labs_folder() / chosen / name
    if not (source / f"{name}.ipynb").is_file():
        known = sorted(path.name for path in (_labs_folder() / chosen).glob("*/"))
        _fail(f"there is no lab {name!r}; there are: {', '.join(known) or 'none'}")
    folder = to / name
    wanted = sorted(path for path in source.iterdir() if path.is_file())
    kept = [path.name for path in wanted if (folder / path.name).exists()]
    if len(kept) == len(wanted):
        _fail(
            f"{folder} is there already and stays as it is: it may hold your work. For a fresh copy beside it: "
            f"coursekit labs get {name} --to fresh; to start again, rename {folder} first."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path in wanted:
        if path.name not in kept:
            shutil.copyfile(path, folder / path.name)
            print(folder / path.name)
    if kept:
        _note(f"Kept as it was, since it may hold your work: {', '.join(kept)}")
    _note(f"To work in it: jupyter lab {folder / name}.ipynb")


@app.command()
def submit(
    folder: Annotated[Path, typer.Argument(help="The lab's folder; default: the one you are in.")] = Path(),
    out: Annotated[Path | None, typer.Option(help="The file to write; default: LAB.zip, here.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Pack it even if cells are missing.")] = False,
) -> None:
    """Pack a lab into LAB.zip to hand in, after looking over the notebook."""
    from coursekit.submit import SubmitError, pack

    try:
        packed = pack(folder, out, force=force)
    except SubmitError as error:
        _fail(str(error))
    _note("Packed: " + ", ".join(packed.files))
    empty = packed.not_attempted
    _note(f"Not attempted: {', '.join(empty)}" if empty else "Every exercise has an answer.")
    print(packed.target)
    _note("It holds what was saved: if Jupyter shows unsaved changes, save them and run this again.")


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Look over this computer: is everything there that the labs need?"""
    from coursekit.doctor import look_over

    findings = list(look_over())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
    else:
        rows = [
            (
                "OK" if f.ok else "MISSING" if f.needed else "optional",
                f.what,
                f.found,
                "" if f.ok else f.remedy,
            )
            for f in findings
        ]
        _print_table(("", "", "found", "what to do"), rows)
    if not all(finding.ok for finding in findings if finding.needed):
        raise typer.Exit(1)


def _labs_folder() -> Path:
    from coursekit.check.lab import installed_labs

    folder = installed_labs()
    if folder is None:
        _fail("this coursekit came without its notebooks; install it again")
    return folder


def _title(folder: Path) -> str:
    """The notebook's first heading."""
    path = folder / f"{folder.name}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.is_file() else []
    lines = (
        line
        for cell in cells
        if cell["cell_type"] == "markdown"
        for line in "".join(cell["source"]).splitlines()
    )
    return next((line.removeprefix("# ").strip() for line in lines if line.startswith("# ")), "")


def _print_table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Off a terminal nothing is wrapped, so that a line is an item.
    console = Console(width=None if sys.stdout.isatty() else 400)
    table = Table(*heading, box=box.SIMPLE_HEAD if console.is_terminal else None)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _fail(message: str) -> NoReturn:
    _note(f"coursekit: {message}")
    raise typer.Exit(1)
