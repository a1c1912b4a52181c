"""Low-rank adapters: a pretrained encoder stays as it is, and small matrices beside its own learn."""

from __future__ import annotations

from typing import Any

from torch import nn

from coursekit.train.finetune import encoder_depths


def add_lora(model: Any, rank: int = 8, *, alpha: float | None = None, dropout: float = 0.0) -> Any:
    """Freeze the encoder of `model` and put adapters beside the projections of its attention; the head learns as before.

    A projection W x becomes W x + alpha / rank * B A x with A (rank, in) and B (out, rank); B begins at zero, so that the
    model gives what it gave. `fit(..., save=...)` then leaves the adapters and the head only. (Hu et al. 2022, "LoRA:
    low-rank adaptation of large language models"; through the library peft.)

    Args:
        model: a head on an encoder, such as `get_model("bert_sentence", encoder="minilm")`; changed in place.
        rank: rows of A; 4 to 16 are usual.
        alpha: how much the adapters count; twice the rank by default.
        dropout: share of their inputs set to zero in training.

    Returns:
        `model`.

    Raises:
        ImportError: peft is not installed.
        ValueError: the model has no encoder, or adapters already, or `rank` is below 1.
    """
    if rank < 1:
        raise ValueError(f"rank is the number of rows of the small matrices, 1 or more, not {rank}")
    encoder_depths(model, "add_lora")
    if any("lora_" in name for name, _ in model.encoder.named_parameters()):
        raise ValueError("this model has adapters already; build it anew for others")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ImportError("low-rank adapters need the library peft: pip install peft") from error
    scale = 2 * rank if alpha is None else alpha
    projections = [
        name
        for name, module in model.encoder.named_modules()
        if isinstance(module, nn.Linear) and "attention" in name.split(".")
    ]
    options: dict[str, Any] = {"r": rank, "lora_alpha": scale, "lora_dropout": dropout}
    inject_adapter_in_model(LoraConfig(target_modules=projections, **options), model.encoder)
    # It belongs to the architecture, for saved weights.
    if isinstance(getattr(model, "config", None), dict):
        model.config = model.config | {"lora": options}
    return model
