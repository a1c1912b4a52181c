"""Patience with a database server: connections break, and it restarts; what was begun is begun again from its beginning."""

import functools
import random
import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

P = ParamSpec("P")
T = TypeVar("T")

WAIT = 60.0  # seconds that a server may be away, as long as a locked SQLite file is waited for
COLLISIONS = 5  # tries where somebody else has just written the same


def patient(work: Callable[P, T]) -> Callable[P, T]:
    """A function that may be called again when it failed, and is, as long as the reason is one that passes."""

    @functools.wraps(work)
    def tried(*arguments: P.args, **named: P.kwargs) -> T:
        end, tries = time.monotonic() + WAIT, 0
        while True:
            try:
                return work(*arguments, **named)
            except Exception as error:  # of whatever library: its causes tell whether it passes
                tries += 1
                over = time.monotonic() > end
                if not ((_is_away(error) and not over) or (_collides(error) and tries < COLLISIONS)):
                    raise
                time.sleep(random.uniform(0.5, 1) * min(5.0, 0.2 * 2**tries))

    return tried


def _is_away(error: BaseException) -> bool:
    """Whether a server does not answer, or has dropped what it was doing. SQLite waits by itself, and has no server."""
    return any(
        isinstance(each, OperationalError | InterfaceError)
        or (isinstance(each, DBAPIError) and each.connection_invalidated)
        for each in _chain(error)
        if not _is_sqlite(each)
    )


def _collides(error: BaseException) -> bool:
    """Whether two have written the same at a time; the one that comes second finds it there when it tries again."""
    kinds = (IntegrityError, StaleDataError, ObjectDeletedError)
    return any(isinstance(each, kinds) for each in _chain(error) if not _is_sqlite(each))


def _is_sqlite(error: BaseException) -> bool:
    return type(getattr(error, "orig", None)).__module__.startswith("sqlite3")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from; nbgrader raises its own in place of the database's."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
