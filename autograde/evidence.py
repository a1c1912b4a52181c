"""Evidence of tampering: what the probe saw before a notebook's cells and after them.

A notebook can lie to the probe; so nothing here takes a point, it is for a person to look at. Points hang on values that are
compared outside, or, in cells that assert, on evidence that such cells can fail.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

PROBE = f"exec({Path(__file__).with_name('probe.py').read_text(encoding='utf-8')!r}, globals().copy())"
_LEFT = {
    "threads": "a thread was left running",
    "atexit": "work was left for the end of the process (atexit)",
}
_SILENT = "the kernel does not say what was replaced in it"


def seen(outputs: list[NotebookNode]) -> dict[str, Any] | None:
    """What the probe printed; None when it did not come to that."""
    text = "".join(output.text for output in outputs if output.output_type == "stream")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    good = isinstance(found, dict) and all(isinstance(each, list) for each in found.values())
    return found if good else None


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[str]:
    """Flags, for what a notebook left changed."""
    if before is None or after is None:
        return [_SILENT]
    replaced = []
    flags = []
    for name, now in after.items():
        then = before.get(name)
        if isinstance(now, list) and now[:1] in (["own"], ["foreign"]):
            if now[0] == "foreign" or (then is not None and then != now):
                replaced.append(name)
        elif name in _LEFT:
            left = [each for each in now if each not in (then or [])]
            flags += [f"{_LEFT[name]}: {', '.join(map(str, left))[:100]}"] if left else []
        elif then is not None and then != now:
            replaced.append(name)
    if missing := set(before) - set(after):
        flags.append(f"{_SILENT}: {', '.join(sorted(missing))[:200]}")
    if replaced:
        flags.append(f"replaced in the kernel: {', '.join(replaced)[:300]}")
    return flags
