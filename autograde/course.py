"""A course directory: nbgrader's layout and configuration, the course's secret, and what autograde keeps beside them."""

import glob
import secrets
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from sqlalchemy import make_url
from traitlets.config import Config

from autograde.errors import CourseError
from autograde.options import Configuration, cell_timeout, read_configuration

SETTINGS = "autograde.toml"
_SECRET = Path(".autograde", "secret")

_CONFIG = '''"""nbgrader's configuration of this course; see https://nbgrader.readthedocs.io."""

from pathlib import Path

from autograde.configure import configure

c = get_config()  # noqa: F821 - nbgrader gives it to this file
c.CourseDirectory.course_id = "{course_id}"
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
configure(c)
'''

_SETTINGS = """# Settings of `autograde` for this course.
language = "{language}"        # of the released notebooks: "en" or "zh"
labs = '{labs}'  # where the labs' sources are
# preload = ["torch", "torchvision"]  # what is imported once for all kernels; default: what the labs import

[limits]                 # of one submission
cell_seconds = 60        # wall time of one cell
notebook_seconds = 300   # wall time of the whole notebook
memory_mb = 4096
processes = 128
output_bytes = 2000000   # what one cell may print
disk_mb = 256
"""

# What the notebooks of a deep-learning course import.
DEFAULT_PRELOAD = (
    "torch",
    "torch._dynamo",  # which torch imports when the first optimiser is made
    "torchvision",
    "matplotlib.pyplot",
    "coursekit.data",
    "coursekit.models",
    "coursekit.plot",
    "coursekit.train",
)

DEFAULT_LIMITS = {
    "cell_seconds": 60,
    "notebook_seconds": 300,
    "memory_mb": 4096,
    "processes": 128,
    "output_bytes": 2_000_000,
    "disk_mb": 256,
}


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell_seconds: int
    notebook_seconds: int
    memory_mb: int
    processes: int
    output_bytes: int
    disk_mb: int


@dataclass(frozen=True)
class Course:
    """An nbgrader course directory; one that `autograde init` made has settings and a secret too.

    Attributes:
        root: the folder.
        arguments: settings of nbgrader as on its command line (`--Execute.timeout=60`), above those of its files.
    """

    root: Path
    arguments: tuple[str, ...] = ()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """`autograde.toml`; empty in a course that has none."""
        path = self.root / SETTINGS
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    @cached_property
    def configuration(self) -> Configuration:
        """What nbgrader makes of its files of configuration and of the arguments.

        Raises:
            CourseError: when nbgrader cannot read them.
        """
        return read_configuration(self.arguments, self.root)

    @property
    def config(self) -> Config:
        """nbgrader's configuration, put together by nbgrader itself: its files, here and for the user, and the arguments."""
        return self.configuration.config

    @cached_property
    def nbgrader(self) -> CourseDirectory:
        """nbgrader's own idea of where things are."""
        return CourseDirectory(config=self.config)

    @property
    def limits(self) -> Limits:
        """What one submission may use."""
        given = self.settings.get("limits", {})
        unknown = sorted(set(given) - set(DEFAULT_LIMITS))
        if unknown:
            raise CourseError(
                f"{SETTINGS}: unknown limit {', '.join(unknown)}; there are {', '.join(DEFAULT_LIMITS)}"
            )
        return Limits(**{**DEFAULT_LIMITS, **self._times(), **given})

    def _times(self) -> dict[str, int]:
        """`Execute.timeout`, where the course has set it: nbgrader's limit of a cell, and room for five such cells."""
        timeout = cell_timeout(self.config)
        if timeout is None:
            return {}
        notebook = max(DEFAULT_LIMITS["notebook_seconds"], 5 * timeout)
        return {"cell_seconds": timeout or notebook, "notebook_seconds": notebook}

    @property
    def preload(self) -> Sequence[str]:
        """Modules that are imported once for all kernels."""
        return self.settings.get("preload", DEFAULT_PRELOAD)

    @property
    def secret(self) -> bytes:
        """What the hidden cases are drawn from; never committed, never handed out."""
        path = self.root / _SECRET
        if not path.is_file():
            raise CourseError(f"{self.root} has no secret ({_SECRET}); `autograde init` makes one")
        return bytes.fromhex(path.read_text(encoding="ascii").strip())

    @property
    def labs(self) -> Path:
        """The folder with the labs' sources."""
        return Path(self.settings.get("labs", default_labs()))

    @property
    def instructor_data(self) -> Path | None:
        """The course's own folder of hidden labels, LAB/ in it for each lab that has some; None: the labs' own."""
        folder = self.settings.get("instructor_data")
        return None if folder is None else self.root / folder

    @property
    def db_url(self) -> str:
        """Address of the gradebook; whoever finds it locked waits a minute, where it is a file."""
        url = make_url(self.nbgrader.db_url)
        if url.drivername == "postgresql":  # which driver that means depends on the version of SQLAlchemy
            url = url.set(drivername="postgresql+psycopg")
        if url.drivername == "sqlite":
            url = url.set(query={"timeout": "60", **url.query})
            if url.database and url.database != ":memory:":
                url = url.set(database=str(self.root / url.database))
        return url.render_as_string(hide_password=False)

    @property
    def state(self) -> Path:
        """Where autograde keeps its records."""
        return self.root / ".autograde"

    def path(self, step: str, student: str, assignment: str) -> Path:
        """nbgrader's folder of a step ("submitted", "autograded", ...), under the course's own configuration."""
        directory = getattr(self.nbgrader, f"{step}_directory")
        return Path(self.nbgrader.format_path(directory, student, assignment))

    def students(self, assignment: str) -> list[str]:
        """Ids of those who have submitted something, in order."""
        there = self.nbgrader
        steps = {"nbgrader_step": there.submitted_directory, "assignment_id": assignment}
        path = Path(self.root, there.directory_structure.format(student_id="\0", **steps))
        before, *after = str(path).split("\0")
        if len(after) != 1:
            raise CourseError(
                f"directory_structure must have {{student_id}} in it, once; it is {there.directory_structure!r}"
            )
        # As in nbgrader, hidden folders are none; pathlib's glob would find them, and takes no absolute pattern.
        found = glob.glob(f"{glob.escape(before)}*{glob.escape(after[0])}")  # noqa: PTH207
        return sorted(name[len(before) : len(name) - len(after[0])] for name in found)


def default_labs() -> Path:
    """`labs/` of the checkout that this package is installed from."""
    return Path(__file__).resolve().parent.parent / "labs"


def find_course(start: Path, arguments: Sequence[str] = ()) -> Course:
    """The course that nbgrader's configuration names (as seen from the working directory), or the one at or above `start`.

    Raises:
        CourseError: when there is none.
    """
    config = read_configuration(arguments).config.CourseDirectory
    if "root" in config:
        return open_course(Path(CourseDirectory(root=config.root).root), arguments)
    for folder in [start.resolve(), *start.resolve().parents]:
        if (folder / "nbgrader_config.py").is_file() or (folder / "gradebook.db").is_file():
            return Course(folder, tuple(arguments))
    if "db_url" in config:
        return Course(start.resolve(), tuple(arguments))
    raise CourseError(
        f"{start.resolve()} is not in an nbgrader course (no nbgrader_config.py or gradebook.db here or above); "
        "make one with `autograde init DIR`, or name it with --course DIR"
    )


def open_course(folder: Path, arguments: Sequence[str] = ()) -> Course:
    """The course in a folder.

    Raises:
        CourseError: when there is no such folder.
    """
    if not folder.is_dir():
        raise CourseError(f"there is no folder {folder}; --course names the directory of an nbgrader course")
    return Course(folder.resolve(), tuple(arguments))


def release_first(assignment: str) -> str:
    """What to do about an assignment that is not in the gradebook."""
    return f"release it first (`autograde release {assignment}`, or nbgrader's generate_assignment)"


def not_released(course: Course, gradebook: Gradebook, assignment: str) -> CourseError:
    """The error for an assignment that the gradebook does not know."""
    known = ", ".join(sorted(each.name for each in gradebook.assignments)) or "none"
    return CourseError(
        f"the gradebook of {course.root} has no assignment {assignment!r} (there are: {known}); {release_first(assignment)}"
    )


def init_course(root: Path, *, course_id: str, language: str, labs: Path | None = None) -> Course:
    """Make a course directory; what is already there stays as it is. `labs` is the folder of the labs' sources."""
    if language not in ("en", "zh"):
        raise CourseError(f'language must be "en" or "zh", got {language!r}')
    root.mkdir(parents=True, exist_ok=True)
    for folder in ("source", "release", "submitted"):
        (root / folder).mkdir(exist_ok=True)
    _write_new(root / "nbgrader_config.py", _CONFIG.format(course_id=course_id))
    _write_new(root / SETTINGS, _SETTINGS.format(language=language, labs=labs or default_labs()))
    _write_new(
        root / ".gitignore", ".autograde/\ngradebook.db\nsubmitted/\nautograded/\nfeedback/\nreports/\n"
    )
    (root / _SECRET).parent.mkdir(mode=0o700, exist_ok=True)
    if _write_new(root / _SECRET, secrets.token_hex(32) + "\n"):
        (root / _SECRET).chmod(0o600)
    return Course(root.resolve())


def _write_new(path: Path, text: str) -> bool:
    if path.exists():
        return False
    path.write_text(text, encoding="utf-8")
    return True
