"""Releasing a lab: the instructor's notebook into `source/`, the students' one through nbgrader, the bundle beside it."""

import copy
import json
import math
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import torch
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from safetensors import SafetensorError
from safetensors.torch import load
from traitlets.config import Config

from autograde.cases import public_cases
from autograde.configure import STUDENT_STEPS
from autograde.course import Course
from autograde.errors import AutogradeError
from autograde.lab import Lab
from autograde.log import captured_log
from autograde.notebook import WRITTEN_STUB, instructor_notebook
from coursekit.check.exercise import CaseSet
from coursekit.check.lab import SUFFIX, write_bundle
from coursekit.check.show import LANGUAGES

HANDOUT = "handout"
# Two processors round differently, and the differences grow a little in a chain of matrix products.
RTOL, ATOL = 1e-4, 1e-5


@dataclass(frozen=True)
class Released:
    """What a release wrote."""

    lab: str
    folder: Path
    handouts: list[Path]


def release(course: Course, lab: Lab) -> Released:
    """Release a lab in a course: `source/`, the gradebook, `release/` in the course's language, `handout/` in both.

    Raises:
        AutogradeError: when nbgrader refuses, with its reason.
    """
    cases = public_cases(lab)
    language = course.settings.get("language", "en")
    source = course.path("source", ".", lab.name)
    _write_source(source, lab, language, cases)
    config = copy.deepcopy(course.config)
    config.CourseDirectory.assignment_id = lab.name
    config.GenerateAssignment.force = True
    _generate(config, lab.name)
    handouts = []
    for lang in LANGUAGES:
        folder = course.root / HANDOUT / lang / lab.name
        student_notebook(lab, lang, cases, folder)
        handouts.append(folder)
    return Released(lab.name, course.path("release", ".", lab.name), handouts)


def student_notebooks(lab: Lab, root: Path) -> list[Path]:
    """The students' notebooks of a lab in every language, with their bundles, below `root`; no course is needed."""
    cases = public_cases(lab)
    folders = [root / lang / lab.name for lang in LANGUAGES]
    for lang, folder in zip(LANGUAGES, folders, strict=True):
        student_notebook(lab, lang, cases, folder)
    return folders


def stale(lab: Lab, root: Path) -> list[str]:
    """Files of the students' notebooks below `root` that are not what the lab gives now."""
    with tempfile.TemporaryDirectory() as fresh:
        student_notebooks(lab, Path(fresh))
        names = {
            path.relative_to(top)
            for top in (root, Path(fresh))
            for lang in LANGUAGES
            for path in (top / lang / lab.name).rglob("*")
            if path.is_file() and ".ipynb_checkpoints" not in path.parts
        }
        return sorted(str(name) for name in names if not _same(root / name, Path(fresh, name)))


def _same(old: Path, new: Path) -> bool:
    """Whether two files are the same; in bundles numbers may differ as processors round differently."""
    if not old.is_file() or not new.is_file():
        return False
    a, b = old.read_bytes(), new.read_bytes()
    if a == b or not old.name.endswith(SUFFIX):
        return a == b
    try:
        return _alike(_parts(a), _parts(b))
    except (SafetensorError, ValueError, KeyError):
        return False


def _parts(bundle: bytes) -> list[Any]:
    """Its tree, in which tensors have names, and the tensors."""
    header = json.loads(bundle[8 : 8 + int.from_bytes(bundle[:8], "little")])
    return [json.loads(header["__metadata__"]["tree"]), load(bundle)]


def _alike(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return torch.allclose(a.double(), b.double(), RTOL, ATOL, equal_nan=True)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, float):
        return math.isclose(a, b, rel_tol=RTOL, abs_tol=ATOL) or (math.isnan(a) and math.isnan(b))
    return a == b


def student_notebook(lab: Lab, lang: str, cases: list[CaseSet], folder: Path) -> None:
    """One student notebook and its bundle, made by nbgrader's own steps in a course that lasts a moment."""
    with tempfile.TemporaryDirectory() as root:
        config = Config()
        config.CourseDirectory.root = root
        config.CourseDirectory.assignment_id = lab.name
        config.GenerateAssignment.no_database = True
        config.GenerateAssignment.preprocessors = STUDENT_STEPS
        config.ClearSolutions.text_stub = WRITTEN_STUB
        _write_source(Path(root, "source", lab.name), lab, lang, cases)
        _generate(config, lab.name)
        made, bundle = Path(root, "release", lab.name), f"{lab.name}{SUFFIX}"
        if _same(folder / bundle, made / bundle):
            (made / bundle).write_bytes((folder / bundle).read_bytes())
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(made, folder)


def _write_source(folder: Path, lab: Lab, lang: str, cases: list[CaseSet]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(instructor_notebook(lab, lang), folder / f"{lab.name}.ipynb")
    write_bundle(folder / f"{lab.name}{SUFFIX}", lab.name, lang, cases)
    for path in lab.files:
        shutil.copyfile(path, folder / path.name)


def _generate(config: Config, assignment: str) -> None:
    converter: Any = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
    with captured_log(converter) as log:
        try:
            converter.start()
        except Exception as error:  # nbgrader's own and those of its preprocessors, of no common kind
            raise AutogradeError(
                f"nbgrader could not generate {assignment}: {error}\n{log.getvalue()}"
            ) from error
