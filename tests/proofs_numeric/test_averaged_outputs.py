"""The rule of C11-averaged on outputs that alternate by a known amount around known ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from proofs_numeric import averaged_outputs as proof
from tests.proofs_numeric.planted import SEEDS, context, evaluate, networks, outcomes, stored, sweep
from tests.proofs_numeric.values import value

WIDTHS = (64, 256, 1024)
TARGETS, TEST_TARGETS = np.array([1.0, -1.0, 0.5]), np.array([0.3, -0.2, 0.8, 0.1])
STILL, SWING = 0.1, 0.3  # of a residual on each training input
AWAY, TEST_SWING = 0.2, 0.4  # of a 1-bit network's difference to full precision on each test input


def study(*, still=STILL, swing=SWING, away=AWAY, test_swing=TEST_SWING, **more: Any):
    """Networks that alternate; full precision's outputs are the targets. Sizes vary by a share with the seed."""
    of = networks(width=WIDTHS, n_train=3, n_test=4, **more)

    def one_bit(frame):
        return np.where(frame["precision"] == "one_bit", 1 + 0.01 * np.cos(frame["seed"]), 0.0)

    def turns(frame):
        return (-1.0) ** frame["step"]

    def away_of(frame, held, alternating, signs):
        size = evaluate(held, frame) + evaluate(alternating, frame) * turns(frame)
        return (one_bit(frame) * size).to_numpy()[:, None] * signs

    def train(frame):
        return away_of(frame, still, swing, np.array([1.0, -1.0, 1.0]))

    def test(frame):
        return away_of(frame, away, test_swing, np.array([1.0, 1.0, -1.0, 1.0]))

    return sweep(
        of,
        lambda f: 0.5 * (train(f) ** 2).sum(axis=1),
        steps=120,
        outputs=lambda f: list(TARGETS + train(f)),
        test_outputs=lambda f: list(TEST_TARGETS + test(f)),
        test_loss=lambda f: 0.5 * (test(f) ** 2).sum(axis=1),
    )


def judged(**laws):
    return proof.evidence(stored({"averaged-digits": study(**laws)}))


def test_what_alternates_is_gone_from_means():
    found = judged()
    assert set(outcomes(proof.CLAIM, found).values()) == {"supported"}
    assert set(context(proof.CLAIM, found).values()) == {"supported"}
    for k in (2, 8):  # both even: nothing is left of an alternation
        assert value(found, f"loss.share.{k}") == pytest.approx(STILL**2 / (STILL**2 + SWING**2))
        assert value(found, f"gap.share.{k}") == pytest.approx(AWAY / (AWAY**2 + TEST_SWING**2) ** 0.5)
        assert value(found, f"test.share.{k}") == pytest.approx(AWAY**2 / (AWAY**2 + TEST_SWING**2))
    assert value(found, "gap.m.1") == pytest.approx(0.0, abs=1e-9)


def test_only_the_widest_networks_and_mid_training_count():
    def late(frame):
        return np.where((frame["step"] >= 81) & (frame["width"] == 1024), SWING, 5.0)

    assert set(outcomes(proof.CLAIM, judged(swing=late)).values()) == {"supported"}
    assert value(judged(swing=late), "loss.share.2") == value(judged(), "loss.share.2")


def test_exponents_are_those_of_the_gap_with_and_without_what_alternates():
    found = judged(away=lambda f: 0.2 * (f["width"] / 64) ** -0.5, test_swing=lambda f: 0.4 + 0.0 * f["width"])
    assert value(found, "gap.m.2") == pytest.approx(-0.5, abs=1e-6)
    assert value(found, "gap.m.1") > -0.2


@pytest.mark.parametrize(("laws", "measure"), [
    ({"swing": 0.05}, "loss.share.2"), ({"test_swing": 0.05}, "gap.share.2"),
])  # fmt: skip
def test_outputs_that_hardly_alternate_refute_one_rule_each(laws, measure):
    found = judged(**laws)
    told = outcomes(proof.CLAIM, found)
    assert {one for one, outcome in told.items() if outcome == "refuted"} == {measure}


def test_pairs_of_which_one_diverged_are_left_out():
    frame = study()
    frame.loc[(frame["seed"] == SEEDS[0]) & (frame["precision"] == "full"), "diverged"] = True
    found = proof.averages(frame)
    assert set(found["seed"]) == set(SEEDS[1:])
