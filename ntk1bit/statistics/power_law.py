"""Power laws in one variable, fitted to a statistic at each width, with intervals that leave out one seed at a time.

    Q(m) = A m^p            ordinary least squares of log Q on log m
    Q(m) = c + A m^p        least relative squares, A >= 0, p < 0 on a grid that is refined once

Both have a closed form (the second one at each p), so an estimate and its jackknife are fitted in one matrix product.
That is what they are here for: `ntk1bit.scaling` fits any law with robust residuals, but iterates, and resamples rows
of a table; here what is fitted is a statistic at each width that no row holds, such as a root mean square over seeds.

Where a single power law is seen not to hold, an average slope answers no question: the exponent then is the one over
the widest half of the widths, to which statements about large widths apply.

A fit that is not warranted gives no number but a sentence: too few widths, too short a range, no floor in sight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ntk1bit.errors import InputError
from ntk1bit.printing import interval, number, short_lines
from ntk1bit.statistics.intervals import Interval
from ntk1bit.statistics.jackknife import LeaveOneOut

FEWEST_WIDTHS = 3  # two points always lie on a power law: no fit
FEWEST_WIDTHS_FOR_FLOOR = 5  # three parameters and two degrees of freedom to see whether they fit
_WIDEST_EXPONENT = 1.0  # interval of an exponent on top of a floor that still says something
_GENTLEST = 0.0025  # the other end of that grid
_STEEPEST = 3.0  # end of the grid of powers; what falls faster is gone after the first width
_SHORTEST_RANGE = 4.0  # largest over smallest width; below it an exponent is the noise of two neighbours
_CURVED = 0.99  # level at which a bend decides; at 95 % the choice that it makes would cost an interval 1 % coverage


@dataclass(frozen=True)
class PowerFit:
    """A fitted power law, or why there is none.

    Attributes
    ----------
    warranted
        Whether the numbers below mean anything; if not, they are NaN and `note` says why.
    note
        Why no fit is given, or a caution about one that is; may be empty.
    exponent, exponent_low, exponent_high
        p with its 95 % interval over seeds (NaN bounds when there is only one seed).
    amplitude
        A.
    floor, floor_low, floor_high
        c with its interval; 0 for a fit without a floor.
    curvature, curvature_low, curvature_high
        Quadratic coefficient of log Q in log m (per unit of ln m), over all widths. NaN for a fit with a floor.
    curved
        Whether a single power law is seen not to hold, at 1 %: exponent and amplitude then are those of the widest half
        of the widths.
    average, average_low, average_high
        The slope over all widths, which is the exponent unless the law is curved. NaN for a fit with a floor.
    widths, smallest, largest
        Number of widths that the exponent is of, and their range.
    """

    warranted: bool
    note: str
    exponent: float = float("nan")
    exponent_low: float = float("nan")
    exponent_high: float = float("nan")
    amplitude: float = float("nan")
    floor: float = 0.0
    floor_low: float = 0.0
    floor_high: float = 0.0
    curvature: float = float("nan")
    curvature_low: float = float("nan")
    curvature_high: float = float("nan")
    average: float = float("nan")
    average_low: float = float("nan")
    average_high: float = float("nan")
    curved: bool = False
    widths: int = 0
    smallest: float = float("nan")
    largest: float = float("nan")

    def __repr__(self) -> str:
        """Write the law with its intervals on a line, and the note on another."""
        if not self.warranted:
            return short_lines([f"PowerFit: none, {self.note}"])
        floor = f"c = {number(self.floor)} {interval(self.floor_low, self.floor_high)}, " if self.floor_high else ""
        law = "c + A x^p" if floor else "A x^p"
        span = f"{self.widths} widths {number(self.smallest)} .. {number(self.largest)}"
        p = f"p = {number(self.exponent)} {interval(self.exponent_low, self.exponent_high)}"
        lines = [f"PowerFit {law}: {p}, {span}", f"{floor}A = {number(self.amplitude)}", self.note]
        return short_lines(line for line in lines if line)

    @property
    def exponent_interval(self) -> Interval:
        """The exponent with its bounds."""
        return self.exponent, self.exponent_low, self.exponent_high

    @property
    def floored(self) -> bool:
        """Whether a floor is seen: its interval lies above 0."""
        return self.floor_low > 0

    def predict(self, x: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Return `floor + amplitude x^exponent`; NaN when the fit is not warranted."""
        return self.floor + self.amplitude * np.asarray(x, dtype=np.float64) ** self.exponent


def log_slope(x: Float[np.ndarray, " k"], y: Float[np.ndarray, "*b k"]) -> Float[np.ndarray, "*b"]:
    """Return the least-squares slope of log y against log x, of each row of y; both positive."""
    centred = _centred_log(x)
    return np.asarray(np.log(y) @ centred / (centred @ centred))


def fit_power(x: Float[np.ndarray, " k"], found: LeaveOneOut) -> PowerFit:
    """Fit `A x^p` by least squares in logarithms.

    Parameters
    ----------
    x
        Widths (or any positive abscissa), (k,), ascending.
    found
        The quantity at each, positive, and what it is without each seed.

    Raises
    ------
    InputError
        If shapes do not match or something is not positive and finite.
    """
    _check(x, found)
    refusal = _too_little(x, FEWEST_WIDTHS)
    if refusal:
        return PowerFit(False, refusal, widths=len(x))
    fit = _straight(x, found)
    bend = _curvature_of(x)
    curvature, low, high = found.interval(bend)
    curved = replace(fit, curvature=curvature, curvature_low=low, curvature_high=high)
    _, low, high = found.interval(bend, level=_CURVED)
    if not (low > 0 or high < 0):
        return curved
    widest = slice(-max(FEWEST_WIDTHS, len(x) // 2), None)
    local = _straight(x[widest], found.at(widest))
    return replace(
        curved,
        curved=True,
        note="curvature: not a single power law"
        + (f"; exponent of the widest {local.widths} widths" if local.widths < len(x) else ""),
        **{name: getattr(local, name) for name in _OF_THE_WIDEST},
    )


_OF_THE_WIDEST = ("exponent", "exponent_low", "exponent_high", "amplitude", "widths", "smallest", "largest")


def _straight(x: Float[np.ndarray, " k"], found: LeaveOneOut) -> PowerFit:
    """Fit a line through logarithms, without asking whether it bends."""
    slope, low, high = found.interval(lambda values: log_slope(x, values))
    return PowerFit(
        True,
        "",
        exponent=slope,
        exponent_low=low,
        exponent_high=high,
        amplitude=float(np.exp(np.log(found.estimate).mean() - slope * np.log(x).mean())),
        average=slope,
        average_low=low,
        average_high=high,
        widths=len(x),
        smallest=float(x.min()),
        largest=float(x.max()),
    )


def fit_power_with_floor(x: Float[np.ndarray, " k"], found: LeaveOneOut) -> PowerFit:
    """Fit `c + A x^p` with p < 0 by least relative squares, `sum ((c + A x^p)/Q - 1)^2`.

    c may come out negative, so that it is not pressed against 0 on one side; it is given as 0 then.

    Not warranted with fewer than five widths; when the quantity does not fall; when the best exponent is the gentlest
    that is tried (then c runs away below 0, and nothing is given); or when the interval of the exponent is wider than 1
    (there is nothing but the floor, which is given unless its interval goes beyond all that was measured). A fit whose
    floor cannot be told from 0 is given as it is, with a note: intervals that are shown only where they leave out 0
    miss the truth too often.

    Arguments and errors are those of `fit_power`.
    """
    _check(x, found)
    refusal = _too_little(x, FEWEST_WIDTHS_FOR_FLOOR)
    if refusal:
        return PowerFit(False, refusal, widths=len(x))
    if not found.estimate[-1] < found.estimate[0]:
        return PowerFit(False, "does not fall with width", widths=len(x))
    law = found.map(lambda values: _fitted_with_floor(x, values))
    floor, floor_low, floor_high = law.interval(lambda rows: rows[:, 1])
    floor, floor_low, floor_high = (end if math.isnan(end) else max(end, 0.0) for end in (floor, floor_low, floor_high))
    if -float(law.estimate[0]) >= -_GENTLEST:
        return PowerFit(False, "no bend towards a floor is seen: the law without one says all", widths=len(x))
    unknown = floor_high > found.estimate.max()
    nothing = PowerFit(False, "", floor=floor, floor_low=floor_low, floor_high=floor_high, widths=len(x))
    power, low, high = law.interval(lambda rows: -rows[:, 0])
    if high - low > _WIDEST_EXPONENT or -power >= _STEEPEST:
        if unknown:
            return PowerFit(False, "the widths tell neither an exponent nor a floor", widths=len(x))
        level = f"{floor:.3g} [{floor_low:.3g}, {floor_high:.3g}]"
        note = f"level near {level}; too little lies above it to give an exponent"
        return replace(nothing, note=note)
    return replace(
        nothing,
        warranted=True,
        note=""
        if not floor_low <= 0
        else "no floor in sight" + f" (it would be below {floor_high:.3g})" * (not unknown),
        exponent=power,
        exponent_low=low,
        exponent_high=high,
        amplitude=float(law.estimate[2]),
        smallest=float(x.min()),
        largest=float(x.max()),
    )


def _fitted_with_floor(x: Float[np.ndarray, " k"], values: Float[np.ndarray, "b k"]) -> Float[np.ndarray, "b 3"]:
    """Return p, c and A of `c + A x^-p` for each row of values; NaN for a row that is not positive."""
    found = np.full((len(values), 3), np.nan)
    known = (np.isfinite(values) & (values > 0)).all(axis=1)
    if known.any():
        rows = values[known]
        p, _, _ = _floor_grid(x, rows, np.arange(0.05, _STEEPEST + 0.051, 0.05)[None])
        p, c, a = _floor_grid(x, rows, np.maximum(p[:, None] + np.arange(-0.05, 0.0501, 0.0025), _GENTLEST))
        found[known] = np.stack([p, c, a], axis=1)
    return found


def _centred_log(x: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    logs = np.log(x)
    return logs - logs.mean()


def _curvature_of(x: Float[np.ndarray, " k"]) -> Callable[[Float[np.ndarray, "b k"]], Float[np.ndarray, " b"]]:
    """Return what gives the coefficient of (log x)^2 in log y: on the part that a line cannot explain."""
    centred = _centred_log(x)
    square = centred**2 - (centred**2).mean() - (centred**3).sum() / (centred @ centred) * centred
    return lambda values: np.log(values) @ square / (square @ square)


def _floor_grid(
    x: np.ndarray, values: Float[np.ndarray, "b k"], powers: Float[np.ndarray, "rows g"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row of values try each power, (b, g) or (1, g), with least squares for c and A >= 0; return the best."""
    powers = np.broadcast_to(powers, (len(values), powers.shape[1]))
    shape = (x / x.min()) ** -powers[:, :, None]  # (b, g, k)
    weight = 1 / values[:, None, :]
    u, v = weight, shape * weight  # model/Q = c u + A v, to be near 1
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    u1, v1 = u.sum(-1), v.sum(-1)
    determinant = uu * vv - uv**2
    c = (vv * u1 - uv * v1) / determinant
    a = (uu * v1 - uv * u1) / determinant
    c = np.where(a < 0, u1 / uu, c)
    a = np.maximum(a, 0)
    error = ((c[..., None] * u + a[..., None] * v - 1) ** 2).sum(-1)
    best = error.argmin(axis=1)
    rows = np.arange(len(values))
    p = powers[rows, best]
    return p, c[rows, best], a[rows, best] * x.min() ** p


def _too_little(x: np.ndarray, fewest: int) -> str:
    if len(x) < fewest:
        return f"too few widths ({len(x)}, needs {fewest})"
    if x.max() < _SHORTEST_RANGE * x.min():
        return f"widths span only a factor {x.max() / x.min():.3g} (needs {_SHORTEST_RANGE:g})"
    return ""


def _check(x: np.ndarray, found: LeaveOneOut) -> None:
    if found.estimate.shape != x.shape:
        raise InputError(f"shapes do not match: x {x.shape}, estimate {found.estimate.shape}")
    for values in (x, found.estimate):
        if not (np.isfinite(values) & (values > 0)).all():
            raise InputError("a power law needs positive, finite numbers; leave out zeros, NaN and diverged runs first")
