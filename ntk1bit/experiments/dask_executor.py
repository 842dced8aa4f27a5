"""Experiments on Dask: processes of this machine, any scheduler that runs, or jobs of a batch system (dask-jobqueue).

Which worker computes what, and what becomes of the work of one that dies, is Dask's affair. It holds a dead worker
against everything that was waiting there, so experiments are handed in as workers become free, the costliest first, and
with a place and memory as resources where workers have declared these: ours have, and
`dask worker --resources "ntk1bit-place=1 ntk1bit-memory=8e9"`. A process computes one experiment at a time, with one
thread.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import math
import shutil
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dask.config
import dask.utils
import distributed
from distributed import Client, LocalCluster, WorkerPlugin
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.scheduler import KilledWorker

import ntk1bit
from ntk1bit.arguments import free_memory
from ntk1bit.errors import InputError
from ntk1bit.experiments.executors import (
    TRIES,
    ExecutorLostError,
    Submitted,
    WorkerKilledError,
    hold_to_one_thread,
    no_interrupt_inherited,
    uninterrupted,
)
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.runner import USABLE, WORKER_BYTES
from ntk1bit.files import read_toml, write_whole

BATCH_SYSTEMS = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
    "htcondor": "HTCondorCluster",
}
_JOB = {"cores": 1, "processes": 1, "memory": "4GB"}  # of a batch system, where its settings do not say otherwise
_PLACE, _MEMORY = "ntk1bit-place", "ntk1bit-memory"
_LOST = "the connection to the scheduler is lost"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h; the second at its most, as glibc's own rule has it
_LOOK = 1.0  # seconds between two looks for workers that have come
_CONFIG = {  # of schedulers in this process, and of workers that it starts
    "distributed.scheduler.allowed-failures": TRIES - 1,
    "distributed.worker.profile.enabled": False,  # it looks a hundred times a second, and costs a tenth of the time
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}
_UNPROFILED = "export DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False"  # of workers that a batch system starts


class OneThread(WorkerPlugin):
    """Holds a worker to one thread and our version, and lets it compute as fast as a local process."""

    name = "ntk1bit"

    def __init__(self) -> None:
        self.version = ntk1bit.__version__

    def setup(self, worker: distributed.Worker) -> None:
        """Prepare a worker that is there, or comes later.

        Raises
        ------
        InputError
            If it has another version of ntk1bit.
        """
        if self.version != ntk1bit.__version__:
            raise InputError(
                f"worker {worker.address} has ntk1bit {ntk1bit.__version__}, and this is {self.version}: "
                "install the same version for both"
            )
        hold_to_one_thread()
        keep_freed_memory()


def keep_freed_memory() -> None:
    """Have malloc keep up to 64 MiB that is freed, as it comes to do by itself.

    Dask starts workers with MALLOC_TRIM_THRESHOLD_, by which large arrays are given back to the system and taken from
    it anew at every step: that doubles the time of wide networks.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is not None and hasattr(library, "mallopt"):  # of glibc
        library.mallopt(_M_TRIM_THRESHOLD, 64 << 20)
        library.mallopt(_M_MMAP_THRESHOLD, 32 << 20)


class DaskExecutor(Executor):
    """Hands experiments to the workers of a Dask client.

    Parameters
    ----------
    client
        Connected to a scheduler; it is not closed.
    collect
        Whether workers see no common folder: then results come back through the scheduler, and are written here.
    memory
        The limit under which experiments run (`memory` of `run_all`), so that it is known what they need.
    declared
        Resources that all workers have which are to come; those of workers that are there, if not given.

    Raises
    ------
    InputError
        If workers cannot be prepared.
    """

    def __init__(
        self, client: Client, *, collect: bool = False, memory: int | None = None, declared: Collection[str] = ()
    ) -> None:
        self._client, self._collect, self._memory, self._declared = client, collect, memory, declared
        self._waiting = deque[Submitted]()
        self._at_work = dict[Submitted, distributed.Future]()  # Dask forgets what nobody holds
        self._lock, self._ended = threading.RLock(), threading.Event()
        try:
            client.register_plugin(OneThread())
        except InputError:
            raise
        except Exception as problem:
            raise InputError(
                "the workers cannot be prepared: they need the same version of ntk1bit and its libraries "
                f"({type(problem).__name__}: {_line(problem)})"
            ) from None
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a worker compute fn(*args, **kwargs), with the memory that experiments among the arguments need."""
        call = Submitted(fn, args, kwargs)
        with self._lock:
            if self._ended.is_set():
                raise RuntimeError("this executor has been shut down")
            self._waiting.append(call)
            self._begin()
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Hand in nothing more; the client is its owner's to close."""
        with self._lock:
            waiting, begun = list(self._waiting), [call.future for call in self._at_work]
            if cancel_futures:
                for call in waiting:
                    call.future.cancel()
        if wait:
            futures.wait([*begun, *(call.future for call in waiting)])
        self._ended.set()

    def _watch(self) -> None:
        """Hand in more when workers have come."""
        while not self._ended.wait(_LOOK):
            with self._lock:
                self._begin()

    def _begin(self) -> None:
        """Hand in calls while workers are free; called with the lock held."""
        if not self._waiting:
            return
        if self._client.status in ("closing", "closed"):
            for call in self._waiting:
                if call.future.set_running_or_notify_cancel():
                    call.future.set_exception(ExecutorLostError(_LOST))
            self._waiting.clear()
        places = len(self._workers())
        while self._waiting and len(self._at_work) < places:
            call = self._waiting.popleft()
            if call.future.set_running_or_notify_cancel():
                try:
                    self._hand_in(call)
                except Exception as problem:
                    call.future.set_exception(problem)

    def _hand_in(self, call: Submitted) -> None:
        fn, args, finish = call.function, call.args, _same
        experiments = list(dict.fromkeys(_experiments(args)))
        resources = self._resources(experiments) if experiments else {}
        priority = round(1000 * sum(one.cost for one in experiments))
        if self._collect and experiments:
            folder, *rest = args
            fn, args = compute_away, (fn, rest, _inputs(folder, experiments), [one.key for one in experiments])
            finish = functools.partial(_keep, folder)
        inner = self._client.submit(
            _alone, fn, *args, pure=False, priority=priority, resources=resources or None, **call.kwargs
        )
        self._at_work[call] = inner
        inner.add_done_callback(lambda _: self._settle(call, finish))

    def _settle(self, call: Submitted, finish: Callable[[Any], Any]) -> None:
        """Give a caller's future what became of Dask's, and hand in the next."""
        inner = self._at_work[call]
        try:
            if inner.status not in ("finished", "error"):
                raise ExecutorLostError(_LOST)
            call.future.set_result(finish(inner.result()))
        except KilledWorker as problem:
            where = getattr(problem.last_worker, "address", "a worker")
            why = f"the worker that computed it died each time it was tried, last {where}, probably for want of memory"
            call.future.set_exception(WorkerKilledError(why))
        except Exception as problem:
            call.future.set_exception(problem)
        with self._lock:
            del self._at_work[call]
            if not self._ended.is_set():
                self._begin()

    def _workers(self) -> list[dict[str, Any]]:
        """Ask the scheduler for its workers; none where it does not answer."""
        try:
            return list(self._client.scheduler_info(n_workers=-1).get("workers", {}).values())
        except (OSError, RuntimeError):
            return []

    def _resources(self, experiments: list[Experiment]) -> dict[str, float]:
        """Return what experiments take of a worker, of what the workers have declared."""
        needed = WORKER_BYTES + sum(one.memory_within(self._memory) for one in experiments)
        workers = self._workers()
        largest = max((one["memory_limit"] or math.inf for one in workers), default=0.0)
        if 0 < largest < needed:
            raise InputError(
                f"{experiments[0].label} needs {needed / 1e9:.1f} GB of memory, and the largest worker has "
                f"{largest / 1e9:.1f} GB: give workers more, or leave it out"
            )
        declared = self._declared or {name for one in workers for name in one["resources"]}
        return {name: amount for name, amount in ((_PLACE, 1.0), (_MEMORY, needed)) if name in declared}


_place = threading.Lock()  # of this process


def _alone(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Compute with no other experiment beside it in this process, however many threads the worker has."""
    with _place:
        return fn(*args, **kwargs)


def compute_away(
    fn: Callable[..., Any], rest: Sequence[Any], inputs: Mapping[str, bytes], keys: Collection[str]
) -> tuple[Any, dict[str, bytes]]:
    """Compute in a temporary folder in place of a run's; return what `fn` does, and the files of results by name.

    Parameters
    ----------
    fn, rest
        What is called with the folder and the rest of its arguments: `runner.compute`, say, and an experiment.
    inputs
        Files of the run's folder that it reads, by their paths in it.
    keys
        Of the experiments whose files go back.
    """
    with tempfile.TemporaryDirectory(prefix="ntk1bit-") as place:
        folder = Path(place)
        for name, content in inputs.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (folder / "cells").mkdir(exist_ok=True)
        ended = fn(folder, *rest)
        found = [path for key in keys for path in (folder / "cells").glob(f"{key}*")]
        return ended, {f"cells/{path.name}": path.read_bytes() for path in found}


@contextmanager
def dask_executor(
    *,
    scheduler: str | None = None,
    jobs: int = 1,
    collect: bool = False,
    memory: int | None = None,
    note: Callable[[str], None],
) -> Iterator[DaskExecutor]:
    """Lend an executor on a running scheduler, or on local processes that end with the body.

    Parameters
    ----------
    scheduler
        Its address, such as tcp://host:8786; local processes if not given.
    jobs
        How many local processes.
    collect, memory
        As of `DaskExecutor`.
    note
        Called with a remark for the user.

    Raises
    ------
    InputError
        If the scheduler does not answer, or workers cannot be prepared.
    """
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if scheduler is None:
            each = USABLE * free_memory() / jobs
            with no_interrupt_inherited():
                cluster = LocalCluster(
                    n_workers=jobs,
                    memory_limit=int(each),
                    resources={_PLACE: 1, _MEMORY: each},
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=":0",
                    silence_logs=logging.CRITICAL,
                )
            client = _client(stack, stack.enter_context(_closing(cluster)))
        else:
            client = _client(stack, scheduler)
        if not client.scheduler_info()["workers"]:
            note(f"the scheduler at {scheduler} has no workers yet: experiments begin when some come")
        declared = (_PLACE, _MEMORY) if scheduler is None else ()
        yield stack.enter_context(_ending(DaskExecutor(client, collect=collect, memory=memory, declared=declared)))


@contextmanager
def batch_executor(
    system: str,
    *,
    workers: int,
    settings: Path | str | None,
    collect: bool = False,
    memory: int | None = None,
    note: Callable[[str], None],
) -> Iterator[DaskExecutor]:
    """Lend an executor on jobs of a batch system, which end with the body.

    Parameters
    ----------
    system
        One of `BATCH_SYSTEMS`.
    workers
        How many workers to ask for.
    settings
        TOML file whose table of the system's name goes to dask-jobqueue (queue, memory, walltime, ...); Dask's own
        configuration if not given.
    collect, memory, note
        As of `dask_executor`.

    Raises
    ------
    InputError
        If dask-jobqueue or the system is not installed, settings are wrong, or no job can be handed in.
    """
    try:
        import dask_jobqueue
    except ImportError:
        raise InputError("batch systems need dask-jobqueue: pip install 'ntk1bit[cluster]'") from None
    given = {} if settings is None else read_toml(settings)
    if settings is not None and not isinstance(given.get(system), dict):
        raise InputError(
            f"{settings} has no table [{system}] with settings of its jobs, such as queue, memory, walltime"
        )
    kind = getattr(dask_jobqueue, BATCH_SYSTEMS[system])
    command = kind.job_cls.submit_command.split()[0]
    if shutil.which(command) is None:
        raise InputError(f"--executor {system} hands in jobs by {command}, which is not on this machine")
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        try:
            settings_of_jobs = _JOB | given.get(system, {})
            each = dask.utils.parse_bytes(settings_of_jobs["memory"]) / settings_of_jobs["processes"]
            declared = ["--resources", f"'{_PLACE}=1 {_MEMORY}={each:.0f}'"]
            extra = [*settings_of_jobs.pop("worker_extra_args", []), *declared]
            prologue = [*settings_of_jobs.pop("job_script_prologue", []), _UNPROFILED]
            options = {"dashboard_address": ":0", **settings_of_jobs.pop("scheduler_options", {})}
            more = {"worker_extra_args": extra, "scheduler_options": options, "job_script_prologue": prologue}
            cluster = kind(**settings_of_jobs, **more)
        except Exception as problem:  # of dask-jobqueue, for settings that it does not know
            raise InputError(f"settings of {system}: {_line(problem)}") from None
        client = _client(stack, stack.enter_context(_closing(cluster)))
        cluster.scale(workers)
        note(f"{workers} workers are asked for; experiments begin when the first has come")
        executor = DaskExecutor(client, collect=collect, memory=memory, declared=(_PLACE, _MEMORY))
        yield stack.enter_context(_ending(executor))


def _client(stack: ExitStack, where: Any) -> Client:
    try:
        if isinstance(where, str):
            parse_host_port(parse_address(where)[1])  # a client that meets no address takes a minute to close
        client = Client(where, set_as_default=False)
    except (OSError, ValueError, TypeError) as problem:
        raise InputError(
            f"no scheduler answers at {where}: {_line(problem)}; start one (dask scheduler), or leave out --scheduler"
        ) from None
    stack.enter_context(_closing(client))
    return client


@contextmanager
def _closing(one: Any) -> Iterator[Any]:
    try:
        yield one
    finally:
        with uninterrupted():
            one.close()


@contextmanager
def _ending(executor: DaskExecutor) -> Iterator[DaskExecutor]:
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own log off the terminal, and its schedulers and workers to our settings."""
    logs = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if name.startswith("distributed")]
    before = [(log, log.level) for log in logs]  # Dask gives each of them a level and a handler of its own
    with dask.config.set(_CONFIG):
        for log in logs:
            log.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for log, level in before:
                log.setLevel(level)


def _experiments(values: Iterable[Any]) -> Iterator[Experiment]:
    """Yield the experiments among arguments, those in groups too."""
    for one in values:
        if isinstance(one, Experiment):
            yield one
        elif isinstance(one, tuple):
            yield from _experiments(one)


def _inputs(folder: Path, experiments: Iterable[Experiment]) -> dict[str, bytes]:
    read = [path for one in experiments for path in one.reads(folder / "cells" / one.key) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / "spec.toml", *read)}


def _keep(folder: Path, ended: tuple[Any, dict[str, bytes]]) -> Any:
    """Write what `compute_away` gave: results last, so that none is ever there without the files beside it."""
    answer, files = ended
    for name in sorted(files, key=lambda one: one.endswith(".parquet")):
        write_whole(folder / name, files[name])
    return answer


def _same(ended: Any) -> Any:
    return ended


def _line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:300]
