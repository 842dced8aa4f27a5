from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit import autodiff, kernels
from ntk1bit.errors import InputError
from ntk1bit.kernels.surrogates import (
    SLOPES,
    STEEP,
    distance,
    shape,
    surrogate_ntk,
    surrogate_ntk_reference,
    surrogate_slopes,
)
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import SURROGATES, Surrogate
from ntk1bit.networks.straight_through import mean_and_size, neuron_wise, straight_through


def unit(n, d, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def sized(weights):
    """The same network with neurons of sizes 0.3 to 3 and means that are not 0, on which no surrogate depends."""
    rng = np.random.default_rng(9)
    w = rng.uniform(0.3, 3, (weights.width, 1)) * weights.w + rng.standard_normal((weights.width, 1))
    return two_layer.Weights(w.astype(np.float32), weights.a)


@pytest.mark.parametrize("surrogate", SLOPES)
@pytest.mark.parametrize(("n", "d", "m"), [(1, 2, 1), (7, 5, 33), (5, 17, 2049)])
@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_products_by_coordinate_are_the_jacobian(surrogate, n, d, m, scale):
    weights = sized(two_layer.init(m, d, seed=m))
    x = unit(n, d)
    x[:, d // 2] = 0  # a coordinate that is passed over
    options = {"surrogate": surrogate, "kappa": 0.6, "scale": scale}
    found, plain = surrogate_ntk(x, weights, **options), surrogate_ntk_reference(x, weights, **options)
    # sums of m d products of at most 0.36/m in float64: off by m d eps/2 in units of them at the very most
    np.testing.assert_allclose(found, plain, rtol=0, atol=0.36 * d * 2.2e-16 * m)


def test_the_identity_is_the_kernel_of_the_paper():
    weights, x = two_layer.init(65, 6, seed=0), unit(9, 6)
    np.testing.assert_array_equal(surrogate_ntk(x, weights, surrogate="identity"), kernels.empirical_ntk(x, weights))


def tanh_quantised(w, steepness):
    """s Sign(u) + mu, where the derivative of s tanh(steepness u)/steepness + mu, s and mu held, is taken."""
    mu, s = mean_and_size(w, scale="std")
    smooth = s * jnp.tanh(steepness * (w - mu) / s) / steepness
    return straight_through(s * jnp.where(w >= mu, 1.0, -1.0) + mu, smooth)


QUANTISED = {
    "identity": lambda w: neuron_wise(w, surrogate="identity"),
    "clipped": lambda w: neuron_wise(w, surrogate="clipped"),
    "tanh": lambda w: tanh_quantised(w, 1.0),
    "steep": lambda w: tanh_quantised(w, STEEP),
}


@pytest.mark.parametrize("surrogate", SLOPES)
def test_a_network_that_is_differentiated_has_this_kernel(surrogate):
    """The library's own straight-through gradients: what a training in JAX would move along."""
    weights, x = sized(two_layer.init(21, 6, seed=3)), unit(8, 6, seed=1)

    def f(params, inputs):
        hidden = jax.nn.relu(QUANTISED[surrogate](params["w"]) @ inputs.T)
        return weights.a @ hidden / np.sqrt(21)

    found = np.asarray(autodiff.ntk(f, {"w": jnp.asarray(weights.w)}, jnp.asarray(x)))
    # float32: sums of 126 products; entries are at most 1
    np.testing.assert_allclose(found, surrogate_ntk(x, weights, surrogate=surrogate), atol=1e-5)
    assert np.abs(found).max() > 0.01


def test_the_surrogates_of_the_library_have_these_slopes():
    w = jnp.asarray(two_layer.init(9, 7, seed=0).w)
    pairs: tuple[tuple[Surrogate, str], ...] = (("identity", "identity"), ("clipped", "clipped"), ("sign", "identity"))
    for one, here in pairs:
        slopes = jax.vjp(functools.partial(neuron_wise, surrogate=one), w)[1](jnp.ones_like(w))[0]
        np.testing.assert_array_equal(np.asarray(slopes), surrogate_slopes(np.asarray(w), surrogate=here))
    assert set(SURROGATES) == {"identity", "clipped", "sign"}  # another one would have to be measured too


def test_slopes_are_1_at_the_threshold_and_depend_on_the_shape_of_a_row_only():
    w = np.array([[-2.0, 0.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0]])  # s = sqrt(2), and a row of equal weights
    assert surrogate_slopes(w, surrogate="clipped")[0].tolist() == [0, 1, 0, 1]
    for surrogate in SLOPES:
        found = surrogate_slopes(w, surrogate=surrogate)
        assert found[:, 1].tolist() == [1, 1]
        np.testing.assert_allclose(found, surrogate_slopes(4 * w + 1, surrogate=surrogate), rtol=1e-15)
    assert surrogate_slopes(w, surrogate="tanh")[0, 0] == pytest.approx(1 / np.cosh(np.sqrt(2)) ** 2)
    assert surrogate_slopes(w, surrogate="steep")[0, 0] == pytest.approx(1 / np.cosh(4 * np.sqrt(2)) ** 2)


def test_kernels_are_symmetric_and_positive():
    weights, x = two_layer.init(65, 6, seed=0), unit(20, 6)
    for surrogate in SLOPES:
        kernel = surrogate_ntk(x, weights, surrogate=surrogate)
        np.testing.assert_allclose(kernel, kernel.T, atol=1e-16)
        assert np.linalg.eigvalsh(kernel)[0] > -1e-14


@pytest.mark.parametrize("function", [surrogate_ntk, surrogate_ntk_reference])
def test_mistakes_are_told(function):
    weights, x = two_layer.init(6, 3, seed=0), unit(2, 3)
    with pytest.raises(InputError, match="did you mean 'clipped'"):
        function(x, weights, surrogate="cliped")
    with pytest.raises(InputError, match="kappa"):
        function(x, weights, surrogate="tanh", kappa=0.0)
    with pytest.raises(InputError, match="features"):
        function(x[:, :2], weights, surrogate="tanh")


def test_a_common_factor_is_a_distance_and_no_change_of_shape():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((5, 5))
    assert distance(a, 4 * a) == pytest.approx(3 / 2)  # (4 - 1)/sqrt(4 1)
    assert shape(a, 4 * a) == pytest.approx(0, abs=1e-15)
    b = rng.standard_normal((5, 5))
    assert distance(a, b) == pytest.approx(distance(b, a))
    assert shape(a, b) == pytest.approx(shape(b, a))
    best = min(np.linalg.norm(a - c * b) / np.linalg.norm(a) for c in np.linspace(-2, 2, 4001))
    assert shape(a, b) == pytest.approx(best, rel=1e-5)  # at the minimum a step of 1e-3 changes 1e-6/2 of it
