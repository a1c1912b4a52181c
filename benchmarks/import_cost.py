"""What importing coursekit adds to `import torch`: at most a tenth. Processor time of fresh interpreters."""

from __future__ import annotations

import resource
import subprocess
import sys

from benchmarks.result import Result, in_turn, medians

OURS = "import torch, coursekit; coursekit.data, coursekit.models, coursekit.train, coursekit.plot"


def seconds(statement: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(quick: bool) -> Result:
    seconds(OURS)  # the first one reads the files from disk
    sides = in_turn(lambda _: seconds(OURS), lambda _: seconds("import torch"), 2 if quick else 7)
    return Result("import_cost", "s of CPU", *medians(sides), {}, {"ours": sides[0], "peer": sides[1]})
