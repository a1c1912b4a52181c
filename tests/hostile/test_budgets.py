"""Many cells that each stay below their limit, and what they start, are bounded by the notebook's time as a whole."""

import time

import psutil
import pytest
from attacks import HONEST, MEAN, SCALE

from autograde.local import ThisMachine
from autograde.run import run

pytestmark = pytest.mark.slow

BURNS = """
import subprocess
for _ in range(4):
    subprocess.Popen(["sh", "-c", "while :; do :; done", "burner-of-a-kernel"], start_new_session=True)
"""


def settle(course, **limits: int) -> None:
    settings = course.root / "autograde.toml"
    head = settings.read_text("utf-8").split("[limits]")[0]
    lines = "".join(f"{name} = {value}\n" for name, value in limits.items())
    settings.write_text(f"{head}[limits]\n{lines}", "utf-8")


def burners() -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if "burner-of-a-kernel" in (p.info["cmdline"] or ())]


def test_many_cells_just_under_the_limit(tiny_course, students):
    settle(tiny_course, cell_seconds=8, notebook_seconds=20)
    waits = "import time\nend = time.monotonic() + 6\nwhile time.monotonic() < end: pass\n"
    students.submit("slow", {"scale": f"{waits}{SCALE}", "mean_of": f"{waits * 3}{MEAN}"})
    start = time.monotonic()
    [record] = run(tiny_course, "tiny")
    assert (record.state, record.score) == ("graded", 3.0), record.outcomes
    late = [outcome for outcome in record.outcomes if outcome["exercise"] == "mean_of"]
    assert {outcome["status"] for outcome in late} <= {"error", "not attempted"}
    assert record.seconds < 60 and time.monotonic() - start < 240


def test_a_notebook_whose_time_is_up_is_told_so_and_still_looked_at(tiny_course, students):
    settle(tiny_course, cell_seconds=8, notebook_seconds=9)
    waits = "import time, json\njson.dumps = json.dumps.__call__\ntime.sleep(7)\n"
    students.submit(
        "slow",
        {"scale": f"{waits}{SCALE}\ntime.sleep(0.9)", "mean_of": f"import time\ntime.sleep(6)\n{MEAN}"},
    )
    [record] = run(tiny_course, "tiny")
    assert record.state == "graded"
    messages = [outcome["message"].get("en", "") for outcome in record.outcomes]
    assert messages[-1].startswith("the time for the whole notebook was used up")
    assert any("json.dumps" in flag for flag in record.flags), record.flags


def test_processes_that_go_on_computing_end_with_their_kernel(tiny_course, students):
    students.submit("burns", {**HONEST, "scale": f"{BURNS}\n{SCALE}"})
    students.submit("neighbour", HONEST)
    records = run(tiny_course, "tiny", where=ThisMachine(2))
    assert [(record.state, record.score) for record in records] == [("graded", 5.0)] * 2
    assert burners() == []
