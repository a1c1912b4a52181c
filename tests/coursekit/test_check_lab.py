"""Opening a lab's checks, what is in them, and one check in a real kernel."""

import asyncio
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from jupyter_client import BlockingKernelClient, KernelManager

import coursekit.check.lab as lab_module
from coursekit.check import BundleError, CheckFailedError, open_lab
from coursekit.check.exercise import Case, CaseSet, Close, Equal, Rules
from coursekit.check.lab import SUFFIX, decode, encode, write_bundle
from coursekit.check.show import with_code
from coursekit.check.tree import DamagedError, dumps, loads

EXPECTED, WRONG = torch.tensor([0.137, -7.25, 31.5]), torch.tensor([0.251, 5.125, -3.75])


def doubling(**more: Any) -> CaseSet:
    settings: dict[str, Any] = {
        "points": 2.0,
        "compare": asdict(Equal()),
        "rules": asdict(Rules(forbid=["torch.mul"])),
    }
    return CaseSet(
        exercise="double",
        title={"en": "Doubling", "zh": "加倍"},
        target="double",
        adaptor="function",
        options={},
        hints={"adds": {"en": "SECRET HINT", "zh": "保密"}},
        symptoms={"adds": "chance"},
        cases=[
            Case("small", {"x": 2}, 4, {"adds": {"status": "ok", "value": 3}}),
            Case("large", {"x": 10}, 20, {"adds": {"status": "ok", "value": 11}}),
        ],
        groups={"large": {"zh": "大数"}},
        **settings | more,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_bundle(tmp_path / f"demo{SUFFIX}", "demo", "zh", [doubling()])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSEKIT_LANG", raising=False)
    return tmp_path


def test_a_lab_is_found_beside_the_notebook_in_a_folder_and_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (open_lab("demo"), open_lab("demo", folder), open_lab("demo", str(folder))):
        assert (place.name, place.lang, list(place.case_sets)) == ("demo", "zh", ["double"])
    notebooks = folder / "notebooks"
    (notebooks / "en" / "demo").mkdir(parents=True)
    (folder / f"demo{SUFFIX}").rename(notebooks / "en" / "demo" / f"demo{SUFFIX}")
    with pytest.raises(BundleError):
        open_lab("demo")
    monkeypatch.setattr(lab_module, "installed_labs", lambda: notebooks)
    assert open_lab("demo").name == "demo"


def test_a_missing_lab_says_where_it_was_looked_for_and_what_to_do(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"beside the notebook.*coursekit labs get nothing"):
        open_lab("nothing")
    with pytest.raises(BundleError, match="in elsewhere"):
        open_lab("nothing", "elsewhere")


@pytest.mark.parametrize(
    "data",
    [b"", b"damaged", dumps([1]), dumps({"lab": "x"}), dumps({"exercises": [3]}), dumps({"exercises": [{"new": 1, "cases": []}]})],
)  # fmt: skip
def test_a_damaged_bundle_says_so(folder: Path, data: bytes) -> None:
    (folder / f"demo{SUFFIX}").write_bytes(data)
    with pytest.raises(BundleError, match=r"damaged.*Copy it again"):
        open_lab("demo")


@pytest.mark.parametrize("text", ["", "é", "AAAA", "%%%", encode(doubling())[:-9]])
def test_damaged_hidden_cases_say_so(text: str) -> None:
    with pytest.raises(DamagedError):
        decode(text)
    assert decode(encode(doubling())) == doubling()


def test_a_bundle_of_before_there_were_group_titles_can_be_read(folder: Path) -> None:
    tree = doubling().to_tree()
    del tree["groups"]
    (folder / f"demo{SUFFIX}").write_bytes(dumps({"lab": "demo", "language": "en", "exercises": [tree]}))
    assert open_lab("demo").case_sets["double"].groups == {}


def test_cases_that_are_called_in_an_unknown_way_are_of_another_version(folder: Path) -> None:
    later = replace(doubling(), adaptor="of_tomorrow")
    write_bundle(folder / f"demo{SUFFIX}", "demo", "en", [later])
    with pytest.raises(
        BundleError, match=r"double is to be called .*'of_tomorrow'.*another version of coursekit"
    ):
        open_lab("demo")
    with pytest.raises(DamagedError, match="of_tomorrow"):
        decode(encode(later))


def test_checks_show_and_return_or_raise(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check = open_lab("demo")
    assert check("double", lambda x: 2 * x) == 2.0
    assert capsys.readouterr().out == "✓ double：正确（2 / 2 分）\n"
    assert check("double", lambda x: min(2 * x, 19)) == 1.0
    assert "[大数] 应为 20，得到的是 19。" in capsys.readouterr().out
    with pytest.raises(CheckFailedError, match="保密"):
        check("double", lambda x: x + 1)
    with pytest.raises(CheckFailedError, match="尚未作答"):
        check("double", stub)
    with pytest.raises(ValueError, match="'triple' is not an exercise of demo; it has double"):
        check("triple", stub)
    assert "double" in repr(check)


def stub(x: int) -> int:
    raise NotImplementedError()


def test_a_right_answer_to_a_check_without_points_does_not_fail(folder: Path) -> None:
    assert open_lab("demo")("double", lambda x: 2 * x, cases=encode(doubling(points=0.0))) == 0.0


def test_the_setting_wins_over_the_notebooks_language(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COURSEKIT_LANG", "en")
    open_lab("demo")("double", lambda x: 2 * x)
    assert capsys.readouterr().out == "✓ double: correct (2 / 2 points)\n"


def test_questions_hold_inputs_and_nothing_else() -> None:
    cases = [
        Case("g", {"x": torch.tensor([0.5, 0.625])}, EXPECTED, {"adds": {"status": "ok", "value": WRONG}})
    ]
    case_set = doubling(compare=asdict(Close()))
    case_set.cases = cases
    data, everything = dumps(case_set.questions()), dumps(case_set.to_tree())
    assert loads(data)["inputs"][0]["x"].tolist() == [0.5, 0.625]
    for secret in (EXPECTED, WRONG):
        for value in secret.numpy():
            assert value.tobytes() in everything
            assert value.tobytes() not in data
    for secret in ("SECRET HINT", "保密", "adds", "expected", "wrong", "chance", "大数"):
        assert secret.encode() not in data


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingKernelClient]:
    if sys.platform == "win32":
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    root = tmp_path_factory.mktemp("kernel")
    write_bundle(root / f"demo{SUFFIX}", "demo", "en", [doubling()])
    environment = {key: value for key, value in os.environ.items() if key != "COURSEKIT_LANG"}
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(root), env=environment, extra_arguments=["--HistoryManager.enabled=False"])
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        assert run(client, "from coursekit.check import open_lab\ncheck = open_lab('demo')") == []
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> list[tuple[str, Any]]:
    """The outputs of a cell: a stream as its name and text, an error as its lines, others as their data."""
    found: list[tuple[str, Any]] = []

    def keep(message: Any) -> None:
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            found.append((content["name"], content["text"]))
        elif kind == "error":
            found.append((kind, content["traceback"]))
        elif kind in ("display_data", "execute_result"):
            found.append((kind, content["data"]))

    client.execute_interactive(code, output_hook=keep, timeout=120)
    return found


def test_a_right_answer_in_a_kernel_shows_a_box_and_is_a_number(kernel: BlockingKernelClient) -> None:
    shown = run(kernel, "import warnings\ndef double(x):\n    warnings.warn('careful')\n    return 2 * x")
    assert shown == []
    outputs = run(kernel, "check('double', double)")
    assert [kind for kind, _ in outputs if kind != "stdout"] == ["display_data", "execute_result"]
    data = dict(outputs)
    assert "careful" in data["stdout"]
    assert "correct" in data["display_data"]["text/html"]
    assert float(data["execute_result"]["text/plain"]) == 2.0


def test_a_wrong_answer_in_a_kernel_raises_without_a_traceback(kernel: BlockingKernelClient) -> None:
    run(kernel, "def double(x):\n    return x + 1")
    box, (kind, lines) = run(kernel, "check('double', double)")
    assert box[0] == "display_data"
    assert kind == "error"
    assert lines[0].startswith("✗ double: not yet correct (0 / 2 points)")
    assert not any("Traceback" in line for line in lines)


def test_an_error_in_a_kernel_shows_the_cells_line(kernel: BlockingKernelClient) -> None:
    run(kernel, "def double(x):\n    return 2 * x + missing")
    box, error = run(kernel, "check('double', double)")
    assert "NameError: name" in box[1]["text/plain"]
    assert "line 2 in double: return 2 * x + missing" in box[1]["text/plain"]
    assert len(error[1]) == 1, "the box says it all; the error is one line"


def test_sys_exit_in_an_answer_does_not_end_the_kernel(kernel: BlockingKernelClient) -> None:
    outputs = run(kernel, "import sys\ncheck('double', lambda x: sys.exit('bye'))")
    assert [kind for kind, _ in outputs] == ["display_data", "error"]
    assert "SystemExit: bye" in outputs[0][1]["text/plain"]
    assert kernel.is_alive()


def test_rules_read_cells_with_magics_in_a_kernel(kernel: BlockingKernelClient) -> None:
    run(kernel, "%%capture\nimport torch\ndef double(x):\n    return torch.mul(torch.tensor(x), 2)")
    box, _ = run(kernel, "check('double', double)")
    assert "`double` uses `torch.mul` (line 4 of its cell)" in box[1]["text/plain"].replace("\n", " ")


def test_names_in_a_box_are_code_and_nothing_is_html() -> None:
    assert with_code("use `a < b`, not <b>") == "use <code>a &lt; b</code>, not &lt;b&gt;"
