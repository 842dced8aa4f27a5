"""One request, one report: what `ntk1bit fit` does, as a function."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.scaling.allocation import Frontier
from ntk1bit.scaling.comparison import compare_laws, fit_groups, parameter_differences
from ntk1bit.scaling.extrapolation import extrapolate, extrapolation_error
from ntk1bit.scaling.fitting import Progress, fit_one
from ntk1bit.scaling.frontier import NoRouteError, envelope_frontier, isoflop_frontier, parametric_frontier
from ntk1bit.scaling.report import Report
from ntk1bit.scaling.request import FitRequest
from ntk1bit.scaling.result import Fit
from ntk1bit.tables.columns import read_labels
from ntk1bit.tables.rows import Selection
from ntk1bit.tables.runs import run_ends

_BUDGETS = 9


def analyse(
    frame: pd.DataFrame,
    request: FitRequest,
    *,
    left_out: Sequence[str] = (),
    remarks: Sequence[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Fit, compare, extrapolate and allocate, as asked.

    With groups, each is fitted, extrapolated and given its frontiers by its own rows alone. What costs little is done
    first, so that a mistake is reported before the work.

    Parameters
    ----------
    frame, request
        A table and what is asked of it.
    left_out, remarks
        What is already known to be missing from the table, and to be said of its columns; the report repeats both.
    progress
        As in `fit`.

    Raises
    ------
    InputError
        For anything in the table that cannot be used.
    """
    ends = final_rows(frame, request)
    held_out = None if request.holdout is None else _extrapolate(ends.rows, request, progress)
    rivals = [fit_one(ends.rows, request.for_law(law), progress=progress) for law in request.laws[1:]]
    if request.group is None:
        fits: dict[Hashable, Fit] = {"all": fit_one(ends.rows, request, progress=progress)}
    else:
        fits = fit_groups(ends.rows, request, progress=progress)
    for fit in fits.values():
        if progress is not None and len(fit.replicates):
            progress("jackknife", 0.0)
            _ = fit.jackknife  # the report needs it, after whoever shows progress has stopped
    routes, missing = _frontiers(frame, ends.rows, fits, request) if request.frontier else ((), ())
    return Report(
        fits=fits,
        level=request.level,
        group=request.group,
        differences=_differences(fits, request.level),
        laws=compare_laws([*fits.values(), *rivals]) if rivals else None,
        extrapolation=held_out,
        frontiers=routes,
        left_out=(*left_out, *ends.left_out),
        remarks=(*remarks, *missing),
    )


def final_rows(frame: pd.DataFrame, request: FitRequest) -> Selection:
    """Return the last row of each run, if a column names runs, or all rows if runs are the clusters as well.

    Losses along the way are comparable with final ones only if the learning rate was not decayed towards the end
    (Hoffmann et al. 2022, App. B), so using them must be asked for.
    """
    if request.run is None or request.cluster == request.run:
        return Selection(frame)
    return run_ends(frame, run=request.run, group=request.group, x=request.columns, loss=request.loss)


Part = tuple[Hashable | None, pd.DataFrame, Callable[[], AbstractContextManager[None]]]


def _parts(rows: pd.DataFrame, request: FitRequest) -> list[Part]:
    """Return each group with its rows, and what puts its name before messages about them."""
    if request.group is None:
        return [(None, rows, nullcontext)]
    groups = read_labels(rows, request.group)
    return [(name, rows.iloc[places], partial(groups.naming, name)) for name, places in groups.rows()]


def _extrapolate(rows: pd.DataFrame, request: FitRequest, progress: Progress | None) -> pd.DataFrame:
    tables = []
    for name, part, naming in _parts(rows, request):
        with naming():
            errors = extrapolation_error(extrapolate(part, request, progress=progress))
        tables.append(errors.assign(group="all" if name is None else str(name)))
    return pd.concat(tables, ignore_index=True)


def _differences(fits: Mapping[Hashable, Fit], level: float) -> pd.DataFrame | None:
    if len(fits) < 2 or any(len(fit.replicates) < 20 for fit in fits.values()):
        return None
    first, *others = fits
    tables = [
        parameter_differences(fits[first], fits[other], level).assign(between=f"{first} - {other}") for other in others
    ]
    return pd.concat(tables)


def _frontiers(
    frame: pd.DataFrame, rows: pd.DataFrame, fits: Mapping[Hashable, Fit], request: FitRequest
) -> tuple[tuple[Frontier, ...], tuple[str, ...]]:
    """Return every group's frontiers, and a line for each route that its runs do not show."""
    frontiers: list[Frontier] = []
    missing: list[str] = []
    for (name, part, naming), (_, curves, _) in zip(_parts(rows, request), _parts(frame, request), strict=True):
        for route in _routes(curves, part, fits["all" if name is None else name]):
            try:
                with naming():
                    frontiers.append(replace(route(), group=name))
            except NoRouteError as reason:
                missing.append(str(reason))
    return tuple(frontiers), tuple(missing)


def _routes(curves: pd.DataFrame, rows: pd.DataFrame, fitted: Fit) -> list[Callable[[], Frontier]]:
    """List the routes to the frontier of one group, each with the group's own seed."""
    own = fitted.request
    n, d = fitted.observations.columns
    with np.errstate(over="ignore", under="ignore"):
        spent = own.cost * n * d
    low, high = float(spent.min()), float(spent.max())
    if not (low > 0 and np.isfinite(high)):
        raise InputError(f"C = {own.cost:g} N D lies beyond what float64 holds; give N, D and the cost in other units")
    routes: list[Callable[[], Frontier]] = [
        partial(parametric_frontier, fitted, np.geomspace(low, high, _BUDGETS), cost=own.cost),
        partial(isoflop_frontier, rows, own),
    ]
    if own.run is not None:
        routes.append(partial(envelope_frontier, curves, np.geomspace(low, high, 2 * _BUDGETS), own))
    return routes
