r"""How outputs of trained 1-bit networks scatter, and how far they end from full precision's, with a size for each.

A network from a ``paired`` start (f_0 = 0) is trained until it fits: f(X) = y. Then a function of the inputs' span is
known, and the rest is what kernels say about it, and noise. With A = K_eff(., X) K_eff(X, X)^-1, R = -K_eff(X, X)^-1 y,
and A', R' those of H,

    1-bit:            f(x) = A y + (delta(x) - A delta(X)),
    full precision:   f'(x) = A' y + (delta'(x) - A' delta'(X)),

where delta is by how much the finite network's output, as a function of R, is off -K_eff R: it must be made good on the
training inputs, by a change of R of K_eff^-1 delta(X). It has two parts.

**Which weights flip.** Of the type (w conditioned on c_k = 0, k) those flip that are within |V^+- . R|/sqrt m of their
threshold (`kernels.mean_fields`): a Poisson number of mean sqrt m p_0 |V^+- . R|, and each moves the output by
J/sqrt m, J = kappa (relu(z^+) - relu(z^-)). So their sum has the covariance m^-1/2 Phi,

    Phi_ij = p_0 d E_type[ J_i J_j (|V^+ . R| + |V^- . R|)/2 ].

**Which neurons there are.** The smooth part is a mean over neurons of h(x) = kappa^2 smooth(x, X) . R, so that it has
the variance 2 Var(h)/m over ``paired`` networks, which have m/2 neurons to draw; so has full precision, with the
summands of H. As both networks start from the same neurons, it is the variance of the difference that counts in f - f'.

Hence the scatter over networks is of size m^-1/4, by flips, where full precision's is m^-1/2; and

    E|f - f'|^2 = |A y - A' y|^2 + m^-1/2 (flips) + m^-1 (neurons),

of which width removes the last two. All this is for patterns that are ``frozen`` at the start. Straight-through
training comes close to it where its oscillation has passed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ntk1bit.arguments import input_rows, real_array, whole
from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.errors import InputError, require_choice
from ntk1bit.kernels.effective import LEAST_SAMPLES, effective_ntk, threshold_density
from ntk1bit.kernels.limits import checked_sampling, limit_ntk
from ntk1bit.kernels.mean_fields import forces_and_jumps, smooth_factors, training_inputs
from ntk1bit.networks.quantizers import SCALES, Scale
from ntk1bit.networks.two_layer.network import PRECISIONS, Precision, checked_targets
from ntk1bit.printing import record

_STREAM = 0x36  # keeps these draws apart from those of kernels at the same seed
_CHUNK = 4096  # neurons at once
_BATCHES = 8  # of K_eff, for the error of its regression


@dataclass(frozen=True, eq=False)
class OutputSpread:
    """Outputs of trained networks of a ``paired`` start on test inputs: means and variances, and what they go with.

    Attributes
    ----------
    one_bit, full
        (n_test,): A y and A' y, what either precision tends to as m -> infinity.
    error
        (n_test,): standard error of `one_bit`, by Monte Carlo.
    flips
        (n_test,): sqrt(m) times the variance over networks through which weights flip; full precision has none.
    neurons, neurons_full
        (n_test,): m times the variance through which neurons there are, 1-bit and full precision.
    neurons_apart
        (n_test,): m times that of the difference of both, from the same start.
    """

    one_bit: Float[np.ndarray, " n_test"]
    full: Float[np.ndarray, " n_test"]
    error: Float[np.ndarray, " n_test"]
    flips: Float[np.ndarray, " n_test"]
    neurons: Float[np.ndarray, " n_test"]
    neurons_full: Float[np.ndarray, " n_test"]
    neurons_apart: Float[np.ndarray, " n_test"]

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    def spread(self, width: int, precision: Precision = "one_bit") -> Float[np.ndarray, " n_test"]:
        """Return the standard deviation of outputs over networks of m = `width` neurons."""
        require_choice("precision", precision, PRECISIONS)
        m = whole("width", width, allowed="a positive whole number", least=1)
        if precision == "full":
            return np.sqrt(self.neurons_full / m)
        return np.sqrt(self.flips / np.sqrt(m) + self.neurons / m)

    def gap(self, width: int) -> Float[np.ndarray, " n_test"]:
        """Return the root mean square over networks of f - f', both from one start, at m = `width`."""
        m = whole("width", width, allowed="a positive whole number", least=1)
        return np.sqrt((self.one_bit - self.full) ** 2 + self.flips / np.sqrt(m) + self.neurons_apart / m)


def output_spread(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    y: Float[np.ndarray, " n"] | ArrayLike,
    x_test: Float[np.ndarray, "n_test d"] | ArrayLike,
    *,
    kappa: float = 1.0,
    scale: Scale = "std",
    samples: int = 400_000,
    seed: int = 0,
) -> OutputSpread:
    """Predict means and variances of the outputs of trained wide networks, without a fitted constant.

    Parameters
    ----------
    x, y
        Training inputs (n, d), n >= 1, d >= 2, and targets (n,).
    x_test
        (n_test, d): where outputs are wanted.
    kappa, scale
        As in `networks.two_layer.outputs`.
    samples
        Neurons drawn for each of the expectations, >= 512.
    seed
        Non-negative integer.

    Raises
    ------
    InputError
        If shapes do not match, inputs are not finite, d < 2, an option is unknown, a number is out of range, or either
        kernel is singular on the training inputs, so that training cannot fit them.
    """
    require_choice("scale", scale, SCALES)
    kappa = checked_kappa(kappa)
    inputs = training_inputs(x, "the spread of outputs")
    tests = input_rows("x_test", x_test).astype(np.float64)
    if tests.shape[1] != inputs.shape[1]:
        raise InputError(f"x has {inputs.shape[1]} features but x_test has {tests.shape[1]}; they must match")
    targets = checked_targets(real_array("y", y), len(inputs)).astype(np.float64)
    samples, seed = checked_sampling(samples, seed, least=_BATCHES * LEAST_SAMPLES)
    every = np.concatenate([inputs, tests])
    seeds = [int(one) for one in np.random.SeedSequence([seed, _STREAM]).generate_state(_BATCHES)]
    kernels = [
        effective_ntk(every, inputs, kappa=kappa, scale=scale, samples=samples // _BATCHES, seed=one).value
        for one in seeds
    ]
    weights, root = _regression(np.mean(kernels, axis=0), targets, "K_eff")
    each = np.stack([_regression(kernel, targets, "K_eff")[0] @ targets for kernel in kernels])
    weights_full, root_full = _regression(
        limit_ntk(every, inputs, precision="full", kappa=kappa).value, targets, "the limit of H"
    )
    n = len(inputs)
    flips = np.zeros(len(tests))
    sums = np.zeros((3, 2, len(tests)))  # of 1-bit, full precision and their difference: values and squares
    rng = np.random.default_rng([seed, _STREAM, inputs.shape[1]])
    for first in range(0, samples, _CHUNK):
        size = min(_CHUNK, samples - first)
        w = rng.standard_normal((size, inputs.shape[1]))
        k = (rng.integers(inputs.shape[1]) + np.arange(size)) % inputs.shape[1]
        jump, reach = flips_by_type(w, k, every, n, root, scale=scale)
        flips += (reach[:, None] * _unlearnt(jump, weights, n) ** 2).sum(axis=0)
        moved = [
            _unlearnt(smooth_response(w, every, n, root, scale=scale), weights, n),
            _unlearnt(full_response(w, every, n, root_full), weights_full, n),
        ]
        for total, values in zip(sums, (*moved, moved[0] - moved[1]), strict=True):
            total += values.sum(axis=0), (values**2).sum(axis=0)
    one_bit, full, apart = 2 * kappa**4 * (sums[:, 1] / samples - (sums[:, 0] / samples) ** 2)
    density = threshold_density(inputs.shape[1]) * inputs.shape[1]
    return OutputSpread(
        weights @ targets,
        weights_full @ targets,
        each.std(axis=0, ddof=1) / np.sqrt(_BATCHES),
        kappa**3 * density * flips / samples,
        one_bit,
        full,
        apart,
    )


def _regression(
    kernel: Float[np.ndarray, "k n"], y: Float[np.ndarray, " n"], name: str
) -> tuple[Float[np.ndarray, "n_test n"], Float[np.ndarray, " n"]]:
    """Return A on the test inputs, and R; `kernel` is that on training and test inputs."""
    n = len(y)
    own = kernel[:n]
    if not np.linalg.cond(own) < 1 / np.finfo(np.float32).eps:
        raise InputError(f"{name} is singular on the training inputs; leave out inputs that repeat or are 0")
    return np.linalg.solve(own.T, kernel[n:].T).T, -np.linalg.solve(own, y)


def _unlearnt(
    values: Float[np.ndarray, "b k"], weights: Float[np.ndarray, "n_test n"], n: int
) -> Float[np.ndarray, "b n_test"]:
    """Take off what training makes good: values(x) - A values(X)."""
    return values[:, n:] - values[:, :n] @ weights.T


def flips_by_type(
    w: Float[np.ndarray, "b d"], k: np.ndarray, x: Float[np.ndarray, "k d"], n: int, root: np.ndarray, *, scale: Scale
) -> tuple[Float[np.ndarray, "b k"], Float[np.ndarray, " b"]]:
    """Return jumps (z^+)_+ - (z^-)_+ on all inputs and (|V^+ . R| + |V^- . R|)/2, for kappa = 1; the first n train."""
    above, below, jump = forces_and_jumps(w, k, x, n, kappa=1.0, scale=scale)
    return jump, (np.abs(above @ root) + np.abs(below @ root)) / 2


def smooth_response(
    w: Float[np.ndarray, "b d"], x: Float[np.ndarray, "k d"], n: int, root: np.ndarray, *, scale: Scale
) -> Float[np.ndarray, "b k"]:
    """Return smooth(x, X) . R of each neuron (`kernels.effective`, 3), for kappa = 1."""
    along, active, growth = smooth_factors(x, w, scale, moved_along=x[:n])
    moved = active[:, :n] * root
    return active * (
        along * (moved * growth).sum(axis=1)[:, None] + np.outer(moved @ x[:n].mean(axis=1), x.sum(axis=1))
    )


def full_response(
    w: Float[np.ndarray, "b d"], x: Float[np.ndarray, "k d"], n: int, root: np.ndarray
) -> Float[np.ndarray, "b k"]:
    """Return H(x, X) . R of each neuron, for kappa = 1."""
    active = w @ x.T >= 0
    return active * (((active[:, :n] * root) @ x[:n]) @ x.T)
