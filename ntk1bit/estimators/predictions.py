"""How far training is from what fixed kernels predict for it, against width (claim C1)."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from ntk1bit.estimators.against_width import AgainstWidth, per_cell
from ntk1bit.estimators.columns import reads

PREDICTION_COLUMNS = ("from_h", "from_k_eff")
_UNTIL = 0.1  # of the starting loss


@reads()
def distance_to_predictions(frame: pd.DataFrame) -> list[AgainstWidth]:
    """Distance of the training outputs to the predictions of H(0) and of K_eff, while the loss falls by a factor 10.

    A mean over the recorded steps after the first one and before the loss is first at most L(0)/10: the part of
    training a fixed kernel can speak about. Later the jumps of a 1-bit output hide what its mean does.

    Parameters
    ----------
    frame
        From `Run.frame` of a sweep with predictions: columns from_h and from_k_eff, root mean squares over the training
        inputs at each checkpoint.

    Returns
    -------
    For each group of settings an entry "from H" and, for 1-bit networks, "from K_eff"; none without the columns.
    """
    found = []
    for column, name in zip(PREDICTION_COLUMNS, ("H", "K_eff"), strict=True):
        if column not in frame:
            continue
        known = frame.loc[frame["precision"] == "one_bit"] if column == "from_k_eff" else frame
        meaning = f"RMS over training inputs of f_t minus the prediction of {name}, mean while L > L(0)/10"
        found += per_cell(
            known,
            f"from {name}",
            meaning,
            functools.partial(_mean_distance, column=column),
            with_floor=True,
        )
    return found


def _mean_distance(cell: pd.DataFrame, *, column: str) -> float:
    cell = cell.sort_values("step")
    loss, distance = (cell[name].to_numpy(dtype=np.float64) for name in ("loss", column))
    high = loss > _UNTIL * loss[0]
    last = len(high) if high.all() else int(np.argmin(high))
    seen = distance[1:last]
    seen = seen[np.isfinite(seen)]
    return float(seen.mean()) if len(seen) else float("nan")
