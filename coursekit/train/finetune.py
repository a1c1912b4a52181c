"""Fine-tuning a pretrained encoder: which of its layers learn, from when on, and how fast."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn

from coursekit.models.registry import list_models
from coursekit.train.optim import default_lr
from coursekit.train.run import Run, Settings

# Times the learning rate of a network from scratch. MiniLM on reviews_en scores the same at one to four times the first
# and falls to chance at eight; with adapters it is best at about the second, and worse at three times it.
FINE_TUNING, ADAPTERS = 1 / 40, 1 / 3
Depths = list[list[nn.Parameter]]  # of the embeddings, the lowest layer, ..., the top layer


def has_encoder(model: Any) -> bool:
    """Whether `model` is a head on an encoder that tells its layers: `model.encoder.depths()`."""
    return callable(getattr(getattr(model, "encoder", None), "depths", None))


def encoder_depths(model: Any, asked_by: str) -> Depths:
    """The parameters of the encoder by depth, from the embeddings to the top layer (with the pooler).

    Raises:
        ValueError: `model` has no encoder, so what the argument `asked_by` of `fit` means is not defined.
    """
    if not has_encoder(model):
        known = ", ".join(name for name in list_models() if name.startswith("bert_"))
        raise ValueError(
            f"{asked_by} is about the layers of a pretrained encoder (model.encoder, with depths()), and "
            f"{type(model).__name__} has none; the models of get_model with one are {known}. Of another model, set "
            "requires_grad of the parameters yourself before fit"
        )
    return model.encoder.depths()


def usual_lr(model: Any, optimizer: str, freeze: str | int | None) -> float:
    """The peak learning rate where none is given: far below the usual one where the weights of an encoder learn."""
    learn: list[str] = []
    if has_encoder(model) and freeze != "encoder":
        learn = [name for name, p in model.encoder.named_parameters() if p.requires_grad]
    if not learn:
        return default_lr(optimizer)
    return default_lr(optimizer) * (ADAPTERS if all("lora_" in name for name in learn) else FINE_TUNING)


def lr_factors(model: nn.Module, layer_decay: float | None) -> dict[nn.Parameter, float]:
    """By what to multiply the learning rate of a parameter of the encoder: `layer_decay` to the number of layers above it.

    (Howard and Ruder 2018, "Universal language model fine-tuning for text classification", section 3.2; Clark et al.
    2020, "ELECTRA", appendix A.) The head and the top layer keep the whole rate. Nothing for None.
    """
    if layer_decay is None:
        return {}
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay must lie above 0 and be at most 1 (0.9, say), not {layer_decay!r}")
    from_top = reversed(encoder_depths(model, "layer_decay"))
    return {parameter: layer_decay**below for below, depth in enumerate(from_top) for parameter in depth}


@contextlib.contextmanager
def frozen(model: nn.Module, settings: Settings) -> Iterator[list[Any]]:
    """Inside the block the layers that `settings.freeze` names ask for no gradient; afterwards all is as before it.

    Yields:
        The callbacks that the run needs for it: one that thaws the other layers, where `settings.thaw` asks for it.
    """
    if settings.freeze is None and settings.thaw is None:
        yield []
        return
    depths = encoder_depths(model, "freeze" if settings.freeze is not None else "thaw")
    count = count_frozen(settings.freeze, len(depths))
    if settings.thaw is not None and count == len(depths):
        raise ValueError(
            'thaw needs layers that may thaw, and freeze="encoder" keeps all frozen; leave one out'
        )
    before = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        for parameter in (p for depth in depths[:count] for p in depth):
            parameter.requires_grad_(False)
        yield [] if settings.thaw is None else [Thaw(depths, settings.thaw)]
    finally:
        for parameter, asked in before.items():
            parameter.requires_grad_(asked)


def count_frozen(freeze: str | int | None, num_depths: int) -> int:
    """How many depths, counted from the embeddings, stay as they are.

    Raises:
        ValueError: `freeze` is none of None, "embeddings", "encoder" and a number of layers that there are.
    """
    layers = num_depths - 1
    if isinstance(freeze, int) and not isinstance(freeze, bool) and 1 <= freeze <= layers:
        return 1 + freeze
    for name, count in ((None, 0), ("embeddings", 1), ("encoder", num_depths)):
        if freeze == name:
            return count
    raise ValueError(
        f'freeze must be None, "embeddings", "encoder" or a number of layers from 1 to {layers} (with the embeddings '
        f"below them), not {freeze!r}"
    )


class Thaw:
    """In the first epoch only the head learns; each later epoch opens `layers` more of the encoder, from the top.

    (Gradual unfreezing: Howard and Ruder 2018, section 3.3.)
    """

    def __init__(self, depths: Depths, layers: int) -> None:
        self.depths = [[p for p in depth if p.requires_grad] for depth in depths]
        self.layers = layers

    def on_fit_start(self, run: Run) -> None:
        """Close what this epoch must not change; a resumed run goes on where it was."""
        self.open(run.epoch * self.layers)

    def on_epoch_end(self, run: Run) -> None:
        """Open what the next epoch may change."""
        self.open(run.epoch * self.layers)

    def on_fit_end(self, run: Run) -> None:
        """Open all: what the run might have changed is what belongs into a file of its weights."""
        self.open(len(self.depths))

    def open(self, count: int) -> None:
        """Let the upper `count` depths learn, and no other."""
        for below, depth in enumerate(reversed(self.depths)):
            for parameter in depth:
                parameter.requires_grad_(below < count)
