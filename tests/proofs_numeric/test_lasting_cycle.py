"""Theorem 4's claim, with its program as it is and with programs that prove too much or too little."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ntk1bit.kernels.capture import CapturedCycle
from proofs_numeric import lasting_cycle
from proofs_numeric.data import Data

NO_DATA = Data(Path())
CYCLE = CapturedCycle(8, Fraction(1, 2), Fraction(3, 5), Fraction(1, 1000))


def judged(monkeypatch, certified, *, constants: float = 1.0, recursion: float = 0.1) -> dict[str, str]:
    monkeypatch.setattr(lasting_cycle, "certified", certified)
    monkeypatch.setattr(lasting_cycle, "constants_off", lambda: constants)
    monkeypatch.setattr(lasting_cycle, "recursion_off", lambda: recursion)
    findings = lasting_cycle.CLAIM.judge(lasting_cycle.evidence(NO_DATA)).findings
    return {one.measure: one.outcome for one in findings}


def right(second: Fraction, alpha: Fraction, gamma: Fraction) -> CapturedCycle | None:
    assert alpha > gamma > 0
    return None if abs(second) == 1 else CYCLE


def test_the_claim_holds_for_a_program_that_proves_what_it_should(monkeypatch):
    assert set(judged(monkeypatch, right).values()) == {"supported"}


@pytest.mark.parametrize(
    ("changes", "measure"),
    [
        ({"certified": lambda *_: None}, "uncertified"),
        ({"certified": lambda *_: CYCLE}, "wrongly.certified"),
        ({"constants": 6.0}, "constants.off"),
        ({"recursion": 1.1}, "recursion.off"),
    ],
)
def test_each_part_fails_by_itself(monkeypatch, changes, measure):
    found = judged(monkeypatch, **({"certified": right} | changes))
    assert [name for name, outcome in found.items() if outcome != "supported"] == [measure]
    assert found[measure] == "refuted"


def test_every_setting_listed_is_certified_and_no_descent_is():
    found = [lasting_cycle.certified(second, alpha, gamma) for _, alpha, gamma, second in lasting_cycle._CERTIFIED]
    assert all(one is not None and one.apart > 0 for one in found)
    assert lasting_cycle.certified(Fraction(1), Fraction(3, 5), Fraction(3, 10)) is None


def test_the_exact_constants_hold_and_others_would_show(monkeypatch):
    assert lasting_cycle.constants_off() < 5
    monkeypatch.setitem(lasting_cycle.THREE_FEATURES, "C", 1.05 * lasting_cycle.THREE_FEATURES["C"])
    assert lasting_cycle.constants_off() > 5  # C is known to 0.4 % by so many neurons


def test_a_recursion_of_another_gain_would_show(monkeypatch):
    assert lasting_cycle.recursion_off(steps=6) < 1
    whole = lasting_cycle.OppositeRecursion

    def other(targets, *, alpha, gamma, steps):
        return whole(targets, alpha=alpha, gamma=gamma * Fraction(102, 100), steps=steps)

    monkeypatch.setattr(lasting_cycle, "OppositeRecursion", other)
    assert lasting_cycle.recursion_off(steps=6) > 1


def test_the_network_of_three_features_is_the_recursion():
    """Its exact rates are those of eta_rel = 3 sqrt 2 pi alpha/8, in units of the limit of H(0), 1/2."""
    for _, alpha, gamma, _ in lasting_cycle._CERTIFIED[:6]:
        eta = 2 * 3 * np.sqrt(2) * np.pi * float(alpha) / 8
        assert eta * lasting_cycle.THREE_FEATURES["k"] == pytest.approx(float(alpha))
        assert eta * lasting_cycle.THREE_FEATURES["C"] == pytest.approx(float(gamma))
