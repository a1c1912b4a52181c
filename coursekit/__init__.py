"""coursekit: what a student imports in a deep-learning course lab.

`coursekit.data`, `coursekit.models`, `coursekit.train`, `coursekit.plot` and `coursekit.check` load when first used.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["check", "data", "models", "plot", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"coursekit.{name}")
    raise AttributeError(f"module 'coursekit' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
