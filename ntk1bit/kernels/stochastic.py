"""The kernel of a network whose signs are rounded at random, on average over the rounding.

Zhang, Yin and Wang (arXiv 2206.05916) take binary weights as random, by stochastic rounding, and study a "quasi"
network with a smooth activation that stands for the mean. Of the two-layer network it is this: the signs q_rk become
independent, with means tanh(u_rk), u = (w - mu)/s. By the central limit theorem z_r(x) is then normal with

    mean zeta = s <tanh(u), x> + mu <1, x>,        variance sigma^2 = s^2 sum_k (1 - tanh(u_k)^2) x_k^2,

E relu(z) is a smooth function of zeta with the derivative Phi(zeta/sigma), and with d zeta/dw := x, sigma held,

    H_ij = kappa^2 <x_i, x_j> (1/m) sum_r Phi(zeta_r(x_i)/sigma_r(x_i)) Phi(zeta_r(x_j)/sigma_r(x_j)).

The indicator of D25's kernel has become a smooth function: that is what makes eigenvalues fall fast.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import special

from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.networks.quantizers import Scale, centred_scale, sign_arguments
from ntk1bit.networks.two_layer.network import Weights, blocks, checked_inputs

_BLOCK = 2048  # neurons


def rounded_ntk(
    x: Float[np.ndarray, "n d"] | ArrayLike, weights: Weights, *, kappa: float = 1.0, scale: Scale = "std"
) -> Float[np.ndarray, "n n"]:
    """Compute the kernel of the mean output under random rounding of the signs.

    Parameters
    ----------
    x
        Inputs, (n, d), none of them 0.
    weights
        The network.
    kappa, scale
        As in `ntk1bit.networks.two_layer.outputs`.

    Returns
    -------
    (n, n), float64.

    Raises
    ------
    InputError
        If shapes do not match, inputs or weights are not finite, or an option is unknown.
    """
    checked_inputs(x, weights, precision="one_bit", scale=scale)
    inputs = np.asarray(x, dtype=np.float64)
    sums = np.zeros((len(inputs), len(inputs)))
    for block in blocks(slice(0, weights.width), size=_BLOCK):
        active = special.ndtr(standardised(inputs, weights.w[block].astype(np.float64), scale=scale))
        sums += active.T @ active
    return (checked_kappa(kappa) ** 2 / weights.width) * (inputs @ inputs.T) * sums


def standardised(
    x: Float[np.ndarray, "n d"], w: Float[np.ndarray, "m d"], *, scale: Scale = "std"
) -> Float[np.ndarray, "m n"]:
    """Return zeta_r(x_i)/sigma_r(x_i); nothing is checked."""
    c, s, mu = centred_scale(w, scale=scale)
    means = np.tanh(sign_arguments(c, s))
    zeta = s[:, None] * (means @ x.T) + mu[:, None] * x.sum(axis=1)
    sigma = s[:, None] * np.sqrt((1 - means**2) @ (x**2).T)
    return zeta / np.where(sigma > 0, sigma, np.finfo(np.float64).tiny)
