"""The equations of traced programs (jaxprs): which programs they run inside, and how to run them one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp

CUSTOM_JVP = frozenset({"custom_jvp_call"})
CUSTOM_VJP = frozenset({"custom_vjp_call", "custom_vjp_call_jaxpr"})
_CALLS = frozenset({"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"})  # by JAX's version


def called_program(equation: Any) -> Any | None:
    """Return the program a compiled or checkpointed function runs, if its inputs are the equation's own; else None."""
    if equation.primitive.name not in _CALLS:
        return None
    inner = open_program(_called(equation))
    return inner if inner is not None and len(inner.invars) == len(equation.invars) else None


def called_constants(equation: Any) -> tuple[Any, ...]:
    """Return the constants that the program of `called_program` is closed over."""
    return tuple(closed_over(_called(equation)))


def declared_program(equation: Any) -> Any | None:
    """Return what a function with a derivative declared by hand computes; None for any other equation."""
    if equation.primitive.name not in CUSTOM_JVP | CUSTOM_VJP:
        return None
    return open_program(equation.params.get("call_jaxpr", equation.params.get("fun_jaxpr")))


def inner_programs(equation: Any) -> Iterator[Any]:
    """Yield the programs among an equation's parameters."""
    for value in equation.params.values():
        for program in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(open_program(program), "eqns"):
                yield program


def every_equation(jaxpr: Any) -> Iterator[Any]:
    """Yield the equations of a program and of those inside it."""
    for equation in jaxpr.eqns:
        yield equation
        for program in inner_programs(equation):
            yield from every_equation(open_program(program))


def interpret(
    jaxpr: Any,
    consts: Iterable[Any],
    inputs: Iterable[Any],
    apply: Callable[[Any, list[Any]], Sequence[Any]],
    *,
    literal: Callable[[Any], Any] = lambda value: value,
) -> list[Any]:
    """Run a program equation by equation, on whatever stands for its values.

    Parameters
    ----------
    jaxpr
        The program.
    consts, inputs
        What stands for its constants and inputs.
    apply
        `apply(equation, given)` -> what stands for each output of an equation.
    literal
        What stands for a number written into the program.

    Returns
    -------
    What stands for each of its outputs.
    """
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

    def read(var: Any) -> Any:
        return literal(var.val) if is_literal(var) else values[var]

    for equation in jaxpr.eqns:
        results = apply(equation, [read(var) for var in equation.invars])
        values.update(zip(equation.outvars, results, strict=True))
    return [read(var) for var in jaxpr.outvars]


def open_program(program: Any) -> Any:
    """Return a program without the constants it may be closed over."""
    return getattr(program, "jaxpr", program)


def closed_over(program: Any) -> tuple[Any, ...]:
    """Return the constants a program is closed over."""
    return tuple(getattr(program, "consts", ()))


def is_literal(var: Any) -> bool:
    """Say whether an operand is a number written into the program."""
    return hasattr(var, "val")


def is_inexact(value: Any) -> bool:
    """Say whether an array or a number is one of floats, real or complex."""
    return bool(jnp.issubdtype(jnp.result_type(value), jnp.inexact))


def as_function(equation: Any) -> Callable[..., list[Any]]:
    """Return an equation as a function of its inputs, with a list of outputs."""
    bound = equation.primitive.get_bind_params(equation.params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)  # a pair before JAX 0.10

    def run(*values: Any) -> list[Any]:
        result = equation.primitive.bind(*functions, *values, **params)
        return list(result) if equation.primitive.multiple_results else [result]

    return run


def _called(equation: Any) -> Any:
    return equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
