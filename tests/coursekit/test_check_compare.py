"""What counts as equal, and the sentence when it does not."""

from dataclasses import asdict
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.check.compare import difference
from coursekit.check.exercise import Close, Equal

CLOSE, EQUAL = asdict(Close()), asdict(Equal())
ones = torch.ones


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (5, 5.0),
        (5.0, 5),
        (torch.tensor(5), 5),
        ([1, 2], torch.tensor([1.0, 2.0])),
        (torch.tensor([1.0, 2.0]), [1, 2]),
        ((1, 2), [1, 2]),
        ([ones(2), ones(2)], ones(2, 2)),
        ([torch.tensor(1), 2.0], [1, 2]),
        ([[6, 1, 5, 5], [6]], [(6, 1, 5, 5), (6,)]),
        (torch.tensor(True), True),
        (torch.tensor([True, False]), [True, False]),
        (torch.tensor([float("nan"), float("inf")]), torch.tensor([float("nan"), float("inf")])),
        (-float("inf"), -float("inf")),
        ([], []),
        (ones(0), ones(0)),
        ("same", "same"),
        (None, None),
        ({"b": 1, "a": None}, {"a": None, "b": 1}),
        (ones(2, dtype=torch.float64), ones(2)),
    ],
)
@pytest.mark.parametrize("compare", [CLOSE, EQUAL])
def test_these_agree(got: Any, expected: Any, compare: dict[str, Any]) -> None:
    assert difference(got, expected, compare) is None


@pytest.mark.parametrize(
    ("got", "expected", "en", "zh"),
    [
        (ones(2, 3), ones(3, 2), "expected shape (3, 2), got (2, 3).", "形状应为 (3, 2)，得到的是 (2, 3)。"),
        ([1, 2, 3], ones(2), "expected shape (2,), got (3,).", "形状应为 (2,)，得到的是 (3,)。"),
        (None, ones(2), "expected a tensor of shape (2,), got None. Did you forget `return`?", "是不是忘了写 `return`？"),
        (None, {"a": 1}, "expected a dictionary, got None. Did you forget", "应为字典，得到的却是 None。"),
        (3.0, ones(2), "expected a tensor of shape (2,), got a number.", "得到的是一个数。"),
        (ones(1), 1, "expected a number, got a tensor of shape (1,).", "应为一个数，得到的是形状为 (1,) 的张量。"),
        (True, 1, "expected a number, got True or False.", "应为一个数，得到的是 True 或 False。"),
        (1, True, "expected True or False, got a number.", "应为 True 或 False，得到的是一个数。"),
        ("1", 1, "expected a number, got text.", "得到的是文本。"),
        ([1, None], ones(2), "got a list.", "得到的是列表。"),
        (
            torch.tensor([[1.0, 7.0], [8.0, 1.0]]),
            ones(2, 2),
            "expected 1 at position (0, 1), got 7 (2/4 values differ).",
            "位置 (0, 1) 处应为 1，得到的是 7（共 2/4 个值不同）。",
        ),
        (ones(2) * float("nan"), ones(2), "expected finite numbers, got 2 NaN or infinite.", "应为有限的数，得到的是 2 个 NaN 或无穷。"),
        ([6, 1], [6, 2], "expected [6, 2], got [6, 1].", "应为 [6, 2]，得到的是 [6, 1]。"),
        (61_100_841, 61_100_840, "expected 61100840, got 61100841.", "应为 61100840，得到的是 61100841。"),
        (1.0000001, 1.00000001, "got 1.0000001.", "1.0000001。"),
        (10**250, 5, "got 1e+250.", "1e+250。"),
        (["a"], ["a", "b"], "expected 2 values, got 1.", "应为 2 个值，得到的是 1。"),
        ("a" * 200, "b", "expected 'b', got 'aaa", "应为 'b'，得到的是 'aaa"),
        ({"b": 1}, {"a": 1}, "expected the keys ['a'], got ['b'].", "应为键 ['a']，得到的是 ['b']。"),
        ({"out": [1, None]}, {"out": [1, [2, "x"]]}, "out[1]: expected a list, got None.", "out[1]：应为列表"),
    ],
)  # fmt: skip
def test_differences_are_told_in_both_languages(got: Any, expected: Any, en: str, zh: str) -> None:
    found = difference(got, expected, EQUAL)
    assert found is not None
    assert en in found["en"]
    assert zh in found["zh"]
    assert len(found["en"]) < 250


def test_rounding_is_allowed_for_by_close_only() -> None:
    assert difference(1.00001, 1.0, CLOSE) is None
    assert difference(1.001, 1.0, CLOSE) is not None
    assert difference(1.00001, 1.0, EQUAL) is not None


def test_the_precision_of_the_reference_sets_the_tolerance_and_that_of_the_student_does_not() -> None:
    right = torch.linspace(-3, 3, 50)
    for dtype, error in ((torch.float16, 8e-4), (torch.bfloat16, 1e-2)):
        assert difference(right * (1 + error), right.to(dtype), CLOSE) is None
        assert difference(right * (1 + 10 * error), right.to(dtype), CLOSE) is not None
        assert difference(right.to(dtype) + 1, right.to(dtype), CLOSE) is not None
    found = difference(right.to(torch.bfloat16), right, CLOSE)
    assert found is not None
    assert "rounded to bfloat16; compute them in float32" in found["en"]
    assert "请用 float32 计算" in found["zh"]


def test_shape_comes_before_values() -> None:
    found = difference(ones(2, 1) * 9, ones(1, 2), CLOSE)
    assert found is not None
    assert "shape" in found["en"]


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=2) | st.just(ones(2)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=1), inner, max_size=2),
    max_leaves=5,
)


@given(values, values)
@settings(deadline=None)
def test_any_two_values_can_be_compared_and_each_equals_itself(a: Any, b: Any) -> None:
    assert difference(a, a, EQUAL) is None
    found = difference(a, b, CLOSE)
    assert found is None or {"en", "zh"} == set(found)


@pytest.mark.parametrize(
    ("got", "said"),
    [
        ([None, None], "expected a list, got None. Did you forget `return`?"),
        (["a", 1.0], "expected numbers, got text."),
        ((1.0, None), "Did you forget `return`?"),
    ],
)
def test_what_stands_in_a_list_instead_of_numbers(got: Any, said: str) -> None:
    found = difference(got, [1.0, 2.0], asdict(Close()))
    assert found is not None and said in found["en"]


@pytest.mark.parametrize(
    ("got", "told"),
    [
        ((ones(2, 3), ones(3, 2, 3)), "returned[1]: expected shape (2, 3), got (3, 2, 3)."),
        (
            (ones(2, 3), 2 * ones(2, 3)),
            "returned[1]: expected 1 at position (0, 0), got 2 (6/6 values differ).",
        ),
        (ones(2, 3), "expected a tuple, got a tensor of shape (2, 3)."),
        ((ones(2, 3),), "expected 2 values, got 1."),
    ],
)
def test_several_tensors_are_compared_one_by_one(got: Any, told: str) -> None:
    found = difference(got, (ones(2, 3), ones(2, 3)), CLOSE)
    assert found is not None and found["en"] == told
    assert difference(torch.ones(2, 2, 3), (ones(2, 3), ones(2, 3)), CLOSE) is None


def test_the_parts_of_a_result_have_chinese_names():
    expected = {
        "loss of step 1": 1.5,
        "weights of the discriminator": [ones(2)],
        "gradient left in the generator": 0.0,
        "gradient from result 2 back to x": True,
        "the generator can still learn": True,
    }
    said = {
        "loss of step 1": (2.5, "第 1 步的损失：应为 1.5，得到的是 2.5。"),
        "weights of the discriminator": ([2 * ones(2)], "权重（判别器）[0]：位置 (0,) 处应为 1"),
        "gradient left in the generator": (1.0, "残留的梯度（生成器）：应为 0，得到的是 1。"),
        "gradient from result 2 back to x": (False, "第 2 个结果的梯度能否传回 x：应为 True"),
        "the generator can still learn": (False, "之后能否继续学习（生成器）：应为 True"),
    }
    for part, (got, chinese) in said.items():
        found = difference({**expected, part: got}, expected, CLOSE)
        assert found["zh"].startswith(chinese) and found["en"].startswith(part)


def test_what_is_wrong_in_a_part_is_told_before_the_parts_that_are_missing():
    found = difference({"returned": ones(2)}, {"returned": (ones(2), 1.0), "more": True}, CLOSE)
    assert found["en"] == "returned: expected a tuple, got a tensor of shape (2,)."
