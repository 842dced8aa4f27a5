"""The rule of C4 on losses at the end of training that are a known power of m, straight or bent."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from proofs_numeric import c4_power_law
from tests.proofs_numeric.planted import (
    BOTH,
    Law,
    context,
    evaluate,
    narrow_off,
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
WIDTHS = (64, 128, 256, 512, 1024, 2048)
FOUR = WIDTHS[-4:]
IN_M = power(-1.0, size=0.05)
AVERAGED = {"": 12, ".half": 6}  # steps in the last tenths of all and of half of them
TASKS = {"sphere": "floor", "digits": "floor-digits"}
DECISIVE = [f"loss.size.{task}{suffix}" for task in TASKS for suffix in (*AVERAGED, ".curvature")]


def bent(exponent, curvature):
    """The law whose logarithm is a parabola in ln m, with this slope in the middle of the widths."""

    def law(frame):
        x = np.log(frame["width"] / np.sqrt(WIDTHS[0] * WIDTHS[-1]))
        return 0.02 * np.exp(exponent * x + curvature * x**2)

    return law


def noisy(level: Law):
    """A level within 1 %, and full precision far below."""
    return where(1e-9, lambda f: evaluate(level, f) * np.exp(NOISE * f["noise"]), precision="full")


@functools.cache
def of_points(tested=(-0.5, -0.3)):
    """Test losses by a power of n at the last step, in 1-bit and in full precision."""
    law = where(power(tested[0], "n_train", noise=NOISE), power(tested[1], "n_train", noise=NOISE), precision="one_bit")
    early = where(law, power(2.0, "n_train"), step=4)
    points = networks(width=1024, n_train=POINTS, seed=SEEDS)
    return sweep(points, 1.0, steps=5, every=2, test_loss=early)


def ended(halves=None, *, tested=(-0.5, -0.3), **levels: Law):
    """Losses that settle at these levels, and up to half of the steps at those of `halves` where it has them."""
    frames = {"points": of_points(tested)}
    for task, study in TASKS.items():
        half = (halves or {}).get(task)
        law = settling(noisy(levels.get(task, IN_M)), half=None if half is None else noisy(half))
        frames[study] = sweep(networks(seed=SEEDS, width=WIDTHS), law, steps=STEPS)
    return c4_power_law.evidence(stored(frames))


def error_over(along, suffix=""):
    """Three standard errors of an exponent over five seeds: 1 % of noise, and 1 % over steps that are averaged."""
    return 3 * slope_error(along, len(SEEDS), np.hypot(NOISE, 0.01 / AVERAGED[suffix] ** 0.5))


def curvature_error():
    """Three standard errors of the coefficient of the part of (ln m)^2 that a line leaves, over five seeds."""
    x = np.log(WIDTHS) - np.log(WIDTHS).mean()  # even steps, so that its square has no slope
    square = x**2 - (x**2).mean()
    return 3 * np.hypot(NOISE, 0.01 / 12**0.5) / np.sqrt(len(SEEDS) * (square @ square))


@pytest.mark.parametrize(("sphere", "digits", "tested"), [(-1.0, -1.0, (-0.5, -0.3)), (-1.3, -0.7, (0.4, 0.2))])
def test_exponents_are_those_of_each_data_set_and_precision(sphere, digits, tested):
    found = ended(sphere=power(sphere, size=0.05), digits=power(digits, size=0.05), tested=tested)
    judged, told = outcomes(c4_power_law.CLAIM, found), context(c4_power_law.CLAIM, found)
    assert sorted(judged) == sorted(DECISIVE)
    for task, exponent in (("sphere", sphere), ("digits", digits)):
        for suffix in AVERAGED:
            measure = f"loss.size.{task}{suffix}"
            assert value(found, measure) == pytest.approx(exponent, abs=error_over(FOUR, suffix))
            assert judged[measure] == ("supported" if exponent == -1.0 else "refuted")
        assert judged[f"loss.size.{task}.curvature"] == "supported"
        assert value(found, f"loss.size.{task}.curvature") == pytest.approx(0.0, abs=curvature_error())
    # the same law by another fit, over all widths, in N = m d at one d
    assert value(found, "loss.size.sphere.robust") == pytest.approx(sphere, abs=error_over(WIDTHS))
    band = found.tables["fit band"]
    assert (band["N"].min(), band["N"].max()) == pytest.approx((64 * 64, 2048 * 64))
    # test losses, at the last recorded step
    for precision, exponent in zip(BOTH, tested, strict=True):
        assert value(found, f"test_loss.n.{precision}") == pytest.approx(exponent, abs=error_over(POINTS))
        assert told[f"test_loss.n.{precision}"] == ("supported" if exponent < 0 else "refuted")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("end", [-0.7, -1.0, -1.3])
def test_an_exponent_at_one_of_both_times_refutes_it_alone(task, end):
    half = -0.7 if end == -1.0 else -1.0
    found = ended({task: power(half, size=0.05)}, **{task: power(end, size=0.05)})
    refuted = f"loss.size.{task}" + (".half" if end == -1.0 else "")
    assert outcomes(c4_power_law.CLAIM, found) == dict.fromkeys(DECISIVE, "supported") | {refuted: "refuted"}
    for suffix, exponent in (("", end), (".half", half)):
        assert value(found, f"loss.size.{task}{suffix}") == pytest.approx(exponent, abs=error_over(FOUR, suffix))


@pytest.mark.parametrize(("exponent", "shift", "outcome"), [(-1.0, 0.3, "supported"), (-0.7, -0.3, "refuted")])
def test_exponents_are_those_of_the_four_widest_widths(exponent, shift, outcome):
    found = ended(sphere=narrow_off(exponent, shift))
    judged = outcomes(c4_power_law.CLAIM, found)
    for suffix in AVERAGED:
        assert judged[f"loss.size.sphere{suffix}"] == outcome
        assert value(found, f"loss.size.sphere{suffix}") == pytest.approx(exponent, abs=error_over(FOUR, suffix))
    # a bend that a parabola has no part in; the fit over all widths has the slope of all
    assert judged["loss.size.sphere.curvature"] == "supported"


@pytest.mark.parametrize("task", TASKS)
def test_the_narrowest_width_off_a_power_law_refutes_it_by_its_curvature_alone(task):
    found = ended(**{task: where(power(-1.0, size=0.1), IN_M, width=64)})
    measure = f"loss.size.{task}.curvature"
    assert outcomes(c4_power_law.CLAIM, found) == dict.fromkeys(DECISIVE, "supported") | {measure: "refuted"}
    # ln 2 at the first of six even steps of ln 2: of the squares less their mean, 10/3 at the ends, 112/3 in all
    by_hand = np.log(2) * (10 / 3) / (112 / 3) / np.log(2) ** 2
    assert value(found, measure) == pytest.approx(by_hand, abs=curvature_error())


@pytest.mark.parametrize(("task", "curvature"), [("sphere", 0.1), ("digits", -0.1)])
def test_a_law_that_bends_refutes_it_on_its_data_set(task, curvature):
    found = ended(**{task: bent(-1.0, curvature)})
    judged = outcomes(c4_power_law.CLAIM, found)
    for one in TASKS:
        assert judged[f"loss.size.{one}.curvature"] == ("refuted" if one == task else "supported")
    assert value(found, f"loss.size.{task}.curvature") == pytest.approx(curvature, abs=curvature_error())


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
    frames = {"floor-digits": sweep(networks(seed=SEEDS), IN_M, steps=STEPS), "points": of_points()}

    def law(frame):
        compute = frame["width"] * np.maximum(frame["step"], 0.5)
        return where(1e-9, lambda f: compute**exponent * np.exp(NOISE * f["noise"]), precision="full")(frame)

    frames["floor"] = sweep(networks(seed=SEEDS), law, steps=STEPS)
    found = c4_power_law.evidence(stored(frames))
    # budgets lie between steps: what is wasted is at most a part in ten, at either end
    assert value(found, "frontier.compute") == pytest.approx(exponent, abs=0.03)
    assert context(c4_power_law.CLAIM, found)["frontier.compute"] == outcome
