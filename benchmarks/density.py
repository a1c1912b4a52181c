"""Log-likelihood of held-out points: RealNVP against kernel density with the best bandwidth, on two moons and on digits.

Two moons: 2,000 points of scikit-learn's with noise 0.05 to learn from, 10,000 to be judged by. Digits: the first 16
principal components of the 5,000 that come along. The bandwidth of the kernels is that of the best likelihood in five-fold
cross-validation. A normal distribution stands beside both.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from sklearn.datasets import make_moons
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from torch import Tensor
from torch.distributions import MultivariateNormal

from benchmarks.result import Result
from coursekit.data import load
from coursekit.models import get_model
from coursekit.train import NegativeLogLikelihood, evaluate, fit

SEEDS = (0, 1, 2)
COMPONENTS = 16
MOONS: dict[str, Any] = {"hidden_size": 32}
DIGITS: dict[str, Any] = {"hidden_size": 64, "num_layers": 8}


def moons(n: int, seed: int) -> Tensor:
    points, _ = make_moons(n, noise=0.05, random_state=seed)
    return torch.from_numpy(points).float()


def digits() -> tuple[Tensor, Tensor]:
    data = load("mnist_5k").scaled(-1, 1)
    analysis = PCA(COMPONENTS, random_state=0).fit(data.train.X.flatten(1).numpy())
    train, test = (
        torch.from_numpy(analysis.transform(split.X.flatten(1).numpy())).float()
        for split in (data.train, data.test)
    )
    return train, test


def kernels(train: Tensor, test: Tensor) -> float:
    """Minus the mean log-likelihood of `test`, in nats, with the bandwidth that cross-validation finds."""
    grid = {"bandwidth": np.geomspace(0.02, 1.0, 30)}
    search = GridSearchCV(KernelDensity(), grid, cv=5).fit(train.numpy())
    return -search.best_estimator_.score(test.numpy()) / len(test)


def flow(train: Tensor, test: Tensor, config: dict[str, Any], seed: int, **options: Any) -> float:
    """Minus the mean log-likelihood of `test`, in nats."""
    torch.manual_seed(seed)
    model = get_model("flow", dim=train.shape[1], **config)
    fit(model, train, step=NegativeLogLikelihood(), seed=seed, progress=False, **options)
    return evaluate(model, test, step=NegativeLogLikelihood()).loss


def compare(
    name: str, train: Tensor, test: Tensor, config: dict[str, Any], seeds: tuple[int, ...], **options: Any
) -> dict[str, Any]:
    """Nats a point of each, on the scale of the data; all three see it with mean 0 and deviation 1."""
    mean, std = train.mean(0), train.std(0)
    train, test, unit = (train - mean) / std, (test - mean) / std, float(std.log().sum())
    normal = MultivariateNormal(train.mean(0), train.T.cov())
    started = time.process_time()
    flows = [flow(train, test, config, seed, **options) + unit for seed in seeds]
    row = {
        "flow": sum(flows) / len(flows),
        "flow_seeds": flows,
        "flow_cpu_seconds": (time.process_time() - started) / len(seeds),
        "kernels": kernels(train, test) + unit,
        "normal": -float(normal.log_prob(test).mean()) + unit,
    }
    print(
        f"  {name}, nats a point: flow {row['flow']:.4f} ({min(flows):.4f} to {max(flows):.4f}, {len(flows)} seeds, "
        f"{row['flow_cpu_seconds']:.0f} s of CPU time each), kernel density {row['kernels']:.4f}, "
        f"normal distribution {row['normal']:.4f}",
        flush=True,
    )
    return row


def run(quick: bool) -> Result:
    seeds, epochs = (SEEDS[:1], 2) if quick else (SEEDS, 100)
    detail = {
        "moons": compare("two moons", moons(2000, 0), moons(10_000, 1), MOONS, seeds, epochs=epochs),
        "digits": compare(
            f"{COMPONENTS} components of digits",
            *digits(),
            DIGITS,
            seeds,
            epochs=max(1, epochs // 5),
            lr=3e-3,
        ),
    }
    nats = detail["moons"]
    return Result(
        "density",
        "e to the nats a point, two moons",
        math.exp(nats["flow"]),
        math.exp(nats["kernels"]),
        {"ours": -nats["flow"], "peer": -nats["kernels"]},
        detail,
    )
