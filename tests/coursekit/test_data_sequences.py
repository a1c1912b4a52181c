"""Sequences in length buckets and running text in streams: every step comes once, padding changes nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from coursekit.data import Sequences, Split, TokenStream, batches, num_batches
from coursekit.train import PerToken, TruncatedBPTT, evaluate, fit, predict

lengths = st.lists(st.integers(1, 30), min_size=1, max_size=60)


def numbered(lengths: list[int], per_step: bool = False) -> Sequences:
    """Sequence i holds i + 1 in each step, its label is i (or, a step, 100 * i + t)."""
    sequences = [torch.full((n,), i + 1) for i, n in enumerate(lengths)]
    y = [100 * i + torch.arange(n) for i, n in enumerate(lengths)] if per_step else torch.arange(len(lengths))
    return Sequences(sequences, y)


@given(lengths, st.integers(1, 9), st.booleans(), st.booleans())
def test_every_sequence_comes_once_and_whole(
    lengths: list[int], batch_size: int, shuffle: bool, per_step: bool
) -> None:
    data = numbered(lengths, per_step)
    seen = []
    given_batches = list(batches(data, batch_size, shuffle=shuffle))
    assert len(given_batches) == num_batches(data, batch_size)
    for X, real, y in given_batches:
        assert X.shape == (len(real), int(real.max()))
        for row, n, label in zip(X, real.tolist(), y, strict=True):
            i = int(row[0]) - 1
            assert row[:n].eq(i + 1).all() and row[n:].eq(0).all()
            assert n == lengths[i]
            if per_step:
                assert label[:n].tolist() == [100 * i + t for t in range(n)]
                assert label[n:].eq(-100).all()
            else:
                assert int(label) == i
            seen.append(i)
    assert sorted(seen) == list(range(len(lengths)))


@given(lengths, st.integers(1, 9))
def test_unshuffled_order_is_told(lengths: list[int], batch_size: int) -> None:
    data = numbered(lengths)
    came = torch.cat([y for _, _, y in batches(data, batch_size, shuffle=False)])
    assert came.tolist() == data.order.tolist()


def test_little_is_padded() -> None:
    data = numbered(torch.randint(1, 100, (2_000,), generator=torch.Generator().manual_seed(0)).tolist())
    shuffled = list(batches(data, 32, shuffle=True))
    padded = sum(X.numel() for X, _, _ in shuffled) / int(data.lengths.sum())
    assert padded < 1.1
    widths = [X.shape[1] for X, _, _ in shuffled]
    assert widths != sorted(widths)  # the short ones do not all come first


def test_a_seed_gives_the_same_batches_again() -> None:
    data = numbered([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5])

    def order(seed: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed)
        return [y.tolist() for _, _, y in batches(data, 3, shuffle=True, generator=generator)]

    assert order(1) == order(1) != order(2)


def test_numbers_are_padded_with_zeros() -> None:
    data = Sequences([torch.ones(1, 2), torch.ones(3, 2)], torch.zeros(2), pad=7)
    X, _, _ = next(iter(batches(data, 2, shuffle=False)))
    assert X.tolist() == [[[1, 1], [0, 0], [0, 0]], [[1, 1]] * 3]


@pytest.mark.parametrize(
    ("sequences", "y", "message"),
    [
        ([torch.ones(2)], torch.zeros(2), "1 sequences but 2 labels"),
        ([torch.ones(2), torch.ones(0)], torch.zeros(2), "sequence 1 is empty"),
        (
            [torch.ones(2), torch.ones(3)],
            [torch.zeros(2), torch.zeros(2)],
            "sequence 1 has 3 steps but 2 labels",
        ),
    ],
)
def test_what_does_not_fit_is_said(sequences: list[Tensor], y: Tensor | list[Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sequences(sequences, y)


def test_one_by_one_and_beyond_the_end() -> None:
    data = numbered([2, 3], per_step=True)
    assert [(x.tolist(), y.tolist()) for x, y in data] == [([1, 1], [0, 1]), ([2, 2, 2], [100, 101, 102])]
    assert data[-1][0].tolist() == [2, 2, 2]
    with pytest.raises(IndexError, match="there is no number 2"):
        data[2]


@given(st.integers(2, 400), st.integers(1, 40), st.integers(1, 12))
def test_streams_are_the_text(n: int, length: int, batch_size: int) -> None:
    stream = TokenStream(torch.arange(n), length)
    pieces = list(batches(stream, batch_size, shuffle=True))  # the order of a text is never mixed
    assert len(pieces) == num_batches(stream, batch_size)
    assert [first for _, first, _ in pieces] == [True] + [False] * (len(pieces) - 1)
    whole = torch.cat([X for X, _, _ in pieces], dim=1)
    ahead = torch.cat([y for _, _, y in pieces], dim=1)
    assert (ahead == whole + 1).all()
    assert whole.flatten().tolist() == list(range(whole.numel()))
    assert n - 1 - whole.numel() < len(whole)  # what is left out is less than one step of each stream
    assert all(X.shape[1] <= length for X, _, _ in pieces)


@pytest.mark.parametrize("ids", [torch.arange(1), torch.zeros(2, 2, dtype=torch.int64)])
def test_a_text_needs_two_tokens_in_a_row(ids: Tensor) -> None:
    with pytest.raises(ValueError, match="at least two token ids"):
        TokenStream(ids)


class Sums(nn.Module):
    """Logits from the mean of the real steps: what is padded must not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8, padding_idx=0)
        self.head = nn.Linear(8, 2)

    def forward(self, X: Tensor, lengths: Tensor) -> Tensor:
        return self.head(self.embedding(X).sum(1) / lengths[:, None])


def test_fit_evaluate_and_predict_take_sequences_as_they_are() -> None:
    random = torch.Generator().manual_seed(0)
    texts = [
        torch.randint(2, 20, (int(n),), generator=random)
        for n in torch.randint(1, 12, (300,), generator=random)
    ]
    y = torch.tensor([int((x < 11).float().mean() > 0.5) for x in texts])
    data = Sequences(texts, y)
    torch.manual_seed(0)
    model = Sums()
    history = fit(model, (data, data), epochs=8, lr=0.05, batch_size=16, progress=False)
    assert history[-1]["val_accuracy"] > 0.95
    assert evaluate(model, data).accuracy == history[-1]["val_accuracy"]
    logits = predict(model, data, batch_size=7)
    alone = torch.cat([model(x[None], torch.tensor([len(x)])) for x, _ in data])
    assert torch.allclose(logits, alone, atol=1e-6)  # in the order of the data, whatever the buckets


class Tagger(nn.Module):
    def __init__(self, classes: int = 20) -> None:
        super().__init__()
        self.table = nn.Embedding(20, classes)

    def forward(self, X: Tensor, lengths: Tensor) -> Tensor:
        return self.table(X)


def test_per_token_counts_real_steps_only() -> None:
    data = Sequences(
        [torch.tensor([2, 3, 4]), torch.tensor([5])], [torch.tensor([3, 4, 5]), torch.tensor([6])]
    )
    model = Tagger()
    scores = evaluate(model, data, step=PerToken())
    rows = torch.cat([model.table(x) for x, _ in data])
    labels = torch.cat([y for _, y in data])
    assert scores.loss == pytest.approx(nn.functional.cross_entropy(rows, labels).item(), rel=1e-6)
    assert scores.perplexity == pytest.approx(2.718281828**scores.loss, rel=1e-6)
    fit(model, data, epochs=40, lr=0.2, batch_size=2, step=PerToken(), progress=False)
    assert evaluate(model, data, step=PerToken()).accuracy == 1.0


def test_predictions_for_each_step_are_filled_up() -> None:
    data = numbered([3, 1, 2, 5])
    model = Tagger()
    logits = predict(model, data, batch_size=2)
    assert logits.shape == (4, 5, 20)
    for row, (x, _) in zip(logits, data, strict=True):
        assert torch.equal(row[: len(x)], model.table(x))


def test_per_token_says_what_does_not_fit() -> None:
    from coursekit.train import DataError

    data = Sequences([torch.tensor([2, 3])], [torch.tensor([3, 30])])
    with pytest.raises(DataError, match="labels go from 3 to 30, but the model has 20 outputs"):
        evaluate(Tagger(), data, step=PerToken())
    with pytest.raises(DataError, match="one row of logits for each step"):
        evaluate(Sums(), data, step=PerToken())


class Counter(nn.Module):
    """Adds up what it has read: right only if the state comes along from batch to batch."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.states: list[Tensor] = []

    def step(self, X: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        begin = torch.zeros(len(X), 1) if state is None else state
        self.states.append(begin)
        sums = begin + self.scale * X.cumsum(1)
        return torch.stack([sums, -sums], dim=2), sums[:, -1:]


def test_truncated_bptt_carries_the_state_and_cuts_the_gradient() -> None:
    model, step = Counter(), TruncatedBPTT()
    stream = TokenStream(torch.tensor([1, 0, 1, 1, 0, 0, 1, 0, 1]), length=2)
    for _ in range(2):  # two epochs: the second begins anew
        model.states.clear()
        outcomes = [step(model, batch) for batch in batches(stream, 2, shuffle=False)]
        begins = [state.flatten().tolist() for state in model.states]
        assert begins == [[0.0, 0.0], [1.0, 0.0]]
        assert model.states[1].requires_grad is False
        assert sum(outcome.total for outcome in outcomes) == 8


def test_split_of_other_things_than_images() -> None:
    data = Split(torch.arange(6.0).view(3, 2, 1), torch.zeros(3, 1))
    assert [X.shape for X, _ in batches(data, 2, shuffle=False)] == [(2, 2, 1), (1, 2, 1)]


@settings(max_examples=20)
@given(lengths)
def test_the_same_on_another_device_object(lengths: list[int]) -> None:
    data = numbered(lengths)
    moved = data.to("cpu")
    assert all(torch.equal(a, b) for a, b in zip(data.tensors, moved.tensors, strict=True))
    assert len(moved) == len(data) and moved.pad == data.pad
