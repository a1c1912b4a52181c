"""The list of models: a decorator puts one in, `get_model` builds one by name."""

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Builder = TypeVar("Builder", bound=Callable[..., nn.Module])


@dataclass(frozen=True)
class ModelInfo:
    """What the list knows of one model.

    Attributes:
        name: the name `get_model` takes.
        build: the class or function that builds it.
        example_batch: `example_batch(batch_size, **config)` gives a random `(X, y)` that the model accepts.
    """

    name: str
    build: Callable[..., nn.Module]
    example_batch: Callable[..., tuple[Tensor, Tensor]]

    @property
    def summary(self) -> str:
        """The first line of the model's docstring."""
        return (inspect.getdoc(self.build) or "").partition("\n")[0]

    @property
    def defaults(self) -> dict[str, Any]:
        """The arguments `get_model(name, ...)` takes, with their default values."""
        return {p.name: p.default for p in inspect.signature(self.build).parameters.values()}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.defaults.items())
        return f"{self.name}({arguments}): {self.summary}"


_MODELS: dict[str, ModelInfo] = {}


def image_batch(
    batch_size: int, *, in_channels: int = 1, image_size: int = 28, num_classes: int = 10, **_: Any
) -> tuple[Tensor, Tensor]:
    """Random images `(batch_size, in_channels, image_size, image_size)` and labels `(batch_size,)`."""
    X = torch.randn(batch_size, in_channels, image_size, image_size)
    y = torch.arange(batch_size) % num_classes
    return X, y


def register(
    name: str, example_batch: Callable[..., tuple[Tensor, Tensor]] = image_batch
) -> Callable[[Builder], Builder]:
    """Decorate a class or function that builds a model, to put it in the list under `name`.

    Every argument of the builder needs a default. `example_batch` is what the tests feed the model with;
    it gets the batch size and the model's whole configuration.
    """

    def decorate(build: Builder) -> Builder:
        if name in _MODELS:
            raise ValueError(f"two models are called {name!r}: {_MODELS[name].build} and {build}; rename one")
        info = ModelInfo(name, build, example_batch)
        bare = [argument for argument, default in info.defaults.items() if default is inspect.Parameter.empty]
        if bare:
            raise TypeError(f"the model {name!r} needs a default for {', '.join(bare)}")
        _MODELS[name] = info
        return build

    return decorate


def list_models() -> list[str]:
    """The names that `get_model` takes, sorted."""
    return sorted(_MODELS)


def model_info(name: str) -> ModelInfo:
    """What the list knows of the model `name`: its arguments, its one-line description.

    Raises:
        ValueError: there is no such model; the message says which there are.
    """
    if name not in _MODELS:
        close = difflib.get_close_matches(str(name), _MODELS, n=2)
        hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise ValueError(f"there is no model called {name!r}: {hint}There are {', '.join(list_models())}.")
    return _MODELS[name]


def get_model(name: str, **config: Any) -> nn.Module:
    """Build the model `name` with fresh random weights.

    The model carries its `name` and its whole `config` (defaults filled in), so that weights can be matched to it.

    Args:
        name: one of `list_models()`.
        **config: the model's own arguments; `model_info(name)` shows them.

    Raises:
        ValueError: there is no such model.
        TypeError: the model has no such argument.

    >>> get_model("lenet", num_classes=26).config["num_classes"]
    26
    """
    info = model_info(name)
    unknown = [argument for argument in config if argument not in info.defaults]
    if unknown:
        raise TypeError(
            f"{name} has no argument {', '.join(map(repr, unknown))}. "
            f"Its arguments, with their defaults: {', '.join(f'{k}={v!r}' for k, v in info.defaults.items())}."
        )
    full = info.defaults | config
    model: Any = info.build(**full)
    model.name, model.config = name, full
    return model
