"""Infinite-width limits of the two-layer NTK: closed form, Monte Carlo over neurons, large-dimension approximation.

Every limit has the form kappa^2 <x, x'> P_w[neuron active on x and on x'], with w ~ N(0, I_d). Neither initialisation
changes it: a ``paired`` network only repeats its neurons.

*Full precision.* (<w,x>, <w,x'>) is Gaussian, so P = (pi - theta)/(2 pi) with theta the angle between x and x'
(the arc-cosine kernel of degree 0; Cho & Saul 2009).

*1-bit, fixed d.* z(x) = s <q,x> + mu <1,x> is not Gaussian and has no closed form: P is counted over random neurons.

*1-bit, large d.* z(x) is a sum of many weakly dependent terms. A Gaussian with the same covariance gives P in closed
form again. With c = w - mu 1, which has E c_j c_k = delta_jk - 1/d and is independent of mu ~ N(0, 1/d),

    E q_j q_k = rho = -(2/pi) arcsin(1/(d-1))  (j != k)                 (Sheppard 1899, as corr(c_j, c_k) = -1/(d-1))
    Cov(z(x), z(x')) = E[s^2] (1 - rho) <x,x'> + (E[s^2] rho + 1/d) <1,x> <1,x'>.

The last line is exact for ``std`` (the length of c is independent of its direction) and drops Cov(s^2, q_j q_k) for
``absmean``. What it misses is the non-Gaussian shape, O(1/d) or less for inputs with no dominant coordinate.

*1-bit and latent weights, large d.* The coactivity of z(x) and <w,x'>, likewise. As sum_k c_k = 0, E s q_j c_k is
A = E s |c_1| for j = k and -A/(d-1) otherwise, so that

    Cov(z(x), <w,x'>) = A d/(d-1) (<x,x'> - <1,x><1,x'>/d) + <1,x><1,x'>/d,
    A = E norm(c)^2 E |c_1| / (sqrt(d) E norm(c)) for ``std``,   A = E[s^2] for ``absmean``,

exactly; A d/(d-1) tends to sqrt(2/pi) and 2/pi, and the correlation for inputs with <1,x> = 0 to sqrt(2/pi) cos(x,x').
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ntk1bit import cores
from ntk1bit.arguments import input_rows, whole
from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.quantizers import SCALES, Scale
from ntk1bit.networks.two_layer.network import PRECISIONS, Precision, Weights, packed_activation_patterns
from ntk1bit.printing import record

_CHUNK_BYTES = 1 << 26  # memory for one chunk of neurons; small chunks keep 10^7 neurons as cheap as 10^4
_STREAM = 0x11  # keeps these draws apart from those of `two_layer.init` at the same seed


class KernelEstimate(NamedTuple):
    """A Monte Carlo estimate of a kernel, entry by entry.

    Attributes
    ----------
    value
        (n, n2), float64.
    standard_error
        (n, n2), float64; 0 where the value is exact.
    """

    value: Float[np.ndarray, "n n2"]
    standard_error: Float[np.ndarray, "n n2"]

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


def limit_ntk(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    x2: Float[np.ndarray, "n2 d"] | ArrayLike | None = None,
    *,
    precision: Precision = "one_bit",
    kappa: float = 1.0,
    scale: Scale = "std",
    samples: int = 1_000_000,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> KernelEstimate:
    """Compute the infinite-width NTK, lim_m H(0) (D25, Def. G.1 as m -> infinity).

    Parameters
    ----------
    x, x2
        Inputs, (n, d) and (n2, d); `x2` defaults to `x`.
    precision
        ``"full"``: closed form, no error. ``"one_bit"``: Monte Carlo at this d.
    kappa, scale
        As in `ntk1bit.networks.two_layer.outputs`.
    samples
        Neurons drawn, >= 1. Memory does not grow with it.
    seed
        Non-negative integer.
    progress
        Called as progress("limit kernel", share) while neurons are drawn.

    Returns
    -------
    KernelEstimate
        The standard error is the binomial one, kappa^2 |<x,x'>| sqrt(p (1-p)/samples), at the shrunk frequency
        p = (count + 1)/(samples + 2), so it is never 0 for a Monte Carlo entry with <x,x'> != 0.

    Raises
    ------
    InputError
        If shapes do not match, inputs are not finite, an option is unknown, or `kappa`, `samples` or `seed` is out of
        range.
    """
    require_choice("precision", precision, PRECISIONS)
    require_choice("scale", scale, SCALES)
    kappa = checked_kappa(kappa)
    left, right = paired_inputs(x, x2)
    inner = left @ right.T
    if precision == "full":
        return KernelEstimate(kappa**2 * inner * orthant_probability(left, right), np.zeros_like(inner))
    samples, seed = checked_sampling(samples, seed)
    rng = np.random.default_rng([seed, _STREAM, left.shape[1]])
    x32 = left.astype(np.float32)
    x2_32 = None if x2 is None else right.astype(np.float32)
    counts = np.zeros(inner.shape, dtype=np.int64)
    drawn = 0
    for size in chunks(samples, bytes_each=left.shape[0] + right.shape[0] + 16 * left.shape[1]):
        neurons = Weights(rng.standard_normal((size, left.shape[1]), dtype=np.float32), np.ones(size, np.float32))
        active = packed_activation_patterns(x32, neurons, scale=scale)
        active2 = None if x2_32 is None else packed_activation_patterns(x2_32, neurons, scale=scale)
        counts += cores.bit_gram(active, active2)
        drawn += size
        if progress is not None:
            progress("limit kernel", drawn / samples)
    shrunk = (counts + 1) / (samples + 2)
    return KernelEstimate(
        kappa**2 * inner * (counts / samples),
        kappa**2 * np.abs(inner) * np.sqrt(shrunk * (1 - shrunk) / samples),
    )


def gaussian_limit_ntk(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    x2: Float[np.ndarray, "n2 d"] | ArrayLike | None = None,
    *,
    kappa: float = 1.0,
    scale: Scale = "std",
) -> Float[np.ndarray, "n n2"]:
    """Approximate the 1-bit limit for large d by Gaussian pre-activations of the right covariance (this module's text).

    Arguments and errors are those of `limit_ntk`. Its error falls as 1/d or faster for spread-out inputs.
    """
    require_choice("scale", scale, SCALES)
    kappa = checked_kappa(kappa)
    left, right = paired_inputs(x, x2)
    return kappa**2 * (left @ right.T) * gaussian_coactivity(left, right, scale=scale)


def gaussian_coactivity(
    x: Float[np.ndarray, "n d"], x2: Float[np.ndarray, "n2 d"], *, scale: Scale
) -> Float[np.ndarray, "n n2"]:
    """Return P[z(x) >= 0, z(x') >= 0] for Gaussian z with the covariance given in this module's text."""
    dim = x.shape[1]
    if dim == 1:
        return orthant_probability(x, x2)  # s = 0, so z = mu x = w x exactly
    along, mean = _covariance(dim, scale)
    # The covariance along I + mean 1 1^T is the square of sqrt(along) I + stretch 1 1^T/d.
    stretch = np.sqrt(max(along + dim * mean, 0.0)) - np.sqrt(along)

    def lift(inputs: np.ndarray) -> np.ndarray:
        return np.sqrt(along) * inputs + stretch * inputs.mean(axis=1, keepdims=True)

    return orthant_probability(lift(x), lift(x2))


def gaussian_latent_coactivity(
    x: Float[np.ndarray, "n d"], x2: Float[np.ndarray, "n2 d"], *, scale: Scale
) -> Float[np.ndarray, "n n2"]:
    """Return P[z(x) >= 0, <w,x'> >= 0] for Gaussian z with the covariances given in this module's text; d >= 2."""
    dim = x.shape[1]
    along, mean = _covariance(dim, scale)
    both = np.outer(x.sum(axis=1), x2.sum(axis=1)) / dim
    covariance = _latent_covariance(dim, scale) * (x @ x2.T - both) + both
    variance = np.maximum(along * np.einsum("ik,ik->i", x, x) + mean * x.sum(axis=1) ** 2, 0.0)
    sizes = np.outer(np.sqrt(variance), np.linalg.norm(x2, axis=1))
    return _orthant(np.divide(covariance, sizes, out=np.zeros_like(covariance), where=sizes > 0))


def orthant_probability(u: Float[np.ndarray, "n d"], v: Float[np.ndarray, "n2 d"]) -> Float[np.ndarray, "n n2"]:
    """Return P_g[<g,u> >= 0, <g,v> >= 0] = (pi - theta)/(2 pi) for Gaussian g, theta the angle between u and v.

    A zero vector is treated as orthogonal to everything. Angles are good to 1e-7 (an arc cosine near 1).
    """
    norms = np.linalg.norm(u, axis=1)[:, None] * np.linalg.norm(v, axis=1)[None, :]
    cosine = np.divide(u @ v.T, norms, out=np.zeros((u.shape[0], v.shape[0])), where=norms > 0)
    return _orthant(cosine)


def _orthant(correlation: Float[np.ndarray, "n n2"]) -> Float[np.ndarray, "n n2"]:
    return (np.pi - np.arccos(np.clip(correlation, -1.0, 1.0))) / (2 * np.pi)


def paired_inputs(
    x: Float[np.ndarray, "n d"] | ArrayLike, x2: Float[np.ndarray, "n2 d2"] | ArrayLike | None
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n2 d2"]]:
    """Check two sets of inputs against each other and return them in float64; `x2` defaults to `x`.

    Raises
    ------
    InputError
        If they are not matrices, have no features, different numbers of features, or entries that float32 cannot hold.
    """
    left = input_rows("x", x).astype(np.float64, copy=False)
    right = left if x2 is None else input_rows("x2", x2).astype(np.float64, copy=False)
    if left.shape[1] == 0:
        raise InputError(f"inputs need at least one feature, got shape {left.shape}")
    if left.shape[1] != right.shape[1]:
        raise InputError(f"x has {left.shape[1]} features but x2 has {right.shape[1]}; they must match")
    return left, right


def checked_sampling(samples: int, seed: int, *, least: int = 1) -> tuple[int, int]:
    """Return both as plain ints, or raise `InputError` unless `samples >= least` and `seed >= 0`."""
    return (
        whole("samples", samples, allowed=f"at least {least}", least=least),
        whole("seed", seed, allowed="a non-negative integer", least=0),
    )


def chunks(samples: int, *, bytes_each: int) -> list[int]:
    """Cut a number of neurons into chunks whose arrays fit a fixed budget, given the bytes one neuron needs."""
    size = max(1, min(samples, _CHUNK_BYTES // max(1, bytes_each)))
    return [size] * (samples // size) + ([samples % size] if samples % size else [])


def _covariance(dim: int, scale: Scale) -> tuple[float, float]:
    """Return what <x,x'> and <1,x> <1,x'> are multiplied by in Cov(z(x), z(x')), for d >= 2."""
    rho = -(2 / np.pi) * np.arcsin(1 / (dim - 1))
    size = _mean_squared_scale(dim, scale)
    return size * (1 - rho), size * rho + 1 / dim


def _latent_covariance(dim: int, scale: Scale) -> float:
    """Return A d/(d-1) of Cov(z(x), <w,x'>); norm(c) is the length of a Gaussian vector of d - 1 coordinates."""
    if scale == "absmean":
        return _mean_squared_scale(dim, scale) * dim / (dim - 1)
    length = np.sqrt(2) * np.exp(math.lgamma(dim / 2) - math.lgamma((dim - 1) / 2))
    return dim * np.sqrt(2 / np.pi * (1 - 1 / dim)) / (np.sqrt(dim) * length)


def _mean_squared_scale(dim: int, scale: Scale) -> float:
    """Return E[s^2] exactly, from E c_k^2 = 1 - 1/d and E|c_j c_k| of a bivariate normal."""
    variance = 1 - 1 / dim
    if scale == "std":
        return variance
    r = -1 / (dim - 1)
    product = variance * (2 / np.pi) * (np.sqrt(1 - r * r) + r * np.arcsin(r))
    return (variance + (dim - 1) * product) / dim
