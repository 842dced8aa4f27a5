"""Judge laws by what they were not shown: fit the small, predict the large."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.scaling.fitting import Progress, fit_one
from ntk1bit.scaling.request import FitRequest
from ntk1bit.tables.columns import positive_column


def extrapolate(
    frame: pd.DataFrame, request: FitRequest, *, by: str | None = None, progress: Progress | None = None
) -> pd.DataFrame:
    """Fit the request's law and its rivals to the smallest observations and predict the largest.

    `holdout` is the share of rows held out; rows of equal size stay on one side, so it is met from below. Size is the
    column `by`, or by default the law's only variable or the product of all of them.

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
    small, size, label = split_by_size(frame, request, by=by)
    edge, held_rows = float(size[small].max()), frame.loc[~small]
    tables = []
    for law in request.laws:
        fitted = fit_one(frame.loc[small], request.for_law(law), progress=progress)
        predicted, observed = fitted.predict(held_rows), positive_column(held_rows, request.loss)
        tables.append(
            pd.DataFrame(
                {
                    "law": law.name,
                    label: size[~small],
                    "decades": np.log10(size[~small] / edge),
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
    frame: pd.DataFrame, request: FitRequest, *, by: str | None = None
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return which rows are small (the others are held out), every row's size, and what the size is called."""
    if request.holdout is None:
        raise InputError("no share to hold out is given; 0.3 is usual")
    names = [by] if by is not None else list(request.columns.values())
    size = np.prod([positive_column(frame, name) for name in names], axis=0)
    values, counts = np.unique(size, return_counts=True)
    kept = np.cumsum(counts) / len(size) <= 1 - request.holdout + 1e-12
    if len(values) < 2:
        raise InputError(f"all observations have the same {' * '.join(names)}; there is nothing larger to hold out")
    edge = values[min(max(int(kept.sum()), 1), len(values) - 1) - 1]
    return size <= edge, size, " * ".join(names)
