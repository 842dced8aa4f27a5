"""A table of two arms whose runs are numbered anew: every run at several steps, ends at equal budgets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .synthetic import HOFFMANN, draw_losses

AMPLITUDES = {"a": HOFFMANN["A"], "b": 1000.0}


def best_size(amplitude: float, budget: float) -> float:
    """N_opt in closed form: Hoffmann et al. 2022, Eq. 4, with k = 6."""
    alpha, beta = HOFFMANN["alpha"], HOFFMANN["beta"]
    scale = (alpha * amplitude / (beta * HOFFMANN["B"])) ** (1 / (alpha + beta))
    return scale * (budget / 6) ** (beta / (alpha + beta))


def isoflops(
    amplitude: float, budgets: Sequence[float] = tuple(np.geomspace(1e18, 1e21, 7)), sizes: int = 9
) -> pd.DataFrame:
    """Runs of equal budget around the optimum, without noise."""
    around = np.geomspace(0.2, 5.0, sizes)
    rows = [(n, c / 6 / n) for c in budgets for n in best_size(amplitude, c) * around]
    design = pd.DataFrame(rows, columns=["N", "D"])
    return draw_losses(design, "chinchilla", {**HOFFMANN, "A": amplitude})


def two_arms() -> pd.DataFrame:
    """Arms a and b of 21 runs each, at four steps; `run` numbers them anew in each arm, `name` does not."""
    tables = []
    for i, (arm, amplitude) in enumerate(AMPLITUDES.items()):
        ends = isoflops(amplitude, budgets=(1e18, 1e19, 1e20), sizes=7).assign(run=np.arange(21))
        steps = [ends.assign(D=ends["D"] * share) for share in (0.1, 0.3, 0.6, 1.0)]
        curves = pd.concat(steps, ignore_index=True)
        noisy = draw_losses(curves, "chinchilla", {**HOFFMANN, "A": amplitude}, noise=0.003, seed=i)
        tables.append(noisy.assign(arm=arm))
    table = pd.concat(tables, ignore_index=True)
    run = table["run"].to_numpy()
    table["name"] = table["arm"] + table["run"].astype(str)
    return table.assign(seed=run % 5, half=run % 2, w=1.0 + run % 3, C=6 * table["N"] * table["D"])
