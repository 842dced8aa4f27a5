from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit import autodiff, kernels
from ntk1bit.errors import InputError
from ntk1bit.networks import quantizers, two_layer
from ntk1bit.networks import straight_through as ste

SHAPES = [(1, 1), (1, 7), (7, 1), (5, 63), (3, 64), (2, 65), (33, 17)]
EPS = float(np.finfo(np.float32).eps)


def weights(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# Values -----------------------------------------------------------------------------------------------------------


def test_hand_computed_values():
    w = jnp.array([[1.0, 3.0, 2.0, 6.0]])  # mean 3, deviations -2 0 -1 3: signs - + - +
    s = np.float32(np.sqrt(14 / 4))
    np.testing.assert_array_equal(ste.neuron_wise(w)[0], [3 - s, 3 + s, 3 - s, 3 + s])
    np.testing.assert_array_equal(ste.neuron_wise(w, scale="absmean")[0], [1.5, 4.5, 1.5, 4.5])
    t = jnp.array([[1.0, -1.0], [3.0, 5.0]])  # mean 2, mean magnitude 2.5
    np.testing.assert_array_equal(ste.tensor_wise(t), [[-2.5, -2.5], [2.5, 2.5]])
    three = jnp.array([[2.0, -0.5], [1.0, -4.5]])  # mean magnitude 2: 1, -0.25, 0.5 (even: 0), -2.25
    np.testing.assert_array_equal(ste.ternary(three), [[2.0, 0.0], [0.0, -2.0]])
    x = jnp.array([[0.0, 0.0, 0.0, 0.0], [1.0, -2.0, 0.5, 0.25]])  # 64, -128 (clipped to -127), 32, 16
    np.testing.assert_array_equal(ste.absmax(x)[1], np.array([64, -127, 32, 16]) / 64)
    np.testing.assert_array_equal(ste.absmax(x)[0], 0.0)
    # two bits: Q_b = 2, whole numbers -1, 0, 1; 1 -> 1, -2 -> -2 (clipped to -1), 0.5 -> 0.5 (even: 0)
    np.testing.assert_array_equal(ste.absmax(x, bits=2)[1], [1.0, -1.0, 0.0, 0.0])


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_sign_of_zero_is_plus_one_by_default(zero):
    assert ste.sign(jnp.array([zero]))[0] == 1
    assert ste.tensor_wise(jnp.full((2, 2), zero)).tolist() == [[0, 0], [0, 0]]
    assert ste.neuron_wise(jnp.full((2, 3), 4.0)).tolist() == [[4.0] * 3] * 2


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_sign_of_zero_is_minus_one_in_w23(zero):
    """W23, Eq. 2: Sign(w) = -1 if w <= 0. What ties with the mean, all of a constant matrix, goes to -1."""
    assert ste.sign(jnp.array([zero]), at_zero=-1)[0] == -1
    assert np.signbit(ste.tensor_wise(jnp.full((2, 2), zero), sign_at_zero=-1)).all()
    assert ste.tensor_wise(jnp.full((2, 3), 4.0), sign_at_zero=-1).tolist() == [[-4.0] * 3] * 2
    tied = jnp.array([[1.0, 2.0, 3.0]])  # mean 2, mean magnitude 2
    assert ste.tensor_wise(tied, sign_at_zero=-1).tolist() == [[-2.0, -2.0, 2.0]]
    assert ste.tensor_wise(tied).tolist() == [[-2.0, 2.0, 2.0]]


@jax.jit
def quantised(w):
    return (
        ste.neuron_wise(w),
        ste.tensor_wise(w),
        ste.ternary(w),
        ste.absmax(w),
        ste.absmax_integers(w)[:2],
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_signs_and_integers_equal_numpys_and_values_agree_to_rounding(shape):
    w = weights(shape)
    bound = 8 * EPS * np.abs(w).max()  # a mean of up to 561 terms, a product and a sum, each rounded
    values = jax.tree.map(np.asarray, quantised(w))
    neurons, value = quantizers.quantize_neurons(w), values[0]
    np.testing.assert_allclose(value, quantizers.dequantize_neurons(neurons), rtol=0, atol=bound)
    if shape[1] > 1:
        np.testing.assert_array_equal(np.where(value >= w.mean(axis=1, keepdims=True), 1, -1), neurons.q)
    tensor, value = quantizers.quantize_tensor(w), values[1]
    np.testing.assert_array_equal(np.where(value >= 0, 1, -1), tensor.q)
    np.testing.assert_allclose(np.abs(value), tensor.beta, rtol=8 * EPS)
    three, value = quantizers.quantize_ternary(w), values[2]
    np.testing.assert_array_equal(np.sign(value), three.q)
    np.testing.assert_allclose(value, three.beta * three.q, rtol=8 * EPS)
    integers, gamma = values[4]
    rounded = quantizers.quantize_activations(w)
    np.testing.assert_array_equal(integers, rounded.q)
    np.testing.assert_array_equal(gamma[:, 0], rounded.gamma)
    np.testing.assert_array_equal(values[3], integers * (gamma / 128))


def test_an_independent_version_in_plain_loops():
    w = weights((4, 5), seed=3)
    rows = [[float(one) for one in row] for row in w]
    flat = [one for row in rows for one in row]
    alpha, beta = sum(flat) / 20, sum(abs(one) for one in flat) / 20
    expected = [[beta if one - alpha >= 0 else -beta for one in row] for row in rows]
    np.testing.assert_allclose(ste.tensor_wise(jnp.asarray(w)), expected, rtol=8 * EPS)
    by_row = []
    for row in rows:
        mu = sum(row) / 5
        s = (sum((one - mu) ** 2 for one in row) / 5) ** 0.5
        by_row.append([mu + (s if one - mu >= 0 else -s) for one in row])
    np.testing.assert_allclose(ste.neuron_wise(jnp.asarray(w)), by_row, rtol=0, atol=8 * EPS * np.abs(w).max())


# Derivatives ------------------------------------------------------------------------------------------------------


def both_modes(f, w):
    forward, backward = jax.jit(jax.jacfwd(f))(w), jax.jit(jax.jacrev(f))(w)
    np.testing.assert_allclose(forward, backward, rtol=0, atol=32 * EPS)  # the same products, summed in other orders
    return np.asarray(backward).reshape(w.size, w.size)


@pytest.mark.parametrize("quantizer", [ste.neuron_wise, ste.tensor_wise, ste.ternary])
def test_identity_is_the_identity(quantizer):
    w = jnp.asarray(weights((3, 5)))
    np.testing.assert_array_equal(both_modes(quantizer, w), np.eye(15))


def test_the_gradient_of_a_neuron_is_its_input():
    """D25, Lemma F.3: dz/dw := x, for z = s <q, x> + mu <1, x>."""
    w, x = jnp.asarray(weights((1, 9))), jnp.asarray(weights((9,), seed=1))
    gradient = jax.grad(lambda one: (ste.neuron_wise(one) @ x)[0])(w)
    np.testing.assert_array_equal(gradient[0], x)


def test_clipped_passes_only_inside_the_range():
    w = weights((4, 6), seed=2) * 1.5
    c = w - w.mean(axis=1, keepdims=True)
    inside = np.abs(c) <= np.sqrt((c**2).mean(axis=1, keepdims=True))
    assert 0 < inside.sum() < inside.size
    jacobian = both_modes(lambda one: ste.neuron_wise(one, surrogate="clipped"), jnp.asarray(w))
    np.testing.assert_array_equal(jacobian, np.diag(inside.ravel().astype(float)))
    inside = np.abs(w - w.mean()) <= 1
    jacobian = both_modes(lambda one: ste.tensor_wise(one, surrogate="clipped"), jnp.asarray(w))
    np.testing.assert_array_equal(jacobian, np.diag(inside.ravel().astype(float)))
    inside = np.abs(w) <= 1.5 * np.abs(w).mean()
    jacobian = both_modes(lambda one: ste.ternary(one, surrogate="clipped"), jnp.asarray(w))
    np.testing.assert_array_equal(jacobian, np.diag(inside.ravel().astype(float)))
    row = jnp.array([[1.0, -2.0, 0.5]])
    jacobian = both_modes(lambda one: ste.absmax(one, surrogate="clipped"), row)
    np.testing.assert_array_equal(jacobian, np.diag([1.0, 0.0, 1.0]))  # the largest is clipped to Q_b - 1


def test_through_sign_alone_the_scale_is_differentiated_as_written():
    """d (beta Sign(W - alpha)) = beta d(W - alpha) + Sign(W - alpha) d beta, beta = mean|W|, alpha = mean W."""
    w = weights((3, 4), seed=5)
    jacobian = both_modes(lambda one: ste.tensor_wise(one, surrogate="sign"), jnp.asarray(w))
    flat = w.astype(np.float64).ravel()
    n = flat.size
    signs = np.where(flat - flat.mean() >= 0, 1.0, -1.0)
    expected = np.abs(flat).mean() * (np.eye(n) - 1 / n) + np.outer(signs, np.sign(flat)) / n
    np.testing.assert_allclose(jacobian, expected, rtol=0, atol=32 * EPS)


@pytest.mark.parametrize("quantizer", [ste.neuron_wise, ste.tensor_wise, ste.ternary])
def test_quantisers_can_be_mapped_over_seeds(quantizer):
    w = jnp.asarray(weights((3, 4, 5)))
    one_by_one = [jax.jit(quantizer)(one) for one in w]
    np.testing.assert_allclose(jax.jit(jax.vmap(quantizer))(w), np.stack(one_by_one), rtol=4 * EPS)


# Their NTK --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_the_ntk_of_a_two_layer_network_is_the_empirical_kernel(scale):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 9)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    start = two_layer.init(33, 9, seed=1)

    def f(params, inputs):
        return (
            jax.nn.relu(inputs @ ste.neuron_wise(params["w"], scale=scale).T) @ start.a / np.sqrt(33, dtype=np.float32)
        )

    found = autodiff.ntk(f, {"w": start.w}, x)
    expected = kernels.empirical_ntk(x, start, precision="one_bit", scale=scale)
    np.testing.assert_allclose(found, expected, rtol=0, atol=64 * EPS)  # entries of size 1, sums of 33 x 9 terms


def test_the_ntk_of_a_tensor_wise_layer_follows_from_its_surrogate():
    x = weights((4, 6), seed=8)
    w = weights((5, 6), seed=9)

    def f(params, inputs):
        return inputs @ ste.tensor_wise(params["w"]).T

    found = autodiff.ntk(f, {"w": w}, x)
    np.testing.assert_allclose(found, x @ x.T, rtol=0, atol=64 * EPS * np.abs(x @ x.T).max())  # identity: dy/dw = x


# Mistakes ---------------------------------------------------------------------------------------------------------


def test_mistakes_are_told(untyped):
    with pytest.raises(InputError, match="did you mean 'clipped'"):
        ste.tensor_wise(jnp.ones((2, 2)), surrogate="cliped")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="scale"):
        ste.neuron_wise(jnp.ones((2, 2)), scale="max")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="matrix"):
        ste.ternary(jnp.ones(3))
    with pytest.raises(InputError, match="matrix"):
        ste.tensor_wise(jnp.ones((0, 3)))
    with pytest.raises(InputError, match="2 to 8 bits"):
        ste.absmax(jnp.ones((2, 2)), bits=9)
    with pytest.raises(InputError, match="surrogate"):
        ste.absmax(jnp.ones((2, 2)), surrogate="sign")
