"""A traced program run at two values of its inputs, in lockstep: at the parameters, and at parameters moved from there.

The moved run is what automatic differentiation believes the program to be. Whatever passes `stop_gradient` keeps its
value of the run that stays; a function with a derivative declared by hand (`custom_jvp`, `custom_vjp`) is replaced by
its value there plus that derivative times the change of its inputs; a choice between two equal numbers is not made
anew. So a straight-through estimator is a straight line, and where the moved run still changes without a derivative, a
gradient is missing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ntk1bit.autodiff.equations import (
    CUSTOM_JVP,
    CUSTOM_VJP,
    as_function,
    called_constants,
    called_program,
    closed_over,
    interpret,
    is_inexact,
    open_program,
)


class Both(NamedTuple):
    """One quantity in both runs; one and the same object where they cannot differ."""

    still: Any
    moved: Any


def run_both(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Both]) -> list[Both]:
    """Run a program at `still` and at `moved` inputs; return its outputs in both runs."""
    constants = [Both(const, const) for const in consts]
    return interpret(jaxpr, constants, inputs, _outputs, literal=lambda value: Both(value, value))


def _outputs(equation: Any, given: list[Both]) -> list[Both]:
    name, params = equation.primitive.name, equation.params
    if (inner := called_program(equation)) is not None:
        return run_both(inner, called_constants(equation), given)
    run = as_function(equation)
    moves = any(both.still is not both.moved for both in given)
    if not moves or name == "stop_gradient":
        return _paired(run(*[both.still for both in given]))
    if name == "scan":
        return _scan(params, given)
    if name == "while":
        return _while(params, given)
    if name == "cond":
        return _cond(params, given)
    if name == "select_n" and given[0].still is not given[0].moved:
        given = [_choice(*given), *given[1:]]
    if name in CUSTOM_JVP | CUSTOM_VJP:
        return _declared(run, given, forwards=name in CUSTOM_JVP)
    return _paired(run(*[both.still for both in given]), run(*[both.moved for both in given]))


def _paired(still: Sequence[Any], moved: Sequence[Any] | None = None) -> list[Both]:
    return [Both(a, b) for a, b in zip(still, still if moved is None else moved, strict=True)]


def _program(closed: Any) -> Callable[[Sequence[Both]], list[Both]]:
    return lambda inputs: run_both(open_program(closed), closed_over(closed), inputs)


def _split(pairs: Sequence[Both]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    return tuple(both.still for both in pairs), tuple(both.moved for both in pairs)


def _scan(params: Any, given: list[Both]) -> list[Both]:
    first, body = params["num_consts"], _program(params["jaxpr"])
    last = first + params["num_carry"]

    def step(carry: Any, row: Any) -> Any:
        results = body([*given[:first], *_paired(*carry), *_paired(*row)])
        return _split(results[: last - first]), _split(results[last - first :])

    carry, rows = lax.scan(
        step, _split(given[first:last]), _split(given[last:]), length=params["length"], reverse=params["reverse"]
    )
    return [*_paired(*carry), *_paired(*rows)]


def _while(params: Any, given: list[Both]) -> list[Both]:
    """Loop while either run goes on; one that has ended stays where it is."""
    first = params["cond_nconsts"]
    last = first + params["body_nconsts"]
    goes_on, body = _program(params["cond_jaxpr"]), _program(params["body_jaxpr"])

    def go_on(carry: Any) -> Both:
        return goes_on([*given[:first], *_paired(*carry)])[0]

    def step(carry: Any) -> Any:
        going, results = go_on(carry), body([*given[first:last], *_paired(*carry)])
        return tuple(
            tuple(jnp.where(going[run], new[run], old) for new, old in zip(results, carry[run], strict=True))
            for run in (0, 1)
        )

    return _paired(*lax.while_loop(lambda carry: jnp.logical_or(*go_on(carry)), step, _split(given[last:])))


def _cond(params: Any, given: list[Both]) -> list[Both]:
    """Follow the branch of each run; the moved one is compared with where its own branch would have been."""
    branches = [_program(branch) for branch in params["branches"]]
    still, moved = _split(given[1:])

    def run(index: Any, which: int) -> Any:
        chosen = [lambda a, b, program=program: _split(program(_paired(a, b)))[which] for program in branches]
        return lax.switch(index.astype(jnp.int32), chosen, still, moved)

    return _paired(run(given[0].still, 0), run(given[0].moved, 1))


def _choice(which: Both, *cases: Both) -> Both:
    """Let a choice between equal numbers stay as it is: it is one of derivatives, as in where(inside, w, frozen w)."""
    alike = functools.reduce(jnp.logical_and, [case.still == cases[0].still for case in cases])
    return Both(which.still, jnp.where(alike, which.still, which.moved))


def _declared(run: Callable[..., list[Any]], given: list[Both], *, forwards: bool) -> list[Both]:
    """Extend a function from where it stays by its declared derivative; by none if that can only be pulled back."""
    still = run(*[both.still for both in given])
    smooth = [i for i, b in enumerate(given) if b.still is not b.moved and is_inexact(b.still)]

    def of_smooth(*values: Any) -> list[Any]:
        inputs = [both.moved for both in given]
        for i, value in zip(smooth, values, strict=True):
            inputs[i] = value
        return run(*inputs)

    at = tuple(given[i].still for i in smooth)
    change = tuple(given[i].moved - given[i].still for i in smooth)
    if forwards:
        values, slopes = jax.jvp(of_smooth, at, change)
    else:
        values, pull = jax.vjp(of_smooth, *at)
        try:
            (slopes,) = jax.linear_transpose(pull, values)(change)
        except (TypeError, ValueError, NotImplementedError, AssertionError):
            return _paired(still)
    changed = [a + b if is_inexact(a) else a for a, b in zip(values, slopes, strict=True)]
    return _paired(still, changed)
