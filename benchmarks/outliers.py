"""Fashion among digits: the area under the ROC curve by an auto-encoder, a VAE and a flow that have seen digits only.

All learn from MNIST's training images, and score its test images and those of Fashion-MNIST. The flow sees principal
components of the digits, 16 and 64, each of deviation 1; so it knows nothing of what lies outside of them.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from sklearn.decomposition import PCA
from torch import Tensor

from benchmarks.result import Result
from coursekit.data import load
from coursekit.measure import outlier_auc, outlier_scores
from coursekit.models import get_model
from coursekit.train import NegativeELBO, NegativeLogLikelihood, Reconstruction, evaluate, fit
from coursekit.train.step import Step

NEEDS = ("mnist", "fashion_mnist")
ASKED = 0.95
COMPONENTS = (16, 64)
EPOCHS = {"autoencoder": 5, "vae": 8, "flow": 5}
STEPS: dict[str, Step] = {
    "autoencoder": Reconstruction(),
    "vae": NegativeELBO(),
    "flow": NegativeLogLikelihood(),
}


def trained(
    name: str, X: Tensor, test: Tensor, fashion: Tensor, epochs: int, **config: Any
) -> dict[str, float]:
    """Test loss and area of one model; the loss of a VAE and of a flow is in nats."""
    torch.manual_seed(0)
    model: Any = get_model(name, **config)
    started = time.process_time()
    fit(model, X, epochs=epochs, step=STEPS[name], lr=2e-3, progress=False)
    row = {
        "cpu_seconds": time.process_time() - started,
        "test_loss": evaluate(model, test, step=STEPS[name]).loss,
    }
    row["auc"] = outlier_auc(outlier_scores(model, test), outlier_scores(model, fashion))
    if name == "vae":
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            row["log_evidence"] = float(model.log_evidence(test[:1000], 200, generator).mean())
    return row


def run(quick: bool) -> Result:
    digits = load("mnist").scaled(-1, 1)
    X, test, fashion = digits.train.X, digits.test.X, load("fashion_mnist").scaled(-1, 1).test.X
    if quick:
        X, test, fashion = X[:2000], test[:500], fashion[:500]
    detail = {}
    for name in ("autoencoder", "vae"):
        detail[name] = trained(name, X, test, fashion, 1 if quick else EPOCHS[name])
        print(f"  {name}: {detail[name]}", flush=True)
    for size in COMPONENTS:
        analysis = PCA(size, whiten=True, random_state=0).fit(X.flatten(1).numpy())
        parts = [
            torch.from_numpy(analysis.transform(part.flatten(1).numpy())).float()
            for part in (X, test, fashion)
        ]
        name = f"flow, {size} components"
        detail[name] = trained(
            "flow", parts[0], parts[1], parts[2], epochs=1 if quick else EPOCHS["flow"], dim=size
        )
        print(f"  {name}: {detail[name]}", flush=True)
    best = max(row["auc"] for row in detail.values())
    left = max(1 - best, 1 / len(test) ** 2)  # of a perfect one, a single pair: so that there is a ratio
    return Result(
        "outliers",
        "1 - area under the ROC curve, best model",
        left,
        1 - ASKED,
        {"ours": best, "peer": ASKED},
        detail,
    )
