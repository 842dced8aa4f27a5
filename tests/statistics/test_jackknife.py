from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from ntk1bit.statistics import (
    MeanOf,
    RootMeanSquareOf,
    Samples,
    cluster_slope,
    geometric_interval,
    leave_one_out,
    log_slope,
    logarithmic_interval,
    root_mean_square_interval,
    student_interval,
)
from ntk1bit.statistics.jackknife import CROSSED, NESTED, NETWORKS

from .studies import WIDTHS, observed

# what is computed twice agrees to rounding: differences of leave-one-out values, near 1e-2 of them, are known to 1e-13
EXACT = 1e-10


@dataclass(frozen=True)
class GeometricMeanOf:
    """A statistic whose logarithm is an average over seeds, so that its jackknife is known in closed form."""

    values: np.ndarray
    signed: bool = False

    def __call__(self, weights):
        return np.exp(weights @ np.log(self.values) / weights.sum(axis=1))

    def interval(self):
        return geometric_interval(self.values)


def slope_against(x):
    return lambda values: log_slope(x, values)


def first(rows):
    return rows[:, 0]


def interval_of(estimate, spread, freedom):
    half = stats.t.ppf(0.975, freedom) * np.sqrt(spread)
    return estimate, estimate - half, estimate + half


@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_the_jackknife_of_a_mean_is_students_t(k):
    values = np.random.default_rng(k).standard_normal(k)
    found = leave_one_out([Samples(64, tuple(range(k)), MeanOf(values, signed=True))])
    assert (found.freedom, found.units) == (k - 1, NETWORKS)
    assert found.interval(first) == pytest.approx(student_interval(values), rel=EXACT)
    expected = stats.t.interval(0.95, k - 1, values.mean(), stats.sem(values))
    assert found.interval(first)[1:] == pytest.approx(expected, rel=1e-9)  # scipy inverts to 1e-10
    positive = np.exp(values)
    assert logarithmic_interval(GeometricMeanOf(positive), k) == pytest.approx(geometric_interval(positive), rel=EXACT)


@pytest.mark.parametrize("k", [3, 5, 8])
def test_a_slope_has_students_interval_over_the_slopes_of_seeds(k):
    """Whole seeds are left out at all widths at once: an intercept that a seed's networks share does not count."""
    rng = np.random.default_rng(k)
    values = WIDTHS[:, None] ** (-0.5 + 0.1 * rng.standard_normal(k)) * np.exp(rng.standard_normal(k))
    values *= np.exp(0.1 * rng.standard_normal(values.shape))
    found = observed(WIDTHS, values, GeometricMeanOf).interval(slope_against(WIDTHS))
    slopes = [np.polyfit(np.log(WIDTHS), np.log(values[:, seed]), 1)[0] for seed in range(k)]
    assert found == pytest.approx(student_interval(slopes), rel=EXACT)


def test_seeds_in_another_order_are_the_same_seeds():
    """The seed says which networks belong together, not the place in the table."""
    rng = np.random.default_rng(0)
    values = np.exp(rng.standard_normal(5)) * np.exp(0.1 * rng.standard_normal((9, 5)))
    mixed = []
    for x, row in zip(WIDTHS, values, strict=True):
        order = rng.permutation(5)
        mixed.append(Samples(float(x), tuple(f"seed {s}" for s in order), MeanOf(row[order])))
    slope = slope_against(WIDTHS)
    assert leave_one_out(mixed).interval(slope) == pytest.approx(observed(WIDTHS, values).interval(slope), rel=EXACT)


@pytest.mark.parametrize("statistic", [MeanOf, RootMeanSquareOf])
def test_seeds_that_some_widths_lack(statistic):
    """The spread is around the estimate of all seeds, over all seeds; the narrowest width counts its freedom."""
    rng = np.random.default_rng(1)
    x = WIDTHS[:5]
    at = [(0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5), (1, 2, 3, 5), (0, 2, 4, 5), (0, 1, 2, 3, 4)]
    values = [np.exp(rng.standard_normal(len(seeds))) for seeds in at]
    samples = [Samples(float(m), seeds, statistic(row)) for m, seeds, row in zip(x, at, values, strict=True)]
    found = leave_one_out(samples)
    assert found.freedom == 3

    def brute(left_out):
        kept = [row[[seed != left_out for seed in seeds]] for seeds, row in zip(at, values, strict=True)]
        means = [row.mean() if statistic is MeanOf else np.sqrt(np.mean(row**2)) for row in kept]
        return np.polyfit(np.log(x), np.log(means), 1)[0]

    estimate = brute(None)
    spread = 5 / 6 * sum((brute(seed) - estimate) ** 2 for seed in range(6))
    assert found.interval(slope_against(x)) == pytest.approx(interval_of(estimate, spread, 3), rel=EXACT)


def test_networks_of_other_seeds_at_every_width_are_left_out_one_by_one():
    rng = np.random.default_rng(2)
    values = np.exp(rng.standard_normal((3, 4)))
    samples = [
        Samples(float(m), tuple((m, s) for s in range(4)), GeometricMeanOf(row))
        for m, row in zip(WIDTHS[:3], values, strict=True)
    ]
    x = np.log(WIDTHS[:3])
    c = (x - x.mean()) / np.sum((x - x.mean()) ** 2)  # the slope is sum_x c_x mean_s log y
    # leaving one of 4 out at one width moves that mean by (mean - y)/3: V = 11/12 sum_x c_x^2 sum_s (y - mean)^2/9
    logs = np.log(values)
    spread = 11 / 12 * float(np.sum(c**2 * logs.var(axis=1, ddof=1) * 3 / 9))
    expected = interval_of(float(c @ logs.mean(axis=1)), spread, 3)
    assert leave_one_out(samples).interval(slope_against(WIDTHS[:3])) == pytest.approx(expected, rel=EXACT)


def test_data_sets_with_networks_of_their_own_are_the_unit():
    """Forty networks on five data sets tell no more about data sets than five means do."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal(5)[:, None] + 0.1 * rng.standard_normal((5, 8))
    data = np.repeat(np.arange(5), 8)
    sample = Samples(64, tuple(range(40)), MeanOf(values.ravel(), signed=True), tuple(data))
    found = leave_one_out([sample])
    assert (found.units, found.freedom) == (NESTED, 4)
    assert found.interval(first) == pytest.approx(student_interval(values.mean(axis=1)), rel=EXACT)


def test_networks_crossed_with_data_sets_have_the_variances_of_both():
    rng = np.random.default_rng(4)
    values = rng.standard_normal((6, 1)) + rng.standard_normal((1, 4)) + 0.5 * rng.standard_normal((6, 4))
    seeds, data = (grid.ravel() for grid in np.meshgrid(range(6), range(4), indexing="ij"))
    found = leave_one_out([Samples(64, tuple(seeds), MeanOf(values.ravel(), signed=True), tuple(data))])
    assert (found.units, found.freedom) == (CROSSED, 3)
    # of a mean each delete-one variance is the squared standard error over means of what is left out together
    spread = stats.sem(values.mean(axis=1)) ** 2 + stats.sem(values.mean(axis=0)) ** 2 - stats.sem(values.ravel()) ** 2
    assert found.interval(first) == pytest.approx(interval_of(values.mean(), spread, 3), rel=EXACT)


def test_a_variance_of_both_is_at_least_that_of_either():
    """Pure interaction: rows and columns have equal means, and the difference of variances would be negative."""
    values = np.array([[1.0, -1.0], [-1.0, 1.0]]) + 0.01 * np.array([[1.0, 1.0], [-1.0, -1.0]])
    seeds, data = (grid.ravel() for grid in np.meshgrid(range(2), range(2), indexing="ij"))
    found = leave_one_out([Samples(64, tuple(seeds), MeanOf(values.ravel(), signed=True), tuple(data))])
    spread = stats.sem(values.mean(axis=1)) ** 2
    assert found.interval(first) == pytest.approx(interval_of(0.0, spread, 1), rel=EXACT, abs=1e-12)


def test_one_network_on_each_data_set_is_one_way_whichever_is_named():
    rng = np.random.default_rng(5)
    values = np.exp(0.2 * rng.standard_normal((9, 5)))
    seeds, data = tuple(range(5)), (10, 11, 12, 13, 14)
    samples = [Samples(float(m), seeds, MeanOf(row), data) for m, row in zip(WIDTHS, values, strict=True)]
    found = leave_one_out(samples)
    assert (found.units, found.freedom) == (NESTED, 4)
    slope = slope_against(WIDTHS)
    assert found.interval(slope) == pytest.approx(observed(WIDTHS, values).interval(slope), rel=EXACT)


def test_one_data_set_is_no_second_way():
    sample = Samples(64, (0, 1, 2), MeanOf(np.array([1.0, 2.0, 3.0])), (7, 7, 7))
    assert (leave_one_out([sample]).units, leave_one_out([sample]).freedom) == (NETWORKS, 2)


def test_one_network_or_an_undefined_value_gives_no_interval():
    one = observed(WIDTHS, np.ones((9, 1)))
    assert np.isnan(one.interval(first)[1:]).all()
    assert one.interval(first)[0] == 1
    with_zero = observed([64.0], [np.array([0.0, 0.0, 1.0])])  # without the third seed its logarithm is not finite
    value, low, high = with_zero.interval(lambda rows: np.log(rows[:, 0]))
    assert value == pytest.approx(np.log(1 / 3))
    assert np.isnan([low, high]).all()
    assert np.isnan(logarithmic_interval(MeanOf(np.array([0.0, 0.0, 1.0])), 3)[1:]).all()
    value, low, high = logarithmic_interval(MeanOf(np.array([1e-60, 1.0])), 2)  # far apart: no upper end
    assert low == 0 < value < high == np.inf


def test_a_choice_of_widths_and_a_function_of_them():
    found = observed(WIDTHS, np.exp(np.random.default_rng(6).standard_normal((9, 5))))
    slope = slope_against(WIDTHS[-4:])
    assert found.at(slice(-4, None)).interval(slope) == found.interval(lambda rows: slope(rows[:, -4:]))
    doubled = found.map(lambda rows: 2 * rows)
    np.testing.assert_array_equal(doubled.estimate, 2 * found.estimate)
    assert doubled.interval(first) == pytest.approx(tuple(2 * end for end in found.interval(first)), rel=EXACT)


def test_each_statistic_has_the_interval_of_its_kind():
    values = np.array([0.5, 1.0, 2.0, -1.5])
    assert MeanOf(values, signed=True).interval() == student_interval(values)
    assert RootMeanSquareOf(values).interval() == root_mean_square_interval(values)
    value, low, high = MeanOf(np.abs(values)).interval()
    assert value == np.abs(values).mean()
    assert low * high == pytest.approx(value**2)  # symmetric in logarithms
    weights = np.array([[1.0, 0.0, 3.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    np.testing.assert_allclose(MeanOf(values)(weights), [6.5 / 4, 0.5])
    np.testing.assert_allclose(RootMeanSquareOf(values)(weights), np.sqrt([12.25 / 4, 7.5 / 4]))


def test_a_slope_within_groups_is_that_of_least_squares_with_dummies():
    rng = np.random.default_rng(7)
    rows = 90
    cluster, group = rng.integers(0, 6, rows), rng.integers(0, 4, rows)
    x = rng.standard_normal(rows) + group
    y = -0.3 * x + 5.0 * group + rng.standard_normal(6)[cluster] * x + 0.1 * rng.standard_normal(rows)

    def brute(kept):
        design = np.column_stack([x, *(group == g for g in range(4))])[kept]
        return np.linalg.lstsq(design, y[kept], rcond=None)[0][0]

    estimate = brute(np.ones(rows, dtype=bool))
    spread = 5 / 6 * sum((brute(cluster != one) - estimate) ** 2 for one in range(6))
    found, clusters = cluster_slope(x, y, cluster=cluster.tolist(), group=group.tolist())
    assert clusters == 6
    assert found == pytest.approx(interval_of(estimate, spread, 5), rel=EXACT)


def test_a_slope_within_groups_needs_two_clusters_and_an_x_that_varies():
    x, y = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 2.0, 5.0, 7.0])
    (value, low, high), clusters = cluster_slope(x, y, cluster=[0] * 4, group=["a", "a", "b", "b"])
    assert (value, clusters) == (pytest.approx(2.0), 1)
    assert np.isnan([low, high]).all()
    assert np.isnan(cluster_slope(x, y, cluster=[0, 1, 2, 3], group=list("abcd"))[0]).all()
