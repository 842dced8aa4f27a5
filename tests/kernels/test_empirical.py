from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from ntk1bit import kernels
from ntk1bit.errors import InputError
from ntk1bit.networks import two_layer


def unit(n, d, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("precision", ["one_bit", "full"])
@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_against_the_straight_through_jacobian(precision, scale):
    x, x2 = unit(7, 5), unit(3, 5, seed=1)
    weights = two_layer.init(33, 5, seed=2)
    wide = two_layer.Weights(weights.w.astype(np.float64), weights.a.astype(np.float64))

    def jacobian(inputs):
        active = two_layer.activation_patterns(inputs, wide, precision=precision, scale=scale).T
        columns = 0.6 / np.sqrt(33) * active[:, :, None] * wide.a[None, :, None] * inputs[:, None, :]
        return columns.reshape(len(inputs), -1)

    options = {"precision": precision, "kappa": 0.6, "scale": scale}
    np.testing.assert_allclose(kernels.empirical_ntk(x, wide, **options), jacobian(x) @ jacobian(x).T, atol=1e-15)
    np.testing.assert_allclose(kernels.empirical_ntk(x, wide, x2, **options), jacobian(x) @ jacobian(x2).T, atol=1e-15)


def test_full_precision_jacobian_is_the_derivative():
    x = unit(4, 3)
    weights = two_layer.init(5, 3, seed=1)
    wide = two_layer.Weights(weights.w.astype(np.float64), weights.a.astype(np.float64))
    step = 1e-6
    jacobian = np.empty((4, 15))
    for k in range(15):
        moved = wide.w.copy()
        moved.flat[k] += step
        above = two_layer.outputs(x, two_layer.Weights(moved, wide.a), precision="full")
        moved.flat[k] -= 2 * step
        below = two_layer.outputs(x, two_layer.Weights(moved, wide.a), precision="full")
        jacobian[:, k] = (above - below) / (2 * step)
    # f is piecewise linear in each weight, so central differences are exact up to rounding / step = 1e-16 / 1e-6
    np.testing.assert_allclose(kernels.empirical_ntk(x, wide, precision="full"), jacobian @ jacobian.T, atol=1e-9)


def test_symmetric_positive_and_empty():
    x = unit(20, 6)
    weights = two_layer.init(65, 6, seed=0)
    kernel = kernels.empirical_ntk(x, weights)
    np.testing.assert_array_equal(kernel, kernel.T)
    assert np.linalg.eigvalsh(kernel)[0] > -1e-14
    assert kernels.empirical_ntk(x[:0], weights).shape == (0, 0)
    assert kernels.empirical_ntk(x, weights, x[:0]).shape == (20, 0)


def changed(entry: int, value: float, *, sign: bool = False) -> two_layer.Weights:
    """A network of 6 neurons with one weight, or one output sign, replaced."""
    weights = two_layer.init(6, 3, seed=0)
    (weights.a if sign else weights.w).flat[entry] = value
    return weights


TAKES_WEIGHTS = {
    "empirical_ntk": kernels.empirical_ntk,
    "outputs": two_layer.outputs,
    "outputs_reference": two_layer.outputs_reference,
    "activation_patterns": two_layer.activation_patterns,
    "packed_activation_patterns": two_layer.packed_activation_patterns,
    "train": lambda x, weights, **more: two_layer.train(x, np.ones(len(x)), weights, steps=1, **more),
    "step_terms": lambda x, weights, **more: two_layer.step_terms(x, np.ones(len(x)), weights, eta=0.1, **more),
}
PATTERNS = ("activation_patterns", "packed_activation_patterns")  # these have no output scale


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("name", TAKES_WEIGHTS)
@pytest.mark.parametrize("precision", ["one_bit", "full"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_networks_that_are_none_are_refused_everywhere(name, precision, dtype):
    call = functools.partial(TAKES_WEIGHTS[name], unit(4, 3), precision=precision)
    for weights, message in (
        (changed(4, np.nan), "weights contain NaN or infinity"),
        (changed(0, -np.inf), "weights contain NaN or infinity"),
        (changed(2, 0.5, sign=True), "signs a must be -1 or .1, got 0.5"),
        (changed(5, 0.0, sign=True), "signs a must be -1 or .1, got 0"),
        (changed(5, np.nan, sign=True), "signs a must be -1 or .1, got nan"),
        (two_layer.Weights(np.ones((2, 3)), np.ones(3)), "weights w .m, d. and signs a .m,."),
        (two_layer.Weights(np.ones((0, 3)), np.ones(0)), "weights w .m, d. and signs a .m,."),
        (two_layer.Weights(np.ones(3), np.ones(3)), "weights w .m, d. and signs a .m,."),
    ):
        with pytest.raises(InputError, match=message):
            call(two_layer.Weights(weights.w.astype(dtype), weights.a.astype(dtype)))
    others: list[Any] = [[[1.0, 2.0, 3.0]], np.ones((1, 3), int), np.ones((1, 3), complex)]
    for w in others:
        with pytest.raises(InputError, match="w must be a NumPy array of floats"):
            call(two_layer.Weights(w, np.ones(1)))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("name", [one for one in TAKES_WEIGHTS if one not in PATTERNS])
@pytest.mark.parametrize("kappa", [np.nan, np.inf, 0.0, -1.0, 1e200, 1e-200, None, "1", 1j])
def test_output_scales_that_are_none_are_refused_everywhere(name, kappa):
    with pytest.raises(InputError, match="kappa must be a positive number, from 1e-30 to 1e30"):
        TAKES_WEIGHTS[name](unit(4, 3), two_layer.init(6, 3, seed=0), kappa=kappa)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("name", TAKES_WEIGHTS)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones(3), "a matrix with a row for each input"),
        (np.ones((2, 3, 3, 1)), "reshape images to rows"),
        (np.ones((2, 3)) * 1j, "complex"),
        ([[1.0, 2.0, 3.0], [1.0]], "cannot be read"),
        ([["a", "b", "c"]], "not numbers"),
        (np.full((2, 3), 1e39), "too large for float32"),
        (np.full((2, 3), 1e-60), "too small for float32"),
    ],
)
def test_inputs_that_are_none_are_refused_everywhere(name, x, message):
    with pytest.raises(InputError, match=message):
        TAKES_WEIGHTS[name](x, two_layer.init(6, 3, seed=0))


@pytest.mark.parametrize("name", ["empirical_ntk", "outputs", "outputs_reference", "activation_patterns"])
def test_inputs_as_lists_and_whole_numbers(name):
    weights = two_layer.init(33, 3, seed=0)
    x = np.array([[1, 0, -2], [3, 1, 0]])
    expected = TAKES_WEIGHTS[name](x.astype(np.float32), weights)
    for given in (x, x.tolist(), x.astype(np.int8), x.astype(np.float16), x.astype(np.longdouble)):
        np.testing.assert_array_equal(TAKES_WEIGHTS[name](given, weights), expected)


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_told():
    weights = two_layer.init(4, 3, seed=0)
    with pytest.raises(InputError, match="5 features, but the network takes 3"):
        kernels.empirical_ntk(unit(2, 5), weights)
    with pytest.raises(InputError, match="NaN"):
        kernels.empirical_ntk(unit(2, 3), weights, np.full((1, 3), np.inf))
