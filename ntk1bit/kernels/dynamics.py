"""What a fixed kernel predicts: gradient descent on outputs, step by step, and where it ends.

    f_{t+1}(x) = f_t(x) - eta sum_j K(x, x_j) (f_t(x_j) - y_j)

for training points x = x_i (kernel K, (n, n)) and test points (kernel K*, (n_test, n)). With r_t = f_t - y this is
r_t = (I - eta K)^t r_0 and f*_t = f*_0 - eta K* (sum_{s<t} (I - eta K)^s) r_0 (Jacot 2018; Lee et al. 2019, in discrete
time). Nothing asks K to be symmetric: K_eff is not. Several outputs are predicted at once, each by the same kernel.

Short horizons are computed as written. Over long ones rounding would grow, and is kept out: where an eigenvalue cannot
be told from 0 (`ntk1bit.kernels.precision`), its direction is one that descent does not move, at any t, and that says
nothing about other points. For kernels K = J J^T and K* = J* J^T that is exact: K v = 0 means J^T v = 0, so K* v = 0.
With an orthonormal basis Q of all other directions, z_t = Q^T r_t and s_t = sum_{s<t} z_s,

    r_t = (I - Q Q^T)(r_0 - eta K Q s_t) + Q z_t,     f*_t = f*_0 - eta K* Q s_t,     z_{t+1} = (I - eta Q^T K Q) z_t.

A symmetric kernel gives Q from its eigenvectors, and z_t, s_t in closed form for any t; any other kernel gives Q from
its right singular vectors, and powers by squaring.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.typing import ArrayLike

from ntk1bit.arguments import number, require_memory, whole_numbers
from ntk1bit.errors import InputError
from ntk1bit.kernels.joint import separated
from ntk1bit.kernels.precision import Dtype, finite, kernel_entries, symmetric_within, unresolved
from ntk1bit.kernels.spectra import asymmetry_of, halved_sum
from ntk1bit.printing import record

_NEGLIGIBLE = 1e-6  # what rounding may change within a horizon that is computed step by step
_BLOCK = 1 << 20  # numbers in one block of predicted steps


class Prediction(NamedTuple):
    """Outputs that a kernel predicts.

    Attributes
    ----------
    steps
        (c,): the steps predicted.
    train, test
        (c, n) and (c, n_test): outputs after each of those steps; (c, n, k) and (c, n_test, k) for (n, k) targets.
    """

    steps: Int64[np.ndarray, " c"]
    train: Float[np.ndarray, "c n ..."]
    test: Float[np.ndarray, "c n_test ..."]

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


class Regression(NamedTuple):
    """Outputs of kernel regression on the training points, (n,) or (n, k), and on the test points, the same way."""

    train: Float[np.ndarray, "n ..."]
    test: Float[np.ndarray, "n_test ..."]

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


def predict(
    kernel: Float[np.ndarray, "n n ..."] | ArrayLike,
    y: Float[np.ndarray, "n ..."] | ArrayLike,
    *,
    eta: float,
    steps: int | Sequence[int] | ArrayLike,
    kernel_test: Float[np.ndarray, "n_test n ..."] | ArrayLike | None = None,
    f0: Float[np.ndarray, "n ..."] | ArrayLike | None = None,
    f0_test: Float[np.ndarray, "n_test ..."] | ArrayLike | None = None,
    computed_in: Dtype | None = None,
) -> Prediction:
    """Predict full-batch gradient descent on L = 1/2 sum_i (f(x_i) - y_i)^2 with a kernel that does not move.

    Parameters
    ----------
    kernel
        (n, n): entry (i, j) is the response at x_i to a residual at x_j. Symmetric or not. For k outputs that do not
        share one: (n, n, k, k), in which all outputs move each other (n k unknowns), or (n, n, k), a kernel for each
        (`ntk1bit.kernels.joint`).
    y
        (n,) targets, or (n, k) for k outputs.
    eta
        Learning rate, absolute (a `Trajectory.eta`); below 2/lambda_max for descent to converge.
    steps
        A number of steps T, for all of 0..T; or the steps wanted, increasing (checkpoints), up to 2^63 - 1. Far apart
        checkpoints cost little more than near ones.
    kernel_test
        (n_test, n): response at test points, (n_test, n, k, k) or (n_test, n, k) with such kernels; none by default.
    f0, f0_test
        Outputs at step 0, in the form of `y`; zero by default.
    computed_in
        The dtype in which the kernels were made, which decides what cannot be told from 0; by default the kernel's own,
        and float32 for a float64 array that holds float32 numbers only (see `ntk1bit.kernels.precision`).

    Returns
    -------
    Prediction
        A diverging prediction (eta too large) ends in infinity, without an error.

    Raises
    ------
    InputError
        If shapes do not match, numbers are not finite and real, eta is not positive, steps are no whole numbers,
        negative or not increasing, or the outputs asked for do not fit into memory.
    """
    eta = number("eta", eta, allowed="a positive number", above=0.0)
    several = separated(kernel, y, kernel_test, f0, f0_test)
    parts = [_predicted(_Problem.checked(*one, computed_in), eta, steps) for one in several.problems]
    train, test = (several.together([part[at] for part in parts]) for at in (1, 2))
    return Prediction(parts[0].steps, train, test)


def _predicted(problem: _Problem, eta: float, steps: int | Sequence[int] | ArrayLike) -> Prediction:
    at = _steps(steps, width=problem.residual.size + problem.f0_test.size)
    n, horizon = len(problem.residual), int(at[-1])
    cheap = horizon <= 8 * max(n, 1) * max(horizon, 1).bit_length()
    rounding = problem.eps * n * float(np.abs(problem.kernel).max(initial=0.0))  # of eigenvalues, at most about
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        follow = _by_steps if cheap and horizon * eta * rounding <= _NEGLIGIBLE else _by_directions
        train, test = follow(problem, eta, at)
    return Prediction(at, _infinite_where_diverged(train), _infinite_where_diverged(test))


def kernel_regression(
    kernel: Float[np.ndarray, "n n ..."] | ArrayLike,
    y: Float[np.ndarray, "n ..."] | ArrayLike,
    *,
    kernel_test: Float[np.ndarray, "n_test n ..."] | ArrayLike | None = None,
    ridge: float = 0.0,
    f0: Float[np.ndarray, "n ..."] | ArrayLike | None = None,
    f0_test: Float[np.ndarray, "n_test ..."] | ArrayLike | None = None,
    computed_in: Dtype | None = None,
) -> Regression:
    """Return where kernel descent ends: f* = f*_0 + K* (K + ridge I)^-1 (y - f_0), and the same on the training points.

    With `ridge = 0` this is the limit of `predict` for t -> infinity (when that converges); a symmetric kernel may be
    singular, and the pseudo-inverse is then taken, as descent never leaves the kernel's range. What counts as singular
    follows `computed_in`, and kernels of several outputs may be given, as for `predict`.

    Raises
    ------
    InputError
        As for `predict`; also for a negative ridge, or a singular kernel that is not symmetric.
    """
    ridge = number("ridge", ridge, allowed="0 or a positive number", least=0.0)
    several = separated(kernel, y, kernel_test, f0, f0_test)
    parts = [_regressed(_Problem.checked(*one, computed_in), ridge) for one in several.problems]
    return Regression(several.together([part.train for part in parts]), several.together([part.test for part in parts]))


def _regressed(problem: _Problem, ridge: float) -> Regression:
    start = problem.y + problem.residual
    if problem.symmetric:
        values, vectors = np.linalg.eigh(halved_sum(problem.kernel))
        keep = np.abs(values + ridge) > unresolved(values, problem.eps)
        values, vectors = values[keep], vectors[:, keep]
        along = _down(1 / (values + ridge), problem.y) * (vectors.T @ -problem.residual)
        return Regression(
            start + vectors @ (_down(values, problem.y) * along),
            problem.f0_test + (problem.kernel_test @ vectors) @ along,
        )
    k = problem.kernel + ridge * np.eye(len(problem.y))
    sizes = np.linalg.svd(k, compute_uv=False)
    if not sizes[-1] > unresolved(sizes, problem.eps):
        raise InputError(
            "the kernel is singular and not symmetric, so descent has no limit; give a ridge > 0 (or computed_in, "
            "if it was made in another precision than this one takes it for)"
        )
    dual = np.linalg.solve(k, -problem.residual)
    return Regression(start + problem.kernel @ dual, problem.f0_test + problem.kernel_test @ dual)


class _Problem(NamedTuple):
    """A checked prediction task in float64; `residual` is f_0 - y, `eps` the rounding with which K was made."""

    kernel: Float[np.ndarray, "n n"]
    y: Float[np.ndarray, "n ..."]
    residual: Float[np.ndarray, "n ..."]
    kernel_test: Float[np.ndarray, "n_test n"]
    f0_test: Float[np.ndarray, "n_test ..."]
    eps: float

    @classmethod
    def checked(
        cls, kernel: Any, y: Any, kernel_test: Any, f0: Any, f0_test: Any, computed_in: Dtype | None
    ) -> _Problem:
        targets = finite("y", y)
        if targets.ndim not in (1, 2):
            raise InputError(f"y has shape {targets.shape}; give (n,) targets, or (n, k) for k outputs")
        n, outputs = targets.shape[0], targets.shape[1:]
        matrix, eps = kernel_entries("kernel", kernel, computed_in)
        test = np.empty((0, n)) if kernel_test is None else kernel_entries("kernel_test", kernel_test, computed_in)[0]
        start = np.zeros_like(targets) if f0 is None else finite("f0", f0)
        start_test = np.zeros((len(test), *outputs)) if f0_test is None else finite("f0_test", f0_test)
        for name, array, shape in (
            ("kernel", matrix, (n, n)),
            ("kernel_test", test, (len(test), n)),
            ("f0", start, targets.shape),
            ("f0_test", start_test, (len(test), *outputs)),
        ):
            if array.shape != shape:
                raise InputError(
                    f"{name} has shape {array.shape}, but targets of shape {targets.shape} call for {shape}"
                )
        return cls(matrix, targets, start - targets, test, start_test, eps)

    @property
    def symmetric(self) -> bool:
        largest = float(np.abs(self.kernel).max(initial=0.0))
        return asymmetry_of(self.kernel) <= symmetric_within(self.eps) * largest


def _by_steps(
    problem: _Problem, eta: float, at: Int64[np.ndarray, " c"]
) -> tuple[Float[np.ndarray, "c n ..."], Float[np.ndarray, "c n_test ..."]]:
    """Descend as written, one step after the other."""
    step = np.eye(len(problem.residual)) - eta * problem.kernel
    residual, pushed = problem.residual, np.zeros_like(problem.residual)  # r_t, and the sum of all residuals before t
    train = np.empty((len(at), *problem.residual.shape))
    test = np.empty((len(at), *problem.f0_test.shape))
    now = 0
    for row, goal in enumerate(at.tolist()):
        for _ in range(goal - now):
            pushed = pushed + residual
            residual = step @ residual
        now = goal
        train[row] = problem.y + residual
        test[row] = problem.f0_test - eta * (problem.kernel_test @ pushed)
    return train, test


def _by_directions(
    problem: _Problem, eta: float, at: Int64[np.ndarray, " c"]
) -> tuple[Float[np.ndarray, "c n ..."], Float[np.ndarray, "c n_test ..."]]:
    """Descend along the directions that can be told from 0 (this module's text)."""
    n, n_test = len(problem.residual), len(problem.f0_test)
    outputs = problem.residual.size // n if n else 1
    residual, symmetric = problem.residual.reshape(n, outputs), problem.symmetric
    if symmetric:
        values, basis = np.linalg.eigh(halved_sum(problem.kernel))
        small = unresolved(values, problem.eps)
        psd = float(values.min(initial=0.0)) >= -small
        values = np.where(np.abs(values) > small, values, 0.0)
        keep = (values != 0) | _moves_elsewhere(problem, basis, small, psd=psd)
        values, basis = values[keep], basis[:, keep]
        states = _closed_form(eta * values, basis.T @ residual, at)
    else:
        _, sizes, rows = np.linalg.svd(problem.kernel)
        small = unresolved(sizes, problem.eps)
        basis = rows.T[:, (sizes > small) | _moves_elsewhere(problem, rows.T, small, psd=False)]
        states = _by_squaring(eta * basis.T @ problem.kernel @ basis, basis.T @ residual, at)
    still = problem.y.reshape(n, outputs) + residual - basis @ (basis.T @ residual)
    moved, response = problem.kernel @ basis, problem.kernel_test @ basis
    outside = moved - basis @ (basis.T @ moved)  # of what a step does; nothing for a symmetric kernel
    train, test = np.empty((len(at), n, outputs)), np.empty((len(at), n_test, outputs))
    first = 0
    for z, s in states:
        block = slice(first, first := first + len(z))
        train[block] = still + basis @ z - (0.0 if symmetric else eta * (outside @ s))
        test[block] = problem.f0_test.reshape(n_test, outputs) - eta * (response @ s)
    return train.reshape(len(at), *problem.residual.shape), test.reshape(len(at), *problem.f0_test.shape)


def _moves_elsewhere(
    problem: _Problem, basis: Float[np.ndarray, "n n"], small: float, *, psd: bool
) -> Bool[np.ndarray, " n"]:
    """Say along which directions the test kernel is more than what may remain of 0.

    With both kernels from one network |K* v|^2 <= K*(x,x) v^T K v; a test kernel beyond that belongs to another one,
    and is followed as it stands. Where K is no such kernel, what remains is rounding of entries.
    """
    own, other = (float(np.abs(k).max(initial=0.0)) for k in (problem.kernel, problem.kernel_test))
    response = np.abs(problem.kernel_test @ basis).max(axis=0, initial=0.0)
    return response > (4 * np.sqrt(small * max(own, other)) if psd else small * max(other / own if own else 1.0, 1.0))


def _closed_form(
    rates: Float[np.ndarray, " r"], start: Float[np.ndarray, "r k"], at: Int64[np.ndarray, " c"]
) -> Iterator[tuple[Float[np.ndarray, "b r k"], Float[np.ndarray, "b r k"]]]:
    """Yield z_t = (1 - a)^t z_0 and s_t = (1 - (1 - a)^t)/a z_0 for each a in `rates`, blocks of steps at a time."""
    logarithm = np.where(rates <= 1, np.log1p(-np.minimum(rates, 1.0)), np.log1p(np.maximum(rates, 1.0) - 2))
    for block in np.array_split(at, max(1, min(len(at), -(-len(at) * start.size // _BLOCK)))):
        t = block[:, None]
        exponent = np.where(t == 0, 0.0, t * logarithm)  # 0 times the logarithm of 0 is 0 here
        power = np.where((rates > 1) & (t % 2 == 1), -1.0, 1.0) * np.exp(exponent)
        total = np.where(rates < 1, -np.expm1(exponent), 1 - power) / np.where(rates == 0, 1.0, rates)
        total = np.where(rates == 0, t.astype(np.float64), total)
        yield power[:, :, None] * start, total[:, :, None] * start


def _by_squaring(
    rates: Float[np.ndarray, "r r"], start: Float[np.ndarray, "r k"], at: Int64[np.ndarray, " c"]
) -> Iterator[tuple[Float[np.ndarray, "1 r k"], Float[np.ndarray, "1 r k"]]]:
    """Yield z_t = M^t z_0 and the sum of M^s z_0 over s < t, with M = I - `rates`."""
    eye = np.eye(len(rates))
    z, s, now = start, np.zeros_like(start), 0
    for goal in at.tolist():
        count, now = goal - now, goal
        if count <= 8 * max(len(rates), 1) * max(count, 1).bit_length():
            for _ in range(count):
                s = s + z
                z = z - rates @ z
        else:
            power, total = eye - rates, eye  # M^(2^b), and the sum of M^s over s < 2^b
            while count:
                if count & 1:
                    s = s + total @ z
                    z = power @ z
                count >>= 1
                if count:
                    # in this order, and not power @ power: Newton's iteration for the inverse, which forgets its errors
                    total = total + total @ power
                    power = eye - rates @ total
        yield z[None], s[None]


def _infinite_where_diverged(outputs: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
    """Say infinity for what infinities of both signs have added up to."""
    return np.where(np.isnan(outputs), np.inf, outputs)


def _down(values: Float[np.ndarray, " r"], like: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "r ..."]:
    """Turn one number for each direction into a column, where outputs such as `like` are columns."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def _steps(steps: object, *, width: int) -> Int64[np.ndarray, " c"]:
    """Check steps, and that outputs of `width` numbers at each of them fit into memory."""
    allowed = "a whole number >= 0 or an increasing list of them, below 2^63"
    at = whole_numbers("steps", steps, allowed=allowed)
    if at.ndim == 0:
        require_memory(
            f"{width} outputs at each of {int(at) + 1:,} steps",
            8.0 * (width + 1) * (int(at) + 1),
            instead=f"give the steps wanted, such as steps=[0, 1000, {int(at)}]",
        )
        at = np.arange(max(int(at) + 1, 0))
    if len(at) == 0 or at[0] < 0 or (at[1:] <= at[:-1]).any():
        raise InputError(f"steps must be {allowed}, got {steps}")
    return at
