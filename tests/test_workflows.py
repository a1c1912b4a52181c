"""The workflows parse, and the steps of grade.yml that need no network do on this machine what they are to do there."""

import base64
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = ROOT / ".github" / "workflows"
TINY = ROOT / "tests" / "autograde" / "tiny"


def workflow(name: str) -> dict[Any, Any]:
    return yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def run_step(name: str, context: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one step of grade.yml as a runner does: its expressions filled in, `bash -e -o pipefail`, its environment."""
    (step,) = [step for step in steps("grade.yml") if step.get("name") == name]
    defaults = workflow("grade.yml")[True]["workflow_call"]["inputs"]  # YAML reads the key `on` as true

    def fill(text: str) -> str:
        def value(match: re.Match[str]) -> str:
            key = match[1]
            if key in context:
                return context[key]
            return str(defaults[key.removeprefix("inputs.")]["default"]) if key.startswith("inputs.") else ""

        return re.sub(r"\$\{\{\s*([\w.-]+)\s*\}\}", value, text)

    assert "${{" not in step["run"], "an expression in a script lets its value be run; hand it over in env"
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": os.environ["HOME"],
        **{key: fill(value) for key, value in step.get("env", {}).items()},
        "GITHUB_STEP_SUMMARY": str(folder / "step.md"),
    }
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
        cwd=folder / fill(step.get("working-directory", ".")),
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["ci.yml", "grade.yml"])
def test_every_script_is_bash_and_no_value_is_pasted_into_one(name: str):
    for step in steps(name):
        assert ("run" in step) != ("uses" in step)
        if "run" in step:
            assert not re.search(r"\$\{\{\s*(inputs|secrets|github\.event)", step["run"])
            checked = subprocess.run(
                ["bash", "-n", "-c", step["run"]], capture_output=True, text=True, check=False
            )
            assert checked.returncode == 0, checked.stderr


def test_ci_covers_the_systems_and_versions():
    jobs = workflow("ci.yml")["jobs"]
    assert jobs["coursekit"]["strategy"]["matrix"]["os"] == [
        "ubuntu-latest",
        "macos-latest",
        "windows-latest",
    ]
    for job in ("coursekit", "autograde"):
        assert jobs[job]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    scripts = "\n".join(step.get("run", "") for step in steps("ci.yml"))
    for command in (
        "ruff format --check",
        "ruff check",
        "mypy",
        "pytest tests/coursekit",
        "bubblewrap",
        "--check",
    ):
        assert command in scripts
    for path in ("constraints.txt", "tests/coursekit", "labs", "notebooks"):
        assert (ROOT / path).exists(), f"ci.yml uses {path}"


def test_every_environment_variable_of_a_script_is_set():
    for step in steps("grade.yml"):
        used = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", step.get("run", "")))
        assert used <= set(step.get("env", {})), step["name"]


@pytest.mark.slow
def test_the_grading_steps_run_here(tmp_path: Path):
    from autograde.ci import write_cases
    from autograde.course import init_course
    from autograde.lab import load_lab
    from autograde.release import student_notebooks

    lab = load_lab(TINY)
    workspace, temp = tmp_path / "workspace", tmp_path / "temp"
    student_notebooks(lab, workspace / "labs")
    write_cases(init_course(tmp_path / "course", course_id="c", language="en"), lab, tmp_path / "cases")
    context = {
        "github.workspace": str(workspace),
        "runner.temp": str(temp),
        "inputs.labs": "labs",
        "inputs.folder": "work",
        "secrets.cases": base64.b64encode((tmp_path / "cases").read_bytes()).decode(),
    }
    notebook = nbformat.read(workspace / "labs/zh/tiny/tiny.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "scale":
            cell.source = "def scale(x, factor):\n    return factor * x"
    (workspace / "work").mkdir()
    nbformat.write(notebook, workspace / "work" / "tiny.ipynb")

    prepared = run_step("Hidden cases", context, workspace)
    assert prepared.returncode == 0, prepared.stderr
    graded = run_step("Grade", context, workspace)
    assert graded.returncode == 1, graded.stderr
    assert 'tests="4" failures="0" errors="0" skipped="2"' in (temp / "results/junit.xml").read_text(
        encoding="utf-8"
    )
    assert "## tiny: 3 / 5" in (workspace / "step.md").read_text(encoding="utf-8")
    assert (temp / "results/summary.md").is_file()

    broken = run_step("Grade", {**context, "inputs.lab": "no such lab"}, workspace)
    assert broken.returncode == 2 and "there are: tiny" in broken.stderr
