"""The rules of H.2-ball to H.6-ball on made-up steps whose terms are known."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.claims import Number
from proofs_numeric import step_in_ball
from tests.proofs_numeric.made_up_steps import steps


def outcomes(data):
    return {one.claim.id: one.claim.judge(one.evidence(data)).outcome for one in step_in_ball.PROOFS}


def test_terms_that_keep_to_the_lemmas_support_all():
    assert set(outcomes(steps()).values()) == {"supported"}


def test_a_sum_that_is_off_or_a_leak_refutes_the_identity():
    assert outcomes(steps(error=1e-3))["H.2-ball"] == "refuted"
    assert outcomes(steps(leaked=1))["H.2-ball"] == "refuted"


def test_c1_that_falls_too_slowly_refutes():
    assert outcomes(steps(c1=-0.5))["H.3-ball"] == "refuted"


def test_c2_beyond_its_bound_in_more_than_one_in_twenty_networks_refutes():
    assert outcomes(steps(jumps=30))["H.4-ball"] == "refuted"
    assert outcomes(steps(jumps=1))["H.4-ball"] == "inconclusive"  # 1 of 100 may come of a rate above 0.05


def test_terms_that_do_not_fall_with_width_refute():
    assert outcomes(steps(c3=lambda bound, slope: 0.5 * slope))["H.5-ball"] == "refuted"
    assert outcomes(steps(c4=lambda bound, slope: 1e-3 * slope))["H.6-ball"] == "refuted"


def test_the_constant_that_is_needed_is_that_of_the_data():
    evidence = step_in_ball.c3_evidence(steps(c3=lambda bound, slope: 3.0 * bound))
    needed = evidence.get("needed")
    assert isinstance(needed, Number)
    assert needed.value == pytest.approx(3.0)
    assert np.isfinite(evidence.tables["C3"].to_numpy(dtype=float)).all()
