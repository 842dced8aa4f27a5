"""What `ntk1bit sweep` shows: the plan, the progress bar, how it ended."""

from __future__ import annotations

import functools
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ntk1bit.cli.lists import read_list, read_seeds, read_widths
from ntk1bit.cli.options import Running
from ntk1bit.cli.own_tasks import read_own_tasks
from ntk1bit.cli.planning import forecast, print_forecast
from ntk1bit.cli.progress import clock, resumable, run_shown
from ntk1bit.cli.running import workers_of
from ntk1bit.cli.tables import print_table, say
from ntk1bit.data import tasks
from ntk1bit.experiments import SweepSpec
from ntk1bit.experiments.runner import require_memory
from ntk1bit.experiments.workers import Workers
from ntk1bit.printing import number, plain


def collect(spec: Path | None, *, out: Path | None, of_file: Mapping[str, str | None], **options: Any) -> SweepSpec:
    """Make a specification of a file and the options that override it; options left out are None.

    Parameters
    ----------
    spec
        The file, if any.
    out
        The run's folder, which may hold the user's own data already.
    of_file
        How files of one's own data are read: `target`, `features`, `split` and `normalise` of `read_own_tasks`.
    options
        Fields of the specification, as the command line has them.
    """
    readers: dict[str, Callable[[str], Any]] = {
        "backend": str,
        "widths": read_widths,
        "seeds": read_seeds,
        "n_train": lambda text: read_list(text, option="--n-train", kind=int),
        "dims": lambda text: read_list(text, option="--dims", kind=int),
        "kappas": lambda text: read_list(text, option="--kappas", kind=float),
    }
    settings: dict[str, Any] = {}
    for name, value in options.items():
        if value is not None:
            read = readers.get(name, functools.partial(read_list, option=f"--{name}", kind=str))
            settings[name] = read(value) if isinstance(value, str) else value
    if out is not None:
        SweepSpec.look_beside(out)
    base = None if spec is None else SweepSpec.read(spec)
    seed = settings.get("data_seed", 0 if base is None else base.data_seed)
    given = read_own_tasks(settings.get("tasks", ()), seed=seed, **of_file)
    if given:
        settings["tasks"] = given
        for name in ("n_train", "n_test"):  # those of another task say nothing about this one
            settings.setdefault(name, -1 if name == "n_test" else ())
    return SweepSpec.from_dict(settings, base)


def default_folder(spec: SweepSpec) -> Path:
    """Name a run by its tasks, widths and a short hash, so that the same command finds its run again."""
    names = "+".join(name.partition("@")[0] for name in spec.task_names)
    return Path("runs") / f"{names}-{min(spec.widths)}..{max(spec.widths)}-{spec.mark}"


def print_tasks() -> int:
    """List the tasks, one per line."""
    print_table(["task", "what it is"], [[name, tasks.describe(name)] for name in tasks.names()])
    return 0


def print_plan(spec: SweepSpec, *, running: Running, out: Path | None) -> int:
    """Print what would run and what it would cost."""
    workers = _workers(spec, running)
    jobs = workers.places
    networks = spec.networks
    rows = []
    for width in sorted(spec.widths):
        chosen = [one for one in networks if one.width == width]
        worst = max(one.memory for one in chosen)
        rows.append([width, len(chosen), number(sum(one.operations for one in chosen)), f"{worst / 1e6:.0f} MB"])
    print_table(["width", "cells", "multiply-adds", "memory per cell"], rows)
    print()
    print(f"cells       {len(networks)}")
    print(f"operations  {number(sum(one.operations for one in networks))} multiply-adds")
    if workers.executor == "local":
        require_memory(networks, jobs, workers.memory)
    folder = out or default_folder(spec)
    print_forecast(forecast([(spec, folder)], jobs=jobs), jobs=jobs, folder=folder)
    say(*spec.notes)
    return 0


def run(spec: SweepSpec, *, running: Running, out: Path | None) -> int:
    """Run a sweep with a progress bar; return the exit code."""
    folder, workers = out or default_folder(spec), _workers(spec, running)
    began = time.monotonic()
    with resumable(folder):
        outcome = run_shown(spec, folder, workers)
    found = f", {outcome.found} were there" if outcome.found else ""
    ended = f"{outcome.cells} cells: {outcome.computed} trained in {clock(time.monotonic() - began)}{found}"
    if outcome.diverged:
        ended += f", {outcome.diverged} diverged (recorded as results)"
    if outcome.failed:
        ended += f", {outcome.failed} FAILED (see {folder / 'failures.jsonl'})"
    if outcome.unreadable:
        ended += f", {outcome.unreadable} UNREADABLE"
    print(plain(f"{ended}. See them with: ntk1bit summary {shlex.quote(str(folder))}"))
    return 1 if outcome.failed or outcome.unreadable else 0


def _workers(spec: SweepSpec, running: Running) -> Workers:
    """Return the workers asked for: in JAX one process unless told otherwise, which keeps one accelerator busy."""
    return workers_of(running._replace(jobs=1) if running.jobs is None and spec.backend == "jax" else running)
