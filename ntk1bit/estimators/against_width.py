"""A quantity against width, or another positive variable: its estimate over seeds, interval, and power laws.

Whole seeds are the unit: intervals leave one seed out at all widths at once (`ntk1bit.statistics.jackknife`), so they
hold whether or not the networks of one seed share anything, and however the noise goes with width.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from ntk1bit.estimators.columns import SETTINGS
from ntk1bit.printing import MOST_COLUMNS, interval, number, short_lines, side_by_side
from ntk1bit.statistics import (
    MeanOf,
    PowerFit,
    Samples,
    Statistic,
    fit_power,
    fit_power_with_floor,
    leave_one_out,
)
from ntk1bit.statistics.jackknife import NETWORKS, LeaveOneOut

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
    units
        What the intervals are over, in words: networks on one data set, data sets, or both crossed.
    """

    quantity: str
    meaning: str
    settings: dict[str, Any]
    table: pd.DataFrame
    power: PowerFit
    power_with_floor: PowerFit | None = None
    notes: tuple[str, ...] = field(default=())
    units: str = NETWORKS

    def __repr__(self) -> str:
        """Say in at most ten lines what the quantity is at each width, and its law."""
        rows = [
            f"{self.variable} {number(x)}: {number(value)} {interval(low, high)}"
            for x, value, low, high in self.table.iloc[:, :4].itertuples(index=False)
        ]
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        laws = [each for each in (self.power, self.power_with_floor) if each is not None and each.note != NO_EXPONENT]
        return short_lines(
            [
                *textwrap.wrap(f"{self.quantity} of {settings}", MOST_COLUMNS)[:2],
                *side_by_side(rows),
                *map(repr, laws),
                *self.notes,
            ]
        )

    def _repr_html_(self) -> str:
        """Return the table, for notebooks, under the name of the quantity."""
        words = html.escape(f"{self.quantity}: {self.meaning}")
        return f"<p>{words}</p>{self.table.to_html(index=False, float_format=number)}"

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
    """
    samples = sorted(samples, key=lambda sample: sample.x)
    rows = [(one.x, *one.interval(), one.units) for one in samples]
    table = pd.DataFrame(rows, columns=[variable, "value", "low", "high", "seeds"])
    found = leave_one_out(samples)
    if not fit:
        return AgainstWidth(
            quantity, meaning, settings, table, PowerFit(False, NO_EXPONENT), None, notes, units=found.units
        )
    refusal = _of_either_sign(samples, table, variable)
    if refusal:
        power = floored = PowerFit(False, refusal, widths=len(samples))
    else:
        usable = np.isfinite(found.estimate) & (found.estimate > 0)
        if not usable.all():
            notes = (*notes, f"{int((~usable).sum())} widths without a positive value are left out of fits")
        if usable.any() and found.freedom < 1:
            notes = (*notes, "one seed only at some width: no intervals")
        x, kept = np.array([one.x for one in samples], dtype=np.float64)[usable], _positive(found.at(usable))
        power = fit_power(x, kept)
        floored = fit_power_with_floor(x, kept) if with_floor else None
    return AgainstWidth(
        quantity, meaning, settings, table, power, floored if with_floor else None, notes, units=found.units
    )


def _of_either_sign(samples: list[Samples], table: pd.DataFrame, variable: str) -> str:
    """Say at which x a signed quantity cannot be told from 0: it has no logarithm there, and so no exponent."""
    if not any(one.statistic.signed for one in samples):
        return ""
    unknown = ~((table["low"] > 0) & (table["value"] > 0))
    if not unknown.to_numpy().any():
        return ""
    where = ", ".join(f"{x:g}" for x in table.loc[unknown, variable])
    return f"it is not seen to be above 0 at {variable} {where}, so it has no exponent"


def _positive(found: LeaveOneOut) -> LeaveOneOut:
    """Make what is not positive without some seed unknown: its logarithm then gives no interval, not a wrong one."""
    return found.map(lambda values: np.where(values > 0, values, np.nan))


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
        by_network = kept.groupby(["width", *seed_columns(kept)])
        numbers = pd.Series({key: value(cell) for key, cell in by_network}, dtype=np.float64)
        samples = seed_samples(numbers)
        found.append(
            estimate_against(quantity, meaning, settings, samples, fit=fit, with_floor=with_floor, notes=notes)
        )
    return found


def seed_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that tell networks of one setting apart: the seed, and that of their data where it varies."""
    varies = "data_seed" in frame and len(set(frame["data_seed"])) > 1
    return ["seed", "data_seed"] if varies else ["seed"]


def seed_samples(values: pd.Series, statistic: Callable[[np.ndarray], Statistic] = MeanOf) -> list[Samples]:
    """Return the samples of one value per network, of a series by width (or another variable) and seed.

    Parameters
    ----------
    values
        Its index has the variable first, then the seed, and may have the seed of the data last.
    statistic
        `MeanOf`, `RootMeanSquareOf`, or another that takes the values.
    """
    return [
        Samples(
            cast(float, x),
            tuple(part.index.get_level_values(1)),
            statistic(part.to_numpy(dtype=np.float64)),
            tuple(part.index.get_level_values(2)) if part.index.nlevels > 2 else (),
        )
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


def groups_of_both(frame: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Split a run's frame into groups in which both precisions, and all scales, stand side by side.

    Full precision has no scale and one activity, so its networks are in the group of every activity of 1-bit ones.
    """
    found = []
    for settings, part in groups(frame, without=("precision", "scale", "activity")):
        one_bit = part["precision"] == "one_bit"
        activities = sorted(set(part.loc[one_bit, "activity"])) if "activity" in part else []
        if not activities:
            found.append((settings, part))
        for activity in activities:
            kept = part if len(activities) == 1 else part.loc[~one_bit | (part["activity"] == activity)]
            found.append((settings | {"activity": activity}, kept))
    return found


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
