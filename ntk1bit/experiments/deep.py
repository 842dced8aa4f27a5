"""The measurements of D25's Fig. 1 to 3: plain settings in, a row a seed (and epoch) out.

Every result is a function of the settings alone, so `Measurement` can name, store and resume it. Losses
are mean squares over points, of targets with |y| <= 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ntk1bit.data.cubes_and_curves import GRID, cube_data, curve_data, curve_inputs
from ntk1bit.errors import InputError
from ntk1bit.networks import mlp
from ntk1bit.networks.mlp import MLP, Parameterisation
from ntk1bit.networks.two_layer import Precision
from ntk1bit.training.checkpoints import Checkpoint
from ntk1bit.training.descent import NEVER
from ntk1bit.training.schedules import Optimiser, Schedule, Training
from ntk1bit.training.supervised import Trained, train

BIAS_DEVIATION = 0.5  # spreads the kinks of the first layer over the cube, where biases of 0 let all meet at its centre
RECORDS = 20  # of the loss during a training of Fig. 1
TEST_POINTS = 1000  # of Fig. 1: the test loss of a network is then known to a few per cent
FIRST_WIDTH = 20  # hidden sizes of Fig. 2 and 3 are 20 k and k


def scaling(
    *,
    task: str,
    depth: int,
    precision: Precision,
    parameters: int,
    steps: int,
    rate: float,
    seeds: tuple[int, ...],
    n_train: int = 100,
    n_test: int = TEST_POINTS,
    data_seed: int = 0,
    optimiser: Optimiser = "adam",
    schedule: Schedule = "cosine",
    parameterisation: Parameterisation = "standard",
    scratch: Path | None = None,
) -> pd.DataFrame:
    """Train networks of one size on one of f1..f6, in full batches (D25, Fig. 1).

    Parameters
    ----------
    task
        f1..f6.
    depth
        Number of weight layers; the depth - 1 hidden layers have one width. The first and the last layer are in full
        precision, and all layers have biases.
    precision
        Of the layers between.
    parameters
        The number of parameters wanted; the width that comes nearest is taken.
    steps, rate, optimiser, schedule, parameterisation
        As in `Training` and `MLP`.
    seeds
        One network each, all on the same points.
    n_train, n_test, data_seed
        The points.
    scratch
        Path without an ending for a checkpoint.

    Returns
    -------
    A row a seed: `least_loss` over all steps, `loss` at the end, `loss_start`, `test_loss` at the end; `curve`, the
    loss at `RECORDS` + 1 evenly spaced steps; `N`, the exact number of parameters; `width`; `one_bit_share` of the
    parameters; `diverged_at`, -1 for never.

    Raises
    ------
    InputError
        As `cube_data`, `mlp.hidden_width` and `Training`.
    """
    points = cube_data(task, n_train=n_train, n_test=n_test, seed=data_seed)
    inputs = points.x.shape[1]
    width = mlp.hidden_width(inputs, depth, parameters)
    spec = MLP(
        inputs,
        (width,) * (depth - 1),
        precision=precision,
        parameterisation=parameterisation,
        bias_deviation=BIAS_DEVIATION,
    )
    training = Training(steps, rate, optimiser=optimiser, schedule=schedule, every=max(math.ceil(steps / RECORDS), 1))
    found = _train(spec, points.x, points.y, training, seeds, scratch, x_test=points.x_test, y_test=points.y_test)
    return pd.DataFrame(
        {
            "seed": found.seeds,
            "least_loss": found.least,
            "loss": found.loss[:, -1],
            "loss_start": found.loss[:, 0],
            "test_loss": found.test_loss[:, -1],
            "curve": list(found.loss),
            "N": mlp.parameters(spec),
            "width": width,
            "one_bit_share": mlp.one_bit_share(MLP(inputs, spec.hidden)),
            "diverged_at": found.diverged_at,
        }
    )


def similarity(
    *,
    task: str,
    k: int,
    epochs: int,
    batch: int,
    rate: float,
    seeds: tuple[int, ...],
    n_train: int = 100,
    n_test: int = 100,
    data_seed: int = 0,
    optimiser: Optimiser = "adam",
    schedule: Schedule = "cosine",
    parameterisation: Parameterisation = "ntk",
    scratch: Path | None = None,
) -> pd.DataFrame:
    """Train both precisions on a function of one variable from one start and on the same batches (D25, Fig. 2 and 3).

    The networks have hidden sizes (20 k, k) and no biases: N = 20 k^2 + 41 k, which is D25's 20 k^2 + 40 k and the k
    weights of the output. The 20 k x k layer in the middle is 1-bit; the first sees two inputs, where the quantiser is
    lossless.

    Parameters
    ----------
    task
        ``"bessel"``, ``"sine-step"`` or ``"log-sine"``.
    k
        Size.
    epochs, batch
        How often all points are seen, and how many of them at each step.
    rate, optimiser, schedule, parameterisation
        As in `Training` and `MLP`; the same for both precisions.
    seeds, n_train, n_test, data_seed, scratch
        As in `scaling`.

    Returns
    -------
    A row a seed and epoch, 0 being the start: `loss_one_bit`, `loss_full`, `test_loss_one_bit`, `test_loss_full`;
    `apart_train` and `apart_test`, the root mean square over points of the difference of both outputs; `grid_one_bit`
    and `grid_full`, after the last epoch the outputs at `GRID` evenly spaced points of [-pi, pi], else empty; `N`;
    `diverged`, whether either network ever had a loss that was not finite.

    Raises
    ------
    InputError
        As `curve_data` and `Training`, or if k is below 1.
    """
    if k < 1:
        raise InputError(f"the size k of a network must be at least 1, got {k}")
    points = curve_data(task, n_train=n_train, n_test=n_test, seed=data_seed)
    in_epoch = max(n_train // batch, 1)
    training = Training(epochs * in_epoch, rate, batch=batch, optimiser=optimiser, schedule=schedule, every=in_epoch)
    grid = curve_inputs(np.linspace(-np.pi, np.pi, GRID))
    both, targets = np.concatenate([points.x, points.x_test]), np.concatenate([points.y, points.y_test])
    outputs, drawn, lost = {}, {}, np.zeros(len(seeds), dtype=bool)
    for precision in ("one_bit", "full"):
        spec = MLP(
            2,
            (FIRST_WIDTH * k, k),
            precision=precision,
            biases=False,
            parameterisation=parameterisation,
        )
        at = None if scratch is None else scratch.with_name(f"{scratch.name}-{precision}")
        found = _train(spec, points.x, points.y, training, seeds, at, watch=both)
        outputs[precision] = found.predictions
        drawn[precision] = _each(spec, found.params, grid)
        lost |= found.diverged_at != NEVER
    return _epochs(outputs, drawn, targets, n_train, seeds).assign(
        N=20 * k**2 + 41 * k, diverged=np.repeat(lost, epochs + 1)
    )


def _epochs(
    outputs: dict[str, np.ndarray],
    drawn: dict[str, np.ndarray],
    targets: np.ndarray,
    n_train: int,
    seeds: tuple[int, ...],
) -> pd.DataFrame:
    """Make the rows of `similarity` from both precisions' outputs, (seeds, epochs + 1, points)."""
    count = outputs["full"].shape[1]
    parts = {"": slice(None, n_train), "test_": slice(n_train, None)}
    apart = outputs["one_bit"] - outputs["full"]
    columns: dict[str, Any] = {
        "seed": np.repeat(seeds, count),
        "epoch": np.tile(np.arange(count), len(seeds)),
        "apart_train": np.sqrt((apart[:, :, :n_train] ** 2).mean(axis=2)).ravel(),
        "apart_test": np.sqrt((apart[:, :, n_train:] ** 2).mean(axis=2)).ravel(),
    }
    for precision, found in outputs.items():
        for name, part in parts.items():
            columns[f"{name}loss_{precision}"] = ((found - targets)[:, :, part] ** 2).mean(axis=2).ravel()
        last = {(place + 1) * count - 1: values for place, values in enumerate(drawn[precision])}
        columns[f"grid_{precision}"] = [last.get(row, np.empty(0)) for row in range(count * len(seeds))]
    return pd.DataFrame(columns)


def _each(spec: MLP, params: Any, x: np.ndarray) -> np.ndarray:
    """Evaluate the networks of all seeds, (seeds, n)."""
    import jax

    evaluated = jax.jit(jax.vmap(_network(spec)[1], in_axes=(0, None)))(params, jax.numpy.asarray(x, dtype=float))
    return np.asarray(evaluated, dtype=np.float64)


def _train(
    spec: MLP,
    x: np.ndarray,
    y: np.ndarray,
    training: Training,
    seeds: tuple[int, ...],
    scratch: Path | None,
    **more: Any,
) -> Trained:
    init, apply = _network(spec)
    checkpoint = None
    if scratch is not None:
        checkpoint = Checkpoint(scratch.with_name(f"{scratch.name}.checkpoint"), repr(spec), replace=True)
    return train(init, apply, x, y, training, seeds=tuple(seeds), checkpoint=checkpoint, **more)


@functools.lru_cache(maxsize=8)
def _network(spec: MLP) -> tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]:
    """Return init and apply of a network, the same objects each time, so that what was compiled is used again."""
    return functools.partial(mlp.init, spec), functools.partial(mlp.apply, spec)
