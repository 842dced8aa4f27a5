"""The linear layer in all its arms: floats of 32 or 16 bits, 1-bit or ternary weights, or quantised after training.

    full            y = x W^T
    fp16            y = x16 W16^T: both factors rounded to 16-bit floats, the product summed in float32
    bitnet          y = Quant(x) (beta Sign(W - alpha))^T                               W23's BitLinear, Eq. 11
    b158            y = Quant(x) (beta clip(round(W/beta), -1, 1))^T                    BitNet b1.58
    elastic         y = s q(x/s) (beta Sign(W - alpha))^T,  the step s trained          W23, Table 4 ("Elastic")
    int8-absmax     y = Quant(x) Q(W)^T,  Q the absmax rounding of each row to 8 bits   after training
    sign-ptq        y = x (beta_r Sign(W - alpha_r))^T, a row r at a time               after training

Quant is the 8-bit absmax rounding of each input row, `gamma/Q_b` times integers; in `bitnet` it and Sign(0) are as a
`BitLinearForm` says, W23's equations to the letter or with our deviations. The last two arms are applied to networks
that were trained in full precision. W23's BitLinear is a `LayerNorm` (SubLN) followed by a `Projection`; they are apart
because several projections of a Transformer share one norm. Plainly, in float64: `bitlinear_reference`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.bitlinear_form import DEFAULT_FORM, BitLinearForm
from ntk1bit.networks.layer_norm import EPSILON
from ntk1bit.networks.quantizers import Surrogate, levels
from ntk1bit.networks.straight_through import absmax, centred_signs, elastic, straight_through, tensor_wise, ternary
from ntk1bit.networks.transformer_shape import ARMS, Arm, layer_of

LEVELS = 128  # Q_b = 2^(b - 1) of b = 8 bits
ELASTIC_STEP = (
    2 * (2 / math.pi) ** 0.5 / (LEVELS - 1) ** 0.5
)  # 2 E|x|/sqrt(Q_b - 1) of normalised x (Esser et al. 2020)


class Projection(eqx.Module):
    """A linear map without bias, in one of the arms.

    Attributes
    ----------
    weight
        Latent weights, (out, in): what is trained, in full precision in every arm.
    arm
        How they are used.
    surrogate
        The straight-through estimator of the trained arms (`ntk1bit.networks.straight_through`).
    form
        How the arm `bitnet` quantises; other arms have none.
    before_nonlinearity
        Whether a non-linearity follows, so that inputs are shifted where the form says so (W23, Eq. 6).
    step
        Of the arm `elastic`: the size of a step of its inputs' integers, which is trained. None in other arms.
    """

    weight: Float[Array, "out in"]
    arm: Arm = eqx.field(static=True)
    surrogate: Surrogate = eqx.field(static=True)
    form: BitLinearForm = eqx.field(static=True, default=DEFAULT_FORM)
    before_nonlinearity: bool = eqx.field(static=True, default=False)
    step: Float[Array, ""] | None = None

    def __call__(self, x: Float[Array, "... in"]) -> Float[Array, "... out"]:
        """Apply the layer to rows of inputs; with gamma per tensor, that tensor is all of `x`."""
        inputs, weights = quantized_factors(
            x,
            self.weight,
            arm=self.arm,
            surrogate=self.surrogate,
            form=self.form,
            before_nonlinearity=self.before_nonlinearity,
            step=self.step,
        )
        return inputs @ weights.T


class LayerNorm(eqx.Module):
    """LayerNorm over the last axis with a gain and no bias: (x - mean) / sqrt(var + 1e-5) * gain (W23, Eq. 12).

    W23 prints no gain; at the start it is 1. With `groups`, each part of the axis has its own mean and variance (Eq.
    15).
    """

    gain: Float[Array, " d"]
    groups: int = eqx.field(static=True, default=1)

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        """Normalise rows."""
        return by_groups(_normal, x, self.groups) * self.gain


def _normal(x: Float[Array, "... d"]) -> Float[Array, "... d"]:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)


def projection(
    inputs: int,
    outputs: int,
    *,
    key: Array,
    arm: Arm = "bitnet",
    surrogate: Surrogate | None = None,
    gain: float = 1.0,
    form: BitLinearForm = DEFAULT_FORM,
    before_nonlinearity: bool = False,
) -> Projection:
    """Make a projection with weights drawn from N(0, gain^2/inputs).

    Parameters
    ----------
    inputs, outputs
        Its sizes, at least 1.
    key
        A JAX random key.
    arm, form, before_nonlinearity
        As in `Projection`.
    surrogate
        As in `Projection`; that of the form by default.
    gain
        Of the weights at the start.

    Raises
    ------
    InputError
        If a size is below 1, the arm is unknown, or the form's groups do not divide the inputs.
    """
    arm = layer_of(cast(Arm, require_choice("arm", arm, ARMS)))
    if inputs < 1 or outputs < 1:
        raise InputError(f"a linear layer needs at least one input and one output, got {inputs} and {outputs}")
    if arm == "bitnet":
        form.group_size(inputs)
    weight = gain / inputs**0.5 * jax.random.normal(key, (outputs, inputs))
    surrogate = form.surrogate if surrogate is None else surrogate
    step = jnp.asarray(ELASTIC_STEP, weight.dtype) if arm == "elastic" else None
    return Projection(weight, arm, surrogate, form, before_nonlinearity, step)


def quantized_factors(
    x: Float[Array, "... in"],
    weight: Float[Array, "out in"],
    *,
    arm: Arm,
    surrogate: Surrogate = "identity",
    form: BitLinearForm = DEFAULT_FORM,
    before_nonlinearity: bool = False,
    step: Float[Array, ""] | None = None,
) -> tuple[Float[Array, "... in"], Float[Array, "out in"]]:
    """Return the two factors of a layer's product, as the arm rounds them: y = first @ second.T.

    Those of `bitnet` are gamma/Q_b xq and beta Wq (W23, Eq. 11), each group with its own gamma and beta (Eqs. 13, 14).

    Raises
    ------
    InputError
        If the arm or the surrogate is unknown, the form's groups do not divide the inputs, or `elastic` has no step.
    """
    arm = layer_of(arm)
    if arm == "full":
        return x, weight
    if arm == "fp16":
        return _half(x), _half(weight)
    if arm == "elastic":
        if step is None:
            raise InputError("a projection of the arm 'elastic' needs its step; make it with bitlinear.projection")
        return elastic(x, step), tensor_wise(weight, surrogate=surrogate)
    if arm == "bitnet":
        return (
            clipped_inputs(x, form=form, before_nonlinearity=before_nonlinearity),
            signed_weights(weight, form=form, surrogate=surrogate),
        )
    if arm == "b158":
        return absmax(x), ternary(weight, surrogate=surrogate)
    if arm == "int8-absmax":
        return absmax(x), absmax(weight)
    if arm == "sign-ptq":
        return x, centred_signs(weight)
    require_choice("arm", arm, ARMS)
    raise AssertionError


def _half(x: Array) -> Array:
    """Round to 16-bit floats, beyond whose range lies infinity; the derivative is the identity."""
    return straight_through(jax.lax.reduce_precision(x, exponent_bits=5, mantissa_bits=10), x)


def signed_weights(
    weight: Float[Array, "out in"], *, form: BitLinearForm, surrogate: Surrogate
) -> Float[Array, "out in"]:
    """Return beta Sign(W - alpha) of a matrix (W23, Eqs. 1 to 3), alpha and beta per group of inputs (Eq. 13).

    Raises
    ------
    InputError
        As `tensor_wise`, or if the form's groups do not divide the inputs.
    """
    form.group_size(weight.shape[-1])
    quantise = functools.partial(tensor_wise, surrogate=surrogate, sign_at_zero=form.sign_at_zero)
    return by_groups(quantise, weight, form.groups)


def clipped_inputs(
    x: Float[Array, "... in"], *, form: BitLinearForm, before_nonlinearity: bool = False
) -> Float[Array, "... in"]:
    """Return gamma/Q_b xq of inputs (W23, Eqs. 4 to 6, b = 8), gamma and eta per group (Eq. 14).

    Its derivative is the identity: past Clip and rounding, gamma and eta held.

    Parameters
    ----------
    x
        Rows of inputs. Where the form has gamma per tensor, it is that of all of them.
    form
        What is done; `form.surrogate` has no part in it.
    before_nonlinearity
        Whether Eq. 6 applies, if the form has it. `"full-range"` then needs max x - min x to be a float.

    Raises
    ------
    InputError
        If the form's groups do not divide the inputs.
    """
    form.group_size(x.shape[-1])
    shifted = before_nonlinearity and form.shift != "nowhere"
    if form.rounding and form.gamma == "row" and not shifted:
        return by_groups(absmax, x, form.groups)
    return by_groups(functools.partial(_clipped, form=form, shifted=shifted), x, form.groups)


def _clipped(x: Array, *, form: BitLinearForm, shifted: bool) -> Array:
    """Quantise one group."""
    wide = jax.lax.stop_gradient(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
    axis = -1 if form.gamma == "row" else None
    gamma = jnp.abs(wide).max(axis=axis, keepdims=True, initial=0.0)
    if shifted:
        wide -= wide.min(axis=axis, keepdims=True, initial=jnp.inf)
        if form.shift == "full-range":
            gamma = wide.max(axis=axis, keepdims=True, initial=0.0)
    shares = levels(wide, gamma, LEVELS, xp=jnp, rounding=form.rounding, from_zero=shifted)
    return straight_through((shares * gamma).astype(x.dtype), x)


def by_groups(function: Callable[[Array], Array], x: Float[Array, "... d"], groups: int) -> Float[Array, "... d"]:
    """Apply a function to equal parts of the last axis, each by itself, and put the results side by side."""
    if groups == 1:
        return function(x)
    parts = jnp.moveaxis(x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups), -2, 0)
    return jnp.moveaxis(jax.vmap(function)(parts), 0, -2).reshape(x.shape)
