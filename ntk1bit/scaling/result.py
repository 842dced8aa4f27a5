"""What a fit returns: parameters with intervals, predictions, residuals and how far to trust them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ntk1bit.errors import InputError, require_choice
from ntk1bit.printing import number
from ntk1bit.scaling.bootstrap import (
    Counts,
    bca_interval,
    checked_level,
    jackknife_parts,
    left_out,
    percentile_interval,
    stretch,
    stretched_interval,
    widening,
)
from ntk1bit.scaling.laws import Law
from ntk1bit.scaling.observations import Observations
from ntk1bit.scaling.outcome import ParameterInterval, Starts, fit_in_short
from ntk1bit.scaling.request import FitRequest
from ntk1bit.scaling.residuals import aicc, huber_log_likelihood, residual_diagnostics
from ntk1bit.statistics import LEVEL
from ntk1bit.tables.columns import positive_column

STRONG_CORRELATION = 0.95
_MOSTLY = 0.5
_ZERO_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted law.

    Attributes
    ----------
    request, observations
        What was asked, and the data.
    latent, latent_replicates
        (p,) and (b, p) the optimiser's parameters (logarithms of positive ones): of the data and of the bootstrap
        replicates. `estimate` and `replicates` have them in natural units.
    objective, gradient
        The sum of weighted Huber losses at the optimum, and the largest gradient entry there, in units of delta times
        the total weight; it need not vanish at a kink.
    starts
        How the grid of starts fared.
    finite_replicates
        (drawn,) which of the drawn replicates had a finite optimum; the others are left out.
    warnings
        What the data do not identify, a line each.
    refit
        Latent parameters for other replicates, as the jackknife needs them.
    """

    request: FitRequest
    observations: Observations
    latent: Float[np.ndarray, " p"]
    objective: float
    gradient: float
    latent_replicates: Float[np.ndarray, "b p"]
    starts: Starts
    finite_replicates: Bool[np.ndarray, " drawn"]
    warnings: tuple[str, ...]
    refit: Callable[[Counts], np.ndarray]

    @property
    def law(self) -> Law:
        """The law that was fitted."""
        return self.request.law

    @cached_property
    def estimate(self) -> Float[np.ndarray, " p"]:
        """Natural parameters, in the law's order."""
        return self._natural(self.latent)

    @cached_property
    def replicates(self) -> Float[np.ndarray, "b p"]:
        """Natural parameters of the bootstrap replicates."""
        return self._natural(self.latent_replicates)

    @property
    def failed_replicates(self) -> int:
        """Number of drawn replicates without a finite optimum."""
        return int(np.sum(~self.finite_replicates))

    @property
    def params(self) -> dict[str, float]:
        """Natural parameters by name."""
        return dict(zip(self.law.parameter_names, map(float, self.estimate), strict=True))

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the intervals: one less than there are clusters, without limit for points."""
        return math.inf if self.observations.cluster is None else float(self.observations.clusters - 1)

    @property
    def jackknife_parts(self) -> int:
        """How many parts the jackknife behind BCa leaves out in turn: each unit, or random parts if they are many."""
        return jackknife_parts(self.observations.clusters)

    @cached_property
    def jackknife(self) -> Float[np.ndarray, "u p"]:
        """Latent parameters with each point, or cluster, left out once; in random parts if they are many."""
        return self.refit(left_out(self.observations.clusters, self.request.seed))

    @overload
    def interval(
        self, parameter: float | None = ..., method: str = ..., *, level: float | None = ...
    ) -> pd.DataFrame: ...
    @overload
    def interval(self, parameter: str, method: str = ..., *, level: float | None = ...) -> ParameterInterval: ...
    def interval(
        self, parameter: str | float | None = None, method: str = "percentile", *, level: float | None = None
    ) -> pd.DataFrame | ParameterInterval:
        """Return bootstrap intervals of the natural parameters: of one by its name, or of all.

        With clusters, the ends are moved away from the estimate, so that few clusters do not make them too narrow (see
        `bootstrap.widening`): those of floors in natural units, where they stop at the least value allowed, those of
        others in latent ones.

        Parameters
        ----------
        parameter
            A name, as in ``interval("alpha")``; all parameters by default. A number here is the level, as in
            ``interval(0.9)``.
        method
            "percentile" or "bca" (bias-corrected, accelerated).
        level
            Coverage, between 0 and 1; 0.95 by default.

        Returns
        -------
        ParameterInterval or DataFrame
            Of one parameter, the floats `value`, `low`, `high`; of all, the columns `estimate`, `low`, `high`, indexed
            by parameter.

        Raises
        ------
        InputError
            If the fit has no bootstrap replicates, or for a name, level or method that does not exist.
        """
        if isinstance(parameter, float | int):
            if level is not None:
                raise InputError(f"two levels are given, {parameter} and level={level}; give one")
            parameter, level = None, parameter
        level = LEVEL if level is None else level
        if parameter is not None:
            place = self.law.parameter_names.index(
                require_choice(f"parameter of law {self.law.name!r}", parameter, self.law.parameter_names)
            )
            low, high = self._ends(level, method)
            return ParameterInterval(float(self.estimate[place]), float(low[place]), float(high[place]))
        low, high = self._ends(level, method)
        index = pd.Index(self.law.parameter_names, name="parameter")
        return pd.DataFrame({"estimate": self.estimate, "low": low, "high": high}, index=index)

    def _ends(self, level: float, method: str) -> Float[np.ndarray, "2 p"]:
        """Return the low and high ends of the intervals of all parameters, in natural units."""
        self._need_replicates()
        if require_choice("interval", method, ("percentile", "bca")) == "percentile":
            ends = percentile_interval(self.latent_replicates, level)
        else:
            # Where most residuals lie beyond delta, the objective is nearly a sum of absolute values.
            smooth = float(np.mean(np.abs(self.log_residuals) <= self.request.delta)) > _MOSTLY
            ends = bca_interval(self.latent, self.latent_replicates, self.jackknife, level, smooth=smooth)
        return self._stretched(np.array(ends), widening(self.freedom, level))

    @cached_property
    def covariance(self) -> pd.DataFrame:
        """Covariance of the natural parameters over the bootstrap replicates; of k clusters, times k/(k - 1)."""
        self._need_replicates()
        names = list(self.law.parameter_names)
        with np.errstate(all="ignore"):  # an unidentified scale can be infinite in natural units
            table = (1.0 + 1.0 / self.freedom) * np.atleast_2d(np.cov(self.replicates, rowvar=False))
        return pd.DataFrame(table, index=names, columns=names)

    @cached_property
    def correlation(self) -> pd.DataFrame:
        """Rank correlation of the parameters over the bootstrap replicates."""
        self._need_replicates()
        frame = pd.DataFrame(self.latent_replicates, columns=list(self.law.parameter_names))
        return frame.corr(method="spearman")

    @property
    def flat_directions(self) -> list[tuple[str, str, float]]:
        """Pairs of parameters the data hardly tell apart: |rank correlation| above 0.95, strongest first."""
        if not len(self.replicates):
            return []
        table, names = self.correlation.to_numpy(), self.law.parameter_names
        every = itertools.combinations(range(len(names)), 2)
        pairs = [(names[i], names[j], float(table[i, j])) for i, j in every if abs(table[i, j]) > STRONG_CORRELATION]
        return sorted(pairs, key=lambda pair: -abs(pair[2]))

    def predict(self, frame: pd.DataFrame) -> Float[np.ndarray, " n"]:
        """Predict the loss for each row of a table that has the law's columns."""
        return np.exp(self.law.log_predict(self.latent, self._columns(frame)))

    def band(self, frame: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
        """Return the prediction and its pointwise percentile interval, as columns `loss`, `low`, `high`.

        The interval is that of the curve, not of new observations around it.
        """
        self._need_replicates()
        columns = self._columns(frame)
        curve, curves = (self.law.log_predict(each, columns) for each in (self.latent, self.latent_replicates))
        low, high = np.exp(stretched_interval(curve, curves, level, self.freedom))
        return pd.DataFrame({"loss": np.exp(curve), "low": low, "high": high}, index=frame.index)

    @cached_property
    def log_residuals(self) -> Float[np.ndarray, " n"]:
        """Log of observed over predicted loss, for each observation."""
        return np.log(self.observations.loss) - self.law.log_predict(self.latent, list(self.observations.columns))

    @property
    def residual_diagnostics(self) -> dict[str, float | int]:
        """Size, outliers and trends of the residuals; see `residuals.residual_diagnostics`."""
        return residual_diagnostics(self.log_residuals, self.observations.columns, self.law.variables)

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood of the log losses under the Huber density of best scale."""
        return huber_log_likelihood(
            self.log_residuals, self.observations.weight, delta=self.request.delta, tilt=self.request.tilt
        )

    @property
    def aicc(self) -> float:
        """Akaike's criterion with the small-sample correction; comparable between laws on the same data."""
        return aicc(self.log_likelihood, parameters=len(self.estimate) + 1, points=self.observations.points)

    def to_frame(self, level: float = LEVEL) -> pd.DataFrame:
        """Return one row a parameter: estimate, standard error, both intervals, points and ranges of x."""
        table: dict[str, Any] = {
            "parameter": list(self.law.parameter_names),
            "role": [each.role for each in self.law.parameters],
            "unit": [each.unit for each in self.law.parameters],
            "estimate": self.estimate,
        }
        if len(self.replicates):
            percentile, bca = (self.interval(level, method) for method in ("percentile", "bca"))
            table |= {
                "std_error": np.sqrt(np.diag(self.covariance)),
                "low": percentile["low"].to_numpy(),
                "high": percentile["high"].to_numpy(),
                "bca_low": bca["low"].to_numpy(),
                "bca_high": bca["high"].to_numpy(),
                "level": checked_level(level),
            }
        frame = pd.DataFrame(table)
        frame["points"] = self.observations.points
        for name, (low, high) in self.observations.ranges().items():
            frame[f"{name}_min"], frame[f"{name}_max"] = low, high
        return frame

    def __repr__(self) -> str:
        """Say in at most ten lines which law was fitted to what, its parameters, and how far to trust them."""
        bare = pd.DataFrame({"estimate": self.estimate, "low": np.nan, "high": np.nan}, self.law.parameter_names)
        tried = f"{self.starts.reached_best} of {self.starts.tried} starts reached it"
        return fit_in_short(
            self.law,
            self.observations,
            self.interval() if len(self.replicates) > 1 else bare,
            replicates=len(self.replicates),
            optimum=f"objective {self.objective:.6g}; {tried}",
            warnings=self.warnings,
        )

    def _repr_html_(self) -> str:
        """Return the parameters as a table, for notebooks."""
        return self.to_frame().to_html(index=False, float_format=number)

    def _columns(self, frame: pd.DataFrame) -> list[np.ndarray]:
        return [positive_column(frame, name) for name in self.observations.x.values()]

    def _natural(self, latent: Float[np.ndarray, " *batch p"]) -> Float[np.ndarray, " *batch p"]:
        """Return natural parameters, floors below a millionth of the smallest loss as the 0 they stand for."""
        natural = self.law.natural(latent)
        for j, each in enumerate(self.law.parameters):
            if each.role == "floor" and each.bounds[0] == 0:
                least = _ZERO_FLOOR * float(self.observations.loss.min())
                natural[..., j] = np.where(natural[..., j] < least, 0.0, natural[..., j])
        return natural

    def _stretched(self, ends: Float[np.ndarray, "2 p"], factor: float) -> Float[np.ndarray, "2 p"]:
        """Return latent ends, moved away from the estimate by a factor, as natural parameters."""
        with np.errstate(over="ignore"):  # few clusters may leave a scale open over all of float64's range
            moved = self._natural(stretch(self.latent, ends, factor))
        linear = stretch(self.estimate, self._natural(ends), factor)
        for j, each in enumerate(self.law.parameters):
            if each.role == "floor":  # the logarithm of a floor near 0 is of no size to move by
                moved[:, j] = np.maximum(linear[:, j], each.bounds[0])
        return moved

    def _need_replicates(self) -> None:
        if len(self.replicates) < 2:
            raise InputError("this fit has no bootstrap replicates; fit again with bootstrap=1000 for intervals")

    def summary(self) -> dict[str, Any]:
        """Return everything a report needs beside the parameters, as plain numbers and strings."""
        return {
            "law": self.law.name,
            "formula": self.law.formula,
            "reference": self.law.reference,
            "fixed": dict(self.law.fixed),
            "columns": {**self.observations.x, "loss": self.observations.loss_name},
            "points": self.observations.points,
            "cluster": self.request.cluster or None,
            "clusters": None if self.observations.cluster is None else self.observations.clusters,
            "ranges": {name: list(pair) for name, pair in self.observations.ranges().items()},
            "objective": self.objective,
            "gradient": self.gradient,
            "delta": self.request.delta,
            "tilt": self.request.tilt,
            "bootstrap": self.request.bootstrap,
            "failed_replicates": self.failed_replicates,
            "jackknife_parts": self.jackknife_parts if len(self.replicates) else None,
            "seed": self.request.seed,
            "starts": self.starts.tried,
            "starts_at_best": self.starts.reached_best,
            "rival_minima": self.starts.rivals,
            "log_likelihood": self.log_likelihood,
            "aicc": self.aicc if math.isfinite(self.aicc) else None,
            "flat_directions": [list(pair) for pair in self.flat_directions],
            "residuals": self.residual_diagnostics,
            "warnings": list(self.warnings),
        }
