from __future__ import annotations

import ast
import copy
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.post_training.gptq import gptq, inverse_factor, upper_factor
from ntk1bit.networks.post_training.grids import min_max_grid, nearest, points
from ntk1bit.networks.post_training.hessians import input_hessian, layer_error

from .layers import SHAPES, damped_by_hand, damped_inputs, drawn, enumerated, searched, tried

EPS = float(np.finfo(np.float64).eps)
# Integers are compared exactly, what they stand for to the rounding of scales: grids of later groups are laid over
# weights that come from two ways of solving the same equations, whose condition number is below 1e3 here with damping.
CLOSE = 1e3 * 100 * EPS


def by_least_squares(w, x, bits, group=None):
    """Optimal Brain Quantization in a fixed order, by its definition, with no Hessian and no inverse.

    Before a column is rounded, the columns that are left take the values with which the outputs on x, and on the inputs
    that damping stands for, change least from those of the original weights.
    """
    columns = w.shape[1]
    inputs = damped_inputs(x)
    now, values, q = w.copy(), np.zeros_like(w), np.zeros(w.shape, int)
    scale, zero = np.ones(len(w)), np.zeros(len(w))
    for k in range(columns):
        if k:
            change = (w[:, :k] - values[:, :k]) @ inputs[:, :k].T
            now[:, k:] = w[:, k:] + np.linalg.lstsq(inputs[:, k:], change.T, rcond=None)[0].T
        if k % (group or columns) == 0:
            over = now[:, k : k + (group or columns)]
            low, high = np.minimum(over.min(axis=1), 0), np.maximum(over.max(axis=1), 0)
            scale = (high - low) / (2**bits - 1)
            zero = np.round(-low / scale)
        q[:, k] = np.clip(np.round(now[:, k] / scale) + zero, 0, 2**bits - 1)
        values[:, k] = scale * (q[:, k] - zero)
    return q, values


def rounded(w, bits):
    grid = min_max_grid(w, bits=bits)
    return points(nearest(w, grid), grid)


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_column_is_rounded_from_the_least_squares_solution(bits, shape):
    for seed in range(5):
        w, x = drawn(*shape, seed=seed)
        q, values = by_least_squares(w, x, bits)
        found = gptq(w, input_hessian(x), bits=bits)
        np.testing.assert_array_equal(found.q, q)
        np.testing.assert_allclose(found.values, values, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("bits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_column_takes_the_level_that_costs_least_with_later_columns_free(bits, shape):
    """The optimisation of a step by brute force: no error is carried, no level is taken for being the nearest."""
    for seed in range(3):
        w, x = drawn(*shape, seed=seed)
        low, high = np.minimum(w.min(axis=1), 0)[:, None], np.maximum(w.max(axis=1), 0)[:, None]
        scale = (high - low) / (2**bits - 1)
        levels = scale * (np.arange(2**bits) - np.round(-low / scale))
        found = gptq(w, input_hessian(x), bits=bits).values
        np.testing.assert_allclose(found, tried(w, damped_inputs(x), levels), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("group", [1, 3, 5, 8, 16, 40])
@pytest.mark.parametrize("block", [1, 4, 128])
def test_groups_are_laid_over_the_weights_as_they_are_then(group, block):
    """Groups that do not divide the 16 columns, that are longer than blocks or than the matrix, and single columns."""
    for seed in range(3):
        w, x = drawn(5, 16, seed=seed)
        q, values = by_least_squares(w, x, 3, group)
        found = gptq(w, input_hessian(x), bits=3, group=group, block=block)
        np.testing.assert_array_equal(found.q, q)
        np.testing.assert_allclose(found.values, values, rtol=0, atol=CLOSE)
        assert found.scale.shape == found.zero.shape == (5, -(-16 // min(group, 16)))


@pytest.mark.parametrize("block", [1, 2, 5, 16, 100])
def test_blocks_change_nothing(block):
    w, x = drawn(6, 16, seed=9)
    plain = gptq(w, input_hessian(x), bits=3)
    np.testing.assert_array_equal(gptq(w, input_hessian(x), bits=3, block=block).q, plain.q)


def library_gptq() -> Any:
    """The function `gptq` of ONNX Runtime's quantisation tools (from Intel's Neural Compressor), NumPy only.

    Its module imports packages that need not be installed, so the function alone is compiled. It takes the upper factor
    of the inverse Hessian and reads its columns, which are zero there: nothing is fed forward, and it rounds to the
    nearest (version 1.32; the last assertion of the test). Without that transposition it is the authors' algorithm.

    Returns the function repaired, the function as it is, and whether it had to be repaired.
    """
    found = importlib.util.find_spec("onnxruntime")
    if found is None or not found.submodule_search_locations:
        pytest.skip("onnxruntime is not installed (extra bench)")
    path = Path(found.submodule_search_locations[0]) / "quantization" / "neural_compressor" / "weight_only.py"
    if not path.exists():
        pytest.skip("this onnxruntime has no GPTQ")
    source = path.read_text(encoding="utf-8")

    def compiled(text):
        tree = ast.parse(text)
        tree.body = [one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == "gptq"]
        namespace: dict[str, Any] = {"np": np, "copy": copy}
        exec(compile(tree, str(path), "exec"), namespace)
        return namespace["gptq"]

    factor = "np.linalg.cholesky(np.linalg.inv(H))"
    reads_columns = "Hinv1[i:, i]" in source and f"{factor}.T" in source
    return compiled(source.replace(f"{factor}.T", factor) if reads_columns else source), compiled(source), reads_columns


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("group", [None, 8])
def test_it_agrees_with_a_library(bits, group):
    repaired, as_it_is, reads_columns = library_gptq()
    settings = {"num_bits": bits, "group_size": group or -1, "blocksize": group or 128}  # groups: see the module
    for seed in range(5):
        w, x = drawn(12, 24, seed=seed)
        w, hessian = w - 0.1, input_hessian(x)
        found = gptq(w, hessian, bits=bits, group=group).values
        np.testing.assert_allclose(found, repaired(w.T.copy(), hessian.copy(), **settings).T, rtol=0, atol=CLOSE)
        if reads_columns and group is None:
            np.testing.assert_allclose(
                as_it_is(w.T.copy(), hessian.copy(), **settings).T, rounded(w, bits), rtol=0, atol=CLOSE
            )


def test_it_lies_between_the_optimum_and_rounding_to_the_nearest():
    """The optimum of 2-bit layers by trying all 4^6 rows: never beaten, and much nearer than rounding on average."""
    errors = []
    for seed in range(20):
        w, x = drawn(4, 6, seed=seed)
        hessian = damped_by_hand(input_hessian(x))
        grid = min_max_grid(w, bits=2)
        levels = grid.scale * (np.arange(4) - grid.zero)
        least = sum(enumerated(row, hessian, its) for row, its in zip(w, levels, strict=True)) / 2
        mine = layer_error(w, gptq(w, input_hessian(x), bits=2).values, hessian)
        errors.append((least, mine, layer_error(w, rounded(w, 2), hessian)))
        assert least <= mine * (1 + 1e4 * EPS)
    best, mine, plain = np.mean(errors, axis=0)
    assert best < mine < plain
    assert (plain - mine) / (plain - best) > 0.4  # 0.58 here; rounding column by column is no exact search


def test_of_16_by_16_layers_too():
    errors = []
    for seed in range(3):
        w, x = drawn(16, 16, seed=seed)
        hessian = damped_by_hand(input_hessian(x))
        grid = min_max_grid(w, bits=2)
        levels = grid.scale * (np.arange(4) - grid.zero)
        if seed == 0:  # the search against trying all, on the first columns
            few = hessian[:6, :6]
            assert searched(w[0, :6], few, levels[0]) == pytest.approx(enumerated(w[0, :6], few, levels[0]), rel=1e-9)
        least = sum(searched(row, hessian, its) for row, its in zip(w, levels, strict=True)) / 2
        mine = layer_error(w, gptq(w, input_hessian(x), bits=2).values, hessian)
        errors.append((least, mine, layer_error(w, rounded(w, 2), hessian)))
        assert least <= mine * (1 + 1e4 * EPS)
    best, mine, plain = np.mean(errors, axis=0)
    assert best < mine < plain


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_with_uncorrelated_inputs_it_rounds_to_the_nearest(bits):
    w = np.random.default_rng(bits).standard_normal((5, 9))
    hessian = np.diag(np.random.default_rng(1).random(9) + 0.1)
    found = gptq(w, hessian, bits=bits)
    np.testing.assert_allclose(found.values, rounded(w, bits), rtol=0, atol=100 * EPS)


def test_hand_computed():
    """One row on the grid 0, 1, 2, 3: 1.4 is rounded to 1, and 0.4 H_12/H_22 = 0.2 is added to 1.4, which becomes 2."""
    w, hessian = np.array([[1.4, 1.4, 3.0]]), np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    found = gptq(w, hessian, bits=2, damping=0.0)
    np.testing.assert_array_equal(found.q, [[1, 2, 3]])
    np.testing.assert_allclose(rounded(w, 2), [[1, 1, 3]])


def test_only_the_shape_of_the_hessian_counts():
    w, x = drawn(6, 10)
    x[:, 3] = 0
    plain = gptq(w, input_hessian(x), bits=3)
    for scale in (1e-9, 1e9):
        np.testing.assert_array_equal(gptq(w, scale * input_hessian(x), bits=3).q, plain.q)


def test_the_symmetric_grid():
    w, x = drawn(6, 10, seed=2)
    found = gptq(w, input_hessian(x), bits=4, symmetric=True)
    np.testing.assert_array_equal(found.zero, np.full((6, 1), 8.0))
    np.testing.assert_allclose(found.scale[:, 0], 2 * np.abs(w).max(axis=1) / 15, rtol=4 * EPS)
    hessian = damped_by_hand(input_hessian(x))
    grid = min_max_grid(w, bits=4, symmetric=True)
    assert layer_error(w, found.values, hessian) < layer_error(w, points(nearest(w, grid), grid), hessian)


def test_dead_inputs_become_zero_and_do_not_disturb_the_others():
    w, x = drawn(4, 8, seed=1)
    x[:, [2, 5]] = 0
    live = [0, 1, 3, 4, 6, 7]
    w[:, [2, 5]] *= 0.1  # inside the range of the others, so that the grid stays
    found = gptq(w, input_hessian(x), bits=3).values
    np.testing.assert_array_equal(found[:, [2, 5]], 0)
    alone = gptq(w[:, live], input_hessian(x[:, live]), bits=3).values
    np.testing.assert_allclose(found[:, live], alone, rtol=0, atol=CLOSE)
    np.testing.assert_array_equal(gptq(w, np.zeros((8, 8)), bits=3).values, 0)


def test_fewer_inputs_than_columns_are_enough_with_damping():
    w, x = drawn(4, 12, rows=3)
    found = gptq(w, input_hessian(x), bits=3)
    assert np.isfinite(found.values).all()
    assert layer_error(w, found.values, input_hessian(x)) < layer_error(w, rounded(w, 3), input_hessian(x))
    with pytest.raises(InputError, match="not positive definite"):
        gptq(w, input_hessian(x), bits=3, damping=0.0)


@pytest.mark.parametrize("value", [0.0, 0.7, -0.7])
def test_constant_weights_stay(value):
    w, x = np.full((3, 6), value), drawn(3, 6)[1]
    np.testing.assert_allclose(gptq(w, input_hessian(x), bits=2).values, w, rtol=0, atol=100 * EPS)


def test_factors():
    hessian = damped_by_hand(input_hessian(drawn(1, 9)[1]))
    upper, inverse = upper_factor(hessian), inverse_factor(hessian)
    np.testing.assert_array_equal(np.tril(upper, -1), 0)
    np.testing.assert_array_equal(np.tril(inverse, -1), 0)
    size = np.abs(hessian).max()
    np.testing.assert_allclose(upper @ upper.T, hessian, rtol=0, atol=100 * EPS * size)
    # C^T C H = 1 to rounding times the condition number, which damping bounds by about 100 times the 9 columns
    np.testing.assert_allclose(inverse.T @ inverse @ hessian, np.eye(9), rtol=0, atol=1e4 * EPS)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bits": 1}, "bits must be a whole number from 2 to 8, got 1"),
        ({"bits": 9}, "got 9"),
        ({"group": 0}, "group must be None or a whole number from 1, got 0"),
        ({"block": 0}, "block must be"),
        ({"damping": -1.0}, "damping must be"),
        ({"weight": np.full((2, 3), np.nan)}, "weights must be finite"),
        ({"hessian": np.full((3, 3), np.nan)}, "the Hessian must be finite"),
        ({"hessian": np.eye(2)}, "must have shape"),
    ],
)
def test_mistakes_are_told_in_one_line(changed, words, untyped):
    settings: dict[str, Any] = {"weight": np.ones((2, 3)), "hessian": np.eye(3), "bits": 4} | changed
    with pytest.raises(InputError, match=words) as raised:
        gptq(**settings)
    assert "\n" not in str(raised.value)
