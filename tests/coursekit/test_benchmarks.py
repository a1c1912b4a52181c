"""The benchmarks run, and say what they promise to say; nothing here is timed."""

import importlib
import json
import subprocess
import sys

import pytest

from benchmarks.__main__ import NAMES, module
from benchmarks.result import Result, in_turn, medians
from coursekit.data import list_datasets


def test_the_ratio_is_how_many_times_better_ours_is():
    assert Result("x", "s", ours=2.0, peer=8.0).ratio == 4.0
    assert "ratio 4.000" in Result("x", "s", ours=2.0, peer=8.0, quality={"ours": 0.99}).summary()


def test_both_sides_run_in_turn():
    calls = []
    values = in_turn(
        lambda i: calls.append(("a", i)) or 1.0 * i, lambda i: calls.append(("b", i)) or 2.0 * i, 3
    )
    assert calls == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert medians(values) == (1.0, 2.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_runs_and_ends_with_json(name):
    here = {info.name for info in list_datasets() if info.available}
    lacking = set(getattr(importlib.import_module(module(name)), "NEEDS", ())) - here
    if lacking:
        pytest.skip(f"it needs {', '.join(sorted(lacking))}, which are not on this computer")
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert {"name", "unit", "ours", "peer", "ratio", "quality"} <= set(result)
    assert result["name"] == name and result["ratio"] == pytest.approx(result["peer"] / result["ours"])
