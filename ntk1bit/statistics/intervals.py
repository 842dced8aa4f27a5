"""The level of every interval, how many seeds it needs, and intervals of means, root mean squares and proportions.

One number a seed goes in: independent networks are the unit, whatever was measured on each of them. Which interval:

    a mean of any sign, a difference     Student's t on the numbers (of a difference: on the pairs)
    a geometric mean                     Student's t on their logarithms
    a root mean square                   the modified Cox interval of Zhou & Gao (1997) on their squares
    a proportion                         exact, Clopper & Pearson (1934)
    anything else of positive numbers    the jackknife (`ntk1bit.statistics.jackknife`), in logarithms
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import special

LEVEL = 0.95  # of every interval, unless a caller chooses another one
ENOUGH_SEEDS = 5  # an interval over fewer seeds is an indication, not a result
POWER = 0.8  # the probability with which an effect is to be detected that a design is said to detect

Interval = tuple[float, float, float]  # the estimate, and the ends at `LEVEL`; NaN ends where there is none


def standard_error(values: ArrayLike) -> float:
    """Return the standard error of the mean of independent values, s/sqrt(k) with s^2 of k - 1; NaN for one value."""
    values = np.asarray(values, dtype=np.float64)
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def student_interval(values: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Return the mean of independent values and its Student-t interval, for values of any sign.

    For a difference between two treatments of the same networks the values are those of the pairs.

    Parameters
    ----------
    values
        One value per seed, (k,).
    level
        Probability with which the interval holds the mean.

    Returns
    -------
    mean, low, high
        k - 1 degrees of freedom. NaN bounds for one value, NaN throughout for none.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0:
        return math.nan, math.nan, math.nan
    mean = float(values.mean())
    half = student_quantile(len(values) - 1, level) * standard_error(values) if len(values) > 1 else math.nan
    return mean, mean - half, mean + half


def geometric_interval(values: ArrayLike) -> Interval:
    """Return the geometric mean of values of at least 0 and its interval, that of Student's t in logarithms.

    A value of 0 makes the mean 0, without an interval (NaN bounds).
    """
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(values, dtype=np.float64))
    if len(logs) and not np.isfinite(logs).all():
        return float(np.exp(logs.mean())), math.nan, math.nan
    mean, low, high = (float(np.exp(end)) for end in student_interval(logs))
    return mean, low, high


def root_mean_square_interval(values: ArrayLike) -> Interval:
    """Return the root of the mean square of values and its interval, for values whose size is about lognormal.

    The squares y have a mean with log E y = mu + sigma^2/2, mu and sigma^2 being the mean and variance of log y. With m
    and s^2 their estimates of k values,

        m + s^2/2 +- t sqrt(s^2/k + s^4/(2 (k - 1)))

    is its interval: the modified Cox method of Zhou & Gao (1997), with Student's t of k - 1 degrees of freedom. A
    Student interval of the squares themselves is too short where they are skewed.

    Parameters
    ----------
    values
        One value per seed, (k,), of any sign.

    Returns
    -------
    root mean square, low, high
        NaN bounds for one value, and where a value is 0.
    """
    squares = np.square(np.asarray(values, dtype=np.float64))
    if len(squares) == 0:
        return math.nan, math.nan, math.nan
    value, k = math.sqrt(squares.mean()), len(squares)
    if k < 2 or not (squares > 0).all():
        return value, math.nan, math.nan
    logs = np.log(squares)
    variance = float(logs.var(ddof=1))
    half = student_quantile(k - 1) * math.sqrt(variance / k + variance**2 / (2 * (k - 1)))
    with np.errstate(over="ignore"):  # two values far apart: no upper end that a number could hold
        low, high = np.exp(0.5 * (float(logs.mean()) + 0.5 * variance + np.array([-half, half])))
    return value, min(float(low), value), max(float(high), value)


def proportion_interval(count: int, trials: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of a probability from `count` of at least one independent trial."""
    tail = (1 - level) / 2
    low = float(special.betaincinv(count, trials - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, trials - count, 1 - tail)) if count < trials else 1.0
    return low, high


def student_quantile(freedom: int | float, level: float = LEVEL) -> float:
    """Return t with `level` of Student's distribution of `freedom` degrees of freedom within +-t."""
    return float(special.stdtrit(freedom, 0.5 + level / 2))


def detectable_effect(half_width: float, freedom: int, *, level: float = LEVEL, power: float = POWER) -> float:
    """Return how far a true value must lie beyond a bound for its interval to lie beyond it with probability `power`.

    An estimate with standard error s does so with this probability if it is (t_level + t_power) s away, t_power being
    the quantile of Student's distribution (Cohen 1988, sec. 2.4, in its usual approximation).

    Parameters
    ----------
    half_width
        Of the interval at `level`.
    freedom
        Degrees of freedom of its standard error.

    Returns
    -------
    The distance, in units of the half-width's; NaN without degrees of freedom.
    """
    if freedom < 1:
        return math.nan
    reach = student_quantile(freedom, level)
    return half_width * (reach + float(special.stdtrit(freedom, power))) / reach


def holm(probabilities: ArrayLike) -> Float[np.ndarray, " k"]:
    """Adjust the p-values of k tests so that the chance of any false rejection is at most the level (Holm 1979).

    Returns
    -------
    Adjusted p-values in the order given: a test whose adjusted value is at most alpha rejects, the family-wise error
    being at most alpha however the tests depend on each other.
    """
    given = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * (len(given) - np.arange(len(given))))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
