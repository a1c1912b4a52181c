"""Comparing what came out with what was expected: kind first, then shape, then values."""

from collections.abc import Mapping
from typing import Any

import torch

from coursekit.check.tree import Text, Tree

Difference = Text  # a bilingual sentence


def difference(got: Tree, expected: Tree, compare: Mapping[str, Any], where: str = "") -> Difference | None:
    """How `got` differs from `expected`, as a sentence; None when they agree.

    Args:
        got, expected: plain data, as `coursekit.check.tree.loads` gives it.
        compare: an `exercise.Close` or `exercise.Equal` as a dict.
        where: the part of the output that is compared, for the message ("output", "element 2").
    """
    if isinstance(expected, dict):
        return _items(got, expected, compare, where)
    if isinstance(expected, (list, tuple)) and not _is_numeric(got):
        if not isinstance(got, (list, tuple)):
            return _kind(got, expected, where)
        if len(got) != len(expected):
            return _say(
                where, f"{len(expected)} values", f"{len(expected)} 个值", str(len(got)), str(len(got))
            )
        parts = (
            difference(g, e, compare, f"{where}[{i}]")
            for i, (g, e) in enumerate(zip(got, expected, strict=True))
        )
        return next((part for part in parts if part), None)
    if _is_numeric(expected):
        return _numbers(got, expected, compare, where) if _is_numeric(got) else _kind(got, expected, where)
    if type(got) is not type(expected):
        return _kind(got, expected, where)
    return None if got == expected else _say(where, repr(expected), repr(expected), repr(got), repr(got))


def _items(got: Tree, expected: dict[str, Tree], compare: Mapping[str, Any], where: str) -> Difference | None:
    if not isinstance(got, dict):
        return _kind(got, expected, where)
    if set(got) != set(expected):
        return _say(
            where,
            f"the keys {sorted(expected)}",
            f"键 {sorted(expected)}",
            str(sorted(got)),
            str(sorted(got)),
        )
    parts = (difference(got[key], expected[key], compare, f"{where}.{key}".lstrip(".")) for key in expected)
    return next((part for part in parts if part), None)


def _numbers(got: Tree, expected: Tree, compare: Mapping[str, Any], where: str) -> Difference | None:
    a, b = _as_tensor(got), _as_tensor(expected)
    if a.shape != b.shape:
        return _say(
            where,
            f"shape {tuple(b.shape)}",
            f"形状 {tuple(b.shape)}",
            str(tuple(a.shape)),
            str(tuple(a.shape)),
        )
    if not torch.isfinite(a).all() and torch.isfinite(b).all():
        count = int((~torch.isfinite(a)).sum())
        return _say(where, "finite numbers", "有限的数", f"{count} NaN or infinite", f"{count} 个 NaN 或无穷")
    rtol, atol = (compare["rtol"], compare["atol"]) if compare["kind"] == "close" else (0.0, 0.0)
    apart = ~torch.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
    if not apart.any():
        return None
    if a.dim() == 0:
        return _say(where, _short(b), _short(b), _short(a), _short(a))
    index = tuple(int(i) for i in apart.nonzero()[0])
    many = f"{int(apart.sum())}/{apart.numel()}"
    return _say(
        where,
        f"{_short(b[index])} at position {index}",
        f"位置 {index} 处为 {_short(b[index])}",
        f"{_short(a[index])} ({many} values differ)",
        f"{_short(a[index])}(共 {many} 个值不同)",
    )


def _kind(got: Tree, expected: Tree, where: str) -> Difference:
    if got is None:
        return {
            "en": f"{_place(where, 'en')}expected {_name(expected, 'en')}, got None. Did you forget `return`?",
            "zh": f"{_place(where, 'zh')}应为{_name(expected, 'zh')},得到的却是 None。是不是忘了写 `return`?",
        }
    return _say(where, _name(expected, "en"), _name(expected, "zh"), _name(got, "en"), _name(got, "zh"))


def _say(where: str, expected_en: str, expected_zh: str, got_en: str, got_zh: str) -> Difference:
    return {
        "en": f"{_place(where, 'en')}expected {expected_en}, got {got_en}.",
        "zh": f"{_place(where, 'zh')}应为 {expected_zh},得到的是 {got_zh}。",
    }


def _place(where: str, language: str) -> str:
    return "" if not where else (f"{where}: " if language == "en" else f"{where}:")


def _name(value: Tree, language: str) -> str:
    if isinstance(value, torch.Tensor):
        shape = tuple(value.shape)
        return f"a tensor of shape {shape}" if language == "en" else f"形状为 {shape} 的张量"
    names = {
        bool: ("True or False", "True 或 False"),
        int: ("a number", "一个数"),
        float: ("a number", "一个数"),
        str: ("text", "文本"),
        list: ("a list", "列表"),
        tuple: ("a tuple", "元组"),
        dict: ("a dictionary", "字典"),
    }
    english, chinese = names.get(type(value), (type(value).__name__,) * 2)
    return english if language == "en" else chinese


def _is_numeric(value: Tree) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(_is_numeric(item) for item in value) and _is_regular(value)
    return isinstance(value, (int, float, torch.Tensor)) and not isinstance(value, bool)


def _is_regular(values: list[Tree] | tuple[Tree, ...]) -> bool:
    return len({tuple(_as_tensor(value).shape) for value in values}) == 1


def _as_tensor(value: Tree) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value.to(torch.float64)
    if isinstance(value, (list, tuple)):
        return torch.stack([_as_tensor(item) for item in value])
    # An integer beyond float64 becomes infinite, which no expected value is.
    return torch.tensor(float(value) if abs(value) < 1e300 else float("inf"), dtype=torch.float64)


def _short(value: torch.Tensor) -> str:
    return f"{value.item():.6g}"
