from __future__ import annotations

import jax
import numpy as np
import pytest

from ntk1bit.autodiff import describe_module, module_ntk, ntk, quantize
from ntk1bit.autodiff.frameworks.weight_quantiser import WeightQuantiser

nnx = pytest.importorskip("flax.nnx")
X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


class Model(nnx.Module):
    def __init__(self, *, rngs):
        self.first = nnx.Linear(3, 5, rngs=rngs)
        self.norm = nnx.BatchNorm(5, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(5, 2, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(nnx.relu(self.norm(self.first(x)))))


class Tied(nnx.Module):
    def __init__(self, *, rngs):
        self.first = nnx.Linear(3, 3, rngs=rngs)
        self.again = self.first

    def __call__(self, x):
        return self.again(nnx.tanh(self.first(x)))


def test_only_params_count_and_the_module_is_left_as_it_was():
    model = Model(rngs=nnx.Rngs(0))
    copy = nnx.clone(model)
    copy.eval()
    graph, params, rest = nnx.split(copy, nnx.Param, ...)
    expected = ntk(lambda p, x: nnx.merge(graph, p, rest)(x), params, X)
    assert np.array_equal(module_ntk(model, X), expected)
    assert model.dropout.deterministic is False
    record = describe_module(model, X, parameters=["first/*", "last/bias"])
    assert [path for path, _ in record.parameters] == ["first/bias", "first/kernel", "last/bias"]
    assert [path for path, _ in record.left_out] == ["last/kernel", "norm/bias", "norm/scale"]


def test_a_shared_layer_counts_once():
    model = Tied(rngs=nnx.Rngs(0))
    w = np.asarray(model.first.kernel[...])
    assert describe_module(model, X).count == 12
    expected = ntk(lambda p, x: jax.numpy.tanh(x @ p[0] + p[1]) @ p[0] + p[1], (w, np.zeros(3, np.float32)), X)
    np.testing.assert_allclose(module_ntk(model, X), expected, rtol=1e-5)


def test_a_quantised_module_computes_with_its_quantised_weights_and_keeps_its_statistics():
    model = Model(rngs=nnx.Rngs(0))
    model.dropout.rate = 0.0
    quantised = quantize(model, "one_bit_tensor")
    reference = nnx.clone(model)
    quantiser = WeightQuantiser("one_bit_tensor")
    for layer in (reference.first, reference.last):
        layer.kernel[...] = quantiser({"k": layer.kernel[...]}, "last")["k"]
    before = np.asarray(model.norm.mean[...])
    np.testing.assert_allclose(quantised(X), reference(X), rtol=1e-5, atol=1e-6)  # float32
    assert np.any(np.asarray(model.norm.mean[...]) != before)  # training mode: the module that it holds has moved
    np.testing.assert_allclose(model.norm.mean[...], reference.norm.mean[...], rtol=1e-5, atol=1e-7)
    assert describe_module(quantised, X).quantisers == (str(quantiser),)
    assert describe_module(quantised, X).parameters[0] == ("first/bias", 5)
