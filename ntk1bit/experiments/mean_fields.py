"""Predictions without a fitted constant, and networks beside them: the mean field, the floor, the spread of outputs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.data import tasks
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.kernels.limits import limit_ntk
from ntk1bit.kernels.mean_fields import averaged_loss, mean_field
from ntk1bit.kernels.opposite_pairs import opposite_inputs
from ntk1bit.kernels.poisson_floor import floor_process
from ntk1bit.kernels.spreads import output_spread
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


@dataclass(frozen=True)
class FloorOnTask(Experiment):
    """Train 1-bit networks to their floor, and simulate `kernels.floor_process` on the same inputs.

    Attributes
    ----------
    task, dim, n_train, eta_rel, activity
        As in a sweep, from a ``paired`` start.
    width, seeds
        Neurons, and networks.
    steps
        Descent steps of networks.
    replicates, process_steps
        As `replicates` and `steps` of `floor_process`.
    settling
        Steps of a mean field, whose density at thresholds is the intensity of a second process; 0 for none.
    particles
        As in `mean_field`.
    process_seed
        `seed` of `floor_process`.
    """

    KIND: ClassVar[str] = "floor-on-task"
    LATER: ClassVar[tuple[str, ...]] = ("process_seed",)

    task: str
    dim: int
    n_train: int
    eta_rel: float
    activity: str
    width: int
    seeds: tuple[int, ...]
    steps: int
    replicates: int
    process_steps: int
    settling: int = 0
    particles: int = 200_000
    process_seed: int = 0

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        networks = len(self.seeds) * 3e-12 * self.width * self.dim * self.n_train * self.steps
        processes = (2 if self.settling else 1) * 1.5e-4 * self.replicates * self.process_steps
        return 5.0 + networks + processes + 2e-9 * self.particles * self.settling

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row for each network and each time, and for each replicate of a process: `source`, ``networks``, ``process``
        (the density of the start) or ``carried`` (that of the mean field); `seed`; `share` of the steps, a quarter, a
        half or 1, and 1 in processes; `level`, m L, of networks the mean over the last quarter of the steps until then;
        `intensity` of the process, 1 in networks.
        """
        task = tasks.load(self.task, n_train=self.n_train, n_test=1, seed=0, dim=self.dim or None)
        activity = cast(Activity, self.activity)
        found: list[tuple[str, int, float, float, float]] = []
        for seed in self.seeds:
            start = two_layer.init(self.width, task.x.shape[1], seed=seed, init="paired")
            trained = two_layer.train(
                task.x, task.y, start, eta_rel=self.eta_rel, activity=activity, steps=self.steps, record=[0]
            )
            for share in (0.25, 0.5, 1.0):
                end = round(share * self.steps)
                late = trained.loss[end - end // 4 : end + 1]
                found.append(("networks", seed, share, self.width * float(late.mean()), 1.0))
        intensities = [("process", 1.0)]
        if self.settling:
            settled = mean_field(
                task.x,
                task.y,
                eta_rel=self.eta_rel,
                steps=self.settling,
                activity=activity,
                particles=self.particles,
            )
            intensities.append(("carried", settled.near_threshold))
        for source, intensity in intensities:
            process = floor_process(
                task.x,
                task.y,
                eta_rel=self.eta_rel,
                activity=activity,
                intensity=intensity,
                replicates=self.replicates,
                steps=self.process_steps,
                seed=self.process_seed,
            )
            found += [(source, seed, 1.0, float(level), intensity) for seed, level in enumerate(process.levels)]
        return pd.DataFrame(found, columns=["source", "seed", "share", "level", "intensity"])


@dataclass(frozen=True)
class OscillationOnTask(Experiment):
    """Measure how much of the loss alternates in mid-training, in the mean field and in a network, on data sets.

    Attributes
    ----------
    task, dim, n_train, eta_rel
        As in a sweep, from a ``paired`` start, straight-through.
    data_seeds
        Data sets; each has a mean field and a network of the same seed.
    first, steps
        Losses are means over steps `first` to `steps` - 1.
    width
        Neurons of networks.
    particles
        As in `mean_field`.
    """

    KIND: ClassVar[str] = "oscillation-on-task"

    task: str
    dim: int
    n_train: int
    eta_rel: float
    data_seeds: tuple[int, ...]
    first: int
    steps: int
    width: int
    particles: int

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        each = 1.0 + 4e-10 * self.particles * self.steps * self.n_train + 1e-11 * self.width * self.dim * self.steps
        return 5.0 + len(self.data_seeds) * each

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row for each data set, as `seed`: `lambda_ratio`, lambda_min/lambda_max of the limit of H in full precision;
        mean losses 1/2 |F - y|^2 of the mean field, `limit_loss`, and of means of its two successive outputs,
        `limit_averaged`; the same of the network, `loss` and `averaged`.
        """
        found = []
        for seed in self.data_seeds:
            task = tasks.load(self.task, n_train=self.n_train, n_test=1, seed=seed, dim=self.dim or None)
            values = np.linalg.eigvalsh(limit_ntk(task.x, precision="full").value)
            limit = mean_field(
                task.x, task.y, eta_rel=self.eta_rel, steps=self.steps, particles=self.particles, seed=seed
            )
            start = two_layer.init(self.width, task.x.shape[1], seed=seed, init="paired")
            trained = two_layer.train(
                task.x, task.y, start, eta_rel=self.eta_rel, steps=self.steps, record=range(self.first, self.steps + 1)
            )
            outputs = trained.outputs[trained.steps >= self.first]  # the start is always recorded
            window = slice(self.first, self.steps)
            found.append(
                (
                    seed,
                    float(values[0] / values[-1]),
                    float(limit.loss()[:, window].mean()),
                    float(limit.loss(2)[:, window].mean()),
                    float(averaged_loss(outputs[:-1], task.y, 1).mean()),
                    float(averaged_loss(outputs, task.y, 2).mean()),
                )
            )
        return pd.DataFrame(found, columns=["seed", "lambda_ratio", "limit_loss", "limit_averaged", "loss", "averaged"])


@dataclass(frozen=True)
class SpreadOnTask(Experiment):
    """Compute `kernels.output_spread` on a task.

    Attributes
    ----------
    task, dim, n_train, n_test
        As in a sweep.
    samples
        As in `output_spread`.
    """

    KIND: ClassVar[str] = "output-spread"

    task: str
    dim: int
    n_train: int
    n_test: int
    samples: int

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return 2.0 + 2e-7 * self.samples * (self.n_train + self.n_test)

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row for each test input, as `index`, with the attributes of `kernels.OutputSpread` as columns.
        """
        task = tasks.load(self.task, n_train=self.n_train, n_test=self.n_test, seed=0, dim=self.dim or None)
        found = output_spread(task.x, task.y, task.x_test, samples=self.samples)
        columns = {one.name: getattr(found, one.name) for one in fields(found)}
        return pd.DataFrame({"index": np.arange(self.n_test), **columns})


def first_capture(apart: Float[np.ndarray, " t"], changes: int = 20) -> tuple[int, int]:
    """Return the first stretch over which a number alternates in sign, as the steps of its beginning and its end.

    It begins where `changes` changes of sign follow each other, and ends with the step before the first that has the
    sign of the one before, or with the last step there is. Both are 0 if it never begins.
    """
    turns = apart[1:] * apart[:-1] < 0  # between t and t + 1
    for first in range(len(turns) - changes + 1):
        if turns[first : first + changes].all():
            lapses = np.flatnonzero(~turns[first:])
            return first, first + int(lapses[0]) if len(lapses) else len(turns)
    return 0, 0
