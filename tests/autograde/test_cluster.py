"""`autograde run --dask`: the same marks from workers of a real Dask cluster, whatever becomes of its processes."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from dask_cluster import DaskCluster, dask_cluster
from nbgrader.api import Gradebook
from runs import RIGHT, SCALE, STUDENTS, begin, graded, right_after, wait_for

from autograde.cluster import Cluster
from autograde.course import Course
from autograde.errors import AutogradeError
from autograde.record import Record, read_record
from autograde.run import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """For tests that kill nothing of it."""
    with dask_cluster(tmp_path_factory.mktemp("steady") / "dask") as there:
        yield there


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path / "dask") as there:
        yield there


@pytest.fixture
def class_of_six(tiny_course: Course, students) -> Course:
    for student in STUDENTS:
        students.submit(student, right_after(2))
    return tiny_course


def sandboxes(*workers: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """What the workers have started: the processes that fork kernels, their forks, and all around them."""
    return [child for worker in workers for child in psutil.Process(worker.pid).children(recursive=True)]


def gone(processes: list[psutil.Process]) -> bool:
    return not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def marks(course: Course) -> list[tuple[str, float]]:
    with Gradebook(course.db_url, course.nbgrader.course_id) as gradebook:
        return sorted((s.student.id, s.score) for s in gradebook.find_assignment("tiny").submissions)


def assert_whole(course: Course, records: list[Record]) -> None:
    assert [(r.student, r.state, r.score) for r in records] == [(s, "graded", 5.0) for s in STUDENTS]
    assert marks(course) == [(s, 5.0) for s in STUDENTS]


def test_the_same_states_scores_and_files_as_on_one_machine(steady, tiny_course, students):
    students.submit("ada", RIGHT)
    students.submit("half", {"scale": "def scale(x, factor):\n    return factor * x if x.dim() == 1 else x"})
    students.submit("crash", RIGHT | {"scale": "import os\nos._exit(3)"})
    students.submit("loop", RIGHT | {"mean_of": "def mean_of(x):\n    while True: pass"})
    students.submit("broken").write_text('{"cells": [', encoding="utf-8")
    reads = "import os, pathlib\nassert pathlib.Path('sub/größe.txt').read_bytes() == bytes(range(256))\n"
    reads += "assert os.access('sub/run.sh', os.X_OK)\n"
    folder = students.submit("files", RIGHT | {"scale": reads + SCALE}).parent / "sub"
    folder.mkdir()
    (folder / "größe.txt").write_bytes(bytes(range(256)))
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    done = begin(tiny_course, "--dask", steady.address)
    out, err = done.communicate(timeout=400)
    assert "Dask: 2 workers with 2 threads; dashboard http://" in err, (out, err, steady.log())
    assert done.returncode == 1, "one is unreadable"
    far = {s: read_record(tiny_course, "tiny", s) for s in tiny_course.students("tiny")}
    assert {s: (record.state, record.score) for s, record in far.items()} == {
        "ada": ("graded", 5.0),
        "half": ("graded", 1.5),
        "crash": ("salvaged", 2.0),
        "loop": ("graded", 3.0),
        "broken": ("unreadable", None),
        "files": ("graded", 5.0),
    }
    near = {record.student: record for record in run(tiny_course, "tiny", force=True)}
    for student, record in near.items():
        assert replace(far[student], seconds=record.seconds) == record, "the same, outcome by outcome"


def test_ctrl_c_ends_the_kernels_of_the_workers(class_of_six, steady):
    process = begin(class_of_six, "--dask", steady.address)
    idle = [3] * len(steady.workers)  # of each sandbox: bubblewrap, twice, around the process that forks

    def sizes() -> list[int]:
        return [len(sandboxes(worker)) for worker in steady.workers]

    wait_for(lambda: graded(class_of_six) and min(sizes()) >= 3 and sizes() != idle)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err, err
    wait_for(lambda: sizes() == idle, 60)
    assert_whole(class_of_six, run(class_of_six, "tiny", where=Cluster(steady.address)))


def test_a_run_leaves_its_workers_a_warm_sandbox_that_ends_with_them(cluster, tiny_course, students):
    for student in ("ada", "bob"):
        students.submit(student, RIGHT)
    run(tiny_course, "tiny", where=Cluster(cluster.address))
    warm = sandboxes(*cluster.workers)
    assert all(sandboxes(worker) for worker in cluster.workers)
    run(tiny_course, "tiny", where=Cluster(cluster.address), force=True)
    assert {p.pid for p in sandboxes(*cluster.workers)} == {p.pid for p in warm}, "the next run has the same"
    for worker in cluster.workers:
        worker.terminate()
        worker.wait(60)
    wait_for(lambda: gone(warm), 60)


def test_a_worker_that_is_killed_costs_its_jobs_only_and_they_run_elsewhere(class_of_six, cluster):
    process = begin(class_of_six, "--dask", cluster.address)
    wait_for(lambda: graded(class_of_six))
    victim = cluster.workers[0]
    its = sandboxes(victim)
    assert its
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0 and "Traceback" not in err, err
    assert_whole(class_of_six, [read_record(class_of_six, "tiny", s) for s in STUDENTS])
    assert gone(its), "its sandbox died with it"


def test_a_lost_scheduler_ends_the_run_cleanly_and_the_next_one_goes_on(class_of_six, cluster):
    process = begin(class_of_six, "--dask", cluster.address)
    wait_for(lambda: graded(class_of_six))
    theirs = sandboxes(*cluster.workers)
    cluster.scheduler.send_signal(signal.SIGKILL)
    cluster.scheduler.wait()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert "the Dask scheduler is gone" in err and "the same command does the rest" in err
    assert "Traceback" not in err, err
    first = graded(class_of_six)
    assert 1 <= len(first) < 6
    times = {s: (class_of_six.path("autograded", s, "tiny") / "tiny.ipynb").stat().st_mtime_ns for s in first}
    wait_for(lambda: all(worker.poll() is not None for worker in cluster.workers), 120)
    wait_for(lambda: gone(theirs), 60)
    cluster.begin_scheduler()
    cluster.begin_worker(threads=2)
    cluster.wait_for_workers(1)
    assert_whole(class_of_six, run(class_of_six, "tiny", where=Cluster(cluster.address)))
    for student, written in times.items():
        path = class_of_six.path("autograded", student, "tiny") / "tiny.ipynb"
        assert path.stat().st_mtime_ns == written, "what was graded is not graded again"


def test_no_scheduler_is_said_with_what_to_do(tiny_course, students):
    students.submit("ada", {"scale": SCALE})
    with pytest.raises(
        AutogradeError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 .*dask scheduler"
    ):
        run(tiny_course, "tiny", where=Cluster("tcp://127.0.0.1:9", timeout=2))
    assert read_record(tiny_course, "tiny", "ada") is None


def test_a_worker_that_comes_later_takes_part(class_of_six, tmp_path):
    with dask_cluster(tmp_path / "late", workers=0) as cluster:
        process = begin(class_of_six, "--dask", cluster.address)
        time.sleep(5)
        assert not graded(class_of_six) and process.poll() is None
        cluster.begin_worker(threads=2)
        _, err = process.communicate(timeout=400)
        assert process.returncode == 0 and "waiting for the first one" in err, (err, cluster.log())
    assert_whole(class_of_six, [read_record(class_of_six, "tiny", s) for s in STUDENTS])
