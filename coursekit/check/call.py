"""Calling a student's object on given inputs with one of the adaptors, and keeping what came of it as plain data."""

import contextlib
import inspect
import random
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coursekit.check import patience
from coursekit.check.adaptors import ADAPTORS, WrongFormError, function
from coursekit.check.tree import NotPlainError, Text, Tree, dumps, loads

MAX_TRACE_LINES = 12
MAX_MESSAGE = 600

# Where no line of a student's is.
_LIBRARIES = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), str(Path(__file__).parents[1]))

_ENDLESS: Text = {
    "en": f"the call did not come to an end within {patience.SECONDS:g} seconds; does a loop wait for something that never "
    "happens?",
    "zh": f"{patience.SECONDS:g} 秒内没有运行结束；是不是有个循环在等一件永远不会发生的事？",
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
    except BaseException as error:  # a student's code may raise anything, SystemExit too
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
