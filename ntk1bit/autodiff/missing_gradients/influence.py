"""Which inputs of a traced program reach which of its outputs, sub-programs included.

A mark is put on inputs and follows the program: through compiled functions, `jax.checkpoint`, `cond` and `switch`,
`scan`, `map`, `fori_loop` and `while_loop`, loops by a fixed point over what they carry. What decides a branch, or
whether a loop goes on, influences all that comes out of it. `stop_gradient` ends a mark.

On the way each operation that *may* jump, or may be constant piece by piece, leaves its own name as a further mark:
everything that is not known to be continuous. Whether it does jump is found in numbers (`.jumps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from ntk1bit.autodiff.equations import called_program, declared_program, interpret, open_program

Marks = frozenset[Any]
NO_MARKS: Marks = frozenset()

# Operations without a jump or a pole, as functions of their inputs of floats; the list need not be complete.
# fmt: off
_CONTINUOUS = frozenset((
    "abs", "add", "add_any", "asinh", "atan", "broadcast_in_dim", "cholesky", "clamp", "complex", "concatenate",
    "conj", "conv_general_dilated", "copy", "copy_p", "cos", "cosh", "cumlogsumexp", "cummax", "cummin", "cumprod",
    "cumsum", "device_put", "dot_general", "dynamic_slice", "dynamic_update_slice", "erf", "erf_inv", "erfc", "exp",
    "exp2", "expand_dims", "expm1", "gather", "imag", "log", "log1p", "logistic", "max", "min", "mul", "neg",
    "optimization_barrier", "pad", "real", "reduce_max", "reduce_min", "reduce_precision", "reduce_prod",
    "reduce_sum", "reduce_window_max", "reduce_window_min", "reduce_window_sum", "reshape", "rev", "scatter",
    "scatter-add", "scatter_add", "scatter_mul", "select_n", "sin", "sinh", "slice", "split", "sqrt", "square",
    "squeeze", "stack", "sub", "tanh", "transpose", "triangular_solve", "unstack",
))
# fmt: on
_WORDS = {
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), "a comparison"),
    "convert_element_type": "a conversion to integers",
    "bitcast_convert_type": "reading a float's bits (copysign, signbit)",
    "div": "a division",
}
POLES = frozenset({_WORDS["div"], "rsqrt()", "pow()", "integer_pow()", "tan()", "atan2()", "rem()"})


def influence(jaxpr: Any, inputs: Sequence[Marks], *, declared: bool = False) -> list[Marks]:
    """Follow marks on the inputs of a program to its outputs.

    Parameters
    ----------
    jaxpr
        A jaxpr.
    inputs
        The marks of each of its inputs.
    declared
        Whether the program's derivative is declared by hand (`custom_jvp`, `custom_vjp`): no operation leaves a name.

    Returns
    -------
    The marks of each output: those of the inputs that influence it, and the names of operations on the way. A function
    with a declared derivative passes on what its value depends on; what its derivative depends on is not looked up.
    """

    def apply(equation: Any, given: list[Marks]) -> Sequence[Marks]:
        if any(given) and equation.primitive.name != "stop_gradient":
            return _results(equation, given, declared)
        return [NO_MARKS] * len(equation.outvars)

    return interpret(jaxpr, [NO_MARKS] * len(jaxpr.constvars), inputs, apply, literal=lambda _: NO_MARKS)


def _results(equation: Any, given: Sequence[Marks], declared: bool) -> Sequence[Marks]:
    """Return the marks of an equation's outputs."""
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        return _scan(params, given, declared)
    if name == "while":
        return _while(params, given, declared)
    if name == "cond":
        branches = [influence(open_program(branch), given[1:], declared=declared) for branch in params["branches"]]
        return [given[0].union(*marks) for marks in zip(*branches, strict=True)]
    if (inner := called_program(equation)) is not None:
        return influence(inner, given, declared=declared)
    if (inner := declared_program(equation)) is not None:
        names = frozenset(mark for marks in given for mark in marks if isinstance(mark, str))
        return [marks | names for marks in influence(inner, given, declared=True)]  # the derivative may use any input
    together = NO_MARKS.union(*given)
    if not declared and _may_jump(equation, given):
        together |= {_WORDS.get(name, f"{name}()")}
    return [together] * len(equation.outvars)


def _scan(params: Any, given: Sequence[Marks], declared: bool) -> list[Marks]:
    body, first = open_program(params["jaxpr"]), params["num_consts"]
    last = first + params["num_carry"]
    carry = list(given[first:last])
    while True:
        results = influence(body, [*given[:first], *carry, *given[last:]], declared=declared)
        grown = [old | new for old, new in zip(carry, results, strict=False)]
        if grown == carry:
            return [*carry, *results[len(carry) :]]
        carry = grown


def _while(params: Any, given: Sequence[Marks], declared: bool) -> list[Marks]:
    first = params["cond_nconsts"]
    last = first + params["body_nconsts"]
    goes_on, body = open_program(params["cond_jaxpr"]), open_program(params["body_jaxpr"])
    carry = list(given[last:])
    while True:
        decides = influence(goes_on, [*given[:first], *carry], declared=declared)[0]
        results = influence(body, [*given[first:last], *carry], declared=declared)
        grown = [old | new | decides for old, new in zip(carry, results, strict=True)]
        if grown == carry:
            return carry
        carry = grown


def _may_jump(equation: Any, given: Sequence[Marks]) -> bool:
    """Say whether an operation is not known to be continuous in those of its inputs that are marked floats."""
    name = equation.primitive.name
    floats = [
        bool(marks) and jnp.issubdtype(var.aval.dtype, jnp.inexact)
        for var, marks in zip(equation.invars, given, strict=True)
    ]
    if not any(floats):
        return False
    if name == "convert_element_type":
        return not jnp.issubdtype(equation.params["new_dtype"], jnp.inexact)
    if name == "integer_pow":
        return equation.params["y"] < 0
    if name == "div":
        return floats[1]
    if name == "sort":
        return len(equation.invars) > 1
    return name not in _CONTINUOUS
