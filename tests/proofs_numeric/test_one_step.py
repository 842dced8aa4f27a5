"""Theorem 1's checks: pairs of neurons against whole networks, and planted constants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ntk1bit.networks import two_layer
from proofs_numeric import one_step
from proofs_numeric.data import Data

NO_DATA = Data(Path())


def outcomes(claim, evidence) -> dict[str, str]:
    return {one.measure: one.outcome for one in claim.judge(evidence).findings}


@pytest.fixture
def fewer(monkeypatch):
    """So few neurons that a test takes seconds."""
    monkeypatch.setattr(one_step, "_PAIRS", 4000)


def test_pairs_add_up_to_the_step_of_a_network():
    """The mean over 200 networks of r'Df, by the package's own training, within five standard errors."""
    x, y = one_step._problem()
    width, changes = 64, []
    for seed in range(200):
        run = two_layer.train(x, y, two_layer.init(width, x.shape[1], seed=seed, init="paired"), eta_rel=0.2, steps=1)
        changes.append(float(-y @ run.outputs[-1]) / run.eta)  # from outputs of 0; each network has its own eta
    found = one_step.step_of_pairs(x, y, width, 0.25, 0, pairs=100_000)["mean"] / 0.25
    error = np.std(changes) / np.sqrt(len(changes))
    # eta differs by the scatter of lambda_max(H(0)); the mean over eta does not depend on it to first order
    assert abs(np.mean(changes) - found) < 5 * error
    assert abs(found) > 5 * error


def test_a_kernel_that_is_wrong_is_refuted(monkeypatch, fewer):
    whole = one_step.effective_ntk

    def wrong(*args, **kwargs):
        found = whole(*args, **kwargs)
        return type(found)(0.8 * found.value, found.standard_error)

    monkeypatch.setattr(one_step, "effective_ntk", wrong)
    found = outcomes(one_step.CLAIM, one_step.evidence(NO_DATA))
    assert {found[f"c3.error.m{width}"] for width, _ in one_step._MEANS} == {"refuted"}


def test_flips_are_as_rare_as_the_bound(monkeypatch):
    x, y = one_step._problem()
    assert not one_step.flips_above(x, y, 64, 1e-3)
    density = one_step.threshold_density
    monkeypatch.setattr(one_step, "threshold_density", lambda dim: 0.05 * density(dim))
    assert one_step.flips_above(x, y, 64, 1e-2)


def test_the_scatter_is_that_of_flips():
    """Four times the rate, twice the scatter: flips are so many times as frequent."""
    x, y = one_step._problem()
    slow, fast = (one_step.step_of_pairs(x, y, 4096, rate, 1, pairs=200_000)["scatter"] for rate in (0.02, 0.08))
    # a flip has a chance of about 1/400 and 1/200 a pair: 500 and 1000 of them, their root known to 3 %
    assert fast / slow == pytest.approx(2, rel=0.15)


def test_shares_of_c3_lie_between_those_of_both_ends(monkeypatch):
    rates = one_step.generalised_rates(3)
    assert len(rates) == 32
    assert 0.2 < rates[0] < rates[-1] < 1
    monkeypatch.setattr(one_step, "generalised_rates", lambda seed: np.linspace(0.5, 0.99 + seed / 1e4, 32))
    assert outcomes(one_step.CLAIM_RATE, one_step.evidence_rate(NO_DATA)) == {"share.least": "refuted"}
    monkeypatch.setattr(one_step, "generalised_rates", lambda seed: np.linspace(0.5, 0.88 + seed / 1e4, 32))
    assert outcomes(one_step.CLAIM_RATE, one_step.evidence_rate(NO_DATA)) == {"share.least": "supported"}
