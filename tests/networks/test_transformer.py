from __future__ import annotations

import dataclasses
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit import autodiff
from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear import LayerNorm, Projection
from ntk1bit.networks.bitlinear_form import DEFAULT_FORM, ROUNDED, W23
from ntk1bit.networks.transformer import as_arm, as_form, losses, rotate, transformer
from ntk1bit.networks.transformer_shape import ARMS, PRE_LN, Shape

EPS = float(np.finfo(np.float32).eps)
SMALL = Shape(layers=2, width=12, heads=3, vocabulary=7, context=9)

outputs = eqx.filter_jit(lambda model, given: model(given))  # one program, where a call compiles every operation


def tokens(batch=2, time=9, seed=0):
    return np.random.default_rng(seed).integers(0, 7, (batch, time)).astype(np.int32)


def with_another_end():
    """The same five characters, and after them others."""
    given = tokens(batch=1)
    changed = given.copy()
    changed[0, 5:] = (changed[0, 5:] + 1) % 7
    return given, changed


def reference(model, given, shape):
    """The full-precision forward of one sequence in float64, position by position, head by head."""

    def norm(layer, x):
        centred = x - x.mean()
        return centred / np.sqrt((centred**2).mean() + 1e-5) * np.asarray(layer.gain, np.float64)

    def product(layer, x):
        return np.asarray(layer.weight, np.float64) @ x

    def turned(x, position):
        half = len(x) // 2
        angle = position * 10000.0 ** (-np.arange(half) / half)
        left, right = x[:half], x[half:]
        return np.concatenate(
            [left * np.cos(angle) - right * np.sin(angle), left * np.sin(angle) + right * np.cos(angle)]
        )

    embedding = np.asarray(model.embedding, np.float64)
    stream = [embedding[token] for token in given]
    for block in model.blocks:
        normed = [norm(block.attention_norm, h) for h in stream]
        heads = [
            slice(k * shape.width // shape.heads, (k + 1) * shape.width // shape.heads) for k in range(shape.heads)
        ]
        gathered = []
        for t in range(len(given)):
            out = np.zeros(shape.width)
            for head in heads:
                q = turned(product(block.query, normed[t])[head], t)
                scores = np.array(
                    [q @ turned(product(block.key, normed[s])[head], s) / np.sqrt(len(q)) for s in range(t + 1)]
                )
                shares = np.exp(scores - scores.max())
                shares /= shares.sum()
                out[head] = sum(share * product(block.value, normed[s])[head] for s, share in enumerate(shares))
            gathered.append(out)
        stream = [
            h + product(block.output, norm(block.attention_sub_norm, g)) for h, g in zip(stream, gathered, strict=True)
        ]
        after = []
        for h in stream:
            up = product(block.up, norm(block.feed_norm, h))
            if shape.activation == "gelu":
                up = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
            else:
                up = np.maximum(up, 0) ** 2
            after.append(h + product(block.down, norm(block.feed_sub_norm, up)))
        stream = after
    head = embedding if model.head is None else np.asarray(model.head, np.float64)
    return np.array([head @ norm(model.norm, h) for h in stream])


@pytest.mark.parametrize("activation", ["gelu", "squared-relu"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_full_arm_is_the_plain_formula(activation, tied):
    shape = Shape(2, 12, 3, 7, 9, activation, tied)
    model = transformer(shape, arm="full", seed=3)
    given = tokens()
    found = np.asarray(outputs(model, jnp.asarray(given)))
    expected = np.array([reference(model, one, shape) for one in given])
    # two layers of products of up to 48 terms of size 1, whose roundings the residual stream adds up
    np.testing.assert_allclose(found, expected, rtol=0, atol=512 * EPS * np.abs(expected).max())


@pytest.mark.parametrize("arm", ARMS)
def test_no_character_sees_a_later_one(arm):
    model = as_form(transformer(SMALL, arm=arm, seed=1), DEFAULT_FORM.at_inference())
    found, other = (outputs(model, jnp.asarray(one)) for one in with_another_end())
    np.testing.assert_array_equal(found[0, :5], other[0, :5])
    assert np.abs(np.asarray(found[0, 5:] - other[0, 5:])).max() > 1e-3


def test_a_gamma_of_the_tensor_shows_characters_to_earlier_ones():
    """W23 trains with one gamma per tensor (section 2.1), which a later character can change."""
    model = transformer(SMALL, arm="bitnet", seed=1, form=W23)
    found, other = (outputs(model, jnp.asarray(one)) for one in with_another_end())
    assert (found[0, :5] != other[0, :5]).any()


def test_rotation_keeps_lengths_and_depends_on_distance_only():
    x = np.random.default_rng(0).standard_normal((1, 8, 2, 6)).astype(np.float32)
    turned = np.asarray(rotate(jnp.asarray(x)))
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(x, axis=-1), rtol=16 * EPS)
    q, k = jnp.asarray(np.repeat(x[:, :1], 8, axis=1)), jnp.asarray(np.repeat(x[:, 1:2], 8, axis=1))
    scores = np.einsum("bqhc,bkhc->hqk", rotate(q), rotate(k))
    for apart in range(-7, 8):
        along = np.diagonal(scores, apart, axis1=1, axis2=2)
        np.testing.assert_allclose(
            along, along[:, :1] + np.zeros_like(along), rtol=0, atol=64 * EPS * np.abs(x).max() ** 2 * 6
        )
    np.testing.assert_array_equal(
        rotate(jnp.asarray(x), first=3)[:, 0], rotate(jnp.asarray(np.repeat(x[:, :1], 4, 1)))[:, 3]
    )


@pytest.mark.parametrize("arm", [arm for arm in ARMS if not arm.endswith(PRE_LN) and arm != "elastic"])
def test_arms_share_shapes_and_latent_weights_and_differ_in_their_outputs(arm):
    full, model = transformer(SMALL, arm="full", seed=5), transformer(SMALL, arm=arm, seed=5)
    for mine, theirs in zip(jax.tree.leaves(model), jax.tree.leaves(full), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    given = jnp.asarray(tokens())
    found = np.asarray(outputs(model, given))
    same = bool((found == outputs(full, given)).all())
    assert same == (arm == "full")
    np.testing.assert_array_equal(outputs(as_arm(full, arm), given), found)


def parts(model, kind):
    every = jax.tree.leaves(model, is_leaf=lambda one: isinstance(one, kind))
    return [one for one in every if isinstance(one, kind)]


@pytest.mark.parametrize("form", [W23, ROUNDED, dataclasses.replace(W23, groups=2)])
def test_a_form_is_that_of_every_projection_and_starts_from_the_same_weights(form):
    model, default = transformer(SMALL, seed=5, form=form), transformer(SMALL, seed=5)
    for mine, theirs in zip(jax.tree.leaves(model), jax.tree.leaves(default), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert {one.form for one in parts(model, Projection)} == {form}
    assert {one.surrogate for one in parts(model, Projection)} == {form.surrogate}
    assert {one.form for one in parts(default, Projection)} == {DEFAULT_FORM}
    for block in model.blocks:
        assert [one.before_nonlinearity for one in parts(block, Projection)].count(True) == 1
        assert block.up.before_nonlinearity
        assert {one.groups for one in parts(block, LayerNorm)} == {form.groups}
    assert model.norm.groups == 1  # the head is in full precision
    changed = as_form(transformer(SMALL, seed=5, surrogate=form.surrogate), form)
    assert jax.tree.structure(changed) == jax.tree.structure(model)
    given = jnp.asarray(tokens())
    found, other = outputs(model, given), outputs(default, given)
    assert bool((found == other).all()) == (form == DEFAULT_FORM)
    assert DEFAULT_FORM == W23


def test_other_arms_have_no_form():
    grouped = dataclasses.replace(W23, groups=4)
    model = transformer(SMALL, arm="full", seed=5, form=grouped)
    given = jnp.asarray(tokens())
    np.testing.assert_array_equal(outputs(model, given), outputs(transformer(SMALL, arm="full", seed=5), given))
    bitnet = as_arm(model, "bitnet")
    assert {one.groups for one in parts(bitnet.blocks, LayerNorm)} == {4}
    np.testing.assert_array_equal(outputs(bitnet, given), outputs(transformer(SMALL, seed=5, form=grouped), given))


@pytest.mark.parametrize("form", [W23, dataclasses.replace(W23, rounding=True, shift="nowhere")])
def test_gamma_per_tensor_lets_a_character_see_later_ones_and_gamma_per_token_does_not(form):
    given = tokens(batch=1)
    changed = given.copy()
    changed[0, 5:] = (changed[0, 5:] + 1) % 7
    for used, sees in ((form, True), (form.at_inference(), False)):
        model = transformer(SMALL, seed=1, form=used)
        found, other = (outputs(model, jnp.asarray(one)) for one in (given, changed))
        assert bool((found[0, :5] != other[0, :5]).any()) == sees


def test_parameters_are_counted():
    model = transformer(SMALL, arm="bitnet")
    found = sum(
        one.weight.size
        for one in jax.tree.leaves(model, is_leaf=lambda one: isinstance(one, Projection))
        if isinstance(one, Projection)
    )
    assert found == SMALL.parameters == 12 * 2 * 12**2


def test_losses_are_cross_entropies():
    model = transformer(SMALL, arm="bitnet", seed=2)
    windows = tokens(time=10)
    logits = np.asarray(outputs(model, jnp.asarray(windows[:, :-1])), np.float64)
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -np.take_along_axis(logs, windows[:, 1:, None], axis=-1)[..., 0]
    np.testing.assert_allclose(
        eqx.filter_jit(losses)(model, jnp.asarray(windows)), expected, rtol=0, atol=32 * EPS * np.abs(logits).max()
    )


@pytest.mark.parametrize(
    ("arm", "form"),
    [
        ("full", DEFAULT_FORM),
        ("fp16", DEFAULT_FORM),
        ("bitnet", ROUNDED),
        ("bitnet", W23),
        ("bitnet", dataclasses.replace(W23, groups=4)),
        ("b158", DEFAULT_FORM),
    ],
)
def test_every_weight_of_a_trained_arm_has_a_gradient(arm, form):
    model = transformer(SMALL, arm=arm, seed=4, form=form)
    gradient = eqx.filter_jit(jax.grad(lambda one: losses(one, jnp.asarray(tokens(batch=4, time=10))).mean()))(model)
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0


def test_its_ntk_counts_the_straight_through_estimators():
    # gamma per token: with that of the tensor the inputs of a batch mix, which a kernel refuses
    model = as_form(transformer(Shape(1, 8, 1, 5, 4), arm="bitnet", seed=6), W23.at_inference())
    given = np.random.default_rng(0).integers(0, 5, (3, 4)).astype(np.int32)

    def last_logits(one, inputs):
        return one(inputs)[:, -1]

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # every rounding has its estimator: nothing is without a derivative
        found = autodiff.ntk(last_logits, model, given)
    jacobian = eqx.filter_jit(jax.jacrev(lambda one: last_logits(one, jnp.asarray(given))))(model)
    flat = np.concatenate([np.asarray(leaf).reshape(3, 5, -1) for leaf in jax.tree.leaves(jacobian)], axis=-1)
    expected = np.einsum("iop,jop->ij", flat, flat) / 5
    np.testing.assert_allclose(found, expected, rtol=0, atol=256 * EPS * np.abs(expected).max())
    assert (np.linalg.eigvalsh(found) > 0).all()


def test_mistakes_are_told(untyped):
    with pytest.raises(InputError, match="even multiple of heads"):
        Shape(1, 6, 4, 5, 4)
    with pytest.raises(InputError, match="1 to 256 layers"):
        Shape(0, 6, 1, 5, 4)
    with pytest.raises(InputError, match="activation"):
        Shape(1, 6, 1, 5, 4, activation="relu")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="arm"):
        transformer(SMALL, arm="half")  # pyright: ignore[reportArgumentType]
    five = dataclasses.replace(W23, groups=5)
    with pytest.raises(InputError, match="5 groups do not divide 12 inputs"):
        transformer(SMALL, form=five)
    with pytest.raises(InputError, match="5 groups do not divide 12 inputs"):
        as_form(transformer(SMALL), five)
