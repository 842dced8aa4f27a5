from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.post_training.gptq import gptq
from ntk1bit.networks.post_training.grids import Grid, min_max_grid, points, range_grid
from ntk1bit.networks.post_training.hessians import damped, input_hessian, layer_error
from ntk1bit.networks.post_training.quip import incoherent, ldlq, quip, random_orthogonal

from .layers import SHAPES, damped_by_hand, damped_inputs, drawn, searched, tried

EPS = float(np.finfo(np.float64).eps)
SIZES = [1, 2, 3, 7, 12, 16, 36, 40, 97]
CLOSE = 1e3 * 100 * EPS  # as in test_gptq: roundings times a condition number below 1e3


def decomposed(hessian):
    """H = (A + I) D (A + I)^T by elimination from the last row up, number by number."""
    left, size = np.array(hessian), len(hessian)
    unit, diagonal = np.eye(size), np.zeros(size)
    for k in reversed(range(size)):
        diagonal[k] = left[k, k]
        for i in range(k):
            unit[i, k] = left[i, k] / left[k, k]
        for i in range(k):
            for j in range(k):
                left[i, j] -= unit[i, k] * diagonal[k] * unit[j, k]
    return unit - np.eye(size), diagonal


def by_definition(w, hessian, half, bits):
    """LDLQ as the paper writes it: V_k = Q(W_k + (W - V)_{1:k-1} A_{1:k-1,k}), on points from -half to half."""
    feedback, _ = decomposed(hessian)
    levels = np.linspace(-half, half, 2**bits)
    values = np.zeros_like(w)
    for k in range(w.shape[1]):
        for r in range(len(w)):
            target = w[r, k] + sum((w[r, j] - values[r, j]) * feedback[j, k] for j in range(k))
            values[r, k] = levels[np.abs(levels - target).argmin()]
    return values


def dense(orthogonal):
    matrix = np.kron(orthogonal.left, orthogonal.right)
    return matrix @ np.eye(len(orthogonal.order))[orthogonal.order]


@pytest.mark.parametrize("bits", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_ldlq_is_its_definition(bits, shape):
    for seed in range(3):
        w, x = drawn(*shape, seed=seed)
        hessian = damped_by_hand(input_hessian(x))
        grid = range_grid(2.0, rows=len(w), bits=bits)
        found = points(ldlq(w, hessian, grid), grid)
        np.testing.assert_allclose(found, by_definition(w, hessian, 2.0, bits), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_ldlq_is_gptq(bits, shape):
    """As the paper proves: one feeds errors forward by the factor of H, the other by that of its inverse."""
    for seed in range(5):
        w, x = drawn(*shape, seed=seed)
        hessian = input_hessian(x)
        grid = min_max_grid(w, bits=bits)
        np.testing.assert_array_equal(ldlq(w, damped(hessian), grid), gptq(w, hessian, bits=bits).q)


def test_the_mean_error_of_ldlq_is_a_twelfth_of_the_trace_of_d():
    """As the paper proves, of whole numbers and uniform weights; rounding to the nearest has tr(H)/12."""
    x = drawn(1, 8)[1]
    hessian = damped_by_hand(input_hessian(x))
    rows = 4000
    w = 100 + np.random.default_rng(0).random((rows, 8))
    grid = Grid(np.ones((rows, 1)), np.zeros((rows, 1)), 255)  # no number is clipped
    for values, expected in (
        (ldlq(w, hessian, grid), decomposed(hessian)[1].sum() / 12),
        (np.rint(w), np.trace(hessian) / 12),
    ):
        errors = np.einsum("rj,jk,rk->r", values - w, hessian, values - w)
        assert abs(errors.mean() - expected) < 4 * errors.std() / np.sqrt(rows)  # four standard errors


@pytest.mark.parametrize("size", SIZES)
def test_the_transforms_are_orthogonal_and_undone_exactly(size):
    orthogonal = random_orthogonal(size, np.random.default_rng(size))
    p, q = len(orthogonal.left), len(orthogonal.right)
    assert p * q == size
    assert p <= q
    assert all(size % other for other in range(p + 1, int(size**0.5) + 1))  # no factors nearer to the square root
    matrix = dense(orthogonal)
    bound = 32 * size * EPS  # sums of up to `size` products of numbers of at most 1, and QR's own rounding
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), rtol=0, atol=bound)
    rows = np.random.default_rng(1).standard_normal((5, size))
    np.testing.assert_allclose(orthogonal.apply(rows), rows @ matrix.T, rtol=0, atol=8 * bound)
    np.testing.assert_allclose(orthogonal.invert(orthogonal.apply(rows)), rows, rtol=0, atol=8 * bound)
    assert not np.array_equal(matrix, dense(random_orthogonal(size, np.random.default_rng(size + 1)))) or size == 1


def test_orthogonal_matrices_have_both_determinants_and_no_preferred_direction():
    rng = np.random.default_rng(0)
    drawn_ones = [dense(random_orthogonal(5, rng)) for _ in range(400)]
    signs = np.array([np.linalg.det(one) for one in drawn_ones])
    assert abs(np.sign(signs).mean()) < 4 / np.sqrt(400)  # four standard errors
    entries = np.array(drawn_ones)
    # a Haar-distributed entry has mean 0 and variance 1/5: four standard errors, of 25 entries
    assert np.abs(entries.mean(axis=0)).max() < 4 / np.sqrt(5 * 400)
    np.testing.assert_allclose((entries**2).mean(axis=0), 0.2, atol=4 * 0.23 / np.sqrt(400))  # sd of the square: 0.23


@pytest.mark.parametrize("shape", SHAPES)
def test_without_rounding_nothing_changes(shape):
    w, x = drawn(*shape)
    layer = incoherent(w, input_hessian(x), seed=4)
    np.testing.assert_allclose(layer.restored(layer.weight), w, rtol=0, atol=CLOSE)
    # the error of any change is the same on either axes
    change = np.random.default_rng(0).standard_normal(w.shape)
    turned = np.einsum("rj,jk,rk->", change, layer.hessian, change)
    back = layer.restored(change)
    assert turned == pytest.approx(np.einsum("rj,jk,rk->", back, damped_by_hand(input_hessian(x)), back), rel=CLOSE)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_whole_method_is_its_definition(bits, shape):
    """Pre-processing, LDLQ and post-processing with dense matrices."""
    w, x = drawn(*shape, seed=3)
    found = quip(w, input_hessian(x), bits=bits, seed=5)
    u, v = dense(found.layer.outputs), dense(found.layer.inputs)
    hessian = damped_by_hand(input_hessian(x))
    rescale = np.diag((np.diag(hessian) / np.diag(w.T @ w)) ** 0.25)
    turned = u @ w @ rescale @ v.T
    its_hessian = v @ np.linalg.inv(rescale) @ hessian @ np.linalg.inv(rescale) @ v.T
    s = 2.4 * np.linalg.norm(turned) / np.sqrt(turned.size)
    rounded = by_definition(np.clip(turned, -s, s), its_hessian, s, bits)
    expected = u.T @ rounded @ v @ np.linalg.inv(rescale)
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=CLOSE * np.abs(w).max())
    assert found.quantized.q.max() < 2**bits


@pytest.mark.parametrize("bits", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_column_takes_the_level_that_costs_least_on_the_random_axes(bits, shape):
    """The optimisation of a step by brute force, as of GPTQ: on inputs turned by hand, with no Hessian but D's."""
    for seed in range(3):
        w, x = drawn(*shape, seed=seed)
        found = quip(w, input_hessian(x), bits=bits, seed=seed)
        u, v = dense(found.layer.outputs), dense(found.layer.inputs)
        inputs = damped_inputs(x)
        rescale = (2 / len(x) * (inputs**2).sum(axis=0) / (w**2).sum(axis=0)) ** 0.25
        turned = u @ (w * rescale) @ v.T
        s = 2.4 * np.sqrt((turned**2).mean())
        levels = np.tile(np.linspace(-s, s, 2**bits), (len(w), 1))
        rounded = tried(np.clip(turned, -s, s), inputs / rescale @ v.T, levels)
        np.testing.assert_allclose(found.values, u.T @ rounded @ v / rescale, rtol=0, atol=CLOSE * np.abs(w).max())


@pytest.mark.parametrize("size", [8, 16])
def test_two_bit_rounding_against_the_optimum_on_the_same_axes(size):
    for seed in range(3):
        w, x = drawn(size, size, seed=seed)
        found = quip(w, input_hessian(x), bits=2, seed=seed)
        half = 2.4 * np.sqrt((found.layer.weight**2).mean())
        target, levels = np.clip(found.layer.weight, -half, half), np.linspace(-half, half, 4)
        least = sum(searched(row, found.layer.hessian, levels) for row in target) / 2
        nearest_one = levels[np.abs(levels - target[..., None]).argmin(axis=-1)]
        mine = layer_error(target, found.quantized.values, found.layer.hessian)
        assert least * (1 - 1e-9) <= mine < layer_error(target, nearest_one, found.layer.hessian)


def test_it_helps_where_weights_are_uneven():
    """A few large weights stretch every row's min-max grid; on random axes they are spread, and two bits do better."""
    better, evener = [], []
    for seed in range(20):
        w, x = drawn(16, 16, seed=seed)
        w[:, [2, 9]] *= 10
        hessian = input_hessian(x)
        found = quip(w, hessian, bits=2, seed=seed)
        better.append(layer_error(w, found.values, hessian) < layer_error(w, gptq(w, hessian, bits=2).values, hessian))
        turned = found.layer.weight
        evener.append(np.abs(turned).max() / np.linalg.norm(turned) < np.abs(w).max() / np.linalg.norm(w))
    # by chance alone 15 of 20 or more would come up once in fifty times
    assert sum(better) >= 15
    assert sum(evener) >= 15


def test_more_bits_are_better_and_eight_are_nearly_exact():
    w, x = drawn(12, 16, seed=8)
    errors = [layer_error(w, quip(w, input_hessian(x), bits=bits).values, input_hessian(x)) for bits in (1, 2, 4, 8)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-2 * layer_error(w, np.zeros_like(w), input_hessian(x))


def test_it_follows_from_its_seed():
    w, x = drawn(4, 6)
    one, same, other = (quip(w, input_hessian(x), bits=2, seed=seed).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_zeros_and_dead_inputs():
    x = drawn(3, 6)[1]
    np.testing.assert_array_equal(quip(np.zeros((3, 6)), input_hessian(x), bits=2).values, 0)
    w, x = drawn(3, 6)
    w[:, 2], x[:, 4] = 0, 0
    for hessian in (input_hessian(x), np.zeros((6, 6)), np.ones((6, 6))):
        found = quip(w, hessian, bits=4).values
        assert np.isfinite(found).all()
    found = quip(w, input_hessian(x), bits=8).values
    assert layer_error(w, found, input_hessian(x)) < 1e-2 * layer_error(w, 0 * w, input_hessian(x))
    constant = np.full((4, 4), 0.3)
    # on random axes the matrix has rank one still, and its largest entries are beyond 2.4 root mean squares: clipped
    np.testing.assert_allclose(quip(constant, np.eye(4), bits=8).values, constant, rtol=0.1)
    np.testing.assert_allclose(quip(constant, np.eye(4), bits=8, rho=4.0).values, constant, rtol=0.1)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bits": 0}, "bits must be a whole number from 1 to 8, got 0"),
        ({"bits": 9}, "got 9"),
        ({"rho": 0.0}, "rho must be a number above 0"),
        ({"damping": -1.0}, "damping must be"),
        ({"weight": np.full((2, 3), np.nan)}, "weights must be finite"),
        ({"hessian": np.full((3, 3), np.nan)}, "the Hessian must be finite"),
        ({"hessian": np.eye(2)}, "must have shape"),
        ({"hessian": np.ones((3, 3)), "damping": 0.0}, "not positive definite"),
    ],
)
def test_mistakes_are_told_in_one_line(changed, words, untyped):
    settings: dict[str, Any] = {"weight": np.ones((2, 3)), "hessian": np.eye(3), "bits": 2} | changed
    with pytest.raises(InputError, match=words) as raised:
        quip(**settings)
    assert "\n" not in str(raised.value)
