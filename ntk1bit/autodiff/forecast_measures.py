"""How far predicted outputs are from trained ones, step by step; `ntk1bit.autodiff.forecasts` defines each measure."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.autodiff.descents import Outputs, RecordedDescent, kernel_matrix
from ntk1bit.autodiff.losses import LossName, loss_value, output_gradient

COLUMNS = (
    "step",
    "moved",
    "error",
    "error_reformed",
    "local",
    "local_start",
    "ratio",
    "growth",
    "flips",
    "flips_since_start",
    "loss",
    "loss_predicted",
    "moved_test",
    "error_test",
    "error_reformed_test",
)


def measured_steps(
    loss: LossName,
    kernel: np.ndarray,
    eta: float,
    targets: np.ndarray,
    run: RecordedDescent,
    guess: Outputs,
    reformed: Outputs,
) -> pd.DataFrame:
    """Return a row for each step, with the columns that `TrainingForecast.frame` describes.

    Parameters
    ----------
    loss
        Its name.
    kernel
        K_0.
    eta
        Learning rate.
    targets
        Of the training inputs, which come first in what follows.
    run
        The training.
    guess, reformed
        p_t and q_t of training and test inputs.
    """
    n, steps = len(targets), len(run.said)
    own, matrix = run.outputs[:, :n], kernel_matrix(kernel)
    nothing = [math.nan]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        change, said = np.diff(own, axis=0), run.said[:, :n]
        gradients = [output_gradient(loss, one, targets) for one in own[:-1]]
        by_start = [-eta * (matrix @ g.reshape(-1)).reshape(g.shape) for g in gradients]
        along = [
            [float(np.vdot(g, moved)) for moved in each]
            for g, *each in zip(gradients, change, said, by_start, strict=True)
        ]
        columns: dict[str, Any] = {
            "step": np.arange(steps + 1),
            "moved": _norms(own - own[0]) / math.sqrt(own[0].size),
            "error": relative_norms(guess[:, :n] - own, own - own[0]),
            "error_reformed": relative_norms(reformed[:, :n] - own, own - own[0]),
            "local": np.concatenate([nothing, relative_norms(change - said, change)]),
            "local_start": np.concatenate([nothing, relative_norms(change - np.stack(by_start), change)]),
            "ratio": np.array(nothing + [_quotient(done, now) for done, now, _ in along]),
            "growth": np.array(nothing + [_quotient(now, start) for _, now, start in along]),
            "flips": run.flips,
            "flips_since_start": run.flips_since_start,
            "loss": [float(loss_value(loss, jnp.asarray(f), jnp.asarray(targets))) for f in own],
            "loss_predicted": [float(loss_value(loss, jnp.asarray(p), jnp.asarray(targets))) for p in guess[:, :n]],
        }
        test = run.outputs[:, n:]
        moved = test - test[0]
        columns["moved_test"] = _norms(moved) / math.sqrt(test[0].size) if test.size else math.nan
        columns["error_test"] = relative_norms(guess[:, n:] - test, moved)
        columns["error_reformed_test"] = relative_norms(reformed[:, n:] - test, moved)
    return pd.DataFrame(columns, columns=list(COLUMNS))


def _quotient(above: float, below: float) -> float:
    return above / below if below else math.nan


def _norms(arrays: Outputs) -> Float[np.ndarray, " steps"]:
    return np.linalg.norm(arrays.reshape(len(arrays), -1), axis=1)


def relative_norms(apart: Outputs, whole: Outputs) -> Float[np.ndarray, " steps"]:
    """Return the norm of one over that of the other for each step, NaN where the other is 0."""
    size = _norms(whole)
    return np.where(size > 0, _norms(apart) / size, math.nan)
