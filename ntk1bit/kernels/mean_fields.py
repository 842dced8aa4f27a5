r"""The limit of 1-bit training as m -> infinity: a deterministic recursion with memory, without a fitted constant.

**Scale.** In a fixed number of steps a latent weight moves by O(1/sqrt m). So only those within O(1/sqrt m) of their
threshold c_rk = w_rk - mu_r = 0 can flip: O(sqrt m) of the m d, each of which moves f by O(1/sqrt m). Their number is
large and their sum is not small: f_t tends to a limit F_t, and what is left over is of size m^-1/4.

**Types.** Put tau = sqrt(m) c_rk. A latent weight within reach is a *type*, its neuron conditioned on c_rk = 0 (w ~
N(0, I_d), the coordinate k, the output sign a), and tau, which is uniform at the density p_0 = 1/sqrt(2 pi (1 - 1/d))
of c_rk at 0. Let z_i^+ and z_i^- be the neuron's pre-activations on x_i for q_k = +1 and -1. With r_t = F_t - y on the
training inputs, dR_t = eta r_t and R_t = sum of dR over the steps taken, the straight-through step moves tau by

    tau_{t+1} = tau_t + a V^q . dR_t,     V^q_i = -kappa 1[z_i^q >= 0] (x_ik - mean_k x_i),     q = Sign(tau_t),

and a sign that goes up moves the output on x by a kappa (relu(z^+(x)) - relu(z^-(x)))/sqrt m. Let N_t^a be the length
of tau that has come up through 0 in t steps, less that which has gone down. Then

    F_t(x) = f_0(x) - K_s(x, X) R_t + p_0 d E_type[ kappa (relu(z^+(x)) - relu(z^-(x))) (N_t^+ - N_t^-)/2 ],

k uniform over coordinates, K_s the smooth part of K_eff (scales and means move with w; `kernels.effective`).

**Memory.** The force on a weight depends on the side of the threshold that it is on: it is a relay. Where the forces of
both sides push towards the threshold, a V^+ . dR < 0 < a V^- . dR, the weight *sticks*: it crosses back and forth, and
what N does depends on the whole past. With the patterns held ``frozen`` at the start each weight keeps the force of its
first side, N^+ - N^- = (V^+ + V^-) . R_t whatever the path, and F is descent with K_eff. With those of the latent
weights (``latent``) V^+ = V^-, and F is descent with K_lat.

**How it is computed.** So the sum is taken from K_eff, which is known to a part in a thousand, and types give only the
departure from it, N_t^+ - N_t^- - (V^+ + V^-) . R_t. Types on which no training input switches, z_i^+ and z_i^- on one
side for all i, have none and are not followed. For each of the others the line of tau is laid out in points at a
distance h, with offsets of the golden ratio's sequence from type to type. Points that have never crossed all move alike
on each side, so only the nearest one is kept; it is set free when it crosses. Thus the window of tau grows by itself,
and nothing leaves it.

Only rounding, the number of types and the points per type are between this and the limit. Several replicates, each with
types, points and a K_eff of its own, say how large the error is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.typing import ArrayLike

from ntk1bit.arguments import input_rows, number, real_array, whole
from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.compiling import compiled
from ntk1bit.cores.backends import settings
from ntk1bit.cores.threads import run_pieces, single_threaded_blas
from ntk1bit.errors import InputError, require_choice
from ntk1bit.kernels.dynamics import predict
from ntk1bit.kernels.effective import (
    LEAST_SAMPLES,
    conditioned,
    effective_ntk,
    symmetric_part,
    threshold_density,
)
from ntk1bit.kernels.limits import limit_ntk
from ntk1bit.networks.quantizers import SCALES, Scale, centred_scale
from ntk1bit.networks.two_layer.network import ACTIVITIES, PRECISIONS, STRAIGHT_THROUGH, Activity, Precision
from ntk1bit.printing import record

NEAR = 0.1  # |tau| below which a weight is called near its threshold
POINTS = 12  # of tau for the reach of a type
_STREAM = 0x33  # keeps these draws apart from those of kernels at the same seed
_CHUNK = 8192  # types drawn at once


@dataclass(frozen=True, eq=False)
class MeanField:
    """The limit of training at infinite width, with the error of its computation.

    Attributes
    ----------
    outputs, test_outputs
        (steps + 1, n) and (steps + 1, n_test): F_t, mean over replicates.
    error, test_error
        Standard errors of these, from the spread of replicates.
    replicates
        (replicates, steps + 1, n): F_t of each, for the error of whatever is computed from outputs.
    sticking
        (steps,): share of latent weights within reach of their threshold that stick at each step, driven towards it
        from both sides.
    near_threshold
        Density of latent weights within 0.1/sqrt(m) of their threshold after the last step, in units of the density at
        the start; mean over replicates.
    eta
        Learning rate, eta_rel / lambda_max of the limit of H(0).
    y
        (n,): the targets.
    """

    outputs: Float[np.ndarray, "t n"]
    test_outputs: Float[np.ndarray, "t n_test"]
    error: Float[np.ndarray, "t n"]
    test_error: Float[np.ndarray, "t n_test"]
    replicates: Float[np.ndarray, "r t n"]
    sticking: Float[np.ndarray, " steps"]
    near_threshold: float
    eta: float
    y: Float[np.ndarray, " n"]

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    def loss(self, over: int = 1) -> Float[np.ndarray, "r t"]:
        """Return 1/2 |F - y|^2 of each replicate, of the mean of `over` successive outputs.

        Entry t is that of the mean of F_t to F_{t + over - 1}. With 2 an oscillation of period two is gone.
        """
        return averaged_loss(self.replicates, self.y, over)


def averaged_loss(outputs: Float[np.ndarray, "*r t n"], y: Float[np.ndarray, " n"], over: int) -> np.ndarray:
    """Return 1/2 |f - y|^2 of the mean of `over` successive outputs, (*r, t - over + 1).

    Raises
    ------
    InputError
        If `over` is below 1.
    """
    over = whole("over", over, allowed="a whole number, 1 or more", least=1)
    kept = outputs.shape[-2] - over + 1
    mean = sum(outputs[..., shift : shift + kept, :] for shift in range(over)) / over
    return 0.5 * ((mean - y) ** 2).sum(axis=-1)


def mean_field(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    y: Float[np.ndarray, " n"] | ArrayLike,
    *,
    kappa: float = 1.0,
    eta_rel: float = 1.0,
    steps: int = 100,
    activity: Activity = STRAIGHT_THROUGH,
    scale: Scale = "std",
    precision: Precision = "one_bit",
    start: Float[np.ndarray, " n"] | ArrayLike | None = None,
    x_test: Float[np.ndarray, "n_test d"] | ArrayLike | None = None,
    start_test: Float[np.ndarray, " n_test"] | ArrayLike | None = None,
    particles: int = 1_000_000,
    replicates: int = 4,
    seed: int = 0,
) -> MeanField:
    """Compute what training by `two_layer.train` tends to as the width grows, at fixed inputs, rate and steps.

    Parameters
    ----------
    x, y
        Training inputs (n, d) and targets (n,).
    kappa, scale, precision
        As in `networks.two_layer.outputs`. In full precision it is descent with the limit of H.
    eta_rel
        Learning rate in units of 1/lambda_max of the limit of H(0), for either precision its own.
    steps
        Number of steps, >= 1.
    activity
        As in `two_layer.train`. With the patterns of the start (``"frozen"``) the limit is descent with K_eff, with
        those of the latent weights (``"latent"``), which no flip changes, descent with K_lat (`kernels.effective`).
    start, start_test
        (n,) and (n_test,): f_0. None for a ``paired`` start, 0. An ``iid`` start is given the outputs of the network
        that it is compared with, or a draw of the Gaussian process that they tend to.
    x_test
        (n_test, d): where outputs are wanted as well.
    particles
        Points of tau in all replicates together, 12 to a type: >= 12 times `replicates`.
    replicates
        Independent computations, >= 2.
    seed
        Non-negative integer.

    Returns
    -------
    MeanField
        The same bits for any number of threads.

    Raises
    ------
    InputError
        If shapes do not match, inputs are not finite, d < 2, an option is unknown, or a number is out of range.
    """
    require_choice("activity", activity, ACTIVITIES)
    require_choice("precision", precision, PRECISIONS)
    require_choice("scale", scale, SCALES)
    problem = _checked(x, y, x_test, start, start_test, checked_kappa(kappa), scale)
    eta_rel = number("eta_rel", eta_rel, allowed="a positive number", above=0.0)
    steps = whole("steps", steps, allowed="a whole number, 1 or more", least=1)
    replicates = whole("replicates", replicates, allowed="a whole number, 2 or more", least=2)
    particles = whole("particles", particles, allowed="at least 12 for each replicate", least=POINTS * replicates)
    seed = whole("seed", seed, allowed="a non-negative integer", least=0)

    eta = limit_rate(problem.x, eta_rel, precision=precision, kappa=problem.kappa, scale=scale, seed=seed)
    every = np.concatenate([problem.x, problem.x_test])
    if precision == "full":
        kernel = limit_ntk(every, problem.x, precision="full", kappa=problem.kappa).value
        return _of_kernels(problem, [kernel] * replicates, eta, steps)
    seeds = [int(one) for one in np.random.SeedSequence([seed, _STREAM]).generate_state(replicates)]
    types = max(1, particles // (POINTS * replicates))
    samples = max(LEAST_SAMPLES, 4 * types)
    kernels = [
        effective_ntk(
            every, problem.x, kappa=problem.kappa, scale=scale, activity=activity, samples=samples, seed=one
        ).value
        for one in seeds
    ]
    if activity != STRAIGHT_THROUGH:
        return _of_kernels(problem, kernels, eta, steps)
    found: list[_Followed | None] = [None] * replicates

    def piece(index: int) -> None:
        found[index] = _follow(problem, kernels[index], eta, steps, types, seeds[index])

    with single_threaded_blas():
        run_pieces(piece, replicates, threads=settings().threads, work_ns=1e3 * types * replicates * steps)
    followed = [one for one in found if one is not None]
    return _gathered(
        problem,
        np.stack([one.outputs for one in followed]),
        eta,
        np.mean([one.sticking for one in followed], axis=0),
        float(np.mean([one.near for one in followed])),
    )


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is learnt, checked, float64."""

    x: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, " n"]
    x_test: Float[np.ndarray, "n_test d"]
    start: Float[np.ndarray, " n_and_n_test"]
    kappa: float
    scale: Scale


def _checked(
    x: object, y: object, x_test: object, start: object, start_test: object, kappa: float, scale: Scale
) -> _Problem:
    inputs = training_inputs(x, "the mean field")
    n, dim = inputs.shape
    tests = input_rows("x_test", np.empty((0, dim)) if x_test is None else x_test).astype(np.float64)
    if tests.shape[1] != dim:
        raise InputError(f"x has {dim} features but x_test has {tests.shape[1]}; they must match")
    targets = _values("y", y, n)
    before = [
        np.zeros(size) if one is None else _values(name, one, size)
        for name, one, size in (("start", start, n), ("start_test", start_test, len(tests)))
    ]
    return _Problem(inputs, targets, tests, np.concatenate(before), kappa, scale)


def training_inputs(x: object, what: str) -> Float[np.ndarray, "n d"]:
    """Return inputs in float64 that can be trained on at infinite width.

    Raises
    ------
    InputError
        If they are no finite matrix with a row and two columns; `what` says who needs them.
    """
    inputs = input_rows("x", x).astype(np.float64)
    if inputs.shape[0] < 1 or inputs.shape[1] < 2:
        raise InputError(f"{what} needs at least one input with at least 2 features, got shape {inputs.shape}")
    return inputs


def limit_rate(
    x: Float[np.ndarray, "n d"], eta_rel: float, *, precision: Precision, kappa: float, scale: Scale, seed: int
) -> float:
    """Return eta = eta_rel/lambda_max of the limit of H(0), by Monte Carlo in 1-bit precision.

    Raises
    ------
    InputError
        If that limit is 0.
    """
    limit = limit_ntk(x, precision=precision, kappa=kappa, scale=scale, seed=seed).value
    largest = float(np.linalg.eigvalsh(symmetric_part(limit))[-1])
    if not largest > 0:
        raise InputError("the limit of H(0) is zero on these inputs, so nothing is learnt from them")
    return eta_rel / largest


def _values(name: str, values: object, size: int) -> Float[np.ndarray, " k"]:
    found = real_array(name, values).astype(np.float64)
    if found.shape != (size,) or not np.isfinite(found).all():
        raise InputError(f"{name} must be {size} finite numbers, one for each input, got shape {found.shape}")
    return found


def _of_kernels(problem: _Problem, kernels: list[np.ndarray], eta: float, steps: int) -> MeanField:
    """Return descent with a kernel, which no weight sticks in."""
    n = len(problem.x)
    outputs = []
    for kernel in kernels:
        found = predict(
            kernel[:n],
            problem.y,
            eta=eta,
            steps=steps,
            kernel_test=kernel[n:],
            f0=problem.start[:n],
            f0_test=problem.start[n:],
        )
        outputs.append(np.concatenate([found.train, found.test], axis=1))
    return _gathered(problem, np.stack(outputs), eta, np.zeros(steps), 1.0)


def _gathered(
    problem: _Problem, outputs: Float[np.ndarray, "r t k"], eta: float, sticking: Float[np.ndarray, " s"], near: float
) -> MeanField:
    n = len(problem.x)
    mean, error = outputs.mean(axis=0), outputs.std(axis=0, ddof=1) / np.sqrt(len(outputs))
    return MeanField(
        mean[:, :n], mean[:, n:], error[:, :n], error[:, n:], outputs[:, :, :n], sticking, near, eta, problem.y
    )


@dataclass(frozen=True, eq=False)
class _Followed:
    """One replicate."""

    outputs: Float[np.ndarray, "t k"]
    sticking: Float[np.ndarray, " steps"]
    near: float


@dataclass(frozen=True, eq=False)
class _Types:
    """Types on which some training input switches: forces for a = +1 on both sides, and what a flip does to outputs.

    Attributes
    ----------
    above, below
        (types, n) float32: V^+ and V^-.
    jump
        (types, n + n_test) float32: kappa (relu(z^+) - relu(z^-)).
    drawn
        Number of types drawn, those on which none switches included.
    """

    above: Float[np.ndarray, "types n"]
    below: Float[np.ndarray, "types n"]
    jump: Float[np.ndarray, "types k"]
    drawn: int


def draw_types(
    x: Float[np.ndarray, "n d"],
    x_test: Float[np.ndarray, "n_test d"],
    count: int,
    *,
    kappa: float,
    scale: Scale,
    seed: int,
) -> _Types:
    """Draw `count` types and keep those on which some training input switches."""
    rng = np.random.default_rng([seed, _STREAM, x.shape[1]])
    n, dim = x.shape
    every = np.concatenate([x, x_test])
    above, below, jump = [], [], []
    for first in range(0, count, _CHUNK):
        size = min(_CHUNK, count - first)
        k = (rng.integers(dim) + np.arange(size)) % dim
        sides = forces_and_jumps(rng.standard_normal((size, dim)), k, every, n, kappa=kappa, scale=scale)
        kept = (sides[0] != sides[1]).any(axis=1)
        for part, one in zip((above, below, jump), sides, strict=True):
            part.append(one[kept].astype(np.float32))
    return _Types(np.concatenate(above), np.concatenate(below), np.concatenate(jump), count)


def forces_and_jumps(
    w: Float[np.ndarray, "b d"],
    k: Int64[np.ndarray, " b"],
    x: Float[np.ndarray, "k d"],
    n: int,
    *,
    kappa: float,
    scale: Scale,
) -> tuple[Float[np.ndarray, "b n"], Float[np.ndarray, "b n"], Float[np.ndarray, "b k"]]:
    """Return V^+ and V^- on the first n inputs, those that train, and kappa (relu(z^+) - relu(z^-)) on all."""
    plus, minus = both_sides(w, k, x, scale=scale)
    force = -kappa * (x[:n] - x[:n].mean(axis=1, keepdims=True)).T[k]
    jump = kappa * (np.maximum(plus, 0) - np.maximum(minus, 0))
    return (plus[:, :n] >= 0) * force, (minus[:, :n] >= 0) * force, jump


def both_sides(
    w: Float[np.ndarray, "b d"], k: Int64[np.ndarray, " b"], x: Float[np.ndarray, "n d"], *, scale: Scale
) -> tuple[Float[np.ndarray, "b n"], Float[np.ndarray, "b n"]]:
    """Condition neurons w ~ N(0, I_d) on c_k = 0; return z^+ and z^- on the inputs (`kernels.effective`, 5)."""
    rows, mu = np.arange(len(w)), w.mean(axis=1)
    c = conditioned(w, mu, k)
    s = np.sqrt((c**2).mean(axis=1)) if scale == "std" else np.abs(c).mean(axis=1)
    q = np.where(c >= 0, 1.0, -1.0)
    q[rows, k] = 0
    middle = s[:, None] * (q @ x.T) + mu[:, None] * x.sum(axis=1)
    half = s[:, None] * x.T[k]
    return middle + half, middle - half


def latent_side(
    w: Float[np.ndarray, "b d"], k: Int64[np.ndarray, " b"], x: Float[np.ndarray, "n d"]
) -> Bool[np.ndarray, "b n"]:
    """Condition neurons w ~ N(0, I_d) on c_k = 0; return 1[<w, x_i> >= 0]."""
    mu = w.mean(axis=1)
    return (conditioned(w, mu, k) + mu[:, None]) @ x.T >= 0


def _follow(
    problem: _Problem, kernel: Float[np.ndarray, "k n"], eta: float, steps: int, count: int, seed: int
) -> _Followed:
    """Follow one replicate: K_eff's descent and the departure of types from it."""
    types = draw_types(problem.x, problem.x_test, count, kappa=problem.kappa, scale=problem.scale, seed=seed)
    capacity = 4 * POINTS
    while True:
        found = _recursion(problem, kernel, eta, steps, types, capacity, seed)
        if found is not None:
            return found
        capacity *= 2


def _recursion(
    problem: _Problem,
    kernel: Float[np.ndarray, "k n"],
    eta: float,
    steps: int,
    types: _Types,
    capacity: int,
    seed: int,
) -> _Followed | None:
    """Take the steps; None if some type has more points that crossed than there is room for."""
    n, dim = problem.x.shape
    spacing = _spacing(problem, kernel[:n], eta, steps, types)
    rng = np.random.default_rng([seed, _STREAM, 1])
    followed = len(spacing)
    golden = (rng.random() + np.arange(2 * followed) * ((np.sqrt(5) - 1) / 2)) % 1
    nearest_above = golden.astype(np.float32).reshape(followed, 2) * spacing[:, None]
    nearest_below = nearest_above - spacing[:, None]
    free = np.empty((followed, 2, capacity), np.float32)
    counts = np.zeros((followed, 2), np.int32)
    moved = np.zeros((followed, 2), np.int32)
    net = np.zeros(followed, np.float32)
    both = types.above + types.below
    weight = 0.5 * dim * threshold_density(dim) / types.drawn
    total = np.zeros(n)
    outputs = np.empty((steps + 1, len(problem.start)))
    outputs[0] = problem.start
    sticking = np.empty(steps)
    for step in range(steps):
        move = eta * (outputs[step, :n] - problem.y)
        total += move
        short = move.astype(np.float32)
        pushed_above, pushed_below = types.above @ short, types.below @ short
        if not move_points(free, counts, moved, nearest_above, nearest_below, spacing, pushed_above, pushed_below, net):
            return None
        departure = net - both @ total.astype(np.float32)
        outputs[step + 1] = problem.start - kernel @ total + weight * (types.jump.T @ departure).astype(np.float64)
        stuck = (pushed_above < 0) & (pushed_below > 0) | (pushed_above > 0) & (pushed_below < 0)
        sticking[step] = 0.5 * np.count_nonzero(stuck) / types.drawn
    near = _near(free, counts, nearest_above, nearest_below, spacing)
    return _Followed(outputs, sticking, 1 + float(near.sum(dtype=np.float64)) / types.drawn)


def _spacing(
    problem: _Problem, kernel: Float[np.ndarray, "n n"], eta: float, steps: int, types: _Types
) -> Float[np.ndarray, " types"]:
    """Return the distance of points of each type: its reach under K_eff's descent over `POINTS`.

    The reach is a guess, which sets how finely a type is followed; how far it is followed does not depend on it.
    """
    n = len(problem.x)
    at = np.unique(np.rint(np.geomspace(1, steps, 24)).astype(int))
    f = predict(kernel, problem.y, eta=eta, steps=steps, f0=problem.start[:n]).train
    residuals = eta * np.cumsum(f[:-1] - problem.y, axis=0)[at - 1].astype(np.float32)
    reach = np.zeros(len(types.above), np.float32)
    for side in (types.above, types.below):
        np.maximum(reach, np.abs(side @ residuals.T).max(axis=1), out=reach)
    largest = float(reach.max(initial=0.0))
    return np.maximum(reach, 1e-3 * largest if largest > 0 else 1.0) / np.float32(POINTS)


@compiled
@no_type_check
def move_points(free, counts, moved, nearest_above, nearest_below, spacing, pushed_above, pushed_below, net):
    """Move all points of tau by one step; False if more of a type have crossed than there is room for.

    `free`: the points that have crossed at least once; `moved`: those that came up less those that went down.
    """
    room = free.shape[2]
    for one in range(free.shape[0]):
        h = spacing[one]
        for mirrored in range(2):
            up, down = pushed_above[one], pushed_below[one]
            if mirrored == 1:
                up, down = -up, -down
            count = counts[one, mirrored]
            change = 0
            for index in range(count):
                tau = free[one, mirrored, index]
                if tau >= 0:
                    tau += up
                    if tau < 0:
                        change -= 1
                else:
                    tau += down
                    if tau >= 0:
                        change += 1
                free[one, mirrored, index] = tau
            tau = nearest_above[one, mirrored] + up
            while tau < 0:
                if count == room:
                    return False
                free[one, mirrored, count] = tau
                count += 1
                change -= 1
                tau += h
            nearest_above[one, mirrored] = tau
            tau = nearest_below[one, mirrored] + down
            while tau >= 0:
                if count == room:
                    return False
                free[one, mirrored, count] = tau
                count += 1
                change += 1
                tau -= h
            nearest_below[one, mirrored] = tau
            counts[one, mirrored] = count
            moved[one, mirrored] += change
        net[one] = h * np.float32(moved[one, 0] - moved[one, 1])
    return True


def _near(
    free: Float[np.ndarray, "types two room"],
    counts: np.ndarray,
    nearest_above: Float[np.ndarray, "types two"],
    nearest_below: Float[np.ndarray, "types two"],
    spacing: Float[np.ndarray, " types"],
) -> Float[np.ndarray, " types"]:
    """Return, a type, the density within `NEAR` of the threshold over that at the start, less 1."""
    there = np.arange(free.shape[2]) < counts[:, :, None]
    inside = (there & (np.abs(np.where(there, free, np.inf)) < NEAR)).sum(axis=2).astype(np.float64)
    for nearest in (nearest_above, -nearest_below):
        inside += np.maximum(np.ceil((NEAR - nearest) / spacing[:, None]), 0)
    return (inside * spacing[:, None] / (2 * NEAR)).mean(axis=1) - 1


def mean_field_reference(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, " n"],
    *,
    eta: float,
    steps: int,
    window: float,
    kappa: float = 1.0,
    scale: Scale = "std",
    activity: Activity = STRAIGHT_THROUGH,
    types: int = 20_000,
    samples: int = 200_000,
    seed: int = 0,
) -> Float[np.ndarray, "t n"]:
    """Compute F_t plainly, from a paired start: one random tau in [-window, window] to a type, all terms sampled.

    The window has to be wider than any weight moves. No control variate: K_s and every flip are sums over draws.
    """
    rng = np.random.default_rng([seed, _STREAM, 2])
    n, dim = x.shape
    smooth = smooth_part(x, rng.standard_normal((samples, dim)), scale, latent=activity == "latent")
    k, w = rng.integers(dim, size=types), rng.standard_normal((types, dim))
    plus, minus = both_sides(w, k, x, scale=scale)
    force = -kappa * (x - x.mean(axis=1, keepdims=True)).T[k]
    above, below = plus >= 0, minus >= 0
    if activity == "latent":
        above = below = latent_side(w, k, x)
    a = np.where(np.arange(types) % 2, 1.0, -1.0)
    jump = (kappa * a)[:, None] * (np.maximum(plus, 0) - np.maximum(minus, 0))
    tau = rng.uniform(-window, window, types)
    before = tau >= 0
    density = dim * 2 * window * threshold_density(dim) / types
    f, total = np.zeros((steps + 1, n)), np.zeros(n)
    for step in range(steps):
        move = eta * (f[step] - y)
        total += move
        side = (before if activity == "frozen" else tau >= 0)[:, None]
        tau = tau + a * ((np.where(side, above, below) * force) @ move)
        f[step + 1] = density * ((tau >= 0) ^ before) @ (np.where(tau >= 0, 1, -1)[:, None] * jump)
        f[step + 1] -= kappa**2 * smooth @ total
    return f


def smooth_part(
    x: Float[np.ndarray, "n d"], w: Float[np.ndarray, "b d"], scale: Scale, *, latent: bool
) -> Float[np.ndarray, "n n"]:
    """Estimate smooth(x, x') of `kernels.effective` (3) from neurons w, plainly."""
    along, active, growth = smooth_factors(x, w, scale, moved_along=x)
    moved = (w @ x.T >= 0).astype(np.float64) if latent else active
    first = (active * along).T @ (moved * growth)
    return (first + np.outer(x.sum(axis=1), x.mean(axis=1)) * (active.T @ moved)) / len(w)


def smooth_factors(
    x: Float[np.ndarray, "k d"], w: Float[np.ndarray, "b d"], scale: Scale, *, moved_along: Float[np.ndarray, "n d"]
) -> tuple[Float[np.ndarray, "b k"], Float[np.ndarray, "b k"], Float[np.ndarray, "b n"]]:
    """Return <q, x> and 1[z(x) >= 0] of neurons w, and s', how their scale grows along other inputs."""
    c, s, mu = centred_scale(w, scale=scale)
    q = np.where(c >= 0, 1.0, -1.0)
    along = q @ x.T
    active = (s[:, None] * along + mu[:, None] * x.sum(axis=1) >= 0).astype(np.float64)
    if scale == "std":
        return along, active, (c @ moved_along.T) / (x.shape[1] * s)[:, None]
    growth = (q @ moved_along.T - np.outer(q.sum(axis=1), moved_along.mean(axis=1))) / x.shape[1]
    return along, active, growth
