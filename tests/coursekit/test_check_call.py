"""Calling a student's object: every way to call, every way to fail, and nothing left behind."""

import contextlib
import io
import logging
import random
import signal
import sys
import time
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from coursekit.check import patience
from coursekit.check.call import answer


def ask(
    target: Any, *inputs: dict[str, Any], adaptor: str = "function", **options: Any
) -> list[dict[str, Any]]:
    return answer(target, {"adaptor": adaptor, "inputs": list(inputs or [{}]), "options": options})


def one(target: Any, adaptor: str = "function", **inputs: Any) -> dict[str, Any]:
    return ask(target, inputs, adaptor=adaptor)[0]


def test_a_function_is_called_by_position() -> None:
    result = one(lambda renamed, other: renamed - other, a=torch.ones(2), b=3)
    assert result["status"] == "ok"
    assert result["value"].tolist() == [-2, -2]


@pytest.mark.parametrize(
    ("adaptor", "target", "en", "zh"),
    [
        ("function", None, "expected a function, got None", "应为一个函数，得到的却是 None"),
        ("function", 3.0, "expected a function, got a value of type float", "float 类型的值"),
        ("function", nn.Linear, "got the class Linear", "类 Linear"),
        ("training_step", 5, "expected a function", "应为一个函数"),
        ("module", lambda: 1, "expected a class derived from nn.Module", "派生自 nn.Module 的类"),
        ("module", int, "got the class int", "类 int"),
        ("method", 3, "expected a class", "应为一个类"),
        ("prediction", None, "expected a trained nn.Module, got None", "训练好的 nn.Module"),
        ("prediction", nn.Linear, "got the class Linear", "类 Linear"),
    ],
)
def test_wrong_forms_are_told_in_both_languages(adaptor: str, target: Any, en: str, zh: str) -> None:
    result = one(target, adaptor, X=torch.zeros(1, 2, 2), arguments={}, seed=0, calls=[], model=nn.Flatten())
    assert result["status"] == "form"
    assert en in result["message"]
    assert zh in result["message_zh"]


def test_wrong_arity_is_an_error_that_says_so() -> None:
    result = one(lambda a: a, a=1, b=2)
    assert result["type"] == "TypeError"
    assert "2 were given" in result["message"]


def test_a_module_gets_given_weights_and_runs_in_evaluation_mode() -> None:
    class Net(nn.Module):
        def __init__(self, width: int):
            super().__init__()
            self.layer, self.drop = nn.Linear(2, width), nn.Dropout(0.9)

        def forward(self, X: torch.Tensor) -> torch.Tensor:
            return self.drop(self.layer(X))

    class Lazy(Net):
        def __init__(self, width: int):
            super().__init__(width)
            self.layer = nn.LazyLinear(width)  # type: ignore[assignment]  # as students do

    inputs = {"arguments": {"width": 3}, "seed": 1, "X": torch.ones(4, 2)}
    first, again, lazy = (one(net, "module", **inputs)["value"] for net in (Net, Net, Lazy))
    assert first["parameters"] == [[3, 2], [3]]
    assert torch.equal(first["output"], again["output"])
    assert torch.equal(first["output"], lazy["output"])
    assert one(Net, "module", **inputs | {"seed": 2})["value"]["output"].ne(first["output"]).any()


def test_a_module_without_forward_is_an_error_and_not_a_stub() -> None:
    class Net(nn.Module):
        pass

    result = one(Net, "module", arguments={}, seed=0, X=torch.ones(1))
    assert (result["status"], result["type"]) == ("error", "NotImplementedError")
    assert "forward" in result["message"]


def test_methods_are_called_in_order() -> None:
    class Counter:
        def __init__(self, start: int):
            self.count = start

        def add(self, n: int) -> int:
            self.count += n
            return self.count

    result = one(Counter, "method", arguments={"start": 1}, calls=[["add", [2]], ["add", [3]]])
    assert result["value"] == [3, 6]
    missing = one(Counter, "method", arguments={"start": 1}, calls=[["sub", [2]]])
    assert "no attribute 'sub'" in missing["message"]


def test_a_training_step_gives_what_it_returned_and_the_weights() -> None:
    def step(model: nn.Module, X: torch.Tensor, y: torch.Tensor, optimizer: Any) -> float:
        optimizer.zero_grad()
        loss = ((model(X) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    model = nn.Sequential(nn.Linear(2, 1))
    inputs = {"model": model, "lr": 0.1, "momentum": 0.0, "calls": 2, "rest": []}
    before = model[0].weight.clone()
    result = one(step, "training_step", X=torch.ones(3, 2), y=torch.zeros(3, 1), **inputs)["value"]
    assert len(result["returned"]) == 2
    assert result["returned"][1] < result["returned"][0]
    assert not torch.equal(result["parameters"][0], before)
    assert torch.equal(model[0].weight, before)  # the inputs are as they were
    assert result["training"] is True


def test_predictions_keep_the_models_mode_and_any_output_comes_back() -> None:
    class Net(nn.Module):
        def forward(self, X: torch.Tensor) -> Any:
            return (X.flatten(1), not self.training)

    net = Net().train()
    (result,) = ask(
        net, {"X": torch.full((2, 2, 2), 255, dtype=torch.uint8)}, adaptor="prediction", mean=0.5, std=0.5
    )
    assert result["value"][0].tolist() == [[1.0] * 4] * 2
    assert result["value"][1] is True
    assert net.training


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


def test_a_person_can_stop_the_check_and_everything_is_restored() -> None:
    def stopped() -> None:
        torch.set_grad_enabled(False)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one(stopped)
    assert torch.is_grad_enabled()


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


POSITIONS = {
    "target": "p",
    "adaptor": "chosen",
    "options": {"total": 3, "num_classes": 2},
    "inputs": [{"positions": [0, 2]}],
}


@pytest.mark.parametrize(
    "given", [[1, 0, 0], torch.tensor([1, 0, 0]), np.array([1, 0, 0]), (True, False, False)]
)
def test_chosen_predictions_become_scores(given: Any) -> None:
    (result,) = answer(given, POSITIONS)
    assert result["value"].tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_chosen_scores_stay_scores() -> None:
    (result,) = answer(torch.tensor([[0.25, 2.0], [9.0, 9.0], [3.0, -1.0]]), POSITIONS)
    assert result["value"].tolist() == [[0.25, 2.0], [3.0, -1.0]]


@pytest.mark.parametrize(
    "given",
    [
        [1, 0],
        [[1], [0], [0]],
        [1.0, 0.0, 0.0],
        [0, 1, 2],
        [0, -1, 1],
        ["a", "b", "c"],
        None,
        {},
        torch.ones(3, 3),
        "abc",
    ],
)
def test_other_forms_than_classes_or_scores_are_told(given: Any) -> None:
    (result,) = answer(given, POSITIONS)
    assert result["status"] == "form" and "expected 3 classes, each a whole" in result["message"]


def test_where_a_tensor_is_asked_for_a_number_will_not_do() -> None:
    questions = {"target": "loss", "adaptor": "function", "inputs": [{"x": torch.ones(2)}]}
    questions |= {"options": {"returns": "tensor"}}
    (right,) = answer(lambda x: x.sum(), questions)
    assert right["status"] == "ok"
    (wrong,) = answer(lambda x: x.sum().item(), questions)
    assert wrong["status"] == "form" and "expected a tensor (`.item()`" in wrong["message"]
    assert "没有梯度" in wrong["message_zh"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no interval timers")
def test_an_endless_loop_is_stopped_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(x: int) -> int:
        while x > 1:
            try:
                x += 1
            except Exception:
                x = 2
        return x

    monkeypatch.setattr(patience, "SECONDS", 0.2)
    before = signal.getsignal(signal.SIGALRM)
    right, *others = ask(endless, {"x": 1}, {"x": 2}, {"x": 1})
    assert right == {"status": "ok", "value": 1}
    assert [result["status"] for result in others] == ["form", "form"]
    assert "did not come to an end" in others[0]["message"] and "没有运行结束" in others[0]["message_zh"]
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_under_grading_the_limit_is_the_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SECONDS", 0.01)
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert one(lambda x: time.sleep(0.1) or x, x=1)["status"] == "ok"
