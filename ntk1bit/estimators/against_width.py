"""A quantity against width: its estimate over seeds, bootstrap replicates, interval, and power laws.

Cells of different seeds and widths are independent draws, so seeds are resampled within each width. With a few seeds
the plain bootstrap is too narrow, for two known reasons, and both are put right: the spread of replicates about the
estimate is widened by sqrt(k/(k-1)) for k seeds at a width (a resample has the variance of a k-denominator), and by
t_q(df)/z_q with df = sum (k - 1) for the exponent's interval (the variance itself is estimated). Replicates are widened
in logarithms, so they stay positive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from ntk1bit.estimators.columns import SETTINGS
from ntk1bit.estimators.power import LEVEL, PowerFit, fit_power, fit_power_with_floor, interval

RESAMPLES = 2000
ENOUGH_SEEDS = 5  # below this an interval is an indication, not a result


@dataclass(frozen=True)
class Samples:
    """What was observed at one width: `seeds` independent cells and a statistic of them.

    Attributes
    ----------
    width
        m.
    seeds
        Number of cells.
    statistic
        Maps seed weights (b, seeds), non-negative whole numbers summing to `seeds`, to (b,) values; a value may be NaN
        where the weights leave the statistic undefined.
    """

    width: int
    seeds: int
    statistic: Callable[[Float[np.ndarray, "b seeds"]], Float[np.ndarray, " b"]]


@dataclass(frozen=True)
class AgainstWidth:
    """One quantity of one group of cells against width.

    Attributes
    ----------
    quantity, meaning
        Its short name and what it is, in words.
    settings
        What all cells of the group share.
    table
        Columns width, value, low, high (95 % over seeds), seeds; a row a width.
    power, power_with_floor
        Fitted laws; `power_with_floor` is None where a floor makes no sense.
    notes
        What was left out and why.
    """

    quantity: str
    meaning: str
    settings: dict[str, Any]
    table: pd.DataFrame
    power: PowerFit
    power_with_floor: PowerFit | None = None
    notes: tuple[str, ...] = field(default=())


def mean_of(values: Float[np.ndarray, " seeds"]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the statistic that averages one value a seed."""
    return lambda weights: weights @ values / weights.sum(axis=1)


def root_mean_square_of(values: Float[np.ndarray, " seeds"]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the statistic that takes the root of the mean square of one value a seed."""
    return lambda weights: np.sqrt(weights @ values**2 / weights.sum(axis=1))


def bootstrap(samples: Samples, *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, Float[np.ndarray, " b"]]:
    """Estimate a statistic and resample its seeds.

    Returns
    -------
    estimate, replicates
        The value on all seeds, and (resamples,) values on resampled seeds, widened for their small number as the module
        says; no replicates for a single seed.
    """
    k = samples.seeds
    estimate = float(samples.statistic(np.ones((1, k)))[0])
    if k < 2:
        return estimate, np.empty(0)
    rng = np.random.default_rng([seed, samples.width, k])
    replicates = samples.statistic(rng.multinomial(k, np.full(k, 1 / k), size=resamples).astype(np.float64))
    replicates = np.where(np.isfinite(replicates) & (replicates > 0), replicates, np.nan)
    known = replicates[~np.isnan(replicates)]
    if len(known) == 0 or not estimate > 0:
        return estimate, np.empty(0)
    # undefined resamples (all of one seed, for a variance) are drawn again from the defined ones
    replicates = np.where(np.isnan(replicates), rng.choice(known, size=resamples), replicates)
    return estimate, estimate * (replicates / estimate) ** np.sqrt(k / (k - 1))


def against_width(
    quantity: str,
    meaning: str,
    settings: dict[str, Any],
    samples: list[Samples],
    *,
    with_floor: bool = False,
    fit: bool = True,
    notes: tuple[str, ...] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AgainstWidth:
    """Estimate a quantity at every width and fit its power laws.

    Parameters
    ----------
    quantity, meaning, settings, notes
        Passed on.
    samples
        Observations, one entry a width.
    with_floor
        Also fit `c + A m^p`.
    fit
        Whether exponents are wanted at all; if not, the table alone is made.
    resamples, seed
        Of the bootstrap.
    """
    samples = sorted(samples, key=lambda sample: sample.width)
    rows, estimates, replicates = [], [], []
    for sample in samples:
        value, around = bootstrap(sample, resamples=resamples, seed=seed)
        wide = _widened(value, around, sample.seeds - 1)
        low, high = interval(wide)
        rows.append({"width": sample.width, "value": value, "low": low, "high": high, "seeds": sample.seeds})
        estimates.append(value)
        replicates.append(around)
    table = pd.DataFrame(rows, columns=["width", "value", "low", "high", "seeds"])
    nothing = PowerFit(False, "no exponent is fitted to this quantity")
    if not fit:
        return AgainstWidth(quantity, meaning, settings, table, nothing, None, notes)
    usable = [i for i, value in enumerate(estimates) if np.isfinite(value) and value > 0]
    if len(usable) < len(samples):
        notes = (*notes, f"{len(samples) - len(usable)} widths without a positive value are left out of fits")
    x = np.array([samples[i].width for i in usable], dtype=np.float64)
    estimate = np.array([estimates[i] for i in usable])
    freedom = sum(samples[i].seeds - 1 for i in usable)
    if usable and all(len(replicates[i]) for i in usable):
        around = np.stack([_widened(estimates[i], replicates[i], freedom) for i in usable], axis=1)
    else:
        around = np.empty((0, len(usable)))
        notes = (*notes, "one seed only at some width: no intervals") if usable else notes
    power = fit_power(x, estimate, around)
    floored = fit_power_with_floor(x, estimate, around) if with_floor else None
    return AgainstWidth(quantity, meaning, settings, table, power, floored, notes)


def per_cell(
    frame: pd.DataFrame,
    quantity: str,
    meaning: str,
    value: Callable[[pd.DataFrame], float],
    *,
    fit: bool = True,
    with_floor: bool = False,
) -> list[AgainstWidth]:
    """Measure one number a cell, average it over seeds, and estimate it against width in every group of settings.

    Parameters
    ----------
    frame
        From `Run.frame`.
    quantity, meaning, fit, with_floor
        As in `against_width`.
    value
        Maps one cell's rows, in order of steps, to its number.
    """
    found = []
    for settings, part in groups(frame):
        kept, notes = converged_cells(part)
        numbers = pd.Series({key: value(cell) for key, cell in kept.groupby(["width", "seed"])}, dtype=np.float64)
        samples = [
            Samples(int(str(width)), len(values), mean_of(values.to_numpy()))
            for width, values in numbers.groupby(level=0)
        ]
        found.append(against_width(quantity, meaning, settings, samples, fit=fit, with_floor=with_floor, notes=notes))
    return found


def groups(frame: pd.DataFrame, *, without: tuple[str, ...] = ()) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Split a run's frame into groups of cells that share all settings but width and seed.

    Parameters
    ----------
    frame
        From `Run.frame`.
    without
        Settings to let differ within a group as well.
    """
    names = [name for name in SETTINGS if name not in without and name in frame]
    if frame.empty:
        return []
    return [
        (dict(zip(names, key, strict=True)), part)
        for key, part in frame.groupby(names, sort=True, dropna=False)
        if isinstance(key, tuple)
    ]


def recorded_steps(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the steps that were recorded in full."""
    return frame.dropna(subset=["drift"]) if len(frame) else frame


def converged_cells(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Leave out the widths at which a cell diverged, and say so.

    An average over the seeds that happened not to diverge would flatter the network.
    """
    if not frame["diverged"].to_numpy().any():
        return frame, ()
    diverged = frame.loc[frame["diverged"]]
    widths = sorted(set(diverged["width"]))
    count = diverged["key"].nunique()
    note = f"{count} cells diverged at widths {', '.join(map(str, widths))}; these widths are left out"
    return frame.loc[~frame["width"].isin(widths)], (note,)


def _widened(value: float, replicates: np.ndarray, freedom: int) -> np.ndarray:
    if len(replicates) == 0:
        return replicates
    tail = 0.5 + LEVEL / 2
    return value * (replicates / value) ** (stats.t.ppf(tail, freedom) / stats.norm.ppf(tail))
