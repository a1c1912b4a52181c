"""Training in several processes under torchrun: equal to one process, equal in all, and ending together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from distributed_runs import ALIKE, points
from torch.utils.data import DataLoader, DistributedSampler
from trainings import net, train

from coursekit.data import Sequences, Split
from coursekit.train import DataError
from coursekit.train.device import pick_device
from coursekit.train.distributed import Alone, several
from coursekit.train.feed import Feed
from coursekit.train.shards import Shard

SCRIPT = Path(__file__).with_name("distributed_runs.py")


def torchrun(folder: Path, what: str) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine, which talk over loopback."""
    folder.mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    root = SCRIPT.parents[2]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.run(
        [*command, str(SCRIPT), str(folder), what],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What each of two processes got."""
    folder = tmp_path_factory.mktemp("distributed")
    done = torchrun(folder / "files", "all")
    assert done.returncode == 0, done.stderr
    results = [torch.load(folder / f"process {rank}.pt", weights_only=True) for rank in (0, 1)]
    return results, done


def close(got, expected, tolerance=1e-8):
    """Weights and history that differ by rounding only."""
    for name, tensor in expected["weights"].items():
        torch.testing.assert_close(got["weights"][name], tensor, rtol=tolerance, atol=tolerance, msg=name)
    assert got["stopped"] == expected["stopped"]
    assert [list(row) for row in got["rows"]] == [list(row) for row in expected["rows"]]
    for row, other in zip(got["rows"], expected["rows"], strict=True):
        assert row == pytest.approx(other, rel=tolerance)


def equal(one, other):
    """Weights and history of two processes, bit for bit."""
    assert one["rows"] == other["rows"] and one["stopped"] == other["stopped"]
    return all(torch.equal(one["weights"][name], other["weights"][name]) for name in one["weights"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ALIKE)
def test_two_processes_equal_one(processes, name):
    (first, second), _ = processes
    float32 = name in ("labels a step", "a stream")  # their loss is, whatever the model
    close(first[name], ALIKE[name](), 1e-5 if float32 else 1e-8)
    assert equal(first[name], second[name])


@pytest.mark.slow
def test_all_processes_end_with_the_same(processes):
    (first, second), _ = processes
    trainings = [name for name, value in first.items() if isinstance(value, dict) and "weights" in value]
    assert len(trainings) > len(ALIKE) + 5
    for name in set(trainings) - {"graded"}:
        assert equal(first[name], second[name])
        assert first[name]["seconds"] == second[name]["seconds"]


@pytest.mark.slow
def test_one_process_shows_and_writes(processes):
    (first, second), done = processes
    assert done.stdout.splitlines() == ["Training on 2 processes, CPU, 1 thread, float32."]
    assert "Warning" not in done.stderr
    assert first["files then"] == ["run.pt"]  # and no temporary file, nor one a process
    assert first["files now"] == ["run.pt", "saved.safetensors"] == second["files now"]


@pytest.mark.slow
def test_resumed_equals_uninterrupted_with_noise_of_each_process(processes):
    for result in processes[0]:
        assert result["interrupted"].startswith("KeyboardInterrupt")
        assert equal(result["resumed"], result["uninterrupted"])
        assert "lr was 0.006, is 0.5" in result["other settings"]
        assert "cannot read the checkpoint" in result["damaged"]
    alone = train(net().double(), points(67), augment=lambda X: X + torch.randn_like(X), epochs=4)
    assert alone[-1]["train_loss"] != pytest.approx(result["resumed"]["rows"][-1]["train_loss"], rel=1e-6)


@pytest.mark.slow
def test_what_one_process_decides_holds_for_all(processes):
    for result in processes[0]:
        assert result["one stops"]["stopped"] == "process 1"
        assert result["budget"]["stopped"] == "budget"
        assert "no longer finite" in result["not finite"]
        assert result["not finite"].startswith("TrainingError")


@pytest.mark.slow
def test_data_that_share_themselves_out_are_read_once_an_epoch(processes):
    first, second = (result["read"] for result in processes[0])
    assert all(sorted(a + b) == list(range(64)) for a, b in zip(first, second, strict=True))
    assert first[0] != first[1]  # another order
    for result in processes[0]:
        assert result["a loader"].startswith("DataError") and "DistributedSampler" in result["a loader"]


@pytest.mark.slow
def test_other_weights_are_made_equal_and_other_data_refused(processes):
    (first, _), _ = processes
    close(first["other weights"], dict(first["in a group of the user's"]))
    assert all("they differ in data" in result["other data"] for result in processes[0])


@pytest.mark.slow
def test_statistics_of_batch_norm_are_those_of_the_validation(processes):
    for result in processes[0]:
        assert result["its validation"]["loss"] == pytest.approx(result["batch norm"]["rows"][-1]["val_loss"])


@pytest.mark.slow
def test_a_group_is_left_as_it_was_and_graders_train_alone(processes):
    (first, second), _ = processes
    assert all(result["ours is gone"] and result["theirs stays"] for result in (first, second))
    assert first["graded"]["rows"] != second["graded"]["rows"]  # of other data each


@pytest.mark.slow
@pytest.mark.parametrize(("how", "message"), [("killed", "Signal 9"), ("interrupted", "KeyboardInterrupt")])
def test_a_process_that_ends_ends_the_others(tmp_path, how, message):
    done = torchrun(tmp_path / "files", how)
    assert done.returncode != 0 and message in done.stderr
    assert done.stdout.count("epoch 1/") == 1  # told by one process
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["run.pt"]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 16, 50])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shards_are_the_whole_once(n, size):
    held = Split(torch.arange(n)[:, None], torch.arange(n))
    loose = [(held.X[i], held.y[i]) for i in range(n)]
    texts = Sequences([torch.arange(1 + i % 4) for i in range(n)], torch.arange(n))
    for source in (held, loose, texts):
        seen = []
        batches = []
        for rank in range(size):
            shard = Shard(rank, size)
            feed = Feed(source, 4, torch.device("cpu"), shard=shard)
            mine = [None if shard.idle else batch[-1].tolist() for batch in feed.batches()]
            batches.append(len(mine))
            seen += [i for part in mine if part is not None for i in part]
        assert sorted(seen) == list(range(n))
        assert set(batches) == {feed.num_batches}


def test_a_sampler_for_other_processes_is_refused():
    source = torch.utils.data.TensorDataset(*points(8))
    loader = DataLoader(source, 4, sampler=DistributedSampler(source, num_replicas=3, rank=0))
    with pytest.raises(DataError, match="part 0 of 3, and this is process 0 of 2"):
        next(Feed(loader, 4, torch.device("cpu"), shuffle=True, shard=Shard(0, 2)).batches())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"WORLD_SIZE": "2"}, False),  # of a cluster, without the rest
        ({"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, False),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, True),
        (
            {
                "WORLD_SIZE": "2",
                "RANK": "0",
                "MASTER_ADDR": "a",
                "MASTER_PORT": "1",
                "NBGRADER_EXECUTION": "1",
            },
            False,
        ),
    ],
)
def test_the_environment_says_whether_there_are_several(monkeypatch, environment, expected):
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert several() is expected


def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda") == torch.device("cuda")  # where it is alone
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device() == pick_device("cuda") == torch.device("cuda", 1)
    assert pick_device("cuda:0") == torch.device("cuda", 0)
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="no GPU of its own, there are 2"):
        pick_device()


def test_alone_there_is_nothing_to_share():
    alone = Alone()
    assert (alone.rank, alone.size, alone.shard, alone.own_seed(7)) == (0, 1, None, 7)
    assert alone.agree("budget") == "budget" and alone.gather(3) == [3] and alone.first(lambda: 4) == 4
