from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ntk1bit.statistics import (
    LEVEL,
    detectable_effect,
    geometric_interval,
    holm,
    proportion_interval,
    root_mean_square_interval,
    standard_error,
    student_interval,
)
from ntk1bit.statistics.intervals import POWER, student_quantile

from .studies import draws, fewest, most


def test_a_mean_has_students_interval():
    mean, low, high = student_interval([-1.0, 0.0, 1.0])
    # t_{0.975}(2) = 4.3027 times s = 1 over sqrt 3
    assert (mean, low, high) == pytest.approx((0, -4.3027 / np.sqrt(3), 4.3027 / np.sqrt(3)), rel=1e-4)
    assert standard_error([-1.0, 0.0, 1.0]) == pytest.approx(1 / np.sqrt(3))
    assert student_interval([2.0])[0] == 2.0
    assert np.isnan(student_interval([2.0])[1:]).all()
    assert np.isnan(student_interval([])).all()


@pytest.mark.parametrize("k", [2, 3, 5, 8, 30])
@pytest.mark.parametrize("level", [0.9, LEVEL])
def test_its_degrees_of_freedom_are_one_fewer_than_values(k, level):
    values = np.random.default_rng(k).standard_normal(k)
    expected = stats.t.interval(level, k - 1, values.mean(), stats.sem(values))
    assert student_interval(values, level=level)[1:] == pytest.approx(expected, rel=1e-9)  # scipy inverts to 1e-10
    assert student_quantile(k - 1, level) == pytest.approx(stats.t.ppf(0.5 + level / 2, k - 1), rel=1e-9)


def test_students_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    trials = 2000
    inside = sum(
        low <= 3 <= high for _, low, high in (student_interval(3 + rng.standard_normal(4)) for _ in range(trials))
    )
    assert stats.binomtest(inside, trials, LEVEL).pvalue > 1e-6  # exact for normal values; fails once in a million


def test_positive_values_have_a_geometric_mean_between_its_ends():
    values = np.exp([-1.0, 0.0, 1.0])
    expected = np.exp(student_interval([-1.0, 0.0, 1.0]))
    np.testing.assert_allclose(geometric_interval(values), expected, rtol=1e-14)
    mean, low, high = geometric_interval([0.0, 1.0])  # all units of a network dead: its outputs agree exactly
    assert mean == 0
    assert np.isnan([low, high]).all()


@pytest.mark.parametrize(("k", "sigma"), [(3, 0.3), (5, 0.2), (5, 1.0), (20, 0.6)])
def test_a_root_mean_square_has_the_interval_of_the_modified_cox_method(k, sigma):
    """Twice the logarithm's half-width, squared, is t^2 (s^2/k + s^4/(2(k - 1))) about m + s^2/2 (Zhou & Gao 1997)."""
    values = np.exp(sigma * np.random.default_rng([1, k]).standard_normal(k))
    logs = np.log(values**2)
    value, low, high = root_mean_square_interval(values)
    assert value == pytest.approx(np.sqrt(np.mean(values**2)), rel=1e-14)
    centre, half = np.log(low * high), np.log(high / low)
    assert centre == pytest.approx(logs.mean() + logs.var(ddof=1) / 2, rel=1e-12)
    variance = stats.sem(logs) ** 2 + stats.tvar(logs) ** 2 / (2 * (k - 1))
    assert half**2 == pytest.approx(stats.t.ppf(0.975, k - 1) ** 2 * variance, rel=1e-12)
    assert root_mean_square_interval(-values) == (value, low, high)
    np.testing.assert_allclose(root_mean_square_interval(3 * values), [3 * value, 3 * low, 3 * high], rtol=1e-12)


def test_roots_of_mean_squares_that_have_no_interval_or_no_end():
    assert np.isnan(root_mean_square_interval([])).all()
    for few in ([2.0], [0.0, 1.0, 2.0]):
        assert np.isfinite(root_mean_square_interval(few)[0])
        assert np.isnan(root_mean_square_interval(few)[1:]).all()
    value, low, high = root_mean_square_interval([1e-9, 1.0])  # two values far apart: no upper end below infinity
    assert low <= value < high == np.inf


@pytest.mark.parametrize(("k", "sigma"), [(5, 0.3), (5, 0.6), (8, 0.6)])
def test_the_interval_of_a_root_mean_square_holds_it(k, sigma):
    truth = np.exp(sigma**2)
    inside = 0
    for rng in draws(10 + k):
        sign = np.where(rng.random(k) < 0.5, 1, -1)
        _, low, high = root_mean_square_interval(sign * np.exp(sigma * rng.standard_normal(k)))
        inside += low <= truth <= high
    assert inside >= fewest()


def test_a_proportion_has_the_interval_of_clopper_and_pearson():
    low, high = proportion_interval(7, 50)
    # its defining equations
    assert stats.binom.sf(6, 50, low) == pytest.approx(0.025)
    assert stats.binom.cdf(7, 50, high) == pytest.approx(0.025)
    assert proportion_interval(0, 5)[0] == 0
    assert proportion_interval(5, 5)[1] == 1


@pytest.mark.parametrize("freedom", [4, 7, 19, 79])
def test_an_effect_is_detected_as_often_as_said(freedom):
    """Power of a t test from the noncentral distribution, exactly.

    The usual approximation by two quantiles is 0.009 below 0.8 for five seeds, and within 0.003 of it for eight and
    more; with a normal quantile it would be 0.74 for five.
    """
    half = 2.0
    reach = stats.t.ppf(0.975, freedom)
    effect = detectable_effect(half, freedom)
    power = stats.nct.sf(reach, freedom, effect / (half / reach))
    assert power == pytest.approx(POWER, abs=0.01 if freedom < 7 else 0.003)
    assert np.isnan(detectable_effect(half, 0))


def test_probabilities_of_several_tests_are_adjusted_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.04: 4 x 0.01 = 0.04, 3 x 0.02 = 0.06, 2 x 0.03 = 0.06, 1 x 0.04 raised to 0.06
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06], rtol=1e-14)
    np.testing.assert_allclose(holm([0.5, 0.9, 0.001]), [1.0, 1.0, 0.003], rtol=1e-14)
    assert holm([0.03]) == [0.03]
    assert len(holm([])) == 0


def test_of_many_tests_without_an_effect_few_families_reject():
    """Ten tests a family, each of which rejects 5 % alone: 40 % of families would hold a rejection."""
    rejecting = sum(bool(holm(rng.random(10)).min() <= 0.05) for rng in draws(20))
    assert rejecting <= most(0.05)
