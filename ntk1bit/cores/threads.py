"""Spread the pieces of one product over threads, without any piece depending on who computes it.

A product is cut into pieces by its shape alone. Threads take the next piece from a shared counter and each piece
writes its own part of the result with scratch memory of its own, so the bits do not depend on how many threads there
were or which was faster. Kernels release the GIL; numba's own parallel loops are not used, because their
threading layers differ between machines and the calling thread would have to wait for a helper that the operating
system has not yet started (8 ms on a busy machine). Here such a helper is simply not waited for. How many threads there
may be at most is set by `backends.using(threads=...)`.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import threadpoolctl

# A helper thread starts within 20-50 us; below this much work it cannot repay that.
_WORTH_SHARING_NS = 200_000

_LINE = 64  # bytes: a cache line, and the width of a 512-bit vector


def run_pieces(piece: Callable[[int], None], count: int, *, threads: int, work_ns: float) -> None:
    """Call `piece(0)` ... `piece(count - 1)`, each once, on up to `threads` threads.

    Parameters
    ----------
    piece
        Computes one part of the result; must touch nothing another piece writes.
    count
        Number of pieces.
    threads
        Upper bound on the threads used, the calling one included.
    work_ns
        Rough time of all pieces together on one thread; a small product stays on the calling thread.

    Raises
    ------
    Exception
        The first error a piece raised.
    """
    helpers = min(threads, count) - 1
    if helpers < 1 or work_ns < _WORTH_SHARING_NS:
        for index in range(count):
            piece(index)
        return
    numbers = itertools.count()  # next() on it is atomic under the GIL
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.is_set() and (index := next(numbers)) < count:
                piece(index)
        except BaseException:
            stop.set()
            raise

    pool = _pool(os.getpid())
    pending: list[Future[None]] = [pool.submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        started = [future for future in pending if not future.cancel()]
        for future in started:
            future.exception()
    for future in started:
        future.result()


@functools.lru_cache(maxsize=1)
def _pool(pid: int) -> ThreadPoolExecutor:  # noqa: ARG001 (the key: a forked child inherits no threads)
    return ThreadPoolExecutor(max_workers=max(os.cpu_count() or 1, 64), thread_name_prefix="ntk1bit-cores")


class _SingleThreadedBlas:
    """A limit of one BLAS thread that lasts until the last of its overlapping users has left.

    The limit belongs to the process. If each caller set and restored it alone, the first to finish would give the
    others back their threads in the middle of a product, and with them other bits.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._libraries: threadpoolctl.ThreadpoolController | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._libraries = self._libraries or threadpoolctl.ThreadpoolController()
                self._limit = self._libraries.limit(limits=1, user_api="blas")
                self._limit.__enter__()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limit.__exit__(None, None, None)


_single_threaded_blas = _SingleThreadedBlas()


def single_threaded_blas() -> _SingleThreadedBlas:
    """Return a context in which BLAS uses one thread a call, so that a block's bits depend on the block alone."""
    return _single_threaded_blas


def aligned_empty(size: int, dtype: type[np.generic]) -> np.ndarray:
    """Return an uninitialised 1-D array that starts on a cache line, so that no 512-bit load straddles two."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.empty(size * itemsize + _LINE, dtype=np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + size * itemsize].view(dtype)
