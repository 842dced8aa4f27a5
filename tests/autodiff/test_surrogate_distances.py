"""Distances between kernels under surrogates, against the closed kernels of two layers."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import ntk, quantize, surrogate_sensitivity
from ntk1bit.errors import InputError
from ntk1bit.kernels import empirical_ntk
from ntk1bit.kernels.surrogates import distance, shape, surrogate_ntk_reference
from ntk1bit.networks import two_layer
from ntk1bit.networks.straight_through import neuron_wise

X = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)


def hidden(p, x):
    return jax.nn.relu(x @ p["w"]) @ p["a"] / np.sqrt(48)


def found_by_pair(frame):
    return {(row["one"], row["other"]): row for row in frame.to_dict("records")}


def test_two_layers_have_the_distances_of_their_closed_kernels():
    weights = two_layer.init(48, 5, seed=0)
    params = {"w": weights.w.T, "a": weights.a.astype(np.float32)}
    frame = surrogate_sensitivity(hidden, X, params=params, weights="w", parameters="w")
    exact = {name: surrogate_ntk_reference(X, weights, surrogate=name) for name in ("identity", "clipped", "tanh")}
    exact["full"] = empirical_ntk(X, weights, precision="full")
    found = found_by_pair(frame)
    assert frame["kind"].tolist() == ["surrogate"] * 3 + ["precision"] * 3
    assert [*found] == [
        ("identity", "clipped"), ("identity", "tanh"), ("clipped", "tanh"),
        ("full", "identity"), ("full", "clipped"), ("full", "tanh"),
    ]  # fmt: skip
    for (one, other), row in found.items():
        a, b = exact[one], exact[other]
        # float32 kernels of some hundred products
        assert row["distance"] == pytest.approx(distance(a, b), rel=1e-4)
        assert row["shape"] == pytest.approx(shape(a, b), rel=1e-4)
        assert row["factor"] == pytest.approx(np.sum(a * b) / np.sum(b * b), rel=1e-4)
        assert row["shape"] < row["distance"]


def test_a_module_and_estimators_of_ones_own():
    mlp = eqx.nn.MLP(5, 1, 8, 1, key=jax.random.key(0))
    frame = surrogate_sensitivity(mlp, X, surrogates=["identity", "tanh"], bits="ternary")
    assert len(frame) == 3
    assert min(frame["distance"]) > 0.01

    rng = np.random.default_rng(1)
    params = {"w": rng.standard_normal((5, 48)).astype(np.float32), "a": rng.standard_normal(48).astype(np.float32)}

    def make(name):
        size = {"once": 1.0, "twice": 2.0}[name]

        def g(p, x):
            q = neuron_wise(p["w"].T).T
            return hidden({"w": size * q + jax.lax.stop_gradient(q - size * q), "a": p["a"]}, x)

        return g

    found = found_by_pair(
        surrogate_sensitivity(hidden, X, params=params, make=make, surrogates=("once", "twice"), parameters="w")
    )
    pair = found["once", "twice"]  # B = 4 A
    assert pair["distance"] == pytest.approx(1.5, rel=1e-5)
    assert pair["factor"] == pytest.approx(0.25, rel=1e-5)
    assert pair["shape"] == pytest.approx(0, abs=1e-5)
    plain, bit = ntk(hidden, params, X, parameters="w"), ntk(make("once"), params, X, parameters="w")
    assert found["full", "once"]["distance"] == pytest.approx(distance(plain, bit), rel=1e-5)


def test_mistakes_are_told():
    params = {"w": np.ones((5, 48), np.float32), "a": np.ones(48, np.float32)}
    for surrogates in ((), ("tanh", "tanh"), ("full",)):
        with pytest.raises(InputError, match="surrogates must be different names"):
            surrogate_sensitivity(hidden, X, params=params, surrogates=surrogates)
    with pytest.raises(InputError, match="unknown surrogate 'than'"):
        surrogate_sensitivity(hidden, X, params=params, surrogates=("than",))
    with pytest.raises(InputError, match="leave bits and weights out"):
        surrogate_sensitivity(hidden, X, params=params, make=lambda name: hidden, bits="ternary")
    with pytest.raises(InputError, match="quantised already"):
        surrogate_sensitivity(quantize(hidden, "one_bit"), X, params=params)
    with pytest.raises(InputError, match="zero"):
        surrogate_sensitivity(lambda p, x: jnp.sign(x @ p["w"]), X, params=params, parameters="w", weights="w")
