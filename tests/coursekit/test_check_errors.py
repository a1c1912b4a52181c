"""What goes wrong in a student's object: exceptions, stubs, strange objects; none of them stops the check."""

from typing import Any

import pytest
import torch
from asking import ask, one
from torch import nn


def test_exceptions_are_trimmed_to_the_students_lines() -> None:
    def helper(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, torch.ones(5, 5))

    def answered(x: torch.Tensor) -> torch.Tensor:
        return helper(x)

    result = one(answered, x=torch.ones(2))
    assert (result["status"], result["type"]) == ("error", "RuntimeError")
    assert [line.split(" in ")[1].split(":")[0] for line in result["trace"]] == ["answered", "helper"]
    assert "return helper(x)" in result["trace"][0]


def test_a_library_inside_is_left_out_of_the_trace() -> None:
    import json

    result = one(lambda: json.loads("{"))
    assert len(result["trace"]) == 1
    assert len(one(forever)["trace"]) <= 12


def forever() -> None:
    forever()


def test_the_stub_is_not_attempted_and_later_stubs_are_failed_cases() -> None:
    def stub(x: int) -> int:
        raise NotImplementedError()

    def half(x: int) -> int:
        if x:
            raise NotImplementedError
        return x

    assert ask(stub, {"x": 1}, {"x": 2}) == [{"status": "not attempted"}]
    statuses = [result["status"] for result in ask(half, {"x": 0}, {"x": 1}, {"x": 0})]
    assert statuses == ["ok", "not attempted", "ok"]


def test_what_torch_has_not_implemented_is_an_error() -> None:
    result = one(lambda: torch.ones(2, device="meta").tolist())
    assert (result["status"], result["type"]) == ("error", "NotImplementedError")


@pytest.mark.parametrize("end", [SystemExit(3), GeneratorExit(), BaseException("all")])
def test_whatever_ends_a_program_is_an_error_of_the_answer(end: BaseException) -> None:
    def leave() -> None:
        raise end

    result = one(leave)
    assert (result["status"], result["type"]) == ("error", type(end).__name__)


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Fog:
    @property
    def __class__(self) -> type:
        raise OSError("who knows")


class Rude(int):
    pass


class Strange(nn.Sequential):
    def __iter__(self) -> Any:
        raise OSError("not today")


def raising(error: Exception) -> Any:
    raise error


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (lambda: raising(MuteError()), "error"),
        (lambda: raising(ValueError("\ud800")), "error"),
        (lambda: raising(ValueError("x" * 10**6)), "error"),
        (lambda: Fog(), "form"),
        (lambda: Strange(), "form"),
        (lambda: Rude(5), "ok"),
    ],
)
def test_strange_objects_and_messages_do_not_stop_the_check(target: Any, status: str) -> None:
    result = one(target)
    assert result["status"] == status
    assert len(str(result).encode()) < 5_000  # encodes: no lone surrogate


def unwritten(x: int) -> int:
    raise NotImplementedError


def test_another_stub_that_is_called_is_named() -> None:
    def written(x: int) -> int:
        return unwritten(x) + 1

    result = one(written, x=1)
    assert result["status"] == "form"
    assert (
        result["message"] == "`written` calls `unwritten`, which is not written yet; do that exercise first"
    )
    assert "`unwritten`" in result["message_zh"]
    assert one(unwritten, x=1)["status"] == "not attempted"


def test_a_stub_within_the_answer_is_its_own() -> None:
    def half_done(x: int) -> int:
        def inner() -> int:
            raise NotImplementedError

        return inner() + x

    assert one(half_done, x=1)["status"] == "not attempted"
