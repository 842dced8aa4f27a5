"""Fit a law to a table of losses: the sum of Huber losses of log residuals, from a full grid of starts.

Every start is minimised on the data. The distinct minima that could win on another draw of the data are then
minimised again on every bootstrap replicate, whose best result is kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ntk1bit.errors import InputError
from ntk1bit.scaling.bootstrap import Counts, blocks, drawn_counts
from ntk1bit.scaling.identification import identification_warnings
from ntk1bit.scaling.laws import Law
from ntk1bit.scaling.objective import HUBER_DELTA, huber_losses
from ntk1bit.scaling.observations import Observations, observe
from ntk1bit.scaling.outcome import Starts
from ntk1bit.scaling.request import Columns, FitRequest
from ntk1bit.scaling.result import Fit
from ntk1bit.scaling.solver import Solutions, Stopping, solve
from ntk1bit.scaling.written_laws import read_law

SAME_OBJECTIVE = 1e-6  # relative: starts this close to the best have reached it
_EXACT = 1e-10  # mean absolute log residuals below this are rounding: starts that reach it are as good as any
_MOST_MINIMA = 4  # distinct minima that replicates are started from
_FRESH_STARTS = 3  # starts of the grid added to these where a minimum lies in a plateau
_REPLICATE_START = Stopping(tolerance=1e-7, least=1e-8, limit=60)
_REPLICATE = Stopping(tolerance=1e-7, least=1e-8, limit=3000)  # under 1 % of a standard error, along ravines too
_INERT = 1e-3  # a parameter whose change by a factor e moves no log prediction by more is out of the data's sight
_MARGIN = 4.0  # standard deviations of the resampled difference of objectives

Starting = Mapping[str, Sequence[float | str]]
Progress = Callable[[str, float], None]


class IdentificationWarning(UserWarning):
    """The data do not pin down something the fit reports."""


def fit(
    frame: pd.DataFrame,
    law: str | Law = "power",
    *,
    x: Columns = None,
    loss: str = "loss",
    bootstrap: int = 1000,
    seed: int = 0,
    cluster: str | Sequence[str] | None = None,
    weight: str | None = None,
    starts: Starting | None = None,
    delta: float = HUBER_DELTA,
    tilt: float = 0.5,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Fit a scaling law with bootstrap intervals.

    Minimises sum_i w_i Huber_delta(log prediction_i - log loss_i) by L-BFGS with exact gradients in float64. The same
    data, seed and settings give the same result on any number of threads.

    Parameters
    ----------
    frame
        One row an observation.
    law
        A name from `law_names()`, a `Law`, or a formula such as ``E + A*N^-alpha``, whose variables are called x, N, D,
        C or as columns of the table (see `law_from_formula`). `propose` chooses one from the columns.
    x, loss, bootstrap, seed, cluster, weight, delta, tilt, threads
        See `FitRequest`.
    starts
        Starts in natural units for some parameters, in place of the law's.
    progress
        Called as progress(stage, share), with stage "starts" or "bootstrap" and the share of it that is done.

    Raises
    ------
    InputError
        For data no law can be fitted to (see `observe`), unknown names and settings out of range.

    Warns
    -----
    IdentificationWarning
        When an exponent, floor or optimum is not identified; the same lines are in `Fit.warnings`.

    References
    ----------
    Hoffmann et al. 2022, App. D.3; Besiroglu et al. 2024.
    """
    columns = frame.columns if isinstance(frame, pd.DataFrame) else ()
    request = FitRequest(
        read_law(law, columns), x, loss, cluster=cluster, weight=weight, bootstrap=bootstrap, seed=seed, delta=delta,
        tilt=tilt, threads=threads,
    )  # fmt: skip
    result = fit_one(frame, request, starts=starts, progress=progress)
    for line in result.warnings:
        warnings.warn(line, IdentificationWarning, stacklevel=2)
    return result


def fit_one(
    frame: pd.DataFrame, request: FitRequest, *, starts: Starting | None = None, progress: Progress | None = None
) -> Fit:
    """Fit the request's law to all rows, without warnings but those of the result."""
    observations = observe(frame, request)
    counts = draw(observations.clusters, request)
    return fit_observations(observations, request, counts, starts=starts, progress=progress)


def draw(units: int, request: FitRequest) -> Counts | None:
    """Draw the request's replicates of so many points or clusters, if it asks for any."""
    return drawn_counts(units, request.bootstrap, request.seed) if request.bootstrap else None


def fit_observations(
    observations: Observations,
    request: FitRequest,
    replicates: Counts | None,
    *,
    starts: Starting | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Fit checked observations with given replicates: how often each point, or cluster, enters each of them."""
    if observations.found is not None:
        request = replace(request, cluster=observations.found)
    solver, law = _Solver(observations, request), request.law
    grid = law.starts(observations.columns, observations.loss, starts)
    found = solver(grid, solved=_stage(progress, "starts", len(grid)))
    order = np.argsort(found.objective, kind="stable")
    theta, objective = found.theta[order], found.objective[order]
    if not np.isfinite(objective[0]):
        raise InputError(f"law {law.name!r} is undefined on these data from all of its {len(grid)} starts; give others")
    minima = _with_fresh_starts(_distinct_minima(theta, objective, solver), grid, solver)
    exact = _EXACT * request.delta * float(observations.weight.sum())
    reached = int(np.sum(objective <= objective[0] * (1 + SAME_OBJECTIVE) + exact))
    boot, finite = np.empty((0, theta.shape[1])), np.empty(0, dtype=bool)
    if replicates is not None:
        total = len(replicates) * (len(minima) + (len(minima) > 1))
        boot, finite = solver.best_of(minima, replicates, _stage(progress, "bootstrap", total))

    def refit(counts: Counts) -> np.ndarray:
        latent, usable = solver.best_of(minima, counts)
        return latent[usable]

    result = Fit(
        request=request,
        observations=observations,
        latent=theta[0],
        objective=float(objective[0]),
        gradient=float(solver(theta[:1], stopping=Stopping(limit=0)).gradient[0]),
        latent_replicates=boot[finite],
        starts=Starts(tried=len(grid), reached_best=reached, rivals=len(minima), objectives=objective),
        finite_replicates=finite,
        warnings=(),
        refit=refit,
    )
    return replace(result, warnings=identification_warnings(result))


@dataclass(frozen=True)
class _Solver:
    """The optimiser on one data set."""

    observations: Observations
    request: FitRequest

    def __call__(
        self,
        starts: Float[np.ndarray, "t p"],
        weights: Float[np.ndarray, "r n"] | None = None,
        *,
        solved: Callable[[int], None] | None = None,
        stopping: Stopping | None = None,
    ) -> Solutions:
        """Minimise on the data from every start, or from equally many on each row of weights."""
        weights = self.observations.weight[None] if weights is None else weights
        return solve(
            self.request.law.tape,
            self.observations.columns,
            np.log(self.observations.loss),
            weights,
            starts,
            np.repeat(np.arange(len(weights), dtype=np.int64), len(starts) // len(weights)),
            delta=self.request.delta,
            tilt=self.request.tilt,
            threads=self.request.threads,
            solved=solved,
            stopping=stopping,
        )

    def best_of(
        self, candidates: Float[np.ndarray, "c p"], counts: Counts, solved: Callable[[int], None] | None = None
    ) -> tuple[Float[np.ndarray, "r p"], Bool[np.ndarray, " r"]]:
        """Minimise each replicate from every candidate; return the best of each and whether it is finite.

        After a few steps from all candidates, only the lowest is followed to the end.
        """
        theta, objective = np.empty((len(counts), candidates.shape[1])), np.empty(len(counts))
        choices = len(candidates)
        for block in blocks(len(counts), self.observations.points):
            weights = self.observations.point_weights(counts[block])
            starts = np.tile(candidates, (len(weights), 1))
            if choices > 1:
                early = self(starts, weights, solved=solved, stopping=_REPLICATE_START)
                winner = np.argmin(early.objective.reshape(-1, choices), axis=1)
                starts = early.theta.reshape(len(weights), choices, -1)[np.arange(len(weights)), winner]
            final = self(starts, weights, solved=solved, stopping=_REPLICATE)
            theta[block], objective[block] = final.theta, final.objective
        return theta, np.isfinite(objective)

    def log_predict(self, theta: Float[np.ndarray, "c p"]) -> Float[np.ndarray, "c n"]:
        """Log prediction of every point under each parameter vector."""
        return self.request.law.log_predict(theta, list(self.observations.columns))


def _distinct_minima(
    theta: Float[np.ndarray, "t p"], objective: Float[np.ndarray, " t"], solver: _Solver
) -> Float[np.ndarray, "c p"]:
    """Pick the distinct minima that could be the best on another draw of the data; the best comes first.

    A minimum stays in if its objective exceeds the best by less than four standard deviations of that difference
    under resampling, which are the root sum of squares of the points' differences.
    """
    kept = [0]
    for i in np.flatnonzero(np.isfinite(objective)):
        if objective[i] > objective[kept[-1]] * (1 + 1e-4):
            kept.append(int(i))
    data, request = solver.observations, solver.request
    r = solver.log_predict(theta[kept]) - np.log(data.loss)
    losses = data.weight * huber_losses(r, request.delta, request.tilt)
    excess = (losses - losses[0]) / data.weight.max()  # squares of huge weights would overflow
    margin = _MARGIN * np.sqrt(np.sum(excess**2, axis=1))
    close = np.flatnonzero(np.nan_to_num(np.sum(excess, axis=1), nan=np.inf) <= margin)
    return theta[[kept[i] for i in close[:_MOST_MINIMA]]] if len(close) else theta[:1]


def _with_fresh_starts(
    minima: Float[np.ndarray, "c p"], grid: Float[np.ndarray, "t p"], solver: _Solver
) -> Float[np.ndarray, "d p"]:
    """Add the grid's best untouched starts if a minimum has a parameter that no longer moves any prediction.

    A floor fitted as nearly 0 is such a parameter: its gradient has vanished, so replicates continued from there
    would all keep it at 0, though some of them have their minimum elsewhere.
    """
    here = solver.log_predict(minima)
    for step in np.eye(minima.shape[1]):
        reach = np.max(np.abs(solver.log_predict(minima + step) - here), axis=1)
        if np.any(reach < _INERT):
            untouched = solver(grid, stopping=Stopping(limit=0))
            return np.vstack([minima, grid[np.argsort(untouched.objective, kind="stable")[:_FRESH_STARTS]]])
    return minima


def _stage(
    progress: Progress | None, stage: Literal["starts", "bootstrap"], total: int
) -> Callable[[int], None] | None:
    if progress is None:
        return None
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(stage, done / total)

    return advance
