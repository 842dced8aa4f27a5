"""Run a sweep: what is missing is computed on an executor, and each cell is on disk as soon as it is done."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from ntk1bit import cores
from ntk1bit.errors import InputError
from ntk1bit.experiments.cells import Cell, about_table, run_cell
from ntk1bit.experiments.executors import running, uninterrupted
from ntk1bit.experiments.plan import Plan, make_plan, require_memory
from ntk1bit.experiments.spec import SweepSpec
from ntk1bit.experiments.store import Store, stored_versions, versions
from ntk1bit.files import clear_unfinished


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended.

    Attributes
    ----------
    cells, found, computed, diverged, failed
        Numbers of cells: asked for; already there; computed now; of these, diverged (a result) and failed (an error,
        told in failures.jsonl).
    notes
        Sentences for the user: about the data, files set aside, versions that changed.
    """

    cells: int
    found: int
    computed: int
    diverged: int
    failed: int
    notes: tuple[str, ...]


def run_sweep(
    spec: SweepSpec,
    folder: Path,
    *,
    jobs: int = 1,
    resume: bool = False,
    executor: Executor | None = None,
    progress: Callable[[Cell | None, float], None] | None = None,
) -> Outcome:
    """Train every network of a specification that the folder does not hold yet.

    Results do not depend on the executor, the number of jobs or the order of the cells.

    Parameters
    ----------
    spec
        What to train.
    folder
        The run's folder; must be visible to every worker under the same path.
    jobs
        Number of local processes, when no executor is given.
    resume
        Go on with a run of the same specification.
    executor
        Any `concurrent.futures.Executor`, for example a Dask client's `get_executor()`; it is not shut down.
    progress
        Called with (None, share of the work already there) and then (cell, share of the work done) after each cell.

    Raises
    ------
    InputError
        If the specification cannot run, does not fit in memory, the folder is another run's or in use, the disk is
        full, or a worker process was killed.
    KeyboardInterrupt
        On Ctrl-C, after the workers have been stopped; finished cells stay.
    """
    if jobs < 1:
        raise InputError(f"jobs must be at least 1, got {jobs}")
    plan = make_plan(spec)
    if executor is None:
        require_memory(plan, jobs)
    store = Store(folder)
    store.check(spec, resume=resume)
    with store.lock():
        store.open(spec, resume=resume)
        done, notes = store.finished(plan.cells)
        if done and (changed := _changed_versions(folder)):
            notes.append(f"versions changed since this run began ({changed}): new cells may differ in their last bits")
        missing = [cell for cell in plan.cells if cell not in done]
        report = _Reporter(plan, progress)
        report.start(done)
        diverged = failed = 0
        calls = {cell: (compute_cell, folder, cell) for cell in missing}
        try:
            with running(calls, jobs=jobs, executor=executor) if calls else nullcontext(()) as done_now:
                for cell, future in done_now:
                    ended = _result(future, cell, store)
                    diverged += ended == "diverged"
                    failed += ended == "failed"
                    report.finish(cell)
        except BaseException:
            if executor is None:
                with uninterrupted():
                    clear_unfinished(store.cells)
            raise
    return Outcome(len(plan.cells), len(done), len(missing) - failed, diverged, failed, (*plan.notes, *notes))


def compute_cell(folder: Path, cell: Cell) -> bool:
    """Train one cell and store it; return whether it diverged. Any process that can see the folder can do this."""
    with cores.using(threads=1):
        table = run_cell(cell)
    Store(folder).write(cell, table)
    return bool(about_table(table)["diverged"])


def _result(future: Future[bool], cell: Cell, store: Store) -> str:
    try:
        return "diverged" if future.result() else "done"
    except BrokenProcessPool:
        raise InputError(
            "a worker process was killed, probably for want of memory; finished cells are kept: "
            "run the same command with --resume and fewer --jobs"
        ) from None
    except OSError as problem:
        raise InputError(
            f"cannot write to {store.folder}: {problem.strerror or problem}; finished cells are kept: "
            "free some space and run the same command with --resume"
        ) from None
    except Exception as problem:  # one failed network must not lose the others; it is recorded and reported
        store.record_failure(cell, f"{type(problem).__name__}: {problem}")
        return "failed"


def _changed_versions(folder: Path) -> str:
    then, now = stored_versions(folder), versions()
    return ", ".join(f"{name} {then.get(name, 'none')} to {now[name]}" for name in now if then.get(name) != now[name])


class _Reporter:
    """Tells the caller which share of the work is done."""

    def __init__(self, plan: Plan, progress: Callable[[Cell | None, float], None] | None) -> None:
        self.total = plan.operations
        self.done = 0.0
        self.progress = progress

    def start(self, done: set[Cell]) -> None:
        self.done = sum(cell.operations for cell in done)
        if self.progress is not None:
            self.progress(None, self.done / self.total)

    def finish(self, cell: Cell) -> None:
        self.done += cell.operations
        if self.progress is not None:
            self.progress(cell, min(self.done / self.total, 1.0))
