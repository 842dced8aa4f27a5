"""One question, one report: what `ntk1bit fit` does, as a function."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
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
    laws = [question.law, *(_rival(question.law, name) for name in question.rivals)]
    ends = _ends(frame, question)
    rows = ends.rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdentificationWarning)  # the report carries the same lines
        fits = _fits(rows, question, progress)
        first = next(iter(fits.values()))
        ranking = None
        if len(laws) > 1:
            if question.group is not None:
                raise InputError("laws are compared on one table; leave out the groups or filter the table first")
            ranking = compare_laws([first, *(_one(rows, law, question, bootstrap=0) for law in laws[1:])])
        held_out = None
        if question.holdout is not None:
            tables = [_extrapolate(part, laws, question).assign(group=name) for name, part in _parts(rows, question)]
            held_out = pd.concat(tables, ignore_index=True)
    return Report(
        fits=fits,
        level=question.level,
        differences=_differences(fits, question.level),
        laws=ranking,
        extrapolation=held_out,
        frontiers=_frontiers(frame, rows, first, question) if question.frontier else (),
        left_out=(*left_out, *ends.left_out),
        remarks=tuple(remarks),
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


def _fits(rows: pd.DataFrame, question: Question, progress: Progress | None) -> dict[Hashable, Fit]:
    if question.group is None:
        return {"all": _one(rows, question.law, question, bootstrap=question.bootstrap, progress=progress)}
    if question.tilt != 0.5:
        raise InputError("a tilt other than 0.5 is for one table; leave out the groups or filter the table first")
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


def _parts(rows: pd.DataFrame, question: Question) -> list[tuple[str, pd.DataFrame]]:
    if question.group is None:
        return [("all", rows)]
    return [(str(name), part) for name, part in parts(rows, question.group).items()]


def _extrapolate(rows: pd.DataFrame, laws: Sequence[Law], question: Question) -> pd.DataFrame:
    holdout = 0.3 if question.holdout is None else question.holdout
    return extrapolation_error(
        extrapolate(
            rows,
            laws,
            x=question.x,
            loss=question.loss,
            holdout=holdout,
            weight=question.weight,
            delta=question.delta,
            threads=question.threads,
        )
    )


def _differences(fits: Mapping[Hashable, Fit], level: float) -> pd.DataFrame | None:
    if len(fits) < 2 or any(len(fit.replicates) < 20 for fit in fits.values()):
        return None
    names = list(fits)
    tables = [
        parameter_differences(fits[names[0]], fits[other], level).assign(between=f"{names[0]} - {other}")
        for other in names[1:]
    ]
    return pd.concat(tables)


def _frontiers(frame: pd.DataFrame, rows: pd.DataFrame, fitted: Fit, question: Question) -> tuple[Frontier, ...]:
    if fitted.law.variables != ("N", "D"):
        raise InputError(f"a frontier needs a law of N and D, such as chinchilla or kaplan, not {fitted.law.name!r}")
    spent = question.cost * fitted.observations.columns[0] * fitted.observations.columns[1]
    budgets = np.geomspace(spent.min(), spent.max(), _BUDGETS)
    names = {"n": question.x["N"], "d": question.x["D"], "loss": question.loss}
    common: dict[str, Any] = {"cost": question.cost, "bootstrap": question.bootstrap, "seed": question.seed}
    routes = [parametric_frontier(fitted, budgets, cost=question.cost)]
    with contextlib.suppress(InputError):  # without runs of equal budget this route does not apply
        routes.append(isoflop_frontier(rows, **names, **common))
    if question.run is not None:
        finer = np.geomspace(spent.min(), spent.max(), 2 * _BUDGETS)
        routes.append(envelope_frontier(frame, finer, run=question.run, **names, **common))
    return tuple(routes)
