"""Asking a student's object some questions, in one line; for the tests of such calls."""

from typing import Any

from coursekit.check.call import answer


def ask(
    target: Any, *inputs: dict[str, Any], adaptor: str = "function", **options: Any
) -> list[dict[str, Any]]:
    return answer(target, {"adaptor": adaptor, "inputs": list(inputs or [{}]), "options": options})


def one(target: Any, adaptor: str = "function", **inputs: Any) -> dict[str, Any]:
    return ask(target, inputs, adaptor=adaptor)[0]
