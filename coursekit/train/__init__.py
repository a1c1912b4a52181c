"""Training: `fit(model, data)` trains, `evaluate` and `predict` say how well; the loop itself is in `loop.py`."""

from coursekit.train.callbacks import Average
from coursekit.train.errors import DataError, TrainingError
from coursekit.train.fitting import fit
from coursekit.train.gan_fitting import fit_gan
from coursekit.train.gan_history import GanHistory
from coursekit.train.gan_losses import gan_losses
from coursekit.train.gan_run import GanRun
from coursekit.train.generative import Denoising, NegativeELBO, NegativeLogLikelihood, Reconstruction
from coursekit.train.gradients import gradient_norms
from coursekit.train.history import History, Scores
from coursekit.train.lora import add_lora
from coursekit.train.predictions import input_fingerprint, predict_to_file
from coursekit.train.run import Run
from coursekit.train.scoring import count_parameters, evaluate, predict
from coursekit.train.step import Outcome, Supervised
from coursekit.train.tokens import PerToken, Spans, TruncatedBPTT

__all__ = [
    "Average",
    "DataError",
    "Denoising",
    "GanHistory",
    "GanRun",
    "History",
    "NegativeELBO",
    "NegativeLogLikelihood",
    "Outcome",
    "PerToken",
    "Reconstruction",
    "Run",
    "Scores",
    "Spans",
    "Supervised",
    "TrainingError",
    "TruncatedBPTT",
    "add_lora",
    "count_parameters",
    "evaluate",
    "fit",
    "fit_gan",
    "gan_losses",
    "gradient_norms",
    "input_fingerprint",
    "predict",
    "predict_to_file",
]
