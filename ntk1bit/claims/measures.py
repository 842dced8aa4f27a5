"""From estimators to evidence: exponents, values at one width, and constants of bounds that a paper leaves free."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ntk1bit.claims.evidence import Count, IntervalEstimate, Number
from ntk1bit.errors import InputError
from ntk1bit.estimators.against_width import AgainstWidth, estimate_against, seed_samples
from ntk1bit.estimators.columns import require_columns
from ntk1bit.statistics import mean_of, student_interval
from ntk1bit.statistics.resampling import Statistic

SLACK = 2.0  # a fitted constant is twice the largest ratio seen: the least a bound "up to a constant" must allow
SYMBOLS = {"width": "m", "dim": "d", "n_train": "n", "parameters": "N", "radius": "R"}  # of columns, in measures


def select(quantities: list[AgainstWidth], **settings: object) -> AgainstWidth:
    """Return the one quantity whose group has these settings.

    Raises
    ------
    InputError
        If none or several have.
    """
    found = [one for one in quantities if all(one.settings.get(name) == value for name, value in settings.items())]
    if len(found) != 1:
        raise InputError(f"{len(found)} groups have the settings {settings}; exactly one is needed")
    return found[0]


def against(
    frame: pd.DataFrame,
    x: str,
    value: str,
    *,
    meaning: str = "",
    resolution: float = 1.0,
    statistic: Callable[[np.ndarray], Statistic] = mean_of,
) -> AgainstWidth:
    """Estimate a quantity against any positive variable, with intervals over seeds and a power law.

    Parameters
    ----------
    frame
        Columns `x`, ``seed`` and `value`; several rows of one (x, seed) are averaged first.
    x, value
        Names of the columns.
    meaning
        What the value is, in words.
    resolution
        Values of x differ by at least as much (0.001 for kappas): in units of it they seed the resamples.
    statistic
        `statistics.mean_of` or `statistics.root_mean_square_of`.

    Returns
    -------
    AgainstWidth
        The first column of its table is `x`; seeds without a value are left out, and its notes count them.

    Raises
    ------
    InputError
        If a column is missing, an x or a seed is not known, or two x are closer than the resolution.
    """
    require_columns(frame, (x, "seed", value), for_what=f"{value!r} against {x}", known=(x, "seed"))
    every = pd.Series(frame.groupby([x, "seed"])[value].mean())
    by_seed = every.dropna()
    missing = len(every) - len(by_seed)
    notes = (f"{missing} of {len(every)} values of a seed are not known and left out",) if missing else ()
    samples = seed_samples(by_seed, statistic, resolution=resolution)
    if len({one.stream for one in samples}) < len(samples):
        raise InputError(f"values of {x} cannot be distinguished in units of {resolution:g}; give a finer resolution")
    return estimate_against(value, meaning or value, {}, samples, variable=x, notes=notes)


def estimated(
    measure: str,
    meaning: str,
    interval: tuple[float, float, float],
    seeds: int,
    span: str,
    study: str,
    note: str = "",
) -> IntervalEstimate:
    """Return an `IntervalEstimate` of a fit or a bootstrap, which may have failed.

    `interval` is the value with its bounds. Numbers that are not finite are no numbers, and an interval of percentiles
    that leaves its own value out, as that of a skewed bootstrap can, is none: such an estimate is made without an
    interval, its note saying why.
    """
    value, low, high = map(float, interval)
    if not low <= value <= high or not (math.isfinite(low) and math.isfinite(high)) or seeds < 1:
        if math.isfinite(low) and math.isfinite(high) and math.isfinite(value):
            note = _joined(f"the interval [{low:.3g}, {high:.3g}] is not around its value", note)
        low = high = math.nan
    return IntervalEstimate(
        measure, meaning, value if math.isfinite(value) else math.nan, low, high, seeds, span, study, note
    )


def exponent(one: AgainstWidth, measure: str, study: str) -> IntervalEstimate:
    """Return the fitted exponent of `A x^p` as an estimate; NaN with the reason where none is warranted."""
    fit = one.power
    meaning = f"exponent in {_symbol(one)} of: {one.meaning}"
    note = _joined(fit.note, *one.notes)
    return estimated(measure, meaning, fit.exponent_interval, fewest_seeds(one), span(one, fit.widths), study, note)


def at(one: AgainstWidth, measure: str, study: str, *, place: int = -1) -> IntervalEstimate:
    """Return the value at one width, the widest by default, as an estimate.

    Raises
    ------
    InputError
        If there are widths, but no such place among them.
    """
    if one.table.empty:
        return IntervalEstimate(measure, one.meaning, np.nan, np.nan, np.nan, 0, "", study, "; ".join(one.notes))
    if not -len(one.table) <= place < len(one.table):
        raise InputError(f"{measure!r} needs place {place} of {len(one.table)} values of {one.variable}")
    x, value, low, high, seeds = one.table.iloc[place]
    return estimated(measure, one.meaning, (value, low, high), int(seeds), f"{_symbol(one)} = {x:g}", study)


def span(one: AgainstWidth, count: int | None = None) -> str:
    """Write the range of widths: `m = 64..16384, 9 values`."""
    if one.table.empty:
        return ""
    values = one.table[one.variable].to_numpy()
    return f"{_symbol(one)} = {values.min():g}..{values.max():g}, {count if count else len(values)} values"


def fewest_seeds(one: AgainstWidth) -> int:
    """Return the least number of seeds at any width."""
    return int(one.table["seeds"].to_numpy().min()) if len(one.table) else 0


def seeds_interval(values: ArrayLike, measure: str, meaning: str, span: str, study: str) -> IntervalEstimate:
    """Return the mean of one value per seed with its Student-t interval; for values of any sign.

    Seeds without a finite value are left out, and the note counts them.
    """
    every = np.asarray(values, dtype=np.float64)
    values = every[np.isfinite(every)]
    k = len(values)
    note = f"{len(every) - k} of {len(every)} seeds without a finite value are left out" if k < len(every) else ""
    if k < 2:
        note = _joined("one seed: no interval" if k else "no seed: no value", note)
    return estimated(measure, meaning, student_interval(values), k, span, study, note)


def held_out_bound(
    frame: pd.DataFrame,
    *,
    measured: str,
    bound: str,
    measure: str,
    meaning: str,
    span: str,
    study: str,
    split: str = "width",
) -> tuple[Count, Number, Number]:
    """Test a bound whose constant nobody gave: fit it on some configurations, test it on the others.

    The constant is `SLACK` times the largest `measured / bound` over the configurations fitted on. A failure is a
    configuration of the others at which `measured` exceeds the constant times `bound`; so what is tested is the *shape*
    of the bound, and at its weakest point: the halves lie apart, the smaller widths against the larger ones.

    Parameters
    ----------
    frame
        A row per configuration.
    measured, bound
        Columns: the quantity, at least 0, and the bound without its constant, above 0 and finite. Rows in which the
        quantity is NaN were not measured: they are left out, and the count's note says how many.
    split
        The column whose lower half (up to the median) is fitted on.
    measure, meaning, span, study
        Fields of the three measures, the first one's id being `measure`.

    Returns
    -------
    failures, constant, looseness
        The count on held-out rows; the fitted constant; the median over held-out rows of constant x bound / measured.

    Raises
    ------
    InputError
        If either half is empty (one value of `split` only), or a number is out of range. An infinite quantity is above
        every constant, so it is a failure where it is tested, and refused where the constant is fitted.
    """
    require_columns(frame, (measured, bound, split), for_what=f"bound {measure!r}", known=(bound, split))
    missing = frame[measured].isna().to_numpy()
    count = int(np.sum(missing))
    note = f"{count} of {len(frame)} configurations were not measured and are left out" if count else ""
    frame = frame.loc[~missing]
    quantity, against_it = (frame[one].to_numpy(dtype=np.float64) for one in (measured, bound))
    if not ((quantity >= 0) & (against_it > 0) & np.isfinite(against_it)).all():
        raise InputError(f"bound {measure!r} needs {measured} at least 0, and {bound} above 0 and finite")
    ratio = quantity / against_it
    at = frame[split].to_numpy(dtype=np.float64)
    chosen = at <= np.median(at) if len(at) else np.zeros(0, dtype=bool)
    if not chosen.any() or chosen.all():
        raise InputError(f"bound {measure!r} needs configurations to fit on and others to test on")
    constant = SLACK * float(ratio[chosen].max())
    if not math.isfinite(constant):
        raise InputError(f"bound {measure!r} cannot be fitted: {measured} is infinite where its constant comes from")
    held_out = ratio[~chosen]
    what = f"held-out configurations where {meaning} is above the fitted constant times the bound"
    return (
        Count(measure, what, int((held_out > constant).sum()), len(held_out), span, study, note),
        Number(f"{measure}.constant", f"{SLACK:g} times the largest ratio on the fitted half", constant, span, study),
        Number(
            f"{measure}.looseness",
            "median over held-out configurations of fitted constant x bound / measured",
            float(np.median(np.divide(constant, held_out, out=np.full(len(held_out), np.inf), where=held_out > 0))),
            span,
            study,
        ),
    )


def bound_labels(measure: str, label: str) -> dict[str, str]:
    """Return the labels of the three measures of `held_out_bound`."""
    return {measure: label, f"{measure}.constant": f"{label}: constant", f"{measure}.looseness": f"{label}: looseness"}


def _symbol(one: AgainstWidth) -> str:
    return SYMBOLS.get(one.variable, one.variable)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
