r"""The floor of 1-bit training: the process that outputs of a wide network end in, at scale 1/m of the loss.

Close to where the residual vanishes put rho = sqrt(m) r. A step moves a latent weight by O(1/m), so only those within
O(1/m) of their threshold matter. In units of sigma = m c_rk these form a Poisson process, of types (a neuron
conditioned on c_rk = 0, the coordinate k, the output sign a; `kernels.mean_fields`) with the density p_0 d, and each
sign that goes up or down moves rho by its whole jump:

    sigma_{t+1} = sigma_t + a V^q . eta rho_t,
    rho_{t+1} = rho_t - eta K_s rho_t + sum over types a J (1[sigma_{t+1} >= 0] - 1[sigma_t >= 0]),
    J = kappa (relu(z^+) - relu(z^-)).

No width is left in it: m L_inf = E norm(rho)^2/2. On average over the Poisson process flips act as the rest of K_eff;
what is not average is the noise that the floor is made of, and flips that undo each other are in it as they are.

**Sides.** The root is not where training began: R went from 0 to R* = K_eff^-1 (f_0 - y) in units of 1/sqrt m. With
``frozen`` patterns a weight keeps the force of the side that it began on. Those with V^+ that are at their threshold
now came down to it, a V^+ . R* < 0; those with V^- came up, a V^- . R* > 0; of others there are none. With ``latent``
ones V^+ = V^-, and nothing of the past is left. Both have the density of the start. A network trained straight-through
has gathered weights at its thresholds (`MeanField.near_threshold`), and leaves them slowly: its floor is that of a
larger `intensity`, which ages.

**From above.** The process has many cycles, small ones and large: started within the floor it stays in small ones, at
half of the level that it reaches from above. Training comes from above. So does the process here, from a residual forty
times a jump.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.arguments import number, whole
from ntk1bit.compiling import compiled
from ntk1bit.cores.backends import settings
from ntk1bit.cores.threads import run_pieces
from ntk1bit.errors import InputError, require_choice
from ntk1bit.kernels.effective import effective_ntk, threshold_density
from ntk1bit.kernels.mean_fields import forces_and_jumps, latent_side, limit_rate, smooth_part, training_inputs
from ntk1bit.networks.quantizers import SCALES, Scale
from ntk1bit.networks.two_layer.network import ACTIVITIES, STRAIGHT_THROUGH, Activity, checked_targets
from ntk1bit.printing import record

_STREAM = 0x35  # keeps these draws apart from those of kernels at the same seed
_SAMPLES, _CHUNK = 200_000, 20_000  # neurons for the smooth part, and at once
_FAR = 40.0  # norm of rho at the start, in units of kappa, about that of a jump
_WINDOW, _WIDEST = 16.0, 2.0**16  # sigma is laid out from -window to window, which is doubled where it is too narrow


@dataclass(frozen=True, eq=False)
class FloorProcess:
    """The floor of wide networks, with the error of its computation.

    Attributes
    ----------
    level
        m L_inf, mean over the last half of the steps and over replicates.
    error
        Its standard error, from the spread of replicates.
    levels
        (replicates,): of each, a Poisson process of thresholds of its own.
    slope
        d log(m L)/d log t between the third and the last quarter of the steps, of the mean over replicates: 0 for a
        process that has settled.
    thresholds
        Mean number of thresholds within the window.
    eta
        Learning rate.
    """

    level: float
    error: float
    levels: Float[np.ndarray, " replicates"]
    slope: float
    thresholds: float
    eta: float

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


def floor_process(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    y: Float[np.ndarray, " n"] | ArrayLike | None = None,
    *,
    kappa: float = 1.0,
    eta_rel: float = 1.0,
    activity: Activity = STRAIGHT_THROUGH,
    scale: Scale = "std",
    intensity: float = 1.0,
    replicates: int = 64,
    steps: int = 4000,
    seed: int = 0,
) -> FloorProcess:
    """Simulate what outputs of wide 1-bit networks do at the end of training; the result is m L_inf.

    Parameters
    ----------
    x
        Training inputs (n, d), d >= 2.
    y
        Targets less the outputs at the start, (n,), not all 0, whose size does not matter: they say which side weights
        come from where patterns are frozen. None for random signs, others in each replicate.
    kappa, scale
        As in `networks.two_layer.outputs`; the result goes as kappa^2 exactly.
    eta_rel
        Learning rate in units of 1/lambda_max of the limit of H(0).
    activity
        As in `two_layer.train`.
    intensity
        Density of latent weights at their thresholds over that at the start: `MeanField.near_threshold` for a network
        trained straight-through.
    replicates
        Independent Poisson processes, >= 2.
    steps
        Steps, >= 8: the first half brings the process to its floor.
    seed
        Non-negative integer.

    Returns
    -------
    FloorProcess
        The same bits for any number of threads.

    Raises
    ------
    InputError
        If inputs are not finite or have fewer than 2 features, an option is unknown, a number is out of range, or the
        process does not stay near the root (too large a rate).
    """
    require_choice("scale", scale, SCALES)
    require_choice("activity", activity, ACTIVITIES)
    kappa = checked_kappa(kappa)
    inputs = training_inputs(x, "the floor")
    eta_rel = number("eta_rel", eta_rel, allowed="a positive number", above=0.0)
    intensity = number("intensity", intensity, allowed="a positive number", above=0.0)
    replicates = whole("replicates", replicates, allowed="a whole number, 2 or more", least=2)
    steps = whole("steps", steps, allowed="a whole number, 8 or more", least=8)
    seed = whole("seed", seed, allowed="a non-negative integer", least=0)
    eta = limit_rate(inputs, eta_rel, precision="one_bit", kappa=kappa, scale=scale, seed=seed)
    rng = np.random.default_rng([seed, _STREAM, inputs.shape[1]])
    smooth = np.zeros((len(inputs), len(inputs)))
    for _ in range(_SAMPLES // _CHUNK):
        w = rng.standard_normal((_CHUNK, inputs.shape[1]))
        smooth += smooth_part(inputs, w, scale, latent=activity == "latent") * (_CHUNK / _SAMPLES)
    smooth *= kappa**2
    forces = np.linalg.pinv(effective_ntk(inputs, kappa=kappa, scale=scale, samples=_SAMPLES, seed=seed).value)
    targets = None if y is None else checked_targets(y, len(inputs)).astype(np.float64)
    if targets is not None and not np.abs(targets).max() > 0:
        raise InputError("y is 0 on all inputs, so that training would have nothing to do")
    losses = np.empty((replicates, steps + 1))
    counts = np.empty(replicates)

    def piece(index: int) -> None:
        signs = np.random.default_rng([seed, index, _STREAM]).choice([-1.0, 1.0], len(inputs))
        root = -forces @ (signs if targets is None else targets)
        problem = _Problem(inputs, smooth, root, kappa, scale)
        losses[index], counts[index] = _run(problem, eta, activity, intensity, steps, [seed, index])

    run_pieces(piece, replicates, threads=settings().threads, work_ns=1e4 * replicates * steps)
    levels = losses[:, steps // 2 :].mean(axis=1)
    quarter = steps // 4
    third, last = losses[:, 2 * quarter : 3 * quarter].mean(), losses[:, -quarter:].mean()
    return FloorProcess(
        float(levels.mean()),
        float(levels.std(ddof=1) / np.sqrt(replicates)),
        levels,
        float(np.log(last / third) / np.log(3.5 / 2.5)) if min(last, third) > 0 else 0.0,
        float(counts.mean()),
        eta,
    )


@dataclass(frozen=True, eq=False)
class _Problem:
    """Inputs, the smooth part of the kernel on them, and R* of unit 1/sqrt m."""

    x: Float[np.ndarray, "n d"]
    smooth: Float[np.ndarray, "n n"]
    root: Float[np.ndarray, " n"]
    kappa: float
    scale: Scale


def _run(
    problem: _Problem, eta: float, activity: Activity, intensity: float, steps: int, seed: list[int]
) -> tuple[Float[np.ndarray, " t"], int]:
    """Return the losses norm(rho)^2/2 of one process, and the number of its thresholds.

    Thresholds that nothing reached lie beyond the window; where something near its edge moved, the window is doubled
    and the process drawn anew.
    """
    x, kappa = problem.x, problem.kappa
    n, dim = x.shape
    window = _WINDOW
    density = intensity * dim * threshold_density(dim)
    while window < _WIDEST:
        rng = np.random.default_rng([*seed, _STREAM, 1])
        count = int(rng.poisson(density * 2 * window))
        k, w = rng.integers(dim, size=count), rng.standard_normal((count, dim))
        above, below, jump = forces_and_jumps(w, k, x, n, kappa=kappa, scale=problem.scale)
        if activity == "latent":
            above = below = latent_side(w, k, x) * (-kappa * (x - x.mean(axis=1, keepdims=True)).T[k])
        a = np.where(rng.random(count) < 0.5, -1.0, 1.0)[:, None]
        above, below = a * above, a * below
        if activity == "frozen":  # a population for either side, each with its own force whatever its state
            sides = np.concatenate([above, below])
            there = np.concatenate([above @ problem.root < 0, below @ problem.root > 0])
            above = below = sides[there]
            a, jump = (np.concatenate([one, one])[there] for one in (a, jump))
        sigma = rng.uniform(-window, window, len(above))
        jump = a * jump
        start = _FAR * kappa * rng.standard_normal(n) / np.sqrt(n)
        losses = np.empty(steps + 1)
        reached = settle(sigma, above, below, jump, problem.smooth, start, eta, losses)
        if not np.isfinite(reached):
            break
        if reached < 0.8 * window:
            return losses, len(above)
        window *= 2
    raise InputError(f"at eta = {eta:.3g} the process does not stay near the root; take a smaller eta_rel")


@compiled
@no_type_check
def settle(sigma, above, below, jump, smooth, rho, eta, losses):
    """Take the steps; return how far from its threshold the farthest weight started that moved across it."""
    count, n = above.shape
    start = sigma.copy()
    reached = 0.0
    step_of = np.empty(n)
    for step in range(losses.shape[0]):
        size = 0.0
        for i in range(n):
            size += rho[i] * rho[i]
        losses[step] = 0.5 * size
        if not size < 1e12:
            return np.inf
        if step + 1 == losses.shape[0]:
            break
        for i in range(n):
            step_of[i] = eta * rho[i]
        for i in range(n):
            for j in range(n):
                rho[i] -= smooth[i, j] * step_of[j]
        for one in range(count):
            push = 0.0
            if sigma[one] >= 0:
                for i in range(n):
                    push += above[one, i] * step_of[i]
            else:
                for i in range(n):
                    push += below[one, i] * step_of[i]
            before = sigma[one] >= 0
            sigma[one] += push
            if (sigma[one] >= 0) != before:
                reached = max(reached, abs(start[one]))
                sign = -1.0 if before else 1.0
                for i in range(n):
                    rho[i] += sign * jump[one, i]
    return reached


def settle_reference(
    sigma: Float[np.ndarray, " types"],
    above: Float[np.ndarray, "types n"],
    below: Float[np.ndarray, "types n"],
    jump: Float[np.ndarray, "types n"],
    smooth: Float[np.ndarray, "n n"],
    rho: Float[np.ndarray, " n"],
    eta: float,
    steps: int,
) -> Float[np.ndarray, " t"]:
    """Compute the losses of the process plainly, from forces a V^+- and jumps a J of its thresholds."""
    losses = [0.5 * rho @ rho]
    for _ in range(steps):
        step = eta * rho
        before = sigma >= 0
        sigma = sigma + np.where(before, above @ step, below @ step)
        rho = rho - smooth @ step + ((sigma >= 0).astype(float) - before) @ jump
        losses.append(0.5 * rho @ rho)
    return np.array(losses)
