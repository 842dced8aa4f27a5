"""The rule of I.6 on draws that are a known part of the bounds."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.claims import Count
from proofs_numeric import lemma_i6
from tests.proofs_numeric.planted import WIDTHS, drawn, outcomes, stored
from tests.proofs_numeric.values import failures, value

DIMS, DRAWS = (8, 32, 128), 80
COLUMNS = ("largest_weight", "largest_mean", "largest_std", "largest_norm")


def bounds(frame, column):
    """sqrt(2 log(m d/delta)), and sqrt(d) times that for a norm."""
    bound = np.sqrt(2 * np.log(frame["width"] * frame["dim"] / 0.05))
    return bound * np.sqrt(frame["dim"]) if column == "largest_norm" else bound


def draws(share=0.6, *, beyond="", count=0, at=(32, 1024), n_train=64):
    """All four are a share of their bounds; `count` draws at one setting (d, m) are 1 % beyond one of them."""
    frame = drawn(DIMS, DRAWS, **{name: (lambda frame, name=name: share * bounds(frame, name)) for name in COLUMNS})
    if beyond:
        there = (frame["dim"] == at[0]) & (frame["width"] == at[1]) & (frame["n_train"] == n_train)
        high = frame.index[there & (frame["seed"] < count)]
        frame.loc[high, beyond] = 1.01 * bounds(frame, beyond)[high]
    return lemma_i6.evidence(stored({"start": frame}))


def outcome(found):
    return outcomes(lemma_i6.CLAIM, found)["outside"]


def test_draws_within_all_bounds_support_the_lemma():
    found = draws(0.99)
    assert outcome(found) == "supported"
    assert failures(found, "outside") == (0, DRAWS * len(DIMS) * len(WIDTHS))
    assert value(found, "weight.largest") == pytest.approx(0.99)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize(("count", "expected"), [(1, "inconclusive"), (24, "refuted")])
def test_too_many_draws_beyond_one_of_them_at_one_setting_refute_it(column, count, expected):
    # 24 of 80 lie above 0.05 in any test; of one in 80, the rate may be 0.067
    found = draws(beyond=column, count=count)
    assert outcome(found) == expected
    assert failures(found, "outside")[0] == count
    one = found.get("outside")
    assert isinstance(one, Count)
    assert sorted(one.settings) == [(0, DRAWS)] * (len(DIMS) * len(WIDTHS) - 1) + [(count, DRAWS)]


def test_draws_for_other_numbers_of_points_are_the_same_draws_and_count_once():
    assert failures(draws(beyond="largest_std", count=DRAWS, n_train=16), "outside")[0] == 0


def test_the_largest_weight_is_that_of_the_worst_setting():
    found = draws(beyond="largest_weight", count=DRAWS // 2, at=(8, 64))
    assert value(found, "weight.largest") == pytest.approx((1.01 + 0.6) / 2)
    table = found.tables["largest weight over bound"].set_index(["dim", "width"])["ratio"]
    assert table.loc[8, 64] == pytest.approx((1.01 + 0.6) / 2)
    assert table.drop((8, 64)).to_numpy() == pytest.approx(0.6)
