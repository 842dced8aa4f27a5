"""What is packed of the forms of the layer: signs, scales and integers, bit for bit; groups are refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit import cores
from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear import Projection, clipped_inputs, signed_weights
from ntk1bit.networks.bitlinear_form import ROUNDED, SHIFTS, W23
from ntk1bit.networks.bitlinear_reference import signed_groups
from ntk1bit.networks.transformer import Transformer, as_form, transformer
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.packed import rows
from ntk1bit.packed.export import pack
from ntk1bit.packed.file_format import load, save

SHAPE = Shape(1, 36, 3, 11, 16)
FORMS = {
    "rounded": ROUNDED,
    "Sign(0) = -1": dataclasses.replace(ROUNDED, sign_at_zero=-1),
    "w23": W23,
    "w23 unshifted": dataclasses.replace(W23, shift="nowhere"),
    "w23 full range": dataclasses.replace(W23, shift="full-range"),
}


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
        q, gamma = rows.normalize(row[None], one * np.sign(row), shift=form.shift)
        given = jnp.asarray(one[None])
        inputs = np.asarray(clipped_inputs(given, form=form.packed(), before_nonlinearity=True))
        np.testing.assert_array_equal(np.rint(inputs * (128 / gamma)), q)
        signs = np.sign(np.asarray(signed_weights(projection.weight, form=form, surrogate="identity")))
        expected = q.astype(int) @ signs.T.astype(int)
        np.testing.assert_array_equal(cores.sign_matmul_int8(q, ours.signs), expected)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_packed_logits_are_those_of_the_network_at_inference(form):
    model = transformer(SHAPE, seed=4, form=form)
    tokens = np.random.default_rng(2).integers(0, 11, (3, 16))
    at_inference = as_form(model, form.packed())
    expected = np.asarray(eqx.filter_jit(lambda model, given: model(given))(at_inference, jnp.asarray(tokens)))
    found = pack(model, SHAPE).logits(tokens)
    np.testing.assert_array_equal(found, pack(at_inference, SHAPE).logits(tokens))
    # a level that is a tie may go either way (see test_model.py, ROUNDED_DIFFERENTLY); most positions have seen none
    assert np.median(np.abs(found - expected)) <= 1e-5 * expected.std()
    assert np.sqrt(np.mean((found - expected) ** 2)) <= 0.04 * expected.std()


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("shape", [(1, 5), (7, 36), (33, 260)])
def test_shifted_rows_are_those_of_the_plain_form(shift, shape):
    rng = np.random.default_rng(shape[1])
    h, gain = rng.standard_normal(shape).astype(np.float32), rng.uniform(-1, 2, shape[1]).astype(np.float32)
    plain = rows.normalize_reference(h.astype(np.float64), gain.astype(np.float64), shift=shift)
    for threads in (1, 2, 2):
        with cores.using(threads=threads):
            q, gamma = rows.normalize(h, gain, shift=shift)
        assert q.min() >= (-127 if shift == "nowhere" else 0)
        # a norm of up to 260 float32 entries rounds by a few eps: a level that is a tie may go either way
        assert (np.abs(q.astype(int) - plain.q) <= 1).all()
        assert (q != plain.q).mean() <= 0.01
        np.testing.assert_allclose(gamma, plain.gamma, rtol=32 * float(np.finfo(np.float32).eps))


def test_a_shift_is_stored_and_files_without_one_are_read(tmp_path):
    packed = pack(transformer(SHAPE, form=W23), SHAPE)
    save(packed, tmp_path / "new.npz")
    assert load(tmp_path / "new.npz").shift == packed.shift == "as-written"
    unshifted = pack(transformer(SHAPE, form=ROUNDED), SHAPE)
    save(unshifted, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as stored:
        arrays: dict[str, Any] = dict(stored) | {"format": np.array(1)}
    del arrays["shift"]
    np.savez(tmp_path / "old.npz", **arrays)
    tokens = np.arange(11)[None]
    np.testing.assert_array_equal(load(tmp_path / "old.npz").logits(tokens), unshifted.logits(tokens))
    np.savez(tmp_path / "odd.npz", **arrays | {"format": np.array(2), "shift": np.frombuffer(b"up", np.uint8)})
    with pytest.raises(InputError, match="it shifts rows 'up', none of nowhere, as-written, full-range"):
        load(tmp_path / "odd.npz")


def test_groups_and_mixed_shifts_are_refused_in_one_line():
    grouped = transformer(SHAPE, form=dataclasses.replace(ROUNDED, groups=4))
    model = transformer(dataclasses.replace(SHAPE, layers=2), form=W23)
    mixed = dataclasses.replace(model, blocks=(model.blocks[0], as_form(model, ROUNDED).blocks[1]))
    for wrong, message in (
        (grouped, "query of layer 0 has 4 groups .* groups=1"),
        (mixed, "as-written, nowhere; give"),
    ):
        with pytest.raises(InputError, match=message) as refusal:
            pack(wrong, dataclasses.replace(SHAPE, layers=len(wrong.blocks)))
        assert "\n" not in str(refusal.value)
