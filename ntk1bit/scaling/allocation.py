"""The compute-optimal allocation that a route found: N, D and loss against C, and how far two routes disagree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.printing import interval, number, short_lines
from ntk1bit.scaling.bootstrap import stretched_interval
from ntk1bit.statistics import LEVEL


@dataclass(frozen=True, eq=False)
class Frontier:
    """Optimal allocation against compute.

    Attributes
    ----------
    route, group
        "parametric", "envelope" or "isoflop", and the group of runs it is of, if there are several.
    budgets, cost
        (c,) values of C, ascending, and k in C = k N D.
    log_n, log_loss
        (1 + b, c) log N_opt and log L_min: row 0 the estimate, the others bootstrap replicates; NaN where undefined.
    freedom, slope_freedom
        Degrees of freedom of what is found at a budget (one number, or one a budget) and of the exponents, by which
        few clusters or runs widen intervals (see `bootstrap.widening`).
    """

    route: str
    budgets: Float[np.ndarray, " c"]
    log_n: Float[np.ndarray, "rows c"]
    log_loss: Float[np.ndarray, "rows c"]
    cost: float
    group: Hashable | None = None
    freedom: float | Float[np.ndarray, " c"] = math.inf
    slope_freedom: float = math.inf

    def __repr__(self) -> str:
        """Say in at most ten lines which route it is, its exponents, and the allocation at some budgets."""
        table, exponents = self.table(), self.exponents()
        labels = ", ".join(self.labels.values())
        rows = [
            f"{row['of']} ~ C^{number(row['exponent'])} {interval(row['low'], row['high'])}"
            for row in exponents.to_dict("records")
        ]
        shown = table.iloc[np.unique(np.linspace(0, len(table) - 1, 5).astype(int))].to_dict("records")
        rows += [
            ", ".join(f"{name} = {number(row[name])}" for name in ("C", "N_opt", "D_opt", "L_min")) for row in shown
        ]
        return short_lines([f"Frontier ({labels}), {len(self.budgets)} budgets C = {number(self.cost)} N D", *rows])

    def _repr_html_(self) -> str:
        """Return the table, for notebooks."""
        return self.table().to_html(index=False, float_format=number)

    @property
    def labels(self) -> dict[str, str]:
        """What tells it from other frontiers: its group, if there are several, and its route."""
        return ({} if self.group is None else {"group": str(self.group)}) | {"route": self.route}

    def table(self, level: float = LEVEL) -> pd.DataFrame:
        """Return C, N_opt, D_opt and L_min with percentile intervals, one row a budget."""
        log_d = np.log(self.budgets / self.cost) - self.log_n
        table: dict[str, np.ndarray] = {"C": self.budgets}
        for name, rows in (("N_opt", self.log_n), ("D_opt", log_d), ("L_min", self.log_loss)):
            low, high = _interval(rows, level, self.freedom)
            table |= {name: np.exp(rows[0]), f"{name}_low": np.exp(low), f"{name}_high": np.exp(high)}
        return pd.DataFrame({**self.labels, **table})

    def exponents(self, level: float = LEVEL) -> pd.DataFrame:
        """Return a and b of N_opt ~ C^a, D_opt ~ C^b (least squares over the budgets) with percentile intervals."""
        slopes = self.slopes()
        low, high = _interval(slopes[:, None], level, self.slope_freedom)
        rows = [
            {**self.labels, "of": "N_opt", "exponent": slopes[0], "low": low[0], "high": high[0]},
            {**self.labels, "of": "D_opt", "exponent": 1 - slopes[0], "low": 1 - high[0], "high": 1 - low[0]},
        ]
        return pd.DataFrame(rows).assign(C_min=self.budgets[0], C_max=self.budgets[-1], budgets=len(self.budgets))

    def slopes(self) -> Float[np.ndarray, " rows"]:
        """Slope of log N_opt against log C: estimate first, then replicates (NaN with fewer than two budgets)."""
        x = np.log(self.budgets)
        seen = np.isfinite(self.log_n)
        count = seen.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            centre = (seen * x).sum(axis=1) / count
            away = seen * (x - centre[:, None])
            slope = np.sum(away * np.where(seen, self.log_n, 0.0), axis=1) / np.sum(away**2, axis=1)
        return np.where(count >= 2, slope, np.nan)


def disagreement(frontiers: Sequence[Frontier], level: float = LEVEL) -> pd.DataFrame:
    """Compare the routes of each group pairwise where their budgets overlap.

    Each pair has a row: the difference of the exponents of N_opt with its percentile interval (replicates of the two
    routes taken as independent), and the median and largest |log10| ratio of N_opt and of L_min.
    """
    rows = []
    for first, second in itertools.combinations(frontiers, 2):
        if first.group != second.group:
            continue
        low, high = max(first.budgets[0], second.budgets[0]), min(first.budgets[-1], second.budgets[-1])
        row: dict[str, object] = {} if first.group is None else {"group": str(first.group)}
        row |= {"first": first.route, "second": second.route, "C_min": low, "C_max": high}
        count = min(len(first.log_n), len(second.log_n))
        gap = first.slopes()[:count] - second.slopes()[:count]
        ends = _interval(gap[:, None], level, min(first.slope_freedom, second.slope_freedom))
        row |= {"exponent_difference": gap[0], "low": ends[0][0], "high": ends[1][0]}
        if low < high:
            grid = np.linspace(np.log(low), np.log(high), 21)
            for label, name in (("N_opt", "log_n"), ("L_min", "log_loss")):
                one, other = (np.interp(grid, np.log(each.budgets), getattr(each, name)[0]) for each in (first, second))
                apart = np.abs(one - other) / np.log(10)
                row |= {f"{label}_decades_median": np.median(apart), f"{label}_decades_largest": np.max(apart)}
        rows.append(row)
    return pd.DataFrame(rows)


def _interval(
    rows: Float[np.ndarray, "rows c"], level: float, freedom: float | Float[np.ndarray, " c"]
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """Return the interval of each column about its first row from the others, those that are finite."""
    low, high = np.full((2, rows.shape[1]), np.nan)
    for j, own in enumerate(np.broadcast_to(freedom, rows.shape[1])):
        column = rows[:, [j]]
        replicates = column[1:][np.isfinite(column[1:, 0])]
        if len(replicates) > 1:
            (low[j],), (high[j],) = stretched_interval(column[0], replicates, level, float(own))
    return low, high
