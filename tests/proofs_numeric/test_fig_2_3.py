"""The rules on D25's Fig. 2 and 3 on losses that are known."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntk1bit.data.cubes_and_curves import CURVES, curve_data
from proofs_numeric import fig_2_3
from proofs_numeric.data import Data
from tests.proofs_numeric.values import value


def curves(left, *, ratio=1.2, stays=(), diverged=False):
    """The largest networks end at `left` of the variance in full precision, times `ratio` in 1-bit."""
    rng = np.random.default_rng(0)
    rows = []
    for task, size, seed, epoch in itertools.product(CURVES, (2410, 204_100), range(5), (0, 25, 50)):
        variance = curve_data(task, n_train=100, n_test=100, seed=0).y_test.var()
        row = {"task": task, "N": size, "seed": seed, "epoch": epoch, "n_train": 100, "n_test": 100, "data_seed": 0}
        row |= {"diverged": diverged and seed == 0, "apart_train": 0.1, "apart_test": 0.1}
        for precision, points in itertools.product(("one_bit", "full"), ("train", "test")):
            share = (left if size > 10_000 else 0.9) * (ratio if precision == "one_bit" else 1.0)
            end = share * (1 + 0.02 * rng.standard_normal())
            start = end / 0.9 if (precision, points) in stays else 2.0
            row[fig_2_3.column(precision, points)] = variance * (end if epoch == 50 else start)
        rows.append(row)
    return Data(Path("nowhere"), frames={"curves": pd.DataFrame(rows)})


def test_networks_that_fit_and_fall_support_both():
    data = curves(0.02)
    assert fig_2_3.FIT.judge(found := fig_2_3.fit_evidence(data)).outcome == "supported"
    assert value(found, f"left.one_bit.{CURVES[0]}") == pytest.approx(0.024, rel=0.03)  # 2 % of noise, five seeds
    assert fig_2_3.EPOCHS.judge(fig_2_3.epochs_evidence(data)).outcome == "supported"


def test_networks_that_do_not_fit_stay_or_part_refute():
    assert fig_2_3.FIT.judge(fig_2_3.fit_evidence(curves(0.3))).outcome == "refuted"
    stays = fig_2_3.EPOCHS.judge(fig_2_3.epochs_evidence(curves(0.02, stays={("one_bit", "test")})))
    assert [one.measure for one in stays.findings if one.outcome == "refuted"] == ["fall.one_bit.test"]
    apart = fig_2_3.EPOCHS.judge(fig_2_3.epochs_evidence(curves(0.02, ratio=3.0)))
    assert [one.measure for one in apart.findings if one.outcome == "refuted"] == ["ratio.test"]


def test_one_network_that_diverged_leaves_nothing_to_judge_by():
    data = curves(0.02, diverged=True)
    assert fig_2_3.FIT.judge(fig_2_3.fit_evidence(data)).outcome == "inconclusive"
    assert fig_2_3.EPOCHS.judge(fig_2_3.epochs_evidence(data)).outcome == "inconclusive"
