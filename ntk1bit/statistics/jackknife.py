"""Leaving out one seed at a time: intervals of anything that is computed from several seeds at several widths.

A statistic g of all networks, such as the slope of a logarithm against width, is computed anew without each seed, at
all widths at once. The spread of what comes out,

    V = (k - 1)/k sum_s (g_(-s) - g)^2,

estimates its variance whatever the noise does from width to width and whatever the networks of one seed share (data, a
start, batches): the cluster-robust estimate CV3 (Bell & McCaffrey 2002; MacKinnon, Nielsen & Webb 2023), used with
Student's t of k - 1 degrees of freedom. For a statistic that is an average over seeds it is Student's t on the seeds.

Networks may differ in two ways, in the seed of their data and in their own. Where each has data of its own, data sets
are the unit (nested). Where all networks are trained on all data sets (crossed), the variance is that over data sets
plus that over networks less that over pairs of them (Cameron, Gelbach & Miller 2011), with the smaller number's degrees
of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from ntk1bit.printing import record
from ntk1bit.statistics.intervals import (
    LEVEL,
    Interval,
    root_mean_square_interval,
    student_interval,
    student_quantile,
)

NETWORKS = "networks on one data set"
NESTED = "data sets, each with its networks"
CROSSED = "networks crossed with data sets"


@runtime_checkable  # to the checks of types while tests run
class Statistic(Protocol):
    """A number computed from one observation of each network."""

    @property
    def signed(self) -> bool:
        """Whether it can be negative, so that it has no logarithm."""
        ...

    def __call__(self, weights: Float[np.ndarray, "b seeds"]) -> Float[np.ndarray, " b"]:
        """Return its value for each row of weights of the networks; NaN where they leave it undefined."""
        ...

    def interval(self) -> Interval:
        """Return its value over independent networks with its own interval."""
        ...


@dataclass(frozen=True)
class MeanOf:
    """The mean of one value per network.

    Attributes
    ----------
    values
        One per network.
    signed
        Whether a value of either sign is possible: a difference. Its interval is Student's t; that of a positive one
        the jackknife's in logarithms.
    """

    values: Float[np.ndarray, " seeds"]
    signed: bool = False

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    def __call__(self, weights: Float[np.ndarray, "b seeds"]) -> Float[np.ndarray, " b"]:
        """Return weighted means."""
        return weights @ self.values / weights.sum(axis=1)

    def interval(self) -> Interval:
        """Return the mean with its interval."""
        return student_interval(self.values) if self.signed else logarithmic_interval(self, len(self.values))


@dataclass(frozen=True)
class RootMeanSquareOf:
    """The root of the mean square of one value per network."""

    values: Float[np.ndarray, " seeds"]
    signed: bool = False

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    def __call__(self, weights: Float[np.ndarray, "b seeds"]) -> Float[np.ndarray, " b"]:
        """Return roots of weighted mean squares."""
        return np.sqrt(weights @ self.values**2 / weights.sum(axis=1))

    def interval(self) -> Interval:
        """Return the root mean square with its interval."""
        return root_mean_square_interval(self.values)


@dataclass(frozen=True)
class Samples:
    """What was observed at one width, or at one value of another variable: a statistic of some networks.

    Attributes
    ----------
    x
        The width m, or whatever positive number the quantity is held against.
    seeds
        The seed of each network: networks of one seed at several x are left out together.
    statistic
        Of these networks.
    data
        The seed of each network's data; empty where all share one data set.
    """

    x: int | float
    seeds: tuple[Hashable, ...]
    statistic: Statistic
    data: tuple[Hashable, ...] = ()

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    @property
    def units(self) -> int:
        """Number of units that are left out in turn: networks, or data sets if these are fewer."""
        return len(set(self.seeds)) if len(set(self.data)) < 2 else leave_one_out([self]).freedom + 1

    def interval(self) -> Interval:
        """Return the statistic with its interval: its own over networks, by leaving units out if data sets differ."""
        if len(set(self.data)) < 2:
            return self.statistic.interval()
        found = leave_one_out([self])
        if self.statistic.signed:
            return found.interval(lambda values: values[:, 0])
        return found.logarithmic_interval()


@dataclass(frozen=True)
class LeaveOneOut:
    """A vector of statistics, one for each x, and what it becomes without each unit.

    Attributes
    ----------
    estimate
        (x,).
    without
        For each way in which networks differ, the vector without each of its units, (k, x).
    signs
        +1 or -1 for each way: how its variance enters.
    freedom
        Degrees of freedom: the fewest units at any x, less one.
    units
        What is left out, in words.
    """

    estimate: Float[np.ndarray, " x"]
    without: tuple[Float[np.ndarray, "_ x"], ...]
    signs: tuple[int, ...]
    freedom: int
    units: str = NETWORKS

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    def intervals(
        self, function: Callable[[Float[np.ndarray, "b x"]], Float[np.ndarray, "b y"]], *, level: float = LEVEL
    ) -> Float[np.ndarray, "3 y"]:
        """Return functions of the vector, applied to each row, with their intervals: values, lower and upper ends.

        NaN ends for fewer than two units, or where a function is not finite without one of them.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            value = function(self.estimate[None])[0]
            each = [
                (len(one) - 1) / max(len(one), 1) * np.sum((function(one) - value) ** 2, axis=0) for one in self.without
            ]
            variance = sum(sign * one for sign, one in zip(self.signs, each, strict=True))
            if len(each) > 1:  # the difference of variances can come out below each of them, even negative
                variance = np.maximum(variance, np.maximum(each[0], each[1]))
            half = np.sqrt(variance) * (student_quantile(self.freedom, level) if self.freedom > 0 else np.nan)
        half = np.where(np.isfinite(half), half, np.nan)
        return np.stack([value, value - half, value + half])

    def interval(
        self, function: Callable[[Float[np.ndarray, "b x"]], Float[np.ndarray, " b"]], *, level: float = LEVEL
    ) -> Interval:
        """Return one function of the vector, applied to each row, with its interval; see `intervals`."""
        value, low, high = self.intervals(lambda rows: function(rows)[:, None], level=level)[:, 0]
        return float(value), float(low), float(high)

    def logarithmic_interval(self) -> Interval:
        """Return the first entry, a positive statistic, with its interval in logarithms."""
        _, low, high = self.interval(lambda rows: np.log(rows[:, 0]))
        with np.errstate(over="ignore"):  # two values far apart: no upper end that a number could hold
            return float(self.estimate[0]), float(np.exp(low)), float(np.exp(high))

    def at(self, places: Bool[np.ndarray, " x"] | slice) -> LeaveOneOut:
        """Return the same of some of the x only."""
        kept = tuple(one[:, places] for one in self.without)
        return LeaveOneOut(self.estimate[places], kept, self.signs, self.freedom, self.units)

    def map(self, function: Callable[[Float[np.ndarray, "b x"]], Float[np.ndarray, "b y"]]) -> LeaveOneOut:
        """Return a function of the vector, applied to each row, as such a vector."""
        kept = tuple(function(one) for one in self.without)
        return LeaveOneOut(function(self.estimate[None])[0], kept, self.signs, self.freedom, self.units)


def leave_one_out(samples: Sequence[Samples]) -> LeaveOneOut:
    """Compute the statistics of all samples without each seed, at all x at once."""
    networks = [one.seeds for one in samples]
    data = [one.data or (None,) * len(one.seeds) for one in samples]
    design = _design(networks, data)
    pairs = [list(zip(a, b, strict=True)) for a, b in zip(networks, data, strict=True)]
    ways: dict[str, list[tuple[int, Sequence[Sequence[Hashable]]]]] = {
        NETWORKS: [(1, networks)],
        NESTED: [(1, data)],
        CROSSED: [(1, networks), (1, data), (-1, pairs)],
    }
    counted = [labels for sign, labels in ways[design] if sign > 0]
    return LeaveOneOut(
        np.array([one.statistic(np.ones((1, len(one.seeds))))[0] for one in samples]),
        tuple(_without(samples, labels) for _, labels in ways[design]),
        tuple(sign for sign, _ in ways[design]),
        min((len(set(one)) for labels in counted for one in labels), default=0) - 1,
        design,
    )


def logarithmic_interval(statistic: Callable[[Float[np.ndarray, "b k"]], Float[np.ndarray, " b"]], k: int) -> Interval:
    """Return a positive statistic of k independent networks with its interval, by the jackknife in logarithms.

    NaN bounds for one network, and where the statistic is not positive without one of them.
    """
    without = statistic(1.0 - np.eye(k)) if k > 1 else np.empty(0)
    return _of_one_number(statistic(np.ones((1, k)))[0], without).logarithmic_interval()


def cluster_slope(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], *, cluster: Sequence[Hashable], group: Sequence[Hashable]
) -> tuple[Interval, int]:
    """Return the slope of y against x within groups, each group having an intercept of its own, and its clusters.

    Parameters
    ----------
    x, y
        Of any sign, (n,).
    cluster
        Of each row: the seed. Rows of one cluster are left out together.
    group
        Of each row: the settings that are compared among themselves only.

    Returns
    -------
    slope, low, high
        By least squares, with the interval of CV3 and Student's t; NaN where x does not vary within groups.
    clusters
        Their number.
    """
    names = sorted(set(cluster), key=str)
    place = {name: k for k, name in enumerate(names)}
    of = np.array([place[name] for name in cluster])
    keys: dict[Hashable, int] = {}
    groups = np.array([keys.setdefault(name, len(keys)) for name in group])

    def slope(kept: Bool[np.ndarray, " n"]) -> float:
        weight = np.bincount(groups[kept], minlength=len(keys))
        centred = []
        for values in (x[kept], y[kept]):
            means = np.bincount(groups[kept], values, minlength=len(keys)) / np.maximum(weight, 1)
            centred.append(values - means[groups[kept]])
        square = float(centred[0] @ centred[0])
        return float(centred[0] @ centred[1]) / square if square > 0 else math.nan

    value = slope(np.ones(len(x), dtype=bool))
    without = np.array([slope(of != one) for one in range(len(names))])
    return _of_one_number(value, without).interval(lambda rows: rows[:, 0]), len(names)


def _of_one_number(value: float, without: Float[np.ndarray, " k"]) -> LeaveOneOut:
    """Put a number and what it is without each of k units as a vector of one entry."""
    return LeaveOneOut(np.array([value]), (without[:, None],), (1,), len(without) - 1)


def _design(networks: Sequence[Sequence[Hashable]], data: Sequence[Sequence[Hashable]]) -> str:
    pairs = {pair for one, other in zip(networks, data, strict=True) for pair in zip(one, other, strict=True)}
    if len({of for _, of in pairs}) < 2:
        return NETWORKS
    seeds = {seed for seed, _ in pairs}
    return NESTED if len(pairs) == len(seeds) else CROSSED


def _without(samples: Sequence[Samples], labels: Sequence[Sequence[Hashable]]) -> Float[np.ndarray, "k x"]:
    """Compute the statistic of each sample without each of the labels that occur anywhere."""
    names = sorted({name for one in labels for name in one}, key=str)
    columns = []
    for one, own in zip(samples, labels, strict=True):
        weights = np.array([[0.0 if name == left_out else 1.0 for name in own] for left_out in names])
        kept = weights.any(axis=1)
        values = np.full(len(names), np.nan)
        if kept.any():
            values[kept] = one.statistic(weights[kept])
        columns.append(values)
    return np.stack(columns, axis=1) if columns else np.empty((len(names), 0))
