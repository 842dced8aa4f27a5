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
from ntk1bit.scaling.allocation import Frontier
from ntk1bit.scaling.bootstrap import drawn_counts
from ntk1bit.scaling.request import FLOPS_PER_PARAMETER_TOKEN, FitRequest, require_frontier
from ntk1bit.scaling.result import Fit
from ntk1bit.tables.columns import positive_column, read_labels

_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_SEARCH_MARGIN = np.log(1e8)  # how far beyond the fitted N the parametric optimum is looked for
_SAME_BUDGET = 0.05  # runs whose log budgets differ by less belong to one IsoFLOP curve
_BUDGET_SPREAD = 0.15  # a chain of runs whose log budgets reach further apart than this is no budget
_LEAST_RUNS, _LEAST_SIZES = 5, 4

Budgets = Sequence[float] | Float[np.ndarray, " c"]


class NoRouteError(InputError):
    """The runs are sound, but show no optimum by this route."""


def parametric_frontier(fit: Fit, budgets: Budgets, *, cost: float = FLOPS_PER_PARAMETER_TOKEN) -> Frontier:
    """Minimise a fitted law of N and D along C = cost N D, for the fit and each of its replicates.

    For the Chinchilla law the optimum is N = (alpha A / (beta B))^(1/(alpha+beta)) (C/cost)^(beta/(alpha+beta));
    the search here (golden section in log N) serves any law with one valley. An optimum at the edge of the search,
    a factor of 1e8 beyond the data, is reported as NaN.
    """
    require_frontier(fit.law)
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
    optimum, least = (np.where(at_edge, np.nan, each) for each in (best, log_loss(best)))
    return Frontier("parametric", c, optimum, least, cost, freedom=fit.freedom, slope_freedom=fit.freedom)


def envelope_frontier(curves: pd.DataFrame, budgets: Budgets, request: FitRequest) -> Frontier:
    """Take, at each budget C, the run whose training curve is lowest there; whole runs, or clusters, are resampled.

    Curves (one row for each run and step, with the run's name, its N, the D seen so far and the loss then) are
    interpolated linearly in logarithms and never extrapolated. A budget counts only where the best run is neither the
    smallest nor the largest of those that reach it: at an edge the optimum lies outside the runs.

    Raises
    ------
    NoRouteError
        If fewer than two budgets have an optimum inside the runs.
    InputError
        If the table cannot be used.
    """
    c = checked_budgets(budgets)
    log_n, table, units = curve_losses(curves, c, request)
    present = np.ones((1 + request.bootstrap, len(log_n)), dtype=bool)
    drawn = int(units.max()) + 1
    present[1:] = drawn_counts(drawn, request.bootstrap, request.seed)[:, units] > 0
    optima = [_lowest(present, log_n, log_loss) for log_loss in table.T]
    best_n, best_loss = (np.stack(rows, axis=1) for rows in zip(*optima, strict=True))
    return _seen_budgets("envelope", c, best_n, best_loss, request.cost, np.full(len(c), drawn - 1.0), drawn - 1.0)


def isoflop_frontier(frame: pd.DataFrame, request: FitRequest) -> Frontier:
    """Fit a parabola of log loss in log N to the runs of each budget; points are resampled within budgets.

    Runs whose C = cost N D differ by less than 5 % share a budget, which may span 15 % in all. A budget needs five
    runs of at least four different N and a minimum within their range. With clusters, whole clusters are drawn, the
    same ones for all budgets; with weights, squares of residuals are weighted. Intervals have the degrees of freedom of
    the clusters, or else of the residuals: three less than a budget has runs, and for the exponents their sum.

    Raises
    ------
    NoRouteError
        If fewer than two budgets have such runs and such a minimum.
    InputError
        If the table cannot be used.
    """
    x, bootstrap = request.columns, request.bootstrap
    size, data, losses = (positive_column(frame, name) for name in (x["N"], x["D"], request.loss))
    own = np.ones(len(frame)) if request.weight is None else positive_column(frame, request.weight)
    rng = np.random.default_rng(request.seed)
    labels = read_labels(frame, request.cluster, "cluster") if request.cluster else None
    together = None if labels is None else drawn_counts(len(labels.keys), bootstrap, request.seed)[:, labels.codes]
    c, optima, freedom = [], [], []
    for rows in budget_groups(request.cost * size * data):
        if len(rows) < _LEAST_RUNS or len(np.unique(size[rows])) < _LEAST_SIZES:
            continue
        weights = np.ones((1 + bootstrap, len(rows)))
        if together is None:
            weights[1:] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=bootstrap)
        else:
            weights[1:] = together[:, rows]
        optima.append(_parabola_minimum(np.log(size[rows]), np.log(losses[rows]), weights * own[rows]))
        c.append(float(np.exp(np.mean(np.log(request.cost * size[rows] * data[rows])))))
        freedom.append(len(rows) - 3.0 if labels is None else len(labels.keys) - 1.0)
    if not c:
        raise NoRouteError(
            "no budget has five runs of four different sizes; an IsoFLOP frontier needs runs of different N at equal C"
        )
    best_n, best_loss = (np.stack(rows, axis=1) for rows in zip(*optima, strict=True))
    overall = None if labels is None else freedom[0]
    return _seen_budgets("isoflop", np.array(c), best_n, best_loss, request.cost, np.array(freedom), overall)


def checked_budgets(budgets: Budgets) -> Float[np.ndarray, " c"]:
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
    curves: pd.DataFrame, c: Float[np.ndarray, " c"], request: FitRequest
) -> tuple[Float[np.ndarray, " runs"], Float[np.ndarray, "runs c"], Int64[np.ndarray, " runs"]]:
    """Return every run's log N, its log loss interpolated at each budget (NaN beyond its range), and its cluster."""
    run, x, cluster = request.run or "run", request.columns, request.cluster
    columns = [positive_column(curves, name) for name in (x["N"], x["D"], request.loss)]
    runs = read_labels(curves, run, "run")
    clusters = read_labels(curves, cluster, "cluster").codes if cluster else runs.codes
    log_n, table, units = [], [], []
    for name, rows in runs.rows():
        size, data, losses = (column[rows] for column in columns)
        if np.ptp(size) > 0:
            raise InputError(
                f"run {name} has several values of {x['N']!r}; column {run!r} must name runs of one size each (with "
                "runs numbered anew in several arms, fit each arm as a group)"
            )
        if np.ptp(clusters[rows]) > 0:
            raise InputError(f"run {name} has rows in several clusters; {cluster!r} must be one value for a whole run")
        order = np.argsort(data, kind="stable")
        spent = np.log(request.cost * size[order] * data[order])
        log_n.append(float(np.log(size[0])))
        table.append(np.interp(np.log(c), spent, np.log(losses[order]), left=np.nan, right=np.nan))
        units.append(clusters[rows[0]])
    return np.array(log_n), np.array(table), np.array(units, dtype=np.int64)


def _lowest(
    present: Bool[np.ndarray, "rows runs"], log_n: Float[np.ndarray, " runs"], log_loss: Float[np.ndarray, " runs"]
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """Log N and log loss of the lowest run present in each row; NaN with fewer than three, or at the edge of sizes."""
    usable = present & np.isfinite(log_loss)
    winner = np.argmin(np.where(usable, log_loss, np.inf), axis=1)
    smallest = np.min(np.where(usable, log_n, np.inf), axis=1)
    largest = np.max(np.where(usable, log_n, -np.inf), axis=1)
    inside = (usable.sum(axis=1) >= 3) & (log_n[winner] > smallest) & (log_n[winner] < largest)
    return np.where(inside, log_n[winner], np.nan), np.where(inside, log_loss[winner], np.nan)


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


def _seen_budgets(
    route: str,
    c: Float[np.ndarray, " c"],
    log_n: Float[np.ndarray, "rows c"],
    log_loss: Float[np.ndarray, "rows c"],
    cost: float,
    freedom: Float[np.ndarray, " c"],
    slope_freedom: float | None,
) -> Frontier:
    """Keep the budgets with an optimum; where draws are not shared, the slope has all their degrees of freedom."""
    seen = np.isfinite(log_n[0])
    if seen.sum() < 2:
        raise NoRouteError(
            f"the {route} route finds an optimum inside the measured sizes at {int(seen.sum())} budget(s), two are "
            "needed; add smaller or larger runs, or choose other budgets"
        )
    return Frontier(
        route,
        c[seen],
        log_n[:, seen],
        log_loss[:, seen],
        cost,
        freedom=freedom[seen],
        slope_freedom=float(freedom[seen].sum()) if slope_freedom is None else slope_freedom,
    )
