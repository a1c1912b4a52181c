"""Comparing what came out with what was expected: kind first, then shape, then values."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from coursekit.check.tree import Text, Tree

Difference = Text  # a bilingual sentence

# In half precision a sum of some terms is right to about this share of its largest values
# (the relative tolerances of `torch.testing.assert_close`).
_HALF = {torch.float16: 1e-3, torch.bfloat16: 1.6e-2}
_SHOWN = 8  # a list of so many numbers is shown whole
_MAX_TEXT = 80
# What adaptors call the parts of a result (`coursekit.check.adaptors`), for a Chinese message.
_PARTS = {
    r"gradient from result (\d+) back to (\w+)": r"第 \1 个结果的梯度能否传回 \2",
    r"gradient back to (\w+)": r"梯度能否传回 \1",
    r"gradient left in the (\w+)": r"残留的梯度（\1）",
    r"loss of step (\d+)": r"第 \1 步的损失",
    r"weights of the (\w+)": r"权重（\1）",
    r"the (\w+) can still learn": r"之后能否继续学习（\1）",
    r"the (\w+) is in training mode": r"是否处于训练模式（\1）",
    r"\breturned\b": "返回值",
    r"\bparameters\b": "参数",
    r"\btraining\b": "训练模式",
    r"\boutput\b": "输出",
    r"\bgenerator\b": "生成器",
    r"\bdiscriminator\b": "判别器",
}


def difference(got: Tree, expected: Tree, compare: Mapping[str, Any], where: str = "") -> Difference | None:
    """How `got` differs from `expected`, as a sentence; None when they agree.

    Numbers, lists of them and tensors are compared by value: 5 equals 5.0, and [1, 2] equals torch.tensor([1., 2.]). The
    tolerance is that of `compare`; where the expected values are float16 or bfloat16 it is at least their rounding. The
    precision that the student chose widens nothing.

    Args:
        got, expected: plain data, as `coursekit.check.tree.loads` gives it.
        compare: an `exercise.Close` or `exercise.Equal` as a dict.
        where: the part of the output that is compared, for the message ("output", "element 2").
    """
    if isinstance(expected, dict):
        return _items(got, expected, compare, where)
    wanted = None if _tensors(expected) else _numbers(expected)
    if wanted is not None:
        values = _numbers(got)
        if values is None or (values.dim() and isinstance(expected, (int, float))):
            return _kind(got, expected, where)
        return _values(values, wanted, got, expected, compare, where)
    if isinstance(got, Tensor) and got.dtype == torch.bool:
        got = got.tolist()  # torch's True is as good as Python's
    if isinstance(expected, (list, tuple)):
        if (
            _tensors(expected)
            and isinstance(got, Tensor)
            and got.dim()
            and got.shape[1:] == _shape(expected[0])
        ):
            got = list(got.unbind())  # several tensors of one shape, in one
        if not isinstance(got, (list, tuple)):
            return _kind(got, expected, where)
        if len(got) != len(expected):
            return _say(where, (f"{len(expected)} values", f"{len(expected)} 个值"), str(len(got)))
        parts = (
            difference(g, e, compare, f"{where or 'returned'}[{i}]")
            for i, (g, e) in enumerate(zip(got, expected, strict=True))
        )
        return next((part for part in parts if part), None)
    if type(got) is not type(expected):
        return _kind(got, expected, where)
    return None if got == expected else _say(where, _cut(repr(expected)), _cut(repr(got)))


def _items(got: Tree, expected: dict[str, Tree], compare: Mapping[str, Any], where: str) -> Difference | None:
    if not isinstance(got, dict):
        return _kind(got, expected, where)
    parts = (
        difference(got[key], expected[key], compare, f"{where}.{key}".lstrip("."))
        for key in expected
        if key in got
    )
    found = next((part for part in parts if part), None)
    if found is None and set(got) != set(expected):
        keys = sorted(expected)
        return _say(where, (f"the keys {keys}", f"键 {keys}"), _cut(str(sorted(got))))
    return found


def _values(
    a: Tensor, b: Tensor, got: Tree, expected: Tree, compare: Mapping[str, Any], where: str
) -> Difference | None:
    """How the numbers `a` of `got` differ from the numbers `b` of `expected`."""
    if a.shape != b.shape:
        if isinstance(got, (int, float)):
            return _kind(got, expected, where)
        return {
            "en": f"{_place(where, 'en')}expected shape {tuple(b.shape)}, got {tuple(a.shape)}.",
            "zh": f"{_place(where, 'zh')}形状应为 {tuple(b.shape)}，得到的是 {tuple(a.shape)}。",
        }
    a, b = a.to(torch.float64), b.to(torch.float64)
    tolerance = _tolerance(b, expected, compare)
    if torch.allclose(a, b, **tolerance, equal_nan=True):
        return None
    if torch.isfinite(b).all() and not torch.isfinite(a).all():
        count = int((~torch.isfinite(a)).sum())
        bad = (f"{count} NaN or infinite", f"{count} 个 NaN 或无穷")
        return _say(where, ("finite numbers", "有限的数"), bad)
    apart = ~torch.isclose(a, b, **tolerance, equal_nan=True)
    if isinstance(expected, (list, tuple)) and b.dim() == 1 and len(b) <= _SHOWN:
        return _say(where, *(str([_short(v) for v in t.tolist()]).replace("'", "") for t in (b, a)))
    index = tuple(int(i) for i in apart.nonzero()[0])
    right, wrong = _apart(b[index].item(), a[index].item())
    if a.dim() == 0:
        return _say(where, right, wrong)
    many = f"{int(apart.sum())}/{apart.numel()}"
    found = {
        "en": f"{_place(where, 'en')}expected {right} at position {index}, got {wrong} ({many} values differ).",
        "zh": f"{_place(where, 'zh')}位置 {index} 处应为 {right}，得到的是 {wrong}（共 {many} 个值不同）。",
    }
    return _with_precision(found, got, expected)


def _tolerance(b: Tensor, expected: Tree, compare: Mapping[str, Any]) -> dict[str, float]:
    if compare["kind"] != "close":
        return {"rtol": 0.0, "atol": 0.0}
    rtol, atol = compare["rtol"], compare["atol"]
    if half := _HALF.get(expected.dtype, 0.0) if isinstance(expected, Tensor) else 0.0:
        finite = b[torch.isfinite(b)]
        largest = finite.abs().max().item() if finite.numel() else 0.0
        rtol, atol = max(rtol, half), max(atol, half * largest)
    return {"rtol": rtol, "atol": atol}


def _with_precision(found: Difference, got: Tree, expected: Tree) -> Difference:
    """Where the student's values are in half precision and the right ones are not, say so."""
    if not (isinstance(got, Tensor) and got.dtype in _HALF):
        return found
    if isinstance(expected, Tensor) and expected.dtype == got.dtype:
        return found
    name = str(got.dtype).removeprefix("torch.")
    return {
        "en": f"{found['en']} Your values are rounded to {name}; compute them in float32.",
        "zh": f"{found['zh']}你的结果被舍入成了 {name}；请用 float32 计算。",
    }


def _kind(got: Tree, expected: Tree, where: str) -> Difference:
    english, chinese = _name(expected)
    inside = got if isinstance(got, (list, tuple)) and isinstance(expected, (list, tuple)) else []
    odd = next((item for item in inside if _numbers(item) is None), None)
    if inside and odd is not None:
        return _say(where, ("numbers", "数"), _name(odd))
    if got is None or any(item is None for item in inside):
        return {
            "en": f"{_place(where, 'en')}expected {english}, got None. Did you forget `return`?",
            "zh": f"{_place(where, 'zh')}应为{chinese}，得到的却是 None。是不是忘了写 `return`？",
        }
    return _say(where, (english, chinese), _name(got))


def _say(where: str, expected: str | tuple[str, str], got: str | tuple[str, str]) -> Difference:
    """The sentence; what is not the same in both languages is a pair (English, Chinese)."""
    wanted = (expected, expected) if isinstance(expected, str) else expected
    found = (got, got) if isinstance(got, str) else got
    return {
        "en": f"{_place(where, 'en')}expected {wanted[0]}, got {found[0]}.",
        "zh": f"{_place(where, 'zh')}应为{_spaced(wanted[1])}，得到的是{_spaced(found[1])}。",
    }


def _spaced(text: str) -> str:
    """A space between Chinese and Latin text, none between Chinese characters."""
    return f" {text}" if text[:1].isascii() else text


def _place(where: str, language: str) -> str:
    if language == "en" or not where:
        return f"{where}: " if where else ""
    for english, chinese in _PARTS.items():
        where = re.sub(english, chinese, where)
    return f"{where}："


def _name(value: Tree) -> tuple[str, str]:
    if isinstance(value, Tensor):
        shape = tuple(value.shape)
        return f"a tensor of shape {shape}", f"形状为 {shape} 的张量"
    names = {
        bool: ("True or False", "True 或 False"),
        int: ("a number", "一个数"),
        float: ("a number", "一个数"),
        str: ("text", "文本"),
        list: ("a list", "列表"),
        tuple: ("a tuple", "元组"),
        dict: ("a dictionary", "字典"),
        type(None): ("None", "None"),
    }
    return names.get(type(value), (type(value).__name__,) * 2)


def _numbers(value: Tree) -> Tensor | None:
    """A number, a tensor or a regular list of them as a tensor; None for anything else."""
    if isinstance(value, Tensor):
        return value
    if _is_number(value):
        return torch.tensor(_real(value), dtype=torch.float64)
    if not isinstance(value, (list, tuple)) or not value:
        return None
    if all(map(_is_number, value)):
        return torch.tensor([_real(item) for item in value], dtype=torch.float64)
    parts: list[Tensor] = []
    for item in value:
        part = _numbers(item)
        if part is None or (parts and part.shape != parts[0].shape):
            return None
        parts.append(part.to(torch.float64))
    return torch.stack(parts)


def _tensors(value: Tree) -> bool:
    """Whether it is a sequence with tensors in it, which are compared one by one."""
    return isinstance(value, (list, tuple)) and any(isinstance(item, Tensor) for item in value)


def _shape(value: Tree) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _is_number(value: Tree) -> bool:
    return type(value) is int or type(value) is float


def _real(value: float) -> float:
    # An integer beyond float64 becomes infinite, which no expected value is.
    return float(value) if isinstance(value, float) or abs(value) < 1e300 else float("inf")


def _short(value: float, digits: int = 6) -> int | str:
    """Whole numbers whole, so that 61100840 and 61100841 look different; others with some digits."""
    return int(value) if value.is_integer() and abs(value) < 1e15 else f"{value:.{digits}g}"


def _apart(*values: float) -> Sequence[str]:
    """Both numbers with as many digits as it takes to see that they differ."""
    shown: list[str] = []
    for digits in (6, 9, 17):
        shown = [str(_short(value, digits)) for value in values]
        if len(set(shown)) > 1:
            break
    return shown


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + " …"
