"""Every task by name: ours, and those made of people's own data (`ntk1bit.data.own_data`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ntk1bit.data.digits_and_diabetes import Rows, diabetes, digits, mnist5k
from ntk1bit.data.own_data import fetch, from_arrays, is_own
from ntk1bit.data.own_files import from_file
from ntk1bit.data.regression_task import Task, prepare
from ntk1bit.data.sphere_targets import DEFAULT_SPHERE_DIM, SPHERE_TARGETS, sphere_points
from ntk1bit.data.target_functions import (
    CUBE_FUNCTIONS,
    CURVE_FUNCTIONS,
    DEFAULT_CURVE_DIM,
    bias_lift,
    cube_points,
    curve_lift,
)
from ntk1bit.errors import InputError, require_choice

__all__ = ["describe", "dims_allowed", "from_arrays", "from_file", "load", "names"]

_MOST_NUMBERS = 2**28  # coordinates of one task, 2 GB in float64: beyond it, a typing mistake

_MEASURED: dict[str, tuple[str, Callable[[], Rows], bool]] = {
    # name: (description, rows, whether to centre the inputs)
    "digits": ("8x8 digits, even against odd, features centred (d = 64)", digits, True),
    "digits-raw": (
        "the same, not centred: badly conditioned, a stress case (d = 64)",
        digits,
        False,
    ),
    "diabetes": (
        "disease progression from 10 clinical features (d = 10, 442 points)",
        diabetes,
        True,
    ),
    "mnist5k": (
        "5,000 28x28 digits, even against odd, centred (d = 784; extra 'data')",
        mnist5k,
        True,
    ),
}


def names() -> list[str]:
    """List the names `load` accepts."""
    return [*_MEASURED, *CUBE_FUNCTIONS, *CURVE_FUNCTIONS, *SPHERE_TARGETS]


def describe(name: str) -> str:
    """Say in one line what a task is.

    Raises
    ------
    InputError
        For an unknown name.
    """
    require_choice("task", name, names())
    if name in _MEASURED:
        return _MEASURED[name][0]
    if name in CUBE_FUNCTIONS:
        cube = CUBE_FUNCTIONS[name]
        return f"{cube.formula} on [-1, 1]^{cube.arity}, bias lift (d = {cube.arity + 1})"
    if name in CURVE_FUNCTIONS:
        return f"{CURVE_FUNCTIONS[name].formula} on [-pi, pi] (d = {DEFAULT_CURVE_DIM} or --dims)"
    formula = SPHERE_TARGETS[name].formula
    return f"{formula} (inputs uniform on the sphere, d = {DEFAULT_SPHERE_DIM} or --dims)"


def dims_allowed(name: str) -> bool:
    """Say whether the task's dimension can be chosen."""
    if is_own(name):
        return False
    require_choice("task", name, names())
    return name in CURVE_FUNCTIONS or name in SPHERE_TARGETS


def load(name: str, *, n_train: int = 256, n_test: int = 512, seed: int = 0, dim: int | None = None) -> Task:
    """Load or draw a task.

    Parameters
    ----------
    name
        One of `names()`, or what `own_data.keep` returned for a task of one's own, of which the first points are taken.
    n_train, n_test
        Number of training points (>= 1) and test points (>= 0), disjoint.
    seed
        Non-negative; decides the split of real data, the points and constants of synthetic data. The same seed gives
        the same task on every machine.
    dim
        Input dimension, for the tasks that have a choice (the one-dimensional functions and ``sphere-*``).

    Returns
    -------
    Task
        float32, rows of unit norm and not parallel, |y| <= 1.

    Raises
    ------
    InputError
        For an unknown name, a dimension the task cannot have, too many points, or a missing package.
    """
    if is_own(name):
        return fetch(name).part(n_train, n_test)
    require_choice("task", name, names())
    if seed < 0:
        raise InputError(f"the data seed must be a non-negative integer, got {seed}")
    if n_train < 1 or n_test < 0:
        raise InputError(f"n_train must be at least 1 and n_test at least 0, got {n_train} and {n_test}")
    if (n_train + n_test) * (dim or DEFAULT_SPHERE_DIM) > _MOST_NUMBERS:
        where = "" if dim is None else f" in dimension {dim}"
        raise InputError(f"{n_train + n_test} points{where} are too many; ask for fewer points")
    if dim is not None and not dims_allowed(name):
        raise InputError(f"task {name!r} has a dimension of its own; --dims works with sphere-* and curve tasks only")
    for_target, for_points = np.random.default_rng(seed).spawn(2)
    count, notes, centre = n_test + n_train, (), False
    if name in _MEASURED:
        _, rows, centre = _MEASURED[name]
        x, y = rows()
        order = for_points.permutation(len(x))
        x, y = x[order], y[order]
    elif name in CUBE_FUNCTIONS:
        cube = CUBE_FUNCTIONS[name]
        points, rejected = cube_points(cube, count, for_points)
        x, y = bias_lift(points), cube.values(points) / cube.bound
        if rejected:
            notes = (f"{rejected:.0%} of the draws lay where {name} is undefined or huge and were made again",)
    elif name in CURVE_FUNCTIONS:
        curve = CURVE_FUNCTIONS[name]
        dim = DEFAULT_CURVE_DIM if dim is None else dim
        random_test, even_train = for_points.uniform(-np.pi, np.pi, n_test), np.linspace(-np.pi, np.pi, n_train)
        points = np.concatenate([random_test, even_train])
        x, y = curve_lift(points, dim), curve.values(points) / curve.bound
        if dim == 2:
            notes = ("at dim 2 the std quantiser is lossless: 1-bit and full precision coincide",)
    else:
        dim = DEFAULT_SPHERE_DIM if dim is None else dim
        if dim < 2:
            raise InputError(f"task {name!r} needs dim >= 2 (on the line every two inputs are parallel), got {dim}")
        target = SPHERE_TARGETS[name].draw(dim, for_target)
        x = sphere_points(count, dim, for_points)
        y = target(x)
    return prepare(name, x, y, n_train=n_train, n_test=n_test, seed=seed, centre_inputs=centre, notes=notes)
