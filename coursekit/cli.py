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
app.add_typer(
    data_app,
    name="data",
    help="The data sets and pretrained weights there are; `data get NAME` downloads one.",
)
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
    """List the data sets and the pretrained weights: where each is now, its size and licence."""
    if context.invoked_subcommand is not None:
        return
    from coursekit.data import list_datasets, list_pretrained
    from coursekit.data.catalogue import megabytes

    for heading, infos in (("name", list_datasets()), ("weights", list_pretrained())):
        rows = [(i.name, i.available or "not here", megabytes(i.size), i.licence) for i in infos]
        _print_table((heading, "where", "size", "licence"), rows)
    _note("To download one: coursekit data get NAME")


@data_app.command("get")
def get_data(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="As `coursekit data` lists them.")],
    root: Annotated[Path | None, typer.Option(help="The folder to put them in; default: your cache.")] = None,
) -> None:
    """Download data sets and pretrained weights."""
    import difflib

    from coursekit.data import DataError, fetch, fetch_pretrained, list_datasets, list_pretrained

    weights = {info.name: info.available for info in list_pretrained()}
    here = {info.name: info.available for info in list_datasets()} | weights
    for name in names:
        if name not in here:
            close = difflib.get_close_matches(name, here, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            _fail(f"there is nothing called {name!r}: {hint}There are {', '.join(here)}.")
        if root is None and here[name]:
            print(f"{name}: {here[name]}")
            continue
        try:
            print(f"{name}: {(fetch_pretrained if name in weights else fetch)(name, root=root)}")
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
    for remark in packed.remarks:
        _note(remark)
    print(packed.target)
    _note("It holds what was saved: if Jupyter shows unsaved changes, save them and run this again.")


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Look over this computer: is everything there that the labs need?"""
    from coursekit.doctor import doctor as look_over

    report = look_over()
    if as_json:
        print(json.dumps([asdict(finding) for finding in report], ensure_ascii=False, indent=1))
    else:  # off a terminal nothing is wrapped, so that a line is an item
        print(report.text(shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    if not report.ok:
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
    for column in table.columns:
        column.overflow = "fold"  # nothing is left out
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _fail(message: str) -> NoReturn:
    _note(f"coursekit: {message}")
    raise typer.Exit(1)
