from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.post_training.grids import GridQuantized, min_max_grid, nearest, points, range_grid

EPS = float(np.finfo(np.float64).eps)


def every_point(grid):
    return points(np.tile(np.arange(grid.top + 1.0), (len(grid.scale), 1)), grid)


def test_hand_computed_grids():
    w = np.array([[-1.0, 0.4, 2.0], [0.5, 1.0, 3.0], [-4.0, -1.0, -2.0]])
    grid = min_max_grid(w, bits=2)
    np.testing.assert_array_equal(grid.scale, [[1.0], [1.0], [4 / 3]])
    np.testing.assert_array_equal(grid.zero, [[1.0], [0.0], [3.0]])
    np.testing.assert_array_equal(nearest(w, grid), [[0, 1, 3], [0, 1, 3], [0, 2, 1]])  # 0.5 and -1.5: halves to even
    grid = min_max_grid(w, bits=2, symmetric=True)
    np.testing.assert_allclose(grid.scale, [[4 / 3], [2.0], [8 / 3]], rtol=2 * EPS)
    np.testing.assert_array_equal(grid.zero, [[2.0], [2.0], [2.0]])
    np.testing.assert_allclose(every_point(range_grid(3.0, rows=1, bits=2)), [[-3, -1, 1, 3]], rtol=4 * EPS)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("symmetric", [False, True])
def test_zero_is_on_the_grid_and_weights_within_reach_move_by_half_a_step_at_most(bits, symmetric):
    w = np.random.default_rng(bits).standard_normal((6, 40)) + np.linspace(-3, 3, 6)[:, None]
    grid = min_max_grid(w, bits=bits, symmetric=symmetric)
    assert (every_point(grid) == 0).any(axis=1).all()
    moved = np.abs(points(nearest(w, grid), grid) - w)
    # a whole zero may shift either end of the grid by half a step, and the weights there by as much
    assert (moved <= grid.scale * (1 + 1e-9)).all()
    assert (moved <= grid.scale / 2 * (1 + 1e-9)).mean() > 0.9


@pytest.mark.parametrize("bits", range(1, 9))
def test_nearest_is_the_nearest_point(bits):
    """Among all points of the grid, by comparing every one."""
    w = np.random.default_rng(bits).standard_normal((5, 30))
    grids = [range_grid(1.7, rows=5, bits=bits)] + ([min_max_grid(w, bits=bits)] if bits > 1 else [])
    for grid in grids:
        apart = np.abs(every_point(grid)[:, None, :] - w[:, :, None])
        found = np.abs(points(nearest(w, grid), grid) - w)
        np.testing.assert_allclose(found, apart.min(axis=2), rtol=0, atol=32 * EPS)  # roundings of numbers up to 4


def test_rows_of_zeros_and_constant_rows_are_exact():
    w = np.array([[0.0, 0.0], [0.3, 0.3], [-0.7, -0.7]])
    for bits in (2, 8):
        grid = min_max_grid(w, bits=bits)
        np.testing.assert_allclose(points(nearest(w, grid), grid), w, rtol=4 * EPS)


def test_groups_have_their_own_scale_and_zero_and_the_last_may_be_shorter():
    q = np.arange(5, dtype=np.uint8)[None]
    found = GridQuantized(q, np.array([[1.0, 10.0, 100.0]]), np.array([[0.0, 1.0, 2.0]]), group=2).values
    np.testing.assert_array_equal(found, [[0, 1, 10, 20, 200]])


@pytest.mark.parametrize("bits", [0, 1, 9, 2.5, float("nan")])
def test_bits_out_of_range_are_refused_in_one_line(bits, untyped):
    with pytest.raises(InputError, match="bits must be a whole number from 2 to 8, got") as raised:
        min_max_grid(np.ones((2, 2)), bits=bits)
    assert "\n" not in str(raised.value)
