"""Full-batch descent on the latent weights, and the trajectory it leaves.

    w_r <- w_r - eta kappa/sqrt(m) a_r sum_i residual_i 1[z_r(x_i) >= 0] x_i          (D25, Lemma F.3)

with residual = f(X) - y, L = 1/2 sum_i residual_i^2 and eta = eta_rel / lambda_max(H(0)), which is stable below
eta_rel = 2 for a full-precision network whose kernel does not move. Lemma F.3 is the *activity* ``straight_through``;
the indicator may also be 1[<w_r, x_i> >= 0], that of the latent weights (``latent``), or that of z at the start
throughout (``frozen``). Only the step changes with it: f, H(t) and what is recorded are of z as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Int64
from numpy.typing import ArrayLike

from ntk1bit import cores
from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.arguments import number, whole, whole_numbers
from ntk1bit.cores.threads import single_threaded_blas
from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.quantizers import Scale
from ntk1bit.networks.two_layer.engines import PackedEngine, ReferenceEngine
from ntk1bit.networks.two_layer.initial_weights import DrawnWeights
from ntk1bit.networks.two_layer.latents import latents
from ntk1bit.networks.two_layer.memory import TrainingMemory
from ntk1bit.networks.two_layer.network import (
    ACTIVITIES,
    STRAIGHT_THROUGH,
    Activity,
    Precision,
    Weights,
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
        The network after the last step. Of a training whose weights were in a file, a read-only map of it, which takes
        no memory before it is used and has its disk space until it is dropped.
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
    weights: Weights | DrawnWeights,
    *,
    precision: Precision = "one_bit",
    kappa: float = 1.0,
    scale: Scale = "std",
    activity: Activity = STRAIGHT_THROUGH,
    eta_rel: float = 1.0,
    steps: int = 1000,
    x_test: Float[np.ndarray, "n_test d"] | ArrayLike | None = None,
    record: int | Sequence[int] | ArrayLike = DEFAULT_CHECKPOINTS,
    progress: Callable[[str, float], None] | None = None,
    observe: Callable[[Weights, float], None] | None = None,
    reference: bool = False,
    memory: int | None = None,
    scratch: Path | None = None,
) -> Trajectory:
    """Train a two-layer network by full-batch (straight-through) gradient descent.

    Parameters
    ----------
    x, y
        Training inputs (n, d) of unit norm and targets (n,); cast to the weights' dtype.
    weights
        The start; it is not modified. `DrawnWeights` are never whole in memory where `memory` is too little for that.
    precision, kappa, scale
        As in `ntk1bit.networks.two_layer.outputs`.
    activity
        Which neurons a step moves for which inputs: those active in the forward pass (``"straight_through"``), those
        that would be with their latent weights (``"latent"``; the same in full precision), or those active at the start
        (``"frozen"``).
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
    memory
        Bytes that the arrays of this training may take, those of `weights` and `x` given as arrays aside; no limit by
        default. Where all weights do not fit, they are kept in a file and pass through memory a part at a time, once a
        step. The result has the same bits.
    scratch
        A path without an ending, beside which that file is made, 4 m d bytes; by default among the system's temporary
        files, which may themselves be in memory.

    Returns
    -------
    Trajectory
        With float64 diagnostics. A diverging run is returned, marked, up to where it diverged.

    Raises
    ------
    InputError
        If shapes do not match, a number is not finite or out of range, an option is unknown, no neuron is active on any
        input, or `memory` is too little.
    """
    like = weights if isinstance(weights, Weights) else next(weights.parts([(0, 1)]))
    x = checked_inputs(x, like, precision=precision, scale=scale)
    require_choice("activity", activity, ACTIVITIES)
    if x.shape[0] == 0:
        raise InputError("there are no training inputs; at least one is needed")
    y = checked_targets(y, x.shape[0]).astype(x.dtype)
    kappa = checked_kappa(kappa)
    eta_rel = number("eta_rel", eta_rel, allowed="a positive number", above=0.0)
    steps = whole("steps", steps, allowed="a whole number, 0 or more", least=0)
    checkpoints = checked_checkpoints(record, steps)
    others = np.empty((0, weights.dim)) if x_test is None else x_test
    test = checked_inputs(others, like, precision=precision, scale=scale)
    on_cores = x.dtype == np.float32 and not reference
    sizes = TrainingMemory(weights.width, weights.dim, len(x), len(test), steps, len(checkpoints), activity)
    rows = sizes.rows_within(_checked_memory(memory, on_cores))
    start = weights.weights() if rows is None and isinstance(weights, DrawnWeights) else weights

    # one thread: eta comes from an eigenvalue, and its last bits must not depend on how many threads BLAS has
    with single_threaded_blas(), latents(start, rows, scratch) as weights_now:
        engine = (PackedEngine if on_cores else ReferenceEngine)(x, weights_now, precision, kappa, scale, activity)
        observer = Observer(x, start, kappa)

        def observed(step: int, f: np.ndarray, eta: float) -> None:
            observer.record(
                step,
                f,
                engine.outputs(test),
                counts=engine.counts(),
                flips=engine.flips(),
                changed=engine.activation_changes(),
                radius=engine.radius(start),
            )
            if observe is not None:
                observe(engine.weights, eta)

        f = engine.forward()
        eta = eta_rel / observer.lambda_max_at_start(engine.counts())
        engine.mark_start()
        losses = [training_loss(f, y)]
        worst = DIVERGED_AT * max(losses[0], np.finfo(np.float64).tiny)
        observed(0, f, eta)
        for step in range(1, steps + 1):
            engine.descend(f - y, eta)
            f = engine.forward()
            losses.append(training_loss(f, y))
            diverged = not losses[-1] <= worst
            if diverged:
                break
            if step in checkpoints:
                observed(step, f, eta)
            if progress is not None:
                progress(f"step {step}", step / steps)
        else:
            diverged = False
        return observer.trajectory(np.array(losses), eta=eta, diverged=diverged, final=engine.weights)


class Observer:
    """Measures a network in training against its start, at the checkpoints, from what an engine counts.

    Parameters
    ----------
    x
        Training inputs.
    start
        The network before training.
    kappa
        Output scale.
    """

    def __init__(self, x: Float[np.ndarray, "n d"], start: Weights | DrawnWeights, kappa: float) -> None:
        self.start, self.kappa = start, kappa
        x64 = x.astype(np.float64)
        self.inner = x64 @ x64.T
        self.rows: list[dict[str, float]] = []
        self.outputs: list[np.ndarray] = []
        self.test_outputs: list[np.ndarray] = []
        self.steps: list[int] = []

    def _kernel(self, counts: np.ndarray) -> np.ndarray:
        return kernel_from_counts(self.inner, counts, width=self.start.width, kappa=self.kappa)

    def lambda_max_at_start(self, counts: Int[np.ndarray, "n n"]) -> float:
        """Keep H(0), from the neurons active on both inputs of each pair; return lambda_max(H(0))."""
        self.kernel_0 = self._kernel(counts)
        largest = float(np.linalg.eigvalsh(self.kernel_0)[-1])
        if not largest > 0:
            raise InputError(
                f"no neuron of this network (width {self.start.width}) is active on any training input, "
                "so it cannot train; use a larger width"
            )
        return largest

    def record(
        self,
        step: int,
        f: Float[np.ndarray, " n"],
        test_outputs: Float[np.ndarray, " n_test"],
        *,
        counts: Int[np.ndarray, "n n"],
        flips: int,
        changed: Int[np.ndarray, " n"],
        radius: float,
    ) -> None:
        """Record a checkpoint: outputs, co-active neurons, signs and activations that changed, and R(t)."""
        kernel = self._kernel(counts)
        eigenvalues = np.linalg.eigvalsh(kernel)
        self.rows.append(
            {
                "drift": float(np.linalg.norm(kernel - self.kernel_0) / np.linalg.norm(self.kernel_0)),
                "kernel_norm": float(np.linalg.norm(kernel)),
                "lambda_min": float(eigenvalues[0]),
                "lambda_max": float(eigenvalues[-1]),
                "flipped": flips / (self.start.width * self.start.dim),
                "activation_change": float(changed.mean() / self.start.width),
                "max_activation_change": float(changed.max() / self.start.width),
                "radius": radius,
            }
        )
        self.steps.append(step)
        self.outputs.append(f)
        self.test_outputs.append(test_outputs)

    def trajectory(self, loss: Float[np.ndarray, " t"], *, eta: float, diverged: bool, final: Weights) -> Trajectory:
        """Gather what was recorded up to the last of the losses; of the step that diverged nothing is."""
        count = sum(step < len(loss) - diverged for step in self.steps)
        columns = {name: np.array([row[name] for row in self.rows[:count]]) for name in self.rows[0]}
        return Trajectory(
            loss=loss,
            steps=np.array(self.steps[:count], dtype=np.int64),
            outputs=np.array(self.outputs[:count], dtype=np.float64),
            test_outputs=np.array(self.test_outputs[:count], dtype=np.float64),
            eta=eta,
            diverged=diverged,
            final=final,
            **columns,
        )


def training_loss(f: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Return L = 1/2 sum_i (f(x_i) - y_i)^2, summed in float64."""
    residual = (f - y).astype(np.float64)
    return float(0.5 * (residual @ residual))


def _checked_memory(memory: object, on_cores: bool) -> int | None:
    if memory is None:
        return None
    if not on_cores or cores.settings().backend == "blas":
        raise InputError(
            "memory can be limited where float32 weights train on compiled cores; leave it out with reference, weights "
            "of another dtype and the backend 'blas'"
        )
    return whole("memory", memory, allowed="a whole number of bytes, 1 or more", least=1)


def checked_checkpoints(record: object, steps: int) -> frozenset[int]:
    """Return the steps that `record` asks for, as in `train`.

    Raises
    ------
    InputError
        If it is no number of checkpoints and no list of steps that are made.
    """
    asked = whole_numbers("record", record, allowed=f"{_CHECKPOINTS}, or a list of steps")
    if asked.ndim == 0:
        return frozenset(log_steps(steps, whole("record", record, allowed=_CHECKPOINTS, least=2)).tolist())
    chosen = {*asked.tolist(), 0, steps}
    if min(chosen) < 0 or max(chosen) > steps:
        raise InputError(f"checkpoints must lie in 0..{steps}, got {sorted(chosen)}")
    return frozenset(chosen)
