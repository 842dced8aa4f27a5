"""Kernels in blocks of inputs that keep to a memory budget: by Jacobians, and by vector products without any."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Inexact

from ntk1bit.autodiff import programs, rows
from ntk1bit.autodiff.derivatives import Code, Network, compiled
from ntk1bit.errors import InputError

_COPIES = 3  # the first guess: two blocks of Jacobian, and the compiler's working copy of the one being formed


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


def warn_of_budget(method: str, plan: Plan, budget: int, *, stacklevel: int) -> None:
    """Say so if even the smallest block exceeds the budget."""
    if plan.needed > budget:
        warnings.warn(
            f"memory_budget is {budget / 2**20:.1f} MiB, but method {method!r} needs "
            f"{plan.needed / 2**20:.1f} MiB for the smallest block, activations included; it will take that",
            UserWarning,
            stacklevel=stacklevel,
        )


def plan_jacobian(network: Network, x: Any, x2: Any | None, budget: int) -> Plan:
    """Choose how many Jacobians to hold and to form at once; one, if the budget is too small even for that."""
    code = compiled(network, "jacobian", x)
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
    return (
        Plan(code, block, size, formed + 3 * block * row)
        if block > size
        else Plan(code, size, size, formed + size * row)
    )


def by_jacobian(
    network: Network, plan: Plan, x: Any, x2: Any | None, *, trace: bool, progress: Callable[[str, float], None] | None
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Multiply Jacobians block by block; of the kernel of x with itself, only what lies on or below the diagonal."""
    everything = [range(len(network.trained))]
    (kernel,) = by_jacobian_in_parts(network, plan, x, x2, everything, trace=trace, progress=progress)
    return kernel


def by_jacobian_in_parts(
    network: Network,
    plan: Plan,
    x: Any,
    x2: Any | None,
    parts: Sequence[Sequence[int]],
    *,
    trace: bool,
    progress: Callable[[str, float], None] | None = None,
) -> list[Inexact[np.ndarray, "n n2 ..."]]:
    """Return a kernel for each part of the parameters, named by their places, from Jacobians that are formed once.

    What `by_jacobian` returns is the sum over parts that hold each parameter once.
    """
    left = _cut(rows.count(x), plan.rows)
    right = left if x2 is None else _cut(rows.count(x2), plan.rows)
    pairs = [(i, j) for j in right for i in left if x2 is not None or i.start >= j.start]
    kernels = [_empty(network, rows.count(x), rows.count(x if x2 is None else x2), trace) for _ in parts]

    def jacobian(inputs: Any, at: slice) -> tuple[jax.Array, ...]:
        formed: list[list[jax.Array]] = []
        for start in range(at.start, at.stop, plan.part):
            value, *leaves = plan.code(network, rows.take(inputs, slice(start, min(start + plan.part, at.stop))))
            _check_value(value, start)
            formed.append(leaves)
        return tuple(formed[0]) if len(formed) == 1 else tuple(map(jnp.concatenate, zip(*formed, strict=True)))

    held: slice | None = None
    right_block: tuple[jax.Array, ...] = ()
    for done, (i, j) in enumerate(pairs, start=1):
        if held != j:
            right_block = ()  # before the next one is formed: two blocks are all the budget allows
            held, right_block = j, jacobian(x if x2 is None else x2, j)
        left_block = right_block if x2 is None and i == j else jacobian(x, i)
        for kernel, part in zip(kernels, parts, strict=True):
            both = ([block[place] for place in part] for block in (left_block, right_block))
            kernel[i, j] = np.asarray(_contract(*both, -network.width if trace else network.width))
        del left_block
        if progress is not None:
            progress(f"block {done} of {len(pairs)}", done / len(pairs))
    return [_shaped(network, mirrored(kernel) if x2 is None else kernel, trace) for kernel in kernels]


def plan_vector_products(network: Network, x: Any, x2: Any | None, budget: int, *, trace: bool) -> Plan:
    """Choose how many inputs to pull back at once, and through how many others to push them forward."""
    other = x if x2 is None else x2
    code = compiled(network, "traced products" if trace else "products", x, other)
    through = rows.count(x)
    each = _COPIES * (network.row_bytes + network.width * through * programs.largest_array(network.program.jaxpr))
    size = max(1, min(rows.count(other), budget // max(each, 1)))
    needed = 0
    for pulled in code.guesses(size, budget // through):
        inputs = (rows.take(x, slice(through)), rows.take(other, slice(pulled)))
        needed = code.bytes(network, budget, through * pulled, *inputs)
        if needed <= budget:
            return Plan(code, pulled, through, needed)
    for pushed in code.guesses(through, budget):
        needed = code.bytes(network, budget, pushed, rows.take(x, slice(pushed)), rows.take(other, slice(1)))
        if needed <= budget:
            return Plan(code, 1, pushed, needed)
    return Plan(code, 1, 1, needed)


def by_vector_products(
    network: Network, plan: Plan, x: Any, x2: Any | None, *, trace: bool, progress: Callable[[str, float], None] | None
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
        if progress is not None:
            progress(f"block {done} of {len(pairs)}", done / len(pairs))
    return _shaped(network, mirrored(kernel) if x2 is None else kernel, trace)


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
