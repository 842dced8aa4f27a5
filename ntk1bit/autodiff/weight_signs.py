"""The signs, or other integers, that a network's weights are held as, so that flips between two moments are counted.

Of a network that `quantize` made, each weight has an integer, read off its quantised value v: of ``"one_bit"`` the
side of v of the middle of its neuron's two values, of ``"one_bit_tensor"`` and ``"ternary"`` the sign of v, and of
``"int8"`` 127 v over the largest |v| of its neuron. Of another network it is whatever the caller reads off, or else the
sign of each parameter as it is, which flips in full precision too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int8, Shaped

from ntk1bit.autodiff.explanations import explained
from ntk1bit.autodiff.frameworks.opened import OpenedNetwork
from ntk1bit.autodiff.frameworks.recognition import Library
from ntk1bit.autodiff.frameworks.weight_quantiser import Neurons, WeightQuantiser, neuron_axes
from ntk1bit.autodiff.parameters import Split, is_float_array, path_name
from ntk1bit.errors import InputError

Signs = Callable[[Any], Any]  # from parameters to a pytree of arrays, in which an entry that differs has flipped


@dataclass(frozen=True, eq=False)
class WeightSigns:
    """What is counted as flips of a network.

    Attributes
    ----------
    read
        From the trained and the other arrays of its parameters (`Split`) to arrays of integers.
    counted
        What they are, in words.
    size
        How many.
    """

    read: Callable[[Any, Any], list[Array]]
    counted: str
    size: int


def counted_signs(
    network: OpenedNetwork, library: Library, split: Split, arrays: Any, signs: Signs | None
) -> WeightSigns:
    """Say what counts as flips of a network with these parameters.

    Parameters
    ----------
    network, library
        As it was opened, and what it is of.
    split, arrays
        Its parameters taken apart: `split`, (trained, frozen).
    signs
        The caller's own way to read signs off parameters, or None.

    Raises
    ------
    InputError
        If that way fails, or gives no arrays.
    """
    quantiser = network.quantiser
    if signs is not None:
        given = signs

        def read(params: Any) -> list[Any]:
            return jax.tree.leaves(given(params))

        what = "{} entries that signs=... reads"
    elif quantiser is not None:
        neurons: Neurons = "first" if library == "equinox" else "last"

        def read(params: Any) -> list[Any]:
            return quantised_integers(quantiser, params, neurons)

        kind = "integers" if quantiser.bits == "int8" else "signs"
        what = f"{kind} of {{}} quantised weights ({quantiser.bits})"
    else:

        def read(params: Any) -> list[Any]:
            return [latent_signs(leaf) for leaf in split.select(params)]

        what = "signs of {} trained parameters as they are, since no quantiser is known"

    def of_arrays(trained: Any, frozen: Any) -> list[Any]:
        return read(split.join(trained, frozen))

    with explained("signs cannot be read off the parameters"):
        shapes = jax.eval_shape(of_arrays, *arrays)
    size = sum(int(one.size) for one in shapes)
    if not size:
        raise InputError("signs must return arrays with an entry for each weight, of parameters: it returned none")
    return WeightSigns(of_arrays, what.format(size), size)


def quantised_integers(quantiser: WeightQuantiser, params: Any, neurons: Neurons) -> list[Int8[Array, ...]]:
    """Return the integers of all weights that a quantiser quantises (this module's text).

    Parameters
    ----------
    quantiser
        What the weights go through.
    params
        Pytree of latent weights.
    neurons
        The axis by which the library numbers neurons.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    named = [(path_name(path), leaf) for path, leaf in leaves]
    chosen = set(quantiser.choose([(path, leaf.shape) for path, leaf in named if is_float_array(leaf)]))
    return [_integers(quantiser, path, leaf, neurons) for path, leaf in named if path in chosen]


def latent_signs(array: Shaped[Array, ...]) -> Int8[Array, ...]:
    """Return -1, 0 or +1 for each entry."""
    return jnp.sign(array).astype(jnp.int8)


def flipped(now: Sequence[Array], before: Sequence[Array]) -> int:
    """Return how many entries differ."""
    return sum(int((a != b).sum()) for a, b in zip(now, before, strict=True))


def _integers(quantiser: WeightQuantiser, path: str, w: Any, neurons: Neurons) -> Array:
    value = quantiser.array(path, w, neurons)
    if quantiser.bits in ("one_bit_tensor", "ternary"):
        return latent_signs(value)
    order, leading = neuron_axes(path, value.ndim, quantiser.neurons or neurons)
    axes = tuple(order[leading:])  # those of one neuron
    low, high = value.min(axis=axes, keepdims=True), value.max(axis=axes, keepdims=True)
    if quantiser.bits == "one_bit":
        return (2 * (value >= (low + high) / 2) - 1).astype(jnp.int8)
    largest = jnp.maximum(high, -low)
    return jnp.rint(127 * value / jnp.where(largest > 0, largest, 1)).astype(jnp.int8)
