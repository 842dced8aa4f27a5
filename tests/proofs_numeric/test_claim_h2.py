"""The rule of H.2 on steps whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.claims import Number
from proofs_numeric import claim_h2
from proofs_numeric.studies import TERM_RATES
from tests.proofs_numeric.planted import networks, outcomes, power, stored, sweep
from tests.proofs_numeric.values import value

STUDIES = ("terms", "terms-dims", *(f"terms-rate-{rate:g}" for rate in TERM_RATES))
MEASURE_OF = {"identity_error": "sum.error", "kernel_error": "kernel.error"}


def steps(study="terms", **worst):
    """Every study with errors of about 1e-13 at steps 0, 2 and 4, and in one its `worst` at step 2 of one network."""
    small = {name: power(0.0, size=1e-13, noise=0.5) for name in MEASURE_OF}
    planted = sweep(networks(width=64, seed=(0, 1, 2)), 1.0, steps=4, every=2, **small)
    frames = {name: planted.copy() for name in STUDIES}
    row = np.flatnonzero(frames[study]["step"] == 2)[5]
    for name, error in worst.items():
        frames[study].loc[row, name] = error
    return claim_h2.evidence(stored(frames))


def test_errors_of_rounding_support_the_claim():
    found = steps()
    assert outcomes(claim_h2.CLAIM, found) == {"sum.error": "supported", "kernel.error": "supported"}
    recorded = 3 * 6 * len(STUDIES)  # steps of three networks of either precision
    assert all(one.span == f"{recorded} steps" for one in found.measures if isinstance(one, Number))


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("column", MEASURE_OF)
def test_a_single_step_that_does_not_add_up_refutes_it(study, column):
    expected = dict.fromkeys(MEASURE_OF.values(), "supported") | {MEASURE_OF[column]: "refuted"}
    found = steps(study, **{column: 1.5e-10})
    assert outcomes(claim_h2.CLAIM, found) == expected
    assert value(found, MEASURE_OF[column]) == 1.5e-10
    assert outcomes(claim_h2.CLAIM, steps(study, **{column: 0.7e-10}))[MEASURE_OF[column]] == "supported"


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("column", MEASURE_OF)
def test_an_error_that_is_no_number_leaves_the_claim_open(study, column):
    # a loss or a slope of exactly 0 divides 0 by 0
    found = steps(study, **{column: np.nan})
    assert outcomes(claim_h2.CLAIM, found)[MEASURE_OF[column]] == "inconclusive"
