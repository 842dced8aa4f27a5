from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.post_training.hessians import layer_error
from ntk1bit.networks.post_training.round_to_nearest import round_activations, round_weights

EPS32, EPS64 = float(np.finfo(np.float32).eps), float(np.finfo(np.float64).eps)
SHAPES = [(1, 1), (1, 7), (7, 1), (5, 33)]


def by_hand(row, bits):
    """The formula of Xiao et al. on a row, number by number."""
    gamma = max(abs(float(x)) for x in row)
    delta = gamma / (2 ** (bits - 1) - 1)
    return [0.0 if gamma == 0 else delta * round(float(x) / delta) for x in row]


def test_hand_computed():
    w = np.array([[1.0, -0.5, 0.2], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(round_weights(w, bits=3).values, [[1, -2 / 3, 1 / 3], [0, 0, 0]], rtol=4 * EPS64)
    np.testing.assert_array_equal(round_weights(w, bits=1).values, [[1, -1, 1], [0, 0, 0]])
    found = round_weights(np.array([[1.0, -0.5, 0.0]]), bits=1, sign_scale="absmean").values
    np.testing.assert_array_equal(found, [[0.5, -0.5, 0.5]])  # Sign(0) = +1


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("shape", SHAPES)
def test_weights_and_activations_are_the_formula(bits, shape):
    x = np.random.default_rng(bits).standard_normal(shape).astype(np.float32)
    x[0] = 0 if len(x) > 1 else x[0]
    expected = np.array([by_hand(row, bits) for row in x])
    # a few roundings, of float64 and of float32, of numbers of size max|x|
    np.testing.assert_allclose(round_weights(x, bits=bits).values, expected, rtol=0, atol=16 * EPS64 * np.abs(x).max())
    found = round_activations(jnp.asarray(x), bits=bits)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=4 * EPS32 * np.abs(x).max())


def test_activations_of_any_number_of_axes_are_rounded_over_the_last():
    x = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)
    found = np.asarray(round_activations(jnp.asarray(x), bits=4))
    np.testing.assert_array_equal(found.reshape(6, 5), round_activations(jnp.asarray(x.reshape(6, 5)), bits=4))


@pytest.mark.parametrize("size", [1e-44, 1e-37, 1e37])
def test_activations_at_the_ends_of_the_number_line_stay_finite(size):
    x = np.array([[1.0, -0.5, 0.25]], np.float32) * np.float32(size)
    found = np.asarray(round_activations(jnp.asarray(x), bits=8))
    # a 254th of the largest is half a step; below the smallest normal number all become zero
    np.testing.assert_allclose(found, x, rtol=0, atol=max(np.abs(x).max() / 254 * 1.001, 1.2e-38))


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_it_is_the_optimum_where_inputs_are_uncorrelated(bits):
    """With a diagonal Hessian no other integers on the same grid have a smaller error: compared with all of them."""
    rng = np.random.default_rng(bits)
    w, hessian = rng.standard_normal((3, 4)), np.diag(rng.random(4) + 0.1)
    found = round_weights(w, bits=bits)
    reachable = [0, 1] if bits == 1 else range(2**bits - 1)
    for r in range(3):
        levels = [found.scale[r, 0] * (q - found.zero[r, 0]) for q in reachable]
        least = min(layer_error(w[[r]], np.array([values]), hessian) for values in itertools.product(levels, repeat=4))
        assert layer_error(w[[r]], found.values[[r]], hessian) == pytest.approx(least, rel=100 * EPS64)


def test_the_mean_magnitude_is_the_best_scale_of_signs():
    w = np.random.default_rng(3).standard_normal((1, 50))
    best = ((round_weights(w, bits=1, sign_scale="absmean").values - w) ** 2).sum()
    for scale in np.linspace(0.01, 3, 300):
        assert ((scale * np.sign(w) - w) ** 2).sum() >= best
    assert ((round_weights(w, bits=1).values - w) ** 2).sum() > best


def test_mistakes_are_told_in_one_line(untyped):
    w = np.ones((2, 2))
    for call, words in [
        (lambda: round_weights(np.full((2, 2), np.nan), bits=4), "finite"),
        (lambda: round_weights(np.ones((2, 0)), bits=4), "at least one entry"),
        (lambda: round_weights(w, bits=0), "bits must be a whole number from 1 to 8, got 0"),
        (lambda: round_weights(w, bits=9), "got 9"),
        (lambda: round_weights(w, bits=4, sign_scale="absmean"), "is for 1 bit"),
        (lambda: round_weights(w, bits=1, sign_scale="mean"), "unknown sign_scale"),  # pyright: ignore[reportArgumentType]
        (lambda: round_activations(jnp.ones(2), bits=1), "activation bits must be a whole number from 2 to 8"),
    ]:
        with pytest.raises(InputError, match=words) as raised:
            call()
        assert "\n" not in str(raised.value)
