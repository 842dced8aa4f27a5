from __future__ import annotations

import numpy as np
import pytest
from scipy import signal, stats

from ntk1bit.statistics import judge_plateau, student_interval
from ntk1bit.statistics.plateau import block_length, end_slope, extrapolated_level

from .studies import STUDIES, draws, fewest, most

STEPS = 1000
T = np.maximum(np.arange(STEPS + 1.0), 1.0)


def correlated(rng, rho, count=1, steps=STEPS + 1):
    """Return series of unit variance with correlation rho from step to step, past their start."""
    drawn = np.sqrt(1 - rho**2) * rng.standard_normal((count, steps + 300))
    return np.asarray(signal.lfilter([1.0], [1.0, -rho], drawn, axis=1))[:, 300:]


def period_two(rng, rho, count=1):
    """Return series that alternate by +-2.5 of their noise, as losses at the edge of stability do."""
    return 2.5 * np.where(np.arange(STEPS + 1) % 2, -1.0, 1.0) + rng.standard_normal((count, STEPS + 1))


def outcomes(name, slope, rho, count, noise=correlated, studies=STUDIES):
    """Count the outcomes for curves t^slope times lognormal noise of 20 % a step."""
    found = dict.fromkeys(("level", "falling", "rising", "undecided"), 0)
    for rng in draws(name, studies):
        found[judge_plateau(T**slope * np.exp(0.2 * noise(rng, rho, count))).outcome] += 1
    return found


@pytest.mark.parametrize("slope", [-2.0, -0.5, 0.0, 0.3])
def test_end_slope_of_a_power_of_time(slope):
    # bins average a curve over a factor 10^(1/20) of time, which shifts a pure power by far less than 0.01
    assert end_slope(T**slope) == pytest.approx(slope, abs=0.01)


def test_a_plateau_is_judged_by_students_interval_of_the_slopes_of_seeds():
    curves = T**-0.1 * np.exp(0.2 * correlated(np.random.default_rng(0), 0.9, 5))
    found = judge_plateau(curves)
    expected = student_interval([end_slope(one) for one in curves], level=0.9)  # two tests at 5 %
    assert (found.slope, found.low, found.high) == expected


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(-0.1, 0.1, "level"), (-0.6, -0.4, "falling"), (0.4, 0.6, "rising"), (-0.3, 0.1, "undecided")],
)
def test_the_interval_decides_the_outcome(low, high, outcome):
    """Two curves with slopes one standard error from their mean on either side: +-t_0.95(1) = 6.314 of it."""
    centre, error = (low + high) / 2, (high - low) / 2 / 6.314
    found = judge_plateau(np.stack([T ** (centre - error), T ** (centre + error)]))
    assert found.outcome == outcome
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)  # as the slope of a power of time


@pytest.mark.parametrize(("rho", "noise"), [(0.9, correlated), (-0.95, correlated), (0.0, period_two)])
@pytest.mark.parametrize("count", [5, 1])
def test_few_curves_are_judged_wrongly(count, rho, noise):
    """Level is called at most 5 % at a slope of the margin; falling, at most 5 % of level curves."""
    at_margin = outcomes(40, -0.2, rho, count, noise)
    assert at_margin["level"] <= most(0.05)
    assert at_margin["rising"] == 0
    level = outcomes(41, 0.0, rho, count, noise)
    assert level["falling"] + level["rising"] <= most(0.05)
    falling = outcomes(42, -0.5, rho, count, noise, studies=100)
    assert falling["level"] == falling["rising"] == 0
    if count == 5:  # with five seeds noise of 20 % leaves little undecided, and the test at the margin has its full 5 %
        assert level["level"] >= 0.9 * STUDIES
        assert falling["falling"] >= 90
        assert at_margin["level"] >= fewest(0.05)


def test_a_single_curve_is_judged_by_the_line_through_its_blocks():
    """The last half decade of 1000 steps, cut from its end into blocks: a regression of few of them has few degrees."""
    curve = np.exp(0.2 * correlated(np.random.default_rng(1), 0.9)[0])
    steps = np.arange(316, STEPS + 1)
    length = block_length(np.log(curve[steps]))
    blocks = len(steps) // length
    assert 6 <= blocks <= 25
    kept = steps[len(steps) - blocks * length :].reshape(blocks, length)
    slope, _, _, _, error = stats.linregress(np.log(kept.mean(axis=1)), np.log(curve[kept].mean(axis=1)))
    half = stats.t.ppf(0.95, blocks - 2) * error
    found = judge_plateau(curve[None])
    assert (found.slope, found.low, found.high) == pytest.approx(  # scipy inverts to 1e-10
        (slope, slope - half, slope + half), rel=1e-8
    )


def test_a_single_curve_without_correlations_is_judged_well():
    assert outcomes(43, 0.0, 0.0, 1, studies=100)["level"] >= fewest(studies=100)
    assert outcomes(44, -0.5, 0.0, 1, period_two, studies=100)["falling"] >= fewest(studies=100)


def test_too_short_or_too_correlated_a_curve_is_undecided():
    assert judge_plateau(np.ones((1, 12))).outcome == "undecided"
    walk = np.exp(0.05 * np.cumsum(np.random.default_rng(0).standard_normal(STEPS + 1)))
    found = judge_plateau(walk[None])
    assert found.outcome == "undecided"
    assert np.isfinite(found.slope)
    assert np.isnan(found.low)
    assert judge_plateau(np.stack([np.zeros(STEPS + 1), np.ones(STEPS + 1)])).outcome == "undecided"


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_a_block_is_as_long_as_a_series_remembers(rho):
    """Twice the integrated autocorrelation time, (1 + rho)/(1 - rho), which 700 steps tell to about 40 %."""
    lengths = [block_length(correlated(rng, rho, steps=700)[0]) for rng in draws(45, 200)]
    assert np.median(lengths) == pytest.approx(2 * (1 + rho) / (1 - rho), rel=0.4)
    assert all(length % 2 == 0 for length in lengths)


def test_a_block_takes_in_whole_periods_of_two():
    alternating = np.where(np.arange(700) % 2, 1.0, -1.0)
    assert block_length(alternating) == 2
    for rng in draws(46, 20):
        assert block_length(alternating + 0.1 * rng.standard_normal(700)) == 2
        assert block_length(correlated(rng, -0.9, steps=700)[0]) == 2
        assert block_length(rng.standard_normal(700)) in (2, 4)  # 2 by its definition, with its own error
    assert block_length(np.ones(9)) == 2


def test_the_level_ahead_is_exact_for_an_approach_as_a_square_root_and_too_low_for_faster_ones():
    t = T[1:]
    square_root, inverse = (0.3 + 2.0 * np.r_[1.0, t**-q] for q in (0.5, 1.0))
    assert extrapolated_level(square_root) == pytest.approx(0.3, abs=1e-12)
    assert extrapolated_level(inverse) < 0.3 < inverse[-1]
    assert extrapolated_level(2.0 * np.r_[1.0, t**-0.25]) > 0  # slower: no level, and it does not claim 0
    assert np.isnan(extrapolated_level(np.ones(3)))
