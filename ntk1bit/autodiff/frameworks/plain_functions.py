"""Plain functions of (params, x): no library, nothing to prepare."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ntk1bit.autodiff.frameworks.opened import OpenedNetwork
from ntk1bit.autodiff.frameworks.weight_quantiser import WeightQuantiser
from ntk1bit.errors import InputError


class QuantizedFunction:
    """A function of (params, x) whose weights go through a quantiser."""

    def __init__(self, f: Callable[..., Any], quantiser: WeightQuantiser) -> None:
        """Keep both."""
        self.f, self.quantiser = f, quantiser

    def __call__(self, params: Any, *args: Any, **named: Any) -> Any:
        """Call the function, its weights quantised; a row, or a column of `x @ w`, is a neuron as `neurons` says."""
        return self.f(self.quantiser(params, "last"), *args, **named)


def open_function(f: Callable[..., Any], params: Any) -> OpenedNetwork:
    """Open a function of (params, x).

    Raises
    ------
    InputError
        If there are no parameters.
    """
    if params is None:
        raise InputError(
            "a function f(params, x) needs params=...; a network that holds its own is an object of a library"
        )
    quantiser = f.quantiser if isinstance(f, QuantizedFunction) else None

    def bind(p: Any) -> Callable[..., Any]:
        return functools.partial(f, p)

    return OpenedNetwork("a function of (params, x)", params, bind, quantiser=quantiser)
