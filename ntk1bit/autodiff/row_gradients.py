"""Gradients of a network's outputs, input by input, each held in the form that takes least to multiply.

The gradient by a weight that is used in a product z = h V is sum_t h_t delta_t^T over positions t (`weight_uses`). Two
such gradients have the inner product

    <G, G'> = sum_t,s <h_t, h'_s> <delta_t, delta'_s>,

which takes T^2 (fan_in + fan_out) operations in place of fan_in fan_out, and T (fan_in + fan_out) numbers a gradient:
less for one position (a dense layer), far more for the thousand of an image. Whichever is less is taken, weight by
weight; rows of a table that are looked up are compared by their numbers. All other gradients are matrices, of
convolutions from their windows and one product for all outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ntk1bit.autodiff import programs, rows
from ntk1bit.autodiff.derivatives import SLACK, Code, Network
from ntk1bit.autodiff.equations import as_function
from ntk1bit.autodiff.explanations import explained
from ntk1bit.autodiff.weight_uses import SplitNetwork, Use, split

_WORTH = 2  # how many times fewer operations products of factors must take: products of matrices run faster
_PAIRS = 1 << 24  # numbers that products of factors take at a time


class Factors(NamedTuple):
    """Gradients sum_t h_t delta_t^T of several inputs.

    Attributes
    ----------
    rows
        (b, positions, fan_in); or the numbers of rows of a table, (b, positions).
    signals
        (b, outputs, positions, fan_out).
    """

    rows: jax.Array
    signals: jax.Array


Part = jax.Array | Factors  # of an array of parameters: (b, outputs * size), or factors
Parts = tuple[tuple[Part, ...], ...]  # a tuple for each array of parameters: its gradient is made of these


def row_gradients(network: Network, x: Any, *, trace: bool, factors: bool = True) -> Code:
    """Return compiled gradients of a block of inputs.

    Parameters
    ----------
    network, x
        As for `derivatives.compiled`.
    trace
        Whether only the mean over outputs is asked for: then more weights are worth having in factors.
    factors
        Whether any are held in factors; if not, all are matrices as JAX forms them.

    Returns
    -------
    Code that is called with inputs and an array (outputs, all outputs) of directions in the space of outputs, and
    returns the outputs, (b, all outputs), and `Parts`.
    """
    treedef = jax.tree.structure(x)

    def make() -> Code:
        form = _Form.of(network, trace=trace, factors=factors)

        def run(_: Any, trained: Any, frozen: Any, constants: Any, inputs: Any, directions: Any) -> Any:
            prepared = form.prepare(constants, trained, frozen)
            return jax.vmap(lambda one: form.row(prepared, one, directions))(inputs)

        one = rows.shapes(x, 1)
        shapes = (*rows.shapes((network.trained, network.frozen, network.program.constants)), one)
        direction = jax.ShapeDtypeStruct((network.width, network.width), network.program.jaxpr.outvars[0].aval.dtype)
        row = jax.make_jaxpr(run)((), *shapes, direction)
        bound = SLACK * programs.all_arrays(row.jaxpr)
        return Code(jax.jit(run), (), bound, programs.largest_array(row.jaxpr), {})

    with explained("f cannot be differentiated"):
        return programs.kept(("gradients by row", network.key, treedef, trace, factors), make)


def held_bytes(network: Network, code: Code, x: Any, outputs: int) -> int:
    """Return the bytes of the gradients of one input's outputs, so many of them, as they are held."""
    key = ("held", outputs)
    if key not in code.needs:
        arrays = rows.shapes((network.trained, network.frozen, network.program.constants))
        dtype = network.program.jaxpr.outvars[0].aval.dtype
        directions = jax.ShapeDtypeStruct((outputs, network.width), dtype)
        _, parts = jax.eval_shape(code.run, (), *arrays, rows.shapes(x, 1), directions)
        code.needs[key] = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(parts))
    return code.needs[key]


def held_forms(network: Network, *, trace: bool) -> tuple[str, ...]:
    """Say for each array of parameters in which form its gradients are held: ``"factors"`` or ``"matrix"``."""
    form = _Form.of(network, trace=trace, factors=True)
    return tuple(
        "factors" if origin.kept_apart and any(place in form.factored for place in origin.pieces) else "matrix"
        for origin in form.split.origins
    )


class _Form(NamedTuple):
    """A network's split, and how the gradient of each weight is formed.

    Attributes
    ----------
    split
        The network.
    factored
        Places of weights whose gradients are held in factors.
    by_hand
        Places of weights whose matrices are formed from factors.
    """

    split: SplitNetwork
    factored: frozenset[int]
    by_hand: frozenset[int]

    @classmethod
    def of(cls, network: Network, *, trace: bool, factors: bool) -> _Form:
        jaxpr = programs.clipped(programs.opened(network.program))
        inputs = len(jax.tree.leaves(network.one))
        counts = (len(network.program.constants), len(network.trained), len(network.frozen), inputs)
        found = split(jaxpr, counts, unroll=factors)
        pulled = {place for origin in found.origins if not origin.kept_apart for place in origin.pieces}
        used = {place: uses for place, uses in enumerate(found.uses) if uses and factors}
        factored = {
            place
            for place, uses in used.items()
            if place not in pulled
            and is_worth_it(sum(use.positions for use in uses), uses[0].form, network.width, trace=trace)
        }
        by_hand = {place for place, uses in used.items() if uses[0].windows and place not in factored}
        return cls(found, frozenset(factored), frozenset(by_hand))

    def prepare(self, constants: Any, trained: Any, frozen: Any) -> _Prepared:
        """Compute what does not depend on the input."""
        pulled = tuple(place for place, origin in enumerate(self.split.origins) if not origin.kept_apart)

        def weights(some: Any) -> Any:
            every = list(trained)
            for place, array in zip(pulled, some, strict=True):
                every[place] = array
            return self.split.prepare(constants, every, frozen)

        found, pull, others = jax.vjp(weights, [trained[place] for place in pulled], has_aux=True)
        scales: dict[tuple[int, int], jax.Array] = {}
        for place, origin in enumerate(self.split.origins):
            if origin.kept_apart and origin.scaled:
                _, back = jax.vjp(
                    lambda one, place=place: self.split.prepare(
                        constants, [*trained[:place], one, *trained[place + 1 :]], frozen
                    )[0],
                    trained[place],
                )
                for piece in origin.pieces:
                    ones = [jnp.ones_like(v) if at == piece else jnp.zeros_like(v) for at, v in enumerate(found)]
                    scales[place, piece] = jnp.abs(back(ones)[0]).max()
        return _Prepared(found, others, pull, pulled, scales)

    def row(self, prepared: _Prepared, one: Any, directions: jax.Array) -> tuple[jax.Array, Parts]:
        """Return the outputs at one input and their gradients, without an axis for inputs."""
        row = [leaf[None] for leaf in jax.tree.leaves(one)]
        by_equation: dict[int, list[tuple[int, Use]]] = {}
        for place in sorted(self.factored | self.by_hand):
            for use in self.split.uses[place]:
                by_equation.setdefault(id(use.equation), []).append((place, use))
        plain = [place for place in range(len(prepared.weights)) if place not in self.factored | self.by_hand]

        def outputs(moved: Any, nudges: Any) -> Any:
            weights = list(prepared.weights)
            for place, array in zip(plain, moved, strict=True):
                weights[place] = array
            operands_of: dict[int, list[Any]] = {}

            def apply(equation: Any, operands: list[Any]) -> list[Any]:
                results = as_function(equation)(*operands)
                if id(equation) in by_equation:
                    operands_of[id(equation)] = operands
                    results = [results[0] + nudges[id(equation)]]
                return results

            value = self.split.finish(weights, prepared.others, row, apply)
            return jnp.asarray(value).reshape(-1), operands_of

        shapes = {key: used[0][1].equation.outvars[0].aval for key, used in by_equation.items()}
        nudges = {key: jnp.zeros(aval.shape, aval.dtype) for key, aval in shapes.items()}
        moved = [prepared.weights[place] for place in plain]
        value, pull, held = jax.vjp(outputs, moved, nudges, has_aux=True)
        by_weight, by_result = jax.vmap(pull)(directions)
        found: dict[int, Any] = dict(zip(plain, by_weight, strict=True))
        for place in sorted(self.factored | self.by_hand):
            pairs = [
                (use.rows(held[id(use.equation)]), self._signals(use, by_result, held))
                for use in self.split.uses[place]
            ]
            inputs, signals = (
                jnp.concatenate(ones, axis) for ones, axis in zip(zip(*pairs, strict=True), (0, 1), strict=True)
            )
            found[place] = Factors(inputs, signals)
            if place in self.by_hand:
                found[place] = _matrices(self.split.uses[place][0], found[place], prepared.weights[place].shape)
        return value, self._by_array(prepared, found)

    def _signals(self, use: Use, by_result: Any, held: Any) -> jax.Array:
        key = id(use.equation)
        return jax.vmap(lambda given: use.signals(given, held[key]))(by_result[key])

    def _by_array(self, prepared: _Prepared, found: dict[int, Any]) -> Parts:
        """Return the parts of each trained array's gradient, of what was found for each weight."""
        whole: dict[int, Any] = {}
        if prepared.pulled:
            needed = {place for array in prepared.pulled for place in self.split.origins[array].pieces}

            def pulled(some: Any) -> Any:
                full = [some.get(at, jnp.zeros_like(weight)) for at, weight in enumerate(prepared.weights)]
                return prepared.pull(full)[0]

            arrays = jax.vmap(pulled)({place: found[place] for place in sorted(needed)})
            whole = dict(zip(prepared.pulled, arrays, strict=True))
        parts = []
        for place, origin in enumerate(self.split.origins):
            if place in whole:
                parts.append((whole[place].reshape(-1),))
            elif not origin.pieces:
                parts.append(())
            else:
                parts.append(tuple(_scaled(found[at], prepared.scales.get((place, at))) for at in origin.pieces))
        return tuple(parts)


class _Prepared(NamedTuple):
    """What does not depend on the input: weights, other values, and how gradients get back to arrays."""

    weights: list[Any]
    others: list[Any]
    pull: Any
    pulled: tuple[int, ...]
    scales: dict[tuple[int, int], jax.Array]


def is_worth_it(positions: int, form: tuple[int, int, bool], outputs: int, *, trace: bool) -> bool:
    """Whether inner products of gradients take fewer operations by factors, and factors hold no more numbers.

    Parameters
    ----------
    positions
        Of all uses of a weight together.
    form
        `Use.form`: length of a row h and of a row of the result; whether rows of a table are looked up.
    outputs, trace
        How many outputs there are, and whether only the mean over them is asked for.
    """
    fan_in, fan_out, lookup = form
    compared = 1 if lookup else fan_in
    size = fan_in * fan_out
    if positions == 1:
        return compared + fan_out < size
    if not trace and outputs > 1:
        return False
    fewer = _WORTH * positions**2 * (compared + outputs * fan_out) < outputs * size
    return fewer and positions * (compared + outputs * fan_out) < outputs * size


def _matrices(use: Use, factors: Factors, shape: Sequence[int]) -> jax.Array:
    """Return gradients (outputs, ...) of the shape of a weight, by one product for all outputs."""
    outputs, positions, fan_out = factors.signals.shape
    side = jnp.moveaxis(factors.signals, 0, 1).reshape(positions, outputs * fan_out)
    product = jnp.matmul(factors.rows.T, side, precision="highest")
    by_output = jnp.moveaxis(product.reshape(-1, outputs, fan_out), 1, 0)
    return jax.vmap(lambda one: use.gradient(one, shape))(by_output)


def _scaled(part: Any, scale: jax.Array | None) -> Any:
    if isinstance(part, Factors):
        return part if scale is None else part._replace(signals=part.signals * scale)
    flat = part.reshape(-1)
    return flat if scale is None else flat * scale


def inner_products(left: Sequence[Part], right: Sequence[Part], outputs: int, *, trace: bool) -> jax.Array:
    """Return inner products of gradients, of so many outputs held.

    Parameters
    ----------
    left, right
        Parts of the gradients of b and of b2 inputs.
    outputs
        How many outputs' gradients are held.
    trace
        If true, the sum over outputs, (b, b2); if not, all pairs of them, (b, b2, outputs, outputs).
    """
    with jax.default_matmul_precision("highest"):
        return functools.reduce(jnp.add, [_product(a, b, outputs, trace) for a, b in zip(left, right, strict=True)])


def _product(left: Any, right: Any, outputs: int, trace: bool) -> jax.Array:
    if not isinstance(left, Factors):
        if trace:
            return left @ right.T
        split = (one.reshape(len(one), outputs, -1) for one in (left, right))
        return jnp.einsum("iop,jqp->ijoq", *split)
    if left.signals.shape[2] == 1:
        alike = _alike(left.rows[:, 0], right.rows[:, 0])
        signals = [one.signals[:, :, 0] for one in (left, right)]
        if trace:
            return alike * (signals[0].reshape(len(alike), -1) @ signals[1].reshape(len(right.rows), -1).T)
        return alike[:, :, None, None] * jnp.einsum("iok,jpk->ijop", *signals)
    flat = [jnp.moveaxis(one.signals, 1, 2).reshape(*one.rows.shape[:2], -1) for one in (left, right)]
    count, positions = right.rows.shape[:2]
    every = (right.rows.reshape(count * positions, *right.rows.shape[2:]), flat[1].reshape(count * positions, -1))

    def row(one: tuple[jax.Array, jax.Array]) -> jax.Array:
        both = _alike(one[0], every[0]) * (one[1] @ every[1].T)
        return both.sum(0).reshape(count, positions).sum(1)

    at_once = max(1, _PAIRS // (count * positions**2))
    products = lax.map(row, (left.rows, flat[0]), batch_size=min(at_once, len(left.rows)))
    return products if trace else products[:, :, None, None]


def _alike(left: jax.Array, right: jax.Array) -> jax.Array:
    """Return <h_t, h_s> of rows, or whether the same row of a table was looked up."""
    if left.ndim == 1:
        return (left[:, None] == right[None, :]).astype(jnp.float32)
    return left @ right.T
