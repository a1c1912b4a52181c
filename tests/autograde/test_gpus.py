"""Notebooks whose release asks for a GPU get one each, one at a time, and see no other. The GPUs here are files that stand for devices."""

import itertools
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from dask_cluster import dask_cluster

from autograde.cluster import Cluster
from autograde.course import Course
from autograde.errors import AutogradeError
from autograde.gpus import Gpu, Gpus, gpus_here
from autograde.lab import Lab, load_lab
from autograde.local import ThisMachine
from autograde.master import read_masters
from autograde.release import release
from autograde.run import run

# What a notebook tells: the devices that it sees, and when it had them.
TELL = (
    "import glob, time\n_begun = time.time()\ntime.sleep(1.5)\n"
    "print('saw', sorted(glob.glob('/dev/shm/gpu-*')), _begun, time.time())\n"
)
SCALE = f"{TELL}\ndef scale(x, factor):\n    return factor * x"


@pytest.fixture
def nodes() -> Iterator[list[Path]]:
    """Two of them; in /dev/shm, which a sandbox has too."""
    paths = [Path(f"/dev/shm/gpu-{i}-{time.time_ns()}") for i in range(2)]
    for path in paths:
        path.touch(mode=0o666)
    yield paths
    for path in paths:
        path.unlink()


@pytest.fixture
def asking(tiny_course: Course, tiny_lab: Lab, tmp_path: Path) -> Course:
    """The course, with the tiny lab released anew: it asks for a GPU."""
    folder = tmp_path / "labs" / "tiny"
    shutil.copytree(tiny_lab.folder, folder)
    settings = folder / "lab.toml"
    settings.write_text("gpu = true\n" + settings.read_text(encoding="utf-8"), encoding="utf-8")
    release(tiny_course, load_lab(folder))
    return tiny_course


def told(course: Course, student: str) -> tuple[list[str], float, float]:
    graded = nbformat.read(course.path("autograded", student, "tiny") / "tiny.ipynb", as_version=4)
    printed = "".join(o.text for c in graded.cells for o in c.get("outputs", []) if o.output_type == "stream")
    found = re.search(r"saw (\[.*\]) (\S+) (\S+)", printed)
    assert found is not None, printed
    return re.findall(r"'([^']+)'", found[1]), float(found[2]), float(found[3])


def test_each_is_lent_to_one_at_a_time():
    gpus = Gpus([Gpu(i, Path(f"/dev/none{i}")) for i in range(2)])
    used: dict[int, int] = {}
    lock, most = threading.Lock(), []

    def use(_: int) -> None:
        with gpus.one() as gpu:
            with lock:
                used[gpu.index] = used.get(gpu.index, 0) + 1
                most.append((used[gpu.index], sum(used.values())))
            time.sleep(0.01)
            with lock:
                used[gpu.index] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(40)))
    assert max(one for one, _ in most) == 1 and max(both for _, both in most) == 2


def test_those_that_may_be_used(nodes, monkeypatch):
    monkeypatch.setenv("AUTOGRADE_GPU_NODES", "/dev/shm/gpu-*")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_here().count == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with gpus_here().one() as gpu:
        assert gpu == Gpu(1, nodes[1])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(AutogradeError, match="no GPU that may be used"):
        gpus_here()
    monkeypatch.setenv("AUTOGRADE_GPU_NODES", "/dev/shm/no-such-*")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(AutogradeError, match="no GPU that may be used"):
        gpus_here()


@pytest.mark.slow
def test_one_at_a_time_each_and_no_other_is_seen(asking, students, nodes, caplog):
    names = ("ada", "bob", "cyd")
    for student in names:
        students.submit(student, {"scale": SCALE})
    gpus = Gpus([Gpu(i, path) for i, path in enumerate(nodes)])
    records = run(asking, "tiny", where=ThisMachine(3, gpus))
    assert [(r.state, r.score) for r in records] == [("graded", 3.0)] * 3
    times: dict[str, list[tuple[float, float]]] = {}
    for student in names:
        [seen], begun, ended = told(asking, student)
        assert seen in map(str, nodes)
        for other in times.setdefault(seen, []):
            assert ended <= other[0] or other[1] <= begun, "two had the same at a time"
        times[seen].append((begun, ended))
    assert not caplog.text
    [record] = run(asking, "tiny", students=["ada"], force=True)
    assert record.score == 3.0 and told(asking, "ada")[0] == []
    assert "asks for a GPU; without --gpu" in caplog.text


@pytest.mark.slow
def test_what_a_submission_says_of_itself_does_not_count(tiny_course, students, nodes):
    path = students.submit("ada", {"scale": SCALE})
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["coursekit"] = {"gpu": True}
    nbformat.write(notebook, path)
    assert not read_masters(tiny_course, "tiny")[0].gpu
    [record] = run(tiny_course, "tiny", where=ThisMachine(1, Gpus([Gpu(0, nodes[0])])))
    assert record.score == 3.0 and told(tiny_course, "ada")[0] == []


@pytest.mark.slow
def test_a_cluster_sends_them_to_the_workers_that_have_one(asking, students, nodes, tmp_path, monkeypatch):
    """One worker of two has the resource, with one GPU and two threads; whoever asks gets it, one after the other."""
    monkeypatch.setenv("AUTOGRADE_GPU_NODES", str(nodes[1]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    names = ("ada", "bob", "cyd")
    for student in names:
        students.submit(student, {"scale": SCALE})
    with dask_cluster(tmp_path / "dask", workers=1) as cluster:
        cluster.begin_worker("--resources", "GPU=1", threads=2)
        cluster.wait_for_workers(2)
        records = run(asking, "tiny", where=Cluster(cluster.address, gpu=True))
    assert [(r.state, r.score) for r in records] == [("graded", 3.0)] * 3, records
    spans = []
    for student in names:
        seen, begun, ended = told(asking, student)
        assert seen == [str(nodes[1])]
        spans.append((begun, ended))
    spans.sort()
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
