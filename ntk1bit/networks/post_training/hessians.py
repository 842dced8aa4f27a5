"""The problem that GPTQ and QuIP solve for each layer: the least change of its outputs on the calibration inputs.

    error(V) = mean_i |(V - W) x_i|^2 = tr((V - W) H (V - W)^T)/2,   H = (2/n) sum_i x_i x_i^T

over matrices V on a grid (Frantar et al. 2023; Chee et al. 2023, where H has no 2). Rows are separate
problems with one H. No result depends on a factor of H.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntk1bit.arguments import number, real_array
from ntk1bit.errors import InputError

DAMPING = 0.01  # of the mean diagonal of H, as in the papers and the code of Frantar et al. and Chee et al.


def input_hessian(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d d"]:
    """Return H = (2/n) X^T X of n inputs, a row each, in float64.

    Raises
    ------
    InputError
        If there are none, or one is NaN or infinite.
    """
    rows = _finite_matrix("inputs", x)
    return 2 / len(rows) * (rows.T @ rows)


def damped(hessian: Float[np.ndarray, "d d"], damping: float = DAMPING) -> Float[np.ndarray, "d d"]:
    """Return H with `damping` times its mean diagonal added to the diagonal, so that it has an inverse.

    Inputs that are always zero (a zero on the diagonal) get the mean of the others, so that their number does not
    change the damping; a Hessian of zeros becomes the identity, damped.

    Raises
    ------
    InputError
        If `damping` is negative or not finite, or H is still not positive definite.
    """
    number("damping", damping, allowed="a number of at least 0", least=0.0)
    dead = dead_inputs(hessian)
    mean = float(np.diag(hessian)[~dead].mean()) if not dead.all() else 1.0
    result = hessian.copy()
    result[dead, dead] = mean
    result[np.diag_indices_from(result)] += damping * mean
    try:
        np.linalg.cholesky(result)
    except np.linalg.LinAlgError:
        raise InputError(
            f"the Hessian is not positive definite with damping {damping}: some inputs are combinations of others; "
            f"give more damping, as {DAMPING}, or more inputs"
        ) from None
    return result


def dead_inputs(hessian: Float[np.ndarray, "d d"]) -> np.ndarray:
    """Return which inputs are zero in all of the calibration data, as booleans, (d,)."""
    return np.diag(hessian) == 0


def layer_error(
    weight: Float[np.ndarray, "m d"], values: Float[np.ndarray, "m d"], hessian: Float[np.ndarray, "d d"]
) -> float:
    """Return tr((V - W) H (V - W)^T)/2: the mean squared change of the layer's output, summed over its entries.

    Parameters
    ----------
    weight, values
        W and V.
    hessian
        Of `input_hessian`, not damped.
    """
    change = np.asarray(values, np.float64) - np.asarray(weight, np.float64)
    return float(np.einsum("rj,jk,rk->", change, hessian, change)) / 2


def checked_weights(weight: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
    """Return weights in float64, a copy.

    Raises
    ------
    InputError
        If they are no matrix with an entry, or contain NaN or infinity.
    """
    return _finite_matrix("weights", weight)


def checked_layer(
    weight: Float[np.ndarray, "m d"], hessian: Float[np.ndarray, "e f"]
) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, "e f"]]:
    """Return weights and Hessian in float64, copies, the Hessian exactly symmetric.

    Raises
    ------
    InputError
        If either is no finite matrix, the shapes do not fit, or the Hessian is not symmetric with a diagonal of at
        least 0.
    """
    w, h = checked_weights(weight), _finite_matrix("the Hessian", hessian)
    if h.shape != (w.shape[1], w.shape[1]):
        raise InputError(
            f"the Hessian of weights of shape {w.shape} must have shape {(w.shape[1],) * 2}, got {h.shape}; "
            "give input_hessian(x) of the layer's inputs"
        )
    # A product X^T X is symmetric to rounding: 1e-6 leaves room for float32, and is far below any other matrix's.
    if np.abs(h - h.T).max() > 1e-6 * np.abs(h).max() or np.diag(h).min() < 0:
        raise InputError("the Hessian must be symmetric with a diagonal of at least 0; give input_hessian(x)")
    return w, (h + h.T) / 2


def _finite_matrix(name: str, given: np.ndarray) -> Float[np.ndarray, "rows columns"]:
    array = real_array(name, given)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"{name} must be a matrix with at least one entry, got shape {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"{name} must be finite, got NaN or infinity; the network has diverged or was loaded wrongly")
    return array
