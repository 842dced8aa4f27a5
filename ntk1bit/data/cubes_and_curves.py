"""Points and targets of D25's experiments with deep networks, as the paper gives them: not on the unit sphere.

**Cube functions** (Fig. 1): points uniform on [-1, 1]^k as they are; the networks have biases. What is done about f6,
which is undefined on part of the cube, is said in `ntk1bit.data.target_functions`: such points are drawn again.

**Curves** (Fig. 2 and 3): evenly spaced training points on [-pi, pi], random test points; a point x is the input
(x/pi, 1), whose second coordinate takes the place of a bias.

Every target is divided by the bound of its magnitude (`ntk1bit.data.target_functions`), so |y| <= 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ntk1bit.data.target_functions import CUBE_FUNCTIONS, CURVE_FUNCTIONS, cube_points
from ntk1bit.errors import InputError, require_choice

CUBES = tuple(CUBE_FUNCTIONS)
CURVES = tuple(CURVE_FUNCTIONS)
GRID = 301  # evenly spaced points of [-pi, pi] at which Fig. 2 draws a function


class Points(NamedTuple):
    """Inputs (n, d) and targets (n,) to train and to test on, in float64."""

    x: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, " n"]
    x_test: Float[np.ndarray, "n_test d"]
    y_test: Float[np.ndarray, " n_test"]


def cube_data(task: str, *, n_train: int, n_test: int, seed: int) -> Points:
    """Draw points of one of f1..f6.

    Raises
    ------
    InputError
        For an unknown function, no training points, or a negative seed.
    """
    require_choice("function", task, CUBES)
    rng = _generator(n_train, n_test, seed)
    function = CUBE_FUNCTIONS[task]
    x, _ = cube_points(function, n_train + n_test, rng)
    y = function.values(x) / function.bound
    return Points(x[:n_train], y[:n_train], x[n_train:], y[n_train:])


def curve_data(task: str, *, n_train: int, n_test: int, seed: int) -> Points:
    """Lay out and draw points of one of the three functions of one variable.

    Raises
    ------
    InputError
        For an unknown function, no training points, or a negative seed.
    """
    require_choice("function", task, CURVES)
    rng = _generator(n_train, n_test, seed)
    at = np.concatenate([np.linspace(-np.pi, np.pi, n_train), rng.uniform(-np.pi, np.pi, n_test)])
    x, y = curve_inputs(at), curve_targets(task, at)
    return Points(x[:n_train], y[:n_train], x[n_train:], y[n_train:])


def curve_inputs(at: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """Return the inputs (x/pi, 1) of points of [-pi, pi]."""
    return np.stack([at / np.pi, np.ones(len(at))], axis=1)


def curve_targets(task: str, at: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the targets at points of [-pi, pi]."""
    return CURVE_FUNCTIONS[task].values(at) / CURVE_FUNCTIONS[task].bound


def _generator(n_train: int, n_test: int, seed: int) -> np.random.Generator:
    if n_train < 1 or n_test < 0 or seed < 0:
        raise InputError(
            f"data need n_train of at least 1, n_test and a seed of at least 0, got {n_train}, {n_test} and {seed}"
        )
    return np.random.default_rng([seed, 0xD25])
