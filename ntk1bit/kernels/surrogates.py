"""The kernel of a 1-bit network under other surrogates for the derivative of Sign than the identity.

A straight-through estimator replaces d q_k/d u_k, u = (w - mu)/s being the argument of Sign, by a function g(u_k) with
g(0) = 1. D25 takes g = 1, so that d z_r(x)/d w_rk = x_k (Lemma F.3). Any other gives g(u_rk) x_k, s and mu held, and

    H_ij = kappa^2 (1/m) sum_r 1[z_r(x_i) >= 0] 1[z_r(x_j) >= 0] sum_k g(u_rk)^2 x_ik x_jk

in place of `empirical.empirical_ntk`. The outputs, and so the activations, are the same under all of them. How far two
kernels lie apart is said by `distance`, and after the best common factor by `shape`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.errors import require_choice
from ntk1bit.kernels.empirical import empirical_ntk
from ntk1bit.networks.quantizers import Scale, centred_scale, sign_arguments
from ntk1bit.networks.two_layer.network import Weights, activation_patterns, blocks

STEEP = 4.0  # of "steep": g is above a half at 17 % of Gaussian weights, where that of "tanh" is at 62 %
_BLOCK = 512  # neurons; 64 inputs of a block in float64 are 256 KB and stay in cache


def _tanh(u: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
    return 1 - np.tanh(u) ** 2


SLOPES: dict[str, Callable[[Float[np.ndarray, "m d"]], Float[np.ndarray, "m d"]]] = {
    "identity": np.ones_like,  # D25, Lemma F.3
    "clipped": lambda u: (np.abs(u) <= 1).astype(u.dtype),  # Hubara et al. 2016: `straight_through.neuron_wise`
    "tanh": _tanh,  # Sign stands for tanh(u), as in Qin et al. 2020 (IR-Net)
    "steep": lambda u: _tanh(STEEP * u),  # the same for tanh(4 u)/4: nearer to Sign itself
}


def surrogate_slopes(w: Float[np.ndarray, "m d"], *, surrogate: str, scale: Scale = "std") -> Float[np.ndarray, "m d"]:
    """Return g(u_rk), u = (w - mu)/s, in float64: what stands for the derivative of Sign at each latent weight.

    Parameters
    ----------
    w
        Latent weights.
    surrogate
        A key of `SLOPES`.
    scale
        Of the quantiser, as in `quantizers.quantize_neurons`. A row of equal weights has u = 0.

    Raises
    ------
    InputError
        If `surrogate` is unknown.
    """
    require_choice("surrogate", surrogate, SLOPES)
    c, s, _ = centred_scale(w.astype(np.float64), scale=scale)
    return SLOPES[surrogate](sign_arguments(c, s))


def surrogate_ntk(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    weights: Weights,
    *,
    surrogate: str,
    kappa: float = 1.0,
    scale: Scale = "std",
) -> Float[np.ndarray, "n n"]:
    """Compute the kernel of a 1-bit network under a surrogate, by one product of activations for each coordinate.

    Parameters
    ----------
    x
        Inputs, (n, d).
    weights
        The network.
    surrogate
        A key of `SLOPES`; ``"identity"`` gives `empirical_ntk`.
    kappa, scale
        As in `ntk1bit.networks.two_layer.outputs`.

    Returns
    -------
    (n, n), float64, symmetric to rounding.

    Raises
    ------
    InputError
        As `empirical_ntk`, and if `surrogate` is unknown.
    """
    require_choice("surrogate", surrogate, SLOPES)
    if surrogate == "identity":
        return empirical_ntk(x, weights, kappa=kappa, scale=scale)
    inputs, active = _inputs_and_patterns(x, weights, scale)
    kernel = np.zeros((len(inputs), len(inputs)))
    for block in blocks(slice(0, weights.width), size=_BLOCK):
        slopes = surrogate_slopes(weights.w[block], surrogate=surrogate, scale=scale)
        patterns = active[block].astype(np.float64)
        for k in np.flatnonzero(inputs.any(axis=0)):  # pixels that are the same everywhere add nothing
            passing = patterns * slopes[:, k : k + 1]
            kernel += (passing.T @ passing) * np.outer(inputs[:, k], inputs[:, k])
    return kernel * (checked_kappa(kappa) ** 2 / weights.width)


def surrogate_ntk_reference(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    weights: Weights,
    *,
    surrogate: str,
    kappa: float = 1.0,
    scale: Scale = "std",
) -> Float[np.ndarray, "n n"]:
    """Compute `surrogate_ntk` from the Jacobian, a_r g(u_rk) 1[z_r(x_i) >= 0] x_ik kappa/sqrt(m), as it is defined."""
    inputs, active = _inputs_and_patterns(x, weights, scale)
    slopes = surrogate_slopes(weights.w, surrogate=surrogate, scale=scale)
    factor = checked_kappa(kappa) / np.sqrt(weights.width)
    jacobian = factor * weights.a[None, :, None] * slopes * active.T[:, :, None] * inputs[:, None, :]
    flat = jacobian.reshape(len(inputs), -1)
    return flat @ flat.T


def distance(a: Float[np.ndarray, "n n"], b: Float[np.ndarray, "n n"]) -> float:
    """Return norm_F(A - B)/sqrt(norm_F(A) norm_F(B)), which is the same whichever of the two comes first."""
    return float(np.linalg.norm(a - b) / np.sqrt(np.linalg.norm(a) * np.linalg.norm(b)))


def shape(a: Float[np.ndarray, "n n"], b: Float[np.ndarray, "n n"]) -> float:
    """Return min_c norm_F(A - c B)/norm_F(A): the sine of the angle between them, whichever comes first."""
    return float(np.linalg.norm(a - np.vdot(a, b) / np.vdot(b, b) * b) / np.linalg.norm(a))


def _inputs_and_patterns(
    x: Float[np.ndarray, "n d"] | ArrayLike, weights: Weights, scale: Scale
) -> tuple[Float[np.ndarray, "n d"], Bool[np.ndarray, "m n"]]:
    """Return the inputs in float64, as `empirical_ntk` multiplies them, and which neurons are active on which."""
    active = activation_patterns(x, weights, scale=scale)
    return np.asarray(x, dtype=np.float64), active
