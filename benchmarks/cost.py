"""What a number of submissions costs, computed from what was measured: `python -m benchmarks.cost` prints the table of docs/cost.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Assignment:
    """What one submission of an assignment takes, measured.

    Attributes:
        cores: seconds of a core, all in all: cells, kernel, messages, intake, verdict, record, with the start of the run.
        run: of these, in the run's own process: intake, verdict.
        recorder: of these, in the one process that records.
        handed_in: bytes of a submission.
        graded: bytes of its folder in `autograded/`.
        record: bytes of its record and of its rows in the gradebook.
        memory: bytes that a notebook needs while it runs.
    """

    name: str
    cores: float
    run: float
    recorder: float
    handed_in: float
    graded: float
    record: float
    memory: float


@dataclass(frozen=True)
class Cost:
    """What `count` submissions take on `cores` cores.

    Attributes:
        hours: until all are graded.
        core_hours: of CPU.
        storage: bytes, submissions included.
        memory: bytes, of all machines.
        useful: cores beyond which the first single process is the bottleneck.
        bottleneck: which process that is.
    """

    hours: float
    core_hours: float
    storage: float
    memory: float
    useful: float
    bottleneck: str


RUN_MEMORY, WORKER_MEMORY = 0.76e9, 1.4e9  # of the run with its recorder; of a worker with its warm process
THREADS = 8  # of a worker


def cost(one: Assignment, count: int, cores: int) -> Cost:
    """The cores share all work; one process records and one decides, however many cores there are."""
    single = {"the process that records": one.recorder, "the process of the run": one.run}
    name, slowest = max(single.items(), key=lambda item: item[1])
    seconds = count * max(one.cores / cores, slowest)
    return Cost(
        hours=seconds / 3600,
        core_hours=count * one.cores / 3600,
        storage=count * (one.handed_in + one.graded + one.record),
        memory=RUN_MEMORY + cores * (one.memory + WORKER_MEMORY / THREADS),
        useful=one.cores / slowest,
        bottleneck=name,
    )


# Seconds of a core: 2 cores times what `grading` and `grading-lab` take a submission (README.md). Of the recorder: CPU time of that process
# for 24 submissions less that for two, shared by 22; of the run by a profile, without the messages of kernels, which workers read. Bytes: 24
# submissions of cnn_mnist.
LIGHT = Assignment("light", 1.65, 0.04, 0.07, 60e3, 80e3, 20e3, 300e6)
CNN = Assignment("cnn_mnist", 2.8, 0.06, 0.08, 1.17e6, 1.36e6, 20e3, 600e6)
COUNTS = (300, 10_000, 1_000_000)
CORES = (2, 16, 128)


def table() -> str:
    """In Markdown."""
    hours = ", ".join(map(str, CORES))
    lines = [
        f"| assignment | submissions | core hours | hours on {hours} cores | storage, GB |",
        "|---|---|---|---|---|",
    ]
    for one in (LIGHT, CNN):
        for count in COUNTS:
            costs = [cost(one, count, cores) for cores in CORES]
            times = ", ".join(_short(each.hours) for each in costs)
            first = costs[0]
            lines.append(
                f"| `{one.name}` | {count:,} | {_short(first.core_hours)} | {times} | {_short(first.storage / 1e9)} |"
            )
    return "\n".join(lines)


def _short(value: float) -> str:
    """Two figures that count."""
    return f"{float(f'{value:.2g}'):,.10g}"


if __name__ == "__main__":
    print(table())
    for one in (LIGHT, CNN):
        found = cost(one, 1, 1)
        print(f"{one.name}: {found.bottleneck} is the bottleneck beyond {found.useful:.0f} cores")
