"""The plan of a sweep: its cells in the order they are to run, and what they will cost."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from threadpoolctl import threadpool_limits

from ntk1bit.errors import InputError
from ntk1bit.experiments.cells import NO_SCALE, Cell, load_task, run_cell
from ntk1bit.experiments.spec import SweepSpec

WORKER_BYTES = 330e6  # a worker with its libraries loaded and nothing trained, measured as resident memory
_USABLE = 0.9  # of the free memory; the rest is left to the system


@dataclass(frozen=True)
class Plan:
    """The cells of a sweep, costliest first, and sentences about their data."""

    cells: tuple[Cell, ...]
    notes: tuple[str, ...]

    @property
    def operations(self) -> float:
        """Multiply-adds of all cells."""
        return sum(cell.operations for cell in self.cells)

    def memory(self, jobs: int) -> float:
        """Predicted peak of resident bytes with `jobs` cells at once, the largest together."""
        largest = sorted((cell.memory for cell in self.cells), reverse=True)[:jobs]
        return sum(largest) + WORKER_BYTES * len(largest)

    def seconds(self, jobs: int) -> float:
        """Predicted time on this machine, from training two small networks now (about a second).

        A step's cost is split into work that grows with the width and a constant that does not.
        """
        times = {}
        with threadpool_limits(1):
            for cell in {(c.task, c.dim, c.n_train, c.precision): c for c in self.cells}.values():
                small, large = (_seconds_of_steps(replace(cell, width=width)) for width in (256, 2048))
                slope = max(large - small, 0.0) / (2048 - 256)
                times[cell.task, cell.dim, cell.n_train, cell.precision] = (max(small - 256 * slope, 0.0), slope)
        total = 0.0
        for cell in self.cells:
            fixed, slope = times[cell.task, cell.dim, cell.n_train, cell.precision]
            total += cell.steps * (fixed + slope * cell.width)
        return total / min(jobs, os.cpu_count() or 1)


def make_plan(spec: SweepSpec) -> Plan:
    """List the cells of a specification and load its data once, so that what cannot run is refused now.

    Raises
    ------
    InputError
        If a task cannot be loaded in the sizes asked for.
    """
    cells: list[Cell] = []
    notes: list[str] = []
    for name, n_train, dim in itertools.product(spec.tasks, spec.n_train, spec.dims or (None,)):
        task = load_task(name, n_train, spec.n_test, spec.data_seed, dim)
        if dim is not None and task.dim != dim:
            raise InputError(f"task {name!r} has d = {task.dim}; --dims works with sphere-* and curve tasks only")
        notes += [f"{name}: {note}" for note in task.notes if f"{name}: {note}" not in notes]
        for width, precision, init, scale, kappa, seed in itertools.product(
            spec.widths, spec.precisions, spec.inits, spec.scales, spec.kappas, spec.seeds
        ):
            cell = Cell(
                task=name,
                dim=task.dim,
                n_train=n_train,
                n_test=spec.n_test,
                data_seed=spec.data_seed,
                width=width,
                precision=precision,
                init=init,
                scale=scale if precision == "one_bit" else NO_SCALE,
                kappa=kappa,
                eta_rel=spec.eta_rel,
                steps=spec.steps,
                checkpoints=spec.checkpoints,
                seed=seed,
                predictions=spec.predictions,
                terms=spec.terms,
            )
            cells.append(cell)
    unique = dict.fromkeys(cells)  # full precision runs once, whatever the scales
    return Plan(tuple(sorted(unique, key=lambda cell: -cell.operations)), tuple(notes))


def require_memory(plan: Plan, jobs: int) -> None:
    """Refuse a plan that would not fit in this machine's free memory.

    Raises
    ------
    InputError
        Saying what is needed, what is free, and how many jobs would fit.
    """
    free = _USABLE * free_memory()
    if plan.memory(jobs) <= free:
        return
    fitting = [count for count in range(1, jobs) if plan.memory(count) <= free]
    worst = max(plan.cells, key=lambda cell: cell.memory)
    advice = (
        f"use --jobs {max(fitting)}"
        if fitting
        else "leave out the largest widths, or use fewer points, steps or checkpoints"
    )
    raise InputError(
        f"{jobs} job(s) with cells as large as width {worst.width} would need {plan.memory(jobs) / 1e9:.1f} GB of "
        f"memory, but {free / 1e9:.1f} GB can be used; {advice}"
    )


def free_memory() -> float:
    """Return the bytes a new process can use: free memory, or what a Linux container's limit leaves if less."""
    free = float(psutil.virtual_memory().available)
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return free
    return min(free, float(limit - used))


def _seconds_of_steps(cell: Cell, steps: int = 8) -> float:
    trial = replace(cell, steps=steps, checkpoints=2, n_test=0, predictions=False, terms=False)
    run_cell(replace(trial, steps=1))
    began = time.perf_counter()
    run_cell(trial)
    return (time.perf_counter() - began) / steps
