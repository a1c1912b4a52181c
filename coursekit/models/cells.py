"""Recurrent cells written out: one step of an Elman network, a GRU and an LSTM, and how a layer unrolls them.

They are here to be read. Training runs through torch's own modules, which compute the same much faster; `cell_of` gives
the cell inside such a module. In the shapes D is the input size, H the hidden size, B the batch and T the steps.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = Any  # what a cell carries from step to step: h (B, H), and for an LSTM the pair (h, c)


class Cell(nn.Module):
    """What the cells share: their parameters, with the names, layout and initial values of torch's cells.

    Args:
        input_size: D, numbers that come in at a step.
        hidden_size: H, numbers in the hidden state.
    """

    num_blocks: ClassVar[int]  # blocks of H rows in each weight: one a gate or candidate

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        rows = self.num_blocks * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def start(self, x: Tensor) -> State:
        """The state before the first step, zeros (B, H), for inputs like `x` (B, D)."""
        return x.new_zeros(*x.shape[:-1], self.hidden_size)

    def extra_repr(self) -> str:
        """The sizes, for printing."""
        return f"{self.input_size}, {self.hidden_size}"


class RNNCell(Cell):
    """One step of a simple recurrent network (Elman 1990, "Finding structure in time").

        h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)

    Args:
        input_size: D, numbers that come in at a step.
        hidden_size: H, numbers in the hidden state.
        nonlinearity: "tanh" or "relu".
    """

    num_blocks = 1

    def __init__(self, input_size: int, hidden_size: int, nonlinearity: str = "tanh") -> None:
        super().__init__(input_size, hidden_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity={nonlinearity!r} is not known; it is one of 'tanh', 'relu'")
        self.nonlinearity = nonlinearity

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """Input `x` (B, D) and state `h` (B, H) to the next state (B, H)."""
        if h is None:
            h = self.start(x)
        a = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)
        return torch.tanh(a) if self.nonlinearity == "tanh" else torch.relu(a)


class GRUGates(NamedTuple):
    """The gates of a GRU at one step, each (B, H): r near 0 forgets for the candidate, z near 1 keeps the state."""

    reset: Tensor
    update: Tensor
    candidate: Tensor


class GRUCell(Cell):
    """One step of a gated recurrent unit (Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder").

        r = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)        reset gate
        z = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)        update gate
        n = tanh(W_in x_t + b_in + r * (W_hn h_{t-1} + b_hn))     candidate
        h_t = z * h_{t-1} + (1 - z) * n

    The rows of each weight stand in the order r, z, n. As in torch the reset gate acts after the product with W_hn; in
    the paper it acts before, W_hn (r * h_{t-1}).
    """

    num_blocks = 3

    def gates(self, x: Tensor, h: Tensor) -> GRUGates:
        """The gates for inputs `x` (B, D) and states `h` (B, H) before them; rows may also be the steps of one text."""
        from_x = F.linear(x, self.weight_ih, self.bias_ih)  # (B, 3H)
        from_h = F.linear(h, self.weight_hh, self.bias_hh)  # (B, 3H)
        x_r, x_z, x_n = from_x.chunk(3, dim=-1)
        h_r, h_z, h_n = from_h.chunk(3, dim=-1)
        r = torch.sigmoid(x_r + h_r)
        z = torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return GRUGates(r, z, n)

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """Input `x` (B, D) and state `h` (B, H) to the next state (B, H)."""
        if h is None:
            h = self.start(x)
        _, z, n = self.gates(x, h)
        return z * h + (1 - z) * n


class LSTMGates(NamedTuple):
    """The gates of an LSTM at one step, each (B, H): what to write, to keep, the candidate, what to show."""

    input: Tensor
    forget: Tensor
    candidate: Tensor
    output: Tensor


class LSTMCell(Cell):
    """One step of long short-term memory (Hochreiter and Schmidhuber 1997, "Long short-term memory").

        i = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)        input gate
        f = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)        forget gate
        g = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)           candidate
        o = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)        output gate
        c_t = f * c_{t-1} + i * g
        h_t = o * tanh(c_t)

    The rows of each weight stand in the order i, f, g, o. The forget gate came later (Gers, Schmidhuber and Cummins 2000,
    "Learning to forget").
    """

    num_blocks = 4

    def start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The state (h, c) before the first step, zeros (B, H) each, for inputs like `x` (B, D)."""
        return super().start(x), super().start(x)

    def gates(self, x: Tensor, h: Tensor) -> LSTMGates:
        """The gates for inputs `x` (B, D) and states `h` (B, H) before them; rows may also be the steps of one text."""
        a = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)  # (B, 4H)
        i, f, g, o = a.chunk(4, dim=-1)
        return LSTMGates(torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o))

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Input `x` (B, D) and state (h, c), each (B, H), to the next state (h, c)."""
        h, c = self.start(x) if state is None else state
        i, f, g, o = self.gates(x, h)
        c = f * c + i * g
        h = o * torch.tanh(c)
        return h, c


def cell_of(module: nn.RNNBase, layer: int = 0, reverse: bool = False) -> Any:
    """The written-out cell inside torch's `nn.RNN`, `nn.GRU` or `nn.LSTM`; it shares the module's parameters.

    Args:
        module: torch's module, with biases.
        layer: which of its layers, from 0.
        reverse: of a bidirectional module, the direction that reads from the end.

    Returns:
        An `RNNCell`, `GRUCell` or `LSTMCell`.
    """
    suffix = f"l{layer}{'_reverse' if reverse else ''}"
    shared = {
        name: getattr(module, f"{name}_{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    sizes = shared["weight_ih"].shape[1], module.hidden_size
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        cell: Cell
        if module.mode == "LSTM":
            cell = LSTMCell(*sizes)
        elif module.mode == "GRU":
            cell = GRUCell(*sizes)
        else:
            cell = RNNCell(*sizes, nonlinearity=module.mode.removeprefix("RNN_").lower())
    for name, parameter in shared.items():
        setattr(cell, name, parameter)
    return cell


def unroll(cell: Cell, X: Tensor, real: Tensor | None = None, reverse: bool = False) -> list[Tensor]:
    """Run a cell over a sequence, step by step; a padded step leaves the state as it is.

    Args:
        cell: the cell.
        X: inputs (B, T, D).
        real: (B, T), True where a step is real, False where it is padding; None: all are real.
        reverse: from the last step to the first, so that an example begins at its own last real step.

    Returns:
        The hidden states h_t (B, H), T of them in the order of time. Each is the very tensor that the next step reads,
        so the gradient of a loss with respect to it counts all that follows from it.
    """
    num_steps = X.shape[1]
    state = cell.start(X[:, 0])
    hidden: list[Tensor] = []
    for t in reversed(range(num_steps)) if reverse else range(num_steps):
        new = cell(X[:, t], state)
        state = new if real is None else _choose(real[:, t, None], new, state)
        hidden.append(state[0] if isinstance(state, tuple) else state)
    return hidden[::-1] if reverse else hidden


def _choose(where: Tensor, new: State, old: State) -> State:
    """`new` where it says so, else `old`; of each part, for a state of two parts."""
    if isinstance(new, tuple):
        return tuple(torch.where(where, *parts) for parts in zip(new, old, strict=True))
    return torch.where(where, new, old)


def run_written_out(
    module: nn.RNNBase, X: Tensor, real: Tensor | None = None
) -> tuple[Tensor, list[list[Tensor]]]:
    """All that torch's `nn.RNN`, `nn.GRU` or `nn.LSTM` computes, through the cells above.

    Args:
        module: torch's module, whose parameters are used.
        X: inputs (B, T, D), finite at padded steps too.
        real: (B, T), True where a step is real; None: all are.

    Returns:
        The outputs of the last layer (B, T, H), (B, T, 2H) for a bidirectional module, 0 where a step is padding; and the
        hidden states of each layer and direction (layer 0 forward, layer 0 backward, layer 1 forward, ...), as `unroll`
        gives them.
    """
    states = []
    for layer in range(module.num_layers):
        if layer > 0:
            X = F.dropout(X, module.dropout, module.training)
        directions = (False, True) if module.bidirectional else (False,)
        hidden = [unroll(cell_of(module, layer, reverse), X, real, reverse) for reverse in directions]
        X = torch.cat([torch.stack(h, dim=1) for h in hidden], dim=-1)  # (B, T, H) or (B, T, 2H)
        states += hidden
    return X if real is None else X.masked_fill(~real[..., None], 0.0), states
