"""Our log, and nbgrader's, kept for the moment when it is needed."""

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

log = logging.getLogger("autograde")


@contextlib.contextmanager
def captured_log(converter: Any, level: int = logging.WARNING) -> Iterator[io.StringIO]:
    """What a converter of nbgrader logs while the block runs, instead of on the terminal."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setLevel(level)
    logger = logging.Logger("autograde", level)
    logger.addHandler(handler)
    converter.log = logger
    yield stream
