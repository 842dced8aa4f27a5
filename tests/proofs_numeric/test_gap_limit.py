"""Theorem 5's numbers by other ways, and wrong ones refuted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from proofs_numeric import gap_limit
from proofs_numeric.data import Data

NO_DATA = Data(Path())


def judged(monkeypatch, *, offset: float, start: float) -> dict[str, str]:
    noise = np.random.default_rng(0).normal(0, 1e-3, 100)
    monkeypatch.setattr(gap_limit, "offset", lambda _dim, seed: offset + float(noise[seed]))
    monkeypatch.setattr(gap_limit, "start_difference", lambda _dim, seed: start + float(noise[seed]))
    return {one.measure: one.outcome for one in gap_limit.CLAIM.judge(gap_limit.evidence(NO_DATA)).findings}


def test_offsets_and_starts_are_judged(monkeypatch):
    assert set(judged(monkeypatch, offset=0.1, start=0.1746).values()) == {"supported"}
    found = judged(monkeypatch, offset=0.005, start=0.2)
    assert set(found.values()) == {"refuted"}


def test_the_start_is_that_of_two_correlated_normals():
    """1 - 2 E relu(u) relu(v) with correlation sqrt(2/pi), by drawing them."""
    rng, cosine = np.random.default_rng(0), np.sqrt(2 / np.pi)
    u = rng.standard_normal(400_000)
    v = cosine * u + np.sqrt(1 - cosine**2) * rng.standard_normal(len(u))
    each = (np.maximum(u, 0) - np.maximum(v, 0)) ** 2
    assert each.mean() == pytest.approx(gap_limit.start_limit(), abs=5 * each.std() / np.sqrt(len(u)))
    assert gap_limit.start_limit() == pytest.approx(0.1746, abs=5e-5)


def test_regression_interpolates():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((7, 9))
    kernel, y = x @ x[:4].T, rng.standard_normal(4)
    plain = x[4:] @ np.linalg.pinv(x[:4]) @ y
    assert gap_limit.regression(kernel, y) == pytest.approx(plain, abs=1e-10)  # a matrix of 4 rows, well conditioned
