"""The layer that is trained against W23's equations in float64, on 10,000 tensors with zeros, ties and subnormals."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.networks import bitlinear_reference as plain
from ntk1bit.networks.bitlinear import LayerNorm, Projection, clipped_inputs, signed_weights
from ntk1bit.networks.bitlinear_form import ROUNDED, W23, BitLinearForm
from ntk1bit.networks.quantizers import quantize_tensor

EPS = float(np.finfo(np.float32).eps)
TINY = float(np.finfo(np.float32).tiny)
ROWS, COLUMNS, TOP = 4, 16, 64
GROUPS = (1, 2, 4, 8)
FORMS = [
    BitLinearForm(rounding=rounding, gamma=gamma, shift=shift)
    for rounding, gamma, shift in itertools.product(
        (False, True), ("tensor", "row"), ("nowhere", "as-written", "full-range")
    )
]
EACH = -(-10_000 // (len(GROUPS) * len(FORMS)))  # tensors for each form and number of groups


def drawn(count, seed):
    """Whole numbers up to 64 times a power of two, so that float32 holds every mean: no rounding decides a tie.

    A third has zeros, a third has a mean of 0 (so that zeros tie with it), a third a few values only, some are
    constant; a third has subnormal entries, some nothing else. In half of them every group has an entry of magnitude
    64: then gamma is a power of two and roundings tie exactly.
    """
    rng = np.random.default_rng(seed)
    w = rng.integers(-TOP, TOP + 1, (count, ROWS, COLUMNS)).astype(np.float64)
    few = rng.random((count, 1, 1)) < 1 / 3
    w = np.where(few, np.clip(np.round(w / 32), -2, 2), w)
    w[rng.random(count) < 0.05] = 3.0
    w *= (rng.random(w.shape) > 0.5) | (rng.random((count, 1, 1)) > 1 / 3)
    even = rng.random(count) < 0.5
    w[even] = np.where(np.arange(COLUMNS) % 2, w[even], np.copysign(TOP, rng.standard_normal(w.shape)[even]))
    balanced = rng.random(count) < 1 / 3
    w[balanced, ROWS // 2 :] = -w[balanced, : ROWS // 2]
    w = np.ldexp(w, rng.integers(-100, 101, (count, 1, 1)))
    small = np.ldexp(rng.integers(-TOP, TOP + 1, w.shape).astype(np.float64), -149)
    w = np.where((rng.random(w.shape) < 0.2) & (rng.random((count, 1, 1)) < 1 / 3), small, w)
    w[rng.random(count) < 0.02] = small[0]
    return w.astype(np.float32)


def as_xla_reads(w):
    """XLA takes what is below the smallest normal float32 for zero on a CPU (see `straight_through`)."""
    return np.where(np.abs(w) < TINY, np.float32(0), w)


def test_the_tensors_have_zeros_ties_and_subnormals():
    w = drawn(1000, 0)
    read = as_xla_reads(w)
    ties = (read == read.astype(np.float64).mean(axis=(1, 2), keepdims=True)).any(axis=(1, 2))
    assert ties.mean() > 0.1
    assert ((read == 0) & (w == 0)).any(axis=(1, 2)).mean() > 0.3
    assert ((read == 0) & (w != 0)).any(axis=(1, 2)).mean() > 0.2
    assert 0 < (read == 0).all(axis=(1, 2)).mean() < 0.1


@pytest.mark.parametrize("groups", GROUPS)
def test_signs_and_scales_equal_the_equations_exactly(groups):
    w = drawn(EACH * len(FORMS), seed=groups)
    for at_zero in (-1, 1):
        form = BitLinearForm(sign_at_zero=at_zero, groups=groups)
        quantise = functools.partial(signed_weights, form=form, surrogate="identity")
        found = np.asarray(jax.jit(jax.vmap(quantise))(w))
        expected = [
            np.concatenate([part.beta * part.signs for part in plain.signed_groups(one, form)], axis=1)
            for one in as_xla_reads(w)
        ]
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))  # of zeros too: packing reads them


@pytest.mark.parametrize("groups", GROUPS)
def test_clipped_inputs_equal_the_equations(groups):
    x = drawn(EACH * len(FORMS), seed=100 + groups).reshape(len(FORMS), EACH, ROWS, COLUMNS)
    checked = 0
    for given, plain_form in zip(x, FORMS, strict=True):
        form = dataclasses.replace(plain_form, groups=groups)
        quantise = functools.partial(clipped_inputs, form=form, before_nonlinearity=True)
        found = np.asarray(jax.jit(jax.vmap(quantise))(given)).astype(np.float64)
        for value, one in zip(found, as_xla_reads(given), strict=True):
            parts = plain.clipped_groups(one, form, before_nonlinearity=True)
            xq, gamma = (
                np.concatenate([np.broadcast_to(part, (ROWS, COLUMNS // groups)) for part in parts_of], axis=1)
                for parts_of in ([part.xq for part in parts], [part.gamma for part in parts])
            )
            eta = np.concatenate([np.broadcast_to(p.eta, (ROWS, COLUMNS // groups)) for p in parts], axis=1)
            if form.rounding:
                level = (one.astype(np.float64) - eta) * 128 / np.where(gamma > 0, gamma, 1)
                exact = np.frexp(gamma)[0] == 0.5  # powers of two: no rounding before the rounding
                # a quotient and a product of up to 256 round; the same may carry a level over a half
                clear = exact | (np.abs(level % 1 - 0.5) > 2 * 256 * EPS)
                ours = np.rint(value * 128 / np.where(gamma > 0, gamma, 1))
                np.testing.assert_array_equal(ours[clear], xq[clear])
                assert (np.abs(ours - xq) <= 1).all()
                checked += int((exact & (np.abs(level % 1) == 0.5)).sum())
            else:
                # four roundings of numbers up to 2 gamma, before clipping, and of gamma
                assert (np.abs(value - xq * gamma / 128) <= 8 * EPS * gamma).all()
                checked += 1
    assert checked > 100  # among them exact ties of rounding


def test_the_numpy_form_has_both_signs_of_zero():
    for w in as_xla_reads(drawn(200, seed=7)):  # float32 sums lose subnormal numbers beside larger ones
        for at_zero in (-1, 1):
            (expected,) = plain.signed_groups(w, BitLinearForm(sign_at_zero=at_zero))
            found = quantize_tensor(w, sign_at_zero=at_zero)
            np.testing.assert_array_equal(found.q, expected.signs)
            assert found.beta == pytest.approx(expected.beta, rel=2 * EPS, abs=2.0**-149)


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("form", [W23, W23.at_inference(), ROUNDED], ids=["w23", "w23 at inference", "rounded"])
def test_the_layer_is_the_equations(form, groups):
    form = dataclasses.replace(form, groups=groups)
    rng = np.random.default_rng(groups)
    x, w = rng.standard_normal((6, 32)).astype(np.float32), rng.standard_normal((5, 32)).astype(np.float32)
    for before in (False, True):
        layer = Projection(jnp.asarray(w), "bitnet", "identity", form, before)
        found = eqx.filter_jit(lambda x, layer=layer: layer(LayerNorm(jnp.ones(32), groups)(x)))(jnp.asarray(x))
        expected = plain.bitlinear(x, w, form, before_nonlinearity=before)
        # 32 terms of size up to 4 beta, each with some 8 roundings; at these seeds no level is within that of a half
        np.testing.assert_allclose(found, expected, rtol=0, atol=32 * 4 * 8 * EPS)


def test_without_rounding_the_layer_does_not_quantise_its_inputs():
    """Eq. 4 to the letter: clipping moves the largest entries by 2^-24 of themselves, and nothing else."""
    x = np.random.default_rng(3).standard_normal((7, 40)).astype(np.float32)
    found = np.asarray(clipped_inputs(jnp.asarray(x), form=W23))
    np.testing.assert_allclose(found, x, rtol=0, atol=4 * EPS * np.abs(x).max())
    (part,) = plain.clipped_groups(x, W23)
    assert (np.abs(part.xq) == 128 - 128 * 2.0**-24).sum() == 1


def test_hand_computed_shift():
    """Eq. 6 with eta = -2: x - eta = 3, 0, 2; as written gamma = 2 and the first is cut, at full range gamma = 3."""
    x = jnp.array([[1.0, -2.0, 0.0]])
    cut, full = (
        np.asarray(clipped_inputs(x, form=BitLinearForm(shift=shift), before_nonlinearity=True))
        for shift in ("as-written", "full-range")
    )
    eps = 2.0**-24
    np.testing.assert_array_equal(cut, np.array([[2 * (1 - eps), 2 * eps, 2 * (1 - eps)]], np.float32))
    np.testing.assert_allclose(full, [[3, 3 * eps, 2]], rtol=2 * EPS)
