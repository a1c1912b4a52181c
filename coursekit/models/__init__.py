"""The model zoo: `get_model("lenet")` builds a model, `list_models()` says which there are."""

from coursekit.models import (
    autoencoder,
    bert,
    bow,
    cells,
    char_lm,
    cnn,
    diffusion,
    flow,
    gan,
    heads,
    linear,
    mlp,
    rnn,
    vae,
)
from coursekit.models.autoencoder import Autoencoder
from coursekit.models.bert import Bert, Encoded
from coursekit.models.bert_config import BertConfig
from coursekit.models.bert_transformers import from_transformers
from coursekit.models.bow import BagOfWords
from coursekit.models.cells import GRUCell, LSTMCell, RNNCell, cell_of
from coursekit.models.char_lm import CharLM
from coursekit.models.cnn import AlexNetSmall, LeNet
from coursekit.models.diffusion import Diffusion
from coursekit.models.flow import RealNVP
from coursekit.models.gan import GAN, ConditionalGAN
from coursekit.models.heads import BertMaskedWord, BertNextSentence, BertSentence, BertSpan, BertToken
from coursekit.models.linear import Linear
from coursekit.models.mlp import MLP
from coursekit.models.pretrained import load_encoder
from coursekit.models.registry import ModelInfo, get_model, list_models, model_info, register
from coursekit.models.rnn import SequenceClassifier
from coursekit.models.vae import VAE

__all__ = [
    "GAN",
    "MLP",
    "VAE",
    "AlexNetSmall",
    "Autoencoder",
    "BagOfWords",
    "Bert",
    "BertConfig",
    "BertMaskedWord",
    "BertNextSentence",
    "BertSentence",
    "BertSpan",
    "BertToken",
    "CharLM",
    "ConditionalGAN",
    "Diffusion",
    "Encoded",
    "GRUCell",
    "LSTMCell",
    "LeNet",
    "Linear",
    "ModelInfo",
    "RNNCell",
    "RealNVP",
    "SequenceClassifier",
    "autoencoder",
    "bert",
    "bow",
    "cell_of",
    "cells",
    "char_lm",
    "cnn",
    "diffusion",
    "flow",
    "from_transformers",
    "gan",
    "get_model",
    "heads",
    "linear",
    "list_models",
    "load_encoder",
    "mlp",
    "model_info",
    "register",
    "rnn",
    "vae",
]
