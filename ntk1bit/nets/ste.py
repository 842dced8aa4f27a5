"""Quantisers with straight-through estimators (STE), as functions of JAX arrays.

Each has two parts: a **value**, which is what the NumPy form in `ntk1bit.quantizers` gives, and a **surrogate**, the
smooth function whose derivative stands in for the quantiser's, which is zero almost everywhere. The surrogate is named
at the call, because the papers differ:

- ``"identity"``: d quantised / d w := 1, for the whole quantiser, scale and mean included (D25, Lemma F.3: dz/dw := x;
  W23's published training code);
- ``"clipped"``: the same where the argument of Sign (or of the rounding) is within its range, 0 elsewhere (Hubara et
  al. 2016; W23's "STE through Sign and Clip");
- ``"sign"``: through Sign alone, which becomes the identity; scale and mean are differentiated as they are written.

All are `jax.custom_jvp` at heart, so forward mode, reverse mode, `vmap` and `ntk1bit.kernels.ntk` work on them.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk1bit.errors import InputError, require_choice
from ntk1bit.quantizers import SCALES, Scale

Surrogate = Literal["identity", "clipped", "sign"]
SURROGATES: tuple[str, ...] = get_args(Surrogate)
_SMALLEST = 1e-30  # keeps the scale of an all-zero tensor from being a divisor; far below any float32 weight


def straight_through(value: Array, surrogate: Array) -> Array:
    """Return `value`, with the derivative of `surrogate`.

    Parameters
    ----------
    value, surrogate
        Arrays of one shape and dtype. The derivative of `value` is ignored.
    """
    return _straight_through(jax.lax.stop_gradient(value), surrogate)


@jax.custom_jvp
def _straight_through(value: Array, surrogate: Array) -> Array:
    del surrogate
    return value


@_straight_through.defjvp
def _straight_through_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    return primals[0], tangents[1]


def sign(x: Float[Array, " *shape"]) -> Float[Array, " *shape"]:
    """Return +1 where x >= 0 and -1 elsewhere: Sign(0) = +1, as D25 and W23 have it. Its derivative is zero."""
    one = jnp.ones((), x.dtype)
    return jnp.where(x >= 0, one, -one)


def neuron_wise(
    w: Float[Array, "m d"], *, scale: Scale = "std", surrogate: Surrogate = "identity"
) -> Float[Array, "m d"]:
    """Quantise each row to signs with its own scale and mean, which is added back (D25, Def. D.3).

    Value: row r is `s_r q_r + mu_r` with q = Sign(w - mu), mu the mean of the row, and s the root mean square
    (``"std"``) or mean absolute value (``"absmean"``) of w - mu. So <row, x> is D25's dq(<q, x>).

    Surrogates: ``"identity"`` gives dz/dw = x (D25, Lemma F.3); ``"clipped"`` passes where |w - mu| <= s, the argument
    of D25's Sign being (w - mu)/s; ``"sign"`` reads Sign(u) as u there, so that the surrogate is w itself, and is the
    same as ``"identity"``.

    Raises
    ------
    InputError
        If `scale` or `surrogate` is unknown or `w` is not a matrix with at least one column.
    """
    require_choice("scale", scale, SCALES)
    _require_matrix(w, surrogate)
    mu = w.mean(axis=1, keepdims=True)
    c = w - mu
    s = jnp.sqrt((c**2).mean(axis=1, keepdims=True)) if scale == "std" else jnp.abs(c).mean(axis=1, keepdims=True)
    value = s * sign(c) + mu
    inside = jnp.abs(c) <= s
    return straight_through(value, _passing(w, inside) if surrogate == "clipped" else w)


def tensor_wise(w: Float[Array, "m d"], *, surrogate: Surrogate = "identity") -> Float[Array, "m d"]:
    """Quantise a matrix to signs with one scale; the mean is not added back (W23).

    Value: `beta Sign(W - alpha)`, alpha = mean(W), beta = mean|W|.

    Surrogates: ``"identity"`` is dW; ``"clipped"`` passes dW where |W - alpha| <= 1; ``"sign"`` differentiates
    `beta (W - alpha)` at the value Sign(W - alpha) of its second factor: beta d(W - alpha) + Sign(W - alpha) dbeta.

    Raises
    ------
    InputError
        If `surrogate` is unknown or `w` is not a matrix with at least one entry.
    """
    _require_matrix(w, surrogate)
    alpha, beta = w.mean(), jnp.abs(w).mean()
    signs = sign(w - alpha)
    if surrogate == "sign":
        return straight_through(signs, w - alpha) * beta
    inside = jnp.abs(w - alpha) <= 1
    return straight_through(beta * signs, _passing(w, inside) if surrogate == "clipped" else w)


def ternary(w: Float[Array, "m d"], *, surrogate: Surrogate = "identity") -> Float[Array, "m d"]:
    """Quantise a matrix to {-1, 0, +1} with one scale (BitNet b1.58, Ma et al. 2024).

    Value: `beta clip(round(W/beta), -1, 1)`, beta = mean|W|; round to even at halves.

    Surrogates: ``"identity"`` is dW; ``"clipped"`` passes dW where |W| <= 1.5 beta, beyond which the value is held at
    the end of its range; ``"sign"`` differentiates beta and W/beta as written.

    Raises
    ------
    InputError
        If `surrogate` is unknown or `w` is not a matrix with at least one entry.
    """
    _require_matrix(w, surrogate)
    beta = jnp.maximum(jnp.abs(w).mean(), _SMALLEST)
    levels = jnp.clip(jnp.round(w / beta), -1, 1)
    if surrogate == "sign":
        return straight_through(levels, w / beta) * beta
    inside = jnp.abs(w) <= 1.5 * beta
    return straight_through(beta * levels, _passing(w, inside) if surrogate == "clipped" else w)


def absmax(x: Float[Array, "... d"], *, bits: int = 8, surrogate: Surrogate = "identity") -> Float[Array, "... d"]:
    """Round each row to signed integers by its largest magnitude (W23's activations), and scale back.

    Value: `q gamma/Q_b`, q = clip(round(x Q_b/gamma), -Q_b + 1, Q_b - 1), Q_b = 2^(bits-1), gamma = max_k |x_k|; a row
    of zeros stays zero. These are the integers of `ntk1bit.quantizers.quantize_activations`.

    Surrogates: ``"identity"`` is dx; ``"clipped"`` passes dx where x Q_b/gamma is within the range (all but the
    largest entries of a row); ``"sign"`` has no meaning here.

    Raises
    ------
    InputError
        If `bits` is not in 2..8 or `surrogate` is not identity or clipped.
    """
    require_choice("surrogate", surrogate, ("identity", "clipped"))
    q, gamma, top = absmax_integers(x, bits=bits)
    value = q * (gamma / top)
    if surrogate == "identity":
        return straight_through(value, x)
    inside = jnp.abs(x) * top <= (top - 1) * gamma
    return straight_through(value, _passing(x, inside))


def absmax_integers(
    x: Float[Array, "... d"], *, bits: int = 8
) -> tuple[Float[Array, "... d"], Float[Array, "... 1"], int]:
    """Return the integers of `absmax` (as floats), gamma, and Q_b; none carries a useful derivative.

    Raises
    ------
    InputError
        If `bits` is not in 2..8.
    """
    if not 2 <= bits <= 8:
        raise InputError(f"activations can have 2 to 8 bits, got {bits}")
    top = 2 ** (bits - 1)
    gamma = jnp.abs(x).max(axis=-1, keepdims=True)
    q = jnp.clip(jnp.round(x * (top / jnp.where(gamma > 0, gamma, 1))), -top + 1, top - 1)
    return q, gamma, top


def _passing(w: Array, inside: Array) -> Array:
    """Return w with its derivative let through where `inside` holds."""
    return jnp.where(inside, w, jax.lax.stop_gradient(w))


def _require_matrix(w: Array, surrogate: str) -> None:
    require_choice("surrogate", surrogate, SURROGATES)
    if w.ndim != 2 or w.size == 0:
        raise InputError(f"a quantiser of weights needs a matrix with at least one entry, got shape {w.shape}")
