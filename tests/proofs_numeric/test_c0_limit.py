"""The rule of C0 on distances that fall by a known exponent."""

from __future__ import annotations

import pandas as pd
import pytest

from proofs_numeric import c0_limit
from tests.proofs_numeric.planted import BOTH, WIDTHS, combinations, outcomes, power, slope_error, stored, where
from tests.proofs_numeric.values import value

TASKS, DRAWS, NOISE = ("digits", "sphere-linear"), 10, 0.05
CASES = {f"distance.m.{task}.{precision}": (task, precision) for task in TASKS for precision in BOTH}
LIMITS = pd.DataFrame({"dim": [4, 8], "scale": "std", "distance": [0.2, 0.1], "noise": 1e-4, "ratio": [0.9, 0.85],
                       "ratio_error": 1e-3, "samples": 10})  # fmt: skip


def distances(*, at="", exponent=-0.5):
    """All four cases fall as m^-1/2, but for one."""
    task, precision = CASES.get(at, ("", ""))
    law = where(power(exponent, noise=NOISE), power(-0.5, noise=NOISE), task=task, precision=precision)
    drawn = combinations(task=TASKS, precision=BOTH, width=WIDTHS, seed=tuple(range(DRAWS))).assign(
        distance=law, limit_error=lambda frame: 1e-4 * (1 + frame["seed"])
    )
    return c0_limit.evidence(stored({"limits": drawn, "limits-dims": LIMITS}))


def test_distances_that_fall_as_the_square_root_support_the_claim():
    found = distances()
    assert outcomes(c0_limit.CLAIM, found) == dict.fromkeys(CASES, "supported")
    assert value(found, "limit.error") == pytest.approx(1e-4 * DRAWS)  # the largest
    assert found.tables["limits against d"].to_dict("list") == LIMITS.drop(columns="samples").to_dict("list")


@pytest.mark.parametrize("at", CASES)
@pytest.mark.parametrize("exponent", [-0.65, -0.35])
def test_another_exponent_refutes_the_claim_in_its_case_alone(at, exponent):
    found = distances(at=at, exponent=exponent)
    assert outcomes(c0_limit.CLAIM, found) == dict.fromkeys(CASES, "supported") | {at: "refuted"}
    for case in CASES:
        expected = exponent if case == at else -0.5
        assert value(found, case) == pytest.approx(expected, abs=3 * slope_error(WIDTHS, DRAWS, NOISE))
