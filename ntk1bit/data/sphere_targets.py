"""Synthetic targets on inputs uniform on the unit sphere, in any dimension d >= 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_TEACHER_WIDTH = 8


class SphereTarget(NamedTuple):
    """A target on the sphere: its formula (for people), and a function that draws its constants for a dimension.

    What it draws maps points (n, d) to values in [-1, 1]. Constants are drawn before any point, so that the target does
    not depend on how many points are used.
    """

    formula: str
    draw: Callable[[int, np.random.Generator], Callable[[np.ndarray], np.ndarray]]


def sphere_points(count: int, dim: int, rng: np.random.Generator) -> Float[np.ndarray, "count d"]:
    """Draw points uniform on the unit sphere in R^d."""
    points = rng.standard_normal((count, dim))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _linear(dim: int, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    u = sphere_points(1, dim, rng)[0]
    return lambda x: x @ u


def _quadratic(dim: int, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    u, v = sphere_points(2, dim, rng)
    return lambda x: (x @ u) * (x @ v) - (u @ v) / dim


def _teacher(dim: int, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    hidden = rng.standard_normal((_TEACHER_WIDTH, dim))
    signs = np.resize([1.0, -1.0], _TEACHER_WIDTH)
    norms = np.linalg.norm(hidden, axis=1)
    bound = max(norms[signs > 0].sum(), norms[signs < 0].sum())  # relu(<h, x>) <= norm(h) on the sphere
    return lambda x: np.maximum(x @ hidden.T, 0) @ signs / bound


def _random(dim: int, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    del dim
    return lambda x: np.where(rng.random(len(x)) < 0.5, -1.0, 1.0)


SPHERE_TARGETS = {
    "sphere-linear": SphereTarget("<u, x>, u a random direction", _linear),
    "sphere-quadratic": SphereTarget("<u, x><v, x> - <u, v>/d", _quadratic),
    "sphere-teacher": SphereTarget(f"a random relu network of {_TEACHER_WIDTH} neurons, scaled into [-1, 1]", _teacher),
    "sphere-random": SphereTarget("random signs: nothing to generalise, only to memorise", _random),
}
DEFAULT_SPHERE_DIM = 32
