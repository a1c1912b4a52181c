"""The sizes of a BERT, where files say them, and which input fits them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coursekit.models.pooling import check_lengths, check_tokens


@dataclass(frozen=True)
class BertConfig:
    """The sizes of a BERT.

    Attributes:
        vocab_size: number of word pieces.
        hidden_size: numbers that stand for a token, H.
        num_layers: attention layers.
        num_heads: attention heads of a layer, N; a divisor of H.
        intermediate_size: numbers inside the feed-forward part of a layer, mostly 4 H.
        max_positions: tokens of the longest text it can read.
        type_vocab_size: kinds of segment, 2 for pairs of texts; 0: it does not read segments (DistilBERT).
        dropout: share of the embeddings and of what each half of a layer adds, set to zero in training.
        attention_dropout: share of the attention weights set to zero in training.
        layer_norm_eps: what layer normalisation adds to the variance.
        pad: id of the token that fills up short texts.
        pooler: whether there is a `pooler` on top.

    Raises:
        ValueError: `num_heads` does not divide `hidden_size`.
    """

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    max_positions: int = 512
    type_vocab_size: int = 2
    dropout: float = 0.1
    attention_dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    pad: int = 0
    pooler: bool = True

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} cannot be shared out among num_heads={self.num_heads}: each head "
                "takes the same number of them, so choose a hidden_size that is a multiple of num_heads"
            )


def read_config(path: Path, pooler: bool) -> BertConfig:
    """The sizes that a `config.json` of transformers says, of a BERT or a DistilBERT.

    Args:
        path: the file.
        pooler: whether the weights beside it have a pooler; the file does not say.

    Raises:
        ValueError: it is no such file, or of a model that works differently. The message names the file.
    """
    try:
        said = json.loads(path.read_text("utf-8"))
        kind = said.get("model_type", "bert")
        config = _READERS[kind](said, pooler) if kind in _READERS else None
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} does not say the sizes of a BERT: {error!r}; get the folder again"
        ) from error
    if config is None:
        raise ValueError(
            f"{path} is of a model of the kind {kind!r}, which works differently; what can be read is "
            f"{' and '.join(_READERS)}: choose another encoder"
        )
    activation = said.get("hidden_act", said.get("activation", "gelu"))
    positions = said.get("position_embedding_type", "absolute")
    if activation != "gelu" or positions != "absolute" or said.get("is_decoder"):
        raise ValueError(
            f"{path} is of a BERT with activation {activation!r}, {positions} positions"
            f"{' and a causal mask' if said.get('is_decoder') else ''}; what can be read is the original, 'gelu' and "
            "absolute positions, reading both ways: choose another encoder"
        )
    return config


def _read_bert(said: dict[str, Any], pooler: bool) -> BertConfig:
    return BertConfig(
        vocab_size=said["vocab_size"],
        hidden_size=said["hidden_size"],
        num_layers=said["num_hidden_layers"],
        num_heads=said["num_attention_heads"],
        intermediate_size=said["intermediate_size"],
        max_positions=said.get("max_position_embeddings", 512),
        type_vocab_size=said.get("type_vocab_size", 2),
        dropout=said.get("hidden_dropout_prob", 0.1),
        attention_dropout=said.get("attention_probs_dropout_prob", 0.1),
        layer_norm_eps=said.get("layer_norm_eps", 1e-12),
        pad=said.get("pad_token_id") or 0,
        pooler=pooler,
    )


def _read_distilbert(said: dict[str, Any], pooler: bool) -> BertConfig:
    """DistilBERT is a BERT without segments and pooler (Sanh et al. 2019, arXiv:1910.01108)."""
    return BertConfig(
        vocab_size=said["vocab_size"],
        hidden_size=said["dim"],
        num_layers=said["n_layers"],
        num_heads=said["n_heads"],
        intermediate_size=said["hidden_dim"],
        max_positions=said.get("max_position_embeddings", 512),
        type_vocab_size=0,
        dropout=said.get("dropout", 0.1),
        attention_dropout=said.get("attention_dropout", 0.1),
        pad=said.get("pad_token_id") or 0,
        pooler=pooler,
    )


_OTHER_PIECES = (
    "an encoder knows the word pieces that it was trained with only: encode the text with those of the same name, "
    'load_wordpieces("minilm") for load_encoder("minilm")'
)
_READERS = {"bert": _read_bert, "distilbert": _read_distilbert}


def check_input(config: BertConfig, X: Tensor, lengths: Tensor | None, segments: Tensor | None) -> Tensor:
    """The lengths (B,) on the CPU of the texts `X` (B, T).

    Raises:
        ValueError: ids, lengths or segments do not fit the encoder or each other. The message says what to change.
    """
    check_tokens(X, config.vocab_size, _OTHER_PIECES)
    lengths = check_lengths(lengths, X)
    longest = config.max_positions
    if X.shape[1] > longest:
        raise ValueError(
            f"the longest text of the batch has {X.shape[1]} tokens, but the encoder has positions for {longest}: cut "
            f"texts where they are encoded, wordpieces.encode(text, max_length={longest}), or read them in windows."
        )
    if segments is None:
        return lengths
    if segments.shape != X.shape or segments.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"expected segments of shape {tuple(X.shape)} and dtype torch.int64, one for each token, got "
            f"{tuple(segments.shape)} of {segments.dtype}: wordpieces.encode_pair(a, b) gives them with the ids."
        )
    kinds = config.type_vocab_size
    low, high = torch.stack(segments.aminmax()).tolist()
    if kinds and (low < 0 or high >= kinds):
        raise ValueError(
            f"segments go from {low} to {high}, but the encoder knows {kinds} kinds, 0 to {kinds - 1}: 0 for the tokens "
            "of the first text, 1 for those of the second, and 0 where it is padded."
        )
    return lengths
