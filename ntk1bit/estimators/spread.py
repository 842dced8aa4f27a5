"""Seed-to-seed spread of the trained function (claim C3b): what is left of the random start after training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.estimators.against_width import (
    AgainstWidth,
    Samples,
    against_width,
    converged_cells,
    groups,
    recorded_steps,
)
from ntk1bit.estimators.columns import reads


@reads("test_outputs")
def spread(frame: pd.DataFrame) -> list[AgainstWidth]:
    """Root mean square, over test inputs and pairs of seeds, of `(f_seed1 - f_seed2)/sqrt(2)` after training.

    Its square is the unbiased variance over seeds, averaged over test inputs. Resamples of seeds use pairs of
    different seeds only, so that a seed drawn twice does not count as agreement.

    Parameters
    ----------
    frame
        From `Run.frame` with ``test_outputs``.

    Returns
    -------
    One entry for each group of settings; none where there is a single seed or no test input.
    """
    found = []
    for settings, part in groups(recorded_steps(frame)):
        kept, notes = converged_cells(part)
        samples, single = [], []
        for width, cells in kept.groupby("width"):
            last = cells.loc[cells["step"] == cells["step"].max()].sort_values("seed")
            outputs = np.stack([np.asarray(entry, np.float64) for entry in last["test_outputs"]])
            if len(outputs) > 1 and outputs.shape[1]:
                samples.append(Samples(int(str(width)), len(outputs), spread_of(outputs)))
            elif outputs.shape[1]:
                single.append(str(width))
        if samples and single:
            notes = (*notes, f"one seed only at widths {', '.join(single)}: they are left out")
        if samples:
            meaning = "seed-to-seed standard deviation of f on test inputs, after training"
            found.append(against_width("spread", meaning, settings, samples, notes=notes))
    return found


def spread_of(outputs: Float[np.ndarray, "seeds n_test"]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the statistic `sqrt(sum_{i != j} v_i v_j |f_i - f_j|^2 / (2 sum_{i != j} v_i v_j))` of seed weights v.

    NaN where all weight is on one seed.
    """
    apart = outputs[:, None] - outputs[None]
    squares = 0.5 * np.mean(apart**2, axis=-1)

    def statistic(weights: np.ndarray) -> np.ndarray:
        pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
        total = np.einsum("bi,ij,bj->b", weights, squares, weights)
        return np.sqrt(np.divide(total, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))

    return statistic
