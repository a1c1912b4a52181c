"""Plain data: nested values and tensors as one safetensors file, with nothing in it that could run.

A tree is None, bool, int, float, str, list, tuple, dict with text keys, tensor, NumPy array, or a small
`torch.nn.Sequential` of the layers in `LAYERS`. Reading a file never unpickles and never executes anything.
"""

import json
import math
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

Tree = Any
Text = dict[str, str]  # the same sentence in each language: {"en": ..., "zh": ...}

LAYERS = {
    cls.__name__: cls
    for cls in (nn.Linear, nn.Conv2d, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Flatten, nn.MaxPool2d)
}
_SETTINGS = {
    "Linear": ("in_features", "out_features"),
    "Conv2d": ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    "MaxPool2d": ("kernel_size", "stride"),
}
MAX_BYTES = 64 * 2**20
MAX_DEPTH = 40
MAX_DIGITS = 300


class NotPlainError(TypeError):
    """A value that is not plain data (see the module's docstring)."""


class DamagedError(ValueError):
    """Bytes that are not a tree, or are larger than allowed."""


def dumps(tree: Tree) -> bytes:
    """Write a tree as the bytes of a safetensors file (equal trees give equal bytes)."""
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(_pack(tree, tensors, 0), ensure_ascii=False, separators=(",", ":"))
    return save_tensors(tensors, metadata={"tree": text})


def loads(data: bytes, *, max_bytes: int = MAX_BYTES) -> Tree:
    """Read a tree back; arrays come back as tensors, float64 arrays as float32.

    Raises:
        DamagedError: when the bytes are too many or are not what `dumps` writes.
    """
    if len(data) > max_bytes:
        raise DamagedError(f"{len(data):,} bytes are more than the {max_bytes:,} allowed")
    try:
        tensors = load_tensors(data)
        header = int.from_bytes(data[:8], "little")
        text = json.loads(data[8 : 8 + header])["__metadata__"]["tree"]
        return _unpack(json.loads(text), tensors, 0)
    except (
        SafetensorError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        RecursionError,
    ) as error:
        raise DamagedError(f"not a coursekit data file: {type(error).__name__}: {error}") from error


def _pack(value: Any, tensors: dict[str, torch.Tensor], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise NotPlainError(f"nested more than {MAX_DEPTH} levels deep")
    if value is None or isinstance(value, (bool, np.bool_)):
        return None if value is None else bool(value)
    if isinstance(value, (int, np.integer)):
        number = int(value)
        if abs(number) >= 10**MAX_DIGITS:
            raise NotPlainError(f"an integer of more than {MAX_DIGITS} digits")
        return number
    if isinstance(value, (float, np.floating)):
        real = float(value)
        return real if math.isfinite(real) else {"$": "float", "v": repr(real)}
    if isinstance(value, str):
        # A lone surrogate cannot be written as UTF-8.
        return str(value).encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, (np.ndarray, torch.Tensor)):
        key = f"t{len(tensors)}"
        tensors[key] = _plain_tensor(value)
        return {"$": "tensor", "v": key}
    if isinstance(value, nn.Module):
        return {"$": "module", "v": [_pack_layer(layer, tensors, depth) for layer in _layers(value)]}
    if isinstance(value, tuple):
        return {"$": "tuple", "v": [_pack(item, tensors, depth + 1) for item in value]}
    if isinstance(value, list):
        return [_pack(item, tensors, depth + 1) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"$": "dict", "v": {str(key): _pack(item, tensors, depth + 1) for key, item in value.items()}}
    raise NotPlainError(
        f"a {type(value).__name__} is not plain data (a tensor, a number, text, or a list of them)"
    )


def _plain_tensor(value: np.ndarray | torch.Tensor) -> torch.Tensor:
    """A contiguous CPU copy without subclass, gradient or shared memory."""
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            raise NotPlainError("a NumPy array of objects is not plain data")
        tensor = torch.from_numpy(np.array(value, copy=True))
        return tensor.float() if tensor.dtype == torch.float64 else tensor
    with torch._C.DisableTorchFunctionSubclass():
        return value.as_subclass(torch.Tensor).detach().cpu().clone(memory_format=torch.contiguous_format)


def _layers(model: nn.Module) -> list[nn.Module]:
    layers = list(model) if isinstance(model, nn.Sequential) else [model]
    unknown = [type(layer).__name__ for layer in layers if type(layer).__name__ not in LAYERS]
    if unknown:
        raise NotPlainError(
            f"a model with {', '.join(unknown)} is not plain data; known layers: {', '.join(LAYERS)}"
        )
    return layers


def _pack_layer(layer: nn.Module, tensors: dict[str, torch.Tensor], depth: int) -> Any:
    kind = type(layer).__name__
    settings = {name: getattr(layer, name) for name in _SETTINGS.get(kind, ())}
    if kind in ("Linear", "Conv2d"):
        settings["bias"] = layer.bias is not None
    return {
        "kind": kind,
        "settings": _pack(settings, tensors, depth + 1),
        "state": _pack(dict(layer.state_dict()), tensors, depth + 1),
    }


def _unpack(value: Any, tensors: dict[str, torch.Tensor], depth: int) -> Tree:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, list):
        return [_unpack(item, tensors, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    kind, content = value["$"], value["v"]
    if kind == "tensor":
        return tensors[content]
    if kind == "float":
        return float(content)
    if kind == "tuple":
        return tuple(_unpack(item, tensors, depth + 1) for item in content)
    if kind == "dict":
        return {key: _unpack(item, tensors, depth + 1) for key, item in content.items()}
    if kind == "module":
        return nn.Sequential(*(_unpack_layer(layer, tensors, depth) for layer in content))
    raise ValueError(f"unknown kind {kind!r}")


def _unpack_layer(layer: dict[str, Any], tensors: dict[str, torch.Tensor], depth: int) -> nn.Module:
    cls = LAYERS[layer["kind"]]
    settings = _unpack(layer["settings"], tensors, depth + 1)
    state = _unpack(layer["state"], tensors, depth + 1)
    if not state:
        return cls(**settings)
    module = nn.utils.skip_init(cls, **settings)  # reading a file must not advance the random generator
    module.load_state_dict({name: tensor.clone() for name, tensor in state.items()})
    return module
