from __future__ import annotations

import jax
import numpy as np
import pytest

from ntk1bit.autodiff import describe_module, module_ntk, ntk, quantize
from ntk1bit.autodiff.frameworks.haiku_networks import is_haiku
from ntk1bit.errors import InputError

hk = pytest.importorskip("haiku")
X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def plain(x):
    return hk.Linear(2)(jax.nn.tanh(hk.Linear(5)(x)))


def normed(x, is_training):
    h = hk.BatchNorm(True, True, 0.9)(hk.Linear(5)(x), is_training)
    h = hk.dropout(hk.next_rng_key(), 0.5, h) if is_training else h
    return hk.Linear(2)(h)


def test_with_and_without_a_random_key():
    network = hk.transform(plain)
    without = hk.without_apply_rng(network)
    params = network.init(jax.random.key(0), X)
    expected = ntk(without.apply, params, X, parameters="linear/*")
    for one in (network, without):
        assert is_haiku(one)
        assert np.array_equal(module_ntk(one, X, params=params, parameters="linear/*"), expected)


@pytest.mark.parametrize("with_key", [True, False])
def test_a_state_is_kept_and_training_switched_off(with_key):
    network = hk.transform_with_state(normed)
    params, state = network.init(jax.random.key(0), X, True)

    def f(p, x):
        return network.apply(p, state, None, x, is_training=False)[0]

    given = network if with_key else hk.without_apply_rng(network)
    assert np.array_equal(module_ntk(given, X, params=params, state=state), ntk(f, params, X))
    mode = describe_module(given, X, params=params, state=state).mode
    assert mode == ("is_training=False is passed", "the state is kept")


def test_quantised():
    network = hk.transform_with_state(normed)
    params, state = network.init(jax.random.key(0), X, True)
    quantised = quantize(network, "int8")
    kernel = module_ntk(quantised, X, params=params, state=state)
    assert 0 < np.abs(kernel / module_ntk(network, X, params=params, state=state) - 1).max() < 0.1  # eight bits
    assert len(describe_module(quantised, X, params=params, state=state).quantisers) == 1
    with pytest.raises(InputError, match="quantised already"):
        quantize(quantised, "int8")


def test_what_is_missing_is_said():
    network, stateful = hk.transform(plain), hk.transform_with_state(normed)
    params = network.init(jax.random.key(0), X)
    with pytest.raises(InputError, match=r"needs params=\.\.\."):
        module_ntk(network, X)
    with pytest.raises(InputError, match=r"has a state: give it as state=\.\.\."):
        module_ntk(stateful, X, params=params)
    with pytest.raises(InputError, match="has no state"):
        module_ntk(network, X, params=params, state={})
