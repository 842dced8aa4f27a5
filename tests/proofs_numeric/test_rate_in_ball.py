"""The rule of I.2-rate on made-up steps."""

from __future__ import annotations

import pytest

from ntk1bit.claims import Count, Number
from proofs_numeric import rate_in_ball
from tests.proofs_numeric.made_up_steps import steps


def judged(data):
    (proof,) = rate_in_ball.PROOFS
    evidence = proof.evidence(data)
    return proof.claim.judge(evidence).outcome, evidence


def test_steps_that_contract_as_the_lemma_says_support_it():
    outcome, evidence = judged(steps())
    assert outcome == "supported"
    fall = evidence.get("median")
    assert isinstance(fall, Number)
    assert fall.value == pytest.approx(4.0, rel=1e-3)  # C1 = -2 eta lambda L, where half of one is asked for


def test_a_c3_that_takes_the_fall_refutes_it():
    outcome, evidence = judged(steps(c3=lambda bound, slope: 1.8 * slope))
    assert outcome == "refuted"
    count = evidence.get("outside.1")
    assert isinstance(count, Count)
    assert count.failures == count.trials == 800


def test_few_networks_that_do_not_contract_do_not_refute():
    assert judged(steps(c1=-1.0, jumps=3))[0] != "refuted"
