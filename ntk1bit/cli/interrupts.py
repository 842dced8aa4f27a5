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
    """Let Ctrl-C and SIGTERM stop the body as `interrupt` does; after one, both stay ignored until the process ends.

    A signal that is ignored already, as Ctrl-C is in a background job, or handled by whoever calls, is left alone.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        before = {number: found for number, found in defaults.items() if signal.getsignal(number) is found}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is interrupt:
                signal.signal(number, handler)
