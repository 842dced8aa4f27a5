"""Compile a law's formula into a log-domain program ("tape") with exact gradients.

Losses are fitted by their logarithm, so the formula is compiled to log(prediction). Products, quotients, powers,
sums, maxima and exponentials of positive quantities stay in the log domain: `E + A * N**-alpha` becomes
`logaddexp(log E, log A - alpha log N)`, the parametrisation of Hoffmann et al. 2022, which neither overflows nor
cancels. A positive parameter is therefore optimised as its logarithm; a real one as itself.

A tape has scalar instructions, which depend on the parameters alone, and vector instructions, which run over all
points. `objective.py` executes it forwards for the value and backwards for the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from ntk1bit.scaling.formula import Call, Constant, Expression, Name

ADD, MUL, DIV, MAX, LOGADDEXP, EXP, LOG, FILL, AFFINE = range(9)

_NUMPY: dict[int, Callable[[Any, Any], Any]] = {
    ADD: np.add,
    MUL: np.multiply,
    DIV: np.divide,
    MAX: np.maximum,
    LOGADDEXP: np.logaddexp,
    EXP: lambda left, _: np.exp(left),
    LOG: lambda left, _: np.log(left),
}
_OPERATIONS = {"+": ADD, "*": MUL, "/": DIV, "max": MAX}
_OF_LOGARITHMS = {"*": "+", "/": "-", "max": "max", "min": "min"}  # what they are where logarithms are combined


class Tape(NamedTuple):
    """A compiled law.

    Attributes
    ----------
    scalars
        (k, 4) int64 rows (operation, left, right, unused) on scalar registers. The registers hold the p latent
        parameters, then `constants`, then one result a row.
    vectors
        (v, 4) int64 rows on vector registers, which hold the inputs, then one result a row. `FILL` spreads scalar
        `left`; `AFFINE` is scalar[c] + scalar[b] * vector[a] for the row (AFFINE, a, b, c); others take vectors a, b.
        The last row's result is log(prediction).
    constants
        (c,) float64.
    inputs
        (i, 2) int64 rows (variable, form): form 0 is the logarithm of the variable, 1 the variable itself.
    parameters
        Number p of latent parameters.
    """

    scalars: Int64[np.ndarray, "k 4"]
    vectors: Int64[np.ndarray, "v 4"]
    constants: Float[np.ndarray, " c"]
    inputs: Int64[np.ndarray, "i 2"]
    parameters: int


class _Value(NamedTuple):
    """A register: "parameter", "constant" or "scalar", "input" or "vector", by the order of its making."""

    kind: str
    place: int

    @property
    def is_vector(self) -> bool:
        return self.kind in ("vector", "input")


@dataclass
class _Compiler:
    bounds: Mapping[str, tuple[float, float]]
    variables: Sequence[str]
    scalars: list[tuple[int, _Value, _Value]] = field(default_factory=list)
    vectors: list[tuple[int, _Value, _Value, _Value]] = field(default_factory=list)
    constants: list[float] = field(default_factory=list)
    inputs: list[tuple[int, int]] = field(default_factory=list)

    def constant(self, number: float) -> _Value:
        if number not in self.constants:
            self.constants.append(number)
        return _Value("constant", self.constants.index(number))

    def input(self, name: str, form: int) -> _Value:
        key = (list(self.variables).index(name), form)
        if key not in self.inputs:
            self.inputs.append(key)
        return _Value("input", self.inputs.index(key))

    def combine(self, symbol: str, left: _Value, right: _Value) -> _Value:
        """Add, subtract, multiply, divide, or take the larger or smaller."""
        if symbol == "-":
            return self.emit(ADD, left, self.negative(right))
        if symbol == "min":
            return self.negative(self.emit(MAX, self.negative(left), self.negative(right)))
        return self.emit(_OPERATIONS[symbol], left, right)

    def negative(self, value: _Value) -> _Value:
        return self.emit(MUL, self.constant(-1.0), value)

    def emit(self, operation: int, left: _Value, right: _Value | None = None) -> _Value:
        """Add one instruction, in the cheapest form its operands allow."""
        right = left if right is None else right
        if left.is_vector and right.is_vector:
            return self.vector(operation, left, right, left)
        if not (left.is_vector or right.is_vector):
            if left.kind == right.kind == "constant":
                with np.errstate(all="ignore"):
                    numbers = [np.float64(self.constants[value.place]) for value in (left, right)]
                    return self.constant(float(_NUMPY[operation](*numbers)))
            self.scalars.append((operation, left, right))
            return _Value("scalar", len(self.scalars) - 1)
        vector, scalar = (left, right) if left.is_vector else (right, left)
        if operation == ADD:
            return self.affine(vector, self.constant(1.0), scalar)
        if operation == MUL:
            return self.affine(vector, scalar, self.constant(0.0))
        if operation == DIV and vector is left:
            return self.affine(vector, self.emit(DIV, self.constant(1.0), scalar), self.constant(0.0))
        filled = self.vector(FILL, scalar, scalar, scalar)
        return self.emit(operation, *((vector, filled) if vector is left else (filled, vector)))

    def vector(self, operation: int, a: _Value, b: _Value, c: _Value) -> _Value:
        self.vectors.append((operation, a, b, c))
        return _Value("vector", len(self.vectors) - 1)

    def affine(self, vector: _Value, slope: _Value, offset: _Value) -> _Value:
        """Add scalar `offset` to `slope` times `vector`, merged with an affine step just before it."""
        if vector == ("vector", len(self.vectors) - 1) and slope == self.constant(1.0):
            operation, inner, inner_slope, inner_offset = self.vectors[-1]
            if operation == AFFINE and inner_offset == self.constant(0.0):
                self.vectors.pop()
                return self.vector(AFFINE, inner, inner_slope, offset)
        return self.vector(AFFINE, vector, slope, offset)

    def linear(self, node: Expression) -> _Value:
        """Compile the expression itself."""
        if isinstance(node, Constant):
            return self.constant(node.value)
        if isinstance(node, Name):
            if node.name in self.variables:
                return self.input(node.name, 1)
            return self._natural_parameter(node.name)
        if node.operation in (*_OPERATIONS, "-", "min"):
            return self.combine(node.operation, *(self.linear(part) for part in node.arguments))
        if node.operation == "log":
            return self.log(node.arguments[0])
        if node.operation == "**" and not self.positive(node.arguments[0]):
            return self._power(*node.arguments)
        if node.operation == "exp":
            return self.emit(EXP, self.linear(node.arguments[0]))
        return self.emit(EXP, self.log(node))

    def log(self, node: Expression) -> _Value:
        """Compile the logarithm of the expression, in the log domain as far as signs are known."""
        if isinstance(node, Constant):
            return self.constant(math.log(node.value) if node.value > 0 else math.nan)
        if isinstance(node, Name):
            if node.name in self.variables:
                return self.input(node.name, 0)
            if self.bounds[node.name] == (0.0, math.inf):
                return _Value("parameter", list(self.bounds).index(node.name))
            return self.emit(LOG, self._natural_parameter(node.name))
        left, right = node.arguments[0], node.arguments[-1]
        if node.operation == "exp":
            return self.linear(left)
        if node.operation == "sqrt":
            return self.emit(MUL, self.constant(0.5), self.log(left))
        if node.operation == "**" and self.positive(left):
            return self.emit(MUL, self.linear(right), self.log(left))
        if self.positive(left) and self.positive(right):
            if node.operation == "+":
                return self.emit(LOGADDEXP, self.log(left), self.log(right))
            if node.operation in _OF_LOGARITHMS:
                return self.combine(_OF_LOGARITHMS[node.operation], self.log(left), self.log(right))
        return self.emit(LOG, self.linear(node))

    def _power(self, base: Expression, exponent: Expression) -> _Value:
        """Compile a power whose base may be negative: small whole powers as products, others undefined there."""
        if isinstance(exponent, Constant) and exponent.value in (2.0, 3.0):
            product = Call("*", (base, base))
            return self.linear(product if exponent.value == 2.0 else Call("*", (product, base)))
        return self.emit(EXP, self.emit(MUL, self.linear(exponent), self.emit(LOG, self.linear(base))))

    def positive(self, node: Expression) -> bool:
        """Tell whether the expression is positive for every allowed parameter and positive variables."""
        if isinstance(node, Constant):
            return node.value > 0
        if isinstance(node, Name):
            return node.name in self.variables or self.bounds[node.name][0] >= 0
        if node.operation in ("exp", "sqrt"):
            return True
        if node.operation == "**":
            return self.positive(node.arguments[0])
        if node.operation in ("-", "log"):
            return False
        return all(self.positive(part) for part in node.arguments)

    def _natural_parameter(self, name: str) -> _Value:
        """Undo the latent parametrisation: see `to_natural`."""
        latent, (low, high) = _Value("parameter", list(self.bounds).index(name)), self.bounds[name]
        if math.isinf(low) and math.isinf(high):
            return latent
        if math.isinf(high):
            natural = self.emit(EXP, latent)
            return self.combine("+", natural, self.constant(low)) if low else natural
        log_share = self.negative(self.emit(LOGADDEXP, self.constant(0.0), self.negative(latent)))
        span = self.combine("*", self.constant(high - low), self.emit(EXP, log_share))
        return self.combine("+", self.constant(low), span)

    def tape(self) -> Tape:
        """Return the program with its registers numbered."""
        first = {"parameter": 0, "constant": len(self.bounds), "scalar": len(self.bounds) + len(self.constants)}
        first |= {"input": 0, "vector": len(self.inputs)}

        def at(value: _Value) -> int:
            return first[value.kind] + value.place

        scalars = [(operation, *map(at, values), 0) for operation, *values in self.scalars]
        vectors = [(operation, *map(at, values)) for operation, *values in self.vectors]
        return Tape(
            scalars=np.array(scalars, dtype=np.int64).reshape(-1, 4),
            vectors=np.array(vectors, dtype=np.int64).reshape(-1, 4),
            constants=np.array(self.constants, dtype=np.float64),
            inputs=np.array(self.inputs, dtype=np.int64).reshape(-1, 2),
            parameters=len(self.bounds),
        )


def compile_tape(
    expression: Expression, *, bounds: Mapping[str, tuple[float, float]], variables: Sequence[str]
) -> Tape:
    """Compile `log(expression)` in positive `variables` and parameters in `bounds`.

    Bounds (low, high), in the order of the latent vector, are (0, inf), (-inf, inf), (low, inf) or (low, high); see
    `to_latent`.
    """
    compiler = _Compiler(bounds, variables)
    result = compiler.log(expression)
    if not result.is_vector:
        compiler.vector(FILL, result, result, result)
    elif result != ("vector", len(compiler.vectors) - 1):
        compiler.vector(AFFINE, result, compiler.constant(1.0), compiler.constant(0.0))
    return compiler.tape()


def log_prediction_reference(
    tape: Tape, latent: Float[np.ndarray, " *batch p"], columns: Sequence[Float[np.ndarray, " ..."]]
) -> Float[np.ndarray, " ..."]:
    """Run a tape forwards with NumPy: the plain counterpart of `objective.py`, and what predictions use.

    The columns, positive and in the law's order, broadcast to (..., n). Log predictions are NaN where the law is
    undefined.
    """
    scalars: list[np.ndarray] = [latent[..., j, None] for j in range(tape.parameters)]
    scalars += [np.full(1, value) for value in tape.constants]
    with np.errstate(all="ignore"):
        for operation, left, right, _ in tape.scalars:
            scalars.append(_NUMPY[operation](scalars[left], scalars[right]))
        vectors = [np.log(columns[i]) if form == 0 else np.asarray(columns[i], float) for i, form in tape.inputs]
        for operation, a, b, c in tape.vectors:
            if operation == FILL:
                vectors.append(scalars[a] + np.zeros_like(columns[0], dtype=np.float64))
            elif operation == AFFINE:
                vectors.append(scalars[c] + scalars[b] * vectors[a])
            else:
                vectors.append(_NUMPY[operation](vectors[a], vectors[b]))
    return vectors[-1]


def to_latent(natural: Float[np.ndarray, " *batch"], bounds: tuple[float, float]) -> Float[np.ndarray, " *batch"]:
    """Map a bounded parameter to the real line: itself, log(value - low), or the logit of its place in (low, high)."""
    low, high = bounds
    natural = np.asarray(natural, dtype=np.float64)
    with np.errstate(all="ignore"):
        if math.isinf(low) and math.isinf(high):
            return natural
        if math.isinf(high):
            return np.log(natural - low)
        share = (natural - low) / (high - low)
        return np.log(share) - np.log1p(-share)


def to_natural(latent: Float[np.ndarray, " *batch"], bounds: tuple[float, float]) -> Float[np.ndarray, " *batch"]:
    """Invert `to_latent`."""
    low, high = bounds
    latent = np.asarray(latent, dtype=np.float64)
    with np.errstate(all="ignore"):
        if math.isinf(low) and math.isinf(high):
            return latent
        if math.isinf(high):
            return low + np.exp(latent)
        return low + (high - low) * np.exp(-np.logaddexp(0.0, -latent))
