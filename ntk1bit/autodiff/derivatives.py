"""Derivatives of a network at one input, compiled for blocks of inputs.

What a block needs is asked of the compiler, which knows the activations that are alive at the same time, inside scans
and checkpoints too; it is not asked where everything the program ever computes would fit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk1bit.autodiff import programs, rows
from ntk1bit.autodiff.explanations import explained
from ntk1bit.autodiff.programs import Program

SLACK = 2  # transposed copies, which the compiler makes beside the arrays of the program


@dataclass(frozen=True, eq=False)
class Network:
    """A function of one input at its parameters.

    Attributes
    ----------
    program
        f(trained, frozen, x) for one row x, (1, ...), traced.
    trained, frozen
        Its parameters.
    outputs
        The shape of one output, () or (outputs,).
    one
        Shapes of one input, (1, ...).
    """

    program: Program
    trained: tuple[jax.Array, ...]
    frozen: tuple[jax.Array, ...]
    outputs: tuple[int, ...]
    one: Any

    @property
    def width(self) -> int:
        """Number of outputs per input."""
        return int(np.prod(self.outputs))

    @property
    def row_bytes(self) -> int:
        """Bytes of the Jacobian of one input."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in self.trained) * self.width

    @functools.cached_property
    def key(self) -> Hashable:
        """What compiled derivatives of this network are found by."""
        if self.program.complete:
            rule = self.program.key
        else:
            derivative = self.trace(_jacobian_row, self.one)
            rule = (derivative.key, programs.contents(derivative.constants))
        return (rule, len(self.trained), len(self.frozen))

    def trace(self, row: Callable[..., Any], *inputs: Any) -> Program:
        """Trace a function of (f, trained, frozen, constants, *inputs), each of `inputs` having one row."""
        program = programs.clipped(self.program.jaxpr)

        def f(trained: Any, frozen: Any, constants: Any, one: Any) -> Any:
            return programs.evaluate(program, constants, [*trained, *frozen, *jax.tree.leaves(one)])[0].reshape(-1)

        arrays = rows.shapes((self.trained, self.frozen, self.program.constants))
        with explained("f cannot be differentiated"):
            return programs.trace(functools.partial(row, f), *arrays, *inputs)


class Code(NamedTuple):
    """A compiled function of blocks of inputs.

    Attributes
    ----------
    run
        Function of (constants, trained, frozen, captured arrays, inputs...).
    constants
        Its first argument.
    bound
        Bytes of everything that is computed for one row.
    largest
        Bytes of the largest array among it.
    needs
        Bytes by shape, as far as they have been asked for.
    """

    run: Any
    constants: tuple[Any, ...]
    bound: int
    largest: int
    needs: dict[Hashable, int]

    def bytes(self, network: Network, budget: int, rows_at_once: int, *inputs: Any) -> int:
        """Return the bytes that a call takes, results included, or more if that is within the budget."""
        if self.bound * rows_at_once <= budget:
            return self.bound * rows_at_once
        key = jax.tree.leaves(jax.tree.map(lambda leaf: leaf.shape, inputs))
        if tuple(key) not in self.needs:
            arrays = (self.constants, network.trained, network.frozen, network.program.constants)
            analysis = self.run.lower(*arrays, *inputs).compile().memory_analysis()
            results = getattr(analysis, "output_size_in_bytes", 0)
            self.needs[tuple(key)] = results + getattr(analysis, "temp_size_in_bytes", results)
        return self.needs[tuple(key)]

    def guesses(self, size: int, budget: int) -> Iterator[int]:
        """Yield smaller and smaller numbers of rows, none of them hopeless; the last is 1."""
        size = max(1, min(size, 4 * budget // max(self.bound, 1)))
        while size > 1:
            yield size
            size //= 2
        yield 1

    def __call__(self, network: Network, *inputs: Any) -> Any:
        """Run it, to the end: two calls at the same time would need twice the memory."""
        arrays = (self.constants, network.trained, network.frozen, network.program.constants)
        return jax.block_until_ready(self.run(*arrays, *inputs))


def single_function(network: Network) -> Callable[..., Any]:
    """Return f as a function of (trained, x, frozen, captured arrays), the same object for the same program."""

    def make() -> Callable[..., Any]:
        program = programs.clipped(programs.opened(network.program))

        def f(trained: Any, inputs: Any, frozen: Any, constants: Any) -> jax.Array:
            def row(one: Any) -> jax.Array:
                flat = [leaf[None] for leaf in jax.tree.leaves(one)]
                return programs.evaluate(program, (), [*constants, *trained, *frozen, *flat])[0][0]

            return jax.vmap(row)(inputs)

        return f

    return programs.kept(("function", network.key), make)


def compiled(network: Network, kind: str, *inputs: Any) -> Code:
    """Return the Jacobians of a block of inputs, ``"jacobian"``, or products of two blocks', ``"products"``.

    ``"traced products"`` are averaged over outputs.
    """
    ones = [rows.shapes(x, 1) for x in inputs]

    def make() -> Code:
        program = network.trace(_jacobian_row if kind == "jacobian" else _product_row, *ones)

        def row(constants: Any, arrays: Any, *inputs: Any) -> list[Any]:
            flat = [leaf[None] for leaf in jax.tree.leaves(inputs)]
            return programs.evaluate(program.jaxpr, constants, [*jax.tree.leaves(arrays), *flat])

        def jacobian(constants: Any, *arrays_and_x: Any) -> tuple[jax.Array, ...]:
            *arrays, x = arrays_and_x
            value, *leaves = jax.vmap(lambda one: row(constants, arrays, one))(x)
            # flat, since an axis of length one between two others costs a copy of the whole
            return (value, *(leaf.reshape(len(leaf), -1) for leaf in leaves))

        def products(constants: Any, *arrays_and_inputs: Any) -> tuple[jax.Array, ...]:
            *arrays, x, x2 = arrays_and_inputs

            def column(other: Any) -> list[Any]:
                return jax.vmap(lambda one: row(constants, arrays, one, other), out_axes=0)(x)

            value, value2, columns = jax.vmap(column, out_axes=1)(x2)
            traced = kind == "traced products"
            block = jnp.einsum("nboo->nb", columns) / columns.shape[-1] if traced else columns
            return value[:, 0], value2[0], block

        bound = SLACK * programs.all_arrays(program.jaxpr)
        run = jax.jit(jacobian if kind == "jacobian" else products)
        return Code(run, program.constants, bound, programs.largest_array(program.jaxpr), {})

    treedefs = tuple(jax.tree.structure(x) for x in inputs)
    return programs.kept((kind, network.key, treedefs), make)


def _jacobian_row(f: Callable[..., Any], trained: Any, frozen: Any, constants: Any, one: Any) -> tuple[jax.Array, ...]:
    """Return the outputs, (outputs,), and their derivatives, (outputs, ...) a parameter."""
    value, pull = jax.vjp(lambda t: f(t, frozen, constants, one), trained)
    return (value, *jax.vmap(pull)(jnp.eye(value.size, dtype=value.dtype))[0])


def _product_row(
    f: Callable[..., Any], trained: Any, frozen: Any, constants: Any, one: Any, other: Any
) -> tuple[jax.Array, ...]:
    """Return the outputs at one input and at another, and J(one) J(other)^T, (outputs, outputs)."""
    value2, pull = jax.vjp(lambda t: f(t, frozen, constants, other), trained)

    def pushed(output: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.jvp(lambda t: f(t, frozen, constants, one), (trained,), pull(output))

    value, columns = jax.vmap(pushed, out_axes=(None, -1))(jnp.eye(value2.size, dtype=value2.dtype))
    return value, value2, columns


def has_gradient(network: Network, x: Any) -> bool:
    """Say whether the Jacobian is other than zero at some input."""
    code = compiled(network, "jacobian", x)
    return any(
        bool(jnp.any(leaf)) for i in range(rows.count(x)) for leaf in code(network, rows.take(x, slice(i, i + 1)))[1:]
    )
