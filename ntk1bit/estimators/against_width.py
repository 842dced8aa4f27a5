"""A quantity against width, or another positive variable: its estimate over seeds, interval, and power laws.

Cells of different seeds and widths are independent draws, so seeds are resampled within each width
(`ntk1bit.statistics.resampling` says how).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from ntk1bit.estimators.columns import SETTINGS
from ntk1bit.statistics import PowerFit, Samples, bootstrap, fit_power, fit_power_with_floor, mean_of
from ntk1bit.statistics.intervals import percentile_interval
from ntk1bit.statistics.resampling import RESAMPLES, Statistic, widened

NO_EXPONENT = "no exponent is fitted to this quantity"


@dataclass(frozen=True)
class AgainstWidth:
    """One quantity of one group of cells against width, or against another positive variable.

    Attributes
    ----------
    quantity, meaning
        Its short name and what it is, in words.
    settings
        What all cells of the group share.
    table
        Columns width (or the variable's name), value, low, high (95 % over seeds), seeds; a row per width, in order.
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

    @property
    def variable(self) -> str:
        """The name of the first column: what the quantity is held against."""
        return str(self.table.columns[0])


def estimate_against(
    quantity: str,
    meaning: str,
    settings: dict[str, Any],
    samples: list[Samples],
    *,
    variable: str = "width",
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
        Observations, one entry per width.
    variable
        What the x of the samples is: the name of the table's first column.
    with_floor
        Also fit `c + A m^p`.
    fit
        Whether exponents are needed at all; if not, the table alone is made.
    resamples, seed
        Of the bootstrap.
    """
    samples = sorted(samples, key=lambda sample: sample.x)
    around = [bootstrap(sample, resamples=resamples, seed=seed) for sample in samples]
    rows = [
        (one.x, value, *percentile_interval(widened(value, replicates, one.seeds - 1)), one.seeds)
        for one, (value, replicates) in zip(samples, around, strict=True)
    ]
    table = pd.DataFrame(rows, columns=[variable, "value", "low", "high", "seeds"])
    if not fit:
        return AgainstWidth(quantity, meaning, settings, table, PowerFit(False, NO_EXPONENT), None, notes)
    usable = [k for k, (value, _) in enumerate(around) if np.isfinite(value) and value > 0]
    if len(usable) < len(samples):
        notes = (*notes, f"{len(samples) - len(usable)} widths without a positive value are left out of fits")
    x = np.array([samples[k].x for k in usable], dtype=np.float64)
    estimate = np.array([around[k][0] for k in usable])
    replicates = np.empty((0, len(usable)))
    if usable and all(len(around[k][1]) for k in usable):
        freedom = sum(samples[k].seeds - 1 for k in usable)
        replicates = np.stack([widened(*around[k], freedom) for k in usable], axis=1)
    elif usable:
        notes = (*notes, "one seed only at some width: no intervals")
    power = fit_power(x, estimate, replicates)
    floored = fit_power_with_floor(x, estimate, replicates) if with_floor else None
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
    """Measure one number per cell, average it over seeds, and estimate it against width in every group of settings.

    Parameters
    ----------
    frame
        From `Run.frame`.
    quantity, meaning, fit, with_floor
        As in `estimate_against`.
    value
        Maps one cell's rows, in order of steps, to its number.
    """
    found = []
    for settings, part in groups(frame):
        kept, notes = converged_cells(part)
        numbers = pd.Series({key: value(cell) for key, cell in kept.groupby(["width", "seed"])}, dtype=np.float64)
        samples = seed_samples(numbers)
        found.append(
            estimate_against(quantity, meaning, settings, samples, fit=fit, with_floor=with_floor, notes=notes)
        )
    return found


def seed_samples(
    values: pd.Series, statistic: Callable[[np.ndarray], Statistic] = mean_of, *, resolution: float = 1.0
) -> list[Samples]:
    """Return the samples of one value per seed, of a series whose index starts with the width or another variable.

    Parameters
    ----------
    values
        By width and seed.
    statistic
        `mean_of` or `root_mean_square_of`.
    resolution
        The variable's values differ by at least as much: in units of it, rounded, they seed the resamples.
    """
    return [
        Samples(cast(float, x), len(part), statistic(part.to_numpy()), round(cast(float, x) / resolution))
        for x, part in values.groupby(level=0)
    ]


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
