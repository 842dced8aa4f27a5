"""Where experiments run: a `concurrent.futures.Executor`, local processes unless another is given."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

Key = TypeVar("Key")
_XLA_FLAGS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"  # read when a worker imports JAX


def local_executor(jobs: int) -> ProcessPoolExecutor:
    """Return an executor of `jobs` local processes, each with one BLAS thread and one numba thread.

    One thread a process makes the results independent of the number of jobs, and beats several threads that share
    cores. Workers leave Ctrl-C to the main process, and end with it, even when it is killed.
    """
    return ProcessPoolExecutor(
        max_workers=jobs, mp_context=multiprocessing.get_context("spawn"), initializer=single_threaded_worker
    )


@contextmanager
def workers(jobs: int, executor: Executor | None = None) -> Iterator[Executor]:
    """Lend an executor: the one given, which is left open, or local processes that end with the body.

    Whatever ends the body early, Ctrl-C too, ends local processes at once.
    """
    if executor is not None:
        yield executor
        return
    pool = local_executor(jobs)
    try:
        yield pool
    except BaseException:
        with uninterrupted():
            stop(pool)
        raise
    pool.shutdown()


@contextmanager
def running(
    pool: Executor, calls: Mapping[Key, tuple[Any, ...]], *, meanwhile: Callable[[], None] | None = None
) -> Iterator[Iterator[tuple[Key, Future[Any]]]]:
    """Run calls, a function and its arguments by key, and give each key with its future as it ends.

    While none ends, `meanwhile` is called every second. Whatever ends the body early, Ctrl-C too, cancels what has not
    begun.
    """
    futures: dict[Future[Any], Key] = {}
    try:
        with _interrupts_held():
            for key, call in calls.items():
                futures[pool.submit(*call)] = key
        yield ((futures[future], future) for future in _as_they_end(futures, meanwhile))
    except BaseException:
        with uninterrupted():
            for future in futures:
                future.cancel()
        raise


def _as_they_end(futures: Collection[Future[Any]], meanwhile: Callable[[], None] | None) -> Iterator[Future[Any]]:
    """Yield futures as they end, as `as_completed` does, which cannot do anything else meanwhile."""
    ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    for future in futures:
        future.add_done_callback(ended.put)
    for _ in futures:
        while True:
            try:
                found = ended.get(timeout=None if meanwhile is None else 1.0)
                break
            except queue.Empty:
                if meanwhile is not None:
                    meanwhile()
        yield found


def stop(pool: Executor) -> None:
    """End an executor at once: what has not begun is dropped, and local workers are terminated.

    The thread that serves the workers is waited for: an interpreter that exits while that thread closes its pipe
    writes to the closed pipe and prints a traceback.
    """
    with uninterrupted():
        processes = list((pool._processes or {}).values()) if isinstance(pool, ProcessPoolExecutor) else []
        server: threading.Thread | None = getattr(pool, "_executor_manager_thread", None)
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(timeout=5)
        for process in processes:
            process.kill()  # does nothing to one that has ended
        if server is not None:
            server.join(timeout=5)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM in the body, which cleans up after the first one and takes seconds at most."""
    if threading.current_thread() is not threading.main_thread():  # only there do signals raise anything
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Put Ctrl-C and SIGTERM off until the body has ended, which starts processes: none is left half-started.

    The processes inherit a mask, so that Ctrl-C, which a terminal sends to them as well, does not reach them even
    before `single_threaded_worker` has them ignore it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda found, _: came.append(found))  # another thread may receive what this one masks
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in handlers.items():
        if number in came:
            handler(number, None)


def single_threaded_worker() -> None:
    """Prepare a worker process: one thread for numba, BLAS and XLA, no Ctrl-C; it ends when its parent does."""
    os.environ["NUMBA_NUM_THREADS"] = "1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_XLA_FLAGS}".strip()
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # of BLAS, which was loaded with this package
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
