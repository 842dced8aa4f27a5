"""Power laws in one variable, fitted to an estimate and to its bootstrap replicates at once.

    Q(m) = A m^p            ordinary least squares of log Q on log m
    Q(m) = c + A m^p        least relative squares, c >= 0, A >= 0, p < 0 on a grid that is refined once

Both have a closed form (the second one at each p), so thousands of replicates are fitted in one matrix product. That
is what they are here for: `ntk1bit.scaling` fits any law with robust residuals, but iterates, and resamples rows of a
table; here replicates are of a statistic at each width that no row holds, such as a root mean square over seeds.

A fit that is not warranted gives no number but a sentence: too few widths, too short a range, no floor in sight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntk1bit.errors import InputError
from ntk1bit.statistics.intervals import percentile_interval

FEWEST_WIDTHS = 3  # two points always lie on a power law: no fit
FEWEST_WIDTHS_FOR_FLOOR = 5  # three parameters and two degrees of freedom to see whether they fit
_WIDEST_EXPONENT = 1.0  # interval of an exponent on top of a floor that still says something
_STEEPEST = 3.0  # end of the grid of powers; what falls faster is gone after the first width
_SHORTEST_RANGE = 4.0  # largest over smallest width; below it an exponent is the noise of two neighbours


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
        Quadratic coefficient of log Q in log m (per unit of ln m). An interval that leaves out 0 says that a single
        power law does not hold over this range. NaN for a fit with a floor.
    widths, smallest, largest
        Number of widths used and their range.
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
    widths: int = 0
    smallest: float = float("nan")
    largest: float = float("nan")

    @property
    def exponent_interval(self) -> tuple[float, float, float]:
        """The exponent with its bounds."""
        return self.exponent, self.exponent_low, self.exponent_high

    def predict(self, x: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Return `floor + amplitude x^exponent`; NaN when the fit is not warranted."""
        return self.floor + self.amplitude * np.asarray(x, dtype=np.float64) ** self.exponent


def log_slope(x: Float[np.ndarray, " k"], y: Float[np.ndarray, "*b k"]) -> Float[np.ndarray, "*b"]:
    """Return the least-squares slope of log y against log x, of each row of y; both positive."""
    centred = _centred_log(x)
    return np.asarray(np.log(y) @ centred / (centred @ centred))


def fit_power(
    x: Float[np.ndarray, " k"], estimate: Float[np.ndarray, " k"], replicates: Float[np.ndarray, "b k"]
) -> PowerFit:
    """Fit `A x^p` by least squares in logarithms.

    Parameters
    ----------
    x
        Widths (or any positive abscissa), (k,).
    estimate
        The quantity at each, positive.
    replicates
        Bootstrap replicates of `estimate`, (b, k); b = 0 gives a fit without intervals.

    Raises
    ------
    InputError
        If shapes do not match or something is not positive and finite.
    """
    _check(x, estimate, replicates)
    refusal = _too_little(x, FEWEST_WIDTHS)
    if refusal:
        return PowerFit(False, refusal, widths=len(x))
    slope, slopes = float(log_slope(x, estimate)), log_slope(x, replicates)
    curvature_low, curvature_high = percentile_interval(_curvature(x, replicates))
    low, high = percentile_interval(slopes)
    return PowerFit(
        True,
        "curvature: not a single power law over this range" if curvature_low > 0 or curvature_high < 0 else "",
        exponent=slope,
        exponent_low=low,
        exponent_high=high,
        amplitude=float(np.exp(np.log(estimate).mean() - slope * np.log(x).mean())),
        curvature=float(_curvature(x, estimate)),
        curvature_low=curvature_low,
        curvature_high=curvature_high,
        widths=len(x),
        smallest=float(x.min()),
        largest=float(x.max()),
    )


def fit_power_with_floor(
    x: Float[np.ndarray, " k"], estimate: Float[np.ndarray, " k"], replicates: Float[np.ndarray, "b k"]
) -> PowerFit:
    """Fit `c + A x^p` with c >= 0 and p < 0 by least relative squares, `sum ((c + A x^p)/Q - 1)^2`.

    Not warranted with fewer than five widths; when the quantity does not fall; when the interval of c reaches below
    1 % of the smallest value seen (no floor is in sight, and the note gives an upper bound); or when the interval of
    the exponent is wider than 1 (there is nothing but the floor, which the note gives).

    Arguments and errors are those of `fit_power`.
    """
    _check(x, estimate, replicates)
    refusal = _too_little(x, FEWEST_WIDTHS_FOR_FLOOR)
    if refusal:
        return PowerFit(False, refusal, widths=len(x))
    if not estimate[-1] < estimate[0]:
        return PowerFit(False, "does not fall with width", widths=len(x))
    values = np.concatenate([estimate[None], replicates])
    p, c, a = _floor_grid(x, values, np.arange(0.05, _STEEPEST + 0.051, 0.05)[None])
    p, c, a = _floor_grid(x, values, np.maximum(p[:, None] + np.arange(-0.05, 0.0501, 0.0025), 0.0025))
    floor_low, floor_high = percentile_interval(c[1:])
    if not floor_low > 0.01 * estimate.min():
        bound = f" (it would be below {floor_high:.3g})" if np.isfinite(floor_high) else ""
        return PowerFit(False, f"no floor in sight{bound}", widths=len(x))
    low, high = percentile_interval(-p[1:])
    if high - low > _WIDEST_EXPONENT or p[0] >= _STEEPEST:
        level = f"{c[0]:.3g} [{floor_low:.3g}, {floor_high:.3g}]"
        return PowerFit(False, f"level near {level}; too little lies above it to give an exponent", widths=len(x))
    return PowerFit(
        True,
        "",
        exponent=float(-p[0]),
        exponent_low=low,
        exponent_high=high,
        amplitude=float(a[0]),
        floor=float(c[0]),
        floor_low=floor_low,
        floor_high=floor_high,
        widths=len(x),
        smallest=float(x.min()),
        largest=float(x.max()),
    )


def _centred_log(x: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    logs = np.log(x)
    return logs - logs.mean()


def _curvature(x: Float[np.ndarray, " k"], y: Float[np.ndarray, "*b k"]) -> Float[np.ndarray, "*b"]:
    """Return the coefficient of (log x)^2 in log y, of each row of y: on the part that a line cannot explain."""
    centred = _centred_log(x)
    square = centred**2 - (centred**2).mean() - (centred**3).sum() / (centred @ centred) * centred
    return np.asarray(np.log(y) @ square / (square @ square))


def _floor_grid(
    x: np.ndarray, values: Float[np.ndarray, "b k"], powers: Float[np.ndarray, "rows g"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row of values try each power, (b, g) or (1, g), with least squares for c, A >= 0; return the best."""
    powers = np.broadcast_to(powers, (len(values), powers.shape[1]))
    shape = (x / x.min()) ** -powers[:, :, None]  # (b, g, k)
    weight = 1 / values[:, None, :]
    u, v = weight, shape * weight  # model/Q = c u + A v, to be near 1
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    u1, v1 = u.sum(-1), v.sum(-1)
    determinant = uu * vv - uv**2
    c = (vv * u1 - uv * v1) / determinant
    a = (uu * v1 - uv * u1) / determinant
    a = np.where(c < 0, v1 / vv, a)
    c = np.maximum(c, 0)
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


def _check(x: np.ndarray, estimate: np.ndarray, replicates: np.ndarray) -> None:
    if estimate.shape != x.shape or replicates.shape[1:] != x.shape:
        raise InputError(f"shapes do not match: x {x.shape}, estimate {estimate.shape}, replicates {replicates.shape}")
    for values in (x, estimate, replicates):
        if not (np.isfinite(values) & (values > 0)).all():
            raise InputError("a power law needs positive, finite numbers; leave out zeros, NaN and diverged runs first")
