"""Compare laws on the same data, and the same law between groups of data."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.errors import InputError, require_choice
from ntk1bit.scaling.bootstrap import stretch, stretched_interval, widening
from ntk1bit.scaling.fitting import Progress, draw, fit_observations
from ntk1bit.scaling.observations import Observations, observe
from ntk1bit.scaling.request import FitRequest
from ntk1bit.scaling.result import Fit
from ntk1bit.statistics import LEVEL
from ntk1bit.tables.columns import Labels, read_labels


def compare_laws(fits: Sequence[Fit]) -> pd.DataFrame:
    """Rank fits of different laws to the same data by AICc.

    Returns
    -------
    DataFrame
        One row a law, best first: `parameters` (with the noise scale), `objective`, `log_likelihood`, `aicc`,
        `delta_aicc`, `weight` (Akaike weights; Burnham & Anderson 2002, sec. 2.9). The likelihood takes points as
        independent: with clusters, trust held-out extrapolation more.

    Raises
    ------
    InputError
        If the fits are not of the same losses with the same settings.
    """
    if not fits:
        raise InputError("there are no fits to compare; give at least one")
    first = fits[0]
    for other in fits[1:]:
        same = np.array_equal(first.observations.loss, other.observations.loss)
        same = same and np.array_equal(first.observations.weight, other.observations.weight)
        if not same or (first.request.delta, first.request.tilt) != (other.request.delta, other.request.tilt):
            raise InputError("AICc compares laws fitted to the same losses with the same weights, delta and tilt only")
    rows = [
        {
            "law": fit.law.name,
            "parameters": len(fit.latent) + 1,
            "points": fit.observations.points,
            "objective": fit.objective,
            "log_likelihood": fit.log_likelihood,
            "aicc": fit.aicc,
        }
        for fit in fits
    ]
    table = pd.DataFrame(rows).sort_values("aicc", kind="stable", ignore_index=True)
    table["delta_aicc"] = table["aicc"] - table["aicc"].iloc[0]
    weight = np.exp(-0.5 * table["delta_aicc"].fillna(math.inf))
    table["weight"] = weight / weight.sum()
    return table


def fit_groups(frame: pd.DataFrame, request: FitRequest, *, progress: Progress | None = None) -> dict[Hashable, Fit]:
    """Fit one law to each group of rows, and return the fits by the sorted values of the request's group.

    Where groups share clusters, the same ones are drawn for all groups in each replicate: groups that share seeds are
    resampled as pairs, and the noise they share cancels in their differences. Otherwise groups are independent: group
    i, from 0, is what `fit` gives for its rows with `seed` + i. A column of clusters that is not named is looked for in
    each group.
    """
    if request.group is None:
        raise InputError("no column to group by is given")
    groups = read_labels(frame, request.group)
    if not groups.keys:
        raise InputError(f"column {request.group!r} has no values to group by")
    clusters = read_labels(frame, request.cluster, "cluster") if request.cluster else None
    observed: list[Observations] = []
    for name, rows in groups.rows():
        with groups.naming(name):
            observed.append(observe(frame.iloc[rows], replace(request, group=None)))
    found = {each.found for each in observed}
    if len(found) == 1 and (column := found.pop()) is not None:
        clusters = read_labels(frame, column, "cluster")
    if clusters is not None and not _shared(clusters, groups):
        clusters = None
    draws = None if clusters is None else draw(len(clusters.keys), request)
    fits: dict[Hashable, Fit] = {}
    for i, ((name, rows), data) in enumerate(zip(groups.rows(), observed, strict=True)):
        own = request.for_group(request.seed + (i if clusters is None else 0))
        if clusters is None or draws is None:
            counts = draw(data.clusters, own)
        else:
            counts = draws[:, np.unique(clusters.codes[rows])]  # in the order of the part's own clusters
        with groups.naming(name):
            fits[name] = fit_observations(data, own, counts, progress=progress)
    return fits


def _shared(clusters: Labels, groups: Labels) -> bool:
    """Say whether any cluster has rows in several groups."""
    return len(set(zip(clusters.codes.tolist(), groups.codes.tolist(), strict=True))) > len(clusters.keys)


def parameter_differences(first: Fit, second: Fit, level: float = LEVEL) -> pd.DataFrame:
    """Return `first` minus `second`, parameter by parameter, with percentile intervals and p-values.

    Replicate b of one fit is set against replicate b of the other: pairs when both were resampled together (see
    `fit_groups`), independent draws otherwise.
    """
    replicates = _differences(first, second)
    difference = first.estimate - second.estimate
    low, high = stretched_interval(difference, replicates, level, _freedom(first, second))
    return pd.DataFrame(
        {
            "first": first.estimate,
            "second": second.estimate,
            "difference": difference,
            "low": low,
            "high": high,
            "p_value": [difference_test(first, second, name) for name in first.law.parameter_names],
        },
        index=pd.Index(first.law.parameter_names, name="parameter"),
    )


def difference_test(first: Fit, second: Fit, parameter: str) -> float:
    """Test, without a likelihood, that a parameter is the same in two groups; return the two-sided p-value.

    The share outside the widest percentile interval of the difference d, stretched as that is where clusters are few,
    that 0 lies beyond. Without stretching p = 2 (1 + min(#{d* <= 0}, #{d* >= 0})) / (b + 1), at most 1. No density of
    the noise enters.
    """
    names = first.law.parameter_names
    j = names.index(require_choice(f"parameter of law {first.law.name!r}", parameter, names))
    replicates = np.sort(_differences(first, second)[:, [j]], axis=0)
    difference, freedom = first.estimate[[j]] - second.estimate[[j]], _freedom(first, second)
    for place in range(len(replicates) // 2):
        p = 2 * (place + 1) / (len(replicates) + 1)
        low, high = stretch(difference, replicates[[place, -1 - place]], widening(freedom, 1 - p))
        if low > 0 or high < 0:
            return p
    return 1.0


def _freedom(first: Fit, second: Fit) -> float:
    """Degrees of freedom of a difference: of pairs those of either side, otherwise at least the fewer."""
    return min(first.freedom, second.freedom)


def _differences(first: Fit, second: Fit) -> Float[np.ndarray, "b p"]:
    """Differences of the replicates that are finite in both fits."""
    if first.law.parameter_names != second.law.parameter_names:
        raise InputError(f"laws {first.law.name!r} and {second.law.name!r} have different parameters to compare")
    drawn = min(len(first.finite_replicates), len(second.finite_replicates))
    both = first.finite_replicates[:drawn] & second.finite_replicates[:drawn]
    if both.sum() < 20:
        raise InputError("differences need bootstrap replicates on both sides; fit with bootstrap=1000")
    sides = []
    for fit in (first, second):
        finite = fit.finite_replicates
        sides.append(fit.replicates[np.cumsum(finite)[:drawn][both] - 1])
    return sides[0] - sides[1]
