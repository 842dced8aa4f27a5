"""What the residuals of a fit say about it: diagnostics, and a likelihood, so that laws can be compared by AICc.

For a fixed scale tau, exp(-w rho(r)/tau) divided by its integral is a density of the log residual (the least
favourable one of Huber 1964) whose maximum-likelihood parameters are those that minimise the objective. The scale is
then set by maximum likelihood too, and counts as one parameter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import minimize_scalar
from scipy.special import erf

from ntk1bit.scaling.objective import HUBER_DELTA, huber_losses

_NORMAL_MAD = 1.4826022185056018  # standard deviation of a normal variable in units of its median absolute deviation
_OUTLIER = 4.0


def residual_diagnostics(
    log_residuals: Float[np.ndarray, " n"], columns: Float[np.ndarray, "k n"], variables: Sequence[str]
) -> dict[str, float | int]:
    """Summarise log residuals (observed minus predicted).

    Returns `median`, `robust_std` (1.48 median absolute deviations), `rms`, `largest`, `outliers` (beyond 4 robust
    standard deviations of the median) and, for each variable, rank correlations: `trend_` and `spread_trend_` of the
    residual and of its size with the variable, and `curvature_` of the residual with the distance of log x from its
    middle. All three are near 0 when the law has the right shape.
    """
    middle = float(np.median(log_residuals))
    robust = _NORMAL_MAD * float(np.median(np.abs(log_residuals - middle)))
    summary: dict[str, float | int] = {
        "median": middle,
        "robust_std": robust,
        "rms": float(np.sqrt(np.mean(log_residuals**2))),
        "largest": float(np.max(np.abs(log_residuals))),
        "outliers": int(np.sum(np.abs(log_residuals - middle) > _OUTLIER * robust)),
    }
    for name, column in zip(variables, columns, strict=True):
        log_x = np.log(column)
        distance = np.abs(log_x - 0.5 * (log_x.min() + log_x.max()))
        summary[f"trend_{name}"] = _rank_correlation(log_residuals, log_x)
        summary[f"spread_trend_{name}"] = _rank_correlation(np.abs(log_residuals), log_x)
        summary[f"curvature_{name}"] = _rank_correlation(log_residuals, distance)
    return summary


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(pd.Series(a).rank(), pd.Series(b).rank())[0, 1])


def huber_log_normaliser(scale: Float[np.ndarray, " n"], delta: float) -> Float[np.ndarray, " n"]:
    """Return log of the integral of exp(-rho(r)/scale) over all r."""
    centre = np.sqrt(2.0 * np.pi * scale) * erf(delta / np.sqrt(2.0 * scale))
    return np.log(centre + 2.0 * (scale / delta) * np.exp(-(delta**2) / (2.0 * scale)))


def huber_log_likelihood(
    residuals: Float[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
    *,
    delta: float = HUBER_DELTA,
    tilt: float = 0.5,
) -> float:
    """Return the log-likelihood of log residuals (observed minus predicted) at the best scale tau.

    A point of weight w has scale tau / w; `delta` and `tilt` are those of the objective, and tilt makes the density's
    two halves differ.
    """
    cost = float(np.sum(weight * huber_losses(-residuals, delta, tilt)))
    above, below = 2.0 * tilt, 2.0 * (1.0 - tilt)

    def negative(log_scale: float) -> float:
        scale = math.exp(log_scale) / weight
        halves = np.logaddexp(
            huber_log_normaliser(scale / above, delta), huber_log_normaliser(scale / below, delta)
        ) - math.log(2.0)
        return cost * math.exp(-log_scale) + float(np.sum(halves))

    if not math.isfinite(cost):
        return -math.inf
    typical = math.log(max(cost / len(residuals), 1e-30))
    span, options = (typical - 12.0, typical + 12.0), {"xatol": 1e-9}
    best: Any = minimize_scalar(negative, bounds=span, method="bounded", options=options)
    return -float(best.fun)


def aicc(log_likelihood: float, *, parameters: int, points: int) -> float:
    """Return AIC with the small-sample correction (Hurvich & Tsai 1989); infinite with too few points."""
    if points <= parameters + 1:
        return math.inf
    return 2.0 * parameters - 2.0 * log_likelihood + 2.0 * parameters * (parameters + 1) / (points - parameters - 1)
