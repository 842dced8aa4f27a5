"""Resampling of seeds: bootstrap replicates of a statistic of a few independent networks.

With a few seeds the plain bootstrap is too narrow, for two known reasons, and both are put right: the spread of
replicates about the estimate is widened by sqrt(k/(k-1)) for k seeds (a resample has the variance of a k-denominator),
and by t_q(df)/z_q for an interval (the variance itself is estimated), with df = k - 1 for the interval of the statistic
and df = sum (k - 1) for that of an exponent over several widths. Replicates are widened in logarithms, so they stay
positive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntk1bit.statistics.intervals import student_widening

RESAMPLES = 2000

Statistic = Callable[[Float[np.ndarray, "b seeds"]], Float[np.ndarray, " b"]]


@dataclass(frozen=True)
class Samples:
    """What was observed at one width, or at one value of another variable: a statistic of independent networks.

    Attributes
    ----------
    x
        The width m, or whatever positive number the quantity is held against.
    seeds
        Number of networks.
    statistic
        Maps seed weights (b, seeds), non-negative whole numbers summing to `seeds`, to (b,) values; a value may be NaN
        where the weights leave the statistic undefined.
    stream
        Whole number that seeds the resamples at this x; None for x itself, rounded.
    """

    x: int | float
    seeds: int
    statistic: Statistic
    stream: int | None = None


def mean_of(values: Float[np.ndarray, " seeds"]) -> Statistic:
    """Return the statistic that averages one value per seed."""
    return lambda weights: weights @ values / weights.sum(axis=1)


def root_mean_square_of(values: Float[np.ndarray, " seeds"]) -> Statistic:
    """Return the statistic that takes the root of the mean square of one value per seed."""
    return lambda weights: np.sqrt(weights @ values**2 / weights.sum(axis=1))


def bootstrap(samples: Samples, *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, Float[np.ndarray, " b"]]:
    """Estimate a statistic and resample its seeds.

    Returns
    -------
    estimate, replicates
        The value on all seeds, and (resamples,) values on resampled seeds, widened by sqrt(k/(k-1)); no replicates for
        a single seed, or for an estimate that is not positive.
    """
    k = samples.seeds
    estimate = float(samples.statistic(np.ones((1, k)))[0])
    if k < 2:
        return estimate, np.empty(0)
    stream = round(samples.x) if samples.stream is None else samples.stream
    rng = np.random.default_rng([seed, stream, k])
    replicates = samples.statistic(rng.multinomial(k, np.full(k, 1 / k), size=resamples).astype(np.float64))
    replicates = np.where(np.isfinite(replicates) & (replicates > 0), replicates, np.nan)
    known = replicates[~np.isnan(replicates)]
    if len(known) == 0 or not estimate > 0:
        return estimate, np.empty(0)
    # undefined resamples (all of one seed, for a variance) are drawn again from the defined ones
    replicates = np.where(np.isnan(replicates), rng.choice(known, size=resamples), replicates)
    return estimate, estimate * (replicates / estimate) ** np.sqrt(k / (k - 1))


def widened(estimate: float, replicates: Float[np.ndarray, " b"], freedom: int) -> Float[np.ndarray, " b"]:
    """Widen replicates about their estimate, in logarithms, for a variance known from `freedom` degrees of freedom."""
    if len(replicates) == 0:
        return replicates
    return estimate * (replicates / estimate) ** student_widening(freedom)
