from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks import quantizers
from ntk1bit.networks.bitlinear import ELASTIC_STEP, LayerNorm, Projection, projection, quantized_factors
from ntk1bit.networks.bitlinear_form import ROUNDED, W23
from ntk1bit.networks.bitlinear_reference import clipped_groups, signed_groups
from ntk1bit.networks.layer_norm import layer_norm
from ntk1bit.networks.straight_through import absmax, tensor_wise
from ntk1bit.networks.transformer_shape import ARMS, layer_of

EPS = float(np.finfo(np.float32).eps)
SHAPES = [(1, 1, 1), (1, 7, 3), (4, 63, 5), (2, 64, 65), (3, 65, 64)]


def drawn(rows, inputs, outputs, seed=0):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((rows, inputs)), rng.standard_normal((outputs, inputs))
    return x.astype(np.float32), w.astype(np.float32)


def reference(x, w, arm):
    """The formulas in float64 NumPy, from the integers of `ntk1bit.networks.quantizers`."""
    x64, w64 = x.astype(np.float64), w.astype(np.float64)
    activations = quantizers.quantize_activations(x)
    rounded = activations.q * (activations.gamma.astype(np.float64)[:, None] / 128)
    if arm == "full":
        return x64 @ w64.T
    if arm == "fp16":
        return x.astype(np.float16).astype(np.float64) @ w.astype(np.float16).astype(np.float64).T
    if arm == "elastic":
        t, step = quantizers.quantize_tensor(w), float(np.float32(ELASTIC_STEP))
        return (step * np.clip(np.rint(x64 / step), -127, 127)) @ (t.beta * t.q.astype(np.float64)).T
    if arm == "bitnet":
        t = quantizers.quantize_tensor(w)
        return rounded @ (t.beta * t.q.astype(np.float64)).T
    if arm == "b158":
        three = quantizers.quantize_ternary(w)
        return rounded @ (three.beta * three.q.astype(np.float64)).T
    if arm == "int8-absmax":
        q = quantizers.quantize_activations(w)
        return rounded @ (q.q * (q.gamma.astype(np.float64)[:, None] / 128)).T
    q, s, _ = quantizers.quantize_neurons(w, scale="absmean")
    return x64 @ (s.astype(np.float64)[:, None] * q).T


def test_hand_computed_bitlinear():
    """W23's formula on numbers that need no rounding: every step can be done on paper."""
    x = jnp.array([[1.0, -0.5]])  # gamma 1: 128 clipped to 127, and -64
    w = jnp.array([[3.0, 1.0], [-1.0, 1.0]])  # alpha 1, beta 1.5; W - alpha = 2 0 -2 0: signs + + - +
    y = Projection(w, "bitnet", "identity", ROUNDED)(x)
    scale = 1.5 * 1 / 128  # beta gamma / Q_b
    np.testing.assert_array_equal(y, [[(127 - 64) * scale, (-127 - 64) * scale]])


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_arm_is_its_formula(arm, shape):
    x, w = drawn(*shape)
    step = jnp.float32(ELASTIC_STEP) if layer_of(arm) == "elastic" else None
    y = eqx.filter_jit(Projection(jnp.asarray(w), arm, "identity", ROUNDED, step=step))(jnp.asarray(x))
    # a product of `inputs` terms and a few roundings of its factors, each of relative size eps
    size = np.abs(x).max() * np.abs(w).max() * shape[1]
    np.testing.assert_allclose(y, reference(x, w, layer_of(arm)), rtol=0, atol=8 * EPS * size)


def test_the_integer_part_is_exact():
    x, w = drawn(5, 65, 33)
    factor, weight = quantized_factors(jnp.asarray(x), jnp.asarray(w), arm="bitnet", form=ROUNDED)
    activations, tensor = quantizers.quantize_activations(x), quantizers.quantize_tensor(w)
    whole = np.asarray(factor) / (activations.gamma[:, None] / 128)
    np.testing.assert_array_equal(np.rint(whole), activations.q)
    np.testing.assert_array_equal(np.sign(np.asarray(weight)), tensor.q)


def test_layer_norm_is_its_formula():
    x, _ = drawn(4, 16, 8)
    exact = x.astype(np.float64)
    centred = exact - exact.mean(axis=1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(LayerNorm(jnp.ones(16))(jnp.asarray(x)), normal, rtol=0, atol=32 * EPS)
    np.testing.assert_allclose(layer_norm(exact), normal, rtol=0, atol=32 * float(np.finfo(float).eps))
    gain = np.arange(16.0)
    np.testing.assert_array_equal(layer_norm(x, gain), layer_norm(x) * gain)


def test_gradients_are_those_of_the_straight_through_formulas():
    """Identity surrogate: dL/dW = (dL/dy)^T Quant(x), dL/dx = (dL/dy) beta Sign(W - alpha)."""
    x, w = drawn(6, 9, 5)
    pull = drawn(6, 5, 1, seed=3)[0]

    def loss(weight, inputs):
        return (Projection(weight, "bitnet", "identity", ROUNDED)(inputs) * pull).sum()

    by_weight, by_input = jax.grad(loss, argnums=(0, 1))(jnp.asarray(w), jnp.asarray(x))
    activations, tensor = quantizers.quantize_activations(x), quantizers.quantize_tensor(w)
    rounded = activations.q * (activations.gamma[:, None] / np.float32(128))
    np.testing.assert_allclose(by_weight, pull.T @ rounded, rtol=0, atol=64 * EPS)
    np.testing.assert_allclose(by_input, pull @ (tensor.beta * tensor.q), rtol=0, atol=64 * EPS)


@pytest.mark.parametrize("surrogate", ["identity", "clipped", "sign"])
def test_the_rounded_form_is_made_of_absmax_and_tensor_wise(surrogate):
    x, w = map(jnp.asarray, drawn(6, 9, 5))

    def plain(weight, inputs):
        return absmax(inputs) @ tensor_wise(weight, surrogate=surrogate).T

    def form(weight, inputs):
        return Projection(weight, "bitnet", surrogate, ROUNDED)(inputs)

    np.testing.assert_array_equal(jax.jit(form)(w, x), jax.jit(plain)(w, x))
    slopes = [jax.jit(jax.grad(lambda w, x, f=f: (f(w, x) ** 2).sum(), argnums=(0, 1))) for f in (form, plain)]
    jax.tree.map(np.testing.assert_array_equal, *(slope(w, x) for slope in slopes))


def test_gradients_of_w23_skip_sign_and_clip():
    """dL/dW = beta (G - mean G) + <G, Sign> sign(W)/size, G = (dL/dy)^T Quant(x): alpha and beta as they are written.

    dL/dx = (dL/dy) beta Sign(W - alpha): Clip is skipped, of shifted inputs as well.
    """
    x, w = drawn(6, 9, 5)
    pull = drawn(6, 5, 1, seed=3)[0]
    for before in (False, True):
        layer = Projection(jnp.asarray(w), "bitnet", W23.surrogate, W23, before)

        def loss(weight, inputs, layer=layer):
            return (dataclasses.replace(layer, weight=weight)(inputs) * pull).sum()

        by_weight, by_input = jax.jit(jax.grad(loss, argnums=(0, 1)))(jnp.asarray(w), jnp.asarray(x))
        (inputs,), (signed,) = clipped_groups(x, W23, before_nonlinearity=before), signed_groups(w, W23)
        through = pull.T @ (inputs.xq * inputs.gamma / 128)
        expected = signed.beta * (through - through.mean()) + (through * signed.signs).sum() * np.sign(w) / w.size
        size = np.abs(through).max() * max(1, signed.beta)
        np.testing.assert_allclose(by_weight, expected, rtol=0, atol=64 * EPS * size)  # sums of 6 and of 45 terms
        np.testing.assert_allclose(by_input, pull @ (signed.beta * signed.signs), rtol=0, atol=64 * EPS)


def test_gradients_of_16_bit_floats_are_those_of_floats():
    x, w = drawn(6, 9, 5)
    pull = drawn(6, 5, 1, seed=3)[0]

    def loss(weight, inputs):
        return (Projection(weight, "fp16", "identity")(inputs) * pull).sum()

    by_weight, by_input = jax.grad(loss, argnums=(0, 1))(jnp.asarray(w), jnp.asarray(x))
    half_x, half_w = (one.astype(np.float16).astype(np.float64) for one in (x, w))
    np.testing.assert_allclose(by_weight, pull.T @ half_x, rtol=0, atol=64 * EPS)  # sums of 6 and of 5 terms
    np.testing.assert_allclose(by_input, pull @ half_w, rtol=0, atol=64 * EPS)
    assert np.isinf(Projection(jnp.full((1, 1), 70_000.0), "fp16", "identity")(jnp.ones((1, 1)))).all()  # beyond 65504


def test_a_projection_takes_the_surrogate_of_its_form():
    made = {form: projection(4, 3, key=jax.random.key(0), form=form).surrogate for form in (W23, ROUNDED)}
    assert made == {W23: "sign", ROUNDED: "identity"}
    assert projection(4, 3, key=jax.random.key(0), form=W23, surrogate="clipped").surrogate == "clipped"


def test_all_arms_start_from_the_same_latent_weights():
    made = [projection(7, 3, key=jax.random.key(4), arm=arm).weight for arm in ARMS]  # pyright: ignore[reportArgumentType]
    for one in made[1:]:
        np.testing.assert_array_equal(one, made[0])


def test_mistakes_are_told(untyped):
    with pytest.raises(InputError, match="did you mean 'bitnet'"):
        projection(3, 3, key=jax.random.key(0), arm="bitnets")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="at least one input"):
        projection(0, 3, key=jax.random.key(0))
    with pytest.raises(InputError, match="arm"):
        Projection(jnp.ones((2, 2)), "int4", "identity")(jnp.ones((1, 2)))  # pyright: ignore[reportArgumentType]
