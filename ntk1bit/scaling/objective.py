"""The fitted objective and its exact gradient: a tape run forwards and backwards, compiled with numba.

    objective(theta) = sum_i w_i rho(log prediction_i(theta) - log loss_i),
    rho(r) = r^2/2 if |r| <= delta, else delta (|r| - delta/2)          (Huber 1964; delta = 1e-3 in Hoffmann 2022)

It is a sum, not a mean: with the mean, an optimiser's gradient tolerance is met far from the minimum. With `tilt`
q in (0, 1), points whose loss lies above the prediction count 2q and points below 2(1 - q).
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from ntk1bit.compiling import CONTRACT, REASSOCIATE, compiled, inlined
from ntk1bit.scaling.formula import Expression, evaluate_reference
from ntk1bit.scaling.tape import ADD, AFFINE, DIV, EXP, FILL, LOG, LOGADDEXP, MAX, MUL

HUBER_DELTA = 1e-3

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LN2 = 0.6931471805599453
_SQRT2_LESS_1 = 0.41421356237309503
_SMALLEST_EXPONENT = -708.0  # exp of less is subnormal; the tests bound the error this makes at 1e-307


@inlined(fastmath=CONTRACT)
@no_type_check
def _log_add_exp(a, b, out, share, n):  # pragma: no cover
    """Write log(e^a + e^b) to `out` and e^a / (e^a + e^b) to `share`.

    Written out in arithmetic (Cody-Waite reduction and series) because calls to a library exp keep the compiler from
    using vector instructions, and this loop is where fits spend their time.
    """
    for i in range(n):
        gap = a[i] - b[i]
        z = max(-abs(gap), _SMALLEST_EXPONENT)
        k = np.floor(z * _LOG2_E + 0.5)
        r = (z - k * _LN2_HIGH) - k * _LN2_LOW
        p = 1.6059043836821613e-10
        p = p * r + 2.08767569878681e-09
        p = p * r + 2.505210838544172e-08
        p = p * r + 2.755731922398589e-07
        p = p * r + 2.7557319223985893e-06
        p = p * r + 2.48015873015873e-05
        p = p * r + 1.984126984126984e-04
        p = p * r + 1.388888888888889e-03
        p = p * r + 8.333333333333333e-03
        p = p * r + 4.1666666666666664e-02
        p = p * r + 1.6666666666666666e-01
        p = p * r + 0.5
        p = p * r + 1.0
        p = p * r + 1.0
        e = p * np.int64((np.int64(k) + np.int64(1023)) << np.int64(52)).view(np.float64)
        upper = e > _SQRT2_LESS_1
        below = (e + 3.0) if upper else (e + 2.0)
        inverse = 1.0 / (below * (1.0 + e))  # one division for both quotients: they are what costs time here
        s = ((e - 1.0) if upper else e) * (inverse * (1.0 + e))
        q = s * s
        t = 1.0 / 21.0
        t = t * q + 1.0 / 19.0
        t = t * q + 1.0 / 17.0
        t = t * q + 1.0 / 15.0
        t = t * q + 1.0 / 13.0
        t = t * q + 1.0 / 11.0
        t = t * q + 1.0 / 9.0
        t = t * q + 1.0 / 7.0
        t = t * q + 1.0 / 5.0
        t = t * q + 1.0 / 3.0
        t = t * q + 1.0
        out[i] = max(a[i], b[i]) + (2.0 * s * t + (_LN2 if upper else 0.0))
        share[i] = (1.0 if gap >= 0.0 else e) * (inverse * below)


@inlined()
@no_type_check
def _run_scalars(rows, first, s):  # pragma: no cover
    for k in range(rows.shape[0]):
        operation, x, y = rows[k, 0], s[rows[k, 1]], s[rows[k, 2]]
        if operation == ADD:
            value = x + y
        elif operation == MUL:
            value = x * y
        elif operation == DIV:
            value = x / y if y != 0.0 else np.nan
        elif operation == MAX:
            value = max(x, y)
        elif operation == LOGADDEXP:
            value = max(x, y) + math.log1p(math.exp(-abs(x - y)))
        elif operation == EXP:
            value = math.exp(x) if x < 709.0 else np.inf
        else:
            value = math.log(x) if x > 0.0 else np.nan
        s[first + k] = value


@inlined()
@no_type_check
def _pull_scalars(rows, first, s, ds):  # pragma: no cover
    for k in range(rows.shape[0] - 1, -1, -1):
        operation, i, j = rows[k, 0], rows[k, 1], rows[k, 2]
        pull, x, y = ds[first + k], s[i], s[j]
        if operation == ADD:
            ds[i] += pull
            ds[j] += pull
        elif operation == MUL:
            ds[i] += pull * y
            ds[j] += pull * x
        elif operation == DIV:
            ds[i] += pull / y
            ds[j] -= pull * s[first + k] / y
        elif operation == MAX:
            ds[i if x >= y else j] += pull
        elif operation == LOGADDEXP:
            ds[i] += pull * math.exp(x - s[first + k])
            ds[j] += pull * math.exp(y - s[first + k])
        elif operation == EXP:
            ds[i] += pull * s[first + k]
        else:
            ds[i] += pull / x


@inlined(fastmath=REASSOCIATE)
@no_type_check
def _run_vectors(rows, first, s, v, share, n):  # pragma: no cover
    for k in range(rows.shape[0]):
        operation, a, b, c = rows[k]
        out = v[first + k]
        if operation == AFFINE:
            x, slope, offset = v[a], s[b], s[c]
            for i in range(n):
                out[i] = offset + slope * x[i]
        elif operation == FILL:
            value = s[a]
            for i in range(n):
                out[i] = value
        elif operation == LOGADDEXP:
            _log_add_exp(v[a], v[b], out, share[k], n)
        elif operation == EXP:
            x = v[a]
            for i in range(n):
                out[i] = math.exp(x[i]) if x[i] < 709.0 else np.inf
        elif operation == LOG:
            x = v[a]
            for i in range(n):
                out[i] = math.log(x[i]) if x[i] > 0.0 else np.nan
        else:
            x, y = v[a], v[b]
            if operation == ADD:
                for i in range(n):
                    out[i] = x[i] + y[i]
            elif operation == MUL:
                for i in range(n):
                    out[i] = x[i] * y[i]
            elif operation == DIV:
                for i in range(n):
                    out[i] = x[i] / y[i] if y[i] != 0.0 else np.nan
            else:
                for i in range(n):
                    out[i] = max(x[i], y[i])


@inlined(fastmath=REASSOCIATE)
@no_type_check
def _pull_vectors(rows, first, s, v, share, ds, dv, n):  # pragma: no cover
    """Send adjoints backwards. A formula is a tree: each result has one reader, so adjoints are set, not added to.

    (Inputs may have several readers; theirs are never read.)
    """
    for k in range(rows.shape[0] - 1, -1, -1):
        operation, a, b, c = rows[k]
        pull = dv[first + k]
        if operation == FILL:
            total = 0.0
            for i in range(n):
                total += pull[i]
            ds[a] += total
        elif operation == AFFINE:
            x, slope, total, moment = v[a], s[b], 0.0, 0.0
            for i in range(n):
                total += pull[i]
                moment += pull[i] * x[i]
            ds[c] += total
            ds[b] += moment
            if a >= first:
                dx = dv[a]
                for i in range(n):
                    dx[i] = pull[i] * slope
        elif operation in (EXP, LOG):
            x, y, dx = v[a], v[first + k], dv[a]
            for i in range(n):
                dx[i] = pull[i] * y[i] if operation == EXP else pull[i] / x[i]
        else:
            x, y, dx, dy = v[a], v[b], dv[a], dv[b]
            if operation == LOGADDEXP:
                for i in range(n):
                    part = pull[i] * share[k, i]
                    dx[i] = part
                    dy[i] = pull[i] - part
            elif operation == ADD:
                for i in range(n):
                    dx[i] = pull[i]
                    dy[i] = pull[i]
            elif operation == MUL:
                for i in range(n):
                    dx[i] = pull[i] * y[i]
                    dy[i] = pull[i] * x[i]
            elif operation == DIV:
                for i in range(n):
                    dx[i] = pull[i] / y[i]
                    dy[i] = -pull[i] * x[i] / (y[i] * y[i])
            else:
                for i in range(n):
                    dx[i] = pull[i] if x[i] >= y[i] else 0.0
                    dy[i] = 0.0 if x[i] >= y[i] else pull[i]


@inlined(fastmath=REASSOCIATE)
@no_type_check
def _huber_sum(prediction, target, weight, delta, above, below, pull, n):  # pragma: no cover
    total = 0.0
    for i in range(n):
        r = prediction[i] - target[i]
        clipped = min(max(r, -delta), delta)
        w = weight[i] * (above if r < 0.0 else below)
        total += w * clipped * (r - 0.5 * clipped)
        pull[i] = w * clipped
    return total


@inlined()
@no_type_check
def evaluate(tape, theta, work, delta, tilt, n, gradient):  # pragma: no cover
    """Return the objective at `theta` and write its gradient; infinity and zeros where it is undefined.

    `tape` holds the fields of a `Tape` as a plain tuple (the compiler's cache cannot store classes that tests
    decorate), and `work` the buffers: scalar registers and their adjoints, vector registers (rows, n) and their
    adjoints, the shares of sums (vector instructions, n), targets (n,) and weights (n,). The first rows of the vector
    registers hold the tape's inputs; `n` points of each are in use.
    """
    scalars, vectors, constants, inputs, p = tape
    s, ds, v, dv, share, target, weight = work
    first, scalar_first = inputs.shape[0], p + constants.shape[0]
    s[:p] = theta
    s[p:scalar_first] = constants
    _run_scalars(scalars, scalar_first, s)
    _run_vectors(vectors, first, s, v, share, n)
    last = first + vectors.shape[0] - 1
    total = _huber_sum(v[last], target, weight, delta, 2.0 * tilt, 2.0 * (1.0 - tilt), dv[last], n)
    gradient[:] = 0.0
    if not math.isfinite(total):
        return np.inf
    ds[:] = 0.0
    _pull_vectors(vectors, first, s, v, share, ds, dv, n)
    _pull_scalars(scalars, scalar_first, s, ds)
    for j in range(p):
        if not math.isfinite(ds[j]):
            return np.inf
    gradient[:] = ds[:p]
    return total


@compiled
@no_type_check
def objective_and_gradient(tape, theta, work, delta, tilt, n, gradient):  # pragma: no cover
    """Call `evaluate` alone, which only kernels can call: for the tests, which hold it against the reference below."""
    return evaluate(tape, theta, work, delta, tilt, n, gradient)


def huber_losses(
    r: Float[np.ndarray, "*batch n"], delta: float = HUBER_DELTA, tilt: float = 0.5
) -> Float[np.ndarray, "*batch n"]:
    """Return the tilted Huber loss of every log prediction minus log loss: the terms of the objective, unweighted."""
    clipped = np.clip(r, -delta, delta)
    return np.where(r < 0, 2.0 * tilt, 2.0 * (1.0 - tilt)) * clipped * (r - 0.5 * clipped)


def objective_reference(
    expression: Expression,
    natural: dict[str, float],
    columns: dict[str, np.ndarray],
    loss: Float[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
    *,
    delta: float = HUBER_DELTA,
    tilt: float = 0.5,
) -> float:
    """Compute the objective from the formula in natural units: the plain counterpart of the compiled one, for tests."""
    r = np.log(evaluate_reference(expression, {**natural, **columns})) - np.log(loss)
    return float(np.sum(weight * huber_losses(r, delta, tilt)))
