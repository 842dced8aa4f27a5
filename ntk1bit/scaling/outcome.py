"""Parts of what a fit returns, and the few lines in which Python shows it; `report` has all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.printing import interval, number, record, short_lines, side_by_side
from ntk1bit.scaling.laws import Law
from ntk1bit.scaling.observations import Observations


@dataclass(frozen=True, eq=False)
class Starts:
    """How the grid of starts fared: how many were tried, and how many ended within a relative 1e-6 of the best.

    `rivals` counts the distinct minima that every bootstrap replicate was started from; `objectives`, ascending, say
    where each start ended.
    """

    tried: int
    reached_best: int
    rivals: int
    objectives: Float[np.ndarray, " t"]

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


class ParameterInterval(NamedTuple):
    """One parameter of a fit: its estimate, and the ends of its bootstrap interval, as plain floats."""

    value: float
    low: float
    high: float


def fit_in_short(
    law: Law, data: Observations, table: pd.DataFrame, *, replicates: int, optimum: str, warnings: Sequence[str]
) -> str:
    """Say in at most ten lines which law was fitted to what, its parameters, and how far to trust them.

    Parameters
    ----------
    law, data
        What was fitted, and to what.
    table
        Columns estimate, low and high, indexed by parameter; NaN ends without replicates.
    replicates
        Number of bootstrap replicates.
    optimum
        A line about the objective.
    warnings
        What the data do not identify; the first is shown.
    """
    units = "" if data.cluster is None else f" of {data.clusters} clusters"
    lines = [
        f"Fit of {data.loss_name} = {law.formula}",
        f"{data.points} points of {', '.join(data.x.values())}; {replicates} bootstrap replicates{units}",
    ]
    rows = [
        f"{name} = {number(value, 4)} {interval(low, high, 4)}"
        for name, value, low, high in table.itertuples(name=None)
    ]
    rows += [f"{name} = {number(value, 4)} held" for name, value in law.fixed.items()]
    lines += [*side_by_side(rows), optimum]
    if warnings:
        first, *others = warnings
        lines.append(f"{len(others) + 1} warnings, the first: {first}" if others else f"warning: {first}")
    return short_lines(lines)
