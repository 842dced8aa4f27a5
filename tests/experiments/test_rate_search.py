from __future__ import annotations

import math

import pandas as pd
import pytest

from ntk1bit.experiments.rate_search import RateSearch, at_best_rate, best_of, log_mean


@pytest.mark.parametrize(("best", "rounds", "expected"), [(0, 3, 0), (2, 3, 2), (-3, 3, -3), (5, 2, 3), (1, 0, 1)])
def test_the_search_walks_to_the_best_rate_as_far_as_it_may(best, rounds, expected):
    search = RateSearch(0.01, 2.0)
    for _ in range(rounds + 1):
        for e in search.untried:
            assert e not in search.losses
            search.losses[e] = float(abs(e - best))
    assert search.best == pytest.approx(0.01 * 2.0**expected)


def test_a_diverged_rate_is_never_the_best():
    search = RateSearch(0.004, 2.0)
    for _ in range(3):
        for e in search.untried:
            search.losses[e] = math.nan if search.value(e) > 0.003 else 1.0 + search.value(e)
    assert search.best == pytest.approx(0.004 / 8)  # ever smaller, and as far as two rounds go
    assert best_of({1.0: math.nan, 2.0: math.inf, 3.0: 9.0}) == 3.0
    assert best_of({1.0: math.nan, 2.0: math.inf}) == 1.0
    assert best_of({2.0: 1.0, 1.0: 1.0}) == 1.0


def test_rates_have_six_digits():
    assert RateSearch(0.1, 3.0).value(-1) == 0.0333333


def test_networks_at_the_best_rate_of_their_setting_are_kept():
    rows = [
        {"depth": 3, "precision": precision, "parameters": 64, "rate": rate, "least_loss": loss, "diverged_at": at}
        for precision, rate, loss, at in (
            ("one_bit", 0.1, 1e-3, -1),
            ("one_bit", 0.1, 1e-9, 7),  # the least of all, but this network diverged
            ("one_bit", 0.2, 1e-2, -1),
            ("one_bit", 0.2, 1e-2, -1),
            ("full", 0.1, 0.0, -1),
            ("full", 0.2, 1e-20, -1),
        )
    ]
    kept = at_best_rate(pd.DataFrame(rows))
    assert sorted(zip(kept["precision"], kept["rate"], strict=True)) == [
        ("full", 0.1), ("one_bit", 0.2), ("one_bit", 0.2),
    ]  # fmt: skip
    assert log_mean(pd.DataFrame(rows[2:4])) == pytest.approx(math.log(1e-2))
    assert log_mean(pd.DataFrame(rows[4:5])) == -math.inf
