"""From estimators to evidence: exponents, values at one width, and constants of bounds that a paper leaves free."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ntk1bit.claims.evidence import Count, Estimate, Number
from ntk1bit.errors import InputError
from ntk1bit.estimators.against_width import AgainstWidth, Samples, against_width, mean_of

SLACK = 2.0  # a fitted constant is twice the largest ratio seen: the least a bound "up to a constant" must allow


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
    unit: float = 1.0,
    statistic: Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]] = mean_of,
    with_floor: bool = False,
) -> AgainstWidth:
    """Estimate a quantity against any positive variable, with intervals over seeds and power laws.

    Parameters
    ----------
    frame
        Columns `x`, ``seed`` and `value`; several rows of one (x, seed) are averaged first.
    x, value
        Names of the columns.
    meaning
        What the value is, in words.
    unit
        Positive; `x / unit` is to be a whole number (0.001 for kappas). Exponents do not depend on it.
    statistic
        As in `estimators.against_width`: `mean_of` or `root_mean_square_of`.
    with_floor
        Also fit `c + A x^p`.

    Returns
    -------
    AgainstWidth
        Its column ``width`` holds `x / unit`.
    """
    by_seed = pd.Series(frame.groupby([x, "seed"])[value].mean()).dropna()
    samples = [
        Samples(round(float(str(at)) / unit), len(group), statistic(group.to_numpy()))
        for at, group in by_seed.groupby(level=0)
    ]
    return against_width(value, meaning or value, {}, samples, with_floor=with_floor)


def exponent(one: AgainstWidth, name: str, study: str, *, x: str = "m", meaning: str = "") -> Estimate:
    """Return the fitted exponent of `A x^p` as an estimate; NaN with the reason where none is warranted."""
    fit = one.power
    what = f"exponent in {x} of: {meaning or one.meaning}"
    seeds = int(one.table["seeds"].to_numpy().min()) if len(one.table) else 0
    note = "; ".join(part for part in (fit.note, *one.notes) if part)
    return Estimate(
        name, what, fit.exponent, fit.exponent_low, fit.exponent_high, seeds, span(one, x, fit.widths), study, note
    )


def at(one: AgainstWidth, name: str, study: str, *, place: int = -1, x: str = "m", meaning: str = "") -> Estimate:
    """Return the value at one width, the widest by default, as an estimate named `name`."""
    if one.table.empty:
        return Estimate(name, meaning or one.meaning, np.nan, np.nan, np.nan, 0, "", study, "; ".join(one.notes))
    row = {str(k): float(v) for k, v in one.table.sort_values("width").iloc[place].items()}
    where = f"{x} = {row['width']:g}"
    return Estimate(
        name, meaning or one.meaning, row["value"], row["low"], row["high"], int(row["seeds"]), where, study
    )


def span(one: AgainstWidth, x: str = "m", count: int | None = None) -> str:
    """Write the range of widths: `m = 64..16384, 9 values`."""
    if one.table.empty:
        return ""
    widths = one.table["width"].to_numpy()
    text = f"{x} = {widths.min():g}..{widths.max():g}"
    return f"{text}, {count if count else len(widths)} values"


def seeds_interval(values: np.ndarray, name: str, meaning: str, span: str, study: str) -> Estimate:
    """Return the mean of one value a seed with its Student-t interval; for values of any sign."""
    from scipy import stats

    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    k = len(values)
    if k < 2:
        value = float(values[0]) if k else float("nan")
        return Estimate(name, meaning, value, np.nan, np.nan, k, span, study, "one seed: no interval")
    mean, half = float(values.mean()), float(stats.t.ppf(0.975, k - 1) * values.std(ddof=1) / np.sqrt(k))
    return Estimate(name, meaning, mean, mean - half, mean + half, k, span, study)


def held_out_bound(
    frame: pd.DataFrame,
    *,
    measured: str,
    bound: str,
    name: str,
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
        A row a configuration.
    measured, bound
        Columns: the quantity, and the bound without its constant, both positive.
    split
        The column whose lower half (up to the median) is fitted on.
    name, meaning, span, study
        Of the measures that are made.

    Returns
    -------
    failures, constant, looseness
        The count on held-out rows; the fitted constant; the median over held-out rows of constant x bound / measured.

    Raises
    ------
    InputError
        If either half is empty (one value of `split` only).
    """
    ratio = (frame[measured] / frame[bound]).to_numpy(dtype=np.float64)
    at = frame[split].to_numpy(dtype=np.float64)
    chosen = at <= np.median(at)
    if not chosen.any() or chosen.all():
        raise InputError(f"bound {name!r} needs configurations to fit on and others to test on")
    constant = SLACK * float(ratio[chosen].max())
    held_out = ratio[~chosen]
    what = f"held-out configurations where {meaning} is above the fitted constant times the bound"
    return (
        Count(name, what, int((held_out > constant).sum()), len(held_out), span, study),
        Number(f"{name}: constant", f"{SLACK:g} times the largest ratio on the fitted half", constant, span, study),
        Number(
            f"{name}: looseness",
            "median over held-out configurations of fitted constant x bound / measured",
            float(np.median(constant / held_out)),
            span,
            study,
        ),
    )
