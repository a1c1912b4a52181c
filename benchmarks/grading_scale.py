"""A thousand submissions with faults in 5 % of them, graded on this machine and on two Dask workers with as many cores.

Planted are kernels that die, files that are no notebooks, and processes that are killed while they work: a worker of the cluster, the
sandbox of the run on this machine. Every submission must end in one state, with the score that is expected; the run's memory
must stay flat and its time linear, which is what the figures say: megabytes that a hundred submissions add, and the time of the second
half against that of the first. The ratio is the time here against the time on the cluster.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil
from distributed import Client
from nbgrader.api import Gradebook

from autograde import demo
from autograde.course import Course
from autograde.lab import Lab, load_lab
from autograde.record import read_records, records_folder
from autograde.release import HANDOUT, release
from benchmarks.result import Result

FEATHER = Path(__file__).parent / "feather"
BIN = Path(sys.executable).parent
STUDENTS, QUICK = 1000, 24
EVERY = 200  # submissions, of which a process is killed once
SPREAD, FAULTS = 44, {5: "dies", 11: "broken"}  # 4.5 % of a thousand, and with five killed processes 5 %

# kind -> state and score
ENDS: dict[str, tuple[str, float | None]] = {
    "right": ("graded", 4.0),
    "other": ("graded", 4.0),
    "wrong": ("graded", 2.0),
    "blank": ("graded", 0.0),
    "dies": ("salvaged", 2.0),
    "broken": ("unreadable", None),
}


def run(quick: bool) -> Result:
    count = QUICK if quick else STUDENTS
    with tempfile.TemporaryDirectory() as folder:
        here = demo.open_course(Path(folder, "here"), FEATHER.parent)
        lab = load_lab(FEATHER)
        release(here, lab)
        kinds = _hand_in(here, lab, count)
        shutil.copytree(here.root, Path(folder, "there"))
        there = Course(Path(folder, "there"))
        cores = os.cpu_count() or 1
        local = _watched(here, lab.name, count, _kill_sandbox, "--jobs", str(cores))
        _check(here, lab.name, kinds)
        with _cluster(Path(folder), cores) as address:
            far = _watched(there, lab.name, count, _killer_of_workers(address), "--dask", address)
        _check(there, lab.name, kinds)
    detail: dict[str, float] = {"submissions": count}
    for name, found in (("here", local), ("Dask", far)):
        for what, value in found.figures(count).items():
            detail[f"{name}: {what}"] = value
            print(f"  {name}: {what}: {value:.3g}", flush=True)
    return Result(
        "grading-scale", "s a submission", far.seconds / count, local.seconds / count, detail=detail
    )


def _hand_in(course: Course, lab: Lab, count: int) -> dict[str, str]:
    """Submissions of all kinds, in turn, with the faults spread among them; the kind of each."""
    answers = {
        "right": lab.solutions,
        "other": {exercise.name: exercise.variants[0] for exercise in lab.exercises.values()},
        "wrong": lab.solutions | {"total": "def total(numbers):\n    return sum(numbers) + 1"},
        "blank": {},
        "dies": lab.solutions | {"mirrored": "import os\nos._exit(3)"},
    }
    honest = ("right", "other", "wrong", "blank")
    kinds = {}
    for i in range(count):
        student = f"student{i:06}"
        kinds[student] = FAULTS.get(i % SPREAD, honest[i % 4])
        folder = course.path("submitted", student, lab.name)
        shutil.copytree(course.root / HANDOUT / ("en", "zh")[i % 2] / lab.name, folder)
        path = folder / f"{lab.name}.ipynb"
        if kinds[student] == "broken":
            path.write_bytes(path.read_bytes()[:2000])
        else:
            nbformat.write(demo.filled(path, answers[kinds[student]]), path)
    return kinds


@dataclass
class Sample:
    """What was seen at a moment: seconds since the start, submissions done, bytes and CPU seconds of the run's processes."""

    seconds: float
    done: int
    run: int
    recorder: int
    run_cpu: float
    recorder_cpu: float


@dataclass
class Watched:
    """What was seen of a run."""

    seconds: float = 0.0
    kills: int = 0
    samples: list[Sample] = field(default_factory=list)

    def figures(self, count: int) -> dict[str, float]:
        working = [sample for sample in self.samples if sample.done]
        first, last = working[0], working[-1]
        half = next(sample for sample in working if sample.done >= (first.done + last.done) / 2)
        halves = (half.seconds - first.seconds) / max(1, half.done - first.done)
        later = (last.seconds - half.seconds) / max(1, last.done - half.done)
        hundred = 100 / max(1, last.done - half.done) / 2**20
        return {
            "s": self.seconds,
            "processes killed": self.kills,
            "time of the second half / first": later / halves if halves else 0.0,
            "memory of the run, MB at the end": last.run / 2**20,
            "memory of the run, MB more for 100 submissions": (last.run - half.run) * hundred,
            "memory of the recorder, MB at the end": last.recorder / 2**20,
            "memory of the recorder, MB more for 100 submissions": (last.recorder - half.recorder) * hundred,
            "run, s of CPU a submission": (last.run_cpu - first.run_cpu) / max(1, last.done - first.done),
            "recorder, s of CPU a submission": (last.recorder_cpu - first.recorder_cpu)
            / max(1, last.done - first.done),
        }


def _watched(
    course: Course, assignment: str, count: int, kill: Callable[[psutil.Process], None], *options: str
) -> Watched:
    """`autograde run`, looked at twice a second; `kill` is called with its process as often as is planned."""
    watched = Watched()
    kills = max(1, count // EVERY)
    start = time.monotonic()
    with Path(course.root, "said").open("wb") as said:
        process = psutil.Popen(
            [str(BIN / "autograde"), "run", assignment, *options, "--course", str(course.root)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        records = records_folder(course, assignment)
        while process.poll() is None:
            time.sleep(0.5)
            done = len(list(records.glob("*.json"))) if records.is_dir() else 0
            if done >= (watched.kills + 1) * count / (kills + 1) and watched.kills < kills:
                kill(process)
                watched.kills += 1
            with suppress(psutil.Error):  # it may just have ended
                sample = _sample(process, time.monotonic() - start, done)
                if sample.run and (sample.recorder or not done):  # neither has just ended
                    watched.samples.append(sample)
    watched.seconds = time.monotonic() - start
    if process.returncode != 1:  # some are unreadable
        raise AssertionError(
            f"exit status {process.returncode}: {Path(course.root, 'said').read_text()[-3000:]}"
        )
    return watched


def _sample(process: psutil.Process, seconds: float, done: int) -> Sample:
    def cpu(one: psutil.Process) -> float:
        times = one.cpu_times()
        return times.user + times.system

    recorders = [each for each in process.children() if "spawn_main" in " ".join(each.cmdline())]
    memory = sum(each.memory_info().rss for each in recorders)
    return Sample(
        seconds, done, process.memory_info().rss, memory, cpu(process), sum(cpu(each) for each in recorders)
    )


def _kill_sandbox(process: psutil.Process) -> None:
    """The sandbox that all kernels of a local run are forked in."""
    for child in process.children():
        if child.name() == "bwrap":
            child.kill()


def _killer_of_workers(address: str) -> Callable[[psutil.Process], None]:
    def kill(process: psutil.Process) -> None:
        with Client(address, set_as_default=False) as client:
            pids = client.run(os.getpid)
        psutil.Process(next(iter(pids.values()))).kill()

    return kill


@contextmanager
def _cluster(folder: Path, cores: int) -> Iterator[str]:
    """A scheduler and two workers with these cores between them; who is killed is begun again, as on any cluster."""
    file = folder / "scheduler.json"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    commands = [
        ["scheduler", "--port", "0", "--dashboard-address", ":0", "--scheduler-file", str(file)],
        ["worker", "--scheduler-file", str(file), "--nworkers", "2", "--nthreads", str(max(1, cores // 2))],
    ]
    commands[1] += ["--no-dashboard", "--local-directory", str(folder)]
    with (folder / "cluster.log").open("wb") as log:
        processes = []
        try:
            for command in commands:
                processes.append(
                    subprocess.Popen([str(BIN / "dask"), *command], stdout=log, stderr=log, env=environment)
                )
                while not file.is_file():
                    time.sleep(0.2)
            with Client(scheduler_file=str(file), timeout=60, set_as_default=False) as client:
                client.wait_for_workers(2, timeout=120)
                address = client.scheduler.address
            yield address
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait()


def _check(course: Course, assignment: str, kinds: dict[str, str]) -> None:
    """Each submission in its state with its score, once, in records and gradebook.

    A worker that is killed costs nobody anything: it runs again.
    """
    records = read_records(course, assignment)
    found = {record.student: (record.state, record.score) for record in records}
    expected = {student: ENDS[kind] for student, kind in kinds.items()}
    odd = {s: (found.get(s), end) for s, end in expected.items() if found.get(s) != end}
    if odd or len(records) != len(expected):
        raise AssertionError(f"{len(records)} records, of which {len(odd)} are odd: {list(odd.items())[:5]}")
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        marks = [(each.student.id, each.score) for each in gradebook.find_assignment(assignment).submissions]
    graded = sorted((s, score) for s, (_, score) in expected.items() if score is not None)
    if sorted(marks) != graded:
        raise AssertionError("the gradebook differs from the records")
