"""A tiny lab of two exercises, and a course in which it is released."""

import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from hypothesis import settings

from autograde.course import Course, init_course
from autograde.lab import Lab, load_lab
from autograde.release import release

# The same examples in every run; `pytest --hypothesis-profile=default` looks for others.
settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")

TINY = Path(__file__).parent / "autograde" / "tiny"


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test computes does not depend on whether this processor has bfloat16; tests of bfloat16 ask for it."""
    monkeypatch.setattr("coursekit.train.device.has_bf16", lambda device: False)


@pytest.fixture(scope="session")
def tiny_lab() -> Lab:
    return load_lab(TINY)


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with the tiny lab released; read only, copy it to work in it."""
    root = tmp_path_factory.mktemp("course")
    course = init_course(root, course_id="test", language="en", labs=TINY.parent)
    settings = root / "autograde.toml"
    text = settings.read_text(encoding="utf-8").replace("cell_seconds = 60", "cell_seconds = 20")
    settings.write_text(text, encoding="utf-8")
    release(Course(course.root), load_lab(TINY))
    return course.root


@pytest.fixture
def tiny_course(released: Path, tmp_path: Path) -> Course:
    """A course of one's own with the tiny lab released."""
    root = tmp_path / "course"
    shutil.copytree(released, root)
    return Course(root)


class Class:
    """Hands in notebooks for students."""

    def __init__(self, course: Course, lab: Lab):
        self.course, self.lab = course, lab

    def submit(self, student: str, answers: dict[str, str] | None = None, language: str = "en") -> Path:
        """The released notebook with some cells filled in, in the place where nbgrader collects it."""
        folder = self.course.root / "submitted" / student / self.lab.name
        shutil.copytree(self.course.root / "handout" / language / self.lab.name, folder)
        path = folder / f"{self.lab.name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            cell.source = (answers or {}).get(grade_id, cell.source)
        nbformat.write(notebook, path)
        return path


@pytest.fixture(scope="session")
def class_in(tiny_lab: Lab) -> Callable[[Course], Class]:
    """A class for a course in which the tiny lab is released."""
    return lambda course: Class(course, tiny_lab)


@pytest.fixture
def students(tiny_course: Course, tiny_lab: Lab) -> Class:
    return Class(tiny_course, tiny_lab)
