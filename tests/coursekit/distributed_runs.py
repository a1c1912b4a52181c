"""Trainings that one process and several do alike, and what only several can do; run by `test_train_distributed.py`.

As a script, `distributed_runs.py FOLDER all` leaves in FOLDER what each process got. All is computed in float64, so that
one process and two differ by little more than 1e-12.
"""

import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from trainings import Classifier, data, net, numbers, sentences

from coursekit.data import Sequences
from coursekit.data.sequences import TokenStream
from coursekit.models import get_model
from coursekit.train import Average, PerToken, TrainingError, TruncatedBPTT, evaluate, fit


class Points(Dataset):
    """Examples that are read one by one; remembers which."""

    def __init__(self, n):
        self.X, self.y = points(n)
        self.read = []

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        self.read.append(i)
        return self.X[i], self.y[i]


class Conv(nn.Module):
    """Two convolutions (one of a single pixel), one layer that is never used, and one that is frozen."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(2)
        )
        self.out = nn.Linear(16, 3)
        self.spare = nn.Linear(2, 2)
        self.fixed = nn.Linear(3, 3).requires_grad_(False)

    def forward(self, X):
        return self.fixed(self.out(self.features(X).flatten(1)))


def points(n, seed=0):
    X, y = data(n, seed)
    return X.double(), y


def images(n, seed=0):
    X = torch.randn(n, 3, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return X, X.mean((2, 3)).argmax(1)


def tagged(n=37):
    """A label a step, of which a third is padding."""
    generator = torch.Generator().manual_seed(5)
    rows = [torch.randint(1, 20, (3 + i % 9,), generator=generator) for i in range(n)]
    return Sequences(rows, [(row % 3).where(torch.arange(len(row)) % 3 > 0, -100) for row in rows])


def train(model, source, **options):
    options = {
        "epochs": 2,
        "batch_size": 16,
        "device": "cpu",
        "precision": "fp32",
        "progress": False,
    } | options
    history = fit(model.double(), source, **options)
    return {
        "weights": model.state_dict(),
        "rows": numbers(history),
        "stopped": history.stopped,
        "seconds": history["seconds"],
    }


def zoo(name, **options):
    torch.manual_seed(0)
    return get_model(name, **options)


class StopAt:
    """Stops in the middle of the second epoch."""

    def on_step_end(self, run):
        if run.epoch == 2 and run.step == 3:
            run.stop("enough")


# What comes out as in one process: name -> function without arguments. The last batches are uneven: 67 = 4 * 16 + 3.
ALIKE = {
    "images": lambda: train(Conv(), (images(67), images(501, 1)), clip_norm=0.05, epochs=3),
    "less than an example each": lambda: train(net(), points(7), batch_size=1, optimizer="sgd", lr=0.01),
    "accumulated": lambda: train(net(), (points(67), points(33, 1)), accumulate=3, clip_norm=0.1),
    "texts": lambda: train(
        zoo("lstm", vocab_size=50, dropout=0.0), (sentences(51), sentences(33, 1)), batch_size=8
    ),
    "labels a step": lambda: train(
        zoo("char_lm", vocab_size=20, hidden_size=16), tagged(), batch_size=8, step=TagStep(), accumulate=2
    ),
    "a stream": lambda: train(
        zoo("char_lm", vocab_size=20, hidden_size=16),
        TokenStream(torch.randint(20, (701,), generator=torch.Generator().manual_seed(2)), 12),
        batch_size=5,
        step=TruncatedBPTT(),
    ),
    "thawing": lambda: train(
        Classifier(), (sentences(35), sentences(9, 1)), thaw=1, freeze=1, layer_decay=0.8, epochs=3
    ),
    "read one by one": lambda: train(net(), (Points(67), DataLoader(Points(33), 10))),
    "patience": lambda: train(
        net(),
        (points(67), (points(48, 1)[0], 2 - points(48, 1)[1])),
        patience=2,
        epochs=9,
        callbacks=[Average(0.9)],
    ),
    "stopped": lambda: train(net(), (points(67), points(48, 1)), callbacks=[StopAt()], epochs=4),
}


class TagStep(PerToken):
    """As its parent, for a model that needs no lengths."""

    def __call__(self, model, batch):
        X, _, y = batch
        return super().__call__(model, (X, y))


def shared_out(rank):
    """A DataLoader with a DistributedSampler: each example is read once an epoch, in another order each time."""
    source = Points(64)
    loader = DataLoader(source, 8, sampler=DistributedSampler(source, num_replicas=2, rank=rank))
    return train(net(), loader, epochs=2), source.read


def raised(*args, **options):
    try:
        train(*args, **options)
    except (TrainingError, ValueError, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def only_on(rank_that_stops, rank):
    class Stop:
        def on_step_end(self, run):
            if rank == rank_that_stops and run.step == 2:
                run.stop(f"process {rank}")

    return Stop()


def interrupt(run):
    if run.epoch == 2:
        raise KeyboardInterrupt


def together(folder, rank):
    """What only several processes can show."""
    source = (points(67), points(33, 1))
    noisy = {"epochs": 4, "patience": 4, "augment": lambda X: X + torch.randn_like(X)}
    kept = noisy | {"checkpoint": folder / "run.pt", "save": folder / "saved"}
    result = {"uninterrupted": train(net(dropout=0.3), source, **noisy)}
    result["interrupted"] = raised(net(dropout=0.3), source, callbacks=[interrupt], **kept)
    result["files then"] = sorted(path.name for path in folder.iterdir())
    result["resumed"] = train(net(seed=rank + 5, dropout=0.3), source, resume=True, **kept)
    result["files now"] = sorted(path.name for path in folder.iterdir())
    result["other settings"] = raised(net(dropout=0.3), source, resume=True, **kept | {"lr": 0.5})
    (folder / "bad.pt").write_bytes(b"no checkpoint")
    result["damaged"] = raised(net(), source, checkpoint=folder / "bad.pt", resume=True)
    result["one stops"] = train(net(), points(67), callbacks=[only_on(1, rank)])
    result["budget"] = train(net(), points(67), budget=1e-9 if rank else 100.0)
    result["shared out"], read = shared_out(rank)
    result["read"] = [read[-64:-32], read[-32:]]  # before them, the first look
    result["a loader"] = raised(net(), DataLoader(Points(16), 8))
    result["other weights"] = train(net(seed=rank), points(67))
    result["other data"] = raised(net(), points(67, seed=rank))
    result["not finite"] = raised(net(), (points(67)[0] * 1e300, points(67)[1]), lr=1e300)
    norm = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    result["batch norm"] = train(norm, source)
    result["its validation"] = dict(evaluate(norm, source[1], precision="fp32"))
    os.environ["NBGRADER_EXECUTION"] = "1"
    result["graded"] = train(net(), points(67, seed=rank))
    del os.environ["NBGRADER_EXECUTION"]
    result["ours is gone"] = not dist.is_initialized()
    dist.init_process_group("gloo")
    result["in a group of the user's"] = train(net(), points(67))
    result["theirs stays"] = dist.is_initialized()
    dist.destroy_process_group()
    return result


def fail(rank, how):
    """Process 1 ends in the second epoch of many."""

    def end(run):
        if rank == 1 and run.epoch == 2:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt

    train(net(), points(67), epochs=100_000, callbacks=[end], checkpoint="run.pt", progress=True)


def main(folder, what):
    rank = int(os.environ["RANK"])
    if what != "all":
        return fail(rank, what)
    result = {name: run() for name, run in ALIKE.items()} | together(folder, rank)
    torch.save(result, folder.parent / f"process {rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
