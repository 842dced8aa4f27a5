"""One two-layer network as an experiment: the settings, what it costs, and the frame its training leaves."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pandas as pd

from ntk1bit.data import own_data, tasks
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.predictions import distances
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import Scale
from ntk1bit.networks.two_layer import Init, Precision, Trajectory

NO_SCALE = "none"  # the scale of a full-precision network
CHECKPOINT_COLUMNS = (
    "drift",
    "kernel_norm",
    "lambda_min",
    "lambda_max",
    "flipped",
    "activation_change",
    "max_activation_change",
    "radius",
)
TERM_COLUMNS = ("c1", "c2", "c3", "c4", "c3_switched", "unit", "identity_error", "kernel_error")  # see `StepTerms`
_OPERATIONS_A_SECOND = 3e10  # multiply-adds of a training, one thread
_SECONDS = 0.1  # what a network costs besides its multiply-adds


@dataclass(frozen=True)
class TwoLayer(Experiment):
    """The training of one two-layer network; the fields are described in `SweepSpec` and `two_layer.train`."""

    KIND: ClassVar[str] = "two-layer"
    ALWAYS: ClassVar[tuple[str, ...]] = ("step", "loss", "drift", "eta", "diverged")
    CHECKPOINT: ClassVar[str] = "drift"

    task: str
    dim: int
    n_train: int
    n_test: int
    data_seed: int
    width: int
    precision: str
    init: str
    scale: str
    kappa: float
    eta_rel: float
    steps: int
    checkpoints: int
    seed: int
    predictions: bool = False
    terms: bool = False

    @property
    def label(self) -> str:
        """Its width, the setting that matters most for time and memory."""
        return f"width {self.width}"

    @property
    def operations(self) -> float:
        """Multiply-adds of the whole training: two (n, d, m) products per step, and O(m d) work on the weights."""
        per_step = 2.0 * self.n_train * self.dim * self.width + 8.0 * self.width * self.dim
        per_checkpoint = 1.0 * self.width * self.n_train**2 + 2.0 * self.n_test * self.dim * self.width
        if self.terms:  # six products in float64, at about a quarter of the speed of the cores
            per_checkpoint += 4 * 6.0 * self.n_train * self.dim * self.width
        return self.steps * per_step + min(self.checkpoints, self.steps + 1) * per_checkpoint

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return self.operations / _OPERATIONS_A_SECOND + _SECONDS

    @property
    def memory(self) -> int:
        """Predicted bytes at the peak: weights now and at the start, packed signs and activation patterns, kernels."""
        latent, activity = self.width * self.dim, self.width * self.n_train
        kernels = 6 * 8 * self.n_train**2
        if self.predictions:  # the kernels of both predictions, and powers of I - eta H
            kernels += 6 * 8 * self.n_train * (self.n_train + self.n_test)
        if self.terms:  # the network in float64, and its activation patterns unpacked
            latent, activity = 2 * latent, activity + 8 * activity
        data = 16 * (self.n_train + self.n_test) * self.dim
        recorded = 8 * self.checkpoints * (self.n_train + self.n_test) * 3 + 32 * self.steps
        return 8 * latent + 5 * (latent + activity) // 8 + 32 * self.width + kernels + data + recorded

    def run(self, scratch: Path) -> pd.DataFrame:
        """Train the network; it takes seconds to minutes and keeps no checkpoint in `scratch`.

        Returns
        -------
        A row per step: step, loss; at checkpoints drift, kernel_norm, lambda_min, lambda_max, flipped,
        activation_change, max_activation_change, radius (float64, see `Trajectory`) and test_loss (`1/2 sum (f - y)^2`
        over the test points), NaN between them; with predictions, also the columns of `distances`; with terms,
        `TERM_COLUMNS`; outputs and test_outputs (float32 arrays at checkpoints, else None); eta and diverged, the same
        in every row.
        """
        if own_data.is_own(self.task):
            own_data.look_in(scratch.parents[1])  # the run's folder
        task = load_task(self.task, self.n_train, self.n_test, self.data_seed, self.dim)
        weights = two_layer.init(self.width, self.dim, seed=self.seed, init=cast(Init, self.init))
        precision = cast(Precision, self.precision)
        scale = cast(Scale, "std" if self.scale == NO_SCALE else self.scale)
        terms: list[two_layer.StepTerms] = []

        def record_terms(now: two_layer.Weights, eta: float) -> None:
            terms.append(
                two_layer.step_terms(task.x, task.y, now, eta=eta, precision=precision, kappa=self.kappa, scale=scale)
            )

        trajectory = two_layer.train(
            task.x,
            task.y,
            weights,
            precision=precision,
            kappa=self.kappa,
            scale=scale,
            eta_rel=self.eta_rel,
            steps=self.steps,
            x_test=task.x_test,
            record=self.checkpoints,
            observe=record_terms if self.terms else None,
        )
        columns = {name: getattr(trajectory, name) for name in CHECKPOINT_COLUMNS}
        columns["test_loss"] = 0.5 * ((trajectory.test_outputs - task.y_test) ** 2).sum(axis=1)
        if self.predictions:
            columns |= distances(task, weights, trajectory, precision=precision, kappa=self.kappa, scale=scale)
        if self.terms:
            columns |= {name: np.array([getattr(step, name) for step in terms]) for name in TERM_COLUMNS}
        return _frame(trajectory, columns)


@functools.lru_cache(maxsize=8)
def load_task(name: str, n_train: int, n_test: int, seed: int, dim: int | None) -> tasks.Task:
    """Load a task once per process; `dim` is passed on only where the task has a choice."""
    chosen = dim if tasks.dims_allowed(name) else None
    return tasks.load(name, n_train=n_train, n_test=n_test, seed=seed, dim=chosen)


def _frame(trajectory: Trajectory, at_checkpoints: dict[str, np.ndarray]) -> pd.DataFrame:
    rows, at = len(trajectory.loss), trajectory.steps

    def sparse(values: np.ndarray) -> np.ndarray:
        column = np.full(rows, np.nan)
        column[at] = values
        return column

    def sparse_arrays(values: np.ndarray) -> np.ndarray:
        column = np.full(rows, None, dtype=object)
        for step, entry in zip(at, values.astype(np.float32), strict=True):
            column[step] = entry
        return column

    return pd.DataFrame(
        {"step": np.arange(rows), "loss": trajectory.loss}
        | {name: sparse(values) for name, values in at_checkpoints.items()}
        | {
            "outputs": sparse_arrays(trajectory.outputs),
            "test_outputs": sparse_arrays(trajectory.test_outputs),
            "eta": trajectory.eta,
            "diverged": trajectory.diverged,
        }
    )
