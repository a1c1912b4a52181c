"""BERT's heads: what stands on the encoder to classify texts, pairs or tokens, to find answers, and to pretrain.

(Devlin et al. 2019, "BERT: Pre-training of deep bidirectional transformers for language understanding", figure 4.)

Each has the encoder as `model.encoder` and all else as `model.head`. Where an argument says `encoder`, it is a name for
`load_encoder`, or an encoder that is there already: `get_model("bert_span", encoder=load_encoder("bert-base-uncased",
download=True))`, or `load_encoder("minilm", dropout=0.0)`.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.models.bert import initialise
from coursekit.models.pooling import check_choice, check_lengths, pool, sequence_batch
from coursekit.models.pretrained import load_encoder, load_head
from coursekit.models.registry import register

POOLINGS = ("mean", "cls", "pooler")
# How a head's weights are called in files of BERT and of DistilBERT (beginnings of names), and in ours.
MASKED_WORD = {
    "cls.predictions.transform.dense.": "dense.",
    "cls.predictions.transform.LayerNorm.": "norm.",
    "cls.predictions.decoder.bias": "bias",
    "cls.predictions.bias": "bias",
    "vocab_transform.": "dense.",
    "vocab_layer_norm.": "norm.",
    "vocab_projector.bias": "bias",
}
NEXT_SENTENCE = {"cls.seq_relationship.": ""}


class BertSentence(nn.Module):
    """What `bert_sentence` and `bert_pair` are: one vector for the whole input, dropout, a linear layer.

    Args:
        encoder: a name for `load_encoder`, or an encoder.
        num_classes: number of logits that come out; 1 to predict a number.
        pooling: the vector: "mean", of all real tokens; "cls", of the first token, [CLS]; "pooler", what the encoder's
            pooler makes of that one, as BERT's paper has it. "minilm" was trained with "mean", which does best on it:
            after 6,000 examples of SST-2 85.0 % of dev are right (two seeds), with the others 84.2 % (one seed).
        dropout: share of the vector set to zero in training.

    Raises:
        ValueError: there is no such pooling, or the encoder has no pooler.
    """

    def __init__(self, encoder: str | nn.Module, num_classes: int, pooling: str, dropout: float) -> None:
        super().__init__()
        check_choice("pooling", pooling, POOLINGS)
        self.pooling = pooling
        self.encoder = encoder_of(encoder, pooler=pooling == "pooler")
        self.dropout = nn.Dropout(dropout)
        self.head = linear(self.encoder, num_classes)

    def forward(self, X: Tensor, lengths: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        """Token ids (B, T) to logits (B, num_classes); the arguments are those of `Bert.forward`."""
        hidden, pooled = self.encoder(X, lengths, segments)  # (B, T, H), (B, H)
        if self.pooling == "mean":
            pooled = pool(hidden, check_lengths(lengths, X), "mean")  # (B, H)
        elif self.pooling == "cls":
            pooled = hidden[:, 0]
        return self.head(self.dropout(pooled))  # (B, num_classes)


@register("bert_sentence", example_batch=sequence_batch)
def bert_sentence(
    encoder: str | nn.Module = "bert-tiny", num_classes: int = 2, pooling: str = "mean", dropout: float = 0.1
) -> BertSentence:
    """Classifier of texts on BERT (Devlin et al. 2019, "BERT: Pre-training of deep bidirectional transformers for language understanding").

    The arguments are those of `BertSentence`.
    """
    return BertSentence(encoder, num_classes, pooling, dropout)


@register("bert_pair", example_batch=sequence_batch)
def bert_pair(
    encoder: str | nn.Module = "bert-tiny", num_classes: int = 2, pooling: str = "mean", dropout: float = 0.1
) -> BertSentence:
    """Classifier of pairs of texts on BERT: [CLS] first [SEP] second [SEP], told apart by segments (Devlin et al. 2019, section 4.1).

    The arguments are those of `BertSentence`, and so is the model: a pair is one input with `segments`.
    """
    return BertSentence(encoder, num_classes, pooling, dropout)


def token_batch(batch_size: int, *, num_classes: int = 2, **_: Any) -> tuple[Tensor, Tensor]:
    """Random ids (batch_size, 12), and a label for each (batch_size, 12)."""
    X, _y = sequence_batch(batch_size)
    return X, X % num_classes


@register("bert_token", example_batch=token_batch)
class BertToken(nn.Module):
    """Classifier of each token on BERT: slots, names, parts of speech (Devlin et al. 2019, section 5.3).

    Args:
        encoder: a name for `load_encoder`, or an encoder.
        num_classes: number of logits for each token.
        dropout: share of each token's vector set to zero in training.
    """

    def __init__(
        self, encoder: str | nn.Module = "bert-tiny", num_classes: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.encoder = encoder_of(encoder)
        self.dropout = nn.Dropout(dropout)
        self.head = linear(self.encoder, num_classes)

    def forward(self, X: Tensor, lengths: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        """Token ids (B, T) to logits (B, T, num_classes); the arguments are those of `Bert.forward`."""
        return self.head(self.dropout(self.encoder(X, lengths, segments).hidden))


def span_batch(batch_size: int, **_: Any) -> tuple[Tensor, Tensor]:
    """Random ids (batch_size, 12), and the steps where an answer begins and ends (batch_size, 2)."""
    X, _y = sequence_batch(batch_size)
    start = torch.randint(10, (batch_size,))
    return X, torch.stack([start, start + 2], 1)


@register("bert_span", example_batch=span_batch)
class BertSpan(nn.Module):
    """Finder of answers in a text on BERT: where the answer begins, and where it ends (Devlin et al. 2019, section 4.2).

    The loss is `F.cross_entropy(logits, y)` for `y` (B, 2), the steps of the answer's first and last token: one softmax
    over the steps for the beginning, one for the end, and the mean of both.

    Args:
        encoder: a name for `load_encoder`, or an encoder.
    """

    def __init__(self, encoder: str | nn.Module = "bert-tiny") -> None:
        super().__init__()
        self.encoder = encoder_of(encoder)
        self.head = linear(self.encoder, 2)

    def forward(self, X: Tensor, lengths: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        """Token ids (B, T) to logits (B, T, 2): of each step, that the answer begins there, that it ends there."""
        return self.head(self.encoder(X, lengths, segments).hidden)


def masked_batch(batch_size: int, **_: Any) -> tuple[Tensor, Tensor]:
    """Random ids (batch_size, 12), and the same to be found again."""
    X, _y = sequence_batch(batch_size)
    return X, X


class MaskedWordHead(nn.Module):
    """Makes a vector of the size of the token embeddings, to be compared with each of them.

    Args:
        hidden_size: numbers of a vector, H.
        vocab_size: number of tokens, V; each has a bias.
        layer_norm_eps: as in the encoder.
    """

    def __init__(self, hidden_size: int, vocab_size: int, layer_norm_eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.apply(initialise)

    def forward(self, hidden: Tensor, token_weight: Tensor) -> Tensor:
        """Vectors (..., H) and the token embeddings (V, H) to logits (..., V)."""
        return F.linear(self.norm(F.gelu(self.dense(hidden))), token_weight, self.bias)


@register("bert_mlm", example_batch=masked_batch)
class BertMaskedWord(nn.Module):
    """Masked language model on BERT: which word stood at [MASK] (Devlin et al. 2019, section 3.1, task 1).

    The last layer is the table of the token embeddings (Press and Wolf 2017, "Using the output embedding to improve
    language models"), so the head has few weights of its own.

    Args:
        encoder: a name for `load_encoder`, or an encoder. With a name, the head gets its pretrained weights too, where
            the file has them ("minilm" has none).

    Attributes:
        pretrained_head: whether the head has them.
    """

    def __init__(self, encoder: str | nn.Module = "bert-tiny") -> None:
        super().__init__()
        self.encoder = encoder_of(encoder)
        config = self.encoder.config
        self.head = MaskedWordHead(config.hidden_size, config.vocab_size, config.layer_norm_eps)
        self.pretrained_head = not isinstance(encoder, nn.Module) and load_head(
            encoder, self.head, MASKED_WORD
        )

    def forward(self, X: Tensor, lengths: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        """Token ids (B, T) to logits (B, T, V); the arguments are those of `Bert.forward`."""
        return self.logits(self.encoder(X, lengths, segments).hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Vectors (..., H) of the encoder to logits (..., V).

        For training `model.logits(hidden[masked])` is enough, (M, V), where `masked` (B, T) is True at the M words to
        find: that is a seventh of the work that the logits of all tokens are.
        """
        return self.head(hidden, self.encoder.token_weight)


@register("bert_nsp", example_batch=sequence_batch)
class BertNextSentence(nn.Module):
    """Next-sentence prediction on BERT: class 0, the second text follows the first; 1, it is from elsewhere (Devlin et al. 2019, section 3.1, task 2).

    Args:
        encoder: a name for `load_encoder`, or an encoder; it needs a pooler. With a name, the head gets its pretrained
            weights too, where the file has them ("minilm" has none).

    Attributes:
        pretrained_head: whether the head has them.

    Raises:
        ValueError: the encoder has no pooler.
    """

    def __init__(self, encoder: str | nn.Module = "bert-tiny") -> None:
        super().__init__()
        self.encoder = encoder_of(encoder, pooler=True)
        self.head = linear(self.encoder, 2)
        self.pretrained_head = not isinstance(encoder, nn.Module) and load_head(
            encoder, self.head, NEXT_SENTENCE
        )

    def forward(self, X: Tensor, lengths: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        """Token ids (B, T) of pairs to logits (B, 2); the arguments are those of `Bert.forward`."""
        return self.head(self.encoder(X, lengths, segments).pooled)


def encoder_of(encoder: str | nn.Module, pooler: bool = False) -> Any:
    """The encoder, loaded where a name is given; then its pooler is left out unless the head needs it.

    Raises:
        ValueError: the head needs a pooler and the encoder has none.
    """
    loaded: Any = encoder if isinstance(encoder, nn.Module) else load_encoder(encoder)
    if pooler and loaded.pooler is None:
        raise ValueError(
            "this head stands on the encoder's pooler, and this encoder has none (DistilBERT has not): take another "
            'encoder, or for classes of texts pooling="mean" or "cls"'
        )
    if not pooler and loaded is not encoder:
        loaded.pooler = None  # its weights would learn nothing
        loaded.config = replace(loaded.config, pooler=False)
    return loaded


def linear(encoder: Any, num_classes: int) -> nn.Linear:
    """A linear layer from the encoder's vectors to logits, with BERT's initial weights."""
    layer = nn.Linear(encoder.hidden_size, num_classes)
    initialise(layer)
    return layer
