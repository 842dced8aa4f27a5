"""How fast and how far the training loss falls: its rate, its floor, and the steps and width a given loss needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.estimators.against_width import (
    AgainstWidth,
    converged_cells,
    estimate_against,
    groups,
    per_cell,
    seed_columns,
)
from ntk1bit.estimators.columns import reads
from ntk1bit.printing import record
from ntk1bit.statistics import (
    Interval,
    LeaveOneOut,
    MeanOf,
    PowerFit,
    Samples,
    judge_plateau,
    leave_one_out,
    log_slope,
)
from ntk1bit.statistics.plateau import MARGIN, extrapolated_level

_BEYOND, _GRID = 4.0, 2000  # how far beyond the widths an interval may reach, and widths it is looked for at
LOSS_LEVELS = (1e-1, 1e-2, 1e-3)  # shares of the starting loss whose first crossing is looked for


@reads()
def loss_at_end(frame: pd.DataFrame) -> list[AgainstWidth]:
    """Mean training loss over the last tenth of the steps, against width (claim C2 at fixed steps).

    Parameters
    ----------
    frame
        From `Run.frame`.

    Returns
    -------
    One entry for each group of settings.
    """
    meaning = "training loss, mean over the last tenth of the steps"
    return per_cell(frame, "loss", meaning, lambda cell: final_loss(cell["loss"].to_numpy()), with_floor=True)


@reads()
def floor(frame: pd.DataFrame) -> list[AgainstWidth]:
    """Loss at which training plateaus, L_inf(m): only at widths where it is shown to have plateaued.

    A plateau is a slope |d log L / d log t| of at most 0.2 over the last half decade of steps, another tenfold training
    changing the loss by less than 40 %, shown at 5 % by tests on the seeds' slopes (`ntk1bit.statistics.plateau`).
    Widths still falling or rising, and those where the tests leave it undecided, are left out of the estimate, with a
    note each.

    The value is the mean loss over the last tenth of the steps. What may still fall, no more slowly than t^-1/2, counts
    as error: intervals, that of the exponent too, reach from the low end for the extrapolated level to the high end for
    the value, whichever of both is lower or higher.
    """
    found = []
    for settings, part in groups(frame):
        kept, notes = converged_cells(part)
        seen: dict[str, list[int]] = {"falling": [], "rising": [], "undecided": []}
        ends, levels = [], []
        for width, cells in kept.groupby("width"):
            curves = _curves(cells, seed_columns(kept))
            outcome = judge_plateau(curves.losses).outcome
            if outcome != "level":
                seen[outcome].append(int(str(width)))
                continue
            ends.append(curves.sample(width, final_loss))
            levels.append(curves.sample(width, extrapolated_level, signed=True))
        for what, widths in seen.items():
            if widths:
                where = ", ".join(map(str, widths))
                still = f"not shown to be within +-{MARGIN:g} of level" if what == "undecided" else f"still {what}"
                notes = (*notes, f"{still} at widths {where}: left out")
        one = estimate_against("floor", "loss where it has converged", settings, ends, notes=notes)
        found.append(_allowing_for_the_rest(one, levels))
    return found


@dataclass(frozen=True)
class _Curves:
    """The loss curves of the networks of one width, with their seeds and, where these vary, those of their data."""

    seeds: tuple[Hashable, ...]
    data: tuple[Hashable, ...]
    losses: Float[np.ndarray, "networks t"]

    def sample(self, width: object, of: Callable[[np.ndarray], float], *, signed: bool = False) -> Samples:
        """Return a number of each curve as the sample of its width."""
        values = np.array([of(one) for one in self.losses])
        return Samples(int(str(width)), self.seeds, MeanOf(values, signed), self.data)


def _curves(cells: pd.DataFrame, names: list[str]) -> _Curves:
    """Collect the loss curves of one width's networks, which the columns `names` tell apart."""
    found = [(key, cell["loss"].to_numpy(dtype=np.float64)) for key, cell in cells.groupby(names)]
    keys = [key for key, _ in found if isinstance(key, tuple)]
    data = tuple(key[-1] for key in keys) if len(names) > 1 else ()
    return _Curves(tuple(key[0] for key in keys), data, np.stack([curve for _, curve in found]))


def _allowing_for_the_rest(one: AgainstWidth, levels: list[Samples]) -> AgainstWidth:
    """Widen the intervals of a floor by those of the levels its curves are heading for."""
    if not levels:
        return one
    bounds = np.array([each.interval() for each in levels])
    low, high = (one.table[name].to_numpy(dtype=np.float64) for name in ("low", "high"))
    table = one.table.assign(low=np.minimum(low, bounds[:, 1]), high=np.maximum(high, bounds[:, 2]))
    fit = one.power
    if fit.warranted:
        x = np.array([each.x for each in levels], dtype=np.float64)
        kept = (x >= fit.smallest) & (x <= fit.largest)
        rest = leave_one_out(levels).at(kept)
        value, least, most = rest.interval(lambda values: log_slope(x[kept], values))
        if np.isfinite([value, least, most]).all():
            fit = replace(fit, exponent_low=min(fit.exponent_low, least), exponent_high=max(fit.exponent_high, most))
        else:
            reasons = (fit.note, "the levels that losses are heading for cannot be told from 0: no interval")
            note = "; ".join(reason for reason in reasons if reason)
            fit = replace(fit, exponent_low=np.nan, exponent_high=np.nan, note=note)
    return replace(one, table=table, power=fit)


@reads("eta", "lambda_min")
def decay_rate(frame: pd.DataFrame) -> list[AgainstWidth]:
    """Smallest rate of decay per step in units of `eta lambda_min(H(0))`, while the loss falls by its first factor 10.

    `rate = min over windows of -(log L(t2) - log L(t1)) / ((t2 - t1) eta lambda_min)`, over the ten windows of equal
    fall between L(0) and L(0)/10; D25's Lemma I.2 needs at least 1/2. Cells that never reach L(0)/10 have none.
    """

    def rate(cell: pd.DataFrame) -> float:
        cell = cell.sort_values("step")
        unit = cell["eta"].iloc[0] * cell["lambda_min"].iloc[0]
        levels = 10.0 ** -np.linspace(0, 1, 11)
        steps = np.array([first_below(cell["loss"].to_numpy(), level) for level in levels])
        if not np.isfinite(steps).all() or not unit > 0:
            return float("nan")
        loss = cell["loss"].to_numpy()[steps.astype(int)]
        moved = np.diff(steps) > 0
        rates = -np.diff(np.log(loss))[moved] / np.diff(steps)[moved] / unit
        return float(rates.min()) if len(rates) else float("nan")

    meaning = "slowest decay of log L per step, in units of eta lambda_min, down to L(0)/10"
    return per_cell(frame, "rate", meaning, rate, fit=False)


@reads("eta", "lambda_max")
def steps_needed(frame: pd.DataFrame, share: float) -> list[AgainstWidth]:
    """Count steps until the loss is first at most `share` of its start, in units of 1/(eta lambda_max).

    A width at which some seed never gets there has no value.
    """

    def steps(cell: pd.DataFrame) -> float:
        cell = cell.sort_values("step")
        unit = cell["eta"].iloc[0] * cell["lambda_max"].iloc[0]
        return first_below(cell["loss"].to_numpy(), share) * unit

    meaning = f"steps until L <= {share:g} L(0), times eta lambda_max"
    return per_cell(frame, f"steps to {share:g}", meaning, steps, fit=False)


@dataclass(frozen=True)
class WidthNeeded:
    """Width at which the loss after the given steps falls to each of several values (claim C2; D25, Thm 4.2).

    Attributes
    ----------
    settings
        What all cells of the group share.
    table
        Columns loss, width, low, high: the width needed, by interpolation in logarithms, with its interval.
    power
        `width ~ loss^exponent`; Thm 4.2's condition on the width would be an exponent of -4.
    notes
        What was left out and why.
    """

    settings: dict[str, Any]
    table: pd.DataFrame
    power: PowerFit
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


@reads()
def width_needed(frame: pd.DataFrame, *, losses: int = 5) -> list[WidthNeeded]:
    """Estimate the width at which the loss after the given steps is at most eps, for several eps seen in the run.

    eps runs over `losses` values spread evenly in logarithm strictly inside the range of losses seen; the mean loss
    against width is made non-increasing (a wider network reaches at least what a narrower one does) and interpolated in
    logarithms. Intervals leave out one seed at a time; one seed gives none.
    """
    found = []
    for settings, part in groups(frame):
        kept, notes = converged_cells(part)
        samples = []
        for width, cells in kept.groupby("width"):
            samples.append(_curves(cells, seed_columns(kept)).sample(width, final_loss))
        found.append(_width_needed(settings, notes, samples, losses))
    return found


def final_loss(loss: Float[np.ndarray, " t"]) -> float:
    """Return the mean loss over the last tenth of the steps, at least one; the first entry is before any step.

    A 1-bit loss jumps from step to step, so its last value alone says little.
    """
    return float(loss[-max(1, -(-(len(loss) - 1) // 10)) :].mean())


def _width_needed(settings: dict[str, Any], notes: tuple[str, ...], samples: list[Samples], losses: int) -> WidthNeeded:
    columns = ["loss", "width", "low", "high"]
    around = leave_one_out(samples)
    widths, estimates = np.array([one.x for one in samples], dtype=np.float64), around.estimate
    if len(widths) < 3 or not (estimates > 0).all():
        note = f"too few widths ({len(widths)}, needs 3)"
        return WidthNeeded(settings, pd.DataFrame(columns=columns), PowerFit(False, note), notes)
    curve = np.minimum.accumulate(estimates)
    if not curve[-1] < curve[0]:
        refused = PowerFit(False, "the loss does not fall with width")
        return WidthNeeded(settings, pd.DataFrame(columns=columns), refused, notes)
    if around.freedom < 1:
        notes = (*notes, "one seed only at some width: no intervals")
    eps = np.geomspace(curve[0], curve[-1], losses + 2)[1:-1]
    log_needed = around.map(lambda values: _crossings(np.log(widths), values, np.log(eps)))
    rows = []
    for width, level in zip(np.exp(log_needed.estimate), eps, strict=True):
        low, high = _widths_not_excluded(widths, around, float(np.log(level)))
        rows.append({"loss": level, "width": width, "low": low, "high": high})
    exponent: Interval = log_needed.interval(lambda values: log_slope(eps, np.exp(values)))
    power = PowerFit(
        True,
        "",
        *exponent,
        widths=len(widths),
        smallest=float(eps.min()),
        largest=float(eps.max()),
    )
    return WidthNeeded(settings, pd.DataFrame(rows, columns=columns), power, notes)


def _widths_not_excluded(widths: Float[np.ndarray, " w"], around: LeaveOneOut, log_eps: float) -> tuple[float, float]:
    """Return the smallest and largest width at which the interval of the interpolated log loss holds a given loss.

    So the error of the loss counts, but not that of the noisy local slope, by which an error of the crossing itself
    would be divided (Fieller 1954). Ends beyond `_BEYOND` times the range of widths are not known: NaN.
    """
    x = np.log(widths)
    reach = np.log(_BEYOND)
    grid = np.linspace(x[0] - reach, x[-1] + reach, _GRID)
    piece = np.clip(np.searchsorted(x, grid) - 1, 0, len(x) - 2)
    share = (grid - x[piece]) / (x[piece + 1] - x[piece])
    lower, upper = around.intervals(
        lambda values: (1 - share) * np.log(values[:, piece]) + share * np.log(values[:, piece + 1])
    )[1:]
    inside = np.flatnonzero((lower <= log_eps) & (log_eps <= upper))
    if not len(inside):
        return math.nan, math.nan
    first, last = inside[0], inside[-1]
    low = math.nan if first == 0 else math.exp(grid[first])
    return low, math.nan if last == _GRID - 1 else math.exp(grid[last])


def _crossings(
    log_width: Float[np.ndarray, " w"], losses: Float[np.ndarray, "b w"], log_eps: Float[np.ndarray, " e"]
) -> Float[np.ndarray, "b e"]:
    """Return logarithms of the widths at which each curve, made non-increasing, crosses each level.

    Beyond its ends a curve is continued along its last piece that falls, so that no crossing is cut off.
    """
    found = np.full((len(losses), len(log_eps)), np.nan)
    for row, curve in enumerate(losses):
        log_loss = np.log(np.minimum.accumulate(curve))
        kept = np.r_[True, np.diff(log_loss) < 0]
        y, x = log_loss[kept][::-1], log_width[kept][::-1]
        if len(y) < 2:
            continue
        piece = np.clip(np.searchsorted(y, log_eps) - 1, 0, len(y) - 2)
        share = (log_eps - y[piece]) / (y[piece + 1] - y[piece])
        found[row] = x[piece] + share * (x[piece + 1] - x[piece])
    return found


def first_below(loss: Float[np.ndarray, " t"], share: float) -> float:
    """Return the first step at which the loss is at most `share` of its start; NaN if it never is."""
    below = np.flatnonzero(loss <= share * loss[0])
    return float(below[0]) if len(below) else float("nan")
