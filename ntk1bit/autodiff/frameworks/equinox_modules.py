"""Equinox modules: pytrees that hold their own parameters, written for one input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from ntk1bit.autodiff.frameworks.opened import OpenedNetwork
from ntk1bit.autodiff.frameworks.weight_quantiser import WeightQuantiser
from ntk1bit.errors import InputError


class QuantizedEquinox(eqx.Module):
    """An Equinox module whose weights go through a quantiser whenever it is called.

    Attributes
    ----------
    module
        With the latent weights, which are trained.
    quantiser
        What they go through.
    """

    module: Any
    quantiser: WeightQuantiser = eqx.field(static=True)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call the module, its weights quantised."""
        return self.quantiser(self.module, "first")(*args, **named)


def open_equinox(module: Any, state: Any) -> OpenedNetwork:
    """Open an Equinox module; `state` is an `eqx.nn.State` or None.

    Dropout and batch normalisation are put into inference mode; the state is read and never written.

    Raises
    ------
    InputError
        If the module is called with a state that is none of Equinox's.
    """
    quantiser = module.quantiser if isinstance(module, QuantizedEquinox) else None
    inner = module.module if isinstance(module, QuantizedEquinox) else module
    if state is not None and not isinstance(state, eqx.nn.State):
        raise InputError(f"state must be an eqx.nn.State for an Equinox module, got {type(state).__name__}")
    evaluated = eqx.nn.inference_mode(inner)
    mode = ("eqx.nn.inference_mode is applied",)

    def bind(params: Any) -> Callable[..., Any]:
        network = params if quantiser is None else quantiser(params, "first")
        if state is None:
            return network
        # a copy: Equinox lets one state be used once only
        return lambda *args, **named: network(*args, jax.tree.map(lambda leaf: leaf, state), **named)[0]

    mode += () if state is None else ("the state is read and kept",)
    return OpenedNetwork("Equinox", evaluated, bind, one_input=True, mode=mode, quantiser=quantiser)
