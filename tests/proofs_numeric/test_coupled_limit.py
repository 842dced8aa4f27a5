"""Theorem 2's checks, with made-up networks and densities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from proofs_numeric import coupled_limit
from proofs_numeric.data import Data

NO_DATA = Data(Path())


def judged(monkeypatch, power: float, share: float = 1.0) -> dict[str, str]:
    """Return outcomes where networks leave the limit as this power of the width."""
    noise = np.random.default_rng(0).normal(0, 0.1, 10_000)
    monkeypatch.setattr(coupled_limit, "density_share", lambda seed, *, adversary: share if adversary else 0.5)
    monkeypatch.setattr(
        coupled_limit, "apart", lambda width, seed: float(width**power * np.exp(noise[(width + seed) % 10_000]))
    )
    findings = coupled_limit.CLAIM.judge(coupled_limit.evidence(NO_DATA)).findings
    return {one.measure: one.outcome for one in findings}


def test_what_the_theorem_says_is_supported(monkeypatch):
    assert set(judged(monkeypatch, 0.0).values()) == {"supported"}


def test_networks_that_come_back_refute_it(monkeypatch):
    assert judged(monkeypatch, -0.25) == {"density": "supported", "still": "supported", "left.m": "refuted"}


def test_a_density_above_two_to_the_t_refutes_it(monkeypatch):
    assert judged(monkeypatch, 0.0, share=1.01)["density"] == "refuted"


@pytest.mark.parametrize("seed", [0, 1])
def test_the_adversary_reaches_two_to_the_t_and_chance_does_not_exceed_it(seed):
    assert coupled_limit.density_share(seed, adversary=True) == 1
    assert coupled_limit.density_share(seed, adversary=False) <= 1


def test_networks_differ_by_seed_and_leave_the_limit():
    found = [coupled_limit.apart(256, seed) for seed in range(3)]
    assert len(set(found)) == 3
    assert min(found) > 0
    assert max(found) < 2
