"""Weights that travel with a notebook: small safetensors files that say what they belong to.

A file holds the weights that training may have changed (not those that were frozen, such as a pretrained encoder under
low-rank adapters) and, as JSON in its header, hashes of architecture, training data, settings and frozen weights (never
of source text), and the history of the run. Under grading it stands for the training when the hashes fit. Reading limits
the size, accepts tensors of the model's own names and shapes only, and executes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import coursekit
from coursekit.data.dataset import fingerprint as hash_tensors
from coursekit.train.files import replacing
from coursekit.train.history import BaseHistory
from coursekit.train.run import BaseSettings

AnyHistory = TypeVar("AnyHistory", bound=BaseHistory)
KEY = "coursekit"
SPARE_BYTES = 1_000_000  # for the header with its history, beside the tensors themselves


@dataclass(frozen=True)
class Origin:
    """What weights belong to: hashes of architecture, training data and frozen weights ("" for none), and the settings."""

    architecture: str
    data: str
    settings: dict[str, Any]
    frozen: str = ""

    @classmethod
    def of(cls, model: nn.Module, data_fingerprint: str, settings: BaseSettings) -> Origin:
        """The origin of what `fit` would train now."""
        learns = learned(model)
        frozen = [tensor for name, tensor in model.state_dict().items() if name not in learns]
        beneath = hash_tensors(*frozen) if frozen else ""
        return cls(architecture(model), data_fingerprint, settings.to_dict(), beneath)

    def to_dict(self) -> dict[str, Any]:
        """For the header: the settings by name, and a hash of each part."""
        return {
            "architecture": self.architecture,
            "data": self.data,
            "settings": self.settings,
            "settings_hash": _hash(self.settings),
        } | ({"frozen": self.frozen} if self.frozen else {})

    def differences(self, other: Mapping[str, Any], settings: BaseSettings) -> str:
        """In which parts the `other` origin (from a header) is another one, in words; "" when it is the same."""
        parts = [name for name in ("architecture", "data") if other.get(name) != getattr(self, name)]
        parts = [f"another {name}" if name == "architecture" else "other training data" for name in parts]
        if other.get("frozen", "") != self.frozen:
            parts.append("other frozen weights (another pretrained encoder?)")
        if other.get("settings_hash") != _hash(self.settings):
            theirs = other.get("settings")
            changes = settings.changes(theirs) if isinstance(theirs, dict) else "unknown"
            parts.append(f"other settings ({changes or 'unknown'})")
        return ", ".join(parts)


class WeightsError(ValueError):
    """The weights are missing, damaged or of something else; `flag` names which for the grader."""

    def __init__(self, flag: str, detail: str) -> None:
        super().__init__(detail)
        self.flag, self.detail = flag, detail


def weights_path(save: str | Path) -> Path:
    """Where `save="lenet"` leaves its weights: `lenet.safetensors` in the current folder."""
    path = Path(save)
    return path if path.suffix == ".safetensors" else path.with_name(path.name + ".safetensors")


def save_weights(path: Path, model: nn.Module, origin: Origin, history: BaseHistory) -> None:
    """Write what is `learned` in `model` with where it comes from, whole or not at all, in place of an older file."""
    header = origin.to_dict() | {"version": coursekit.__version__, "history": history.to_dict()}
    tensors = {name: tensor.cpu().contiguous().clone() for name, tensor in learned(model).items()}
    with replacing(path) as part:
        save_file(tensors, part, metadata={KEY: json.dumps(header)})


def load_weights(
    path: Path, model: nn.Module, origin: Origin, settings: BaseSettings, kind: type[AnyHistory]
) -> AnyHistory:
    """Put the weights in `path` into `model`, when they belong to `origin`, and return the history, of that `kind`, that made them.

    Raises:
        WeightsError: there is no such file, it is damaged or too large, or it belongs to something else; the model is
            then as it was.
    """
    state = learned(model)
    limit = SPARE_BYTES + sum(tensor.nbytes for tensor in state.values())
    if not path.is_file():
        raise WeightsError("weights-missing", f"there is no {path.name} beside the notebook")
    if path.stat().st_size > limit:
        raise WeightsError(
            "weights-mismatch",
            f"{path.name} has {path.stat().st_size:,} bytes, at most {limit:,} were expected",
        )
    header, tensors = _read(path)
    differences = origin.differences(header, settings)
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    if not differences and shapes != {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()}:
        differences = "tensors of other names, shapes or types than the model's"
    if differences:
        raise WeightsError("weights-mismatch", f"{path.name} was trained with {differences}")
    try:
        history = kind.from_dict(header["history"])
    except (KeyError, ValueError) as error:
        raise WeightsError("weights-mismatch", f"{path.name} has no readable history: {error}") from error
    model.load_state_dict(tensors, strict=False)  # the names were compared above
    history.loaded_from = path.name
    return history


def learned(model: nn.Module) -> dict[str, Tensor]:
    """The weights and buffers of `model` by name, without parameters that ask for no gradient."""
    still = {id(p) for p in model.parameters() if not p.requires_grad}
    state = model.state_dict(keep_vars=True)
    return {name: tensor.detach() for name, tensor in state.items() if id(tensor) not in still}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = json.loads((file.metadata() or {}).get(KEY, ""))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no dict
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            "weights-mismatch", f"{path.name} is no weights file of coursekit: {error}"
        ) from error
    if not isinstance(header, dict):
        raise WeightsError(
            "weights-mismatch", f"{path.name} is no weights file of coursekit: its header is no object"
        )
    return header, tensors


def architecture(model: nn.Module) -> str:
    """A hash of the zoo's name and configuration, where the model has them, and of the names, shapes and types of its tensors."""
    tensors = [(name, list(t.shape), str(t.dtype)) for name, t in model.state_dict().items()]
    return _hash([getattr(model, "name", None), getattr(model, "config", None), tensors])


def raise_flag(history: BaseHistory, name: str, error: WeightsError) -> None:
    """Record an error for the grader: on the history, and as a line of the file that `COURSEKIT_FLAGS` names."""
    record = {"flag": error.flag, "name": name, "detail": error.detail}
    history.flags.append(record)
    file = os.environ.get("COURSEKIT_FLAGS")
    if file:
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(record) + "\n")


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
