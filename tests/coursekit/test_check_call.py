"""Calling a student's object: every way to call, the form that it must have, and how long it may take."""

import signal
import time
from typing import Any

import pytest
import torch
from asking import ask, one
from torch import nn

from coursekit.check import patience


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
