"""Multi-layer perceptrons of any depth, in 1-bit and full precision, as pure functions of their parameters.

    h_0 = x,   h_l = relu(c_l Q_l(W_l) h_{l-1} + b_l),   f(x) = c_L Q_L(W_L) h_{L-1} + b_L

Q_l is D25's neuron-wise quantiser with its straight-through estimator (`straight_through.neuron_wise`, Def. D.3 and
Lemma F.3) where layer l is 1-bit, and the identity elsewhere; with levels ``"ternary"`` it is that of BitNet b1.58.
What is trained are the latent W_l, in full precision.

**Which layers are 1-bit.** In a ``"full"`` network none is. In a ``"one_bit"`` network all layers between the first
and the last are, and these two as `first` and `last` say. Both are in full precision by default: the first sees a
handful of inputs (with one or two the quantiser is degenerate or lossless), the last is one row.

**Parameterisations.** ``"standard"``: W_l ~ N(0, gain^2/fan_in), c_l = 1. ``"ntk"``: W_l ~ N(0, 1), c_l =
gain/sqrt(fan_in), and the quantiser acts on the N(0, 1) weights. Both give the same function at the start; they differ
in what a learning rate means.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8, Integer

from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.quantizers import SCALES, Scale
from ntk1bit.networks.straight_through import mean_and_size, neuron_wise, straight_through, ternary
from ntk1bit.networks.two_layer import ACTIVITIES, PRECISIONS, Activity, Precision
from ntk1bit.networks.two_layer.network import STRAIGHT_THROUGH

Parameterisation = Literal["standard", "ntk"]
Levels = Literal["signs", "ternary"]
LEVELS: tuple[str, ...] = get_args(Levels)
_ACTIVITIES = tuple(one for one in ACTIVITIES if one != "frozen")  # which would need the patterns of the start
PARAMETERISATIONS: tuple[str, ...] = get_args(Parameterisation)
Params = list[dict[str, Float[Array, "..."]]]


@dataclass(frozen=True)
class MLP:
    """What a network looks like.

    Attributes
    ----------
    inputs
        Number of input coordinates.
    hidden
        Widths of the hidden layers, one at least: a network of depth L (weight layers) has L - 1.
    precision
        ``"one_bit"`` or ``"full"``.
    first, last
        Whether the first and the last layer of a ``"one_bit"`` network are 1-bit too; without meaning in a ``"full"``
        one.
    scale
        Of the quantiser: ``"std"`` (D25) or ``"absmean"``.
    parameterisation
        ``"standard"`` or ``"ntk"``, see the module.
    gain
        Of every layer; sqrt(2) keeps the size of activations through relu layers.
    biases
        Whether layers have biases, always in full precision.
    bias_deviation
        Standard deviation of the biases at the start; 0 starts them at 0.
    levels
        Of the weights of 1-bit layers: ``"signs"``, neuron by neuron, or ``"ternary"``, -1, 0 and 1 with one scale for
        the layer (`straight_through.ternary`), of which `scale` is no part.
    activity
        Which neurons a gradient passes in a layer that is quantised: ``"straight_through"``, those that are active, or
        ``"latent"``, those that would be with the latent weights, which takes one more product per layer.

    Raises
    ------
    InputError
        If a size is below 1, a name unknown, the gain not positive or the deviation negative.
    """

    inputs: int
    hidden: tuple[int, ...]
    precision: Precision = "one_bit"
    first: Precision = "full"
    last: Precision = "full"
    scale: Scale = "std"
    parameterisation: Parameterisation = "standard"
    gain: float = math.sqrt(2)
    biases: bool = True
    bias_deviation: float = 0.0
    levels: Levels = "signs"
    activity: Activity = STRAIGHT_THROUGH

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.inputs < 1 or not self.hidden or min(self.hidden) < 1:
            raise InputError(
                f"an MLP needs at least one input and one hidden layer of width 1 or more, got {self.inputs} inputs "
                f"and hidden {self.hidden}"
            )
        for what, given in (("precision", self.precision), ("first", self.first), ("last", self.last)):
            require_choice(what, given, PRECISIONS)
        require_choice("scale", self.scale, SCALES)
        require_choice("parameterisation", self.parameterisation, PARAMETERISATIONS)
        require_choice("levels", self.levels, LEVELS)
        require_choice("activity of an MLP", self.activity, _ACTIVITIES)
        if not (self.gain > 0 and math.isfinite(self.gain)):
            raise InputError(f"the gain of an MLP must be positive and finite, got {self.gain}")
        if not (self.bias_deviation >= 0 and math.isfinite(self.bias_deviation)):
            raise InputError(f"bias_deviation must be at least 0 and finite, got {self.bias_deviation}")

    @property
    def depth(self) -> int:
        """The number of weight layers."""
        return len(self.hidden) + 1

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Fan-in and number of neurons of each layer, the output included."""
        every = (self.inputs, *self.hidden, 1)
        return tuple(itertools.pairwise(every))

    @property
    def one_bit_layers(self) -> tuple[bool, ...]:
        """Say for each layer whether its weights are quantised."""
        if self.precision == "full":
            return (False,) * self.depth
        return (self.first == "one_bit", *(True,) * (self.depth - 2), self.last == "one_bit")


def init(spec: MLP, seed: int | Integer[Array, ""]) -> Params:
    """Draw the latent weights of a network: the same for both precisions at the same seed.

    Parameters
    ----------
    spec
        The network.
    seed
        Non-negative; may be traced, so that `jax.vmap` draws many networks.

    Returns
    -------
    A list with a dict for each layer: ``w``, (neurons, fan_in), and with biases ``b``, (neurons,).

    Raises
    ------
    InputError
        If the seed is negative.
    """
    if isinstance(seed, int) and seed < 0:
        raise InputError(f"the seed of a network must be a non-negative integer, got {seed}")
    key = jax.random.key(seed)
    params: Params = []
    for place, (fan_in, neurons) in enumerate(spec.sizes):
        for_weights, for_biases = jax.random.split(jax.random.fold_in(key, place))
        deviation = spec.gain / math.sqrt(fan_in) if spec.parameterisation == "standard" else 1.0
        layer = {"w": deviation * jax.random.normal(for_weights, (neurons, fan_in))}
        if spec.biases:
            layer["b"] = spec.bias_deviation * jax.random.normal(for_biases, (neurons,))
        params.append(layer)
    return params


def apply(spec: MLP, params: Params, x: Float[Any, "n inputs"]) -> Float[Array, " n"]:
    """Evaluate a network.

    Parameters
    ----------
    spec
        The network.
    params
        From `init`, or trained.
    x
        Inputs, (n, inputs).

    Raises
    ------
    InputError
        If the inputs have another number of coordinates, or the parameters another number of layers.
    """
    if x.shape[1] != spec.inputs or len(params) != spec.depth:
        raise InputError(
            f"this MLP takes {spec.inputs} coordinates and {spec.depth} layers of parameters, got inputs of shape "
            f"{tuple(x.shape)} and {len(params)} layers"
        )
    h = jnp.asarray(x)
    for place, (layer, (fan_in, _), one_bit) in enumerate(zip(params, spec.sizes, spec.one_bit_layers, strict=True)):
        w = _quantised(spec, layer["w"]) if one_bit else layer["w"]
        factor = spec.gain / math.sqrt(fan_in) if spec.parameterisation == "ntk" else 1.0

        def preactivations(w: Array, h: Array, layer: dict[str, Array] = layer, factor: float = factor) -> Array:
            z = h @ w.T if factor == 1.0 else h @ w.T * factor
            return z + layer["b"] if spec.biases else z

        z = preactivations(w, h)
        if place == spec.depth - 1:
            h = z
        elif one_bit and spec.activity == "latent":
            active = jax.lax.stop_gradient(preactivations(layer["w"], h)) >= 0
            h = straight_through(jax.nn.relu(z), jnp.where(active, z, 0))
        else:
            h = jax.nn.relu(z)
    return h[:, 0]


def _quantised(spec: MLP, w: Float[Array, "m d"]) -> Float[Array, "m d"]:
    return ternary(w) if spec.levels == "ternary" else neuron_wise(w, scale=spec.scale)


def quantised_weights(spec: MLP, params: Params) -> list[Int8[Array, "neurons fan_in"]]:
    """Return the levels of each 1-bit layer, what flips in training: Sign(W_l - mu_l) (D25, Def. D.3), or -1, 0, 1."""
    chosen = [layer["w"] for layer, one_bit in zip(params, spec.one_bit_layers, strict=True) if one_bit]
    if spec.levels == "ternary":
        return [jnp.sign(ternary(w)).astype(jnp.int8) for w in chosen]
    means = [mean_and_size(w, scale=spec.scale)[0] for w in chosen]
    return [jnp.where(w >= mu, 1, -1).astype(jnp.int8) for w, mu in zip(chosen, means, strict=True)]


def parameters(spec: MLP) -> int:
    """Return the number of trained parameters N, biases included."""
    return sum(fan_in * neurons + (neurons if spec.biases else 0) for fan_in, neurons in spec.sizes)


def one_bit_share(spec: MLP) -> float:
    """Return the share of the parameters that are stored in one bit."""
    quantised = sum(
        fan_in * neurons for (fan_in, neurons), one in zip(spec.sizes, spec.one_bit_layers, strict=True) if one
    )
    return quantised / parameters(spec)


def hidden_width(inputs: int, depth: int, target: int, *, biases: bool = True) -> int:
    """Return the width h of depth - 1 equal hidden layers whose number of parameters is nearest to a target.

    N(h) = (depth - 2) h^2 + (inputs + 1 + (depth - 1) [biases]) h + [biases].

    Raises
    ------
    InputError
        If depth is below 2, inputs below 1, or the target is below the parameters of width 1.
    """
    if depth < 2 or inputs < 1:
        raise InputError(f"an MLP needs depth of at least 2 and one input or more, got {depth} and {inputs}")

    def count(width: int) -> int:
        return parameters(MLP(inputs, (width,) * (depth - 1), biases=biases))

    if target < count(1):
        raise InputError(f"no MLP of depth {depth} on {inputs} inputs has {target} parameters; give {count(1)} or more")
    low, high = 1, 2
    while count(high) <= target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= target else (low, middle)
    return low if target - count(low) <= count(high) - target else high
