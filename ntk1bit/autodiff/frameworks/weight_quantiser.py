"""Which arrays of a network are weights to quantise, which of their axes number neurons, and what they become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntk1bit.autodiff.parameters import Selection, chooser, is_float_array, path_name
from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks import array_quantizers
from ntk1bit.networks.array_quantizers import PASSING, Passing

Bits = Literal["one_bit", "one_bit_tensor", "ternary", "int8"]
BITS: tuple[str, ...] = get_args(Bits)
MEANING: dict[str, str] = {
    "one_bit": "signs, a scale and a mean for each neuron (D25, Def. D.3)",
    "one_bit_tensor": "signs, one scale for each array (W23, Eqs. 1 to 3)",
    "ternary": "-1, 0, +1, one scale for each array (BitNet b1.58)",
    "int8": "8-bit integers, a scale for each neuron (absmax)",
}
Neurons = Literal["first", "last"]
NEURONS: tuple[str, ...] = get_args(Neurons)
_TABLES = ("embedding", "embeddings")  # of Flax and Haiku: a row for each token, while kernels have a column a neuron
_PROJECTIONS = ("query", "key", "value")  # of Flax's attention: (inputs, heads, outputs of a head)


@dataclass(frozen=True)
class WeightQuantiser:
    """What weights go through in the forward pass.

    Attributes
    ----------
    bits
        One of `BITS`.
    surrogate
        One of `ntk1bit.networks.array_quantizers.PASSING`.
    parameters
        Which arrays; None for all weights.
    neurons
        The axis that numbers neurons, the library's own if None.
    """

    bits: Bits
    surrogate: Passing = "identity"
    parameters: Selection = None
    neurons: Neurons | None = None

    def __post_init__(self) -> None:
        """Check the choices."""
        require_choice("kind of weights", self.bits, BITS)
        require_choice("surrogate", self.surrogate, PASSING)
        if self.neurons is not None:
            require_choice("neurons", self.neurons, NEURONS)

    def __str__(self) -> str:
        """Say what weights become."""
        return f"{self.bits}: {MEANING[self.bits]}; surrogate {self.surrogate}"

    def __call__(self, params: Any, neurons: Neurons) -> Any:
        """Return a pytree with its weights quantised; `neurons` is the axis that the library numbers neurons by.

        Raises
        ------
        InputError
            If there is no weight to quantise, or a pattern fits none.
        """
        leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
        named = [(path_name(path), leaf) for path, leaf in leaves]
        paths = set(self.choose([(path, leaf.shape) for path, leaf in named if is_float_array(leaf)]))
        return treedef.unflatten(self.array(path, leaf, neurons) if path in paths else leaf for path, leaf in named)

    def choose(self, arrays: Sequence[tuple[str, tuple[int, ...]]]) -> list[str]:
        """Return the paths of those arrays of floats, given with their shapes, that are weights and chosen.

        Raises
        ------
        InputError
            If there are none.
        """
        weights = [path for path, shape in arrays if is_weight(path, shape)]
        chosen = chooser(self.parameters, weights)
        found = [path for path in weights if chosen(path)]
        if not found:
            there_are = ", ".join(path or "a single leaf" for path, _ in arrays) or "none at all"
            raise InputError(
                f"no weights to quantise are selected (arrays of two axes or more); there are: {there_are}"
            )
        return found

    def array(self, path: str, w: Any, neurons: Neurons) -> Array:
        """Return one array of weights, quantised."""
        w = jnp.asarray(w)
        order, leading = neuron_axes(path, w.ndim, self.neurons or neurons)
        turned = w.transpose(order)
        matrix = turned.reshape(math.prod(turned.shape[:leading]), -1)
        back = [order.index(axis) for axis in range(w.ndim)]
        return quantised_matrix(array_quantizers, self, matrix).reshape(turned.shape).transpose(back)


def is_weight(path: str, shape: tuple[int, ...]) -> bool:
    """Say whether an array of floats is a weight: it has two axes or more, and is not called a bias."""
    return len(shape) >= 2 and path.split("/")[-1] != "bias"


def neuron_axes(path: str, axes: int, neurons: Neurons) -> tuple[list[int], int]:
    """Return the order of axes that puts those that number neurons first, and how many of them there are."""
    order, steps = list(range(axes)), path.split("/")
    if neurons == "first" or steps[-1] in _TABLES:
        return order, 1
    if axes == 3 and len(steps) > 1 and steps[-2] in _PROJECTIONS:
        return [1, 2, 0], 2
    return [axes - 1, *order[:-1]], 1


def quantised_matrix(library: Any, quantiser: WeightQuantiser, matrix: Any) -> Any:
    """Return a matrix with a row for each neuron, quantised by `array_quantizers` or `torch_quantizers`."""
    function = {
        "one_bit": library.neuron_wise,
        "one_bit_tensor": library.tensor_wise,
        "ternary": library.ternary,
        "int8": library.int8,
    }[quantiser.bits]
    return function(matrix, surrogate=quantiser.surrogate)
