"""After a call all is as before: generators, modes, arguments, and nothing on stderr."""

import contextlib
import io
import logging
import random
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from asking import ask, one

from coursekit.check.call import answer


def test_a_person_can_stop_the_check_and_everything_is_restored() -> None:
    def stopped() -> None:
        torch.set_grad_enabled(False)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one(stopped)
    assert torch.is_grad_enabled()


def test_generators_and_modes_are_restored_and_cases_have_their_own_seed() -> None:
    def restless(x: int) -> list[float]:
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        return [torch.rand(()).item(), float(np.random.rand()), random.random()]

    def states() -> list[Any]:
        return [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()]

    before = states()
    first, second = ask(restless, {"x": 1}, {"x": 1})
    assert states() == before
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert first["value"] != second["value"]
    assert ask(restless, {"x": 1})[0]["value"] == first["value"]


def test_gradients_work_wherever_the_check_is_called() -> None:
    def gradient(x: torch.Tensor) -> torch.Tensor:
        x = x.clone().requires_grad_()
        return torch.autograd.grad((x**2).sum(), x)[0]

    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert one(gradient, x=torch.ones(2))["value"].tolist() == [2, 2]
            assert not torch.is_grad_enabled()


def test_changed_arguments_do_not_reach_the_next_case() -> None:
    shared = torch.zeros(2)

    def spoil(x: torch.Tensor) -> torch.Tensor:
        x += 1
        return x

    results = ask(spoil, {"x": shared}, {"x": shared})
    assert [result["value"].tolist() for result in results] == [[1, 1], [1, 1]]
    assert shared.tolist() == [0, 0]


def test_nothing_reaches_stderr() -> None:
    def loud() -> int:
        warnings.warn("careful", stacklevel=1)
        print("to stderr", file=sys.stderr)
        logging.getLogger("student").error("logged")
        return 1

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _show  # pytest has put its own in its place
        assert one(loud)["value"] == 1
    assert err.getvalue() == ""
    assert "careful" in out.getvalue()
    assert "to stderr" in out.getvalue()


def _show(
    message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    sys.stderr.write(str(message))


def test_a_function_that_changes_its_arguments_is_noticed() -> None:
    def spoil(x, rest):
        x += 1
        rest.append(2)
        return x

    def spare(x, rest):
        return x + 1

    questions = {
        "adaptor": "function",
        "options": {},
        "inputs": [{"x": torch.zeros(3), "rest": [1]}, {"x": torch.ones(2), "rest": []}],
    }
    assert [result["changed"] for result in answer(spoil, questions)] == [["x", "rest"]] * 2
    assert not any("changed" in result for result in answer(spare, questions))
    assert torch.equal(questions["inputs"][0]["x"], torch.zeros(3))
