from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.post_training.round_to_nearest import round_activations, round_weights, symmetric_integers
from ntk1bit.networks.post_training.smoothquant import smoothed_factors, smoothing_factors

from .layers import SHAPES

EPS = float(np.finfo(np.float64).eps)


def layer(outputs, inputs, seed=0, rows=64):
    rng = np.random.default_rng([outputs, inputs, seed])
    return rng.standard_normal((rows, inputs)), rng.standard_normal((outputs, inputs))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_formula_channel_by_channel(alpha, shape):
    x, w = layer(*shape)
    other = layer(3, shape[1], seed=1)[1]
    found = smoothing_factors(np.abs(x).max(axis=0), [w, other], alpha=alpha)
    for j in range(shape[1]):
        inputs = max(abs(row[j]) for row in x.tolist())
        weights = max(abs(row[j]) for row in [*w.tolist(), *other.tolist()])
        assert found[j] == pytest.approx(inputs**alpha / weights ** (1 - alpha), rel=8 * EPS)  # two powers, a division


@pytest.mark.parametrize("shape", SHAPES)
def test_the_product_is_unchanged(shape):
    x, w = layer(*shape)
    x[:, 0] *= 100
    smooth_x, smooth_w = smoothed_factors(x, w)
    size = np.abs(x) @ np.abs(w).T
    # two roundings in each of the products that are summed, and the sums' own, each relative to the sum of magnitudes
    np.testing.assert_array_less(np.abs(smooth_x @ smooth_w.T - x @ w.T), (4 + 2 * shape[1]) * EPS * size)


def test_at_a_half_both_factors_are_equally_large():
    x, w = layer(6, 9)
    x *= np.geomspace(0.01, 100, 9)
    smooth_x, smooth_w = smoothed_factors(x, w)
    expected = np.sqrt(np.abs(x).max(axis=0) * np.abs(w).max(axis=0))
    np.testing.assert_allclose(np.abs(smooth_x).max(axis=0), expected, rtol=16 * EPS)
    np.testing.assert_allclose(np.abs(smooth_w).max(axis=0), expected, rtol=16 * EPS)


@pytest.mark.parametrize("shape", SHAPES)
def test_at_a_half_no_other_factor_makes_the_larger_of_both_smaller(shape):
    """The optimisation by trying: s minimises max(max|X_j|/s, max|W_j| s) of each channel."""
    x, w = layer(*shape)
    inputs, weights = np.abs(x).max(axis=0), np.abs(w).max(axis=0)
    found = smoothing_factors(inputs, [w])
    best = np.maximum(inputs / found, weights * found)
    for s in np.geomspace(1e-3, 1e3, 2001)[:, None]:
        assert (np.maximum(inputs / s, weights * s) >= best * (1 - 8 * EPS)).all()


def in_whole_numbers(x, w, bits, alpha):
    """The method as its paper writes it, number by number: integers of both factors, their products, two scales."""

    def integers(row):
        delta = max(abs(one) for one in row) / (2 ** (bits - 1) - 1)
        return [round(one / delta) for one in row], delta

    inputs, weights = np.abs(x).max(axis=0), np.abs(w).max(axis=0)
    s = [a**alpha / b ** (1 - alpha) for a, b in zip(inputs.tolist(), weights.tolist(), strict=True)]
    left = [integers([one / s[j] for j, one in enumerate(row)]) for row in x.tolist()]
    right = [integers([one * s[j] for j, one in enumerate(row)]) for row in w.tolist()]
    products = [[sum(i * j for i, j in zip(a, b, strict=True)) * c * d for b, d in right] for a, c in left]
    return np.array(products), [a for a, _ in left], [b for b, _ in right]


@pytest.mark.parametrize("alpha", [0.5, 0.8])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_whole_method_is_its_definition(bits, alpha, shape):
    """Smoothing, both roundings and the product of integers."""
    x, w = layer(*shape)
    expected, left, right = in_whole_numbers(x, w, bits, alpha)
    smooth_x, smooth_w = smoothed_factors(x, w, alpha=alpha)
    top = 2 ** (bits - 1) - 1
    q, gamma = symmetric_integers(smooth_x, top)
    rounded = round_weights(smooth_w, bits=bits)
    np.testing.assert_array_equal(q, left)
    np.testing.assert_array_equal(rounded.q - rounded.zero, right)
    size = np.abs(q * gamma / top) @ np.abs(rounded.values).T
    # two roundings in each number, one of the product, and the sums' own, relative to the sum of magnitudes
    found = q * gamma / top @ rounded.values.T
    assert (np.abs(found - expected) <= (16 + 2 * shape[1]) * EPS * size).all()


@pytest.mark.parametrize("bits", [4, 8])
def test_it_helps_where_a_few_channels_are_large(bits):
    """SmoothQuant's case: two channels a hundred times as large as the others leave those no levels."""
    ratios = []
    for seed in range(10):
        x, w = layer(32, 32, seed=seed)
        x[:, [3, 17]] *= 100
        errors = []
        for inputs, weights in ((x, w), smoothed_factors(x, w)):
            product = np.asarray(round_activations(jnp.asarray(inputs), bits=bits), np.float64)
            errors.append(((product @ round_weights(weights, bits=bits).values.T - x @ w.T) ** 2).mean())
        ratios.append(errors[1] / errors[0])
    assert max(ratios) < 0.5  # errors of the 30 small channels dominate without it


def test_channels_without_inputs_or_weights_are_left_alone():
    x, w = layer(4, 5)
    x[:, 1], w[:, 3] = 0, 0
    found = smoothing_factors(np.abs(x).max(axis=0), [w])
    assert found[1] == found[3] == 1
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(smoothing_factors(np.zeros(5), [np.zeros((2, 5))]), 1)


@pytest.mark.parametrize(
    ("inputs", "weights", "alpha", "words"),
    [
        (np.ones(3), [np.ones((2, 3))], 1.5, "alpha must be a number from 0 to 1, got 1.5"),
        (np.ones(3), [np.ones((2, 3))], float("nan"), "alpha must be"),
        (np.ones(3), [], 0.5, "at least one matrix"),
        (np.ones(2), [np.ones((2, 3))], 0.5, "one largest input per column"),
        (np.full(3, np.nan), [np.ones((2, 3))], 0.5, "largest_inputs must be finite"),
        (-np.ones(3), [np.ones((2, 3))], 0.5, "at least 0"),
        (np.ones(3), [np.full((2, 3), np.nan)], 0.5, "weights must be finite"),
    ],
)
def test_mistakes_are_told_in_one_line(inputs, weights, alpha, words, untyped):
    with pytest.raises(InputError, match=words) as raised:
        smoothing_factors(inputs, weights, alpha=alpha)
    assert "\n" not in str(raised.value)
