"""What stands behind `ntk1bit fit`: check the options, guess columns, show progress, print, write and draw."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ntk1bit.errors import InputError, require_choice
from ntk1bit.scaling.analysis import Question, analyse
from ntk1bit.scaling.bootstrap import checked_level
from ntk1bit.scaling.columns import choose_roles
from ntk1bit.scaling.fit import Progress as ProgressCall
from ntk1bit.scaling.frontier import FLOPS_PER_PARAMETER_TOKEN
from ntk1bit.scaling.labels import one_column
from ntk1bit.scaling.laws import Law, get_law
from ntk1bit.scaling.report import FORMATS, Report
from ntk1bit.scaling.selection import load_rows

_PICTURES = (".pdf", ".png", ".svg")


def run_fit(
    file: Path,
    *,
    law: str,
    fix: str | None,
    given: Mapping[str, str | None],
    loss: str | None,
    group: str | None,
    cluster: str | None,
    weight: str | None,
    bootstrap: int,
    level: float,
    seed: int,
    against: str | None,
    holdout: float | None,
    frontier: bool,
    cost: float | None,
    run: str | None,
    where: str | None,
    at: str | None,
    measured: str | None,
    delta: float,
    tilt: float,
    out: Path | None,
    plot: Path | None,
    threads: int | None,
    load_sweep: Callable[[Path], tuple[pd.DataFrame, pd.DataFrame]],
) -> None:
    """Do what `ntk1bit fit` was asked; see the command's help for the options.

    `load_sweep` reads the folder of a sweep (see `load_rows`): this room knows tables only.
    """
    chosen = _held(get_law(law), fix)
    _check_options(chosen, given, level=level, cost=cost, threads=threads)
    for path, allowed in ((out, FORMATS), (plot, _PICTURES)):
        if path is not None:
            _check_place(path, allowed, file)
    moment = _moment("last" if at is None else at)
    which = cast("Literal['train', 'test']", require_choice("loss", measured or "train", ["train", "test"]))
    _check_source(file, run=run, at=at, measured=measured)
    if cost is not None and not frontier:
        raise InputError("--cost is k in C = k N D of the frontier; ask for it with --frontier")
    selected = load_rows(file, where=where, at=moment, measured=which, group=group, load_sweep=load_sweep)
    frame = selected.rows
    if file.is_dir():
        precisions = sorted(map(str, np.unique(frame["precision"])))
        if group not in (None, "precision") and len(precisions) > 1:
            raise InputError(
                f"the sweep holds several precisions ({', '.join(precisions)}), whose losses do not lie on one curve; "
                f"group by precision, or choose one with --where precision={precisions[0]}"
            )
        group = group or ("precision" if len(precisions) > 1 else None)
        loss = loss or "loss"
    labels = {name for name in (group, cluster, weight, run) if name is not None}
    for name in labels:
        one_column(frame, name)
    roles = choose_roles(frame, chosen, given, loss, labels)
    x, loss = roles.x, roles.loss
    question = Question(
        law=chosen,
        x=x,
        loss=loss,
        group=group,
        cluster=cluster,
        weight=weight,
        bootstrap=bootstrap,
        seed=seed,
        level=level,
        rivals=tuple(name.strip() for name in against.split(",")) if against else (),
        holdout=holdout,
        frontier=frontier,
        cost=FLOPS_PER_PARAMETER_TOKEN if cost is None else cost,
        run=run,
        delta=delta,
        tilt=tilt,
        threads=threads,
    )
    used = ", ".join(f"{variable} = {column}" for variable, column in x.items())
    Console(stderr=True).print(
        f"columns: {used}, loss = {loss}" + (f", group = {group}" if group else ""), markup=False
    )
    with _progress() as progress:
        report = analyse(frame, question, left_out=selected.left_out, remarks=roles.remarks, progress=progress)
    _deliver(report, out, plot)


def _check_options(
    law: Law,
    given: Mapping[str, str | None],
    *,
    level: float,
    cost: float | None,
    threads: int | None,
) -> None:
    for variable, column in given.items():
        if column is not None and variable not in law.variables:
            wanted = ", ".join(f"--{each}" for each in law.variables)
            raise InputError(f"law {law.name!r} has no variable {variable}; name its columns with {wanted}")
    checked_level(level)
    if cost is not None and not (math.isfinite(cost) and cost > 0):
        raise InputError(f"cost must be a positive number, got {cost}; 6 is usual for Transformers")
    if threads is not None and threads < 1:
        raise InputError(f"threads must be 1 or more, got {threads}")


def _check_place(path: Path, allowed: tuple[str, ...], source: Path) -> None:
    """Refuse, before the work, a place that cannot be written to or must not be."""
    if path.suffix.lower() not in allowed:
        raise InputError(f"cannot write {path.name!r}: choose a name that ends in {', '.join(allowed)}")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(path.parent)!r} to write {path.name!r} into; make it first")
    if path.is_dir():
        raise InputError(f"cannot write {str(path)!r}: it is a folder; choose another name")
    if path.resolve() == source.resolve():
        raise InputError(f"{str(path)!r} is the table itself; choose another name to write to")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(f"cannot write {str(path)!r}: permission denied; choose another place")


def _check_source(file: Path, *, run: str | None, at: str | None, measured: str | None) -> None:
    """Refuse options that are for tables with the folder of a sweep, and the other way round."""
    if file.is_dir() and run is not None:
        raise InputError("--run is for tables of moments; of a sweep's folder one row a cell is fitted: see --at")
    for name, value in (("at", at), ("measured", measured)):
        if value is not None and file.is_file():
            raise InputError(f"--{name} is for the folder of a sweep; choose rows of a table with --where or --run")


def _moment(at: str) -> Literal["last", "best"] | int:
    if at.isascii() and at.isdigit() and len(at) < 19:  # steps are 64-bit numbers
        return int(at)
    return cast("Literal['last', 'best']", require_choice("moment", at, ["last", "best", "a step's number"]))


def _held(law: Law, fix: str | None) -> Law:
    values: dict[str, float] = {}
    for pair in fix.split(",") if fix else ():
        name, _, value = (part.strip() for part in pair.partition("="))
        require_choice(f"parameter of law {law.name!r}", name, law.parameter_names)
        if name in values:
            raise InputError(f"--fix names {name} twice; give it one value")
        try:
            values[name] = float(value)
        except ValueError:
            raise InputError(
                f"cannot read {pair!r} in --fix; write parameter=number, as in alpha=0.25,gamma=0"
            ) from None
    return law.fix(**values) if values else law


@contextmanager
def _progress() -> Iterator[ProgressCall | None]:
    """Show a bar with the time left, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    layout = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*layout, console=Console(stderr=True), transient=True) as bars:
        tasks = {stage: bars.add_task(stage, total=None) for stage in ("starts", "bootstrap")}

        def advance(stage: str, done: int, total: int) -> None:
            bars.update(tasks[stage], completed=done, total=total)

        yield advance


def _deliver(report: Report, out: Path | None, plot: Path | None) -> None:
    text = report.markdown()
    if sys.stdout.isatty():
        Console().print(Markdown(text))
    else:
        sys.stdout.write(text)
    if out is not None:
        report.write(out)
    if plot is not None:
        from ntk1bit.plots.scaling import write_summary

        write_summary(report.fits, report.frontiers, plot, level=report.level, left_out=report.left_out)
