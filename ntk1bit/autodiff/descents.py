"""Gradient descent of a network, as it is trained and as its kernel at the start predicts it.

`ntk1bit.autodiff.forecasts` has the equations and compares the two. Full batch, on a loss summed over inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntk1bit.arguments import number, real_array
from ntk1bit.autodiff import programs, rows
from ntk1bit.autodiff.losses import LossName, loss_value, output_gradient
from ntk1bit.autodiff.weight_signs import WeightSigns, flipped
from ntk1bit.errors import InputError
from ntk1bit.kernels import joint_matrix, predict, spectrum

Outputs = Float[np.ndarray, "steps n ..."]


class RecordedDescent(NamedTuple):
    """A training of T steps.

    Attributes
    ----------
    outputs
        (T + 1, n + n_test) or with an axis of outputs: f_t at training inputs, and then at test inputs.
    said
        (T, ...), the same: -eta K_t g_t, what the kernel at step t says of the change that follows.
    flips, flips_since_start
        (T + 1,): shares of the signs that differ from the step before, and from the start.
    """

    outputs: Outputs
    said: Float[np.ndarray, "moves n ..."]
    flips: Float[np.ndarray, " steps"]
    flips_since_start: Float[np.ndarray, " steps"]


def trained_outputs(
    outputs_of: Callable[[Any, Any, Any], Any],
    loss: LossName,
    arrays: tuple[Any, Any],
    targets: np.ndarray,
    eta: float,
    every: Any,
    n: int,
    steps: int,
    flips: WeightSigns,
    tell: Callable[[str, float], None],
) -> RecordedDescent:
    """Train by gradient descent, and record.

    Parameters
    ----------
    outputs_of
        Outputs from (trained arrays, other arrays, inputs).
    loss
        Its name.
    arrays
        Trained and other arrays of parameters.
    targets
        (n,) or (n, outputs).
    eta
        Learning rate.
    every, n
        All inputs, of which the first n are trained on.
    steps
        T.
    flips
        What flips are counted of.
    tell
        Called with words and the share done.
    """

    def step(trained: Any, frozen: Any, y: jax.Array, eta: jax.Array, x: Any) -> Any:
        """Return parameters after a step, outputs before it, and what the kernel now says of their change."""
        outputs, pull = jax.vjp(lambda at: outputs_of(at, frozen, x), trained)
        gradient = jax.grad(lambda at: loss_value(loss, outputs_of(at, frozen, rows.take(x, slice(n))), y))(trained)
        move = jax.tree.map(lambda g: (-eta * g).astype(g.dtype), gradient)
        # J u as the transpose of v -> J^T v, which functions with a custom_vjp have as well
        said = jax.vjp(lambda v: pull(v)[0], jnp.zeros_like(outputs))[1](move)[0]
        return jax.tree.map(jnp.add, trained, move), outputs, said

    trained, frozen = arrays
    wide = jnp.promote_types(jnp.result_type(*trained), jnp.float32)  # a rate in 16 bits would be another one
    rest = (frozen, jnp.asarray(targets, wide), jnp.asarray(eta, wide), every)
    run = programs.compiled("descent", step, trained, *rest)
    read = programs.compiled("signs", flips.read, trained, frozen)
    held: list[np.ndarray] = []
    said: list[np.ndarray] = []
    shares: list[tuple[float, float]] = []
    start = before = read(trained, frozen)
    for t in range(steps + 1):
        *moved, outputs, change = run(trained, *rest)
        held.append(np.asarray(outputs, np.float64))
        now = read(trained, frozen)
        shares.append((flipped(now, before) / flips.size, flipped(now, start) / flips.size))
        if not np.isfinite(held[-1]).all():
            shares[-1] = (math.nan, math.nan)  # weights that are not numbers have no signs
        said.append(np.asarray(change, np.float64))
        before, trained = now, tuple(moved)
        tell(f"step {t}", t / steps)
    each = np.array(shares)
    each[0, 0] = math.nan
    return RecordedDescent(np.stack(held), np.stack(said[:-1]), each[:, 0], each[:, 1])


def predicted_outputs(
    loss: LossName,
    kernel: np.ndarray,
    kernel_test: np.ndarray | None,
    targets: np.ndarray,
    f0: np.ndarray,
    f0_test: np.ndarray,
    eta: float,
    steps: int,
) -> Outputs:
    """Return p_0..p_T at training and test inputs, one after the other."""
    if loss == "squared":
        test = {} if kernel_test is None else {"kernel_test": kernel_test, "f0_test": f0_test}
        found = predict(kernel, targets, eta=eta, steps=steps, f0=f0, **test)
        return found.train if kernel_test is None else np.concatenate([found.train, found.test], axis=1)
    own = kernel_matrix(kernel)
    response = own if kernel_test is None else np.concatenate([own, kernel_matrix(kernel_test)])
    return recursion(loss, response, targets, np.concatenate([f0, f0_test]), eta, steps)


def recursion(
    loss: LossName, response: Float[np.ndarray, "m k"], y: np.ndarray, start: np.ndarray, eta: float, steps: int
) -> Outputs:
    """Return p_{t+1} = p_t - eta K_0 g(p_t) as written, for any loss; the plain form of `kernels.predict`.

    Parameters
    ----------
    loss
        Its name.
    response
        K_0 of all inputs (rows) to those of y, as a matrix over inputs and outputs (`kernels.joint_matrix`).
    y
        Targets of the first inputs of `start`.
    start
        p_0.
    eta, steps
        Rate, and T.

    Returns
    -------
    (T + 1, ...) in float64.
    """
    held = [start]
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            gradient = output_gradient(loss, held[-1][: len(y)], y)
            held.append(held[-1] - eta * (response @ gradient.reshape(-1)).reshape(start.shape))
    return np.stack(held)


def kernel_matrix(kernel: np.ndarray) -> Float[np.ndarray, "m k"]:
    """Return a kernel as a matrix over inputs and outputs, in float64."""
    return (joint_matrix(kernel) if kernel.ndim == 4 else kernel).astype(np.float64)


def largest_eigenvalue(kernel: np.ndarray) -> float:
    """Return lambda_max of all outputs together."""
    return float(spectrum(kernel).eigenvalues[0])


class Rate(NamedTuple):
    """A learning rate as it was given: absolute, or in units of 1/lambda_max(K_0)."""

    value: float
    relative: bool

    def absolute(self, largest: float) -> float:
        """Return the rate for a kernel with this largest eigenvalue.

        Raises
        ------
        InputError
            If the unit is asked for, and the kernel is zero.
        """
        if not self.relative:
            return self.value
        if not largest > 0:
            raise InputError("the kernel at the start is zero, so that eta_rel has no unit; give the rate as eta=...")
        return self.value / largest


def read_rate(eta: float | None, eta_rel: float | None) -> Rate:
    """Return the rate that one of both gives, or 0.5 in units of 1/lambda_max(K_0).

    Raises
    ------
    InputError
        If both are given, or one is not positive.
    """
    if eta is not None and eta_rel is not None:
        raise InputError("give eta, a learning rate, or eta_rel, one in units of 1/lambda_max, not both")
    if eta is not None:
        return Rate(number("eta", eta, allowed="a positive number", above=0.0), relative=False)
    relative = 0.5 if eta_rel is None else eta_rel
    return Rate(number("eta_rel", relative, allowed="a positive number", above=0.0), relative=True)


def read_targets(y: Any, outputs: Any, loss: LossName) -> Float[np.ndarray, "n ..."]:
    """Return targets in float64.

    Raises
    ------
    InputError
        If they are not finite numbers of the shape of the outputs, or the loss asks for others.
    """
    targets = real_array("y", y).astype(np.float64)
    if targets.shape != outputs.shape:
        raise InputError(f"y must have the shape of the outputs, {outputs.shape}, got {targets.shape}")
    if not np.isfinite(targets).all():
        raise InputError("y contains NaN or infinity; it must hold finite numbers, one for each output")
    if loss == "squared":
        return targets
    if targets.min() < 0 or targets.max() > 1:
        raise InputError(f"y must hold numbers from 0 to 1 for the loss {loss!r}: probabilities, such as one-hot rows")
    if loss == "cross_entropy":
        if targets.ndim < 2 or targets.shape[1] < 2:
            raise InputError(
                "the softmax of one output is 1 whatever it is; take loss 'logistic', or two outputs or more"
            )
        if not np.allclose(targets.sum(axis=1), 1, rtol=0, atol=1e-3):  # what half precision makes of a sum of 1
            raise InputError("the rows of y must add up to 1 for the loss 'cross_entropy': probabilities of classes")
    return targets
