"""BERT, an encoder that reads a text in both directions at once (Devlin et al. 2019, arXiv:1810.04805).

Letters in the comments: B texts, T tokens each, H hidden_size, N attention heads, d = H / N numbers a head.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.models.bert_config import BertConfig, check_input
from coursekit.models.pooling import real_steps


class Encoded(NamedTuple):
    """What an encoder makes of a batch of texts.

    Attributes:
        hidden: a vector for each token (B, T, H); those at padded steps mean nothing.
        pooled: a vector for each text (B, H), from its first token; None, where the encoder has no pooler.
    """

    hidden: Tensor
    pooled: Tensor | None


class Embeddings(nn.Module):
    """What a token is, where it stands and which segment it belongs to: three vectors, added and normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        H = config.hidden_size
        self.token = nn.Embedding(config.vocab_size, H, padding_idx=config.pad)
        self.position = nn.Embedding(config.max_positions, H)
        self.segment = nn.Embedding(config.type_vocab_size, H) if config.type_vocab_size else None
        self.norm = nn.LayerNorm(H, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, X: Tensor, segments: Tensor | None = None) -> Tensor:
        """Ids and segments (B, T) to (B, T, H); without segments all tokens are of segment 0."""
        E = self.token(X) + self.position.weight[: X.shape[1]]  # (B, T, H) + (T, H)
        if self.segment is not None:
            E = E + (self.segment.weight[0] if segments is None else self.segment(segments))
        return self.dropout(self.norm(E))  # (B, T, H)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, "Attention is all you need", section 3.2)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        H = config.hidden_size
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(H, 3 * H)  # W_q, W_k and W_v in one: faster than three products
        self.out = nn.Linear(H, H)
        self.dropout = nn.Dropout(config.attention_dropout)

    def project(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of every head, each (B, N, T, d)."""
        B, T, H = X.shape
        QKV = self.qkv(X).view(B, T, 3, self.num_heads, H // self.num_heads)
        Q, K, V = QKV.permute(2, 0, 3, 1, 4)  # (3, B, N, T, d)
        return Q, K, V

    def weights(self, X: Tensor, real: Tensor | None = None) -> Tensor:
        """How much each token (row) takes from each other (column), (B, N, T, T): softmax(Q K^T / sqrt(d))."""
        Q, K, _ = self.project(X)
        scores = Q @ K.transpose(-2, -1) / Q.shape[-1] ** 0.5  # (B, N, T, T)
        if real is not None:
            scores = scores.masked_fill(~real, -torch.inf)  # so that the softmax gives padding nothing
        return scores.softmax(-1)

    def forward(self, X: Tensor, real: Tensor | None = None) -> Tensor:
        """(B, T, H) to (B, T, H); `real` (B, 1, 1, T) is True where a token is no padding."""
        Q, K, V = self.project(X)
        # The same as dropout(weights(X, real)) @ V, in one piece of torch that need not keep the weights.
        p = self.dropout.p if self.training else 0.0
        A = F.scaled_dot_product_attention(Q, K, V, attn_mask=real, dropout_p=p)  # (B, N, T, d)
        return self.out(A.transpose(1, 2).flatten(2))  # (B, T, N, d) -> (B, T, H)


class Layer(nn.Module):
    """Attention between the tokens, then a small network for each; each adds to its input, and is then normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        H = config.hidden_size
        self.attention = Attention(config)
        self.attention_norm = nn.LayerNorm(H, eps=config.layer_norm_eps)
        self.up = nn.Linear(H, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, H)
        self.output_norm = nn.LayerNorm(H, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, X: Tensor, real: Tensor | None = None) -> Tensor:
        """(B, T, H) to (B, T, H); `real` as of `Attention`."""
        X = self.attention_norm(X + self.dropout(self.attention(X, real)))  # (B, T, H)
        return self.output_norm(X + self.dropout(self.down(F.gelu(self.up(X)))))  # (B, T, H)


class Pooler(nn.Module):
    """One vector for the whole text, from that of its first token, [CLS]."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, H) to (B, H)."""
        return self.dense(hidden[:, 0]).tanh()


class Bert(nn.Module):
    """BERT's encoder with random weights; `load_encoder` gives it pretrained ones.

    Args:
        config: its sizes.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden_size = config.hidden_size
        self.embeddings = Embeddings(config)
        self.layers: Any = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.pooler = Pooler(config) if config.pooler else None
        self.apply(initialise)

    def forward(self, X: Tensor, lengths: Tensor | None = None, segments: Tensor | None = None) -> Encoded:
        """Token ids (B, T) to a vector for each token and one for each text.

        Args:
            X: the texts, [CLS] first; what stands at padded steps has no influence on the others.
            lengths: number of real tokens of each (B,) int64; None: all T are real.
            segments: for each token 0, the first text, or 1, the second (B, T); None: all 0. An encoder without segment
                embeddings does not read them.

        Raises:
            ValueError: the input does not fit; the message says what to change.
        """
        H, real = self._embed(X, lengths, segments)
        for layer in self.layers:
            H = layer(H, real)  # (B, T, H)
        return Encoded(H, None if self.pooler is None else self.pooler(H))

    def hidden_states(
        self, X: Tensor, lengths: Tensor | None = None, segments: Tensor | None = None
    ) -> list[Tensor]:
        """The embeddings and what each layer makes of them: num_layers + 1 tensors (B, T, H)."""
        H, real = self._embed(X, lengths, segments)
        states = [H]
        for layer in self.layers:
            states.append(layer(states[-1], real))
        return states

    def attention(
        self, X: Tensor, lengths: Tensor | None = None, segments: Tensor | None = None
    ) -> list[Tensor]:
        """The attention weights of each layer: num_layers tensors (B, N, T, T).

        Row i of a head says how much token i takes from each token; it sums to 1, and padding gets 0. In training mode
        the dropout of the layers below makes them random, so call `eval()` first.
        """
        H, real = self._embed(X, lengths, segments)
        weights = []
        for layer in self.layers:
            weights.append(layer.attention.weights(H, real))
            H = layer(H, real)
        return weights

    @property
    def token_weight(self) -> Tensor:
        """The vectors of all tokens of the vocabulary (vocab_size, H), as they are learnt."""
        return self.embeddings.token.weight

    def depths(self) -> list[list[nn.Parameter]]:
        """All parameters, in num_layers + 1 groups: the embeddings, then each layer; the pooler is with the top one."""
        groups = [list(part.parameters()) for part in (self.embeddings, *self.layers)]
        if self.pooler is not None:
            groups[-1] += self.pooler.parameters()
        return groups

    def _embed(
        self, X: Tensor, lengths: Tensor | None, segments: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The embeddings (B, T, H), and where tokens are real (B, 1, 1, T); None, where all are."""
        lengths = check_input(self.config, X, lengths, segments)
        T = X.shape[1]
        # Without a mask attention is faster.
        real = None if int(lengths.min()) == T else real_steps(lengths, T)[:, None, None].to(X.device)
        return self.embeddings(X, segments), real


def initialise(module: nn.Module) -> None:
    """BERT's initial weights: normal with standard deviation 0.02, biases 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
