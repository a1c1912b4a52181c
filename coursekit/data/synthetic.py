"""Generated sequence problems: the same seed gives the same data, and torch's own random state is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Ordered

import torch
from torch import Tensor

from coursekit.data.dataset import Split
from coursekit.data.same_bag import same_bag, same_bag_pairs
from coursekit.data.sequences import Sequences

__all__ = [
    "REBER_SYMBOLS",
    "adding_problem",
    "copy_memory",
    "daily_series",
    "long_range_accuracy",
    "parity",
    "reber_grammar",
    "reber_next",
    "reber_string",
    "same_bag",
    "same_bag_pairs",
    "windows",
]

REBER_SYMBOLS = "BTPSXVE"  # the token of a symbol is its place here plus 1; 0 stays free for padding
# Where a symbol leads from each node of the Reber grammar: Hochreiter and Schmidhuber 1997, Fig. 3.
_REBER = {
    "0": {"B": "1"}, "1": {"T": "2", "P": "3"}, "2": {"S": "2", "X": "4"}, "3": {"T": "3", "V": "5"},
    "4": {"X": "3", "S": "6"}, "5": {"P": "4", "V": "6"}, "6": {"E": "7"}, "7": {},
}  # fmt: skip
# The same grammar twice between a B and an E, after a T or a P that comes again at its end: ibid., Fig. 4.
_EMBEDDED: dict[str, dict[str, str]] = {
    "0": {"B": "1"}, "1": {"T": "T0", "P": "P0"}, "2": {"E": "3"}, "3": {},
    **{way + node: {symbol: way + to for symbol, to in arcs.items()} for way in "TP" for node, arcs in _REBER.items()},
    "T7": {"T": "2"}, "P7": {"P": "2"},
}  # fmt: skip
_WEEK = (1.08, 1.14, 1.10, 1.04, 0.92, 0.78, 0.94)  # Monday to Sunday, mean 1


def adding_problem(n: int, length: int = 100, seed: int = 0) -> Split:
    """Add the two marked numbers of a long row (Hochreiter and Schmidhuber 1997, Section 5.4).

    In the form of Le, Jaitly and Hinton 2015: all rows are equally long, and the numbers lie in [0, 1). Who always
    answers 1 has a mean squared error of 1/6, about 0.167; less than that takes memory.

    Returns:
        A split of n rows. X: float32 (n, length, 2), the numbers and the marks, which are 1 at one place in each half
        and 0 elsewhere; y: float32 (n, 1), the sum of the two marked numbers.

    Raises:
        ValueError: `length` is below 2.
    """
    if length < 2:
        raise ValueError(f"length is {length}; two marked numbers need at least 2")
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(n, length, generator=generator)
    first = torch.randint(length // 2, (n, 1), generator=generator)
    second = torch.randint(length // 2, length, (n, 1), generator=generator)
    marks = torch.zeros(n, length).scatter_(1, torch.cat([first, second], dim=1), 1.0)
    return Split(torch.stack([numbers, marks], dim=2), (numbers * marks).sum(1, keepdim=True))


def copy_memory(n: int, length: int = 20, symbols: int = 8, remember: int = 10, seed: int = 0) -> Split:
    """Say some symbols again after a pause (Arjovsky, Shah and Bengio 2016, Section 4.1).

    Tokens: 0 is the blank, 1 to `symbols` are what is to be remembered, `symbols` + 1 asks for it; so a model needs
    `vocab_size=symbols + 2`. A model without memory has at best a cross entropy of
    remember * log(symbols) / (length + 2 * remember) for each token.

    Args:
        n: number of rows.
        length: steps from the last symbol to the request, which is the last of them.
        symbols: how many symbols there are to draw from.
        remember: how many are drawn for a row.
        seed: of the symbols.

    Returns:
        A split of n rows, T = length + 2 * remember. X: int64 (n, T), the symbols, blanks, the request, blanks;
        y: int64 (n, T), blanks and, after the request, the symbols.

    Raises:
        ValueError: one of the sizes is below 1.
    """
    if min(length, symbols, remember) < 1:
        raise ValueError(f"length {length}, symbols {symbols}, remember {remember}: each must be 1 or more")
    generator = torch.Generator().manual_seed(seed)
    memory = torch.randint(1, symbols + 1, (n, remember), generator=generator)
    X = torch.zeros(n, length + 2 * remember, dtype=torch.int64)
    X[:, :remember] = memory
    X[:, remember + length - 1] = symbols + 1
    y = torch.zeros_like(X)
    y[:, -remember:] = memory
    return Split(X, y)


def parity(n: int, length: int = 16, seed: int = 0) -> Split:
    """Is the number of ones odd? One label for the whole row; each step can change it, so none may be forgotten.

    Returns:
        A split of n rows. X: float32 (n, length, 1) of 0 and 1, each as likely; y: int64 (n,), 1 where the ones are
        odd in number.
    """
    bits = torch.randint(2, (n, length), generator=torch.Generator().manual_seed(seed))
    return Split(bits[..., None].float(), bits.sum(1) % 2)


def reber_grammar(
    n: int, embedded: bool = True, seed: int = 0, without: Sequences | None = None
) -> Sequences:
    """Strings of the (embedded) Reber grammar, to predict each next symbol (Hochreiter and Schmidhuber 1997, 5.1).

    Where two symbols may follow, each is as likely; `reber_next` says which may. In the embedded grammar the last
    symbol but one repeats the second, however long the string between them: `long_range_accuracy` measures that.

    Args:
        n: number of strings; short ones come up several times.
        embedded: the embedded grammar, of at least 9 symbols, or the plain one, of at least 5.
        seed: of the strings.
        without: leave out the strings that are in here: a test set without those of the training set.

    Returns:
        n sequences. Each x: int64 (T_i,), the tokens of a string without its last, as `reber_string` reads them;
        each y: int64 (T_i,), the same string without its first. A model needs `vocab_size=8`.
    """
    known = {reber_string(without[i][0]) for i in range(len(without))} if without is not None else set()
    choices = _bits(torch.Generator().manual_seed(seed))
    graph = _EMBEDDED if embedded else _REBER
    drawn: list[Tensor] = []
    while len(drawn) < n:
        text, node = "", "0"
        while arcs := graph[node]:
            symbol = list(arcs)[next(choices) % len(arcs)]
            text, node = text + symbol, arcs[symbol]
        if text[:-1] not in known:
            drawn.append(torch.tensor([REBER_SYMBOLS.index(symbol) + 1 for symbol in text]))
    return Sequences([tokens[:-1] for tokens in drawn], [tokens[1:] for tokens in drawn])


def reber_string(tokens: Tensor | Ordered[int]) -> str:
    """The symbols of tokens (T,), padding left out."""
    return "".join(REBER_SYMBOLS[int(token) - 1] for token in tokens if int(token) > 0)


def reber_next(prefix: str, embedded: bool = True) -> set[str]:
    """The symbols that may follow `prefix`: none after a whole string, nor after one that breaks the grammar.

    Raises:
        ValueError: there is something in `prefix` that is no symbol of the grammar.
    """
    if unknown := set(prefix) - set(REBER_SYMBOLS):
        raise ValueError(f"the symbols are {', '.join(REBER_SYMBOLS)}, not {', '.join(sorted(unknown))}")
    graph, node = _EMBEDDED if embedded else _REBER, "0"
    for symbol in prefix:
        if symbol not in graph[node]:
            return set()
        node = graph[node][symbol]
    return set(graph[node])


def long_range_accuracy(predicted: Tensor | Ordered[Tensor], sequences: Sequences) -> float:
    """Share of embedded Reber strings (0 to 1) whose last symbol but one is predicted; chance gives 0.5.

    Args:
        predicted: what is predicted after each token, in the order of `sequences`: logits (N, T, C) or tokens (N, T),
            padded at the end, or a list of logits (T_i, C) or tokens (T_i,).
        sequences: of `reber_grammar`, N strings.

    Raises:
        ValueError: there is not one prediction a string, or the strings are not of the embedded grammar.
    """
    if len(predicted) != len(sequences):
        raise ValueError(f"there are {len(sequences)} strings and predictions for {len(predicted)}")
    right = 0
    for i in range(len(sequences)):
        x, y = sequences[i][:2]
        if y[-2] != x[1]:
            raise ValueError(
                "these strings do not repeat their second symbol: use reber_grammar(n, embedded=True)"
            )
        guess = predicted[i][len(y) - 2]  # (C,) or ()
        right += int(guess.argmax() if guess.ndim else guess) == int(y[-2])
    return right / len(sequences)


def daily_series(days: int, seed: int = 0) -> Tensor:
    """Page views a day in thousands, float32 (days,), the first day a Monday.

    A level of about 5 that grows by a fifth in a year, times the pattern of the week (most on Tuesdays, fewest on
    Saturdays), times a drift that lasts for weeks and noise of each day; always above 0.
    """
    generator = torch.Generator().manual_seed(seed)
    shocks, noise = (
        0.03 * torch.randn(days, generator=generator),
        0.05 * torch.randn(days, generator=generator),
    )
    drift, level = torch.empty(days), 0.0
    for i, shock in enumerate(shocks.tolist()):
        level = 0.95 * level + shock
        drift[i] = level
    day = torch.arange(days)
    return 5.0 * (1.2 ** (day / 365)) * torch.tensor(_WEEK)[day % 7] * (drift + noise).exp()


def windows(series: Tensor, k: int) -> Split:
    """The last `k` values and the next one, for every day that has `k` before it.

    Neighbouring windows overlap: cut a series into training and test by time, before the windows are made.

    Args:
        series: float (days,).
        k: how many days a model sees.

    Returns:
        A split of days - k windows. X: (days - k, k, 1); y: (days - k, 1).

    Raises:
        ValueError: `series` is no row of more than `k` values, or `k` is below 1.
    """
    if series.ndim != 1 or not 0 < k < len(series):
        raise ValueError(
            f"a series of shape {tuple(series.shape)} gives no windows of k={k} values and a next one: "
            "give a series (days,) with 1 <= k < days"
        )
    return Split(series.unfold(0, k, 1)[:-1, :, None].clone(), series[k:, None].clone())


def _bits(generator: torch.Generator) -> Iterator[int]:
    """Endless fair zeros and ones."""
    while True:
        yield from torch.randint(2, (1024,), generator=generator).tolist()
