"""What travels between the run and a worker of a cluster: bytes, texts and numbers, by value.

Nothing that comes out of a sandbox is pickled: what the notebook gave returns as JSON. Dask itself pickles the reference to our
function and the parcel, between our own processes.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbformat import from_dict

from autograde.course import Limits
from autograde.place import Task

if TYPE_CHECKING:  # it imports torch, which a run does when its processes have begun
    from autograde.execute import Executed


@dataclass(frozen=True)
class Parcel:
    """A task with the contents of its files.

    Attributes:
        notebook: as JSON.
        files: by relative path, content and whether it is executable.
        limits: by name.
    """

    notebook: str
    checks: tuple[int, ...]
    questions: Mapping[str, bytes]
    files: Mapping[str, tuple[bytes, bool]]
    limits: Mapping[str, int]
    gpu: bool


def pack(task: Task) -> Parcel:
    """Everything that the task needs."""
    files = {
        str(relative): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for relative, path in task.files.items()
    }
    notebook = json.dumps(task.notebook)
    return Parcel(notebook, tuple(task.checks), dict(task.questions), files, asdict(task.limits), task.gpu)


def unpack(parcel: Parcel, folder: Path) -> Task:
    """The task, its files in an empty folder."""
    files = {}
    for relative, (content, executable) in parcel.files.items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if executable else 0o644)
        files[Path(relative)] = path
    notebook = from_dict(json.loads(parcel.notebook))
    return Task(notebook, parcel.checks, parcel.questions, files, Limits(**parcel.limits), parcel.gpu)


def written(executed: "Executed") -> bytes:
    """What came of a notebook, as JSON."""
    answers = {i: base64.b64encode(answer).decode() for i, answer in executed.answers.items()}
    return json.dumps(asdict(executed) | {"answers": answers}).encode()


def read(content: bytes) -> "Executed":
    """The same, read again."""
    from autograde.execute import Executed

    fields = json.loads(content)
    fields["states"] = {int(i): state for i, state in fields["states"].items()}
    fields["outputs"] = {int(i): list(map(from_dict, found)) for i, found in fields["outputs"].items()}
    fields["answers"] = {
        int(i): base64.b64decode(answer, validate=True) for i, answer in fields["answers"].items()
    }
    return Executed(**fields)
