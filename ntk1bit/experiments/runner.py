"""Run what a specification asks for: what is missing is computed on an executor, and each result is on disk at once."""

from __future__ import annotations

import errno
import functools
import itertools
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ntk1bit import cores
from ntk1bit.arguments import free_memory
from ntk1bit.compiling import announced
from ntk1bit.errors import InputError
from ntk1bit.experiments.executors import (
    ExecutorLostError,
    LocalProcesses,
    WorkerKilledError,
    running,
    uninterrupted,
    workers,
)
from ntk1bit.experiments.experiment import Experiment, groups
from ntk1bit.experiments.jax_settings import our_jax_settings
from ntk1bit.experiments.limits import memory_limit
from ntk1bit.experiments.specification import Reader, Specification, Stage
from ntk1bit.experiments.store import StageIncompleteError, Store
from ntk1bit.experiments.telling import COMPILING_KERNELS, Teller, forget, told
from ntk1bit.files import clear_unfinished

WORKER_BYTES = 330e6  # a worker with its libraries loaded and nothing trained, measured as resident memory
_OF_THE_DISK = {  # errors of the system that every other experiment would meet as well
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
}  # fmt: skip
_OF_A_PLACE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
_KILLED = 2  # experiments whose workers are killed before any is computed: more would end no other way
_LOOKED_AT = 64  # experiments, in the order in which they begin: as many as run at once on a machine
USABLE = 0.9  # of the free memory; the rest is left to the system

Progress = Callable[[str, float], None]


class FolderUnseenError(Exception):
    """A worker does not see the folder of the run."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    cells, found, computed, diverged, failed, unreadable
        Numbers of experiments: asked for; already stored; computed now; of these, diverged (a result); failed (an
        error, see failures.jsonl); stored in files that the system refuses to read.
    notes
        Sentences for the user: about the data, files set aside, versions that changed.
    """

    cells: int
    found: int
    computed: int
    diverged: int
    failed: int
    unreadable: int
    notes: tuple[str, ...]


def run_all(
    specification: Specification,
    folder: Path | str,
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Compute every experiment of a specification that the folder does not hold yet.

    A stopped run is resumed by the same call. A folder that holds a run of the same settings is extended: it is asked
    for the values that either specification has on each axis. Results do not depend on the executor, the number of jobs
    or the order of the experiments.

    Parameters
    ----------
    specification
        What to run.
    folder
        The run's folder; must be visible to every worker under the same path.
    jobs
        Number of local processes, each with one thread, when no executor is given.
    executor
        Any `concurrent.futures.Executor`, as `workers.Workers.opened` and Dask's `Client.get_executor` give; it is not
        shut down.
    memory
        Bytes that the arrays of one experiment may take; kinds that can do with less than they would like keep to it,
        with the same results (`Experiment.memory_within`).
    progress
        Called with what is being done, or was just finished, and the share of the work that is done.

    Raises
    ------
    InputError
        If the specification cannot run, does not fit in memory, the folder is another run's or in use, the disk is
        full, workers do not see it, or none can compute anything.
    KeyboardInterrupt
        On Ctrl-C, after the workers have been stopped; finished experiments stay.
    """
    if jobs < 1:
        raise InputError(f"jobs must be at least 1, got {jobs}")
    store = Store(folder)
    specification = store.check(specification)
    if jobs := _processes(jobs, executor):
        require_memory(specification.first_stage.experiments, jobs, memory)
    with store.lock():
        try:
            specification = store.open(specification)
            with workers(jobs, executor) as pool:
                return _Run(specification, store, pool, jobs, memory, progress).all_stages()
        except FolderUnseenError as problem:
            raise InputError((_gone(store.folder) if jobs else "") or str(problem)) from None
        except (ExecutorLostError, CancelledError) as problem:
            raise InputError(
                f"{problem or 'the executor was shut down'}; finished experiments are kept: run the same command again"
            ) from None
        except OSError as problem:
            gone = _gone(store.folder) if problem.errno in _OF_A_PLACE else ""
            raise InputError(gone or _refused(store.folder, problem)) from None
        except BaseException:
            if jobs and store.cells.is_dir():
                with uninterrupted():
                    clear_unfinished(store.cells)
            raise


def _gone(folder: Path) -> str:
    """Say that the folder of a run is no longer there, or no longer one; empty if it is."""
    if (folder / "spec.toml").is_file():
        return ""
    what = f"{folder / 'spec.toml'} was" if folder.is_dir() else f"{folder} was"
    return f"{what} removed or moved during the run; put it back and run the same command again"


def _refused(folder: Path, problem: OSError) -> str:
    """Say what the system has refused, and what to do."""
    advice = "free some space" if problem.errno in (errno.ENOSPC, errno.EDQUOT) else "set that right"
    where = f"{problem.filename}: " if problem.filename else ""
    return (
        f"cannot go on in {folder}: {where}{problem.strerror or problem}; "
        f"finished experiments are kept: {advice} and run the same command again"
    )


def compute(folder: Path | str, experiment: Experiment, *, memory: int | None = None) -> bool:
    """Run one experiment and store it; return whether it diverged. Any process that can see the folder can do this.

    Parameters
    ----------
    folder
        Of the run.
    experiment
        Which.
    memory
        Bytes that its arrays may take (`limits.memory_limit`).

    Raises
    ------
    FolderUnseenError
        If this process does not see it.
    """
    store = Store(folder)
    if not (store.folder / "spec.toml").is_file():
        raise FolderUnseenError(
            f"a worker on {socket.gethostname()} does not see the folder {folder}: give one that all workers see, "
            "or --collect"
        )
    began = time.perf_counter()
    scratch = store.scratch(experiment.key)
    with memory_limit(memory), _same_everywhere(scratch):
        frame = experiment.run(scratch)
    return store.write(experiment, frame, seconds=time.perf_counter() - began)


@contextmanager
def _same_everywhere(scratch: Path) -> Iterator[None]:
    """Have what numbers depend on the same in every process, and tell when kernels are compiled."""
    compiling = announced(lambda: tell(COMPILING_KERNELS, 0.0))
    with Teller(scratch) as tell, cores.using(threads=1), compiling, our_jax_settings():
        yield


def _processes(jobs: int, executor: Executor | None) -> int:
    """Return how many local processes compute; 0 where an executor of another kind does."""
    if executor is None:
        return jobs
    return executor.jobs if isinstance(executor, LocalProcesses) else 0


def compute_together(
    folder: Path | str, group: Sequence[Experiment], missing: Collection[Experiment]
) -> dict[str, bool | Exception]:
    """Run a group of experiments in one call and store those that are missing.

    The whole group is computed again where a part of it is missing, because last bits depend on how many are computed
    together. A group that fails is computed one by one, so that one of them that fails does not lose the others.

    Returns
    -------
    For each missing experiment, by key, whether it diverged, or why it failed.
    """
    store = Store(folder)
    began = time.perf_counter()
    scratches = [store.scratch(one.key) for one in group]
    with _same_everywhere(scratches[0]):
        try:
            frames = type(group[0]).run_together(group, scratches)
        except Exception:
            frames = None
    seconds = (time.perf_counter() - began) / len(group)
    ended: dict[str, bool | Exception] = {}
    for one, frame in zip(group, frames or [None] * len(group), strict=True):
        if one in missing:
            try:
                ended[one.key] = compute(folder, one) if frame is None else store.write(one, frame, seconds=seconds)
            except Exception as problem:
                ended[one.key] = problem
    return ended


def require_memory(experiments: Collection[Experiment], jobs: int, limit: int | None = None) -> None:
    """Refuse experiments that would not fit in this machine's free memory, each under a limit if there is one.

    Raises
    ------
    InputError
        Saying what is needed, what is free, and how many jobs would fit.
    """
    if not any(one.memory for one in experiments):
        return
    free = USABLE * free_memory()
    needed = predicted_memory(experiments, jobs, limit)
    if needed <= free:
        return
    fitting = [count for count in range(1, jobs) if predicted_memory(experiments, count, limit) <= free]
    worst = max(experiments, key=lambda one: one.memory_within(limit))
    advice = f"use --jobs {max(fitting)}" if fitting else "leave out the largest, or limit --memory"
    raise InputError(
        f"{jobs} job(s) with experiments as large as {worst.label} would need {needed / 1e9:.1f} GB of memory, "
        f"but {free / 1e9:.1f} GB can be used; {advice}"
    )


def predicted_memory(experiments: Collection[Experiment], jobs: int, limit: int | None = None) -> float:
    """Predict the peak of resident bytes with `jobs` experiments at once, the largest together."""
    sizes = (sum(one.memory_within(limit) for one in group) for group in groups(experiments))
    largest = sorted(sizes, reverse=True)[:jobs]
    return sum(largest) + WORKER_BYTES * len(largest)


@dataclass
class _Run:
    """The work of one `run_all`, stage by stage."""

    specification: Specification
    store: Store
    pool: Executor
    jobs: int  # local processes; 0 with another executor
    memory: int | None
    progress: Progress | None
    keys: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)  # keys without a result, for good
    found: int = 0
    computed: int = 0
    diverged: int = 0
    failed: int = 0
    unreadable: int = 0
    killed: int = 0  # experiments that failed because their worker was killed
    notes: list[str] = field(default_factory=list)
    done: float = 0.0  # seconds of cost

    def all_stages(self) -> Outcome:
        total = self.specification.seconds or 1.0
        self.notes += self.specification.notes
        try:
            for stage in self.specification.walk(self._reader):
                self._run(stage, total)
            self.notes += self.store.clear_foreign(self.keys)
        except StageIncompleteError as problem:
            self.notes.append(str(problem))
        counts = (self.found, self.computed, self.diverged, self.failed, self.unreadable)
        return Outcome(len(self.keys), *counts, tuple(self.notes))

    def _run(self, stage: Stage, total: float) -> None:
        """Compute what a stage lacks."""
        experiments = {one.key: one for one in stage.experiments}
        new = {key: one for key, one in experiments.items() if key not in self.keys}
        self.keys |= new.keys()
        there = self.store.find(new.values())
        self.notes += there.notes
        missing = [one for key, one in new.items() if key not in there.finished and key not in there.unreadable]
        missing.sort(key=lambda one: -one.cost)  # the costliest first, so that none is left to run alone at the end
        if there.finished and not self.found and (changed := self.store.changed_versions()):
            self.notes.append(f"versions changed since this run began ({changed}): new results may differ in last bits")
        self.found += len(there.finished)
        self.unreadable += len(there.unreadable)
        self.absent |= there.unreadable
        self.done += sum(one.cost for key, one in new.items() if key in there.finished)
        self._tell(stage.name, total)
        if missing:
            if self.jobs:
                require_memory(missing, self.jobs, self.memory)
            at_work = dict.fromkeys(missing)
            for one in missing:
                forget(self.store.scratch(one.key))  # what a killed process said
            calls = self._calls(new.values(), set(missing))
            meanwhile = None if self.progress is None else lambda: self._look(at_work, total)
            with running(self.pool, calls, meanwhile=meanwhile) as ended:
                for together, future in ended:
                    for one in together:
                        self._settle(future, one)
                        del at_work[one]
                        self.done += one.cost
                    self._tell(f"{together[0].label} done", total)

    def _calls(
        self, asked: Iterable[Experiment], missing: Collection[Experiment]
    ) -> dict[tuple[Experiment, ...], tuple[Any, ...]]:
        """Return what computes the missing experiments, each alone or together with others that were asked for."""
        folder = self.store.folder.absolute()
        calls: dict[tuple[Experiment, ...], tuple[Any, ...]] = {}
        for group in groups(asked):
            lacking = tuple(one for one in group if one in missing)
            if lacking:
                alone = len(group) == 1
                one = functools.partial(compute, memory=self.memory)
                calls[lacking] = (one, folder, group[0]) if alone else (compute_together, folder, group, lacking)
        return dict(sorted(calls.items(), key=lambda call: -sum(one.cost for one in call[0])))

    def _settle(self, future: Future[bool | dict[str, bool | Exception]], experiment: Experiment) -> None:
        """Count how an experiment ended, and record why it failed."""
        try:
            ended = future.result()
            if isinstance(ended, dict):
                ended = ended[experiment.key]
            if isinstance(ended, Exception):
                raise ended
            self.diverged += ended
            self.computed += 1
        except (CancelledError, ExecutorLostError, FolderUnseenError):
            raise
        except Exception as problem:  # one failed experiment must not lose the others; it is recorded and reported
            if isinstance(problem, OSError) and problem.errno in _OF_THE_DISK:
                raise
            self.killed += isinstance(problem, WorkerKilledError)
            if self.killed > _KILLED and not self.computed:
                raise InputError(
                    "every worker process is killed, before anything is computed, probably for want of memory: run the "
                    "same command again with fewer --jobs"
                ) from None
            self.store.record_failure(experiment, f"{type(problem).__name__}: {problem}")
            self.failed += 1
            self.absent.add(experiment.key)

    def _reader(self, stage: Stage) -> Reader:
        return self.store.reader(stage, lambda key: key not in self.absent)

    def _look(self, at_work: Iterable[Experiment], total: float) -> None:
        """Tell what the experiments at work have said of themselves."""
        running = list(itertools.islice(at_work, _LOOKED_AT))
        states = [(one, state) for one in running if (state := told(self.store.scratch(one.key))) is not None]
        if states:
            one, state = states[0]
            others = f" ({len(states) - 1} more at work)" if len(states) > 1 else ""
            begun = sum(other.cost * found.share for other, found in states)
            self._tell(f"{one.label}: {state.what}{others}", total, begun=begun)

    def _tell(self, what: str, total: float, *, begun: float = 0.0) -> None:
        if self.progress is not None:
            self.progress(what, min((self.done + begun) / total, 1.0))
