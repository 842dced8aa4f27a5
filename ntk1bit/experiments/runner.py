"""Run what a specification asks for: what is missing is computed on an executor, and each result is on disk at once."""

from __future__ import annotations

import errno
import itertools
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ntk1bit import cores
from ntk1bit.compiling import announced
from ntk1bit.errors import InputError
from ntk1bit.experiments.executors import running, uninterrupted, workers
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.specification import Reader, Specification, Stage
from ntk1bit.experiments.store import StageIncompleteError, Store
from ntk1bit.experiments.telling import COMPILING_KERNELS, Teller, forget, told
from ntk1bit.files import clear_unfinished

WORKER_BYTES = 330e6  # a worker with its libraries loaded and nothing trained, measured as resident memory
_OF_THE_DISK = {  # errors of the system that every other experiment would meet as well
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
}  # fmt: skip
_LOOKED_AT = 64  # experiments, in the order in which they begin: as many as run at once on a machine
_USABLE = 0.9  # of the free memory; the rest is left to the system

Progress = Callable[[str, float], None]


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
        Any `concurrent.futures.Executor`, for example a Dask client's `get_executor()`; it is not shut down.
    progress
        Called with what is being done, or was just finished, and the share of the work that is done.

    Raises
    ------
    InputError
        If the specification cannot run, does not fit in memory, the folder is another run's or in use, the disk is
        full, or a worker process was killed.
    KeyboardInterrupt
        On Ctrl-C, after the workers have been stopped; finished experiments stay.
    """
    if jobs < 1:
        raise InputError(f"jobs must be at least 1, got {jobs}")
    store = Store(folder)
    specification = store.check(specification)
    if executor is None:
        require_memory(specification.first_stage.experiments, jobs)
    with store.lock():
        try:
            specification = store.open(specification)
            with workers(jobs, executor) as pool:
                return _Run(specification, store, pool, None if executor else jobs, progress).all_stages()
        except BrokenProcessPool:
            raise InputError(
                "a worker process was killed, probably for want of memory; finished experiments are kept: "
                "run the same command again with fewer --jobs"
            ) from None
        except OSError as problem:
            raise InputError(
                f"cannot write to {store.folder}: {problem.strerror or problem}; finished experiments are kept: "
                "free some space and run the same command again"
            ) from None
        except BaseException:
            if executor is None and store.cells.is_dir():
                with uninterrupted():
                    clear_unfinished(store.cells)
            raise


def compute(folder: Path | str, experiment: Experiment) -> bool:
    """Run one experiment and store it; return whether it diverged. Any process that can see the folder can do this."""
    store = Store(folder)
    began = time.perf_counter()
    scratch = store.scratch(experiment.key)
    with Teller(scratch) as tell, cores.using(threads=1), announced(lambda: tell(COMPILING_KERNELS, 0.0)):
        frame = experiment.run(scratch)
    return store.write(experiment, frame, seconds=time.perf_counter() - began)


def require_memory(experiments: Collection[Experiment], jobs: int) -> None:
    """Refuse experiments that would not fit in this machine's free memory.

    Raises
    ------
    InputError
        Saying what is needed, what is free, and how many jobs would fit.
    """
    if not any(one.memory for one in experiments):
        return
    free = _USABLE * free_memory()
    needed = predicted_memory(experiments, jobs)
    if needed <= free:
        return
    fitting = [count for count in range(1, jobs) if predicted_memory(experiments, count) <= free]
    worst = max(experiments, key=lambda one: one.memory)
    advice = f"use --jobs {max(fitting)}" if fitting else "leave out the largest, or use fewer points or steps"
    raise InputError(
        f"{jobs} job(s) with experiments as large as {worst.label} would need {needed / 1e9:.1f} GB of memory, "
        f"but {free / 1e9:.1f} GB can be used; {advice}"
    )


def predicted_memory(experiments: Collection[Experiment], jobs: int) -> float:
    """Predict the peak of resident bytes with `jobs` experiments at once, the largest together."""
    largest = sorted((one.memory for one in experiments), reverse=True)[:jobs]
    return sum(largest) + WORKER_BYTES * len(largest)


def free_memory() -> float:
    """Return the bytes a new process can use: free memory, or what a Linux container's limit leaves if less."""
    free = float(psutil.virtual_memory().available)
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return free
    return min(free, float(limit - used))


@dataclass
class _Run:
    """The work of one `run_all`, stage by stage."""

    specification: Specification
    store: Store
    pool: Executor
    jobs: int | None  # local processes; None with an executor of the caller's
    progress: Progress | None
    keys: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)  # keys without a result, for good
    found: int = 0
    computed: int = 0
    diverged: int = 0
    failed: int = 0
    unreadable: int = 0
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
            if self.jobs is not None:
                require_memory(missing, self.jobs)
            at_work = dict.fromkeys(missing)
            for one in missing:
                forget(self.store.scratch(one.key))  # what a killed process said
            calls = {one: (compute, self.store.folder.absolute(), one) for one in missing}
            meanwhile = None if self.progress is None else lambda: self._look(at_work, total)
            with running(self.pool, calls, meanwhile=meanwhile) as ended:
                for one, future in ended:
                    self._settle(future, one)
                    del at_work[one]
                    self.done += one.cost
                    self._tell(f"{one.label} done", total)

    def _settle(self, future: Future[bool], experiment: Experiment) -> None:
        """Count how an experiment ended, and record why it failed."""
        try:
            self.diverged += future.result()
            self.computed += 1
        except BrokenProcessPool:
            raise
        except Exception as problem:  # one failed experiment must not lose the others; it is recorded and reported
            if isinstance(problem, OSError) and problem.errno in _OF_THE_DISK:
                raise
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
