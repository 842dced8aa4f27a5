"""Made-up steps within the ball, whose terms are multiples of the bounds of D25's lemmas."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from proofs_numeric.ball_experiments import STEP_MULTIPLES
from proofs_numeric.data import DELTA, Data, log_factor

Term = Callable[[np.ndarray, np.ndarray], np.ndarray]


def within(bound: np.ndarray, _: np.ndarray) -> np.ndarray:
    """A tenth of the bound."""
    return 0.1 * bound


def steps(
    *, c1: float = -2.0, c3: Term = within, c4: Term = within, jumps: int = 0, error: float = 0.0, leaked: int = 0
) -> Data:
    """Return 100 networks per setting with C1 = `c1` eta lambda L, and `jumps` of them with C2 = 1000 bounds."""
    frame = pd.DataFrame(
        list(itertools.product((8, 32), (64, 256, 1024, 4096), STEP_MULTIPLES, range(100))),
        columns=["dim", "width", "multiple", "seed"],
    )
    n, dim, m, log, loss, lowest = 8, frame["dim"], frame["width"], log_factor(frame), 2.0, 0.2
    rng = np.random.default_rng(0)
    rate = lowest * DELTA / (64 * n**2 * dim * log) * frame["multiple"]
    slope = rate * lowest * loss
    eps = np.sqrt(2 * loss)
    bound2 = rate**2 * n**1.5 * dim * log / DELTA * loss
    bound3 = rate**3 * n**1.5 * np.sqrt(dim) * log / (DELTA * eps * np.sqrt(m)) * loss
    bound4 = rate**6 * n**2 * dim * log**2 / (DELTA * eps) ** 2 / m * loss
    frame = frame.assign(
        n_train=n,
        steps=1,
        step=0,
        rate=rate,
        lambda_min=lowest,
        residual=eps,
        loss=loss,
        c1=c1 * slope,
        c2=np.where(frame["seed"] < jumps, 1000.0, 1e-3) * bound2,
        c3=c3(bound3.to_numpy(), slope.to_numpy()),
        c4=c4(bound4.to_numpy(), slope.to_numpy()),
        unit=-c1 * slope,
        outside=0.0,
        moved=rate / 2,
        share=0.01,
        switched=frame["seed"] < jumps,
        leaked=leaked,
    )
    change = frame[["c1", "c2", "c3", "c4"]].sum(axis=1)
    noise = 1 + 1e-9 * rng.standard_normal(len(frame))
    # L(t+1) - L(t) of 1e-9 beside L = 2 would drown in rounding: the made-up losses are differences from 0
    frame["loss_after"] = frame["loss"] + change * noise + error * frame["unit"]
    return Data(Path("nowhere"), frames={"ball-steps": frame})
