"""Ctrl-C: the first one stops what is being done, and nothing that comes after it disturbs the stopping."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def interrupt(*_: object) -> None:
    """Handle Ctrl-C, and SIGTERM alike: stop what is being done, once; later ones find it stopping and are ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C stop the body as `interrupt` does; after one it stays ignored, until the process has ended.

    Where it is ignored already, as in a background job, or handled by whoever calls, it is left alone.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
