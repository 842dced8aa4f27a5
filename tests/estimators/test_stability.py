from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.estimators.stability import best_rate, first_lost, stability_table
from ntk1bit.experiments import ExperimentList, open_run
from ntk1bit.experiments.at_start import LimitsInDim
from ntk1bit.experiments.store import Store

from ..stability_runs import MOST, SMALL, store_run

RATES = [SMALL.rate_at(k) for k in range(-2, 5)]


def made(losses: dict[tuple[str, str, int], list[float]]) -> pd.DataFrame:
    """A table of the first rates, with these training losses; those of a model of counts or more are lost."""
    rows = [
        {"arm": arm, "size": size, "seed": seed, "rate": rate, "train_loss": loss, "lost": not loss < MOST}
        for (arm, size, seed), values in losses.items()
        for rate, loss in zip(RATES, values, strict=False)
    ]
    return pd.DataFrame(rows)


def test_the_table_has_every_trained_network_once(tmp_path):
    def loss(arm, size, seed, rate):
        if rate >= 0.002 * (1 + (arm == "bitnet")):
            return math.nan if seed else MOST
        return 1.0 + rate

    spec = replace(SMALL, arms=("bitnet", "full"))
    store_run(tmp_path / "run", spec, loss, also={"int8-absmax": 7.0})  # what is made of `full` after training
    table = stability_table(open_run(tmp_path / "run"))
    assert list(table.columns) == ["arm", "size", "parameters", "seed", "rate", "loss", "train_loss", "lost"]
    ordered = [
        (arm, size, seed, rate)
        for arm, count in (("bitnet", 5), ("full", 4))
        for size in ("1x8", "1x12")
        for seed in (0, 1)
        for rate in RATES[:count]
    ]
    assert [tuple(row) for row in table[["arm", "size", "seed", "rate"]].to_numpy()] == ordered
    np.testing.assert_array_equal(table["lost"], table["rate"] >= np.where(table["arm"] == "bitnet", 0.004, 0.002))
    np.testing.assert_array_equal(table["train_loss"], [loss(*row) for row in ordered])
    np.testing.assert_array_equal(table["loss"], table["train_loss"] + 0.5)
    assert set(table.loc[table["size"] == "1x12", "parameters"]) == {12 * 12**2}
    first = first_lost(table)
    assert list(first["rate"]) == [0.004] * 4 + [0.002] * 4
    assert not np.any(first["censored"].to_numpy())


def test_another_or_an_unfinished_run_is_refused(tmp_path):
    Store(tmp_path / "other").open(ExperimentList((LimitsInDim(dim=2, scale="std", samples=10),)))
    with pytest.raises(InputError, match=r"has settings \[experiments\]; give a run of settings \[stability\]"):
        stability_table(open_run(tmp_path / "other"))
    Store(tmp_path / "begun").open(SMALL)
    with pytest.raises(InputError, match="is not finished"):
        stability_table(open_run(tmp_path / "begun"))


def test_first_lost_is_the_rate_from_which_on():
    nan, inf = math.nan, math.inf
    table = made(
        {
            ("full", "1x8", 0): [1, 1, 1, MOST, MOST],
            ("full", "1x8", 1): [1, nan, 1, 1, inf],  # an early loss that a larger rate does not have
            ("bitnet", "1x8", 0): [1, 1, 1, 1, 1, 1, 1],
            ("bitnet", "1x8", 1): [MOST] * 7,
            ("bitnet", "1x12", 0): [1, 1, 1, MOST, MOST, MOST, 1],  # lost, but not at the largest
        }
    )
    first = first_lost(table.sample(frac=1, random_state=0)).set_index(["arm", "size", "seed"])
    expected = {
        ("full", "1x8", 0): (RATES[3], False),
        ("full", "1x8", 1): (RATES[4], False),
        ("bitnet", "1x8", 0): (RATES[6], True),
        ("bitnet", "1x8", 1): (RATES[0], False),
        ("bitnet", "1x12", 0): (RATES[6], True),
    }
    assert {key: tuple(row) for key, row in zip(first.index, first.to_numpy(), strict=True)} == expected
    assert list(first_lost(table.iloc[:0]).columns) == ["arm", "size", "seed", "rate", "censored"]


def test_the_best_rate_has_the_least_mean_over_seeds():
    table = made(
        {
            ("full", "1x8", 0): [2.0, 1.8, 1.5, 1.0, 0.5],
            ("full", "1x8", 1): [2.0, 1.8, 1.6, 1.9, MOST],
            ("bitnet", "1x8", 0): [math.nan, MOST, math.inf],
            ("bitnet", "1x12", 0): [2.0, 1.0, 1.0],
        }
    )
    assert best_rate(table, "full", "1x8") == RATES[3]  # 1.45; a rate at which one seed is lost is not the best
    assert best_rate(table, "bitnet", "1x8") == RATES[0]  # all are lost
    assert best_rate(table, "bitnet", "1x12") == RATES[1]
    with pytest.raises(InputError, match="arm"):
        best_rate(table, "elastic", "1x8")
    with pytest.raises(InputError, match="size"):
        best_rate(table, "full", "1x12")
