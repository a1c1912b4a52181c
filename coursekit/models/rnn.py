"""Recurrent classifiers of sequences: a simple recurrent network, a GRU and an LSTM, which share all but the cell."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from coursekit.models.cells import run_written_out
from coursekit.models.pooling import (
    POOLINGS,
    check_choice,
    check_lengths,
    check_series,
    check_tokens,
    pool,
    real_steps,
    sequence_batch,
)
from coursekit.models.registry import register

RECURRENT: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
INITS = {
    "rnn": ("default", "identity", "orthogonal"),
    "gru": ("default", "orthogonal"),
    "lstm": ("default", "forget_bias", "orthogonal"),
}


def recurrent(
    kind: str, input_size: int, hidden_size: int, *, num_layers: int, dropout: float, **options: Any
) -> nn.RNNBase:
    """Torch's `nn.RNN`, `nn.GRU` or `nn.LSTM`, batch first, with dropout between its layers where there are several."""
    between = dropout if num_layers > 1 else 0.0  # with one layer torch warns that there is no between
    return RECURRENT[kind](input_size, hidden_size, num_layers, batch_first=True, dropout=between, **options)


def full_precision_on_cpu(X: Tensor) -> AbstractContextManager:
    """No mixed precision around recurrent layers on a CPU: torch's LSTM fails in bfloat16 where the processor has none."""
    return torch.autocast("cpu", enabled=False) if X.device.type == "cpu" else nullcontext()


@torch.no_grad()
def initialise(module: nn.RNNBase, init: str) -> None:
    """Set initial weights by the name of the method; what a method does not speak of stays as it is.

    Args:
        module: torch's module, as freshly made.
        init: "default", torch's own; "identity", each W_hh = I and no bias, so that a ReLU network keeps its state
            (Le, Jaitly and Hinton 2015, "A simple way to initialize recurrent networks of rectified linear units");
            "forget_bias", 1 for the bias of an LSTM's forget gate, so that it remembers at first (Jozefowicz, Zaremba and
            Sutskever 2015, "An empirical exploration of recurrent network architectures"); "orthogonal", an orthogonal
            W_hh for each gate (Saxe, McClelland and Ganguli 2014, "Exact solutions to the nonlinear dynamics of
            learning in deep linear neural networks").
    """
    H = module.hidden_size
    for name, parameter in module.named_parameters():
        if init == "identity" and name.startswith("weight_hh"):
            nn.init.eye_(parameter)
        elif init == "identity" and name.startswith("bias"):
            nn.init.zeros_(parameter)
        elif init == "forget_bias" and name.startswith("bias"):
            # torch adds two biases, bias_ih and bias_hh: the 1 stands in one of them only.
            parameter[H : 2 * H] = 1.0 if name.startswith("bias_ih") else 0.0
        elif init == "orthogonal" and name.startswith("weight_hh"):
            for block in parameter.split(H):
                nn.init.orthogonal_(block)


class Trace(NamedTuple):
    """A forward pass with all that was on its way.

    Attributes:
        logits: (B, num_classes).
        states: for each layer and direction (layer 0 forward, layer 0 backward, layer 1 forward, ...) the hidden states,
            T tensors (B, H). `torch.autograd.grad(loss, states[0])` gives dL/dh_t for each step.
    """

    logits: Tensor
    states: list[list[Tensor]]


class SequenceClassifier(nn.Module):
    """What `rnn`, `gru` and `lstm` are: embedding, recurrent layers, pooling over the real steps, a linear layer.

    Args:
        kind: "rnn", "gru" or "lstm".
        vocab_size: number of tokens.
        input_size: numbers a step, for series of numbers instead of tokens; then there is no embedding. None: tokens.
        num_classes: number of logits that come out; 1 to predict a number.
        embedding_dim: numbers that stand for a token.
        hidden_size: numbers in the hidden state, in each direction.
        num_layers: recurrent layers, each on the outputs of the one before.
        bidirectional: read from the end as well.
        pooling: what the linear layer sees of a sequence: "last", the state after the last real step (from the end: after
            the first); "mean" or "max" over the real steps.
        dropout: share set to zero in training, of the embeddings, between layers and before the linear layer; not from
            step to step (Zaremba, Sutskever and Vinyals 2014, "Recurrent neural network regularization").
        init: the initial weights; see `initialise`.
        written_out: run step by step through the cells of `coursekit.models.cells`: slower, the same numbers.
        **options: what torch's module alone knows, `nonlinearity`.
    """

    def __init__(
        self,
        kind: str,
        *,
        vocab_size: int,
        input_size: int | None,
        num_classes: int,
        embedding_dim: int,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        pooling: str,
        dropout: float,
        init: str,
        written_out: bool,
        **options: Any,
    ) -> None:
        super().__init__()
        check_choice("pooling", pooling, POOLINGS)
        check_choice(f"{kind}: init", init, INITS[kind])
        self.vocab_size, self.input_size = vocab_size, input_size
        self.pooling, self.written_out = pooling, written_out
        self.embedding = nn.Embedding(vocab_size, embedding_dim) if input_size is None else None
        self.rnn = recurrent(
            kind,
            embedding_dim if input_size is None else input_size,
            hidden_size,
            num_layers=num_layers,
            dropout=dropout,
            bidirectional=bidirectional,
            **options,
        )
        initialise(self.rnn, init)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size * (2 if bidirectional else 1), num_classes)

    def forward(self, X: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Token ids (B, T), or numbers (B, T, input_size), to logits (B, num_classes).

        Args:
            X: the sequences; what stands at padded steps has no influence.
            lengths: number of real steps of each (B,) int64; None: all T are real.
        """
        if self.written_out:
            return self.trace(X, lengths).logits
        lengths = self._check(X, lengths)
        E = self._embed(X, lengths)  # (B, T, D)
        H = self._run(E, lengths)  # (B, T, H), or (B, T, 2H) in both directions
        return self._classify(H, lengths)  # (B, num_classes)

    def trace(self, X: Tensor, lengths: Tensor | None = None) -> Trace:
        """The same logits through the written-out cells, whatever `written_out` says, with the state of every step."""
        lengths = self._check(X, lengths)
        E = self._embed(X, lengths)
        with full_precision_on_cpu(E):
            H, states = run_written_out(self.rnn, E, real_steps(lengths, E.shape[1]).to(E.device))
        return Trace(self._classify(H, lengths), states)

    def _run(self, E: Tensor, lengths: Tensor) -> Tensor:
        """Through torch's module, packed where that pays.

        One direction does not see what comes later, so it may run over the padding, and what it gives there is not
        looked at. Where most steps are real, torch's plain sequences are faster than packed ones, on a CPU up to 4 times.
        """
        batch_size, num_steps = E.shape[:2]
        mostly_padding = int(lengths.sum()) < batch_size * num_steps / 2
        unequal = int(lengths.min()) < num_steps
        with full_precision_on_cpu(E):
            if not (mostly_padding or (unequal and self.rnn.bidirectional)):
                return self.rnn(E)[0]
            packed = pack_padded_sequence(E, lengths, batch_first=True, enforce_sorted=False)
            return pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=num_steps)[0]

    def _check(self, X: Tensor, lengths: Tensor | None) -> Tensor:
        if self.input_size is None:
            check_tokens(X, self.vocab_size)
        else:
            check_series(X, self.input_size, self.head.weight.dtype)
        return check_lengths(lengths, X)

    def _embed(self, X: Tensor, lengths: Tensor) -> Tensor:
        if self.embedding is not None:
            return self.dropout(self.embedding(X))
        padding = ~real_steps(lengths, X.shape[1]).to(X.device)
        return X.masked_fill(padding[..., None], 0.0)  # even nan there must not reach a gradient

    def _classify(self, H: Tensor, lengths: Tensor) -> Tensor:
        pooled = pool(H, lengths, self.pooling, self.rnn.bidirectional)
        return self.head(self.dropout(pooled))


@register("rnn", example_batch=sequence_batch)
def rnn(
    vocab_size: int = 1000,
    input_size: int | None = None,
    num_classes: int = 2,
    embedding_dim: int = 100,
    hidden_size: int = 128,
    num_layers: int = 1,
    bidirectional: bool = False,
    pooling: str = "last",
    dropout: float = 0.0,
    init: str = "default",
    written_out: bool = False,
    nonlinearity: str = "tanh",
) -> SequenceClassifier:
    """Simple recurrent network over words or numbers (Elman 1990, "Finding structure in time").

    The arguments are those of `SequenceClassifier`; init is "default", "identity" or "orthogonal", nonlinearity "tanh" or
    "relu".
    """
    config = dict(locals())
    check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
    return SequenceClassifier("rnn", **config)


@register("gru", example_batch=sequence_batch)
def gru(
    vocab_size: int = 1000,
    input_size: int | None = None,
    num_classes: int = 2,
    embedding_dim: int = 100,
    hidden_size: int = 128,
    num_layers: int = 1,
    bidirectional: bool = False,
    pooling: str = "last",
    dropout: float = 0.0,
    init: str = "default",
    written_out: bool = False,
) -> SequenceClassifier:
    """Gated recurrent unit over words or numbers (Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder").

    The arguments are those of `SequenceClassifier`; init is "default" or "orthogonal".
    """
    return SequenceClassifier("gru", **locals())


@register("lstm", example_batch=sequence_batch)
def lstm(
    vocab_size: int = 1000,
    input_size: int | None = None,
    num_classes: int = 2,
    embedding_dim: int = 100,
    hidden_size: int = 128,
    num_layers: int = 1,
    bidirectional: bool = False,
    pooling: str = "last",
    dropout: float = 0.0,
    init: str = "default",
    written_out: bool = False,
) -> SequenceClassifier:
    """Long short-term memory over words or numbers (Hochreiter and Schmidhuber 1997, "Long short-term memory").

    The arguments are those of `SequenceClassifier`; init is "default", "forget_bias" or "orthogonal".
    """
    return SequenceClassifier("lstm", **locals())
