r"""How strongly networks answer a residual along the direction in which their outputs alternate.

A step from weights w answers the residual r by f(w) - f(w - eta g(r)), g the straight-through gradient, which is linear
in r at fixed activations. Its **gain** along a unit vector v,

    gain = v . (f(w - eta g(r - h v)) - f(w - eta g(r + h v)))/(2 h),

is what a part of the residual along v is multiplied with before it is taken off: if the gain exceeds 2, that part grows
from step to step and turns its sign. By K_eff, without weights that stick at their thresholds, it is eta v' K_eff v.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.data import tasks
from ntk1bit.data.regression_task import Task
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.kernels.effective import effective_ntk
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import Activity, Weights

_SHARE = 0.25  # h over half of the change of the outputs in a step: small, but many weights flip for it
_SAMPLES = 100_000  # of K_eff: a standard error of about a hundredth of an entry on the diagonal


@dataclass(frozen=True)
class AlternatingGain(Experiment):
    """Measure the gain of 1-bit networks along the change of their outputs in the step before.

    Attributes
    ----------
    task, dim, n_train, eta_rel, activity
        As in a sweep, from a ``paired`` start; dim 0 where the task has one of its own.
    width, seeds
        Neurons, and networks.
    at
        Steps, each at least 1, at which the gain is taken: v is the change of outputs in the step that led there. With
        patterns that are frozen, a step is that of the patterns then.
    """

    KIND: ClassVar[str] = "alternating-gain"

    task: str
    dim: int
    n_train: int
    eta_rel: float
    width: int
    seeds: tuple[int, ...]
    at: tuple[int, ...]
    activity: str = "straight_through"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        steps = max(self.at) + 8 * len(self.at)
        return 5.0 + len(self.seeds) * 3e-12 * self.width * (self.dim or 64) * self.n_train * steps

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row for each network and step of `at`: `seed`, `step`; `gain`; `by_kernel`, eta v' K_eff v; `change`, the norm
        of the outputs' change, whose direction is v. Of outputs that did not change, `gain` and `by_kernel` are NaN.
        """
        task = tasks.load(self.task, n_train=self.n_train, n_test=1, seed=0, dim=self.dim or None)
        kernel = effective_ntk(task.x, samples=_SAMPLES).value
        steps = sorted({0, *self.at, *(step - 1 for step in self.at)})
        found = []
        for seed in self.seeds:
            look = _Look(task, cast(Activity, self.activity), kernel, steps, self.at)
            two_layer.train(
                task.x,
                task.y,
                two_layer.init(self.width, task.x.shape[1], seed=seed, init="paired"),
                eta_rel=self.eta_rel,
                activity=look.activity,
                steps=max(self.at),
                record=steps,
                observe=look,
            )
            found.append(pd.DataFrame(look.found, columns=["step", "gain", "by_kernel", "change"]).assign(seed=seed))
        return pd.concat(found, ignore_index=True)


class _Look:
    """Takes gains of one network as it trains: called at each of `steps`, in their order."""

    def __init__(
        self,
        task: Task,
        activity: Activity,
        kernel: Float[np.ndarray, "n n"],
        steps: list[int],
        at: tuple[int, ...],
    ) -> None:
        self.task, self.kernel, self.at = task, kernel, at
        self.activity: Activity = activity
        self.steps = iter(steps)
        self.before: Float[np.ndarray, " n"] | None = None
        self.found: list[tuple[int, float, float, float]] = []

    def __call__(self, weights: Weights, eta: float) -> None:
        """Take the gain, if this is a step at which it is asked for."""
        step = next(self.steps)
        now = two_layer.train(self.task.x, self.task.y, weights, steps=0)
        if step in self.at and self.before is not None:
            change = now.outputs[0] - self.before
            size = float(np.linalg.norm(change))
            gain = by_kernel = math.nan
            if size > 0:
                v = change / size
                gain = self._gain(weights, eta / now.eta, v, _SHARE * size / 2)
                by_kernel = float(eta * v @ self.kernel @ v)
            self.found.append((step, gain, by_kernel, size))
        self.before = now.outputs[0]

    def _gain(self, weights: Weights, eta_rel: float, v: Float[np.ndarray, " n"], h: float) -> float:
        """Return the gain along v, by one step for each of two residuals that are 2 h apart."""
        less, more = (
            two_layer.train(
                self.task.x,
                self.task.y - sign * h * v,
                weights,
                eta_rel=eta_rel,
                activity=self.activity,
                steps=1,
                record=[1],
            ).outputs[-1]
            for sign in (-1, 1)
        )
        return float(v @ (less - more) / (2 * h))
