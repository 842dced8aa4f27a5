"""From estimators to evidence: exponents, values at one width, and constants of bounds that a paper leaves free."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ntk1bit.claims.criteria import Criterion, IntervalWithin, NoFailures
from ntk1bit.claims.evidence import Count, IntervalEstimate, Measure, Number
from ntk1bit.claims.standing import Reach
from ntk1bit.errors import InputError
from ntk1bit.estimators.against_width import AgainstWidth, estimate_against, seed_columns, seed_samples
from ntk1bit.estimators.columns import require_columns
from ntk1bit.statistics import MeanOf, Statistic, cluster_slope, geometric_interval, student_interval
from ntk1bit.statistics.jackknife import NETWORKS

SLACK = 2.0  # a fitted constant is twice the largest ratio seen: the least a bound "up to a constant" must allow
STEEPEST_SHAPE = 0.05  # over the widths of a study, a factor 256, this adds up to 1.3, well within the slack
BOUND_RANGES = (  # where the numbers of `bound_criteria` come from
    "the constant of the bound is fitted on the smaller widths; a growth of m^0.05 is a factor of 1.3 over a factor of "
    "256 in width, within the slack of 2"
)
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
    signed: bool = False,
    statistic: Callable[[np.ndarray], Statistic] = MeanOf,
) -> AgainstWidth:
    """Estimate a quantity against any positive variable, with intervals over seeds and a power law.

    Parameters
    ----------
    frame
        Columns `x`, ``seed`` and `value`, and ``data_seed`` where networks have data of different seeds; several rows
        of one (x, seed) are averaged first.
    x, value
        Names of the columns.
    meaning
        What the value is, in words.
    signed
        Whether the value can have either sign: a difference. Then its intervals are Student's on the numbers, none of
        which is left out, and it has an exponent only if it is seen to be above 0 at every x.
    statistic
        `statistics.MeanOf` or `statistics.RootMeanSquareOf`.

    Returns
    -------
    AgainstWidth
        The first column of its table is `x`; seeds without a value are left out, and its notes count them.

    Raises
    ------
    InputError
        If a column is missing, or an x or a seed is not known.
    """
    require_columns(frame, (x, "seed", value), for_what=f"{value!r} against {x}", known=(x, "seed", "data_seed"))
    every = pd.Series(frame.groupby([x, *seed_columns(frame)])[value].mean())
    known = every.dropna()
    missing = len(every) - len(known)
    notes = (f"{missing} of {len(every)} values of a seed are not known and left out",) if missing else ()
    samples = seed_samples(known, functools.partial(MeanOf, signed=True) if signed else statistic)
    return estimate_against(value, meaning or value, {}, samples, variable=x, notes=notes)


def estimated(
    measure: str,
    meaning: str,
    interval: tuple[float, float, float],
    seeds: int,
    span: str,
    study: str,
    note: str = "",
    units: str = NETWORKS,
) -> IntervalEstimate:
    """Return an `IntervalEstimate` of a fit, which may have failed.

    `interval` is the value with its bounds. Numbers that are not finite are no numbers, and an interval of percentiles
    that leaves its own value out, as that of a skewed bootstrap of `scaling.fit` can, is none: such an estimate is made
    without an interval, its note saying why.
    """
    value, low, high = map(float, interval)
    if not low <= value <= high or not (math.isfinite(low) and math.isfinite(high)) or seeds < 1:
        if math.isfinite(low) and math.isfinite(high) and math.isfinite(value):
            note = _joined(f"the interval [{low:.3g}, {high:.3g}] is not around its value", note)
        low = high = math.nan
    return IntervalEstimate(
        measure, meaning, value if math.isfinite(value) else math.nan, low, high, seeds, span, study, note, units
    )


def exponent(one: AgainstWidth, measure: str, study: str) -> IntervalEstimate:
    """Return the fitted exponent of `A x^p` as an estimate; NaN with the reason where none is warranted.

    Where the law is seen to be curved it is the exponent over the widest half of the widths, as its span and note say.
    """
    fit = one.power
    meaning = f"exponent in {_symbol(one)} of: {one.meaning}"
    average = f"on average {fit.average:.3g} [{fit.average_low:.3g}, {fit.average_high:.3g}]" if fit.curved else ""
    note = _joined(fit.note, average, *one.notes)
    where = _range(one, fit.smallest, fit.largest, fit.widths) if fit.warranted else span(one)
    return estimated(measure, meaning, fit.exponent_interval, fewest_seeds(one), where, study, note, one.units)


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
    where = f"{_symbol(one)} = {x:g}"
    return estimated(measure, one.meaning, (value, low, high), int(seeds), where, study, units=one.units)


def span(one: AgainstWidth) -> str:
    """Write the range of widths: `m = 64..16384, 9 values`."""
    if one.table.empty:
        return ""
    values = one.table[one.variable].to_numpy()
    return _range(one, float(values.min()), float(values.max()), len(values))


def _range(one: AgainstWidth, smallest: float, largest: float, count: int) -> str:
    return f"{_symbol(one)} = {smallest:g}..{largest:g}, {count} values"


def fewest_seeds(one: AgainstWidth) -> int:
    """Return the least number of seeds at any width."""
    return int(one.table["seeds"].to_numpy().min()) if len(one.table) else 0


def seeds_interval(
    values: ArrayLike, measure: str, meaning: str, span: str, study: str, *, units: str = NETWORKS
) -> IntervalEstimate:
    """Return the mean of one value per seed, or other unit, with its Student-t interval; for values of any sign.

    Seeds without a finite value are left out, and the note counts them.
    """
    every = np.asarray(values, dtype=np.float64)
    values = every[np.isfinite(every)]
    k = len(values)
    note = f"{len(every) - k} of {len(every)} seeds without a finite value are left out" if k < len(every) else ""
    if k < 2:
        note = _joined("one seed: no interval" if k else "no seed: no value", note)
    return estimated(measure, meaning, student_interval(values), k, span, study, note, units)


def seeds_ratio(values: ArrayLike, measure: str, meaning: str, span: str, study: str) -> IntervalEstimate:
    """Return the geometric mean of one ratio of losses per network with its interval.

    Those of networks that diverged, which are not finite, are left out, and ratios below 0; the note counts them.
    """
    every = np.asarray(values, dtype=np.float64)
    finite = every[np.isfinite(every)]
    kept = finite[finite >= 0]
    lost, below = len(every) - len(finite), len(finite) - len(kept)
    note = _joined(
        f"{lost} of {len(every)} networks diverged" if lost else "",
        f"{below} of {len(every)} ratios below 0 are left out" if below else "",
    )
    return estimated(measure, meaning, geometric_interval(kept), len(kept), span, study, note)


def means_ratio(
    values: ArrayLike, reference: ArrayLike, measure: str, meaning: str, span: str, study: str
) -> IntervalEstimate:
    """Return the mean of one value a network over that of a reference, both with an error, drawn independently.

    The interval has the relative half-widths of both means' Student-t intervals in quadrature: linear in them, so that
    they should be small.
    """
    means = [np.asarray(one, dtype=np.float64) for one in (values, reference)]
    (value, low, high), (below, *ends) = (student_interval(one) for one in means)
    ratio = value / below
    half = abs(ratio) * math.hypot((high - low) / 2 / value, (ends[1] - ends[0]) / 2 / below)
    return estimated(measure, meaning, (ratio, ratio - half, ratio + half), len(means[0]), span, study)


def held_out_bound(
    frame: pd.DataFrame,
    *,
    measured: str,
    bound: str,
    measure: str,
    meaning: str,
    span: str,
    study: str,
    settings: tuple[str, ...],
    split: str = "width",
    grows: tuple[str, ...] = (),
) -> tuple[Measure, ...]:
    """Test a bound whose constant nobody gave: fit it on some configurations, test it on the others; test its shape.

    The constant is `SLACK` times the largest `measured / bound` over the configurations fitted on. A failure is a
    configuration of the others at which `measured` exceeds the constant times `bound`: the halves lie apart, the
    smaller widths against the larger ones. Such a slack lets a shape pass that is wrong by m^0.1. So the exponent of
    the ratio in the split column is estimated as well, within settings: it must not be above 0.

    Parameters
    ----------
    frame
        A row per configuration and seed (column ``seed``).
    measured, bound
        Columns: the quantity, at least 0, and the bound without its constant, above 0 and finite. Rows in which the
        quantity is NaN were not measured: they are left out, and the count's note says how many.
    split
        The column whose lower half (up to the median) is fitted on, and in which the ratio may not grow.
    settings
        The columns that tell configurations apart at one value of `split`.
    grows
        Those of `settings` in which the exponent of the ratio is estimated as well, to say how the looseness goes.
    measure, meaning, span, study
        Fields of the measures, the first one's id being `measure`.

    Returns
    -------
    failures, constant, looseness, shape, ...
        The count on held-out rows; the fitted constant; the median over held-out rows of constant x bound / measured;
        the exponent of measured / bound in `split`, and in each of `grows`.

    Raises
    ------
    InputError
        If either half is empty (one value of `split` only), or a number is out of range. An infinite quantity is above
        every constant, so it is a failure where it is tested, and refused where the constant is fitted.
    """
    for_what = f"bound {measure!r}"
    needed = (measured, bound, split, "seed", *settings)
    require_columns(frame, needed, for_what=for_what, known=(bound, split, "seed", *settings))
    missing = frame[measured].isna().to_numpy()
    count = int(np.sum(missing))
    note = f"{count} of {len(frame)} configurations were not measured and are left out" if count else ""
    frame = frame.loc[~missing]
    quantity, against_it = (frame[one].to_numpy(dtype=np.float64) for one in (measured, bound))
    if not ((quantity >= 0) & (against_it > 0) & np.isfinite(against_it)).all():
        raise InputError(f"{for_what} needs {measured} at least 0, and {bound} above 0 and finite")
    ratio = quantity / against_it
    at = frame[split].to_numpy(dtype=np.float64)
    chosen = at <= np.median(at) if len(at) else np.zeros(0, dtype=bool)
    if not chosen.any() or chosen.all():
        raise InputError(f"{for_what} needs configurations to fit on and others to test on")
    constant = SLACK * float(ratio[chosen].max())
    if not math.isfinite(constant):
        raise InputError(f"{for_what} cannot be fitted: {measured} is infinite where its constant comes from")
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
        *ratio_exponents(frame.assign(ratio=ratio), split, settings, grows, f"{measure}.shape", span, study),
    )


def ratio_exponents(
    frame: pd.DataFrame,
    split: str,
    settings: tuple[str, ...],
    grows: tuple[str, ...],
    measure: str,
    span: str,
    study: str,
) -> tuple[IntervalEstimate, ...]:
    """Return the exponents of column ``ratio``, measured over bound, in `split` and in each of `grows`.

    Each is that within settings: rows that differ in nothing else but the seed. The first has the id `measure`, the
    others that with their symbol, as in ``bound.shape.d``. Rows whose ratio has no logarithm are left out and counted.

    Parameters
    ----------
    frame, split, settings, grows, span, study
        As of `held_out_bound`.
    measure
        Id of the first exponent.
    """
    every = (split, *settings)
    return tuple(
        _exponent_within(frame, one, tuple(other for other in every if other != one), name, span, study)
        for one, name in [(split, measure), *((one, f"{measure}.{SYMBOLS.get(one, one).lower()}") for one in grows)]
    )


def _exponent_within(
    frame: pd.DataFrame, split: str, settings: tuple[str, ...], measure: str, span: str, study: str
) -> IntervalEstimate:
    usable = np.isfinite(frame["ratio"]) & (frame["ratio"] > 0)
    lost = int((~usable).sum())
    kept = frame.loc[usable]
    interval, seeds = cluster_slope(
        np.log(kept[split].to_numpy(dtype=np.float64)),
        np.log(kept["ratio"].to_numpy(dtype=np.float64)),
        cluster=kept["seed"].tolist(),
        group=list(zip(*(kept[name] for name in settings), strict=True)) if settings else [()] * len(kept),
    )
    note = f"{lost} of {len(frame)} ratios are 0 or infinite and left out" if lost else ""
    meaning = f"exponent in {SYMBOLS.get(split, split)} of measured / bound, within settings"
    return estimated(measure, meaning, interval, seeds, span, study, note)


def bound_criteria(measure: str, trials: int) -> tuple[Criterion, ...]:
    """Return the rule on a bound without a constant: no failure on held-out rows, and a ratio that does not grow."""
    return NoFailures(measure, trials), IntervalWithin(f"{measure}.shape", high=STEEPEST_SHAPE)


def bound_labels(measure: str, label: str, grows: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the labels of the measures of `held_out_bound`."""
    words = {"constant": "constant", "looseness": "looseness"}
    return {measure: label} | {
        f"{measure}.{name}": f"{label}: {said}" for name, said in (words | ratio_labels("shape", grows)).items()
    }


def ratio_labels(measure: str, grows: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the labels of the measures of `ratio_exponents`."""
    return {measure: "growth of the ratio with m"} | {
        f"{measure}.{SYMBOLS[one].lower()}": f"growth of the ratio with {SYMBOLS[one]}" for one in grows
    }


def bound_reach(measure: str, grows: tuple[str, ...] = (), **others: Any) -> Reach:
    """Return the reach of a claim on a bound of `held_out_bound`: how loose it is, and how that goes."""
    return Reach(looseness=f"{measure}.looseness", growth=ratio_growth(f"{measure}.shape", grows), **others)


def ratio_growth(measure: str, grows: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the ids of the measures of `ratio_exponents`, by the symbol of what each is an exponent in."""
    return {"m": measure} | {SYMBOLS[one]: f"{measure}.{SYMBOLS[one].lower()}" for one in grows}


def _symbol(one: AgainstWidth) -> str:
    return SYMBOLS.get(one.variable, one.variable)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
