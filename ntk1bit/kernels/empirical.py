"""The empirical NTK of a two-layer network, from activation bits alone: no Jacobian is formed.

Only the hidden weights train, and the straight-through estimator sets d z_r(x)/d w_r := x (D25, Lemma F.3), so

    H_ij = kappa^2 <x_i, x_j> (1/m) #{r : z_r(x_i) >= 0 and z_r(x_j) >= 0}.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float, Int32
from numpy.typing import ArrayLike

from ntk1bit import cores
from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.networks.quantizers import Scale
from ntk1bit.networks.two_layer.initial_weights import DrawnWeights
from ntk1bit.networks.two_layer.network import Precision, Weights, kernel_from_counts, packed_activation_patterns


def empirical_ntk(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    weights: Weights | DrawnWeights,
    x2: Float[np.ndarray, "n2 d"] | ArrayLike | None = None,
    *,
    precision: Precision = "one_bit",
    kappa: float = 1.0,
    scale: Scale = "std",
) -> Float[np.ndarray, "n n2"]:
    """Compute the (straight-through) NTK of a two-layer network, H = kappa^2 (x x2^T) o (A^T A2)/m (D25, Def. G.1).

    Parameters
    ----------
    x, x2
        Inputs, (n, d) and (n2, d); `x2` defaults to `x`, and H is then symmetric.
    weights
        The network; `DrawnWeights` are drawn and counted a part at a time.
    precision, kappa, scale
        As in `ntk1bit.networks.two_layer.outputs`.

    Returns
    -------
    (n, n2), float64. The counts are exact; the only rounding is that of the inner products.

    Raises
    ------
    InputError
        If shapes do not match, inputs or weights are not finite, output signs are not -1 or +1, kappa is no number from
        1e-30 to 1e30, or an option is unknown.
    """
    kappa = checked_kappa(kappa)

    def coactive(part: Weights) -> Int32[np.ndarray, "n n2"]:
        active = packed_activation_patterns(x, part, precision=precision, scale=scale)
        active2 = None if x2 is None else packed_activation_patterns(x2, part, precision=precision, scale=scale)
        return cores.bit_gram(active, active2)

    counts = functools.reduce(np.add, map(coactive, weights.parts()))
    left = np.asarray(x, dtype=np.float64)
    right = left if x2 is None else np.asarray(x2, dtype=np.float64)
    return kernel_from_counts(left @ right.T, counts, width=weights.width, kappa=kappa)
