"""Networks that offer their dense layers: the traced program of `forward(params, x, tap)`, each tap an operation in it.

A tap inside a compiled function, `jax.checkpoint` or `scan` is found there: the first two are opened, a loop is
unrolled, so that each of its steps is a layer of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive

from ntk1bit.autodiff.equations import (
    as_function,
    called_constants,
    called_program,
    closed_over,
    every_equation,
    inner_programs,
    interpret,
    open_program,
)
from ntk1bit.autodiff.programs import Program, closed_program
from ntk1bit.errors import InputError

Forward = Callable[[Any, Any, Callable[..., Any]], Any]
OnTap = Callable[[Any, Any], Any]  # (inputs with ones if there is a bias, z) -> what the network goes on with

_tap = Primitive("ntk1bit_tap")
_tap.def_impl(lambda *operands, **_: operands[1])
_tap.def_abstract_eval(lambda *operands, **_: operands[1])


class Leaves(NamedTuple):
    """A pytree of parameters: its numbers, and how to put it together again around them."""

    numbers: tuple[Any, ...]
    others: tuple[Any, ...]  # None where there is a number
    treedef: Any

    @classmethod
    def of(cls, params: Any) -> Leaves:
        """Separate what can be traced from what cannot."""
        leaves, treedef = jax.tree.flatten(params)
        traced = [isinstance(leaf, (bool, int, float, complex)) or hasattr(leaf, "dtype") for leaf in leaves]
        numbers = tuple(leaf for leaf, number in zip(leaves, traced, strict=True) if number)
        others = tuple(None if number else leaf for leaf, number in zip(leaves, traced, strict=True))
        return cls(numbers, others, treedef)

    def join(self, numbers: Sequence[Any]) -> Any:
        """Put the pytree together around other numbers."""
        source = iter(numbers)
        return jax.tree.unflatten(self.treedef, [next(source) if o is None else o for o in self.others])


class Tapped(NamedTuple):
    """The program of a network with taps in it, as a function of (numbers, x)."""

    program: Program

    @property
    def consts(self) -> tuple[Any, ...]:
        """The arrays the network captured."""
        return self.program.constants

    def run(self, consts: Sequence[Any], numbers: Sequence[Any], x: Any, on_tap: OnTap) -> Any:
        """Run the network, calling `on_tap` for each layer."""
        (value,) = _run(self.program.jaxpr, consts, [*numbers, x], on_tap)
        return value


def trace(forward: Forward, leaves: Leaves, x: Any) -> Tapped:
    """Trace a network at the shapes of its parameters and inputs.

    Raises
    ------
    InputError
        If no layer is tapped, a tap is called with something other than (n, features), or the network returns something
        other than (n,) or (n, outputs) for n inputs.
    """
    count, taps = x.shape[0], 0

    def tap(inputs: Any, z: Any, *, bias: bool = False) -> Any:
        nonlocal taps
        taps += 1
        inputs, z = jnp.asarray(inputs), jnp.asarray(z)
        shapes = f"got {inputs.shape}, {z.shape}"
        if inputs.ndim != 2 or z.ndim != 2:
            raise InputError(f"a tapped layer needs inputs and z of shape (n, features), {shapes}")
        if not inputs.shape[0] == z.shape[0] == count:
            raise InputError(
                f"a tapped layer needs one row for each of the {count} inputs, {shapes}; a layer applied to several "
                f"positions of an input shares its weights between them: use ntk1bit.autodiff.ntk"
            )
        if not jnp.issubdtype(z.dtype, jnp.floating):
            raise InputError(f"a tapped layer needs z of real floats, got {z.dtype}")
        return _tap.bind(inputs, z, bias=bias)

    try:
        traced = jax.make_jaxpr(lambda numbers, rows: forward(leaves.join(numbers), rows, tap))(leaves.numbers, x)
    except NotImplementedError as error:
        if _tap.name not in str(error):
            raise
        raise InputError("tap cannot be called inside jax.vmap or jax.grad; call it on the whole batch") from error
    if not taps:
        raise InputError("forward(params, x, tap) called `tap` for no layer; wrap each pre-activation: tap(h, h @ w)")
    shapes = [value.shape for value in traced.out_avals]
    if len(shapes) != 1 or len(shapes[0]) < 1 or shapes[0][0] != count:
        raise InputError(f"forward must return (n,) or (n, outputs); for {count} inputs it returned {shapes}")
    return Tapped(closed_program(traced))


def _run(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any], on_tap: OnTap) -> list[Any]:
    return interpret(jaxpr, consts, inputs, lambda equation, given: _outputs(equation, given, on_tap))


def _outputs(equation: Any, given: list[Any], on_tap: OnTap) -> Sequence[Any]:
    if equation.primitive is _tap:
        inputs, z = given
        if equation.params["bias"]:
            inputs = jnp.concatenate([inputs, jnp.ones((inputs.shape[0], 1), inputs.dtype)], axis=1)
        return [on_tap(inputs, z)]
    if not _holds_tap(equation):
        return as_function(equation)(*given)
    if (inner := called_program(equation)) is not None:
        return _run(inner, called_constants(equation), given, on_tap)
    if equation.primitive.name == "scan":
        return _unrolled(equation.params, given, on_tap)
    raise InputError(
        f"tap cannot be called inside {equation.primitive.name}; jax.jit, jax.checkpoint, scan and map are allowed"
    )


def _unrolled(params: Any, given: list[Any], on_tap: OnTap) -> list[Any]:
    first, body, length = params["num_consts"], params["jaxpr"], params["length"]
    last = first + params["num_carry"]
    carry, rows = given[first:last], {}
    for step in reversed(range(length)) if params["reverse"] else range(length):
        row = [lax.index_in_dim(xs, step, keepdims=False) for xs in given[last:]]
        results = _run(open_program(body), closed_over(body), [*given[:first], *carry, *row], on_tap)
        carry, rows[step] = results[: len(carry)], results[len(carry) :]
    return [*carry, *(jnp.stack(column) for column in zip(*(rows[step] for step in range(length)), strict=True))]


def _holds_tap(equation: Any) -> bool:
    inner = (e for program in inner_programs(equation) for e in every_equation(open_program(program)))
    return any(e.primitive is _tap for e in (equation, *inner))
