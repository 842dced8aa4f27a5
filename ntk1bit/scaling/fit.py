"""Fit a law to a table of losses: the sum of Huber losses of log residuals, from a full grid of starts.

Every start is minimised on the data. The distinct minima that could win on another draw of the data are then
minimised again on every bootstrap replicate, whose best result is kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int64

from ntk1bit.errors import InputError
from ntk1bit.scaling.bootstrap import Counts, blocks, checked_replicates, drawn_counts, point_weights
from ntk1bit.scaling.identification import identification_warnings
from ntk1bit.scaling.laws import Law, get_law
from ntk1bit.scaling.objective import HUBER_DELTA
from ntk1bit.scaling.observations import Observations, observe
from ntk1bit.scaling.result import Fit, Settings, Starts
from ntk1bit.scaling.solve import Stopping, solve

SAME_OBJECTIVE = 1e-6  # relative: starts this close to the best have reached it
_EXACT = 1e-10  # mean absolute log residuals below this are rounding: starts that reach it are as good as any
_LEAST_DELTA = 1e-12  # below, residuals are rounding; above its inverse, the sum is one of squares
_RIVALS = 4
_FOLLOWED = 20
_FIRST_STAGE = Stopping(limit=200)
_REPLICATE_HEAT = Stopping(tolerance=1e-7, least=1e-8, limit=60)
_REPLICATE = Stopping(tolerance=1e-7, least=1e-8, limit=300)  # under 1 % of a standard error
_INERT = 1e-3  # a parameter whose change by a factor e moves no log prediction by more is out of the data's sight
_FRESH = 3
_RIVAL_MARGIN = 4.0  # standard deviations of the resampled difference of objectives

Starting = Mapping[str, Sequence[float | str]]
Progress = Callable[[str, int, int], None]


class IdentificationWarning(UserWarning):
    """The data do not pin down something the fit reports."""


def fit(
    frame: pd.DataFrame,
    law: str | Law = "power",
    *,
    x: str | Sequence[str] | Mapping[str, str] | None = None,
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

    Minimises sum_i w_i Huber_delta(log prediction_i - log loss_i) by L-BFGS with exact gradients in float64.

    Parameters
    ----------
    frame
        One row an observation.
    law
        A name from `law_names()` or a `Law`.
    x
        The column, the columns in the order of the law's variables, or a mapping from variable to column. By default
        columns are named as the law's variables.
    loss
        The column of losses, positive.
    bootstrap
        Replicates, 0 or at least 20.
    seed
        Seed of the resampling. The same data, seed and settings give the same result on any number of threads.
    cluster
        Column(s) whose values mark observations resampled together, such as a seed or a run.
    weight
        Column of positive weights.
    starts
        Starts in natural units for some parameters, in place of the law's.
    delta
        Width of the Huber loss, in units of log loss.
    tilt
        Between 0 and 1. Points above the curve count 2 tilt, points below it 2 (1 - tilt): 0.5 treats them alike,
        small values fit a lower envelope.
    threads
        By default all processors this process may use.
    progress
        Called as progress(stage, done, total) with stage "starts" or "bootstrap".

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
    chosen = get_law(law)
    observations = observe(frame, chosen, x=x, loss=loss, weight=weight, cluster=cluster)
    settings = checked_settings(delta=delta, tilt=tilt, bootstrap=bootstrap, seed=seed)
    replicates = drawn_counts(observations.clusters, bootstrap, seed) if bootstrap else None
    result = fit_observations(
        observations, chosen, settings, replicates, starts=starts, threads=threads, progress=progress
    )
    for line in result.warnings:
        warnings.warn(line, IdentificationWarning, stacklevel=2)
    return result


def fit_observations(
    observations: Observations,
    law: Law,
    settings: Settings,
    replicates: Counts | None,
    *,
    starts: Starting | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Fit checked observations with given replicates: how often each point, or cluster, enters each of them."""
    solver = _Solver(observations, law, settings, threads)
    grid = law.starts(observations.columns, observations.loss, starts)
    theta, objective = solver(
        grid, observations.weight[None], _rows(0, len(grid)), _stage(progress, "starts", len(grid))
    )
    order = np.argsort(objective, kind="stable")
    theta, objective = theta[order], objective[order]
    if not np.isfinite(objective[0]):
        raise InputError(f"law {law.name!r} is undefined on these data from all of its {len(grid)} starts; give others")
    rivals = _with_fresh_starts(_rivals(theta, objective, solver), grid, solver)
    exact = _EXACT * settings.delta * float(observations.weight.sum())
    reached = int(np.sum(objective <= objective[0] * (1 + SAME_OBJECTIVE) + exact))
    boot, finite = np.empty((0, theta.shape[1])), np.empty(0, dtype=bool)
    if replicates is not None:
        total = len(replicates) * (len(rivals) + (len(rivals) > 1))
        boot, finite = solver.best_of(rivals, replicates, _stage(progress, "bootstrap", total))
    best = Fit(
        law=law,
        observations=observations,
        settings=settings,
        latent=theta[0],
        objective=float(objective[0]),
        gradient=solver.gradient_at(theta[0]),
        latent_replicates=boot[finite],
        starts=Starts(tried=len(grid), reached_best=reached, rivals=len(rivals), objectives=objective),
        finite_replicates=finite,
        warnings=(),
        refit=solver.refit(rivals),
    )
    return best.with_warnings(identification_warnings(best))


def checked_settings(*, delta: float, tilt: float, bootstrap: int, seed: int) -> Settings:
    """Check what `fit` was asked, and freeze it."""
    if not _LEAST_DELTA <= delta <= 1 / _LEAST_DELTA:
        raise InputError(
            f"delta must lie between {_LEAST_DELTA:g} and {1 / _LEAST_DELTA:g}, got {delta}; 1e-3 is usual"
        )
    if not 0 < tilt < 1:
        raise InputError(f"tilt must lie between 0 and 1, got {tilt}; 0.5 treats both sides alike")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed must be a whole number, 0 or more, got {seed!r}")
    return Settings(delta=float(delta), tilt=float(tilt), bootstrap=checked_replicates(bootstrap), seed=seed)


@dataclass(frozen=True)
class _Solver:
    """The optimiser on one data set."""

    observations: Observations
    law: Law
    settings: Settings
    threads: int | None

    def __call__(
        self,
        starts: Float[np.ndarray, "t p"],
        weights: Float[np.ndarray, "r n"],
        rows: Int64[np.ndarray, " t"],
        progress: Callable[[int], None] | None = None,
        stopping: Stopping | None = None,
    ) -> tuple[Float[np.ndarray, "t p"], Float[np.ndarray, " t"]]:
        found = solve(
            self.law.tape,
            self.observations.columns,
            np.log(self.observations.loss),
            weights,
            starts,
            rows,
            delta=self.settings.delta,
            tilt=self.settings.tilt,
            threads=self.threads,
            progress=progress,
            stopping=stopping,
        )
        return found.theta, found.objective

    def descend(
        self, grid: Float[np.ndarray, "t p"], progress: Callable[[int], None] | None
    ) -> tuple[Float[np.ndarray, "t p"], Float[np.ndarray, " t"]]:
        """Minimise on the data from every start, then follow the best of them as far as arithmetic allows.

        Flat valleys take thousands of steps; the second stage spends them only on starts that may still win.
        """
        weights = self.observations.weight[None]
        theta, objective = self(grid, weights, _rows(0, len(grid)), progress, stopping=_FIRST_STAGE)
        best = np.argsort(objective, kind="stable")[: max(_FOLLOWED, len(grid) // 10)]
        close = best[objective[best] > objective[best[0]] * (1 + SAME_OBJECTIVE)]
        followed = np.concatenate([best[:_FOLLOWED], close[~np.isin(close, best[:_FOLLOWED])]])
        theta[followed], objective[followed] = self(theta[followed], weights, _rows(0, len(followed)))
        return theta, objective

    def gradient_at(self, theta: Float[np.ndarray, " p"]) -> float:
        """Largest gradient entry there, in units of delta times the total weight."""
        found = solve(
            self.law.tape,
            self.observations.columns,
            np.log(self.observations.loss),
            self.observations.weight[None],
            theta[None],
            _rows(0, 1),
            delta=self.settings.delta,
            tilt=self.settings.tilt,
            stopping=Stopping(limit=0),
            threads=1,
        )
        return float(found.gradient[0])

    def best_of(
        self,
        candidates: Float[np.ndarray, "c p"],
        counts: Counts,
        progress: Callable[[int], None] | None = None,
    ) -> tuple[Float[np.ndarray, "r p"], Bool[np.ndarray, " r"]]:
        """Minimise each replicate from every candidate; return the best of each and whether it is finite.

        After a heat of a few steps from all candidates, only the one in front is followed to the end.
        """
        theta, objective = np.empty((len(counts), candidates.shape[1])), np.empty(len(counts))
        for block in blocks(len(counts), self.observations.points):
            weights = point_weights(counts[block], self.observations)
            theta[block], objective[block] = self._best_of_block(candidates, weights, progress)
        return theta, np.isfinite(objective)

    def _best_of_block(
        self,
        candidates: Float[np.ndarray, "c p"],
        weights: Float[np.ndarray, "r n"],
        progress: Callable[[int], None] | None,
    ) -> tuple[Float[np.ndarray, "r p"], Float[np.ndarray, " r"]]:
        count, choices = len(weights), len(candidates)
        starts = np.tile(candidates, (count, 1))
        if choices > 1:
            rows = np.repeat(np.arange(count, dtype=np.int64), choices)
            theta, objective = self(starts, weights, rows, progress, stopping=_REPLICATE_HEAT)
            winner = np.argmin(objective.reshape(count, choices), axis=1)
            starts = theta.reshape(count, choices, -1)[np.arange(count), winner]
        return self(starts, weights, np.arange(count, dtype=np.int64), progress, stopping=_REPLICATE)

    def refit(self, candidates: Float[np.ndarray, "c p"]) -> Callable[[Counts], np.ndarray]:
        """Return a function from replicates to the latent parameters fitted to them."""

        def refitted(counts: Counts) -> np.ndarray:
            theta, finite = self.best_of(candidates, counts)
            return theta[finite]

        return refitted

    def point_losses(self, theta: Float[np.ndarray, "c p"]) -> Float[np.ndarray, "c n"]:
        """Weighted Huber loss of every point under each parameter vector."""
        r = self.law.log_predict(theta, list(self.observations.columns)) - np.log(self.observations.loss)
        delta, tilt = self.settings.delta, self.settings.tilt
        clipped = np.clip(r, -delta, delta)
        side = np.where(r < 0, 2 * tilt, 2 * (1 - tilt))
        return self.observations.weight * side * clipped * (r - 0.5 * clipped)


def _rivals(
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
    losses = solver.point_losses(theta[kept])
    gaps = (losses - losses[0]) / solver.observations.weight.max()  # squares of huge weights would overflow
    margin = _RIVAL_MARGIN * np.sqrt(np.sum(gaps**2, axis=1))
    close = np.flatnonzero(np.nan_to_num(np.sum(gaps, axis=1), nan=np.inf) <= margin)
    return theta[[kept[i] for i in close[:_RIVALS]]] if len(close) else theta[:1]


def _with_fresh_starts(
    rivals: Float[np.ndarray, "c p"], grid: Float[np.ndarray, "t p"], solver: _Solver
) -> Float[np.ndarray, "d p"]:
    """Add the grid's best untouched starts if a minimum has a parameter that no longer moves any prediction.

    A floor fitted as nearly 0 is such a parameter: its gradient has vanished, so replicates continued from there
    would all keep it at 0, though some of them have their minimum elsewhere.
    """
    columns = list(solver.observations.columns)
    here = solver.law.log_predict(rivals, columns)
    for j in range(rivals.shape[1]):
        moved = rivals.copy()
        moved[:, j] += 1.0
        reach = np.max(np.abs(solver.law.log_predict(moved, columns) - here), axis=1)
        if np.any(reach < _INERT):
            weights = solver.observations.weight[None]
            _, objective = solver(grid, weights, _rows(0, len(grid)), stopping=Stopping(limit=0))
            return np.vstack([rivals, grid[np.argsort(objective, kind="stable")[:_FRESH]]])
    return rivals


def _rows(row: int, count: int) -> Int64[np.ndarray, " t"]:
    return np.full(count, row, dtype=np.int64)


def _stage(
    progress: Progress | None, stage: Literal["starts", "bootstrap"], total: int
) -> Callable[[int], None] | None:
    if progress is None:
        return None
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(stage, done, total)

    return advance
