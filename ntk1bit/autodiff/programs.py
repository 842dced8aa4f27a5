"""A function as the program JAX traces of it, and compiled code found again by that program.

Which function an object stands for cannot be told from its identity: an attribute, a captured cell or a global may
have changed since it was last called. So a function is traced anew each time, which takes a millisecond where
compiling takes a second, and what was compiled before is found by what was traced: equations, shapes, constants. The
arrays that the function captured become arguments of the compiled code, so none of them is kept alive by it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.lax import GatherScatterMode

from ntk1bit.autodiff.equations import as_function, every_equation, interpret

_KEPT = 64  # compiled functions
_JAX_HOME = str(Path(jax.__file__).parent)
_RULES = ("custom_jvp_call", "custom_vjp_call")  # also under the longer names of older versions

_Made = TypeVar("_Made")
_kept: OrderedDict[Hashable, Any] = OrderedDict()
_lock = threading.Lock()


class Program(NamedTuple):
    """What was traced of a function.

    Attributes
    ----------
    jaxpr
        Its equations.
    constants
        The arrays it captured, in the order in which `evaluate` takes them.
    key
        Equal for programs that compute the same from the same arguments and constants.
    complete
        Whether the key also says how the program is differentiated: not so if it contains rules (`custom_jvp`,
        `custom_vjp`) other than JAX's own, which are Python functions that may have changed.
    """

    jaxpr: Any
    constants: tuple[Any, ...]
    key: Hashable
    complete: bool


def trace(function: Callable[..., Any], *args: Any) -> Program:
    """Trace a function at arguments, or at their shapes and dtypes."""
    closed = jax.make_jaxpr(function)(*args)
    walk = _Walk()
    key = walk.structure(closed.jaxpr, hoisted=True)
    return Program(closed.jaxpr, tuple(_constants(closed)), key, walk.complete)


def closed_program(closed: ClosedJaxpr) -> Program:
    """Return what was traced with its own constants apart, and those of programs inside it left where they are."""
    walk = _Walk()
    key = walk.structure(closed.jaxpr, hoisted=False)
    return Program(closed.jaxpr, tuple(closed.consts), key, walk.complete)


def evaluate(jaxpr: Any, constants: Iterable[Any], args: Iterable[Any]) -> list[Any]:
    """Run a program on flat arguments, with other constants in place of those it captured."""
    return _evaluate(jaxpr, iter(constants), list(args))


def opened(program: Program) -> Any:
    """Return a program as equations that hold no array: its inputs are the constants, followed by the arguments."""
    shapes = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in program.jaxpr.invars]
    return jax.make_jaxpr(lambda constants, args: evaluate(program.jaxpr, constants, args))(
        program.constants, shapes
    ).jaxpr


def contents(arrays: Iterable[Any]) -> Hashable:
    """Return what tells arrays apart by their values."""
    return tuple(_digest(array) for array in arrays)


def digest(*parts: Any) -> str:
    """Return a digest of plain values (numbers, text, bytes, tuples of them), the same in every process."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def kept(key: Hashable, make: Callable[[], _Made]) -> _Made:
    """Return what was made under this key, or make it; the 64 used last are kept."""
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    made = make()
    with _lock:
        _kept[key] = made
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return made


def compiled(kind: str, function: Callable[..., Any], *args: Any) -> Callable[..., list[jax.Array]]:
    """Compile a function, or find what was compiled for one of the same program; it returns its leaves as a list.

    Derivatives that the function itself takes are part of what is traced; what is returned is not to be differentiated.
    """
    program = trace(function, *args)

    def make() -> Callable[..., list[jax.Array]]:
        held = opened(program)
        return jax.jit(lambda constants, given: evaluate(held, (), [*constants, *given]))

    run = kept((kind, program.key), make)
    return lambda *given: run(program.constants, jax.tree.leaves(given))


def clipped(jaxpr: Any) -> Any:
    """Return the program with its reads beyond the end of an array made explicit.

    `table[i]` promises JAX that i is within bounds. Where the promise is broken the value is that of the last row, and
    so is a derivative pushed forward, but one pulled back is lost. In mode ``clip`` all three agree; a write beyond the
    end is dropped in all three.
    """
    return jaxpr.replace(eqns=[_clipped_equation(equation) for equation in jaxpr.eqns])


def largest_array(jaxpr: Any) -> int:
    """Return the bytes of the largest array that a program computes."""
    return max(_sizes(jaxpr), default=0)


def all_arrays(jaxpr: Any) -> int:
    """Return the bytes of everything that a program computes: more than it can need at any one time."""
    return sum(_sizes(jaxpr))


class _Walk:
    """Reads off what a program computes, as nested tuples; variables are numbered in the order of their appearance."""

    def __init__(self) -> None:
        self.complete = True

    def structure(self, jaxpr: Any, *, hoisted: bool) -> Hashable:
        numbers: dict[Any, int] = {}

        def name(var: Any) -> Hashable:
            if isinstance(var, Literal):
                return (_digest(var.val), str(var.aval))
            return numbers.setdefault(var, len(numbers))

        given = tuple(
            (name(var), getattr(var.aval, "shape", None), getattr(var.aval, "dtype", None), _is_weak(var))
            for var in (*jaxpr.constvars, *jaxpr.invars)
        )
        equations = tuple(
            (
                equation.primitive,
                tuple(name(var) for var in equation.invars),
                self._parameters(equation, hoisted=hoisted),
                tuple(name(var) for var in equation.outvars),
            )
            for equation in jaxpr.eqns
        )
        return (given, equations, tuple(name(var) for var in jaxpr.outvars))

    def _parameters(self, equation: Any, *, hoisted: bool) -> Hashable:
        rule = equation.primitive.name.startswith(_RULES)
        if rule and not _by_jax(equation):
            self.complete = False
        inner = _hoists(equation) if hoisted else None
        entries = []
        for name, value in equation.params.items():
            if rule and not isinstance(value, (Jaxpr, ClosedJaxpr, int)):
                continue  # Python functions, made anew by every trace
            if inner is not None and value is inner:
                entries.append((name, self.structure(inner.jaxpr, hoisted=True)))
            else:
                entries.append((name, self._plain(value)))
        return tuple(entries)

    def _plain(self, value: Any) -> Hashable:
        """Return a value of an equation's parameters as something that is equal only to the same."""
        if isinstance(value, ClosedJaxpr):
            return (self.structure(value.jaxpr, hoisted=False), contents(value.consts))
        if isinstance(value, Jaxpr):
            return self.structure(value, hoisted=False)
        if isinstance(value, (tuple, list)):
            return (type(value), *(self._plain(item) for item in value))
        if isinstance(value, dict):
            return (dict, *((key, self._plain(item)) for key, item in value.items()))
        if isinstance(value, (bool, int, float, complex, np.generic, np.ndarray, jax.Array)):
            return _digest(value)
        try:
            hash(value)
        except TypeError:
            return object()  # equal to nothing else, so compiled code is never found by it
        return value


def _is_weak(var: Any) -> bool:
    return bool(getattr(var.aval, "weak_type", False))


def _digest(value: Any) -> Hashable:
    """Return type, shape and bytes of a number or array, so that 0.0, -0.0 and False differ and NaN equals itself."""
    if not isinstance(value, (np.ndarray, jax.Array)):
        return (type(value), repr(value))
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return (str(value.dtype), _digest(jax.random.key_data(value)))
    array = np.asarray(value)
    if array.dtype == object:
        return object()
    data = array.tobytes()
    return (str(array.dtype), array.shape, data if len(data) <= 64 else hashlib.sha256(data).digest())


def _by_jax(equation: Any) -> bool:
    """Say whether a function with a derivative of its own comes from JAX (`jax.nn.relu`) and not from a user."""
    inner = next((value for value in equation.params.values() if isinstance(value, (Jaxpr, ClosedJaxpr))), None)
    inner = inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner
    return _JAX_HOME in str(getattr(getattr(inner, "debug_info", None), "func_src_info", ""))


def _hoists(equation: Any) -> ClosedJaxpr | None:
    """Return the program of a jitted function that captured arrays, itself or in a jitted function it calls."""
    inner = equation.params.get("jaxpr") if equation.primitive.name in ("jit", "pjit") else None
    return inner if isinstance(inner, ClosedJaxpr) and next(_constants(inner), None) is not None else None


def _constants(closed: ClosedJaxpr) -> Iterator[Any]:
    """Yield the arrays a program captured, those of the jitted functions it calls included."""
    yield from closed.consts
    for equation in closed.jaxpr.eqns:
        inner = equation.params.get("jaxpr") if equation.primitive.name in ("jit", "pjit") else None
        if isinstance(inner, ClosedJaxpr):
            yield from _constants(inner)


def _evaluate(jaxpr: Any, constants: Iterator[Any], args: list[Any]) -> list[Any]:
    def apply(equation: Any, given: list[Any]) -> list[Any]:
        inner = _hoists(equation)
        return _evaluate(inner.jaxpr, constants, given) if inner is not None else as_function(equation)(*given)

    return interpret(jaxpr, [next(constants) for _ in jaxpr.constvars], args, apply)


def _clipped_equation(equation: Any) -> Any:
    mode = equation.params.get("mode")
    if equation.primitive.name == "gather" and mode == GatherScatterMode.PROMISE_IN_BOUNDS:
        return equation.replace(params={**equation.params, "mode": GatherScatterMode.CLIP})
    if equation.primitive.name.startswith("scatter") and mode == GatherScatterMode.PROMISE_IN_BOUNDS:
        return equation.replace(params={**equation.params, "mode": GatherScatterMode.FILL_OR_DROP})
    params = {name: _clipped_value(value) for name, value in equation.params.items()}
    changed = any(params[name] is not value for name, value in equation.params.items())
    return equation.replace(params=params) if changed else equation


def _clipped_value(value: Any) -> Any:
    if isinstance(value, ClosedJaxpr):
        return value.replace(jaxpr=clipped(value.jaxpr))
    if isinstance(value, Jaxpr):
        return clipped(value)
    if isinstance(value, tuple) and any(isinstance(item, (Jaxpr, ClosedJaxpr)) for item in value):
        return tuple(_clipped_value(item) for item in value)
    return value


def _sizes(jaxpr: Any) -> Iterator[int]:
    """Yield the bytes of every array that a program and those inside it compute."""
    for equation in every_equation(jaxpr):
        for var in equation.outvars:
            yield var.aval.size * var.aval.dtype.itemsize if hasattr(var.aval, "dtype") else 0


def finite(arrays: Iterable[Any]) -> list[tuple[bool, bool]]:
    """Say of each array of floats whether it is free of NaN and infinity, and whether it is free of NaN."""
    flags = np.asarray(_finite(tuple(arrays)))
    return [(bool(all_finite), bool(no_nan)) for all_finite, no_nan in flags]


@jax.jit
def _finite(arrays: tuple[jax.Array, ...]) -> jax.Array:
    flags = [jnp.stack([jnp.isfinite(array).all(), ~jnp.isnan(array).any()]) for array in arrays]
    return jnp.stack(flags) if flags else jnp.ones((0, 2), bool)
