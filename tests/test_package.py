"""The wheel and the sdist are whole: installed in a clean environment outside the checkout, a student can work."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAB = "cnn_mnist"
HANDOUT = {
    f"{lang}/{LAB}/{LAB}{suffix}" for lang in ("en", "zh") for suffix in (".ipynb", ".bundle.safetensors")
}
CONV2D = """
def conv2d(image, kernel):
    h, w = kernel.shape
    return torch.einsum("ijhw,hw->ij", image.unfold(0, h, 1).unfold(1, w, 1), kernel)
"""
# Runs a notebook to its end whatever its cells raise; then says where coursekit came from.
RUN = """
import nbformat, sys
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
notebook.cells.append(nbformat.v4.new_code_cell("import coursekit; print(coursekit.__file__)"))
NotebookClient(notebook, timeout=600, allow_errors=True, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""

pytestmark = pytest.mark.slow


class Installed(NamedTuple):
    """A clean environment with the wheel in it, and a folder outside the checkout to work in."""

    venv: Path
    work: Path

    def run(self, *command: str) -> str:
        scripts = self.venv / ("Scripts" if os.name == "nt" else "bin")
        hidden = ("PYTHONPATH", "COURSEKIT_HOME", "COURSEKIT_LANG", "NBGRADER_EXECUTION", "JUPYTER_PATH")
        env = {name: value for name, value in os.environ.items() if name not in hidden}
        env |= {"HOME": str(self.work), "USERPROFILE": str(self.work), "PYTHONUTF8": "1"}
        done = subprocess.run(
            [str(scripts / command[0]), *command[1:]], cwd=self.work, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel_names(built: Path) -> set[str]:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The dependencies come from the environment of the tests; coursekit does not, its editable install is out of sight."""
    there = Installed(tmp_path_factory.mktemp("env") / "venv", tmp_path_factory.mktemp("work"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(there.venv)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(there.venv), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(next(built.glob("*.whl")))], check=True, capture_output=True)
    site = Path(there.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # Only a folder's own .pth files are read, not those of the folders that they name: so none points to the checkout.
    ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "dependencies.pth").write_text("\n".join(sorted(ours)), encoding="utf-8")
    return there


@pytest.fixture(scope="module")
def executed(installed: Installed) -> list[dict]:
    """The cells of the student's notebook, with the first exercise solved and the others left, after a run."""
    installed.run("coursekit", "labs", "get", LAB)
    path = installed.work / LAB / f"{LAB}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cell_of(notebook["cells"], "conv2d")["source"] = CONV2D
    path.write_text(json.dumps(notebook), encoding="utf-8")
    (installed.work / "run.py").write_text(RUN, encoding="utf-8")
    installed.run("python", "run.py", str(path))
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def cell_of(cells: list[dict], grade_id: str) -> dict:
    return next(cell for cell in cells if cell["metadata"].get("nbgrader", {}).get("grade_id") == grade_id)


def errors(cell: dict) -> list[dict]:
    return [output for output in cell.get("outputs", []) if output["output_type"] == "error"]


def test_wheel_has_the_students_notebooks(wheel_names: set[str]) -> None:
    assert {f"coursekit/notebooks/{name}" for name in HANDOUT} <= wheel_names
    assert {name.split("/")[0].split("-")[0] for name in wheel_names} == {"coursekit", "autograde"}
    assert "LICENSE" in {Path(name).name for name in wheel_names}


def test_wheel_has_no_answer_key(wheel_names: set[str]) -> None:
    assert not [name for name in wheel_names if {"instructor", "labs"} & set(name.split("/"))]
    assert not [name for name in wheel_names if Path(name).name in ("checks.py", "lab.toml")]


def test_sdist_builds_what_the_checkout_builds_and_keeps_hidden_labels_back(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {f"notebooks/{name}" for name in HANDOUT} | {"README.md", "LICENSE", "pyproject.toml"} <= names
    assert not [name for name in names if name.startswith("labs/") and "instructor" in name.split("/")]
    assert not [name for name in names if name.startswith((".venv", "build/", "my-labs/"))]


def test_coursekit_is_the_installed_one(installed: Installed) -> None:
    where = installed.run(
        "python", "-c", "import coursekit, autograde; print(coursekit.__file__, autograde.__file__)"
    )
    for path in map(Path, where.split()):
        assert path.is_relative_to(installed.venv) and not path.is_relative_to(ROOT)
    assert LAB in installed.run("coursekit", "labs")


def test_the_students_notebook_runs(executed: list[dict], installed: Installed) -> None:
    """A fresh notebook stops only at what is not written yet: a stub, its check, and names that were asked for above."""
    assert Path(executed[-1]["outputs"][0]["text"][0].strip()).is_relative_to(installed.venv)
    above = ""
    for cell in executed:
        for error in errors(cell):
            name, value = error["ename"], error["evalue"]
            missing = value.split("'")[1] if name == "NameError" else None
            expected = (
                name == "NotImplementedError"
                or (name == "CheckFailedError" and "not attempted" in value)
                or (missing is not None and missing in above)
            )
            assert expected, f"{name}: {value} in\n{''.join(cell['source'])}"
        above += "".join(cell["source"])


def test_the_checks_work(executed: list[dict]) -> None:
    check = cell_of(executed, "conv2d-check")
    result = next(output for output in check["outputs"] if output["output_type"] == "execute_result")
    points = check["metadata"]["nbgrader"]["points"]
    assert float("".join(result["data"]["text/plain"])) == points > 0
    assert errors(cell_of(executed, "max_pool-check"))


def test_its_own_data_and_downloads_come_along(installed: Installed) -> None:
    code = (
        "from coursekit.data import child, load\n"
        "print([len(load(name).train) for name in ('reviews_en', 'reviews_zh')], child.PROGRAM.is_file())"
    )
    assert installed.run("python", "-c", code).splitlines()[-1] == "[832, 832] True"
