from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ntk1bit.statistics import (
    LEVEL,
    geometric_interval,
    percentile_interval,
    proportion_interval,
    standard_error,
    student_interval,
)


def test_a_mean_has_students_interval():
    mean, low, high = student_interval([-1.0, 0.0, 1.0])
    # t_{0.975}(2) = 4.3027 times s = 1 over sqrt 3
    assert (mean, low, high) == pytest.approx((0, -4.3027 / np.sqrt(3), 4.3027 / np.sqrt(3)), rel=1e-4)
    assert standard_error([-1.0, 0.0, 1.0]) == pytest.approx(1 / np.sqrt(3))
    assert student_interval([2.0])[0] == 2.0
    assert np.isnan(student_interval([2.0])[1:]).all()
    assert np.isnan(student_interval([])).all()


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


def test_percentiles_leave_out_as_much_on_either_side():
    low, high = percentile_interval(np.arange(1001.0))
    assert (low, high) == pytest.approx((25, 975))
    assert np.isnan(percentile_interval([])).all()


def test_a_proportion_has_the_interval_of_clopper_and_pearson():
    low, high = proportion_interval(7, 50)
    # its defining equations
    assert stats.binom.sf(6, 50, low) == pytest.approx(0.025)
    assert stats.binom.cdf(7, 50, high) == pytest.approx(0.025)
    assert proportion_interval(0, 5)[0] == 0
    assert proportion_interval(5, 5)[1] == 1
