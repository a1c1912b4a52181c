"""The `coursekit` command. Results go to stdout, everything else to stderr; exit status 0 only when all is well."""

import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from coursekit.check import Lab

# Torch and Jupyter take seconds to import: each command imports what it needs, so that `--help` answers at once.
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
data_app = typer.Typer(invoke_without_command=True, no_args_is_help=False)
labs_app = typer.Typer(invoke_without_command=True, no_args_is_help=False)
app.add_typer(data_app, name="data", help="The data sets there are; `data get NAME` downloads one.")
app.add_typer(
    labs_app, name="labs", help="The labs there are; `labs get NAME` copies one for you to work in."
)

# As the autograder takes them: what is larger is better left out at home than at the door.
MAX_FILES, MAX_BYTES, MAX_NOTEBOOK_BYTES = 1_000, 200 * 2**20, 40 * 2**20
_LEFT_OUT = ("__pycache__", "*.pyc", "*.zip", "*.part", "*.tmp")
_WRITTEN_STUB = "YOUR ANSWER HERE"


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
    lab = _bundle_of(folder)
    notebook = folder / f"{lab.name}.ipynb"
    cells = _graded_cells(notebook)
    missing = sorted(_expected_cells(lab) - set(cells))
    if missing and not force:
        _fail(
            f"{notebook.name} has lost cells that are graded: {', '.join(missing)}. Copy them from a fresh one "
            f"(coursekit labs get {lab.name} --to fresh), or hand it in as it is: coursekit submit --force"
        )
    files = _to_pack(folder)
    target = out or Path(f"{lab.name}.zip")
    part = target.with_name(f"{target.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, Path(lab.name, path.relative_to(folder)))
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        _fail(f"{target} cannot be written: {error}. Name another file: coursekit submit --out FILE.zip")
    empty = [name for name, source in cells.items() if _is_stub(source)]
    _note("Packed: " + ", ".join(path.relative_to(folder).as_posix() for path in files))
    _note(f"Not attempted: {', '.join(empty)}" if empty else "Every exercise has an answer.")
    print(target)
    _note("It holds what was saved: if Jupyter shows unsaved changes, save them and run this again.")


def _bundle_of(folder: Path) -> "Lab":
    """The lab whose folder this is, by the file with its checks."""
    from coursekit.check import BundleError
    from coursekit.check.lab import SUFFIX, read_bundle

    found = sorted(folder.glob(f"*{SUFFIX}"))
    if len(found) != 1:
        inside = sorted(path.parent.as_posix() for path in folder.glob(f"*/*{SUFFIX}"))
        hint = (
            f"Did you mean coursekit submit {inside[0]}?" if inside else "coursekit labs get NAME makes one."
        )
        _fail(f"{folder.resolve()} is not the folder of one lab: it has {len(found)} files *{SUFFIX}. {hint}")
    try:
        return read_bundle(found[0])
    except BundleError as error:
        _fail(str(error))


def _graded_cells(notebook: Path) -> dict[str, str]:
    """The source of each cell with an nbgrader id."""
    if not notebook.is_file():
        _fail(
            f"there is no {notebook.name} in {notebook.parent.resolve()}; give your notebook its first name back"
        )
    if notebook.stat().st_size > MAX_NOTEBOOK_BYTES:
        _fail(
            f"{notebook.name} is larger than {MAX_NOTEBOOK_BYTES >> 20} MB; in Jupyter choose "
            "Edit > Clear Outputs of All Cells, and save"
        )
    try:
        return dict(_cells(notebook))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _fail(
            f"{notebook.name} is not a readable notebook ({error}). If Jupyter opens it, save it there again; "
            "else look for an older copy in .ipynb_checkpoints"
        )


def _cells(notebook: Path) -> Iterable[tuple[str, str]]:
    for cell in json.loads(notebook.read_text(encoding="utf-8-sig"))["cells"]:
        grade_id = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if grade_id:
            yield grade_id, "".join(cell["source"])


def _expected_cells(lab: "Lab") -> set[str]:
    """Ids of the cells that the lab's notebook must have: those of its checks, and of the release where it is installed."""
    from coursekit.check.lab import installed_labs

    expected = {f"{name}{part}" for name in lab.case_sets for part in ("", "-check", "-hidden")}
    folder = installed_labs()
    released = folder / "en" / lab.name / f"{lab.name}.ipynb" if folder else None
    ids = set(dict(_cells(released))) if released and released.is_file() else set()
    # A course may have changed a lab of the same name: then only its checks say what belongs to it.
    return ids if expected <= ids else expected


def _is_stub(source: str) -> bool:
    return bool(re.search(r"^\s*raise NotImplementedError", source, re.MULTILINE)) or _WRITTEN_STUB in source


def _to_pack(folder: Path) -> list[Path]:
    """The ordinary files of a lab's folder without caches, within the limits of what can be handed in."""
    files = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in parts.parts)
        left_out = any(Path(part).match(pattern) for part in parts.parts for pattern in _LEFT_OUT)
        if path.is_file() and not (path.is_symlink() or hidden or left_out):
            files.append(path)
    total = sum(path.stat().st_size for path in files)
    if len(files) > MAX_FILES or total > MAX_BYTES:
        largest = sorted(files, key=lambda path: -path.stat().st_size)[:3]
        _fail(
            f"{len(files)} files of {total / 1e6:.0f} MB are too many to hand in (at most {MAX_FILES:,} files, "
            f"{MAX_BYTES >> 20} MB); move what is not needed out of the folder, beginning with "
            + ", ".join(
                f"{path.relative_to(folder)} ({path.stat().st_size / 1e6:.0f} MB)" for path in largest
            )
        )
    return files


@dataclass(frozen=True)
class Finding:
    """One line of `coursekit doctor`; what is not `needed` makes labs faster or nicer."""

    what: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Look over this computer: is everything there that the labs need?"""
    findings = list(_look_over())
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


def _look_over() -> Iterable[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer")
    try:
        import torch
        import torchvision
    except (ImportError, OSError) as error:  # OSError: a shared library of torch that does not load
        yield Finding("PyTorch", False, str(error), "pip install --force-reinstall torch torchvision")
        return
    yield Finding("PyTorch", True, f"torch {torch.__version__}, torchvision {torchvision.__version__}")
    yield from _look_at_hardware()
    yield from _look_at_extras()


def _look_at_hardware() -> Iterable[Finding]:
    import psutil

    from coursekit.train.device import pick_device

    device = pick_device().type
    note = "not needed: the labs run on the processor"
    yield Finding("GPU", device != "cpu", "none" if device == "cpu" else device, note, needed=False)
    memory = psutil.virtual_memory().total / 2**30
    yield Finding("memory", memory > 3.5, f"{memory:.1f} GB, {os.cpu_count()} cores", "4 GB are needed")
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield Finding("disk", free > 1, f"{free:.1f} GB free here", "make room: 1 GB is needed")


def _look_at_extras() -> Iterable[Finding]:
    import importlib.util

    from jupyter_client.kernelspec import KernelSpecManager

    from coursekit.data import list_datasets
    from coursekit.plot.style import cjk_font

    jupyter = bool(importlib.util.find_spec("jupyterlab"))
    yield Finding("JupyterLab", jupyter, "yes" if jupyter else "no", "pip install jupyterlab")
    specs: dict[str, Any] = KernelSpecManager().get_all_specs()
    kernel = specs.get("python3", {}).get("spec", {}).get("argv", [""])[0]
    # A bare "python" is whatever Python starts Jupyter, which is this one.
    ok = bool(kernel) and (not Path(kernel).is_absolute() or Path(kernel).exists())
    yield Finding(
        "Jupyter kernel", ok, kernel or "no kernel python3", "python -m ipykernel install --sys-prefix"
    )
    for info in list_datasets():
        remedy = f"coursekit data get {info.name}"
        found = info.available or "not here"
        yield Finding(info.name, info.available is not None, found, remedy, needed=False)
    font = cjk_font()
    yield Finding(
        "Chinese font",
        font is not None,
        font or "none",
        "labels in plots are English; or install Noto Sans CJK SC",
        False,
    )


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
