"""One cell of a sweep: the settings of one network, its training, what it costs, and the table it leaves."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa

from ntk1bit.data import tasks
from ntk1bit.experiments.predictions import distances
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import Scale
from ntk1bit.networks.two_layer import Init, Precision, Trajectory

FORMAT = 3  # raised whenever the meaning of a stored cell changes, so that old files are not taken for new ones
NO_SCALE = "none"  # the scale of a full-precision cell

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


@dataclass(frozen=True)
class Cell:
    """The settings of one network; what they are is told in `SweepSpec` and `two_layer.train`."""

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
    def key(self) -> str:
        """A hash of the settings: the cell's name on disk."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def operations(self) -> float:
        """Multiply-adds of the whole training: two (n, d, m) products a step, and O(m d) work on the weights."""
        a_step = 2.0 * self.n_train * self.dim * self.width + 8.0 * self.width * self.dim
        a_checkpoint = 1.0 * self.width * self.n_train**2 + 2.0 * self.n_test * self.dim * self.width
        if self.terms:  # six products in float64, at about a quarter of the speed of the cores
            a_checkpoint += 4 * 6.0 * self.n_train * self.dim * self.width
        return self.steps * a_step + min(self.checkpoints, self.steps + 1) * a_checkpoint

    @property
    def memory(self) -> int:
        """Predicted bytes of arrays at the peak: weights now and at the start, packed signs and activities, kernels."""
        latent, activity = self.width * self.dim, self.width * self.n_train
        kernels = 6 * 8 * self.n_train**2
        if self.predictions:  # the kernels of both predictions, and powers of I - eta H
            kernels += 6 * 8 * self.n_train * (self.n_train + self.n_test)
        if self.terms:  # the network in float64, and its activities unpacked
            latent, activity = 2 * latent, activity + 8 * activity
        data = 16 * (self.n_train + self.n_test) * self.dim
        recorded = 8 * self.checkpoints * (self.n_train + self.n_test) * 3 + 32 * self.steps
        return 8 * latent + 5 * (latent + activity) // 8 + 32 * self.width + kernels + data + recorded


def run_cell(cell: Cell) -> pa.Table:
    """Train one cell and return its table: a row a step, with the checkpoint columns null between checkpoints.

    Columns: step, loss, then at checkpoints drift, kernel_norm, lambda_min, lambda_max, flipped, activation_change,
    max_activation_change, radius (float64, see `Trajectory`), test_loss (`1/2 sum (f - y)^2` over the test points),
    outputs and test_outputs (lists of float32); with predictions, also those of `distances`; with terms, those of
    `TERM_COLUMNS`. The table's metadata hold the settings, eta, whether it diverged, and the seconds it took.
    """
    task = load_task(cell.task, cell.n_train, cell.n_test, cell.data_seed, cell.dim)
    weights = two_layer.init(cell.width, cell.dim, seed=cell.seed, init=cast(Init, cell.init))
    precision = cast(Precision, cell.precision)
    scale = cast(Scale, "std" if cell.scale == NO_SCALE else cell.scale)
    taken: list[two_layer.StepTerms] = []

    def take_apart(now: two_layer.Weights, eta: float) -> None:
        taken.append(
            two_layer.step_terms(task.x, task.y, now, eta=eta, precision=precision, kappa=cell.kappa, scale=scale)
        )

    began = time.perf_counter()
    trajectory = two_layer.train(
        task.x,
        task.y,
        weights,
        precision=precision,
        kappa=cell.kappa,
        scale=scale,
        eta_rel=cell.eta_rel,
        steps=cell.steps,
        x_test=task.x_test,
        record=cell.checkpoints,
        observe=take_apart if cell.terms else None,
    )
    columns = {name: getattr(trajectory, name) for name in CHECKPOINT_COLUMNS}
    columns["test_loss"] = 0.5 * ((trajectory.test_outputs - task.y_test) ** 2).sum(axis=1)
    if cell.predictions:
        columns |= distances(task, weights, trajectory, precision=precision, kappa=cell.kappa, scale=scale)
    if cell.terms:
        columns |= {name: np.array([getattr(one, name) for one in taken]) for name in TERM_COLUMNS}
    seconds = time.perf_counter() - began
    return _table(cell, trajectory, columns, seconds)


def about_table(table: pa.Table) -> dict[str, Any]:
    """Return what a cell's table says about itself: format, cell, eta, diverged, seconds.

    Raises
    ------
    KeyError, ValueError
        If it is not the table of a cell.
    """
    return json.loads((table.schema.metadata or {})[b"ntk1bit"])


def digest(table: pa.Table) -> str:
    """Hash everything a cell's table holds: its columns and what it says about itself, but for the digest in it."""
    about = {name: value for name, value in about_table(table).items() if name != "digest"}
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in table.column_names:
        column = table[name].combine_chunks()
        parts = [column.value_lengths(), column.flatten()] if isinstance(column, pa.ListArray) else [column]
        for part in parts:
            values = part.to_numpy(zero_copy_only=False)  # a null number becomes NaN
            found.update(f"{name} {values.dtype} {values.shape}".encode())
            found.update(values.tobytes())
    return found.hexdigest()


@functools.lru_cache(maxsize=8)
def load_task(name: str, n_train: int, n_test: int, seed: int, dim: int | None) -> tasks.Task:
    """Load a task once a process; `dim` is passed on only where the task has a choice."""
    chosen = dim if tasks.dims_allowed(name) else None
    return tasks.load(name, n_train=n_train, n_test=n_test, seed=seed, dim=chosen)


def _table(cell: Cell, trajectory: Trajectory, sparse_columns: dict[str, np.ndarray], seconds: float) -> pa.Table:
    rows = len(trajectory.loss)
    at = trajectory.steps
    recorded = np.zeros(rows, dtype=bool)
    recorded[at] = True

    def sparse(values: np.ndarray) -> pa.Array:
        column = np.zeros(rows)
        column[at] = values
        return pa.array(column, mask=~recorded)

    def sparse_lists(values: np.ndarray) -> pa.Array:
        entries: list[np.ndarray | None] = [None] * rows
        for step, entry in zip(at, values.astype(np.float32), strict=True):
            entries[step] = entry
        return pa.array(entries, type=pa.list_(pa.float32()))

    columns: dict[str, Any] = {"step": np.arange(rows), "loss": trajectory.loss}
    columns |= {name: sparse(values) for name, values in sparse_columns.items()}
    columns |= {
        "outputs": sparse_lists(trajectory.outputs),
        "test_outputs": sparse_lists(trajectory.test_outputs),
    }
    about = {
        "format": FORMAT,
        "cell": asdict(cell),
        "eta": trajectory.eta,
        "diverged": trajectory.diverged,
        "seconds": round(seconds, 3),
    }
    return pa.table(columns).replace_schema_metadata({"ntk1bit": json.dumps(about)})
