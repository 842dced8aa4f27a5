"""Full-batch descent on the latent weights, and the trajectory it leaves.

    w_r <- w_r - eta kappa/sqrt(m) a_r sum_i residual_i 1[z_r(x_i) >= 0] x_i          (D25, Lemma F.3)

with residual = f(X) - y, L = 1/2 sum_i residual_i^2 and eta = eta_rel / lambda_max(H(0)), which is stable below
eta_rel = 2 for a full-precision network whose kernel does not move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import ArrayLike

from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.arguments import number, whole, whole_numbers
from ntk1bit.cores.threads import single_threaded_blas
from ntk1bit.errors import InputError
from ntk1bit.networks.quantizers import Scale
from ntk1bit.networks.two_layer.engines import Engine, PackedEngine, ReferenceEngine
from ntk1bit.networks.two_layer.network import (
    Precision,
    Weights,
    blocks,
    checked_inputs,
    checked_targets,
    kernel_from_counts,
)
from ntk1bit.printing import record

DEFAULT_CHECKPOINTS = 40
_CHECKPOINTS = "a number of checkpoints, at least 2 (the start and the end)"
DIVERGED_AT = 1e6  # a loss this many times the starting loss counts as divergence


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What one training run left behind.

    Attributes
    ----------
    loss
        (steps_done + 1,) float64: L(t) = 1/2 sum_i (f(x_i) - y_i)^2 before step t and after the last one.
    steps
        (c,) int64: the checkpoints, starting with 0.
    drift
        (c,): norm_F(H(t) - H(0)) / norm_F(H(0)).
    kernel_norm
        (c,): norm_F(H(t)).
    lambda_min, lambda_max
        (c,): extreme eigenvalues of H(t).
    flipped
        (c,): fraction of the m d signs q(w(t)) that differ from q(w(0)).
    activation_change
        (c,): fraction of the m n activation bits that differ from those at the start.
    max_activation_change
        (c,): the same fraction for the training input where it is largest, `max_i changed_i / m`.
    radius
        (c,): R(t) = max_r norm(w_r(t) - w_r(0)).
    outputs, test_outputs
        (c, n) and (c, n_test): f on the training and test inputs at the checkpoints.
    eta
        Learning rate used, `eta_rel / lambda_max(H(0))`.
    diverged
        Whether the loss became infinite, NaN or 1e6 times its start; the run ends there.
    final
        The network after the last step.
    """

    loss: Float[np.ndarray, " t"]
    steps: Int64[np.ndarray, " c"]
    drift: Float[np.ndarray, " c"]
    kernel_norm: Float[np.ndarray, " c"]
    lambda_min: Float[np.ndarray, " c"]
    lambda_max: Float[np.ndarray, " c"]
    flipped: Float[np.ndarray, " c"]
    activation_change: Float[np.ndarray, " c"]
    max_activation_change: Float[np.ndarray, " c"]
    radius: Float[np.ndarray, " c"]
    outputs: Float[np.ndarray, "c n"]
    test_outputs: Float[np.ndarray, "c n_test"]
    eta: float
    diverged: bool
    final: Weights

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    @property
    def steps_done(self) -> int:
        """Number of descent steps taken."""
        return len(self.loss) - 1


def log_steps(steps: int, count: int = DEFAULT_CHECKPOINTS) -> Int64[np.ndarray, " c"]:
    """Choose `count` checkpoints spread evenly in log(step): 0, 1, ..., `steps`, without repeats.

    Every step is returned when there are no more than `count` of them.

    Raises
    ------
    InputError
        If `steps` is no whole number >= 0 or `count` none >= 2.
    """
    steps = whole("steps", steps, allowed="a whole number, 0 or more", least=0)
    count = whole("count", count, allowed=_CHECKPOINTS, least=2)
    if steps + 1 <= count:
        return np.arange(steps + 1)
    if count == 2:
        return np.array([0, steps])
    low, high = count - 1, 64 * count
    while low < high:  # the fewest points on the log grid whose rounding leaves `count` distinct steps with 0
        middle = (low + high) // 2
        if len(np.unique(np.rint(np.geomspace(1, steps, middle)))) >= count - 1:
            high = middle
        else:
            low = middle + 1
    return np.concatenate([[0], np.unique(np.rint(np.geomspace(1, steps, low)).astype(np.int64))])


def train(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    y: Float[np.ndarray, " n"] | ArrayLike,
    weights: Weights,
    *,
    precision: Precision = "one_bit",
    kappa: float = 1.0,
    scale: Scale = "std",
    eta_rel: float = 1.0,
    steps: int = 1000,
    x_test: Float[np.ndarray, "n_test d"] | ArrayLike | None = None,
    record: int | Sequence[int] | ArrayLike = DEFAULT_CHECKPOINTS,
    progress: Callable[[str, float], None] | None = None,
    observe: Callable[[Weights, float], None] | None = None,
    reference: bool = False,
) -> Trajectory:
    """Train a two-layer network by full-batch (straight-through) gradient descent.

    Parameters
    ----------
    x, y
        Training inputs (n, d) of unit norm and targets (n,); cast to the weights' dtype.
    weights
        The start; it is not modified.
    precision, kappa, scale
        As in `ntk1bit.networks.two_layer.outputs`.
    eta_rel
        Learning rate in units of 1/lambda_max(H(0)), H(0) being this network's own kernel.
    steps
        Number of descent steps, >= 0.
    x_test
        Inputs whose outputs are recorded at the checkpoints; none by default.
    record
        How many checkpoints, spread evenly in log(step), or the steps themselves (0 and `steps` are always added).
    progress
        Called after each step with words and the share of the steps done.
    observe
        Called at each checkpoint with the network as it is then, which goes on to change, and eta.
    reference
        Train in plain NumPy instead of on the cores; weights that are not float32 always do.

    Returns
    -------
    Trajectory
        With float64 diagnostics. A diverging run is returned, marked, up to where it diverged.

    Raises
    ------
    InputError
        If shapes do not match, a number is not finite or out of range, or no neuron is active on any input.
    """
    x = checked_inputs(x, weights, precision=precision, scale=scale)
    if x.shape[0] == 0:
        raise InputError("there are no training inputs; at least one is needed")
    y = checked_targets(y, x.shape[0]).astype(x.dtype)
    kappa = checked_kappa(kappa)
    eta_rel = number("eta_rel", eta_rel, allowed="a positive number", above=0.0)
    steps = whole("steps", steps, allowed="a whole number, 0 or more", least=0)
    checkpoints = _checkpoints(record, steps)
    others = np.empty((0, weights.dim)) if x_test is None else x_test
    test = checked_inputs(others, weights, precision=precision, scale=scale)
    start = weights
    weights = Weights(start.w.copy(), start.a)
    packed = weights.w.dtype == np.float32 and not reference
    engine = (PackedEngine if packed else ReferenceEngine)(x, weights, precision, kappa, scale)
    observer = _Observer(engine, x, start, weights, kappa)

    # one thread: eta comes from an eigenvalue, and its last bits must not depend on how many threads BLAS has
    with single_threaded_blas():
        f = engine.forward()
        eta = eta_rel / observer.lambda_max_at_start()
        losses = [_loss(f, y)]
        worst = DIVERGED_AT * max(losses[0], np.finfo(np.float64).tiny)
        observer.record(0, f, test)
        if observe is not None:
            observe(weights, eta)
        for step in range(1, steps + 1):
            engine.descend(f - y, eta)
            f = engine.forward()
            losses.append(_loss(f, y))
            diverged = not losses[-1] <= worst
            if diverged:
                break
            if step in checkpoints:
                observer.record(step, f, test)
                if observe is not None:
                    observe(weights, eta)
            if progress is not None:
                progress(f"step {step}", step / steps)
        else:
            diverged = False
    return replace(observer.trajectory(), loss=np.array(losses), eta=eta, diverged=diverged, final=weights)


class _Observer:
    """Measures a network in training against its start, at the checkpoints."""

    def __init__(self, engine: Engine, x: np.ndarray, start: Weights, now: Weights, kappa: float) -> None:
        self.engine, self.start, self.now, self.kappa = engine, start, now, kappa
        x64 = x.astype(np.float64)
        self.inner = x64 @ x64.T
        self.rows: list[dict[str, float]] = []
        self.outputs: list[np.ndarray] = []
        self.test_outputs: list[np.ndarray] = []
        self.steps: list[int] = []

    def kernel(self) -> np.ndarray:
        return kernel_from_counts(self.inner, self.engine.counts(), width=self.start.width, kappa=self.kappa)

    def lambda_max_at_start(self) -> float:
        """Measure H(0), the activation patterns and the signs at the start; return lambda_max(H(0))."""
        self.kernel_0 = self.kernel()
        self.engine.mark_start()
        largest = float(np.linalg.eigvalsh(self.kernel_0)[-1])
        if not largest > 0:
            raise InputError(
                f"no neuron of this network (width {self.start.width}) is active on any training input, "
                "so it cannot train; use a larger width"
            )
        return largest

    def record(self, step: int, f: np.ndarray, x_test: np.ndarray) -> None:
        kernel = self.kernel()
        eigenvalues = np.linalg.eigvalsh(kernel)
        changed = self.engine.activation_changes()
        self.rows.append(
            {
                "drift": float(np.linalg.norm(kernel - self.kernel_0) / np.linalg.norm(self.kernel_0)),
                "kernel_norm": float(np.linalg.norm(kernel)),
                "lambda_min": float(eigenvalues[0]),
                "lambda_max": float(eigenvalues[-1]),
                "flipped": self.engine.flips() / self.start.w.size,
                "activation_change": float(changed.mean() / self.start.width),
                "max_activation_change": float(changed.max() / self.start.width),
                "radius": self._radius(),
            }
        )
        self.steps.append(step)
        self.outputs.append(f)
        self.test_outputs.append(self.engine.outputs(x_test))

    def _radius(self) -> float:
        """Find the largest distance a neuron has moved."""
        furthest = 0.0
        for block in blocks(slice(0, self.start.width)):
            away = np.subtract(self.now.w[block], self.start.w[block], dtype=np.float64)
            furthest = max(furthest, float(np.einsum("rk,rk->r", away, away).max(initial=0.0)))
        return float(np.sqrt(furthest))

    def trajectory(self) -> Trajectory:
        """Gather what was recorded; the caller fills in the loss, the rate and the end."""
        columns = {name: np.array([row[name] for row in self.rows]) for name in self.rows[0]}
        return Trajectory(
            loss=np.empty(0),
            steps=np.array(self.steps, dtype=np.int64),
            outputs=np.array(self.outputs, dtype=np.float64),
            test_outputs=np.array(self.test_outputs, dtype=np.float64),
            eta=float("nan"),
            diverged=False,
            final=self.start,
            **columns,
        )


def _loss(f: np.ndarray, y: np.ndarray) -> float:
    residual = (f - y).astype(np.float64)
    return float(0.5 * (residual @ residual))


def _checkpoints(record: object, steps: int) -> frozenset[int]:
    asked = whole_numbers("record", record, allowed=f"{_CHECKPOINTS}, or a list of steps")
    if asked.ndim == 0:
        return frozenset(log_steps(steps, whole("record", record, allowed=_CHECKPOINTS, least=2)).tolist())
    chosen = {*asked.tolist(), 0, steps}
    if min(chosen) < 0 or max(chosen) > steps:
        raise InputError(f"checkpoints must lie in 0..{steps}, got {sorted(chosen)}")
    return frozenset(chosen)
