"""The few named ways to call a student's object: each takes the object, the inputs of a case and the exercise's options."""

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from coursekit.check.tree import BilingualError, Tree


class WrongFormError(BilingualError):
    """The object is not of the form that the exercise asks for (a number where a function is expected, say)."""

    def __init__(self, expected_en: str, expected_zh: str, got: Any, *more: tuple[str, str]):
        english, chinese = _describe(got)
        en, zh = ("".join(texts) for texts in zip(*more, strict=True)) if more else ("", "")
        super().__init__(
            f"expected {expected_en}, got {english}{en}", f"应为{expected_zh}，得到的却是{chinese}{zh}"
        )


def function(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """`target(*inputs)`: positional, so that parameters may be renamed.

    Option `gradient_to`: names of inputs to which a gradient has to flow back from the result, or, with the option
    `gradient_from`, from the first so many results. Then what was `returned` is told with where a gradient does flow.
    """
    _need_function(target)
    names = options.get("gradient_to", ())
    sources = [inputs[name].requires_grad_() for name in names]
    # Copies, since what has a gradient of its own may not be changed in place: that is another mistake, told elsewhere.
    inputs.update({name: source.clone() for name, source in zip(names, sources, strict=True)})
    returned = target(*inputs.values())
    return {"returned": returned, **_flows(returned, names, sources, options)} if names else returned


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


def game_step(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """Call a training step of a game of two players on small models with known weights, once for each of the `batches`.

    `target(generator, discriminator, generator_optimizer, discriminator_optimizer, *batch)`, with an SGD for each player.
    Option `spectator`: the player who must be left without a gradient, of which the sum of absolute values is told. The other
    one finds in itself, from the second call on, what the spectator's own step would have left there: a gradient.
    """
    _need_function(target)
    players = {name: inputs[name] for name in ("generator", "discriminator")}
    optimizers = [
        _Restless(player.parameters(), lr=inputs["lr"], momentum=inputs["momentum"], weight_decay=0.1)
        for player in players.values()
    ]
    spectator = options.get("spectator")
    result: dict[str, Tree] = {}
    for i, batch in enumerate(inputs["batches"]):
        result[f"loss of step {i + 1}"] = target(*players.values(), *optimizers, *batch)
        for name, player in players.items():
            if spectator and name != spectator:
                _leave_gradient(player)
    for name, player in players.items():
        result[f"weights of the {name}"] = [parameter.detach() for parameter in player.parameters()]
    for name, player in players.items():
        result[f"the {name} can still learn"] = all(p.requires_grad for p in player.parameters())
        result[f"the {name} is in training mode"] = player.training
    if spectator:
        left = [p.grad.abs().sum().item() for p in players[spectator].parameters() if p.grad is not None]
        result[f"gradient left in the {spectator}"] = sum(left)
    return result


def prediction(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """Scores `(N, C)` of a trained model for grey images `X` `(N, H, W)`, uint8."""
    if not isinstance(target, nn.Module):
        raise WrongFormError("a trained nn.Module", "训练好的 nn.Module", target)
    with _judged(target) as device:
        scores = target(_scaled(inputs["X"], options).to(device))
        return scores.float() if isinstance(scores, torch.Tensor) else scores


def reconstruction(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """Images `(N, 1, H, W)` that a trained auto-encoder makes of grey images `X` `(N, H, W)`, uint8.

    `encode` gives the codes `(N, code_size)`; `decode` sees nothing but these, and in another order, so that no image gets
    past the bottleneck.
    """
    size = options["code_size"]
    _need_methods(target, "encode", "decode")
    with _judged(target) as device:
        codes = target.encode(_scaled(inputs["X"], options).to(device))
        if not isinstance(codes, torch.Tensor) or codes.shape != (len(inputs["X"]), size):
            raise WrongFormError(
                f"codes of shape ({len(inputs['X'])}, {size}) from `encode`",
                f"由 `encode` 给出的、形状为 ({len(inputs['X'])}, {size}) 的编码",
                codes,
            )
        order = torch.randperm(len(codes))
        images = target.decode(codes.float()[order].clone())
        return images.float()[order.argsort()] if isinstance(images, torch.Tensor) else images


def drawing(target: Any, inputs: dict[str, Tree], options: Mapping[str, Tree]) -> Tree:
    """Images `(N, 1, H, W)` that a trained generative model draws of the classes `labels` `(N,)`, from fresh noise."""
    _need_methods(target, "sample")
    wishes = {"labels": inputs["labels"], "seed": inputs["seed"]}
    try:
        inspect.signature(target.sample).bind(len(inputs["labels"]), **wishes)
    except TypeError as error:
        raise WrongFormError(
            "a model that draws what is asked for, `sample(n, labels=..., seed=...)`, as a `conditional_gan` does",
            "一个能按要求的类别来画的模型，即带有 `sample(n, labels=..., seed=...)`（例如 `conditional_gan`）",
            target,
        ) from error
    with _judged(target):
        images = target.sample(len(inputs["labels"]), **wishes)
        return images.float() if isinstance(images, torch.Tensor) else images


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


_CUT_OFF = (
    "; `.item()`, `float()`, `.detach()`, numpy and `no_grad` cut it off",
    "；`.item()`、`float()`、`.detach()`、numpy 和 `no_grad` 都会切断梯度",
)

# Cases that were handed out name their adaptor. One whose meaning changes gets a new name, so that these are refused, not misjudged.
ADAPTORS: dict[str, Callable[[Any, dict[str, Tree], Mapping[str, Tree]], Tree]] = {
    adaptor.__name__: adaptor
    for adaptor in (
        *(function, module, method, training_step, game_step),
        *(prediction, reconstruction, drawing, chosen),
    )
}


def _flows(
    returned: Any, names: Sequence[str], sources: Sequence[torch.Tensor], options: Mapping[str, Tree]
) -> dict[str, Tree]:
    """Whether a gradient flows back to each of the sources, from the result or, of several, from each; nothing if they are no tensors."""
    several = isinstance(returned, list | tuple)
    results = (list(returned) if several else [returned])[: options.get("gradient_from")]
    flows: dict[str, Tree] = {}
    for i, result in enumerate(results):
        tensor = isinstance(result, torch.Tensor)
        if (tensor and not result.requires_grad) or isinstance(result, int | float | np.number | np.ndarray):
            raise WrongFormError(
                f"a tensor from which a gradient flows back to {_listed(names)}",
                f"一个张量，并且梯度能从它传回 {_listed(names)}",
                result,
                (" without gradient", "（没有梯度）") if tensor else ("", ""),
                _CUT_OFF,
            )
        gradients = (
            torch.autograd.grad(result.sum(), sources, retain_graph=True, allow_unused=True)
            if tensor
            else [None] * len(names)
        )
        origin = f" from result {i + 1}" if several else ""
        flows |= {
            f"gradient{origin} back to {name}": gradient is not None
            for name, gradient in zip(names, gradients, strict=True)
        }
    return flows


class _Restless(torch.optim.SGD):
    """Moves its player (by the weight decay) even where no gradient has come, so that no step of the wrong one goes unseen."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        return super().step(closure)


def _leave_gradient(player: nn.Module) -> None:
    for parameter in player.parameters():
        left = torch.full_like(parameter, 0.5)
        parameter.grad = left if parameter.grad is None else parameter.grad + left


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _need_function(target: Any) -> None:
    if not callable(target) or isinstance(target, type):
        raise WrongFormError("a function", "一个函数", target)


def _need_methods(target: Any, *names: str) -> None:
    if isinstance(target, nn.Module) and all(callable(getattr(target, name, None)) for name in names):
        return
    code = _listed(names)
    raise WrongFormError(f"a trained nn.Module with {code}", f"训练好的、带有 {code} 的 nn.Module", target)


def _scaled(X: torch.Tensor, options: Mapping[str, Tree]) -> torch.Tensor:
    """Grey images (N, H, W), uint8, as the model was trained on: (N, 1, H, W)."""
    return (X.float().unsqueeze(1) / 255 - options["mean"]) / options["std"]


@contextlib.contextmanager
def _judged(model: nn.Module) -> Iterator[torch.device]:
    """In evaluation mode and without gradients; the device that the model is on."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    finally:
        model.train(training)


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
