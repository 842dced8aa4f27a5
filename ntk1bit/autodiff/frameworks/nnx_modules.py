"""Flax nnx modules: objects that hold parameters, statistics, random keys and flags as variables of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from ntk1bit.autodiff.frameworks.opened import OpenedNetwork, evaluation_flags, told
from ntk1bit.autodiff.frameworks.weight_quantiser import WeightQuantiser
from ntk1bit.autodiff.parameters import path_name


class QuantizedNnx(nnx.Module):
    """An nnx module whose weights go through a quantiser whenever it is called.

    Attributes
    ----------
    module
        With the latent weights, which are trained; it also keeps what a call changes besides, such as batch statistics.
    quantiser
        What they go through.
    """

    def __init__(self, module: Any, quantiser: WeightQuantiser) -> None:
        """Take a module as it is."""
        self.module, self.quantiser = module, quantiser

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call the module, its weights quantised."""
        graph, params, rest = nnx.split(self.module, nnx.Param, ...)
        names, arrays, treedef = _named(params)
        quantised = self.quantiser(dict(zip(names, arrays, strict=True)), "last")
        copy: Any = nnx.merge(graph, treedef.unflatten(quantised[name] for name in names), rest)
        value = copy(*args, **named)
        nnx.update(self.module, nnx.split(copy, nnx.Param, ...)[2])
        return value


def open_nnx(module: Any) -> OpenedNetwork:
    """Open an nnx module: a copy of it, in evaluation mode. Only `nnx.Param` counts as parameters.

    Paths are those of the variables, such as ``layers/0/kernel``.
    """
    quantiser, inner = None, module
    if isinstance(module, QuantizedNnx):
        quantiser, inner = module.quantiser, module.module
    copy = nnx.clone(inner)
    copy.eval()
    flags = evaluation_flags(type(inner).__call__)
    graph, params, rest = nnx.split(copy, nnx.Param, ...)
    names, arrays, treedef = _named(params)

    def bind(p: Any) -> Callable[..., Any]:
        used = p if quantiser is None else quantiser(p, "last")
        network: Any = nnx.merge(graph, treedef.unflatten(used[name] for name in names), rest)
        return lambda *args, **named: network(*args, **{**flags, **named})

    mode = ("a copy is put into evaluation mode by .eval()", *told(flags))
    trained = dict(zip(names, arrays, strict=True))
    return OpenedNetwork("Flax nnx", trained, bind, mode=mode, quantiser=quantiser)


def _named(params: Any) -> tuple[list[str], list[Any], Any]:
    """Return paths and arrays of a state, a variable being one array; and how to put it together again."""
    leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
    return [path_name(path).removesuffix("/value") for path, _ in leaves], [leaf for _, leaf in leaves], treedef
