"""Calling a student's object on given inputs, in one of a few named ways, and keeping what came of it as plain data."""

import contextlib
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from coursekit.check.tree import NotPlainError, Tree, dumps, loads

MAX_TRACE_LINES = 12
MAX_MESSAGE = 600


class WrongFormError(Exception):
    """The object is not of the form that the exercise asks for (a number where a function is expected, say)."""


def function(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """`target(*inputs)`: positional, so that parameters may be renamed."""
    _need_callable(target)
    result = target(*inputs.values())
    return result


def module(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """Build the module class, give every parameter known values, and run it on `X` in evaluation mode."""
    if not (isinstance(target, type) and issubclass(target, nn.Module)):
        raise WrongFormError(f"expected a class derived from nn.Module, got {_describe(target)}")
    model = target(**inputs["arguments"])
    rng = np.random.default_rng(inputs["seed"])
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = max(1, parameter[0].numel()) if parameter.dim() > 1 else 1
            values = rng.standard_normal(tuple(parameter.shape)) / fan_in**0.5
            parameter.copy_(torch.from_numpy(values))
        model.eval()
        output = model(inputs["X"])
    return {"parameters": [list(parameter.shape) for parameter in model.parameters()], "output": output}


def method(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """Build an object of the class and call its methods in order; the result of each."""
    if not isinstance(target, type):
        raise WrongFormError(f"expected a class, got {_describe(target)}")
    instance = target(**inputs["arguments"])
    return [getattr(instance, name)(*arguments) for name, arguments in inputs["calls"]]


def training_step(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """Call a training function on a small model with known weights; what it returned, and the weights after."""
    _need_callable(target)
    model = inputs["model"]
    optimizer = torch.optim.SGD(model.parameters(), lr=inputs["lr"], momentum=inputs["momentum"])
    returned = [
        target(model, inputs["X"], inputs["y"], optimizer, *inputs["rest"]) for _ in range(inputs["calls"])
    ]
    return {
        "returned": returned,
        "parameters": [parameter.detach() for parameter in model.parameters()],
        "training": model.training,
    }


def prediction(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """Scores `(N, C)` of a trained model for grey images `X` `(N, H, W)`, uint8."""
    if not isinstance(target, nn.Module):
        raise WrongFormError(f"expected a trained nn.Module, got {_describe(target)}")
    X = (inputs["X"].float().unsqueeze(1) / 255 - options["mean"]) / options["std"]
    device = next((parameter.device for parameter in target.parameters()), torch.device("cpu"))
    training = target.training
    target.eval()
    try:
        with torch.no_grad():
            return target(X.to(device)).float()
    finally:
        target.train(training)


ADAPTORS: dict[str, Callable[[Any, dict[str, Tree], Mapping[str, Tree]], Tree]] = {
    adaptor.__name__: adaptor for adaptor in (function, module, method, training_step, prediction)
}


def answer(target: Any, questions: Tree) -> list[dict[str, Tree]]:
    """Call `target` on the inputs of a `CaseSet.questions()`; one plain result a case.

    A result's `status` is "ok" with the `value`, "not attempted", "error" with `type`, `message` and the student's own
    lines of the `trace`, or "form" with a `message` when the value is not plain data or the object is of the wrong form.
    The random generators and the global settings are as before afterwards.
    """
    call = ADAPTORS[questions["adaptor"]]
    results = []
    for number, inputs in enumerate(questions["inputs"]):
        fresh = loads(dumps(inputs))  # a student's function may change its arguments
        with _undisturbed(number):
            results.append(_one(call, target, fresh, questions["options"]))
        if results[-1]["status"] == "not attempted":
            return results
    return results


def _one(
    call: Callable[..., Tree], target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]
) -> dict[str, Tree]:
    try:
        value = call(target, inputs, options)
        return {"status": "ok", "value": loads(dumps(value))}
    except NotImplementedError:
        return {"status": "not attempted"}
    except (NotPlainError, WrongFormError) as error:
        return {"status": "form", "message": str(error)[:MAX_MESSAGE]}
    except Exception as error:
        return {
            "status": "error",
            "type": type(error).__name__,
            "message": str(error)[:MAX_MESSAGE],
            "trace": own_lines(error),
        }


def own_lines(error: BaseException) -> list[str]:
    """The lines of the traceback that the student wrote: those of notebook cells, not of libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith("<") or "ipykernel_" in frame.filename]
    lines = [f"line {frame.lineno} in {frame.name}: {frame.line or ''}".rstrip(": ") for frame in own]
    return lines[-MAX_TRACE_LINES:]


@contextlib.contextmanager
def _undisturbed(seed: int) -> Iterator[None]:
    """The same random numbers for every call, the caller's generators restored, and nothing on stderr.

    nbgrader gives 0 for a graded cell with any output on stderr, so a student's warning goes to stdout.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    grad = torch.is_grad_enabled()
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stderr(sys.stdout):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            torch.set_grad_enabled(True)
            yield
        finally:
            torch.set_grad_enabled(grad)
            np.random.set_state(numpy_state)
            random.setstate(python_state)


def _need_callable(target: Any) -> None:
    if not callable(target):
        raise WrongFormError(f"expected a function, got {_describe(target)}")


def _describe(value: Any) -> str:
    return (
        f"the class {value.__name__}"
        if isinstance(value, type)
        else f"a value of type {type(value).__name__}"
    )
