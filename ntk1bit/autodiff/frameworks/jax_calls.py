"""How a network is called, on one input or on a batch of them: found out by trying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk1bit.autodiff import rows
from ntk1bit.autodiff.explanations import explained
from ntk1bit.autodiff.frameworks.opened import OpenedNetwork
from ntk1bit.autodiff.parameters import as_traced
from ntk1bit.errors import InputError

Evaluate = Callable[[Any, Any], Any]  # from a network with its parameters, and a batch, to outputs
_BATCHES = (2, 5)  # inputs: what works for both, with an output for each, is no accident of shapes
_TOLD = "by the function evaluate"
_ADVICE = "say how it is called: evaluate=lambda network, x: ..., which returns (n,) or (n, outputs)"


@dataclass(frozen=True, eq=False)
class BatchFunction:
    """A function of (params, batch of inputs).

    Attributes
    ----------
    f
        The function.
    how
        How it calls the network, in words.
    outputs
        Shape of what it returns for one input.
    """

    f: Callable[[Any, Any], Any]
    how: str
    outputs: tuple[int, ...]


def batch_function(
    network: OpenedNetwork, inputs: Any, evaluate: Evaluate | None, *, like: BatchFunction | None = None
) -> BatchFunction:
    """Return a network as a function of (params, batch).

    A library's own way is tried first. Where that is one input at a time, and the network takes a batch as well, both
    must give the same.

    Parameters
    ----------
    network
        As it was opened.
    inputs
        A pytree of arrays with the batch on the first axes, as `rows.read_inputs` returns it.
    evaluate
        How it is to be called, None to try.
    like
        What was found of this network at other parameters: it is called in the same way, and nothing is tried.

    Raises
    ------
    InputError
        If it can be called neither way, or both ways with different outputs.
    """
    params = as_traced(network.params)
    if evaluate is not None:

        def told(params: Any, x: Any) -> Any:
            return evaluate(network.bind(params), x)

        return replace(like, f=told) if like else BatchFunction(told, _TOLD, _tried(told, params, inputs))

    def together(params: Any, x: Any) -> Any:
        return network.bind(params)(x)

    def one_by_one(params: Any, x: Any) -> Any:
        return jax.vmap(network.bind(params))(x)

    ways = [(together, "on the batch"), (one_by_one, "on one input at a time, by jax.vmap")]
    if like is not None:
        (same,) = [f for f, how in ways if how == like.how]
        return replace(like, f=same)
    ways = ways[::-1] if network.one_input else ways
    found, problems = [], []
    for f, how in ways:
        try:
            found.append(BatchFunction(f, how, _tried(f, params, inputs)))
        except InputError as problem:
            problems.append(str(problem))
    if not found:
        raise InputError(f"{problems[0]}; {_ADVICE}" if problems[0].startswith("the network") else problems[0])
    if network.one_input and len(found) == 2 and not _agree(found, params, inputs):
        raise InputError(f"the network takes one input as well as a batch, with different outputs; {_ADVICE}")
    return found[0]


def _tried(f: Callable[[Any, Any], Any], params: Any, inputs: Any) -> tuple[int, ...]:
    """Return the shape of the outputs for one input, without computing any."""
    outputs: tuple[int, ...] = ()
    for n in _BATCHES:
        with explained("the network fails"):
            value = jax.eval_shape(lambda x: f(params, x), rows.shapes(inputs, n))
        shape = getattr(value, "shape", None)
        if shape is None or shape[:1] != (n,) or len(shape) > 2:
            given = type(value).__name__ if shape is None else f"shape {shape}"
            raise InputError(f"the network returns {given} for {n} inputs, not (n,) or (n, outputs)")
        outputs = shape[1:]
    return outputs


def _agree(found: list[BatchFunction], params: Any, inputs: Any) -> bool:
    """Say whether two ways of calling a network give the same on a few inputs, to half the digits."""
    few = rows.few(inputs)
    with explained("the network fails"):
        first, second = (one.f(params, few) for one in found)
    if first.shape != second.shape:
        return False
    tolerance = float(jnp.finfo(first.dtype).eps) ** 0.5
    first, second = (np.asarray(value, np.float64) for value in (first, second))
    return bool(np.allclose(first, second, rtol=tolerance, atol=tolerance * np.abs(first).max(), equal_nan=True))
