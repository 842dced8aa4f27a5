from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import describe_module, module_ntk, ntk
from ntk1bit.autodiff.frameworks.equinox_modules import QuantizedEquinox, open_equinox
from ntk1bit.autodiff.frameworks.weight_quantiser import WeightQuantiser
from ntk1bit.errors import InputError

X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
KEY = jax.random.key(0)


class Normed(eqx.Module):
    linear: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    dropout: eqx.nn.Dropout

    def __init__(self):
        self.linear = eqx.nn.Linear(3, 2, key=KEY)
        self.norm = eqx.nn.BatchNorm(2, "batch", mode="batch")
        self.dropout = eqx.nn.Dropout(0.5)

    def __call__(self, x, state):
        h, state = self.norm(self.linear(x), state)
        return self.dropout(h), state


class Batched(eqx.Module):
    w: jax.Array

    def __call__(self, x):
        assert x.ndim == 2
        return x @ self.w


def test_a_module_of_one_input_keeps_its_static_leaves():
    module = eqx.nn.MLP(3, 2, 4, 1, key=KEY)
    assert np.array_equal(module_ntk(module, X), ntk(lambda m, x: jax.vmap(m)(x), module, X))
    record = describe_module(module, X, parameters="layers/0/**")
    assert record.parameters == (("layers/0/weight", 12), ("layers/0/bias", 4))
    assert record.left_out == (("layers/1/weight", 8), ("layers/1/bias", 2))
    assert (record.framework, record.outputs, "vmap" in record.called) == ("Equinox", (2,), True)


def test_a_module_of_a_batch():
    module = Batched(jnp.ones((3, 2)))
    assert describe_module(module, X).called == "on the batch"
    np.testing.assert_allclose(module_ntk(module, X), X @ X.T, rtol=1e-5)


def test_a_module_that_takes_both_must_give_the_same():
    class Centred(eqx.Module):
        w: jax.Array

        def __call__(self, x):
            return (x - x.mean(axis=0)) @ self.w

    with pytest.raises(InputError, match="one input as well as a batch, with different outputs; say how"):
        module_ntk(Centred(jnp.ones((3, 2))), X)

    class Plain(eqx.Module):
        w: jax.Array

        def __call__(self, x):
            return x @ self.w

    np.testing.assert_allclose(module_ntk(Plain(jnp.ones((3, 2))), X), X @ X.T, rtol=1e-5)


def test_state_is_kept_and_inference_mode_applied():
    module, state = eqx.nn.make_with_state(Normed)()
    module = eqx.tree_at(lambda m: m.linear.bias, module, jnp.array([0.3, -0.2]))
    evaluated = eqx.nn.inference_mode(module)
    expected = ntk(lambda m, x: jax.vmap(lambda one: m(one, state)[0])(x), evaluated, X)
    assert np.array_equal(module_ntk(module, X, state=state), expected)
    assert describe_module(module, X, state=state).mode == (
        "eqx.nn.inference_mode is applied",
        "the state is read and kept",
    )
    assert module.dropout.inference is False
    with pytest.raises(InputError, match=r"must be an eqx\.nn\.State"):
        open_equinox(module, 3)


def test_shared_weights_count_once():
    class Tied(eqx.Module):
        shared: eqx.nn.Shared

        def __init__(self):
            layers = (eqx.nn.Linear(3, 3, key=KEY), eqx.nn.Linear(3, 3, use_bias=False, key=KEY))
            self.shared = eqx.nn.Shared(layers, where=lambda t: t[1].weight, get=lambda t: t[0].weight)

        def __call__(self, x):
            first, second = self.shared()
            return second(jnp.tanh(first(x)))

    assert describe_module(Tied(), X).count == 9 + 3
    w, b = Tied().shared.pytree[0].weight, Tied().shared.pytree[0].bias
    expected = ntk(lambda p, x: jnp.tanh(x @ p[0].T + p[1]) @ p[0].T, (w, b), X)
    np.testing.assert_allclose(module_ntk(Tied(), X), expected, rtol=1e-5)


def test_a_quantised_module_is_trained_by_its_latent_weights():
    module = eqx.nn.MLP(3, 2, 4, 1, key=KEY)
    quantiser = WeightQuantiser("one_bit")
    quantised = QuantizedEquinox(module, quantiser)
    assert np.array_equal(quantised(X[0]), quantiser(module, "first")(X[0]))
    gradient = eqx.filter_grad(lambda m: m(X[0]).sum())(quantised)
    assert bool(gradient.module.layers[0].weight.any())
    record = describe_module(quantised, X)
    assert [path for path, _ in record.parameters] == [path for path, _ in describe_module(module, X).parameters]
    assert record.quantisers == (str(quantiser),)
