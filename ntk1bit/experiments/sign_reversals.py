"""How often a sign that flips in 1-bit training undoes a flip of a few steps before, and what flips do to outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ntk1bit import cores
from ntk1bit.cores.threads import single_threaded_blas
from ntk1bit.errors import InputError
from ntk1bit.experiments.on_data_sets import OnDataSets
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import centred_scale
from ntk1bit.networks.two_layer.descent import DIVERGED_AT, Observer, training_loss
from ntk1bit.networks.two_layer.engines import PackedEngine
from ntk1bit.networks.two_layer.network import STRAIGHT_THROUGH

WITHIN = 10  # steps: "a few"
_SMALLEST = 0.1  # share of the weights, those of the smallest magnitudes at half-time
_NEVER = -(10**9)


@dataclass(frozen=True)
class SignReversals(OnDataSets):
    """Train 1-bit networks from a paired start, each on a data set of its own, and follow every sign.

    Attributes
    ----------
    steps, eta_rel
        Of the descent.
    frozen
        Whether the backward pass takes the activations of the start at every step.

    Raises
    ------
    InputError
        For fewer than 2 `WITHIN` steps.
    """

    KIND: ClassVar[str] = "sign-reversals"
    LENGTH: ClassVar[str] = "steps"

    steps: int = 400
    eta_rel: float = 0.5
    frozen: bool = False

    def __post_init__(self) -> None:
        """Refuse trainings without a history."""
        super().__post_init__()
        if self.steps < self.shortest:
            raise InputError(f"reversals are counted over {WITHIN} steps, so steps must be at least {self.shortest}")

    @property
    def shortest(self) -> int:
        """The least number of steps."""
        return 2 * WITHIN

    @property
    def label(self) -> str:
        """Its width."""
        return f"signs, width {self.width}"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return len(self.seeds) * self.steps * (2e-4 + 1.4e-8 * self.width * (self.dim or 64))

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row per seed, with `data_seed`, the seed again. A flip of step t is a sign that differs after it from before
        it, and is *undone* by the next flip of the same weight. `down` and `end`: of the flips of some steps, the share
        that undoes one of the `WITHIN` steps before; `down`, of the steps after which the loss lies between half and a
        tenth of its start for the first time, NaN where it gets to no tenth; `end`, of the last tenth of the steps.
        `end_next`: the share at the end that undoes one of the very step before. `down_rate`, `end_rate`: flips per
        weight and step. `twice`: share of the weights that flip at least twice in the last tenth. `inertia`: of the
        weights that flip in the second half, the share that was among the tenth of smallest |w - mu| at half-time.
        `through_flips`: <f_q - f(0), f(T) - f(0)>/norm(f(T) - f(0))^2 on the training inputs, where f_q has the signs
        of the end and s and mu of the start. `loss_start`, `loss_end`, and `diverged`.
        """
        with single_threaded_blas():
            return pd.DataFrame([self._train(seed) for seed in self.seeds])

    def _train(self, seed: int) -> dict[str, float | int | bool]:
        task = self.data_set(seed)
        start = two_layer.init(self.width, task.x.shape[1], seed=seed, init="paired")
        activity = "frozen" if self.frozen else STRAIGHT_THROUGH
        engine = PackedEngine(task.x, two_layer.Weights(start.w.copy(), start.a), "one_bit", 1.0, "std", activity)
        f_start = f = engine.forward()
        eta = self.eta_rel / Observer(task.x, start, 1.0).lambda_max_at_start(engine.counts())
        signs = packed_signs(engine)
        middle, late = self.steps // 2, self.steps - self.steps // 10
        history = FlipHistory(signs, self.steps, marks=(middle, late))
        losses, half = [training_loss(f, task.y)], start.w
        for step in range(1, self.steps + 1):
            engine.descend(f - task.y, eta)
            f = engine.forward()
            losses.append(training_loss(f, task.y))
            if not losses[-1] <= DIVERGED_AT * losses[0]:
                break
            history.add(packed_signs(engine))
            if step == middle:
                half = engine.weights.w.copy()
        diverged = history.step < self.steps
        about: dict[str, float | int | bool] = {
            "seed": seed, "data_seed": seed, "loss_start": losses[0], "loss_end": losses[-1], "diverged": diverged,
        }  # fmt: skip
        if diverged:
            return about
        down, end = between(np.array(losses)), slice(late, self.steps)
        flips_only, whole = with_signs(task.x, start, history.signs) - f_start, (f - f_start).astype(np.float64)
        return about | {
            "down": history.share_undone(down),
            "end": history.share_undone(end),
            "end_next": history.share_undone(end, within=1),
            "down_rate": history.rate(down),
            "end_rate": history.rate(end),
            "twice": float(np.mean(history.since[late] >= 2)),
            "inertia": from_smallest(half, history.since[middle] > 0),
            "through_flips": float(flips_only @ whole / (whole @ whole)),
        }


class FlipHistory:
    """When each sign flipped, step by step, and how many of the flips undid one of the steps before.

    Parameters
    ----------
    signs
        (m, d), whether each is +1, before the first step.
    steps
        How many will follow.
    marks
        Steps, from 0 on, from which on the flips of each weight are counted.
    """

    def __init__(self, signs: Bool[np.ndarray, "m d"], steps: int, marks: tuple[int, ...] = ()) -> None:
        self.signs, self.step = signs, 0
        self.since = {mark: np.zeros(signs.shape, dtype=np.int16) for mark in marks}
        self._last = np.full(signs.shape, _NEVER, dtype=np.int32)  # the step of the last flip
        self._gaps = np.zeros((steps, WITHIN + 1), dtype=np.int64)  # flips by steps since the one before; 0: longer ago

    def add(self, signs: Bool[np.ndarray, "m d"]) -> None:
        """Take in the signs after one more step."""
        flipped = signs != self.signs
        gaps = self.step - self._last[flipped]
        self._gaps[self.step] = np.bincount(np.where(gaps <= WITHIN, gaps, 0), minlength=WITHIN + 1)
        self._last[flipped] = self.step
        for mark, counts in self.since.items():
            if self.step >= mark:
                counts += flipped
        self.signs, self.step = signs, self.step + 1

    def share_undone(self, steps: slice, *, within: int = WITHIN) -> float:
        """Return which share of the flips of these steps undoes one of the `within` steps before; NaN without flips."""
        gaps = self._gaps[steps].sum(axis=0)
        return float(gaps[1 : within + 1].sum() / gaps.sum()) if gaps.sum() else math.nan

    def rate(self, steps: slice) -> float:
        """Return the flips of these steps per weight and step; NaN without steps."""
        gaps = self._gaps[steps]
        return float(gaps.sum() / (len(gaps) * self.signs.size)) if len(gaps) else math.nan


def packed_signs(engine: PackedEngine) -> Bool[np.ndarray, "m d"]:
    """Return which signs of a network on the cores are +1."""
    return np.concatenate([cores.unpack_signs(part.signs) > 0 for part in engine.neurons])


def between(loss: Float[np.ndarray, " t"], high: float = 0.5, low: float = 0.1) -> slice:
    """Return the steps after which the loss is first at most `high`, but not yet `low`, of its start.

    Step t leads from loss[t] to loss[t + 1]. None where the loss gets to no `low`.
    """
    reached = [np.flatnonzero(loss <= share * loss[0]) for share in (high, low)]
    return slice(int(reached[0][0]), int(reached[1][0])) if len(reached[1]) else slice(0, 0)


def with_signs(
    x: Float[np.ndarray, "n d"], start: two_layer.Weights, signs: Bool[np.ndarray, "m d"]
) -> Float[np.ndarray, " n"]:
    """Return the outputs, at kappa = 1, of a network with other signs q and the s and mu of its weights, in float64."""
    w, inputs = start.w.astype(np.float64), x.astype(np.float64)
    _, s, mu = centred_scale(w)
    z = s[:, None] * (np.where(signs, 1.0, -1.0) @ inputs.T) + mu[:, None] * inputs.sum(axis=1)
    return start.a.astype(np.float64) @ np.maximum(z, 0) / np.sqrt(start.width)


def from_smallest(w: Float[np.ndarray, "m d"], flipped: Bool[np.ndarray, "m d"]) -> float:
    """Return which share of the flipped weights is among the tenth of smallest |w - mu|; NaN without any."""
    magnitude = np.abs(centred_scale(w)[0])
    return float(np.mean(magnitude[flipped] <= np.quantile(magnitude, _SMALLEST))) if flipped.any() else math.nan
