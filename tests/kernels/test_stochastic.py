from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from ntk1bit.errors import InputError
from ntk1bit.kernels.stochastic import rounded_ntk, standardised
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import centred_scale


def unit(n, d, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_against_the_formula_neuron_by_neuron(scale):
    x, weights = unit(6, 5), two_layer.init(2051, 5, seed=1)
    expected = np.zeros((6, 6))
    for w in weights.w.astype(np.float64):
        mu = w.mean()
        s = np.sqrt(np.mean((w - mu) ** 2)) if scale == "std" else np.mean(np.abs(w - mu))
        mean = np.tanh((w - mu) / s)
        ratio = [(s * mean @ one + mu * one.sum()) / (s * np.sqrt(((1 - mean**2) * one**2).sum())) for one in x]
        expected += np.outer(stats.norm.cdf(ratio), stats.norm.cdf(ratio))
    expected *= 0.6**2 / 2051 * (x @ x.T)
    # means of 2,051 products below 1, in float64
    np.testing.assert_allclose(rounded_ntk(x, weights, kappa=0.6, scale=scale), expected, rtol=0, atol=1e-13)


def test_signs_drawn_at_random_have_these_moments_and_this_mean_derivative():
    """E relu(z) moves with zeta at the rate Phi(zeta/sigma): many draws, at a d where z is near normal."""
    rng = np.random.default_rng(2)
    d = 256
    x, w = unit(3, d, seed=3), rng.standard_normal((1, d)) + 0.2
    c, s, mu = centred_scale(w)
    mean = np.tanh(c / s)
    q = np.where(rng.random((100_000, d)) < (1 + mean) / 2, 1.0, -1.0)
    z = s * (q @ x.T) + mu * x.sum(axis=1)
    ratio = standardised(x, w)[0]
    # a standardised mean of 100,000 draws is known to 0.003; five of these, and as much again for z not being normal
    np.testing.assert_allclose(z.mean(axis=0) / z.std(axis=0), ratio, atol=0.03)
    moved = (np.maximum(z + 1e-3, 0).mean(axis=0) - np.maximum(z - 1e-3, 0).mean(axis=0)) / 2e-3
    np.testing.assert_allclose(moved, special.ndtr(ratio), atol=0.02)


def test_it_is_positive_and_smooth_where_the_indicator_is_not():
    weights = two_layer.init(512, 3, seed=0)
    angle = np.linspace(0, 2 * np.pi, 257)[:-1]
    x = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    kernel = rounded_ntk(x, weights)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-16)
    values = np.linalg.eigvalsh(kernel)[::-1]
    assert values[-1] > -1e-13
    assert values[40] < 1e-6 * values[0]  # of a power k^-2, 40 would leave 6e-4


def test_mistakes_are_told():
    weights = two_layer.init(6, 3, seed=0)
    with pytest.raises(InputError, match="features"):
        rounded_ntk(unit(2, 4), weights)
    with pytest.raises(InputError, match="kappa"):
        rounded_ntk(unit(2, 3), weights, kappa=-1.0)
