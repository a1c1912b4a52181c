"""The model zoo: `get_model("lenet")` builds a model, `list_models()` says which there are."""

from coursekit.models import bow, cells, char_lm, cnn, linear, mlp, rnn
from coursekit.models.bow import BagOfWords
from coursekit.models.cells import GRUCell, LSTMCell, RNNCell, cell_of
from coursekit.models.char_lm import CharLM
from coursekit.models.cnn import AlexNetSmall, LeNet
from coursekit.models.linear import Linear
from coursekit.models.mlp import MLP
from coursekit.models.registry import ModelInfo, get_model, list_models, model_info, register
from coursekit.models.rnn import SequenceClassifier

__all__ = [
    "MLP",
    "AlexNetSmall",
    "BagOfWords",
    "CharLM",
    "GRUCell",
    "LSTMCell",
    "LeNet",
    "Linear",
    "ModelInfo",
    "RNNCell",
    "SequenceClassifier",
    "bow",
    "cell_of",
    "cells",
    "char_lm",
    "cnn",
    "get_model",
    "linear",
    "list_models",
    "mlp",
    "model_info",
    "register",
    "rnn",
]
