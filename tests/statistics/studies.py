"""Studies made of known numbers, and how often what is concluded from many of them may be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats

from ntk1bit.statistics import LEVEL, LeaveOneOut, MeanOf, Samples, Statistic, leave_one_out

WIDTHS = 64.0 * 2.0 ** np.arange(9)
STUDIES = 400
_CHANCE = 1e-4  # with which a method that is exactly as good as it says would miss a limit, the seed being fixed


def fewest(share: float = LEVEL, studies: int = STUDIES) -> int:
    """Return the least number of studies that have what a share of them has: 362 of 400 for 95 %."""
    return int(stats.binom.ppf(_CHANCE, studies, share))


def most(share: float, studies: int = STUDIES) -> int:
    """Return the largest such number: 394 of 400 for 95 %, 39 for 5 %, 24 for 2.5 %."""
    return int(stats.binom.isf(_CHANCE, studies, share))


def draws(name: int, studies: int = STUDIES) -> Iterator[np.random.Generator]:
    """Yield a generator for each study, the same every time."""
    return (np.random.default_rng([name, study]) for study in range(studies))


def samples(
    x: Sequence[float] | np.ndarray,
    values: Sequence[np.ndarray] | np.ndarray,
    statistic: Callable[[np.ndarray], Statistic] = MeanOf,
) -> list[Samples]:
    """Return what was observed: a row of values for each x, a column for each seed."""
    return [Samples(float(at), tuple(range(len(row))), statistic(row)) for at, row in zip(x, values, strict=True)]


def observed(
    x: Sequence[float] | np.ndarray,
    values: Sequence[np.ndarray] | np.ndarray,
    statistic: Callable[[np.ndarray], Statistic] = MeanOf,
) -> LeaveOneOut:
    """Return the statistics of these, and what they are without each seed."""
    return leave_one_out(samples(x, values, statistic))


def lognormal(rng: np.random.Generator, sigma: float | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Draw factors around 1: their mean is 1."""
    return np.exp(sigma * rng.standard_normal(shape) - np.square(sigma) / 2)
