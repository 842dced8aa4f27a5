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
from ntk1bit.autodiff.row_gradients import Part, Parts, held_bytes, inner_products, row_gradients
from ntk1bit.errors import InputError

_COPIES = 3  # the first guess: pulled-back vectors, those pushed forward, and the compiler's working copy
_BLOCK = 128  # inputs whose gradients are multiplied at once: enough for products of matrices to run at full speed
_LEAST = 32  # inputs whose gradients are multiplied at once, if they must be put together from parts
_SMALL = 64 << 20  # bytes of gradients that are multiplied at once in any case
_HELD = 0.75  # of the budget, at the most, for gradients that are held; the rest is for those being formed


class Plan(NamedTuple):
    """How a kernel is cut up.

    Attributes
    ----------
    code
        What is run.
    rows
        Inputs whose gradients are held, or that are pulled back, at once.
    part
        Inputs whose gradients are formed at once; or through which one call pushes forward.
    needed
        Bytes at the most, parameters, inputs and the kernel itself not counted.
    outputs
        Of how many outputs gradients are held at once.
    block
        Inputs whose gradients lie in one array.
    """

    code: Code
    rows: int
    part: int
    needed: int
    outputs: int = 0
    block: int = 0


def warn_of_budget(method: str, plan: Plan, budget: int, *, stacklevel: int) -> None:
    """Say so if even the smallest block exceeds the budget."""
    if plan.needed > budget:
        warnings.warn(
            f"memory_budget is {budget / 2**20:.1f} MiB, but method {method!r} needs "
            f"{plan.needed / 2**20:.1f} MiB for the smallest block, activations included; it will take that",
            UserWarning,
            stacklevel=stacklevel,
        )


def plan_jacobian(network: Network, x: Any, x2: Any | None, budget: int, *, trace: bool, factors: bool = True) -> Plan:
    """Choose how many gradients to hold and to form at once; one, if the budget is too small even for that.

    Of a kernel that is a mean over outputs, gradients of fewer outputs are held rather than of fewer inputs: where not
    all inputs are held, most gradients are formed several times, and another output costs only one more pass forwards.
    """
    code = row_gradients(network, x, trace=trace, factors=factors)
    side = x if x2 is None else x2
    whole, passes = rows.count(side), 1

    def size(passes: int) -> tuple[int, int]:
        outputs = -(-network.width // passes)
        return outputs, max(1, held_bytes(network, code, x, outputs))

    outputs, row = size(passes)
    while trace and outputs > 1 and whole * row > _HELD * budget:
        passes = min(2 * passes, network.width)
        outputs, row = size(passes)
    directions = _directions(network, outputs, 0)
    block, part, formed = min(whole, max(_BLOCK, _SMALL // row)), 1, 0
    for part in code.guesses(block, budget):
        formed = code.bytes(network, budget, part, rows.take(side, slice(part)), directions)
        if whole * row + formed <= budget or formed <= (1 - _HELD) * budget:
            break
    together = min(block, (budget - formed) // (4 * row))
    if part >= min(block, _LEAST) or together <= part:
        block, beside = part, formed
    else:  # put together from parts
        block, beside = together, formed + 2 * together * row
    held = max(1, (budget - beside) // row)
    held = whole if held >= whole else max(block, held // block * block)
    return Plan(code, held, part, beside + held * row, outputs, block)


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
    side = x if x2 is None else x2
    panels = [_cut(panel, plan.block) for panel in _cut(slice(0, rows.count(side)), plan.rows)]
    streamed = _cut(slice(0, rows.count(x)), plan.block)
    kernels = [_empty(network, rows.count(x), rows.count(side), trace) for _ in parts]

    def gradients(inputs: Any, at: slice, directions: jax.Array) -> Parts:
        formed: list[Parts] = []
        for some in _cut(at, plan.part):
            value, found = plan.code(network, rows.take(inputs, some), directions)
            _check_value(value, some.start)
            formed.append(found)
        return formed[0] if len(formed) == 1 else jax.tree.map(lambda *ones: jnp.concatenate(ones), *formed)

    def multiply(i: slice, left: Parts, j: slice, right: Parts) -> None:
        for kernel, part in zip(kernels, parts, strict=True):
            both = (tuple(one for place in part for one in block[place]) for block in (left, right))
            kernel[i, j] += np.asarray(_contract(*both, plan.outputs, trace))

    starts = range(0, network.width, plan.outputs)
    steps = [
        (start, panel, [i for i in streamed if x2 is not None or i.start >= panel[-1].stop])
        for start in starts
        for panel in panels
    ]
    total, done = sum(len(panel) + len(others) for _, panel, others in steps), 0

    def told() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(f"block {done} of {total}", done / total)

    for start, panel, others in steps:
        directions = _directions(network, plan.outputs, start)
        held: list[tuple[slice, Parts]] = []
        for j in panel:
            held.append((j, gradients(side, j, directions)))
            for earlier, right in held if x2 is None else ():
                multiply(j, held[-1][1], earlier, right)
            told()
        for i in others:
            left = gradients(x, i, directions)
            for j, right in held:
                multiply(i, left, j, right)
            told()
    for kernel in kernels if trace else ():
        kernel /= network.width
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
        for j in _cut(slice(0, rows.count(other)), plan.rows)
        for i in _cut(slice(0, rows.count(x)), plan.part)
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
    for k in _cut(slice(0, len(kernel)), 256):
        block = kernel[k, k]
        below = np.tri(len(block), dtype=bool).reshape(len(block), len(block), *(1,) * (block.ndim - 2))
        kernel[k, k] = np.where(below, block, _transposed(block))
        kernel[k, k.stop :] = _transposed(kernel[k.stop :, k])
    if kernel.ndim > 2:
        at = np.arange(len(kernel))
        kernel[at, at] = (kernel[at, at] + kernel[at, at].swapaxes(1, 2)) / 2
    return kernel


@functools.partial(jax.jit, static_argnums=(2, 3))
def _contract(left: tuple[Part, ...], right: tuple[Part, ...], outputs: int, trace: bool) -> jax.Array:
    return inner_products(left, right, outputs, trace=trace) if left else jnp.zeros(())


def _directions(network: Network, outputs: int, start: int) -> jax.Array:
    """Return the unit vectors of so many outputs from one on, and zeros beyond the last."""
    return jnp.eye(outputs, network.width, start, dtype=network.program.jaxpr.outvars[0].aval.dtype)


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


def _cut(whole: slice, size: int) -> list[slice]:
    return [slice(start, min(start + size, whole.stop)) for start in range(whole.start, whole.stop, size)]
