r"""Freezing of weights that oscillate: a remedy for the oscillation of quantised training (Nagel et al. 2022).

A 1-bit weight whose sign flips again and again is frozen. With o_t = 1 where the sign of a weight differs from that of
the step before, and 0 elsewhere, its frequency of flips is the exponential moving average

    e_t = decay e_{t-1} + (1 - decay) o_t,     e_0 = 0,

and it freezes, for good, when e_t > threshold. Nagel et al. freeze the integer weight. Here the sign is that of w - mu,
mu the mean over the neuron, which moves as the other weights do: so a frozen weight moves as the mean of those of its
neuron that are not frozen, which leaves w - mu of it, and hence its sign, as it is (to rounding).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from ntk1bit.arguments import number
from ntk1bit.errors import InputError
from ntk1bit.training.schedules import Training


class FreezingState(NamedTuple):
    """Of each 1-bit layer, (m, d): signs (true for +1) before this step, frequencies of flips, what is frozen."""

    signs: list[Bool[Array, "m d"]]
    frequencies: list[Float[Array, "m d"]]
    frozen: list[Bool[Array, "m d"]]


@dataclass(frozen=True)
class FreezingTraining(Training):
    """A training that freezes oscillating weights of an `mlp.MLP` with signs.

    Attributes
    ----------
    one_bit_layers
        As `mlp.MLP.one_bit_layers`: for each layer whether it is quantised.
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

    one_bit_layers: tuple[bool, ...] = ()
    decay: float = 0.95
    threshold: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        if not any(self.one_bit_layers):
            raise InputError(
                "there is no 1-bit layer whose weights could be frozen; give one_bit_layers of the network"
            )
        if number("decay", self.decay, allowed="a number from 0 up to below 1", least=0.0) >= 1:
            raise InputError(f"decay must be a number from 0 up to below 1, got {self.decay}")
        if number("threshold", self.threshold, allowed="a number above 0 and below 1", above=0.0) >= 1:
            raise InputError(f"threshold must be a number above 0 and below 1, got {self.threshold}")

    @property
    def gradient_transform(self) -> optax.GradientTransformation:
        """The optimiser's updates, then those of frozen weights replaced; the same object for equal settings."""
        return _then_freezing(super().gradient_transform, self.one_bit_layers, self.decay, self.threshold)


def freezing(one_bit_layers: tuple[bool, ...], *, decay: float, threshold: float) -> optax.GradientTransformation:
    """Return the transformation of updates; arguments as in `FreezingTraining`. It comes last in a chain."""

    def chosen(params: Any) -> list[Float[Array, "m d"]]:
        return [layer["w"] for layer, one_bit in zip(params, one_bit_layers, strict=True) if one_bit]

    def init(params: Any) -> FreezingState:
        now = chosen(params)
        return FreezingState(
            [_signs(w) for w in now],
            [jnp.zeros_like(w) for w in now],
            [jnp.zeros(w.shape, bool) for w in now],
        )

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, FreezingState]:
        now = [_signs(w) for w in chosen(params)]
        frequencies = [
            decay * old + (1 - decay) * (before != after)
            for old, before, after in zip(state.frequencies, state.signs, now, strict=True)
        ]
        frozen = [held | (often > threshold) for held, often in zip(state.frozen, frequencies, strict=True)]
        rest = iter(frozen)
        moved = [
            layer | {"w": _with_the_mean(layer["w"], next(rest))} if one_bit else layer
            for layer, one_bit in zip(updates, one_bit_layers, strict=True)
        ]
        return moved, FreezingState(now, frequencies, frozen)

    return optax.GradientTransformation(init, update)


def _signs(w: Float[Array, "m d"]) -> Bool[Array, "m d"]:
    return w >= w.mean(axis=1, keepdims=True)


def _with_the_mean(update: Float[Array, "m d"], frozen: Bool[Array, "m d"]) -> Float[Array, "m d"]:
    """Replace the updates of frozen weights by the mean over the others of their row; by 0 where all are frozen."""
    free = (~frozen).sum(axis=1, keepdims=True)
    mean = jnp.where(frozen, 0, update).sum(axis=1, keepdims=True) / jnp.maximum(free, 1)
    return jnp.where(frozen, mean, update)


@functools.lru_cache(maxsize=16)
def _then_freezing(
    first: optax.GradientTransformation, one_bit_layers: tuple[bool, ...], decay: float, threshold: float
) -> optax.GradientTransformation:
    return optax.chain(first, freezing(one_bit_layers, decay=decay, threshold=threshold))
