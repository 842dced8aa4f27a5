"""Haiku networks: pairs of functions, with a random key and perhaps a state between parameters and inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ntk1bit.autodiff.frameworks.opened import OpenedNetwork, evaluation_flags, told
from ntk1bit.autodiff.frameworks.weight_quantiser import WeightQuantiser
from ntk1bit.errors import InputError


class QuantizedApply:
    """`apply` of a Haiku network whose weights go through a quantiser."""

    def __init__(self, apply: Callable[..., Any], quantiser: WeightQuantiser) -> None:
        """Keep `apply` with its signature."""
        self.inner, self.quantiser = apply, quantiser
        self.__signature__ = inspect.signature(apply)

    def __call__(self, params: Any, *args: Any, **named: Any) -> Any:
        """Apply the network, its weights quantised."""
        return self.inner(self.quantiser(params, "last"), *args, **named)


def is_haiku(module: Any) -> bool:
    """Say whether something is what `hk.transform` or `hk.transform_with_state` returns."""
    return type(module).__name__ in ("Transformed", "TransformedWithState") and hasattr(module, "apply")


def open_haiku(module: Any, params: Any, state: Any) -> OpenedNetwork:
    """Open a transformed function with its parameters, and its state if it has one.

    It is given no random key, so that dropout is an error; the state is kept; and an argument such as ``is_training``
    is passed so that it is evaluated.

    Raises
    ------
    InputError
        If parameters, or the state of a network with one, are missing.
    """
    if params is None:
        raise InputError("a Haiku network needs params=..., as network.init returned them or training left them")
    with_state = type(module).__name__ == "TransformedWithState"
    if with_state and state is None:
        raise InputError("this Haiku network has a state: give it as state=..., the second that network.init returned")
    if not with_state and state is not None:
        raise InputError("this Haiku network has no state; leave state out")
    apply = module.apply
    quantiser = apply.quantiser if isinstance(apply, QuantizedApply) else None
    flags = evaluation_flags(apply)
    before = ((state,) if with_state else ()) + ((None,) if "rng" in inspect.signature(apply).parameters else ())

    def bind(p: Any) -> Callable[..., Any]:
        def network(*args: Any, **named: Any) -> Any:
            value = apply(p, *before, *args, **{**flags, **named})
            return value[0] if with_state else value

        return network

    mode = told(flags) + (("the state is kept",) if with_state else ())
    return OpenedNetwork("Haiku", params, bind, mode=mode, quantiser=quantiser)
