"""The judge of the probabilistic bounds: it lets true rates pass and stops rates that are too high."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from .failures import FALSE_ALARM, fails_too_often


@pytest.mark.parametrize(("trials", "delta"), [(40, 0.05), (40, 0.5), (1000, 0.1), (5000, 0.01)])
def test_a_bound_that_fails_exactly_as_often_as_it_may_passes_and_one_three_times_worse_does_not(trials, delta):
    rng = np.random.default_rng(trials)
    # 500 draws at the bound itself: with a false alarm of 1e-6 each, one is seen in 2,000 repetitions
    assert not any(fails_too_often(int(count), trials, delta) for count in rng.binomial(trials, delta, 500))
    if trials >= 1000:  # 40 trials cannot tell 0.05 from 0.15
        assert all(fails_too_often(int(count), trials, delta) for count in rng.binomial(trials, 3 * delta, 500))


@pytest.mark.parametrize("delta", [0.05, 0.5])
def test_the_critical_count_is_where_the_binomial_tail_falls_below_the_false_alarm(delta):
    trials = 40
    terms = [comb(trials, k) * delta**k * (1 - delta) ** (trials - k) for k in range(trials + 1)]
    for k in range(trials + 1):
        assert fails_too_often(k, trials, delta) == (sum(terms[k:]) < FALSE_ALARM)


def test_no_failures_never_refute_and_impossible_ones_always_do():
    assert not fails_too_often(0, 100, 0.0)
    assert fails_too_often(1, 100, 0.0)
    assert fails_too_often(100, 100, 0.5)
    assert not fails_too_often(100, 100, 1.0)
