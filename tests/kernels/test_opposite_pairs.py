"""Two opposite inputs: constants, the recursion of one relay, and its two-cycle in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit import kernels
from ntk1bit.errors import InputError
from ntk1bit.kernels.mean_fields import mean_field
from ntk1bit.kernels.opposite_pairs import OppositeInputs, opposite_inputs

CONSTANTS = OppositeInputs(0.3418, 0.1285, 0.5, 0.0, 0.0)


def centred(dim, seed=1):
    x = np.random.default_rng(seed).standard_normal(dim)
    x -= x.mean()
    return x / np.linalg.norm(x)


def test_the_amplitude_is_that_of_the_formula():
    k = 0.3418 - 0.1285 / 2
    assert CONSTANTS.amplitude((1.0, 1.0), eta=0.5) == pytest.approx(0.1285 * 2 / k / (2 - 0.5 * 0.3418))
    assert CONSTANTS.amplitude((1.0, -1.0), eta=0.5) == 0


@pytest.mark.parametrize("eta_rel", [0.5, 0.25])
@pytest.mark.parametrize("dim", [4, 8, 16, 64, 256])
def test_the_recursion_ends_in_the_two_cycle(dim, eta_rel):
    """Within 1 %, what is not captured completely; |A| of the last twenty steps, which alternate."""
    found = opposite_inputs(centred(dim), samples=50_000)
    y, eta = (1.0, 0.9), eta_rel / found.h
    residuals = found.residuals(y, eta=eta, steps=200, points=50_000)
    apart = residuals[-20:, 0] - residuals[-20:, 1]
    assert (np.sign(apart[1:]) == -np.sign(apart[:-1])).all()
    assert np.abs(apart).mean() == pytest.approx(found.amplitude(y, eta=eta), rel=0.01)
    total = residuals.sum(axis=1)
    k = found.k_eff - found.switching / 2
    assert total == pytest.approx(-1.9 * (1 - eta * k) ** np.arange(201))


def test_equal_targets_leave_the_recursion_at_descent_with_k():
    """Nothing disturbs A = 0; a part in ten thousand of the targets does."""
    k = 0.3418 - 0.1285 / 2
    still = CONSTANTS.residuals((1.0, 1.0), eta=1.0, steps=100, points=20_000)
    assert still[:, 0] == pytest.approx(-((1 - k) ** np.arange(101)))
    assert still[:, 0] == pytest.approx(still[:, 1])
    moved = CONSTANTS.residuals((1.0, 0.9999), eta=1.0, steps=100, points=20_000)
    assert np.abs(moved[-10:, 0] - moved[-10:, 1]).mean() == pytest.approx(
        CONSTANTS.amplitude((1.0, 0.9999), eta=1.0), rel=0.03
    )


def test_the_recursion_is_that_of_the_mean_field():
    """Before what noise of points does: ten steps, within six standard errors of four replicates (three degrees)."""
    x = centred(16)
    y = np.array([1.0, 0.5])
    found = opposite_inputs(x, samples=400_000)
    limit = mean_field(np.stack([x, -x]), y, eta_rel=0.25, steps=10, particles=400_000)
    expected = found.residuals((1.0, 0.5), eta=limit.eta, steps=10, points=20_000)
    assert limit.eta == pytest.approx(0.25 / found.h, rel=0.01)  # H(x, -x) is not 0 by Monte Carlo
    assert limit.outputs - y == pytest.approx(expected, abs=0.01)


def test_constants_are_those_of_their_definitions():
    """C by plain sums over conditioned neurons of the quantiser; float64, four standard errors of both."""
    x, rng = centred(6), np.random.default_rng(8)
    found = opposite_inputs(x, samples=200_000)
    draws = []
    for k in range(6):
        c = rng.standard_normal((40_000, 6))
        c[:, k] = 0
        others = [j for j in range(6) if j != k]
        c[:, others] -= c[:, others].mean(axis=1, keepdims=True)
        q, s = np.where(c >= 0, 1.0, -1.0), np.sqrt((c**2).mean(axis=1))
        q[:, k] = np.sign(x[k])
        high = s * (q @ x)
        low = high - 2 * s * abs(x[k])
        draws.append(abs(x[k]) * high * ((high > 0) & (low < 0)))
    density = 1 / np.sqrt(2 * np.pi * (1 - 1 / 6))
    each = density * np.stack(draws)
    error = np.hypot(found.switching_error, np.sqrt((each.var(axis=1) / 40_000).sum()))
    assert found.switching == pytest.approx(each.mean(axis=1).sum(), abs=4 * error)
    assert found.h == pytest.approx(0.5)
    assert found.k_eff == pytest.approx(kernels.effective_ntk(x[None], samples=200_000, seed=3).value[0, 0], rel=0.02)


@pytest.mark.parametrize(("x", "words"), [
    (np.ones(3), "mean 0"), ([1.0, -1.0], "3 or more"), (np.zeros(4), "not all 0"), ([1.0, np.inf, 0.0], "finite"),
])  # fmt: skip
def test_inputs_of_another_kind_are_refused(x, words):
    with pytest.raises(InputError, match=words):
        opposite_inputs(x, samples=64)
