"""The mean field of training on a task, and networks on two opposite inputs, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.data import tasks
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.kernels.mean_fields import mean_field
from ntk1bit.kernels.opposite_pairs import opposite_inputs
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import Activity

_SAMPLES = 4_000_000  # neurons for the constants of two opposite inputs: known to a part in a thousand


@dataclass(frozen=True)
class MeanFieldOnTask(Experiment):
    """Compute `kernels.mean_field` of a paired start on a task.

    Attributes
    ----------
    task, dim
        Name of a task, and its dimension; 0 where the task has one of its own.
    n_train, eta_rel, steps, activity
        As in a sweep.
    particles, replicates
        As in `mean_field`.
    """

    KIND: ClassVar[str] = "mean-field"

    task: str
    dim: int
    n_train: int
    eta_rel: float
    steps: int
    activity: str
    particles: int
    replicates: int = 8

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return 2.0 + 4e-10 * self.particles * self.steps * self.n_train

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row for each replicate, as `seed`, and step: `loss`, 1/2 |F - y|^2; `averaged`, that of the mean of this and
        the next output, NaN after the last step; `outputs`, F on the training inputs; `eta`; and, of all replicates
        together, `sticking`, NaN after the last step, and `near_threshold`, after the last step.
        """
        task = tasks.load(self.task, n_train=self.n_train, n_test=1, seed=0, dim=self.dim or None)
        found = mean_field(
            task.x,
            task.y,
            eta_rel=self.eta_rel,
            steps=self.steps,
            activity=cast(Activity, self.activity),
            particles=self.particles,
            replicates=self.replicates,
        )
        losses, averaged = found.loss(), found.loss(2)
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "seed": seed,
                        "step": np.arange(self.steps + 1),
                        "loss": losses[seed],
                        "averaged": np.append(averaged[seed], np.nan),
                        "outputs": list(found.replicates[seed]),
                        "eta": found.eta,
                        "sticking": np.append(found.sticking, np.nan),
                        "near_threshold": found.near_threshold,
                    }
                )
                for seed in range(self.replicates)
            ],
            ignore_index=True,
        )


@dataclass(frozen=True)
class OppositeNetworks(Experiment):
    """Train 1-bit networks on x and -x from a paired start, targets 1 and `second`.

    Attributes
    ----------
    dim
        d; x is drawn once for each, centred and of unit norm.
    second
        y_2; y_1 is 1.
    eta_rel
        Learning rate in units of the limit of 1/lambda_max(H(0)).
    width
        Neurons.
    steps
        Descent steps.
    seeds
        Networks.
    """

    KIND: ClassVar[str] = "opposite-networks"

    dim: int
    second: float
    eta_rel: float
    width: int
    steps: int
    seeds: tuple[int, ...]

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return 10.0 + len(self.seeds) * (0.1 + 1.5e-9 * self.width * self.dim * self.steps)

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row for each seed and step: `apart`, A = r_1 - r_2, and `total`, S = r_1 + r_2; and, the same in every row,
        `amplitude`, |A*| in closed form, `amplitude_error`, its relative standard error by Monte Carlo, and
        `recursion`, |A| of the recursion of infinite width, the mean over its last quarter.
        """
        x = np.random.default_rng([17, self.dim]).standard_normal(self.dim)
        x -= x.mean()
        x /= np.linalg.norm(x)
        y = (1.0, self.second)
        known = opposite_inputs(x, samples=_SAMPLES)
        limit = known.residuals(y, eta=self.eta_rel / known.h, steps=self.steps)
        constants = {
            "amplitude": known.amplitude(y, eta=self.eta_rel / known.h),
            "amplitude_error": known.switching_error / known.switching + known.k_eff_error / known.k_eff,
            "recursion": float(np.abs(limit[-(self.steps // 4) :, 0] - limit[-(self.steps // 4) :, 1]).mean()),
        }
        inputs = np.stack([x, -x]).astype(np.float32)
        parts = []
        for seed in self.seeds:
            start = two_layer.init(self.width, self.dim, seed=seed, init="paired")
            trained = two_layer.train(
                inputs, np.array(y), start, eta_rel=self.eta_rel, steps=self.steps, record=range(self.steps + 1)
            )
            residuals = trained.outputs - np.array(y)
            parts.append(
                pd.DataFrame(
                    {
                        "seed": seed,
                        "step": trained.steps,
                        "apart": residuals[:, 0] - residuals[:, 1],
                        "total": residuals.sum(axis=1),
                        **constants,
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)


def captured(apart: Float[np.ndarray, " t"], around: int = 10) -> np.ndarray:
    """Say of each step whether the difference of residuals alternates in sign from `around` steps before to after.

    The rule for a stretch of the two-cycle: lapses, and whatever is within `around` steps of one, are not counted.
    """
    alternates = np.append(apart[1:] * apart[:-1] < 0, False)  # between t and t + 1
    wanted = np.zeros(len(apart), dtype=bool)
    for t in range(around, len(apart) - around):
        wanted[t] = alternates[t - around : t + around].all()
    return wanted
