"""Ctrl-C: the first one stops what is being done, and nothing that comes after it disturbs the stopping."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_AGAIN = 0.02  # seconds until a signal is sent again that came where it stops nothing
_entered = 0  # frames of the stack when the outermost `interruptible` was entered: what runs them is not ours


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle Ctrl-C, and SIGTERM alike: stop what is being done, once; later ones find it stopping and are ignored."""
    if _runs_text(frame):
        _send_again(number)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _runs_text(frame: FrameType | None) -> bool:
    """Whether text is being executed, as dataclasses do: Python would kill itself at its end for an interrupt there."""
    frames = _stack(frame)
    ours = frames[: max(0, len(frames) - _entered)]
    return any(one.f_code.co_filename == "<string>" and one.f_code.co_name == "<module>" for one in ours)


def _stack(frame: FrameType | None) -> list[FrameType]:
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _send_again(number: int) -> None:
    timer = threading.Timer(_AGAIN, signal.pthread_kill, (threading.main_thread().ident, number))
    timer.daemon = True
    timer.start()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop the body as `interrupt` does; after one, both stay ignored until the process ends.

    A signal that is ignored already, as Ctrl-C is in a background job, or handled by whoever calls, is left alone. One
    that comes where Python drops all exceptions (in a callback of the garbage collector, say) is sent again.
    """
    global _entered
    outer, before = _entered, {}
    if threading.current_thread() is threading.main_thread():
        defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        before = {number: found for number, found in defaults.items() if signal.getsignal(number) is found}
    if before:
        _entered = len(_stack(sys._getframe())) - 2  # of the caller: without this function and what enters it
    for number in before:
        signal.signal(number, interrupt)
    hook = sys.unraisablehook
    if before:
        sys.unraisablehook = _unless_dropped(hook, tuple(before))
    try:
        yield
    finally:
        sys.unraisablehook, _entered = hook, outer
        for number, handler in before.items():
            if signal.getsignal(number) is interrupt:
                signal.signal(number, handler)


def _unless_dropped(hook: Callable[[Any], object], numbers: tuple[int, ...]) -> Callable[[Any], None]:
    """Return a hook for exceptions that are dropped, which takes up `interrupt`'s again and passes on all others."""

    def tell(dropped: Any) -> None:
        here = threading.current_thread() is threading.main_thread()
        if not (here and dropped.exc_type is KeyboardInterrupt and signal.getsignal(numbers[0]) is signal.SIG_IGN):
            hook(dropped)
            return
        for number in numbers:
            signal.signal(number, interrupt)
        _send_again(numbers[0])

    return tell
