"""Intake: every submission becomes well-formed notebooks, or a named reason why not. Nothing of it is executed here."""

import json
import os
import stat
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograde.master import MasterNotebook
from autograde.mend import grade_id_of, merged, rebuilt
from coursekit.check.lab import SUFFIX, BundleError, bundle_from
from coursekit.submit import MAX_BYTES, MAX_FILES, MAX_NOTEBOOK_BYTES

_ENCODINGS = ("utf-8-sig", "utf-16", "gb18030")


@dataclass
class Submission:
    """What one student handed in, made ready.

    Attributes:
        notebooks: by released name; mended, with metadata and locked cells as released.
        files: the other ordinary files, by their path inside the submission.
        problem: why nothing can be graded; None when something can.
        missing: released notebooks that are not there.
        unreadable: released notebooks that are there and cannot be read, and why.
    """

    student: str
    folder: Path
    notebooks: dict[str, NotebookNode] = field(default_factory=dict)
    files: dict[Path, Path] = field(default_factory=dict)
    repairs: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    problem: str | None = None
    language: str = "en"


def take_in(student: str, folder: Path, masters: list[MasterNotebook], outputs: bool = False) -> Submission:
    """Read a submission folder; with the notebooks' `outputs` where they are not to be run."""
    submission = Submission(student, folder)
    files = _ordinary_files(folder, submission)
    candidates = [path for path in files if path.suffix == ".ipynb"]
    submission.files = {path.relative_to(folder): path for path in files if path.suffix != ".ipynb"}
    readable: dict[Path, NotebookNode] = {}
    reasons: dict[Path, str] = {}
    for path in candidates:
        try:
            readable[path] = _read(path, submission, outputs)
        except ValueError as error:
            reasons[path] = f"{path.relative_to(folder)}: {error}"
    named = {master.name: folder / f"{master.name}.ipynb" for master in masters}
    others = {path: each for path, each in readable.items() if path not in named.values()}
    for master in masters:
        path = named[master.name]
        found = path if path in readable else _match(master, folder, others, submission)
        if found is None:
            submission.missing.append(master.name)
            continue
        others.pop(found, None)
        submission.notebooks[master.name] = merged(
            master, readable[found], flags=submission.flags, repairs=submission.repairs, run=not outputs
        )
    unreadable = {name: reasons[path] for name, path in named.items() if path in reasons}
    submission.unreadable = {
        name: reason for name, reason in unreadable.items() if name in submission.missing
    }
    submission.missing = [name for name in submission.missing if name not in submission.unreadable]
    if not submission.notebooks:
        submission.problem = "; ".join(reasons.values()) or "no notebook in it"
    else:
        known = submission.unreadable.values()
        submission.flags += [
            f"unreadable extra notebook: {each}" for each in reasons.values() if each not in known
        ]
    submission.language = _language(submission)
    return submission


def _ordinary_files(folder: Path, submission: Submission) -> list[Path]:
    """Ordinary files below the folder. Links and special files are left out: following one would hand out its target."""
    if folder.is_symlink():
        submission.flags.append("the submission folder itself is a link")
        return []
    found: list[Path] = []
    total = 0
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name != ".ipynb_checkpoints")
        for name in [*folders, *sorted(names)]:
            path = Path(parent, name)
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            relative = path.relative_to(folder)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                submission.flags.append(f"{relative} is a link or a special file; left out")
                continue
            total += status.st_size
            if len(found) == MAX_FILES or total > MAX_BYTES:
                submission.flags.append(
                    f"more than {MAX_FILES} files or {MAX_BYTES >> 20} MB; {relative} and more left out"
                )
                return found
            found.append(path)
    return found


def _read(path: Path, submission: Submission, outputs: bool) -> NotebookNode:
    """A notebook of format 4 from whatever is in the file.

    Raises:
        ValueError: with the reason, when there is no notebook in it.
    """
    if path.stat().st_size > MAX_NOTEBOOK_BYTES:
        raise ValueError(f"larger than {MAX_NOTEBOOK_BYTES >> 20} MB")
    data = path.read_bytes()
    if not data.strip():
        raise ValueError("the file is empty")
    content = _decode(data, path, submission)
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a notebook: {error}") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("cells", tree.get("worksheets")), list):
        raise ValueError("JSON, but not a notebook: it has no list of cells")
    try:
        if tree.get("nbformat") == 3:
            tree = nbformat.convert(nbformat.from_dict(tree), 4)
            submission.repairs.append(f"{path.name}: converted from notebook format 3")
        return rebuilt(tree, outputs)
    except Exception as error:
        # nbformat's converters fail in their own ways on odd input; each is one reason why this is no notebook.
        raise ValueError(f"not a notebook: {type(error).__name__}: {error}") from error


def _decode(data: bytes, path: Path, submission: Submission) -> str:
    for encoding in _ENCODINGS:
        try:
            text = data.decode(encoding)
        except UnicodeError:
            continue
        if encoding != "utf-8-sig" or data.startswith(b"\xef\xbb\xbf"):
            submission.repairs.append(f"{path.name}: encoding {encoding}, now UTF-8")
        return text
    raise ValueError(f"text in none of the encodings {', '.join(_ENCODINGS)}")


def _match(
    master: MasterNotebook, folder: Path, readable: dict[Path, NotebookNode], submission: Submission
) -> Path | None:
    """The one of these files that has most of the notebook's cells."""

    def shared(path: Path) -> int:
        return len({grade_id_of(cell) for cell in readable[path].cells} & set(master.cells))

    best = max(readable, key=shared, default=None)
    if best is None or not shared(best):
        return None
    submission.repairs.append(f"{best.relative_to(folder)} taken as {master.name}.ipynb, by its cells")
    submission.flags.append(f"renamed: {best.relative_to(folder)}")
    return best


@lru_cache(maxsize=4)  # most of a class hand in one of two bundles, byte by byte
def _language_of(content: bytes, name: str) -> str:
    return "zh" if bundle_from(content, name).lang == "zh" else "en"


def _language(submission: Submission) -> str:
    """The language of the notebook that the student works in, which stands in the bundle beside it."""
    for relative, path in submission.files.items():
        if relative.name.endswith(SUFFIX):
            try:
                return _language_of(path.read_bytes(), path.name)
            except BundleError:
                submission.flags.append(f"{relative} is damaged")
    return "en"
