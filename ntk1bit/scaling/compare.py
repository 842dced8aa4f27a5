"""Compare laws on the same data, and the same law between groups of data."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.errors import InputError, require_choice
from ntk1bit.scaling.bootstrap import checked_level, drawn_counts
from ntk1bit.scaling.fit import Progress, checked_settings, fit, fit_observations
from ntk1bit.scaling.labels import read_labels
from ntk1bit.scaling.laws import Law, get_law
from ntk1bit.scaling.objective import HUBER_DELTA
from ntk1bit.scaling.observations import observe
from ntk1bit.scaling.result import Fit


def compare_laws(fits: Mapping[str, Fit] | Sequence[Fit]) -> pd.DataFrame:
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
    each = list(fits.values()) if isinstance(fits, Mapping) else list(fits)
    if not each:
        raise InputError("there are no fits to compare; give at least one")
    first = each[0]
    for other in each[1:]:
        same = np.array_equal(first.observations.loss, other.observations.loss)
        same = same and np.array_equal(first.observations.weight, other.observations.weight)
        if not same or (first.settings.delta, first.settings.tilt) != (other.settings.delta, other.settings.tilt):
            raise InputError("AICc compares laws fitted to the same losses with the same weights, delta and tilt only")
    table = pd.DataFrame(
        {
            "law": [one.law.name for one in each],
            "parameters": [len(one.latent) + 1 for one in each],
            "points": [one.observations.points for one in each],
            "objective": [one.objective for one in each],
            "log_likelihood": [one.log_likelihood for one in each],
            "aicc": [one.aicc for one in each],
        }
    ).sort_values("aicc", kind="stable", ignore_index=True)
    table["delta_aicc"] = table["aicc"] - table["aicc"].iloc[0]
    weight = np.exp(-0.5 * table["delta_aicc"].fillna(math.inf))
    table["weight"] = weight / weight.sum()
    return table


def fit_groups(
    frame: pd.DataFrame,
    law: str | Law = "power",
    *,
    group: str,
    x: str | Sequence[str] | Mapping[str, str] | None = None,
    loss: str = "loss",
    bootstrap: int = 1000,
    seed: int = 0,
    cluster: str | None = None,
    weight: str | None = None,
    delta: float = HUBER_DELTA,
    tilt: float = 0.5,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[Hashable, Fit]:
    """Fit one law to each group of rows.

    With `cluster`, the same clusters are drawn for all groups in each replicate: groups that share seeds are
    resampled as pairs, and the noise they share cancels in their differences. Without, groups are independent: group
    i, from 0, is what `fit` gives for its rows with `seed` + i.

    Parameters
    ----------
    frame, law, x, loss, bootstrap, seed, weight, delta, tilt, threads, progress
        As in `fit`.
    group
        The column that tells the groups apart, such as a precision.
    cluster
        Column of clusters, which may be shared between groups.

    Returns
    -------
    dict
        From each value of `group`, sorted, to its fit.
    """
    groups = read_labels(frame, group)
    parts = dict(groups.rows())
    if not parts:
        raise InputError(f"column {group!r} has no values to group by")
    fits: dict[Hashable, Fit] = {}
    if cluster is None:
        for i, (name, rows) in enumerate(parts.items()):
            with groups.naming(name):
                fits[name] = fit(
                    frame.iloc[rows],
                    law,
                    x=x,
                    loss=loss,
                    bootstrap=bootstrap,
                    seed=seed + i,
                    weight=weight,
                    delta=delta,
                    tilt=tilt,
                    threads=threads,
                    progress=progress,
                )
        return fits
    labels = read_labels(frame, cluster, "cluster")
    settings = checked_settings(delta=delta, tilt=tilt, bootstrap=bootstrap, seed=seed)
    draws = drawn_counts(len(labels.keys), bootstrap, seed) if bootstrap else None
    for name, rows in parts.items():
        with groups.naming(name):
            data = observe(frame.iloc[rows], get_law(law), x=x, loss=loss, weight=weight, cluster=cluster)
            present = np.unique(labels.codes[rows])  # in the order of the part's own clusters
            counts = None if draws is None else draws[:, present]
            fits[name] = fit_observations(data, get_law(law), settings, counts, threads=threads, progress=progress)
    return fits


def parameter_differences(first: Fit, second: Fit, level: float = 0.95) -> pd.DataFrame:
    """Return `first` minus `second`, parameter by parameter, with percentile intervals and tests.

    Replicate b of one fit is set against replicate b of the other: pairs when both were resampled together (see
    `fit_groups`), independent draws otherwise.

    Returns
    -------
    DataFrame
        Indexed by parameter: `first`, `second`, `difference`, `low`, `high`, `p_value` (see `difference_test`).
    """
    _, replicates = _paired(first, second)
    tail = (1.0 - checked_level(level)) / 2.0
    low, high = np.quantile(replicates, [tail, 1.0 - tail], axis=0)
    return pd.DataFrame(
        {
            "first": first.estimate,
            "second": second.estimate,
            "difference": first.estimate - second.estimate,
            "low": low,
            "high": high,
            "p_value": [difference_test(first, second, name) for name in first.law.parameter_names],
        },
        index=pd.Index(first.law.parameter_names, name="parameter"),
    )


def difference_test(first: Fit, second: Fit, parameter: str) -> float:
    """Test, without a likelihood, that a parameter is the same in two groups; return the two-sided p-value.

    The level at which the percentile interval of the difference d just reaches 0:
    p = 2 (1 + min(#{d* <= 0}, #{d* >= 0})) / (b + 1), at most 1. No density of the noise enters.
    """
    names = first.law.parameter_names
    j = names.index(require_choice(f"parameter of law {first.law.name!r}", parameter, names))
    _, replicates = _paired(first, second)
    beyond = min(np.sum(replicates[:, j] <= 0), np.sum(replicates[:, j] >= 0))
    return min(1.0, float(2 * (1 + beyond) / (len(replicates) + 1)))


def _paired(first: Fit, second: Fit) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, "b p"]]:
    if first.law.parameter_names != second.law.parameter_names:
        raise InputError(f"laws {first.law.name!r} and {second.law.name!r} have different parameters to compare")
    drawn = min(len(first.finite_replicates), len(second.finite_replicates))
    both = first.finite_replicates[:drawn] & second.finite_replicates[:drawn]
    if both.sum() < 20:
        raise InputError("differences need bootstrap replicates on both sides; fit with bootstrap=1000")
    return first.estimate - second.estimate, _drawn(first)[:drawn][both] - _drawn(second)[:drawn][both]


def _drawn(fit: Fit) -> Float[np.ndarray, "drawn p"]:
    """Replicates in the order they were drawn, with NaN for those left out."""
    table = np.full((len(fit.finite_replicates), len(fit.latent)), np.nan)
    table[fit.finite_replicates] = fit.replicates
    return table
