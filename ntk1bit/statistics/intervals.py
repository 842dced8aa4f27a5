"""The level of every interval, how many seeds it needs, and intervals of means, percentiles and proportions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

LEVEL = 0.95  # of every interval, unless a caller chooses another one
ENOUGH_SEEDS = 5  # an interval over fewer seeds is an indication, not a result
_UPPER = 0.5 + LEVEL / 2  # the probability below the upper end


def standard_error(values: ArrayLike) -> float:
    """Return the standard error of the mean of independent values, s/sqrt(k) with s^2 of k - 1; NaN for one value."""
    values = np.asarray(values, dtype=np.float64)
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def student_interval(values: ArrayLike) -> tuple[float, float, float]:
    """Return the mean of independent values and its Student-t interval, for values of any sign.

    Parameters
    ----------
    values
        One value per seed, (k,).

    Returns
    -------
    mean, low, high
        At `LEVEL`, k - 1 degrees of freedom. NaN bounds for one value, NaN throughout for none.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0:
        return math.nan, math.nan, math.nan
    mean = float(values.mean())
    half = student_quantile(len(values) - 1) * standard_error(values) if len(values) > 1 else math.nan
    return mean, mean - half, mean + half


def geometric_interval(values: ArrayLike) -> tuple[float, float, float]:
    """Return the geometric mean of values of at least 0 and its interval, that of Student's t in logarithms.

    A value of 0 makes the mean 0, without an interval (NaN bounds).
    """
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(values, dtype=np.float64))
    if len(logs) and not np.isfinite(logs).all():
        return float(np.exp(logs.mean())), math.nan, math.nan
    mean, low, high = (float(np.exp(end)) for end in student_interval(logs))
    return mean, low, high


def percentile_interval(replicates: ArrayLike) -> tuple[float, float]:
    """Return the interval between the percentiles of bootstrap replicates, (b,), at `LEVEL`; NaN for no replicates."""
    replicates = np.asarray(replicates, dtype=np.float64)
    if len(replicates) == 0:
        return math.nan, math.nan
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, 1 - (1 - LEVEL) / 2])
    return float(low), float(high)


def proportion_interval(count: int, trials: int) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of a probability from `count` of at least one independent trial."""
    from scipy import stats  # takes most of a second, which every command would pay

    found = stats.binomtest(count, trials).proportion_ci(LEVEL, "exact")
    return float(found.low), float(found.high)


def student_quantile(freedom: int) -> float:
    """Return t with `LEVEL` of Student's distribution of `freedom` degrees of freedom within +-t."""
    return float(special.stdtrit(freedom, _UPPER))


def student_widening(freedom: int) -> float:
    """Return Student's over the normal quantile: how much wider an interval is whose variance is estimated."""
    return student_quantile(freedom) / float(special.ndtri(_UPPER))
