"""Steps from initial networks at the rate of D25's lemmas, with the four terms of Claim H.2 as D25 defines them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ntk1bit.errors import InputError
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.within_ball import active, sphere, unit
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer.network import coactive_counts, preactivations
from ntk1bit.networks.two_layer.pattern_changes import pattern_changes


class BallTerms(NamedTuple):
    """The four terms of Claim H.2 as D25 defines them (p. 34), and what its proofs say of them; in units of the loss.

    Attributes
    ----------
    c1, c2, c3, c4
        With f = sum_r g_r + h_r, g = kappa/sqrt(m) a 1[z >= 0] <w, x> and h = kappa/sqrt(m) a 1[z >= 0] <u, x>: the
        change of g over the neurons of S_i (C1) and of its complement (C2), and of h over all (C3), each times the
        residual and summed over inputs; C4 = 1/2 norm(F(t+1) - F(t))^2.
    unit
        eta r^T H(t) r.
    outside
        eta r^T H_perp(t) r, H_perp summing over the neurons of the complement of S_i (Def. G.3).
    """

    c1: float
    c2: float
    c3: float
    c4: float
    unit: float
    outside: float


def ball_terms(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, " n"],
    before: two_layer.Weights,
    after: Float[np.ndarray, "m d"],
    possible: Bool[np.ndarray, "m n"],
    eta: float,
) -> BallTerms:
    """Return the terms of a step from weights `before` to `after`, at kappa = 1; `possible` is the complement of S."""
    xt = np.ascontiguousarray(x.T)
    signed = before.a / np.sqrt(before.width)
    z = [preactivations(w, xt, precision="one_bit", scale="std") for w in (before.w, after)]
    output = [np.maximum(one, 0.0) for one in z]
    linear = [np.where(one >= 0, w @ xt, 0.0) for one, w in zip(z, (before.w, after), strict=True)]
    on = z[0] >= 0
    r = signed @ output[0] - y
    moved = signed[:, None] * (linear[1] - linear[0])
    unseen = signed @ ((output[1] - output[0]) - (linear[1] - linear[0]))
    change = signed @ (output[1] - output[0])
    inner = x @ xt / before.width
    return BallTerms(
        c1=float(np.where(possible, 0.0, moved).sum(axis=0) @ r),
        c2=float(np.where(possible, moved, 0.0).sum(axis=0) @ r),
        c3=float(unseen @ r),
        c4=0.5 * float(change @ change),
        unit=eta * float(r @ (inner * coactive_counts(on)) @ r),
        outside=eta * float(r @ (inner * coactive_counts(on & possible, on)) @ r),
    )


@dataclass(frozen=True)
class StepInBall(Experiment):
    """Take steps from the start at the lemmas' rate and at multiples of it, with the terms as D25 defines them.

    Attributes
    ----------
    dim, width, n_train
        Of networks (iid start) and inputs (`sphere-linear`).
    multiples
        Rate and radius of the ball, both in units of `within_ball.unit`.
    steps
        Steps of descent from each start, at least 1.
    draws
        Networks, each with a data set of its own.

    Raises
    ------
    InputError
        If there are no steps.
    """

    KIND: ClassVar[str] = "step-in-ball"

    dim: int
    width: int
    n_train: int
    multiples: tuple[float, ...]
    steps: int
    draws: int

    def __post_init__(self) -> None:
        """Refuse an experiment without a step."""
        super().__post_init__()
        if self.steps < 1:
            raise InputError(f"steps must be at least 1, got {self.steps}")

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        each = 0.005 + 2e-7 * self.dim * self.width
        return self.draws * len(self.multiples) * self.steps * each

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row per draw, multiple and step (from 0 on): `rate`, both eta and R; `lambda_min` of H(0); `residual`,
        norm(F(t) - y); `loss` L(t); `c1` to `c4`, `unit`, `outside` of `BallTerms`; `loss_after`, L(t+1) evaluated by
        the library's network; `moved`, the largest norm(w_r(t+1) - w_r(0)); `share` of pairs (neuron, input) outside S;
        `switched`, the pairs whose activation the step changed, and `leaked`, those among them in S.
        """
        found = []
        for seed in range(self.draws):
            x, y = sphere(self.n_train, self.dim, seed)
            start = two_layer.init(self.width, self.dim, seed=seed)
            first = two_layer.Weights(start.w.astype(np.float64), start.a.astype(np.float64))
            at_first = active(first.w, x)
            lowest = float(np.linalg.eigvalsh(x @ x.T / self.width * coactive_counts(at_first))[0])
            for multiple in self.multiples:
                rate = multiple * unit(lowest, n=self.n_train, width=self.width, dim=self.dim)
                possible = pattern_changes(first.w, x, rate, moves=False).possible
                weights, on = first, at_first
                for step in range(self.steps):
                    r = two_layer.outputs(x, weights) - y
                    signed = -rate / np.sqrt(self.width) * weights.a
                    moved = weights.w + signed[:, None] * (on @ (r[:, None] * x))
                    terms = ball_terms(x, y, weights, moved, possible, rate)
                    weights = two_layer.Weights(moved, first.a)
                    then = active(moved, x)
                    after = two_layer.outputs(x, weights) - y
                    found.append(
                        {
                            "seed": seed,
                            "multiple": multiple,
                            "step": step,
                            "rate": rate,
                            "lambda_min": lowest,
                            "residual": float(np.linalg.norm(r)),
                            "loss": 0.5 * float(r @ r),
                            **terms._asdict(),
                            "loss_after": 0.5 * float(after @ after),
                            "moved": float(np.linalg.norm(moved - first.w, axis=1).max()),
                            "share": float(possible.mean()),
                            "switched": int((then != on).sum()),
                            "leaked": int(((then != on) & ~possible).sum()),
                        }
                    )
                    on = then
        return pd.DataFrame(found)
