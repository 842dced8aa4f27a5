"""L-BFGS compiled with numba: many small problems on the same points, solved one after another without Python.

The two-loop recursion is Nocedal & Wright 2006, Alg. 7.4. The line search is the weak-Wolfe bracketing of Lewis &
Overton 2013, which also serves where the gradient jumps (Huber's delta is far below the noise, so the objective is
nearly a sum of absolute values, and `max` laws have kinks), with cubic interpolation inside the bracket.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np

from ntk1bit.compiling import compiled, inlined
from ntk1bit.scaling.objective import evaluate

_LINE_STEPS = 40
_PATIENCE = 10
_ARMIJO, _WOLFE = 1e-4, 0.9
_ROUNDING = 1e-15  # decreases below this share of the objective are judged by slopes (Hager & Zhang 2005, Eq. 4.1)


@inlined()
@no_type_check
def _dot(a, b):  # pragma: no cover
    total = 0.0
    for j in range(a.shape[0]):  # a BLAS call would cost more than these few products
        total += a[j] * b[j]
    return total


@inlined()
@no_type_check
def _load(inputs, target, weight, work):  # pragma: no cover
    """Gather the points of positive weight into the workspace; return how many there are."""
    _, _, v, _, _, used_target, used_weight = work
    n = 0
    for i in range(target.shape[0]):
        if weight[i] > 0.0:
            for k in range(inputs.shape[0]):
                v[k, n] = inputs[k, i]
            used_target[n] = target[i]
            used_weight[n] = weight[i]
            n += 1
    return n


@inlined()
@no_type_check
def _between(low, f_low, g_low, high, f_high, g_high):  # pragma: no cover
    """Minimise the cubic through both ends (Nocedal & Wright 2006, Eq. 3.59), kept off the ends of the bracket."""
    width = high - low
    middle = low + 0.5 * width
    if not math.isfinite(f_high):
        return low + 0.1 * width
    d1 = g_low + g_high - 3.0 * (f_low - f_high) / (low - high)
    square = d1 * d1 - g_low * g_high
    if square >= 0.0:
        d2 = math.sqrt(square)
        bottom = g_high - g_low + 2.0 * d2
        if bottom != 0.0:
            step = high - width * (g_high + d2 - d1) / bottom
            if low + 0.1 * width <= step <= high - 0.1 * width:
                return step
    return middle


@inlined()
@no_type_check
def _direction(gradient, steps, changes, inverse, count, newest, memory, weights, out):  # pragma: no cover
    """Write minus the inverse Hessian times the gradient; indices, not slices, for so few numbers."""
    p = gradient.shape[0]
    for j in range(p):
        out[j] = -gradient[j]
    i = newest
    for _ in range(count):
        total = 0.0
        for j in range(p):
            total += steps[i, j] * out[j]
        weights[i] = total * inverse[i]
        for j in range(p):
            out[j] -= weights[i] * changes[i, j]
        i = i - 1 if i > 0 else memory - 1
    if count > 0:
        square = 0.0
        for j in range(p):
            square += changes[newest, j] * changes[newest, j]
        for j in range(p):
            out[j] *= 1.0 / (inverse[newest] * square)
    for _ in range(count):
        i = i + 1 if i < memory - 1 else 0
        total = 0.0
        for j in range(p):
            total += changes[i, j] * out[j]
        total = weights[i] - total * inverse[i]
        for j in range(p):
            out[j] += total * steps[i, j]


@inlined()
@no_type_check
def _minimise(tape, theta, work, n, delta, tilt, stopping, memory):  # pragma: no cover
    """Minimise from `theta` (overwritten by the result); return objective, gradient size and evaluations."""
    tolerance, least, limit = stopping
    p = theta.shape[0]
    unit = 0.0
    for i in range(n):
        unit += work[6][i]
    unit *= delta
    gradient, trial_gradient = np.zeros(p), np.zeros(p)
    trial, direction = np.empty(p), np.empty(p)
    steps, changes, inverse = np.zeros((memory, p)), np.zeros((memory, p)), np.zeros(memory)
    weights = np.zeros(memory)
    count, newest, evaluations = 0, -1, 1
    f = evaluate(tape, theta, work, delta, tilt, n, gradient) / unit
    gradient /= unit
    if not math.isfinite(f):
        return np.inf, np.inf, evaluations
    earlier = np.inf
    for iteration in range(limit):
        if np.max(np.abs(gradient)) <= tolerance:
            break
        if iteration % _PATIENCE == 0:
            if earlier - f <= least * abs(f):
                break
            earlier = f
        _direction(gradient, steps, changes, inverse, count, newest, memory, weights, direction)
        slope = _dot(gradient, direction)
        if not slope < 0.0:
            if count == 0:
                break
            count = 0
            continue
        step = 1.0 if count > 0 else min(1.0, 1.0 / math.sqrt(_dot(gradient, gradient)))
        low, f_low, g_low = 0.0, f, slope
        high, f_high, g_high = np.inf, 0.0, 0.0
        accepted, f_trial = False, f
        for _ in range(_LINE_STEPS):
            for j in range(p):
                trial[j] = theta[j] + step * direction[j]
            f_trial = evaluate(tape, trial, work, delta, tilt, n, trial_gradient) / unit
            trial_gradient /= unit
            evaluations += 1
            g_trial = _dot(trial_gradient, direction)
            flat = f_trial <= f + _ROUNDING * abs(f) and g_trial <= (2.0 * _ARMIJO - 1.0) * slope
            if not (f_trial <= f + _ARMIJO * step * slope or flat):
                high, f_high, g_high = step, f_trial, g_trial
            elif g_trial < _WOLFE * slope:
                low, f_low, g_low = step, f_trial, g_trial
            else:
                accepted = True
                break
            if math.isfinite(high):
                if high - low <= 1e-15 * high:
                    break
                step = _between(low, f_low, g_low, high, f_high, g_high)
            else:
                step *= 4.0
        if not accepted:
            if low > 0.0:
                for j in range(p):
                    trial[j] = theta[j] + low * direction[j]
                f_trial = evaluate(tape, trial, work, delta, tilt, n, trial_gradient) / unit
                trial_gradient /= unit
                evaluations += 1
            elif count == 0:
                break
            else:
                count = 0
                continue
        curvature = 0.0
        for j in range(p):
            curvature += (trial[j] - theta[j]) * (trial_gradient[j] - gradient[j])
        if curvature > 0.0:
            newest = (newest + 1) % memory
            count = min(count + 1, memory)
            for j in range(p):
                steps[newest, j] = trial[j] - theta[j]
                changes[newest, j] = trial_gradient[j] - gradient[j]
            inverse[newest] = 1.0 / curvature
        f = f_trial
        theta[:] = trial
        gradient[:] = trial_gradient
    return f * unit, np.max(np.abs(gradient)), evaluations


@compiled
@no_type_check
def solve_in_turn(  # pragma: no cover
    tape, inputs, target, weights, replicate, theta, delta, tilt, stopping, memory, objective, gradient, count
):
    """Minimise from each row of `theta` in turn, with the weights of its replicate; see `solve.solve`.

    `theta` is overwritten by the results; `objective`, `gradient` and `count` receive the objective, the largest
    gradient entry and the number of evaluations of each.
    """
    scalars, vectors, constants, layout, parameters = tape
    n_max, rows = target.shape[0], layout.shape[0] + vectors.shape[0]
    registers = parameters + constants.shape[0] + scalars.shape[0]
    work = (
        np.zeros(registers),
        np.zeros(registers),
        np.zeros((rows, n_max)),
        np.zeros((rows, n_max)),
        np.zeros((vectors.shape[0], n_max)),
        np.zeros(n_max),
        np.zeros(n_max),
    )
    loaded, n = -1, 0
    for t in range(theta.shape[0]):
        if replicate[t] != loaded:
            n = _load(inputs, target, weights[replicate[t]], work)
            loaded = replicate[t]
        objective[t], gradient[t], count[t] = _minimise(tape, theta[t], work, n, delta, tilt, stopping, memory)
