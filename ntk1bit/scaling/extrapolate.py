"""Judge laws by what they were not shown: fit the small, predict the large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.scaling.fit import Progress, checked_settings, fit_observations
from ntk1bit.scaling.laws import Law, get_law
from ntk1bit.scaling.objective import HUBER_DELTA
from ntk1bit.scaling.observations import choose_columns, observe, positive_column


def extrapolate(
    frame: pd.DataFrame,
    laws: str | Law | Sequence[str | Law],
    *,
    x: str | Sequence[str] | Mapping[str, str] | None = None,
    loss: str = "loss",
    by: str | None = None,
    holdout: float = 0.3,
    weight: str | None = None,
    delta: float = HUBER_DELTA,
    tilt: float = 0.5,
    threads: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Fit each law to the smallest observations and predict the largest.

    Parameters
    ----------
    frame, x, loss, weight, delta, tilt, threads, progress
        As in `fit`.
    laws
        One or more laws with the same variables.
    by
        The column that orders observations; by default the law's only variable or the product of all of them.
    holdout
        Share of rows held out, in (0, 1). Rows of equal size stay on one side, so the share is met from below.

    Returns
    -------
    DataFrame
        One row for each law and held-out observation: `law`, the size `by`, `decades` (log10 of the size over the
        largest one fitted), `loss`, `predicted`, `log_error` (log predicted over observed).

    Raises
    ------
    InputError
        If nothing can be held out, or what is left cannot be fitted.
    """
    several = [laws] if isinstance(laws, str | Law) else list(laws)
    chosen = [get_law(law) for law in several]
    small, large, size, label = split_by_size(frame, chosen[0], x=x, by=by, holdout=holdout)
    settings = checked_settings(delta=delta, tilt=tilt, bootstrap=0, seed=0)
    edge = float(size[small].max())
    fitted_rows, held_rows = frame.loc[small], frame.loc[large]
    tables = []
    for law in chosen:
        data = observe(fitted_rows, law, x=x, loss=loss, weight=weight)
        fitted = fit_observations(data, law, settings, None, threads=threads, progress=progress)
        predicted, observed = fitted.predict(held_rows), positive_column(held_rows, loss)
        tables.append(
            pd.DataFrame(
                {
                    "law": law.name,
                    label: size[large],
                    "decades": np.log10(size[large] / edge),
                    "loss": observed,
                    "predicted": predicted,
                    "log_error": np.log(predicted) - np.log(observed),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def extrapolation_error(table: pd.DataFrame, bins: int = 3) -> pd.DataFrame:
    """Summarise `extrapolate` by law and distance: root mean square and median log error in bins of decades."""
    edges = np.linspace(0.0, float(np.max(table["decades"].to_numpy())) * (1 + 1e-12), bins + 1)
    place = np.clip(np.searchsorted(edges, table["decades"], side="left") - 1, 0, bins - 1)
    labelled = table.assign(decades_from=edges[place], decades_to=edges[place + 1])
    grouped = labelled.groupby(["law", "decades_from", "decades_to"], sort=True)["log_error"]
    return grouped.agg(
        points="size", rms_log_error=lambda e: float(np.sqrt(np.mean(e**2))), median_log_error="median"
    ).reset_index()


def split_by_size(
    frame: pd.DataFrame,
    law: Law,
    *,
    x: str | Sequence[str] | Mapping[str, str] | None = None,
    by: str | None = None,
    holdout: float = 0.3,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Return masks of the small and the large rows, every row's size, and what the size is called."""
    if not (isinstance(holdout, float | int) and 0 < holdout < 1):
        raise InputError(f"holdout must be a share between 0 and 1, got {holdout}; 0.3 is usual")
    names = [by] if by is not None else list(choose_columns(law, x).values())
    size = np.prod([positive_column(frame, name) for name in names], axis=0)
    values, counts = np.unique(size, return_counts=True)
    kept = np.cumsum(counts) / len(size) <= 1 - holdout + 1e-12
    if len(values) < 2 or len(size) == 0:
        raise InputError(f"all observations have the same {' * '.join(names)}; there is nothing larger to hold out")
    edge = values[max(int(kept.sum()), 1) - 1]
    if edge == values[-1]:
        edge = values[-2]
    return size <= edge, size > edge, size, " * ".join(names)
