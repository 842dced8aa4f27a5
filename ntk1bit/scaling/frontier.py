"""Compute-optimal allocation: for a budget C = k N D, the N and D of least loss, by three independent routes.

Hoffmann et al. 2022 call them approach 3 (`parametric_frontier`: minimise a fitted law along the budget), approach 1
(`envelope_frontier`: the lower envelope of training curves) and approach 2 (`isoflop_frontier`: a parabola through
runs of equal budget). They share data but not assumptions, so their disagreement is part of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int64

from ntk1bit.errors import InputError
from ntk1bit.scaling.allocation import Frontier, NoRouteError, disagreement
from ntk1bit.scaling.bootstrap import checked_replicates, drawn_counts
from ntk1bit.scaling.labels import read_labels
from ntk1bit.scaling.observations import positive_column
from ntk1bit.scaling.result import Fit

__all__ = [
    "FLOPS_PER_PARAMETER_TOKEN",
    "Frontier",
    "NoRouteError",
    "budget_groups",
    "checked_budgets",
    "curve_losses",
    "disagreement",
    "envelope_frontier",
    "isoflop_frontier",
    "parametric_frontier",
]

FLOPS_PER_PARAMETER_TOKEN = 6.0
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_SEARCH_MARGIN = np.log(1e8)  # how far beyond the fitted N the parametric optimum is looked for
_SAME_BUDGET = 0.05  # runs whose log budgets differ by less belong to one IsoFLOP curve
_BUDGET_SPREAD = 0.15  # a chain of runs whose log budgets reach further apart than this is no budget
_LEAST_RUNS, _LEAST_SIZES = 5, 4


def parametric_frontier(
    fit: Fit, budgets: Sequence[float] | Float[np.ndarray, " c"], *, cost: float = FLOPS_PER_PARAMETER_TOKEN
) -> Frontier:
    """Minimise a fitted law of N and D along C = cost N D, for the fit and each of its replicates.

    For the Chinchilla law the optimum is N = (alpha A / (beta B))^(1/(alpha+beta)) (C/cost)^(beta/(alpha+beta));
    the search here (golden section in log N) serves any law with one valley. An optimum at the edge of the search,
    a factor of 1e8 beyond the data, is reported as NaN.
    """
    if fit.law.variables != ("N", "D"):
        raise InputError(f"a frontier needs a law of N and D, such as chinchilla or kaplan, not {fit.law.name!r}")
    c = checked_budgets(budgets)
    rows = np.vstack([fit.latent[None], fit.latent_replicates])
    log_n_seen = np.log(fit.observations.columns[0])
    shape = (len(rows), len(c))
    low = np.full(shape, log_n_seen.min() - _SEARCH_MARGIN)
    high = np.full(shape, log_n_seen.max() + _SEARCH_MARGIN)
    edges = low.copy(), high.copy()

    def log_loss(log_n: np.ndarray) -> np.ndarray:
        value = fit.law.log_predict(rows, [np.exp(log_n), c / cost / np.exp(log_n)])
        return np.where(np.isfinite(value), value, np.inf)

    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    f_left, f_right = log_loss(left), log_loss(right)
    for _ in range(75):  # 0.618^75 of the widest range is below float resolution of the optimum
        smaller = f_left <= f_right
        low, high = np.where(smaller, low, left), np.where(smaller, right, high)
        fresh = np.where(smaller, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        f_fresh = log_loss(fresh)
        left, right = np.where(smaller, fresh, right), np.where(smaller, left, fresh)
        f_left, f_right = np.where(smaller, f_fresh, f_right), np.where(smaller, f_left, f_fresh)
    best = 0.5 * (low + high)
    at_edge = (best - edges[0] < 1e-3) | (edges[1] - best < 1e-3)
    return Frontier("parametric", c, np.where(at_edge, np.nan, best), np.where(at_edge, np.nan, log_loss(best)), cost)


def envelope_frontier(
    curves: pd.DataFrame,
    budgets: Sequence[float] | Float[np.ndarray, " c"],
    *,
    run: str = "run",
    n: str = "N",
    d: str = "D",
    loss: str = "loss",
    cluster: str | None = None,
    cost: float = FLOPS_PER_PARAMETER_TOKEN,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Frontier:
    """Take, at each budget, the run whose training curve is lowest there; whole runs are resampled.

    Curves are interpolated linearly in logarithms and never extrapolated. A budget counts only where the best run is
    neither the smallest nor the largest of those that reach it: at an edge the optimum lies outside the runs.

    Parameters
    ----------
    curves
        One row for each run and moment: the run's name, its N, the D seen so far, the loss then.
    budgets
        Values of C.
    run, n, d, loss
        Columns.
    cluster
        Column of clusters of runs, resampled in place of runs.
    cost, bootstrap, seed
        k in C = k N D; replicates; seed of the resampling.

    Raises
    ------
    NoRouteError
        If fewer than two budgets have an optimum inside the runs.
    InputError
        If the table cannot be used.
    """
    c = checked_budgets(budgets)
    log_n, table = curve_losses(curves, c, run=run, n=n, d=d, loss=loss, cost=cost)
    units = np.arange(len(log_n)) if cluster is None else _clusters_of_runs(curves, run, cluster)
    present = np.ones((1 + checked_replicates(bootstrap), len(log_n)), dtype=bool)
    present[1:] = drawn_counts(int(units.max()) + 1, bootstrap, seed)[:, units] > 0
    best_n, best_loss = np.full((len(present), len(c)), np.nan), np.full((len(present), len(c)), np.nan)
    for j in range(len(c)):
        _lowest(present, log_n, table[:, j], best_n[:, j], best_loss[:, j])
    return _seen_budgets("envelope", c, best_n, best_loss, cost)


def isoflop_frontier(
    frame: pd.DataFrame,
    *,
    n: str = "N",
    d: str = "D",
    loss: str = "loss",
    cluster: str | None = None,
    weight: str | None = None,
    cost: float = FLOPS_PER_PARAMETER_TOKEN,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Frontier:
    """Fit a parabola of log loss in log N to the runs of each budget; points are resampled within budgets.

    Runs whose C = cost N D differ by less than 5 % share a budget, which may span 15 % in all. A budget needs five
    runs of at least four different N and a minimum within their range. With `cluster`, whole clusters are drawn, the
    same ones for all budgets; with `weight`, squares of residuals are weighted.

    Raises
    ------
    NoRouteError
        If fewer than two budgets have such runs and such a minimum.
    InputError
        If the table cannot be used.
    """
    size, data, losses = (positive_column(frame, name) for name in (n, d, loss))
    own = np.ones(len(frame)) if weight is None else positive_column(frame, weight)
    rng = np.random.default_rng(seed)
    bootstrap = checked_replicates(bootstrap)
    labels = None if cluster is None else read_labels(frame, cluster, "cluster")
    together = None if labels is None else drawn_counts(len(labels.keys), bootstrap, seed)[:, labels.codes]
    c, best_n, best_loss = [], [], []
    for rows in budget_groups(cost * size * data):
        if len(rows) < _LEAST_RUNS or len(np.unique(size[rows])) < _LEAST_SIZES:
            continue
        weights = np.ones((1 + bootstrap, len(rows)))
        if together is None:
            weights[1:] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=bootstrap)
        else:
            weights[1:] = together[:, rows]
        log_n, log_loss = _parabola_minimum(np.log(size[rows]), np.log(losses[rows]), weights * own[rows])
        c.append(float(np.exp(np.mean(np.log(cost * size[rows] * data[rows])))))
        best_n.append(log_n)
        best_loss.append(log_loss)
    if not c:
        raise NoRouteError(
            "no budget has five runs of four different sizes; an IsoFLOP frontier needs runs of different N at equal C"
        )
    return _seen_budgets("isoflop", np.array(c), np.stack(best_n, axis=1), np.stack(best_loss, axis=1), cost)


def checked_budgets(budgets: Sequence[float] | Float[np.ndarray, " c"]) -> Float[np.ndarray, " c"]:
    """Return the budgets sorted, or refuse them if any is not positive and finite."""
    c = np.sort(np.asarray(budgets, dtype=np.float64))
    if c.ndim != 1 or len(c) == 0 or not np.all(np.isfinite(c) & (c > 0)):
        raise InputError("budgets must be a list of positive numbers, such as np.geomspace(1e18, 1e22, 9)")
    return c


def budget_groups(c: Float[np.ndarray, " n"]) -> list[np.ndarray]:
    """Return the rows of each budget: runs are split where the next larger C is more than 5 % away.

    Groups that reach over more than 15 % are dropped: there the runs are spread over C, not planned at budgets.
    """
    order = np.argsort(c, kind="stable")
    breaks = np.flatnonzero(np.diff(np.log(c[order])) > _SAME_BUDGET) + 1
    return [rows for rows in np.split(order, breaks) if len(rows) and np.ptp(np.log(c[rows])) <= _BUDGET_SPREAD]


def curve_losses(
    curves: pd.DataFrame, c: Float[np.ndarray, " c"], *, run: str, n: str, d: str, loss: str, cost: float
) -> tuple[Float[np.ndarray, " runs"], Float[np.ndarray, "runs c"]]:
    """Interpolate every run's log loss at each budget; NaN beyond the run's own range."""
    columns = [positive_column(curves, name) for name in (n, d, loss)]
    log_n, table = [], []
    for name, rows in read_labels(curves, run, "run").rows():
        size, data, losses = (column[rows] for column in columns)
        if np.ptp(size) > 0:
            raise InputError(
                f"run {name} has several values of {n!r}; column {run!r} must name runs of one size each (with runs "
                "numbered anew in several arms, fit each arm as a group)"
            )
        order = np.argsort(data, kind="stable")
        spent = np.log(cost * size[order] * data[order])
        log_n.append(float(np.log(size[0])))
        table.append(np.interp(np.log(c), spent, np.log(losses[order]), left=np.nan, right=np.nan))
    return np.array(log_n), np.array(table)


def _clusters_of_runs(curves: pd.DataFrame, run: str, cluster: str) -> Int64[np.ndarray, " runs"]:
    clusters = read_labels(curves, cluster, "cluster").codes
    found = []
    for name, rows in read_labels(curves, run, "run").rows():
        if np.ptp(clusters[rows]) > 0:
            raise InputError(f"run {name} has rows in several clusters; {cluster!r} must be one value for a whole run")
        found.append(clusters[rows[0]])
    return np.array(found, dtype=np.int64)


def _lowest(
    present: Bool[np.ndarray, "rows runs"],
    log_n: Float[np.ndarray, " runs"],
    log_loss: Float[np.ndarray, " runs"],
    best_n: Float[np.ndarray, " rows"],
    best_loss: Float[np.ndarray, " rows"],
) -> None:
    reach = np.isfinite(log_loss)
    if reach.sum() < 3:
        return
    table = np.where(present & reach, log_loss, np.inf)
    winner = np.argmin(table, axis=1)
    sizes = np.where(present & reach, log_n, np.nan)
    inside = np.sum(present & reach, axis=1) >= 3
    smallest = np.min(np.where(np.isnan(sizes), np.inf, sizes), axis=1)
    largest = np.max(np.where(np.isnan(sizes), -np.inf, sizes), axis=1)
    inside &= (log_n[winner] > smallest) & (log_n[winner] < largest)
    best_n[inside] = log_n[winner[inside]]
    best_loss[inside] = log_loss[winner[inside]]


def _parabola_minimum(
    log_n: Float[np.ndarray, " n"], log_loss: Float[np.ndarray, " n"], weights: Float[np.ndarray, "rows n"]
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """Vertex of the weighted least-squares parabola of each row of weights; NaN where it is no minimum inside."""
    middle = log_n.mean()
    t = log_n - middle
    basis = np.stack([np.ones_like(t), t, t**2])
    normal = np.einsum("rn,in,jn->rij", weights, basis, basis)
    right = np.einsum("rn,in,n->ri", weights, basis, log_loss)
    vertex, depth = np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    solvable = np.linalg.cond(normal) < 1e12
    a, b, c = np.linalg.solve(normal[solvable], right[solvable][..., None])[..., 0].T
    with np.errstate(divide="ignore", invalid="ignore"):
        place = -b / (2 * c)
        inside = (c > 0) & (place >= t.min()) & (place <= t.max())
        vertex[solvable] = np.where(inside, place + middle, np.nan)
        depth[solvable] = np.where(inside, a - b**2 / (4 * c), np.nan)
    return vertex, depth


def _seen_budgets(route: str, c: np.ndarray, log_n: np.ndarray, log_loss: np.ndarray, cost: float) -> Frontier:
    seen = np.isfinite(log_n[0])
    if seen.sum() < 2:
        raise NoRouteError(
            f"the {route} route finds an optimum inside the measured sizes at {int(seen.sum())} budget(s), two are "
            "needed; add smaller or larger runs, or choose other budgets"
        )
    return Frontier(route, c[seen], log_n[:, seen], log_loss[:, seen], cost)
