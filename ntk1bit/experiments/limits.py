"""The memory that one experiment may take: a limit of the process, which is no part of what is computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ntk1bit.arguments import whole

_limit: ContextVar[int | None] = ContextVar("ntk1bit_memory_limit", default=None)


def current_limit() -> int | None:
    """Return the bytes that the arrays of an experiment may take: those of the innermost `memory_limit`, or None."""
    return _limit.get()


@contextmanager
def memory_limit(limit: int | None) -> Iterator[None]:
    """Run experiments under a limit inside a `with` block.

    The limit belongs to the current thread or asynchronous task and does not leak into others; a worker process sets
    its own. It changes no result: kinds that can do with less memory (`Experiment.memory_within`) take more time for
    the same bits, others run as they would without it.

    Parameters
    ----------
    limit
        Bytes; None for no limit.

    Raises
    ------
    InputError
        If it is no whole number of at least 1.
    """
    if limit is not None:
        limit = whole("the limit of memory", limit, allowed="a whole number of bytes, 1 or more", least=1)
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)
