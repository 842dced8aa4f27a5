"""Products with the Jacobian of a network at many inputs, J u and J^T v, in blocks that keep to a memory budget.

No Jacobian exists at any time: J u pushes a direction in parameter space forward through a block of inputs (`jax.jvp`),
and J^T v pulls weights on outputs back through it (`jax.vjp`); what is pulled back is summed over blocks. Several
vectors go together, as many as fit.

A function with a `jax.custom_vjp` has no forward mode. What its rule pulls back is linear in the weights, though, and
the transpose of that linear map is J u: two backward passes in place of a forward one (`Products.forward` is false).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Inexact

from ntk1bit.autodiff import programs, rows
from ntk1bit.autodiff.derivatives import Code, Network, single_function
from ntk1bit.autodiff.explanations import explained
from ntk1bit.errors import InputError

_KEPT_DIRECTIONS = 3  # parameter-shaped vectors for each one pulled back: the sum, what is added to it, and their sum
Directions = tuple[jax.Array, ...]  # (vectors, ...) a parameter


class Blocks(NamedTuple):
    """How products are cut up: vectors that go together, inputs of a block, and the bytes that this takes at most."""

    vectors: int
    inputs: int
    needed: int


class Products:
    """Products with the Jacobian of one network at one set of inputs.

    Parameters
    ----------
    network, inputs
        As `ntk1bit.autodiff.examination.examine` returns them.
    budget
        Bytes for vectors of parameters and activations together, by the compiler's account; parameters, inputs,
        what goes in and what comes out lie beside them.

    Attributes
    ----------
    forward
        Whether J u is a forward pass; if not, f uses `jax.custom_vjp`, and it is the transpose of J^T v.
    """

    def __init__(self, network: Network, inputs: Any, budget: int) -> None:
        self.network, self.inputs, self.budget = network, inputs, budget
        self.count = rows.count(inputs)
        self.forward = _has_forward_mode(network)
        self._push, self._pull = (_compiled(network, kind, self.forward) for kind in ("push", "pull"))
        self._planned: dict[int, Blocks] = {}

    @property
    def vector_bytes(self) -> int:
        """Bytes of one vector of parameters."""
        return self.network.row_bytes // self.network.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype in which products are computed."""
        return np.dtype(jnp.result_type(*self.network.trained))

    def say_if_reversed(self, stacklevel: int) -> None:
        """Tell the caller, `stacklevel` frames above, that there is no forward mode."""
        if not self.forward:
            warnings.warn(
                "f uses jax.custom_vjp, which has no forward mode: J u is computed by transposing the pull-back, with "
                "two backward passes in place of a forward one",
                UserWarning,
                stacklevel=stacklevel + 1,
            )

    def plan(self, vectors: int) -> Blocks:
        """Choose how many of so many vectors go together, and through how many inputs at once."""
        if vectors not in self._planned:
            self._planned[vectors] = self._plan(vectors)
        return self._planned[vectors]

    def blocks(self, size: int) -> Iterator[slice]:
        """Yield the blocks of inputs."""
        for start in range(0, self.count, size):
            yield slice(start, min(start + size, self.count))

    def push(self, directions: Directions, block: slice) -> Inexact[np.ndarray, "vectors block outputs"]:
        """Return J u at a block of inputs, for directions (vectors, ...) a parameter."""
        return np.asarray(self._push(self.network, rows.take(self.inputs, block), directions))

    def pull(
        self, weights: Callable[[slice], Inexact[np.ndarray, "vectors block outputs"]], blocks: Blocks
    ) -> Directions:
        """Return J^T v over all inputs, (vectors, ...) a parameter; `weights(block)` are the weights on its outputs."""
        total: Directions | None = None
        for block in self.blocks(blocks.inputs):
            given = jnp.asarray(weights(block), self.dtype)
            pulled = self._pull(self.network, rows.take(self.inputs, block), given)
            total = pulled if total is None else jax.block_until_ready(_added(total, pulled))
        assert total is not None  # there is at least one input
        return total

    def apply(
        self, weights: Callable[[slice], Inexact[np.ndarray, "vectors block outputs"]], blocks: Blocks
    ) -> Iterator[tuple[slice, Inexact[np.ndarray, "vectors block outputs"]]]:
        """Yield J (J^T v) block by block, for no more vectors than `plan` lets go together."""
        directions = self.pull(weights, blocks)
        for block in self.blocks(blocks.inputs):
            yield block, self.push(directions, block)

    def operations(self) -> float:
        """Return the floating-point operations of J u for one vector and one input, by the compiler's count."""
        arrays = (self.network.trained, self.network.frozen, self.network.program.constants)
        one = rows.take(self.inputs, slice(1))
        directions = tuple(jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype) for leaf in self.network.trained)
        counted = self._push.run.lower((), *arrays, one, directions).cost_analysis() or {}
        return float(counted.get("flops", 0.0))

    def _plan(self, vectors: int) -> Blocks:
        each = _KEPT_DIRECTIONS * self.vector_bytes
        together = max(1, min(vectors, self.budget // (2 * each)))
        while True:
            kept, needed = together * each, 0
            for size in self._push.guesses(self.count, max(self.budget - kept, 1) // together):
                needed = kept + self._needs(together, size)
                if needed <= self.budget or (size == 1 and together == 1):
                    return self._told(Blocks(together, size, needed))
            together = max(1, together // 2)

    def _needs(self, vectors: int, size: int) -> int:
        block = rows.take(self.inputs, slice(size))
        directions = tuple(jax.ShapeDtypeStruct((vectors, *leaf.shape), leaf.dtype) for leaf in self.network.trained)
        weights = jax.ShapeDtypeStruct((vectors, size, self.network.width), self.dtype)
        return max(
            self._push.bytes(self.network, self.budget, vectors * size, block, directions),
            self._pull.bytes(self.network, self.budget, vectors * size, block, weights),
        )

    def _told(self, blocks: Blocks) -> Blocks:
        if blocks.needed > self.budget:
            warnings.warn(
                f"memory_budget is {self.budget / 2**20:.1f} MiB, but one vector of parameters through one input needs "
                f"{blocks.needed / 2**20:.1f} MiB; it will take that",
                UserWarning,
                stacklevel=2,
            )
        return blocks


def _has_forward_mode(network: Network) -> bool:
    """Say whether f can be pushed forward, by tracing that for one direction."""
    push = _compiled(network, "push", forward=True)
    arrays = rows.shapes((network.trained, network.frozen, network.program.constants, network.one))
    directions = tuple(jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype) for leaf in network.trained)
    try:
        with explained("f cannot be differentiated"):
            jax.eval_shape(push.run, (), *arrays, directions)
    except InputError as error:
        if "custom_vjp" not in str(error):
            raise
        return False
    return True


def _pushed_row(f: Callable[..., Any], trained: Any, frozen: Any, constants: Any, one: Any) -> jax.Array:
    return jax.jvp(lambda t: f(t, frozen, constants, one), (trained,), (trained,))[1]


def _pulled_row(f: Callable[..., Any], trained: Any, frozen: Any, constants: Any, one: Any) -> Any:
    value, pull = jax.vjp(lambda t: f(t, frozen, constants, one), trained)
    return pull(value)


def _compiled(network: Network, kind: str, forward: bool) -> Code:
    """Return ``"push"``, J u of a block, or ``"pull"``, J^T v, for several vectors at once."""

    def make() -> Code:
        single = single_function(network)

        def batch(arrays: Any, x: Any) -> Callable[[Any], jax.Array]:
            return lambda t: single(t, x, *arrays).reshape(rows.count(x), -1)

        def pull(_: Any, trained: Any, frozen: Any, constants: Any, x: Any, weights: jax.Array) -> Any:
            _, back = jax.vjp(batch((frozen, constants), x), trained)
            return jax.vmap(back)(weights)[0]

        def push(_: Any, trained: Any, frozen: Any, constants: Any, x: Any, directions: Any) -> jax.Array:
            f = batch((frozen, constants), x)
            if forward:
                return jax.vmap(lambda u: jax.jvp(f, (trained,), (u,))[1])(directions)
            value, back = jax.vjp(f, trained)
            transposed = jax.vjp(lambda v: back(v)[0], jnp.zeros_like(value))[1]
            return jax.vmap(transposed)(directions)[0]

        row = network.trace(_pushed_row if kind == "push" and forward else _pulled_row, network.one)
        bound = 2 * programs.all_arrays(row.jaxpr)  # twice, for transposed copies
        return Code(jax.jit(push if kind == "push" else pull), (), bound, programs.largest_array(row.jaxpr), {})

    with explained("f cannot be differentiated"):
        return programs.kept((kind, network.key, jax.tree.structure(network.one), forward), make)


@jax.jit
def _added(total: Any, more: Any) -> Any:
    return jax.tree.map(jnp.add, total, more)
