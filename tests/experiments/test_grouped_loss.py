"""The loss against G as an experiment: it trains, repeats, and says what it cannot do."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments.grouped_loss import GroupedLoss


def made(groups, form="w23"):
    return GroupedLoss(groups, form, 1, 16, 3_200, 0.01, 0, batch=4, context=16, text="pydoc", windows=32)


@pytest.mark.parametrize(("groups", "form"), [(1, "w23"), (8, "w23"), (4, "rounded")])
def test_networks_with_groups_learn(groups, form, tmp_path):
    row = made(groups, form).run(tmp_path / "key").iloc[0]
    assert row["steps"] == 50
    assert not row["diverged"]
    assert row["curve"][0] < np.log(90)  # less than the loss of guessing among the characters of the text, on average
    assert np.isfinite(row["loss"])
    assert not list(tmp_path.iterdir())


def test_settings_are_told_apart_and_mistakes_told():
    assert len({made(groups).key for groups in (1, 2, 4, 8)}) == 4
    assert made(2).label == "1x16, 2 groups"
    assert made(2).layer_form.groups == 2
    with pytest.raises(InputError, match="3 groups do not divide 16 inputs"):
        made(3)
    with pytest.raises(InputError, match="did you mean 'w23'"):
        made(2, "w24")
