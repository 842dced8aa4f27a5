"""Formulas of scaling laws as text: parsed once, evaluated plainly with NumPy.

A formula such as `E + A * N**-alpha` is the only place a law is written down. This module reads the text into a
small tree and evaluates it in natural units, which is what predictions and tests use; `tape.py` turns the same tree
into the log-domain program the optimiser runs.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntk1bit.errors import InputError

_BINARY: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_UNARY_FUNCTIONS = ("exp", "log", "sqrt")
_FOLDED_FUNCTIONS = ("max", "min")
_LONGEST = 1000  # characters
_DEEPEST = 40  # operations inside each other; what walks the tree calls itself as often


@dataclass(frozen=True)
class Constant:
    """A number written in the formula."""

    value: float


@dataclass(frozen=True)
class Name:
    """A parameter or a variable."""

    name: str


@dataclass(frozen=True)
class Call:
    """An operation: one of `+ - * / **` and `max`, `min` (two arguments), or `exp`, `log`, `sqrt` (one)."""

    operation: str
    arguments: tuple[Expression, ...]


Expression = Constant | Name | Call

_NUMPY: dict[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "**": np.power,
    "max": np.maximum,
    "min": np.minimum,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
}


def parse(text: str) -> Expression:
    """Read a formula written in Python's arithmetic.

    Parameters
    ----------
    text
        Numbers, names, `+ - * / **` (or `^` for a power), parentheses, and the functions exp, log, sqrt, max, min.
        The text is never run: what is not one of these is refused.

    Raises
    ------
    InputError
        If the text is not such a formula, is longer than 1000 characters or nests more than 40 operations.
    """
    if len(text) > _LONGEST:
        raise InputError(f"a formula may have {_LONGEST} characters, got {len(text)}: {text[:40]!r}...; shorten it")
    try:
        with warnings.catch_warnings():  # Python's, of a style that is refused below anyway
            warnings.simplefilter("ignore")
            body = ast.parse(text.strip().replace("^", "**"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = str(error.args[0]).splitlines()[0] if error.args else "it is nested too deeply"
        raise InputError(f"cannot read the formula {text!r}: {reason}; write it as in 'E + A * N**-alpha'") from None
    return _convert(body, text, 0)


def parts(expression: Expression) -> Iterator[Expression]:
    """Yield the expression and all that it is made of, in order of writing, with repeats."""
    yield expression
    if isinstance(expression, Call):
        for argument in expression.arguments:
            yield from parts(argument)


def names(expression: Expression) -> Iterator[str]:
    """Yield every name the expression uses, in order of writing, with repeats."""
    return (part.name for part in parts(expression) if isinstance(part, Name))


def written(expression: Expression) -> str:
    """Return a formula that `parse` reads as the same expression, with parentheses around every operation."""
    if isinstance(expression, Constant):
        return repr(expression.value) if expression.value >= 0 else f"({expression.value!r})"
    if isinstance(expression, Name):
        return expression.name
    parts = [written(argument) for argument in expression.arguments]
    if expression.operation in _BINARY.values():
        return f"({f' {expression.operation} '.join(parts)})"
    return f"{expression.operation}({', '.join(parts)})"


def substitute(expression: Expression, values: Mapping[str, float]) -> Expression:
    """Replace names by numbers."""
    if isinstance(expression, Name) and expression.name in values:
        return Constant(float(values[expression.name]))
    if isinstance(expression, Call):
        return Call(expression.operation, tuple(substitute(argument, values) for argument in expression.arguments))
    return expression


def evaluate_reference(expression: Expression, values: Mapping[str, Any]) -> Any:
    """Evaluate in natural units with NumPy, broadcasting the values of the names against each other.

    Overflow gives infinity and an undefined operation NaN, silently: the caller decides what they mean.
    """
    if isinstance(expression, Constant):
        return np.float64(expression.value)
    if isinstance(expression, Name):
        return np.asarray(values[expression.name], dtype=np.float64)
    with np.errstate(all="ignore"):
        return _NUMPY[expression.operation](*(evaluate_reference(part, values) for part in expression.arguments))


def _convert(node: ast.expr, text: str, depth: int) -> Expression:
    if depth > _DEEPEST:
        raise InputError(f"the formula {text!r} nests more than {_DEEPEST} operations; write it in a simpler way")
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        try:
            value = float(node.value)
        except OverflowError:  # a whole number beyond 1e308
            value = math.inf
        if math.isinf(value):
            raise InputError(f"the formula {text!r} has a number beyond 1.8e308; write a smaller one")
        return Constant(value)
    if isinstance(node, ast.Name):
        return Name(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return Call("*", (Constant(-1.0), _convert(node.operand, text, depth + 1)))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd):
        return _convert(node.operand, text, depth + 1)
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return Call(
            _BINARY[type(node.op)], (_convert(node.left, text, depth + 1), _convert(node.right, text, depth + 1))
        )
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        arguments = [_convert(argument, text, depth + 1) for argument in node.args]
        if node.func.id in _UNARY_FUNCTIONS and len(arguments) == 1:
            return Call(node.func.id, tuple(arguments))
        if node.func.id in _FOLDED_FUNCTIONS and 2 <= len(arguments) <= _DEEPEST:
            folded = arguments[0]
            for argument in arguments[1:]:
                folded = Call(node.func.id, (folded, argument))
            return folded
    try:
        wrong = ast.unparse(node)
    except RecursionError:
        wrong = type(node).__name__
    raise InputError(
        f"cannot use {wrong!r} in the formula {text!r}; allowed are numbers, names, + - * / **, "
        "exp(z), log(z), sqrt(z), max(a, b, ...) and min(a, b, ...)"
    )
