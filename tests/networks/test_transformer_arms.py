"""Arms without SubLN, and arms whose inputs have a step that is trained."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear import ELASTIC_STEP, projection
from ntk1bit.networks.straight_through import elastic, tensor_wise
from ntk1bit.networks.transformer import Transformer, as_arm, losses, transformer
from ntk1bit.networks.transformer_shape import TRAINED_ARMS, Arm, Shape, layer_of
from ntk1bit.packed.export import pack

SHAPE = Shape(layers=2, width=8, heads=2, vocabulary=5, context=6)
TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, 5, (3, 6)))
EPS = float(np.finfo(np.float32).eps)


@pytest.mark.parametrize("arm", TRAINED_ARMS)
def test_every_trained_arm_starts_from_the_same_weights_and_has_gradients(arm: Arm):
    model, full = transformer(SHAPE, arm=arm, seed=1), transformer(SHAPE, arm="full", seed=1)
    np.testing.assert_array_equal(model.blocks[1].down.weight, full.blocks[1].down.weight)
    assert (model.blocks[0].feed_sub_norm is None) == arm.endswith("-preln")
    gradient = jax.grad(lambda one: losses(one, TOKENS).mean())(model)
    for block in gradient.blocks:
        for part in (block.query, block.value, block.output, block.up, block.down):
            assert np.isfinite(part.weight).all()
            assert np.any(np.asarray(part.weight) != 0)
            assert (part.step is not None) == (layer_of(arm) == "elastic")


def test_without_sub_norms_rows_reach_the_last_projection_as_they_are():
    model = transformer(SHAPE, arm="full-preln", seed=1)
    block = model.blocks[0]
    h = model.embedding[TOKENS]
    gathered = block.attend(block.attention_norm(h))
    middle = h + gathered @ block.output.weight.T
    hidden = jax.nn.gelu(block.feed_norm(middle) @ block.up.weight.T)
    expected = middle + hidden @ block.down.weight.T
    # the same sums of at most 32 terms in float32, in another order
    np.testing.assert_allclose(block(h), expected, rtol=0, atol=32 * EPS * float(jnp.abs(expected).max()))
    assert not np.allclose(model(TOKENS), transformer(SHAPE, arm="full", seed=1)(TOKENS))


def test_a_trained_step_rounds_and_has_the_derivatives_it_says():
    step, bits = 0.25, 4
    x = jnp.asarray([[-9.0, -0.3, 0.1, 0.13, 1.6, 1.9, 5.0, 0.0]], jnp.float32)
    top = 2 ** (bits - 1) - 1
    ratio = np.asarray(x, np.float64) / step
    q = np.clip(np.rint(ratio), -top, top)
    np.testing.assert_array_equal(elastic(x, jnp.float32(step), bits=bits), (step * q).astype(np.float32))
    inside = np.abs(ratio) <= top
    by_x = jax.grad(lambda v: elastic(v, jnp.float32(step), bits=bits).sum())(x)
    np.testing.assert_array_equal(by_x, inside.astype(np.float32))
    by_step = jax.grad(lambda s: elastic(x, s, bits=bits).sum())(jnp.float32(step))
    expected = np.where(inside, q - ratio, q).sum() / np.sqrt(x.shape[1] * top)
    np.testing.assert_allclose(float(by_step), expected, rtol=16 * EPS)  # eight terms in float32
    np.testing.assert_array_equal(elastic(x, jnp.float32(0.0)), np.zeros_like(x))
    np.testing.assert_array_equal(elastic(x, jnp.float32(-step), bits=bits), elastic(x, jnp.float32(step), bits=bits))
    with pytest.raises(InputError, match="2 to 8 bits"):
        elastic(x, jnp.float32(step), bits=9)


def test_a_projection_with_a_step_has_the_weights_of_bitnet():
    made = projection(16, 4, key=jax.random.key(0), arm="elastic")
    x = jax.random.normal(jax.random.key(1), (3, 16))
    assert made.step is not None
    np.testing.assert_allclose(float(made.step), ELASTIC_STEP, rtol=EPS)
    expected = elastic(x, made.step) @ tensor_wise(made.weight).T
    np.testing.assert_allclose(made(x), expected, rtol=0, atol=16 * EPS * float(jnp.abs(expected).max()))


@pytest.mark.usefixtures("untyped")
def test_what_does_not_go_together_is_refused():
    sub, pre = transformer(SHAPE, arm="bitnet"), transformer(SHAPE, arm="bitnet-preln")
    wrong: tuple[tuple[Transformer, Arm], ...] = ((sub, "bitnet-preln"), (pre, "sign-ptq"), (sub, "elastic"))
    for model, arm in wrong:
        with pytest.raises(InputError, match="cannot be used as the arm"):
            as_arm(model, arm)
    assert as_arm(pre, "full-preln").blocks[0].up.arm == "full"
    with pytest.raises(InputError, match="has no SubLN"):
        pack(pre, SHAPE)
    with pytest.raises(InputError, match="'elastic'"):
        pack(transformer(SHAPE, arm="elastic"), SHAPE)
