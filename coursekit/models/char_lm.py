"""A language model that reads a text character by character (or token by token), and writes on."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.models.modes import evaluating
from coursekit.models.pooling import check_choice, check_lengths, check_tokens
from coursekit.models.registry import register
from coursekit.models.rnn import RECURRENT, full_precision_on_cpu, recurrent

State = Any  # of torch's module: h (num_layers, B, H), and for an LSTM the pair (h, c)


def token_stream_batch(
    batch_size: int, *, vocab_size: int = 65, num_steps: int = 12, **_: Any
) -> tuple[Tensor, Tensor]:
    """Ids that count up from a random one (batch_size, num_steps), and for each the next one (batch_size, num_steps)."""
    ids = (torch.randint(vocab_size, (batch_size, 1)) + torch.arange(num_steps + 1)) % vocab_size
    return ids[:, :-1], ids[:, 1:]


@register("char_lm", example_batch=token_stream_batch)
class CharLM(nn.Module):
    """Next-character model that writes (Sutskever, Martens and Hinton 2011, "Generating text with recurrent neural networks").

    It reads from left to right only, so padding at the end of a sequence has no influence on what comes before.

    Args:
        vocab_size: number of characters, or tokens of any other kind.
        embedding_dim: numbers that stand for a character.
        hidden_size: numbers in the hidden state.
        num_layers: recurrent layers, each on the outputs of the one before.
        cell: "lstm", "gru" or "rnn".
        dropout: share set to zero in training, of the embeddings, between layers and before the last linear layer.
    """

    def __init__(
        self,
        vocab_size: int = 65,
        embedding_dim: int = 64,
        hidden_size: int = 256,
        num_layers: int = 1,
        cell: str = "lstm",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_choice("cell", cell, tuple(RECURRENT))
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.rnn = recurrent(cell, embedding_dim, hidden_size, num_layers=num_layers, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, X: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Ids (B, T) to the logits of the id after each step (B, T, V).

        `lengths` (B,) is checked, no more: the logits of real steps are the same with it and without.
        """
        check_tokens(X, self.vocab_size)
        check_lengths(lengths, X)
        return self.step(X)[0]

    def step(self, X: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read on from where `state` stands: piece by piece gives what one pass over the whole text gives.

        Args:
            X: the next ids (B, T), of the same B texts.
            state: what the last call gave; None at the start of a text. h (num_layers, B, H), for an LSTM the pair (h, c).

        Returns:
            The logits of the id after each step (B, T, V), and the state after the last one.
        """
        check_tokens(X, self.vocab_size)
        E = self.dropout(self.embedding(X))  # (B, T, D)
        with full_precision_on_cpu(E):
            H, state = self.rnn(E, state)  # (B, T, H)
        return self.head(self.dropout(H)), state

    def sample(
        self,
        prompt_ids: Tensor | Sequence[int],
        length: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Write on: draw `length` ids, each from what the model expects after all before it; always in eval mode.

        Args:
            prompt_ids: the beginning (P,), at least one id.
            length: how many ids to draw.
            temperature: the logits are divided by it: below 1 the likely becomes likelier, above 1 all grow alike.
            top_k: draw from the k likeliest ids only; 1 always takes the likeliest. None: from all.
            generator: a generator on the CPU, for the same text again; None: torch's global one.

        Returns:
            The new ids (length,) int64 on the CPU, without the prompt.

        Raises:
            ValueError: the prompt is empty or not 1-d, the temperature or top_k is not above 0, or length is below 0.
        """
        check_sampling(temperature, top_k)
        if length < 0:
            raise ValueError(f"length={length}: it is the number of ids to draw, 0 or more")
        prompt = torch.as_tensor(prompt_ids)
        if prompt.ndim != 1 or len(prompt) == 0:
            raise ValueError(
                f"the prompt must be ids (P,), at least one, got shape {tuple(prompt.shape)}: the model needs something "
                "to start from, vocab.encode('A') say; for a batch call sample for each text, X[0]."
            )
        X, state, drawn = prompt[None].to(self.head.weight.device), None, []
        with evaluating(self):
            for _ in range(length):
                logits, state = self.step(X, state)
                drawn.append(draw(logits[0, -1], temperature, top_k, generator))
                X = drawn[-1].view(1, 1).to(X.device)
        return torch.stack(drawn) if drawn else torch.empty(0, dtype=torch.int64)


def check_sampling(temperature: float, top_k: int | None) -> None:
    """Raise a ValueError unless both are above 0."""
    if not temperature > 0:
        raise ValueError(
            f"temperature={temperature}: the logits are divided by it, so it must be above 0; for the likeliest "
            "id each time take top_k=1"
        )
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k={top_k}: draw from at least one id, or from all with top_k=None")


def draw(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One id (0-d, on the CPU) with probability softmax(logits / temperature), for logits (V,); see `CharLM.sample`."""
    check_sampling(temperature, top_k)
    # On the CPU, so that a seed means the same on every device; in float64 and below 0, so that a tiny temperature
    # gives no infinity.
    logits = logits.detach().cpu().double()
    logits = (logits - logits.max()) / temperature
    best, ids = logits.topk(min(top_k or len(logits), len(logits)))
    return ids[torch.multinomial(best.softmax(0), 1, generator=generator)[0]]
