"""One question, one report: what `ntk1bit fit` does, as a function."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.scaling.compare import compare_laws, fit_groups, parameter_differences
from ntk1bit.scaling.extrapolate import extrapolate, extrapolation_error
from ntk1bit.scaling.fit import IdentificationWarning, Progress, fit
from ntk1bit.scaling.frontier import (
    FLOPS_PER_PARAMETER_TOKEN,
    Frontier,
    NoRouteError,
    envelope_frontier,
    isoflop_frontier,
    parametric_frontier,
)
from ntk1bit.scaling.labels import parts
from ntk1bit.scaling.laws import Law, get_law
from ntk1bit.scaling.objective import HUBER_DELTA
from ntk1bit.scaling.report import Report
from ntk1bit.scaling.result import Fit
from ntk1bit.scaling.selection import Selection, run_ends

_BUDGETS = 9


@dataclass(frozen=True)
class Question:
    """What is asked of a table of losses.

    Attributes
    ----------
    law
        The law to fit.
    x, loss
        Column of each variable, and of the loss.
    group, cluster, weight
        Columns to fit apart, to resample together, to weight by.
    bootstrap, seed, level
        Replicates, seed, and coverage of intervals.
    rivals
        Other laws of the same variables to rank by AICc and, with `holdout`, by extrapolation.
    holdout
        Share of the largest observations to hold out.
    frontier
        Whether to work out the compute-optimal allocation.
    cost
        k in C = k N D.
    run
        Column of training runs, for the envelope route; see `final_rows`.
    delta, tilt, threads
        As in `fit`.
    """

    law: Law
    x: Mapping[str, str]
    loss: str
    group: str | None = None
    cluster: str | None = None
    weight: str | None = None
    bootstrap: int = 1000
    seed: int = 0
    level: float = 0.95
    rivals: Sequence[str] = ()
    holdout: float | None = None
    frontier: bool = False
    cost: float = FLOPS_PER_PARAMETER_TOKEN
    run: str | None = None
    delta: float = HUBER_DELTA
    tilt: float = 0.5
    threads: int | None = None


def analyse(
    frame: pd.DataFrame,
    question: Question,
    *,
    left_out: Sequence[str] = (),
    remarks: Sequence[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Fit, compare, extrapolate and allocate, as asked.

    With groups, each is fitted, extrapolated and given its frontiers by its own rows alone. What costs little is done
    first, so that a mistake is told before the work.

    Parameters
    ----------
    frame, question
        A table and what is asked of it.
    left_out, remarks
        What is already known to be missing from the table, and to be said of its columns; the report repeats both.
    progress
        As in `fit`.

    Raises
    ------
    InputError
        For anything in the table or the question that cannot be used.
    """
    laws = _checked_laws(question)
    ends = _ends(frame, question)
    rows = ends.rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdentificationWarning)  # the report carries the same lines
        held_out = None if question.holdout is None else _extrapolate(rows, laws, question)
        rivals = [_one(rows, law, question, bootstrap=0) for law in laws[1:]]
        fits = _fits(rows, question, progress)
    routes, missing = _frontiers(frame, rows, fits, question) if question.frontier else ((), ())
    return Report(
        fits=fits,
        level=question.level,
        group=question.group,
        differences=_differences(fits, question.level),
        laws=compare_laws([*fits.values(), *rivals]) if rivals else None,
        extrapolation=held_out,
        frontiers=routes,
        left_out=(*left_out, *ends.left_out),
        remarks=(*remarks, *missing),
    )


def final_rows(frame: pd.DataFrame, question: Question) -> pd.DataFrame:
    """Return the last row of each run, if a column names runs, or all rows if runs are the clusters as well.

    Runs are told apart by their name and their group. Losses along the way are comparable with final ones only if the
    learning rate was not decayed towards the end (Hoffmann et al. 2022, App. B), so using them must be asked for.
    """
    return _ends(frame, question).rows


def _ends(frame: pd.DataFrame, question: Question) -> Selection:
    if question.run is None or question.cluster == question.run:
        return Selection(frame)
    return run_ends(frame, run=question.run, group=question.group, x=question.x, loss=question.loss)


def _checked_laws(question: Question) -> list[Law]:
    """Return the law and its rivals, or refuse what does not go together, before anything is fitted."""
    law = question.law
    laws = [law, *(_rival(law, name) for name in question.rivals)]
    names = [each.name for each in laws]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"law {', '.join(repeated)} is named twice; compare different laws")
    if question.group is not None and len(laws) > 1:
        raise InputError("laws are compared on one table; leave out the groups or filter the table first")
    for use, column in (("cluster", question.cluster), ("run", question.run)):
        if column is not None and column == question.group:
            raise InputError(f"column {column!r} cannot be both group and {use}; a group holds several of them")
    if question.frontier and law.variables != ("N", "D"):
        raise InputError(f"a frontier needs a law of N and D, such as chinchilla or kaplan, not {law.name!r}")
    return laws


def _fits(rows: pd.DataFrame, question: Question, progress: Progress | None) -> dict[Hashable, Fit]:
    if question.group is None:
        return {"all": _one(rows, question.law, question, bootstrap=question.bootstrap, progress=progress)}
    return fit_groups(
        rows,
        question.law,
        group=question.group,
        x=question.x,
        loss=question.loss,
        bootstrap=question.bootstrap,
        seed=question.seed,
        cluster=question.cluster,
        weight=question.weight,
        delta=question.delta,
        tilt=question.tilt,
        threads=question.threads,
        progress=progress,
    )


def _one(rows: pd.DataFrame, law: Law, question: Question, *, bootstrap: int, progress: Progress | None = None) -> Fit:
    return fit(
        rows,
        law,
        x=question.x,
        loss=question.loss,
        bootstrap=bootstrap,
        seed=question.seed,
        cluster=question.cluster,
        weight=question.weight,
        delta=question.delta,
        tilt=question.tilt,
        threads=question.threads,
        progress=progress,
    )


def _rival(law: Law, name: str) -> Law:
    rival = get_law(name)
    if rival.variables != law.variables:
        raise InputError(
            f"laws {law.name!r} and {name!r} have different variables ({', '.join(law.variables)} against "
            f"{', '.join(rival.variables)}); compare laws of the same ones"
        )
    return rival


def _parts(rows: pd.DataFrame, question: Question) -> list[tuple[Hashable | None, pd.DataFrame]]:
    """Return each group with its rows, or None with all of them."""
    return [(None, rows)] if question.group is None else list(parts(rows, question.group).items())


@contextmanager
def _naming(name: Hashable | None, question: Question) -> Iterator[None]:
    """Put the group's name before what is said of its rows."""
    try:
        yield
    except NoRouteError as problem:
        raise NoRouteError(_named(name, question, problem)) from None
    except InputError as problem:
        raise InputError(_named(name, question, problem)) from None


def _named(name: Hashable | None, question: Question, problem: InputError) -> str:
    return str(problem) if name is None else f"{question.group} = {name}: {problem}"


def _extrapolate(rows: pd.DataFrame, laws: Sequence[Law], question: Question) -> pd.DataFrame:
    if question.holdout is None:
        raise InputError("no share to hold out is given")
    tables = []
    for name, part in _parts(rows, question):
        with _naming(name, question):
            errors = extrapolate(
                part,
                laws,
                x=question.x,
                loss=question.loss,
                holdout=question.holdout,
                weight=question.weight,
                delta=question.delta,
                tilt=question.tilt,
                threads=question.threads,
            )
        tables.append(extrapolation_error(errors).assign(group="all" if name is None else str(name)))
    return pd.concat(tables, ignore_index=True)


def _differences(fits: Mapping[Hashable, Fit], level: float) -> pd.DataFrame | None:
    if len(fits) < 2 or any(len(fit.replicates) < 20 for fit in fits.values()):
        return None
    names = list(fits)
    tables = [
        parameter_differences(fits[names[0]], fits[other], level).assign(between=f"{names[0]} - {other}")
        for other in names[1:]
    ]
    return pd.concat(tables)


def _frontiers(
    frame: pd.DataFrame, rows: pd.DataFrame, fits: Mapping[Hashable, Fit], question: Question
) -> tuple[tuple[Frontier, ...], tuple[str, ...]]:
    """Return every group's frontiers, and a line for each route that its runs do not show."""
    found: list[Frontier] = []
    missing: list[str] = []
    curves = dict(_parts(frame, question))
    for name, part in _parts(rows, question):
        for route in _routes(curves[name], part, fits["all" if name is None else name], question):
            try:
                with _naming(name, question):
                    found.append(route().of(name))
            except NoRouteError as reason:
                missing.append(str(reason))
    return tuple(found), tuple(missing)


def _routes(curves: pd.DataFrame, rows: pd.DataFrame, fitted: Fit, question: Question) -> list[Callable[[], Frontier]]:
    """List the routes to the frontier of one group, each with the group's own seed."""
    n, d = fitted.observations.columns
    with np.errstate(over="ignore", under="ignore"):
        spent = question.cost * n * d
    low, high = float(spent.min()), float(spent.max())
    if not (low > 0 and np.isfinite(high)):
        raise InputError(
            f"C = {question.cost:g} N D lies beyond what float64 holds; give N, D and the cost in other units"
        )
    common: dict[str, Any] = {
        "n": question.x["N"],
        "d": question.x["D"],
        "loss": question.loss,
        "cluster": question.cluster,
        "cost": question.cost,
        "bootstrap": question.bootstrap,
        "seed": fitted.settings.seed,
    }
    routes: list[Callable[[], Frontier]] = [
        partial(parametric_frontier, fitted, np.geomspace(low, high, _BUDGETS), cost=question.cost),
        partial(isoflop_frontier, rows, weight=question.weight, **common),
    ]
    if question.run is not None:
        finer = np.geomspace(low, high, 2 * _BUDGETS)
        routes.append(partial(envelope_frontier, curves, finer, run=question.run, **common))
    return routes
