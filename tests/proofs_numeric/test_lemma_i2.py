"""The rule of I.2 on losses whose contraction at each step is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from proofs_numeric import lemma_i2
from tests.proofs_numeric.planted import context, networks, outcomes, stored, sweep, where
from tests.proofs_numeric.values import value

UNIT = 0.02  # eta lambda at the start
STEPS = 260
SUPPORTED = dict.fromkeys(("rate.sphere.one_bit", "rate.digits.one_bit", "share.sphere", "share.digits"), "supported")
OTHERS = 0.9  # contraction of full precision, in units of eta lambda


def falling(contraction):
    """A law of the loss: step t + 1 takes a share contraction(L/L(0), t) eta lambda of it, alike in every network."""
    curve = [1.0]
    for step in range(STEPS):
        curve.append(curve[-1] * (1 - UNIT * contraction(curve[-1], step)))
    return lambda frame: 8.0 * np.array(curve)[frame["step"]]


def fast(level, step):
    return 1.0


def slow(level, step):
    return 0.3


def losses(digits=fast, sphere=fast, noise=0.01):
    """Both studies: at m = 1024 and a paired start each with its contraction, elsewhere with a slow one."""
    frames = {}
    for study, contraction, settings in (
        ("floor", sphere, {"task": "sphere-random"}),
        ("digits", digits, {"init": ("iid", "paired")}),
    ):
        law = where(falling(contraction), falling(slow), width=1024)
        law = where(falling(lambda level, step: OTHERS), law, precision="full")
        law = where(falling(slow), law, init="iid")
        of = networks(width=(256, 1024), **settings)
        frames[study] = sweep(
            of.assign(eta=lambda frame: 0.1 * np.exp(noise * frame["noise"])),  # rates are in its units
            law,
            steps=STEPS,
            every=STEPS // 4,
            lambda_min=lambda frame: np.where(frame["step"] == 0, UNIT / 0.1, 0.5),
        )
    return lemma_i2.evidence(stored(frames))


def test_losses_that_contract_at_every_step_support_the_lemma():
    found = losses()
    assert outcomes(lemma_i2.CLAIM, found) == SUPPORTED
    assert context(lemma_i2.CLAIM, found) == {"rate.digits.full": "supported"}
    for task in ("sphere", "digits"):
        # eta varies by 1 %, six networks; log(1 - x)/x is 1 % beyond 1 for x = 0.02
        assert value(found, f"rate.{task}.one_bit") == pytest.approx(-np.log(1 - UNIT) / UNIT, rel=3 * 0.01 / 6**0.5)
        assert value(found, f"rate.{task}.full") == pytest.approx(OTHERS, rel=3 * 0.01 / 6**0.5 + 0.01)
        assert value(found, f"share.{task}") == 0.0


def test_one_slow_stretch_refutes_the_rate_it_is_the_slowest():
    def stretch(level, step):
        return 0.3 if 0.3 < level < 0.5 else 1.0

    slowest = losses(sphere=stretch)
    judged = outcomes(lemma_i2.CLAIM, slowest)
    assert judged["rate.sphere.one_bit"] == judged["share.sphere"] == "refuted"
    assert judged["rate.digits.one_bit"] == judged["share.digits"] == "supported"
    # a window of log(10)/10 takes 38 steps at this rate, one of which may be a fast one
    assert value(slowest, "rate.sphere.one_bit") == pytest.approx(0.3, rel=0.08)


@pytest.mark.parametrize("task", ["sphere", "digits"])
@pytest.mark.parametrize(("every", "outcome"), [(8, "refuted"), (40, "supported")])
def test_single_steps_that_contract_too_little_count_in_their_share(task, every, outcome):
    def stumbling(level, step):
        return 0.4 if step % every == every // 2 else 1.2

    found = losses(sphere=stumbling) if task == "sphere" else losses(digits=stumbling)
    assert outcomes(lemma_i2.CLAIM, found) == SUPPORTED | {f"share.{task}": outcome}
    taken = int(np.ceil(np.log(10) / UNIT / (1.2 - 0.8 / every)))  # steps to a tenth, within a few
    assert value(found, f"share.{task}") == pytest.approx(1 / every, abs=2 / taken)


def test_steps_just_above_and_below_half_of_eta_lambda_are_told_apart():
    assert outcomes(lemma_i2.CLAIM, losses(lambda level, step: 0.53, noise=0.0)) == SUPPORTED
    below = losses(lambda level, step: 0.47, noise=0.0)
    assert value(below, "share.digits") == 1.0
    assert outcomes(lemma_i2.CLAIM, below)["rate.digits.one_bit"] == "refuted"


def test_what_happens_after_the_fall_to_a_tenth_is_not_asked_for():
    def down_to_a_floor(level, step):
        return 1.0 if level > 0.1 else 0.0

    assert outcomes(lemma_i2.CLAIM, losses(down_to_a_floor, down_to_a_floor)) == SUPPORTED

    def down_to_a_high_floor(level, step):
        return 1.0 if level > 0.3 else 0.0

    stopped = losses(down_to_a_high_floor)
    assert outcomes(lemma_i2.CLAIM, stopped)["rate.digits.one_bit"] == "inconclusive"  # it never gets there
    assert outcomes(lemma_i2.CLAIM, stopped)["share.digits"] == "refuted"


def test_shares_are_counted_cell_by_cell_in_the_order_of_steps():
    of = networks(width=(64, 256), seed=(0, 1))
    frame = sweep(of, falling(lambda level, step: 0.4 if step == 3 else 1.0), steps=STEPS, lambda_min=UNIT / 0.1)
    shuffled = frame.sample(frac=1.0, random_state=0)
    counted = lemma_i2.shares(pd.DataFrame(shuffled))
    assert len(counted) == len(of)
    assert counted["share"].tolist() == pytest.approx([1 / counted["steps"].iloc[0]] * len(of))
