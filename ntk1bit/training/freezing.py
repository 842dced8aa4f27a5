r"""Freezing of weights that oscillate: a remedy for the oscillation of quantised training (Nagel et al. 2022).

A 1-bit weight whose sign flips again and again is frozen. With o_t = 1 where the sign of a weight differs from that of
the step before, and 0 elsewhere, its frequency of flips is the exponential moving average

    e_t = decay e_{t-1} + (1 - decay) o_t,     e_0 = 0,

and it freezes, for good, when e_t > threshold. Nagel et al. freeze the integer weight. Here the sign is that of w - mu,
mu the mean over the neuron (in BitLinear over the matrix, or the group of inputs: W23, Eqs. 3 and 13), which moves as
the other weights do: so a frozen weight moves as the mean of those beside it that are not frozen, which leaves w - mu
of it, and hence its sign, as it is (to rounding). Ternary weights have no such form: their thresholds are in proportion
to the mean size of the matrix, so that no common shift leaves them where they are.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from ntk1bit.arguments import number
from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear import Projection
from ntk1bit.networks.transformer_shape import SIGNED_ARMS
from ntk1bit.training.schedules import Training

_NOTHING = "there is no 1-bit layer whose weights could be frozen; give one_bit_layers of the network"


class FreezingState(NamedTuple):
    """Of each 1-bit layer: signs (true for +1) before this step, frequencies of flips, what is frozen.

    A row holds the weights that share a mean: in an MLP those of a neuron, in BitLinear those of a group of inputs.
    """

    signs: list[Bool[Array, "rows shared"]]
    frequencies: list[Float[Array, "rows shared"]]
    frozen: list[Bool[Array, "rows shared"]]


@dataclass(frozen=True)
class FreezingTraining(Training):
    """A training that freezes oscillating weights of an `mlp.MLP` with signs, or of a Transformer with BitLinear.

    Attributes
    ----------
    one_bit_layers
        As `mlp.MLP.one_bit_layers`: for each layer whether it is quantised. None for a Transformer, or any other
        pytree that holds a `bitlinear.Projection` whose arm has signs: all of these freeze.
    decay
        Of the moving average of flips, from 0 up to below 1.
    threshold
        Flips per step above which a weight is frozen, above 0 and below 1. A weight that crosses at every step comes to
        1 - decay^t after t steps.

    Raises
    ------
    InputError
        If a number is out of range, or no layer is 1-bit.
    """

    one_bit_layers: tuple[bool, ...] | None = ()
    decay: float = 0.95
    threshold: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        if self.one_bit_layers is not None and not any(self.one_bit_layers):
            raise InputError(_NOTHING)
        if number("decay", self.decay, allowed="a number from 0 up to below 1", least=0.0) >= 1:
            raise InputError(f"decay must be a number from 0 up to below 1, got {self.decay}")
        if number("threshold", self.threshold, allowed="a number above 0 and below 1", above=0.0) >= 1:
            raise InputError(f"threshold must be a number above 0 and below 1, got {self.threshold}")

    @property
    def gradient_transform(self) -> optax.GradientTransformation:
        """The optimiser's updates, then those of frozen weights replaced; the same object for equal settings."""
        return _then_freezing(super().gradient_transform, self.one_bit_layers, self.decay, self.threshold)


def freezing(
    one_bit_layers: tuple[bool, ...] | None, *, decay: float, threshold: float
) -> optax.GradientTransformation:
    """Return the transformation of updates; arguments as in `FreezingTraining`. It comes last in a chain.

    Its `init` raises InputError where no layer of a Transformer has signs.
    """
    chosen = _bit_linear if one_bit_layers is None else functools.partial(_of_mlp, one_bit_layers)

    def weights(params: Any) -> list[Any]:
        return [layer.weights for layer in chosen(params)]

    def rows(params: Any) -> list[Any]:
        return [_rows(layer.weights, layer.groups) for layer in chosen(params)]

    def init(params: Any) -> FreezingState:
        now = rows(params)
        if not now:
            raise InputError(_NOTHING)
        return FreezingState(
            [_signs(w) for w in now],
            [jnp.zeros_like(w) for w in now],
            [jnp.zeros(w.shape, bool) for w in now],
        )

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, FreezingState]:
        now = [_signs(w) for w in rows(params)]
        frequencies = [
            decay * old + (1 - decay) * (before != after)
            for old, before, after in zip(state.frequencies, state.signs, now, strict=True)
        ]
        frozen = [held | (often > threshold) for held, often in zip(state.frozen, frequencies, strict=True)]
        moved = [
            _back(_with_the_mean(_rows(layer.weights, layer.groups), held), layer.weights.shape, layer.groups)
            for layer, held in zip(chosen(updates), frozen, strict=True)
        ]
        return eqx.tree_at(weights, updates, moved), FreezingState(now, frequencies, frozen)

    return optax.GradientTransformation(init, update)


class _Signed(NamedTuple):
    """Weights of a 1-bit layer, a row per neuron, and how many groups of inputs have a mean; 0: each neuron has one."""

    weights: Float[Array, "m d"]
    groups: int


def _of_mlp(one_bit_layers: tuple[bool, ...], params: Any) -> list[_Signed]:
    return [_Signed(layer["w"], 0) for layer, one_bit in zip(params, one_bit_layers, strict=True) if one_bit]


def _bit_linear(params: Any) -> list[_Signed]:
    def is_projection(one: Any) -> bool:
        return isinstance(one, Projection)

    every = [one for one in jax.tree.leaves(params, is_leaf=is_projection) if is_projection(one)]
    return [
        _Signed(one.weight, one.form.groups if one.arm == "bitnet" else 1) for one in every if one.arm in SIGNED_ARMS
    ]


def _rows(w: Float[Array, "m d"], groups: int) -> Float[Array, "rows shared"]:
    """Put weights that share a mean into a row."""
    if groups == 0:
        return w
    return w.reshape(w.shape[0], groups, -1).swapaxes(0, 1).reshape(groups, -1)


def _back(rows: Float[Array, "rows shared"], shape: tuple[int, ...], groups: int) -> Float[Array, "m d"]:
    """Put them back where they were."""
    if groups == 0:
        return rows
    return rows.reshape(groups, shape[0], -1).swapaxes(0, 1).reshape(shape)


def _signs(w: Float[Array, "rows shared"]) -> Bool[Array, "rows shared"]:
    return w >= w.mean(axis=1, keepdims=True)


def _with_the_mean(
    update: Float[Array, "rows shared"], frozen: Bool[Array, "rows shared"]
) -> Float[Array, "rows shared"]:
    """Replace the updates of frozen weights by the mean over the others of their row; by 0 where all are frozen."""
    free = (~frozen).sum(axis=1, keepdims=True)
    mean = jnp.where(frozen, 0, update).sum(axis=1, keepdims=True) / jnp.maximum(free, 1)
    return jnp.where(frozen, mean, update)


@functools.lru_cache(maxsize=16)
def _then_freezing(
    first: optax.GradientTransformation, one_bit_layers: tuple[bool, ...] | None, decay: float, threshold: float
) -> optax.GradientTransformation:
    return optax.chain(first, freezing(one_bit_layers, decay=decay, threshold=threshold))
