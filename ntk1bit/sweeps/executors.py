"""Where cells run: a `concurrent.futures.Executor`, local processes unless another is given."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_XLA_FLAGS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"  # read when a worker imports JAX


class _LocalExecutor(ProcessPoolExecutor):
    """Starts its workers, which it does when something is submitted, with Ctrl-C blocked from their first moment."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a call."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited; one that comes now waits
        try:
            return super().submit(fn, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def local_executor(jobs: int) -> ProcessPoolExecutor:
    """Return an executor of `jobs` local processes, each with one BLAS thread and one numba thread.

    One thread a process makes the results independent of the number of jobs, and beats several threads that share
    cores. Workers leave Ctrl-C to the main process, and end with it, even when it is killed.
    """
    return _LocalExecutor(
        max_workers=jobs, mp_context=multiprocessing.get_context("spawn"), initializer=single_threaded_worker
    )


def stop(pool: Executor) -> None:
    """End an executor at once: what has not begun is dropped, and local workers are terminated."""
    processes = list((pool._processes or {}).values()) if isinstance(pool, ProcessPoolExecutor) else []
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(timeout=5)


def single_threaded_worker() -> None:
    """Prepare a worker process: one thread for numba, BLAS and XLA, no Ctrl-C, no life without its parent."""
    os.environ["NUMBA_NUM_THREADS"] = "1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_XLA_FLAGS}".strip()
    from threadpoolctl import threadpool_limits

    importlib.import_module("ntk1bit.sweeps.cells")  # loads BLAS, so that its threads can be limited
    threadpool_limits(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
