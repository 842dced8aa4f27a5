"""What a run would take: the lines of `--dry-run`, and what `ntk1bit plan` shows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from ntk1bit.arguments import free_memory
from ntk1bit.cli.progress import clock, progress_bar, usable_jobs
from ntk1bit.cli.tables import print_table
from ntk1bit.errors import InputError
from ntk1bit.experiments.calibration import PlannedRun, calibrate, plan_run
from ntk1bit.experiments.cell_costs import CellCosts, Measured
from ntk1bit.experiments.planning import (
    MOST_WORKERS,
    PlannedStage,
    Schedule,
    counts_up_to,
    limit,
    schedule,
)
from ntk1bit.experiments.specification import Specification, read_specification
from ntk1bit.experiments.store import read_stored
from ntk1bit.files import FIGURES, writable_file
from ntk1bit.printing import plain


@dataclass(frozen=True)
class Forecast:
    """What runs, one after the other, would take.

    Attributes
    ----------
    runs
        What is run.
    costs
        Of their cells.
    anew
        Whether all cells are run, or those that are missing.
    """

    runs: tuple[PlannedRun, ...]
    costs: CellCosts
    anew: bool

    @cached_property
    def stages(self) -> list[PlannedStage]:
        """All stages."""
        return [stage for run in self.runs for stage in run.planned(self.costs, anew=self.anew)]

    @property
    def stored(self) -> float:
        """Bytes that the cells leave on disk."""
        return sum(cell.stored for stage in self.stages for cell in stage.cells)

    @property
    def source(self) -> str:
        """Where the times come from, for the end of a line."""
        missing = [one for run in self.runs for one in run.missing]
        unknown = dict.fromkeys(one.KIND for one in missing if not self.costs.knows(one))
        if not unknown:
            return self.costs.source
        told = f"; {', '.join(unknown)} not measured, rough" if self.costs.source else "rough"
        return f"{self.costs.source}{told}"

    def on(self, workers: int) -> Schedule:
        """Return the schedule on so many workers."""
        return schedule(self.stages, workers, startup=self.costs.startup)

    def seconds(self, run: PlannedRun, workers: int) -> float:
        """Return the time of one of the runs."""
        return schedule(run.planned(self.costs, anew=self.anew), workers, startup=self.costs.startup).wall


def forecast(
    runs: Sequence[tuple[Specification, Path | None]],
    *,
    jobs: int,
    known: Sequence[Measured] = (),
    anew: bool = False,
) -> Forecast:
    """Predict what runs in folders would take on this machine, from cells that are there or a short calibration."""
    planned = tuple(plan_run(*one) for one in runs)
    with progress_bar() as bar:
        costs = calibrate(planned, known, jobs=min(jobs, usable_jobs(None)), progress=bar)
    return Forecast(planned, costs, anew)


def print_forecast(found: Forecast, *, jobs: int, folder: Path) -> None:
    """Print the lines that every dry run ends with: time, memory, storage, folder."""
    ran = found.on(jobs)
    print(f"time        about {clock(ran.wall)} with {jobs} jobs, {found.source}")
    print(f"memory      {ran.memory / 1e9:.2f} GB with {jobs} jobs, of {free_memory() / 1e9:.1f} GB free")
    print(f"storage     {storage(found.stored)}")
    print(plain(f"folder      {folder}"))


def storage(size: float) -> str:
    """Write bytes as megabytes or gigabytes."""
    if size >= 1e9:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.3g} MB" if size else "not known before cells are measured"


def print_replay(what: Path, *, workers: int, timed: Path | None, plot: Path | None, as_csv: bool) -> None:
    """Print time, busy share and processor hours on 1, 2, 4, ... workers, and draw them."""
    if not 1 <= workers <= MOST_WORKERS:
        raise InputError(f"--workers must be from 1 to {MOST_WORKERS:,}, got {workers}")
    if plot is not None:
        writable_file("--plot", plot, FIGURES)
    runs = _runs(what)
    known = () if timed is None else tuple(plan_run(read_stored(timed), timed).there.values())
    if timed is not None and not known:
        raise InputError(f"{timed} has no finished cells to take times from; give a run that has, or leave --timed out")
    found = forecast(runs, jobs=min(workers, usable_jobs(None)), known=known, anew=True)
    schedules = [found.on(count) for count in counts_up_to(workers)]
    table = pd.DataFrame(
        [
            {
                "workers": one.workers,
                "seconds": one.wall,
                "busy": one.busy,
                "processor_hours": one.processor_seconds / 3600,
                "bytes_of_memory": one.memory,
            }
            for one in schedules
        ]
    )
    if as_csv:
        table.to_csv(sys.stdout, index=False)
    else:
        _print_schedules(found, schedules)
    if plot is not None:
        from ntk1bit.plots.planning import draw_plan

        ended = limit(found.stages, startup=found.costs.startup)
        written = draw_plan(schedules, ended, found.on(min(ended.workers, workers)), plot)
        print(plain(str(written)), file=sys.stderr if as_csv else sys.stdout)


def _print_schedules(found: Forecast, schedules: Sequence[Schedule]) -> None:
    rows = [
        [
            one.workers,
            clock(one.wall),
            f"{one.busy:.0%}",
            f"{one.processor_seconds / 3600:.3g}",
            f"{one.memory / 1e9:.2f} GB",
        ]
        for one in schedules
    ]
    print_table(["workers", "time", "busy", "processor hours", "memory"], rows)
    ended = limit(found.stages, startup=found.costs.startup)
    cells = sum(len(stage.cells) for stage in found.stages)
    print()
    print(f"cells       {cells}, {len([one for run in found.runs for one in run.there])} of them there; {found.source}")
    print(f"storage     {storage(found.stored)}")
    print(
        f"scales      up to {ended.workers} workers, the fewest within 10 % of the least time, {clock(ended.least)}: "
        f"{ended.why}"
    )


def _runs(what: Path) -> list[tuple[Specification, Path | None]]:
    """Return the specification and folder of a run, or of each study of a verification, or of a file."""
    if what.is_file():
        return [(read_specification(what), None)]
    if (what / "spec.toml").is_file():
        return [(read_stored(what), what)]
    studies = sorted(path.parent for path in what.glob("studies/*/spec.toml"))
    if not studies:
        raise InputError(
            f"{what} is no run folder, verification or specification file; give runs/NAME or a .toml with settings"
        )
    return [(read_stored(one), one) for one in studies]
