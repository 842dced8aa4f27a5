"""Turn a table of losses into checked observations; refuse, in one line, what no law can be fitted to."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64, Shaped

from ntk1bit.errors import InputError
from ntk1bit.printing import record
from ntk1bit.scaling.request import FitRequest
from ntk1bit.tables.columns import positive_column, read_labels

_CLUSTERS = ("run", "seed")  # what columns of clusters are called, the first that serves


@dataclass(frozen=True, eq=False)
class Observations:
    """Losses and what they are to be explained by.

    Attributes
    ----------
    columns
        (k, n) positive covariates, in the order of the law's variables.
    loss, weight
        (n,) positive losses and weights, which are 1 by default.
    cluster
        (n,) codes of the clusters resampled together, or None for independent points.
    found
        The column of clusters, if none was named and this one was found; see `found_cluster`.
    x, loss_name
        The table's column for each variable of the law, and of losses.
    """

    columns: Float[np.ndarray, "k n"]
    loss: Float[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"]
    cluster: Int64[np.ndarray, " n"] | None
    x: dict[str, str]
    loss_name: str
    found: str | None = None

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    @property
    def points(self) -> int:
        """Number of observations."""
        return len(self.loss)

    @property
    def clusters(self) -> int:
        """Number of units the bootstrap resamples."""
        return self.points if self.cluster is None else int(self.cluster.max()) + 1

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest value of each variable's column."""
        return {
            name: (float(row.min()), float(row.max())) for name, row in zip(self.x.values(), self.columns, strict=True)
        }

    def point_weights(self, counts: Shaped[np.ndarray, "r u"]) -> Float[np.ndarray, "r n"]:
        """Turn counts of units into weights of points: each point's own weight times how often its unit counts."""
        return (counts if self.cluster is None else counts[:, self.cluster]) * self.weight


def observe(frame: pd.DataFrame, request: FitRequest) -> Observations:
    """Read and check the columns a fit needs.

    Raises
    ------
    InputError
        For a missing or repeated column, values that are not positive finite numbers, two variables with the same
        values, or fewer (distinct) points than parameters.
    """
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"a pandas DataFrame is needed, got {type(frame).__name__}")
    law, x, needed = request.law, request.columns, len(request.law.parameters)
    used = [*x.values(), request.loss]
    if len(set(used)) < len(used):
        raise InputError(f"the same column is used twice among {', '.join(used)}; each variable needs its own")
    columns = np.array([positive_column(frame, name) for name in x.values()])
    losses = positive_column(frame, request.loss)
    weights = np.ones(len(frame)) if request.weight is None else positive_column(frame, request.weight)
    for (first, row), (second, other) in itertools.combinations(zip(x.values(), columns, strict=True), 2):
        if len(frame) and np.array_equal(row, other):
            raise InputError(f"columns {first!r} and {second!r} hold the same values; they cannot be told apart")
    for (variable, name), row in zip(x.items(), columns, strict=True):
        exponents = [each.name for each in law.exponents if each.of == variable]
        if exponents and len(row) > 1 and np.ptp(row) == 0:
            raise InputError(
                f"column {name!r} has one value, {row[0]:g}, so {', '.join(exponents)} cannot be fitted; vary it, or "
                f"hold the exponent: --fix {exponents[0]}=0, in Python law.fix({exponents[0]}=0)"
            )
    if len(frame) < needed:
        raise InputError(
            f"law {law.name!r} has {needed} parameters but the table has {len(frame)} points; give more points or "
            "choose a law with fewer parameters"
        )
    if (distinct := len(np.unique(columns, axis=1).T)) < needed:
        raise InputError(
            f"law {law.name!r} has {needed} parameters but only {distinct} distinct value(s) of "
            f"{', '.join(x.values())}; measure at more of them or choose a law with fewer parameters"
        )
    cluster, found = None, found_cluster(frame, request) if request.cluster is None else None
    if names := request.cluster or found:
        labels = read_labels(frame, names, "cluster")
        if len(labels.keys) < 2:
            raise InputError(
                f"there is only one cluster in {', '.join(labels.names)}; at least two are needed to resample"
            )
        cluster = labels.codes
    return Observations(columns, losses, weights, cluster, x, request.loss, found)


def found_cluster(frame: pd.DataFrame, request: FitRequest) -> str | None:
    """Name the column that tells rows of one run from those of another, or None if there is none.

    It is called run or else seed, in small or capital letters, is not used for anything else, and has at least two
    labels, one of them in several rows. A column with blanks, or whose labels cannot be told apart, is none.
    """
    used = {*request.columns.values(), request.loss, request.weight, request.group, request.run}
    for called in _CLUSTERS:
        for name in (str(each) for each in frame.columns if str(each).lower() == called and each not in used):
            try:
                labels = read_labels(frame, name, "cluster")
            except InputError:
                continue
            if 2 <= len(labels.keys) < len(frame):
                return name
    return None
