"""What `ntk1bit sweep` shows: the plan, the progress bar, how it ended."""

from __future__ import annotations

import functools
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from ntk1bit.cli.lists import read_list, read_seeds, read_widths
from ntk1bit.cli.progress import clock, progress_bar, usable_jobs
from ntk1bit.cli.tables import print_table, say
from ntk1bit.data import tasks
from ntk1bit.experiments import (
    Cell,
    SweepSpec,
    make_plan,
    read_spec,
    run_sweep,
)
from ntk1bit.experiments.plan import free_memory, require_memory
from ntk1bit.experiments.spec import spec_from_dict


def collect(spec: Path | None, **options: Any) -> SweepSpec:
    """Make a specification of a file and the options that override it; options left out are None."""
    settings: dict[str, Any] = {} if spec is None else read_spec(spec).as_dict()
    readers = {
        "widths": read_widths,
        "seeds": read_seeds,
        "n_train": lambda text: read_list(text, option="--n-train", kind=int),
        "dims": lambda text: read_list(text, option="--dims", kind=int),
        "kappas": lambda text: read_list(text, option="--kappas", kind=float),
    }
    for name, value in options.items():
        if value is not None:
            read = readers.get(name, functools.partial(read_list, option=f"--{name}", kind=str))
            settings[name] = read(value) if isinstance(value, str) else value
    return spec_from_dict(settings)


def default_folder(spec: SweepSpec) -> Path:
    """Name a run by its tasks, widths and a short hash, so that the same command finds its run again."""
    import hashlib

    mark = hashlib.sha256(repr(spec).encode()).hexdigest()[:6]
    return Path("runs") / f"{'+'.join(spec.tasks)}-{min(spec.widths)}..{max(spec.widths)}-{mark}"


def print_tasks() -> int:
    """List the tasks, a line each."""
    print_table(["task", "what it is"], [[name, tasks.describe(name)] for name in tasks.names()])
    return 0


def print_plan(spec: SweepSpec, *, jobs: int | None, out: Path | None) -> int:
    """Print what would run and what it would cost."""
    jobs = usable_jobs(jobs)
    plan = make_plan(spec)
    rows = []
    for width in sorted(spec.widths):
        cells = [cell for cell in plan.cells if cell.width == width]
        worst = max(cell.memory for cell in cells)
        rows.append([width, len(cells), f"{sum(cell.operations for cell in cells):.3g}", f"{worst / 1e6:.0f} MB"])
    print_table(["width", "cells", "multiply-adds", "memory a cell"], rows)
    print()
    print(f"cells       {len(plan.cells)}")
    print(f"operations  {plan.operations:.3g} multiply-adds")
    print(f"memory      {plan.memory(jobs) / 1e9:.2f} GB with {jobs} jobs, of {free_memory() / 1e9:.1f} GB free")
    require_memory(plan, jobs)
    print(f"time        about {clock(plan.seconds(jobs))} on this machine")
    print(f"folder      {out or default_folder(spec)}")
    for note in plan.notes:
        say(note)
    return 0


def run(spec: SweepSpec, *, jobs: int | None, out: Path | None, resume: bool) -> int:
    """Run a sweep with a progress bar; return the exit code."""
    folder = out or default_folder(spec)
    jobs = usable_jobs(jobs)
    began = time.monotonic()
    try:
        with progress_bar() as bar:

            def report(cell: Cell | None, share: float) -> None:
                if bar is not None:
                    bar("training" if cell is None else f"width {cell.width} done", share)

            outcome = run_sweep(spec, folder, jobs=jobs, resume=resume, progress=report)
    except KeyboardInterrupt:
        command = shlex.join(["ntk1bit", *sys.argv[1:]])
        say(f"stopped; finished cells are in {folder}. To resume: {command}")
        raise
    for note in outcome.notes:
        say(note)
    found = f", {outcome.found} were there" if outcome.found else ""
    ended = f"{outcome.cells} cells: {outcome.computed} trained in {clock(time.monotonic() - began)}{found}"
    if outcome.diverged:
        ended += f", {outcome.diverged} diverged (recorded as results)"
    if outcome.failed:
        ended += f", {outcome.failed} FAILED (see {folder / 'failures.jsonl'})"
    print(f"{ended}. See them with: ntk1bit summary {shlex.quote(str(folder))}")
    return 1 if outcome.failed else 0
