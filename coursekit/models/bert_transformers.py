"""BERT as the library transformers has it: the names of its weights, and its encoder behind the same forward as ours."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.models.bert import Bert, Encoded
from coursekit.models.bert_config import BertConfig, check_input
from coursekit.models.pooling import real_steps

PREFIXES = ("bert.", "distilbert.")  # of the encoder's weights, in a file with a head
ENCODER_PARTS = ("embeddings.", "encoder.layer.", "transformer.layer.", "pooler.")
# What BERT's files, and DistilBERT's where they differ, call the parts; in this order, since one name may hold another.
NAMES = {
    "embeddings.word_embeddings": "embeddings.token",
    "embeddings.position_embeddings": "embeddings.position",
    "embeddings.token_type_embeddings": "embeddings.segment",
    "embeddings.LayerNorm": "embeddings.norm",
    "encoder.layer": "layers",
    "attention.self": "attention",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "output_norm",
    "transformer.layer": "layers",
    "attention.q_lin": "attention.query",
    "attention.k_lin": "attention.key",
    "attention.v_lin": "attention.value",
    "attention.out_lin": "attention.out",
    "sa_layer_norm": "attention_norm",
    "ffn.lin1": "up",
    "ffn.lin2": "down",
    "output_layer_norm": "output_norm",
}


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a BERT or DistilBERT of transformers, under the names that `Bert.load_state_dict` takes.

    Args:
        state: of a bare model or one with a head, which is left out; the old spelling `gamma`, `beta` will do.

    Raises:
        ValueError: there are no such weights in it, or one of the matrices of queries, keys and values is missing.
    """
    ours = {}
    for name, tensor in encoder_weights(state).items():
        for theirs, new in NAMES.items():
            name = name.replace(theirs, new)
        ours[name] = tensor
    for name in [name for name in ours if ".attention.query." in name]:
        parts = [name.replace("query", part) for part in ("query", "key", "value")]
        if missing := [part for part in parts if part not in ours]:
            raise ValueError(f"the weights lack {', '.join(missing)}, which belong(s) to {name}")
        ours[name.replace("query", "qkv")] = torch.cat([ours.pop(part) for part in parts])
    return ours


def encoder_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's part of the weights of a model of transformers, as its bare encoder names them today."""
    found = {}
    for name, tensor in state.items():
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        if name.startswith(ENCODER_PARTS) and not name.endswith("position_ids"):
            found[modern(name)] = tensor
    if "embeddings.word_embeddings.weight" not in found:
        raise ValueError(
            "there is no embeddings.word_embeddings.weight, with or without bert. or distilbert. before it, so these are "
            f"not the weights of a BERT or DistilBERT of transformers; they begin with {', '.join(list(state)[:3])}"
        )
    return found


def modern(name: str) -> str:
    """The name of a weight, where layer normalisation may have the names of BERT's first files."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


class TransformersEncoder(nn.Module):
    """An encoder of transformers with the forward and the attributes of `Bert`. `load_encoder` makes it.

    Args:
        config: its sizes, with which its weights are random.

    Attributes:
        model: the `BertModel`, or the `DistilBertModel` where the config knows no segments.
    """

    model: Any

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden_size = config.hidden_size
        self.model = _theirs(config)

    @property
    def embeddings(self) -> nn.Module:
        """What makes vectors of the tokens."""
        return self.model.embeddings

    @property
    def layers(self) -> nn.ModuleList:
        """The layers, the lowest first."""
        return (self.model.encoder if self.config.type_vocab_size else self.model.transformer).layer

    @property
    def pooler(self) -> nn.Module | None:
        """What makes one vector of the text, or None."""
        return getattr(self.model, "pooler", None)

    @property
    def token_weight(self) -> Tensor:
        """The vectors of all tokens of the vocabulary (vocab_size, H), as they are learnt."""
        return self.model.get_input_embeddings().weight

    depths = Bert.depths

    def forward(self, X: Tensor, lengths: Tensor | None = None, segments: Tensor | None = None) -> Encoded:
        """As `Bert.forward`."""
        output = self._run(X, lengths, segments)
        return Encoded(output.last_hidden_state, output.get("pooler_output"))

    def hidden_states(
        self, X: Tensor, lengths: Tensor | None = None, segments: Tensor | None = None
    ) -> list[Tensor]:
        """As `Bert.hidden_states`."""
        return list(self._run(X, lengths, segments, output_hidden_states=True).hidden_states)

    def attention(
        self, X: Tensor, lengths: Tensor | None = None, segments: Tensor | None = None
    ) -> list[Tensor]:
        """As `Bert.attention`."""
        self.model.set_attn_implementation("eager")  # the fast kernel does not give the weights away
        try:
            return list(self._run(X, lengths, segments, output_attentions=True).attentions)
        finally:
            self.model.set_attn_implementation("sdpa")

    def _run(self, X: Tensor, lengths: Tensor | None, segments: Tensor | None, **asked: Any) -> Any:
        lengths = check_input(self.config, X, lengths, segments)
        mask = real_steps(lengths, X.shape[1]).long().to(X.device)  # (B, T)
        if self.config.type_vocab_size:
            asked["token_type_ids"] = segments
        return self.model(input_ids=X, attention_mask=mask, **asked)


def _theirs(config: BertConfig) -> Any:
    """The model of transformers that has these sizes, with random weights."""
    import transformers

    common: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_positions,
        "pad_token_id": config.pad,
    }
    if config.type_vocab_size:
        bert = transformers.BertConfig(
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            intermediate_size=config.intermediate_size,
            type_vocab_size=config.type_vocab_size,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.attention_dropout,
            layer_norm_eps=config.layer_norm_eps,
            **common,
        )
        return transformers.BertModel(bert, add_pooling_layer=config.pooler)
    distilbert = transformers.DistilBertConfig(
        dim=config.hidden_size,
        n_layers=config.num_layers,
        n_heads=config.num_heads,
        hidden_dim=config.intermediate_size,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        **common,
    )
    return transformers.DistilBertModel(distilbert)
