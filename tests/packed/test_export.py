"""What is packed of the forms of the layer: those with integers, bit for bit, and no others."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit import cores
from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear import Projection, clipped_inputs, signed_weights
from ntk1bit.networks.bitlinear_form import ROUNDED, W23
from ntk1bit.networks.bitlinear_reference import signed_groups
from ntk1bit.networks.transformer import Transformer, as_form, transformer
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.packed import rows
from ntk1bit.packed.export import pack

SHAPE = Shape(1, 36, 3, 11, 16)
WHOLE = dataclasses.replace(W23, rounding=True, shift="nowhere")  # W23 with integers: what packs as W23 runs it
FORMS = {"rounded": ROUNDED, "Sign(0) = -1": dataclasses.replace(ROUNDED, sign_at_zero=-1), "w23, rounded": WHOLE}


def tied(form) -> Transformer:
    """A Transformer whose weights are -1/8, 0 or 1/8 with mean 0: a third of them tie with it."""
    rng = np.random.default_rng(0)

    def change(one: object) -> object:
        if not isinstance(one, Projection):
            return one
        half = rng.integers(-1, 2, (one.weight.shape[0], one.weight.shape[1] // 2)) / 8  # sums are exact
        return dataclasses.replace(one, weight=jnp.asarray(np.concatenate([half, -half], axis=1), jnp.float32))

    model = transformer(SHAPE, seed=3, form=form)
    return jax.tree.map(change, model, is_leaf=lambda one: isinstance(one, Projection))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_signs_and_scales_are_those_of_the_form_bit_for_bit(form):
    model = tied(form)
    packed = pack(model, SHAPE)
    for block, ours in zip(model.blocks, packed.blocks, strict=True):
        theirs = (block.query, block.key, block.value, block.output, block.up, block.down)
        for projection, (signs, beta) in zip(theirs, ours.projections(), strict=True):
            (plain,) = signed_groups(np.asarray(projection.weight), form)
            unpacked = cores.unpack_signs(signs)
            np.testing.assert_array_equal(unpacked, plain.signs)
            ties = np.asarray(projection.weight) == 0
            assert ties.mean() > 0.2
            assert (unpacked[ties] == form.sign_at_zero).all()
            value = np.asarray(signed_weights(projection.weight, form=form, surrogate=projection.surrogate))
            np.testing.assert_array_equal(np.float32(beta) * unpacked, value)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_integers_of_a_product_are_those_of_the_layer_per_token(form):
    projection = tied(form).blocks[0].up
    x = np.random.default_rng(1).standard_normal((3, 36)).astype(np.float32)
    ours = pack(tied(form), SHAPE).blocks[0].up
    # mean 0 and variance 1 with a gain of x: norm and rounding of `rows` give x itself, rounded
    h = np.tile(np.array([1, -1], np.float32), (3, 18)) * np.float32(2**20)
    for row, one in zip(h, x, strict=True):
        q, gamma = rows.normalize(row[None], one * np.sign(row))
        inputs = np.asarray(clipped_inputs(jnp.asarray(one[None]), form=form.at_inference()))
        np.testing.assert_array_equal(np.rint(inputs * (128 / gamma)), q)
        signs = np.sign(np.asarray(signed_weights(projection.weight, form=form, surrogate="identity")))
        expected = q.astype(int) @ signs.T.astype(int)
        np.testing.assert_array_equal(cores.sign_matmul_int8(q, ours.signs), expected)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_packed_logits_are_those_of_the_network_at_inference(form):
    model = transformer(SHAPE, seed=4, form=form)
    tokens = np.random.default_rng(2).integers(0, 11, (3, 16))
    at_inference = as_form(model, form.at_inference())
    expected = np.asarray(eqx.filter_jit(lambda model, given: model(given))(at_inference, jnp.asarray(tokens)))
    found = pack(model, SHAPE).logits(tokens)
    np.testing.assert_array_equal(found, pack(at_inference, SHAPE).logits(tokens))
    # a level that is a tie may go either way (see test_model.py, ROUNDED_DIFFERENTLY); most positions have seen none
    assert np.median(np.abs(found - expected)) <= 1e-5 * expected.std()
    assert np.sqrt(np.mean((found - expected) ** 2)) <= 0.04 * expected.std()


def test_forms_without_a_packed_form_are_refused_in_one_line():
    cases = [
        (W23, "query of layer 0 clips its inputs to real numbers .* a form that has rounding=True"),
        (dataclasses.replace(W23, rounding=True), 'up of layer 0 shifts its inputs .* shift="nowhere"'),
        (dataclasses.replace(ROUNDED, groups=4), "query of layer 0 has 4 groups .* groups=1"),
    ]
    for form, message in cases:
        with pytest.raises(InputError, match=message) as refusal:
            pack(transformer(SHAPE, form=form), SHAPE)
        assert "\n" not in str(refusal.value)
    packed = pack(as_form(transformer(SHAPE, form=W23), WHOLE), SHAPE)  # what the message says to do
    assert packed.packed_bytes > 0
