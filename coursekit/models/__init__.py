"""The model zoo: `get_model("lenet")` builds a model, `list_models()` says which there are."""

from coursekit.models import cnn, linear, mlp
from coursekit.models.cnn import AlexNetSmall, LeNet
from coursekit.models.linear import Linear
from coursekit.models.mlp import MLP
from coursekit.models.registry import ModelInfo, get_model, list_models, model_info, register

__all__ = [
    "MLP",
    "AlexNetSmall",
    "LeNet",
    "Linear",
    "ModelInfo",
    "cnn",
    "get_model",
    "linear",
    "list_models",
    "mlp",
    "model_info",
    "register",
]
