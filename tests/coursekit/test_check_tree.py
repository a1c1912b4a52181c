"""Plain data: what goes in comes back, and nothing else goes in."""

import contextlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from coursekit.check.call import answer
from coursekit.check.tree import MAX_BYTES, DamagedError, NotPlainError, dumps, loads

DTYPES = (
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    values = [draw(st.integers(0, 1)) for _ in range(math.prod(shape))]
    return torch.tensor(values).reshape(shape).to(draw(st.sampled_from(DTYPES)))


trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text()
    | st.sampled_from([0.0, -0.0, float("inf")])
    | tensors(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return repr(a) == repr(b)


@given(trees)
@settings(max_examples=60, deadline=None)
def test_what_goes_in_comes_back_and_equal_trees_give_equal_bytes(tree: Any) -> None:
    data = dumps(tree)
    assert same(loads(data), tree)
    assert dumps(loads(data)) == data


@given(trees, st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_bytes_give_a_tree_or_a_damaged_error(tree: Any, data: st.DataObject) -> None:
    good = dumps(tree)
    with pytest.raises(DamagedError):
        loads(good[: data.draw(st.integers(0, len(good) - 1))])
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DamagedError):  # or the damage is to numbers only
        dumps(loads(bytes(bad)))  # what is read is plain again


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_damaged(data: bytes) -> None:
    with pytest.raises(DamagedError):
        loads(data)


def forged(text: str, **named: torch.Tensor) -> bytes:
    from safetensors.torch import save

    return save(named, metadata={"tree": text})


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "9" * 5_000,
        "9" * 400,
        "[" * 60 + "]" * 60,
        '{"$": "tensor", "v": "t9"}',
        '[{"$": "tensor", "v": "t0"}, {"$": "tensor", "v": "t0"}]',
        '{"$": "float", "v": [1]}',
        '{"$": "code", "v": "1"}',
        '{"$": "dict", "v": 3}',
        '{"$": "module", "v": [{"kind": "Linear", "settings": {"$": "dict", "v": {"in_features": 1000000, "out_features": 1000000, "bias": true}}, "state": {"$": "dict", "v": {}}}, {"kind": "Exec"}]}',
        '{"$": "module", "v": [{"kind": "Linear", "settings": {"$": "dict", "v": {"in_features": 1, "out_features": 1, "device": "cuda"}}, "state": {"$": "dict", "v": {"weight": {"$": "tensor", "v": "t0"}}}}]}',
        '{"$": "module", "v": [{"kind": "Linear", "settings": {"$": "dict", "v": {"in_features": 1e99, "out_features": 9999999999999999999999}}, "state": {"$": "dict", "v": {"weight": {"$": "tensor", "v": "t0"}}}}]}',
    ],
)
def test_forged_trees_are_damaged(text: str) -> None:
    with pytest.raises(DamagedError):
        loads(forged(text, t0=torch.ones(1, 1)))


def test_forged_kinds_of_tensors_and_surrogates() -> None:
    with pytest.raises(DamagedError):
        loads(forged('{"$": "tensor", "v": "t0"}', t0=torch.ones(2, dtype=torch.complex64)))
    assert loads(forged('["\\ud800", {"$": "dict", "v": {"\\ud800": 1}}]')) == ["?", {"?": 1}]
    with pytest.raises(DamagedError, match="allowed"):
        loads(dumps("long" * 100), max_bytes=100)


class Yes:
    """Equal to everything, and of every class that one asks for."""

    def __eq__(self, other: object) -> bool:
        return True

    @property
    def __class__(self) -> type:
        return int

    def __int__(self) -> int:
        return 42


class Angle(float):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = float.__hash__

    def __float__(self) -> float:
        return 99.0

    def __repr__(self) -> str:
        return "42.0"


class Sly(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return True


class SlyList(list):
    def __iter__(self) -> Any:
        raise OSError("no")


def test_subclasses_come_out_as_what_they_hold() -> None:
    assert type(loads(dumps(Angle(1.5)))) is float
    assert loads(dumps(Angle(1.5))) == 1.5
    out = loads(dumps(torch.ones(2).as_subclass(Sly)))
    assert type(out) is torch.Tensor
    assert out.tolist() == [1, 1]
    assert loads(dumps(SlyList([1, 2]))) == [1, 2]
    assert loads(dumps(nn.Parameter(torch.ones(2)))).requires_grad is False
    assert loads(dumps(np.ma.masked_array([1, 2], [True, False]))).tolist() == [1, 2]
    assert loads(dumps([np.float32(2), np.int8(3), np.bool_(True)])) == [2.0, 3, True]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (torch.arange(6).reshape(2, 3).T, [[0, 3], [1, 4], [2, 5]]),
        (torch.ones(1).expand(3), [1, 1, 1]),
        (torch.tensor(3.0), 3.0),
        (torch.zeros(0, 3), []),
        (torch.tensor([1 + 2j]).conj().imag, [-2.0]),
        (torch.ones(2, requires_grad=True) * 2, [2, 2]),
        (np.arange(3)[::-1], [2, 1, 0]),
        (np.array([1, 2], dtype=">i4"), [1, 2]),
        (np.array(5.0), 5.0),
        (torch.tensor([float("nan")]).isnan(), [True]),
    ],
)
def test_tensors_and_arrays_of_every_layout(value: Any, expected: Any) -> None:
    assert loads(dumps(value)).tolist() == expected


def test_shared_memory_is_copied() -> None:
    base = torch.zeros(3)
    a, b = loads(dumps([base, base[:2]]))
    a += 1
    assert b.tolist() == [0, 0]


def nested(depth: int) -> list:
    tree: list = []
    for _ in range(depth):
        tree = [tree, tree]
    return tree


def endless() -> list:
    tree: list = []
    tree.append(tree)
    return tree


NOT_PLAIN: dict[str, Any] = {
    "sparse": torch.eye(2).to_sparse(),
    "complex": torch.tensor([1j]),
    "complex128": torch.tensor([1j], dtype=torch.complex128),
    "meta": torch.ones(2, device="meta"),
    "float8": torch.ones(2).to(torch.float8_e4m3fn),
    "huge": torch.zeros(1).expand(10**12),
    "huge_array": np.broadcast_to(np.zeros(1), (10**12,)),
    "many_large": [torch.zeros(MAX_BYTES // 8)] * 3,
    "objects": np.array([object()]),
    "words": np.array(["a"]),
    "dates": np.array(["2020-01-01"], dtype="datetime64[D]"),
    "complex_number": 1j,
    "set": {1, 2},
    "bytes": b"1",
    "function": len,
    "class": int,
    "liar": Yes(),
    "keys": {1: 2},
    "endless": endless(),
    "exponential": nested(30),
    "deep": eval("[" * 60 + "]" * 60),
    "digits": 10**400,
    "module": nn.GRU(2, 2),
    "many": [0] * 2_000_000,
    "generator": (i for i in range(3)),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_is_not_plain_is_refused_and_is_a_form_for_the_check(name: str) -> None:
    value = NOT_PLAIN[name]
    with pytest.raises(NotPlainError) as caught:
        dumps(value)
    assert set(caught.value.text) == {"en", "zh"}
    (result,) = answer(lambda: value, {"adaptor": "function", "inputs": [{}], "options": {}})
    assert result["status"] == "form"
    assert result["message"]
    assert result["message_zh"]


@pytest.mark.filterwarnings("ignore")
def test_quantized_tensors_are_refused() -> None:
    with pytest.raises(NotPlainError):
        dumps(torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8))


def test_lone_surrogates_are_replaced() -> None:
    assert loads(dumps(["\ud800", {"\udfff": 1}])) == ["?", {"?": 1}]


def test_models_keep_every_setting_and_leave_the_generator_alone() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2, padding_mode="reflect"),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
        nn.Flatten(),
        nn.Linear(16, 2, bias=False),
    )
    X = torch.randn(3, 2, 9, 9)
    model[4] = nn.Linear(model[:4](X).shape[1], 2, bias=False)
    state = torch.random.get_rng_state()
    copy = loads(dumps(model))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(copy(X), model(X))
    assert all(parameter.requires_grad for parameter in copy.parameters())


def test_a_class_that_borrows_the_name_of_a_layer_is_refused() -> None:
    class Linear(nn.Module):
        pass

    with pytest.raises(NotPlainError):
        dumps(Linear())
