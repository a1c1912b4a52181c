"""nbgrader's own example course, for tests that set us beside nbgrader."""

import shutil
from pathlib import Path

import pytest
from drop_in import example_course


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example course as released; nobody has handed in. Copy it to work in it."""
    return example_course(tmp_path_factory.mktemp("example") / "course")


@pytest.fixture
def course(example: Path, tmp_path: Path) -> Path:
    """An example course of one's own."""
    root = tmp_path / "course"
    shutil.copytree(example, root)
    return root
