"""The target functions of D25's experiments (section 6), lifted to the unit sphere.

**Cube functions** f1..f6 take points uniform on [-1, 1]^k. A point x becomes (x, 1)/norm((x, 1)): the bias coordinate
keeps distinct points distinct on the sphere, where x/norm(x) alone would not.

**f6 as printed is undefined on part of the cube**: the principal branch of LambertW needs x0 x1 >= -1/e, and Gamma has
poles at x1 = 0 and x1 = -1. Points with x0 x1 < -1/e or |Gamma(x1)| > 10 are drawn again; 10 keeps the targets within
an order of magnitude of one another and leaves out a band of about 0.1 around either pole.

**One-dimensional functions** live on [-pi, pi]. At d = 1 the neuron-wise quantiser is degenerate (V = 0), and at d = 2
it is lossless (with two weights, s q + mu = w for the ``std`` scale), so the plain bias lift (x, 1) would compare a
network with itself. The default is therefore the feature map
(1, sin(x/2), cos(x/2), ..., sin(K x/2), cos(K x/2))/sqrt(1 + K), of unit norm and d = 2 K + 1 (17 by default), in which
distinct points stay distinct; `dim=2` still gives the bias lift for whoever wants to see the degenerate case.

**Scale.** Every function is divided by a bound of its magnitude on its domain, so |y| <= 1 and a target does not depend
on which or how many points are drawn. One figure title of D25 has e^(x^2) for e^(-x^2): read as a misprint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special

from ntk1bit.errors import InputError

LARGEST_GAMMA = 10.0


class CubeFunction(NamedTuple):
    """A target on [-1, 1]^arity: formula (for people), arity, a bound of |values|, values, where it is defined."""

    formula: str
    arity: int
    bound: float
    values: Callable[[np.ndarray], np.ndarray]
    defined: Callable[[np.ndarray], np.ndarray] | None = None


class CurveFunction(NamedTuple):
    """A target on [-pi, pi]: formula (for people), a bound of |values|, and values."""

    formula: str
    bound: float
    values: Callable[[np.ndarray], np.ndarray]


def _f1(x: np.ndarray) -> np.ndarray:
    return np.exp((np.sin(np.pi * x / 2) ** 2).sum(axis=1) / 5)


def _f2(x: np.ndarray) -> np.ndarray:
    x1, x2, x3, x4 = x.T
    return np.log1p(np.abs(x1)) + (x2**2 - x2) + np.sin(x3) - np.exp(x4)


def _f3(x: np.ndarray) -> np.ndarray:
    x1, x2, x3 = x.T
    return x1 * x2 - x3


def _f4(x: np.ndarray) -> np.ndarray:
    x0, x1, x2, x3 = x.T
    return x0 * np.sin(x1) + np.cos(x2) - 0.5 * x3


def _f5(x: np.ndarray) -> np.ndarray:
    x0, x1, x2, x3 = x.T
    return x0**2 / (1 + np.abs(x1)) - np.exp(x2) + np.tanh(x3) + np.sqrt(np.abs(x0 * x2))


def _f6(x: np.ndarray) -> np.ndarray:
    x0, x1, x2, x3 = x.T
    return special.lambertw(x0 * x1).real + x2 / np.log1p(np.exp(x3)) - special.gamma(x1) / (1 + np.abs(x0))


def _f6_defined(x: np.ndarray) -> np.ndarray:
    return (x[:, 0] * x[:, 1] >= -1 / np.e) & (np.abs(special.gamma(x[:, 1])) <= LARGEST_GAMMA)


def _sine_step(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * np.abs(x)) * np.sin(5 * x) + np.heaviside(x - 1, 1.0)


def _log_sine(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.abs(x)) * np.sin(10 * x) + 10 * np.tan(x / 6) * np.exp(-(x**2))


CUBE_FUNCTIONS = {
    "f1": CubeFunction("exp((1/5) sum_{i=1..5} sin^2(pi x_i/2))", 5, np.e, _f1),
    "f2": CubeFunction("ln(1+|x1|) + (x2^2 - x2) + sin x3 - e^x4", 4, np.e + np.sin(1) + 0.25, _f2),
    "f3": CubeFunction("x1 x2 - x3", 3, 2.0, _f3),
    "f4": CubeFunction("x0 sin x1 + cos x2 - 0.5 x3", 4, np.sin(1) + 1.5, _f4),
    "f5": CubeFunction("x0^2/(1+|x1|) - e^x2 + tanh x3 + sqrt|x0 x2|", 4, np.e + np.tanh(1), _f5),
    "f6": CubeFunction(
        "LambertW(x0 x1) + x2/log(1+e^x3) - Gamma(x1)/(1+|x0|)",
        4,
        1 + 1 / np.log1p(np.exp(-1)) + LARGEST_GAMMA,
        _f6,
        _f6_defined,
    ),
}
CURVE_FUNCTIONS = {
    "bessel": CurveFunction("J0(20 x)", 1.0, lambda x: special.j0(20 * x)),
    "sine-step": CurveFunction("e^(-0.5|x|) sin 5x + H(x-1)", 2.0, _sine_step),
    "log-sine": CurveFunction("log(1+|x|) sin 10x + 10 tan(x/6) e^(-x^2)", 2.5, _log_sine),
}
DEFAULT_CURVE_DIM = 17


def cube_points(
    function: CubeFunction, count: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "count k"], float]:
    """Draw points uniform on the part of [-1, 1]^k where the function is defined.

    Returns
    -------
    points, rejected
        The points, and the fraction of draws that had to be made again.
    """
    drawn = rng.uniform(-1, 1, size=(count, function.arity))
    if function.defined is None:
        return drawn, 0.0
    while (defined := function.defined(drawn)).sum() < count:
        drawn = np.concatenate([drawn, rng.uniform(-1, 1, size=(count, function.arity))])
    return drawn[defined][:count], float(1 - defined.mean())


def bias_lift(points: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n d"]:
    """Append a coordinate 1 to every point: after normalisation distinct points stay distinct. d = k + 1."""
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)


def curve_lift(points: Float[np.ndarray, " n"], dim: int) -> Float[np.ndarray, "n d"]:
    """Map points of [-pi, pi] to d features: (x, 1) for d = 2, else (1, sin(k x/2), cos(k x/2)) for k = 1..(d-1)/2.

    Raises
    ------
    InputError
        Unless `dim` is 2 or an odd number of at least 3.
    """
    if dim == 2:
        return bias_lift(points[:, None])
    if dim < 3 or dim % 2 == 0:
        raise InputError(
            f"a one-dimensional task takes dim 2 (bias lift) or an odd dim >= 3 (sines and cosines), got {dim}"
        )
    phases = np.outer(points, np.arange(1, (dim - 1) // 2 + 1)) / 2
    return np.concatenate([np.ones((len(points), 1)), np.sin(phases), np.cos(phases)], axis=1)
