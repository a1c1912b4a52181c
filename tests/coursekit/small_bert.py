"""A BERT of ours and one of transformers, small, with the same weights; for the tests of the encoder and its heads."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn

from coursekit.models import Bert, BertConfig, from_transformers

CONFIG = BertConfig(
    vocab_size=50, hidden_size=24, num_layers=3, num_heads=4, intermediate_size=40, max_positions=30
)
V, T = 50, 11
LENGTHS = torch.tensor([11, 1, 6, 10])


def lively(model: nn.Module) -> nn.Module:
    """Weights so large that every part matters (fresh ones are small, and biases 0), in eval mode."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def bert_of_transformers(kind: str = "BertModel", **options: Any) -> Any:
    """One of their classes by name; the sizes are those of CONFIG."""
    config = transformers.BertConfig(
        vocab_size=V,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=30,
        attn_implementation="eager",  # which gives the attention weights away
        **options,
    )
    return lively(getattr(transformers, kind)(config))


def ours_like(theirs: nn.Module, **config: Any) -> Bert:
    """Our encoder with their weights."""
    state = from_transformers(theirs.state_dict())
    ours = Bert(BertConfig(**vars(CONFIG) | {"pooler": "pooler.dense.weight" in state} | config))
    ours.load_state_dict(state)
    return ours.eval()


def batch(V: int = V) -> tuple[Tensor, Tensor]:
    """Ids and segments (4, T)."""
    X = torch.randint(V, (4, T), generator=torch.Generator().manual_seed(1))
    return X, (torch.arange(T) >= 4).long().expand(4, T)


def mask(lengths: Tensor) -> Tensor:
    """Theirs: 1 for real tokens (B, T)."""
    return (torch.arange(T) < lengths[:, None]).long()


def write(folder: Path, model: Any, **changed: Any) -> Path:
    """A folder as transformers writes it, with a vocabulary, and some lines of its config changed."""
    state = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(model.config.to_dict() | changed))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    return folder
