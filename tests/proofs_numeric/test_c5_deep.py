"""The rules of C5 on made-up losses: each must be able to come out either way."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntk1bit.claims import Count, IntervalEstimate, Number, Verdict
from ntk1bit.data.cubes_and_curves import CUBES, CURVES, GRID
from ntk1bit.estimators.deep import ROUNDING
from proofs_numeric import c5_deep
from proofs_numeric.data import Data

SIZES = tuple(2**power for power in range(12, 18))
CURVE_SIZES = (2410, 21_792, 204_100)
Law = Callable[[int], float]


def losses(one_bit: Law, full: Law, *, noise: float = 0.1, seeds: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for task, depth, precision, size, seed in itertools.product(
        CUBES, (3, 5), ("one_bit", "full"), SIZES, range(seeds)
    ):
        law = one_bit if precision == "one_bit" else full
        value = law(size) * np.exp(noise * rng.standard_normal())
        row = {"task": task, "depth": depth, "precision": precision, "parameters": size, "seed": seed}
        rows.append(row | {"least_loss": value, "test_loss": 10 * value, "diverged_at": -1, "rate": 0.01})
    return pd.DataFrame(rows)


def apart(law: Law, *, noise: float = 0.1) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = []
    for task, size, seed, epoch in itertools.product(CURVES, CURVE_SIZES, range(5), (0, 1)):
        train, test = law(size) * np.exp(noise * rng.standard_normal(2))
        columns = dict.fromkeys(("loss_one_bit", "loss_full", "test_loss_one_bit", "test_loss_full"), 0.1)
        row = {"task": task, "N": size, "seed": seed, "epoch": epoch, "diverged": False}
        grid = np.zeros(GRID if epoch else 0)
        rows.append(row | columns | {"apart_train": train, "apart_test": test, "grid_one_bit": grid, "grid_full": grid})
    return pd.DataFrame(rows)


def data(deep: pd.DataFrame | None = None, curves: pd.DataFrame | None = None) -> Data:
    frames = {"deep-scaling": deep, "deep-similarity": curves}
    return Data(Path(), frames={name: frame for name, frame in frames.items() if frame is not None})


def judge(frame: pd.DataFrame) -> Verdict:
    return c5_deep.CLAIM.judge(c5_deep.evidence(data(frame)))


def judge_ratio(frame: pd.DataFrame) -> Verdict:
    return c5_deep.CLAIM_RATIO.judge(c5_deep.evidence_ratio(data(frame)))


def estimate(found: object) -> IntervalEstimate:
    assert isinstance(found, IntervalEstimate)
    return found


def test_a_floor_that_falls_supports_c5_and_its_exponent_is_found():
    frame = losses(lambda n: n**-0.8, lambda n: 1e-3 * n**-1.5)
    found = c5_deep.evidence(data(frame))
    one = estimate(found.get("loss.one_bit.size.depth5"))
    # 10 % noise, 6 functions x 5 seeds at each of 6 sizes over a factor 32: a standard error near 0.006
    assert one.value == pytest.approx(-0.8, abs=0.02)
    assert one.seeds == 5
    assert estimate(found.get("loss.full.size.depth3")).value == pytest.approx(-1.5, abs=0.02)
    above = found.get("above.depth3")
    assert isinstance(above, Count)
    assert (above.failures, above.trials) == (180, 180)
    verdict = c5_deep.CLAIM.judge(found)
    assert verdict.outcome == "supported"
    assert all(one.outcome == "supported" for one in verdict.context)


def test_a_level_or_rising_1_bit_loss_refutes_c5():
    assert judge(losses(lambda _: 1e-5, lambda _: 1e-13)).outcome == "refuted"
    assert judge(losses(lambda n: 1e-9 * n, lambda _: 1e-13)).outcome == "refuted"


def test_a_1_bit_loss_that_falls_while_full_precision_falls_behind_refutes_c5():
    # both fall, and 1-bit ends further away than it began
    frame = losses(lambda n: n**-0.2, lambda n: n**-0.2 - 3e-7 * n, noise=0.0)
    assert judge(frame).outcome == "refuted"


def test_few_seeds_or_much_noise_leave_c5_open():
    assert judge(losses(lambda n: n**-0.8, lambda _: 1e-13, seeds=3)).outcome == "inconclusive"
    assert judge(losses(lambda n: n**-0.1, lambda _: 1e-13, noise=0.5)).outcome == "inconclusive"


def test_the_ratio_is_judged_where_full_precision_is_above_rounding():
    approach = losses(lambda n: n**-1.0, lambda n: 0.01 * n**-0.5)
    assert judge_ratio(approach).outcome == "supported"
    assert judge_ratio(losses(lambda n: n**-0.5, lambda n: 1e-4 * n**-1.0)).outcome == "refuted"
    # at rounding everywhere: the ratio falls, which says nothing
    assert judge_ratio(losses(lambda n: n**-1.0, lambda _: 1e-14)).outcome == "inconclusive"
    # above rounding at four sizes, where the curves part; below it at the others, where the ratio falls again
    sizes = SIZES[:4]
    mixed = losses(lambda n: n**-1.0, lambda n: 1e3 * float(n) ** -3 if n in sizes else 1e-15)
    found = c5_deep.evidence_ratio(data(mixed))
    assert c5_deep.CLAIM_RATIO.judge(found).outcome == "refuted"
    left_out = found.get("rounding.depth3")
    assert isinstance(left_out, Number)
    assert left_out.value == 2
    table = found.tables["ratio against parameters"]
    assert table.loc[table["depth"] == 3, "at_rounding"].tolist() == [0, 0, 0, 0, 1, 1]
    assert ROUNDING == 1e-12


def test_similar_outputs_either_way():
    def verdict(law: Law) -> str:
        return c5_deep.CLAIM_SIMILAR.judge(c5_deep.evidence_similar(data(curves=apart(law)))).outcome

    assert verdict(lambda n: n**-0.25) == "supported"
    assert verdict(lambda _: 0.1) == "refuted"
    found = c5_deep.evidence_similar(data(curves=apart(lambda n: n**-0.25)))
    assert estimate(found.get("apart.size.test")).value == pytest.approx(-0.25, abs=0.03)
    assert estimate(found.get("apart.largest.train")).value == pytest.approx(204_100**-0.25, rel=0.1)
    assert len(found.tables["functions"]) == 3 * (GRID // 2 + 1)


def test_settings_at_which_a_network_diverged_are_left_out_and_told():
    frame = losses(lambda n: n**-0.8, lambda n: 1e-3 * n**-1.5)
    lost = (frame["parameters"] == SIZES[0]) & (frame["depth"] == 3) & (frame["seed"] == 0) & (frame["task"] == "f2")
    frame.loc[lost & (frame["precision"] == "full"), ["diverged_at", "least_loss"]] = [7, np.inf]
    found = c5_deep.evidence(data(frame))
    assert found.remarks == ("networks diverged at depth and parameters (3, 4096): left out",)
    table = found.tables["loss against parameters"]
    assert len(table) == 2 * 6 * 11
    assert c5_deep.CLAIM.judge(found).outcome == "supported"
    curves = apart(lambda n: n**-0.25)
    curves["diverged"] = (curves["N"] == CURVE_SIZES[0]) & (curves["seed"] == 1)
    found = c5_deep.evidence_similar(data(curves=curves))
    assert "2410" in found.remarks[0]
    assert c5_deep.CLAIM_SIMILAR.judge(found).outcome == "inconclusive"  # two sizes are too few for an exponent
