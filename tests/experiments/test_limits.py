"""Experiments under a limit of memory: the same results and keys, or a refusal in one line."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments import StepNoise, TwoLayer
from ntk1bit.experiments.limits import current_limit, memory_limit

ONE = TwoLayer(
    task="sphere-linear",
    dim=6,
    n_train=12,
    n_test=5,
    data_seed=0,
    width=4100,
    precision="one_bit",
    init="paired",
    scale="std",
    kappa=0.5,
    eta_rel=0.5,
    steps=6,
    checkpoints=4,
    seed=1,
)


def smallest(one: TwoLayer) -> int:
    """Return the least limit, by bisection: what `memory_within` refuses and allows."""
    low, high = 1, one.memory
    while low < high:
        middle = (low + high) // 2
        try:
            one.memory_within(middle)
            high = middle
        except InputError:
            low = middle + 1
    return low


def test_a_limit_is_in_force_inside_its_block():
    assert current_limit() is None
    with memory_limit(10**9):
        assert current_limit() == 10**9
        with memory_limit(None):
            assert current_limit() is None
        assert current_limit() == 10**9
    assert current_limit() is None
    for limit in (0, -1):
        with pytest.raises(InputError, match="a whole number of bytes"), memory_limit(limit):
            pass


@pytest.mark.parametrize("precision", ["one_bit", "full"])
@pytest.mark.parametrize("init", ["iid", "paired"])
def test_results_are_the_same_under_a_limit(precision, init, tmp_path):
    one = replace(ONE, precision=precision, init=init)
    (tmp_path / "cells").mkdir()
    expected = one.run(tmp_path / "cells" / one.key)
    for limit in (smallest(one), (smallest(one) + one.memory) // 2, one.memory):
        with memory_limit(limit):
            pd.testing.assert_frame_equal(one.run(tmp_path / "cells" / one.key), expected, check_exact=True)
    assert list((tmp_path / "cells").iterdir()) == []


def test_predictions_are_the_same_under_a_limit(tmp_path):
    one = replace(ONE, predictions=True, precision="full")  # in 1-bit precision K_eff takes seconds, apart from W
    expected = one.run(tmp_path / one.key)
    with memory_limit(smallest(one)):
        pd.testing.assert_frame_equal(one.run(tmp_path / one.key), expected, check_exact=True)


def test_what_is_predicted_keeps_to_the_limit():
    assert ONE.memory_within(None) == ONE.memory_within(ONE.memory) == ONE.memory_within(10**12) == ONE.memory
    least = smallest(ONE)
    assert least < ONE.memory
    for limit in range(least, ONE.memory, 10_000):
        assert ONE.memory_within(limit) <= limit
    wide = replace(ONE, width=2**20, dim=64, n_train=256, n_test=128, predictions=True)
    assert wide.memory_within(500_000_000) < 200e6 < 500e6 < wide.memory


def test_a_limit_that_cannot_be_kept_is_refused_in_one_line(tmp_path):
    terms = replace(ONE, terms=True)
    cases = [
        (ONE, smallest(ONE) - 1, r"width 4100 with 12 training points takes at least \d+ MB of memory, and the limit"),
        (terms, terms.memory - 1, "the terms of a step need all weights in memory"),
    ]
    for one, limit, message in cases:
        with pytest.raises(InputError, match=message) as told:
            one.memory_within(limit)
        assert "\n" not in str(told.value)
        with memory_limit(limit), pytest.raises(InputError, match=message):
            one.run(tmp_path / one.key)
    assert terms.memory_within(terms.memory) == terms.memory


def test_other_kinds_take_what_they_take():
    one = StepNoise(width=64, dim=4, networks=2, seed=0)
    assert one.memory_within(1) == one.memory
