"""How far a trained network is from what fixed kernels predict for it (claim C1).

Two predictions start from the network's own output at step 0 and use its own learning rate: gradient descent with its
kernel H(0), and, for 1-bit networks, with the effective kernel K_eff of infinite width, by which the output really
moves (`ntk1bit.kernels.effective`): K_lat in place of K_eff where steps use the activations of the latent weights. For
full precision the two are one.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float

from ntk1bit import kernels
from ntk1bit.data import Task
from ntk1bit.networks.quantizers import Scale
from ntk1bit.networks.two_layer import Activity, DrawnWeights, Precision, Trajectory, Weights
from ntk1bit.networks.two_layer.network import STRAIGHT_THROUGH

SAMPLES = 100_000  # neurons for K_eff: its relative error is then below 1 %, beside one of order 1/sqrt(m) for H(0)
COLUMNS = ("from_h", "from_h_test", "from_k_eff", "from_k_eff_test")


def distances(
    task: Task,
    start: Weights | DrawnWeights,
    trajectory: Trajectory,
    *,
    precision: Precision,
    kappa: float,
    scale: Scale,
    activity: Activity = STRAIGHT_THROUGH,
) -> dict[str, Float[np.ndarray, " c"]]:
    """Measure the root mean square distance of the outputs to both predictions, at every checkpoint.

    Parameters
    ----------
    task
        Data with test points.
    start
        The network before training.
    trajectory
        Its training, with outputs on the test points.
    precision, kappa, scale
        As in `two_layer.outputs`.
    activity
        By which the network was trained, as in `two_layer.train`.

    Returns
    -------
    `from_h` and `from_k_eff` over training points, with `_test` over test points; (c,) each. In full precision the
    K_eff columns are NaN, as is a column over no test points.
    """
    x, every = task.x, np.concatenate([task.x, task.x_test])
    predicted = {"from_h": kernels.empirical_ntk(every, start, x, precision=precision, kappa=kappa, scale=scale)}
    if precision == "one_bit":
        predicted["from_k_eff"] = _effective(
            every.tobytes(), every.shape, len(x), kappa, scale, "latent" if activity == "latent" else STRAIGHT_THROUGH
        )
    columns = {name: np.full(len(trajectory.steps), np.nan) for name in COLUMNS}
    for name, kernel in predicted.items():
        found = kernels.predict(
            kernel[: len(x)],
            task.y.astype(np.float64),
            eta=trajectory.eta,
            steps=trajectory.steps.tolist(),
            kernel_test=kernel[len(x) :],
            f0=trajectory.outputs[0],
            f0_test=trajectory.test_outputs[0],
            computed_in=np.float64,
        )
        columns[name] = _rms(trajectory.outputs - found.train)
        if task.n_test:
            columns[f"{name}_test"] = _rms(trajectory.test_outputs - found.test)
    return columns


@functools.lru_cache(maxsize=4)
def _effective(
    every: bytes, shape: tuple[int, int], n: int, kappa: float, scale: Scale, activity: Activity
) -> np.ndarray:
    """Estimate K_eff, or K_lat, once a process: cells of all widths and seeds share it."""
    x = np.frombuffer(every, dtype=np.float32).reshape(shape)
    return kernels.effective_ntk(x, x[:n], kappa=kappa, scale=scale, activity=activity, samples=SAMPLES, seed=0).value


def _rms(apart: Float[np.ndarray, "c k"]) -> Float[np.ndarray, " c"]:
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging prediction is infinitely far away
        return np.sqrt(np.mean(apart**2, axis=1))
