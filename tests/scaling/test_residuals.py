from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from ntk1bit.scaling.objective import HUBER_DELTA
from ntk1bit.scaling.residuals import aicc, huber_log_likelihood, huber_log_normaliser, residual_diagnostics


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e-5, 1e-3])
def test_normaliser_is_the_integral(scale: float) -> None:
    def density(r: float) -> float:
        return math.exp(-(0.5 * r * r if r <= HUBER_DELTA else HUBER_DELTA * (r - 0.5 * HUBER_DELTA)) / scale)

    reach = HUBER_DELTA + 60 * max(scale / HUBER_DELTA, math.sqrt(scale))
    half = quad(density, 0, HUBER_DELTA)[0] + quad(density, HUBER_DELTA, reach, limit=200)[0]
    assert huber_log_normaliser(np.array([scale]), HUBER_DELTA)[0] == pytest.approx(math.log(2 * half), rel=1e-7)


def test_a_small_delta_is_the_laplace_likelihood() -> None:
    r = np.random.default_rng(0).laplace(scale=0.05, size=400)
    spread = np.abs(r).mean()
    laplace = -400 * (math.log(2 * spread) + 1)
    # Huber and absolute value differ by delta^2 / 2 a point, 1e-2 of the spread here: relative 2 delta / spread.
    assert huber_log_likelihood(r, np.ones(400), delta=1e-5) == pytest.approx(laplace, abs=400 * 2e-5 / 0.05)


def test_a_wide_delta_is_the_normal_likelihood() -> None:
    r = np.random.default_rng(0).normal(scale=0.05, size=400)
    normal = -0.5 * 400 * (math.log(2 * math.pi * np.mean(r**2)) + 1)
    assert huber_log_likelihood(r, np.ones(400), delta=10.0) == pytest.approx(normal, rel=1e-6)


def test_weights_and_tilt_enter_the_density() -> None:
    r, weight = np.random.default_rng(1).laplace(scale=0.05, size=60), np.linspace(0.5, 2, 60)

    def negative(log_scale: float, tilt: float) -> float:
        total = 0.0
        for one, w in zip(r, weight, strict=True):
            rho = 0.5 * one**2 if abs(one) <= 1e-3 else 1e-3 * (abs(one) - 5e-4)
            side = 2 * tilt if one > 0 else 2 * (1 - tilt)
            halves = [
                math.exp(huber_log_normaliser(np.array([math.exp(log_scale) / w / s]), 1e-3)[0]) / 2
                for s in (2 * tilt, 2 * (1 - tilt))
            ]
            total += w * side * rho / math.exp(log_scale) + math.log(sum(halves))
        return total

    best: Any = minimize_scalar(
        lambda z: negative(z, 0.3), bounds=(-16, -4), method="bounded", options={"xatol": 1e-10}
    )
    assert huber_log_likelihood(r, weight, tilt=0.3) == pytest.approx(-best.fun, rel=1e-8)


def test_aicc_by_hand() -> None:
    assert aicc(10.0, parameters=3, points=14) == pytest.approx(6 - 20 + 24 / 10)
    assert aicc(10.0, parameters=3, points=4) == math.inf


def test_residuals_that_are_not_finite_have_no_likelihood() -> None:
    assert huber_log_likelihood(np.array([0.1, np.inf]), np.ones(2)) == -math.inf


X = np.geomspace(1, 1e4, 400)[None]


def test_normal_residuals_have_their_standard_deviation_and_no_trends() -> None:
    r = np.random.default_rng(0).normal(0, 0.1, 400)
    found = residual_diagnostics(r, X, ["x"])
    assert found["robust_std"] == pytest.approx(0.1, rel=5 * 1.17 / np.sqrt(400))  # 5 standard errors of the MAD
    assert found["outliers"] <= 1
    for name in ("trend_x", "spread_trend_x", "curvature_x"):
        assert abs(found[name]) < 4 / np.sqrt(400)  # four standard errors of a rank correlation


def test_trends_are_seen() -> None:
    t = np.log(X[0]) - np.log(X[0]).mean()
    assert residual_diagnostics(t, X, ["x"])["trend_x"] == pytest.approx(1.0)
    assert residual_diagnostics(t**2, X, ["x"])["curvature_x"] == pytest.approx(1.0)
    alternating = np.exp(t / 10) * (-1.0) ** np.arange(400)
    assert residual_diagnostics(alternating, X, ["x"])["spread_trend_x"] == pytest.approx(1.0)


def test_outliers_are_counted_and_constants_survive() -> None:
    r = np.random.default_rng(0).normal(0, 0.1, 400)
    r[:7] = 5.0
    assert residual_diagnostics(r, X, ["x"])["outliers"] >= 7
    assert residual_diagnostics(np.zeros(5), np.ones((1, 5)), ["x"])["trend_x"] == 0.0
