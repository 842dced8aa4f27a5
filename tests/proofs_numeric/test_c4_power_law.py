"""The rule of C4 on losses at the end of training that are a known power of m, straight or bent."""

from __future__ import annotations

import numpy as np
import pytest

from proofs_numeric import c4_power_law
from tests.proofs_numeric.planted import (
    BOTH,
    WIDTHS,
    Law,
    context,
    evaluate,
    networks,
    outcomes,
    power,
    settling,
    slope_error,
    stored,
    sweep,
    where,
)
from tests.proofs_numeric.values import value

SEEDS, POINTS, NOISE, STEPS = (0, 1, 2, 3, 4), (32, 64, 128, 256), 0.01, 120
IN_M = power(-1.0, size=0.05)


def bent(exponent, curvature):
    """The law whose logarithm is a parabola in ln m, with this slope in the middle of the widths."""

    def law(frame):
        x = np.log(frame["width"] / 512.0)
        return 0.02 * np.exp(exponent * x + curvature * x**2)

    return law


def ended(*, sphere: Law = IN_M, digits: Law = IN_M, tested=(-0.5, -0.3)):
    """Losses that settle at these levels; full precision far below; test losses by a power of n at the last step."""
    frames = {}
    for study, level in (("floor", sphere), ("floor-digits", digits)):
        noisy = where(1e-9, lambda f, level=level: evaluate(level, f) * np.exp(NOISE * f["noise"]), precision="full")
        frames[study] = sweep(networks(seed=SEEDS), settling(noisy), steps=STEPS)
    law = where(power(tested[0], "n_train", noise=NOISE), power(tested[1], "n_train", noise=NOISE), precision="one_bit")
    early = where(law, power(2.0, "n_train"), step=4)
    points = networks(width=1024, n_train=POINTS, seed=SEEDS)
    frames["points"] = sweep(points, 1.0, steps=5, every=2, test_loss=early)
    return c4_power_law.evidence(stored(frames))


def error_over(along):
    """Three standard errors of an exponent over five seeds with 1 % of noise, to which steps add a third as much."""
    return 3 * slope_error(along, len(SEEDS), np.hypot(NOISE, 0.01 / 12**0.5))


@pytest.mark.parametrize(("sphere", "digits", "tested"), [(-1.0, -1.0, (-0.5, -0.3)), (-1.3, -0.7, (0.4, 0.2))])
def test_exponents_are_those_of_each_data_set_and_precision(sphere, digits, tested):
    found = ended(sphere=power(sphere, size=0.05), digits=power(digits, size=0.05), tested=tested)
    judged, told = outcomes(c4_power_law.CLAIM, found), context(c4_power_law.CLAIM, found)
    for task, exponent in (("sphere", sphere), ("digits", digits)):
        assert value(found, f"loss.size.{task}") == pytest.approx(exponent, abs=error_over(WIDTHS))
        assert judged[f"loss.size.{task}"] == ("supported" if exponent == -1.0 else "refuted")
        assert judged[f"loss.size.{task}.curvature"] == "supported"
    # the same law by another fit, in N = m d at one d
    assert value(found, "loss.size.sphere.robust") == pytest.approx(sphere, abs=error_over(WIDTHS))
    band = found.tables["fit band"]
    assert (band["N"].min(), band["N"].max()) == pytest.approx((64 * 64, 4096 * 64))
    # test losses, at the last recorded step
    for precision, exponent in zip(BOTH, tested, strict=True):
        assert value(found, f"test_loss.n.{precision}") == pytest.approx(exponent, abs=error_over(POINTS))
        assert told[f"test_loss.n.{precision}"] == ("supported" if exponent < 0 else "refuted")


@pytest.mark.parametrize(("task", "curvature"), [("sphere", 0.1), ("digits", -0.1)])
def test_a_law_that_bends_refutes_it_on_its_data_set(task, curvature):
    found = ended(**{task: bent(-1.0, curvature)})
    judged = outcomes(c4_power_law.CLAIM, found)
    for one in ("sphere", "digits"):
        assert judged[f"loss.size.{one}.curvature"] == ("refuted" if one == task else "supported")
    # a parabola over four widths has a coefficient whose error, in units of ln 4, is half of a mean's
    error = 3 * np.hypot(NOISE, 0.01 / 12**0.5) / len(SEEDS) ** 0.5 / 2 / np.log(4) ** 2
    assert value(found, f"loss.size.{task}.curvature") == pytest.approx(curvature, abs=error)


def test_the_frontier_is_the_least_loss_of_any_width_within_a_budget():
    of = networks(precision="one_bit", seed=(0, 1), width=(64, 256), dim=2, n_train=5)

    def loss(width, step):
        """64/(m t), and at every third step a jump up; what was reached before counts."""
        return 64 / (width * (step + 1.0)) * np.where(step % 3 == 2, 5.0, 1.0)

    found = c4_power_law.compute_frontier(sweep(of, lambda f: loss(f["width"], f["step"]), steps=400))
    assert sorted(set(found["seed"])) == [0, 1]
    budgets = np.unique(found["compute"])
    # from where the narrowest has taken 100 steps to where the widest has, N n t each
    assert (budgets[0], budgets[-1]) == pytest.approx((64 * 2 * 5 * 100, 256 * 2 * 5 * 100))
    for compute, least, widest in found[["compute", "loss", "width"]].to_numpy().tolist():
        best = []
        for width in (64, 256):
            steps = np.arange(0, min(400, int(compute / (width * 10) + 1e-9)) + 1)
            best.append((loss(width, steps).min(), width))
        assert (least, widest) == pytest.approx(min(best))


@pytest.mark.parametrize(("exponent", "outcome"), [(-1.0, "supported"), (-0.4, "refuted")])
def test_the_frontier_of_losses_that_are_a_power_of_compute_has_its_exponent(exponent, outcome):
    frames = {study: sweep(networks(seed=SEEDS), IN_M, steps=STEPS) for study in ("floor", "floor-digits")}
    of = networks(seed=SEEDS)

    def law(frame):
        compute = frame["width"] * np.maximum(frame["step"], 0.5)
        return where(1e-9, lambda f: compute**exponent * np.exp(NOISE * f["noise"]), precision="full")(frame)

    frames["floor"] = sweep(of, law, steps=STEPS)
    frames["points"] = sweep(networks(width=1024, n_train=POINTS, seed=SEEDS), 1.0, test_loss=1.0)
    found = c4_power_law.evidence(stored(frames))
    # budgets lie between steps: what is wasted is at most a part in ten, at either end
    assert value(found, "frontier.compute") == pytest.approx(exponent, abs=0.03)
    assert context(c4_power_law.CLAIM, found)["frontier.compute"] == outcome
