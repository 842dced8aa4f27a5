"""The cells of a run that is planned, and short measurements on this machine from which its cost is predicted.

Cells of each sort are run, shorter where they would take long, in a folder that is removed: each twice in one process,
so that what is compiled or loaded once shows, and at two lengths. As many processes run at once as the run will have,
or as there are processors, so that what they take from each other is in the times.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ntk1bit.compiling import seconds_compiling
from ntk1bit.experiments.cell_costs import CellCosts, Measured, cost_line, length_of, variant, with_length
from ntk1bit.experiments.executors import LocalProcesses, uninterrupted
from ntk1bit.experiments.experiment import KEY_LENGTH, Experiment
from ntk1bit.experiments.planning import Cell, PlannedStage
from ntk1bit.experiments.runner import WORKER_BYTES, Progress, compute
from ntk1bit.experiments.specification import Reader, Specification, Stage
from ntk1bit.experiments.store import DamagedCellError, Store, UnreadableCellError
from ntk1bit.processors import usable_processors

SECONDS = 20.0  # of a calibration
_MOST = 10  # a cell takes a tenth of it at most, by its rough cost
_LONGEST = 3  # times as long, until a sort of each variant has been measured; of one, however long that takes
_SHORTER = 0.25  # the second length at which cells are measured
_LEAST = 0.2  # seconds that a measured cell should take at least
_STATUS = Path("/proc/self/status")  # where Linux tells what a process takes
_FACTOR = 1 << (0 if sys.platform == "darwin" else 10)  # of the peak that others tell, in bytes or kilobytes
_PAUSE = 0.1  # seconds
_LOOK = 0.2  # seconds between two looks at what is done
_measured_here: set[object] = set()  # kinds and variants of which cells have been measured in this process
_OTHERS = 1000  # added to seeds, so that a cell is not the same as the one before


@dataclass(frozen=True)
class PlannedRun:
    """The cells of a run, and which of them are there already.

    Attributes
    ----------
    specification
        What is asked for, with what the folder was asked for already.
    folder
        Of the run; none for a run from the start.
    stages
        All cells, each once, the costliest first. Stages that depend on missing results are as
        `Specification.supposed` has them.
    there
        What the cells cost that are there.
    unreadable
        Cells whose files cannot be read, which a run leaves as they are.
    """

    specification: Specification
    folder: Path | None
    stages: tuple[Stage, ...]
    there: Mapping[Experiment, Measured]
    unreadable: frozenset[Experiment]

    @property
    def missing(self) -> tuple[Experiment, ...]:
        """All that is still to be computed."""
        done = self.there.keys() | self.unreadable
        return tuple(one for stage in self.stages for one in stage.experiments if one not in done)

    def planned(self, costs: CellCosts, *, anew: bool = False) -> list[PlannedStage]:
        """Return the stages with what their cells cost: of those that are missing, or of all as in a run `anew`."""
        missing, planned = set(self.missing), []
        for stage in self.stages:
            cells = []
            for one in stage.experiments:
                if one in missing:
                    cells.append(costs.cell(one))
                elif anew and (known := self.there.get(one)):
                    memory = known.memory or WORKER_BYTES + one.memory
                    cells.append(Cell(one.label, known.seconds, memory=memory, stored=known.stored))
            planned.append(PlannedStage(stage.name, tuple(cells), str(self.folder)))
        return planned


def plan_run(specification: Specification, folder: Path | str | None = None) -> PlannedRun:
    """Find the cells of a specification, and what a folder holds of them; nothing is changed.

    Raises
    ------
    InputError
        If the folder holds a run of other settings, or the specification cannot run.
    """
    store = None if folder is None else Store(folder)
    if store is not None:
        specification = store.check(specification)
    sizes = _sizes(store)
    there: dict[Experiment, Measured] = {}
    known, unreadable, stages = set[Experiment](), set[Experiment](), list[Stage]()

    def reader(stage: Stage) -> Reader:
        def read() -> pd.DataFrame:
            whole = store is not None and all(one in there for one in stage.experiments)
            return store.frame(stage.experiments) if store and whole else specification.supposed(stage)

        return read

    for stage in specification.walk(reader):
        new = [one for one in dict.fromkeys(stage.experiments) if one not in known]
        known.update(new)
        for one in new:
            try:
                if store is not None and store.path(one.key).exists():
                    seconds = float(store.read(one.key)[0]["seconds"])
                    there[one] = Measured(one, seconds, sizes.get(one.key, 0))
            except UnreadableCellError:
                unreadable.add(one)
            except DamagedCellError:
                continue  # it is missing: a run computes it again
        stages.append(stage._replace(experiments=tuple(sorted(new, key=lambda one: -one.cost))))
    folder = None if folder is None else Path(folder)
    return PlannedRun(specification, folder, tuple(stages), there, frozenset(unreadable))


def calibrate(
    runs: Sequence[PlannedRun],
    known: Iterable[Measured] = (),
    *,
    jobs: int,
    seconds: float | None = None,
    processor: bool = False,
    progress: Progress | None = None,
) -> CellCosts:
    """Measure cells of each sort that runs lack, for so long at most.

    What is not measured by then is predicted from what is. Nothing is measured in 0 seconds; costs are rough then.

    Parameters
    ----------
    runs
        What is to be computed.
    known
        Cells that were measured elsewhere; only other kinds are measured. What is there of the runs is used too.
    jobs
        Processes that the runs will have; no more than there are processors are used at once.
    seconds
        Time for all of it but the start of processes, `SECONDS` by default; up to three times as long until cells of
        each precision, arm and so on have ended, and until the first have, however long they take.
    processor
        Measure the processor's time in place of the clock's, which other programs do not make longer.
    progress
        Called with what is being done and the share of the time that has passed.
    """
    found = [*known, *(one for run in runs for one in run.there.values())]
    there = "from cells that are there" if found else ""
    costs = CellCosts(found, source=there)
    sorts = _sorts(one for run in runs for one in run.missing if not costs.knows(one))
    seconds = SECONDS if seconds is None else seconds
    if not sorts or seconds <= 0:
        return costs
    jobs = min(jobs, usable_processors())
    each = min(max(seconds * jobs / (8 * len(sorts)), _LEAST), seconds / _MOST)
    tried = [_series(one, each) for one in sorts]
    with tempfile.TemporaryDirectory(prefix="ntk1bit-") as name:
        folder = Path(name)
        (folder / "cells").mkdir()
        (folder / "spec.toml").touch()  # by which a worker knows that it sees the folder
        for run in runs:
            run.specification.keep_beside(folder)
        startup = _run_within(folder, tried, jobs, seconds, processor, progress)
        measured = f"measured here with {jobs} processes at once"
        source = f"{there}, others {measured}" if there else measured
        return CellCosts([*found, *_read(folder, tried)], startup=startup, source=source)


def measure(folder: Path | str, number: int, series: Sequence[Experiment], *, processor: bool = False) -> None:
    """Run experiments one after the other in this process; write down what each cost as soon as it ends."""
    store, now = Store(folder), time.process_time if processor else time.perf_counter
    with open(store.folder / f"{number}.jsonl", "a", encoding="utf-8") as written:
        for one in series:
            of_process = {"kind_new": one.KIND not in _measured_here, "variant_new": variant(one) not in _measured_here}
            _measured_here.update((one.KIND, variant(one)))
            before, began, compiled = _peak(), now(), seconds_compiling()
            compute(store.folder, one)
            spent = now() - began - (seconds_compiling() - compiled)  # kernels are kept for the run
            memory = {"memory": _peak(), "grown": _peak() - before}
            found = {"seconds": spent, "stored": _sizes(store)[one.key], "compiles": "jax" in sys.modules}
            print(json.dumps(found | memory | of_process), file=written, flush=True)


def _peak() -> float:
    """Return the peak so far of this process's resident bytes.

    On Linux a process inherits `ru_maxrss` from the one that started it, however large that was.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _FACTOR)


def _sorts(experiments: Iterable[Experiment]) -> list[Experiment]:
    """Return one experiment of each sort that can run alone, by turns of each `variant`.

    Of each variant the sorts that cost most and least come first, so that all others are between two of them; the rest
    follow by what all their cells cost together.
    """
    total: dict[object, float] = {}
    example: dict[object, Experiment] = {}
    for one in experiments:
        if one.ALONE:
            key = one.alike
            example.setdefault(key, one)
            total[key] = total.get(key, 0.0) + one.cost
    variants: dict[object, list[Experiment]] = {}
    for key in sorted(total, key=lambda key: -total[key]):
        variants.setdefault(variant(example[key]), []).append(example[key])
    for sort in variants.values():
        by_cost = sorted(sort, key=lambda one: -one.cost)
        sort[:] = dict.fromkeys((by_cost[0], by_cost[-1], *sort))
    most = max(map(len, variants.values()), default=0)
    return [sort[place] for place in range(most) for sort in variants.values() if place < len(sort)]


def _series(experiment: Experiment, seconds: float) -> list[Experiment]:
    """Return the cells that are run of a sort: a long one twice, and where it is not the whole, a short one twice."""
    line, length = cost_line(experiment), length_of(experiment)
    affordable = seconds / line.slope if line.slope > 0 else length
    long = with_length(experiment, affordable)
    lengths = [long]
    if long != experiment and (short := with_length(long, _SHORTER * length_of(long))) != long:
        lengths.append(short)
    return [one for each in lengths for one in (each, _other(each))]


def _other(experiment: Experiment) -> Experiment:
    """Return the same experiment with other seeds, if it has seeds."""
    fields: dict[str, Any] = {}
    if hasattr(experiment, "seed"):
        fields["seed"] = getattr(experiment, "seed") + _OTHERS  # noqa: B009 - most experiments have the field
    if hasattr(experiment, "seeds"):
        fields["seeds"] = tuple(seed + _OTHERS for seed in getattr(experiment, "seeds"))  # noqa: B009
    return replace(experiment, **fields)


def _run_within(
    folder: Path,
    tried: Sequence[Sequence[Experiment]],
    jobs: int,
    seconds: float,
    processor: bool,
    progress: Progress | None,
) -> float:
    """Run series on as many processes until all are done or the time is over; return how long a process starts."""
    began = time.monotonic()
    pool = LocalProcesses(jobs)
    try:
        ready = [pool.submit(_ready) for _ in range(jobs)]
        spent = [one.result() for one in ready]
        startup = max(spent) if processor else time.monotonic() - began - _PAUSE
        futures = [pool.submit(measure, folder, *one, processor=processor) for one in enumerate(tried)]
        _wait(futures, seconds, lambda: _known(folder, tried), progress)
        return startup
    finally:
        with uninterrupted():
            pool.stop()


def _ready() -> float:
    """Return the processor's seconds that this process took to start; wait, so that each process does this once."""
    time.sleep(_PAUSE)
    return time.process_time()


def _wait(
    futures: Sequence[Future[None]], seconds: float, share: Callable[[], float], progress: Progress | None
) -> None:
    """Wait until all are done, or the time is over and enough is known; what fails, fails in the run as well."""
    began = time.monotonic()
    while wait(futures, timeout=_LOOK).not_done:
        passed = time.monotonic() - began
        if progress is not None:
            progress("measuring cells", min(passed / seconds, 1.0))
        if passed >= seconds and (known := share()) and (known == 1 or passed >= _LONGEST * seconds):
            return


def _known(folder: Path, tried: Sequence[Sequence[Experiment]]) -> float:
    """Return the share of what is to be told apart that has been.

    Of each variant a sort has been run twice, so that time and what is spent once are; of a kind that compiles and has
    several sorts, one in a process that had loaded its libraries.
    """
    found = list(_read(folder, tried))
    asked: set[object] = {variant(series[0]) for series in tried}
    told: set[object] = {variant(one.experiment) for one in found if not one.new}
    compiling = {one.experiment.KIND for one in found if one.compiles}
    asked |= {kind for kind, sorts in Counter(series[0].KIND for series in tried).items() if sorts > 1} & compiling
    told |= {one.experiment.KIND for one in found if one.compiles and one.new and not one.kind_new}
    return len(told & asked) / len(asked)


def _read(folder: Path, tried: Sequence[Sequence[Experiment]]) -> Iterator[Measured]:
    """Give what was written down of the series."""
    for number, series in enumerate(tried):
        path = folder / f"{number}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        for place, (one, line) in enumerate(zip(series, lines, strict=False)):
            with contextlib.suppress(ValueError):  # cut short
                yield Measured(one, **json.loads(line), new=place % 2 == 0)


def _sizes(store: Store | None) -> dict[str, int]:
    """Return the bytes of the files that each experiment has left, by key."""
    sizes: dict[str, int] = {}
    for path in store.cells.iterdir() if store is not None and store.cells.is_dir() else ():
        key = path.name[:KEY_LENGTH]
        sizes[key] = sizes.get(key, 0) + path.stat().st_size
    return sizes
