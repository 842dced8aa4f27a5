"""Quantisers: neuron-wise (D25) and tensor-wise signs (W23), ternary weights (b1.58), 8-bit activations (W23).

The two papers quantise differently, and both forms live here under different names. D25 gives every neuron its own
scale and adds the mean back; W23 has one scale a tensor and does not. The straight-through forms for JAX are in
`ntk1bit.nets`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Int8

from ntk1bit.errors import InputError, require_choice

Scale = Literal["std", "absmean"]
SCALES: tuple[str, ...] = get_args(Scale)


class NeuronQuantized(NamedTuple):
    """A neuron-wise quantised weight matrix: row r stands for `s[r] * q[r] + mu[r]`."""

    q: Int8[np.ndarray, "m d"]
    s: Float[np.ndarray, " m"]
    mu: Float[np.ndarray, " m"]


class TensorQuantized(NamedTuple):
    """A tensor-wise quantised weight matrix: it stands for `beta * q`; the mean `alpha` is not added back."""

    q: Int8[np.ndarray, "m d"]
    alpha: float
    beta: float


class TernaryQuantized(NamedTuple):
    """A matrix quantised to {-1, 0, +1}: it stands for `beta * q`."""

    q: Int8[np.ndarray, "m d"]
    beta: float


class ActivationsQuantized(NamedTuple):
    """Activations as integers: row i stands for `gamma[i] * q[i] / 2^(bits-1)`."""

    q: Int8[np.ndarray, "n d"]
    gamma: Float[np.ndarray, " n"]


def centred_scale(
    w: Float[np.ndarray, "m d"], *, scale: Scale = "std"
) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Centre each row and measure its size: the three numbers a neuron-wise quantiser is made of.

    Returns
    -------
    c, s, mu
        `c = w - mu` with no negative zeros (so that `c >= 0` and the sign bit agree: Sign(0) = +1),
        `mu = mean_k w_k`, and `s = sqrt(mean_k c_k^2)` for ``"std"`` (D25, Def. D.3) or
        `s = mean_k |c_k|` for ``"absmean"``, which minimises `norm(w - mu - s q)`.
    """
    mu = w.mean(axis=1)
    c = w - mu[:, None]
    c += 0.0  # turns -0.0 into +0.0
    if scale == "std":
        s = np.sqrt(np.einsum("rk,rk->r", c, c) / np.asarray(w.shape[1], w.dtype))
    else:
        s = np.abs(c).mean(axis=1)
    return c, s, mu


def quantize_neurons(w: Float[np.ndarray, "m d"], *, scale: Scale = "std") -> NeuronQuantized:
    """Quantise each row to signs with its own scale and mean (D25, Def. D.3; BitNet's scale as an option).

    `q(w) = sign(w - mu(w))` with Sign(0) = +1, `mu(w) = mean_k w_k`, and `s(w)` the root mean square
    (``"std"``) or the mean absolute value (``"absmean"``) of `w - mu`.

    Parameters
    ----------
    w
        Latent weights, (m, d), float32 or float64, d >= 1.
    scale
        ``"std"`` or ``"absmean"``.

    Raises
    ------
    InputError
        If `w` has no columns, contains NaN or infinity, or `scale` is unknown.
    """
    require_choice("scale", scale, SCALES)
    _require_weights(w)
    c, s, mu = centred_scale(w, scale=scale)
    return NeuronQuantized(q=np.where(c >= 0, 1, -1).astype(np.int8), s=s, mu=mu)


def dequantize_neurons(quantized: NeuronQuantized) -> Float[np.ndarray, "m d"]:
    """Return the real weights a neuron-wise quantised matrix stands for, `s q + mu`, shape (m, d)."""
    q, s, mu = quantized
    return s[:, None] * q.astype(s.dtype) + mu[:, None]


def effective_weights(w: Float[np.ndarray, "m d"], *, scale: Scale = "std") -> Float[np.ndarray, "m d"]:
    """Return `dequantize_neurons(quantize_neurons(w))` in one pass without the integers, for hot loops.

    The two agree to one rounding; no input is checked here.
    """
    c, s, mu = centred_scale(w, scale=scale)
    np.copysign(s[:, None], c, out=c)
    c += mu[:, None]
    return c


def quantize_tensor(w: Float[np.ndarray, "m d"]) -> TensorQuantized:
    """Quantise a whole matrix to signs with one scale (W23): `Sign(W - alpha)`, alpha = mean(W), beta = mean|W|.

    Raises
    ------
    InputError
        If `w` is empty or contains NaN or infinity.
    """
    _require_weights(w)
    if w.shape[0] == 0:
        raise InputError("a tensor-wise quantiser needs at least one weight, got shape " + str(w.shape))
    alpha = float(w.mean())
    return TensorQuantized(
        q=np.where(w - w.dtype.type(alpha) >= 0, 1, -1).astype(np.int8),
        alpha=alpha,
        beta=float(np.abs(w).mean()),
    )


def quantize_ternary(w: Float[np.ndarray, "m d"]) -> TernaryQuantized:
    """Quantise a whole matrix to {-1, 0, +1} with one scale (BitNet b1.58, Ma et al. 2024).

    `q = clip(round(W/beta), -1, 1)`, beta = mean|W|, halves rounded to even; a matrix of zeros gives zeros.

    Raises
    ------
    InputError
        If `w` is empty or contains NaN or infinity.
    """
    _require_weights(w)
    if w.shape[0] == 0:
        raise InputError("a tensor-wise quantiser needs at least one weight, got shape " + str(w.shape))
    beta = np.abs(w).mean()
    q = np.clip(np.rint(w / beta), -1, 1) if beta > 0 else np.zeros_like(w)
    return TernaryQuantized(q=q.astype(np.int8), beta=float(beta))


def quantize_activations(x: Float[np.ndarray, "n d"], *, bits: int = 8) -> ActivationsQuantized:
    """Round activations to signed integers by their largest magnitude (W23's absmax), a row at a time.

    `q = clip(round(x Q_b / gamma), -Q_b + 1, Q_b - 1)` with `Q_b = 2^(bits-1)` and `gamma = max_k |x_k|`; a row of
    zeros gives zeros.

    Raises
    ------
    InputError
        If `bits` is not in 2..8 or `x` contains NaN or infinity.
    """
    if not 2 <= bits <= 8:
        raise InputError(f"activations can have 2 to 8 bits, got {bits}")
    if not np.isfinite(x).all():
        raise InputError("activations contain NaN or infinity; remove those rows first")
    top = 2 ** (bits - 1)
    gamma = np.abs(x).max(axis=1, initial=0.0)
    safe = np.where(gamma > 0, gamma, 1.0).astype(x.dtype)
    q = np.clip(np.rint(x * (top / safe)[:, None]), -top + 1, top - 1)
    return ActivationsQuantized(q=q.astype(np.int8), gamma=gamma)


def _require_weights(w: Float[np.ndarray, "m d"]) -> None:
    if w.shape[1] == 0:
        raise InputError(f"weights need at least one input dimension, got shape {w.shape}")
    if not np.isfinite(w).all():
        raise InputError("weights contain NaN or infinity; the network has diverged or was loaded wrongly")
