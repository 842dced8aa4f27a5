"""Round-to-nearest by the largest magnitude (absmax), of weights row by row and of activations position by position.

    Q(x) = Delta round(x/Delta),  Delta = max|x|/(2^(bits-1) - 1)

as Xiao et al. (2023, arXiv 2211.10438) and Dettmers et al. (2022) have it; halves go to even. W23 names the
method and not what shares a scale: here each row of weights has one and so has each position of the activations, the
finest that a product of integers allows without losing its form, and what the code of SmoothQuant's authors does. The
activations of BitNet are rounded a little differently (`straight_through.absmax`): 2^(bits-1) stands for max|x|, and
the ends are clipped.

One bit leaves no whole number but zero in this formula. The grid of two points that reaches from -max|x| to max|x| is
taken: `max|w| Sign(w)`, Sign(0) = +1. With `"absmean"` the scale is mean|w| of the row instead, which minimises the
squared error; W23 does not say which of the two it has measured.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk1bit.arguments import whole
from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.post_training.grids import GridQuantized, weight_bits
from ntk1bit.networks.post_training.hessians import checked_weights

SignScale = Literal["absmax", "absmean"]
SIGN_SCALES: tuple[str, ...] = get_args(SignScale)


def round_weights(weight: Float[np.ndarray, "m d"], *, bits: int, sign_scale: SignScale = "absmax") -> GridQuantized:
    """Round each row of a matrix to the nearest of 2^bits - 1 symmetric levels, or of two at one bit; see the module.

    Parameters
    ----------
    weight
        Any floats, (m, d).
    bits
        From 1 to 8.
    sign_scale
        At one bit: what the signs of a row are multiplied with, max|w| or mean|w|.

    Returns
    -------
    Integers with one scale per row. A row of zeros stays zero at 2 bits and more, and at one bit has scale 0.

    Raises
    ------
    InputError
        If the weights are no finite matrix with an entry, `bits` is out of range, or `sign_scale` is unknown or given
        as ``"absmean"`` for more than one bit.
    """
    require_choice("sign_scale", sign_scale, SIGN_SCALES)
    w = checked_weights(weight)
    if weight_bits(bits) == 1:
        size = np.abs(w)
        half = size.max(axis=1, keepdims=True) if sign_scale == "absmax" else size.mean(axis=1, keepdims=True)
        return GridQuantized((w >= 0).astype(np.uint8), 2 * half, np.full_like(half, 0.5), w.shape[1])
    if sign_scale != "absmax":
        raise InputError(f"sign_scale {sign_scale!r} is for 1 bit, got {bits} bits; leave it out")
    top = 2 ** (bits - 1) - 1
    q, gamma = symmetric_integers(w, top)
    return GridQuantized((q + top).astype(np.uint8), gamma / top, np.full_like(gamma, float(top)), w.shape[1])


def round_activations(x: Float[Array, "... d"], *, bits: int) -> Float[Array, "... d"]:
    """Round each position's activations to 2^bits - 1 symmetric levels by their largest magnitude (JAX).

    A position of zeros stays zero.

    Raises
    ------
    InputError
        If `bits` is not in 2..8.
    """
    top = 2 ** (activation_bits(bits) - 1) - 1
    q, gamma = symmetric_integers(x, top, xp=jnp)
    return (q / top * gamma).astype(x.dtype)


def symmetric_integers(x: Any, top: int, *, xp: Any = np) -> tuple[Any, Any]:
    """Return round(x top/gamma), whole numbers from -top to top, and gamma = max|x| over the last axis (kept).

    For `xp` NumPy or JAX. What is divided by gamma is x, which gives numbers of at most 1 whatever the exponents are;
    where gamma is no normal float, of which XLA makes 0, the integers are 0.
    """
    gamma = xp.abs(x).max(axis=-1, keepdims=True)
    normal = gamma >= xp.finfo(x.dtype).tiny
    return xp.where(normal, xp.rint(x / xp.where(normal, gamma, 1) * top), 0), gamma


def activation_bits(bits: int) -> int:
    """Return a number of bits for activations, checked.

    Raises
    ------
    InputError
        If it is not a whole number from 2 to 8.
    """
    return whole("activation bits", bits, allowed="a whole number from 2 to 8, or None", least=2, most=8)
