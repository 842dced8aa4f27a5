"""The linear layer in all its arms: full precision, trained with 1-bit or ternary weights, or quantised afterwards.

    full            y = x W^T
    bitnet          y = Quant(x) (beta Sign(W - alpha))^T                               W23's BitLinear
    b158            y = Quant(x) (beta clip(round(W/beta), -1, 1))^T                    BitNet b1.58
    int8-absmax     y = Quant(x) Q(W)^T,  Q the absmax rounding of each row to 8 bits   after training
    sign-ptq        y = x (beta_r Sign(W - alpha_r))^T, a row r at a time               after training

Quant is the 8-bit absmax rounding of each input row, `gamma/Q_b` times integers. The last two are applied to networks
that were trained in full precision. W23's BitLinear is a `LayerNorm` (SubLN) followed by a `Projection`; they are apart
because several projections of a Transformer share one norm.
"""

from __future__ import annotations

import equinox as eqx
import jax
from jaxtyping import Array, Float

from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.layer_norm import EPSILON
from ntk1bit.networks.quantizers import Surrogate
from ntk1bit.networks.straight_through import absmax, centred_signs, tensor_wise, ternary
from ntk1bit.networks.transformer_shape import ARMS, Arm


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
    """

    weight: Float[Array, "out in"]
    arm: Arm = eqx.field(static=True)
    surrogate: Surrogate = eqx.field(static=True)

    def __call__(self, x: Float[Array, "... in"]) -> Float[Array, "... out"]:
        """Apply the layer to rows of inputs."""
        inputs, weights = quantized_factors(x, self.weight, arm=self.arm, surrogate=self.surrogate)
        return inputs @ weights.T


class LayerNorm(eqx.Module):
    """LayerNorm over the last axis with a gain and no bias: (x - mean) / sqrt(var + 1e-5) * gain."""

    gain: Float[Array, " d"]

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        """Normalise rows."""
        centred = x - x.mean(axis=-1, keepdims=True)
        return centred * jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON) * self.gain


def projection(
    inputs: int,
    outputs: int,
    *,
    key: Array,
    arm: Arm = "bitnet",
    surrogate: Surrogate = "identity",
    gain: float = 1.0,
) -> Projection:
    """Make a projection with weights drawn from N(0, gain^2/inputs).

    Parameters
    ----------
    inputs, outputs
        Its sizes, at least 1.
    key
        A JAX random key.
    arm, surrogate
        As in `Projection`.
    gain
        Of the weights at the start.

    Raises
    ------
    InputError
        If a size is below 1 or the arm is unknown.
    """
    require_choice("arm", arm, ARMS)
    if inputs < 1 or outputs < 1:
        raise InputError(f"a linear layer needs at least one input and one output, got {inputs} and {outputs}")
    weight = gain / inputs**0.5 * jax.random.normal(key, (outputs, inputs))
    return Projection(weight, arm, surrogate)


def quantized_factors(
    x: Float[Array, "... in"], weight: Float[Array, "out in"], *, arm: Arm, surrogate: Surrogate = "identity"
) -> tuple[Float[Array, "... in"], Float[Array, "out in"]]:
    """Return the two factors of a layer's product, as the arm rounds them: y = first @ second.T.

    Raises
    ------
    InputError
        If the arm or the surrogate is unknown.
    """
    if arm == "full":
        return x, weight
    if arm == "bitnet":
        return absmax(x), tensor_wise(weight, surrogate=surrogate)
    if arm == "b158":
        return absmax(x), ternary(weight, surrogate=surrogate)
    if arm == "int8-absmax":
        return absmax(x), absmax(weight)
    if arm == "sign-ptq":
        return x, centred_signs(weight)
    require_choice("arm", arm, ARMS)
    raise AssertionError
