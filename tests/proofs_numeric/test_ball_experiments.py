from __future__ import annotations

import pandas as pd
import pytest

from proofs_numeric.ball_experiments import KERNELS, STEPS, WEIGHTS, ball_experiments, count_failures, lowest, median
from proofs_numeric.studies import PRESETS


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_all_studies_without_a_repetition(preset):
    found = ball_experiments(preset)
    assert list(found) == [WEIGHTS, KERNELS, STEPS]
    keys = [one.key for _, experiments in found.values() for one in experiments]
    assert len(keys) == len(set(keys)) > 6


def test_the_cited_preset_is_cheap_and_has_draws_for_a_rate_of_one_in_twenty():
    experiments = [one for _, some in ball_experiments("standard").values() for one in some]
    assert sum(one.cost for one in experiments) < 600
    assert min(one.as_dict()["draws"] for one in experiments) >= 72  # fewer cannot support it, even without a failure


def test_failures_are_counted_by_setting():
    frame = pd.DataFrame({"d": [8, 8, 32, 32, 32], "bad": [True, False, False, True, True]})
    count = count_failures("c", "bad ones", frame, "bad", ["d"], "d = 8..32", "s")
    assert (count.failures, count.trials, count.settings) == (3, 5, ((1, 2), (2, 3)))
    assert median([3, 1, 2]) == 2
    assert lowest([3, 1, 2]) == 1
