"""The predicted spread of outputs: against trained networks, against sums written out, and in its units."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.kernels import effective_ntk, kernel_regression, limit_ntk, output_spread
from ntk1bit.kernels.mean_fields import both_sides, smooth_part
from ntk1bit.kernels.spreads import flips_by_type, full_response, smooth_response
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import Activity, Precision

RNG = np.random.default_rng(11)
X = RNG.standard_normal((4, 8))
X /= np.linalg.norm(X, axis=1, keepdims=True)
TEST = RNG.standard_normal((5, 8))
TEST /= np.linalg.norm(TEST, axis=1, keepdims=True)
Y = np.array([1.0, -1.0, 1.0, 0.5])
EVERY = np.concatenate([X, TEST])
NETWORKS, WIDTH = 96, 2048


def trained(precision: Precision, activity: Activity = "straight_through"):
    found = []
    for seed in range(NETWORKS):
        start = two_layer.init(WIDTH, 8, seed=seed, init="paired")
        one = two_layer.train(X, Y, start, precision=precision, activity=activity, steps=120, record=[120], x_test=TEST)
        found.append(one.test_outputs[-1])
    return np.array(found, dtype=np.float64)


def test_means_spreads_and_gaps_are_those_of_trained_networks():
    predicted = output_spread(X, Y, TEST, samples=100_000)
    one_bit, full = trained("one_bit", "frozen"), trained("full")
    # a standard deviation over 96 networks has a relative error of 1/sqrt(2 95) = 0.073 on one input, less over five
    close = 3 * 0.073
    spreads = predicted.spread(WIDTH), predicted.spread(WIDTH, "full")
    for outputs, spread, mean in zip((one_bit, full), spreads, (predicted.one_bit, predicted.full), strict=True):
        measured = outputs.std(axis=0, ddof=1)
        assert np.sqrt((measured**2).mean()) == pytest.approx(np.sqrt((spread**2).mean()), rel=close)
        # three standard errors of the mean, and curvature of order spread^2 (variances are of order m^-1/2)
        assert np.abs(outputs.mean(axis=0) - mean).max() < 3 * spread.max() / np.sqrt(NETWORKS) + spread.max() ** 2
    gap = np.sqrt(((one_bit - full) ** 2).mean())
    assert gap == pytest.approx(np.sqrt((predicted.gap(WIDTH) ** 2).mean()), rel=close)
    assert predicted.spread(WIDTH).min() > 4 * predicted.spread(WIDTH, "full").max()  # of two powers of the width


def test_means_are_regressions_with_both_kernels():
    predicted = output_spread(X, Y, TEST, samples=80_000, seed=3)
    h = limit_ntk(EVERY, X, precision="full").value
    assert predicted.full == pytest.approx(kernel_regression(h[:4], Y, kernel_test=h[4:]).test, rel=1e-9)
    k = effective_ntk(EVERY, X, samples=160_000, seed=8).value
    expected = k[4:] @ np.linalg.solve(k[:4], Y)
    assert np.all(np.abs(predicted.one_bit - expected) < 4 * np.hypot(predicted.error, predicted.error))
    assert np.all(predicted.error > 0)


@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_neurons_sum_to_the_kernels_that_they_are_summands_of(scale):
    w = RNG.standard_normal((50, 8))
    root = RNG.standard_normal(4)
    found = smooth_response(w, EVERY, 4, root, scale=scale).mean(axis=0)
    assert found == pytest.approx(smooth_part(EVERY, w, scale, latent=False)[:, :4] @ root, rel=1e-12, abs=1e-15)
    both = (w @ EVERY.T >= 0).astype(float)
    expected = sum(np.outer(one, one[:4]) * (EVERY @ X.T) for one in both) @ root / len(w)
    assert full_response(w, EVERY, 4, root).mean(axis=0) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_flips_are_forces_and_jumps_of_both_sides(scale):
    w, k = RNG.standard_normal((30, 8)), RNG.integers(8, size=30)
    root = RNG.standard_normal(4)
    jump, reach = flips_by_type(w, k, EVERY, 4, root, scale=scale)
    plus, minus = both_sides(w, k, EVERY, scale=scale)
    for one in range(30):
        forces = [
            sum(-(X[i, k[one]] - X[i].mean()) * root[i] for i in range(4) if side[one, i] >= 0)
            for side in (plus, minus)
        ]
        assert reach[one] == pytest.approx((abs(forces[0]) + abs(forces[1])) / 2, abs=1e-14)
        up = [max(plus[one, i], 0) - max(minus[one, i], 0) for i in range(len(EVERY))]
        assert jump[one] == pytest.approx(up, abs=1e-14)


def test_the_factor_kappa_halves_flips_and_leaves_neurons():
    """R goes as kappa^-2: flips as kappa |R| J^2, kappa^1 in all, and neurons as the square of kappa^2 R."""
    one, half = (output_spread(X, Y, TEST, kappa=kappa, samples=4000) for kappa in (1.0, 0.5))
    assert half.flips == pytest.approx(one.flips / 2, rel=1e-12)
    assert half.neurons == pytest.approx(one.neurons, rel=1e-12)
    assert half.neurons_apart == pytest.approx(one.neurons_apart, rel=1e-12)
    assert half.one_bit == pytest.approx(one.one_bit, rel=1e-12)


def test_twice_the_targets_double_the_variance_of_flips():
    """It is linear in |R|, a Poisson number: that of neurons is a square."""
    one, two = (output_spread(X, factor * Y, TEST, samples=4000) for factor in (1.0, 2.0))
    assert two.flips == pytest.approx(2 * one.flips, rel=1e-12)
    assert two.neurons == pytest.approx(4 * one.neurons, rel=1e-9)


def test_widths_put_the_parts_together():
    found = output_spread(X, Y, TEST, samples=4000)
    assert found.spread(100) ** 2 == pytest.approx(found.flips / 10 + found.neurons / 100)
    assert found.spread(100, "full") ** 2 == pytest.approx(found.neurons_full / 100)
    offset = (found.one_bit - found.full) ** 2
    assert found.gap(100) ** 2 == pytest.approx(offset + found.flips / 10 + found.neurons_apart / 100)
    assert "flips" in repr(found)


@pytest.mark.parametrize(("changed", "words"), [
    ({"x": np.ones((4, 1)), "x_test": np.ones((5, 1))}, "at least 2 features"),
    ({"x_test": np.ones((5, 7))}, "x has 8 features but x_test has 7"),
    ({"y": Y[:3]}, "4"),
    ({"x": np.concatenate([X[:3], X[:1]])}, "K_eff is singular on the training inputs"),
    ({"samples": 10}, "samples"),
    ({"scale": "max"}, "scale"),
    ({"kappa": 0.0}, "kappa"),
])  # fmt: skip
def test_what_cannot_be_predicted_is_refused_in_a_line(changed, words):
    given = {"x": X, "y": Y, "x_test": TEST, "samples": 4000} | changed
    with pytest.raises(InputError, match=words) as caught:
        output_spread(given.pop("x"), given.pop("y"), given.pop("x_test"), **given)
    assert "\n" not in str(caught.value)


def test_widths_and_precisions_out_of_range_are_refused():
    found = output_spread(X, Y, TEST, samples=4000)
    with pytest.raises(InputError, match="width"):
        found.spread(0)
    with pytest.raises(InputError, match="width"):
        found.gap(-1)
    with pytest.raises(InputError, match="precision"):
        found.spread(64, cast(Any, "half"))
