"""A trained Transformer quantised by one of `methods`: the six projections of every block; all else stays as it is.

**Calibration.** GPTQ and QuIP go through the blocks from first to last, as the code of their authors does: the
projections of a block are quantised on the inputs they have in a network whose earlier blocks are quantised already,
and this block is not yet; then the block runs again, quantised, for the next one. SmoothQuant takes its magnitudes
from the network in full precision, as its authors do.

**16 bits.** A network of the arm ``fp16`` has its latent weights rounded to 16-bit floats first: those are the weights
that it runs with and that are deployed. From then on it is a network of the arm ``full``, while it is calibrated and
when it is quantised: inputs that the method leaves alone are 32-bit floats, each within a 2048th of its 16 bits.

**Pre-LN.** All methods take networks without SubLN. SmoothQuant has nothing there to divide the inputs of `output` and
`down` by, and leaves these two to be rounded as they are, as its authors do.

What comes out is a `Transformer`, with the weights that the integers stand for: it is evaluated, stored and pickled as
any other. Activations, where the method rounds them, are rounded while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import cast

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from ntk1bit.arguments import whole
from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear import LayerNorm, Projection
from ntk1bit.networks.post_training.calibration import PROJECTIONS, advance, embedded, record_inputs
from ntk1bit.networks.post_training.gptq import gptq
from ntk1bit.networks.post_training.methods import PostTrainingMethod, method_of
from ntk1bit.networks.post_training.quip import quip
from ntk1bit.networks.post_training.round_to_nearest import SignScale, round_activations, round_weights
from ntk1bit.networks.post_training.smoothquant import ALPHA, smoothing_factors
from ntk1bit.networks.transformer import Block, Transformer
from ntk1bit.networks.transformer_shape import FLOAT_ARMS, layer_of

# The norm whose output the projections read; without SubLN the second and the last are None.
READERS: dict[str, tuple[str, ...]] = {
    "attention_norm": ("query", "key", "value"),
    "attention_sub_norm": ("output",),
    "feed_norm": ("up",),
    "feed_sub_norm": ("down",),
}
_STREAM = 23  # sets the draws of this module apart from others of the same seed

Rounding = Callable[[Float[np.ndarray, "m d"]], Float[np.ndarray, "m d"]]


class QuantisedProjection(Projection):
    """A projection whose weights have been quantised after training, and whose inputs are rounded as it runs.

    Attributes
    ----------
    weight, arm, surrogate
        As in `Projection`: the weights that the integers stand for, used as they are (arm ``"full"``).
    activation_bits
        Of the inputs; None leaves them as they are.
    """

    activation_bits: int | None = eqx.field(static=True, default=None)

    def __call__(self, x: Float[Array, "... in"]) -> Float[Array, "... out"]:
        """Apply the layer to rows of inputs."""
        rounded = x if self.activation_bits is None else round_activations(x, bits=self.activation_bits)
        return rounded @ self.weight.T


def quantise_transformer(
    model: Transformer,
    method: str | PostTrainingMethod,
    windows: Integer[np.ndarray, "count t1"],
    *,
    seed: int = 0,
) -> Transformer:
    """Quantise a network that was trained in full precision.

    Parameters
    ----------
    model
        In one of the arms ``"full"``, ``"full-preln"``, ``"fp16"`` and ``"fp16-preln"``.
    method
        A name in `methods.METHODS`, or a `PostTrainingMethod`.
    windows
        Windows of the training text to calibrate on, as characters' numbers, such as `data.text.training_batch(...)`:
        the last character of each is not read. Methods without calibration ignore them.
    seed
        Of QuIP's random axes; the other methods draw nothing.

    Returns
    -------
    A network of the same shape whose projections are `QuantisedProjection`; embedding, head and norms are the
    same, but for the gains that SmoothQuant divides.

    Raises
    ------
    InputError
        If the method is unknown, the network is of another arm or not finite, or the windows do not fit.
    """
    chosen = method_of(method)
    seed = whole("seed", seed, allowed="a whole number of at least 0", least=0)
    model = _as_full(model)
    if chosen.algorithm in ("gptq", "quip"):
        return _quantised_in_order(model, chosen, windows, seed)
    if chosen.algorithm == "smoothquant":
        model = smoothed_transformer(model, windows)
    sign_scale: SignScale = "absmean" if chosen.algorithm == "absmean" else "absmax"

    def nearest(weight: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
        return round_weights(weight, bits=chosen.weight_bits, sign_scale=sign_scale).values

    return _with_blocks(
        model, [_with_rounded(block, dict.fromkeys(PROJECTIONS, nearest), chosen) for block in model.blocks]
    )


def smoothed_transformer(
    model: Transformer, windows: Integer[np.ndarray, "count t1"], *, alpha: float = ALPHA
) -> Transformer:
    """Smooth the inputs of every projection that reads a norm (SmoothQuant); the function stays the same.

    Gains of norms are divided by the factors of `smoothquant.smoothing_factors` and columns of weights multiplied with
    them, both in float64 and rounded once to float32; nothing is quantised. Without SubLN, `output` and `down` read no
    norm and stay as they are. Of the arm ``"fp16"`` it is the function in the arm ``"full"`` of the weights rounded to
    16 bits.

    Raises
    ------
    InputError
        If the network is of another arm or not finite, the windows do not fit, or `alpha` is not from 0 to 1.
    """
    model = _as_full(model)
    streams, blocks = embedded(model, windows), []
    for block in model.blocks:
        records = record_inputs(block, streams)
        changed: dict[str, LayerNorm | Projection] = {}
        for norm, readers in READERS.items():
            if getattr(block, norm) is None:
                continue
            weights = [_weight(block, name) for name in readers]
            factors = smoothing_factors(records[readers[0]].largest, weights, alpha=alpha)
            gain = getattr(block, norm).gain
            changed[norm] = LayerNorm(jnp.asarray(np.asarray(gain, np.float64) / factors, gain.dtype))
            for name, weight in zip(readers, weights, strict=True):
                changed[name] = _with_weight(getattr(block, name), weight * factors)
        streams = advance(block, streams)
        blocks.append(replace(block, **changed))
    return _with_blocks(model, blocks)


def _quantised_in_order(
    model: Transformer, method: PostTrainingMethod, windows: Integer[np.ndarray, "count t1"], seed: int
) -> Transformer:
    """Quantise block by block, each on what the quantised ones before it give."""
    streams, blocks = embedded(model, windows), []
    for depth, block in enumerate(model.blocks):
        hessians = {name: record.hessian for name, record in record_inputs(block, streams).items()}

        def rounding(place: int, name: str, depth: int = depth, hessians: dict[str, np.ndarray] = hessians) -> Rounding:
            bits, hessian = method.weight_bits, hessians[name]
            if method.algorithm == "gptq":
                return lambda weight: gptq(weight, hessian, bits=bits).values
            draws = (seed, _STREAM, depth, place)
            return lambda weight: quip(weight, hessian, bits=bits, seed=draws).values

        rounded = _with_rounded(block, {name: rounding(place, name) for place, name in enumerate(PROJECTIONS)}, method)
        streams = advance(rounded, streams)
        blocks.append(rounded)
    return _with_blocks(model, blocks)


def _with_rounded(block: Block, roundings: dict[str, Rounding], method: PostTrainingMethod) -> Block:
    """Return a block whose projections have weights rounded as these functions do."""
    changed = {}
    for name, rounding in roundings.items():
        projection = _with_weight(getattr(block, name), rounding(_weight(block, name)))
        own = {field.name: getattr(projection, field.name) for field in fields(Projection)}
        changed[name] = QuantisedProjection(**own, activation_bits=method.activation_bits)
    return replace(block, **changed)


def _weight(block: Block, name: str) -> Float[np.ndarray, "m d"]:
    return np.asarray(getattr(block, name).weight, np.float64)


def _with_weight(projection: Projection, weight: Float[np.ndarray, "m d"]) -> Projection:
    return replace(projection, weight=jnp.asarray(weight, projection.weight.dtype))


def _with_blocks(model: Transformer, blocks: list[Block]) -> Transformer:
    return cast(Transformer, replace(model, blocks=tuple(blocks)))


def _as_full(model: Transformer) -> Transformer:
    """Return a network with projections of the arm ``"full"`` and the weights that it runs with.

    Raises
    ------
    InputError
        If a projection is not in full precision, or a weight is not finite.
    """
    blocks = []
    for number, block in enumerate(model.blocks):
        changed = {}
        for name in PROJECTIONS:
            projection = getattr(block, name)
            quantised = isinstance(projection, QuantisedProjection)
            if projection.arm not in FLOAT_ARMS or quantised:
                raise InputError(
                    f"only a network trained in full precision can be quantised after training, but {name} of block "
                    f"{number} is {'quantised already' if quantised else f'arm {projection.arm!r}'}; "
                    f"give one of arm {', '.join(FLOAT_ARMS)}"
                )
            weight = np.asarray(projection.weight)
            sixteen = layer_of(projection.arm) == "fp16"
            if sixteen:
                with np.errstate(over="ignore"):  # beyond the range of 16 bits: told in the next lines
                    weight = weight.astype(np.float16)
            if not np.isfinite(weight).all():
                raise InputError(
                    f"weights of {name} in block {number} contain NaN or infinity{' in 16 bits' * sixteen}: "
                    "the network has diverged"
                )
            changed[name] = replace(_with_weight(projection, weight), arm="full")
        blocks.append(replace(block, **changed))
    return _with_blocks(model, blocks)
