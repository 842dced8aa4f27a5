"""The rules of C1-H and C1-K on distances to both predictions that fall by known exponents."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit import kernels
from ntk1bit.data import tasks
from proofs_numeric import c1_dynamics
from tests.proofs_numeric.planted import (
    SEEDS,
    Law,
    context,
    narrow_off,
    networks,
    outcomes,
    power,
    slope_error,
    stored,
    sweep,
    where,
)
from tests.proofs_numeric.values import value

WIDTHS = (64, 128, 256, 512, 1024, 2048)
FOUR, NOISE, SAMPLES, ETA = WIDTHS[-4:], 0.02, 2000, 0.02
LEVELS = np.array([1.0, 0.8, 0.5, 0.3, 0.05, 0.04])
SHAPE = np.array([50.0, 0.5, 1.0, 1.5, 80.0, 90.0])  # of a distance over steps: 1 on average while L > L(0)/10


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch):
    """Kernels that are drawn beside curves, and decide nothing, of few neurons."""
    monkeypatch.setattr(c1_dynamics, "_SAMPLES", SAMPLES)


FLIP_NOISE = power(-0.25, size=0.1)
IN_FULL = power(-0.4)


def followed(to_h: Law = 1.0, to_k: Law = FLIP_NOISE, full: Law = IN_FULL):
    """Digits at 16 points; from an iid start distances do not fall, and nothing is recorded at odd steps."""

    def distance(law, other):
        def values(frame):
            away = where(other, law, precision="full")(frame) * np.exp(NOISE * frame["noise"])
            return np.where(frame["init"] == "iid", 1.0, away) * SHAPE[frame["step"] // 2]

        return values

    of = pd.concat([networks(width=WIDTHS, init="iid", seed=0), networks(width=WIDTHS)], ignore_index=True)
    frame = sweep(
        of.assign(eta=ETA),
        lambda f: where(2.0, 3.0, precision="full")(f) * LEVELS[f["step"] // 2] * np.exp(0.01 * f["noise"]),
        steps=10,
        every=2,
        from_h=distance(to_h, full),
        from_k_eff=distance(to_k, np.nan),
    )
    return stored({"digits": frame})


def usual():
    """Both evidences of a distance to H that stays, and one to K_eff that falls as m^-1/4."""
    data = followed()
    return c1_dynamics.evidence_h(data), c1_dynamics.evidence_k(data)


def test_a_distance_to_h_that_stays_refutes_it_and_one_to_k_eff_that_falls_supports_ours():
    h, k = usual()
    assert outcomes(c1_dynamics.CLAIM_H, h) == {"from_h.m.widest": "refuted"}
    assert context(c1_dynamics.CLAIM_H, h) == {"from_h.m.full": "supported"}
    assert set(outcomes(c1_dynamics.CLAIM_K, k).values()) == {"supported"}
    assert context(c1_dynamics.CLAIM_K, k) == {"from_k.m": "supported"}
    four, all_of_them = (3 * slope_error(widths, len(SEEDS), NOISE) for widths in (FOUR, WIDTHS))
    assert value(h, "from_h.m.widest") == pytest.approx(0.0, abs=four)
    assert value(h, "from_h.m.full") == pytest.approx(-0.4, abs=all_of_them)
    assert value(k, "from_k.m.widest") == pytest.approx(-0.25, abs=four)
    assert value(k, "from_k.m") == pytest.approx(-0.25, abs=all_of_them)
    at_widest = 0.1 * (2048 / 64) ** -0.25
    close = 3 * NOISE / len(SEEDS) ** 0.5
    assert value(h, "from_h.widest") == pytest.approx(1.0, rel=close)
    assert value(k, "from_k.widest") == pytest.approx(at_widest, rel=close)
    assert value(k, "from_h_over_k.widest") == pytest.approx(1 / at_widest)  # both distances have their noise in common


@pytest.mark.parametrize(("exponent", "shift", "outcome"), [(-0.3, 0.2, "supported"), (-0.1, -0.2, "refuted")])
def test_it_is_the_four_widest_widths_that_count(exponent, shift, outcome):
    law = narrow_off(exponent, shift)
    data = followed(law, law)
    h, k = c1_dynamics.evidence_h(data), c1_dynamics.evidence_k(data)
    assert outcomes(c1_dynamics.CLAIM_H, h)["from_h.m.widest"] == outcome
    assert outcomes(c1_dynamics.CLAIM_K, k)["from_k.m.widest"] == outcome
    error = 3 * slope_error(FOUR, len(SEEDS), NOISE)
    assert value(h, "from_h.m.widest") == pytest.approx(exponent, abs=error)
    assert value(k, "from_k.m.widest") == pytest.approx(exponent, abs=error)
    assert value(k, "from_k.m") == pytest.approx(exponent + shift, abs=error)
    for found, measure in ((h, "from_h.widest"), (k, "from_k.widest")):
        assert value(found, measure) == pytest.approx(32**exponent, rel=3 * NOISE / len(SEEDS) ** 0.5)


def test_a_kernel_that_is_not_closer_refutes_ours():
    found = c1_dynamics.evidence_k(followed(to_h=power(-0.25, size=0.1), to_k=power(-0.25, size=0.2)))
    assert outcomes(c1_dynamics.CLAIM_K, found) == {"from_k.m.widest": "supported", "from_h_over_k.widest": "refuted"}
    assert value(found, "from_h_over_k.widest") == pytest.approx(0.5)


def test_the_curves_are_those_of_the_widest_paired_networks():
    data = followed()
    curves = c1_dynamics.evidence_h(data).tables["curves"].set_index(["precision", "step"])
    assert sorted(set(curves.index.get_level_values("step"))) == [0, 2, 4, 6, 8, 10]
    frame = data.frame("digits")
    last = frame.loc[(frame["width"] == 2048) & (frame["init"] == "paired") & (frame["precision"] == "one_bit")]
    seen = last.loc[last["step"] == 4, "loss"]
    row = curves.loc[("one_bit", 4)]
    assert (row["loss"], row["loss_low"], row["loss_high"]) == pytest.approx((seen.mean(), seen.min(), seen.max()))
    close = 3 * NOISE / len(SEEDS) ** 0.5
    assert row["from_h"] == pytest.approx(SHAPE[2], rel=close)
    assert row["from_k_eff"] == pytest.approx(SHAPE[2] * 0.1 * 32**-0.25, rel=close)


def test_the_predictions_beside_the_curves_are_descent_with_the_limits_of_both_kernels():
    found = c1_dynamics.evidence_k(followed()).tables["convergence"].set_index("step")
    task = tasks.load("digits", n_train=16, n_test=4, seed=0)
    y = task.y.astype(np.float64)
    for column, kernel in (
        ("loss_h", kernels.limit_ntk(task.x, samples=SAMPLES).value),
        ("loss_k_eff", kernels.effective_ntk(task.x, samples=SAMPLES).value),
    ):
        for step in (0, 4, 10):
            residual = np.linalg.matrix_power(np.eye(16) - ETA * kernel, step) @ y
            assert found.loc[step, column] == pytest.approx(residual @ residual / 2)
    assert (found["loss_h"] < found["loss_k_eff"]).iloc[1:].all()  # K_eff is slower
    close = 3 * 0.01 / len(SEEDS) ** 0.5
    assert found["loss"].to_numpy() == pytest.approx(3 * LEVELS, rel=close)
    assert found["full_loss"].to_numpy() == pytest.approx(2 * LEVELS, rel=close)


LATE_WIDTHS = (1024, 4096, 16384, 65536)


def late(monkeypatch, excess, *, of_k_eff=0.02):
    """The evidence on mid-training where losses are above K_eff's by this law, and K_eff's depends on the rate."""
    monkeypatch.setattr(
        c1_dynamics, "_descent", lambda _: lambda eta, steps: of_k_eff * eta / 0.1 + 0.0 * np.array(steps)
    )
    of = networks(width=LATE_WIDTHS, precision="one_bit", task="sphere-random", dim=16, seed=tuple(range(8)))
    of["eta"] = 0.1 * (1 + 0.05 * of["seed"])  # of each network its own

    def loss(frame):
        there = of_k_eff * frame["eta"] / 0.1 + excess(frame) * np.exp(0.02 * frame["noise"])
        return np.where((frame["step"] > 80) & (frame["step"] < 121), there, 7.0)  # no other step is looked at

    return c1_dynamics.evidence_late(stored({"mid-training": sweep(of, loss, steps=122, every=40)}))


def test_an_excess_that_vanishes_supports_later_training(monkeypatch):
    found = late(monkeypatch, lambda f: 0.01 * (f["width"] / 1024) ** -0.5)
    assert outcomes(c1_dynamics.CLAIM_LATE, found) == {"excess.m.widest": "supported", "over_k.widest": "supported"}
    error = 3 * slope_error(LATE_WIDTHS, 8, 0.02)
    assert value(found, "excess.m.widest") == pytest.approx(-0.5, abs=error)


@pytest.mark.parametrize("exponent", [0.0, 0.1])
def test_an_excess_that_stays_refutes_it(monkeypatch, exponent):
    found = late(monkeypatch, lambda f: 0.2 * (f["width"] / 1024) ** exponent)
    assert outcomes(c1_dynamics.CLAIM_LATE, found) == {"excess.m.widest": "refuted", "over_k.widest": "refuted"}
    size = 0.2 * 64**exponent
    rates = 1 + 0.05 * np.arange(8)
    expected = np.mean(1 + size / (0.02 * rates))  # of each network with its own rate
    # 2 % of noise and 16 % of spread between rates, over eight seeds
    assert value(found, "over_k.widest") == pytest.approx(expected, rel=3 * 0.02 / 8**0.5)


def test_a_small_excess_that_stays_leaves_the_loss_close(monkeypatch):
    found = late(monkeypatch, lambda f: 0.01 + 0.0 * f["width"])
    assert outcomes(c1_dynamics.CLAIM_LATE, found) == {"excess.m.widest": "refuted", "over_k.widest": "supported"}


def test_the_loss_of_k_effs_descent_is_that_of_its_linear_recursion():
    """0.5 |(I - eta K)^t y|^2, K by the same draws; float64."""
    frame = networks(width=64, precision="one_bit", task="sphere-random", dim=5, n_train=4, n_test=1, seed=(0,))
    found = c1_dynamics._descent(frame)(0.3, [0, 3, 10])
    task = tasks.load("sphere-random", n_train=4, n_test=1, seed=0, dim=5)
    kernel = kernels.effective_ntk(task.x, samples=c1_dynamics._SAMPLES).value
    once = np.eye(4) - 0.3 * kernel
    expected = [0.5 * np.sum((np.linalg.matrix_power(once, t) @ task.y.astype(np.float64)) ** 2) for t in (0, 3, 10)]
    assert found == pytest.approx(expected, rel=1e-6)
