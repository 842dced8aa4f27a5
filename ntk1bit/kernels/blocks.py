"""Kernels in blocks of inputs that keep to a memory budget: by Jacobians, and by vector products without any.

What a block needs is asked of the compiler, which knows the activations that are alive at the same time, inside scans
and checkpoints too; it is not asked where everything the program ever computes would fit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Inexact

from ntk1bit.errors import InputError
from ntk1bit.kernels import programs, rows
from ntk1bit.kernels.programs import Program

_COPIES = 3  # the first guess: two blocks of Jacobian, and the compiler's working copy of the one being formed
_SLACK = 2  # transposed copies, which the compiler makes beside the arrays of the program


class Network(NamedTuple):
    """A function of one input at its parameters.

    Attributes
    ----------
    program
        f(trained, frozen, x) for one row x, (1, ...), traced.
    trained, frozen
        Its parameters.
    outputs
        The shape of one output, () or (outputs,).
    """

    program: Program
    trained: tuple[jax.Array, ...]
    frozen: tuple[jax.Array, ...]
    outputs: tuple[int, ...]

    @property
    def width(self) -> int:
        """Number of outputs per input."""
        return int(np.prod(self.outputs))

    @property
    def row_bytes(self) -> int:
        """Bytes of the Jacobian of one input."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in self.trained) * self.width

    def key(self, x: Any) -> Hashable:
        """Return what compiled derivatives of this network are found by."""
        if self.program.complete:
            rule = self.program.key
        else:
            derivative = self.trace(_jacobian_row, rows.shapes(x, 1))
            rule = (derivative.key, programs.contents(derivative.constants))
        return (rule, len(self.trained), len(self.frozen))

    def trace(self, row: Callable[..., Any], *inputs: Any) -> Program:
        """Trace a function of (f, trained, frozen, constants, *inputs), each of `inputs` having one row."""
        program = programs.clipped(self.program.jaxpr)

        def f(trained: Any, frozen: Any, constants: Any, one: Any) -> Any:
            return programs.evaluate(program, constants, [*trained, *frozen, *jax.tree.leaves(one)])[0].reshape(-1)

        arrays = rows.shapes((self.trained, self.frozen, self.program.constants))
        with programs.explained("f cannot be differentiated"):
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


class Plan(NamedTuple):
    """How a kernel is cut up.

    Attributes
    ----------
    code
        What is run.
    rows
        Inputs whose Jacobians are held, or that are pulled back, at once.
    part
        Inputs of a block whose Jacobians are formed at once; or through which one call pushes forward.
    needed
        Bytes at the most, parameters, inputs and the kernel itself not counted.
    """

    code: Code
    rows: int
    part: int
    needed: int


def plan_jacobian(network: Network, x: Any, x2: Any | None, budget: int) -> Plan:
    """Choose how many Jacobians to hold and to form at once; one, if the budget is too small even for that."""
    code = _code(network, "jacobian", x)
    longer = x if x2 is None or rows.count(x) >= rows.count(x2) else x2
    whole, row = rows.count(longer), network.row_bytes
    single = x2 is None and (_COPIES - 1) * whole * row <= budget
    size = whole if single else max(1, min(whole, budget // (_COPIES * row)))
    formed = 0
    for part in code.guesses(size, budget):
        formed = code.bytes(network, budget, part, rows.take(longer, slice(part)))
        if part == size and formed + (0 if single else size * row) <= budget:
            return Plan(code, size, size, formed + (0 if single else size * row))
        if part == 1 or formed <= budget / 2:
            size = part
            break
    left = budget - formed  # for blocks that are put together from parts: one copy more
    if x2 is None and 2 * whole * row <= left:
        return Plan(code, whole, size, formed + 2 * whole * row)
    block = left // (3 * row)
    return Plan(code, block, size, formed + 3 * block * row) if block > size else Plan(code, size, size, formed + size * row)


def by_jacobian(
    network: Network, plan: Plan, x: Any, x2: Any | None, *, trace: bool, progress: Callable[[int, int], None]
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Multiply Jacobians block by block; of the kernel of x with itself, only what lies on or below the diagonal."""
    left = _cut(rows.count(x), plan.rows)
    right = left if x2 is None else _cut(rows.count(x2), plan.rows)
    pairs = [(i, j) for j in right for i in left if x2 is not None or i.start >= j.start]
    kernel = _empty(network, rows.count(x), rows.count(x if x2 is None else x2), trace)

    def jacobian(inputs: Any, at: slice) -> tuple[jax.Array, ...]:
        parts = []
        for start in range(at.start, at.stop, plan.part):
            value, *leaves = plan.code(network, rows.take(inputs, slice(start, min(start + plan.part, at.stop))))
            _check_value(value, start)
            parts.append(leaves)
        return tuple(jnp.concatenate(leaf) if len(leaf) > 1 else leaf[0] for leaf in zip(*parts, strict=True))

    held, right_block = None, ()
    for done, (i, j) in enumerate(pairs, start=1):
        if held != j:
            right_block = ()  # before the next one is formed: two blocks are all the budget allows
            held, right_block = j, jacobian(x if x2 is None else x2, j)
        left_block = right_block if x2 is None and i == j else jacobian(x, i)
        kernel[i, j] = np.asarray(_contract(left_block, right_block, -network.width if trace else network.width))
        del left_block
        progress(done, len(pairs))
    return _shaped(network, mirrored(kernel) if x2 is None else kernel, trace)


def plan_vector_products(network: Network, x: Any, x2: Any | None, budget: int, *, trace: bool) -> Plan:
    """Choose how many inputs to pull back at once, and through how many others to push them forward."""
    other = x if x2 is None else x2
    code = _code(network, "traced products" if trace else "products", x, other)
    through = rows.count(x)
    each = _COPIES * (network.row_bytes + network.width * through * programs.largest_array(network.program.jaxpr))
    size = max(1, min(rows.count(other), budget // max(each, 1)))
    needed = 0
    for size in code.guesses(size, budget // through):
        needed = code.bytes(network, budget, through * size, rows.take(x, slice(through)), rows.take(other, slice(size)))
        if needed <= budget:
            return Plan(code, size, through, needed)
    for through in code.guesses(through, budget):
        needed = code.bytes(network, budget, through, rows.take(x, slice(through)), rows.take(other, slice(1)))
        if needed <= budget:
            return Plan(code, 1, through, needed)
    return Plan(code, 1, 1, needed)


def by_vector_products(
    network: Network, plan: Plan, x: Any, x2: Any | None, *, trace: bool, progress: Callable[[int, int], None]
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Pull back each output of each x2 and push it forward through x."""
    other = x if x2 is None else x2
    kernel = _empty(network, rows.count(x), rows.count(other), trace)
    pairs = [
        (i, j)
        for j in _cut(rows.count(other), plan.rows)
        for i in _cut(rows.count(x), plan.part)
        if x2 is not None or i.stop > j.start
    ]
    for done, (i, j) in enumerate(pairs, start=1):
        value, value2, block = plan.code(network, rows.take(x, i), rows.take(other, j))
        _check_value(value, i.start)
        _check_value(value2, j.start)
        kernel[i, j] = np.asarray(block)
        progress(done, len(pairs))
    return _shaped(network, mirrored(kernel) if x2 is None else kernel, trace)


def has_gradient(network: Network, x: Any) -> bool:
    """Say whether the Jacobian is other than zero at some input."""
    code = _code(network, "jacobian", x)
    return any(
        bool(jnp.any(leaf))
        for i in range(rows.count(x))
        for leaf in code(network, rows.take(x, slice(i, i + 1)))[1:]
    )


def mirrored(kernel: Inexact[np.ndarray, "n n ..."]) -> Inexact[np.ndarray, "n n ..."]:
    """Make the kernel of x with itself symmetric in place, by what stands below its diagonal.

    Rounding differs between the two ways of multiplying a pair of Jacobians, and by more between the two ways of
    pulling one of a pair back and pushing it forward through the other.
    """
    for k in _cut(len(kernel), 256):
        block = kernel[k, k]
        below = np.tri(len(block), dtype=bool).reshape(len(block), len(block), *(1,) * (block.ndim - 2))
        kernel[k, k] = np.where(below, block, _transposed(block))
        kernel[k, k.stop :] = _transposed(kernel[k.stop :, k])
    if kernel.ndim > 2:
        at = np.arange(len(kernel))
        kernel[at, at] = (kernel[at, at] + kernel[at, at].swapaxes(1, 2)) / 2
    return kernel


def single_function(network: Network, x: Any) -> Callable[..., Any]:
    """Return f as a function of (trained, x, frozen, captured arrays), the same object for the same program."""

    def make() -> Callable[..., Any]:
        program = programs.clipped(network.program.jaxpr)

        def f(trained: Any, inputs: jax.Array, frozen: Any, constants: Any) -> jax.Array:
            def row(one: jax.Array) -> jax.Array:
                return programs.evaluate(program, constants, [*trained, *frozen, one[None]])[0][0]

            return jax.vmap(row)(inputs)

        return f

    return programs.kept(("function", network.key(x)), make)


def _code(network: Network, kind: str, *inputs: Any) -> Code:
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

        bound = _SLACK * programs.all_arrays(program.jaxpr)
        run = jax.jit(jacobian if kind == "jacobian" else products)
        return Code(run, program.constants, bound, programs.largest_array(program.jaxpr), {})

    treedefs = tuple(jax.tree.structure(x) for x in inputs)
    return programs.kept((kind, network.key(inputs[0]), treedefs), make)


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


@functools.partial(jax.jit, static_argnums=2)
def _contract(left: Any, right: Any, width: int) -> jax.Array:
    """Return J J'^T of Jacobians (b, outputs * size) a parameter.

    (b, b2, outputs, outputs); or, if `width` is negative, (b, b2), averaged over as many outputs.
    """
    pairs = list(zip(left, right, strict=True))
    with jax.default_matmul_precision("highest"):
        if width < 0:
            return functools.reduce(jnp.add, [a @ b.T for a, b in pairs]) / -width
        split = [(a.reshape(len(a), width, -1), b.reshape(len(b), width, -1)) for a, b in pairs]
        return functools.reduce(jnp.add, [jnp.einsum("iop,jqp->ijoq", a, b) for a, b in split])


def _check_value(value: jax.Array, start: int) -> None:
    wrong = np.isnan(np.asarray(value)).any(axis=1)
    if wrong.any():
        raise InputError(
            f"f(params, x) is NaN at input {start + int(wrong.argmax())}; check the parameters, f, and (in jnp.take) "
            "indices beyond a table"
        )


def _empty(network: Network, n: int, n2: int, trace: bool) -> np.ndarray:
    dtype = np.dtype(jnp.result_type(*network.trained))
    return np.zeros((n, n2) if trace else (n, n2, network.width, network.width), dtype=dtype)


def _shaped(network: Network, kernel: np.ndarray, trace: bool) -> np.ndarray:
    return kernel if trace else kernel.reshape(*kernel.shape[:2], *network.outputs, *network.outputs)


def _transposed(block: Any) -> Any:
    return block.T if block.ndim == 2 else block.transpose(1, 0, 3, 2)


def _cut(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]
