from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.data.cubes_and_curves import CUBES, CURVES, cube_data, curve_data, curve_inputs, curve_targets
from ntk1bit.data.target_functions import CUBE_FUNCTIONS
from ntk1bit.errors import InputError


@pytest.mark.parametrize("task", CUBES)
def test_cube_points_fill_the_cube_and_targets_are_at_most_1(task):
    found = cube_data(task, n_train=400, n_test=50, seed=3)
    function = CUBE_FUNCTIONS[task]
    assert found.x.shape == (400, function.arity)
    assert found.x_test.shape == (50, function.arity)
    assert np.abs(found.x).max() <= 1
    # not normalised: 400 uniform points of [-1, 1]^k all have norm above 0.99 with probability below (4/5)^400
    assert np.linalg.norm(found.x, axis=1).min() < 0.99
    assert np.abs(found.y).max() <= 1
    assert np.array_equal(found.y, function.values(found.x) / function.bound)
    again = cube_data(task, n_train=400, n_test=50, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    assert not np.array_equal(found.x, cube_data(task, n_train=400, n_test=50, seed=4).x)


@pytest.mark.parametrize("task", CURVES)
def test_curves_have_even_training_points_and_random_test_points(task):
    found = curve_data(task, n_train=100, n_test=60, seed=0)
    # differences of float64 numbers of size 1
    assert np.abs(np.diff(found.x[:, 0]) - 2 / 99).max() < 1e-14
    assert found.x[0, 0] == -1
    assert found.x[-1, 0] == 1
    assert (found.x[:, 1] == 1).all()
    assert len(set(np.round(np.diff(np.sort(found.x_test[:, 0])), 9))) > 50
    assert max(np.abs(found.y).max(), np.abs(found.y_test).max()) <= 1
    at = np.array([0.3, -2.0])
    assert np.array_equal(curve_inputs(at), [[0.3 / np.pi, 1], [-2 / np.pi, 1]])
    # x = (x/pi) pi to rounding; J0(20 x) has slope 20
    assert np.abs(curve_targets(task, found.x[:, 0] * np.pi) - found.y).max() < 1e-12


def test_mistakes_are_told():
    with pytest.raises(InputError, match="unknown function 'f7'"):
        cube_data("f7", n_train=3, n_test=0, seed=0)
    with pytest.raises(InputError, match="did you mean 'bessel'"):
        curve_data("besel", n_train=3, n_test=0, seed=0)
    with pytest.raises(InputError, match="n_train of at least 1"):
        cube_data("f1", n_train=0, n_test=0, seed=0)
    with pytest.raises(InputError, match="seed of at least 0"):
        curve_data("bessel", n_train=3, n_test=0, seed=-1)
