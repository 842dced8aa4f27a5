"""The feed-forward layer of a 1-bit Transformer block, trained on real text (D25, Prop. 4.4)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from ntk1bit.data.text import load, training_batch
from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.feed_forward import draw_layer, draw_task, layer_kernel, layer_outputs
from ntk1bit.networks.two_layer import PRECISIONS, Precision
from ntk1bit.networks.two_layer.descent import DIVERGED_AT, log_steps
from ntk1bit.training.descent import descend
from ntk1bit.training.schedules import Training

_CURVE = 24  # recorded steps of a curve


def feed_forward_descent(
    *,
    width: int,
    precision: Precision,
    steps: int,
    seeds: tuple[int, ...],
    eta_rel: float = 1.0,
    kappa: float = 1.0,
    text: str = "sotu",
    sequences: int = 8,
    positions: int = 8,
    lead: int = 8,
    dim: int = 32,
    outputs: int = 4,
) -> pd.DataFrame:
    """Train one layer per seed on real text and measure how far its loss falls.

    Parameters
    ----------
    width, precision
        m, even, and ``"one_bit"`` or ``"full"``; both start from the same W(0) and a.
    steps, eta_rel, kappa
        Of descent, see `networks.feed_forward`; at least 20 steps.
    seeds
        One network each. A seed draws the windows, block and code, the same at every width, and the layer.
    text
        As in `ntk1bit.data.text.load`; its training part is used.
    sequences, positions, lead
        n windows, in each of which K tokens are read after `lead` characters of context.
    dim, outputs
        d and p.

    Returns
    -------
    A row for each seed and recorded step. By step: `step`, `loss`. By seed: `loss_start`; `level`, the mean loss over
    the last tenth of the steps, `level_half`, over the tenth before half of them (near `level` where the loss has
    plateaued), and `level_lowest`, the lowest mean over any of the ten tenths; `reached`, the first step at which the
    loss is at most a tenth of its start, NaN if it never is; `eta`; `lambda_min`, `lambda_max` of H(0) over all N p
    outputs; `closest`, the largest |<h_i, h_j>|; `tokens`, N; `diverged`, whether the loss became NaN or 1e6 times its
    start, in which case the levels are NaN. And the settings `width`, `precision`, `outputs`, `dim` and `kappa`.

    Raises
    ------
    InputError
        If a setting is out of range.
    """
    require_choice("precision", precision, PRECISIONS)
    if steps < 20:
        raise InputError(f"steps must be at least 20, so that there is a last tenth to average over, got {steps}")
    for name, value in (("eta_rel", eta_rel), ("kappa", kappa)):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} must be a positive number, got {value}")
    corpus = load(text)
    recorded = log_steps(steps, _CURVE)
    loss_of = half_square(precision, kappa)
    frames = []
    for seed in seeds:
        windows = training_batch(corpus.train, batch=sequences, context=lead + positions, step=0, seed=seed)
        task = draw_task(
            windows, vocabulary=corpus.vocabulary, positions=positions, dim=dim, outputs=outputs, seed=seed
        )
        layer = draw_layer(width, dim, outputs, seed=seed)
        eigenvalues = np.linalg.eigvalsh(layer_kernel(layer, task.h, precision=precision, kappa=kappa))
        eta = eta_rel / float(eigenvalues[-1])
        training = Training(steps, eta, optimiser="sgd", schedule="constant")
        data = tuple(map(jnp.asarray, (layer.a, task.h, task.y)))
        ended = descend(
            loss_of, jnp.asarray(layer.w), training, data=data, observe=lambda w, data=data: loss_of(w, None, *data)
        )
        loss = np.append(ended.losses, ended.records[-1]).astype(np.float64)
        about = {"eta": eta, "lambda_min": float(eigenvalues[0]), "lambda_max": float(eigenvalues[-1])}
        curve = pd.DataFrame({"seed": seed, "step": recorded, "loss": loss[recorded]})
        frames.append(curve.assign(**_levels(loss), **about, closest=task.closest, tokens=len(task.h)))
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(width=width, precision=precision, outputs=outputs, dim=dim, kappa=kappa)


@functools.lru_cache(maxsize=8)
def half_square(precision: Precision, kappa: float) -> Callable[..., Any]:
    """Return D25's loss 1/2 sum_io (f_io - y_io)^2 of a layer as `descend` takes it, of (w, None, a, h, y)."""

    def loss(
        w: Float[Array, "m d"], _: None, a: Float[Array, "m p"], h: Float[Array, "n d"], y: Float[Array, "n p"]
    ) -> Float[Array, ""]:
        return 0.5 * jnp.sum((layer_outputs(w, a, h, precision=precision, kappa=kappa) - y) ** 2)

    return jax.jit(loss)


def _levels(loss: Float[np.ndarray, " t"]) -> dict[str, float | bool]:
    """Return how a run went: the columns by seed that come from its losses."""
    size, half = (len(loss) - 1) // 10, len(loss) // 2
    diverged = not bool((loss <= DIVERGED_AT * loss[0]).all())
    tenths = loss[-10 * size :].reshape(10, size).mean(axis=1)
    levels = {"level": tenths[-1], "level_half": loss[half - size : half].mean(), "level_lowest": tenths.min()}
    below = np.flatnonzero(loss <= 0.1 * loss[0])
    return {
        "loss_start": float(loss[0]),
        **{name: float("nan") if diverged else float(value) for name, value in levels.items()},
        "reached": float(below[0]) if len(below) else float("nan"),
        "diverged": diverged,
    }
