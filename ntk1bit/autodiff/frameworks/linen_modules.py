"""Flax linen modules: descriptions without parameters, which come beside them as variables in collections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ntk1bit.autodiff.frameworks.opened import OpenedNetwork, evaluation_flags, told
from ntk1bit.autodiff.frameworks.weight_quantiser import WeightQuantiser
from ntk1bit.errors import InputError


@dataclass(frozen=True)
class QuantizedLinen:
    """A linen module whose weights go through a quantiser in `apply`.

    Attributes
    ----------
    module
        The linen module.
    quantiser
        What its parameters go through.
    """

    module: Any
    quantiser: WeightQuantiser

    def init(self, *args: Any, **named: Any) -> Any:
        """Make variables, as the module does: the latent weights."""
        return self.module.init(*args, **named)

    def apply(self, variables: Any, *args: Any, **named: Any) -> Any:
        """Apply the module, its weights quantised."""
        params = self.quantiser(variables["params"], "last")
        return self.module.apply({**variables, "params": params}, *args, **named)


def open_linen(module: Any, params: Any) -> OpenedNetwork:
    """Open a linen module with its variables, or with the collection ``params`` of them alone.

    The other collections, such as ``batch_stats``, are kept as they are and are no parameters. Arguments such as
    ``train`` or ``deterministic`` of the module's call are passed so that it is evaluated.

    Raises
    ------
    InputError
        If there are no variables.
    """
    quantiser, inner = None, module
    if isinstance(module, QuantizedLinen):
        quantiser, inner = module.quantiser, module.module
    if params is None and inner.scope is not None:
        inner, params = inner.unbind()
    if not isinstance(params, Mapping):
        raise InputError(
            "a Flax linen module needs params=variables, as model.init returned them or training left them; "
            f"got {type(params).__name__}"
        )
    collections = dict(params) if isinstance(params.get("params"), Mapping) else {"params": params}
    trained = collections.pop("params")
    flags = evaluation_flags(type(inner).__call__)
    kept = tuple(f"collection {name!r} is kept, and is no parameter" for name in collections)

    def bind(p: Any) -> Callable[..., Any]:
        variables = {**collections, "params": p if quantiser is None else quantiser(p, "last")}
        return lambda *args, **named: inner.apply(variables, *args, **{**flags, **named})

    return OpenedNetwork("Flax linen", trained, bind, mode=told(flags) + kept, quantiser=quantiser)
