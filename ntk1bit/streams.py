"""Standard streams that are closed, full, or read by nobody any more: no command depends on them for its work."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_NAMES = ("stdin", "stdout", "stderr")  # by descriptor


class _Descriptor(io.FileIO):
    """A descriptor that is written to until that fails; what comes later is dropped, so that work goes on."""

    problem: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        if self.problem is None:
            try:
                while (written := super().write(data)) is None:  # a full pipe that somebody has set not to wait
                    select.select([], [self], [])
                return written
            except OSError as problem:
                self.problem = problem
        return memoryview(data).nbytes


class Output:
    """What is known of standard output.

    Parameters
    ----------
    descriptor
        Its own, or None if whoever calls has put another stream in its place.
    """

    def __init__(self, descriptor: _Descriptor | None) -> None:
        self._descriptor = descriptor

    def lost(self) -> str | None:
        """Say why something that was printed is lost; None if it is not, or if its reader had enough of it."""
        sys.stdout.flush()
        problem = None if self._descriptor is None else self._descriptor.problem
        if problem is None or problem.errno == errno.EPIPE:
            return None
        return (
            f"standard output cannot be written to: {problem.strerror}; every file is whole: run the same command "
            "again with its output sent elsewhere"
        )


@contextmanager
def standard_streams() -> Iterator[Output]:
    """Make standard streams that never fail in the body.

    In place of closed ones /dev/null is opened, so that no file of the body is opened as one of them. Characters that
    the encoding of a stream lacks are escaped. Streams that whoever calls has put there are left alone.
    """
    _open_closed()
    before = [getattr(sys, name) for name in _NAMES]
    descriptors: list[_Descriptor | None] = [None, None, None]
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the body's, which may read it
    for number in (1, 2):
        stream: TextIO | None = before[number]
        if stream is getattr(sys, f"__{_NAMES[number]}__"):
            descriptors[number] = raw = _Descriptor(number, "w", closefd=False)
            setattr(sys, _NAMES[number], _text_stream(raw, stream))
    try:
        yield Output(descriptors[1])
    finally:
        for number, name in enumerate(_NAMES):
            if descriptors[number] is not None:
                getattr(sys, name).flush()
            setattr(sys, name, before[number])


def _text_stream(raw: _Descriptor, like: TextIO | None) -> TextIO:
    """Return a text stream with the encoding and buffering of another."""
    like = like if isinstance(like, io.TextIOWrapper) else None
    if like is not None:
        with contextlib.suppress(OSError):
            like.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if like is None else like.encoding,
        errors="backslashreplace",
        line_buffering=like is not None and like.line_buffering,
        write_through=like is not None and like.write_through,
    )


def _open_closed() -> None:
    for number in range(len(_NAMES)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            os.set_inheritable(number, True)  # by worker processes, whose files must not be opened as it either
