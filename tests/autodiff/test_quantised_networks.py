from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from ntk1bit.autodiff import describe_module, module_ntk, ntk, quantize
from ntk1bit.errors import InputError
from ntk1bit.networks.straight_through import neuron_wise

X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
KEY = jax.random.key(0)


def unknown() -> Any:
    return "two_bit"


def f(p, x):
    return jax.nn.relu(x @ p["w"]) @ p["a"]


def params():
    rng = np.random.default_rng(1)
    return {"w": rng.standard_normal((4, 6)).astype(np.float32), "a": rng.standard_normal((6, 2)).astype(np.float32)}


def test_the_kernel_of_a_network_in_one_bit_is_that_of_the_estimator_written_by_hand():
    def by_hand(p, x):
        return f({"w": neuron_wise(p["w"].T).T, "a": p["a"]}, x)

    found = module_ntk(quantize(f, "one_bit", parameters="w"), X, params=params())
    np.testing.assert_allclose(found, ntk(by_hand, params(), X), rtol=1e-5)
    mlp = eqx.nn.MLP(4, 2, 6, 1, use_bias=False, use_final_bias=False, key=KEY)
    weights = {"w": mlp.layers[0].weight.T, "a": mlp.layers[1].weight.T}
    found = module_ntk(quantize(mlp, "one_bit", parameters="layers/0/*"), X)
    np.testing.assert_allclose(found, ntk(by_hand, weights, X), rtol=1e-4, atol=1e-5)  # float32, other orders of sums


def test_pairs_of_function_and_parameters():
    quantised, same = quantize((f, params()), "ternary", surrogate="tanh")
    assert np.array_equal(same["w"], params()["w"])
    assert describe_module(quantised, X, params=same).quantisers[0].endswith("surrogate tanh")


def test_surrogates_move_the_kernel_and_not_the_outputs():
    mlp = eqx.nn.MLP(4, 2, 6, 1, key=KEY)
    made = [quantize(mlp, "one_bit", surrogate=surrogate) for surrogate in ("identity", "clipped", "tanh")]
    outputs = [np.asarray(jax.vmap(one)(X)) for one in made]
    assert all(np.array_equal(one, outputs[0]) for one in outputs)
    kernels = [module_ntk(one, X) for one in made]
    assert np.abs(kernels[0] - kernels[1]).max() > 0
    assert np.trace(kernels[2]) < np.trace(kernels[0])  # slopes of tanh are below 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantize(module=f, bits=unknown()), "unknown kind of weights"),
        (lambda: quantize(eqx.nn.MLP(4, 2, 6, 1, key=KEY), "one_bit", parameters="head/*"), "'head/\\*' fits no"),
        (lambda: quantize(eqx.nn.LayerNorm(4), "one_bit"), "no weights to quantise"),
        (lambda: quantize(quantize(f, "one_bit"), "one_bit"), "quantised already"),
        (lambda: quantize(quantize(eqx.nn.MLP(4, 2, 6, 1, key=KEY), "int8"), "one_bit"), "quantised already"),
        (lambda: quantize((f, 1, 2), "one_bit"), "is a pair"),
        (lambda: quantize(3, "one_bit"), "no network"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
