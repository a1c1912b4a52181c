"""Calling a student's object on given inputs, in one of a few named ways, and keeping what came of it as plain data."""

import contextlib
import inspect
import math
import random
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from coursekit.check import patience
from coursekit.check.tree import NotPlainError, Text, Tree, dumps, loads

MAX_TRACE_LINES = 12
MAX_MESSAGE = 600

# Where no line of a student's is.
_LIBRARIES = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), str(Path(__file__).parents[1]))


class WrongFormError(Exception):
    """The object is not of the form that the exercise asks for (a number where a function is expected, say).

    Attributes:
        text: the message in both languages.
    """

    def __init__(self, expected_en: str, expected_zh: str, got: Any):
        english, chinese = _describe(got)
        super().__init__(f"expected {expected_en}, got {english}")
        self.text: Text = {"en": str(self), "zh": f"应为{expected_zh}，得到的却是{chinese}"}


def function(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """`target(*inputs)`: positional, so that parameters may be renamed. Option `returns`: "tensor", where a number will not do."""
    _need_function(target)
    value = target(*inputs.values())
    if options.get("returns") == "tensor" and isinstance(value, int | float | np.number):
        raise WrongFormError(
            "a tensor (`.item()` and `float()` leave a number that has no gradient)",
            "一个张量（用 `.item()` 或 `float()` 取出来的数没有梯度）",
            value,
        )
    return value


def module(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """Build the module class, give every parameter known values, and run it on `X` in evaluation mode."""
    if not (isinstance(target, type) and issubclass(target, nn.Module)):
        raise WrongFormError("a class derived from nn.Module", "派生自 nn.Module 的类", target)
    model = target(**inputs["arguments"])
    if any(isinstance(parameter, UninitializedParameter) for parameter in model.parameters()):
        model(inputs["X"])  # lazy layers learn their sizes from the first input
    rng = np.random.default_rng(inputs["seed"])
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = max(1, math.prod(parameter.shape[1:]))
            values = rng.standard_normal(tuple(parameter.shape)) / fan_in**0.5
            parameter.copy_(torch.from_numpy(values))
        model.eval()
        output = model(inputs["X"])
    return {"parameters": [list(parameter.shape) for parameter in model.parameters()], "output": output}


def method(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """Build an object of the class and call its methods in order; the result of each."""
    if not isinstance(target, type):
        raise WrongFormError("a class", "一个类", target)
    instance = target(**inputs["arguments"])
    return [getattr(instance, name)(*arguments) for name, arguments in inputs["calls"]]


def training_step(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """Call a training function on a small model with known weights; what it returned, and the weights after."""
    _need_function(target)
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
        raise WrongFormError("a trained nn.Module", "训练好的 nn.Module", target)
    X = (inputs["X"].float().unsqueeze(1) / 255 - options["mean"]) / options["std"]
    device = next((parameter.device for parameter in target.parameters()), torch.device("cpu"))
    training = target.training
    target.eval()
    try:
        with torch.no_grad():
            scores = target(X.to(device))
            return scores.float() if isinstance(scores, torch.Tensor) else scores
    finally:
        target.train(training)


def chosen(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """Scores `(n, C)` of the predictions at `positions`, of all that were handed in: classes `(N,)` or scores `(N, C)`."""
    total, num_classes = options["total"], options["num_classes"]
    wrong_form = WrongFormError(
        f"{total} classes, each a whole number from 0 to {num_classes - 1}",
        f" {total} 个类别，每个是 0 到 {num_classes - 1} 的整数",
        target,
    )
    try:
        given = torch.as_tensor(target)
    except (TypeError, ValueError, RuntimeError) as error:
        raise wrong_form from error
    if given.shape == (total, num_classes):
        return given[inputs["positions"]].float()
    if given.shape != (total,) or given.is_floating_point() or given.is_complex():
        raise wrong_form
    if not 0 <= int(given.min()) <= int(given.max()) < num_classes:
        raise wrong_form
    return nn.functional.one_hot(given[inputs["positions"]].long(), num_classes).float()


_ENDLESS: Text = {
    "en": f"the call did not come to an end within {patience.SECONDS:g} seconds; does a loop wait for something that never "
    "happens?",
    "zh": f"{patience.SECONDS:g} 秒内没有运行结束；是不是有个循环在等一件永远不会发生的事？",
}

ADAPTORS: dict[str, Callable[[Any, dict[str, Tree], Mapping[str, Tree]], Tree]] = {
    adaptor.__name__: adaptor for adaptor in (function, module, method, training_step, prediction, chosen)
}


def answer(target: Any, questions: Tree) -> list[dict[str, Tree]]:
    """Call `target` on the inputs of a `CaseSet.questions()`; one plain result a case.

    A result's `status` is "ok" with the `value` (and the names of arguments that a function `changed`), "not attempted" (the
    stub is still there), "error" with `type`, `message` and the student's own lines of the `trace`, or "form" with a
    `message` in English and in Chinese (`message_zh`) when the value is not plain data, the object is of the wrong form, or
    a call does not come to an end; then the cases after it are not tried and count as the same. When the first case is not
    attempted, the others are not tried. The random generators and torch's modes are as before afterwards.

    Raises:
        KeyboardInterrupt: when a person stops the check. Whatever else the student's code raises, `SystemExit` too, is
            a result.
    """
    call = ADAPTORS[questions["adaptor"]]
    results: list[dict[str, Tree]] = []
    for number, inputs in enumerate(questions["inputs"]):
        before = dumps(inputs)
        fresh = loads(before)  # a student's function may change its arguments
        try:
            with _undisturbed(number), patience.patience(patience.SECONDS):
                results.append(_one(call, target, fresh, questions["options"]))
        except patience.EndlessError:
            return results + [_form(_ENDLESS)] * (len(questions["inputs"]) - number)
        if call is function and results[-1]["status"] == "ok" and (changed := _changed(fresh, before)):
            results[-1]["changed"] = changed
        if results[0]["status"] == "not attempted":
            break
    return results


def _changed(inputs: dict[str, Tree], before: bytes) -> list[str]:
    """The names of the arguments that are not what they were."""
    try:
        return [name for name, value in loads(before).items() if dumps(inputs[name]) != dumps(value)]
    except NotPlainError:  # something else was put into a list or dict
        return list(inputs)


def _one(
    call: Callable[..., Tree], target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]
) -> dict[str, Tree]:
    try:
        value = call(target, inputs, options)
    except WrongFormError as error:
        return _form(error.text)
    except (KeyboardInterrupt, patience.EndlessError):
        raise
    except BaseException as error:
        # torch raises NotImplementedError too, always with a message; the stub has none.
        if type(error) is NotImplementedError and not error.args:
            return _stub(error, target)
        return {
            "status": "error",
            "type": _plain(type(error).__name__),
            "message": _message(error),
            "trace": own_lines(error),
        }
    try:
        return {"status": "ok", "value": loads(dumps(value))}
    except NotPlainError as error:
        return _form(error.text)
    except Exception as error:  # an object that answers strangely when it is looked at
        reason = f"{type(error).__name__}: {_message(error)}"
        kind = type(value).__name__
        return _form(
            {
                "en": f"the {kind} that came back cannot be read ({reason})",
                "zh": f"返回的 {kind} 无法读取（{reason}）",
            }
        )


def _stub(error: BaseException, target: Any) -> dict[str, Tree]:
    """Nothing attempted, unless the function itself is written and another one that it calls is still a stub."""
    name = traceback.extract_tb(error.__traceback__)[-1].name
    if not inspect.isfunction(target) or name == target.__name__ or name not in target.__globals__:
        return {"status": "not attempted"}
    return _form(
        {
            "en": f"`{target.__name__}` calls `{name}`, which is not written yet; do that exercise first",
            "zh": f"`{target.__name__}` 调用了 `{name}`，而它还没有写好；请先完成那道练习",
        }
    )


def _form(text: Text) -> dict[str, Tree]:
    english, chinese = (_plain(text[language])[:MAX_MESSAGE] for language in ("en", "zh"))
    return {"status": "form", "message": english, "message_zh": chinese}


def _message(error: BaseException) -> str:
    try:
        return _plain(str(error))[:MAX_MESSAGE]
    except Exception as second:  # the student's own exception class may fail at this too
        return f"(its message raised {type(second).__name__})"


def _plain(text: str) -> str:
    """Without lone surrogates: a notebook is UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def own_lines(error: BaseException) -> list[str]:
    """The lines of the traceback that the student wrote, in cells or files; not those of libraries."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen", "<__array", *_LIBRARIES))
        and not {"site-packages", "dist-packages"} & set(Path(frame.filename).parts)
    ]
    lines = [f"line {frame.lineno} in {frame.name}: {frame.line or ''}".rstrip(": ") for frame in own]
    return [_plain(line) for line in lines[-MAX_TRACE_LINES:]]


@contextlib.contextmanager
def _undisturbed(seed: int) -> Iterator[None]:
    """The same random numbers for every call, the caller's generators and modes restored, and nothing on stderr.

    nbgrader gives 0 for a graded cell with any output on stderr, so a student's warning goes to stdout.
    """
    numpy_state, python_state, dtype = np.random.get_state(), random.getstate(), torch.get_default_dtype()
    with (
        torch.random.fork_rng(devices=[]),
        torch.inference_mode(False),
        torch.enable_grad(),
        contextlib.redirect_stderr(sys.stdout),
    ):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPU's too, for good
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
            torch.set_default_dtype(dtype)


def _need_function(target: Any) -> None:
    if not callable(target) or isinstance(target, type):
        raise WrongFormError("a function", "一个函数", target)


def _describe(value: Any) -> tuple[str, str]:
    if value is None:
        return "None", " None"
    if isinstance(value, type):
        return f"the class {value.__name__}", f"类 {value.__name__}"
    if isinstance(value, torch.Tensor):
        shape = tuple(value.shape)
        return (
            f"a tensor of shape {shape} and dtype {value.dtype}",
            f"形状为 {shape}、类型为 {value.dtype} 的张量",
        )
    if isinstance(value, list):
        kinds = ", ".join(sorted({type(item).__name__ for item in value[:1000]}))
        return f"a list of length {len(value)} (of {kinds})", f"长度为 {len(value)} 的列表（元素为 {kinds}）"
    return f"a value of type {type(value).__name__}", f" {type(value).__name__} 类型的值"
