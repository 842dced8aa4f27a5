from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks import array_quantizers, straight_through
from ntk1bit.networks.array_quantizers import PASSING

RNG = np.random.default_rng(0)
W = jnp.asarray(1.3 * RNG.standard_normal((5, 7)), jnp.float32)
QUANTISERS = [
    array_quantizers.sign,
    array_quantizers.ternary,
    array_quantizers.int8,
    array_quantizers.neuron_wise,
    array_quantizers.tensor_wise,
]


def argument(name, w):
    """What each quantiser rounds, and the end of the range where the clipped surrogate lets gradients through."""
    mu = w.mean(axis=1, keepdims=True)
    return {
        "sign": (w, 1),
        "ternary": (w / np.abs(w).mean(), 1.5),
        "int8": (w / np.abs(w).max(axis=1, keepdims=True), 127 / 128),
        "neuron_wise": ((w - mu) / np.sqrt(np.mean((w - mu) ** 2, axis=1, keepdims=True)), 1),
        "tensor_wise": (w - w.mean(), 1),
    }[name]


@pytest.mark.parametrize("quantiser", QUANTISERS)
@pytest.mark.parametrize("surrogate", PASSING)
def test_values_are_those_of_straight_through_and_slopes_those_of_the_surrogate(quantiser, surrogate):
    name = quantiser.__name__
    plain = straight_through.absmax if name == "int8" else getattr(straight_through, name)
    value, slope = jax.jvp(lambda w: quantiser(w, surrogate=surrogate), (W,), (jnp.ones_like(W),))
    assert np.array_equal(value, plain(W))
    u, end = argument(name, np.asarray(W, np.float64))
    expected = {"identity": np.ones_like(u), "clipped": np.abs(u) <= end, "tanh": 1 - np.tanh(u) ** 2}[surrogate]
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6)  # float32: some roundings of tanh


@pytest.mark.parametrize("quantiser", QUANTISERS)
@pytest.mark.parametrize("surrogate", PASSING)
def test_vmap_vjp_and_jvp_agree(quantiser, surrogate):
    def f(w):
        return quantiser(w, surrogate=surrogate)

    both = jnp.stack([W, 2 * W + 0.1])
    forward, backward = jax.vmap(jax.jacfwd(f))(both), jax.vmap(jax.jacrev(f))(both)
    np.testing.assert_allclose(forward, backward, rtol=1e-5, atol=1e-6)  # float32: tanh, forwards and backwards
    np.testing.assert_allclose(jax.lax.map(f, both), jax.vmap(f)(both), rtol=1e-6)  # sums in another order


def test_any_shape():
    for shape in ((6,), (2, 3, 4), (1, 1)):
        x = jnp.asarray(RNG.standard_normal(shape), jnp.float32)
        for quantiser in (array_quantizers.sign, array_quantizers.ternary, array_quantizers.int8):
            assert quantiser(x).shape == shape
    assert array_quantizers.sign(jnp.zeros(2), at_zero=-1).tolist() == [-1, -1]
    assert array_quantizers.ternary(jnp.zeros(2), surrogate="tanh").tolist() == [0, 0]


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("quantiser", QUANTISERS)
def test_an_unknown_surrogate_is_named(quantiser):
    with pytest.raises(InputError, match="unknown surrogate 'relu'; choose one of: identity, clipped, tanh"):
        quantiser(W, surrogate="relu")
