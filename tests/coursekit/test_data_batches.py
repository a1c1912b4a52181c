"""`batches`: whatever the data is held in, every example comes once."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from coursekit.data import Split, batches, num_batches


def numbered(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Examples that can be told apart: pixel and label of example i are i."""
    return torch.arange(float(n)).reshape(n, 1, 1, 1), torch.arange(n)


class OneByOne(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.full((1, 1, 1), float(i)), i


class Stream(IterableDataset[tuple[torch.Tensor, int]]):
    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        return iter([(torch.full((1, 1, 1), float(i)), i) for i in range(7)])


KINDS = {
    "split": lambda n: Split(*numbered(n)),
    "pair": numbered,
    "tensor_dataset": lambda n: TensorDataset(*numbered(n)),
    "dataset": OneByOne,
}


@given(
    kind=st.sampled_from(list(KINDS)),
    n=st.integers(1, 40),
    batch_size=st.integers(1, 45),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_batches_partition_the_data(
    kind: str, n: int, batch_size: int, shuffle: bool, drop_last: bool
) -> None:
    data = KINDS[kind](n)
    got = list(batches(data, batch_size, shuffle=shuffle, drop_last=drop_last))
    sizes = [len(y) for _, y in got]
    whole, rest = divmod(n, batch_size)
    assert sizes == [batch_size] * whole + ([rest] if rest and not drop_last else [])
    assert len(got) == num_batches(data, batch_size, drop_last=drop_last)
    seen = torch.cat([y for _, y in got]).tolist() if got else []
    assert len(set(seen)) == len(seen) == sum(sizes)
    if not shuffle:
        assert seen == list(range(len(seen)))
    for X, y in got:
        assert X.shape == (len(y), 1, 1, 1)
        assert torch.equal(X.flatten().long(), y)  # each image keeps its label


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_fixes_the_order(kind: str) -> None:
    def order(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return [
            i for _, y in batches(KINDS[kind](50), 8, shuffle=True, generator=generator) for i in y.tolist()
        ]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1) != list(range(50))


def test_global_seed_fixes_the_order_without_a_generator() -> None:
    torch.manual_seed(3)
    first = [y.tolist() for _, y in batches(numbered(20), 6, shuffle=True)]
    torch.manual_seed(3)
    assert first == [y.tolist() for _, y in batches(numbered(20), 6, shuffle=True)]


def test_a_loader_keeps_its_own_ways() -> None:
    loader = DataLoader(OneByOne(10), batch_size=4, drop_last=True)
    assert [y.tolist() for _, y in batches(loader, 99, shuffle=True)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert num_batches(loader, 99) == 2


def test_a_stream_works_unshuffled() -> None:
    assert [len(y) for _, y in batches(Stream(), 3, shuffle=False)] == [3, 3, 1]
    with pytest.raises(ValueError, match="no indices to shuffle"):
        batches(Stream(), 3, shuffle=True)
    with pytest.raises(TypeError, match="Stream has no length"):
        num_batches(Stream(), 3)


def test_examples_of_a_tensor_alone_are_their_own_labels() -> None:
    X, _ = numbered(6)
    for x, y in batches(X, 4, shuffle=True, generator=torch.Generator().manual_seed(0)):
        assert torch.equal(x, y)
    assert num_batches(X, 4) == 2


def test_the_device_is_where_it_was_asked_for() -> None:
    for kind in KINDS.values():
        X, y = next(batches(kind(4), 2, shuffle=True, device="meta"))
        assert X.device.type == y.device.type == "meta"


def test_unshuffled_batches_are_views_not_copies() -> None:
    X, y = numbered(6)
    first, _ = next(batches((X, y), 4, shuffle=False))
    assert first.data_ptr() == X.data_ptr()


def test_mistakes_are_said_at_once() -> None:
    X, y = numbered(4)
    with pytest.raises(ValueError, match="batch_size is 0"):
        batches((X, y), 0, shuffle=False)
    with pytest.raises(ValueError, match="X has 4 examples, y has 3"):
        batches((X, y[:3]), 2, shuffle=False)
    with pytest.raises(TypeError, match=r"cannot make batches from str: pass a Split \(data.train\)"):
        batches("mnist", 2, shuffle=False)  # type: ignore[arg-type]  # the wrong type is the point
    with pytest.raises(TypeError, match=r"expected a pair of tensors \(X, y\), got 1"):
        batches((X,), 2, shuffle=False)  # type: ignore[arg-type]  # the wrong type is the point
