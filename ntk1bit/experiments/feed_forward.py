"""The feed-forward layer of a 1-bit Transformer block, trained on real text (D25, Prop. 4.4)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.data import text as texts
from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.networks.two_layer import PRECISIONS, Precision
from ntk1bit.networks.two_layer.descent import DIVERGED_AT, log_steps

_LEAST_STEPS = 20
_CURVE = 24  # recorded steps of a curve
_CHUNK = 1000  # steps between two looks at whether a checkpoint is due


@dataclass(frozen=True)
class FeedForward(Experiment):
    """One layer per seed, trained by gradient descent; see `networks.feed_forward` for its equations.

    Attributes
    ----------
    width, precision
        m, even, and ``"one_bit"`` or ``"full"``; both start from the same W(0) and a.
    steps, eta_rel, kappa
        Of descent; at least 20 steps.
    seeds
        One network each. A seed draws the windows, block and code, the same at every width, and the layer.
    text
        As in `ntk1bit.data.text.load`; its training part is used.
    sequences, positions, lead
        n windows, in each of which K tokens are read after `lead` characters of context.
    dim, outputs
        d and p.

    Raises
    ------
    InputError
        If a setting is out of range.
    """

    KIND: ClassVar[str] = "feed-forward"
    LENGTH: ClassVar[str] = "steps"

    width: int
    precision: str
    steps: int
    seeds: tuple[int, ...]
    eta_rel: float = 1.0
    kappa: float = 1.0
    text: str = "sotu"
    sequences: int = 8
    positions: int = 8
    lead: int = 8
    dim: int = 32
    outputs: int = 4

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        require_choice("precision", self.precision, PRECISIONS)
        if self.steps < _LEAST_STEPS:
            raise InputError(
                f"steps must be at least {_LEAST_STEPS}, so that there is a last tenth to average over, "
                f"got {self.steps}"
            )
        for name, value in (("eta_rel", self.eta_rel), ("kappa", self.kappa)):
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{name} must be a positive number, got {value}")

    @property
    def label(self) -> str:
        """Its width."""
        return f"feed-forward, width {self.width}"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return 2e-7 * self.width * self.steps * len(self.seeds)

    @property
    def shortest(self) -> int:
        """The fewest steps that it takes."""
        return _LEAST_STEPS

    def run(self, scratch: Path) -> pd.DataFrame:
        """Compute the result; scratch-SEED.checkpoint keeps the state while training.

        Returns
        -------
        A row for each seed and recorded step. By step: `step`, `loss`. By seed: `loss_start`; `level`, the mean loss
        over the last tenth of the steps, `level_half`, over the tenth before half of them (near `level` where the loss
        has plateaued), and `level_lowest`, the lowest mean over any of the ten tenths; `reached`, the first step at
        which the loss is at most a tenth of its start, NaN if it never is; `eta`; `lambda_min`, `lambda_max` of H(0)
        over all N p outputs; `closest`, the largest |<h_i, h_j>|; `tokens`, N; `diverged`, whether the loss became NaN
        or 1e6 times its start, in which case the levels are NaN.

        Raises
        ------
        InputError
            As `draw_task` and `draw_layer`.
        """
        import jax.numpy as jnp

        from ntk1bit.networks.feed_forward import draw_layer, draw_task, layer_kernel
        from ntk1bit.training.checkpoints import Checkpoint
        from ntk1bit.training.descent import descend
        from ntk1bit.training.schedules import Training

        precision = cast(Precision, self.precision)
        corpus = texts.load(self.text)
        recorded = log_steps(self.steps, _CURVE)
        loss_of = half_square(precision, self.kappa)
        frames = []
        for seed in self.seeds:
            windows = texts.training_batch(
                corpus.train, batch=self.sequences, context=self.lead + self.positions, step=0, seed=seed
            )
            task = draw_task(
                windows,
                vocabulary=corpus.vocabulary,
                positions=self.positions,
                dim=self.dim,
                outputs=self.outputs,
                seed=seed,
            )
            layer = draw_layer(self.width, self.dim, self.outputs, seed=seed)
            eigenvalues = np.linalg.eigvalsh(layer_kernel(layer, task.h, precision=precision, kappa=self.kappa))
            eta = self.eta_rel / float(eigenvalues[-1])
            data = tuple(map(jnp.asarray, (layer.a, task.h, task.y)))
            place = scratch.with_name(f"{scratch.name}-{seed}.checkpoint")
            ended = descend(
                loss_of,
                jnp.asarray(layer.w),
                Training(self.steps, eta, optimiser="sgd", schedule="constant", every=_CHUNK),
                data=data,
                observe=lambda w, data=data: loss_of(w, None, *data),
                checkpoint=Checkpoint(place, f"{self.key} {seed}", replace=True),
            )
            loss = np.append(ended.losses, ended.records[-1]).astype(np.float64)
            about = {"eta": eta, "lambda_min": float(eigenvalues[0]), "lambda_max": float(eigenvalues[-1])}
            curve = pd.DataFrame({"seed": seed, "step": recorded, "loss": loss[recorded]})
            frames.append(curve.assign(**_levels(loss), **about, closest=task.closest, tokens=len(task.h)))
        return pd.concat(frames, ignore_index=True)


@functools.lru_cache(maxsize=8)
def half_square(precision: Precision, kappa: float) -> Callable[..., Any]:
    """Return D25's loss 1/2 sum_io (f_io - y_io)^2 of a layer, compiled: a function of (w, None, a, h, y)."""
    import jax
    import jax.numpy as jnp

    from ntk1bit.networks.feed_forward import layer_outputs

    def loss(w: Any, _: None, a: Any, h: Any, y: Any) -> Any:
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
