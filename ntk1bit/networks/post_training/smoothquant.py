"""SmoothQuant (Xiao et al. 2023, arXiv 2211.10438): move the size of input channels into the weights, then round.

    s_j = max|X_j|^alpha / max|W_j|^(1 - alpha)        Y = (X diag(s)^-1) (W diag(s))^T

max|X_j| being over calibration inputs, max|W_j| over all weights that read channel j. The product is the same; with
alpha = 0.5 the largest entries of channel j become equal in both factors. The division of X is part of the gain of the
norm that X comes from, so that inference costs nothing. Both factors are then rounded by `round_to_nearest`.

The authors smooth what follows a block's two norms, and leave the two projections that read no norm to be rounded as
they are. With SubLN our Transformer has a norm before those as well, and all are smoothed; without it (Pre-LN) as they
do. Their code raises factors and magnitudes to at least 1e-5; here a channel whose inputs
or weights are all zero, of which nothing can be moved, keeps s = 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ntk1bit.arguments import number, real_array
from ntk1bit.errors import InputError
from ntk1bit.networks.post_training.hessians import checked_weights

ALPHA = 0.5  # migration strength: the paper's choice for most networks, and its code's


def smoothing_factors(
    largest_inputs: Float[np.ndarray, " d"], weights: Sequence[Float[np.ndarray, "_ d"]], *, alpha: float = ALPHA
) -> Float[np.ndarray, " d"]:
    """Return s, what each input channel is divided by and its weights are multiplied with.

    Parameters
    ----------
    largest_inputs
        max|X_j| over calibration inputs, (d,).
    weights
        The matrices that read these inputs, such as those of queries, keys and values, (outputs, d) each.
    alpha
        From 0 (all of the difficulty stays with the inputs) to 1 (all goes to the weights).

    Returns
    -------
    Positive numbers, (d,), float64.

    Raises
    ------
    InputError
        If an array is not finite or of another shape, inputs are negative, or `alpha` is not from 0 to 1.
    """
    number("alpha", alpha, allowed="a number from 0 to 1", least=0.0, most=1.0)
    if not weights:
        raise InputError("smoothing needs at least one matrix of weights, got none")
    inputs = real_array("largest_inputs", largest_inputs).astype(np.float64)
    matrices = [checked_weights(one) for one in weights]
    if any(inputs.shape != (one.shape[1],) for one in matrices):
        raise InputError(
            f"smoothing needs one largest input per column of the weights, got {inputs.shape} and weights of shapes "
            f"{', '.join(str(one.shape) for one in matrices)}"
        )
    if not np.isfinite(inputs).all() or (inputs < 0).any():
        raise InputError("largest_inputs must be finite and at least 0: give abs(x).max(axis=0) of calibration inputs")
    largest_weights = np.max([np.abs(one).max(axis=0) for one in matrices], axis=0)
    live = (inputs > 0) & (largest_weights > 0)
    ones = np.ones_like(inputs)
    inputs, largest_weights = np.where(live, inputs, ones), np.where(live, largest_weights, ones)
    return inputs**alpha / largest_weights ** (1 - alpha)


def smoothed_factors(
    x: Float[np.ndarray, "n d"], weight: Float[np.ndarray, "m d"], *, alpha: float = ALPHA
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]]:
    """Return X diag(s)^-1 and W diag(s), whose product is that of X and W: for a layer without a norm before it.

    Raises
    ------
    InputError
        As `smoothing_factors`.
    """
    factors = smoothing_factors(np.abs(x).max(axis=0, initial=0.0), [weight], alpha=alpha)
    return x / factors, weight * factors
