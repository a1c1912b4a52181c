"""Samples of our GAN against those of a textbook GAN that had as much processor time, on MNIST (or the 5,000 digits that come along).

Ours: `conditional_gan` by `fit_gan` with its defaults; beside it `gan`, which is not told the classes. The textbook's:
a generator and a discriminator of full layers, trained by Adam (2e-4, betas 0.5 and 0.999) on batches of 64. A LeNet that is
trained here on the same images looks at 1,000 samples of each: Frechet distance in its feature space to the test images,
confidence, share of each class; and pixels tell whether samples are copies of training images.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.result import Result
from coursekit.data import DataSet, list_datasets, load
from coursekit.measure import copied, sample_quality
from coursekit.models import get_model
from coursekit.train import evaluate, fit, fit_gan

SAMPLES = 1000
EPOCHS = 2
LATENT = 100  # of the textbook GAN


def run(quick: bool) -> Result:
    whole = any(info.name == "mnist" and info.available for info in list_datasets())
    data = load("mnist" if whole and not quick else "mnist_5k").scaled(-1, 1)
    epochs = 1 if quick else EPOCHS if whole else 16 * EPOCHS
    judge = classifier(data)
    some = min(SAMPLES, len(data.test) // 2)
    real = sample_quality(data.test.X[:some], judge, data.test.X[some:])
    print(f"{data.name}; {some:,} real images: {real}", flush=True)

    ours, seconds = timed(lambda: trained("conditional_gan", data, epochs))
    plain, plain_seconds = timed(lambda: trained("gan", data, epochs))
    peer, peer_seconds = timed(lambda: textbook(data, seconds))
    detail: dict[str, Any] = {"data": data.name, "classifier_accuracy": evaluate(judge, data.test).accuracy}
    for name, samples, spent in (
        ("conditional_gan", ours, seconds),
        ("gan", plain, plain_seconds),
        ("textbook", peer, peer_seconds),
    ):
        quality = sample_quality(samples, judge, data.test)
        share = copied(samples, data.train.X, data.test.X[: 2 * SAMPLES])
        detail[name] = asdict(quality) | {"copied": share, "cpu_seconds": spent}
        print(f"  {name}, {spent:.0f} s of CPU time: {quality}; {share:.1%} copied", flush=True)
    quality_of = {"ours": detail["conditional_gan"]["confidence"], "peer": detail["textbook"]["confidence"]}
    return Result(
        "gan",
        f"Frechet distance of {SAMPLES:,} samples",
        detail["conditional_gan"]["frechet"],
        detail["textbook"]["frechet"],
        quality_of,
        detail,
    )


def classifier(data: DataSet) -> nn.Module:
    """The judge, in whose features samples are compared."""
    torch.manual_seed(0)
    model = get_model("lenet")
    fit(model, data, epochs=3, progress=False)
    return model


def timed(make: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What `make` gives, and the seconds of processor time it took, over all threads."""
    started = time.process_time()
    return make(), time.process_time() - started


def trained(name: str, data: DataSet, epochs: int) -> Tensor:
    """Samples of a GAN of the zoo."""
    torch.manual_seed(0)
    gan: Any = get_model(name)
    for warning in fit_gan(gan, data, epochs=epochs, progress=False).warnings:
        print(f"  {name}: {warning}", flush=True)
    return gan.sample(SAMPLES, seed=1)


def textbook(data: DataSet, seconds: float) -> Tensor:
    """Samples of the textbook GAN after so many seconds of processor time."""
    torch.manual_seed(0)
    generator = nn.Sequential(
        *(nn.Linear(LATENT, 256), nn.LeakyReLU(0.2)),
        *(nn.Linear(256, 512), nn.LeakyReLU(0.2)),
        *(nn.Linear(512, 1024), nn.LeakyReLU(0.2)),
        *(nn.Linear(1024, 784), nn.Tanh()),
    )
    discriminator = nn.Sequential(
        *(nn.Linear(784, 512), nn.LeakyReLU(0.2)),
        *(nn.Linear(512, 256), nn.LeakyReLU(0.2)),
        *(nn.Linear(256, 1), nn.Sigmoid()),
    )
    loss = nn.BCELoss()
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    images, end = data.train.X.flatten(1), time.process_time() + seconds
    while time.process_time() < end:
        for chosen in torch.randperm(len(images)).split(64):
            real, ones = images[chosen], torch.ones(len(chosen), 1)
            fake = generator(torch.randn(len(chosen), LATENT))
            d_optimizer.zero_grad()
            (loss(discriminator(real), ones) + loss(discriminator(fake.detach()), 1 - ones)).backward()
            d_optimizer.step()
            g_optimizer.zero_grad()
            loss(discriminator(fake), ones).backward()
            g_optimizer.step()
            if time.process_time() > end:
                break
    with torch.no_grad():
        generator.eval()
        return generator(torch.randn(SAMPLES, LATENT)).reshape(-1, 1, 28, 28)
