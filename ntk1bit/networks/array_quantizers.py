"""Quantisers of JAX arrays of any shape, with what stands in for their derivative as an option.

Values are those of `straight_through`; what is added is any shape, and one more surrogate. Each quantiser is a function
of an argument u, which it rounds: x itself for `sign`, x/beta for `ternary`, x/gamma for `int8`, (w - mu)/s for
`neuron_wise`, w - alpha for `tensor_wise`. The derivative by x is

- ``"identity"``: 1;
- ``"clipped"``: 1 where u is within the range that is rounded to, 0 elsewhere (abs(u) <= 1 for signs, 1.5 for ternary);
- ``"tanh"``: 1 - tanh(u)^2, that of a smooth step, with the scale and the mean held.

`torch_quantizers` has the same functions for PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk1bit.errors import require_choice
from ntk1bit.networks import straight_through as estimators
from ntk1bit.networks.quantizers import Scale, SignAtZero
from ntk1bit.networks.straight_through import mean_and_size, straight_through

Passing = Literal["identity", "clipped", "tanh"]
PASSING: tuple[str, ...] = get_args(Passing)


def sign(
    x: Float[Array, " *shape"], *, surrogate: Passing = "identity", at_zero: SignAtZero = 1
) -> Float[Array, " *shape"]:
    """Return the sign of each number, `at_zero` for 0, with the derivative of a surrogate.

    Parameters
    ----------
    x
        Of any shape and float dtype.
    surrogate
        dx; dx where abs(x) <= 1; or (1 - tanh(x)^2) dx.
    at_zero
        Sign(0): +1 in D25, -1 in W23.

    Raises
    ------
    InputError
        If the surrogate is unknown.
    """
    require_choice("surrogate", surrogate, PASSING)
    value = estimators.sign(jax.lax.stop_gradient(x), at_zero=at_zero)
    if surrogate == "clipped":
        return straight_through(value, jnp.where(jnp.abs(x) <= 1, x, jax.lax.stop_gradient(x)))
    return straight_through(value, x if surrogate == "identity" else jnp.tanh(x))


def ternary(x: Float[Array, " *shape"], *, surrogate: Passing = "identity") -> Float[Array, " *shape"]:
    """Return `beta clip(round(x/beta), -1, 1)`, beta = mean|x| over the whole array (BitNet b1.58).

    Parameters
    ----------
    x
        Of any shape with at least one entry, float.
    surrogate
        dx; dx where abs(x) <= 1.5 beta; or (1 - tanh(x/beta)^2) dx.

    Raises
    ------
    InputError
        If the surrogate is unknown or x is empty.
    """

    def of_matrix(matrix: Array) -> Array:
        return _passed(
            matrix,
            surrogate,
            lambda plain: estimators.ternary(matrix, surrogate=plain),
            lambda: _shares(matrix, jnp.abs(matrix).mean()),
        )

    return of_matrix(x if x.ndim == 2 else x.reshape(1, -1)).reshape(x.shape)


def int8(x: Float[Array, "... d"], *, surrogate: Passing = "identity") -> Float[Array, "... d"]:
    """Return each row along the last axis as 8-bit integers times its largest magnitude gamma over 128 (absmax, W23).

    Parameters
    ----------
    x
        One axis or more, float.
    surrogate
        dx; dx where abs(x) <= 127/128 gamma; or (1 - tanh(x/gamma)^2) dx.

    Raises
    ------
    InputError
        If the surrogate is unknown.
    """
    return _passed(
        x,
        surrogate,
        lambda plain: estimators.absmax(x, surrogate=plain),
        lambda: _shares(x, jnp.abs(x).max(axis=-1, keepdims=True)),
    )


def neuron_wise(
    w: Float[Array, "m d"], *, scale: Scale = "std", surrogate: Passing = "identity"
) -> Float[Array, "m d"]:
    """Quantise each row to `s_r Sign(w - mu_r) + mu_r`, as `straight_through.neuron_wise`, with any surrogate here.

    Raises
    ------
    InputError
        If `scale` or `surrogate` is unknown or w is no matrix with at least one entry.
    """

    def arguments() -> Array:
        mu, s = mean_and_size(w, scale=scale)
        return _shares(w - mu, s)

    return _passed(w, surrogate, lambda plain: estimators.neuron_wise(w, scale=scale, surrogate=plain), arguments)


def tensor_wise(
    w: Float[Array, "m d"], *, surrogate: Passing = "identity", sign_at_zero: SignAtZero = 1
) -> Float[Array, "m d"]:
    """Quantise a matrix to `beta Sign(W - alpha)`, as `straight_through.tensor_wise`, with any surrogate here.

    Raises
    ------
    InputError
        If the surrogate is unknown or w is no matrix with at least one entry.
    """
    return _passed(
        w,
        surrogate,
        lambda plain: estimators.tensor_wise(w, surrogate=plain, sign_at_zero=sign_at_zero),
        lambda: w - w.mean(),
    )


def _passed(
    x: Array, surrogate: str, plain: Callable[[Literal["identity", "clipped"]], Array], arguments: Callable[[], Array]
) -> Array:
    """Return the value of a quantiser, with its own derivative or that of a tanh of its arguments."""
    require_choice("surrogate", surrogate, PASSING)
    if surrogate != "tanh":
        return plain("clipped" if surrogate == "clipped" else "identity")
    slope = jax.lax.stop_gradient(1 - jnp.tanh(arguments()) ** 2).astype(x.dtype)
    return straight_through(plain("identity"), slope * x)


def _shares(x: Array, scale: Array) -> Array:
    return x / jnp.where(scale > 0, scale, 1)
