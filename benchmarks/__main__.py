"""`python -m benchmarks NAME`: both sides of a claim, run in turn, and the ratio between them."""

from __future__ import annotations

import argparse
import importlib
import json
from dataclasses import asdict

from benchmarks.result import Result

# name -> what it compares; each is a module of this folder with `run(quick: bool) -> Result`
NAMES = {
    "bert": "fine-tuning MiniLM on SST-2: fit against the Trainer of transformers; predict against its pipeline",
    "bert_tasks": "RTE, SNIPS slots and XQuAD: what fit reaches against the Trainer of transformers, same encoder and epochs",
    "density": "log-likelihood of held-out points, RealNVP against the best kernel density: two moons, components of digits",
    "mnist": "time to 99.0 % test accuracy on MNIST: fit with its defaults against the textbook loop",
    "gan": "samples of conditional_gan against those of a textbook GAN after as much CPU time: Frechet distance, classes, copies",
    "overhead": "fit against the same steps written by hand on the same tensors",
    "grading": "grading a class on a light assignment: autograde run against stock nbgrader autograde",
    "grading-lab": "grading a class on cnn_mnist: autograde run against stock nbgrader autograde",
    "grading-scale": "a thousand submissions, faults in 5 %: autograde run on two Dask workers against this machine alone",
    "graded_path": "CPU time of grading a submission beyond imports: weights handed in against trained again",
    "import_cost": "import coursekit against import torch, in fresh interpreters",
    "long_range": "error of an LSTM against a plain recurrent network: adding problem, embedded Reber grammar",
    "outliers": "fashion among digits by auto-encoder, VAE and flow: area under the ROC curve, against the 0.95 that is asked",
    "phenomena": "sentiment by phenomenon, an LSTM against a bag of words, with confidence intervals",
    "sequence": "training tokens a second on SST-2: fit against the textbook loop, same LSTM",
    "shakespeare": "nats a character after five minutes of training, against the 1.80 that are asked",
    "sst2": "errors of MiniLM fine-tuned on all of SST-2, against the 10 % that are asked",
    "zoo": "time to 99.5 % on MNIST with the best of the zoo, against the 5 minutes it may take",
}


def module(name: str) -> str:
    """The module of a benchmark."""
    return f"benchmarks.{name.replace('-', '_')}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "name",
        choices=NAMES,
        help="; ".join(f"{name}: {what}" for name, what in NAMES.items()).replace("%", "%%"),
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument(
        "--quick", action="store_true", help="smaller, to see that it works; not a measurement"
    )
    arguments = parser.parse_args()
    print(NAMES[arguments.name], flush=True)
    result: Result = importlib.import_module(module(arguments.name)).run(arguments.quick)
    print(result.summary(), flush=True)
    if arguments.json:
        print(json.dumps(asdict(result) | {"ratio": result.ratio}))


if __name__ == "__main__":
    main()
