"""Where a traced network uses its weights: in products with what comes from the input, found in the program.

A network f(trained, x) is split in two. What does not depend on x, such as the quantiser of a weight or a
transposition, gives the weights as they are used, V(trained); the rest, f = B(V, x), takes them as inputs. If z = h V
for some rows h of B (a dense layer, a projection at several positions, a convolution, a look-up in a table) and V is
used in no other way, the gradient of an output by V is sum_t h_t delta_t^T over positions t, with delta = d f/d z: it
can be held as h and delta in place of a matrix. It is that of the trained array as well if V is made of it by moving
its entries and by one scale (`Origin.kept_apart`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal
from jax.lax import GatherScatterMode

from ntk1bit.autodiff.equations import (
    as_function,
    called_constants,
    called_program,
    closed_over,
    interpret,
    is_literal,
    open_program,
)

_FILLS = GatherScatterMode.FILL_OR_DROP
_UNROLLED = 64  # steps of a loop whose weights are told apart
_OFFSETS = 32  # places of a convolution's window that are gathered one by one
_KEEPS = frozenset({"convert_element_type", "copy", "neg"})  # entries stay where they are
_MOVES = frozenset({"reshape", "transpose", "squeeze", "expand_dims", "rev"})
_SCALES = frozenset({"mul", "div"})
_EVEN = _KEEPS | _MOVES | _SCALES | {"broadcast_in_dim"}  # give equal entries from equal ones


@dataclass(frozen=True)
class Use:
    """A product of a weight with what comes from the input.

    Attributes
    ----------
    equation
        Of the program.
    place
        The weight's, among its operands.
    positions, fan_in, fan_out
        Of one input of the network: rows h of the product, their length, and that of a row of the result. `fan_in` is
        the number of rows of the table for a look-up.
    lookup
        Whether rows of the weight are looked up: then h is their numbers.
    windows
        Whether rows h are the windows of a convolution.
    """

    equation: Any
    place: int
    positions: int
    fan_in: int
    fan_out: int
    lookup: bool = False
    windows: bool = False

    @property
    def form(self) -> tuple[int, int, bool]:
        """What all uses of a weight must have in common."""
        return self.fan_in, self.fan_out, self.lookup

    def rows(self, operands: Sequence[Any]) -> jax.Array:
        """Return h, (positions, fan_in), or the rows that are looked up, (positions,)."""
        if self.lookup:
            found = operands[1].reshape(-1)
            return found if self.equation.params["mode"] == _FILLS else jnp.clip(found, 0, self.fan_in - 1)
        if self.windows:
            return _windows(self.equation.params, operands[0], operands[1].shape)
        contracted, _ = self.equation.params["dimension_numbers"]
        (theirs, mine), other = (contracted[1 - self.place], contracted[self.place]), operands[1 - self.place]
        order = [theirs[at] for at in np.argsort(mine, kind="stable")]
        free = [axis for axis in range(other.ndim) if axis not in theirs]
        return other.transpose(*free, *order).reshape(self.positions, self.fan_in)

    def signals(self, given: jax.Array, operands: Sequence[Any]) -> jax.Array:
        """Return delta, (positions, fan_out), of the derivative by the result of the equation."""
        if self.lookup:
            numbers = self.equation.params["dimension_numbers"]
            free = [axis for axis in range(given.ndim) if axis not in numbers.offset_dims]
            signals = given.transpose(*free, *numbers.offset_dims).reshape(self.positions, self.fan_out)
            if self.equation.params["mode"] == _FILLS:
                found = self.rows(operands)
                signals = jnp.where(((found >= 0) & (found < self.fan_in))[:, None], signals, 0)
            return signals
        if self.windows:
            spec = self.equation.params["dimension_numbers"].out_spec
            return given.transpose(spec[0], *spec[2:], spec[1]).reshape(self.positions, self.fan_out)
        weight = operands[self.place]
        own = weight.ndim - len(self.equation.params["dimension_numbers"][0][self.place])
        if self.place == 0:
            given = jnp.moveaxis(given, range(own), range(given.ndim - own, given.ndim))
        return given.reshape(self.positions, self.fan_out)

    def gradient(self, matrix: jax.Array, shape: Sequence[int]) -> jax.Array:
        """Return a gradient (fan_in, fan_out) of a convolution as that of its weight."""
        spec = self.equation.params["dimension_numbers"].rhs_spec
        order = (*spec[2:], spec[1], spec[0])  # window, channels in, channels out
        return matrix.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


class Origin(NamedTuple):
    """What a trained array is to the weights as they are used.

    Attributes
    ----------
    pieces
        The places of those that are made of it.
    kept_apart
        Whether each of its entries goes into at most one entry of at most one piece: then its gradient consists of the
        pieces' gradients.
    scaled
        Whether pieces are its entries times a number.
    """

    pieces: tuple[int, ...]
    kept_apart: bool
    scaled: bool


@dataclass(frozen=True)
class SplitNetwork:
    """A network as weights that are made without the input, and a function of them and the input.

    Attributes
    ----------
    before, after
        Equations that do not, and that do depend on the input.
    inputs
        Variables of captured arrays, trained and frozen arrays; of the input; of the output.
    weights, others
        What `before` hands to `after`: variables that depend on trained arrays, and all others.
    uses
        Of each weight; none if it is used in another way as well.
    origins
        Of each trained array.
    """

    before: tuple[Any, ...]
    after: tuple[Any, ...]
    inputs: tuple[tuple[Any, ...], ...]
    output: Any
    weights: tuple[Any, ...]
    others: tuple[Any, ...]
    uses: tuple[tuple[Use, ...], ...]
    origins: tuple[Origin, ...]

    def prepare(self, constants: Any, trained: Any, frozen: Any) -> tuple[list[Any], list[Any]]:
        """Return the weights as they are used, and the other values that do not depend on the input."""
        given = dict(zip(itertools.chain(*self.inputs[:3]), itertools.chain(constants, trained, frozen), strict=True))
        _run(self.before, given, _apply)
        return [given[var] for var in self.weights], [given[var] for var in self.others]

    def finish(
        self, weights: Sequence[Any], others: Sequence[Any], row: Sequence[Any], apply: Callable[[Any, list[Any]], Any]
    ) -> Any:
        """Return the output at an input, with `apply` running the equations."""
        given = dict(zip((*self.weights, *self.others, *self.inputs[3]), (*weights, *others, *row), strict=True))
        _run(self.after, given, apply)
        return self.output.val if is_literal(self.output) else given[self.output]


def split(jaxpr: Any, counts: tuple[int, int, int, int], *, unroll: bool = True) -> SplitNetwork:
    """SplitNetwork a program at what does not depend on the input.

    Parameters
    ----------
    jaxpr
        Without constants of its own.
    counts
        How many of its inputs are captured arrays, trained, frozen, and arrays of the input.
    unroll
        Whether loops of up to 64 steps that use weights are written out, so that their uses are seen.
    """
    loops: set[int] = set()
    while True:
        jaxpr = _flattened(jaxpr, loops)
        ends = list(itertools.accumulate(counts))
        groups = tuple(tuple(jaxpr.invars[end - size : end]) for end, size in zip(ends, counts, strict=True))
        moving = _reached(jaxpr.eqns, groups[3])
        trained = _reached(jaxpr.eqns, groups[1])
        loops = {id(one) for one in jaxpr.eqns if _is_loop_of_weights(one, moving, trained)}
        if not (loops and unroll):
            break
    before = tuple(one for one in jaxpr.eqns if not _any_in(one.outvars, moving))
    after = tuple(one for one in jaxpr.eqns if _any_in(one.outvars, moving))
    (output,) = jaxpr.outvars
    handed = dict.fromkeys(
        var
        for var in (*(var for one in after for var in one.invars), output)
        if not is_literal(var) and var not in moving
    )
    weights = tuple(var for var in handed if var in trained and jnp.issubdtype(var.aval.dtype, jnp.inexact))
    others = tuple(var for var in handed if var not in weights)
    uses = tuple(() if jnp.iscomplexobj(var.aval) else _uses(var, after, output) for var in weights)
    program = jaxpr.replace(eqns=list(before), invars=[*groups[0], *groups[1], *groups[2]], outvars=list(weights))
    return SplitNetwork(before, after, groups, output, weights, others, uses, _origins(program, counts))


def _shapes(variables: Iterable[Any]) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in variables]


def _run(equations: Iterable[Any], given: dict[Any, Any], apply: Callable[[Any, list[Any]], Any]) -> None:
    for equation in equations:
        operands = [var.val if is_literal(var) else given[var] for var in equation.invars]
        given.update(zip(equation.outvars, apply(equation, operands), strict=True))


def _flattened(jaxpr: Any, loops: set[int]) -> Any:
    """Return a program with the functions that it calls written out, and some loops step by step."""

    def apply(equation: Any, given: list[Any]) -> list[Any]:
        if (inner := called_program(equation)) is not None:
            return interpret(inner, called_constants(equation), given, apply)
        return _unrolled(equation.params, given, apply) if id(equation) in loops else as_function(equation)(*given)

    return _without_constants(jax.make_jaxpr(lambda *args: interpret(jaxpr, (), args, apply))(*_shapes(jaxpr.invars)))


def _without_constants(closed: Any) -> Any:
    """Return equations in which the arrays that they are closed over are written as numbers."""
    known = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    if not known:
        return closed.jaxpr

    def written(var: Any) -> Any:
        return Literal(known[var], var.aval) if not is_literal(var) and var in known else var

    equations = [one.replace(invars=[written(var) for var in one.invars]) for one in closed.jaxpr.eqns]
    outputs = [written(var) for var in closed.jaxpr.outvars]
    return closed.jaxpr.replace(eqns=equations, outvars=outputs, constvars=[])


def _unrolled(params: Any, given: list[Any], apply: Callable[[Any, list[Any]], Any]) -> list[Any]:
    """Run a scan step by step."""
    first, body, length = params["num_consts"], params["jaxpr"], params["length"]
    last = first + params["num_carry"]
    carry, rows = given[first:last], {}
    for step in reversed(range(length)) if params["reverse"] else range(length):
        row = [lax.index_in_dim(xs, step, keepdims=False) for xs in given[last:]]
        results = interpret(open_program(body), closed_over(body), [*given[:first], *carry, *row], apply)
        carry, rows[step] = results[: len(carry)], results[len(carry) :]
    return [*carry, *(jnp.stack(column) for column in zip(*(rows[step] for step in range(length)), strict=True))]


def _is_loop_of_weights(equation: Any, moving: set[Any], trained: set[Any]) -> bool:
    if equation.primitive.name != "scan" or not 0 < equation.params["length"] <= _UNROLLED:
        return False
    weights = [var for var in equation.invars if not is_literal(var) and var in trained and var not in moving]
    return bool(weights) and _any_in(equation.outvars, moving)


def _any_in(variables: Iterable[Any], chosen: set[Any]) -> bool:
    return any(not is_literal(var) and var in chosen for var in variables)


def _reached(equations: Iterable[Any], start: Iterable[Any]) -> set[Any]:
    """Return the variables that depend on some of them, these included."""
    found = set(start)
    for one in equations:
        if _any_in(one.invars, found):
            found.update(one.outvars)
    return found


def _uses(weight: Any, equations: Iterable[Any], output: Any) -> tuple[Use, ...]:
    """Return the uses of a weight in products; none if there are others or they do not go together."""
    found = []
    for one in equations:
        places = [at for at, var in enumerate(one.invars) if var is weight]
        if not places:
            continue
        use = _use(one, places[0]) if len(places) == 1 else None
        if use is None:
            return ()
        found.append(use)
    if output is weight or len({use.form for use in found}) > 1 or (len(found) > 1 and found[0].windows):
        return ()
    return tuple(found)


def _use(equation: Any, place: int) -> Use | None:
    kind = {"dot_general": _dense, "conv_general_dilated": _convolution, "gather": _lookup}
    return kind[equation.primitive.name](equation, place) if equation.primitive.name in kind else None


def _dense(equation: Any, place: int) -> Use | None:
    contracted, batched = equation.params["dimension_numbers"]
    if batched[place]:
        return None
    weight, other = (equation.invars[at].aval.shape for at in (place, 1 - place))
    fan_in = math.prod(weight[axis] for axis in contracted[place])
    return Use(equation, place, math.prod(other) // fan_in, fan_in, math.prod(weight) // fan_in)


def _convolution(equation: Any, place: int) -> Use | None:
    params = equation.params
    if place != 1 or params["feature_group_count"] != 1 or params["batch_group_count"] != 1:
        return None
    spec, shape = params["dimension_numbers"], equation.invars[1].aval.shape
    window = math.prod(shape[axis] for axis in spec.rhs_spec[2:])
    if window > _OFFSETS:
        return None
    result = equation.outvars[0].aval.shape
    fan_out = shape[spec.rhs_spec[0]]
    return Use(equation, place, math.prod(result) // fan_out, math.prod(shape) // fan_out, fan_out, windows=True)


def _lookup(equation: Any, place: int) -> Use | None:
    params, table = equation.params, equation.invars[0].aval.shape
    numbers = params["dimension_numbers"]
    whole_rows = tuple(params["slice_sizes"]) == (1, *table[1:]) and numbers.collapsed_slice_dims == (0,)
    if place != 0 or not whole_rows or numbers.start_index_map != (0,) or numbers.operand_batching_dims:
        return None
    positions = math.prod(equation.invars[1].aval.shape)
    return Use(equation, place, positions, table[0], math.prod(table[1:]), lookup=True)


def _windows(params: Any, image: jax.Array, kernel: Sequence[int]) -> jax.Array:
    """Return what a convolution multiplies by its weight at each place, (places, window * channels)."""
    spec = params["dimension_numbers"]
    channels_last = image.transpose(spec.lhs_spec[0], *spec.lhs_spec[2:], spec.lhs_spec[1])
    inner = [
        (low, high, dilation - 1)
        for (low, high), dilation in zip(params["padding"], params["lhs_dilation"], strict=True)
    ]
    padded = lax.pad(channels_last, jnp.zeros((), image.dtype), [(0, 0, 0), *inner, (0, 0, 0)])
    sizes = [kernel[axis] for axis in spec.rhs_spec[2:]]
    steps, spread = params["window_strides"], params["rhs_dilation"]
    reach = [(size - 1) * wide + 1 for size, wide in zip(sizes, spread, strict=True)]
    counts = [(have - need) // step + 1 for have, need, step in zip(padded.shape[1:-1], reach, steps, strict=True)]
    pieces = []
    for offset in itertools.product(*map(range, sizes)):
        starts = [at * wide for at, wide in zip(offset, spread, strict=True)]
        stops = [start + (count - 1) * step + 1 for start, count, step in zip(starts, counts, steps, strict=True)]
        pieces.append(lax.slice(padded, (0, *starts, 0), (padded.shape[0], *stops, padded.shape[-1]), (1, *steps, 1)))
    return jnp.concatenate(pieces, axis=-1).reshape(-1, len(pieces) * padded.shape[-1])


def _origins(before: Any, counts: tuple[int, int, int, int]) -> tuple[Origin, ...]:
    """Find what trained arrays are to the weights, in the program that pulls gradients of these back to them."""
    first, last = counts[0], counts[0] + counts[1]

    def pull(*given: Any) -> Any:
        args, signals = given[: len(before.invars)], given[len(before.invars) :]

        def weights(trained: Any) -> list[Any]:
            return interpret(before, (), [*args[:first], *trained, *args[last:]], _apply)

        return jax.vjp(weights, list(args[first:last]))[1](list(signals))[0]

    signals = _shapes(before.outvars)
    closed = jax.make_jaxpr(pull)(*_shapes(before.invars), *signals)
    jaxpr = _flattened(_without_constants(closed), set())
    marks: dict[Any, _Mark] = {}
    given = jaxpr.invars[: len(before.invars)]
    for place, var in enumerate(jaxpr.invars[len(given) :]):
        marks[var] = _Mark({place: np.ones(var.aval.shape, bool)}, scaled=False, lost=jnp.iscomplexobj(var.aval))
    numbers = {var for var in given if var.aval.size == 1}
    for one in jaxpr.eqns:
        held = [None if is_literal(var) else marks.get(var) for var in one.invars]
        if any(mark is not None for mark in held):
            marks.update((var, _moved(one, held, numbers)) for var in one.outvars)
        elif all(_is_number(var, numbers) for var in one.invars):
            numbers.update(var for var in one.outvars if var.aval.size == 1 or one.primitive.name in _EVEN)
    return tuple(_origin(None if is_literal(var) else marks.get(var), var, signals) for var in jaxpr.outvars)


def _apply(equation: Any, given: list[Any]) -> list[Any]:
    return as_function(equation)(*given)


def _is_number(var: Any, numbers: set[Any]) -> bool:
    """Whether all entries of an operand are the same."""
    return np.size(var.val) == 1 if is_literal(var) else var in numbers or var.aval.size == 1


class _Mark(NamedTuple):
    """Where entries of gradients have got to, by the place of the weight that they are of."""

    places: dict[int, np.ndarray]
    scaled: bool
    lost: bool = False  # mixed, or multiplied by numbers of their own


def _moved(equation: Any, held: list[_Mark | None], numbers: set[Any]) -> _Mark:
    marked = [mark for mark in held if mark is not None]
    everywhere = set().union(*(mark.places for mark in marked))
    lost = _Mark(dict.fromkeys(everywhere, np.zeros(0, bool)), scaled=True, lost=True)
    if any(mark.lost for mark in marked) or len(equation.outvars) > 1 or jnp.iscomplexobj(equation.outvars[0].aval):
        return lost
    name, shape = equation.primitive.name, equation.outvars[0].aval.shape
    if name in ("add", "add_any") and len(marked) == 2:
        return _together(*marked) or lost
    if len(marked) != 1:
        return lost
    mark, scaled = marked[0], marked[0].scaled
    others = [var for var, one in zip(equation.invars, held, strict=True) if one is None]
    size = next(iter(mark.places.values())).size
    if name in _SCALES and (name == "mul" or held[0] is not None):
        return mark._replace(scaled=True) if all(_is_number(var, numbers) for var in others) else lost
    if name in _KEEPS:
        return mark
    if name == "pad":
        settings = equation.params["padding_config"]
        if any(low < 0 or high < 0 for low, high, _ in settings):
            return lost
        moved = {
            at: np.asarray(lax.pad(jnp.asarray(one), np.bool_(False), settings)) for at, one in mark.places.items()
        }
        return _Mark(moved, scaled)
    if name in _MOVES:
        return _Mark(
            {at: np.asarray(as_function(equation)(jnp.asarray(one))[0]) for at, one in mark.places.items()}, scaled
        )
    if name in ("broadcast_in_dim", "reduce_sum") and math.prod(shape) == size:  # of axes of length 1: as reshape
        return _Mark({at: one.reshape(shape) for at, one in mark.places.items()}, scaled)
    return lost


def _together(one: _Mark, other: _Mark) -> _Mark | None:
    """Return two gradients that are added where no entry is in both."""
    both = [np.logical_or.reduce(list(mark.places.values())) for mark in (one, other)]
    if (both[0] & both[1]).any():
        return None
    return _Mark(one.places | other.places, one.scaled or other.scaled)


def _origin(mark: _Mark | None, var: Any, signals: Sequence[Any]) -> Origin:
    if mark is None:
        return Origin((), kept_apart=True, scaled=False)
    whole = not mark.lost and all(
        one.shape == var.aval.shape and int(one.sum()) == math.prod(signals[place].shape)
        for place, one in mark.places.items()
    )
    return Origin(tuple(sorted(mark.places)), whole, mark.scaled)
