"""Experiments without training: networks as they are drawn, and the scatter of a single step."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit import kernels
from ntk1bit.data import tasks
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.kernels.effective import threshold_density
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import Scale, centred_scale, effective_weights
from ntk1bit.networks.two_layer import Precision
from ntk1bit.networks.two_layer.engines import PackedEngine
from ntk1bit.networks.two_layer.sign_flips import activations_differ, greedy_move, may_change

_STREAM = 0x33  # keeps these draws apart from those of `two_layer.init` and of the kernels at the same seed
_NEURONS_AT_ONCE = 2000
_PRECISIONS: tuple[Precision, Precision] = ("full", "one_bit")


@dataclass(frozen=True)
class AtStart(Experiment):
    """Draw networks on `sphere-linear` and measure what D25's Lemmas I.6, D.7, I.3 and 5.1 bound."""

    KIND: ClassVar[str] = "at-start"

    dim: int
    width: int
    n_train: int
    draws: int

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return 1e-9 * self.dim * self.width * self.draws

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row per draw: `largest_weight` max|w_rk|, `largest_mean` max|mu_r|, `largest_std` max s_r, `largest_norm` max
        norm(w_r); `largest_u` and `rms_u` of <u(w_r), x_i>; `residual` and `residual_full`, norm(f(X) - y) at
        kappa = 1; and `gap`, `largest_gap`: root mean square and largest |f - f'| over 256 test inputs at kappa = 1.
        """
        task = tasks.load("sphere-linear", n_train=self.n_train, n_test=256, seed=0, dim=self.dim)
        rows = []
        for seed in range(self.draws):
            weights = two_layer.init(self.width, self.dim, seed=seed)
            largest_u, sum_u = 0.0, 0.0
            for low in range(0, self.width, _NEURONS_AT_ONCE):
                w = weights.w[low : low + _NEURONS_AT_ONCE].astype(np.float64)
                u = (effective_weights(w) - w) @ task.x.T
                largest_u = max(largest_u, float(np.abs(u).max()))
                sum_u += float((u**2).sum())
            mean, norm = weights.w.mean(axis=1), np.linalg.norm(weights.w, axis=1)
            f, f_full = (two_layer.outputs(task.x, weights, precision=p) for p in ("one_bit", "full"))
            apart = np.subtract(
                two_layer.outputs(task.x_test, weights), two_layer.outputs(task.x_test, weights, precision="full")
            )
            rows.append(
                {
                    "seed": seed,
                    "largest_weight": float(np.abs(weights.w).max()),
                    "largest_mean": float(np.abs(mean).max()),
                    "largest_std": float(weights.w.std(axis=1).max()),
                    "largest_norm": float(norm.max()),
                    "largest_u": largest_u,
                    "rms_u": float(np.sqrt(sum_u / (self.width * self.n_train))),
                    "residual": float(np.linalg.norm(f - task.y)),
                    "residual_full": float(np.linalg.norm(f_full - task.y)),
                    "gap": float(np.sqrt(np.mean(apart.astype(np.float64) ** 2))),
                    "largest_gap": float(np.abs(apart).max()),
                }
            )
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class FlipProbability(Experiment):
    """Count neurons whose activity on a random input can change within a ball of radius R around their weights.

    Two counts enclose the truth. `reached`: a greedy adversary found a move of length <= R that changes the activity,
    and the network evaluated at the moved weights confirms it. `possible`: the necessary condition of
    `eq5_flip_probability` holds. Every reached neuron must be a possible one; `missed` counts those that are not.
    """

    KIND: ClassVar[str] = "flip-probability"

    dim: int
    radius: float
    seed: int
    neurons: int

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return 1e-2 * self.dim

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        One row: `reached`, `possible`, `missed`, out of `neurons`.
        """
        rng = np.random.default_rng([self.seed, _STREAM, self.dim])
        counts = {"reached": 0, "possible": 0, "missed": 0}
        for low in range(0, self.neurons, _NEURONS_AT_ONCE):
            size = min(_NEURONS_AT_ONCE, self.neurons - low)
            w = rng.standard_normal((size, self.dim))
            x = rng.standard_normal((size, self.dim))
            x /= np.linalg.norm(x, axis=1, keepdims=True)
            possible = may_change(w, x, self.radius)
            reached = activations_differ(w, x, greedy_move(w, x, self.radius))
            counts["reached"] += int(reached.sum())
            counts["possible"] += int(possible.sum())
            counts["missed"] += int((reached & ~possible).sum())
        return pd.DataFrame([counts])


@dataclass(frozen=True)
class LimitDistances(Experiment):
    """Measure norm_F(H(0) - limit)/norm_F(limit) on 64 points of a task."""

    KIND: ClassVar[str] = "limit-distances"
    LATER: ClassVar[tuple[str, ...]] = ("data_seed",)

    task: str
    precision: str
    widths: tuple[int, ...]
    draws: int
    samples: int
    data_seed: int = 0

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return 1e-3 * sum(self.widths)

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row for each width and draw: `width`, `seed`, `distance`, and `limit_error`, what the Monte Carlo error of the
        limit itself would give.
        """
        x = tasks.load(self.task, n_train=64, n_test=0, seed=self.data_seed).x
        precision = cast(Precision, self.precision)
        limit = kernels.limit_ntk(x, precision=precision, samples=self.samples)
        size = np.linalg.norm(limit.value)
        rows = []
        for width in self.widths:
            for seed in range(self.draws):
                kernel = kernels.empirical_ntk(x, two_layer.init(width, x.shape[1], seed=seed), precision=precision)
                rows.append(
                    {
                        "width": width,
                        "seed": seed,
                        "distance": float(np.linalg.norm(kernel - limit.value) / size),
                        "limit_error": float(np.linalg.norm(limit.standard_error) / size),
                    }
                )
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class LimitsInDim(Experiment):
    """Compare the limits of both precisions, and K_eff with H, on 64 uniform points of the sphere in R^d."""

    KIND: ClassVar[str] = "limits-in-dim"

    dim: int
    scale: str
    samples: int

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return 2.0 + 0.05 * self.dim

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        One row: `distance`, norm_F(H - H')/norm_F(H') of the 1-bit limit H to the full-precision limit H'; `noise`,
        what the Monte Carlo error of H would give; `ratio`, the c that brings c H closest to K_eff, with its standard
        error `ratio_error`.
        """
        x = tasks.load("sphere-linear", n_train=64, n_test=0, seed=0, dim=self.dim).x
        scale = cast(Scale, self.scale)
        one_bit = kernels.limit_ntk(x, precision="one_bit", scale=scale, samples=self.samples)
        full = kernels.limit_ntk(x, precision="full").value
        effective = kernels.effective_ntk(x, scale=scale, samples=self.samples // 4)
        size = np.linalg.norm(full)
        weight = one_bit.value / np.vdot(one_bit.value, one_bit.value)  # the ratio is <K_eff, weight>
        return pd.DataFrame(
            {
                "distance": [float(np.linalg.norm(one_bit.value - full) / size)],
                "noise": [float(np.linalg.norm(one_bit.standard_error) / size)],
                "ratio": [kernels.kernel_ratio(effective.value, one_bit.value)],
                "ratio_error": [float(np.linalg.norm(weight * effective.standard_error))],
            }
        )


@dataclass(frozen=True)
class StepNoise(Experiment):
    """Measure how the change of f over one step scatters over independent paired networks, at eta_rel = 0.25.

    All start at f = 0, so all see the same residual -y; eta is the same for all, from the limit kernel in full
    precision.
    """

    KIND: ClassVar[str] = "step-noise"

    dim: int
    width: int
    seed: int
    networks: int

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return 1.0 + 2e-6 * self.width * self.dim

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row per precision: `scatter`, root mean square over 32 training inputs of the deviation over networks;
        `predicted`, its flip-noise law (NaN in full precision), see `c3b_spread`; `speed`, the mean over networks of
        <y, Delta f>/(eta y^T H y), H being the limit kernel of that precision: 1 - speed is C3/(eta r^T H r); and
        `predicted_speed`, y^T K_eff y/y^T H y (1 in full precision).
        """
        task = tasks.load("sphere-linear", n_train=32, n_test=0, seed=0, dim=self.dim)
        y = task.y.astype(np.float64)
        limits, effective = _limits(self.dim)
        slowed = float(y @ effective @ y) / float(y @ limits["one_bit"] @ y)
        eta = 0.25 / float(np.linalg.eigvalsh(limits["full"])[-1])
        changes: dict[str, list[np.ndarray]] = {precision: [] for precision in _PRECISIONS}
        for network in range(self.networks):
            start = two_layer.init(self.width, self.dim, seed=1000 * self.seed + network, init="paired")
            for precision in _PRECISIONS:
                weights = two_layer.Weights(start.w.copy(), start.a)
                engine = PackedEngine(task.x, weights, precision, 1.0, "std")
                before = engine.forward()
                engine.descend(before - task.y, eta)
                changes[precision].append(engine.forward() - before)
        rows = []
        for precision in _PRECISIONS:
            every = np.array(changes[precision], dtype=np.float64)
            predicted = np.nan
            if precision == "one_bit":
                predicted = flip_noise(task.x, task.y, eta=eta, width=self.width, seed=self.seed)
            rows.append(
                {
                    "precision": precision,
                    "scatter": float(np.sqrt(every.var(axis=0, ddof=1).mean())),
                    "predicted": predicted,
                    "speed": float((every @ y).mean() / (eta * y @ limits[precision] @ y)),
                    "predicted_speed": slowed if precision == "one_bit" else 1.0,
                }
            )
        return pd.DataFrame(rows)


@functools.lru_cache(maxsize=1)
def _limits(dim: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the limit kernels of both precisions and K_eff for the task of `StepNoise`, once per process."""
    x = tasks.load("sphere-linear", n_train=32, n_test=0, seed=0, dim=dim).x
    full, one_bit = (kernels.limit_ntk(x, precision=p, samples=1_000_000).value for p in _PRECISIONS)
    return {"one_bit": one_bit, "full": full}, kernels.effective_ntk(x, samples=400_000).value


def flip_noise(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"], *, eta: float, width: int, seed: int) -> float:
    """Return the flip-noise law of one step from f = 0 at kappa = 1: root mean square over inputs of sd(Delta f(x_j)).

    Var Delta f(x_j) = (eta/sqrt m) p_0 sum_k E[ |g_k - mean g| (2 s x_jk)^2 1[z(x_j) >= 0] ] with
    g = sum_i y_i 1[z(x_i) >= 0] x_i: the rate at which signs flip times the square of what a flip does; the expectation
    over 20,000 random neurons.
    """
    dim = x.shape[1]
    w = np.random.default_rng([seed, _STREAM, dim, 1]).standard_normal((20_000, dim))
    c, s, mu = centred_scale(w)
    active = (s[:, None] * (np.where(c >= 0, 1.0, -1.0) @ x.T) + mu[:, None] * x.sum(axis=1) >= 0).astype(np.float64)
    pull = (active * y) @ x
    pull -= pull.mean(axis=1, keepdims=True)
    jumps = 4 * s[:, None] ** 2 * (active @ x.astype(np.float64) ** 2) / len(x)
    density = threshold_density(dim)
    rate = float((np.abs(pull) * jumps).sum(axis=1).mean())
    return float(np.sqrt(eta / np.sqrt(width) * density * rate))
