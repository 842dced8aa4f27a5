"""Loss tables drawn from a known law, to test fits against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ntk1bit.scaling.formula import evaluate_reference
from ntk1bit.scaling.laws import Law, get_law

BESIROGLU: dict[str, float] = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3659}
"""The Chinchilla law as refitted by Besiroglu et al. 2024."""

HOFFMANN: dict[str, float] = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
"""The Chinchilla law as published by Hoffmann et al. 2022."""


def draw_losses(
    frame: pd.DataFrame,
    law: str | Law,
    params: Mapping[str, float],
    *,
    noise: float = 0.0,
    outliers: float = 0.0,
    outlier_factor: float = 1.3,
    cluster: str | None = None,
    cluster_noise: float = 0.0,
    cluster_tilt: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Return a design (one row an observation, columns named as the law's variables) with a column of losses.

    Log losses get normal `noise`; a share `outliers` of them is multiplied by `outlier_factor`; rows of one `cluster`
    share one more normal draw of standard deviation `cluster_noise`, and another, of `cluster_tilt`, by which their
    exponent of the law's first variable differs.
    """
    chosen = get_law(law)
    assert set(params) == set(chosen.parameter_names)
    columns = {name: frame[name].to_numpy(np.float64) for name in chosen.variables}
    rng = np.random.default_rng(seed)
    truth = np.broadcast_to(evaluate_reference(chosen.expression, {**params, **columns}), len(frame))
    log_loss = np.log(truth) + noise * rng.standard_normal(len(frame))
    if cluster is not None:
        codes, clusters = pd.factorize(frame[cluster], sort=True)
        log_loss = log_loss + cluster_noise * rng.standard_normal(len(clusters))[codes]
        if cluster_tilt:
            first = np.log(columns[chosen.variables[0]])
            log_loss = log_loss + cluster_tilt * rng.standard_normal(len(clusters))[codes] * (first - first.min())
    hit = rng.permutation(len(frame))[: round(outliers * len(frame))]
    log_loss[hit] += np.log(outlier_factor)
    return frame.assign(loss=np.exp(log_loss))


def chinchilla_design(points: int = 240, *, seed: int = 0) -> pd.DataFrame:
    """Return runs with N over 4e7..1.6e10 and D over 1e9..1e12, uniform in logarithms: Chinchilla's ranges.

    Columns `N` and `D`, and `C` = 6 N D.
    """
    rng = np.random.default_rng(seed)
    n = np.exp(rng.uniform(np.log(4e7), np.log(1.6e10), points))
    d = np.exp(rng.uniform(np.log(1e9), np.log(1e12), points))
    return pd.DataFrame({"N": n, "D": d, "C": 6 * n * d})


def width_design(widths: Sequence[int] = tuple(2**k for k in range(6, 15)), seeds: int = 5) -> pd.DataFrame:
    """Return every width with every seed, as columns `x` and `seed`: by default 9 widths, 64..16384, and 5 seeds."""
    grid = [(float(width), seed) for width in widths for seed in range(seeds)]
    return pd.DataFrame(grid, columns=["x", "seed"])
