"""W23's BitLinear in float64 NumPy, an equation a line: the plain form beside `bitlinear` and `straight_through`.

Nothing here is shared with the layer that is trained but the description of the form and the value of eps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ntk1bit.networks.bitlinear_form import BitLinearForm
from ntk1bit.networks.layer_norm import layer_norm
from ntk1bit.networks.quantizers import CLIP, SignAtZero


class SignedGroup(NamedTuple):
    """One group of a matrix: it stands for `beta signs`; alpha is not added back."""

    signs: Float[np.ndarray, "out size"]
    alpha: float
    beta: float


class ClippedGroup(NamedTuple):
    """One group of inputs: it stands for `gamma/Q_b xq`; eta is not added back, and 0 where nothing is shifted."""

    xq: Float[np.ndarray, "n size"]
    gamma: Float[np.ndarray, "r 1"]
    eta: Float[np.ndarray, "r 1"]


def sign(w: Float[np.ndarray, " *shape"], *, at_zero: SignAtZero = -1) -> Float[np.ndarray, " *shape"]:
    """Return Sign(w) (W23, Eq. 2)."""
    return np.where(w > 0, 1.0, np.where(w < 0, -1.0, float(at_zero)))


def clip(x: Float[np.ndarray, " *shape"], low: float, high: float) -> Float[np.ndarray, " *shape"]:
    """Return max(low, min(high, x)) (W23, Eq. 5)."""
    return np.maximum(low, np.minimum(high, x))


def signed_groups(w: Float[np.ndarray, "out in"], form: BitLinearForm) -> list[SignedGroup]:
    """Quantise weights (W23, Eqs. 1 to 3, and beta of Eq. 12), group by group (Eq. 13).

    Raises
    ------
    InputError
        If the form's groups do not divide the inputs.
    """
    found = []
    for part in _parts(w, form):
        alpha = part.sum() / part.size
        beta = np.abs(part).sum() / part.size
        found.append(SignedGroup(sign(part - alpha, at_zero=form.sign_at_zero), float(alpha), float(beta)))
    return found


def clipped_groups(
    x: Float[np.ndarray, "n in"], form: BitLinearForm, *, before_nonlinearity: bool = False, bits: int = 8
) -> list[ClippedGroup]:
    """Quantise inputs (W23, Eqs. 4 to 6), group by group (Eq. 14).

    Raises
    ------
    InputError
        If the form's groups do not divide the inputs.
    """
    top = 2.0 ** (bits - 1)
    eps = 1.0 if form.rounding else top * CLIP
    axis = 1 if form.gamma == "row" else (0, 1)
    shifted = before_nonlinearity and form.shift != "nowhere"
    found = []
    for part in _parts(x, form):
        gamma = np.abs(part).max(axis=axis, keepdims=True)
        eta = part.min(axis=axis, keepdims=True) if shifted else np.zeros_like(gamma)
        if shifted and form.shift == "full-range":
            gamma = (part - eta).max(axis=axis, keepdims=True)
        levels = (part - eta) * top / np.where(gamma > 0, gamma, 1.0)
        if form.rounding:
            levels = np.rint(levels)
        low = -top + eps
        if shifted:
            low = 0.0 if form.rounding else eps
        found.append(ClippedGroup(clip(levels, low, top - eps), gamma, eta))
    return found


def bitlinear(
    x: Float[np.ndarray, "n in"],
    w: Float[np.ndarray, "out in"],
    form: BitLinearForm,
    *,
    before_nonlinearity: bool = False,
) -> Float[np.ndarray, "n out"]:
    """Return y = Wq Quant(LN(x)) beta gamma/Q_b (W23, Eqs. 11, 12), summed over groups, each with a norm (Eq. 15).

    Raises
    ------
    InputError
        If the form's groups do not divide the inputs.
    """
    normal = np.concatenate([layer_norm(part) for part in _parts(x, form)], axis=1)
    inputs = clipped_groups(normal, form, before_nonlinearity=before_nonlinearity)
    y = np.zeros((len(x), len(w)))
    for (signs, _, beta), (xq, gamma, _) in zip(signed_groups(w, form), inputs, strict=True):
        y += xq @ signs.T * beta * gamma / 128
    return y


def _parts(x: Float[np.ndarray, "n in"], form: BitLinearForm) -> list[Float[np.ndarray, "n size"]]:
    """Return the groups in float64."""
    size = form.group_size(x.shape[1])
    x = x.astype(np.float64)
    return [x[:, first : first + size] for first in range(0, x.shape[1], size)]
