from __future__ import annotations

import jax
import numpy as np
import pytest

from ntk1bit.autodiff import describe_module, module_ntk, ntk
from ntk1bit.autodiff.frameworks.linen_modules import QuantizedLinen
from ntk1bit.autodiff.frameworks.weight_quantiser import WeightQuantiser
from ntk1bit.errors import InputError

nn = pytest.importorskip("flax.linen")
X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


class Normed(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = True):
        h = nn.BatchNorm(use_running_average=not train)(nn.Dense(5)(x))
        return nn.Dense(2)(nn.Dropout(0.5, deterministic=not train)(nn.relu(h)))


def variables():
    return Normed().init(jax.random.key(0), X, train=False)


def test_statistics_are_kept_and_training_is_switched_off():
    made = variables()
    statistics = jax.tree.map(lambda leaf: leaf + 0.3, made["batch_stats"])
    made = {**made, "batch_stats": statistics}

    def f(p, x):
        return Normed().apply({"params": p, "batch_stats": statistics}, x, train=False)

    assert np.array_equal(module_ntk(Normed(), X, params=made), ntk(f, made["params"], X))
    record = describe_module(Normed(), X, params=made, parameters="Dense_*/kernel")
    assert [path for path, _ in record.parameters] == ["Dense_0/kernel", "Dense_1/kernel"]
    assert record.mode == ("train=False is passed", "collection 'batch_stats' is kept, and is no parameter")
    assert all("batch_stats" not in path for path, _ in record.left_out)


def test_parameters_alone_and_bound_modules():
    dense = nn.Dense(2)
    made = dense.init(jax.random.key(0), X)
    expected = ntk(dense.apply, made, X)
    assert np.array_equal(module_ntk(dense, X, params=made["params"]), expected)
    assert np.array_equal(module_ntk(dense.bind(made), X), expected)


def test_what_is_missing_is_said():
    with pytest.raises(InputError, match=r"needs params=variables.*got NoneType"):
        module_ntk(Normed(), X)
    with pytest.raises(InputError, match="reads a collection that params lacks"):
        module_ntk(Normed(), X, params=variables()["params"])
    with pytest.raises(InputError, match="state is for Haiku and Equinox"):
        module_ntk(Normed(), X, params=variables(), state=1)


def test_quantised_in_apply_and_not_in_init():
    quantiser = WeightQuantiser("one_bit")
    quantised, made = QuantizedLinen(Normed(), quantiser), variables()
    assert jax.tree.all(jax.tree.map(np.array_equal, quantised.init(jax.random.key(0), X, train=False), made))
    value = quantised.apply(made, X, train=False)
    kernel = np.asarray(made["params"]["Dense_1"]["kernel"], np.float64)
    mu, s = kernel.mean(axis=0), kernel.std(axis=0)  # a column for each neuron
    expected = {
        **made["params"],
        "Dense_1": {**made["params"]["Dense_1"], "kernel": np.where(kernel >= mu, s, -s) + mu},
    }
    first = quantiser({"k": made["params"]["Dense_0"]["kernel"]}, "last")["k"]
    expected["Dense_0"] = {**made["params"]["Dense_0"], "kernel": first}
    reference = Normed().apply({**made, "params": expected}, X, train=False)
    np.testing.assert_allclose(value, reference, rtol=1e-5, atol=1e-6)  # float32
    assert np.any(value != Normed().apply(made, X, train=False))
    assert describe_module(quantised, X, params=made).quantisers == (str(quantiser),)
