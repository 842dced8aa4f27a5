"""Where experiments run: a `concurrent.futures.Executor`, local processes unless another is given.

`LocalProcesses` are of this machine; `dask_executor` has those of Dask and of batch systems; `workers` says which.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent import futures
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

Key = TypeVar("Key")
TRIES = 3  # of a call whose process is killed each time
_XLA_FLAGS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"  # read when a worker imports JAX


class WorkerKilledError(Exception):
    """The process or machine that computed a call died, as often as it was tried."""


class ExecutorLostError(Exception):
    """Nothing can be computed any more: the connection to a scheduler is lost."""


@dataclass(eq=False)
class Submitted:
    """What was submitted, and the future that its caller holds."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    future: Future[Any] = field(default_factory=Future)
    alone: bool = False  # it was at work when a process was killed, and is tried again with no other beside it
    tries: int = 0  # of these


class LocalProcesses(Executor):
    """Local processes, each with one thread for BLAS, numba and XLA; when one is killed, others take its place.

    One thread a process makes the results independent of the number of jobs, and beats several threads that share
    cores. Workers leave Ctrl-C to the main process, and end with it, even when it is killed. What was at work when a
    process was killed, which for want of memory need not be the culprit, is tried again, one call at a time, up to
    `TRIES` times, and then ends with `WorkerKilledError`; all other calls go on.

    Parameters
    ----------
    jobs
        How many processes.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._lock = threading.RLock()
        self._waiting, self._suspects = deque[Submitted](), deque[Submitted]()
        self._at_work: set[Submitted] = set()
        self._pool: ProcessPoolExecutor | None = None
        self._pool_jobs = 0
        self._stopped = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a process compute fn(*args, **kwargs)."""
        call = Submitted(fn, args, kwargs)
        with self._lock:
            if self._stopped:
                raise RuntimeError("these processes have been shut down")
            self._waiting.append(call)
            self._begin()
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when what was submitted is done, or, cancelling it, when what has begun is."""
        with self._lock:
            waiting = [*self._suspects, *self._waiting]
            begun = [call.future for call in self._at_work]
        if cancel_futures:
            self._drop()
        if wait:
            futures.wait([*begun, *(call.future for call in waiting)])
        with self._lock:
            self._stopped, pool = True, self._pool
        if pool is not None:
            pool.shutdown(wait=wait)

    def stop(self) -> None:
        """End the processes at once: what has not begun is dropped, and what has is terminated.

        The thread that serves the processes is waited for: an interpreter that exits while that thread closes its pipe
        writes to the closed pipe and prints a traceback.
        """
        self._drop()
        with self._lock:
            pool = self._pool
        if pool is None:
            return
        processes = list((pool._processes or {}).values())
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

    def _drop(self) -> None:
        with self._lock:
            self._stopped = True
            for call in (*self._suspects, *self._waiting):
                call.future.cancel()
            self._suspects.clear()
            self._waiting.clear()

    def _begin(self) -> None:
        """Hand out calls while processes are free; called with the lock held."""
        while calls := self._suspects or self._waiting:
            alone = calls is self._suspects or any(call.alone for call in self._at_work)
            if len(self._at_work) >= (1 if alone else self.jobs):
                return
            call = calls.popleft()
            if not call.tries and not call.alone and not call.future.set_running_or_notify_cancel():
                continue
            self._at_work.add(call)
            self._hand_out(call)

    def _hand_out(self, call: Submitted) -> None:
        jobs = 1 if call.alone else self.jobs
        if self._pool is not None and self._pool_jobs != jobs:
            self._pool.shutdown(wait=False)  # nothing is at work in it
            self._pool = None
        try:
            inner = self._passed_on(call, jobs)
        except BrokenProcessPool:  # a process was killed that had nothing to do
            self._pool = None
            inner = self._passed_on(call, jobs)
        inner.add_done_callback(lambda ended: self._ended(call, ended))

    def _passed_on(self, call: Submitted, jobs: int) -> Future[Any]:
        with no_interrupt_inherited():
            return self._started(jobs).submit(call.function, *call.args, **call.kwargs)

    def _started(self, jobs: int) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=single_threaded_worker)
            self._pool_jobs = jobs
        return self._pool

    def _ended(self, call: Submitted, inner: Future[Any]) -> None:
        """Pass on how a call ended, or take it up again; a broken pool, which may hold its own lock, is left alone."""
        error = CancelledError() if inner.cancelled() else inner.exception()
        with self._lock:
            self._at_work.discard(call)
            if isinstance(error, BrokenProcessPool):
                self._pool = None
                call.tries += call.alone
                if not self._stopped and call.tries < TRIES:
                    call.alone = True
                    self._suspects.append(call)
                    self._begin()
                    return
                error = WorkerKilledError(f"its process was killed {TRIES} times, probably for want of memory")
        if error is not None:
            call.future.set_exception(error)
        else:
            call.future.set_result(inner.result())
        with self._lock:
            if not self._stopped:
                self._begin()


@contextmanager
def workers(jobs: int, executor: Executor | None = None) -> Iterator[Executor]:
    """Lend an executor: the one given, which is left open, or local processes that end with the body.

    Whatever ends the body early, Ctrl-C too, ends local processes at once.
    """
    if executor is not None:
        yield executor
        return
    pool = LocalProcesses(jobs)
    try:
        yield pool
    except BaseException:
        with uninterrupted():
            pool.stop()
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
    begun: dict[Future[Any], Key] = {}
    try:
        with _interrupts_held():
            for key, call in calls.items():
                begun[pool.submit(*call)] = key
        yield ((begun[future], future) for future in _as_they_end(begun, meanwhile))
    except BaseException:
        with uninterrupted():
            for future in begun:
                future.cancel()
        raise


def _as_they_end(begun: Collection[Future[Any]], meanwhile: Callable[[], None] | None) -> Iterator[Future[Any]]:
    """Yield futures as they end, as `as_completed` does, which cannot do anything else meanwhile."""
    ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    for future in begun:
        future.add_done_callback(ended.put)
    for _ in begun:
        while True:
            try:
                found = ended.get(timeout=None if meanwhile is None else 1.0)
                break
            except queue.Empty:
                if meanwhile is not None:
                    meanwhile()
        yield found


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
    """Put Ctrl-C and SIGTERM off until the body has ended, which starts processes: none is left half-started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda found, _: came.append(found))  # another thread may receive what this one masks
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number, handler in handlers.items():
        if number in came:
            handler(number, None)


@contextmanager
def no_interrupt_inherited() -> Iterator[None]:
    """Mask Ctrl-C, which a terminal sends to a group of processes, in those that the body starts, and in its threads.

    They inherit the mask, so that it does not reach them even before `single_threaded_worker` has them ignore it.
    """
    resource_tracker.ensure_running()  # of multiprocessing: where it is started, Ctrl-C is unmasked
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def hold_to_one_thread() -> None:
    """Give numba, BLAS and XLA one thread each in this process."""
    os.environ["NUMBA_NUM_THREADS"] = "1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_XLA_FLAGS}".strip()
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # of BLAS, which was loaded with this package


def single_threaded_worker() -> None:
    """Prepare a worker process: one thread for numba, BLAS and XLA, no Ctrl-C; it ends when its parent does."""
    hold_to_one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
