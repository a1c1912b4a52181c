"""Small models of every recurrent kind, and sequences for them."""

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from coursekit.models import (
    get_model,
)

KINDS = {
    "rnn": {},
    "rnn relu": {"nonlinearity": "relu"},
    "gru": {},
    "lstm": {},
}
V, D = 11, 3  # tokens, numbers a step

kinds = st.sampled_from(list(KINDS))
poolings = st.sampled_from(["last", "mean", "max"])
ragged = st.lists(st.integers(1, 6), min_size=1, max_size=4)  # lengths


def build(kind: str, numeric: bool = False, **config: Any) -> Any:
    torch.manual_seed(0)
    if kind == "bow":
        return get_model("bow", vocab_size=V, embedding_dim=4, num_classes=3)
    sizes = {"vocab_size": V, "input_size": D if numeric else None, "embedding_dim": 4, "hidden_size": 5}
    return get_model(kind.split()[0], **sizes, num_classes=3, **KINDS[kind], **config)


def example(lengths: list[int], numeric: bool, num_steps: int = 7) -> Tensor:
    """Sequences for `build`, whose padding is not empty."""
    torch.manual_seed(len(lengths))
    if numeric:
        return torch.randn(len(lengths), num_steps, D, dtype=torch.float64)
    return torch.randint(V, (len(lengths), num_steps))


def logits_and_gradients(model: nn.Module, X: Tensor, lengths: Tensor | None) -> dict[str, Tensor]:
    X = X.clone().requires_grad_(X.is_floating_point())
    logits = model(X, lengths)
    (logits * torch.arange(1.0, 4.0, dtype=logits.dtype)).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return {"logits": logits.detach(), **gradients} | ({"X": X.grad} if X.requires_grad else {})
