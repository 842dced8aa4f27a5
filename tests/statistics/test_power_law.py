from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.statistics import fit_power, fit_power_with_floor

WIDTHS = 64.0 * 2 ** np.arange(9)


def replicates(values, noise, count=400, seed=0):
    return values * np.exp(noise * np.random.default_rng(seed).standard_normal((count, len(values))))


def test_an_exact_power_law_is_found_exactly():
    fit = fit_power(WIDTHS, 3.0 * WIDTHS**-0.55, np.empty((0, 9)))
    assert fit.warranted
    assert fit.exponent == pytest.approx(-0.55, abs=1e-12)
    assert fit.amplitude == pytest.approx(3.0, rel=1e-12)
    assert abs(fit.curvature) < 1e-12
    assert np.isnan(fit.exponent_low)
    np.testing.assert_allclose(fit.predict(WIDTHS), 3.0 * WIDTHS**-0.55, rtol=1e-11)


def test_slope_and_curvature_are_those_of_polyfit():
    values = np.exp(np.random.default_rng(1).standard_normal(9)) * WIDTHS**-0.3
    around = replicates(values, 0.1)
    fit = fit_power(WIDTHS, values, around)
    assert fit.exponent == pytest.approx(np.polyfit(np.log(WIDTHS), np.log(values), 1)[0], abs=1e-12)
    assert fit.curvature == pytest.approx(np.polyfit(np.log(WIDTHS), np.log(values), 2)[0], abs=1e-12)
    slopes = np.polyfit(np.log(WIDTHS), np.log(around).T, 1)[0]
    assert (fit.exponent_low, fit.exponent_high) == pytest.approx(tuple(np.quantile(slopes, [0.025, 0.975])), abs=1e-12)


def test_curvature_is_noticed_and_straightness_is_not_denied():
    straight, bent = 2.0 * WIDTHS**-0.5, 0.02 + 2.0 * WIDTHS**-0.5
    assert fit_power(WIDTHS, straight, replicates(straight, 0.02)).note == ""
    assert "curvature" in fit_power(WIDTHS, bent, replicates(bent, 0.02)).note


@pytest.mark.parametrize(("floor", "power"), [(0.2, -1.0), (0.05, -0.25), (1e-3, -0.5)])
def test_a_floor_is_found(floor, power):
    values = floor + 5.0 * WIDTHS**power
    fit = fit_power_with_floor(WIDTHS, values, replicates(values, 1e-4))
    assert fit.warranted, fit.note
    # the power is searched on a grid of step 0.0025, which is what limits noiseless data
    assert fit.exponent == pytest.approx(power, abs=0.0025)
    assert fit.floor == pytest.approx(floor, rel=0.03)
    assert fit.floor_low <= fit.floor <= fit.floor_high
    np.testing.assert_allclose(fit.predict(WIDTHS), values, rtol=2e-3)


def test_no_floor_is_claimed_where_there_is_none():
    values = 5.0 * WIDTHS**-0.5
    fit = fit_power_with_floor(WIDTHS, values, replicates(values, 0.05))
    assert not fit.warranted
    assert "no floor in sight (it would be below" in fit.note
    assert np.isnan(fit.exponent)


def test_a_flat_quantity_is_a_level_not_an_exponent():
    values = np.full(9, 0.4) * np.exp(0.02 * np.random.default_rng(3).standard_normal(9))
    values[0] *= 1.2
    fit = fit_power_with_floor(WIDTHS, values, replicates(values, 0.03))
    assert not fit.warranted
    assert "level near" in fit.note
    rising = fit_power_with_floor(WIDTHS, WIDTHS, replicates(WIDTHS, 0.01))
    assert rising.note == "does not fall with width"


def test_too_little_data_gives_a_reason_instead_of_a_number():
    few = fit_power(WIDTHS[:2], WIDTHS[:2], np.empty((0, 2)))
    assert (few.warranted, few.note) == (False, "too few widths (2, needs 3)")
    narrow = np.array([100.0, 110.0, 120.0, 130.0, 140.0])
    assert "factor 1.4" in fit_power(narrow, narrow, np.empty((0, 5))).note
    assert "needs 5" in fit_power_with_floor(WIDTHS[:4], 1 / WIDTHS[:4], np.empty((0, 4))).note
    assert np.isnan(few.predict(WIDTHS)).all()


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("call", [fit_power, fit_power_with_floor])
def test_what_cannot_have_a_logarithm_is_refused(call, bad):
    values = 1 / WIDTHS
    values[4] = bad
    with pytest.raises(InputError, match="positive, finite"):
        call(WIDTHS, values, np.empty((0, 9)))
    with pytest.raises(InputError, match="shapes do not match"):
        call(WIDTHS, np.ones(9), np.ones((3, 8)))
