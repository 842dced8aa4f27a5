"""How fast and how far the training loss falls: its rate, its floor, and the steps and width a given loss needs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.estimators.against_width import AgainstWidth, converged_cells, estimate_against, groups, per_cell
from ntk1bit.estimators.columns import reads
from ntk1bit.statistics import PowerFit, Samples, bootstrap, log_slope, mean_of, percentile_interval
from ntk1bit.statistics.resampling import RESAMPLES

CONVERGED_SLOPE = 0.2  # |d log L / d log t| over the last half decade of steps below which the loss has converged
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
    """Loss at which training plateaus, L_inf(m): only at widths where it has converged.

    Converged means `|d log L / d log t| <= 0.2` over the last half decade of steps, for the mean loss over seeds:
    another tenfold training would change it by less than 40 %. Other widths are left out of the estimate, with a note.
    """
    found = []
    for settings, part in groups(frame):
        kept, notes = converged_cells(part)
        samples, decreasing, increasing = [], [], []
        for width, cells in kept.groupby("width"):
            curves = np.stack([cell["loss"].to_numpy() for _, cell in cells.groupby("seed")])
            slope = end_slope(curves.mean(axis=0))
            number = int(str(width))
            if slope < -CONVERGED_SLOPE:
                decreasing.append(number)
            elif slope > CONVERGED_SLOPE:
                increasing.append(number)
            else:
                values = np.array([final_loss(curve) for curve in curves])
                samples.append(Samples(number, len(values), mean_of(values)))
        for widths, what in ((decreasing, "decreasing"), (increasing, "increasing")):
            if widths:
                notes = (*notes, f"still {what} at widths {', '.join(map(str, widths))}")
        meaning = "loss where it has converged"
        found.append(estimate_against("floor", meaning, settings, samples, notes=notes))
    return found


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


@reads()
def width_needed(frame: pd.DataFrame, *, losses: int = 5) -> list[WidthNeeded]:
    """Estimate the width at which the loss after the given steps is at most eps, for several eps seen in the run.

    eps runs over `losses` values spread evenly in logarithm strictly inside the range of losses seen; the mean loss
    against width is made non-increasing (a wider network reaches at least what a narrower one does) and interpolated in
    logarithms.
    """
    found = []
    for settings, part in groups(frame):
        kept, notes = converged_cells(part)
        widths, estimates, around = [], [], []
        for width, cells in kept.groupby("width"):
            values = np.array([final_loss(cell["loss"].to_numpy()) for _, cell in cells.groupby("seed")])
            estimate, replicates = bootstrap(Samples(int(str(width)), len(values), mean_of(values)))
            widths.append(float(str(width)))
            estimates.append(estimate)
            replicates = replicates if len(replicates) else np.full(RESAMPLES, estimate)
            around.append(replicates)
        found.append(_width_needed(settings, notes, np.array(widths), np.array(estimates), around, losses))
    return found


def final_loss(loss: Float[np.ndarray, " t"]) -> float:
    """Return the mean loss over the last tenth of the steps, at least one; the first entry is before any step.

    A 1-bit loss jumps from step to step, so its last value alone says little.
    """
    return float(loss[-max(1, -(-(len(loss) - 1) // 10)) :].mean())


def end_slope(loss: Float[np.ndarray, " t"]) -> float:
    """Slope of log L against log t over the last half decade of steps, from ten bins evenly spread in log t."""
    last = len(loss) - 1
    edges = np.unique(np.rint(np.geomspace(max(last / np.sqrt(10), 1), last + 1, 11)).astype(int))
    if len(edges) < 3:
        return float("nan")
    means = np.array([loss[low:high].mean() for low, high in pairwise(edges)])
    if not (means > 0).all():
        return float("nan")
    centres = (edges[:-1] + edges[1:] - 1) / 2
    return float(log_slope(centres, means))


def _width_needed(
    settings: dict[str, Any],
    notes: tuple[str, ...],
    widths: np.ndarray,
    estimates: np.ndarray,
    around: list[np.ndarray],
    losses: int,
) -> WidthNeeded:
    columns = ["loss", "width", "low", "high"]
    if len(widths) < 3 or not (estimates > 0).all():
        note = f"too few widths ({len(widths)}, needs 3)"
        return WidthNeeded(settings, pd.DataFrame(columns=columns), PowerFit(False, note), notes)
    curve = np.minimum.accumulate(estimates)
    if not curve[-1] < curve[0]:
        refused = PowerFit(False, "the loss does not fall with width")
        return WidthNeeded(settings, pd.DataFrame(columns=columns), refused, notes)
    eps = np.geomspace(curve[0], curve[-1], losses + 2)[1:-1]
    curves = np.minimum.accumulate(np.stack([estimates, *np.stack(around, axis=1)]), axis=1)
    needed = np.array([_crossings(np.log(widths), np.log(one), np.log(eps)) for one in curves])
    rows = []
    for level, column in zip(eps, needed.T, strict=True):
        low, high = percentile_interval(column[1:])
        rows.append({"loss": level, "width": column[0], "low": low, "high": high})
    slopes = log_slope(eps, needed)
    low, high = percentile_interval(slopes[1:])
    power = PowerFit(
        True,
        "",
        exponent=float(slopes[0]),
        exponent_low=low,
        exponent_high=high,
        widths=len(widths),
        smallest=float(eps.min()),
        largest=float(eps.max()),
    )
    return WidthNeeded(settings, pd.DataFrame(rows, columns=columns), power, notes)


def _crossings(log_width: np.ndarray, log_loss: np.ndarray, log_eps: np.ndarray) -> np.ndarray:
    """Widths at which a non-increasing curve crosses each level; the ends where it does not."""
    order = np.argsort(log_loss, kind="stable")
    return np.exp(np.interp(log_eps, log_loss[order], log_width[order]))


def first_below(loss: Float[np.ndarray, " t"], share: float) -> float:
    """Return the first step at which the loss is at most `share` of its start; NaN if it never is."""
    below = np.flatnonzero(loss <= share * loss[0])
    return float(below[0]) if len(below) else float("nan")
