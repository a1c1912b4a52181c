"""Plain data: nested values and tensors as one safetensors file, with nothing in it that could run.

A tree is None, bool, int, float, str, list, tuple, dict with text keys, tensor, NumPy array, or a small
`torch.nn.Sequential` of the layers in `LAYERS`. Reading a file never unpickles and never executes anything.
"""

import json
import math
from typing import Any

import numpy as np
import torch
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
    "Conv2d": (
        *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"),
        "padding_mode",
    ),
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "Flatten": ("start_dim", "end_dim"),
}
# What every PyTorch and safetensors of the supported versions can save, compare and convert.
_DTYPES = (
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
)
MAX_BYTES = 64 * 2**20
MAX_TEXT = 16 * 2**20  # of MAX_BYTES, for everything but the tensors
MAX_VALUES = 2**20
MAX_DEPTH = 40
MAX_DIGITS = 300


class BilingualError(Exception):
    """An error that a student reads.

    Attributes:
        text: the message in both languages.
    """

    def __init__(self, en: str, zh: str):
        super().__init__(en)
        self.text: Text = {"en": en, "zh": zh}


class NotPlainError(BilingualError, TypeError):
    """A value that is not plain data (see the module's docstring)."""


class DamagedError(ValueError):
    """Bytes that are not a tree, or are larger than allowed."""


def dumps(tree: Tree) -> bytes:
    """Write a tree as the bytes of a safetensors file; equal trees (dicts in the same order) give equal bytes.

    Raises:
        NotPlainError: when the tree is not plain data, or is too large for `loads`.
    """
    packer = _Packer()
    text = json.dumps(packer.pack(tree, 0), ensure_ascii=False, separators=(",", ":"))
    data = save_tensors(packer.tensors, metadata={"tree": text})
    if len(text.encode()) > MAX_TEXT or len(data) > MAX_BYTES:
        raise _too_large()
    return data


def loads(data: bytes, *, max_bytes: int = MAX_BYTES) -> Tree:
    """Read a tree back; arrays come back as tensors, float64 arrays as float32.

    Raises:
        DamagedError: when the bytes are too many or are not what `dumps` writes. No other exception: the bytes may come
            from anybody.
    """
    if len(data) > max_bytes:
        raise DamagedError(f"{len(data):,} bytes are more than the {max_bytes:,} allowed")
    try:
        header = int.from_bytes(data[:8], "little")
        if header > 2 * MAX_TEXT:  # as JSON within JSON the text is longer
            raise ValueError("too much text")
        tensors = load_tensors(data)
        text = json.loads(data[8 : 8 + header])["__metadata__"]["tree"]
        return _unpack(json.loads(text), tensors, 0)
    except Exception as error:  # the bytes may come from anybody, and so fail in any way
        raise DamagedError(
            f"not a coursekit data file: {type(error).__name__}: {str(error)[:200]}"
        ) from error


class _Packer:
    """One call of `dumps`: the tensors met so far, and how much has been packed."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self.values = 0
        self.bytes = 0

    def pack(self, value: Any, depth: int) -> Any:
        """A value as JSON; of subclasses only what their base class holds."""
        self.values += 1
        if depth > MAX_DEPTH:
            raise NotPlainError(f"nested more than {MAX_DEPTH} levels deep", f"嵌套超过 {MAX_DEPTH} 层")
        if self.values > MAX_VALUES:
            raise _too_large()
        kind = type(value)  # isinstance would believe an object's own __class__
        if value is None:
            return None
        if issubclass(kind, (bool, np.bool_)):
            return bool(value)
        if issubclass(kind, (int, np.integer)):
            return _plain_int(int.__int__(value) if issubclass(kind, int) else int(value))
        if issubclass(kind, (float, np.floating)):
            real = float.__float__(value) if issubclass(kind, float) else float(value)
            return real if math.isfinite(real) else {"$": "float", "v": repr(real)}
        if issubclass(kind, str):
            return _plain_text(value)
        if issubclass(kind, (np.ndarray, torch.Tensor)):
            return self._pack_tensor(value)
        if issubclass(kind, nn.Module):
            return {"$": "module", "v": [self._pack_layer(layer, depth) for layer in _layers(value)]}
        if issubclass(kind, tuple):
            return {"$": "tuple", "v": [self.pack(item, depth + 1) for item in tuple.__iter__(value)]}
        if issubclass(kind, list):
            return [self.pack(item, depth + 1) for item in list.__iter__(value)]
        if issubclass(kind, dict):
            return {"$": "dict", "v": {_key(key): self.pack(v, depth + 1) for key, v in dict.items(value)}}
        raise NotPlainError(
            f"expected a tensor, a number, text, or a list of them, got a value of type {kind.__name__}",
            f"应为张量、数、文本或由它们组成的列表，得到的却是 {kind.__name__} 类型的值",
        )

    def _pack_tensor(self, value: np.ndarray | torch.Tensor) -> Any:
        size = value.nbytes if isinstance(value, np.ndarray) else _tensor_bytes(value)
        self.bytes += size  # before any copy: an expanded tensor may be larger than the memory
        if self.bytes > MAX_BYTES:
            raise _too_large()
        key = f"t{len(self.tensors)}"
        self.tensors[key] = _plain_tensor(value)
        return {"$": "tensor", "v": key}

    def _pack_layer(self, layer: nn.Module, depth: int) -> Any:
        kind = type(layer).__name__
        settings = {name: getattr(layer, name) for name in _SETTINGS.get(kind, ())}
        if kind in ("Linear", "Conv2d"):
            settings["bias"] = layer.bias is not None
        return {
            "kind": kind,
            "settings": self.pack(settings, depth + 1),
            "state": self.pack(dict(layer.state_dict()), depth + 1),
        }


def _too_large() -> NotPlainError:
    return NotPlainError(
        f"too much data: more than {MAX_BYTES >> 20} MiB, or more than {MAX_VALUES:,} values outside tensors",
        f"数据太多：超过 {MAX_BYTES >> 20} MiB，或张量之外的值超过 {MAX_VALUES:,} 个",
    )


def _plain_int(number: int) -> int:
    if abs(number) >= 10**MAX_DIGITS:
        raise NotPlainError(f"an integer of more than {MAX_DIGITS} digits", f"整数超过 {MAX_DIGITS} 位")
    return number


def _plain_text(value: str) -> str:
    """Without lone surrogates, which cannot be written as UTF-8."""
    return str.encode(value, "utf-8", "replace").decode("utf-8")


def _key(key: Any) -> str:
    if not issubclass(type(key), str):
        raise NotPlainError(
            f"a dictionary whose keys are not text ({type(key).__name__})",
            f"字典的键不是文本（{type(key).__name__}）",
        )
    return _plain_text(key)


def _tensor_bytes(value: torch.Tensor) -> int:
    with torch._C.DisableTorchFunctionSubclass():
        if value.layout != torch.strided or value.is_quantized or value.dtype not in _DTYPES or value.is_meta:
            kind = f"{value.dtype}, {value.layout}, {value.device.type}".replace("torch.", "")
            raise NotPlainError(
                f"a tensor of this kind cannot be checked: {kind}; return an ordinary one of real numbers",
                f"这种张量无法检查：{kind}；请返回普通的实数张量",
            )
        return value.numel() * value.element_size()


def _plain_tensor(value: np.ndarray | torch.Tensor) -> torch.Tensor:
    """A contiguous CPU copy without subclass, gradient or shared memory."""
    if isinstance(value, np.ndarray):
        native = np.array(value, order="C").astype(value.dtype.newbyteorder("="), copy=False)
        try:
            tensor = torch.from_numpy(native)
        except TypeError as error:
            raise _not_numbers(value) from error
        if tensor.dtype not in _DTYPES:
            raise _not_numbers(value)
        return tensor.float() if tensor.dtype == torch.float64 else tensor
    with torch._C.DisableTorchFunctionSubclass():
        plain = torch.Tensor.as_subclass(value, torch.Tensor).detach().cpu()
        return plain.clone(memory_format=torch.contiguous_format)


def _not_numbers(value: np.ndarray) -> NotPlainError:
    return NotPlainError(
        f"a NumPy array of {value.dtype} cannot be checked; return one of real numbers",
        f"{value.dtype} 类型的 NumPy 数组无法检查；请返回实数数组",
    )


def _layers(model: nn.Module) -> list[nn.Module]:
    layers = list(model) if isinstance(model, nn.Sequential) else [model]
    unknown = [
        type(layer).__name__ for layer in layers if LAYERS.get(type(layer).__name__) is not type(layer)
    ]
    if unknown:
        names, known = ", ".join(unknown), ", ".join(LAYERS)
        raise NotPlainError(
            f"a model with {names} is not plain data; known layers: {known}",
            f"含有 {names} 的模型不是普通数据；可用的层：{known}",
        )
    return layers


def _unpack(value: Any, tensors: dict[str, torch.Tensor], depth: int) -> Tree:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, list):
        return [_unpack(item, tensors, depth + 1) for item in value]
    if isinstance(value, str):
        return _plain_text(value)
    if isinstance(value, int):
        return value if isinstance(value, bool) else _plain_int(value)
    if not isinstance(value, dict):
        return value
    kind, content = value["$"], value["v"]
    if kind == "tensor":
        # `dumps` names each tensor once; one that is named a million times would be no longer small.
        tensor = tensors.pop(content)
        if tensor.dtype not in _DTYPES:
            raise ValueError(f"a tensor of {tensor.dtype}")
        return tensor
    if kind == "float":
        return float(content)
    if kind == "tuple":
        return tuple(_unpack(item, tensors, depth + 1) for item in content)
    if kind == "dict":
        return {_plain_text(key): _unpack(item, tensors, depth + 1) for key, item in content.items()}
    if kind == "module":
        return nn.Sequential(*(_unpack_layer(layer, tensors, depth) for layer in content))
    raise ValueError(f"unknown kind {kind!r}")


def _unpack_layer(layer: dict[str, Any], tensors: dict[str, torch.Tensor], depth: int) -> nn.Module:
    kind = layer["kind"]
    settings = _unpack(layer["settings"], tensors, depth + 1)
    state = _unpack(layer["state"], tensors, depth + 1)
    if set(settings) - {*_SETTINGS.get(kind, ()), "bias"}:
        raise ValueError(f"unknown settings of {kind}: {list(settings)}")
    # So nothing advances the random generator, or takes memory for what the settings claim.
    with torch.device("meta"):
        module = LAYERS[kind](**settings)
    module.load_state_dict({name: tensor.clone() for name, tensor in state.items()}, assign=True)
    return module
