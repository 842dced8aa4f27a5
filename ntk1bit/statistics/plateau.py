"""Whether curves have reached a plateau, with error rates, and the level they are heading for.

A slope that is not seen to differ from 0 shows no plateau: a noisy curve has such a slope wherever it is going. So a
plateau has to be shown: by two one-sided tests (Schuirmann 1987) the slope of log L against log t at the end of
training lies within +-margin. The outcomes are *level*, *falling*, *rising* (shown as well), and *undecided*. Called
level while it is not, or falling while it is level, are at most 5 % of curves each.

The unit is the network: one slope a seed, Student's t over seeds, whatever the correlations within a curve. A single
curve has to supply its own error: it is cut into blocks longer than its correlations last, which are found from the
curve itself, and the slope of the blocks' means is tested.

On the way to a plateau L = c + B t^-q is above c by more than noise when q is small. The level is bounded from both
sides: from above by the mean of the last steps, from below by the intercept of L against t^-1/2 over the last decade of
steps, which is exact for q = 1/2 and too low for any faster approach. What falls more slowly than t^-1/2 has no level
that a run of this length could tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float

from ntk1bit.printing import record
from ntk1bit.statistics.intervals import Interval, student_interval, student_quantile
from ntk1bit.statistics.power_law import log_slope

Outcome = Literal["level", "falling", "rising", "undecided"]

MARGIN = 0.2  # |d log L / d log t| below which a loss has plateaued: another tenfold training changes it by < 40 %
ERROR = 0.05  # how often an outcome may be wrong
SLOWEST = 0.5  # q of the slowest approach t^-q to a level that is allowed for
FEWEST_BLOCKS = 6  # of a single curve, for a slope with an error
_BINS = 10


@dataclass(frozen=True)
class Plateau:
    """What the ends of curves show.

    Attributes
    ----------
    outcome
        ``"level"``, ``"falling"``, ``"rising"`` or ``"undecided"``.
    slope, low, high
        Of log L against log t over the last half decade of steps, mean over curves, with the interval that both
        one-sided tests at 5 % make up (90 %).
    """

    outcome: Outcome
    slope: float
    low: float
    high: float

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


def judge_plateau(curves: Float[np.ndarray, "seeds t"], *, margin: float = MARGIN) -> Plateau:
    """Test whether curves of independent networks have plateaued.

    Parameters
    ----------
    curves
        One per network, positive; the first entry is before any step.
    margin
        Largest slope of what is called level.
    """
    if len(curves) > 1:
        found = student_interval([end_slope(one) for one in curves], level=1 - 2 * ERROR)
    else:
        found = _slope_of_one(curves[0])
    return Plateau(_outcome(found, margin), *found)


def end_slope(curve: Float[np.ndarray, " t"]) -> float:
    """Slope of log L against log t over the last half decade of steps, from ten bins evenly spread in log t."""
    last = len(curve) - 1
    before_the_end = last + 1 - np.geomspace(_end(last), last + 1, _BINS + 1)
    edges = last + 1 - 2 * np.rint(before_the_end / 2).astype(int)  # even lengths: what alternates cancels
    return _slope(curve, np.unique(edges[edges > 0]))


def extrapolated_level(curve: Float[np.ndarray, " t"]) -> float:
    """Return the level that a curve approaches as t^-1/2: the intercept over the last decade of steps; may be negative.

    NaN for fewer than three steps in it.
    """
    steps = np.arange(max((len(curve) - 1) // 10, 1), len(curve))
    if len(steps) < 3:
        return math.nan
    at = steps**-SLOWEST - (steps**-SLOWEST).mean()
    values = curve[steps]
    return float(values.mean() - (at @ values) / (at @ at) * (steps**-SLOWEST).mean())


def block_length(series: Float[np.ndarray, " t"]) -> int:
    """Return an even number of steps over which a stationary series forgets itself, from its autocorrelations.

    Autocorrelations are summed in pairs of neighbouring lags as long as the sums are positive (Geyer 1992, sec. 3.3): a
    series that alternates from step to step has negative ones at odd lags, which the pairs take in. The length is twice
    the integrated autocorrelation time, and at least 2, so that alternations cancel within a block.
    """
    n = len(series)
    centred = series - series.mean()
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(centred, size)) ** 2
    correlation = np.fft.irfft(power, size)[:n]
    if not correlation[0] > 0:
        return 2
    pairs = correlation[: n // 2 * 2].reshape(-1, 2).sum(axis=1) / correlation[0]
    last = np.flatnonzero(pairs <= 0)
    time = 2 * float(pairs[: last[0] if len(last) else len(pairs)].sum()) - 1
    return max(2, 2 * math.ceil(max(time, 0.0)))


def _slope_of_one(curve: Float[np.ndarray, " t"]) -> Interval:
    """Return the slope of a single curve over its last half decade, with its error over blocks."""
    last = len(curve) - 1
    steps = np.arange(int(_end(last)), last + 1)
    if len(steps) < 2 * FEWEST_BLOCKS or not (curve[steps] > 0).all():
        return math.nan, math.nan, math.nan
    length = block_length(np.log(curve[steps]))
    blocks = len(steps) // length
    if blocks < FEWEST_BLOCKS:
        return _slope(curve, np.array([steps[0], (steps[0] + last) // 2, last + 1])), math.nan, math.nan
    edges = last + 1 - length * np.arange(blocks, -1, -1)
    means = np.array([curve[low:high].mean() for low, high in pairwise(edges)])
    x = np.log((edges[:-1] + edges[1:] - 1) / 2)
    centred = x - x.mean()
    slope = float(log_slope(np.exp(x), means))
    residual = np.log(means) - np.log(means).mean() - slope * centred
    error = math.sqrt(float(residual @ residual) / (blocks - 2) / float(centred @ centred))
    half = student_quantile(blocks - 2, 1 - 2 * ERROR) * error
    return slope, slope - half, slope + half


def _end(last: int) -> float:
    return max(last / math.sqrt(10), 1)


def _slope(curve: Float[np.ndarray, " t"], edges: np.ndarray) -> float:
    if len(edges) < 3:
        return math.nan
    means = np.array([curve[low:high].mean() for low, high in pairwise(edges)])
    if not (means > 0).all():
        return math.nan
    return float(log_slope((edges[:-1] + edges[1:] - 1) / 2, means))


def _outcome(found: Interval, margin: float) -> Outcome:
    _, low, high = found
    if -margin <= low and high <= margin:
        return "level"
    if high < -margin:
        return "falling"
    return "rising" if low > margin else "undecided"
