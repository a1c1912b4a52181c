"""Data of variable length: sequences in length buckets, and one long text in parallel streams."""

from collections.abc import Iterator, Sequence
from typing import Self

import torch
from torch import Tensor

from coursekit.data.held import count_batches

IGNORED = -100  # the label of a padded step, which torch's losses leave out
BUCKET = 32  # batches whose examples are sorted by length together


class Sequences:
    """Sequences of different lengths, one label each or one label a step.

    A batch is `(X, lengths, y)`: `X` padded to the longest of the batch, `lengths` `(B,)` on the CPU, `y` `(B,)` or,
    padded with -100, `(B, T)`. Batches hold sequences of about the same length, so that little is padded.

    Args:
        sequences: token ids, int64 `(T_i,)`, or numbers, float `(T_i, D)`; each at least one step long.
        y: one label a sequence, a tensor `(N,)` or `(N, K)`; or one a step, a list of tensors `(T_i,)`.
        pad: the id that fills up token sequences; numbers are filled up with 0.

    Raises:
        ValueError: a sequence is empty, or there is not one label for each sequence (or step).
    """

    def __init__(self, sequences: Sequence[Tensor], y: Tensor | Sequence[Tensor], pad: int = 0) -> None:
        if len(sequences) != len(y):
            raise ValueError(
                f"{len(sequences)} sequences but {len(y)} labels: there must be one label a sequence"
            )
        lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.int64)
        if (lengths == 0).any():
            raise ValueError(
                f"sequence {int(lengths.argmin())} is empty; leave it out, or give it one token for unknown"
            )
        if not isinstance(y, Tensor) and [len(steps) for steps in y] != lengths.tolist():
            wrong = next(i for i, steps in enumerate(y) if len(steps) != lengths[i])
            raise ValueError(
                f"sequence {wrong} has {lengths[wrong]} steps but {len(y[wrong])} labels; give one a step"
            )
        self.pad = pad
        self.lengths = lengths
        self.values = torch.cat(list(sequences)) if len(sequences) else torch.empty(0, dtype=torch.int64)
        self.per_step = not isinstance(y, Tensor)
        self.y = y if isinstance(y, Tensor) else torch.cat(list(y))
        self.starts = lengths.cumsum(0) - lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> tuple[Tensor, ...]:
        """Sequence `(T_i,)` or `(T_i, D)` of example `i`, and its label or labels."""
        steps = self.steps(i)
        return self.values[steps], self.y[steps] if self.per_step else self.y[i]

    def steps(self, i: int) -> slice:
        """Where the steps of example `i` stand in `values`."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"there are {len(self)} sequences, there is no number {i}")
        start = int(self.starts[i])
        return slice(start, start + int(self.lengths[i]))

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return (self[i] for i in range(len(self)))

    @property
    def labels(self) -> Tensor:
        """All labels, of all steps in a row where each step has one."""
        return self.y

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Values in a row, lengths, labels."""
        return self.values, self.lengths, self.y

    @property
    def order(self) -> Tensor:
        """Unshuffled, the shortest come first."""
        return self.lengths.argsort(stable=True)

    def to(self, device: torch.device | str) -> Self:
        """The same sequences with values and labels on `device`."""
        moved = object.__new__(type(self))
        moved.__dict__ |= self.__dict__ | {"values": self.values.to(device), "y": self.y.to(device)}
        return moved

    def num_batches(self, batch_size: int, drop_last: bool = False) -> int:
        """Batches in one pass."""
        return count_batches(len(self), batch_size, drop_last)

    def plan(
        self, batch_size: int, shuffle: bool, generator: torch.Generator | None, drop_last: bool
    ) -> Sequence[Tensor]:
        """The indices of each batch. Shuffled, any example may meet any other of about its length, in any order."""
        if not shuffle:
            return self.order.split(batch_size)[: self.num_batches(batch_size, drop_last)]
        mixed = torch.randperm(len(self), generator=generator)
        buckets = mixed.split(batch_size * BUCKET)
        together = torch.cat([bucket[self.lengths[bucket].argsort(stable=True)] for bucket in buckets])
        cut = together.split(batch_size)[: self.num_batches(batch_size, drop_last)]
        return [cut[i] for i in torch.randperm(len(cut), generator=generator).tolist()]

    def batch(self, chosen: Tensor) -> tuple[Tensor, ...]:
        """`(X, lengths, y)` of the examples `chosen` `(B,)`."""
        lengths = self.lengths[chosen]
        steps = torch.arange(int(lengths.max()))
        real = (steps < lengths[:, None]).to(self.values.device)  # (B, T)
        where = (self.starts[chosen, None] + steps).clamp_(max=len(self.values) - 1).to(self.values.device)
        X = self.values[where]  # (B, T) or (B, T, D)
        X = X.masked_fill(~(real if X.ndim == 2 else real[:, :, None]), self.pad if X.ndim == 2 else 0)
        if self.per_step:
            return X, lengths, self.y[where].masked_fill(~real, IGNORED)
        return X, lengths, self.y[chosen.to(self.y.device)]

    def __repr__(self) -> str:
        kind = f"{'x'.join(map(str, self.values.shape[1:]))} numbers" if self.values.ndim > 1 else "tokens"
        shortest, longest = (int(self.lengths.min()), int(self.lengths.max())) if len(self) else (0, 0)
        labels = "one label a step" if self.per_step else "one label each"
        return f"{type(self).__name__}({len(self):,} of {shortest} to {longest} steps of {kind}, {labels}, on {self.values.device})"


class PairSequences(Sequences):
    """Sequences of two segments, such as `[CLS] question [SEP] text [SEP]`.

    A batch is `(X, lengths, segments, y)`: `segments` `(B, T)` is 1 where the second segment stands, and 0 in the first
    one and on the padding.

    Args:
        sequences, y, pad: as of `Sequences`.
        second: the step at which each second segment begins, `(N,)`.

    Raises:
        ValueError: as of `Sequences`, or a second segment begins outside of its sequence.
    """

    def __init__(
        self,
        sequences: Sequence[Tensor],
        second: Sequence[int],
        y: Tensor | Sequence[Tensor],
        pad: int = 0,
    ) -> None:
        super().__init__(sequences, y, pad)
        self.second = torch.tensor(second, dtype=torch.int64)
        if len(second) != len(sequences) or not ((self.second >= 0) & (self.second <= self.lengths)).all():
            raise ValueError(
                f"`second` must say for each of the {len(sequences)} sequences at which of its steps the second "
                "segment begins (its length where there is none)"
            )

    def __getitem__(self, i: int) -> tuple[Tensor, ...]:
        """Sequence `(T_i,)` of example `i`, its segments `(T_i,)`, and its label or labels."""
        values, y = super().__getitem__(i)
        return values, (torch.arange(len(values)) >= self.second[i]).long().to(values.device), y

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Values in a row, lengths, labels, where the second segments begin."""
        return (*super().tensors, self.second)

    def batch(self, chosen: Tensor) -> tuple[Tensor, ...]:
        """`(X, lengths, segments, y)` of the examples `chosen` `(B,)`."""
        X, lengths, y = super().batch(chosen)
        steps = torch.arange(X.shape[1])
        segments = (steps >= self.second[chosen, None]) & (steps < lengths[:, None])  # (B, T)
        return X, lengths, segments.long().to(X.device), y


class TokenStream:
    """One long text for a model of the next token.

    The text is cut into as many streams as the batch has rows; a batch `(X, first, y)` holds the next `length` tokens of
    each stream, so that a model may carry its state from one batch to the next. `X` and `y` are `(B, L)`, `y` one token
    ahead; `first` is True where the streams begin.

    Args:
        ids: the text as token ids, int64 `(N,)`.
        length: steps of a batch.

    Raises:
        ValueError: the text has fewer than two tokens, or `length` is below 1.
    """

    def __init__(self, ids: Tensor, length: int = 64) -> None:
        if ids.ndim != 1 or len(ids) < 2:
            raise ValueError(
                f"a text must be a row of at least two token ids, got a tensor of shape {tuple(ids.shape)}"
            )
        if length < 1:
            raise ValueError(f"length is {length}; it must be 1 or more")
        self.ids, self.length = ids, length

    def __len__(self) -> int:
        """Tokens to predict."""
        return len(self.ids) - 1

    @property
    def labels(self) -> Tensor:
        """Every token but the first."""
        return self.ids[1:]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The text."""
        return (self.ids,)

    @property
    def order(self) -> None:
        """There are no examples to be put in order."""
        return None

    def to(self, device: torch.device | str) -> "TokenStream":
        """The same text on `device`."""
        return TokenStream(self.ids.to(device), self.length)

    def num_batches(self, batch_size: int, drop_last: bool = False) -> int:
        """Batches in one pass, with `batch_size` streams (fewer where the text is short)."""
        return -(-(len(self) // self._streams(batch_size)) // self.length)

    def plan(
        self, batch_size: int, shuffle: bool, generator: torch.Generator | None, drop_last: bool
    ) -> Sequence[tuple[int, int]]:
        """Number of streams and where a batch begins in them; always in the order of the text."""
        return [(self._streams(batch_size), i * self.length) for i in range(self.num_batches(batch_size))]

    def batch(self, chosen: tuple[int, int]) -> tuple[Tensor, bool, Tensor]:
        """`(X, first, y)`: the piece of each stream that begins at a step."""
        streams, start = chosen
        each = len(self) // streams
        end = min(start + self.length, each)
        X = self.ids[: streams * each].view(streams, each)[:, start:end]
        y = self.ids[1 : streams * each + 1].view(streams, each)[:, start:end]
        return X, start == 0, y

    def _streams(self, batch_size: int) -> int:
        return max(1, min(batch_size, len(self) // self.length))

    def __repr__(self) -> str:
        return f"TokenStream({len(self.ids):,} tokens, {self.length} steps a batch, on {self.ids.device})"
