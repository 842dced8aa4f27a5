"""Quantisers: neuron-wise (D25) and tensor-wise signs (W23), ternary weights (b1.58), 8-bit activations (W23).

The two papers quantise differently, and both forms live here under different names. D25 gives every neuron its own
scale, adds the mean back and has Sign(0) = +1; W23 has one scale a tensor, does not add it back, and has Sign(0) = -1.
The straight-through forms for JAX are in `ntk1bit.networks.straight_through`.

**The ends of the number line.** Means and sizes are those of real arithmetic to rounding, whatever the exponents of the
weights are: where squares or sums would leave the range of floats, they are taken of the weights divided by a power of
two, which changes no bit elsewhere. A mean lies between the smallest and the largest weight, so that equal weights
are all quantised to Sign(0). 16-bit floats are computed in float32.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Int8

from ntk1bit.errors import InputError, require_choice

Scale = Literal["std", "absmean"]
SCALES: tuple[str, ...] = get_args(Scale)
Surrogate = Literal["identity", "clipped", "sign"]  # what stands in for a derivative; see `straight_through`
SURROGATES: tuple[str, ...] = get_args(Surrogate)
SignAtZero = Literal[-1, 1]  # what Sign(0) is: +1 in D25, -1 in W23 (Eq. 2)
SIGNS_AT_ZERO: tuple[int, ...] = get_args(SignAtZero)

SMALL, LARGE = 2.0**-60, 2.0**60  # scales between these are divided by as they are
LIFT = 2.0**64  # what others are multiplied or divided by first
ONE_SIDED = 15 / 16  # of mean|W|: a |mean W| above it means that nearly all weights have one sign
FAR_MEAN = 16.0  # times the size of w - mu: a |mu| above it means that the weights of a row are nearly equal
CLIP = 2.0**-24  # eps/Q_b of W23's Clip without rounding: 1 - CLIP is the largest float32 below 1
LEAST = 2.0**-50  # sizes from here on: squares that are lost below the smallest float are no part of their mean


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


def in_range(mean: Any, size: Any, most: float) -> Any:
    """Tell for which rows a mean and a size taken plainly can be relied on, as booleans (NumPy or JAX).

    They cannot where a sum or a square left the range of floats, and where |mean| > most size: there the mean might be
    rounded to beyond all weights, of a constant row above all.
    """
    return (size >= LEAST) & (size < float("inf")) & (abs(mean) <= most * size)


def levels(x: Any, gamma: Any, top: int, *, xp: Any = np, rounding: bool = True, from_zero: bool = False) -> Any:
    """Return clip(round(x top/gamma), 1 - top, top - 1)/top, halves to even, for `xp` NumPy or JAX.

    Without `rounding`, clip(x top/gamma, -top + eps, top - eps)/top with eps = top 2^-24 (W23, Eq. 4). `from_zero`: the
    lower end is 0, or eps without rounding (W23, Eq. 6, whose x - eta is this x).

    `x top/gamma` is `x (top/gamma)` to the bit; rows too small for `top/gamma` to be a float are lifted first. Chosen
    by `where`, not by a factor of one: compilers may contract two products with constants of a row to one, which would
    then leave the range of floats. The division by top is exact and stands before the clip for the same reason.
    """
    divisor = xp.where(gamma > 0, gamma, 1).astype(x.dtype)
    small = divisor < SMALL
    factor = top / xp.where(small, divisor * LIFT, divisor)
    scaled = xp.where(small, x * LIFT, x) * factor
    if rounding:
        return xp.clip(xp.rint(scaled) / top, 0 if from_zero else (1 - top) / top, (top - 1) / top)
    return xp.clip(scaled / top, CLIP if from_zero else CLIP - 1, 1 - CLIP)


def centred_scale(
    w: Float[np.ndarray, "m d"], *, scale: Scale = "std"
) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Centre each row and measure its size: the three numbers a neuron-wise quantiser is made of.

    Returns
    -------
    c, s, mu
        `c = w - mu` with no negative zeros (so that `c >= 0` and the sign bit agree: Sign(0) = +1),
        `mu = mean_k w_k`, and `s = sqrt(mean_k c_k^2)` for ``"std"`` (D25, Def. D.3) or
        `s = mean_k |c_k|` for ``"absmean"``, which minimises `norm(w - mu - s q)`. In float32 for 16-bit weights.
    """
    c, s, mu = _measured(_wide(w), scale, axis=1)
    return c, s[:, 0], mu[:, 0]


def sign_arguments(c: Float[np.ndarray, "m d"], s: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m d"]:
    """Return u = c/s, what Sign is taken of (D25, Def. D.3), from `centred_scale`; 0 in a row of equal weights."""
    return c / np.where(s > 0, s, 1)[:, None]


def quantize_neurons(w: Float[np.ndarray, "m d"], *, scale: Scale = "std") -> NeuronQuantized:
    """Quantise each row to signs with its own scale and mean (D25, Def. D.3; BitNet's scale as an option).

    `q(w) = sign(w - mu(w))` with Sign(0) = +1, `mu(w) = mean_k w_k`, and `s(w)` the root mean square
    (``"std"``) or the mean absolute value (``"absmean"``) of `w - mu`.

    Parameters
    ----------
    w
        Latent weights, (m, d), d >= 1; s and mu have their dtype.
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
    return NeuronQuantized(q=np.where(c >= 0, 1, -1).astype(np.int8), s=_narrow(s, w), mu=_narrow(mu, w))


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
    return _narrow(c, w)


def quantize_tensor(w: Float[np.ndarray, "m d"], *, sign_at_zero: SignAtZero = 1) -> TensorQuantized:
    """Quantise a whole matrix to signs with one scale (W23): `Sign(W - alpha)`, alpha = mean(W), beta = mean|W|.

    W23 has Sign(0) = -1 (Eq. 2), which `sign_at_zero=-1` gives; +1 is the default of `bitlinear_form.ROUNDED`.

    Raises
    ------
    InputError
        If `w` is empty or contains NaN or infinity.
    """
    _require_tensor(w)
    c, beta, alpha = _measured(_wide(w), "magnitude", axis=None)
    above = c >= 0 if sign_at_zero > 0 else c > 0
    return TensorQuantized(q=np.where(above, 1, -1).astype(np.int8), alpha=alpha.item(), beta=beta.item())


def quantize_ternary(w: Float[np.ndarray, "m d"]) -> TernaryQuantized:
    """Quantise a whole matrix to {-1, 0, +1} with one scale (BitNet b1.58, Ma et al. 2024).

    `q = clip(round(W/beta), -1, 1)`, beta = mean|W|, halves rounded to even; a matrix of zeros gives zeros.

    Raises
    ------
    InputError
        If `w` is empty or contains NaN or infinity.
    """
    _require_tensor(w)
    wide, exponent = _wide(w), 0
    with np.errstate(over="ignore"):
        beta = np.abs(wide).mean()
    if not LEAST <= beta < np.inf:  # out of the range of sums, or rounded to zero beside weights that are not
        exponent = int(np.frexp(np.abs(wide).max())[1])
        wide = np.ldexp(wide, -exponent)
        beta = np.abs(wide).mean()
    q = np.clip(np.rint(wide / (beta if beta > 0 else 1)), -1, 1)
    return TernaryQuantized(q=q.astype(np.int8), beta=math.ldexp(float(beta), exponent))


def quantize_activations(x: Float[np.ndarray, "n d"], *, bits: int = 8) -> ActivationsQuantized:
    """Round activations to signed integers by their largest magnitude (W23's absmax), a row at a time.

    The rounding is our reading of W23's Eq. 4, which prints a Clip alone; see `bitlinear_form`.

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
    wide = _wide(x)
    gamma = np.abs(wide).max(axis=1, initial=0.0, keepdims=True)
    top = 2 ** (bits - 1)
    with np.errstate(over="ignore"):  # of rows that are not to be lifted
        q = levels(wide, gamma, top) * top
    return ActivationsQuantized(q.astype(np.int8), _narrow(gamma[:, 0], x))


def _measured(
    w: Float[np.ndarray, "m d"], size: str, *, axis: Literal[1] | None
) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, "r 1"], Float[np.ndarray, "r 1"]]:
    """Return w - mean without negative zeros, the size and the mean, of each row (`axis` 1) or of all (None)."""
    with np.errstate(over="ignore", invalid="ignore"):
        c, s, mean = _measure(w, size, axis)
        fine = in_range(mean, s, ONE_SIDED if size == "magnitude" else FAR_MEAN)
        if not fine.all():
            exponent = np.frexp(np.abs(w).max(axis=axis, keepdims=True))[1]
            _, s_near_one, mean_near_one = _measure(np.ldexp(w, -exponent), size, axis, held=True)
            s = np.where(fine, s, np.ldexp(s_near_one, exponent))
            mean = np.where(fine, mean, np.ldexp(mean_near_one, exponent))
            c = w - mean
    c += 0.0  # turns -0.0 into +0.0
    return c, s, mean


def _measure(
    v: Float[np.ndarray, "m d"], size: str, axis: Literal[1] | None, *, held: bool = False
) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, "r 1"], Float[np.ndarray, "r 1"]]:
    """Do as `_measured` does, plainly; `held`: with the mean between the smallest and the largest weight."""
    mean = v.mean(axis=axis, keepdims=True)
    if held:
        mean = np.clip(mean, v.min(axis=axis, keepdims=True), v.max(axis=axis, keepdims=True))
    c = v - mean
    if size == "std":
        return c, np.sqrt(np.einsum("rk,rk->r", c, c) / np.asarray(v.shape[1], v.dtype))[:, None], mean
    return c, np.abs(v if size == "magnitude" else c).mean(axis=axis, keepdims=True), mean


def _wide(w: np.ndarray) -> np.ndarray:
    """Return numbers in the precision that quantisers compute in: float32 or more."""
    return w.astype(np.result_type(w.dtype, np.float32), copy=False)


def _narrow(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return results in the dtype of the numbers they are of, unless those are integers."""
    return values if like.dtype.kind in "iub" else values.astype(like.dtype, copy=False)


def _require_tensor(w: Float[np.ndarray, "m d"]) -> None:
    _require_weights(w)
    if w.shape[0] == 0:
        raise InputError("a tensor-wise quantiser needs at least one weight, got shape " + str(w.shape))


def _require_weights(w: Float[np.ndarray, "m d"]) -> None:
    if w.shape[1] == 0:
        raise InputError(f"weights need at least one input dimension, got shape {w.shape}")
    if not np.isfinite(w).all():
        raise InputError("weights contain NaN or infinity; the network has diverged or was loaded wrongly")
