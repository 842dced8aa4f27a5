"""The rules of C13 and its branches, on planted drifts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from proofs_numeric import transformer_kernels as proof
from proofs_numeric.deep_oscillation_studies import ARMS
from tests.proofs_numeric.planted import Law, combinations, evaluate, outcomes, power, slope_error, stored, where
from tests.proofs_numeric.values import value

WIDTHS, SEEDS, STEPS = (32, 64, 128, 256, 512), tuple(range(16)), (0, 10, 20, 40, 100)
NOISE = 0.02
# Three standard errors of an exponent, and as much for weights of widths that are estimated from sixteen networks.
OFF = 6 * slope_error(WIDTHS, len(SEEDS), NOISE)
LOSSES = {0: 16.0, 10: 8.0, 20: 2.0, 40: 0.5, 100: 0.01}  # a quarter of the start, 4, is half way to step 20 in log


def study(drift: Law | None = None, *, ratio: Law | None = None, arriving: Law = 1.0, share: Law = 0.5):
    """Drifts at the end by a law; before, they grow with the step; ratios at the start."""
    of = combinations(arm=ARMS, width=WIDTHS, seed=SEEDS)
    law = power(-1.0) if drift is None else drift
    size = np.asarray(evaluate(law, of)) * np.exp(NOISE * of["noise"])
    laws = {"ratio": power(0.5) if ratio is None else ratio, "arriving": arriving, "share": share}
    frames = []
    for step in STEPS:
        more = {
            name: np.asarray(evaluate(one, of)) * np.exp(NOISE * of["noise"]) if step == 0 else np.nan
            for name, one in laws.items()
        }
        frames.append(
            of.assign(step=step, loss=LOSSES[step], drift=size * step / 100, alignment=0.1 + 0.001 * step, **more)
        )
    frame = pd.concat(frames, ignore_index=True).assign(lambda_max=1.0, lambda_min=0.1)
    return stored({"transformer-kernels": pd.DataFrame(frame.sample(frac=1.0, random_state=0))})


ALL = {f"drift.m.{arm}": "supported" for arm in ARMS}
BOTH = {f"factor.m.{arm}": "supported" for arm in ARMS[1:]}
OF_STEPS = {"arriving.bitnet": "supported", "arriving.b158": "supported", "ratio.m.bitnet": "supported"}


def test_drifts_that_fall_with_width_support_it():
    found = proof.evidence(study())
    assert outcomes(proof.CLAIM, found) == ALL
    for arm in ARMS:
        assert value(found, f"drift.m.{arm}") == pytest.approx(-1.0, abs=OFF)
        assert value(found, f"alignment.{arm}") == pytest.approx(2.0)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize(("exponent", "outcome"), [(0.0, "refuted"), (-0.2, "refuted"), (-0.3, "supported")])
def test_the_exponent_of_each_arm_decides_for_itself(arm, exponent, outcome):
    law = where(power(exponent), power(-1.0), arm=arm)
    found = proof.evidence(study(law))
    assert outcomes(proof.CLAIM, found) == ALL | {f"drift.m.{arm}": outcome}
    assert value(found, f"drift.m.{arm}") == pytest.approx(exponent, abs=OFF)


def test_equal_powers_support_that_precision_does_not_matter():
    found = proof.evidence_precision(study(where(power(-1.0, size=3.0), power(-1.0), arm="b158")))
    assert outcomes(proof.CLAIM_PRECISION, found) == BOTH
    assert value(found, "factor.b158") == pytest.approx(3.0, rel=3 * NOISE * (2 / len(SEEDS)) ** 0.5)


@pytest.mark.parametrize("exponent", [-0.6, -1.4])
def test_another_power_in_one_bit_refutes_it(exponent):
    found = proof.evidence_precision(study(where(power(exponent), power(-1.0), arm="bitnet")))
    assert outcomes(proof.CLAIM_PRECISION, found) == BOTH | {"factor.m.bitnet": "refuted"}
    assert value(found, "factor.m.bitnet") == pytest.approx(exponent + 1, abs=2**0.5 * OFF)


def test_the_drift_at_a_quarter_of_the_loss_lies_between_records():
    cell = pd.DataFrame({"step": STEPS, "loss": [LOSSES[step] for step in STEPS], "drift": [0.0, 0.1, 0.3, 0.4, 1.0]})
    assert proof.drift_at(cell) == pytest.approx(0.2)
    assert proof.drift_at(cell, 0.5) == pytest.approx(0.1)
    assert np.isnan(proof.drift_at(cell, 1e-6))


def test_steps_as_expected_support_it():
    found = proof.evidence_steps(study(share=power(-1.0)))
    assert outcomes(proof.CLAIM_STEPS, found) == OF_STEPS
    assert value(found, "ratio.m.bitnet") == pytest.approx(0.5, abs=OFF)
    assert value(found, "share.m.bitnet") == pytest.approx(-1.0, abs=OFF)


@pytest.mark.parametrize(("changed", "refuted"), [
    ({"arriving": where(0.7, 1.0, arm="b158")}, "arriving.b158"),
    ({"arriving": where(1.3, 1.0, arm="bitnet")}, "arriving.bitnet"),
    ({"ratio": 0.637}, "ratio.m.bitnet"),
])  # fmt: skip
def test_steps_that_are_not_refute_it(changed, refuted):
    found = proof.evidence_steps(study(**changed))
    assert outcomes(proof.CLAIM_STEPS, found) == OF_STEPS | {refuted: "refuted"}
