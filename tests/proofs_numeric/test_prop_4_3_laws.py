"""The rules on Proposition 4.3's branch and power laws, on losses that follow or break them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from proofs_numeric import prop_4_3_laws as laws
from proofs_numeric.data import Data
from tests.proofs_numeric.values import value


def decaying(*, pace=1.6, in_size=0.0, in_n=0.0, in_lambda=1.0):
    """Networks whose log loss falls by pace eta lambda^in_lambda N^in_size n^in_n a step."""
    rng = np.random.default_rng(0)
    base = {"angle": 0.8, "n_train": 8, "width": 512}
    axes = {"angle": (0.1, 0.4, 0.8, 1.5), "n_train": (2, 8, 32), "width": (64, 256, 512)}
    settings = {tuple((base | {x: value}).items()) for x, values in axes.items() for value in values}
    rows = []
    for setting, seed in itertools.product(sorted(settings), range(6)):
        one = dict(setting)
        lowest = 0.3 * one["angle"]
        fall = pace * 0.1 * lowest**in_lambda * (one["width"] / 512) ** in_size * (one["n_train"] / 8) ** in_n
        tenth = math.log(10) / fall * (1 + 0.01 * rng.standard_normal())
        rows.append(one | {"dim": 32, "seed": seed, "lambda_min": lowest, "learning_rate": 0.1, "tenth": tenth})
    return Data(Path("nowhere"), frames={"pairs-decay": pd.DataFrame(rows)})


def refuted(claim, found):
    return [one.measure for one in claim.judge(found).findings if one.outcome == "refuted"]


def test_a_pace_that_knows_neither_size_nor_points_refutes_the_printed_branch_alone():
    found = laws.decay_evidence(decaying())
    assert laws.DECAY.judge(found).outcome == "supported"
    assert refuted(laws.BRANCH, found) == ["pace.size", "pace.n"]
    assert value(found, "pace.lowest") == pytest.approx(1.6, rel=0.03)  # 1 % of noise, the lowest of four


def test_a_pace_that_grows_with_both_refutes_the_other_reading():
    found = laws.decay_evidence(decaying(in_size=1.0, in_n=1.0))
    assert laws.BRANCH.judge(found).outcome == "supported"
    assert refuted(laws.DECAY, found) == ["pace.size", "pace.n"]


def test_a_slow_pace_and_another_power_of_lambda_refute_it():
    assert refuted(laws.DECAY, laws.decay_evidence(decaying(pace=0.8))) == ["pace.lowest"]
    assert refuted(laws.DECAY, laws.decay_evidence(decaying(in_lambda=1.5)))[-1] == "rate.lambda"


def sweep(loss, *, widths=(64,), points=(32,), steps=120, tasks=laws._TASKS):
    """Loss curves loss(m, n, t), within 1 %."""
    rng = np.random.default_rng(0)
    frames = []
    for task, width, n, seed in itertools.product(tasks, widths, points, range(6)):
        step = np.arange(steps + 1)
        about = {"task": task, "dim": 32, "n_train": n, "width": width, "precision": "one_bit", "init": "iid"}
        about |= {"scale": "std", "kappa": 1.0, "seed": seed, "eta": 0.5, "eta_rel": 0.5, "diverged": False}
        curve = pd.DataFrame({"step": step, "loss": loss(width, n, step) * (1 + 0.01 * rng.standard_normal())})
        frames.append(curve.assign(key=f"{task} {width} {n} {seed}", **about))
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize(
    ("bend", "outcome"), [(0.0, "supported"), (0.03, "supported"), (0.1, "refuted"), (-0.1, "refuted")]
)
def test_a_law_in_the_points_may_bend_a_little(bend, outcome):
    def loss(width, n, step):
        away = np.log(n / 32)
        return np.exp(2 * away + bend * away**2) * np.ones(len(step))

    frame = sweep(loss, points=(8, 16, 32, 64, 128, 256), steps=10)
    found = laws.data_evidence(Data(Path("nowhere"), frames={"loss-points": frame}))
    assert laws.DATA.judge(found).outcome == outcome
    assert value(found, "curvature.digits") == pytest.approx(bend, abs=0.01)


@pytest.mark.parametrize(("loss", "outcome"), [
    (lambda m, n, t: 1.0 / (m * (t + 1.0)) , "supported"),
    (lambda m, n, t: np.exp(-0.05 * t) + 0 * m, "refuted"),
    (lambda m, n, t: np.ones(len(t)), "refuted"),
])  # fmt: skip
def test_a_frontier_that_bends_or_does_not_fall_is_no_power_law(loss, outcome):
    frame = sweep(loss, widths=(64, 256, 1024, 4096), steps=400)
    found = laws.compute_evidence(Data(Path("nowhere"), frames={"loss-widths": frame}))
    assert laws.COMPUTE.judge(found).outcome == outcome


def test_the_curvature_of_a_parabola_is_its_coefficient():
    x = np.geomspace(1, 100, 9)
    assert laws.curvature(np.stack([x, 3 * x**-0.7 * np.exp(0.04 * np.log(x) ** 2)], axis=1)) == pytest.approx(0.04)
