"""What `import coursekit` adds to `import torch`: at most a tenth."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.result import Result, in_turn, medians


def seconds(statement: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - started


def run(quick: bool) -> Result:

    seconds("import torch")  # the first one reads the files from disk
    sides = in_turn(
        lambda _: seconds("import torch, coursekit; coursekit.train"),
        lambda _: seconds("import torch"),
        2 if quick else 7,
    )
    ours, peer = medians(sides)
    return Result("import_cost", "s", ours, peer, {}, {"ours": sides[0], "peer": sides[1]})
