"""One two-layer network as an experiment: the settings, what it costs, and the frame its training leaves."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pandas as pd

from ntk1bit.data import own_data, tasks
from ntk1bit.errors import InputError
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.limits import current_limit
from ntk1bit.experiments.predictions import distances
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import Scale
from ntk1bit.networks.two_layer import Activity, Init, Precision, TrainingMemory, Trajectory
from ntk1bit.networks.two_layer.memory import megabytes, of_limit
from ntk1bit.networks.two_layer.network import STRAIGHT_THROUGH

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
    LENGTH: ClassVar[str] = "steps"
    LATER: ClassVar[tuple[str, ...]] = ("activity",)

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
    activity: str = STRAIGHT_THROUGH

    @property
    def label(self) -> str:
        """Its width, the setting that matters most for time and memory."""
        return f"width {self.width}"

    @property
    def operations(self) -> float:
        """Multiply-adds of the whole training: two (n, d, m) products per step, and O(m d) work on the weights."""
        per_step = 2.0 * self.n_train * self.dim * self.width + 8.0 * self.width * self.dim
        per_checkpoint = 1.0 * self.width * self.n_train**2 + 2.0 * self.n_test * self.dim * self.width
        if self.activity == "latent":  # a forward pass of the latent weights
            per_step += 1.0 * self.n_train * self.dim * self.width
        if self.terms:  # six products in float64, at about a quarter of the speed of the cores
            per_checkpoint += 4 * 6.0 * self.n_train * self.dim * self.width
        return self.steps * per_step + min(self.checkpoints, self.steps + 1) * per_checkpoint

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return self.operations / _OPERATIONS_A_SECOND + _SECONDS

    @property
    def memory(self) -> int:
        """Predicted bytes at the peak, all weights in memory; see `TrainingMemory`."""
        terms = 0
        if self.terms:  # the network in float64, and its activation patterns unpacked
            latent, activity = self.width * self.dim, self.width * self.n_train
            terms = 8 * latent + 5 * (latent + 8 * activity) // 8
        return self._training.whole + self._for_predictions + terms

    def memory_within(self, limit: int | None) -> int:
        """Predict the bytes at the peak under a limit: where it is less than `memory`, the weights are in a file.

        Raises
        ------
        InputError
            If the limit is too small for that too, or terms are asked for, which need all weights in memory.
        """
        left = self._left_for_training(limit)
        if left is None:
            return self.memory
        rows = self._training.rows_within(left)
        return self._for_predictions + (self._training.whole if rows is None else self._training.in_parts(rows))

    @property
    def _training(self) -> TrainingMemory:
        sizes = (self.width, self.dim, self.n_train, self.n_test, self.steps, self.checkpoints)
        return TrainingMemory(*sizes, self.descends_by)

    @property
    def _for_predictions(self) -> int:
        """Bytes of the kernels of both predictions, and of powers of I - eta H."""
        return 6 * 8 * self.n_train * (self.n_train + self.n_test) if self.predictions else 0

    def _left_for_training(self, limit: int | None) -> int | None:
        """Return the bytes that training may take under a limit; None where everything fits."""
        if limit is None or self.memory <= limit:
            return None
        if self.terms:
            raise InputError(
                f"the terms of a step need all weights in memory: {megabytes(self.memory)} at {self.label}, and the "
                f"limit is {of_limit(limit)}; raise it or leave out the terms"
            )
        least = self._training.least + self._for_predictions
        if limit < least:
            raise InputError(
                f"{self.label} with {self.n_train} training points takes at least {megabytes(least)} of memory, and "
                f"the limit is {of_limit(limit)}; raise it, or take a smaller width or fewer points"
            )
        return limit - self._for_predictions

    def reads(self, scratch: Path) -> tuple[Path, ...]:
        """Return where the data of one's own are, if it is trained on such."""
        return (own_data.kept(self.task, scratch.parents[1]),) if own_data.is_own(self.task) else ()

    @property
    def shortest(self) -> int:
        """As many steps as are recorded in full, which cost more than others."""
        return min(self.checkpoints, self.steps)

    def run(self, scratch: Path) -> pd.DataFrame:
        """Train the network; it takes seconds to minutes and keeps no checkpoint in `scratch`.

        Under a limit of memory that is too small for its weights these are in a file beside `scratch` for the time
        being. The result has the same bits.

        Returns
        -------
        A row per step: step, loss; at checkpoints drift, kernel_norm, lambda_min, lambda_max, flipped,
        activation_change, max_activation_change, radius (float64, see `Trajectory`) and test_loss (`1/2 sum (f - y)^2`
        over the test points), NaN between them; with predictions, also the columns of `distances`; with terms,
        `TERM_COLUMNS`; outputs and test_outputs (float32 arrays at checkpoints, else None); eta and diverged, the same
        in every row.
        """
        task, weights, (precision, scale) = self.data(scratch), self.start(), self.quantiser
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
            activity=self.descends_by,
            eta_rel=self.eta_rel,
            steps=self.steps,
            x_test=task.x_test,
            record=self.checkpoints,
            observe=record_terms if self.terms else None,
            memory=self._left_for_training(current_limit()),
            scratch=scratch,
        )
        of_terms = {name: np.array([getattr(step, name) for step in terms]) for name in TERM_COLUMNS if self.terms}
        return self.frame(task, weights, trajectory, of_terms)

    def data(self, scratch: Path) -> tasks.Task:
        """Load the task; that of one's own data from the folder of the run that `scratch` is in."""
        if own_data.is_own(self.task):
            own_data.look_in(scratch.parents[1])
        return load_task(self.task, self.n_train, self.n_test, self.data_seed, self.dim)

    def start(self) -> two_layer.DrawnWeights:
        """Return W(0) and a, which are drawn where they are used."""
        return two_layer.DrawnWeights(self.width, self.dim, seed=self.seed, init=cast(Init, self.init))

    @property
    def quantiser(self) -> tuple[Precision, Scale]:
        """Precision and scale as functions take them; full precision has no scale and takes any."""
        return cast(Precision, self.precision), cast(Scale, "std" if self.scale == NO_SCALE else self.scale)

    @property
    def descends_by(self) -> Activity:
        """The activity as functions take it."""
        return cast(Activity, self.activity)

    def frame(
        self,
        task: tasks.Task,
        start: two_layer.Weights | two_layer.DrawnWeights,
        trajectory: Trajectory,
        more: Mapping[str, np.ndarray] | None = None,
    ) -> pd.DataFrame:
        """Return what `run` does of a trajectory; `more` are further columns at the checkpoints."""
        columns = {name: getattr(trajectory, name) for name in CHECKPOINT_COLUMNS}
        columns["test_loss"] = 0.5 * ((trajectory.test_outputs - task.y_test) ** 2).sum(axis=1)
        if self.predictions:
            precision, scale = self.quantiser
            columns |= distances(
                task,
                start,
                trajectory,
                precision=precision,
                kappa=self.kappa,
                scale=scale,
                activity=self.descends_by,
            )
        return _frame(trajectory, columns | dict(more or {}))


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
