"""Say, in words, what the data do not identify."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ntk1bit.statistics import LEVEL
from ntk1bit.tables.columns import move_together

if TYPE_CHECKING:
    from ntk1bit.scaling.result import Fit

_POINTS_PER_PARAMETER = 3
_FEW_CLUSTERS = 30
_SHARING = 3  # rows of one value of a variable that may be one run's
_COLLINEAR = 0.99
_NOISE_MARGIN = 3.0  # robust standard deviations a loss may fall below the floor by chance
_NEGLIGIBLE_FLOOR = 1e-3
_ROUNDING = 1e-9  # changes of a log loss below this are the solver's rounding


def identification_warnings(fit: Fit) -> tuple[str, ...]:
    """List what a reader must know before using the fit; empty when nothing is amiss."""
    return (
        *_about_points(fit),
        *_about_clusters(fit),
        *_about_variables(fit),
        *_about_parameters(fit),
        *_about_optimum(fit),
    )


def _about_points(fit: Fit) -> list[str]:
    data, needed = fit.observations, len(fit.law.parameters)
    lines = []
    if data.points < _POINTS_PER_PARAMETER * needed:
        lines.append(
            f"too few points: {data.points} for {needed} parameters (at least {_POINTS_PER_PARAMETER * needed} needed)"
        )
    distinct = len(np.unique(data.columns, axis=1).T)
    if distinct <= needed:
        lines.append(
            f"only {distinct} distinct values of x for {needed} parameters: the shape of the law is not tested"
        )
    return lines


def _about_clusters(fit: Fit) -> list[str]:
    """Say what is resampled together if nobody named it, that it is few, or that nothing is and perhaps should be."""
    data, lines = fit.observations, []
    if not fit.request.bootstrap:
        return []
    if data.found is not None:
        lines.append(
            f"rows of one {data.found} are resampled together ({data.clusters} clusters); to resample them one by one: "
            "--cluster none, in Python cluster=()"
        )
    if data.cluster is not None and data.clusters < _FEW_CLUSTERS:
        lines.append(
            f"only {data.clusters} clusters are resampled (under {_FEW_CLUSTERS}): intervals are widened by Student's "
            f"t of {data.clusters - 1} degrees of freedom"
        )
    if fit.request.cluster is None and fit.request.run is None and len(data.columns) > 1:
        repeated = [name for name, row in zip(data.x.values(), data.columns, strict=True) if _repeated(row)]
        if repeated:
            lines.append(
                f"most rows share their {repeated[0]} with others, as checkpoints of one run do, but are resampled one "
                "by one as independent: name the column of runs with --cluster, in Python cluster=; or, if there are "
                "none, give --cluster none, in Python cluster=()"
            )
    return lines


def _repeated(row: Float[np.ndarray, " n"]) -> bool:
    """Say whether more than half of the rows have a value that at least three rows have."""
    _, place, count = np.unique(row, return_inverse=True, return_counts=True)
    return float(np.mean(count[place] >= _SHARING)) > 0.5


def _about_variables(fit: Fit) -> list[str]:
    data, lines = fit.observations, []
    used = {each.of for each in fit.law.exponents}
    for variable, row in zip(fit.law.variables, data.columns, strict=True):
        decades = float(np.log10(row.max() / row.min()))
        if variable in used and decades < 1:
            names = [each.name for each in fit.law.exponents if each.of == variable]
            lines.append(
                f"{', '.join(names)}: not identified well, {data.x[variable]} spans only {decades:.2f} decades "
                "(under one)"
            )
    pairs = itertools.combinations(zip(data.x.values(), data.columns, strict=True), 2)
    for (first, row), (second, other) in pairs:
        if move_together(row, other, _COLLINEAR):
            lines.append(f"{first} and {second} move together (log correlation > {_COLLINEAR}): they share effects")
    return lines


def _about_parameters(fit: Fit) -> list[str]:
    lines = []
    smallest = float(fit.observations.loss.min())
    noise = float(fit.residual_diagnostics["robust_std"])
    for each, value in zip(fit.law.parameters, fit.estimate, strict=True):
        if each.role == "floor" and value > smallest * np.exp(_NOISE_MARGIN * noise):
            lines.append(f"floor {each.name} = {value:.4g} lies above the smallest loss, {smallest:.4g}")
        if each.role == "floor" and value < _NEGLIGIBLE_FLOOR * smallest:
            lines.append(f"floor {each.name} is indistinguishable from 0: consider a law without one")
    low, high = fit.estimate, fit.estimate
    if len(fit.latent_replicates) > 1:
        low, high = fit.interval(LEVEL)[["low", "high"]].to_numpy().T
    for j, each in enumerate(fit.law.parameters):
        if each.role != "exponent":
            continue
        near = _indistinguishable(fit, each.of)
        if high[j] - low[j] <= near and abs(fit.estimate[j]) <= near:
            column = fit.observations.x.get(each.of or "", "x")
            lines.append(f"exponent {each.name} is 0 to rounding: the losses do not change with {column}")
        elif len(fit.latent_replicates) > 1 and low[j] - near <= 0 <= high[j] + near:
            lines.append(f"exponent {each.name}: its 95 % interval [{low[j]:z.3g}, {high[j]:z.3g}] contains 0")
    if unseen := _unseen(fit):
        lines.append(f"{', '.join(unseen)}: not identified, no predicted loss changes with them")
    if len(fit.latent_replicates) > 1 and np.max(np.abs(fit.log_residuals)) <= _ROUNDING:
        lines.append("the losses lie on the curve to rounding: intervals of no width say nothing of noise")
    return lines


def _indistinguishable(fit: Fit, variable: str | None) -> float:
    """How large an exponent may be without changing a log loss, over its variable's range, by more than rounding."""
    rows = [row for name, row in zip(fit.law.variables, fit.observations.columns, strict=True) if name == variable]
    span = float(np.log(rows[0].max() / rows[0].min())) if rows else 1.0
    return _ROUNDING / span if span > 0 else 0.0


def _unseen(fit: Fit) -> list[str]:
    """Name the parameters that move no prediction, floors aside (these have lines of their own)."""
    columns, names = list(fit.observations.columns), []
    here = fit.law.log_predict(fit.latent, columns)
    for j, each in enumerate(fit.law.parameters):
        shift = np.zeros_like(fit.latent)
        shift[j] = 1.0
        moved = [fit.law.log_predict(fit.latent + sign * shift, columns) for sign in (1.0, -1.0)]
        if each.role != "floor" and np.max(np.abs(np.array(moved) - here)) <= _ROUNDING:
            names.append(each.name)
    return names


def _about_optimum(fit: Fit) -> list[str]:
    lines = []
    if fit.starts.tried > 1 and fit.starts.reached_best == 1:
        lines.append(
            f"only 1 of {fit.starts.tried} starts reached the best objective: another grid may find a better one"
        )
    if fit.failed_replicates:
        lines.append(f"{fit.failed_replicates} bootstrap replicates had no finite optimum and were left out")
    return lines
