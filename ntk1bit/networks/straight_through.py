"""Quantisers with straight-through estimators (STE), as functions of JAX arrays.

Each has two parts: a **value**, which is what the NumPy form in `quantizers` gives, and a **surrogate**, the
smooth function whose derivative stands in for the quantiser's, which is zero almost everywhere. The surrogate is named
at the call, because the papers differ:

- ``"identity"``: d quantised / d w := 1, for the whole quantiser, scale and mean included (D25, Lemma F.3: dz/dw := x;
  W23's published training code);
- ``"clipped"``: the same where the argument of Sign (or of the rounding) is within its range, 0 elsewhere (Hubara et
  al. 2016; W23's "STE through Sign and Clip");
- ``"sign"``: through Sign alone, which becomes the identity; scale and mean are differentiated as they are written.

All are `jax.custom_jvp` at heart, so forward mode, reverse mode, `vmap` and `ntk1bit.autodiff.ntk` work on them.

Values are right for weights of any size, as in the NumPy form. But XLA takes numbers below the smallest normal float
(1.2e-38 in float32 and bfloat16) for zero on CPUs, and so do these functions there, where NumPy quantises them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.quantizers import (
    FAR_MEAN,
    LARGE,
    LIFT,
    ONE_SIDED,
    SCALES,
    SURROGATES,
    Scale,
    SignAtZero,
    Surrogate,
    in_range,
    levels,
)

Hold = Callable[[Array], Array]  # from a mean to the mean
Measure = Callable[[Array, Hold], tuple[Array, Array]]  # to a mean and a size


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


def sign(x: Float[Array, " *shape"], *, at_zero: SignAtZero = 1) -> Float[Array, " *shape"]:
    """Return +1 where x > 0, -1 where x < 0, and `at_zero` where x = 0: +1 in D25, -1 in W23 (Eq. 2).

    Its derivative is zero.
    """
    return _above(x, jnp.zeros((), x.dtype), at_zero)


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
    w, at = _matrix(w, surrogate)
    mu, s = mean_and_size(at, scale=scale)
    value = s * _above(at, mu) + mu
    inside = jnp.abs(at - mu) <= s
    return straight_through(value.astype(w.dtype), _passing(w, inside) if surrogate == "clipped" else w)


def centred_signs(w: Float[Array, "m d"]) -> Float[Array, "m d"]:
    """Quantise each row to `s_r Sign(w - mu_r)`, s_r = mean_k |w_k - mu_r|; the mean is not added back.

    For networks that are quantised after training; the derivative is that of w - mu.

    Raises
    ------
    InputError
        If `w` is not a matrix with at least one entry.
    """
    w, at = _matrix(w, "identity")
    mu, s = mean_and_size(at, scale="absmean")
    return straight_through((s * _above(at, mu)).astype(w.dtype), w - w.mean(axis=1, keepdims=True))


def tensor_wise(
    w: Float[Array, "m d"], *, surrogate: Surrogate = "identity", sign_at_zero: SignAtZero = 1
) -> Float[Array, "m d"]:
    """Quantise a matrix to signs with one scale; the mean is not added back (W23, Eqs. 1 to 3 and 12).

    Value: `beta Sign(W - alpha)`, alpha = mean(W), beta = mean|W|; `sign_at_zero` is Sign(0), -1 in W23 (Eq. 2).

    Surrogates: ``"identity"`` is dW; ``"clipped"`` passes dW where |W - alpha| <= 1; ``"sign"`` differentiates
    `beta (W - alpha)` at the value Sign(W - alpha) of its second factor: beta d(W - alpha) + Sign(W - alpha) dbeta.

    Raises
    ------
    InputError
        If `surrogate` is unknown or `w` is not a matrix with at least one entry.
    """
    w, at = _matrix(w, surrogate)
    alpha, beta = _measured(at, _of_tensor, axis=None, most=ONE_SIDED)
    signs = _above(at, alpha, sign_at_zero)
    value = (beta * signs).astype(w.dtype)
    if surrogate == "sign":
        slope, signs = beta.astype(w.dtype), signs.astype(w.dtype)
        scaled = slope * w  # scaled first, so that backwards it comes last: sums of gradients stay in range
        return straight_through(value, scaled - scaled.mean() + signs * jnp.abs(w).mean())
    inside = jnp.abs(at - alpha) <= 1
    return straight_through(value, _passing(w, inside) if surrogate == "clipped" else w)


def ternary(w: Float[Array, "m d"], *, surrogate: Surrogate = "identity") -> Float[Array, "m d"]:
    """Quantise a matrix to {-1, 0, +1} with one scale (BitNet b1.58, Ma et al. 2024).

    Value: `beta clip(round(W/beta), -1, 1)`, beta = mean|W|; round to even at halves; a matrix of zeros stays zero.

    Surrogates: ``"identity"`` is dW; ``"clipped"`` passes dW where |W| <= 1.5 beta, beyond which the value is held at
    the end of its range; ``"sign"`` differentiates beta and W/beta as written: dW + (q - W/beta) dbeta, q being the
    integers. At beta = 0 there is no W/beta, and what is left is dW.

    Raises
    ------
    InputError
        If `surrogate` is unknown or `w` is not a matrix with at least one entry.
    """
    w, at = _matrix(w, surrogate)
    _, beta = _measured(at, _without_mean, axis=None, most=ONE_SIDED)
    large = beta > LARGE  # 1/beta, which XLA multiplies by, might be below the smallest normal float
    ratio = jnp.where(large, at / LIFT, at) / jnp.where(large, beta / LIFT, jnp.where(beta > 0, beta, 1))
    q = jnp.clip(jnp.round(ratio), -1, 1)
    value = (beta * q).astype(w.dtype)
    if surrogate == "sign":
        return straight_through(value, w + jax.lax.stop_gradient(q - ratio).astype(w.dtype) * jnp.abs(w).mean())
    inside = jnp.abs(at) <= 1.5 * beta
    return straight_through(value, _passing(w, inside) if surrogate == "clipped" else w)


def absmax(x: Float[Array, "... d"], *, bits: int = 8, surrogate: Surrogate = "identity") -> Float[Array, "... d"]:
    """Round each row to signed integers by its largest magnitude (W23's activations), and scale back.

    The rounding, and a gamma for each row, are our reading of W23's Eq. 4; `bitlinear.clipped_inputs` has the others.

    Value: `q gamma/Q_b`, q = clip(round(x Q_b/gamma), -Q_b + 1, Q_b - 1), Q_b = 2^(bits-1), gamma = max_k |x_k|; a row
    of zeros stays zero. These are the integers of `ntk1bit.networks.quantizers.quantize_activations`.

    Surrogates: ``"identity"`` is dx; ``"clipped"`` passes dx where x Q_b/gamma is within the range (all but the
    largest entries of a row); ``"sign"`` has no meaning here.

    Raises
    ------
    InputError
        If `bits` is not in 2..8 or `surrogate` is not identity or clipped.
    """
    require_choice("surrogate", surrogate, ("identity", "clipped"))
    x = _real(x)
    shares, gamma, top = _levels(x, bits)
    value = (shares * gamma).astype(x.dtype)  # and not q (gamma/Q_b): gamma/Q_b may be below the smallest float
    if surrogate == "identity":
        return straight_through(value, x)
    inside = jnp.abs(_wide(x)) <= (top - 1) / top * gamma
    return straight_through(value, _passing(x, inside))


def elastic(x: Float[Array, "... d"], step: Float[Array, ""], *, bits: int = 8) -> Float[Array, "... d"]:
    """Round inputs to signed integers times a step that is trained (elastic scales: W23, Table 4; Esser et al. 2020).

    Value: `s q`, q = clip(round(x/s), -Q_b + 1, Q_b - 1), Q_b = 2^(bits-1), s = |step|; zero inputs for a step of zero.

    Derivative, that of Esser et al. (arXiv 1902.08153, Eqs. 2 and 3): dx where x/s is within the range, else none;
    `(q - x/s) ds` within the range, `q ds` beyond it, times 1/sqrt(d (Q_b - 1)), which keeps the updates of the step in
    proportion to those of weights.

    Parameters
    ----------
    x
        Rows of inputs.
    step
        A number, trained.
    bits
        Of the integers.

    Raises
    ------
    InputError
        If `bits` is not in 2..8.
    """
    if not 2 <= bits <= 8:
        raise InputError(f"activations can have 2 to 8 bits, got {bits}")
    x, top = _real(x), 2 ** (bits - 1)
    balance = (x.shape[-1] * (top - 1)) ** -0.5
    step = jnp.abs(_real(step))
    s = straight_through(step, balance * step)
    held = jax.lax.stop_gradient(s)
    ratio = jax.lax.stop_gradient(x) / jnp.where(held > 0, held, 1)
    q = jnp.clip(jnp.rint(ratio), 1 - top, top - 1)
    inside = jnp.abs(ratio) <= top - 1
    return straight_through((held * q).astype(x.dtype), _passing(x, inside) + s * (q - jnp.where(inside, ratio, 0)))


def absmax_integers(
    x: Float[Array, "... d"], *, bits: int = 8
) -> tuple[Float[Array, "... d"], Float[Array, "... 1"], int]:
    """Return the integers of `absmax` (as floats), gamma, and Q_b; none carries a useful derivative.

    Raises
    ------
    InputError
        If `bits` is not in 2..8.
    """
    shares, gamma, top = _levels(_real(x), bits)
    return shares * top, gamma, top


def _levels(x: Array, bits: int) -> tuple[Array, Array, int]:
    """Return q/Q_b, gamma and Q_b of `absmax`."""
    if not 2 <= bits <= 8:
        raise InputError(f"activations can have 2 to 8 bits, got {bits}")
    x, top = jax.lax.stop_gradient(_wide(x)), 2 ** (bits - 1)
    gamma = jnp.abs(x).max(axis=-1, keepdims=True)
    return levels(x, gamma, top, xp=jnp), gamma, top


def mean_and_size(w: Float[Array, "m d"], *, scale: Scale) -> tuple[Float[Array, "m 1"], Float[Array, "m 1"]]:
    """Return the mean mu of every row and its size s about it, as `neuron_wise` takes them; no derivative."""

    def measure(v: Array, hold: Hold) -> tuple[Array, Array]:
        mean = hold(v.mean(axis=1, keepdims=True))
        c = v - mean
        if scale == "std":
            return mean, jnp.sqrt((c**2).mean(axis=1, keepdims=True))
        return mean, jnp.abs(c).mean(axis=1, keepdims=True)

    return _measured(w, measure, axis=1, most=FAR_MEAN)


def _measured(w: Array, measure: Measure, *, axis: int | None, most: float) -> tuple[Array, Array]:
    """Return the mean and the size that `measure` finds, whatever the exponents of w are; no derivative.

    Where the plain numbers cannot be relied on, they are measured again on w divided by a power of two, with the mean
    held between the smallest and the largest weight. That is a loop of at most one turn rather than a condition,
    because `vmap` computes both sides of a condition.
    """
    w = jax.lax.stop_gradient(w)
    about = jnp.finfo(w.dtype)

    mean, size = measure(w, lambda mean: mean)
    fine = in_range(mean, size, most)

    def again(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        done, mean, size = state
        rest = jnp.where(done, 0, w)  # what depends on the state is not taken out of the loop by the compiler
        power = jax.lax.reduce_precision(jnp.abs(rest).max(axis=axis, keepdims=True), about.nexp, 0)
        power = jnp.clip(power, about.tiny, 2.0 ** (about.maxexp - 2))
        v = rest / power
        low, high = v.min(axis=axis, keepdims=True), v.max(axis=axis, keepdims=True)
        mean_near_one, size_near_one = measure(v, lambda mean: jnp.clip(mean, low, high))
        mean, size = jnp.where(fine, mean, mean_near_one * power), jnp.where(fine, size, size_near_one * power)
        return jnp.ones_like(done), mean, size

    return jax.lax.while_loop(lambda state: ~state[0], again, (fine.all(), mean, size))[1:]


def _of_tensor(v: Array, hold: Hold) -> tuple[Array, Array]:
    return hold(v.mean(keepdims=True)), jnp.abs(v).mean(keepdims=True)


def _without_mean(v: Array, hold: Hold) -> tuple[Array, Array]:
    del hold
    return jnp.zeros((1, 1), v.dtype), jnp.abs(v).mean(keepdims=True)


def _above(w: Array, mean: Array, at_zero: SignAtZero = 1) -> Array:
    """Return Sign(w - mean): comparing is exact, while XLA takes a difference below the smallest normal float for 0."""
    one = jnp.ones((), w.dtype)
    return jnp.where(w >= mean if at_zero > 0 else w > mean, one, -one)


def _real(x: Array) -> Array:
    """Return floating-point numbers."""
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise InputError(f"a quantiser needs real numbers, got {x.dtype}")
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


def _wide(x: Array) -> Array:
    """Return x in the precision that quantisers compute in: float32 or more."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _passing(w: Array, inside: Array) -> Array:
    """Return w with its derivative let through where `inside` holds."""
    return jnp.where(inside, w, jax.lax.stop_gradient(w))


def _matrix(w: Array, surrogate: str) -> tuple[Array, Array]:
    """Check a matrix of weights; return it as floats and in the precision to compute in."""
    require_choice("surrogate", surrogate, SURROGATES)
    w = _real(w)
    if w.ndim != 2 or w.size == 0:
        raise InputError(f"a quantiser of weights needs a matrix with at least one entry, got shape {w.shape}")
    return w, _wide(w)
