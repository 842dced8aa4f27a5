"""What stands behind `ntk1bit fit`: check the options, guess columns, show progress, print, write and draw."""

from __future__ import annotations

import math
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
from ntk1bit.scaling.columns import guess_columns
from ntk1bit.scaling.fit import Progress as ProgressCall
from ntk1bit.scaling.from_sweeps import losses_from_sweep, require_one_setting
from ntk1bit.scaling.laws import Law, get_law
from ntk1bit.scaling.report import FORMATS, Report
from ntk1bit.scaling.tables import read_table, select_rows

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
    cost: float,
    run: str | None,
    where: str | None,
    at: str,
    measured: str,
    delta: float,
    tilt: float,
    out: Path | None,
    plot: Path | None,
    threads: int | None,
    load_sweep: Callable[[Path], pd.DataFrame],
) -> None:
    """Do what `ntk1bit fit` was asked; see the command's help for the options.

    `load_sweep` reads the folder of a sweep: this room knows tables only.
    """
    chosen = _held(get_law(law), fix)
    _check_options(chosen, given, level=level, cost=cost, threads=threads, out=out, plot=plot)
    moment = int(at) if at.isdigit() else require_choice("moment", at, ["last", "best", "a step's number"])
    which = cast("Literal['train', 'test']", require_choice("loss", measured, ["train", "test"]))
    if file.is_dir():
        rows = select_rows(load_sweep(file), where)
        frame = losses_from_sweep(rows, at=cast("Literal['last', 'best']", moment), loss=which)
        require_one_setting(frame, apart_from=[group] if group else [])
    else:
        frame = select_rows(read_table(file), where)
    if file.is_dir():
        group = group or ("precision" if len(np.unique(frame["precision"])) > 1 else None)
        loss = loss or "loss"
    named = {name for name in (group, cluster, weight, run) if name is not None}
    for name in named:
        if name not in frame.columns:
            raise InputError(f"there is no column {name!r}; the table has {', '.join(map(str, frame.columns))}")
    numeric = [str(name) for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])]
    free = [name for name in numeric if name not in named]
    asked = {given.get(variable) for variable in chosen.variables} | {loss}
    columns = free + [name for name in map(str, frame.columns) if name in asked and name not in free]
    x, loss = guess_columns(chosen, columns, given, loss)
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
        frontier=frontier or run is not None,
        cost=cost,
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
        report = analyse(frame, question, progress=progress)
    _deliver(report, out, plot)


def _check_options(
    law: Law,
    given: Mapping[str, str | None],
    *,
    level: float,
    cost: float,
    threads: int | None,
    out: Path | None,
    plot: Path | None,
) -> None:
    for variable, column in given.items():
        if column is not None and variable not in law.variables:
            wanted = ", ".join(f"--{each}" for each in law.variables)
            raise InputError(f"law {law.name!r} has no variable {variable}; name its columns with {wanted}")
    checked_level(level)
    if not (math.isfinite(cost) and cost > 0):
        raise InputError(f"cost must be a positive number, got {cost}; 6 is usual for Transformers")
    if threads is not None and threads < 1:
        raise InputError(f"threads must be 1 or more, got {threads}")
    for path, allowed in ((out, FORMATS), (plot, _PICTURES)):
        if path is not None and path.suffix.lower() not in allowed:
            raise InputError(f"cannot write {path.name!r}: choose a name that ends in {', '.join(allowed)}")
        if path is not None and not path.resolve().parent.is_dir():
            raise InputError(f"there is no folder {str(path.parent)!r} to write {path.name!r} into; make it first")


def _held(law: Law, fix: str | None) -> Law:
    values: dict[str, float] = {}
    for pair in fix.split(",") if fix else ():
        name, _, value = (part.strip() for part in pair.partition("="))
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
        from ntk1bit.scaling.plots import write_summary

        write_summary(report.fits, report.frontiers, plot, level=report.level)
